//! Engine.IO over HTTP: the handshake, polling, and the start of an upgrade.
//!
//! Deliberately absent: WebSocket frames and what stands in the messages.

use super::asking::Judgement;
use super::http::Routed;
use super::{Hub, Key, Output, Turn};
use crate::connection::{Body, Poll, Purpose, Reply, Stage};
use crate::refusal::Refusal;
use crate::session::{Application, Cause, Session, Sid, Transport};
use crate::time::Now;
use crate::upstream::Admitted;
use core::mem;
use ringway_proto::engineio::{EngineError, Handshake, PacketKind, Params};
use ringway_proto::http1;

/// Time that each byte of a body adds to that of a head: a client on a slow line may take long, at 1,000 bytes a second and more.
const BODY_BYTE_US: u64 = 1_000;

/// Full bodies that a client may have sent and not got answered when it upgrades.
const UPGRADE_PAYLOADS_MAX: u64 = 4;

impl Hub {
    pub(crate) fn route_engine(
        &mut self,
        key: Key,
        request: &http1::Request,
        application: Application,
        turn: &mut Turn<'_>,
    ) -> Routed {
        let reply = self.reply_to(request);
        if request.method.as_str() == "OPTIONS" {
            return self.preflight(key, request, &reply, turn);
        }
        if !self.origin_allowed(request) {
            self.respond_refusal(key, 403, Refusal::ForeignOrigin, &reply, turn);
            return Routed::Done;
        }
        let params = match Params::parse(request) {
            Ok(params) => params,
            Err(error) => {
                self.respond_error(key, error, request, &reply, turn);
                return Routed::Done;
            }
        };
        if !self.has_transport(&params) {
            self.respond_error(key, EngineError::UnknownTransport, request, &reply, turn);
            return Routed::Done;
        }
        let Some(sid) = params.sid.as_deref() else {
            return self.handshake(key, request, (&params, reply), application, turn);
        };
        let Some(sid) = Sid::parse(sid) else {
            self.respond_error(key, EngineError::UnknownSid, request, &reply, turn);
            return Routed::Done;
        };
        if sid.shard(self.shards) != self.shard {
            return Routed::Elsewhere(sid.shard(self.shards));
        }
        match self.by_sid.find(&sid, &self.sessions) {
            Some(session) => self.judge_request(key, request, &params, session, turn),
            None => {
                self.respond_error(key, EngineError::UnknownSid, request, &reply, turn);
                Routed::Done
            }
        }
    }

    fn preflight(
        &mut self,
        key: Key,
        request: &http1::Request,
        reply: &Reply,
        turn: &mut Turn<'_>,
    ) -> Routed {
        let mut headers = self.preflight_headers(request);
        if self.asks_about_preflights() {
            match self.judge(key, request, true, turn) {
                Judgement::Free => {}
                Judgement::Admitted(admitted) => headers = admitted.headers,
                Judgement::Over(routed) => return routed,
            }
        }
        let answer = super::http::preflight_of(&headers, reply.keep_alive);
        self.send_answer(key, &answer, reply.keep_alive, turn);
        Routed::Done
    }

    fn judge_request(
        &mut self,
        key: Key,
        request: &http1::Request,
        params: &Params,
        session: Key,
        turn: &mut Turn<'_>,
    ) -> Routed {
        let mut headers = Vec::new();
        match self.judge(key, request, false, turn) {
            Judgement::Free => {}
            Judgement::Admitted(admitted) => headers = admitted.headers,
            Judgement::Over(routed) => return routed,
        }
        if headers.is_empty() {
            let kept = self.sessions.get(session).and_then(Session::upstream);
            headers = kept.map_or_else(Vec::new, |upstream| upstream.headers.to_vec());
        }
        let mut reply = self.reply_to(request);
        reply.headers.extend(headers);
        self.request_of_session(key, request, (params, reply), session, turn);
        Routed::Done
    }

    fn handshake(
        &mut self,
        key: Key,
        request: &http1::Request,
        (params, reply): (&Params, Reply),
        application: Application,
        turn: &mut Turn<'_>,
    ) -> Routed {
        if request.method.as_str() != "GET" {
            self.respond_error(key, EngineError::BadHandshakeMethod, request, &reply, turn);
            return Routed::Done;
        }
        let admitted = match self.judge(key, request, true, turn) {
            Judgement::Free => None,
            Judgement::Admitted(admitted) => Some(admitted),
            Judgement::Over(routed) => return routed,
        };
        match self.admit_session(key, params.websocket, turn) {
            Ok(()) => self.open(key, request, (params, reply), application, admitted, turn),
            Err((status, refusal)) => self.refuse_http(key, status, refusal, turn),
        }
        Routed::Done
    }

