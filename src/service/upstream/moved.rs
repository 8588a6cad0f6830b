//! MOVE, by which a worker moves sockets that may be others', and MOVED, by which these hear of it.
//!
//! The shards of the clients do it, in the order of the worker's frames (`hub::moved`). A worker hears of each of its sockets; for one that does not read no
//! long story is kept: of what waits for it only the outcome counts.

use super::applications::AppId;
use super::deal::{Client, Waiting};
use super::exchange::Exchange;
use super::fault::Fault;
use super::mail::{ClientNumber, MovedSocket, SpaceId, ToClients};
use super::worker::WorkerId;
use ringway_proto::link::{Frame, Movement, Raw, Side};
use std::collections::{BTreeMap, BTreeSet, VecDeque};

/// Rooms in one MOVE, and the bytes of their names: what it costs is so many times the sockets that it moves. Mail has a bit for each.
const PLACES_MAX: usize = 64;
const PLACES_BYTES_MAX: usize = 64 << 10;
/// Bytes of messages that wait behind the MOVEs of one worker.
const HELD_BYTES_MAX: usize = 4 << 20;
/// What such a message is counted with beside its body.
const HELD_COST_BYTES: usize = 96;
/// MOVED of one client that wait and do not become one, and what all that waited for a worker is counted with since it had been sent everything: beyond,
/// the client comes anew.
const WAITING_MAX: usize = 64;
const WAITING_BYTES_MAX: usize = 16 << 20;

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
        for socket in sockets {
            if !self.hears_moved(socket.client) {
                self.cannot_hear(socket.client, what);
                continue;
            }
            let changed = places.iter().enumerate();
            let changed = changed.filter(|(at, _)| socket.places & (1 << at) != 0);
            let frame = Frame::Moved {
                nsp,
                sid: socket.sid,
                known: socket.known,
                what,
                places: changed.map(|(_, place)| *place).collect(),
            };
            let frame = Waiting::moved(&frame);
            let cost = frame.cost() as usize;
            self.forward(socket.client, frame);
            self.bound_moved(socket.client, cost);
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
    fn bound_moved(&mut self, number: ClientNumber, cost: usize) {
        let Some(client) = self.clients.get_mut(&number) else {
            return;
        };
        let waiting = client.queue.iter().filter(|frame| frame.is_moved()).count();
        let worker = client.worker.and_then(|id| self.workers.get_mut(&id));
        let Some(worker) = worker.filter(|_| waiting > 0) else {
            return;
        };
        worker.moved_bytes += cost;
        if waiting > WAITING_MAX || worker.moved_bytes > WAITING_BYTES_MAX {
            client.queue.retain(|frame| !frame.is_moved());
            // What it says of the client's rooms from here on is not so.
            client.is_deaf = true;
            self.say(number.shard(), &ToClients::Lost { client: number });
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
    /// Whether what else there is for them stands behind it.
    pub(super) is_first: bool,
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
    held: BTreeMap<WorkerId, Held>,
}

/// What waits of one worker, in its order, and what that is counted with.
#[derive(Debug, Default)]
struct Held {
    messages: VecDeque<(u64, BusMessage)>,
    bytes: usize,
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

    /// Keeps a message for as long as it has to wait. What need not, or for lack of room may not any longer.
    pub(super) fn hold(&mut self, id: WorkerId, message: BusMessage) -> Vec<BusMessage> {
        let behind = self.last.get(&id).copied().unwrap_or(0);
        if behind <= self.done_by_all() && !self.held.contains_key(&id) {
            return vec![message];
        }
        let held = self.held.entry(id).or_default();
        held.bytes += HELD_COST_BYTES + message.body.len();
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
        self.bytes -= HELD_COST_BYTES + message.body.len();
        Some(message)
    }
}

/// Makes one story of what waits for a worker that a socket has joined and left, and of what it does next: of a room that it has left and is in again, or
/// the other way round, there is nothing to say. `false`: the next is a story of its own.
pub(super) fn merge(client: &mut Client, next: &Waiting) -> bool {
    let queue = &mut client.queue;
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
        None => return opposite.is_some() && keep(client, &story),
    };
    story.places.extend(rest.iter().map(String::as_str));
    queue[at] = story.told();
    true
}

/// What the story has left of its own goes behind the rest.
fn keep(client: &mut Client, story: &Story<'_>) -> bool {
    if !story.places.is_empty() {
        client.put(story.told());
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

/// Whether a socket goes by it and its connection stays.
pub(super) fn disconnects(frame: &Waiting) -> bool {
    let raw = frame.raw_of_none();
    let frame = Frame::parse(&raw, Side::Daemon).expect("it was made here");
    matches!(
        frame,
        Frame::Moved {
            what: Movement::Disconnect,
            ..
        }
    )
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
