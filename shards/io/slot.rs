//! A slot of the arena: page-aligned memory that is registered with the kernel, for the bytes of files on their way to sockets.

/// The right to one slot of this driver's arena. Not `Clone`: whoever has it is the slot's only user, an operation takes it along, and its completion
/// brings it back. `Driver::return_slot` moves it away, so that it cannot be returned twice or used afterwards.
#[derive(Debug)]
#[must_use = "a slot that is dropped is a slot that the arena has lost"]
pub struct SlotLease {
    id: u16,
}

impl SlotLease {
    /// For drivers only: states that slot `id` is free, and that no other lease names it.
    pub const fn grant(id: u16) -> Self {
        Self { id }
    }

    /// Which slot it is.
    #[must_use]
    pub const fn id(&self) -> u16 {
        self.id
    }
}
