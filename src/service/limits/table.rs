//! Buckets by key, bounded: when the table is full, entries that are full buckets (so the same as new ones) go; if there are none,
//! newcomers share one entry, so that an attacker with many keys limits himself and nobody who was there before.

use super::TokenBucket;
use crate::hub::Seed;
use crate::time::Now;
use core::hash::Hash;
use std::collections::HashMap;

const ENTRIES_MAX: usize = 65_536;

/// A bucket and a count of what is open.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Entry {
    pub(super) bucket: TokenBucket,
    pub(super) count: u32,
}

pub(super) struct Table<K> {
    entries: HashMap<K, Entry, Seed>,
    overflow: Entry,
    swept_us: u64,
}

impl<K: Copy + Hash + Eq> Table<K> {
    pub(super) fn new(seed: Seed) -> Self {
        Self {
            entries: HashMap::with_hasher(seed),
            overflow: Entry::default(),
            swept_us: 0,
        }
    }

    /// The entry of `key`, made if there is none, and whether it is its own.
    pub(super) fn entry(&mut self, now: Now, key: K) -> (&mut Entry, bool) {
        if self.entries.len() >= ENTRIES_MAX && !self.entries.contains_key(&key) {
            self.sweep(now);
            if self.entries.len() >= ENTRIES_MAX {
                return (&mut self.overflow, false);
            }
        }
        (self.entries.entry(key).or_default(), true)
    }

    /// What [`Self::entry`] counted, in the key's own entry or in the one of all newcomers, is over.
    pub(super) fn release(&mut self, key: Option<&K>) {
        let entry = match key {
            Some(key) => self.entries.get_mut(key).expect("a counted entry stays"),
            None => &mut self.overflow,
        };
        assert!(entry.count > 0, "let go twice");
        entry.count -= 1;
    }

    /// At most once a second: a full table must not cost a walk for each newcomer.
    fn sweep(&mut self, now: Now) {
        if now.monotonic_us - self.swept_us >= 1_000_000 {
            self.swept_us = now.monotonic_us;
            self.entries
                .retain(|_, entry| entry.count > 0 || !entry.bucket.is_full(now.monotonic_us));
        }
    }
}
