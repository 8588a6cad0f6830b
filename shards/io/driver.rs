//! The one trait between the loop and the kernel, real or pretended.

use crate::{Completion, Key, Listener, Op, RecvLease, ShardId, SlotLease};
use core::time::Duration;

/// Unpredictable bits (in the simulator: from the seed).
pub trait Entropy {
    /// The next 64.
    fn draw(&mut self) -> u64;
}

/// What became of sends that were to avoid the copy.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Notices {
    /// Those that did.
    pub avoided: u64,
    /// Those of which the kernel copied the bytes nevertheless.
    pub copied: u64,
}

/// Moves bytes for one shard. One thread owns it; nothing in it is shared.
pub trait Driver {
    /// Where its unpredictable bits come from.
    type Entropy: Entropy;

    /// Takes an operation. Never fails: what the kernel refuses comes back as a completion. Back-pressure of the kernel
    /// (EINTR, EBUSY, EAGAIN on enter) is the driver's own business.
    fn submit(&mut self, key: Key, op: Op);

    /// Appends completions to `batch`. Returns at once when there are any (or when `deadline` is now or past); otherwise
    /// sleeps until a completion, a [`Driver::wake`] from another thread, or `deadline` on this driver's clock. May return
    /// with nothing. Every submitted operation has reached the kernel when this sleeps.
    fn wait(&mut self, deadline: Option<Duration>, batch: &mut Vec<Completion>);

    /// Whether the last [`Driver::wait`] left something with the kernel that had come by then: more than one wait takes, or bytes that there was no
    /// buffer for. Whoever is waited for may be among it.
    fn has_left_some(&self) -> bool;

    /// Monotonic time since a start common to all shards of the process; read once per lap by the loop.
    fn now(&self) -> Duration;

    /// Wall-clock time since the Unix epoch, advancing with [`Driver::now`].
    fn unix_time(&self) -> Duration;

    /// Unpredictable bits.
    fn entropy(&mut self) -> u64;

    /// The received bytes, and unpredictable bits for whoever works on them. Mutable, because WebSocket payloads are unmasked in place.
    fn lend<'a>(&'a mut self, lease: &'a mut RecvLease) -> (&'a mut [u8], &'a mut Self::Entropy);

    /// The received bytes alone.
    fn bytes<'a>(&'a mut self, lease: &'a mut RecvLease) -> &'a mut [u8] {
        self.lend(lease).0
    }

    /// Gives a receive buffer back to the pool.
    fn recycle(&mut self, lease: RecvLease);

    /// Bytes of one slot of the arena; 0 when this driver serves no files.
    fn slot_bytes_max(&self) -> u32;

    /// A slot that is free; `None` when all are out.
    fn take_slot(&mut self) -> Option<SlotLease>;

    /// Gives a slot back to the arena.
    fn return_slot(&mut self, slot: SlotLease);

    /// The slot's bytes.
    fn slot_bytes<'a>(&'a mut self, slot: &'a mut SlotLease) -> &'a mut [u8];

    /// What the kernel's notices said so far of sends from slots.
    fn notices(&self) -> Notices {
        Notices::default()
    }

    /// Wakes another shard's `wait`, now or when it next would sleep. Cheap only when that shard is asleep; callers
    /// consult the mesh's parked flag first.
    fn wake(&mut self, shard: ShardId);

    /// How many listeners there were at the start. They are numbered from 0, and the numbers never change.
    fn listeners(&self) -> u32;

    /// Closes a listener, after its accept has ended: further clients are refused by the kernel. The other listeners go on.
    fn stop_listening(&mut self, listener: Listener);
}
