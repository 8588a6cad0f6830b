//! The rings between shards: one per ordered pair and class, bounded in bytes, carrying bytes.

use ringway_io::ShardId;

/// The class of a message decides what its handling may need.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Class {
    /// Handling it needs no ring space; always drains.
    Deliver = 0,
    /// The answer to a request; its space was reserved when the request was sent; always drains.
    Reply = 1,
    /// Handled only when what it causes (deliveries and its reply) fits; may wait.
    Request = 2,
}

/// There is no space for the message now. The mesh remembers that this shard wants to hear when there is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Full;

/// This shard's ends of the rings.
pub struct Mesh {
    shards: u16,
}

impl Mesh {
    /// How many shards there are.
    #[must_use]
    pub const fn shards(&self) -> u16 {
        self.shards
    }

    /// Whether a deliver message of `bytes` bytes would fit now.
    pub fn deliver_fits(&mut self, _to: ShardId, _bytes: usize) -> bool {
        unimplemented!("the runtime's first commit")
    }

    /// Sends a message whose bytes are the concatenation of `parts`.
    ///
    /// # Errors
    /// [`Full`]; nothing was sent.
    pub fn deliver(&mut self, _to: ShardId, _parts: &[&[u8]]) -> Result<(), Full> {
        unimplemented!("the runtime's first commit")
    }

    /// Sends a request and reserves one reply slot of `REPLY_BYTES_MAX` bytes at `to` for its answer.
    ///
    /// # Errors
    /// [`Full`]; nothing was sent or reserved.
    pub fn request(&mut self, _to: ShardId, _parts: &[&[u8]]) -> Result<(), Full> {
        unimplemented!("the runtime's first commit")
    }

    /// Sends a request that has no reply.
    ///
    /// # Errors
    /// [`Full`]; nothing was sent.
    pub fn request_one_way(&mut self, _to: ShardId, _parts: &[&[u8]]) -> Result<(), Full> {
        unimplemented!("the runtime's first commit")
    }

    /// Answers a request; its space was reserved by the asker.
    ///
    /// # Panics
    /// When the message is longer than `REPLY_BYTES_MAX` or nothing was reserved: both are our own bugs.
    pub fn reply(&mut self, _to: ShardId, _parts: &[&[u8]]) {
        unimplemented!("the runtime's first commit")
    }
}
