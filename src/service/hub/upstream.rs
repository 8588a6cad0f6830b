//! Clients of upstream namespaces: their packets go to a worker as they are, and the worker's frames are carried out here.
//!
//! Deliberately absent: links and who gets which worker (`upstream/exchange`), and what the packets mean, which the worker knows.

use super::{Hub, Key, Output, Turn};
use crate::packet::Packet;
use crate::post::{Class, Post};
use crate::refusal::Refusal;
use crate::session::{Cause, Inbound, Upstream};
use crate::time::{ConnId, Now};
use crate::upstream::{
    ClientNumber, Exchange, LINKS, Order, SpaceError, SpaceId, ToClients, ToLinks,
};
use ringway_proto::link::{
    self, CloseReason, Flags, Frame, Kind, Part, Phase, Raw, ResumedSocket, Side,
};
use ringway_proto::{http1, socketio};
use serde_json::json;
use std::rc::Rc;

/// How often links and workers are looked after.
const TICK_US: u64 = 100_000;

/// The body of CLOSE.
fn close_body(cause: Cause) -> Vec<u8> {
    let (reason, code, text) = match cause {
        Cause::Peer => (CloseReason::TransportClose, 0, ""),
        Cause::Told(refusal, code) => (reason_of(refusal), code, refusal.message()),
    };
    Frame::Close { reason, code, text }.body()
}

const fn reason_of(refusal: Refusal) -> CloseReason {
    match refusal {
        Refusal::PingTimeout => CloseReason::PingTimeout,
        Refusal::BadPacket | Refusal::BadPayload | Refusal::BadAttachment => {
            CloseReason::ParseError
        }
        Refusal::WorkerClosed => CloseReason::ForcedClose,
        Refusal::SlowConsumer | Refusal::Busy => CloseReason::TransportError,
        _ => CloseReason::TransportClose,
    }
}

// From clients to workers.

impl Hub {
    /// Whether a namespace belongs to the application behind the links.
    pub(crate) fn is_upstream(&self, namespace: &str) -> bool {
        let upstream = self.settings.upstream.as_ref();
        upstream.is_some_and(|upstream| !upstream.native.contains(namespace))
    }

    /// Keeps what OPEN will say of the client.
    pub(crate) fn keep_head(&mut self, key: Key, request: &http1::Request) {
        if self.settings.upstream.is_none() {
            return;
        }
        let Some(session) = self.sessions.get_mut(key) else {
            return;
        };
        let headers: Vec<(&str, &str)> = request.all_headers().collect();
        let url = match request.query.as_str() {
            "" => request.path.clone(),
            query => format!("{}?{query}", request.path),
        };
        let head = json!({
            "sid": session.sid.text(), "proto": 4, "address": session.address.to_string(), "secure": false,
            "method": request.method, "url": url, "headers": headers,
        });
        let head = head.to_string();
        let fields = head[1..head.len() - 1].into();
        session.rare_mut().upstream = Some(Box::new(Upstream::new(fields)));
    }

    /// A packet for the application.
    pub(crate) fn upstream_text(
        &mut self,
        key: Key,
        text: &str,
        packet: &socketio::Packet<'_>,
        turn: &mut Turn<'_>,
    ) {
        if !self.upstream_is_open(key, turn) {
            return self.park(key, Inbound::Text(text.into()), turn);
        }
        if !self.settings.dev
            && let Err(refusal) = self.charge_event(key, packet.namespace, turn)
        {
            return self.close_session(key, Cause::Told(refusal, 1008), turn);
        }
        let flags = match text.is_ascii() {
            true => Flags::ASCII,
            false => Flags::NONE,
        };
        if packet.kind == socketio::PacketKind::Connect
            && !self.note_connect(key, packet.namespace, text, turn)
        {
            return;
        }
        if !self.upstream_data(key, flags, text.as_bytes(), turn) {
            return self.park(key, Inbound::Text(text.into()), turn);
        }
        if let Some(upstream) = self.upstream_of(key) {
            upstream.attachments = packet.attachments;
        }
    }

    /// An attachment of such a packet.
    pub(crate) fn upstream_attachment(&mut self, key: Key, bytes: &[u8], turn: &mut Turn<'_>) {
        if !(self.upstream_is_open(key, turn)
            && self.upstream_data(key, Flags::BINARY, bytes, turn))
        {
            return self.park(key, Inbound::Binary(bytes.into()), turn);
        }
        if let Some(upstream) = self.upstream_of(key) {
            upstream.attachments -= 1;
        }
    }

