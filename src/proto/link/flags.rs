//! The flags of a frame's header.

use core::ops::BitOr;

/// A set of flags; which ones a type knows is [`Kind::flags`](super::Kind::flags).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Flags(u8);

impl Flags {
    /// None.
    pub const NONE: Self = Self(0);
    /// The payload is a binary message, not text.
    pub const BINARY: Self = Self(1);
    /// May be dropped when the client cannot take it now.
    pub const VOLATILE: Self = Self(2);
    /// Not worth compressing.
    pub const NO_COMPRESS: Self = Self(4);
    /// Only clients of the sending worker.
    pub const LOCAL: Self = Self(8);
    /// Kept for clients that come back; the daemon puts the offset into it.
    pub const RECOVER: Self = Self(16);
    /// What waits for the client is dropped.
    pub const DISCARD: Self = Self(32);
    /// The text has no byte above 0x7f.
    pub const ASCII: Self = Self(64);
    /// The namespace is no more.
    pub const REMOVED: Self = Self(128);
    /// The packet that the last one began goes on. Only SEND knows it, which does not know `REMOVED`.
    pub const REST: Self = Self(128);
    /// Every bit: a type of a later version knows flags that we do not.
    pub(super) const ALL: Self = Self(0xff);

    /// The set that a header's byte is.
    #[must_use]
    pub const fn from_bits(bits: u8) -> Self {
        Self(bits)
    }

    /// A header's byte.
    #[must_use]
    pub const fn bits(self) -> u8 {
        self.0
    }

    /// Whether all of `other` are in it.
    #[must_use]
    pub const fn contains(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }

    /// Those of both.
    #[must_use]
    pub const fn union(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// Those that are not in `other`.
    #[must_use]
    pub const fn without(self, other: Self) -> Self {
        Self(self.0 & !other.0)
    }

    /// Whether there are none.
    #[must_use]
    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }
}

impl BitOr for Flags {
    type Output = Self;

    fn bitor(self, other: Self) -> Self {
        self.union(other)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_set_is_its_bits() {
        let both = Flags::BINARY | Flags::ASCII;
        assert_eq!((both.bits(), Flags::from_bits(65)), (65, both));
        assert!(both.contains(Flags::ASCII) && !both.contains(Flags::ASCII | Flags::LOCAL));
        assert_eq!(both.without(Flags::ASCII), Flags::BINARY);
        assert!(both.without(both).is_empty() && both.contains(Flags::NONE));
        assert!(Flags::ALL.contains(Flags::REMOVED));
    }
}
