//! What a hub asks of the loop that drives it.
//!
//! Deliberately absent: how it is done; the wiring turns each into one command of the loop.

use super::FileAsk;
use crate::time::ConnId;
use crate::uploads::StoreAsk;
use core::any::Any;

/// Work for a thread beside the shards.
pub type Job = Box<dyn FnOnce() -> Box<dyn Any + Send> + Send>;

/// What the loop is to do, in the order given.
pub enum Output {
    /// The connection has something to send: call [`super::Hub::next_send`].
    Dirty(ConnId),
    /// The same, and it must be there by some time: whoever has only messages waits for it.
    Urgent(ConnId),
    /// The same, and it is long: it goes behind messages.
    Behind(ConnId),
    /// The same as [`Output::Dirty`] at `at_us`, unless something is sent before.
    DirtyAt {
        /// Which.
        conn: ConnId,
        /// Monotonic microseconds.
        at_us: u64,
    },
    /// Send what is left, then close.
    CloseAfterFlush(ConnId),
    /// The peer has said that it sends nothing more: a [`Output::CloseAfterFlush`] that follows waits for nothing.
    PeerFinished(ConnId),
    /// Close at once.
    Close(ConnId),
    /// Receive nothing for now.
    Pause(ConnId),
    /// Receive again.
    Resume(ConnId),
    /// Hand the connection to another shard: [`super::Hub::freeze`] here, [`super::Hub::arrived`] there.
    Migrate {
        /// Which.
        conn: ConnId,
        /// Where to.
        to: u16,
    },
    /// Call [`super::Hub::deadline`] with `token` at or after `at_us`.
    Timer {
        /// Monotonic microseconds.
        at_us: u64,
        /// Handed back.
        token: u64,
    },
    /// Do something about files; [`super::Hub::file`] gets what came of it.
    File {
        /// Handed back.
        token: u64,
        /// What.
        ask: FileAsk,
    },
    /// Do something about files of uploads, or about a journal of the shard; [`super::Hub::stored`] gets what came of it.
    Store {
        /// Handed back.
        token: u64,
        /// What.
        ask: StoreAsk,
    },
    /// Run the job beside the shards; [`super::Hub::computed`] gets its result.
    Compute {
        /// Handed back.
        token: u32,
        /// The work.
        job: Job,
    },
}
