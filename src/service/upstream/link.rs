//! One link: bytes that are not whole frames yet, and what goes out beside the counted frames: handshake, pings, credit, errors.
//!
//! Deliberately absent: counted frames, which belong to the worker and outlive its links.

use super::proof::{self, Prover, Secret};
use super::window::Sum;
use super::worker::WorkerId;
use ringway_proto::link::{self, Flags, Frame, Json};

/// The version that is spoken here.
const PROTO: [u32; 2] = [1, 0];
/// Pings that may go unanswered.
const PINGS_MISSED_MAX: u32 = 3;

/// What WELCOME says.
pub(super) struct Welcome<'a> {
    pub(super) epoch: &'a str,
    pub(super) resumed: bool,
    pub(super) received: u64,
    pub(super) window: super::Window,
    pub(super) hold_ms: u32,
    pub(super) grace_ms: u32,
}

pub(super) struct Link {
    /// The JSON of CHALLENGE, which proofs cover.
    challenge: String,
    input: Vec<u8>,
    /// What goes out before the next counted frames.
    control: Vec<u8>,
    worker: Option<WorkerId>,
    hello_by_us: u64,
    pings_missed: u32,
    /// Nothing more is read.
    pub(super) is_closing: bool,
}

impl Link {
    /// A link that was just accepted: it is challenged.
    pub(super) fn new(epoch: &str, nonce: [u64; 2], hello_by_us: u64) -> Self {
        let nonce = format!("{:016x}{:016x}", nonce[0], nonce[1]);
        let json = Json::new(link::Challenge {
            proto: PROTO,
            nonce: nonce.into(),
            epoch: epoch.into(),
        });
        let (challenge, mut control) = (json.text().to_owned(), Vec::new());
        Frame::Challenge { json }.encode_into(0, Flags::NONE, &mut control);
        Self {
            challenge,
            input: Vec::new(),
            control,
            worker: None,
            hello_by_us,
            pings_missed: 0,
            is_closing: false,
        }
    }

    pub(super) const fn worker(&self) -> Option<WorkerId> {
        self.worker
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

    /// Whether HELLO proves that its worker knows the secret; without one there is nothing to prove.
    pub(super) fn is_proven(&self, secret: Option<&Secret>, hello: &str, mac: &str) -> bool {
        secret.is_none_or(|secret| {
            let bodies = [&*self.challenge, hello];
            proof::is_proof(secret, Prover::Worker, &bodies, mac)
        })
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
            caps: Vec::new(),
        });
        let mac = secret.map(|secret| {
            let bodies = [&*self.challenge, hello, json.text()];
            proof::prove(secret, Prover::Daemon, &bodies)
        });
        let mac = mac.as_deref().unwrap_or("");
        self.say(&Frame::Welcome { json, mac });
    }

    /// Says something of the link itself.
    pub(super) fn say(&mut self, frame: &Frame<'_>) {
        frame.encode_into(0, Flags::NONE, &mut self.control);
    }

    pub(super) fn say_credit(&mut self, sum: Sum) {
        let Sum { frames, bytes } = sum;
        self.say(&Frame::Credit { frames, bytes });
    }

    /// The last words.
    pub(super) fn say_error(&mut self, code: &str, message: &str) {
        self.say(&Frame::Error { code, message });
        self.is_closing = true;
        self.input = Vec::new();
    }

    /// What goes out before counted frames.
    pub(super) fn take_control(&mut self) -> Vec<u8> {
        core::mem::take(&mut self.control)
    }

    /// Whether it is late with HELLO.
    pub(super) const fn is_late(&self, now_us: u64) -> bool {
        self.worker.is_none() && now_us >= self.hello_by_us
    }

    /// The link has said something.
    pub(super) const fn heard(&mut self) {
        self.pings_missed = 0;
    }

    /// Asks whether the worker is there. `false`: it has not answered for too long.
    pub(super) fn ping(&mut self, number: u64) -> bool {
        self.pings_missed += 1;
        if self.pings_missed > PINGS_MISSED_MAX {
            return false;
        }
        self.say(&Frame::Ping { number });
        true
    }
}
