//! Engine.IO packets of a session, and the Socket.IO packets in them: CONNECT, events, acks, attachments.
//!
//! Deliberately absent: who may come in (`auth`) and what a native namespace does with an event (`native/`).

use super::gathered::answered;
use super::{Hub, Key, Turn};
use crate::refusal::Refusal;
use crate::session::{Application, Cause, Event, Inbound, Session};
use ringway_proto::link::Part;
use ringway_proto::socketio::SocketIoError;
use ringway_proto::{engineio, socketio};
use std::collections::VecDeque;

/// Packets of one polling body. Clients bound it by bytes alone, and send what was emitted in one breath together.
const PAYLOAD_PACKETS_MAX: usize = 65_536;
/// Messages that one session may have parked: what one polling body holds, twice.
const PARKED_MAX: usize = 2 * PAYLOAD_PACKETS_MAX;

impl Hub {
    /// Takes the packets of a POST, in order. `false` if the payload is malformed; the session is closed then.
    pub(crate) fn take_payload(&mut self, session: Key, body: &[u8], turn: &mut Turn<'_>) -> bool {
        let Ok(packets) = engineio::split_payload(body, PAYLOAD_PACKETS_MAX) else {
            self.close_session(session, Cause::Told(Refusal::BadPayload, 1007), turn);
            return false;
        };
        let bytes_max = self.settings.payload_bytes_max as usize;
        if packets
            .iter()
            .any(|packet| packet.message_bytes() > bytes_max)
        {
            self.close_session(session, Cause::Told(Refusal::BadPayload, 1009), turn);
            return false;
        }
        for packet in packets {
            self.engine_packet(session, packet, turn);
        }
        true
    }

    /// A text message on the WebSocket of a session.
    pub(crate) fn engine_text(&mut self, session: Key, text: &str, turn: &mut Turn<'_>) {
        match engineio::parse_packet(text) {
            Ok(packet) => self.engine_packet(session, packet, turn),
            Err(_) => self.close_session(session, Cause::Told(Refusal::BadPacket, 1002), turn),
        }
    }

    fn engine_packet(&mut self, session: Key, packet: engineio::Packet<'_>, turn: &mut Turn<'_>) {
        match packet {
            engineio::Packet::Text(engineio::PacketKind::Message, data) => {
                self.message(session, data, turn)
            }
            engineio::Packet::Text(engineio::PacketKind::Pong, _) => self.pong(session, turn),
            engineio::Packet::Text(engineio::PacketKind::Close, _) => {
                self.close_session(session, Cause::Peer, turn);
            }
            engineio::Packet::Text(engineio::PacketKind::Noop, _) => {}
            engineio::Packet::Text(..) => {
                self.close_session(session, Cause::Told(Refusal::BadPacket, 1002), turn)
            }
            engineio::Packet::Binary(bytes) => self.engine_binary(session, &bytes, turn),
        }
    }

    fn message(&mut self, key: Key, text: &str, turn: &mut Turn<'_>) {
        let Some(session) = self
            .sessions
            .get_mut(key)
            .filter(|session| session.rare().closing.is_none())
        else {
            return;
        };
        if session.application == Application::Echo {
            self.push_text(key, text, turn);
            return;
        }
        if !session.rare().parked.is_empty() || self.is_behind(key) {
            self.park(key, Inbound::Text(text.into()), turn);
            return;
        }
        self.socket_text(key, text, turn);
    }

    /// A binary message: with Socket.IO it is the next attachment.
    pub(crate) fn engine_binary(&mut self, key: Key, bytes: &[u8], turn: &mut Turn<'_>) {
        let Some(session) = self
            .sessions
            .get_mut(key)
            .filter(|session| session.rare().closing.is_none())
        else {
            return;
        };
        if session.application == Application::Echo {
            self.push_binary(key, bytes, turn);
            return;
        }
        if !session.rare().parked.is_empty() || self.is_behind(key) {
            self.park(key, Inbound::Binary(bytes.into()), turn);
            return;
        }
        self.attachment(key, bytes, turn);
    }

