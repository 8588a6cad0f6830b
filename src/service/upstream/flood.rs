//! For how long a worker has flooded: it was the heaviest of those that wait, nearly all the time, and each time it had more to say.
//!
//! A broadcast that is large, or a job that says much once, ends: behind its last pause nothing comes. And while some clients are slow, whoever says most is in
//! nobody's way: then all are read on after a while (`pressure`), which is no flood. Deliberately absent: what becomes of it (`mend`).

/// What it must have said behind a pause for that to have been one of a flood.
const MORE_BYTES: u64 = 64 << 10;
/// A moment in which it did not wait makes up for so many in which it did: a flood is nine tenths of the time.
const QUIET_WEIGHT: u64 = 9;

/// What is known of one worker.
#[derive(Debug, Default)]
pub(super) struct Flood {
    /// Waited, with more behind it.
    flooded_us: u64,
    /// Waited, and it is not known yet whether there is more.
    unproven_us: u64,
    /// Said since that began.
    said_bytes: u64,
    /// It was the heaviest of those that wait since it was looked at last.
    was_held: bool,
}

impl Flood {
    /// It has said something.
    pub(super) const fn said(&mut self, bytes: u64) {
        self.said_bytes += bytes;
    }

    /// It waits, as the heaviest.
    pub(super) const fn hold(&mut self) {
        self.was_held = true;
    }

    /// So much time has gone by. `is_held`: it waits still.
    pub(super) fn pass(&mut self, us: u64, is_held: bool) {
        if self.said_bytes >= MORE_BYTES {
            self.flooded_us += core::mem::take(&mut self.unproven_us);
            self.said_bytes = 0;
        }
        if core::mem::replace(&mut self.was_held, false) || is_held {
            self.unproven_us += us;
        } else {
            self.calm(us);
        }
    }

    fn calm(&mut self, us: u64) {
        let made_up_us = us.saturating_mul(QUIET_WEIGHT);
        self.flooded_us = self.flooded_us.saturating_sub(made_up_us);
        self.unproven_us = 0;
        self.said_bytes = 0;
    }

    /// For how long.
    pub(super) const fn for_us(&self) -> u64 {
        self.flooded_us
    }

    /// Whether it does not even wait.
    pub(super) const fn is_calm(&self) -> bool {
        self.flooded_us == 0 && self.unproven_us == 0 && !self.was_held
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TICK_US: u64 = 100_000;

    /// Of each tick: whether it waited, and what it said.
    fn after(ticks: impl IntoIterator<Item = (bool, u64)>) -> u64 {
        let mut flood = Flood::default();
        for (is_held, bytes) in ticks {
            flood.said(bytes);
            flood.pass(TICK_US, is_held);
        }
        flood.for_us() / TICK_US
    }

    #[test]
    fn a_flood_is_said_on_and_on_and_waits_nearly_all_the_time() {
        let storm = (true, 1 << 20);
        assert_eq!(
            after([storm; 100]),
            99,
            "what comes behind the last is not known"
        );
        assert_eq!(after([(true, 0); 100]), 0, "it has no more to say");
        assert_eq!(after([(true, 1 << 10); 128]), 127, "clients are slow");
        assert_eq!(after([(false, 1 << 20); 100]), 0, "nobody minds");
        let last = [(true, 0); 100];
        assert_eq!(after([[storm; 100], last].concat()), 99, "that was all");
        let quiet = |every: u64| (0..1_000).map(move |at| (at % every != 0, 1 << 20));
        assert!(after(quiet(5)) < 5);
        assert!(after(quiet(10)) < 10);
        assert!(after(quiet(20)) > 300);
    }

    #[test]
    fn what_waited_between_two_looks_has_waited() {
        let mut flood = Flood::default();
        assert!(flood.is_calm());
        flood.hold();
        assert!(!flood.is_calm());
        flood.pass(TICK_US, false);
        flood.said(MORE_BYTES);
        flood.hold();
        flood.pass(TICK_US, false);
        assert_eq!(flood.for_us(), TICK_US);
        flood.pass(TICK_US, false);
        assert!(flood.is_calm());
    }
}
