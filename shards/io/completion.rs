//! What a driver gives back.

use crate::{Errno, FileDone, FileSend, Job, JobOutput, Key, Peer, RecvLease, SlotLease, Socket};

/// One completion of an operation.
#[derive(Debug)]
pub struct Completion {
    /// The operation's key, as submitted. For [`Outcome::Arrived`] the kind is `Arrive` and the rest is zero.
    pub key: Key,
    /// What happened.
    pub outcome: Outcome,
}

/// Why a receive ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RecvEnd {
    /// The peer finished sending.
    Eof,
    /// The pool is empty. Park; re-arm when a lease was recycled, never here (invariant 4).
    NoBuffers,
    /// Cancelled by request.
    Cancelled,
    /// The kernel ended the multishot without a reason; re-arm.
    Ended,
    /// The socket failed.
    Failed(Errno),
}

/// What happened.
pub enum Outcome {
    /// A client, or the reason why there is none. `more` says that the accept is still armed.
    Accepted {
        /// The socket, and who is at its other end.
        result: Result<(Socket, Peer), Errno>,
        /// Still armed.
        more: bool,
    },
    /// Bytes. `more` says that the receive is still armed; without it this was the terminal completion.
    Received {
        /// At least one byte.
        lease: RecvLease,
        /// Still armed.
        more: bool,
    },
    /// The terminal completion of a receive without bytes.
    RecvEnded(RecvEnd),
    /// The terminal completion of a send: how many bytes went, perhaps fewer than asked. A cancelled send that
    /// moved bytes reports them (`Ok`), otherwise `Err(ECANCELED)`.
    Sent(Result<u32, Errno>),
    /// The terminal completion of a send from a file.
    FileSent(FileSend),
    /// The terminal completion of a send from a slot: how many bytes went. `EAGAIN` when the socket took nothing.
    SlotSent {
        /// A slot, to be filled anew: the one that was sent from, or another in its place while the kernel still reads that one.
        slot: SlotLease,
        /// How much of what was sent went.
        result: Result<u32, Errno>,
    },
    /// The socket takes something, or never will.
    Writable,
    /// Nobody can say when the socket takes something: its peer has said all that it will say, and of such a socket a poll says at once that there is something
    /// to say. Whoever waits asks again after a while.
    HalfClosed,
    /// What came of an operation on files.
    File(Box<FileDone>),
    /// A cancel request was seen.
    CancelSeen,
    /// A shutdown finished (its result interests nobody: the socket may be gone already).
    ShutDown,
    /// The descriptor is closed; its slot may be reused by the driver.
    Closed,
    /// The descriptor went to the other shard, or why not (`ENFILE`: the other table is full).
    SocketSent(Result<(), Errno>),
    /// A descriptor arrived from another shard.
    Arrived {
        /// Its slot here.
        socket: Socket,
        /// The sender's token.
        token: u64,
    },
    /// A job's result; `Err` when the pool was full and the job did not run.
    Computed(Result<JobOutput, PoolFull>),
}

/// The compute pool's queue was full; the job comes back as it was, with all that it owns.
pub struct PoolFull(
    /// What did not run.
    pub Job,
);

impl core::fmt::Debug for PoolFull {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str("PoolFull")
    }
}

impl core::fmt::Debug for Outcome {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match self {
            Self::Accepted { result, more } => write!(f, "Accepted({result:?}, more: {more})"),
            Self::Received { lease, more } => write!(f, "Received({lease:?}, more: {more})"),
            Self::RecvEnded(end) => write!(f, "RecvEnded({end:?})"),
            Self::Sent(result) => write!(f, "Sent({result:?})"),
            Self::FileSent(end) => write!(f, "FileSent({end:?})"),
            Self::SlotSent { slot, result } => write!(f, "SlotSent({}, {result:?})", slot.id()),
            Self::Writable => f.write_str("Writable"),
            Self::HalfClosed => f.write_str("HalfClosed"),
            Self::File(done) => write!(f, "{done:?}"),
            Self::CancelSeen => f.write_str("CancelSeen"),
            Self::ShutDown => f.write_str("ShutDown"),
            Self::Closed => f.write_str("Closed"),
            Self::SocketSent(result) => write!(f, "SocketSent({result:?})"),
            Self::Arrived { socket, token } => write!(f, "Arrived({}, {token:x})", socket.0),
            Self::Computed(result) => write!(
                f,
                "Computed({})",
                if result.is_ok() { "ok" } else { "pool full" }
            ),
        }
    }
}
