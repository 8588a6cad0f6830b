//! So many bytes a second, by a bucket of tokens. The time is an argument.

use crate::life::Life;
use crate::{Next, Progress, Stage, StreamError};

const SECOND_US: u128 = 1_000_000;

/// Tokens for bytes: it fills at a rate up to a burst, and is full at first.
#[derive(Clone, Debug)]
pub struct Bucket {
    bytes_per_second: u64,
    burst_bytes: u64,
    /// Tokens in millionths of a byte, so that no fraction is lost however often it is asked.
    tokens: u128,
    now_us: u64,
}

impl Bucket {
    /// Both are at least 1.
    #[must_use]
    pub fn new(bytes_per_second: u64, burst_bytes: u64) -> Self {
        let (bytes_per_second, burst_bytes) = (bytes_per_second.max(1), burst_bytes.max(1));
        Self {
            bytes_per_second,
            burst_bytes,
            tokens: u128::from(burst_bytes) * SECOND_US,
            now_us: 0,
        }
    }

    /// Fills up to this time. A time before the last one is that one.
    pub fn tick(&mut self, now_us: u64) {
        let passed_us = now_us.saturating_sub(self.now_us);
        self.now_us += passed_us;
        let full = u128::from(self.burst_bytes) * SECOND_US;
        let came = u128::from(passed_us) * u128::from(self.bytes_per_second);
        self.tokens = self.tokens.saturating_add(came).min(full);
    }

    /// How many bytes may go now.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        (self.tokens / SECOND_US) as u64
    }

    /// Takes tokens; how many of the wanted there were.
    pub fn take(&mut self, wanted: u64) -> u64 {
        let bytes = wanted.min(self.bytes());
        self.tokens -= u128::from(bytes) * SECOND_US;
        bytes
    }

    /// When there will be so many tokens, or as many as it holds.
    #[must_use]
    pub fn ready_at_us(&self, wanted: u64) -> u64 {
        let wanted = u128::from(wanted.min(self.burst_bytes)) * SECOND_US;
        let missing = wanted.saturating_sub(self.tokens);
        let wait_us = missing.div_ceil(u128::from(self.bytes_per_second));
        self.now_us
            .saturating_add(wait_us.min(u64::MAX.into()) as u64)
    }
}

/// Lets bytes through as a [`Bucket`] has tokens for them. It holds none of them.
#[derive(Debug)]
pub struct Throttle {
    bucket: Bucket,
    life: Life,
}

/// It waits for a portion, not for a byte: each wait is somebody's timer.
const PORTION_BYTES: u64 = 4096;

impl Throttle {
    /// Through this bucket.
    #[must_use]
    pub const fn new(bucket: Bucket) -> Self {
        Self {
            bucket,
            life: Life::Open,
        }
    }
}

impl Stage for Throttle {
    fn push(&mut self, input: &[u8], out: &mut [u8]) -> Result<Progress, StreamError> {
        let bucket = &mut self.bucket;
        self.life.push(out.len(), || {
            let wanted = input.len().min(out.len());
            let bytes = bucket.take(wanted as u64) as usize;
            out[..bytes].copy_from_slice(&input[..bytes]);
            let next = if bytes < wanted {
                let portion = PORTION_BYTES.min((wanted - bytes) as u64);
                Next::Time(bucket.ready_at_us(portion))
            } else if bytes == out.len() {
                Next::Room
            } else {
                Next::Input
            };
            Ok(Progress::new(bytes, bytes, next))
        })
    }

    fn finish(&mut self, out: &mut [u8]) -> Result<Progress, StreamError> {
        let end = || Ok(Progress::new(0, 0, Next::End));
        self.life.finish(out.len(), end)
    }

    fn tick(&mut self, now_us: u64) {
        self.bucket.tick(now_us);
    }

    fn memory_bytes_max(&self) -> usize {
        0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_rate_is_exact_however_often_it_is_asked() {
        for step_us in [1, 7, 1000, 333_333] {
            let mut bucket = Bucket::new(10_001, 500);
            let (mut now_us, mut taken) = (0, 0);
            while now_us < 10_000_000 {
                bucket.tick(now_us);
                taken += bucket.take(u64::MAX);
                now_us += step_us;
            }
            // The burst, and ten seconds' worth, unless the bucket overflows between two looks.
            let most = 500 + 100_010;
            assert!(taken <= most, "{taken} by {step_us}");
            if step_us <= 1000 {
                assert!(taken >= most - 20, "{taken} by {step_us}");
            }
        }
    }

    #[test]
    fn it_says_when_to_come_back() {
        let mut throttle = Throttle::new(Bucket::new(1000, 100));
        let mut out = [0; 400];
        let progress = throttle.push(&[1; 300], &mut out).unwrap();
        assert_eq!(progress, Progress::new(100, 100, Next::Time(100_000)));
        throttle.tick(99_999);
        let early = throttle.push(&[1; 200], &mut out).unwrap();
        assert_eq!((early.written, early.next), (99, Next::Time(199_000)));
        // Time does not go back.
        throttle.tick(5);
        assert_eq!(throttle.push(&[1; 101], &mut out).unwrap().written, 0);
    }

    #[test]
    fn extremes_do_not_overflow() {
        let mut bucket = Bucket::new(u64::MAX, u64::MAX);
        bucket.tick(u64::MAX);
        assert_eq!(bucket.take(u64::MAX), u64::MAX);
        assert_eq!(Bucket::new(0, 0).ready_at_us(5), 0);
        let mut slow = Bucket::new(0, u64::MAX);
        slow.take(u64::MAX);
        assert_eq!(slow.ready_at_us(u64::MAX), u64::MAX);
    }
}
