//! The shared receive pools: rings of provided buffers, as plain as it gets (no bundles, no incremental use). One is for what clients say, and one, made when it is first
//! needed, for those who send much.

use crate::mapping::Mapping;
use io_uring::IoUring;
use io_uring::types::BufRingEntry;
use ringway_io::{LeaseId, RecvLease};
use std::io;
use std::sync::atomic::{AtomicU16, Ordering};

/// The buffer group of the pool for everybody.
pub(crate) const GROUP: u16 = 0;
/// That of the pool for those who send much.
pub(crate) const BULK_GROUP: u16 = 1;
/// Bytes of each of its buffers.
pub(crate) const BULK_BYTES: u32 = 64 << 10;
/// Its buffers. Each is back before the lap that it was filled in ends.
const BULK_BUFFERS: u16 = 64;
/// Leases of the pools differ by this.
const BULK_LEASE: u32 = 1 << 16;

/// Batches that were short until there are more: a tenth of a second of a busy shard.
pub(crate) const SHORTAGES_MAX: u16 = 256;

/// Who has a buffer, and how often it was given: the guard against giving one back twice.
pub(crate) struct RecvPool {
    ring: Mapping,
    buffers: Mapping,
    count: u16,
    buffer_bytes: u32,
    group: u16,
    tail: u16,
    /// Buffers that were given at all; those above have never been touched.
    used: u16,
    /// How many of those the kernel has not got.
    leases: u16,
    /// Batches that were short since the pool has grown.
    shortages: u16,
    leased: Vec<bool>,
}

// SAFETY: the mappings are owned by this value alone; it moves to the shard's thread once, before any use.
unsafe impl Send for RecvPool {}

fn index_of(lease: &RecvLease) -> u16 {
    (lease.id().0 % BULK_LEASE) as u16
}

/// Whether a lease is of the pool for those who send much.
pub(crate) fn is_bulk(lease: &RecvLease) -> bool {
    lease.id().0 >= BULK_LEASE
}

impl RecvPool {
    /// `count` buffers, a power of two up to 32,768, for everybody.
    pub(crate) fn new(count: u16, buffer_bytes: u32) -> io::Result<Self> {
        Self::of_group(GROUP, count, buffer_bytes)
    }

    /// The pool for those who send much, registered. `None` when the kernel grants none (its ring counts as locked memory): they do without.
    pub(crate) fn bulk(ring: &IoUring) -> Option<Self> {
        let mut pool = Self::of_group(BULK_GROUP, BULK_BUFFERS, BULK_BYTES).ok()?;
        pool.register(ring, BULK_BUFFERS).ok()?;
        Some(pool)
    }

    fn of_group(group: u16, count: u16, buffer_bytes: u32) -> io::Result<Self> {
        assert!(count.is_power_of_two(), "the kernel wants a power of two");
        let ring = Mapping::new(usize::from(count) * size_of::<BufRingEntry>())?;
        let buffers = Mapping::new(usize::from(count) * buffer_bytes as usize)?;
        Ok(Self {
            ring,
            buffers,
            count,
            buffer_bytes,
            group,
            tail: 0,
            used: 0,
            leases: 0,
            shortages: 0,
            leased: vec![true; usize::from(count)],
        })
    }

    /// Registers the ring and gives the kernel its first `count` buffers.
    pub(crate) fn register(&mut self, ring: &IoUring, count: u16) -> io::Result<()> {
        let address = self.ring.start.as_ptr() as u64;
        // SAFETY: the ring's memory outlives its use by the kernel: the driver drops it only when nothing is in flight (`UringDriver::drop`), and a
        // builder that never started has nothing in flight.
        unsafe {
            ring.submitter()
                .register_buf_ring_with_flags(address, self.count, self.group, 0)
        }?;
        self.use_up_to(count);
        Ok(())
    }

    /// Whether the kernel may fill so many more.
    pub(crate) const fn has_free(&self, count: u16) -> bool {
        self.used - self.leases >= count
    }

    /// The kernel found no buffer in this batch. A crowd that comes in is short of some for a moment, and does with what there is; where it goes on, there are
    /// twice as many from then on, up to the pool's end.
    pub(crate) fn was_short(&mut self) {
        self.shortages += 1;
        if self.shortages == SHORTAGES_MAX {
            self.shortages = 0;
            self.use_up_to(self.used.saturating_mul(2));
        }
    }

