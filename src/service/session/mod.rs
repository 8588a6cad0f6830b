//! A session: an Engine.IO connection of one client over whatever TCP connections it uses, with its namespaces.
//!
//! Deliberately absent: reading and writing of bytes (`hub/` drives this) and rooms, which know a session by its key.

mod assembly;
mod moment;
mod namespaces;
mod sid;
mod upstream;

pub(crate) use moment::{Heartbeat, Moment};
pub(crate) use namespaces::{Namespace, Namespaces};
pub(crate) use sid::{BUCKETS, Sid, SocketId, bucket_of};
pub(crate) use upstream::{Leg, Upstream};

use crate::address::Address;
use crate::limits::TokenBucket;
use crate::outbox::Outbox;
use crate::refusal::Refusal;
use crate::time::{ConnId, Now};
use ringway_proto::socketio::Reassembly;
use serde::{Deserialize, Serialize};
use std::collections::VecDeque;

/// How a session's packets travel.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Transport {
    /// HTTP requests.
    Polling,
    /// HTTP requests, while a WebSocket has answered the probe.
    Upgrading,
    /// A WebSocket.
    WebSocket,
}

impl Transport {
    /// Engine.IO's name of what the client is on now.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Polling | Self::Upgrading => "polling",
            Self::WebSocket => "websocket",
        }
    }
}

/// What speaks above Engine.IO.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Application {
    /// Socket.IO.
    SocketIo,
    /// Every message comes back.
    Echo,
}

/// An Engine.IO session.
#[derive(Serialize, Deserialize)]
pub(crate) struct Session {
    pub(crate) sid: Sid,
    pub(crate) application: Application,
    pub(crate) transport: Transport,
    /// The GET that waits, or the WebSocket.
    pub(crate) conn: Option<ConnId>,
    pub(crate) heartbeat: Heartbeat,
    /// When the armed timer fires, or a little later.
    pub(crate) timer: Moment,
    pub(crate) outbox: Outbox,
    pub(crate) namespaces: Namespaces,
    pub(crate) events: TokenBucket,
    rare: Option<Box<Rare>>,
}

/// What most sessions do not have most of the time.
#[derive(Default, Serialize, Deserialize)]
pub(crate) struct Rare {
    /// The client's address when it came; none when that of its WebSocket is the same ([`Session::settle_on`]).
    pub(crate) address: Option<Address>,
    /// Since when it should have joined a namespace and has not; 0 when it has.
    pub(crate) nameless_us: u64,
    /// A WebSocket that probes.
    pub(crate) probe: Option<ConnId>,
    /// A POST whose body is being read.
    pub(crate) post: Option<ConnId>,
    /// Engine.IO packets of a polling session that go before everything else: kinds as text.
    pub(crate) urgent: String,
    /// CONNECTs whose token is being verified elsewhere.
    pub(crate) pending: Vec<PendingConnect>,
    pub(crate) reassembly: Option<Box<Reassembly>>,
    /// Input that waits for ring space, or for the client to read, in order.
    pub(crate) parked: VecDeque<Inbound>,
    /// A polling session that is closed and waits for the request that tells the client.
    pub(crate) closing: Option<Closing>,
    /// What its worker is told; there where workers may come.
    pub(crate) upstream: Option<Box<Upstream>>,
}

static NOTHING_RARE: Rare = Rare {
    address: None,
    nameless_us: 0,
    probe: None,
    post: None,
    urgent: String::new(),
    pending: Vec::new(),
    reassembly: None,
    parked: VecDeque::new(),
    closing: None,
    upstream: None,
};

impl Rare {
    /// What is kept of the client's input: it counts against the shard's budget.
    pub(crate) fn input_bytes(&self) -> u64 {
        let reassembly = self.reassembly.as_ref();
        let reassembly = reassembly.map_or(0, |packet| packet.kept_bytes()) as u64;
        let upstream = self.upstream.as_ref();
        let upstream = upstream.map_or(0, |upstream| upstream.input_bytes());
        self.parked_bytes() + self.pending_bytes() + reassembly + upstream
    }

    /// Tokens that wait for their verification.
    pub(crate) fn pending_bytes(&self) -> u64 {
        let tokens = self.pending.iter().map(|pending| pending.token.len());
        tokens.sum::<usize>() as u64
    }

    pub(crate) fn parked_bytes(&self) -> u64 {
        self.parked.iter().map(Inbound::bytes).sum()
    }

    fn is_nothing(&self) -> bool {
        let is_alone = self.probe.is_none() && self.post.is_none() && self.closing.is_none();
        let is_idle = self.urgent.is_empty() && self.pending.is_empty() && self.parked.is_empty();
        let is_native = self.upstream.is_none() && self.nameless_us == 0;
        let is_settled = self.address.is_none();
        is_alone && is_idle && is_native && is_settled && self.reassembly.is_none()
    }
}

const _: () = assert!(
    size_of::<Option<Session>>() <= 120,
    "ten thousand sessions are walked through for each broadcast"
);

/// The last words of a polling session.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub(crate) struct Closing {
    pub(crate) cause: Cause,
    /// When it is given up.
    pub(crate) until_us: u64,
}

/// A CONNECT or refresh whose token is being verified beside the shards.
#[derive(Serialize, Deserialize)]
pub(crate) struct PendingConnect {
    pub(crate) namespace: Box<str>,
    pub(crate) token: Box<str>,
    /// The job's token.
    pub(crate) job: u32,
    /// `None` for a CONNECT, else the refresh event's ack.
    pub(crate) refresh: Option<Option<u64>>,
}

