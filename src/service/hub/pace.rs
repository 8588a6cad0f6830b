//! How fast a body comes. Whoever sends so little that it would last for ever has a file open all the time, and a request among those that a user or a shard may
//! have: it is cut off, as whoever takes so little of a file is, and its offset tells it where to go on.

/// Less than so many bytes...
const BYTES_MIN: u64 = 120_000;
/// ... in so much time are too few.
const WINDOW_US: u64 = 120_000_000;

/// What came since when.
#[derive(Debug)]
pub(super) struct Pace {
    since_us: u64,
    bytes: u64,
}

impl Pace {
    pub(super) const fn since(now_us: u64) -> Self {
        Self {
            since_us: now_us,
            bytes: 0,
        }
    }

    pub(super) const fn came(&mut self, bytes: usize) {
        self.bytes += bytes as u64;
    }

    /// Whether the client was too slow for all of the time. Where it waits for us its time begins anew.
    pub(super) fn is_too_slow(&mut self, now_us: u64, waits_for_client: bool) -> bool {
        if waits_for_client && now_us < self.since_us + WINDOW_US {
            return false;
        }
        let bytes = self.bytes;
        *self = Self::since(now_us);
        waits_for_client && bytes < BYTES_MIN
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Whether somebody is cut off who sends so many bytes a second, for so many seconds.
    fn is_cut(bytes: usize, seconds: u64, waits_for_client: impl Fn(u64) -> bool) -> bool {
        let mut pace = Pace::since(0);
        (1..=seconds).any(|second| {
            pace.came(bytes);
            pace.is_too_slow(second * 1_000_000, waits_for_client(second))
        })
    }

    #[test]
    fn who_sends_a_thousand_bytes_a_second_may_go_on() {
        assert!(!is_cut(1000, 1000, |_| true));
        assert!(!is_cut(1, 119, |_| true), "not before its time");
        assert!(is_cut(999, 120, |_| true));
        assert!(is_cut(0, 120, |_| true));
    }

    #[test]
    fn time_that_is_ours_does_not_count() {
        assert!(!is_cut(1, 1000, |second| second % 100 != 0));
        assert!(!is_cut(1, 1000, |_| false));
        assert!(is_cut(1, 1000, |second| second % 300 != 0));
    }
}
