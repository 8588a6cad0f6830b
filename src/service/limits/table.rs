//! Buckets by key, bounded. An entry that is a full bucket is the same as a new one: such go whenever the table has doubled. When it is full and
//! there are none, newcomers share one entry, so that an attacker with many keys limits himself and nobody who was there before.

use super::{ByteBucket, TokenBucket};
use crate::time::Now;
use core::hash::{BuildHasherDefault, Hash, Hasher};
use core::num::NonZeroU32;
use std::collections::HashMap;

const ENTRIES_MAX: usize = 65_536;
/// A table of so many is not looked through.
const SWEEP_MIN: usize = 1024;

/// Whoever is counted, by a hash under a seed that nobody knows: there are as many as there are clients, and what they are called stands elsewhere.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Digest(pub(super) u64);

/// The hash of what is one already.
#[derive(Default)]
pub(super) struct Hashed(u64);

impl Hasher for Hashed {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, _: &[u8]) {
        unreachable!("a digest is one number")
    }

    fn write_u64(&mut self, digest: u64) {
        self.0 = digest;
    }
}

/// What an entry is filled with.
pub(super) trait Bucket: Copy + Default {
    /// Whether it is as a new one.
    fn is_new(&self, now_us: u64) -> bool;
}

impl Bucket for TokenBucket {
    fn is_new(&self, now_us: u64) -> bool {
        self.is_full(now_us)
    }
}

impl Bucket for ByteBucket {
    fn is_new(&self, now_us: u64) -> bool {
        self.is_full(now_us)
    }
}

/// A bucket and a count of what is open.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Entry<B> {
    pub(super) bucket: B,
    pub(super) count: u32,
}

/// An entry's place in the table, for as long as something is counted there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Number(NonZeroU32);

impl Number {
    /// The entry that newcomers of a full table share.
    pub(super) const SHARED: Self = Self(NonZeroU32::MIN);

    const fn index(self) -> usize {
        self.0.get() as usize - 1
    }
}

pub(super) struct Table<B = TokenBucket> {
    numbers: HashMap<Digest, Number, BuildHasherDefault<Hashed>>,
    /// The shared one is the first.
    entries: Vec<Entry<B>>,
    free: Vec<Number>,
    /// Entries at which those go that are as new.
    sweep_at: usize,
    swept_us: u64,
}

impl<B: Bucket> Table<B> {
    pub(super) fn new() -> Self {
        Self {
            numbers: HashMap::default(),
            entries: vec![Entry::default()],
            free: Vec::new(),
            sweep_at: SWEEP_MIN,
            swept_us: 0,
        }
    }

    /// The entry of `key`, made if there is none.
    pub(super) fn entry(&mut self, now: Now, key: Digest) -> (&mut Entry<B>, Number) {
        let known = self.numbers.get(&key).copied();
        let number = known.unwrap_or_else(|| self.insert(now, key));
        (&mut self.entries[number.index()], number)
    }

    fn insert(&mut self, now: Now, key: Digest) -> Number {
        if self.numbers.len() >= self.sweep_at {
            self.sweep(now);
        }
        if self.numbers.len() >= ENTRIES_MAX {
            return Number::SHARED;
        }
        let number = self.place();
        self.numbers.insert(key, number);
        number
    }

    /// A place for a new entry.
    fn place(&mut self) -> Number {
        if let Some(free) = self.free.pop() {
            self.entries[free.index()] = Entry::default();
            return free;
        }
        self.entries.push(Entry::default());
        let count = NonZeroU32::new(self.entries.len() as u32);
        Number(count.expect("one was just added"))
    }

    /// What was counted there is over.
    ///
    /// # Panics
    /// When nothing is counted there.
    pub(super) fn release(&mut self, number: Number) {
        let entry = &mut self.entries[number.index()];
        assert!(entry.count > 0, "let go twice");
        entry.count -= 1;
    }

    /// As rarely as the table doubles; a full one is not looked through for each newcomer, but once a second at most.
    fn sweep(&mut self, now: Now) {
        let is_full = self.numbers.len() >= ENTRIES_MAX;
        if is_full && now.monotonic_us - self.swept_us < 1_000_000 {
            return;
        }
        self.swept_us = now.monotonic_us;
        let (entries, free) = (&self.entries, &mut self.free);
        self.numbers.retain(|_, number| {
            let entry = &entries[number.index()];
            let now_us = now.monotonic_us;
            let stays = entry.count > 0 || !entry.bucket.is_new(now_us);
            if !stays {
                free.push(*number);
            }
            stays
        });
        self.sweep_at = (2 * self.numbers.len()).clamp(SWEEP_MIN, ENTRIES_MAX);
        self.numbers.shrink_to(self.sweep_at);
    }
}

#[cfg(test)]
mod tests {
    use super::super::Rate;
    use super::*;
    use crate::hub::Seed;
    use core::hash::BuildHasher as _;

    const fn at(monotonic_us: u64) -> Now {
        Now {
            monotonic_us,
            unix_ms: 0,
        }
    }

    fn digest(number: u64) -> Digest {
        Digest(Seed::fixed().hash_one(number))
    }

    /// A hundred thousand users say something in turn, a thousand a second: those who fell silent cost nothing.
    #[test]
    fn full_buckets_do_not_stay() {
        let mut table: Table = Table::new();
        let rate = Rate {
            per_second: 10,
            burst: 10,
        };
        for user in 0..100_000_u64 {
            let now = at(user * 1000);
            let (entry, number) = table.entry(now, digest(user));
            assert!(entry.bucket.take(now.monotonic_us, rate) && number != Number::SHARED);
        }
        assert!(
            table.entries.len() < 3 * SWEEP_MIN,
            "{}",
            table.entries.len()
        );
        assert!(
            table.numbers.capacity() < 4 * SWEEP_MIN,
            "{}",
            table.numbers.capacity()
        );
    }

    #[test]
    fn what_is_counted_or_not_full_stays() {
        let mut table: Table = Table::new();
        let rate = Rate {
            per_second: 1,
            burst: 1,
        };
        let (entry, counted) = table.entry(at(1), digest(0));
        entry.count += 1;
        assert!(table.entry(at(1), digest(1)).0.bucket.take(1, rate));
        for other in 2..3 * SWEEP_MIN as u64 {
            table.entry(at(2), digest(other));
        }
        assert_eq!(table.entry(at(2), digest(0)).1, counted);
        assert!(
            !table.entry(at(2), digest(1)).0.bucket.take(2, rate),
            "it is empty"
        );
        table.release(counted);
    }
}