    fn open(
        &mut self,
        key: Key,
        request: &http1::Request,
        (params, mut reply): (&Params, Reply),
        application: Application,
        admitted: Option<Admitted>,
        turn: &mut Turn<'_>,
    ) {
        let Some(connection) = self.connections.get(key) else {
            return;
        };
        let (id, client) = (key.conn(), connection.client);
        let sid = admitted.as_ref().and_then(|admitted| admitted.sid);
        let sid = sid.unwrap_or_else(|| self.new_sid(turn));
        reply.headers.extend(self.cookie_of(sid));
        let added = admitted.as_ref().map(|admitted| &admitted.headers[..]);
        reply.headers.extend_from_slice(added.unwrap_or_default());
        if params.websocket {
            // The purpose is set below, once there is a session to name.
            if !self.open_socket(key, request, Purpose::Echo, &reply, turn) {
                return;
            }
            let timer_us = self.bequeath_timer(key);
            let transport = Transport::WebSocket;
            let session = self.insert_session(sid, client, application, transport, timer_us, turn);
            self.keep_head(session, request, admitted);
            self.attach_socket(key, id, session, turn);
            let open = self.open_packet(session, Transport::WebSocket);
            self.send_urgent(session, &open, turn);
        } else {
            let session =
                self.insert_session(sid, client, application, Transport::Polling, 0, turn);
            self.keep_head(session, request, admitted);
            let open = self.open_packet(session, Transport::Polling);
            self.respond(key, 200, TEXT, open.as_bytes(), &reply, turn);
        }
    }

    /// A session outlives its connection: it is let in by itself. The first one of a polling client costs its address as much as a connection.
    pub(super) fn admit_session(
        &mut self,
        key: Key,
        websocket: bool,
        turn: &Turn<'_>,
    ) -> Result<(), (u16, Refusal)> {
        if self.draining() {
            return Err((503, Refusal::Draining));
        }
        if self.over_memory() || self.sessions.len() >= self.settings.sessions_max as usize {
            return Err((503, Refusal::ShardFull));
        }
        let limited = !websocket && !self.settings.dev;
        let client = self.connections.get(key).filter(|_| limited);
        client.map_or(Ok(()), |connection| {
            self.limits
                .session(turn.now, connection.client.into())
                .map_err(|refusal| (429, refusal))
        })
    }

    fn open_packet(&self, session: Key, transport: Transport) -> String {
        let sid = self
            .sessions
            .get(session)
            .map(|session| session.sid.text())
            .unwrap_or_default();
        let can_upgrade = transport == Transport::Polling && self.allows_upgrades();
        let upgrades: &[&str] = if can_upgrade { &["websocket"] } else { &[] };
        Handshake {
            sid: &sid,
            upgrades,
            ping_interval_ms: self.settings.ping_interval_ms,
            ping_timeout_ms: self.settings.ping_timeout_ms,
            max_payload: self.settings.payload_bytes_max,
        }
        .encode()
    }

    fn request_of_session(
        &mut self,
        key: Key,
        request: &http1::Request,
        (params, reply): (&Params, Reply),
        session: Key,
        turn: &mut Turn<'_>,
    ) {
        let Some((transport, ends)) = self
            .sessions
            .get(session)
            .map(|session| (session.transport, session.rare().closing.is_some()))
        else {
            return;
        };
        match (request.method.as_str(), params.websocket) {
            ("GET", true) if transport == Transport::Polling && !ends && self.allows_upgrades() => {
                self.open_probe(key, request, session, &reply, turn)
            }
            ("GET", false) if transport != Transport::WebSocket => {
                self.poll(key, session, reply, turn)
            }
            ("POST", false) if transport != Transport::WebSocket => {
                // Its body is read.
                let keep_alive = request.keeps_alive();
                let reply = Reply {
                    keep_alive,
                    ..reply
                };
                self.post(key, request, session, reply, turn)
            }
            _ => self.respond_error(key, EngineError::BadRequest, request, &reply, turn),
        }
    }

