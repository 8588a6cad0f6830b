//! Who waits for a user's download rate, in the order in which they asked: each gets a send's worth in its turn, however many connections the user has.
//!
//! Deliberately absent: the rate (`limits/`), and time. Whoever leaves says who is next, and the caller wakes that one.

use super::{Key, Seed};
use std::collections::{HashMap, VecDeque};

/// The lines of a shard's users. Each body is in one of them at most, so that they are as long as there are bodies.
pub(super) struct Lines(HashMap<Box<str>, VecDeque<Key>, Seed>);

impl Lines {
    pub(super) fn new(seed: Seed) -> Self {
        Self(HashMap::with_hasher(seed))
    }

    /// Whose turn it is.
    pub(super) fn first(&self, user: &str) -> Option<Key> {
        self.0.get(user)?.front().copied()
    }

    /// Behind all others.
    pub(super) fn join(&mut self, user: &str, key: Key) {
        match self.0.get_mut(user) {
            Some(line) => line.push_back(key),
            None => {
                self.0.insert(user.into(), VecDeque::from([key]));
            }
        }
    }

    /// It waits no longer. Who is first now, if there is anybody.
    pub(super) fn leave(&mut self, user: &str, key: Key) -> Option<Key> {
        let line = self.0.get_mut(user)?;
        line.retain(|other| *other != key);
        if line.is_empty() {
            self.0.remove(user);
        }
        self.first(user)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_has_its_turn_and_nothing_is_left() {
        let [a, b, c] = [1, 2, 3].map(Key::from_bits);
        let mut lines = Lines::new(Seed::fixed());
        for key in [a, b, c] {
            lines.join("anna", key);
        }
        lines.join("bert", c);
        assert_eq!(lines.first("anna"), Some(a));
        // The first got something and asks for more; the second is gone before its turn.
        assert_eq!(lines.leave("anna", a), Some(b));
        lines.join("anna", a);
        assert_eq!(lines.leave("anna", b), Some(c));
        assert_eq!(lines.leave("anna", c), Some(a));
        assert_eq!(lines.leave("anna", a), None);
        assert_eq!(lines.leave("anna", a), None);
        assert_eq!(lines.first("bert"), Some(c));
        assert_eq!(lines.leave("bert", c), None);
        assert!(lines.0.is_empty());
    }
}