    fn upstream_of(&mut self, key: Key) -> Option<&mut Upstream> {
        self.sessions.get_mut(key)?.upstream_mut()
    }

    /// Remembers a CONNECT until it is answered. `false`: there are too many, and the session was closed.
    fn note_connect(&mut self, key: Key, namespace: &str, text: &str, turn: &mut Turn<'_>) -> bool {
        let namespaces_max = usize::from(self.settings.namespaces_max);
        let Some(upstream) = self.upstream_of(key) else {
            return false;
        };
        upstream.answered(namespace);
        if upstream.connects.len() >= namespaces_max {
            self.close_session(key, Cause::Told(Refusal::TooManyNamespaces, 1008), turn);
            return false;
        }
        upstream.connects.push((namespace.into(), text.into()));
        true
    }

    /// Whether the client may send its worker something: it is known to the links, and not too much is on the way.
    fn upstream_is_open(&mut self, key: Key, turn: &mut Turn<'_>) -> bool {
        let Some(upstream) = self.upstream_of(key) else {
            return false;
        };
        let (number, has_room) = (upstream.number, upstream.has_room());
        number.is_some() && has_room || number.is_none() && self.ask_for_worker(key, turn)
    }

    fn ask_for_worker(&mut self, key: Key, turn: &mut Turn<'_>) -> bool {
        let number = self.upstream.clients.number(key);
        if let Some(upstream) = self.upstream_of(key) {
            upstream.number = Some(number);
        }
        let is_asked = self.say_open(key, number, turn);
        if !is_asked {
            self.upstream.clients.forget(number);
            self.upstream_of(key)
                .into_iter()
                .for_each(|upstream| upstream.number = None);
        }
        is_asked
    }

    /// Says who a client is, and which sockets it has. `false`: there is no ring space.
    fn say_open(&mut self, client_key: Key, client: ClientNumber, turn: &mut Turn<'_>) -> bool {
        let Some(session) = self.sessions.get(client_key) else {
            return true;
        };
        let Some(upstream) = session.upstream() else {
            return true;
        };
        let transport = session.transport.name();
        let mut json = format!("{{\"transport\":\"{transport}\",{}", upstream.head);
        let sockets = self.sockets_of(client_key);
        let resumes = !sockets.is_empty();
        if resumes {
            let sockets = serde_json::to_string(&sockets).expect("these shapes always serialise");
            json.push_str(&format!(",\"sockets\":{sockets}"));
        }
        json.push('}');
        let json = &*json;
        self.say_to_links(
            &ToLinks::Open {
                client,
                resumes,
                json,
            },
            turn,
        )
    }

    fn sockets_of(&self, key: Key) -> Vec<ResumedSocket<'_>> {
        let sockets = self.upstream.clients.sockets(key);
        let sockets = sockets.map(|(named, member)| ResumedSocket {
            nsp: (&*named.name).into(),
            sid: (&*member.sid).into(),
            pid: Some((&*member.pid).into()),
            rooms: named
                .space
                .rooms_of(key)
                .map(|room| (&**room).into())
                .collect(),
            auth: serde_json::from_str(&member.auth).ok(),
            data: serde_json::from_str(&member.data).ok(),
        });
        sockets.collect()
    }

    /// `false`: there is no ring space.
    fn upstream_data(&mut self, key: Key, flags: Flags, body: &[u8], turn: &mut Turn<'_>) -> bool {
        let Some(client) = self.upstream_of(key).and_then(|upstream| upstream.number) else {
            return true;
        };
        if let Some(upstream) = self.upstream_of(key) {
            upstream.sent(body.len());
        }
        let (kind, flags) = (Kind::Data.to_byte(), flags.bits());
        let is_sent = self.say_to_links(
            &ToLinks::Frame {
                client,
                kind,
                flags,
                body,
            },
            turn,
        );
        if let Some(upstream) = self.upstream_of(key).filter(|_| !is_sent) {
            upstream.dealt(body.len() as u32);
        }
        is_sent
    }

    fn say_to_links(&mut self, mail: &ToLinks<'_>, turn: &mut Turn<'_>) -> bool {
        if self.shard != LINKS {
            return turn.post.request_one_way(LINKS, &[&mail.encode()]);
        }
        self.exchange_mail(mail, turn);
        true
    }

    fn exchange_mail(&mut self, mail: &ToLinks<'_>, turn: &mut Turn<'_>) {
        if let Some(exchange) = &mut self.upstream.exchange {
            exchange.mail(turn.now, mail);
        }
        self.arm_tick(turn);
        self.carry_orders(turn);
    }

    /// The session ends: so do its sockets, and its worker hears of it.
    pub(crate) fn upstream_closed(&mut self, key: Key, cause: Cause, turn: &mut Turn<'_>) {
        let Some(client) = self
            .upstream_of(key)
            .and_then(|upstream| upstream.number.take())
        else {
            return;
        };
        self.upstream.clients.forget(client);
        self.say_closed(client, close_body(cause), turn);
    }

    /// Its worker hears of it at once, or when there is ring space.
    fn say_closed(&mut self, client: ClientNumber, body: Vec<u8>, turn: &mut Turn<'_>) {
        let mail = ToLinks::Closed {
            client,
            body: &body,
        };
        if !self.say_to_links(&mail, turn) {
            self.upstream.clients.unsaid.push((client, body));
        }
    }

    /// The client has changed its transport. Its worker may miss that; nothing hangs on it.
    pub(crate) fn upstream_upgraded(&mut self, key: Key, turn: &mut Turn<'_>) {
        let Some(client) = self.upstream_of(key).and_then(|upstream| upstream.number) else {
            return;
        };
        let (phase, transport) = (Phase::Upgrade, link::Transport::WebSocket);
        let body = Frame::Transport { phase, transport }.body();
        let mail = ToLinks::Frame {
            client,
            kind: Kind::Transport.to_byte(),
            flags: Flags::NONE.bits(),
            body: &body,
        };
        self.say_to_links(&mail, turn);
    }
}

