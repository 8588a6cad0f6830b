//! The arena with a guard: whoever writes to a slot that is not his is found, and so is a slot that is returned twice or never.

use crate::guard::checksum;
use ringway_io::SlotLease;

/// What fills a slot that is free, and one that the kernel is reading into.
const FREE: u8 = 0x5a;
const KERNELS: u8 = 0xc3;

struct Slot {
    bytes: Vec<u8>,
    is_out: bool,
}

/// Slots of one ring.
pub(crate) struct Slots {
    slots: Vec<Slot>,
    free: Vec<u16>,
    /// Those that the kernel reads on beyond their send, and the sum of what must stand in each.
    lent: Vec<(SlotLease, u64)>,
    slot_bytes: usize,
}

impl Slots {
    pub(crate) fn new(slots: u16, slot_bytes: usize) -> Self {
        let slot = |_| Slot {
            bytes: vec![FREE; slot_bytes],
            is_out: false,
        };
        Self {
            slots: (0..slots).map(slot).collect(),
            free: (0..slots).collect(),
            lent: Vec::new(),
            slot_bytes,
        }
    }

    pub(crate) const fn slot_bytes(&self) -> usize {
        self.slot_bytes
    }

    /// Those that somebody other than the kernel has.
    pub(crate) const fn out(&self) -> usize {
        self.slots.len() - self.free.len() - self.lent.len()
    }

    fn slot(&mut self, lease: &SlotLease) -> &mut Slot {
        let slot = &mut self.slots[usize::from(lease.id())];
        assert!(slot.is_out, "slot {} is free", lease.id());
        slot
    }

    pub(crate) fn take(&mut self) -> Option<SlotLease> {
        let id = self.free.pop()?;
        let slot = &mut self.slots[usize::from(id)];
        let untouched = slot.bytes.iter().all(|byte| *byte == FREE);
        assert!(untouched, "slot {id} was written to while it was free");
        slot.is_out = true;
        Some(SlotLease::grant(id))
    }

    pub(crate) fn give_back(&mut self, lease: &SlotLease) {
        let slot = self.slot(lease);
        slot.is_out = false;
        slot.bytes.fill(FREE);
        self.free.insert(0, lease.id());
    }

    pub(crate) fn bytes(&mut self, lease: &SlotLease) -> &mut Vec<u8> {
        &mut self.slot(lease).bytes
    }

    /// A read into it begins: what was in it is nobody's any more.
    pub(crate) fn begin_read(&mut self, lease: &SlotLease) {
        self.slot(lease).bytes.fill(KERNELS);
    }

    /// The read ends with these bytes.
    pub(crate) fn end_read(&mut self, lease: &SlotLease, bytes: &[u8]) {
        let slot = self.slot(lease);
        let untouched = slot.bytes.iter().all(|byte| *byte == KERNELS);
        assert!(
            untouched,
            "slot {} was written to during a read",
            lease.id()
        );
        slot.bytes[..bytes.len()].copy_from_slice(bytes);
    }

    /// A send ended, and the kernel reads its slot on: another one comes back instead, if there is one.
    pub(crate) fn lend(&mut self, lease: SlotLease) -> SlotLease {
        let Some(other) = self.take() else {
            return lease;
        };
        let checksum = self.checksum(&lease);
        self.lent.push((lease, checksum));
        other
    }

    pub(crate) const fn lent(&self) -> usize {
        self.lent.len()
    }

    /// The notice of a slot comes.
    pub(crate) fn notice(&mut self, index: usize) {
        let (lease, checksum) = self.lent.swap_remove(index);
        let now = self.checksum(&lease);
        assert_eq!(
            now,
            checksum,
            "slot {} changed before its notice",
            lease.id()
        );
        self.give_back(&lease);
    }

    pub(crate) fn checksum(&mut self, lease: &SlotLease) -> u64 {
        checksum(&self.slot(lease).bytes)
    }
}
