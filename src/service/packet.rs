//! A packet on its way to clients: encoded once per encoding, shared by all who get it.
//!
//! Deliberately absent: queues and their policies.

use crate::rooms::SlowConsumerPolicy;
use core::cell::OnceCell;
use ringway_proto::link::Part;
use ringway_proto::{engineio, ws};
use serde::{Deserialize, Serialize};
use std::rc::Rc;

/// Where a broadcast came from, for the queues' policies.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Origin {
    /// The room's name with its namespace.
    pub(crate) room: Box<str>,
    pub(crate) policy: SlowConsumerPolicy,
    /// A newer packet of the same room and key may replace this one.
    pub(crate) key: Option<Box<str>>,
    /// When the shard got it.
    pub(crate) received_us: u64,
}

/// How a WebSocket takes a packet.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Encoding {
    /// As it is.
    #[default]
    Plain,
    /// Compressed, where it is worth it: the client agreed to permessage-deflate.
    Deflated,
}

/// What a packet costs beside its bytes and names: itself, counts of references, and its place in a queue.
const PACKET_BYTES: usize = size_of::<Packet>() + 4 * size_of::<usize>() + size_of::<Rc<Packet>>();

impl Origin {
    /// Bytes of its names.
    fn bytes(&self) -> usize {
        self.room.len() + self.key.as_ref().map_or(0, |key| key.len())
    }
}

/// An Engine.IO message with the binary messages that belong to it.
///
/// It is kept as the frames of a WebSocket and as nothing else: whoever stalls costs what its queue counts, whatever others read of the same packets.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Packet {
    /// All frames, unmasked and uncompressed.
    frames: Rc<[u8]>,
    origin: Option<Origin>,
    /// Some who get it may have agreed to permessage-deflate, and it is worth it.
    deflates: bool,
    /// What it costs to keep it, at the most: asked for several times by each queue that it comes to.
    bytes: usize,
    #[serde(skip)]
    deflated: OnceCell<Rc<[u8]>>,
}

/// A message of Engine.IO's text, with its `4` in front.
fn push_text(text: &[u8], frames: &mut Vec<u8>) {
    let text_bytes = text.len() as u64 + 1;
    ws::encode_header(ws::Opcode::Text, true, false, text_bytes, frames);
    frames.push(engineio::PacketKind::Message as u8);
    frames.extend_from_slice(text);
}

/// What a draft keeps between two packets, at the most.
const DRAFT_BYTES_MAX: usize = 64 * 1024;

/// Where a packet for one session is written before its size is known. It stays, so that what is sent is all that is allocated.
#[derive(Default)]
pub(crate) struct Draft(Vec<u8>);

impl Draft {
    /// The message whose text `write` appends, with its attachments.
    pub(crate) fn packet(
        &mut self,
        attachments: &[Vec<u8>],
        write: impl FnOnce(&mut Vec<u8>),
    ) -> Packet {
        let frames = &mut self.0;
        frames.extend_from_slice(&[0; ws::HEADER_BYTES_MAX]);
        frames.push(engineio::PacketKind::Message as u8);
        write(frames);
        let text_bytes = (frames.len() - ws::HEADER_BYTES_MAX) as u64;
        let room = frames.first_chunk_mut().expect("it begins with that room");
        let start = ws::encode_header_before(ws::Opcode::Text, text_bytes, room);
        for bytes in attachments {
            ws::encode_frame(ws::Opcode::Binary, bytes, frames);
        }
        let packet = Packet::of(self.0[start..].into(), None);
        self.0.clear();
        self.0.shrink_to(DRAFT_BYTES_MAX);
        packet
    }
}

impl Packet {
    pub(crate) fn new(text: &[u8], attachments: &[&[u8]], origin: Option<Origin>) -> Self {
        let payload_bytes = text.len() + attachments.iter().map(|one| one.len()).sum::<usize>();
        let mut frames = Vec::with_capacity(payload_bytes + 11 * (1 + attachments.len()));
        push_text(text, &mut frames);
        Self::of_frames(frames, attachments, origin)
    }

    /// A binary message alone (the bare Engine.IO echo).
    pub(crate) fn binary(bytes: &[u8]) -> Self {
        Self::of_frames(Vec::with_capacity(bytes.len() + 10), &[bytes], None)
    }

