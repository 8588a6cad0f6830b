//! One link: bytes that are not whole frames yet, and what goes out beside the counted frames: handshake, pings, credit, errors.
//!
//! Deliberately absent: counted frames, which belong to the worker and outlive its links.

use super::coalescing::Coalescing;
use super::proof::{self, Prover, Secret};
use super::window::Sum;
use super::worker::WorkerId;
use ringway_proto::link::{self, Flags, Frame, Json};
use std::collections::BTreeSet;

/// The version that is spoken here.
const PROTO: [u32; 2] = [1, 0];
/// Pings that may go unanswered.
const PINGS_MISSED_MAX: u32 = 3;
/// A frame of a peer that has not said who it is.
const HELLO_BYTES_MAX: u32 = 64 << 10;
/// Time for a peer to read why its link is closed.
const CLOSING_US: u64 = 5_000_000;

/// Who has connected.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LinkPeer {
    /// By what it is known again if it lies.
    pub name: String,
    /// Over TCP both sides prove the secret. Over a Unix socket the file's mode and the peer's user do that.
    pub needs_proof: bool,
}

impl LinkPeer {
    /// The name of a process that the system does not tell from others, as those of another container.
    pub const UNKNOWN: &str = "an unknown process";
}

/// What a link is late with.
pub(super) enum Lateness {
    None,
    Hello,
    Closing,
}

/// What WELCOME says.
pub(super) struct Welcome<'a> {
    pub(super) epoch: &'a str,
    pub(super) resumed: bool,
    pub(super) received: u64,
    pub(super) window: super::Window,
    pub(super) hold_ms: u32,
    pub(super) grace_ms: u32,
    pub(super) caps: Vec<&'static str>,
    pub(super) native: &'a BTreeSet<String>,
    pub(super) payload_bytes_max: u32,
}

pub(super) struct Link {
    /// Later ones have larger numbers.
    pub(super) number: u64,
    /// Who has connected, as the system says.
    peer: LinkPeer,
    /// The JSON of CHALLENGE, which proofs cover.
    challenge: String,
    input: Vec<u8>,
    /// Handshake and last words, before all that is owed.
    control: Vec<u8>,
    /// Only the last of each is worth saying: a peer that asks without reading costs nothing.
    credit: Option<Sum>,
    pong: Option<u64>,
    ping: Option<u64>,
    /// Why the worker's clients wait for the next one.
    keep: Option<&'static str>,
    worker: Option<WorkerId>,
    hello_by_us: u64,
    pings_missed: u32,
    /// Nothing is read for now.
    is_paused: bool,
    /// Nothing more is read.
    is_closing: bool,
    /// When that was first seen too late.
    closing_by_us: Option<u64>,
    pub(super) coalescing: Coalescing,
}

impl Link {
    /// A link that was just accepted: it is challenged.
    pub(super) fn new(epoch: &str, nonce: [u64; 2], hello_by_us: u64, peer: &LinkPeer) -> Self {
        let nonce = format!("{:016x}{:016x}", nonce[0], nonce[1]);
        let json = Json::new(link::Challenge {
            proto: PROTO,
            nonce: nonce.into(),
            epoch: epoch.into(),
        });
        let (challenge, mut control) = (json.text().to_owned(), Vec::new());
        Frame::Challenge { json }.encode_into(0, Flags::NONE, &mut control);
        Self {
            number: 0,
            peer: peer.clone(),
            challenge,
            input: Vec::new(),
            control,
            credit: None,
            pong: None,
            ping: None,
            keep: None,
            worker: None,
            hello_by_us,
            pings_missed: 0,
            is_paused: false,
            is_closing: false,
            closing_by_us: None,
            coalescing: Coalescing::default(),
        }
    }

    pub(super) fn peer(&self) -> &str {
        &self.peer.name
    }

    pub(super) const fn worker(&self) -> Option<WorkerId> {
        self.worker
    }

    pub(super) const fn is_paused(&self) -> bool {
        self.is_paused
    }

    /// It is read, or not.
    pub(super) const fn pause(&mut self, is_paused: bool) {
        self.is_paused = is_paused;
    }

    pub(super) fn feed(&mut self, bytes: &[u8]) {
        self.input.extend_from_slice(bytes);
    }

    pub(super) fn take_input(&mut self) -> Vec<u8> {
        core::mem::take(&mut self.input)
    }

    pub(super) fn give_input_back(&mut self, mut input: Vec<u8>) {
        if input.is_empty() {
            input.shrink_to(64 << 10);
        }
        self.input = input;
    }

