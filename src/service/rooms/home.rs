//! A room's home: its numbers and the shards that want its messages.

use super::Position;

pub(super) struct Home {
    pub(super) position: Position,
    /// A bit for each shard with members.
    pub(super) interest: u64,
    pub(super) used_us: u64,
}

impl Home {
    pub(super) const fn new(epoch: u64) -> Self {
        Self {
            position: Position { epoch, offset: 0 },
            interest: 0,
            used_us: 0,
        }
    }

    /// Messages after the given position go to `shard` from now on.
    pub(super) const fn subscribe(&mut self, shard: u16) -> Position {
        self.interest |= 1 << shard;
        self.position
    }

    pub(super) const fn unsubscribe(&mut self, shard: u16) {
        self.interest &= !(1 << shard);
    }
}
