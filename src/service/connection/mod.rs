//! One TCP connection: which protocol it speaks now, and the bytes that wait in it.
//!
//! Deliberately absent: what the bytes mean (`hub/` drives this machine) and the session, which outlives connections.

use crate::address::Address;
use crate::auth::Header;
use crate::hub::slab::Key;
use crate::limits::Place;
use ringway_proto::{http1, ws};
use serde::{Deserialize, Serialize};
use std::net::IpAddr;

/// A TCP connection. Small and without buffers while idle.
#[derive(Serialize, Deserialize)]
pub(crate) struct Connection {
    /// The client's address: the peer, or what a trusted proxy says.
    pub(crate) client: Address,
    /// Its place in the count of the client's address; none while the client is unknown, and on the way to another shard.
    #[serde(skip)]
    pub(crate) place: Option<Place>,
    pub(crate) stage: Stage,
    busy: Option<Box<Busy>>,
    /// Nothing more is read; what is in `output` goes out, then the socket closes.
    pub(crate) closing: bool,
    pub(crate) paused: bool,
    /// It is paused because requests wait behind an answer that is not over.
    pub(crate) is_held_back: bool,
}

/// What an idle WebSocket does not need.
#[derive(Default, Serialize, Deserialize)]
pub(crate) struct Busy {
    /// Let go when the connection has become a WebSocket for good.
    pub(crate) http: Option<Box<Http>>,
    /// What a WebSocket has of a frame or a message that is not whole.
    pub(crate) decoder: ws::Decoder,
    /// Bytes that go out before anything else: responses, pongs, pings, closes.
    pub(crate) output: Vec<u8>,
    /// When the peer must have done what it is expected to do; 0 for never.
    pub(crate) deadline_us: u64,
    /// When the armed timer fires; 0 for none.
    pub(crate) timer_us: u64,
    /// Bytes of input that were last counted against the shard's budget.
    pub(crate) counted_bytes: u32,
}

static IDLE: Busy = Busy {
    http: None,
    decoder: ws::Decoder::new(),
    output: Vec::new(),
    deadline_us: 0,
    timer_us: 0,
    counted_bytes: 0,
};

impl Busy {
    const fn is_idle(&self) -> bool {
        let is_timeless = self.deadline_us == 0 && self.timer_us == 0;
        let is_between = self.http.is_none() && self.decoder.is_idle();
        is_timeless && is_between && self.counted_bytes == 0 && self.output.is_empty()
    }
}

/// What only a connection needs that speaks HTTP.
#[derive(Serialize, Deserialize)]
pub(crate) struct Http {
    /// The other end of the socket.
    pub(crate) peer: IpAddr,
    /// The peer, or whom its PROXY v2 header names: headers of each request start from here, for a proxy may send requests of
    /// several clients on one connection.
    pub(crate) nearest: IpAddr,
    /// Bytes received and not yet understood.
    pub(crate) input: Vec<u8>,
}

const _: () = assert!(
    size_of::<Option<Connection>>() <= 48,
    "ten thousand connections are walked through for each broadcast"
);

/// What the bytes on a connection are.
#[derive(Serialize, Deserialize)]
pub(crate) enum Stage {
    /// A PROXY v2 header may come first: the peer is a trusted proxy.
    Prefix,
    /// A request head.
    Head,
    /// The body of a POST.
    Body(Box<Body>),
    /// A POST whose packets wait for ring space: its answer waits with them.
    Held(Box<Poll>),
    /// A GET of a polling session waits for packets.
    Poll(Box<Poll>),
    /// Packets of a session are on their way in an answer: if the connection breaks now, they are lost.
    Answer {
        /// Whose they are.
        session: Key,
        /// How many bytes the answer has; they count as queued until it went out.
        bytes: u32,
    },
    /// A file of the application is on its way, which is nobody's session's.
    Given {
        /// How many bytes the answer has; they count as queued until it went out.
        bytes: u32,
    },
    /// WebSocket frames.
    Socket(Socket),
    /// A request head waits for the application's word on it.
    Asked,
    /// A request waits for the shard to open its file.
    Opening,
    /// Pieces of a file are on their way.
    Sending,
    /// An upload's request is being stored.
    Uploading,
    /// The machine is in somebody's hands for the length of one call, or the connection moves away.
    Away,
}

