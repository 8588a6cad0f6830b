//! Times as they are kept for each session.

use serde::{Deserialize, Serialize};

/// Microseconds that are one: no timer is more exact.
const UNIT_BITS: u32 = 10;
const MAX: u64 = (1 << 40) - 1;

/// A number in five bytes. What is larger is the largest.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
struct Small([u8; 5]);

impl Small {
    const fn new(number: u64) -> Self {
        let number = if number < MAX { number } else { MAX };
        let [_, _, _, a, b, c, d, e] = number.to_be_bytes();
        Self([a, b, c, d, e])
    }

    const fn get(self) -> u64 {
        let [a, b, c, d, e] = self.0;
        u64::from_be_bytes([0, 0, 0, a, b, c, d, e])
    }
}

/// A time or none, rounded down to 1,024 microseconds. The last one is 35 years after the start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Moment(Small);

impl Moment {
    pub(crate) const NONE: Self = Self(Small::new(0));

    /// 0 for none; whatever else comes in the first unit is at its end.
    pub(crate) const fn at(time_us: u64) -> Self {
        let units = time_us >> UNIT_BITS;
        let is_first = time_us > 0 && units == 0;
        Self(Small::new(if is_first { 1 } else { units }))
    }

    /// 0 for none.
    pub(crate) const fn us(self) -> u64 {
        self.0.get() << UNIT_BITS
    }
}

/// Who pings whom: the server does, and the pong must come in time. Times are rounded down as those of [`Moment`] and end after half as long.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub(crate) struct Heartbeat(
    /// Twice the time, and one more while a ping waits for its pong.
    Small,
);

impl Heartbeat {
    /// The next ping goes out then.
    pub(crate) const fn ping_at(due_us: u64) -> Self {
        Self(Small::new(due_us >> UNIT_BITS << 1))
    }

    /// A ping went out, and its pong must have come by then.
    pub(crate) const fn pong_by(due_us: u64) -> Self {
        Self(Small::new(due_us >> UNIT_BITS << 1 | 1))
    }

    /// When the next ping goes out, or, once it did, when the pong must have come.
    pub(crate) const fn due_us(self) -> u64 {
        self.0.get() >> 1 << UNIT_BITS
    }

    /// Whether a ping waits for its pong.
    pub(crate) const fn is_pinged(self) -> bool {
        self.0.get() & 1 == 1
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEN_YEARS_US: u64 = 10 * 366 * 86_400 * 1_000_000;

    #[test]
    fn times_are_early_by_less_than_a_unit() {
        for time_us in [
            1024,
            1025,
            2047,
            25_000_000,
            TEN_YEARS_US,
            TEN_YEARS_US + 1023,
        ] {
            let (moment, ping) = (Moment::at(time_us), Heartbeat::ping_at(time_us));
            assert!(time_us - moment.us() < 1 << UNIT_BITS, "{time_us}");
            assert_eq!((moment.us(), ping.is_pinged()), (ping.due_us(), false));
            let pong = Heartbeat::pong_by(time_us);
            assert_eq!((moment.us(), pong.is_pinged()), (pong.due_us(), true));
        }
    }

    #[test]
    fn no_time_is_none_and_no_other_is() {
        assert_eq!(Moment::at(0), Moment::NONE);
        assert!(Moment::at(1).us() > 0);
        assert!(Moment::at(u64::MAX).us() > TEN_YEARS_US);
        assert!(Heartbeat::ping_at(u64::MAX).due_us() > TEN_YEARS_US);
    }
}
