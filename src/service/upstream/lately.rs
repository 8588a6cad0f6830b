//! What an operator was told lately: the same is not worth a second line for a while, and there are only so many lines.
//!
//! Deliberately absent: what is told (`mend`).

use std::collections::BTreeMap;

/// For how long something is not told again.
const AGAIN_US: u64 = 60_000_000;
/// What may be told within that time.
const TOLD_MAX: usize = 16;

/// What was told, and when.
#[derive(Debug, Default)]
pub(super) struct Lately {
    told_us: BTreeMap<String, u64>,
}

impl Lately {
    /// Whether it is to be told now. `false`: it was, or there was too much.
    pub(super) fn is_new(&mut self, now_us: u64, what: &str) -> bool {
        self.told_us.retain(|_, at_us| now_us < *at_us + AGAIN_US);
        if self.told_us.len() >= TOLD_MAX || self.told_us.contains_key(what) {
            return false;
        }
        self.told_us.insert(what.to_owned(), now_us);
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_is_told_once_in_a_minute() {
        let mut lately = Lately::default();
        assert!(lately.is_new(5, "a") && lately.is_new(6, "b"));
        assert!(!lately.is_new(AGAIN_US + 4, "a"));
        assert!(lately.is_new(AGAIN_US + 5, "a"));
        assert!(!lately.is_new(AGAIN_US + 5, "b"));
    }

    #[test]
    fn there_are_only_so_many_lines() {
        let mut lately = Lately::default();
        let told = (0..1_000).filter(|number| lately.is_new(0, &number.to_string()));
        assert_eq!(told.count(), TOLD_MAX);
        assert!(lately.is_new(AGAIN_US, "another"));
    }
}
