//! What names an operation from its submission to its last completion.

/// The largest generation a [`Key`] can carry; the next one wraps to zero.
pub const GENERATION_MAX: u32 = (1 << 24) - 1;

/// The kind of operation a [`Key`] stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum OpKind {
    /// Multishot accept; the slot is the listener.
    Accept = 1,
    /// Multishot receive; the slot is the connection.
    Recv = 2,
    /// The one send in flight of a connection.
    Send = 3,
    /// A request to cancel another operation.
    Cancel = 4,
    /// Shutdown of both directions.
    Shutdown = 5,
    /// The close of a direct descriptor.
    Close = 6,
    /// A descriptor on its way to another shard's ring.
    SendSocket = 7,
    /// A descriptor that arrived from another shard's ring.
    Arrive = 8,
    /// Work handed to the compute pool.
    Compute = 9,
    /// An operation on files; the slot is the loop's own.
    File = 10,
    /// A wait until the socket takes something; the slot is the connection.
    Writable = 11,
}

impl OpKind {
    fn from_bits(bits: u8) -> Self {
        match bits {
            1 => Self::Accept,
            2 => Self::Recv,
            3 => Self::Send,
            4 => Self::Cancel,
            5 => Self::Shutdown,
            6 => Self::Close,
            7 => Self::SendSocket,
            8 => Self::Arrive,
            9 => Self::Compute,
            10 => Self::File,
            11 => Self::Writable,
            other => unreachable!("a key is only ever made by Key::new, kind {other}"),
        }
    }
}

/// Slot, generation and kind of an operation, packed into the 64 bits that the kernel hands back.
///
/// Layout: kind in bits 56 to 63, generation in bits 32 to 55, slot in bits 0 to 31. A completion whose
/// generation is older than the slot's gives its buffer back and does nothing else.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Key(u64);

impl Key {
    /// Packs the three parts.
    ///
    /// # Panics
    /// When `generation` exceeds [`GENERATION_MAX`].
    #[must_use]
    pub const fn new(kind: OpKind, generation: u32, slot: u32) -> Self {
        assert!(generation <= GENERATION_MAX, "a generation has 24 bits");
        Self((kind as u64) << 56 | (generation as u64) << 32 | slot as u64)
    }

    /// The bits as the kernel carries them in `user_data`.
    #[must_use]
    pub const fn to_bits(self) -> u64 {
        self.0
    }

    /// Takes back what [`Key::to_bits`] gave.
    #[must_use]
    pub const fn from_bits(bits: u64) -> Self {
        Self(bits)
    }

    /// The slot in the table that `kind` names.
    #[must_use]
    pub const fn slot(self) -> u32 {
        self.0 as u32
    }

    /// The slot's generation at submission.
    #[must_use]
    pub const fn generation(self) -> u32 {
        (self.0 >> 32) as u32 & GENERATION_MAX
    }

    /// The kind of operation.
    ///
    /// # Panics
    /// When the bits did not come from [`Key::new`].
    #[must_use]
    pub fn kind(self) -> OpKind {
        OpKind::from_bits((self.0 >> 56) as u8)
    }
}

impl core::fmt::Debug for Key {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "{:?}#{}.{}", self.kind(), self.slot(), self.generation())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_survive_packing() {
        let key = Key::new(OpKind::Compute, GENERATION_MAX, u32::MAX);
        let back = Key::from_bits(key.to_bits());
        assert_eq!(
            (back.kind(), back.generation(), back.slot()),
            (OpKind::Compute, GENERATION_MAX, u32::MAX)
        );
    }
}
