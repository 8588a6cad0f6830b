//! A table whose handles carry the generation of their slot, so that a stale handle finds nothing.
//!
//! Deliberately absent: iteration order and shrinking; a free slot costs a few bytes until the hub ends.

use crate::time::ConnId;
use serde::{Deserialize, Serialize};

/// Generations have 30 bits: a key and a two-bit kind make one timer token.
const GENERATION_MASK: u32 = (1 << 30) - 1;

/// A slot and which use of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Key {
    /// The index.
    pub slot: u32,
    /// The use.
    pub generation: u32,
}

impl Key {
    /// A connection's key is its name.
    pub(crate) const fn of(conn: ConnId) -> Self {
        Self {
            slot: conn.number() as u32,
            generation: (conn.number() >> 32) as u32,
        }
    }

    /// The connection of that key.
    pub(crate) const fn conn(self) -> ConnId {
        ConnId::new(self.bits())
    }

    /// The key as the low 62 bits of a timer token.
    pub(crate) const fn bits(self) -> u64 {
        (self.generation as u64) << 32 | self.slot as u64
    }

    /// What [`Self::bits`] gave; the two bits above are ignored.
    pub(crate) const fn from_bits(bits: u64) -> Self {
        Self {
            slot: bits as u32,
            generation: (bits >> 32) as u32 & GENERATION_MASK,
        }
    }
}

/// Places that are reserved when there may be `count`: a bound that somebody set to infinity is not taken at its word.
pub(crate) fn reserved(count: u32) -> usize {
    count.min(1 << 20) as usize
}

/// Seats of one allocation.
const PAGE: usize = 64;

/// Generations stand apart: beside each value they would be padded to twice their size.
struct Page<T> {
    generations: [u32; PAGE],
    values: [Option<T>; PAGE],
}

/// Values in slots that somebody else chose: the loop names each connection by a slot and a generation of its own. They stand side by side in pages, so
/// that growing the table never moves them, and a walk through many finds them near each other. Pages stay for whoever comes next.
pub(crate) struct Seats<T> {
    pages: Vec<Box<Page<T>>>,
    len: usize,
}

impl<T> Seats<T> {
    /// Room for so many pages without growing: memory that nobody has touched costs nothing.
    pub(crate) fn with_capacity(count: u32) -> Self {
        Self {
            pages: Vec::with_capacity(reserved(count).div_ceil(PAGE)),
            len: 0,
        }
    }

    pub(crate) const fn len(&self) -> usize {
        self.len
    }

    /// The page of a key whose use of its slot is the present one, and its index there.
    fn page(&self, key: Key) -> Option<(&Page<T>, usize)> {
        let (page, index) = (key.slot as usize / PAGE, key.slot as usize % PAGE);
        let page = self.pages.get(page)?;
        (page.generations[index] == key.generation).then_some((&**page, index))
    }

    fn page_mut(&mut self, key: Key) -> Option<(&mut Page<T>, usize)> {
        let (page, index) = (key.slot as usize / PAGE, key.slot as usize % PAGE);
        let page = self.pages.get_mut(page)?;
        (page.generations[index] == key.generation).then_some((&mut **page, index))
    }

    /// # Panics
    /// When somebody has the slot.
    pub(crate) fn insert(&mut self, key: Key, value: T) {
        let (page, index) = (key.slot as usize / PAGE, key.slot as usize % PAGE);
        while self.pages.len() <= page {
            self.pages.push(Box::new(Page {
                generations: [0; PAGE],
                values: [const { None }; PAGE],
            }));
        }
        let page = &mut self.pages[page];
        assert!(page.values[index].is_none(), "slot {} is taken", key.slot);
        page.generations[index] = key.generation;
        page.values[index] = Some(value);
        self.len += 1;
    }

    pub(crate) fn remove(&mut self, key: Key) -> Option<T> {
        let (page, index) = self.page_mut(key)?;
        let value = page.values[index].take()?;
        self.len -= 1;
        Some(value)
    }

    pub(crate) fn get(&self, key: Key) -> Option<&T> {
        let (page, index) = self.page(key)?;
        page.values[index].as_ref()
    }

    pub(crate) fn get_mut(&mut self, key: Key) -> Option<&mut T> {
        let (page, index) = self.page_mut(key)?;
        page.values[index].as_mut()
    }

    fn get_slot_mut(&mut self, slot: u32) -> Option<&mut T> {
        let page = self.pages.get_mut(slot as usize / PAGE)?;
        page.values[slot as usize % PAGE].as_mut()
    }

