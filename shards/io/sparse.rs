//! Values for few of many slots: what is in flight at a time, of all connections.

/// One value at most per slot. A slot without one costs four bytes.
pub struct Sparse<T> {
    /// One more than the place of the slot's value; 0 for none.
    places: Vec<u32>,
    values: Vec<Option<T>>,
    free: Vec<u32>,
}

impl<T> Default for Sparse<T> {
    fn default() -> Self {
        Self::with_capacity(0)
    }
}

impl<T> Sparse<T> {
    /// Room for so many slots without growing: memory that nobody has touched costs nothing.
    #[must_use]
    pub fn with_capacity(slots_max: u32) -> Self {
        Self {
            places: Vec::with_capacity(slots_max as usize),
            values: Vec::new(),
            free: Vec::new(),
        }
    }

    /// Puts a value into an empty slot.
    ///
    /// # Panics
    /// When there is a value already.
    pub fn insert(&mut self, slot: u32, value: T) -> &T {
        let slot = slot as usize;
        if self.places.len() <= slot {
            self.places.resize(slot + 1, 0);
        }
        assert_eq!(self.places[slot], 0, "slot {slot} has a value already");
        let place = self.free.pop().unwrap_or_else(|| {
            self.values.push(None);
            self.values.len() as u32
        });
        self.places[slot] = place;
        self.values[place as usize - 1].insert(value)
    }

    /// The slot's value.
    #[must_use]
    pub fn get(&self, slot: u32) -> Option<&T> {
        let place = self.place(slot)?;
        self.values[place].as_ref()
    }

    /// The slot's value, to change it.
    pub fn get_mut(&mut self, slot: u32) -> Option<&mut T> {
        let place = self.place(slot)?;
        self.values[place].as_mut()
    }

    /// Takes the slot's value out.
    pub fn remove(&mut self, slot: u32) -> Option<T> {
        let place = self.place(slot)?;
        self.places[slot as usize] = 0;
        self.free.push(place as u32 + 1);
        self.values[place].take()
    }

    fn place(&self, slot: u32) -> Option<usize> {
        let place = self.places.get(slot as usize)?;
        place.checked_sub(1).map(|place| place as usize)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_is_used_again_and_no_value_is_seen_twice() {
        let mut sparse = Sparse::with_capacity(4);
        assert_eq!(sparse.get(9), None);
        assert_eq!(sparse.remove(9), None);
        assert_eq!(*sparse.insert(3, "a"), "a");
        assert_eq!(*sparse.insert(900, "b"), "b");
        assert_eq!(sparse.remove(3), Some("a"));
        assert_eq!(sparse.get(3), None);
        assert_eq!(sparse.remove(3), None);
        sparse.insert(0, "c");
        assert_eq!((sparse.get(0), sparse.get(900)), (Some(&"c"), Some(&"b")));
        assert_eq!(sparse.values.len(), 2);
    }

    #[test]
    #[should_panic(expected = "slot 1 has a value already")]
    fn a_slot_has_one_value() {
        let mut sparse = Sparse::default();
        sparse.insert(1, ());
        sparse.insert(1, ());
    }
}