/// A POST whose body is being read.
#[derive(Serialize, Deserialize)]
pub(crate) struct Body {
    pub(crate) session: Key,
    pub(crate) decoder: http1::BodyDecoder,
    pub(crate) reply: Reply,
}

/// A request that waits for its answer.
#[derive(Serialize, Deserialize)]
pub(crate) struct Poll {
    pub(crate) session: Key,
    pub(crate) reply: Reply,
}

/// What a response must repeat of its request.
#[derive(Clone, Serialize, Deserialize)]
pub(crate) struct Reply {
    pub(crate) keep_alive: bool,
    /// Asked by HEAD: the answer has no body.
    pub(crate) head: bool,
    /// What it says beside that: whose pages may read it, and what the application adds.
    pub(crate) headers: Vec<Header>,
}

impl Reply {
    /// The last answer on a connection.
    pub(crate) const fn last() -> Self {
        Self {
            keep_alive: false,
            head: false,
            headers: Vec::new(),
        }
    }
}

/// A WebSocket.
#[derive(Clone, Copy, Serialize, Deserialize)]
pub(crate) struct Socket {
    /// permessage-deflate was agreed.
    pub(crate) inflates: bool,
    /// What goes out may be compressed.
    pub(crate) deflate: bool,
    pub(crate) purpose: Purpose,
}

/// Whom a WebSocket serves.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Purpose {
    /// The session's transport.
    Session(Key),
    /// A probe that wants to become the session's transport.
    Probe(Key),
    /// The bare echo.
    Echo,
}

impl Connection {
    pub(crate) fn new(peer: IpAddr, stage: Stage) -> Self {
        Self {
            client: peer.into(),
            place: None,
            stage,
            busy: Some(Box::new(Busy {
                http: Some(Box::new(Http {
                    peer,
                    nearest: peer,
                    input: Vec::new(),
                })),
                ..Busy::default()
            })),
            closing: false,
            paused: false,
            is_held_back: false,
        }
    }

    pub(crate) fn busy(&self) -> &Busy {
        self.busy.as_deref().unwrap_or(&IDLE)
    }

    pub(crate) fn busy_mut(&mut self) -> &mut Busy {
        self.busy.get_or_insert_default()
    }

    /// The state of HTTP, if it speaks that, beside the stage.
    pub(crate) fn http_and_stage(&mut self) -> (Option<&mut Http>, &mut Stage) {
        let busy = self.busy.as_deref_mut();
        let http = busy.and_then(|busy| busy.http.as_deref_mut());
        (http, &mut self.stage)
    }

    pub(crate) fn http_mut(&mut self) -> Option<&mut Http> {
        self.http_and_stage().0
    }

    pub(crate) fn input(&self) -> &[u8] {
        let http = self.busy().http.as_ref();
        http.map_or(&[], |http| &http.input)
    }

    /// Takes all of the input.
    pub(crate) fn take_input(&mut self) -> Vec<u8> {
        let http = self.http_mut();
        http.map_or_else(Vec::new, |http| core::mem::take(&mut http.input))
    }

    /// Takes what goes out before anything else.
    pub(crate) fn take_output(&mut self) -> Vec<u8> {
        let busy = self.busy.as_deref_mut();
        let output = busy.map_or_else(Vec::new, |busy| core::mem::take(&mut busy.output));
        self.rest();
        output
    }

