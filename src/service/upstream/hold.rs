//! Clients whose worker wants nothing more of what they say, for now: their packets wait here, and so does who says them, as his shard hears nothing of room.
//!
//! Deliberately absent: when a worker wants that. It is not stuck for it: it owes nothing of what it was not sent.

use super::deal::{Client, Waiting};
use super::exchange::Exchange;
use super::fault::Fault;
use super::mail::ClientNumber;
use super::worker::{Worker, WorkerId};
use ringway_proto::link::Kind;

impl Client {
    /// Whether what it says waits. A packet that its worker has begun to hear it hears whole, and a client that is gone has no more to say.
    const fn is_waiting(&self) -> bool {
        self.is_held && !self.is_inside_packet && self.is_there()
    }

    /// Which frame is next. What is no word of a client that waits goes before its words: a handler may wait for `drain`.
    fn next_at(&self) -> Option<usize> {
        let mut queue = self.queue.iter();
        queue.position(|frame| frame.kind != Kind::Data || !self.is_waiting())
    }

    /// Whether there is something that its worker may hear.
    pub(super) fn has_turn(&self) -> bool {
        self.next_at().is_some()
    }

    /// Whether its worker hears next what became of a socket of it.
    pub(super) fn is_moved_next(&self) -> bool {
        let at = self.next_at();
        at.is_some_and(|at| self.queue[at].is_moved())
    }

    /// What its worker hears next, and where it stood.
    pub(super) fn take_next(&mut self) -> Option<(usize, Waiting)> {
        let at = self.next_at()?;
        Some((at, self.queue.remove(at)?))
    }
}

impl Exchange {
    /// A worker wants nothing more of what a client says, or wants it again. Of one that is gone, or was taken from it, it may not have heard.
    pub(super) fn hold(
        &mut self,
        id: WorkerId,
        number: ClientNumber,
        on: bool,
    ) -> Result<(), Fault> {
        match self.clients.get_mut(&number) {
            Some(client) if client.worker == Some(id) => client.is_held = on,
            Some(_) if !self.workers.get(&id).is_some_and(Worker::departs) => {
                return Err(Fault::NotAllowed("client"));
            }
            _ => {
                self.stats.frames_stale += 1;
                return Ok(());
            }
        }
        self.stand_in_row(number);
        Ok(())
    }
}