    fn open_probe(
        &mut self,
        key: Key,
        request: &http1::Request,
        session: Key,
        reply: &Reply,
        turn: &mut Turn<'_>,
    ) {
        let taken = self
            .sessions
            .get(session)
            .is_some_and(|session| session.rare().probe.is_some());
        if taken {
            self.respond_error(key, EngineError::BadRequest, request, reply, turn);
            return;
        }
        if self.open_socket(key, request, Purpose::Probe(session), reply, turn) {
            let deadline_us = turn.now.monotonic_us + u64::from(self.upgrade_timeout_ms()) * 1000;
            self.set_deadline(key, deadline_us, turn);
            if let Some(session) = self.sessions.get_mut(session) {
                session.rare_mut().probe = Some(key.conn());
            }
        }
    }

    fn poll(&mut self, key: Key, session_key: Key, reply: Reply, turn: &mut Turn<'_>) {
        let Some(connection) = self.connections.get_mut(key) else {
            return;
        };
        let Some(session) = self.sessions.get_mut(session_key) else {
            return;
        };
        if session.conn.is_some() {
            // The reference server does the same: two GETs at a time mean that the client has lost count.
            self.respond_engine_error(key, EngineError::BadRequest, &reply, turn);
            self.close_session(
                session_key,
                Cause::Told(Refusal::OverlappingPoll, 1008),
                turn,
            );
            return;
        }
        session.conn = Some(key.conn());
        connection.stage = Stage::Poll(Box::new(Poll {
            session: session_key,
            reply,
        }));
        if session.transport == Transport::Upgrading && !session.has_output() {
            // The GET crossed the probe: the client waits for it before it upgrades.
            session.rare_mut().urgent.push(PacketKind::Noop.symbol());
        }
        if session.has_output() {
            turn.out.push(Output::Dirty(key.conn()));
        }
    }

    fn post(
        &mut self,
        key: Key,
        request: &http1::Request,
        session_key: Key,
        reply: Reply,
        turn: &mut Turn<'_>,
    ) {
        let overlapping = self
            .sessions
            .get(session_key)
            .is_some_and(|session| session.rare().post.is_some());
        if overlapping {
            let refusal = Reply {
                keep_alive: false,
                ..reply
            };
            self.respond_engine_error(key, EngineError::BadRequest, &refusal, turn);
            self.close_session(
                session_key,
                Cause::Told(Refusal::OverlappingPoll, 1008),
                turn,
            );
            return;
        }
        let decoder = http1::BodyDecoder::new(request, self.settings.post_bytes_max());
        let deadline_us = turn.now.monotonic_us + u64::from(self.settings.head_timeout_ms) * 1000;
        self.set_deadline(key, deadline_us, turn);
        let Some(connection) = self.connections.get_mut(key) else {
            return;
        };
        if let Some(session) = self.sessions.get_mut(session_key) {
            session.rare_mut().post = Some(key.conn());
        }
        let body = Body {
            session: session_key,
            decoder,
            reply,
        };
        connection.stage = Stage::Body(Box::new(body));
        if !request.has_body() {
            // It is complete already, and no input will come to say so.
            self.finish_post(key, turn);
        }
    }

    pub(crate) fn step_body(&mut self, key: Key, turn: &mut Turn<'_>) -> bool {
        let Some(connection) = self.connections.get_mut(key) else {
            return false;
        };
        let (Some(http), Stage::Body(body)) = connection.http_and_stage() else {
            return false;
        };
        match body.decoder.push(&http.input) {
            Ok(consumed) => {
                http.input.drain(..consumed);
                let done = body.decoder.is_done();
                connection.busy_mut().deadline_us += consumed as u64 * BODY_BYTE_US;
                if done {
                    self.finish_post(key, turn);
                }
                done
            }
            Err(error) => {
                let session = body.session;
                self.refuse_http(key, error.status(), Refusal::BadRequest, turn);
                self.close_session(session, Cause::Told(Refusal::BadPayload, 1009), turn);
                false
            }
        }
    }

    fn finish_post(&mut self, key: Key, turn: &mut Turn<'_>) {
        let Some(connection) = self.connections.get_mut(key) else {
            return;
        };
        let Stage::Body(body) = mem::replace(&mut connection.stage, Stage::Head) else {
            return;
        };
        let (session, reply) = (body.session, body.reply);
        // Taken back when it is answered. Until then packets that wait for ring space pause this connection.
        let held = Poll { session, reply };
        connection.stage = Stage::Held(Box::new(held));
        self.clear_deadline(key);
        let taken = self.take_payload(session, &body.decoder.into_body(), turn);
        if !self.post_waits(session) && self.is_held(key) {
            self.answer_post(key, taken, turn);
        }
    }