    pub(crate) fn socket_text(&mut self, key: Key, text: &str, turn: &mut Turn<'_>) {
        let bounds = self.settings.packet_bounds();
        self.stats.packets_received += 1;
        if self.is_opaque() {
            return self.upstream_whole(key, Part::Text(text), turn);
        }
        let may_be_opaque = self.may_be_opaque();
        let Some(session) = self.sessions.get_mut(key) else {
            return;
        };
        // A header between the attachments of another packet: the client has lost count.
        let is_due = session.rare().reassembly.is_none() && session.awaits_no_attachment();
        let packet = match socketio::Packet::parse(text, &bounds) {
            Ok(packet) if is_due => packet,
            _ if may_be_opaque => return self.upstream_whole(key, Part::Text(text), turn),
            Err(SocketIoError::Namespace) if is_due && self.settings.upstream.is_some() => {
                return self.upstream_too_long(key, text, turn);
            }
            Ok(_) | Err(SocketIoError::Packet) if self.worker_judges(key) => {
                return self.upstream_nonsense(key, Inbound::Text(text.into()), turn);
            }
            _ => return self.close_session(key, Cause::Told(Refusal::BadPacket, 1002), turn),
        };
        if self.is_upstream(packet.namespace) {
            if answered(&packet).is_some() {
                return self.gather_text(key, text, &packet, turn);
            }
            return self.upstream_text(key, text, &packet, turn);
        }
        match packet.kind {
            socketio::PacketKind::Connect => self.connect(key, packet.namespace, packet.data, turn),
            socketio::PacketKind::Disconnect => self.disconnect(key, packet.namespace, turn.now),
            socketio::PacketKind::Event => self.event(
                key,
                Event {
                    namespace: packet.namespace,
                    id: packet.id,
                    data: packet.data,
                    attachments: &[],
                },
                turn,
            ),
            socketio::PacketKind::BinaryEvent | socketio::PacketKind::BinaryAck => {
                self.reassemble(key, &packet, turn)
            }
            // The daemon never asks for an ack: one is counted, and costs the client nothing more.
            socketio::PacketKind::Ack => self.stats.acks_unasked += 1,
            socketio::PacketKind::ConnectError => {
                self.close_session(key, Cause::Told(Refusal::BadPacket, 1002), turn);
            }
        }
    }

    pub(super) fn reassemble(
        &mut self,
        key: Key,
        packet: &socketio::Packet<'_>,
        turn: &mut Turn<'_>,
    ) {
        let Some(session) = self.sessions.get_mut(key) else {
            return;
        };
        let reassembly = socketio::Reassembly::new(packet);
        self.input_bytes += reassembly.kept_bytes() as u64;
        session.rare_mut().reassembly = Some(Box::new(reassembly));
        if packet.attachments == 0 {
            self.complete(key, turn);
        }
    }

    pub(crate) fn attachment(&mut self, key: Key, bytes: &[u8], turn: &mut Turn<'_>) {
        if self.is_opaque() {
            self.stats.packets_received += 1;
            return self.upstream_whole(key, Part::Binary(bytes), turn);
        }
        let may_be_opaque = self.may_be_opaque();
        let bytes_max = self.settings.payload_bytes_max;
        let Some(session) = self.sessions.get_mut(key) else {
            return;
        };
        if !session.awaits_no_attachment() {
            return self.upstream_attachment(key, bytes, turn);
        }
        let rare = session.rare_if();
        let Some(reassembly) = rare.and_then(|rare| rare.reassembly.as_mut()) else {
            if may_be_opaque {
                self.stats.packets_received += 1;
                return self.upstream_whole(key, Part::Binary(bytes), turn);
            }
            if self.worker_judges(key) {
                return self.upstream_nonsense(key, Inbound::Binary(bytes.into()), turn);
            }
            return self.close_session(key, Cause::Told(Refusal::BadAttachment, 1002), turn);
        };
        let before = reassembly.kept_bytes();
        let taken = reassembly.push(bytes, bytes_max);
        self.input_bytes += (reassembly.kept_bytes() - before) as u64;
        match taken {
            Ok(true) => self.complete(key, turn),
            Ok(false) if self.over_input() => {
                self.close_session(key, Cause::Told(Refusal::Busy, 1008), turn)
            }
            Ok(false) => {}
            Err(_) => self.close_session(key, Cause::Told(Refusal::BadAttachment, 1002), turn),
        }
    }

    fn complete(&mut self, key: Key, turn: &mut Turn<'_>) {
        let Some(session) = self.sessions.get_mut(key) else {
            return;
        };
        let Some(reassembly) = session.rare_mut().reassembly.take() else {
            return;
        };
        session.tidy();
        let packet = *reassembly;
        self.input_bytes -= packet.kept_bytes() as u64;
        if packet.kind == socketio::PacketKind::BinaryAck {
            if self.gather_whole(key, &packet, turn) {
                return;
            }
            self.stats.acks_unasked += 1;
            return;
        }
        let event = Event {
            namespace: &packet.namespace,
            id: packet.id,
            data: &packet.data,
            attachments: &packet.attachments,
        };
        self.event(key, event, turn);
    }

