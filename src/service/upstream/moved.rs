//! MOVE, by which a worker moves sockets that may be others', and MOVED, by which these hear of it.
//!
//! The shards of the clients do it, in the order of the worker's frames (`hub::moved`). A worker hears of each of its sockets; for one that does not read no
//! long story is kept: of what waits for it only the outcome counts.

use super::applications::AppId;
use super::deal::Waiting;
use super::exchange::Exchange;
use super::fault::Fault;
use super::mail::{ClientNumber, MovedSocket, SpaceId, ToClients};
use super::worker::WorkerId;
use ringway_proto::link::{Frame, Movement, Raw, Side};
use std::collections::{BTreeMap, BTreeSet, VecDeque};

/// Rooms in one MOVE: what it costs is so many times the sockets that it moves.
const PLACES_MAX: usize = 256;
/// Bytes of messages that wait behind the MOVEs of one worker.
const HELD_BYTES_MAX: usize = 4 << 20;
/// MOVED that wait for the worker of one client and do not become one: beyond, the client comes anew.
const WAITING_MAX: usize = 64;

/// What becomes of sockets, from its byte.
const fn movement(what: u8) -> Movement {
    match what {
        0 => Movement::Join,
        1 => Movement::Leave,
        2 => Movement::Disconnect,
        _ => Movement::Close,
    }
}

impl Exchange {
    /// A worker's or an emitter's MOVE, in a namespace that clients reach, or of nobody.
    pub(super) fn spread_move(
        &mut self,
        id: WorkerId,
        raw: &Raw<'_>,
        space: Option<SpaceId>,
        places: &[&str],
    ) -> Result<(), Fault> {
        if places.len() > PLACES_MAX {
            return Err(Fault::TooMany("rooms in a MOVE"));
        }
        if let Some(space) = self.with_clients(id, space) {
            self.behind_moves.said(id, self.shards);
            self.broadcast_to(id, space, raw);
        }
        Ok(())
    }

    /// A shard has done the oldest MOVE that it had not done.
    pub(super) fn move_done(&mut self, shard: u16) {
        self.behind_moves.done(shard);
        self.say_behind_moves();
    }

    /// Messages go to those for whom they are, all of whose sockets they find moved.
    pub(super) fn say_behind_moves(&mut self) {
        while let Some(message) = self.behind_moves.next() {
            self.give_bus(&message);
        }
    }

