//! Back pressure on links: while clients that read have more before them than they can take in a moment, workers wait.
//!
//! A storm of broadcasts would otherwise fill the queues of clients that do nothing wrong, and close them. A client that does not read must not stop the
//! application: there is an end to this patience, for each client on its shard and for all of them here.

use super::LINKS;
use std::collections::BTreeSet;

/// How long workers wait at a time.
const PATIENCE_US: u64 = 2_000_000;
/// How long they do not wait after that.
const REST_US: u64 = 2_000_000;

/// Bytes of mail that may be on the way to a shard: what it finds at once must not overfill a queue.
const ON_WAY_BYTES_MAX: u64 = 2 << 20;

/// Shards whose clients are pressed, and how far shards have followed.
#[derive(Debug)]
pub(super) struct Pressure {
    shards: BTreeSet<u16>,
    /// Since when there was some, without a break.
    since_us: u64,
    /// Until when nobody is waited for.
    rests_until_us: u64,
    /// By shard.
    on_way_bytes: Vec<u64>,
}

impl Pressure {
    pub(super) fn new(shards: u16) -> Self {
        Self {
            shards: BTreeSet::new(),
            since_us: 0,
            rests_until_us: 0,
            on_way_bytes: vec![0; usize::from(shards)],
        }
    }

    /// Mail goes to a shard. The shard of the links deals with its own at once.
    pub(super) fn sends(&mut self, to: u16, bytes: usize) {
        if to != LINKS {
            self.on_way_bytes[usize::from(to)] += bytes as u64;
        }
    }

    /// # Panics
    /// When a shard says that it was sent more than it was.
    pub(super) fn carried(&mut self, shard: u16, bytes: u64) {
        let on_way = &mut self.on_way_bytes[usize::from(shard)];
        let left = on_way.checked_sub(bytes);
        *on_way = left.expect("what is dealt with was sent");
    }

    pub(super) fn set(&mut self, now_us: u64, shard: u16, is_pressed: bool) {
        if self.shards.is_empty() {
            self.since_us = now_us;
        }
        match is_pressed {
            true => self.shards.insert(shard),
            false => self.shards.remove(&shard),
        };
    }

    /// Whether workers are to wait.
    pub(super) fn holds(&mut self, now_us: u64) -> bool {
        if self
            .on_way_bytes
            .iter()
            .any(|bytes| *bytes > ON_WAY_BYTES_MAX)
        {
            return true;
        }
        if self.shards.is_empty() || now_us < self.rests_until_us {
            return false;
        }
        let since_us = self.since_us.max(self.rests_until_us);
        if now_us < since_us + PATIENCE_US {
            return true;
        }
        self.rests_until_us = now_us + REST_US;
        false
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn workers_wait_for_pressed_clients_and_not_for_ever() {
        let mut pressure = Pressure::new(3);
        assert!(!pressure.holds(0));
        pressure.set(0, 1, true);
        pressure.set(1_000_000, 2, true);
        assert!(pressure.holds(1_900_000));
        assert!(!pressure.holds(2_000_000), "it is at its end");
        assert!(!pressure.holds(3_900_000));
        assert!(pressure.holds(4_000_000), "it has rested");
        assert!(!pressure.holds(6_000_000));
    }

    #[test]
    fn each_relief_is_a_new_start() {
        let mut pressure = Pressure::new(3);
        for step in 0..100 {
            let now_us = step * 1_500_000;
            pressure.set(now_us, 1, true);
            assert!(pressure.holds(now_us + 1_400_000), "{step}");
            pressure.set(now_us + 1_450_000, 1, false);
            assert!(!pressure.holds(now_us + 1_450_000));
        }
    }

    #[test]
    fn workers_wait_for_shards_that_do_not_follow() {
        let mut pressure = Pressure::new(2);
        pressure.sends(0, 100 << 20);
        assert!(!pressure.holds(0), "that is here");
        pressure.sends(1, 2 << 20);
        assert!(!pressure.holds(0));
        pressure.sends(1, 1);
        assert!(pressure.holds(u64::MAX), "however long it takes");
        pressure.carried(1, 1);
        assert!(!pressure.holds(0));
    }
}
