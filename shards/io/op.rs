//! What a shard may ask of its driver.

use crate::{File, FileOp, Frame, Key, SlotLease};
use core::ops::Range;
use std::net::SocketAddr;

/// A shard, by its index; there are at most 64 (a room keeps its interested shards in one word).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ShardId(pub u16);

/// A connected socket: a slot in this driver's table of direct descriptors. Meaningless on another shard.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Socket(pub u32);

/// A listening socket of this driver, by its index in the order in which the driver was given them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Listener(pub u32);

/// Who connected. Not an `Option` of an address: of a Unix socket's peer the kernel knows something better, and nobody can forget to look at it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Peer {
    /// By TCP, from this address.
    Inet(SocketAddr),
    /// By a Unix socket. Such a client has no address that says anything.
    Unix {
        /// The user on whose behalf it connected, as the kernel says (SO_PEERCRED): whoever listens decides whether that user may.
        uid: u32,
        /// Its process, or 0 when that is not to be seen from here: of use to tell peers apart, and no proof of anything.
        pid: u32,
    },
}

/// A kernel error number, as in errno(3).
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Errno(pub i32);

impl core::fmt::Debug for Errno {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "{}", std::io::Error::from_raw_os_error(self.0))
    }
}

/// What a [`Job`] gives back; the submitter knows its type.
pub type JobOutput = Box<dyn core::any::Any + Send>;

/// CPU-heavy work for the bounded pool beside the shards.
pub type Job = Box<dyn FnOnce() -> JobOutput + Send>;

/// An operation. Each submitted one ends with exactly one terminal completion of the same [`Key`].
pub enum Op {
    /// Accept until cancelled; one at a time of each listener, whose index is the key's slot. Completions: [`crate::Outcome::Accepted`].
    Accept {
        /// Where.
        listener: Listener,
    },
    /// Receive into the shared pool until cancelled or ended. Completions: [`crate::Outcome::Received`], then
    /// one [`crate::Outcome::RecvEnded`] unless the last `Received` says `more: false`.
    Recv {
        /// From whom.
        socket: Socket,
    },
    /// Send a piece of `frame`. At most one in flight per socket, ever.
    Send {
        /// To whom.
        socket: Socket,
        /// The bytes; held by the driver until the terminal completion.
        frame: Frame,
        /// Which: from what has been sent before to the frame's end, or less.
        piece: Range<u32>,
        /// More is sent at once behind it, and may go in one segment with it (MSG_MORE).
        goes_on: bool,
    },
    /// Send bytes of a file that are in memory, without a copy, and never wait: neither for the disk nor for the socket. It is the socket's send in flight.
    /// Completion: [`crate::Outcome::FileSent`].
    SendFile {
        /// To whom.
        socket: Socket,
        /// From what.
        file: File,
        /// From where.
        offset: u64,
        /// How many bytes at most.
        count: u32,
        /// That they are in memory was seen a moment ago: only the last one is looked at again.
        is_known: bool,
    },
    /// Send what stands in a slot, and never wait for the socket. It is the socket's send in flight. Completion: [`crate::Outcome::SlotSent`].
    SendSlot {
        /// To whom.
        socket: Socket,
        /// The bytes; the completion brings a slot back, not always this one.
        slot: SlotLease,
        /// Which of them.
        piece: Range<u32>,
    },
    /// Wait until the socket takes something, or is shut down. Completion: [`crate::Outcome::Writable`], or
    /// [`crate::Outcome::HalfClosed`].
    AwaitWritable {
        /// Which.
        socket: Socket,
    },
    /// Something about files. Completion: [`crate::Outcome::File`].
    File(Box<FileOp>),
    /// Ask that the operation `target` end early. Its own last completion still comes and alone retires its buffer;
    /// the completion of the cancel itself says nothing but that it was seen.
    Cancel {
        /// The operation to end.
        target: Key,
    },
    /// Shut both directions down; operations in flight on the socket then end by themselves.
    Shutdown {
        /// Which.
        socket: Socket,
    },
    /// Say that nothing more will be sent, while the peer may still speak (RFC 9112 §9.6: a close before the peer has read takes the answer away).
    ShutdownWrite {
        /// Which.
        socket: Socket,
    },
    /// Close. Only after the last completion of everything else on this socket (invariant 7).
    Close {
        /// Which.
        socket: Socket,
    },
    /// Hand the descriptor to another shard, where it appears as [`crate::Outcome::Arrived`] with `token`. This side's
    /// slot stays open and is closed by the sender afterwards. Arrivals come in any order and may overtake messages.
    SendSocket {
        /// Which.
        socket: Socket,
        /// To which shard.
        to: ShardId,
        /// Chosen by the sender; unique among its hand-overs under way, below 2^56.
        token: u64,
    },
    /// Run a job on the pool. Completion: [`crate::Outcome::Computed`].
    Compute {
        /// The work.
        job: Job,
    },
}

impl core::fmt::Debug for Op {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match self {
            Self::Accept { listener } => write!(f, "Accept({})", listener.0),
            Self::Recv { socket } => write!(f, "Recv({})", socket.0),
            Self::Send {
                socket,
                frame,
                piece,
                ..
            } => write!(f, "Send({}, {piece:?} of {})", socket.0, frame.len()),
            Self::SendFile {
                socket,
                file,
                offset,
                count,
                ..
            } => write!(f, "SendFile({}, {}, {count} at {offset})", socket.0, file.0),
            Self::SendSlot {
                socket,
                slot,
                piece,
            } => write!(f, "SendSlot({}, {piece:?} of {})", socket.0, slot.id()),
            Self::AwaitWritable { socket } => write!(f, "AwaitWritable({})", socket.0),
            Self::File(op) => write!(f, "{op:?}"),
            Self::Cancel { target } => write!(f, "Cancel({target:?})"),
            Self::Shutdown { socket } => write!(f, "Shutdown({})", socket.0),
            Self::ShutdownWrite { socket } => write!(f, "ShutdownWrite({})", socket.0),
            Self::Close { socket } => write!(f, "Close({})", socket.0),
            Self::SendSocket { socket, to, token } => {
                write!(f, "SendSocket({}, {}, {token:x})", socket.0, to.0)
            }
            Self::Compute { .. } => write!(f, "Compute"),
        }
    }
}
