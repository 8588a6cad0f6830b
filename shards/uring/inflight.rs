//! What is in flight: frames and slots until the terminal completion of their send (invariant 1), receives, and cancels until they took effect.

use ringway_io::{File, Frame, GENERATION_MAX, Key, OpKind, SlotLease, Socket, Sparse};
use std::collections::HashMap;

/// What a send needs until its terminal completion.
pub(crate) enum HeldSend {
    /// The kernel reads it.
    Frame(Frame),
    /// The kernel reads it.
    Slot(SlotLease),
    /// What it reads stands elsewhere, since it outlasts the send (see `zerocopy`).
    ZeroCopy,
    /// A send from a file, whose socket gets a descriptor first.
    Install(FromFile),
}

/// A send from a file.
#[derive(Clone, Copy)]
pub(crate) struct FromFile {
    pub(crate) socket: Socket,
    pub(crate) file: File,
    pub(crate) offset: u64,
    pub(crate) count: u32,
    pub(crate) is_known: bool,
}

/// One place per connection slot, because there is one send in flight per socket (invariant 2). As long as the loop's table of connections, which
/// has a bound.
pub(crate) struct Sends(Sparse<(Key, HeldSend)>);

impl Sends {
    /// Room for so many without growing.
    pub(crate) fn with_capacity(sockets_max: u32) -> Self {
        Self(Sparse::with_capacity(sockets_max))
    }

    /// # Panics
    /// When the slot's last send is still in flight.
    pub(crate) fn assert_free(&self, key: Key) {
        let slot = key.slot();
        let is_free = self.0.get(slot).is_none();
        assert!(is_free, "two sends in flight on connection slot {slot}");
    }

    /// Holds what a send needs from its submission on.
    ///
    /// # Panics
    /// When the slot's last send is still in flight.
    pub(crate) fn hold(&mut self, key: Key, held: HeldSend) -> &HeldSend {
        self.assert_free(key);
        &self.0.insert(key.slot(), (key, held)).1
    }

    /// Whether the completion under `key`, which nobody will handle, brings a descriptor.
    pub(crate) fn installs(&self, key: Key) -> bool {
        let held = self.0.get(key.slot());
        held.is_some_and(|(_, held)| matches!(held, HeldSend::Install(_)))
    }

    /// Whether `key` names a send in flight.
    fn has(&self, key: Key) -> bool {
        let held = self.0.get(key.slot());
        held.is_some_and(|(holder, _)| *holder == key)
    }

    /// The terminal completion came.
    pub(crate) fn release(&mut self, key: Key) -> HeldSend {
        match self.0.remove(key.slot()) {
            Some((holder, held)) if holder == key => held,
            _ => panic!("a send completes once, under its own key"),
        }
    }
}

/// No generation.
const NONE: u32 = GENERATION_MAX + 1;

/// The receive in flight of each connection slot, by its generation.
pub(crate) struct Receives(Vec<u32>);

impl Receives {
    /// Room for so many without growing.
    pub(crate) fn with_capacity(sockets_max: u32) -> Self {
        Self(Vec::with_capacity(sockets_max as usize))
    }

    /// A receive was submitted.
    pub(crate) fn begin(&mut self, key: Key) {
        let slot = key.slot() as usize;
        if self.0.len() <= slot {
            self.0.resize(slot + 1, NONE);
        }
        assert_eq!(
            self.0[slot], NONE,
            "two receives in flight on connection slot {slot}"
        );
        self.0[slot] = key.generation();
    }

    /// The terminal completion came.
    pub(crate) fn end(&mut self, key: Key) {
        let generation = core::mem::replace(&mut self.0[key.slot() as usize], NONE);
        assert_eq!(generation, key.generation(), "a receive ends once");
    }

    fn has(&self, key: Key) -> bool {
        self.0.get(key.slot() as usize) == Some(&key.generation())
    }
}

/// Whether the kernel still has the operation that `key` names; of receives and sends only, as the others end by themselves.
pub(crate) fn is_in_flight(key: Key, sends: &Sends, receives: &Receives) -> bool {
    match key.kind() {
        OpKind::Send => sends.has(key),
        OpKind::Recv => receives.has(key),
        _ => false,
    }
}

/// One cancel: its own key and the key of what it ends.
#[derive(Clone, Copy)]
pub(crate) struct Cancel {
    pub(crate) key: Key,
    pub(crate) target: Key,
}

/// Cancels on their way, each under a number of its own.
#[derive(Default)]
pub(crate) struct Cancels {
    under_way: HashMap<u64, Cancel>,
    last: u64,
}

impl Cancels {
    pub(crate) fn begin(&mut self, cancel: Cancel) -> u64 {
        // 56 bits of numbers last longer than any process.
        self.last += 1;
        self.under_way.insert(self.last, cancel);
        self.last
    }

    pub(crate) fn get(&self, number: u64) -> Cancel {
        self.under_way[&number]
    }

    pub(crate) fn end(&mut self, number: u64) {
        self.under_way.remove(&number);
    }
}
