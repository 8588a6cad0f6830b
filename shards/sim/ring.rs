//! One shard's ring: its table of sockets, what is in flight, and what has ended but is not told yet.

use crate::guard::Pool;
use crate::slots::Slots;
use core::ops::Range;
use ringway_io::{Completion, File, FileOp, Frame, Job, Key, Listener, Outcome, SlotLease};
use std::collections::VecDeque;

/// What an operation does.
pub(crate) enum Work {
    Accept {
        listener: usize,
    },
    Recv {
        pair: usize,
    },
    Send {
        pair: usize,
        frame: Frame,
        checksum: u64,
        piece: Range<usize>,
        /// More is said to follow at once.
        goes_on: bool,
        /// Bytes that went.
        moved: usize,
    },
    Cancel {
        target: Key,
    },
    Shutdown {
        pair: usize,
        both: bool,
    },
    Close {
        socket: u32,
    },
    SendSocket {
        socket: u32,
        to: usize,
        token: u64,
    },
    Compute {
        job: Job,
    },
    SendFile {
        pair: usize,
        file: File,
        offset: u64,
        count: u32,
    },
    SendSlot {
        pair: usize,
        slot: SlotLease,
        checksum: u64,
        piece: Range<usize>,
    },
    Writable {
        pair: usize,
    },
    File {
        op: Box<FileOp>,
    },
}

/// What an open file is.
#[derive(Clone, Copy)]
pub(crate) enum Content {
    Inode(usize),
    Root(usize),
}

/// An open file.
pub(crate) struct OpenFile {
    pub(crate) content: Content,
}

/// An operation between its submission and its last completion.
pub(crate) struct InFlight {
    pub(crate) key: Key,
    /// Which socket it uses.
    pub(crate) socket: Option<u32>,
    pub(crate) work: Work,
    pub(crate) cancelled: bool,
    /// It has reached the kernel.
    pub(crate) seen: bool,
}

/// A listening socket.
pub(crate) struct Door {
    /// Clients that nobody accepted yet, by their pair.
    pub(crate) arriving: VecDeque<usize>,
    pub(crate) listening: bool,
}

impl Door {
    const fn new() -> Self {
        Self {
            arriving: VecDeque::new(),
            listening: true,
        }
    }
}

/// The ring.
pub(crate) struct Ring {
    pub(crate) pool: Pool,
    /// Which pair a direct descriptor names.
    pub(crate) sockets: Vec<Option<usize>>,
    pub(crate) in_flight: Vec<InFlight>,
    pub(crate) ready: VecDeque<Completion>,
    /// By the listener's number.
    pub(crate) doors: Vec<Door>,
    /// Open files, by their number.
    pub(crate) files: Vec<Option<OpenFile>>,
    pub(crate) slots: Slots,
    pub(crate) woken: bool,
    /// Sockets whose last receive was told that the pool is empty.
    pub(crate) starved: Vec<u32>,
    /// Receives of closed connections, for a completion that comes too late.
    pub(crate) stale: Vec<Key>,
}

impl Ring {
    pub(crate) fn new(pool: Pool, sockets_max: usize, listeners: usize) -> Self {
        Self {
            pool,
            sockets: vec![None; sockets_max],
            in_flight: Vec::new(),
            ready: VecDeque::new(),
            doors: (0..listeners).map(|_| Door::new()).collect(),
            files: Vec::new(),
            slots: Slots::new(0, 0),
            woken: false,
            starved: Vec::new(),
            stale: Vec::new(),
        }
    }

    /// Gives a pair a descriptor; `None` when the table is full.
    pub(crate) fn install(&mut self, pair: usize) -> Option<u32> {
        let socket = self.sockets.iter().position(Option::is_none)?;
        self.sockets[socket] = Some(pair);
        Some(socket as u32)
    }

    pub(crate) fn accepts_on(&self, listener: Listener) -> usize {
        let accepts = |operation: &&InFlight| matches!(operation.work, Work::Accept { listener: one } if one == listener.0 as usize);
        self.in_flight.iter().filter(accepts).count()
    }

    pub(crate) fn pair(&self, socket: u32) -> usize {
        self.sockets[socket as usize].expect("an operation names an open socket")
    }

    /// Buffers that the loop has not given back.
    pub(crate) fn leased(&self) -> usize {
        let untold = self
            .ready
            .iter()
            .filter(|completion| matches!(completion.outcome, Outcome::Received { .. }));
        self.pool.leased() - untold.count()
    }

    /// Whether an operation uses the file.
    pub(crate) fn uses_file(&self, file: File) -> bool {
        self.in_flight
            .iter()
            .any(|operation| match &operation.work {
                Work::SendFile { file: used, .. } => *used == file,
                Work::File { op } => crate::storage::names(op).contains(&Some(file)),
                _ => false,
            })
    }

    /// Whether another operation uses the socket.
    pub(crate) fn uses(&self, socket: u32) -> bool {
        self.in_flight
            .iter()
            .any(|operation| operation.socket == Some(socket))
    }

    pub(crate) fn sends_on(&self, socket: u32) -> usize {
        let sends = |operation: &&InFlight| {
            let is_send = matches!(
                operation.work,
                Work::Send { .. } | Work::SendFile { .. } | Work::SendSlot { .. }
            );
            operation.socket == Some(socket) && is_send
        };
        self.in_flight.iter().filter(sends).count()
    }

    pub(crate) fn receives_on(&self, socket: u32) -> usize {
        let receives = |operation: &&InFlight| {
            operation.socket == Some(socket) && matches!(operation.work, Work::Recv { .. })
        };
        self.in_flight.iter().filter(receives).count()
    }
}
