//! Ids of one-time URLs that were used: each is remembered until its URL expires, within a bound.
//!
//! Deliberately absent: other shards. An id has one home, [`OnceIds::home`], and only that shard's set says whether it was used. And the disk: what is
//! written down of it, so that it outlives the process, is the journal's (`journal.rs`, `hub/used_urls.rs`).

use super::Refused;
use crate::refusal::Refusal;
use std::collections::BTreeMap;
use std::collections::btree_map::Entry;

/// What becomes of an id.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OnceVerdict {
    /// It had not been used, and is now.
    First,
    /// It was used before.
    Used,
    /// So many are remembered that another one could not be told from a used one later: it is not accepted.
    Full,
}

impl OnceVerdict {
    /// The refusal, if it is one.
    ///
    /// # Errors
    /// [`Refused`] for everything but [`OnceVerdict::First`].
    pub fn accepted(self) -> Result<(), Refused> {
        match self {
            Self::First => Ok(()),
            Self::Used => Err(Refused::new(410, Refusal::UrlUsed)),
            Self::Full => Err(Refused::new(503, Refusal::UrlsFull).with("Retry-After", "60")),
        }
    }
}

/// The ids whose home is one shard.
#[derive(Clone, Debug)]
pub struct OnceIds {
    used: BTreeMap<u128, u64>,
    /// The same by the second at which they are forgotten.
    expiries: BTreeMap<(u64, u128), ()>,
    ids_max: usize,
}

impl OnceIds {
    /// None yet, and never more than `ids_max`.
    #[must_use]
    pub const fn new(ids_max: usize) -> Self {
        Self {
            used: BTreeMap::new(),
            expiries: BTreeMap::new(),
            ids_max,
        }
    }

    /// The shard that remembers an id.
    #[must_use]
    pub const fn home(id: u128, shards: u16) -> u16 {
        (id % shards as u128) as u16
    }

    /// How many are remembered.
    #[must_use]
    pub fn len(&self) -> usize {
        self.used.len()
    }

    /// Whether none is remembered.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.used.is_empty()
    }

    /// Remembers a use of an earlier process, beyond the bound, too: another number of shards may bring more of them here, and of one that is forgotten
    /// the URL would work again.
    pub fn adopt(&mut self, id: u128, expires_unix_seconds: u64) {
        let before = self.used.insert(id, expires_unix_seconds);
        if let Some(expires) = before {
            self.expiries.remove(&(expires, id));
        }
        self.expiries.insert((expires_unix_seconds, id), ());
    }

    /// Whether an id was used, for whoever only looks.
    #[must_use]
    pub fn is_used(&self, id: u128) -> bool {
        self.used.contains_key(&id)
    }

    /// Those that are remembered, from an id on, with the seconds at which their URLs expire.
    pub fn from(&self, id: u128) -> impl Iterator<Item = (u128, u64)> {
        let used = self.used.range(id..);
        used.map(|(id, expires)| (*id, *expires))
    }

    /// Uses an id up. Its URL was verified: the id is one of ours, and has not expired.
    pub fn use_up(&mut self, id: u128, expires_unix_seconds: u64, now: u64) -> OnceVerdict {
        self.forget(now);
        let is_full = self.used.len() >= self.ids_max;
        match self.used.entry(id) {
            Entry::Occupied(_) => OnceVerdict::Used,
            Entry::Vacant(_) if is_full => OnceVerdict::Full,
            Entry::Vacant(entry) => {
                entry.insert(expires_unix_seconds);
                self.expiries.insert((expires_unix_seconds, id), ());
                OnceVerdict::First
            }
        }
    }

    /// Gives an id back whose use came to nothing: whoever has the URL may come again.
    pub fn give_back(&mut self, id: u128) {
        if let Some(expires) = self.used.remove(&id) {
            self.expiries.remove(&(expires, id));
        }
    }

    /// Forgets those whose URLs nobody can use any more.
    pub fn forget(&mut self, now_unix_seconds: u64) {
        while let Some(entry) = self.expiries.first_entry() {
            let (expires, id) = *entry.key();
            if expires > now_unix_seconds {
                break;
            }
            entry.remove();
            self.used.remove(&id);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_is_used_once_until_it_expires() {
        let mut ids = OnceIds::new(2);
        assert_eq!(ids.use_up(1, 100, 0), OnceVerdict::First);
        assert_eq!(ids.use_up(1, 100, 99), OnceVerdict::Used);
        assert_eq!(ids.use_up(2, 50, 0), OnceVerdict::First);
        assert_eq!(ids.use_up(3, 100, 0), OnceVerdict::Full);
        assert_eq!(ids.use_up(1, 100, 0), OnceVerdict::Used);
        // The second has expired, and makes room.
        assert_eq!(ids.use_up(3, 100, 50), OnceVerdict::First);
        assert_eq!(ids.len(), 2);
        assert_eq!(ids.use_up(4, 200, 100), OnceVerdict::First);
        assert_eq!(ids.len(), 1);
        ids.give_back(4);
        assert_eq!(
            (ids.len(), ids.use_up(4, 200, 100)),
            (0, OnceVerdict::First)
        );
    }

    #[test]
    fn what_an_earlier_process_knew_is_never_too_much() {
        let mut ids = OnceIds::new(1);
        for id in [3, 1, 2] {
            ids.adopt(id, 100);
        }
        ids.adopt(1, 200);
        assert!(ids.is_used(1) && !ids.is_used(4));
        assert_eq!(ids.use_up(2, 100, 0), OnceVerdict::Used);
        assert_eq!(ids.use_up(4, 100, 0), OnceVerdict::Full);
        let behind: Vec<(u128, u64)> = ids.from(2).collect();
        assert_eq!(behind, [(2, 100), (3, 100)]);
        ids.forget(100);
        assert_eq!(ids.from(0).collect::<Vec<_>>(), [(1, 200)]);
    }

    #[test]
    fn refusals_have_their_codes() {
        assert!(OnceVerdict::First.accepted().is_ok());
        let used = OnceVerdict::Used.accepted().unwrap_err();
        let full = OnceVerdict::Full.accepted().unwrap_err();
        assert_eq!((used.status, used.refusal), (410, Refusal::UrlUsed));
        assert_eq!((full.status, full.refusal), (503, Refusal::UrlsFull));
    }
}