// Links.

impl Hub {
    /// A link of a worker was accepted.
    ///
    /// # Panics
    /// When this shard has no exchange.
    pub fn link_accepted(
        &mut self,
        now: Now,
        conn: ConnId,
        post: &mut dyn Post,
        entropy: &mut dyn FnMut() -> u64,
        out: &mut Vec<Output>,
    ) {
        let mut turn = Turn::new(now, post, entropy, out);
        let nonce = [(turn.entropy)(), (turn.entropy)()];
        let exchange = self.upstream.exchange.as_mut();
        let exchange = exchange.expect("links come where the exchange is");
        exchange.accepted(now, conn, nonce);
        self.carry_orders(&mut turn);
        self.arm_tick(&mut turn);
    }

    /// Something happened to a link.
    pub(super) fn with_exchange(
        &mut self,
        now: Now,
        post: &mut dyn Post,
        out: &mut Vec<Output>,
        act: impl FnOnce(&mut Exchange),
    ) {
        let mut turn = Turn {
            now,
            post,
            entropy: &mut || 0,
            out,
        };
        self.upstream.exchange.as_deref_mut().map(act);
        self.carry_orders(&mut turn);
    }

    fn arm_tick(&mut self, turn: &mut Turn<'_>) {
        if !core::mem::replace(&mut self.upstream.is_ticking, true) {
            let token = super::heartbeat::UPSTREAM_TOKEN;
            let at_us = turn.now.monotonic_us + TICK_US;
            turn.out.push(Output::Timer { at_us, token });
        }
    }

    pub(super) fn upstream_tick(&mut self, turn: &mut Turn<'_>) {
        self.upstream.is_ticking = false;
        let mut is_busy = false;
        if let Some(exchange) = &mut self.upstream.exchange {
            exchange.tick(turn.now);
            is_busy = exchange.is_busy();
        }
        self.carry_orders(turn);
        if is_busy {
            self.arm_tick(turn);
        }
    }

    /// What the exchange wants done, in its order: what a step causes comes behind all that was ordered before.
    fn carry_orders(&mut self, turn: &mut Turn<'_>) {
        if core::mem::replace(&mut self.upstream.is_carrying, true) {
            return;
        }
        loop {
            let orders = self.upstream.take_orders();
            if orders.is_empty() {
                break;
            }
            orders.into_iter().for_each(|order| self.carry(order, turn));
            self.block_links();
        }
        self.upstream.is_carrying = false;
    }

    fn block_links(&mut self) {
        let was = self
            .upstream
            .exchange
            .as_ref()
            .is_some_and(|exchange| exchange.is_blocked());
        let is = self.upstream.is_blocked(was);
        if let Some(exchange) = &mut self.upstream.exchange {
            exchange.set_blocked(is);
        }
    }

