//! Packets for one session: answers, refusals, echoes; and the sessions' own bookkeeping.
//!
//! Deliberately absent: broadcasts, which `rooms` encodes once for all.

use super::{Hub, Key, Turn};
use crate::address::Address;
use crate::packet::Packet;
use crate::refusal::Refusal;
use crate::rooms::Rooms;
use crate::session::{Application, Event, Moment, Session, Sid, Transport};
use crate::settings::Settings;
use crate::stats::Stats;
use ringway_proto::{engineio, socketio};
use std::rc::Rc;

/// The answer to a GET: urgent packets first, then what is queued, up to `bytes_max` (at least one packet).
pub(crate) fn polling_payload(
    session: &mut Session,
    bytes_max: usize,
    taken: &mut dyn FnMut(&Packet),
) -> Vec<u8> {
    let mut body = Vec::new();
    for symbol in core::mem::take(&mut session.rare_mut().urgent).bytes() {
        engineio::push_text(&[symbol], &mut body);
    }
    // Base64 takes a third more than the bytes it carries.
    let bytes_of = |packet: &Packet| packet.payload_bytes() / 3 * 4 + 16;
    let mut left = bytes_max.saturating_sub(body.len());
    let queue = session.outbox.packets().iter();
    let fitting = queue.take_while(|packet| {
        let fits = bytes_of(packet) <= left;
        left = left.saturating_sub(bytes_of(packet));
        fits
    });
    let count = fitting.count();
    let at_least = usize::from(body.is_empty() && !session.outbox.is_empty());
    session.outbox.take(count.max(at_least), |packet| {
        packet.polling_into(&mut body);
        taken(&packet);
    });
    body
}

impl Hub {
    pub(crate) const fn shard(&self) -> u16 {
        self.shard
    }

    pub(crate) const fn shards(&self) -> u16 {
        self.shards
    }

    pub(crate) fn settings(&self) -> &Settings {
        &self.settings
    }

    pub(crate) const fn rooms_mut(&mut self) -> &mut Rooms {
        &mut self.rooms
    }

    /// The number of this host among those that serve together.
    pub(crate) fn host(&self) -> u16 {
        self.settings.host
    }

    pub(crate) const fn stats_mut(&mut self) -> &mut Stats {
        &mut self.stats
    }

    pub(crate) fn session(&self, key: Key) -> Option<&Session> {
        self.sessions.get(key)
    }

    /// The address of a session's client: with one WebSocket from beginning to end it stands there alone.
    pub(crate) fn address_of(&self, session: &Session) -> Address {
        let socket = || {
            let connection = self.connections.get(Key::of(session.conn?));
            connection.map(|connection| connection.client)
        };
        let address = session.rare().address.or_else(socket);
        // A session whose WebSocket is gone, until that is noticed.
        address.unwrap_or_default()
    }

    pub(crate) fn session_mut(&mut self, key: Key) -> Option<&mut Session> {
        self.sessions.get_mut(key)
    }

    /// A new session. `timer_us` says when a timer fires for it that is armed already; 0 for none.
    pub(crate) fn insert_session(
        &mut self,
        sid: Sid,
        client: Address,
        application: Application,
        transport: Transport,
        timer_us: u64,
        turn: &mut Turn<'_>,
    ) -> Key {
        let heartbeat = self.first_heartbeat(turn.now, (turn.entropy)());
        let opened_us = turn.now.monotonic_us;
        let mut session = Session::new(sid, client, application, transport, opened_us, heartbeat);
        session.timer = Moment::at(timer_us);
        let key = self.sessions.insert(session);
        self.by_sid.insert(key, &self.sessions);
        self.stats.sessions += 1;
        self.stats.sessions_opened += 1;
        self.rearm(key, turn);
        key
    }

    /// Arms the session's timer for whatever comes first.
    pub(crate) fn rearm(&mut self, key: Key, turn: &mut Turn<'_>) {
        let next_us = self
            .sessions
            .get(key)
            .map(|session| self.next_deadline_us(session, turn.now));
        if let Some(next_us) = next_us {
            self.arm_session(key, next_us, turn.out);
        }
    }

    /// Queues a packet for one session alone.
    fn push_own(&mut self, key: Key, packet: Packet, turn: &mut Turn<'_>) {
        let packet = packet.for_deflate(self.settings.deflate);
        self.push_packet(key, Rc::new(packet), turn);
    }

    /// Queues an encoded Socket.IO packet.
    pub(crate) fn push_bytes(&mut self, key: Key, bytes: &[u8], turn: &mut Turn<'_>) {
        self.push_own(key, Packet::new(bytes, &[], None), turn);
    }

    /// Sends a text message back (the bare Engine.IO echo).
    pub(crate) fn push_text(&mut self, key: Key, text: &str, turn: &mut Turn<'_>) {
        self.push_bytes(key, text.as_bytes(), turn);
    }

    /// Sends a binary message back (the bare Engine.IO echo).
    pub(crate) fn push_binary(&mut self, key: Key, bytes: &[u8], turn: &mut Turn<'_>) {
        self.push_own(key, Packet::binary(bytes), turn);
    }

    /// Answers an event, if it asked for an answer.
    pub(crate) fn acknowledge(
        &mut self,
        key: Key,
        namespace: &str,
        id: Option<u64>,
        answer: &str,
        attachments: &[Vec<u8>],
        turn: &mut Turn<'_>,
    ) {
        let write = |out: &mut Vec<u8>| out.extend_from_slice(answer.as_bytes());
        self.acknowledge_with(key, (namespace, id), attachments, write, turn);
    }

    /// The same, with what `write` appends for an answer.
    pub(crate) fn acknowledge_with(
        &mut self,
        key: Key,
        (namespace, id): (&str, Option<u64>),
        attachments: &[Vec<u8>],
        write: impl FnOnce(&mut Vec<u8>),
        turn: &mut Turn<'_>,
    ) {
        if id.is_none() {
            return;
        }
        let count = attachments.len() as u16;
        let packet = self.draft.packet(attachments, |out| {
            socketio::event_head_into(out, true, count, namespace, id);
            out.push(b'[');
            write(out);
            out.push(b']');
        });
        self.push_own(key, packet, turn);
    }

    pub(crate) fn refuse(
        &mut self,
        key: Key,
        namespace: &str,
        id: Option<u64>,
        refusal: Refusal,
        turn: &mut Turn<'_>,
    ) {
        self.stats.refused(refusal);
        let (code, message) = (refusal.code(), socketio::quoted(refusal.message()));
        let answer = format!("{{\"ok\":false,\"code\":\"{code}\",\"message\":{message}}}");
        self.acknowledge(key, namespace, id, &answer, &[], turn);
    }

    pub(crate) fn refuse_event(
        &mut self,
        key: Key,
        event: Event<'_>,
        refusal: Refusal,
        turn: &mut Turn<'_>,
    ) {
        self.refuse(key, event.namespace, event.id, refusal, turn);
    }

    /// Counts an event against its connection, user and address.
    pub(crate) fn charge_event(
        &mut self,
        key: Key,
        namespace: &str,
        turn: &Turn<'_>,
    ) -> Result<(), Refusal> {
        let address = self
            .sessions
            .get(key)
            .map(|session| self.address_of(session));
        let (Some(session), Some(address)) = (self.sessions.get_mut(key), address) else {
            return Ok(());
        };
        let user = session
            .namespaces
            .find(namespace)
            .and_then(|joined| joined.identity.as_ref());
        let user = user.map(|identity| identity.subject());
        self.limits
            .event(turn.now, &mut session.events, user, address.into())
    }
}
