//! What clients had said in frames that a worker was sent: of packets with attachments what it has dealt with as long as it has not dealt with all of them, and
//! whatever it has not dealt with when it ends.
//!
//! Deliberately absent: whether the next worker is to hear that (`deal`).

use super::deal::Waiting;
use super::mail::ClientNumber;
use ringway_proto::link::{self, Flags, Kind, Raw};
use std::collections::HashMap;

/// What the begun packets of one worker may cost. One that goes beyond is forgotten, and lost if its worker ends within it.
const BEGUN_BYTES_MAX: usize = 4 << 20;

/// Frames of one client, in their order.
#[derive(Debug, Default)]
struct Words {
    frames: Vec<Waiting>,
    /// Attachments that are missing at the packet which is the last of them. None: its header is not here, and what is missing is of use to nobody.
    left: Option<u32>,
}

impl Words {
    fn cost(&self) -> usize {
        self.frames.iter().map(|frame| frame.cost() as usize).sum()
    }

    /// Attachments whose header is gone are left out; of an opaque application each message is one whole.
    fn add(&mut self, raw: &Raw<'_>, is_opaque: bool) {
        self.left = match raw.flags.contains(Flags::BINARY) {
            _ if is_opaque => Some(0),
            false => Some(attachments(raw.body)),
            true => self.left.and_then(|left| left.checked_sub(1)),
        };
        let left = self.left;
        self.frames
            .extend(left.map(|left| Waiting::again(raw, left > 0)));
    }

    /// Whether all of the last packet is here.
    fn is_whole(&self) -> bool {
        self.left.is_none_or(|left| left == 0)
    }
}

/// Clients' words at one worker.
#[derive(Debug, Default)]
pub(super) struct Begun {
    of: HashMap<ClientNumber, Words>,
    bytes: usize,
}

impl Begun {
    /// The worker has dealt with these frames. Kept are the packets that go on behind them.
    pub(super) fn dealt(&mut self, mut frames: &[u8]) {
        while let Ok(Some((raw, bytes))) = link::split(frames, link::FRAME_BODY_BYTES_MAX) {
            frames = &frames[bytes..];
            let begins = raw.kind == Kind::Data && matches!(raw.body.first(), Some(b'5' | b'6'));
            if begins || !self.of.is_empty() {
                self.pass(&raw);
            }
        }
    }

    fn pass(&mut self, raw: &Raw<'_>) {
        let client = ClientNumber(raw.conn);
        let mut words = self.of.remove(&client).unwrap_or_default();
        self.bytes -= words.cost();
        if raw.kind != Kind::Data {
            // Its time at the worker began or ended, or it says nothing by it.
            if !begins_anew(raw.kind) && !words.is_whole() {
                self.keep(client, words);
            }
            return;
        }
        words.add(raw, false);
        if !words.is_whole() {
            self.keep(client, words);
        }
    }

    fn keep(&mut self, client: ClientNumber, words: Words) {
        let bytes = self.bytes + words.cost();
        if bytes <= BEGUN_BYTES_MAX {
            self.bytes = bytes;
            self.of.insert(client, words);
        }
    }

    /// The same, without what it keeps.
    pub(super) fn take(&mut self) -> Self {
        core::mem::take(self)
    }

    /// Frames behind these, which the worker has not dealt with. What it was sent before a client's time there began is of an earlier time.
    pub(super) fn add(&mut self, mut frames: &[u8], is_opaque: bool) {
        while let Ok(Some((raw, bytes))) = link::split(frames, link::FRAME_BODY_BYTES_MAX) {
            frames = &frames[bytes..];
            let client = ClientNumber(raw.conn);
            match raw.kind {
                Kind::Data => self.of.entry(client).or_default().add(&raw, is_opaque),
                kind if begins_anew(kind) => drop(self.of.remove(&client)),
                _ => {}
            }
        }
    }

    /// What each client had said.
    pub(super) fn into_frames(self) -> HashMap<ClientNumber, Vec<Waiting>> {
        let words = self.of.into_iter();
        words
            .map(|(client, words)| (client, words.frames))
            .collect()
    }
}

/// Whether a client's time at a worker begins with the frame, or ends.
const fn begins_anew(kind: Kind) -> bool {
    matches!(kind, Kind::Open | Kind::Resume | Kind::Close)
}

/// How many attachments a packet has: `5N-` and `6N-` say it.
fn attachments(packet: &[u8]) -> u32 {
    let count = match packet.split_first() {
        Some((b'5' | b'6', rest)) => rest.split(|byte| *byte == b'-').next(),
        _ => None,
    };
    let count = count.and_then(|digits| core::str::from_utf8(digits).ok()?.parse().ok());
    count.unwrap_or(0)
}
