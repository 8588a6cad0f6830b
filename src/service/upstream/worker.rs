//! A worker process: its window in both directions, which outlives a link that is cut, and who stands in the row for room in it.
//!
//! Deliberately absent: the link's bytes and handshake (`link`), and who gets which client (`deal`).

use super::applications::AppId;
use super::backlog::Backlog;
use super::begun::Begun;
use super::breaker::Standing;
use super::emitter::Role;
use super::flood::Flood;
use super::gather::Replies;
use super::mail::{ClientNumber, SpaceId};
use super::migrate::Departure;
use super::moved::BusMessage;
use super::parsing::Parser;
use super::window::{FalseCredit, Incoming, Outgoing, Sum, Window};
use crate::time::ConnId;
use ringway_proto::link::{Flags, HEADER_BYTES, Kind, Raw};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};
use std::rc::Rc;

/// Bytes of other workers' messages that wait for one that does not read. Beyond, they are dropped: whoever asked hears nothing, as of a worker that
/// is gone, and has a timeout for it.
const BUS_BYTES_MAX: usize = 16 << 20;
/// What such a message costs beside its body.
pub(super) const BUS_COST_BYTES: usize = 96;
/// How many of those that have to be known before MOVED go before a turn of the row.
const NAMES_AT_ONCE: u32 = 1024;

/// Bytes of answers that wait for one that does not read.
const ANSWER_BYTES_MAX: usize = 16 << 20;
/// What an answer costs beside its bytes.
const ANSWER_COST_BYTES: usize = 64;

/// A worker's place at the exchange, never used twice.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct WorkerId(pub(super) u64);

/// Who has something for a worker.
#[derive(Debug)]
pub(super) enum Ready {
    /// A client: the first of its frames.
    Client(ClientNumber),
    /// The namespace's workers have changed: they are said as they are when its turn comes.
    Peers(Rc<str>),
    /// Another worker.
    Bus(Box<[u8]>),
    /// A request that is to be judged.
    Question(u32),
    /// A request that was refused: the JSON of CONN_ERROR.
    Error(Box<str>),
    /// What it asked for.
    Answer(Kind, Box<[u8]>),
    /// What clients say that a broadcast has asked.
    Replies(Replies),
}

/// A message of another worker that names what MOVED may be about.
#[derive(Debug)]
pub(super) struct Naming {
    /// The namespace, in which the worker has to know its peer before.
    pub(super) nsp: Box<str>,
    body: Box<[u8]>,
}

/// Whose turn it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Turn {
    Row,
    Names,
}

/// How a worker said goodbye.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Going {
    /// Its clients are held for the next one.
    Keep,
    /// Its clients are closed.
    Close,
    /// Its clients go to others before it does.
    Migrate,
}

#[derive(Debug)]
pub(super) struct Worker {
    pub(super) app: AppId,
    pub(super) role: Role,
    pub(super) instance: Box<str>,
    pub(super) weight: u32,
    pub(super) link: Option<ConnId>,
    /// Whence that came last.
    pub(super) peer: Box<str>,
    /// Since when it has no link.
    pub(super) lost_us: u64,
    /// When it said last that an exception ends it.
    pub(super) fell_us: Option<u64>,
    pub(super) going: Option<Going>,
    /// It has said something since WELCOME, and so knows of this life of its own: before, what it says of another one is of another one.
    pub(super) knows: bool,
    /// It knew of no other life in this epoch when it joined: which one it says is this one, though it may have said nothing in it.
    pub(super) is_first: bool,
    /// The number of the link on which it said HELLO last.
    pub(super) link_number: u64,
    /// Not all shards do what it wants. It is given no credit until they do, so that it knows.
    pub(super) is_binding: bool,
    /// How its clients' packets are encoded, once it has said it.
    pub(super) parser: Option<Parser>,
    pub(super) outgoing: Outgoing,
    /// Packets with which it has dealt in part.
    pub(super) begun: Begun,
    pub(super) incoming: Incoming,
    /// It says when a client that it took over is back: before, it is sent nothing of what that one says.
    pub(super) says_taken: bool,
    /// What waits for it of its sockets' moves.
    pub(super) backlog: Backlog,
    /// It can be told that its sockets were moved.
    pub(super) hears_moved: bool,
    /// What waits for room in the window, one turn each.
    pub(super) row: VecDeque<Ready>,
    /// What other workers have said that it has to know before MOVED, beside the row: they take turns.
    pub(super) names_first: VecDeque<Naming>,
    /// How many of those went since the row's last turn.
    names_ahead: u32,
    /// Of the row, clients that are not there any more.
    pub(super) row_gone: usize,
    /// What clients that are gone have in the row, by its cost.
    pub(super) farewell_bytes: usize,
    /// What other workers' messages that wait are counted with.
    bus_bytes: usize,
    /// Answers in the row.
    answer_bytes: usize,
    /// It has said what it wants.
    pub(super) has_bound: bool,
    /// How long its clients may take to come back; none: they do not.
    pub(super) recovery_us: Option<u64>,
    /// Namespaces in the row.
    pub(super) peers_due: BTreeSet<Rc<str>>,
    /// Its namespaces by the numbers that it gave them; none for one that it may not have.
    pub(super) spaces: HashMap<u16, Option<SpaceId>>,
    /// Of these, the daemon's own.
    pub(super) kept: BTreeSet<u16>,
    /// Of these, the names of those that are another application's: it has them when that one does not have them any more.
    pub(super) taken: BTreeMap<u16, Box<str>>,
    /// The names of an emitter's.
    pub(super) names: HashMap<u16, Box<str>>,
    /// Its clients.
    pub(super) load: u32,
    /// Requests that it is to judge.
    pub(super) asked: u32,
    /// Those that go to others before it does.
    pub(super) departure: Departure,
    /// Whether it gets more of them.
    pub(super) standing: Standing,
    /// Whether it says more than others can take.
    pub(super) flood: Flood,
}