    /// An event with all its attachments: counted by the limits, then given to the namespace.
    fn event(&mut self, key: Key, event: Event<'_>, turn: &mut Turn<'_>) {
        let Some(session) = self.sessions.get(key) else {
            return;
        };
        if session.namespace(event.namespace).is_none() {
            self.stats.packets_unconnected += 1;
            return;
        }
        if !self.settings.dev
            && let Err(refusal) = self.charge_event(key, event.namespace, turn)
        {
            self.refuse_event(key, event, refusal, turn);
            return;
        }
        self.native(key, event, turn);
    }

    /// Whether so many answers wait for the client that what it says has to wait, too: answers and refusals to it would fill the queue, and who asks
    /// for a thousand of them in one breath and reads them all is not slow.
    fn is_behind(&self, key: Key) -> bool {
        let bounds = self.settings.outbox_bounds();
        self.sessions.get(key).is_some_and(|session| {
            let outbox = &session.outbox;
            outbox.is_half_full_of_answers(bounds)
        })
    }

    /// Keeps input of a session that waits for ring space, or for its client to read. Bounded: the connection is paused, so that only what was already
    /// received with the parked event comes here.
    pub(crate) fn park(&mut self, key: Key, inbound: Inbound, turn: &mut Turn<'_>) {
        let Some(session) = self.sessions.get_mut(key) else {
            return;
        };
        if session.rare().parked.is_empty() {
            self.parked.push_back(key);
            self.stats.parked += 1;
        }
        let full = session.rare().parked.len() >= PARKED_MAX;
        self.input_bytes += inbound.bytes();
        session.rare_mut().parked.push_back(inbound);
        if full || self.over_input() {
            self.close_session(key, Cause::Told(Refusal::Busy, 1008), turn);
            return;
        }
        self.pause(key, turn);
    }

    /// Gives parked input another try, oldest session first.
    pub(crate) fn retry_parked(&mut self, turn: &mut Turn<'_>) {
        for _ in 0..self.parked.len() {
            let Some(key) = self.parked.pop_front() else {
                return;
            };
            self.retry_session(key, turn);
        }
    }

    fn retry_session(&mut self, key: Key, turn: &mut Turn<'_>) {
        let Some(session) = self.sessions.get_mut(key) else {
            return;
        };
        let mut waiting = core::mem::take(&mut session.rare_mut().parked);
        while !waiting.is_empty() {
            if self.is_behind(key) || self.is_held_by_worker(key) {
                return self.park_again(key, waiting);
            }
            let Some(inbound) = waiting.pop_front() else {
                break;
            };
            self.input_bytes -= inbound.bytes();
            match inbound {
                Inbound::Text(text) => self.socket_text(key, &text, turn),
                Inbound::Binary(bytes) => self.attachment(key, &bytes, turn),
                Inbound::Event(event) => self.native(key, event.event(), turn),
            }
            let alive = |session: &&mut Session| session.rare().closing.is_none();
            let Some(session) = self.sessions.get_mut(key).filter(alive) else {
                // What stands behind its end is not heard: it is in no room any more, and must not get into one.
                self.input_bytes -= waiting.iter().map(Inbound::bytes).sum::<u64>();
                break;
            };
            if !session.rare().parked.is_empty() {
                // It parked again, and put itself into the queue: the rest stays behind it.
                session.rare_mut().parked.append(&mut waiting);
                return;
            }
        }
        self.sessions
            .get_mut(key)
            .into_iter()
            .for_each(Session::tidy);
        self.resume(key, turn);
        self.answer_held(key, turn);
    }

    fn park_again(&mut self, key: Key, waiting: VecDeque<Inbound>) {
        if let Some(session) = self.sessions.get_mut(key) {
            session.rare_mut().parked = waiting;
            self.parked.push_back(key);
        }
    }

    /// The POST whose packets waited is answered.
    pub(crate) fn answer_held(&mut self, key: Key, turn: &mut Turn<'_>) {
        let post = self
            .sessions
            .get(key)
            .and_then(|session| session.rare().post);
        let post = post.map(Key::of);
        if let Some(held) = post.filter(|post| self.is_held(*post)) {
            self.answer_post(held, true, turn);
        }
    }
}
