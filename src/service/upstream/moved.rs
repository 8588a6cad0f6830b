//! MOVE, by which a worker moves sockets that may be others', and MOVED, by which these hear of it.
//!
//! The shards of the clients do it, in the order of the worker's frames (`hub::moved`). A worker hears of each of its sockets; for one that does not read no
//! long story is kept: of what waits for it only the outcome counts.

use super::applications::AppId;
use super::deal::Waiting;
use super::exchange::Exchange;
use super::fault::Fault;
use super::mail::{ClientNumber, MovedSocket, SpaceId, ToClients};
use super::stories::Story;
use super::worker::{BUS_COST_BYTES, WorkerId};
use crate::time::Now;
use ringway_proto::link::{Movement, Raw};
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::rc::Rc;

/// Rooms in one MOVE, and the bytes of their names: what it costs is so many times the sockets that it moves. Mail has a bit for each.
const PLACES_MAX: usize = 64;
const PLACES_BYTES_MAX: usize = 64 << 10;
/// Bytes of messages that wait behind the MOVEs of one worker.
const HELD_BYTES_MAX: usize = 4 << 20;
/// What the MOVEs of one worker that not all shards have done may do: sockets times rooms, as if each moved all clients there are, and what it is counted with at
/// least. Shards do each in one go, and answer about each socket. Beyond, the worker says no more until they are done.
const UNDONE_COST_MAX: u64 = 1 << 20;
const UNDONE_COST_MIN: u64 = UNDONE_COST_MAX / 16;
/// What a shard's answer about one socket is counted with beside its name, and what one about one room of it.
const SOCKET_COST_BYTES: u64 = 40;
const PLACE_COST_BYTES: u64 = 8;
/// MOVED of one client that wait and do not become one, and what they are counted with: beyond, the client comes anew. A whole MOVE always has room beside what is
/// usual.
const STORIES_MAX: usize = 64;
const STORIES_BYTES_MAX: usize = PLACES_BYTES_MAX + (32 << 10);
/// The same of all clients of a worker, and for each that it has: a MOVE may move all of them while their worker does something else. Beyond, those of which most
/// waits come anew.
const BACKLOG_BYTES_MIN: usize = 16 << 20;
const BACKLOG_CLIENT_BYTES: usize = 1 << 10;

impl Exchange {
    /// A worker's or an emitter's MOVE, in a namespace that clients reach, or of nobody.
    pub(super) fn spread_move(
        &mut self,
        id: WorkerId,
        raw: &Raw<'_>,
        space: Option<SpaceId>,
        places: &[&str],
    ) -> Result<(), Fault> {
        let bytes: usize = places.iter().map(|place| place.len()).sum();
        if places.len() > PLACES_MAX || bytes > PLACES_BYTES_MAX {
            return Err(Fault::TooMany("rooms in a MOVE"));
        }
        if let Some(space) = self.with_clients(id, space) {
            let cost = (self.clients.len() * places.len().max(1)) as u64;
            self.broadcast_to(id, space, raw);
            if self.behind_moves.said((id, cost), self.shards) >= UNDONE_COST_MAX {
                self.behind_moves.wait(id);
                self.settle_links();
            }
        }
        Ok(())
    }

    /// A shard has done the oldest MOVE that it had not done, to these sockets: that is weighed as if its worker had said it.
    pub(super) fn move_done(&mut self, now: Now, shard: u16, sockets: &[MovedSocket<'_>]) {
        let cost = |socket: &MovedSocket<'_>| {
            let places = u64::from(socket.places.count_ones());
            SOCKET_COST_BYTES + socket.sid.len() as u64 + PLACE_COST_BYTES * places
        };
        let bytes = sockets.iter().map(cost).sum();
        let id = self.behind_moves.done(shard);
        self.weigh(now, id, (bytes, bytes));
        self.say_behind_moves();
        if self.behind_moves.let_go_on() {
            self.settle_links();
        }
    }

    /// Messages go to those for whom they are, all of whose sockets they find moved.
    pub(super) fn say_behind_moves(&mut self) {
        for message in self.behind_moves.take() {
            self.give_bus(&message);
        }
    }

