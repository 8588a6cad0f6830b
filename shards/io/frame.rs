//! Bytes on their way out: immutable, shared by reference count within one shard.

use std::rc::Rc;

/// An immutable run of bytes. Cloning shares; nothing ever writes to it again, so the kernel may read it at leisure.
#[derive(Clone, PartialEq, Eq)]
pub struct Frame(Rc<[u8]>);

impl Frame {
    /// Whether both name the same memory (not merely equal bytes).
    #[must_use]
    pub fn same_memory(&self, other: &Self) -> bool {
        Rc::ptr_eq(&self.0, &other.0)
    }
}

impl core::ops::Deref for Frame {
    type Target = [u8];
    fn deref(&self) -> &[u8] {
        &self.0
    }
}

impl From<Rc<[u8]>> for Frame {
    fn from(bytes: Rc<[u8]>) -> Self {
        Self(bytes)
    }
}

impl From<Vec<u8>> for Frame {
    fn from(bytes: Vec<u8>) -> Self {
        Self(bytes.into())
    }
}

impl core::fmt::Debug for Frame {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "Frame({} bytes)", self.0.len())
    }
}
