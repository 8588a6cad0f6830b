//! Sessions by their id. The table holds keys alone: the ids stand in the sessions.
//!
//! Deliberately absent: the sessions themselves.

use super::slab::Slab;
use super::{Key, Seed};
use crate::session::{Session, Sid};
use core::hash::BuildHasher;
use hashbrown::HashTable;

pub(crate) struct Sids {
    keys: HashTable<Key>,
    seed: Seed,
}

impl Sids {
    pub(crate) const fn new(seed: Seed) -> Self {
        Self {
            keys: HashTable::new(),
            seed,
        }
    }

    pub(crate) fn len(&self) -> usize {
        self.keys.len()
    }

    pub(crate) fn find(&self, sid: &Sid, sessions: &Slab<Session>) -> Option<Key> {
        let has_it = |key: &Key| {
            sessions
                .get(*key)
                .is_some_and(|session| session.sid == *sid)
        };
        self.keys.find(self.seed.hash_one(sid), has_it).copied()
    }

    /// Adds a session of the table.
    pub(crate) fn insert(&mut self, key: Key, sessions: &Slab<Session>) {
        let seed = self.seed;
        let hash = |key: &Key| {
            let session = sessions.get(*key).expect("it is removed here before there");
            seed.hash_one(session.sid)
        };
        self.keys.insert_unique(hash(&key), key, hash);
    }

    /// Removes a session that had this id.
    pub(crate) fn remove(&mut self, sid: &Sid, key: Key) {
        let entry = self
            .keys
            .find_entry(self.seed.hash_one(sid), |held| *held == key);
        if let Ok(entry) = entry {
            entry.remove();
        }
    }
}