    /// The key of the value in `slot` now, if there is one.
    pub(crate) fn key_of_slot(&self, slot: u32) -> Option<Key> {
        let (page, index) = (slot as usize / PAGE, slot as usize % PAGE);
        let page = self.pages.get(page)?;
        let generation = page.generations[index];
        let key = Key { slot, generation };
        page.values[index].is_some().then_some(key)
    }

    pub(crate) fn keys(&self) -> impl Iterator<Item = Key> + '_ {
        self.keys_from(0)
    }

    /// The keys from a slot on, in the order of slots.
    pub(crate) fn keys_from(&self, first: u32) -> impl Iterator<Item = Key> + '_ {
        let slots = (self.pages.len() * PAGE) as u32;
        (first..slots).filter_map(|slot| self.key_of_slot(slot))
    }
}

/// Values in slots that the table chooses.
pub(crate) struct Slab<T> {
    seats: Seats<T>,
    /// The next use of each slot that is free.
    free: Vec<Key>,
}

impl<T> Slab<T> {
    /// Room for so many without growing.
    pub(crate) fn with_capacity(count: u32) -> Self {
        Self {
            seats: Seats::with_capacity(count),
            free: Vec::new(),
        }
    }

    pub(crate) fn insert(&mut self, value: T) -> Key {
        let key = self.free.pop().unwrap_or_else(|| Key {
            slot: u32::try_from(self.seats.len()).expect("sessions are bounded far below 2^32"),
            generation: 0,
        });
        self.seats.insert(key, value);
        key
    }

    pub(crate) fn remove(&mut self, key: Key) -> Option<T> {
        let value = self.seats.remove(key)?;
        self.free.push(Key {
            generation: key.generation.wrapping_add(1) & GENERATION_MASK,
            ..key
        });
        Some(value)
    }

    pub(crate) const fn len(&self) -> usize {
        self.seats.len()
    }

    pub(crate) fn get(&self, key: Key) -> Option<&T> {
        self.seats.get(key)
    }

    pub(crate) fn get_mut(&mut self, key: Key) -> Option<&mut T> {
        self.seats.get_mut(key)
    }

    /// Whoever has a slot now.
    pub(crate) fn get_slot(&self, slot: u32) -> Option<&T> {
        self.get(self.key_of_slot(slot)?)
    }

    pub(crate) fn get_slot_mut(&mut self, slot: u32) -> Option<&mut T> {
        self.seats.get_slot_mut(slot)
    }

    pub(crate) fn key_of_slot(&self, slot: u32) -> Option<Key> {
        self.seats.key_of_slot(slot)
    }

    pub(crate) fn keys(&self) -> impl Iterator<Item = Key> + '_ {
        self.keys_from(0)
    }

    /// The keys from a slot on, in the order of slots.
    pub(crate) fn keys_from(&self, first: u32) -> impl Iterator<Item = Key> + '_ {
        self.seats.keys_from(first)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stale_key_finds_nothing() {
        let mut slab = Slab::with_capacity(1);
        let first = slab.insert('a');
        assert_eq!(slab.remove(first), Some('a'));
        let second = slab.insert('b');
        assert_eq!(first.slot, second.slot);
        assert_eq!(slab.get(first), None);
        assert_eq!(slab.remove(first), None);
        assert_eq!((slab.get(second), slab.len()), (Some(&'b'), 1));
    }

    #[test]
    fn a_seat_is_taken_by_the_name_that_it_was_given() {
        let mut seats = Seats::with_capacity(1);
        let key = |generation| Key {
            slot: 7,
            generation,
        };
        seats.insert(key(3), 'a');
        assert_eq!(seats.remove(key(4)), None);
        assert_eq!(seats.get(key(2)), None);
        assert_eq!(seats.get_mut(key(2)), None);
        assert_eq!(seats.get_mut(key(3)), Some(&mut 'a'));
        assert_eq!(seats.keys().collect::<Vec<_>>(), [key(3)]);
        assert_eq!((seats.remove(key(3)), seats.len()), (Some('a'), 0));
        seats.insert(key(4), 'b');
        assert_eq!((seats.get(key(3)), seats.len()), (None, 1));
    }

    #[test]
    fn a_key_survives_a_token() {
        let key = Key {
            slot: u32::MAX,
            generation: GENERATION_MASK,
        };
        assert_eq!(Key::from_bits(key.bits() | 3 << 62), key);
    }
}
