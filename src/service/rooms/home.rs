//! A room's home: its numbers, the shards that want its messages, and how fast messages may come.

use super::Position;
use crate::limits::{Rate, TokenBucket};

/// A home without interest or messages is forgotten after this time; its next message starts a new epoch.
const IDLE_US: u64 = 60_000_000;

pub(super) struct Home {
    pub(super) position: Position,
    /// A bit for each shard with members.
    pub(super) interest: u64,
    used_us: u64,
    /// Here and not with the publishers: a room's rate is one, however many shards its publishers are on.
    messages: TokenBucket,
}

impl Home {
    pub(super) fn new(epoch: u64) -> Self {
        Self {
            position: Position { epoch, offset: 0 },
            interest: 0,
            used_us: 0,
            messages: TokenBucket::default(),
        }
    }

    pub(super) const fn touch(&mut self, now_us: u64) {
        self.used_us = now_us;
    }

    /// Counts a message against the room's rate.
    pub(super) fn charge(&mut self, now_us: u64, rate: Rate) -> bool {
        self.messages.take(now_us, rate)
    }

    /// Messages after the given position go to `shard` from now on.
    pub(super) const fn subscribe(&mut self, shard: u16) -> Position {
        self.interest |= 1 << shard;
        self.position
    }

    pub(super) const fn unsubscribe(&mut self, shard: u16) {
        self.interest &= !(1 << shard);
    }

    /// Whether it may be forgotten when there is no room for others: nobody listens, and a new one would have no more tokens.
    pub(super) const fn is_spare(&self, now_us: u64) -> bool {
        self.interest == 0 && self.messages.is_full(now_us)
    }

    pub(super) const fn is_idle(&self, now_us: u64) -> bool {
        self.is_spare(now_us) && now_us - self.used_us >= IDLE_US
    }
}
