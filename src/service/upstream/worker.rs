//! A worker process: its window in both directions, which outlives a link that is cut, and who stands in the row for room in it.
//!
//! Deliberately absent: the link's bytes and handshake (`link`), and who gets which client (`deal`).

use super::emitter::Role;
use super::mail::{ClientNumber, SpaceId};
use super::parsing::Parser;
use super::window::{Incoming, Outgoing, Window};
use crate::time::ConnId;
use ringway_proto::link::{Flags, HEADER_BYTES, Kind, Raw};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeSet, HashMap, VecDeque};
use std::rc::Rc;

/// Bytes of other workers' messages that wait for one that does not read. Beyond, they are dropped: whoever asked hears nothing, as of a worker that
/// is gone, and has a timeout for it.
const BUS_BYTES_MAX: usize = 16 << 20;

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
    /// Clients that a broadcast has asked: how many they are, or what they say, in so many parts.
    Answer {
        kind: Kind,
        request: u32,
        body: Vec<u8>,
        parts: u16,
    },
}

/// How a worker said goodbye.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Going {
    /// Its clients are held for the next one.
    Keep,
    /// Its clients are closed.
    Close,
}

#[derive(Debug)]
pub(super) struct Worker {
    pub(super) role: Role,
    pub(super) instance: Box<str>,
    pub(super) weight: u32,
    pub(super) link: Option<ConnId>,
    /// Since when it has no link.
    pub(super) lost_us: u64,
    pub(super) going: Option<Going>,
    /// It has said something since WELCOME, and so knows of this life of its own: before, what it says of another one is of another one.
    pub(super) knows: bool,
    /// How its clients' packets are encoded, once it has said it.
    pub(super) parser: Option<Parser>,
    pub(super) outgoing: Outgoing,
    pub(super) incoming: Incoming,
    /// What waits for room in the window, one turn each.
    pub(super) row: VecDeque<Ready>,
    /// Of these, clients that are not there any more.
    pub(super) row_gone: usize,
    /// What clients that are gone have in the row, by its cost.
    pub(super) farewell_bytes: usize,
    /// Other workers' messages in the row.
    bus_bytes: usize,
    /// Answers of clients in the row.
    pub(super) reply_bytes: usize,
    /// Namespaces in the row.
    pub(super) peers_due: BTreeSet<Rc<str>>,
    /// Its namespaces by the numbers that it gave them; none for one that it may not have.
    pub(super) spaces: HashMap<u16, Option<SpaceId>>,
    /// The names of an emitter's.
    pub(super) names: HashMap<u16, Box<str>>,
    /// Its clients.
    pub(super) load: u32,
}

impl Worker {
    pub(super) fn new(
        role: Role,
        instance: &str,
        weight: u32,
        link: ConnId,
        window: Window,
    ) -> Self {
        Self {
            role,
            instance: instance.into(),
            weight: weight.max(1),
            link: Some(link),
            lost_us: 0,
            going: None,
            knows: false,
            parser: None,
            outgoing: Outgoing::new(window),
            incoming: Incoming::new(window),
            row: VecDeque::new(),
            row_gone: 0,
            farewell_bytes: 0,
            bus_bytes: 0,
            reply_bytes: 0,
            peers_due: BTreeSet::new(),
            spaces: HashMap::new(),
            names: HashMap::new(),
            load: 0,
        }
    }

    /// Whether it takes clients.
    pub(super) const fn is_open(&self) -> bool {
        self.going.is_none() && !self.is_emitter()
    }

    /// Whether it only publishes.
    pub(super) const fn is_emitter(&self) -> bool {
        matches!(self.role, Role::Emitter)
    }

    /// Whether its clients go with it.
    pub(super) fn closes(&self) -> bool {
        self.going == Some(Going::Close)
    }

    /// How busy it is beside another.
    pub(super) fn is_less_loaded_than(&self, other: &Self) -> bool {
        u64::from(self.load) * u64::from(other.weight)
            < u64::from(other.load) * u64::from(self.weight)
    }

    /// The workers of a namespace have changed.
    pub(super) fn owe_peers(&mut self, name: &Rc<str>) {
        if self.peers_due.insert(Rc::clone(name)) {
            self.row.push_back(Ready::Peers(Rc::clone(name)));
        }
    }

    /// Takes another worker's message into the row. `false`: too much waits.
    pub(super) fn owe_bus(&mut self, body: &[u8]) -> bool {
        let bytes = self.bus_bytes + body.len();
        if self.bus_bytes > 0 && bytes > BUS_BYTES_MAX {
            return false;
        }
        self.bus_bytes = bytes;
        self.row.push_back(Ready::Bus(body.into()));
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
        self.bus_bytes -= body.len();
        Some(())
    }

    pub(super) fn pump_answer(&mut self) -> Option<()> {
        let Some(Ready::Answer { kind, body, .. }) = self.row.front_mut() else {
            return None;
        };
        let (kind, body) = (*kind, core::mem::take(body));
        if self.push_own(kind, &body).is_none() {
            if let Some(Ready::Answer { body: place, .. }) = self.row.front_mut() {
                *place = body;
            }
            return None;
        }
        if kind == Kind::BcastReply {
            self.reply_bytes = self.reply_bytes.saturating_sub(body.len());
        }
        Some(())
    }

    /// The first in the row is not there any more.
    pub(super) fn pass_over(&mut self) {
        self.row.pop_front();
        self.row_gone = self.row_gone.saturating_sub(1);
    }

    /// The first in the row is a frame of no client. `None`: it does not fit.
    pub(super) fn push_own(&mut self, kind: Kind, body: &[u8]) -> Option<()> {
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
        self.row.pop_front();
        Some(())
    }
}