impl Worker {
    pub(super) fn new(
        (app, role): (AppId, Role),
        instance: &str,
        weight: u32,
        link: ConnId,
        window: Window,
    ) -> Self {
        Self {
            app,
            role,
            instance: instance.into(),
            weight: weight.max(1),
            link: Some(link),
            peer: Box::default(),
            lost_us: 0,
            fell_us: None,
            going: None,
            knows: false,
            is_first: false,
            link_number: 0,
            is_binding: false,
            parser: None,
            outgoing: Outgoing::new(window),
            begun: Begun::default(),
            incoming: Incoming::new(window),
            says_taken: false,
            backlog: Backlog::default(),
            hears_moved: false,
            row: VecDeque::new(),
            names_first: VecDeque::new(),
            names_ahead: 0,
            row_gone: 0,
            farewell_bytes: 0,
            bus_bytes: 0,
            answer_bytes: 0,
            has_bound: false,
            recovery_us: None,
            peers_due: BTreeSet::new(),
            spaces: HashMap::new(),
            kept: BTreeSet::new(),
            taken: BTreeMap::new(),
            names: HashMap::new(),
            load: 0,
            asked: 0,
            departure: Departure::default(),
            standing: Standing::default(),
            flood: Flood::default(),
        }
    }

    /// Whether a life of which it speaks is this one.
    pub(super) const fn knows_its_life(&self) -> bool {
        self.knows || self.is_first
    }

    /// Whether it takes clients.
    pub(super) const fn is_open(&self) -> bool {
        self.going.is_none() && !self.is_emitter()
    }

    /// Whether it takes clients as ever.
    pub(super) const fn takes_clients(&self) -> bool {
        self.is_open() && self.standing.is_closed()
    }

    /// Whether its clients go to others, one after the other.
    pub(super) fn departs(&self) -> bool {
        self.going == Some(Going::Migrate)
    }

    /// Whether it only publishes.
    pub(super) const fn is_emitter(&self) -> bool {
        matches!(self.role, Role::Emitter)
    }

    /// Whether it will not come back.
    pub(super) fn said_goodbye(&self) -> bool {
        self.going.is_some_and(|going| going != Going::Migrate)
    }

    /// Whether its clients go with it.
    pub(super) fn closes(&self) -> bool {
        self.going == Some(Going::Close)
    }

    /// It has dealt with so much of what it was sent.
    pub(super) fn credit(&mut self, done: Sum, is_opaque: bool) -> Result<(), FalseCredit> {
        let begun = &mut self.begun;
        let look = |frames: &[u8]| {
            if !is_opaque {
                begun.dealt(frames)
            }
        };
        self.outgoing.credit_with(done, look)
    }

    /// It has dealt with so many frames, and is sent the rest once more.
    pub(super) fn resume(&mut self, received: u64, is_opaque: bool) -> Result<(), FalseCredit> {
        let begun = &mut self.begun;
        let look = |frames: &[u8]| {
            if !is_opaque {
                begun.dealt(frames)
            }
        };
        self.outgoing.resume_with(received, look)
    }

    /// How busy it is beside another. Whom it is asked about will be its client.
    pub(super) fn is_less_loaded_than(&self, other: &Self) -> bool {
        let load = |worker: &Self| u64::from(worker.load) + u64::from(worker.asked);
        load(self) * u64::from(other.weight) < load(other) * u64::from(self.weight)
    }

    /// The workers of a namespace have changed.
    pub(super) fn owe_peers(&mut self, name: &Rc<str>) {
        if self.peers_due.insert(Rc::clone(name)) {
            self.row.push_back(Ready::Peers(Rc::clone(name)));
        }
    }

