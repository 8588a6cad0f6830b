//! Clients whose worker wants nothing more of what they say, for now: their packets wait here, and so does who says them, as his shard hears nothing of room.
//!
//! Deliberately absent: when a worker wants that. It is not stuck for it: it owes nothing of what it was not sent.

use super::deal::{Client, Waiting, namespace_in};
use super::exchange::Exchange;
use super::fault::Fault;
use super::mail::ClientNumber;
use super::stories::Story;
use super::worker::{Worker, WorkerId};
use ringway_proto::link::{Frame, Kind, Raw};
use std::rc::Rc;

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

/// A socket that was disconnected while its client waited.
#[derive(Debug)]
pub(super) struct Ended {
    nsp: Rc<str>,
    sid: Box<str>,
}

impl Client {
    /// Its worker has heard that a socket is to be disconnected while the connection stays: before what the client had said there, as that waits. Socket.IO's
    /// server closes whoever says something in a namespace that it is not in, so that it is heard by nobody. Says what its shard counts of that.
    pub(super) fn ends_in(&mut self, story: &Story) -> u32 {
        let Some(nsp) = story.ends().filter(|_| self.is_held && self.is_there()) else {
            return 0;
        };
        let (nsp, sid) = (Rc::clone(nsp), story.sid().into());
        let unheard = self.unsay(&nsp);
        self.ended.push(Ended { nsp, sid });
        unheard
    }

    /// It waits no longer. In the meantime it may not have known that its sockets were disconnected.
    fn go_on(&mut self) -> u32 {
        let ended = core::mem::take(&mut self.ended);
        self.is_held = false;
        ended.iter().map(|ended| self.unsay(&ended.nsp)).sum()
    }

    /// It has another socket in the namespace.
    fn enters_anew(&mut self, nsp: &str, sid: &str) {
        self.ended
            .retain(|ended| *ended.nsp != *nsp || *ended.sid == *sid);
    }

    /// Takes out what it has said in a namespace before it connects there again: whole packets, of which what is yet to come is dropped, too.
    fn unsay(&mut self, nsp: &str) -> u32 {
        let (mut unheard, mut is_behind_connect) = (0, false);
        let (mut drops, mut has_more) = (false, false);
        self.queue.retain(|frame| {
            if frame.kind != Kind::Data {
                return true;
            }
            if let Some((is_connect, name)) = frame.spoken_in() {
                let is_there = name == nsp;
                is_behind_connect |= is_there && is_connect;
                drops = is_there && !is_behind_connect;
            }
            has_more = frame.has_more();
            unheard += if drops { frame.counted() } else { 0 };
            !drops
        });
        self.is_headless |= drops && has_more;
        unheard
    }
}

impl Waiting {
    /// Of a packet's header, whether it is a CONNECT, and the namespace; an attachment is its packet's.
    fn spoken_in(&self) -> Option<(bool, &str)> {
        if self.is_binary() {
            return None;
        }
        let text = core::str::from_utf8(self.body()).ok()?;
        let (kind, rest) = text.split_at_checked(1)?;
        let rest = match kind {
            // How many attachments there are.
            "5" | "6" => rest.split_once('-')?.1,
            _ => rest,
        };
        Some((kind == "0", namespace_in(rest)))
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
        let mut unheard = 0;
        match self.clients.get_mut(&number) {
            Some(client) if client.worker == Some(id) && on => client.is_held = true,
            Some(client) if client.worker == Some(id) => unheard = client.go_on(),
            Some(_) if !self.workers.get(&id).is_some_and(Worker::departs) => {
                return Err(Fault::NotAllowed("client"));
            }
            _ => {
                self.stats.frames_stale += 1;
                return Ok(());
            }
        }
        self.count_dealt(number, unheard);
        self.stand_in_row(number);
        Ok(())
    }

    /// A worker has said something of a client that was obeyed: perhaps that it has another socket than the one that was disconnected.
    pub(super) fn note_entered(&mut self, id: WorkerId, raw: &Raw<'_>, frame: &Frame<'_>) {
        let Frame::Member { nsp, sid, .. } = frame else {
            return;
        };
        let space = self.space(id, *nsp).ok().flatten();
        let name = space.and_then(|space| self.names.find(self.app_of(id), space));
        let client = self.clients.get_mut(&ClientNumber(raw.conn));
        let client = client.filter(|client| client.worker == Some(id));
        if let Some((client, name)) = client.zip(name) {
            client.enters_anew(&name, sid);
        }
    }
}
