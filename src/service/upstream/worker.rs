//! A worker process: its window in both directions, which outlives a link that is cut, and what waits for room in it.
//!
//! Deliberately absent: the link's bytes and handshake (`link`), and who gets which client (`exchange`).

use super::mail::{ClientNumber, SpaceId};
use super::window::{Incoming, Outgoing, Window};
use crate::time::ConnId;
use ringway_proto::link::{Flags, HEADER_BYTES, Kind, Raw};
use std::collections::{HashMap, VecDeque};

/// A worker's place at the exchange, never used twice.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) struct WorkerId(pub(super) u64);

/// A frame for a worker that waits for room in its window.
#[derive(Debug)]
pub(super) struct Pending {
    pub(super) client: ClientNumber,
    pub(super) kind: Kind,
    pub(super) flags: Flags,
    pub(super) body: Box<[u8]>,
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
    pub(super) instance: Box<str>,
    pub(super) weight: u32,
    pub(super) link: Option<ConnId>,
    /// Since when it has no link.
    pub(super) lost_us: u64,
    pub(super) going: Option<Going>,
    pub(super) outgoing: Outgoing,
    pub(super) incoming: Incoming,
    /// What waits for room in the window, the oldest first.
    pub(super) pending: VecDeque<Pending>,
    /// Its namespaces by the numbers that it gave them.
    pub(super) spaces: HashMap<u16, SpaceId>,
    /// Its clients.
    pub(super) load: u32,
}

impl Worker {
    pub(super) fn new(instance: &str, weight: u32, link: ConnId, window: Window) -> Self {
        Self {
            instance: instance.into(),
            weight: weight.max(1),
            link: Some(link),
            lost_us: 0,
            going: None,
            outgoing: Outgoing::new(window),
            incoming: Incoming::new(window),
            pending: VecDeque::new(),
            spaces: HashMap::new(),
            load: 0,
        }
    }

    /// Whether it takes clients.
    pub(super) const fn is_open(&self) -> bool {
        self.going.is_none()
    }

    /// How busy it is beside another.
    pub(super) fn is_less_loaded_than(&self, other: &Self) -> bool {
        u64::from(self.load) * u64::from(other.weight)
            < u64::from(other.load) * u64::from(self.weight)
    }

    /// Moves what fits into the window; says of whom there was data, and how many bytes.
    pub(super) fn pump(&mut self) -> Vec<(ClientNumber, u32)> {
        let mut dealt = Vec::new();
        while let Some(first) = self.pending.front() {
            if !self.outgoing.fits(first.body.len() + HEADER_BYTES) {
                break;
            }
            self.outgoing.push(|out| first.raw().encode_into(out));
            if first.kind == Kind::Data {
                dealt.push((first.client, first.body.len() as u32));
            }
            self.pending.pop_front();
        }
        dealt
    }
}

impl Pending {
    fn raw(&self) -> Raw<'_> {
        Raw {
            kind: self.kind,
            flags: self.flags,
            conn: self.client.0,
            body: &self.body,
        }
    }
}