    fn carry(&mut self, order: Order, turn: &mut Turn<'_>) {
        match order {
            Order::Dirty(conn) => turn.out.push(Output::Dirty(conn)),
            Order::CloseAfterFlush(conn) => turn.out.push(Output::CloseAfterFlush(conn)),
            Order::Close(conn) => turn.out.push(Output::Close(conn)),
            Order::Pause(conn) => turn.out.push(Output::Pause(conn)),
            Order::Resume(conn) => turn.out.push(Output::Resume(conn)),
            Order::Mail { to, bytes } if to == self.shard => self.hear_links(&bytes, turn),
            Order::Mail { to, bytes } => self
                .upstream
                .deliver(to, bytes, |bytes| turn.post.deliver(to, &[bytes])),
        }
    }

    /// Mail between clients and links.
    pub(super) fn upstream_mail(&mut self, class: Class, bytes: &[u8], turn: &mut Turn<'_>) {
        match class {
            Class::Request => self.exchange_mail(&ToLinks::decode(bytes), turn),
            Class::Deliver => self.hear_links(bytes, turn),
            Class::Reply => unreachable!("nobody is asked"),
        }
    }

    /// Once per lap: what waited for ring space, and sessions whose last words went out.
    pub(super) fn upstream_lap(&mut self, turn: &mut Turn<'_>) {
        let post = &mut *turn.post;
        self.upstream
            .deliver_waiting(|to, bytes| post.deliver(to, &[bytes]));
        self.block_links();
        self.carry_orders(turn);
        for (client, body) in core::mem::take(&mut self.upstream.clients.unsaid) {
            self.say_closed(client, body, turn);
        }
        for client in core::mem::take(&mut self.upstream.called) {
            self.answer_call(client, turn);
        }
        self.end_sessions(turn);
    }

    fn end_sessions(&mut self, turn: &mut Turn<'_>) {
        for key in core::mem::take(&mut self.upstream.ending) {
            let Some(session) = self.sessions.get(key) else {
                continue;
            };
            if session.outbox.is_empty() {
                self.close_session(key, Cause::Told(Refusal::WorkerClosed, 1000), turn);
            } else {
                self.upstream.ending.push(key);
            }
        }
    }
}

// From workers to clients.

impl Hub {
    fn hear_links(&mut self, bytes: &[u8], turn: &mut Turn<'_>) {
        match ToClients::decode(bytes) {
            ToClients::Space { space, name } => self.upstream.clients.name(space, name),
            ToClients::Dealt { client, bytes } => self.upstream_dealt(client, bytes, turn.now),
            ToClients::Again { client } => self.answer_call(client, turn),
            ToClients::Lost { client } => {
                if let Some(key) = self.upstream.clients.find(client) {
                    self.close_session(key, Cause::Told(Refusal::NoWorker, 1013), turn);
                }
            }
            ToClients::Frame {
                client,
                space,
                kind,
                flags,
                body,
            } => {
                let kind = Kind::from_byte(kind).expect("the exchange knew it");
                let (flags, conn) = (Flags::from_bits(flags), 0);
                let raw = Raw {
                    kind,
                    flags,
                    conn,
                    body,
                };
                let frame = Frame::parse(&raw, Side::Worker).expect("the exchange has parsed it");
                match client {
                    Some(client) => self.client_frame(client, space, flags, &frame, turn),
                    None => self.upstream_broadcast(space, flags, &frame, turn),
                }
            }
        }
    }

    fn upstream_dealt(&mut self, client: ClientNumber, bytes: u32, now: Now) {
        let timeout_us = u64::from(self.settings.ping_timeout_ms) * 1000;
        let key = self.upstream.clients.find(client);
        let Some(session) = key.and_then(|key| self.sessions.get_mut(key)) else {
            return;
        };
        let Some(upstream) = session.upstream_mut() else {
            return;
        };
        let was_held = !upstream.has_room();
        upstream.dealt(bytes);
        if was_held && upstream.has_room() && session.heartbeat.is_pinged() {
            // Its pong is read from now on.
            session.heartbeat = crate::session::Heartbeat::pong_by(now.monotonic_us + timeout_us);
        }
    }

    /// Tells a new worker of a client, and what the client had asked of the last one and was not told.
    fn answer_call(&mut self, client: ClientNumber, turn: &mut Turn<'_>) {
        let Some(key) = self.upstream.clients.find(client) else {
            return;
        };
        if !self.say_open(key, client, turn) {
            self.upstream.called.push(client);
            return;
        }
        let connects = self
            .upstream_of(key)
            .map(|upstream| upstream.connects.clone());
        for (_, text) in connects.unwrap_or_default() {
            // Whoever waits for it asks again by himself when this finds no room.
            self.upstream_data(key, Flags::NONE, text.as_bytes(), turn);
        }
    }

