//! Sessions by their id. The table holds slots alone: the ids stand in the sessions.
//!
//! Deliberately absent: the sessions themselves.

use super::slab::Slab;
use super::{Key, Seed};
use crate::session::{Session, Sid};
use core::hash::BuildHasher;
use hashbrown::HashTable;

pub(crate) struct Sids {
    slots: HashTable<u32>,
    seed: Seed,
}

impl Sids {
    pub(crate) const fn new(seed: Seed) -> Self {
        Self {
            slots: HashTable::new(),
            seed,
        }
    }

    pub(crate) fn len(&self) -> usize {
        self.slots.len()
    }

    pub(crate) fn find(&self, sid: &Sid, sessions: &Slab<Session>) -> Option<Key> {
        let has_it = |slot: &u32| {
            let session = sessions.get_slot(*slot);
            session.is_some_and(|session| session.sid == *sid)
        };
        let slot = self.slots.find(self.seed.hash_one(sid), has_it)?;
        sessions.key_of_slot(*slot)
    }

    /// Adds a session of the table.
    pub(crate) fn insert(&mut self, key: Key, sessions: &Slab<Session>) {
        let seed = self.seed;
        let hash = |slot: &u32| {
            let session = sessions.get_slot(*slot);
            let session = session.expect("it is removed here before there");
            seed.hash_one(session.sid)
        };
        let slot = key.slot;
        self.slots.insert_unique(hash(&slot), slot, hash);
    }

    /// Removes a session that had this id.
    pub(crate) fn remove(&mut self, sid: &Sid, key: Key) {
        let is_it = |slot: &u32| *slot == key.slot;
        let entry = self.slots.find_entry(self.seed.hash_one(sid), is_it);
        if let Ok(entry) = entry {
            entry.remove();
        }
    }
}