    /// Takes what is there of a frame or a message that is not whole.
    pub(crate) fn take_decoder(&mut self) -> ws::Decoder {
        let busy = self.busy.as_deref_mut();
        busy.map_or_else(ws::Decoder::new, |busy| core::mem::take(&mut busy.decoder))
    }

    /// Gives it back.
    pub(crate) fn keep_decoder(&mut self, decoder: ws::Decoder) {
        if !decoder.is_idle() {
            self.busy_mut().decoder = decoder;
        }
        self.rest();
    }

    /// The session whose WebSocket this is.
    pub(crate) const fn carries(&self) -> Option<Key> {
        match self.stage {
            Stage::Socket(Socket {
                purpose: Purpose::Session(key),
                ..
            }) => Some(key),
            _ => None,
        }
    }

    /// It need do nothing by any time.
    pub(crate) fn clear_deadline(&mut self) {
        if let Some(busy) = &mut self.busy {
            busy.deadline_us = 0;
        }
        self.rest();
    }

    /// The armed timer has fired.
    pub(crate) fn clear_timer(&mut self) {
        self.take_timer();
    }

    /// The armed timer is somebody else's from now on. When it fires; 0 for none.
    pub(crate) fn take_timer(&mut self) -> u64 {
        let busy = self.busy.as_deref_mut();
        let timer_us = busy.map_or(0, |busy| core::mem::take(&mut busy.timer_us));
        self.rest();
        timer_us
    }

    /// Writes down how many bytes of its input are counted now; how many were before.
    pub(crate) fn count_bytes(&mut self, bytes: u32) -> u32 {
        let counted = self.busy().counted_bytes;
        if bytes != counted {
            self.busy_mut().counted_bytes = bytes;
            self.rest();
        }
        counted
    }

    /// Gives the memory of what it does not do back.
    fn rest(&mut self) {
        self.busy.take_if(|busy| busy.is_idle());
    }

    /// An idle connection owns no buffer, and a WebSocket has no requests any more.
    pub(crate) fn tidy(&mut self) {
        if self.input().is_empty() {
            drop(self.take_input());
            if let (Stage::Socket(_), Some(busy)) = (&self.stage, &mut self.busy) {
                busy.http = None;
                // A timer that is forgotten finds nothing to do. A connection becomes a WebSocket once; one of HTTP would leave one with each request.
                if busy.deadline_us == 0 {
                    busy.timer_us = 0;
                }
            }
        }
        self.rest();
    }

    /// Bytes that it keeps of what came in.
    pub(crate) fn input_bytes(&self) -> usize {
        let kept = match &self.stage {
            Stage::Body(body) => body.decoder.kept_bytes(),
            Stage::Socket(_) => self.busy().decoder.kept_bytes(),
            _ => 0,
        };
        self.input().len() + kept
    }

    /// Bytes of packets that left their queue and are not sent.
    pub(crate) const fn answer_bytes(&self) -> u64 {
        match self.stage {
            Stage::Answer { bytes, .. } | Stage::Given { bytes } => bytes as u64,
            _ => 0,
        }
    }

    /// Of those, bytes of an answer that is no session's.
    pub(crate) const fn given_bytes(&self) -> u64 {
        match self.stage {
            Stage::Given { bytes } => bytes as u64,
            _ => 0,
        }
    }

    /// The session that this connection serves in any way.
    pub(crate) fn session(&self) -> Option<Key> {
        match &self.stage {
            Stage::Body(body) => Some(body.session),
            Stage::Held(poll) | Stage::Poll(poll) => Some(poll.session),
            Stage::Answer { session, .. } => Some(*session),
            Stage::Socket(socket) => match socket.purpose {
                Purpose::Session(key) | Purpose::Probe(key) => Some(key),
                Purpose::Echo => None,
            },
            Stage::Prefix
            | Stage::Head
            | Stage::Asked
            | Stage::Opening
            | Stage::Sending
            | Stage::Uploading
            | Stage::Given { .. }
            | Stage::Away => None,
        }
    }
}