    /// A shard has moved these sockets, in the namespace of that name.
    pub(super) fn moved(
        &mut self,
        (nsp, what): (&str, Movement),
        places: &[&str],
        sockets: &[MovedSocket<'_>],
    ) {
        let nsp: Rc<str> = nsp.into();
        let places: Vec<Rc<str>> = places.iter().map(|place| Rc::from(*place)).collect();
        for socket in sockets {
            if !self.hears_moved(socket.client) {
                self.cannot_hear(socket.client, what);
                continue;
            }
            let changed = places.iter().enumerate();
            let changed = changed.filter(|(at, _)| socket.places & (1 << at) != 0);
            let changed = changed.map(|(_, place)| Rc::clone(place));
            let story = Story::new(Rc::clone(&nsp), (socket.sid, socket.known), what, changed);
            self.forward(socket.client, Waiting::moved(story));
            self.bound_stories(socket.client);
        }
    }

    /// The worker of an earlier version disconnects nobody, and broadcasts reach its socket no more: the client comes anew.
    fn cannot_hear(&mut self, number: ClientNumber, what: Movement) {
        let client = self.clients.get(&number);
        let has_worker = client.is_some_and(|client| client.worker.is_some());
        if has_worker && matches!(what, Movement::Disconnect | Movement::Close) {
            self.say(number.shard(), &ToClients::Lost { client: number });
        }
    }

    /// A worker of an earlier version would take MOVED for a lie; it goes on with what it knows.
    fn hears_moved(&self, client: ClientNumber) -> bool {
        let id = self.clients.get(&client).and_then(|client| client.worker);
        id.and_then(|id| self.workers.get(&id))
            .is_some_and(|worker| worker.hears_moved)
    }

    /// A worker that speaks and does not read has so many different things to hear of its clients that nobody is to keep them.
    fn bound_stories(&mut self, number: ClientNumber) {
        let client = self.clients.get(&number);
        let Some(client) = client.filter(|client| client.is_there()) else {
            return;
        };
        let Some(id) = client.worker else {
            return;
        };
        let (count, bytes) = client.stories();
        self.worker_mut(id).backlog.set(number, bytes);
        if count > STORIES_MAX || bytes > STORIES_BYTES_MAX {
            self.deafen(number);
        }
        while let Some(number) = self.farthest_behind(id) {
            self.deafen(number);
        }
    }

    /// Of a worker for which too much waits, the client of which most does.
    fn farthest_behind(&self, id: WorkerId) -> Option<ClientNumber> {
        let worker = self.workers.get(&id)?;
        let bytes_max = BACKLOG_BYTES_MIN + worker.load as usize * BACKLOG_CLIENT_BYTES;
        let largest = worker.backlog.largest();
        largest.filter(|_| worker.backlog.bytes() > bytes_max)
    }

    /// Its worker is not told what became of its sockets. What it says of their rooms from here on is not so, and the client comes anew.
    fn deafen(&mut self, number: ClientNumber) {
        let client = self.clients.get_mut(&number);
        let client = client.expect("something of it waits");
        client.is_deaf = true;
        client.queue.retain(|frame| !frame.is_moved());
        if let Some(id) = client.worker {
            self.worker_mut(id).backlog.set(number, 0);
        }
        self.say(number.shard(), &ToClients::Lost { client: number });
    }
}

/// A message between workers.
#[derive(Debug)]
pub(super) struct BusMessage {
    pub(super) app: AppId,
    /// Whose it is.
    pub(super) from: Box<str>,
    /// For whom; empty: for all.
    pub(super) to: Box<str>,
    /// The namespace, if what becomes of its sockets stands behind it.
    pub(super) first_in: Option<Box<str>>,
    pub(super) body: Box<[u8]>,
}

/// Messages that stand behind MOVEs of the same worker: whoever hears them is to have heard of these before.
#[derive(Debug, Default)]
pub(super) struct BehindMoves {
    /// MOVEs that were given to the shards.
    said: u64,
    /// How many each has done.
    done: Vec<u64>,
    /// Of a worker, its last MOVE.
    last: BTreeMap<WorkerId, u64>,
    /// Whose those are that not all have done, and what each costs, the oldest first.
    undone: VecDeque<(WorkerId, u64)>,
    /// Who has so many of these that it is to say no more.
    waits: BTreeSet<WorkerId>,
    held: BTreeMap<WorkerId, Held>,
}

/// What waits of one worker, in its order, and what that is counted with.
#[derive(Debug, Default)]
struct Held {
    messages: VecDeque<(u64, BusMessage)>,
    bytes: usize,
}

impl BehindMoves {
    /// Gives what those of the worker cost that not all shards have done.
    pub(super) fn said(&mut self, (id, cost): (WorkerId, u64), shards: u16) -> u64 {
        self.said += 1;
        self.done.resize(shards.into(), 0);
        self.last.insert(id, self.said);
        self.undone.push_back((id, cost.max(UNDONE_COST_MIN)));
        let own = self.undone.iter().filter(|(of, _)| *of == id);
        own.map(|(_, cost)| cost).sum()
    }