    /// Whether HELLO proves that its worker knows the secret, where that is to be proven: without a secret nobody can.
    pub(super) fn is_proven(&self, secret: Option<&Secret>, hello: &str, mac: &str) -> bool {
        let bodies = [&*self.challenge, hello];
        let proves = |secret| proof::is_proof(secret, Prover::Worker, &bodies, mac);
        !self.peer.needs_proof || secret.is_some_and(proves)
    }

    pub(super) fn welcome(
        &mut self,
        worker: WorkerId,
        welcome: &Welcome<'_>,
        secret: Option<&Secret>,
        hello: &str,
    ) {
        self.worker = Some(worker);
        let window = link::WindowSize {
            frames: welcome.window.frames,
            bytes: welcome.window.bytes,
        };
        let json = Json::new(link::Welcome {
            proto: PROTO,
            epoch: welcome.epoch.into(),
            resumed: welcome.resumed,
            received: welcome.received,
            window,
            hold_ms: welcome.hold_ms,
            grace_ms: welcome.grace_ms,
            caps: welcome.caps.iter().copied().map(Into::into).collect(),
            native: welcome
                .native
                .iter()
                .map(|name| name.as_str().into())
                .collect(),
            payload_bytes_max: Some(welcome.payload_bytes_max),
        });
        let secret = secret.filter(|_| self.peer.needs_proof);
        let mac = secret.map(|secret| {
            let bodies = [&*self.challenge, hello, json.text()];
            proof::prove(secret, Prover::Daemon, &bodies)
        });
        let mac = mac.as_deref().unwrap_or("");
        self.say(&Frame::Welcome { json, mac });
    }

    fn say(&mut self, frame: &Frame<'_>) {
        frame.encode_into(0, Flags::NONE, &mut self.control);
    }

    pub(super) const fn owe_credit(&mut self, sum: Sum) {
        self.credit = Some(sum);
    }

    pub(super) const fn owe_pong(&mut self, number: u64) {
        self.pong = Some(number);
    }

    /// The last words.
    pub(super) fn say_error(&mut self, code: &str, message: &str) {
        self.say(&Frame::Error { code, message });
        self.is_closing = true;
        self.input = Vec::new();
    }

    pub(super) const fn is_closing(&self) -> bool {
        self.is_closing
    }

    /// What a frame's body may have.
    pub(super) const fn body_bytes_max(&self) -> u32 {
        match self.worker {
            Some(_) => link::FRAME_BODY_BYTES_MAX,
            None => HELLO_BYTES_MAX,
        }
    }

    /// Whether anything is owed that is no counted frame.
    pub(super) const fn has_words(&self) -> bool {
        let owes = self.credit.is_some() || self.pong.is_some() || self.ping.is_some();
        owes || !self.control.is_empty()
    }

    /// What goes out before counted frames.
    pub(super) fn take_control(&mut self) -> Vec<u8> {
        let credit = self.credit.take().map(|sum| Frame::Credit {
            frames: sum.frames,
            bytes: sum.bytes,
        });
        let pong = self.pong.take().map(|number| Frame::Pong { number });
        let ping = self.ping.take().map(|number| Frame::Ping { number });
        let keep = self.keep.take().map(|reason| Frame::GoAway {
            json: Json::new(link::GoAway {
                mode: link::GoAwayMode::Keep,
                reason: reason.into(),
                deadline_ms: 0,
            }),
        });
        let owed = [keep, credit, pong, ping].into_iter().flatten();
        for frame in owed.filter(|_| !self.is_closing) {
            frame.encode_into(0, Flags::NONE, &mut self.control);
        }
        core::mem::take(&mut self.control)
    }

    pub(super) const fn lateness(&mut self, now_us: u64) -> Lateness {
        if !self.is_closing {
            return match self.worker.is_none() && now_us >= self.hello_by_us {
                true => Lateness::Hello,
                false => Lateness::None,
            };
        }
        match self.closing_by_us {
            Some(by_us) if now_us >= by_us => Lateness::Closing,
            Some(_) => Lateness::None,
            None => {
                self.closing_by_us = Some(now_us + CLOSING_US);
                Lateness::None
            }
        }
    }

    /// The worker's clients wait for the next one when it goes.
    pub(super) const fn owe_keep(&mut self, reason: &'static str) {
        self.keep = Some(reason);
    }

    /// Whether it was asked whether it is there, and has said nothing since.
    pub(super) const fn owes_word(&self) -> bool {
        self.pings_missed > 0
    }

    /// The link has said something.
    pub(super) const fn heard(&mut self) {
        self.pings_missed = 0;
    }

    /// Asks whether the worker is there. `false`: it has not answered for too long.
    pub(super) const fn ping(&mut self, number: u64) -> bool {
        self.pings_missed += 1;
        if self.pings_missed > PINGS_MISSED_MAX {
            return false;
        }
        self.ping = Some(number);
        true
    }
}
