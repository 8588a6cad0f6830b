//! A token's claims, and the identity that they make.

use crate::rooms::matches;
use crate::text::Text;
use serde::{Deserialize, Serialize};

/// Patterns of one kind, and bytes of all of them.
const PATTERNS_MAX: usize = 64;
const PATTERN_BYTES_MAX: usize = 256;
pub(super) const SUBJECT_BYTES_MAX: usize = 256;

/// Rooms that a token opens: patterns in which `*` stands for anything.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct RoomClaims {
    /// Rooms to join.
    #[serde(default)]
    pub join: Vec<String>,
    /// Rooms to publish to.
    #[serde(default)]
    pub publish: Vec<String>,
    /// Paths of files to read.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub files: Vec<String>,
    /// Names of files to upload.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub uploads: Vec<String>,
}

/// What a token says.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Claims {
    /// Whom it names.
    pub sub: String,
    /// Until when, in Unix seconds.
    pub exp: u64,
    /// From when, in Unix seconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub nbf: Option<u64>,
    /// What it permits.
    #[serde(default)]
    pub rw: RoomClaims,
}

/// A client that has shown a token. There is one for each client, so all its text is one: most clients' fits into it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Identity {
    /// In Unix seconds. Whatever expires behind the reach of 32 bits, in 2106, never does.
    expires: u32,
    /// The subject, the patterns to join, and those to publish to, each pattern with a zero byte behind it.
    text: Text,
    subject_bytes: u16,
    join_bytes: u16,
}

const _: () = assert!(
    size_of::<Option<Identity>>() <= 32,
    "nearly each session has one"
);

const _: () = assert!(PATTERNS_MAX * (PATTERN_BYTES_MAX + 1) <= u16::MAX as usize);

impl Identity {
    /// The identity of verified claims; `None` when they are larger than they may be.
    pub(super) fn new(claims: Claims, leeway_seconds: u32) -> Option<Self> {
        let bounded = |patterns: &[String]| {
            patterns.len() <= PATTERNS_MAX
                && patterns
                    .iter()
                    .all(|pattern| pattern.len() <= PATTERN_BYTES_MAX)
        };
        let subject_fits = (1..=SUBJECT_BYTES_MAX).contains(&claims.sub.len());
        if !subject_fits || !bounded(&claims.rw.join) || !bounded(&claims.rw.publish) {
            return None;
        }
        let mut text = claims.sub;
        let subject_bytes = text.len() as u16;
        push_patterns(&claims.rw.join, &mut text);
        let join_bytes = text.len() as u16 - subject_bytes;
        push_patterns(&claims.rw.publish, &mut text);
        Some(Self {
            expires: u32::try_from(claims.exp.saturating_add(leeway_seconds.into()))
                .unwrap_or(u32::MAX),
            text: Text::from(&*text),
            subject_bytes,
            join_bytes,
        })
    }

    /// Whom the token names.
    #[must_use]
    pub fn subject(&self) -> &str {
        self.parts().0
    }

    /// Until when it is valid; `None` for ever.
    #[must_use]
    pub const fn expires_unix_ms(&self) -> Option<u64> {
        match self.expires {
            u32::MAX => None,
            seconds => Some(seconds as u64 * 1000),
        }
    }

    pub(crate) fn may_join(&self, room: &str) -> bool {
        any_matches(self.parts().1, room)
    }

    pub(crate) fn may_publish(&self, room: &str) -> bool {
        any_matches(self.parts().2, room)
    }

    /// Subject, patterns to join, patterns to publish to.
    fn parts(&self) -> (&str, &str, &str) {
        let (subject, patterns) = self.text.split_at(self.subject_bytes as usize);
        let (join, publish) = patterns.split_at(self.join_bytes as usize);
        (subject, join, publish)
    }
}

/// A pattern with a zero byte of its own matches no room, for rooms have no control characters: it is left out.
fn push_patterns(patterns: &[String], text: &mut String) {
    for pattern in patterns.iter().filter(|pattern| !pattern.contains('\0')) {
        text.push_str(pattern);
        text.push('\0');
    }
}

fn any_matches(patterns: &str, room: &str) -> bool {
    let mut patterns = patterns.split_terminator('\0');
    patterns.any(|pattern| matches(pattern, room))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn identity(join: &[&str], publish: &[&str]) -> Identity {
        let patterns = |patterns: &[&str]| patterns.iter().map(|it| (*it).to_owned()).collect();
        let rw = RoomClaims {
            join: patterns(join),
            publish: patterns(publish),
            ..RoomClaims::default()
        };
        let claims = Claims {
            sub: "a\0b".to_owned(),
            exp: 1,
            nbf: None,
            rw,
        };
        Identity::new(claims, 0).unwrap()
    }

    #[test]
    fn patterns_stay_apart() {
        let identity = identity(&["a:*", "b"], &["c", "evil\0*"]);
        assert_eq!(identity.subject(), "a\0b");
        let rooms = ["a:1", "b", "c", "d", "", "b\0c", "evil"];
        let joins = rooms.map(|room| identity.may_join(room));
        assert_eq!(joins, [true, true, false, false, false, false, false]);
        let publishes = rooms.map(|room| identity.may_publish(room));
        assert_eq!(publishes, [false, false, true, false, false, false, false]);
    }

    #[test]
    fn nothing_is_permitted_by_no_patterns() {
        let identity = identity(&[], &[]);
        assert!(!identity.may_join("") && !identity.may_publish(""));
    }

    #[test]
    fn an_empty_pattern_is_no_other() {
        assert!(!identity(&[""], &[]).may_join("a"));
    }
}
