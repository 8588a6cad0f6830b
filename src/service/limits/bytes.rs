//! Bandwidth: how many bytes may go now, or when the next may.
//!
//! Deliberately absent: timers. Whoever is told a time comes back then.

use serde::{Deserialize, Serialize};

/// So many bytes a second, and so many at once. A rate of zero means unlimited.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ByteRate {
    /// Bytes per second.
    pub per_second: u64,
    /// Bytes at once.
    pub burst: u64,
}

/// A bucket of bytes; new ones are full. As the bucket of events it stores when it will be full again.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ByteBucket {
    full_at_ns: u64,
}

/// What may be sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Allowance {
    /// So many bytes, now.
    Now(u64),
    /// Nothing before this time, in monotonic microseconds.
    At(u64),
}

const NANOSECONDS_PER_SECOND: u128 = 1_000_000_000;

impl ByteRate {
    /// How long so many bytes take, rounded up.
    fn time_ns(self, bytes: u64) -> u64 {
        let time = (u128::from(bytes) * NANOSECONDS_PER_SECOND).div_ceil(self.per_second.into());
        u64::try_from(time).unwrap_or(u64::MAX)
    }

    fn bytes_in(self, time_ns: u64) -> u64 {
        let bytes = u128::from(time_ns) * u128::from(self.per_second) / NANOSECONDS_PER_SECOND;
        u64::try_from(bytes).unwrap_or(u64::MAX)
    }
}

impl ByteBucket {
    /// A full one.
    #[must_use]
    pub const fn new() -> Self {
        Self { full_at_ns: 0 }
    }

    /// Bytes in it.
    fn level(&self, now_ns: u64, rate: ByteRate) -> u64 {
        let burst = rate.burst.max(1);
        let missing_ns = self.full_at_ns.saturating_sub(now_ns);
        // Never emptier than empty: what a tighter rate left behind must not outlive a reload.
        let missing_ns = missing_ns.min(rate.time_ns(burst));
        rate.bytes_in(rate.time_ns(burst) - missing_ns).min(burst)
    }

    /// Whether it has less of `wanted` bytes than is worth a send.
    pub(super) fn is_short(&self, now_us: u64, rate: ByteRate, wanted: u64, least: u64) -> bool {
        let needed = least.min(wanted).min(rate.burst.max(1));
        rate.per_second > 0 && self.level(now_us.saturating_mul(1000), rate) < needed
    }

    fn take(&mut self, now_ns: u64, rate: ByteRate, bytes: u64) {
        let empty_at_ns = now_ns.saturating_add(rate.time_ns(rate.burst.max(1)));
        let full_at_ns = self.full_at_ns.clamp(now_ns, empty_at_ns);
        let full_at_ns = full_at_ns.saturating_add(rate.time_ns(bytes));
        self.full_at_ns = full_at_ns.min(empty_at_ns);
    }

    /// When it has so many bytes, in monotonic microseconds.
    fn has_at_us(&self, now_ns: u64, rate: ByteRate, bytes: u64) -> u64 {
        let missing = bytes.saturating_sub(self.level(now_ns, rate));
        now_ns.saturating_add(rate.time_ns(missing)).div_ceil(1000)
    }

    /// Whether it is full.
    #[must_use]
    pub const fn is_full(&self, now_us: u64) -> bool {
        self.full_at_ns <= now_us.saturating_mul(1000)
    }
}

/// What of `wanted` bytes may go now by all buckets (of the connection, of the user), and takes it out of each.
///
/// Less than `least` is not worth a send, unless that is all that is wanted: then it is better to wait until there is as much. A bucket that never holds
/// `least` gives what it holds when full.
pub fn allow(
    now_us: u64,
    wanted: u64,
    least: u64,
    buckets: &mut [(&mut ByteBucket, ByteRate)],
) -> Allowance {
    let now_ns = now_us.saturating_mul(1000);
    let (mut given, mut at_us) = (wanted, now_us);
    for (bucket, rate) in buckets.iter().filter(|(_, rate)| rate.per_second > 0) {
        let needed = least.min(wanted).min(rate.burst.max(1));
        let level = bucket.level(now_ns, *rate);
        given = given.min(level);
        if level < needed {
            at_us = at_us.max(bucket.has_at_us(now_ns, *rate, needed));
        }
    }
    if at_us > now_us {
        return Allowance::At(at_us);
    }
    for (bucket, rate) in buckets.iter_mut().filter(|(_, rate)| rate.per_second > 0) {
        bucket.take(now_ns, *rate, given);
    }
    Allowance::Now(given)
}

#[cfg(test)]
mod tests {
    use super::*;

    const RATE: ByteRate = ByteRate {
        per_second: 1_000_000,
        burst: 64_000,
    };

    /// Bytes that go in so many seconds when somebody wants as much as possible.
    fn sent(rates: [ByteRate; 2], seconds: u64) -> u64 {
        let (mut one, mut other) = (ByteBucket::new(), ByteBucket::new());
        let (mut now_us, mut sum) = (5, 0);
        while now_us < seconds * 1_000_000 {
            let mut buckets = [(&mut one, rates[0]), (&mut other, rates[1])];
            match allow(now_us, 1 << 20, 16_384, &mut buckets) {
                Allowance::Now(bytes) => {
                    assert!(bytes > 0);
                    sum += bytes;
                }
                Allowance::At(us) => {
                    assert!(us > now_us, "it would spin");
                    now_us = us;
                }
            }
        }
        sum
    }

    #[test]
    fn the_rate_is_kept_and_the_tighter_one_counts() {
        let loose = ByteRate {
            per_second: 3_000_000,
            burst: 1 << 20,
        };
        for rates in [[RATE, loose], [loose, RATE], [RATE, ByteRate::default()]] {
            let bytes = sent(rates, 10);
            assert!((9_990_000..=10_080_000).contains(&bytes), "{bytes}");
        }
    }

    #[test]
    fn without_a_rate_everything_goes() {
        let mut bucket = ByteBucket::new();
        let mut buckets = [(&mut bucket, ByteRate::default())];
        assert_eq!(
            allow(1, u64::MAX, 1, &mut buckets),
            Allowance::Now(u64::MAX)
        );
    }

    #[test]
    fn small_rests_go_as_they_are_and_small_gifts_wait() {
        let mut bucket = ByteBucket::new();
        let mut next = |now, wanted| allow(now, wanted, 16_000, &mut [(&mut bucket, RATE)]);
        assert_eq!(next(0, 60_000), Allowance::Now(60_000));
        assert_eq!(next(0, 60_000), Allowance::At(12_000));
        assert_eq!(next(0, 4000), Allowance::Now(4000));
        assert_eq!(next(0, 1), Allowance::At(1));
    }

    #[test]
    fn a_bucket_smaller_than_a_send_still_gives() {
        let rate = ByteRate {
            per_second: 1000,
            burst: 10,
        };
        let mut bucket = ByteBucket::new();
        let mut next = |now| allow(now, 1 << 20, 16_384, &mut [(&mut bucket, rate)]);
        assert_eq!(next(0), Allowance::Now(10));
        assert_eq!(next(0), Allowance::At(10_000));
        assert_eq!(next(10_000), Allowance::Now(10));
    }

    #[test]
    fn the_ends_of_numbers_do_not_overflow() {
        let rate = ByteRate {
            per_second: 1,
            burst: u64::MAX,
        };
        let mut bucket = ByteBucket::new();
        for now in [0, u64::MAX / 1000, u64::MAX] {
            allow(now, u64::MAX, 1, &mut [(&mut bucket, rate)]);
        }
    }
}
