//! Who has said how much lately: what workers cause is theirs, so that whoever says most is the one that waits.
//!
//! Two things are counted, both in bytes: mail to clients' shards, for when these do not follow; and what stands before clients there that do not, once for each.
//! Deliberately absent: when anybody waits (`pressure`), and for how long somebody may say most (`flood`).

use super::worker::WorkerId;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// In so long half of what was said is forgotten.
const HALF_US: u64 = 1_000_000;
/// What is less is nothing: whoever says no more is not among those between whom shares are fair.
const LEAST_BYTES: u64 = 1 << 10;

/// What each worker has said lately.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Weights {
    halved_us: u64,
    bytes: BTreeMap<WorkerId, u64>,
}

impl Weights {
    pub(crate) fn add(&mut self, now_us: u64, id: WorkerId, bytes: u64) {
        if bytes > 0 {
            self.fade(now_us);
            *self.bytes.entry(id).or_default() += bytes;
        }
    }

    /// Forgets what is long ago.
    pub(crate) fn fade(&mut self, now_us: u64) {
        let halves = now_us.saturating_sub(self.halved_us) / HALF_US;
        if halves == 0 {
            return;
        }
        self.halved_us += halves * HALF_US;
        let shift = u32::try_from(halves).unwrap_or(u32::MAX);
        self.bytes.retain(|_, bytes| {
            *bytes = bytes.checked_shr(shift).unwrap_or(0);
            *bytes >= LEAST_BYTES
        });
    }
}

/// The same from all sides.
#[derive(Debug, Default)]
pub(super) struct Shares {
    /// Mail.
    mail: Weights,
    /// What stands before clients, as each shard has said it last.
    of_shards: BTreeMap<u16, Weights>,
}

impl Shares {
    /// A worker's frame became so much mail.
    pub(super) fn mailed(&mut self, now_us: u64, id: WorkerId, bytes: u64) {
        self.mail.add(now_us, id, bytes);
    }

    /// A shard says what stands before its clients.
    pub(super) fn heard(&mut self, shard: u16, weights: Weights) {
        self.of_shards.insert(shard, weights);
    }

    /// Of those that are there the ones that have said their fair share at least, with how much, whoever said most first: to clients that do not follow, if it is
    /// for their sake. There is one if anybody has said anything.
    pub(super) fn heavy(
        &mut self,
        now_us: u64,
        is_of_clients: bool,
        is_there: impl Fn(&WorkerId) -> bool,
    ) -> Vec<(u64, WorkerId)> {
        let mut bytes: BTreeMap<WorkerId, u64> = BTreeMap::new();
        for weights in self.of_shards.values_mut() {
            weights.fade(now_us);
            for (id, said) in &weights.bytes {
                *bytes.entry(*id).or_default() += said;
            }
        }
        self.mail.fade(now_us);
        let counts = |id: &WorkerId, said: &mut u64| *said >= LEAST_BYTES && is_there(id);
        bytes.retain(counts);
        if !is_of_clients || bytes.is_empty() {
            bytes = self.mail.bytes.clone();
            bytes.retain(counts);
        }
        let count = bytes.len().max(1) as u64;
        let fair = bytes.values().sum::<u64>().div_ceil(count);
        let mut heavy: Vec<(u64, WorkerId)> = bytes
            .into_iter()
            .filter(|(_, said)| *said >= fair)
            .map(|(id, said)| (said, id))
            .collect();
        heavy.sort_unstable_by(|one, other| other.cmp(one));
        heavy
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND_US: u64 = 1_000_000;

    /// Who is heavy for clients' sake.
    fn ids(shares: &mut Shares, now_us: u64) -> Vec<u64> {
        let heavy = shares.heavy(now_us, true, |_| true).into_iter();
        heavy.map(|(_, id)| id.0).collect()
    }

    #[track_caller]
    fn check(said: &[(u64, u64)], heavy: &[u64]) {
        let mut shares = Shares::default();
        for (id, bytes) in said {
            shares.mailed(0, WorkerId(*id), *bytes);
        }
        assert_eq!(ids(&mut shares, 0), heavy, "{said:?}");
    }

    #[test]
    fn whoever_is_over_a_fair_share_is_heavy_and_somebody_is() {
        check(&[], &[]);
        check(&[(1, 5_000)], &[1]);
        check(&[(1, 10_000_000), (2, 5_000)], &[1]);
        check(&[(1, 5_000), (2, 10_000_000), (3, 9_000_000)], &[2, 3]);
        check(&[(1, 7_000), (2, 7_000)], &[2, 1]);
        check(&[(1, 7_000), (2, 7_001)], &[2]);
    }

    #[test]
    fn what_was_said_long_ago_is_forgotten() {
        let mut shares = Shares::default();
        shares.mailed(0, WorkerId(1), 1 << 20);
        shares.mailed(3 * SECOND_US, WorkerId(2), (1 << 17) + 1);
        assert_eq!(ids(&mut shares, 3 * SECOND_US), [2]);
        let is_there = |id: &WorkerId| id.0 != 2;
        let left = shares.heavy(3 * SECOND_US, true, is_there);
        assert_eq!(left, [(1 << 17, WorkerId(1))], "the other one is gone");
        assert!(ids(&mut shares, 60 * SECOND_US).is_empty());
        assert_eq!(shares.mail.bytes.len(), 0, "and takes no room");
        shares.mailed(u64::MAX, WorkerId(1), 1 << 20);
        assert_eq!(ids(&mut shares, u64::MAX), [1]);
    }

    #[test]
    fn for_clients_it_counts_what_stands_before_those_that_do_not_follow() {
        let mut shares = Shares::default();
        shares.mailed(0, WorkerId(1), 1_000 << 20);
        shares.mailed(0, WorkerId(2), 1 << 20);
        assert_eq!(
            ids(&mut shares, 0),
            [1],
            "nobody has said anything of clients"
        );
        let mut weights = Weights::default();
        weights.add(0, WorkerId(1), 1 << 20);
        weights.add(0, WorkerId(2), 10 << 20);
        // A shard says what it has, and not what is new.
        (0..3).for_each(|_| shares.heard(1, weights.clone()));
        let heavy = shares.heavy(0, true, |_| true);
        assert_eq!(heavy, [(10 << 20, WorkerId(2))]);
        let heavy = shares.heavy(0, false, |_| true);
        assert_eq!(heavy, [(1_000 << 20, WorkerId(1))], "shards do not follow");
        shares.heard(1, Weights::default());
        assert_eq!(ids(&mut shares, 0), [1]);
    }
}