    /// A shard has moved these sockets.
    pub(super) fn moved(&mut self, namespace: &str, what: u8, sockets: &[MovedSocket<'_>]) {
        for socket in sockets {
            let frame = Frame::Moved {
                nsp: namespace,
                sid: socket.sid,
                known: socket.known,
                what: movement(what),
                places: socket.places.clone(),
            };
            if self.hears_moved(socket.client) {
                self.forward(socket.client, Waiting::moved(&frame));
                self.bound_moved(socket);
            }
        }
    }

    /// A worker of an earlier version would take MOVED for a lie; it goes on with what it knows.
    fn hears_moved(&self, client: ClientNumber) -> bool {
        let id = self.clients.get(&client).and_then(|client| client.worker);
        id.and_then(|id| self.workers.get(&id))
            .is_some_and(|worker| worker.hears_moved)
    }

    /// A worker that speaks and does not read has so many different things to hear of one client that nobody is to keep them.
    fn bound_moved(&mut self, socket: &MovedSocket<'_>) {
        let Some(client) = self.clients.get_mut(&socket.client) else {
            return;
        };
        let waiting = client.queue.iter().filter(|frame| frame.is_moved());
        if waiting.count() > WAITING_MAX {
            client.queue.pop_back();
            let client = socket.client;
            self.say(client.shard(), &ToClients::Lost { client });
        }
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
    /// What waits, in its order.
    held: BTreeMap<WorkerId, VecDeque<(u64, BusMessage)>>,
}

impl BehindMoves {
    pub(super) fn said(&mut self, id: WorkerId, shards: u16) {
        self.said += 1;
        self.done.resize(shards.into(), 0);
        self.last.insert(id, self.said);
    }

    pub(super) fn done(&mut self, shard: u16) {
        self.done[usize::from(shard)] += 1;
    }

    /// MOVEs that all shards have done.
    fn done_by_all(&self) -> u64 {
        self.done.iter().copied().min().unwrap_or(0)
    }

    /// Keeps a message for as long as it has to wait; or gives it back, as it need not.
    pub(super) fn hold(&mut self, id: WorkerId, message: BusMessage) -> Option<BusMessage> {
        let behind = self.last.get(&id).copied().unwrap_or(0);
        if behind <= self.done_by_all() && !self.held.contains_key(&id) {
            return Some(message);
        }
        self.held
            .entry(id)
            .or_default()
            .push_back((behind, message));
        None
    }

    /// The next message that need not wait any longer, or for which there is no room.
    pub(super) fn next(&mut self) -> Option<BusMessage> {
        let done = self.done_by_all();
        let may_go = |held: &VecDeque<(u64, BusMessage)>| {
            let bytes: usize = held.iter().map(|(_, message)| message.body.len()).sum();
            held.front().is_some_and(|(behind, _)| *behind <= done) || bytes > HELD_BYTES_MAX
        };
        let id = self.held.iter().find(|(_, held)| may_go(held));
        let id = id.map(|(id, _)| *id)?;
        let held = self.held.get_mut(&id)?;
        let message = held.pop_front();
        if held.is_empty() {
            self.held.remove(&id);
        }
        message.map(|(_, message)| message)
    }

    /// A worker is gone: what it has said waits no longer.
    pub(super) fn let_go(&mut self, id: WorkerId) {
        self.last.remove(&id);
        for (behind, _) in self.held.get_mut(&id).into_iter().flatten() {
            *behind = 0;
        }
    }
}

/// Makes one story of what waits for a worker that a socket has joined and left, and of what it does next: of a room that it has left and is in again, or
/// the other way round, there is nothing to say. `false`: the next is a story of its own.
pub(super) fn merge(queue: &mut VecDeque<Waiting>, next: &Waiting) -> bool {
    let raw = next.raw_of_none();
    let Some(mut story) = Story::of(&raw) else {
        return false;
    };
    let opposite = find(queue, &story.socket(), !story.joins);
    if let Some(at) = opposite {
        cancel(queue, at, &mut story.places);
    }
    let same = find(queue, &story.socket(), story.joins);
    let (at, rest) = match same {
        Some(at) => (at, places_of(&queue[at])),
        None => return opposite.is_some() && keep(queue, &story),
    };
    story.places.extend(rest.iter().map(String::as_str));
    queue[at] = story.told();
    true
}

/// What the story has left of its own goes behind the rest.
fn keep(queue: &mut VecDeque<Waiting>, story: &Story<'_>) -> bool {
    if !story.places.is_empty() {
        queue.push_back(story.told());
    }
    true
}

/// Takes out of the frame at `at`, and out of `places`, what both name.
fn cancel(queue: &mut VecDeque<Waiting>, at: usize, places: &mut BTreeSet<&str>) {
    let raw = queue[at].raw_of_none();
    let mut other = Story::of(&raw).expect("it was found as one");
    let both: Vec<&str> = other.places.intersection(places).copied().collect();
    places.retain(|place| !both.contains(place));
    for place in both {
        other.places.remove(place);
    }
    let left = (!other.places.is_empty()).then(|| other.told());
    match left {
        Some(frame) => queue[at] = frame,
        None => drop(queue.remove(at)),
    }
}

fn places_of(frame: &Waiting) -> Vec<String> {
    let raw = frame.raw_of_none();
    let story = Story::of(&raw);
    let places = story.map(|story| story.places).unwrap_or_default();
    places.into_iter().map(str::to_owned).collect()
}

/// Where what joins, or leaves, of a socket waits.
fn find(queue: &VecDeque<Waiting>, socket: &(&str, &str, u32), joins: bool) -> Option<usize> {
    queue.iter().position(|frame| {
        let raw = frame.raw_of_none();
        let story = frame.is_moved().then(|| Story::of(&raw)).flatten();
        story.is_some_and(|story| story.socket() == *socket && story.joins == joins)
    })
}

/// A MOVED that joins or leaves.
struct Story<'a> {
    nsp: &'a str,
    sid: &'a str,
    known: u32,
    joins: bool,
    places: BTreeSet<&'a str>,
}

impl<'a> Story<'a> {
    fn of(raw: &Raw<'a>) -> Option<Self> {
        let frame = Frame::parse(raw, Side::Daemon).expect("it was made here");
        let Frame::Moved {
            nsp,
            sid,
            known,
            what: what @ (Movement::Join | Movement::Leave),
            places,
        } = frame
        else {
            return None;
        };
        Some(Self {
            nsp,
            sid,
            known,
            joins: what == Movement::Join,
            places: places.into_iter().collect(),
        })
    }

    /// Of which socket it is, and behind what of its worker's.
    const fn socket(&self) -> (&'a str, &'a str, u32) {
        (self.nsp, self.sid, self.known)
    }

    fn told(&self) -> Waiting {
        Waiting::moved(&Frame::Moved {
            nsp: self.nsp,
            sid: self.sid,
            known: self.known,
            what: match self.joins {
                true => Movement::Join,
                false => Movement::Leave,
            },
            places: self.places.iter().copied().collect(),
        })
    }
}