    fn client_frame(
        &mut self,
        client: ClientNumber,
        space: Option<SpaceId>,
        flags: Flags,
        frame: &Frame<'_>,
        turn: &mut Turn<'_>,
    ) {
        let Some(key) = self.upstream.clients.find(client) else {
            return;
        };
        match frame {
            Frame::Send { payload } => self.upstream_send(key, flags, payload.0, turn),
            Frame::CloseConn {} if flags.contains(Flags::DISCARD) => {
                self.close_session(key, Cause::Told(Refusal::WorkerClosed, 1000), turn);
            }
            Frame::CloseConn {} => self.upstream.ending.push(key),
            frame => {
                let space = space.expect("it names a namespace");
                self.membership(key, space, frame);
            }
        }
    }

    fn membership(&mut self, key: Key, id: SpaceId, frame: &Frame<'_>) {
        let named = self.upstream.clients.space_mut(id);
        let (name, space) = (named.name.clone(), &mut named.space);
        let outcome = match frame {
            Frame::Member {
                sid,
                pid,
                rooms,
                auth,
                data,
                ..
            } => {
                let outcome = space.set(key, sid, pid, (auth.0, data.0), rooms);
                self.connected(key, &name);
                outcome
            }
            Frame::Join { rooms, .. } => space.join(key, rooms),
            Frame::SetData { data, .. } => space.set_data(key, data.0),
            Frame::Leave { rooms, .. } => {
                space.leave(key, rooms);
                Ok(())
            }
            _ => {
                space.remove(key);
                Ok(())
            }
        };
        if let Err(SpaceError::TakenSid | SpaceError::NoMember | SpaceError::TooManyRooms) = outcome
        {
            self.stats.memberships_refused += 1;
        }
    }

    /// The client is in a namespace.
    fn connected(&mut self, key: Key, name: &str) {
        let Some(session) = self.sessions.get_mut(key) else {
            return;
        };
        let rare = session.rare_mut();
        rare.nameless_us = 0;
        if let Some(upstream) = &mut rare.upstream {
            upstream.answered(name);
        }
    }

    fn upstream_send(&mut self, key: Key, flags: Flags, part: Part<'_>, turn: &mut Turn<'_>) {
        let bounds = self.settings.packet_bounds();
        let Some(session) = self.sessions.get_mut(key) else {
            return;
        };
        let is_busy = !session.outbox.is_empty();
        let Some(upstream) = session.upstream_mut() else {
            return;
        };
        // A volatile packet goes whole or not at all: its text decides for its attachments.
        if let Part::Text(text) = part {
            upstream.is_dropping = flags.contains(Flags::VOLATILE) && is_busy;
            if text.starts_with('4')
                && let Ok(packet) = socketio::Packet::parse(text, &bounds)
            {
                upstream.answered(packet.namespace);
            }
        }
        if upstream.is_dropping {
            self.stats.volatile_dropped += 1;
            return;
        }
        let packet = match part {
            Part::Text(text) => Packet::new(text.as_bytes(), &[], None),
            Part::Binary(bytes) => Packet::binary(bytes),
        };
        let packet = Rc::new(packet.for_deflate(self.settings.deflate));
        self.push_of_worker(key, packet, turn);
    }

    fn upstream_broadcast(
        &mut self,
        space: Option<SpaceId>,
        flags: Flags,
        frame: &Frame<'_>,
        turn: &mut Turn<'_>,
    ) {
        let Frame::Bcast {
            rooms,
            except,
            parts,
            ..
        } = frame
        else {
            return;
        };
        let space = &self
            .upstream
            .clients
            .space_mut(space.expect("it names a namespace"))
            .space;
        let mut keys = space.plan(rooms, except);
        let Some((text, attachments)) = parts.split_first() else {
            return;
        };
        if flags.contains(Flags::VOLATILE) {
            keys.retain(|key| {
                self.sessions
                    .get(*key)
                    .is_some_and(|session| session.outbox.is_empty())
            });
        }
        let attachments: Vec<&[u8]> = attachments.iter().map(Part::bytes).collect();
        let packet =
            Packet::new(text.bytes(), &attachments, None).for_deflate(self.settings.deflate);
        let packet = Rc::new(packet);
        for key in keys {
            self.push_of_worker(key, Rc::clone(&packet), turn);
        }
    }
}