    /// Takes another worker's message into the row, or beside it. `false`: too much waits.
    pub(super) fn owe_bus(&mut self, message: &BusMessage) -> bool {
        let bytes = self.bus_bytes + BUS_COST_BYTES + message.body.len();
        if self.bus_bytes > 0 && bytes > BUS_BYTES_MAX {
            return false;
        }
        self.bus_bytes = bytes;
        let body = message.body.clone();
        if let Some(nsp) = message.first_in.clone() {
            self.names_first.push_back(Naming { nsp, body });
        } else {
            self.row.push_back(Ready::Bus(body));
        }
        true
    }

    pub(super) fn pump_bus(&mut self) -> Option<()> {
        let Some(Ready::Bus(body)) = self.row.front_mut() else {
            return None;
        };
        let body = core::mem::take(body);
        if self.push_own(Kind::Bus, &body).is_none() {
            self.row[0] = Ready::Bus(body);
            return None;
        }
        self.bus_bytes -= BUS_COST_BYTES + body.len();
        Some(())
    }

    /// One of the row and one of what stands beside it; but MOVED, which may be about any of these, waits for them, as long as that has an end.
    pub(super) fn turn(&self, is_moved_next: impl FnOnce() -> bool) -> Turn {
        let is_due = |ahead: u32| {
            self.row.is_empty() || ahead == 0 || ahead < NAMES_AT_ONCE && is_moved_next()
        };
        match self.names_first.is_empty() {
            false if is_due(self.names_ahead) => Turn::Names,
            _ => Turn::Row,
        }
    }

    /// The row has had a turn.
    pub(super) const fn row_went(&mut self) {
        self.names_ahead = 0;
    }

    /// Sends the first of what stands beside the row. `None`: it does not fit.
    pub(super) fn pump_names(&mut self) -> Option<()> {
        let first = self.names_first.pop_front()?;
        if self.push(Kind::Bus, &first.body).is_none() {
            self.names_first.push_front(first);
            return None;
        }
        self.names_ahead += 1;
        self.bus_bytes -= BUS_COST_BYTES + first.body.len();
        Some(())
    }

    /// Takes an answer into the row. What does not fit there is dropped: whoever asks without reading has a timeout.
    pub(super) fn owe_answer(&mut self, kind: Kind, body: &[u8]) {
        let bytes = self.answer_bytes + ANSWER_COST_BYTES + body.len();
        if bytes <= ANSWER_BYTES_MAX {
            self.answer_bytes = bytes;
            self.row.push_back(Ready::Answer(kind, body.into()));
        }
    }

    pub(super) fn pump_answer(&mut self) -> Option<()> {
        let Some(Ready::Answer(kind, body)) = self.row.front_mut() else {
            return None;
        };
        let (kind, body) = (*kind, core::mem::take(body));
        if self.push_own(kind, &body).is_none() {
            self.row[0] = Ready::Answer(kind, body);
            return None;
        }
        self.answer_bytes -= ANSWER_COST_BYTES + body.len();
        Some(())
    }

    /// Takes what clients answer into the row, with what stands last there if it is of the same question. `false`: too much waits.
    pub(super) fn owe_replies(&mut self, replies: Replies) -> bool {
        let bytes = self.answer_bytes + ANSWER_COST_BYTES + replies.bytes();
        if bytes > ANSWER_BYTES_MAX {
            return false;
        }
        if let Some(Ready::Replies(last)) = self.row.back_mut() {
            let before = last.bytes();
            if last.takes(&replies) {
                self.answer_bytes += last.bytes() - before;
                return true;
            }
        }
        self.answer_bytes = bytes;
        self.row.push_back(Ready::Replies(replies));
        true
    }

    pub(super) fn pump_replies(&mut self) -> Option<()> {
        let Some(Ready::Replies(replies)) = self.row.front_mut() else {
            return None;
        };
        let body = replies.take_body();
        if self.push_own(Kind::BcastReply, &body).is_none() {
            if let Some(Ready::Replies(replies)) = self.row.front_mut() {
                replies.give_body(body);
            }
            return None;
        }
        self.answer_bytes -= ANSWER_COST_BYTES + body.len();
        Some(())
    }

    /// The first in the row is not there any more.
    pub(super) fn pass_over(&mut self) {
        self.row.pop_front();
        self.row_gone = self.row_gone.saturating_sub(1);
    }

    /// The first in the row is a frame of no client. `None`: it does not fit.
    pub(super) fn push_own(&mut self, kind: Kind, body: &[u8]) -> Option<()> {
        self.push(kind, body)?;
        self.row.pop_front();
        Some(())
    }

    /// A frame of no client. `None`: it does not fit.
    pub(super) fn push(&mut self, kind: Kind, body: &[u8]) -> Option<()> {
        if !self.outgoing.fits(body.len() + HEADER_BYTES) {
            return None;
        }
        let raw = Raw {
            kind,
            flags: Flags::NONE,
            conn: 0,
            body,
        };
        self.outgoing.push(|out| raw.encode_into(out));
        Some(())
    }
}