/// A message of a client, kept.
#[derive(Serialize, Deserialize)]
pub(crate) enum Inbound {
    Text(Box<str>),
    Binary(Box<[u8]>),
    /// An event that was counted by the limits.
    Event(Box<ParkedEvent>),
}

impl Inbound {
    /// What it costs to keep it.
    pub(crate) fn bytes(&self) -> u64 {
        let payload = match self {
            Self::Text(text) => text.len(),
            Self::Binary(bytes) => bytes.len(),
            Self::Event(event) => {
                let attachments = event.attachments.iter().map(Vec::len).sum::<usize>();
                event.data.len() + attachments + size_of::<ParkedEvent>()
            }
        };
        (payload + INBOUND_BYTES) as u64
    }
}

/// A place in the queue and the allocation behind it.
const INBOUND_BYTES: usize = 48;

/// An event with all its attachments, where it came in.
#[derive(Clone, Copy)]
pub(crate) struct Event<'a> {
    pub(crate) namespace: &'a str,
    pub(crate) id: Option<u64>,
    pub(crate) data: &'a str,
    pub(crate) attachments: &'a [Vec<u8>],
}

impl Event<'_> {
    pub(crate) fn to_parked(self) -> ParkedEvent {
        ParkedEvent {
            namespace: self.namespace.into(),
            id: self.id,
            data: self.data.into(),
            attachments: self.attachments.to_vec(),
        }
    }
}

/// An event that waits.
#[derive(Clone, Serialize, Deserialize)]
pub(crate) struct ParkedEvent {
    namespace: Box<str>,
    id: Option<u64>,
    data: Box<str>,
    attachments: Vec<Vec<u8>>,
}

impl ParkedEvent {
    pub(crate) fn event(&self) -> Event<'_> {
        Event {
            namespace: &self.namespace,
            id: self.id,
            data: &self.data,
            attachments: &self.attachments,
        }
    }
}

/// Why a session ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Cause {
    /// The client said so, or its socket went away.
    Peer,
    /// The daemon says so: a reason, and the WebSocket close code.
    Told(Refusal, u16),
}

impl Session {
    pub(crate) fn new(
        sid: Sid,
        address: Address,
        application: Application,
        transport: Transport,
        opened_us: u64,
        heartbeat: Heartbeat,
    ) -> Self {
        let is_nameless = application == Application::SocketIo;
        let rare = Rare {
            address: Some(address),
            nameless_us: if is_nameless { opened_us.max(1) } else { 0 },
            ..Rare::default()
        };
        Self {
            sid,
            application,
            transport,
            conn: None,
            heartbeat,
            timer: Moment::NONE,
            outbox: Outbox::default(),
            namespaces: Namespaces::new(),
            events: TokenBucket::new(),
            rare: Some(Box::new(rare)),
        }
    }

    /// A WebSocket of a client at `address` is its transport from now on, and knows that.
    pub(crate) fn settle_on(&mut self, conn: ConnId, address: Address) {
        self.conn = Some(conn);
        if let Some(rare) = &mut self.rare {
            rare.address.take_if(|kept| *kept == address);
        }
    }

    pub(crate) fn rare(&self) -> &Rare {
        self.rare.as_deref().unwrap_or(&NOTHING_RARE)
    }

    pub(crate) fn rare_mut(&mut self) -> &mut Rare {
        self.rare.get_or_insert_default()
    }

    /// What is rare, if there is any of it.
    pub(crate) fn rare_if(&mut self) -> Option<&mut Rare> {
        self.rare.as_deref_mut()
    }

    /// Gives the memory of rare things back when there are none.
    pub(crate) fn tidy(&mut self) {
        self.rare.take_if(|rare| rare.is_nothing());
    }

    /// It has joined a namespace.
    pub(crate) fn enter(&mut self, name: &str, namespace: Namespace) {
        self.namespaces.insert(name, namespace);
        if let Some(rare) = &mut self.rare {
            rare.nameless_us = 0;
        }
        self.tidy();
    }

    /// It has left a namespace; from its last one on it has as much time to join another as it had for the first.
    pub(crate) fn leave(&mut self, name: &str, now: Now) {
        if self.namespaces.remove(name) && self.namespaces.is_empty() {
            self.rare_mut().nameless_us = now.monotonic_us.max(1);
        }
    }

    pub(crate) fn namespace(&self, name: &str) -> Option<&Namespace> {
        self.namespaces.find(name)
    }

    /// The client was sent something. Its input may wait, so that its pong is not heard; it reads, so that it is there: the pong may come later.
    pub(crate) fn reads_on(&mut self, now: Now, ping_timeout_ms: u32) {
        if self.heartbeat.is_pinged() && !self.rare().parked.is_empty() {
            let due_us = now.monotonic_us + u64::from(ping_timeout_ms) * 1000;
            self.heartbeat = Heartbeat::pong_by(due_us);
        }
    }

    /// Whether the client has something to read.
    pub(crate) fn has_output(&self) -> bool {
        !self.rare().urgent.is_empty() || !self.outbox.is_empty()
    }

    /// When the first of its tokens expires, in Unix milliseconds.
    pub(crate) fn expires_unix_ms(&self) -> Option<u64> {
        self.namespaces
            .iter()
            .filter_map(|(_, namespace)| namespace.identity.as_ref()?.expires_unix_ms())
            .min()
    }
}
