//! What a session keeps for its worker: what OPEN says, and what is on the way.
//!
//! Deliberately absent: its sockets and rooms, which `upstream/clients` has for all sessions.

use super::Session;
use super::assembly::Assembly;
use crate::auth::Header;
use crate::hub::Seed;
use crate::upstream::{AppId, ClientNumber};
use core::hash::BuildHasher as _;
use serde::{Deserialize, Serialize};
use std::collections::VecDeque;

/// Bytes of a client's frames that may be on the way to its worker; then nothing more is received from it.
const OUTSTANDING_BYTES_MAX: u32 = 64 * 1024;

/// A client at one of the applications.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Leg {
    pub(crate) app: AppId,
    /// Its name on the application's links.
    pub(crate) number: ClientNumber,
    /// The worker's last packet was volatile and dropped: so are its attachments.
    pub(crate) is_dropping: bool,
    /// A packet of the worker's that is not whole yet.
    pub(crate) assembly: Assembly,
    /// The namespaces that the client is in, as it was told, by hash; known where it may have other applications beside this one.
    joined: Vec<u64>,
    /// When a worker had it leave one last.
    pub(crate) dismissed_us: u64,
    /// What of the client's is on the way to the worker, by its cost.
    outstanding_bytes: u32,
}

/// Namespaces of a leg: an application has no more.
const JOINED_MAX: usize = 1024;

fn hashed(namespace: &str) -> u64 {
    Seed::new(0).hash_one(namespace)
}

impl Leg {
    pub(crate) fn new(app: AppId, number: ClientNumber) -> Self {
        Self {
            app,
            number,
            is_dropping: false,
            assembly: Assembly::default(),
            joined: Vec::new(),
            dismissed_us: 0,
            outstanding_bytes: 0,
        }
    }

    fn joins(&mut self, namespace: &str) {
        self.leaves(namespace);
        if self.joined.len() < JOINED_MAX {
            self.joined.push(hashed(namespace));
        }
    }

    /// The client is in the namespace no more, as it has said, or was told.
    pub(crate) fn leaves(&mut self, namespace: &str) {
        if !self.joined.is_empty() {
            let left = hashed(namespace);
            self.joined.retain(|joined| *joined != left);
        }
    }
}

/// A CONNECT that no worker has answered: it is said again to the next one of the same application, whoever has the namespace by then. So there is one
/// answer to it.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Connect {
    pub(crate) app: AppId,
    pub(crate) namespace: Box<str>,
    pub(crate) text: Box<str>,
}

/// A session that may come to have sockets in upstream namespaces.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Upstream {
    /// What OPEN and RESUME say of the client, but for its transport: the fields of a JSON object without its braces.
    pub(crate) head: Box<str>,
    /// The applications that know it.
    pub(crate) legs: Vec<Leg>,
    /// The worker that let the client in.
    pub(crate) worker: Option<u64>,
    /// What decides who its workers are, if anything does.
    pub(crate) affinity: Option<u64>,
    /// What each answer to it says beside what all say: whose pages may read it.
    pub(crate) headers: Box<[Header]>,
    /// The pings that the client was told of: interval and timeout in milliseconds. The application may have come to want others.
    pub(crate) pings_ms: (u32, u32),
    /// Attachments of its last packet that are still to come, and whose that packet was.
    pub(crate) attachments: u16,
    pub(crate) attachments_of: AppId,
    /// A worker was told that a WebSocket probes.
    pub(crate) is_upgrading: bool,
    /// What is on the way to its workers, by its cost.
    outstanding_bytes: u32,
    /// CONNECTs that no worker has answered.
    pub(crate) connects: Vec<Connect>,
    /// The same of a client with a parser of its own: what it has said before it was in a namespace, whether it is binary and the message.
    pub(crate) openers: VecDeque<(bool, Box<[u8]>)>,
}

impl Upstream {
    pub(crate) fn new(head: Box<str>, pings_ms: (u32, u32)) -> Self {
        Self {
            head,
            legs: Vec::new(),
            worker: None,
            affinity: None,
            headers: Box::default(),
            pings_ms,
            attachments: 0,
            attachments_of: AppId::MAIN,
            is_upgrading: false,
            outstanding_bytes: 0,
            connects: Vec::new(),
            openers: VecDeque::new(),
        }
    }

    /// Its name on the links of an application, once a worker was asked for.
    pub(crate) fn number(&self, app: AppId) -> Option<ClientNumber> {
        let leg = self.legs.iter().find(|leg| leg.app == app);
        leg.map(|leg| leg.number)
    }

    /// The client at an application that knows it.
    pub(crate) fn leg_mut(&mut self, app: AppId) -> Option<&mut Leg> {
        self.legs.iter_mut().find(|leg| leg.app == app)
    }