    /// Whether the packets of the session's POST wait, and its answer with them. A client that upgrades does not poll, and waits for its POST: what
    /// it sent goes on waiting for the WebSocket, and its POST does not, as long as that is not more than a client sends within a probe.
    pub(crate) fn post_waits(&self, session: Key) -> bool {
        let Some(session) = self.sessions.get(session) else {
            return false;
        };
        let upgrades = session.transport == Transport::Upgrading;
        let bytes_max = u64::from(self.settings.post_bytes_max()) * UPGRADE_PAYLOADS_MAX;
        let goes_on = upgrades && session.rare().parked_bytes() <= bytes_max;
        !session.rare().parked.is_empty() && !goes_on
    }

    /// Whether a POST waits for its answer there. One whose packets waited was answered if a later one ended the session.
    pub(crate) fn is_held(&self, key: Key) -> bool {
        let connection = self.connections.get(key);
        connection.is_some_and(|connection| matches!(connection.stage, Stage::Held(_)))
    }

    /// Answers a POST whose packets were taken: not before, so that a client which publishes faster than shards can carry is slowed down.
    pub(crate) fn answer_post(&mut self, key: Key, taken: bool, turn: &mut Turn<'_>) {
        let Some(connection) = self.connections.get_mut(key) else {
            return;
        };
        let Stage::Held(held) = mem::replace(&mut connection.stage, Stage::Head) else {
            unreachable!("a POST waits for one answer")
        };
        if mem::take(&mut connection.paused) {
            turn.out.push(Output::Resume(key.conn()));
        }
        if let Some(session) = self.sessions.get_mut(held.session) {
            session.rare_mut().post = None;
        }
        if taken {
            self.respond(key, 200, "text/html", b"ok", &held.reply, turn);
        } else {
            self.respond_engine_error(key, EngineError::BadRequest, &held.reply, turn);
        }
    }

    /// Answers the GET that waits, if its session has packets. Gives the response's bytes into the output.
    pub(crate) fn answer_poll(&mut self, now: Now, key: Key) {
        let Some(connection) = self.connections.get_mut(key) else {
            return;
        };
        let Stage::Poll(poll) = &connection.stage else {
            return;
        };
        let Some(session) = self.sessions.get_mut(poll.session) else {
            return;
        };
        if !session.has_output() {
            return;
        }
        let before = session.outbox.bytes();
        let payload = super::wire::polling_payload(
            session,
            self.settings.payload_bytes_max as usize,
            &mut |packet| self.stats.sent(packet, now),
        );
        self.queued_bytes -= (before - session.outbox.bytes()) as u64;
        session.reads_on(now, self.settings.ping_timeout_ms);
        session.conn = None;
        let (ended, session_key) = (session.rare().closing.is_some(), poll.session);
        let keep_alive = poll.reply.keep_alive && !(ended && self.drain.is_some());
        let response = super::http::response_of(200, TEXT, &payload, &poll.reply, keep_alive);
        let output = &mut connection.busy_mut().output;
        let bytes = self.date.append(now, &response, output) as u32;
        self.queued_bytes += u64::from(bytes);
        let session = session_key;
        connection.stage = Stage::Answer { session, bytes };
        // Who does not read it may not keep it for ever. The next lap arms the timer: the loop only asks for bytes here.
        let idle_us = u64::from(self.settings.keep_alive_timeout_ms) * 1000;
        connection.busy_mut().deadline_us = now.monotonic_us + idle_us;
        self.unarmed.push(key);
        connection.closing |= !keep_alive;
        self.note_taken(session_key);
        if ended {
            self.remove_session(session_key);
        }
    }

    /// Lets a waiting GET go with a noop, so that the client stops polling.
    pub(crate) fn release_poll(&mut self, session_key: Key, turn: &mut Turn<'_>) {
        let Some(session) = self.sessions.get_mut(session_key) else {
            return;
        };
        if session.transport != Transport::WebSocket
            && let Some(conn) = session.conn
            && !session.has_output()
        {
            session.rare_mut().urgent.push(PacketKind::Noop.symbol());
            turn.out.push(Output::Dirty(conn));
        }
    }
}

/// The content type of a polling answer.
pub(crate) const TEXT: &str = "text/plain; charset=UTF-8";
