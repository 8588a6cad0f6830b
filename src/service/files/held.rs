//! Bytes of files in memory, and how many of them there are, whoever holds them: what the cache has let go of stays for as long as somebody is sent it.

use core::cell::Cell;
use core::ops::Deref;
use std::rc::Rc;

/// How many bytes are held.
#[derive(Clone, Default)]
pub(crate) struct Ledger(Rc<Cell<u64>>);

impl Ledger {
    /// Counts them until nobody has them any more.
    pub(crate) fn hold(&self, bytes: Vec<u8>) -> HeldBytes {
        self.0.set(self.0.get() + bytes.len() as u64);
        let (bytes, ledger) = (bytes.into_boxed_slice(), self.clone());
        HeldBytes(Rc::new(Counted { bytes, ledger }))
    }

    pub(crate) fn bytes(&self) -> u64 {
        self.0.get()
    }
}

struct Counted {
    bytes: Box<[u8]>,
    ledger: Ledger,
}

impl Drop for Counted {
    fn drop(&mut self) {
        let Ledger(count) = &self.ledger;
        count.set(count.get() - self.bytes.len() as u64);
    }
}

/// Bytes that are counted once, however many have them.
#[derive(Clone)]
pub(crate) struct HeldBytes(Rc<Counted>);

impl Deref for HeldBytes {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.0.bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_count_once_until_the_last_lets_go_of_them() {
        let ledger = Ledger::default();
        let (one, other) = (ledger.hold(vec![1; 10]), ledger.hold(vec![2; 5]));
        let again = one.clone();
        assert_eq!(ledger.bytes(), 15);
        drop(one);
        assert_eq!((ledger.bytes(), &again[..]), (15, &[1; 10][..]));
        drop(again);
        assert_eq!(ledger.bytes(), 5);
        drop(other);
        assert_eq!(ledger.bytes(), 0);
    }
}
