//! MOVE, by which a worker moves sockets that may be others', and MOVED, by which these hear of it.
//!
//! The shards of the clients do it, in the order of the worker's frames (`hub::moved`). A worker hears of each of its sockets; for one that does not read no
//! long story is kept: of what waits for it only the outcome counts.

use super::deal::Waiting;
use super::exchange::Exchange;
use super::fault::Fault;
use super::mail::{MovedSocket, SpaceId, ToClients};
use super::worker::WorkerId;
use ringway_proto::link::{Frame, Movement, Raw, Side};
use std::collections::{BTreeSet, VecDeque};

/// Rooms in one MOVE: what it costs is so many times the sockets that it moves.
const PLACES_MAX: usize = 256;
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
            self.broadcast_to(id, space, raw);
        }
        Ok(())
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
            self.forward(socket.client, Waiting::moved(&frame));
            self.bound_moved(socket);
        }
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