    fn use_up_to(&mut self, count: u16) {
        let (first, count) = (self.used, count.min(self.count).max(self.used));
        self.leases += count - first;
        self.used = count;
        (first..count).for_each(|id| self.give(id));
    }

    fn buffer(&self, id: u16) -> *mut u8 {
        assert!(
            id < self.count,
            "the kernel names buffers that it was given"
        );
        // SAFETY: `id` is below `count`, so the result stays within the mapping.
        unsafe {
            self.buffers
                .start
                .as_ptr()
                .add(usize::from(id) * self.buffer_bytes as usize)
        }
    }

    /// Gives a buffer to the kernel.
    fn give(&mut self, id: u16) {
        let was_leased = core::mem::replace(&mut self.leased[usize::from(id)], false);
        assert!(was_leased, "receive buffer {id} given back twice");
        self.leases -= 1;
        let address = self.buffer(id) as u64;
        let index = usize::from(self.tail & (self.count - 1));
        // SAFETY: the index is masked to the ring's length, so the result stays within the mapping.
        let entry = unsafe { self.ring.start.as_ptr().cast::<BufRingEntry>().add(index) };
        // SAFETY: the ring is this thread's and aligned to a page; the kernel reads an entry only after the tail moved.
        let entry = unsafe { &mut *entry };
        entry.set_addr(address);
        entry.set_len(self.buffer_bytes);
        entry.set_bid(id);
        self.tail = self.tail.wrapping_add(1);
        // SAFETY: the tail lies within the ring's first entry.
        let tail = unsafe { BufRingEntry::tail(self.ring.start.as_ptr().cast::<BufRingEntry>()) };
        // SAFETY: the tail is an aligned u16 which the kernel reads concurrently; the release orders the entry before it.
        unsafe { AtomicU16::from_ptr(tail.cast_mut()) }.store(self.tail, Ordering::Release);
    }

    /// The kernel filled a buffer.
    pub(crate) fn lease(&mut self, id: u16, bytes_len: u32) -> RecvLease {
        let was_leased = core::mem::replace(&mut self.leased[usize::from(id)], true);
        assert!(
            !was_leased,
            "the kernel filled buffer {id}, which it had not been given"
        );
        assert!(
            bytes_len <= self.buffer_bytes,
            "the kernel filled more than buffer {id} holds"
        );
        self.leases += 1;
        let id = u32::from(id) + BULK_LEASE * u32::from(self.group);
        RecvLease::grant(LeaseId(id), bytes_len)
    }

    pub(crate) fn recycle(&mut self, lease: RecvLease) {
        self.give(index_of(&lease));
    }

    #[expect(
        clippy::needless_pass_by_ref_mut,
        reason = "the bytes are lent exclusively: nobody looks at a second lease meanwhile"
    )]
    pub(crate) fn bytes<'a>(&'a mut self, lease: &'a mut RecvLease) -> &'a mut [u8] {
        // Whoever has `RecvLease::grant` can forge a lease: what the block below relies on is asked here.
        let id = index_of(lease);
        let fits = lease.len() <= self.buffer_bytes as usize;
        assert!(
            self.leased[usize::from(id)] && fits,
            "buffer {id} is the kernel's, or shorter than its lease"
        );
        let start = self.buffer(id);
        // SAFETY: the kernel has filled this buffer and was not given it back: until `recycle` takes the lease, this is its only user, and both
        // borrows keep it so (of the pool too: no second lease of one buffer is looked at meanwhile).
        unsafe { core::slice::from_raw_parts_mut(start, lease.len()) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// How many buffers the kernel has when it got a first share and found none `times`.
    fn check(count: u16, times: u16, expected: u16) {
        let mut pool = RecvPool::new(count, 4096).unwrap();
        pool.use_up_to(64);
        (0..times * SHORTAGES_MAX).for_each(|_| pool.was_short());
        let given = pool.leased.iter().filter(|leased| !**leased).count();
        assert_eq!(
            (given as u16, pool.used, pool.tail),
            (expected, expected, expected)
        );
    }

    #[test]
    fn the_kernel_gets_more_buffers_when_it_found_none() {
        check(512, 0, 64);
        check(512, 1, 128);
        check(512, 3, 512);
        check(512, 9, 512);
        check(2, 0, 2);
        check(2, 1, 2);
        check(32_768, 20, 32_768);
    }
}
