//! Back pressure on links: while clients that read have more before them than they can take in a moment, workers wait.
//!
//! A storm of broadcasts would otherwise fill the queues of clients that do nothing wrong, and close them. Whoever says most waits first (`shares`), and all do
//! when that is not enough. A client that does not read must not stop the application: there is an end to this patience, for each client on its shard and for
//! all of them here.

use super::LINKS;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// How long workers wait at a time.
const PATIENCE_US: u64 = 2_000_000;
/// How long they do not wait after that.
const REST_US: u64 = 2_000_000;

/// Bytes of mail that may be on the way to a shard: what it finds at once must not overfill a queue.
const ON_WAY_BYTES_MAX: u64 = 1 << 20;
/// From then on the heaviest say no more, so that it does not come to that.
const ON_WAY_BYTES_MUCH: u64 = ON_WAY_BYTES_MAX / 2;

/// Which links are not read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub(crate) enum Hold {
    /// All are.
    #[default]
    Nobody,
    /// Those of workers that say most.
    Heaviest,
    /// None is.
    All,
}

/// Shards whose clients are pressed, and how far shards have followed.
#[derive(Debug)]
pub(super) struct Pressure {
    /// Who is to wait for their sake, and whether these are many of their clients.
    shards: BTreeMap<u16, (Hold, bool)>,
    /// Since when there was some, without a break.
    since_us: u64,
    /// Until when nobody is waited for.
    rests_until_us: u64,
    /// By shard.
    on_way_bytes: Vec<u64>,
    /// To all of them, ever.
    pub(super) sent_bytes: u64,
}

impl Pressure {
    pub(super) fn new(shards: u16) -> Self {
        Self {
            shards: BTreeMap::new(),
            since_us: 0,
            rests_until_us: 0,
            on_way_bytes: vec![0; usize::from(shards)],
            sent_bytes: 0,
        }
    }

    /// Mail goes to a shard. The shard of the links deals with its own at once.
    pub(super) fn sends(&mut self, to: u16, bytes: usize) {
        self.sent_bytes += bytes as u64;
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

    pub(super) fn set(&mut self, now_us: u64, shard: u16, hold: Hold, is_many: bool) {
        if self.shards.is_empty() {
            self.since_us = now_us;
        }
        match hold {
            Hold::Nobody => self.shards.remove(&shard),
            hold => self.shards.insert(shard, (hold, is_many)),
        };
    }

    /// Whether clients have too much before them; otherwise it is shards that do not follow.
    pub(super) fn is_of_clients(&self) -> bool {
        !self.shards.is_empty()
    }

    /// Whether that says something of who speaks: many clients cannot take it, or their shards cannot.
    pub(super) fn is_of_many(&self) -> bool {
        self.shards.is_empty() || self.shards.values().any(|(_, is_many)| *is_many)
    }

    /// Which workers are to wait.
    pub(super) fn holds(&mut self, now_us: u64) -> Hold {
        self.for_shards().max(self.for_clients(now_us))
    }

    /// For shards that do not follow, however long it takes.
    fn for_shards(&self) -> Hold {
        match self.on_way_bytes.iter().max() {
            Some(bytes) if *bytes > ON_WAY_BYTES_MAX => Hold::All,
            Some(bytes) if *bytes > ON_WAY_BYTES_MUCH => Hold::Heaviest,
            _ => Hold::Nobody,
        }
    }

    fn for_clients(&mut self, now_us: u64) -> Hold {
        let holds = self.shards.values().map(|(hold, _)| *hold);
        let hold = holds.max().unwrap_or_default();
        if hold == Hold::Nobody || now_us < self.rests_until_us {
            return Hold::Nobody;
        }
        let since_us = self.since_us.max(self.rests_until_us);
        let has_rested = self.rests_until_us > self.since_us;
        if has_rested && now_us < since_us + PATIENCE_US / 2 {
            // Whatever clients have before them by then: it may be the heaviest's.
            return Hold::Heaviest;
        }
        if now_us < since_us + PATIENCE_US {
            return hold;
        }
        self.rests_until_us = now_us + REST_US;
        Hold::Nobody
    }
}

#[cfg(test)]
mod tests {
    use super::Hold::{All, Heaviest, Nobody};
    use super::*;

    #[test]
    fn workers_wait_for_pressed_clients_and_not_for_ever() {
        let mut pressure = Pressure::new(3);
        assert_eq!(pressure.holds(0), Nobody);
        pressure.set(0, 1, Heaviest, true);
        assert_eq!(pressure.holds(0), Heaviest);
        pressure.set(1_000_000, 2, All, true);
        assert_eq!(pressure.holds(1_900_000), All);
        assert_eq!(pressure.holds(2_000_000), Nobody, "it is at its end");
        assert_eq!(pressure.holds(3_900_000), Nobody);
        assert_eq!(pressure.holds(4_000_000), Heaviest, "it has rested");
        assert_eq!(pressure.holds(5_000_000), All, "that was not enough");
        assert_eq!(pressure.holds(6_000_000), Nobody);
    }

    #[test]
    fn each_relief_is_a_new_start() {
        let mut pressure = Pressure::new(3);
        for step in 0..100 {
            let now_us = step * 1_500_000;
            pressure.set(now_us, 1, Heaviest, true);
            assert_eq!(pressure.holds(now_us + 1_400_000), Heaviest, "{step}");
            pressure.set(now_us + 1_450_000, 1, Nobody, true);
            assert_eq!(pressure.holds(now_us + 1_450_000), Nobody);
        }
    }

    #[test]
    fn workers_wait_for_shards_that_do_not_follow() {
        let mut pressure = Pressure::new(2);
        pressure.sends(0, 100 << 20);
        assert_eq!(pressure.holds(0), Nobody, "that is here");
        for (more, hold) in [(512 << 10, Nobody), (1, Heaviest), (512 << 10, All)] {
            pressure.sends(1, more);
            assert_eq!(pressure.holds(0), hold);
            assert_eq!(pressure.holds(u64::MAX), hold, "however long it takes");
        }
        pressure.carried(1, 1);
        assert_eq!(pressure.holds(0), Heaviest);
        pressure.carried(1, 512 << 10);
        assert_eq!(pressure.holds(0), Nobody);
    }
}
