//! The arena: slots of registered memory for the bytes of files, made only when files are served.

use crate::mapping::Mapping;
use io_uring::IoUring;
use ringway_io::SlotLease;
use std::io;

/// The fewest slots with which files are served: one transfer has two.
const SLOTS_MIN: u16 = 4;

/// Sizes of what one shard needs to serve files. At each bound somebody waits or is told; nothing grows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FilesConfig {
    /// Slots of the arena. When none is free, transfers that need one wait in their order, without one.
    pub slots: u16,
    /// Bytes of each, a multiple of a page.
    pub slot_bytes: u32,
    /// Files that may be open. One more is refused as `Exhausted`.
    pub files_max: u32,
    /// Sockets that have an ordinary descriptor beside their place in the table, for sendfile(2). One more takes the place of the one that has it longest.
    pub installed_max: u32,
    /// Whether sends from slots avoid the copy where the kernel's notices say that they do (SEND_ZC).
    pub zero_copy: bool,
}

impl Default for FilesConfig {
    fn default() -> Self {
        Self {
            slots: 32,
            slot_bytes: 128 * 1024,
            files_max: 4096,
            installed_max: 1024,
            zero_copy: true,
        }
    }
}

impl FilesConfig {
    /// What RLIMIT_MEMLOCK is charged for the arena: registered memory is pinned, each page of it.
    #[must_use]
    pub const fn memlock_bytes(&self) -> u64 {
        self.slots as u64 * self.slot_bytes as u64
    }

    /// Descriptors beyond the sockets' table, which RLIMIT_NOFILE must allow.
    #[must_use]
    pub const fn descriptors(&self) -> u64 {
        self.files_max as u64 + self.installed_max as u64
    }

    /// The same with as many slots as `bytes` allow; `None` when those are too few to serve files at all.
    #[must_use]
    pub fn within(self, bytes: u64) -> Option<Self> {
        let fit = bytes / u64::from(self.slot_bytes);
        let slots = self.slots.min(u16::try_from(fit).unwrap_or(u16::MAX));
        (slots >= SLOTS_MIN).then_some(Self { slots, ..self })
    }
}

/// The slots, and which of them are out.
pub(crate) struct Arena {
    memory: Mapping,
    slot_bytes: u32,
    free: Vec<u16>,
    /// By slot: the guard against one that is returned twice.
    out: Vec<bool>,
}

// SAFETY: the mapping is owned by this value alone; it moves to the shard's thread once, before any use.
unsafe impl Send for Arena {}

impl Arena {
    pub(crate) fn new(config: &FilesConfig) -> io::Result<Self> {
        assert!(
            config.slot_bytes.is_multiple_of(4096) && config.slot_bytes > 0,
            "a slot is a number of whole pages"
        );
        let count = usize::from(config.slots);
        Ok(Self {
            memory: Mapping::new(count * config.slot_bytes as usize)?,
            slot_bytes: config.slot_bytes,
            // The first are used again and again, so that they stay in the caches.
            free: (0..config.slots).rev().collect(),
            out: vec![false; count],
        })
    }

    /// Registers each slot under its own number.
    pub(crate) fn register(&self, ring: &IoUring) -> io::Result<()> {
        let count = self.out.len() as u16;
        let parts = (0..count).map(|id| libc::iovec {
            iov_base: self.start_of(id).cast(),
            iov_len: self.slot_bytes as usize,
        });
        let parts: Vec<_> = parts.collect();
        // SAFETY: the memory is mapped, and stays so until nothing is in flight: the arena lies in the driver's `Memory`.
        unsafe { ring.submitter().register_buffers(&parts) }
    }

    pub(crate) const fn slot_bytes(&self) -> u32 {
        self.slot_bytes
    }

    /// Where a slot begins; whoever dereferences it says why it may.
    pub(crate) fn start_of(&self, id: u16) -> *mut u8 {
        assert!(usize::from(id) < self.out.len(), "slot {id} is of no arena");
        // SAFETY: `id` is below the number of slots, so the result stays within the mapping.
        unsafe {
            self.memory
                .start
                .as_ptr()
                .add(usize::from(id) * self.slot_bytes as usize)
        }
    }

    pub(crate) fn take(&mut self) -> Option<SlotLease> {
        let id = self.free.pop()?;
        self.out[usize::from(id)] = true;
        Some(SlotLease::grant(id))
    }

    pub(crate) fn give_back(&mut self, slot: &SlotLease) {
        let was_out = core::mem::replace(&mut self.out[usize::from(slot.id())], false);
        assert!(was_out, "slot {} is returned twice", slot.id());
        self.free.push(slot.id());
    }

    #[expect(
        clippy::needless_pass_by_ref_mut,
        reason = "the bytes are lent exclusively: nobody looks at a second slot meanwhile"
    )]
    pub(crate) fn bytes<'a>(&'a mut self, slot: &'a mut SlotLease) -> &'a mut [u8] {
        // Whoever has `SlotLease::grant` can forge one: what the block below relies on is asked here.
        assert!(self.out[usize::from(slot.id())], "a free slot is looked at");
        let start = self.start_of(slot.id());
        // SAFETY: the slot is out and its lease is here, so no operation has it: one that does has the lease. Both borrows keep it so.
        unsafe { core::slice::from_raw_parts_mut(start, self.slot_bytes as usize) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SMALL: FilesConfig = FilesConfig {
        slots: 2,
        slot_bytes: 4096,
        files_max: 1,
        installed_max: 1,
        zero_copy: false,
    };

    #[test]
    fn slots_are_lent_once_and_come_back() {
        let mut arena = Arena::new(&SMALL).unwrap();
        let (mut first, second) = (arena.take().unwrap(), arena.take().unwrap());
        assert!(arena.take().is_none());
        arena.bytes(&mut first).fill(7);
        arena.give_back(&second);
        let mut again = arena.take().unwrap();
        assert_eq!(again.id(), second.id());
        assert!(arena.bytes(&mut again).iter().all(|byte| *byte == 0));
        assert!(arena.bytes(&mut first).iter().all(|byte| *byte == 7));
    }

    #[test]
    #[should_panic(expected = "slot 0 is returned twice")]
    fn a_slot_returns_once() {
        let mut arena = Arena::new(&SMALL).unwrap();
        let slot = arena.take().unwrap();
        arena.give_back(&slot);
        arena.give_back(&slot);
    }

    #[test]
    fn the_arena_fits_what_may_be_locked() {
        let all = FilesConfig::default();
        assert_eq!(all.within(u64::MAX), Some(all));
        let some = all.within(1 << 20).unwrap();
        assert_eq!((some.slots, some.memlock_bytes()), (8, 1 << 20));
        assert_eq!(all.within(400_000), None);
    }
}
