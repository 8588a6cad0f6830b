//! A buffer of the shared receive pool, held only while its bytes are parsed.

/// Which buffer of the pool.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct LeaseId(pub u32);

/// The right to one filled receive buffer. Not `Clone`: giving it back (`Driver::recycle`) moves it away, so it
/// cannot be given back twice or read afterwards. Losing one is a bug that the simulator reports at the end of a seed.
#[derive(Debug)]
#[must_use = "a lease that is dropped is a buffer that the pool has lost"]
pub struct RecvLease {
    id: LeaseId,
    bytes_len: u32,
}

impl RecvLease {
    /// For drivers only: states that buffer `id` holds `bytes_len` received bytes, and that no other lease names it.
    pub const fn grant(id: LeaseId, bytes_len: u32) -> Self {
        Self { id, bytes_len }
    }

    /// Which buffer it is.
    #[must_use]
    pub const fn id(&self) -> LeaseId {
        self.id
    }

    /// How many bytes were received into it.
    #[must_use]
    pub const fn len(&self) -> usize {
        self.bytes_len as usize
    }

    /// Whether nothing was received (drivers never grant such a lease).
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.bytes_len == 0
    }
}
