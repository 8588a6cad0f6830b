//! A packet on its way to clients: encoded once per encoding, shared by all who get it.
//!
//! Deliberately absent: queues and their policies.

use crate::rooms::SlowConsumerPolicy;
use core::cell::OnceCell;
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

/// An Engine.IO message with the binary messages that belong to it.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Packet {
    /// The text message, without Engine.IO's `4`; absent for a bare binary message.
    text: Option<Box<[u8]>>,
    attachments: Vec<Box<[u8]>>,
    origin: Option<Origin>,
    #[serde(skip)]
    websocket: OnceCell<Rc<[u8]>>,
    #[serde(skip)]
    deflated: OnceCell<Rc<[u8]>>,
}

impl Packet {
    pub(crate) fn new(text: Vec<u8>, attachments: Vec<Box<[u8]>>, origin: Option<Origin>) -> Self {
        Self {
            text: Some(text.into()),
            attachments,
            origin,
            websocket: OnceCell::new(),
            deflated: OnceCell::new(),
        }
    }

    /// A binary message alone (the bare Engine.IO echo).
    pub(crate) fn binary(bytes: &[u8]) -> Self {
        Self {
            text: None,
            attachments: vec![bytes.into()],
            origin: None,
            websocket: OnceCell::new(),
            deflated: OnceCell::new(),
        }
    }

    /// Payload bytes.
    pub(crate) fn bytes(&self) -> usize {
        self.text.as_ref().map_or(0, |text| text.len() + 1)
            + self
                .attachments
                .iter()
                .map(|bytes| bytes.len())
                .sum::<usize>()
    }

    pub(crate) const fn origin(&self) -> Option<&Origin> {
        self.origin.as_ref()
    }

    pub(crate) fn received_us(&self) -> Option<u64> {
        self.origin.as_ref().map(|origin| origin.received_us)
    }

    /// All frames, unmasked and uncompressed.
    pub(crate) fn websocket(&self) -> &[u8] {
        self.websocket.get_or_init(|| {
            let mut out = Vec::with_capacity(self.bytes() + 14 * (1 + self.attachments.len()));
            if let Some(text) = &self.text {
                ws::encode_header(
                    ws::Opcode::Text,
                    true,
                    false,
                    text.len() as u64 + 1,
                    &mut out,
                );
                out.push(engineio::PacketKind::Message as u8);
                out.extend_from_slice(text);
            }
            for bytes in &self.attachments {
                ws::encode_frame(ws::Opcode::Binary, bytes, &mut out);
            }
            out.into()
        })
    }

    /// All frames for clients that agreed to permessage-deflate, compressed where it is worth it.
    pub(crate) fn deflated(&self) -> &[u8] {
        self.deflated.get_or_init(|| {
            let mut out = Vec::with_capacity(self.bytes() / 2 + 64);
            if let Some(text) = &self.text {
                let message = [&[engineio::PacketKind::Message as u8], &text[..]].concat();
                ws::deflate::encode_frame(ws::Opcode::Text, &message, &mut out);
            }
            for bytes in &self.attachments {
                ws::deflate::encode_frame(ws::Opcode::Binary, bytes, &mut out);
            }
            out.into()
        })
    }

    /// Appends the packet to a polling body.
    pub(crate) fn polling_into(&self, body: &mut Vec<u8>) {
        if let Some(text) = &self.text {
            engineio::push_text(
                &[&[engineio::PacketKind::Message as u8], &text[..]].concat(),
                body,
            );
        }
        for bytes in &self.attachments {
            engineio::push_binary(bytes, body);
        }
    }
}