    /// Gives whose it was.
    ///
    /// # Panics
    /// When a shard says that it has done more than was said.
    pub(super) fn done(&mut self, shard: u16) -> WorkerId {
        let at = self.done[usize::from(shard)] - self.done_by_all();
        let of = self.undone.get(at as usize).map(|(id, _)| *id);
        self.done[usize::from(shard)] += 1;
        let undone = self.said - self.done_by_all();
        self.undone.drain(..self.undone.len() - undone as usize);
        of.expect("what is done was said")
    }

    /// The worker says no more until all that it has said is done.
    fn wait(&mut self, id: WorkerId) {
        self.waits.insert(id);
    }

    pub(super) fn waits(&self, id: WorkerId) -> bool {
        self.waits.contains(&id)
    }

    /// Whether somebody need not wait any longer.
    fn let_go_on(&mut self) -> bool {
        let (before, undone) = (self.waits.len(), &self.undone);
        let has_undone = |id: &WorkerId| undone.iter().any(|(of, _)| of == id);
        self.waits.retain(has_undone);
        self.waits.len() < before
    }

    /// MOVEs that all shards have done.
    fn done_by_all(&self) -> u64 {
        self.done.iter().copied().min().unwrap_or(0)
    }

    /// Keeps a message for as long as it has to wait. What need not, or for lack of room may not any longer.
    pub(super) fn hold(&mut self, id: WorkerId, message: BusMessage) -> Vec<BusMessage> {
        let behind = self.last.get(&id).copied().unwrap_or(0);
        if behind <= self.done_by_all() && !self.held.contains_key(&id) {
            return vec![message];
        }
        let held = self.held.entry(id).or_default();
        held.bytes += BUS_COST_BYTES + message.body.len();
        held.messages.push_back((behind, message));
        core::iter::from_fn(|| held.pop_if(|_, bytes| bytes > HELD_BYTES_MAX)).collect()
    }

    /// What need not wait any longer.
    pub(super) fn take(&mut self) -> Vec<BusMessage> {
        let done = self.done_by_all();
        let mut taken = Vec::new();
        for held in self.held.values_mut() {
            while let Some(message) = held.pop_if(|behind, _| behind <= done) {
                taken.push(message);
            }
        }
        self.held.retain(|_, held| !held.messages.is_empty());
        taken
    }

    /// A worker is gone: what it has said waits no longer.
    pub(super) fn let_go(&mut self, id: WorkerId) {
        self.last.remove(&id);
        self.waits.remove(&id);
        let held = self.held.get_mut(&id).map(|held| &mut held.messages);
        for (behind, _) in held.into_iter().flatten() {
            *behind = 0;
        }
    }
}

impl Held {
    /// The first, if it may go by what it stands behind and by what all are counted with.
    fn pop_if(&mut self, may_go: impl Fn(u64, usize) -> bool) -> Option<BusMessage> {
        let bytes = self.bytes;
        let first = self
            .messages
            .pop_front_if(|(behind, _)| may_go(*behind, bytes));
        let (_, message) = first?;
        self.bytes -= BUS_COST_BYTES + message.body.len();
        Some(message)
    }
}