    /// Whether a frame may go now. One may be larger than all that may be on the way.
    pub(crate) const fn has_room(&self) -> bool {
        self.outstanding_bytes < OUTSTANDING_BYTES_MAX
    }

    /// What is kept of the client's input here or on the way.
    pub(crate) fn input_bytes(&self) -> u64 {
        let connects = self.connects.iter();
        let connects: usize = connects.map(|connect| connect.text.len()).sum();
        let openers: usize = self.openers.iter().map(|(_, bytes)| bytes.len()).sum();
        (connects + openers) as u64 + u64::from(self.outstanding_bytes)
    }

    pub(crate) fn forget_input(&mut self) {
        self.outstanding_bytes = 0;
        self.connects.clear();
        self.openers.clear();
    }

    pub(crate) fn sent(&mut self, app: AppId, cost: u32) {
        if let Some(leg) = self.leg_mut(app) {
            leg.outstanding_bytes += cost;
            self.outstanding_bytes += cost;
        }
    }

    /// # Panics
    /// When more arrived than was sent.
    pub(crate) fn dealt(&mut self, app: AppId, cost: u32) {
        let Some(leg) = self.leg_mut(app) else {
            return;
        };
        let left = leg.outstanding_bytes.checked_sub(cost);
        leg.outstanding_bytes = left.expect("what is dealt with was sent");
        self.outstanding_bytes -= cost;
    }

    /// The application knows the client no more, and what was on the way to it is on no way.
    pub(crate) fn take_leg(&mut self, app: AppId) -> Option<Leg> {
        let at = self.legs.iter().position(|leg| leg.app == app)?;
        let leg = self.legs.remove(at);
        self.outstanding_bytes -= leg.outstanding_bytes;
        Some(leg)
    }

    /// Whether the client is in a namespace of an application, or about to be, or in the middle of a packet for it.
    pub(crate) fn uses(&self, app: AppId) -> bool {
        let mut legs = self.legs.iter().filter(|leg| leg.app == app);
        let mut connects = self.connects.iter();
        let is_inside_packet = self.attachments > 0 && self.attachments_of == app;
        legs.any(|leg| !leg.joined.is_empty())
            || connects.any(|connect| connect.app == app)
            || is_inside_packet
    }

    /// The client's CONNECT is answered: it is in the namespace, unless it never asked.
    pub(crate) fn joins(&mut self, app: AppId, namespace: &str) {
        if self.asks_for(namespace)
            && let Some(leg) = self.leg_mut(app)
        {
            leg.joins(namespace);
        }
    }

    /// Whether a CONNECT of the namespace is not answered.
    pub(crate) fn asks_for(&self, namespace: &str) -> bool {
        let mut connects = self.connects.iter();
        connects.any(|connect| *connect.namespace == *namespace)
    }

    /// A CONNECT went to a worker; one of the same namespace replaces it.
    pub(crate) fn asks(&mut self, app: AppId, namespace: &str, text: &str) {
        self.answered(namespace);
        let (namespace, text) = (namespace.into(), text.into());
        self.connects.push(Connect {
            app,
            namespace,
            text,
        });
    }

    /// The namespace's CONNECT was answered, or is of no use any more.
    pub(crate) fn answered(&mut self, namespace: &str) {
        self.connects
            .retain(|connect| *connect.namespace != *namespace);
    }

    /// A message that nobody here can read, which a client says before it is in a namespace: a CONNECT, as Socket.IO has it. The oldest of too many
    /// gives way.
    pub(crate) fn opens(&mut self, is_binary: bool, bytes: &[u8], openers_max: usize) {
        if self.openers.len() >= openers_max {
            self.openers.pop_front();
        }
        self.openers.push_back((is_binary, bytes.into()));
    }

    /// One of these was answered: Socket.IO does not say which, and most clients have said one.
    pub(crate) fn opener_answered(&mut self) {
        if self.connects.is_empty() {
            self.openers.pop_front();
        } else {
            // It was read as a CONNECT before a worker said that it is not to be read.
            self.connects.remove(0);
        }
    }
}

impl Session {
    pub(crate) fn upstream(&self) -> Option<&Upstream> {
        self.rare().upstream.as_deref()
    }

    pub(crate) fn upstream_mut(&mut self) -> Option<&mut Upstream> {
        self.rare_if()?.upstream.as_deref_mut()
    }

    /// Whether no packet for a worker is short of attachments.
    pub(crate) fn awaits_no_attachment(&self) -> bool {
        self.upstream()
            .is_none_or(|upstream| upstream.attachments == 0)
    }
}
