//! A token bucket in integers: it stores when it will be full again, so it cannot drift.

use serde::{Deserialize, Serialize};

/// So many a second, and so many at once. A rate of zero means unlimited.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Rate {
    /// Events per second.
    pub per_second: u32,
    /// Events at once.
    pub burst: u32,
}

/// Nanoseconds, so that a rate of hundreds of thousands a second is not rounded to another one.
const NANOSECONDS_PER_SECOND: u64 = 1_000_000_000;

/// A bucket; new ones are full.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct TokenBucket {
    /// When it is full again if nothing is taken, in monotonic nanoseconds (the virtual scheduling form of the algorithm).
    full_at_ns: u64,
}

impl TokenBucket {
    /// A full one.
    #[must_use]
    pub const fn new() -> Self {
        Self { full_at_ns: 0 }
    }

    /// Takes one token, if there is one.
    pub fn take(&mut self, now_us: u64, rate: Rate) -> bool {
        if rate.per_second == 0 {
            return true;
        }
        let now_ns = now_us.saturating_mul(1000);
        let interval_ns = NANOSECONDS_PER_SECOND / u64::from(rate.per_second);
        let empty_at_ns = now_ns.saturating_add(interval_ns * u64::from(rate.burst.max(1)));
        // Never emptier than empty: what a tighter rate left behind must not outlive a reload.
        let full_at_ns = self.full_at_ns.clamp(now_ns, empty_at_ns);
        let taken = interval_ns <= empty_at_ns - full_at_ns;
        self.full_at_ns = full_at_ns + if taken { interval_ns } else { 0 };
        taken
    }

    /// Whether it is full.
    #[must_use]
    pub const fn is_full(&self, now_us: u64) -> bool {
        self.full_at_ns <= now_us.saturating_mul(1000)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn burst_then_rate() {
        let (mut bucket, rate) = (
            TokenBucket::default(),
            Rate {
                per_second: 10,
                burst: 3,
            },
        );
        let taken = (0..5).filter(|_| bucket.take(1000, rate)).count();
        assert_eq!(taken, 3);
        assert!(!bucket.take(100_999, rate) && bucket.take(101_000, rate));
        let in_ten_seconds = (0..1000)
            .filter(|i| bucket.take(200_000 + i * 10_000, rate))
            .count();
        assert!((99..=103).contains(&in_ten_seconds), "{in_ten_seconds}");
    }

    #[test]
    fn a_high_rate_is_exact() {
        // Microseconds per event would round 700,000 a second up to a million.
        let rate = Rate {
            per_second: 700_000,
            burst: 10,
        };
        let mut bucket = TokenBucket::default();
        let taken = (0..1_000_000u64)
            .filter(|now_us| bucket.take(*now_us, rate))
            .count();
        assert!((699_000..=701_000).contains(&taken), "{taken}");
    }

    #[test]
    fn a_looser_rate_counts_from_the_reload_on() {
        let mut bucket = TokenBucket::default();
        let tight = Rate {
            per_second: 1,
            burst: 1000,
        };
        while bucket.take(0, tight) {}
        let loose = Rate {
            per_second: 1000,
            burst: 2000,
        };
        assert!(!bucket.take(0, loose), "an empty bucket stays empty");
        assert!(bucket.take(1000, loose));
    }

    #[test]
    fn the_end_of_time_does_not_overflow() {
        let mut bucket = TokenBucket::default();
        let slow = Rate {
            per_second: 1,
            burst: u32::MAX,
        };
        for _ in 0..3 {
            bucket.take(u64::MAX, slow);
        }
    }

    #[test]
    fn far_times_do_not_overflow() {
        // 290 years of nanoseconds, the most that a bucket tells apart.
        let mut bucket = TokenBucket::default();
        let rate = Rate {
            per_second: 1,
            burst: u32::MAX,
        };
        assert!(bucket.take(u64::MAX / 2000, rate));
    }
}
