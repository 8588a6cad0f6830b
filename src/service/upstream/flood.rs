//! For how long a worker has flooded: it was one of those that say most and wait, most of the time, and each time it had more to say.
//!
//! A broadcast that is large, or a job that says much once, ends: behind its last pause nothing comes. And while some clients are slow, whoever says most is in
//! nobody's way: then all are read on after a while (`pressure`), which is no flood. Deliberately absent: who that is and when (`holding`), and what becomes of it
//! (`mend`).

/// What it must have said behind a pause for that to have been one of a flood.
const MORE_BYTES: u64 = 64 << 10;
/// A pause that was longer says no more than one of this length: shards may not have followed for a reason of their own.
const PAUSE_US_MAX: u64 = 2_000_000;

/// What is known of one worker.
#[derive(Debug, Default)]
pub(super) struct Flood {
    /// Waited, with more behind it; less the time in which it did not wait.
    flooded_us: u64,
    /// Waited, and it is not known yet whether there is more.
    unproven_us: u64,
    /// Said since that began.
    said_bytes: u64,
    /// Waited since it was looked at last.
    held_us: u64,
}

impl Flood {
    /// It has said something.
    pub(super) const fn said(&mut self, bytes: u64) {
        self.said_bytes += bytes;
    }

    /// It has waited for so long.
    pub(super) const fn hold(&mut self, us: u64) {
        self.held_us += us;
    }

    /// Nobody knows what the time was that went by.
    pub(super) const fn forgive(&mut self) {
        self.held_us = 0;
    }

    /// So much time has gone by.
    pub(super) fn pass(&mut self, us: u64) {
        if self.said_bytes >= MORE_BYTES {
            self.flooded_us += core::mem::take(&mut self.unproven_us);
            self.said_bytes = 0;
        }
        let held_us = core::mem::take(&mut self.held_us).min(us);
        self.flooded_us = self.flooded_us.saturating_sub(us - held_us);
        self.unproven_us = (self.unproven_us + held_us).min(PAUSE_US_MAX);
        if held_us == 0 {
            (self.unproven_us, self.said_bytes) = (0, 0);
        }
    }

    /// For how long.
    pub(super) const fn for_us(&self) -> u64 {
        self.flooded_us
    }

    /// Whether it does not even wait.
    pub(super) const fn is_calm(&self) -> bool {
        self.flooded_us == 0 && self.unproven_us == 0 && self.held_us == 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TICK_US: u64 = 100_000;
    const ALL: u64 = TICK_US;

    /// Of each tick: for how long it waited, and what it said.
    fn after(ticks: impl IntoIterator<Item = (u64, u64)>) -> u64 {
        let mut flood = Flood::default();
        for (held_us, bytes) in ticks {
            flood.said(bytes);
            flood.hold(held_us);
            flood.pass(TICK_US);
        }
        flood.for_us() / TICK_US
    }

    #[test]
    fn a_flood_is_said_on_and_on_and_waits_most_of_the_time() {
        let storm = (ALL, 1 << 20);
        assert_eq!(
            after([storm; 100]),
            99,
            "what comes behind the last is not known"
        );
        assert_eq!(after([(ALL, 0); 100]), 0, "it has no more to say");
        assert_eq!(after([(0, 1 << 20); 100]), 0, "nobody minds");
        let last = [(ALL, 0); 100];
        assert_eq!(after([[storm; 100], last].concat()), 99, "that was all");
        assert_eq!(after([(ALL * 9 / 10, 1 << 20); 100]), 79);
        assert_eq!(after([(ALL / 2, 1 << 20); 900]), 0, "half of the time");
        assert_eq!(after([(ALL / 100, 1 << 20); 900]), 0, "for a moment each");
        let by_turns = |at: u64| if at % 20 < 10 { storm } else { (0, 1 << 20) };
        assert!(after((0..900).map(by_turns)) <= 10);
    }

    #[test]
    fn a_pause_proves_no_more_than_its_own_length_and_a_long_one_little() {
        let mut flood = Flood::default();
        flood.hold(60_000_000);
        flood.pass(TICK_US);
        flood.said(MORE_BYTES);
        flood.pass(TICK_US);
        assert_eq!(flood.for_us(), 0, "a tick held, and a tick not");
        (0..600).for_each(|_| {
            flood.hold(TICK_US);
            flood.pass(TICK_US);
        });
        flood.said(MORE_BYTES);
        flood.hold(TICK_US);
        flood.pass(TICK_US);
        assert_eq!(flood.for_us(), PAUSE_US_MAX);
    }

    #[test]
    fn what_waits_is_not_calm() {
        let mut flood = Flood::default();
        assert!(flood.is_calm());
        flood.hold(1);
        assert!(!flood.is_calm());
        flood.pass(TICK_US);
        assert!(!flood.is_calm());
        flood.pass(TICK_US);
        assert!(flood.is_calm());
        flood.hold(TICK_US);
        flood.forgive();
        assert!(flood.is_calm());
    }
}
