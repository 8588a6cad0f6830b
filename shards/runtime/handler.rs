//! What the loop tells the layer above, and what that layer may ask of the loop.

use crate::filework::{FileOutcome, FileRequest};
use crate::mesh::{Class, Mesh};
use crate::transfer::Outgoing;
use core::time::Duration;
use ringway_io::{Job, JobOutput, Listener, Peer, PoolFull, ShardId};

/// A connection: a slot of this shard's table and its generation. Stale ones are harmless: commands about them do nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Conn {
    /// Index into the shard's table; dense, reused.
    pub slot: u32,
    /// Which use of the slot.
    pub generation: u32,
}

/// The time of this lap, read once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Now {
    /// Monotonic, since a start common to all shards.
    pub monotonic: Duration,
    /// Since the Unix epoch.
    pub unix: Duration,
}

/// Why a connection ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cause {
    /// The peer closed or finished sending.
    Peer,
    /// The socket failed (reset, timed out in the kernel).
    Failed,
    /// The handler asked for it.
    Closed,
    /// The connection could not be handed to the other shard.
    HandOverFailed,
    /// A file ended before the bytes that were to be sent of it: it was cut short meanwhile.
    FileShort,
    /// A file was written to while it was sent.
    FileChanged,
    /// A file could not be read.
    FileFailed,
    /// The connection goes on elsewhere, and what it was being sent of a file cannot.
    FileCut,
}

/// What a handler may do during a call.
pub struct Context<'a> {
    /// The time of this lap.
    pub now: Now,
    /// Whether all that had come when this lap began was read. If not, whoever seems silent may have spoken.
    pub heard_all: bool,
    /// This shard.
    pub shard: ShardId,
    /// The rings to the other shards.
    pub mesh: &'a mut Mesh,
    /// Commands to the loop, carried out in order after the call returns.
    pub commands: &'a mut Vec<Command>,
    /// Unpredictable bits from the driver.
    pub entropy: &'a mut dyn FnMut() -> u64,
}

/// What a handler may ask of the loop.
pub enum Command {
    /// The connection has something to send: the loop calls [`Handler::next_send`] at the end of the lap, or when
    /// the send in flight completes.
    Dirty(Conn),
    /// The same, before all that wait for their turn: for what must be there by some time, as a ping.
    Urgent(Conn),
    /// The same, behind all that have messages, and a few connections in a lap: for what is long.
    Behind(Conn),
    /// The same as [`Command::Dirty`], at that time, unless something is sent before.
    DirtyAt {
        /// Which.
        conn: Conn,
        /// Monotonic time.
        at: Duration,
    },
    /// Send what [`Handler::next_send`] still gives (until it gives `None`), then shut down and close. A peer that does not
    /// read is cut off after the loop's linger time.
    CloseAfterFlush(Conn),
    /// The peer has said, in the protocol's own words, that it sends nothing more. A [`Command::CloseAfterFlush`] that follows waits for nothing.
    PeerFinished(Conn),
    /// Close at once.
    Close(Conn),
    /// Receive nothing more for now (nothing is lost; bytes already received are kept and delivered after `Resume`).
    Pause(Conn),
    /// Receive again.
    Resume(Conn),
    /// Hand the connection to another shard: the loop stops receiving, waits until nothing is in flight, calls
    /// [`Handler::freeze`], and the target's loop calls [`Handler::arrived`]. Waits while the mesh is full.
    Migrate {
        /// Which.
        conn: Conn,
        /// Where to.
        to: ShardId,
    },
    /// Call [`Handler::deadline`] with `token` at or soon after `at`. There is no cancel: a handler re-checks.
    Timer {
        /// Monotonic time.
        at: Duration,
        /// Handed back.
        token: u64,
    },
    /// Take no more clients: the accepts end and all listeners close.
    StopAccepting,
    /// End the loop after this lap.
    Exit,
    /// Run a job beside the shards; [`Handler::computed`] gets its result and `token`.
    Compute {
        /// Handed back.
        token: u32,
        /// The work.
        job: Job,
    },
    /// Do something about files; [`Handler::file`] gets its outcome and `token`.
    File {
        /// Handed back.
        token: u64,
        /// What.
        request: Box<FileRequest>,
    },
}

/// Whether a message from another shard could be handled now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MailOutcome {
    /// Done.
    Taken,
    /// Not now: it needs ring space that is not there. Only a request may wait; it stays first in its ring and is shown again.
    Wait,
}

/// The layer above the loop. All calls happen on the shard's thread.
pub trait Handler {
    /// What the control thread sends to this shard.
    type Control: Send;

    /// A client connected to `listener`. Receiving is armed after this returns unless a `Close` or `Pause` was commanded.
    fn accepted(&mut self, cx: &mut Context<'_>, conn: Conn, listener: Listener, peer: Peer);

    /// Bytes arrived, at least one. The handler copies what it wants to keep. Not called while paused.
    fn received(&mut self, cx: &mut Context<'_>, conn: Conn, bytes: &mut [u8]);

    /// The peer has nothing more to say. What [`Handler::next_send`] still gives goes out, then the connection closes.
    fn finished(&mut self, cx: &mut Context<'_>, conn: Conn);

    /// What is next for the wire, or `None` when there is nothing (more) to send now.
    fn next_send(&mut self, now: Now, conn: Conn) -> Option<Outgoing>;

    /// Whether an answer to `conn` is still being made: a peer that has said all is not closed before it.
    fn is_answering(&self, conn: Conn) -> bool {
        let _ = conn;
        false
    }

    /// Whether the handler itself closes `conn` in time when its peer does not read the answer that is on its way to it. Such a peer has that time, also once it has said
    /// all.
    fn is_timing(&self, conn: Conn) -> bool {
        let _ = conn;
        false
    }

    /// What `next_send` gave went out whole.
    fn sent(&mut self, cx: &mut Context<'_>, conn: Conn);

    /// The last call about `conn`.
    fn closed(&mut self, cx: &mut Context<'_>, conn: Conn, cause: Cause);

    /// Everything about `conn` as bytes, because it moves to another shard; the last call about it here. Bytes received but
    /// not delivered, and bytes taken from `next_send` but unsent, travel beside it by the loop's own hand.
    fn freeze(&mut self, now: Now, conn: Conn) -> Vec<u8>;

    /// A connection came from another shard with what `freeze` gave there.
    fn arrived(&mut self, cx: &mut Context<'_>, conn: Conn, state: &[u8]);

    /// A message from another shard.
    fn mail(
        &mut self,
        cx: &mut Context<'_>,
        from: ShardId,
        class: Class,
        bytes: &[u8],
    ) -> MailOutcome;

    /// A timer.
    fn deadline(&mut self, cx: &mut Context<'_>, token: u64);

    /// A job's result.
    fn computed(&mut self, cx: &mut Context<'_>, token: u32, result: Result<JobOutput, PoolFull>);

    /// What came of a [`Command::File`]. A file that was opened for a connection which is gone is closed by dropping it. A handler that never asks
    /// about files hears nothing of them.
    fn file(&mut self, cx: &mut Context<'_>, token: u64, outcome: FileOutcome) {
        let _ = (cx, token, outcome);
    }

    /// A message of the control thread.
    fn control(&mut self, cx: &mut Context<'_>, message: Self::Control);

    /// Once per lap, after completions, mail and timers, before the flush: retry what waited for ring space.
    fn lap(&mut self, cx: &mut Context<'_>);
}
