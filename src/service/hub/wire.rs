//! A session's queue as the body of a polling answer, and its bare messages.
//!
//! Deliberately absent: WebSocket, whose frames are joined in `sending`.

use super::{Hub, Key, Turn};
use crate::packet::Packet;
use crate::session::Session;

/// Separates two packets of a body.
const SEPARATOR: u8 = 0x1e;

/// What was taken out of a session for one polling answer.
pub(crate) struct Taken {
    pub(crate) body: Vec<u8>,
    /// When the homes received the broadcasts among it.
    pub(crate) received_us: Vec<u64>,
    pub(crate) packets: u64,
}

/// Takes the urgent packets and as many queued ones as the body may hold, at least one.
pub(crate) fn polling_payload(session: &mut Session, bytes_max: usize) -> Taken {
    let urgent = core::mem::take(&mut session.urgent);
    let mut taken = Taken {
        body: Vec::new(),
        received_us: Vec::new(),
        packets: 0,
    };
    for packet in urgent.bytes() {
        separate(&mut taken.body);
        taken.body.push(packet);
    }
    while let Some(packet) = session.outbox.front() {
        if !taken.body.is_empty() && taken.body.len() + packet.polling().len() >= bytes_max {
            break;
        }
        let Some(packet) = session.outbox.pop() else {
            break;
        };
        separate(&mut taken.body);
        taken.body.extend_from_slice(packet.polling());
        taken.received_us.extend(packet.received_us());
        taken.packets += 1;
    }
    taken
}

fn separate(body: &mut Vec<u8>) {
    if !body.is_empty() {
        body.push(SEPARATOR);
    }
}

impl Hub {
    /// Sends a text message of a session without Socket.IO.
    pub(crate) fn push_text(&mut self, key: Key, text: &str, turn: &mut Turn<'_>) {
        self.push_packet(
            key,
            Packet::socket(text.as_bytes().to_vec(), Vec::new()),
            turn,
        );
    }

    /// Sends a binary message of a session without Socket.IO.
    pub(crate) fn push_binary(&mut self, key: Key, bytes: &[u8], turn: &mut Turn<'_>) {
        self.push_packet(key, Packet::binary(bytes.to_vec()), turn);
    }
}
