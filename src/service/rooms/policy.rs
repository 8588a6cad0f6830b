//! What happens to members that read too slowly, by room.

use serde::{Deserialize, Serialize};

/// What happens at the bound of a member's queue.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum SlowConsumerPolicy {
    /// The connection is closed with the reason.
    Disconnect,
    /// The room's oldest queued message goes; the numbers show the gap.
    DropOldest,
    /// A newer message of the same key replaces the queued one; the numbers show the gap.
    Conflate,
}

/// Policies by pattern; the first that matches counts.
#[derive(Clone, Debug, Default)]
pub struct SlowConsumerRules(Vec<(String, SlowConsumerPolicy)>);

impl SlowConsumerRules {
    /// Rules in the order of the configuration.
    #[must_use]
    pub const fn new(rules: Vec<(String, SlowConsumerPolicy)>) -> Self {
        Self(rules)
    }

    pub(crate) fn of(&self, room: &str) -> SlowConsumerPolicy {
        let found = self.0.iter().find(|(pattern, _)| matches(pattern, room));
        found.map_or(SlowConsumerPolicy::Disconnect, |(_, policy)| *policy)
    }
}

/// Whether `text` fits a pattern in which each `*` stands for anything. Linear in both: what a star swallowed is only ever extended.
pub(crate) fn matches(pattern: &str, text: &str) -> bool {
    let mut pieces = pattern.split('*');
    let first = pieces.next().unwrap_or_default();
    let Some(mut rest) = text.strip_prefix(first) else {
        return false;
    };
    let mut pieces: Vec<&str> = pieces.collect();
    let Some(last) = pieces.pop() else {
        return rest.is_empty();
    };
    for piece in pieces {
        let Some(at) = rest.find(piece) else {
            return false;
        };
        rest = &rest[at + piece.len()..];
    }
    rest.ends_with(last)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_star_stands_for_anything() {
        for (pattern, text, expected) in [
            ("*", "", true),
            ("order:*", "order:7", true),
            ("order:*", "orders", false),
            ("a", "ab", false),
            ("*:news", "x:news", true),
            ("a*b*c", "a-b-b-c", true),
            ("a*b*c", "a-c-b", false),
            ("a*a", "a", false),
            ("", "", true),
            ("", "x", false),
        ] {
            assert_eq!(matches(pattern, text), expected, "{pattern} {text}");
        }
    }
}