    /// What a worker says: messages in the order in which they came, with or without a text before the others.
    pub(crate) fn of_parts(parts: &[Part<'_>]) -> Self {
        let payload_bytes = parts.iter().map(|part| part.bytes().len()).sum::<usize>();
        let mut frames = Vec::with_capacity(payload_bytes + 11 * parts.len());
        for part in parts {
            match part {
                Part::Text(text) => push_text(text.as_bytes(), &mut frames),
                Part::Binary(bytes) => ws::encode_frame(ws::Opcode::Binary, bytes, &mut frames),
            }
        }
        Self::of_frames(frames, &[], None)
    }

    fn of_frames(mut frames: Vec<u8>, attachments: &[&[u8]], origin: Option<Origin>) -> Self {
        for bytes in attachments {
            ws::encode_frame(ws::Opcode::Binary, bytes, &mut frames);
        }
        Self::of(frames.into(), origin)
    }

    fn of(frames: Rc<[u8]>, origin: Option<Origin>) -> Self {
        let packet = Self {
            frames,
            origin,
            deflates: false,
            bytes: 0,
            deflated: OnceCell::new(),
        };
        packet.for_deflate(false)
    }

    /// Where clients may agree to permessage-deflate a packet counts for its compressed frames, too, before it has any.
    pub(crate) fn for_deflate(mut self, deflates: bool) -> Self {
        let is_worth_it = |(_, message): (_, &[u8])| ws::deflate::is_worth_it(message);
        self.deflates = deflates && self.messages().any(is_worth_it);
        let names = self.origin.as_ref().map_or(0, Origin::bytes);
        self.bytes = PACKET_BYTES + names + self.frames.len() * (1 + usize::from(self.deflates));
        self
    }

    /// What it costs to keep it, at the most.
    pub(crate) const fn bytes(&self) -> usize {
        self.bytes
    }

    /// What it takes in a polling body, but for base64.
    pub(crate) fn payload_bytes(&self) -> usize {
        self.frames.len()
    }

    pub(crate) const fn origin(&self) -> Option<&Origin> {
        self.origin.as_ref()
    }

    pub(crate) fn received_us(&self) -> Option<u64> {
        self.origin.as_ref().map(|origin| origin.received_us)
    }

    /// All frames, unmasked.
    pub(crate) fn encoded(&self, encoding: Encoding) -> &Rc<[u8]> {
        match encoding {
            Encoding::Deflated if self.deflates => self.deflated(),
            Encoding::Plain | Encoding::Deflated => &self.frames,
        }
    }

    /// Compressed when the first who agreed to it gets the packet.
    fn deflated(&self) -> &Rc<[u8]> {
        self.deflated.get_or_init(|| {
            let mut out = Vec::with_capacity(self.frames.len() / 2 + 64);
            for (opcode, message) in self.messages() {
                ws::deflate::encode_frame(opcode, message, &mut out);
            }
            out.into()
        })
    }

    /// Appends the packet to a polling body.
    pub(crate) fn polling_into(&self, body: &mut Vec<u8>) {
        for (opcode, message) in self.messages() {
            match opcode {
                ws::Opcode::Text => engineio::push_text(message, body),
                _ => engineio::push_binary(message, body),
            }
        }
    }

    /// The messages in the frames; those of text with Engine.IO's `4`.
    fn messages(&self) -> impl Iterator<Item = (ws::Opcode, &[u8])> {
        let mut rest = &*self.frames;
        core::iter::from_fn(move || {
            let (opcode, message, behind) = ws::split_frame(rest)?;
            rest = behind;
            Some((opcode, message))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_encoding_says_the_same() {
        let attachments = [&b""[..], &[7; 126], &[8; 70_000]];
        for text in ["", "2[\"a\"]", &"x".repeat(2_000)] {
            let packet = Packet::new(text.as_bytes(), &attachments, None).for_deflate(true);
            let mut expected = Vec::new();
            engineio::push_text(format!("4{text}").as_bytes(), &mut expected);
            for bytes in attachments {
                engineio::push_binary(bytes, &mut expected);
            }
            let mut body = Vec::new();
            packet.polling_into(&mut body);
            assert_eq!(body, expected);
            let mut socket = Vec::new();
            ws::encode_frame(ws::Opcode::Text, format!("4{text}").as_bytes(), &mut socket);
            for bytes in attachments {
                ws::encode_frame(ws::Opcode::Binary, bytes, &mut socket);
            }
            assert_eq!(**packet.encoded(Encoding::Plain), socket);
        }
    }

    #[test]
    fn a_draft_is_the_packet_that_it_becomes() {
        let mut draft = Draft::default();
        let attachments = [vec![], vec![7; 126], vec![8; 70_000]];
        let borrowed: Vec<&[u8]> = attachments.iter().map(Vec::as_slice).collect();
        for length in [70_000, 0, 124, 125, 65_534, 65_535, 3] {
            let text = "x".repeat(length);
            for count in [0, 3] {
                let drafted = draft.packet(&attachments[..count], |out| {
                    out.extend_from_slice(text.as_bytes());
                });
                let packet = Packet::new(text.as_bytes(), &borrowed[..count], None);
                assert_eq!(drafted.frames, packet.frames, "{length} {count}");
                assert_eq!(drafted.bytes(), packet.bytes());
            }
            assert!(draft.0.capacity() <= DRAFT_BYTES_MAX, "{length}");
        }
    }

    #[test]
    fn a_packet_counts_for_all_that_it_may_come_to_hold() {
        let text = "x".repeat(2_000);
        let plain = Packet::new(text.as_bytes(), &[], None);
        assert!((2_000..2_200).contains(&plain.bytes()), "{}", plain.bytes());
        assert_eq!(
            plain.encoded(Encoding::Deflated).len(),
            plain.encoded(Encoding::Plain).len(),
            "nobody agreed"
        );
        let packet = Packet::new(text.as_bytes(), &[], None).for_deflate(true);
        let before = packet.bytes();
        assert!(packet.encoded(Encoding::Deflated).len() < 200);
        assert_eq!(packet.bytes(), before);
        assert!(before > 4_000, "{before}");
        let small = Packet::new(b"2[]", &[], None).for_deflate(true);
        assert!(small.bytes() < 200, "{}", small.bytes());
    }
}
