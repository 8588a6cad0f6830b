//! WebSocket connections of a hub: the echo, the probe, and the transport of a session.
//!
//! Deliberately absent: frames (`ringway_proto::ws`) and the packets inside them.

use super::{Hub, Key, Output, Turn};
use crate::connection::{Purpose, Stage};
use crate::refusal::Refusal;
use crate::session::{Cause, Transport};
use crate::time::ConnId;
use core::mem;
use ringway_proto::ws;

impl Hub {
    pub(crate) fn feed_socket(&mut self, key: Key, bytes: &mut [u8], turn: &mut Turn<'_>) {
        let Some(connection) = self.connections.get_mut(key) else {
            return;
        };
        let Stage::Socket(mut socket) = mem::replace(&mut connection.stage, Stage::Away) else {
            return;
        };
        let mut decoder = connection.take_decoder();
        let bounds = self.settings.websocket_bounds(socket.inflates);
        // Closes and upgrades change the purpose while the decoder is out of the connection: it is kept beside.
        self.purpose = Some(socket.purpose);
        self.echo_deflates = socket.deflate;
        let result = decoder.push(bytes, &bounds, &mut |event| {
            self.socket_event(key, &event, turn)
        });
        socket.purpose = self.purpose.take().unwrap_or(Purpose::Echo);
        let purpose = socket.purpose;
        if let Some(connection) = self.connections.get_mut(key) {
            connection.stage = Stage::Socket(socket);
            connection.keep_decoder(decoder);
        }
        if let Err(error) = result {
            self.fail_socket(key, purpose, &error, turn);
        }
    }

    fn fail_socket(
        &mut self,
        key: Key,
        purpose: Purpose,
        error: &ws::WsError,
        turn: &mut Turn<'_>,
    ) {
        match purpose {
            Purpose::Session(session) => {
                self.close_session(
                    session,
                    Cause::Told(Refusal::WebSocketProtocol, error.close_code()),
                    turn,
                );
            }
            Purpose::Probe(_) | Purpose::Echo => {
                self.stats.refused(Refusal::WebSocketProtocol);
                self.close_socket(key, error.close_code(), &error.to_string(), turn);
            }
        }
    }

    /// Whether to go on reading.
    fn socket_event(&mut self, key: Key, event: &ws::Event<'_>, turn: &mut Turn<'_>) -> bool {
        let Some(connection) = self
            .connections
            .get_mut(key)
            .filter(|connection| !connection.closing)
        else {
            return false;
        };
        let id = key.conn();
        match event {
            ws::Event::Ping(payload) => {
                ws::encode_frame(ws::Opcode::Pong, payload, &mut connection.busy_mut().output);
                turn.out.push(Output::Dirty(id));
            }
            ws::Event::Pong(_) => {}
            ws::Event::Close { code } => self.peer_closes(key, *code, turn),
            ws::Event::Text(text) => self.socket_message(key, Ok(text), turn),
            ws::Event::Binary(bytes) => self.socket_message(key, Err(bytes), turn),
        }
        self.bound_output(key, turn);
        self.connections
            .get(key)
            .is_some_and(|connection| !connection.closing)
    }

    /// Pongs, probes and echoes count against no queue: a peer that asks for them and does not read ends here.
    fn bound_output(&mut self, key: Key, turn: &mut Turn<'_>) {
        let settings = &self.settings;
        let output_bytes_max = match self.purpose {
            Some(Purpose::Echo) => {
                settings.queue_bytes_max as usize + settings.payload_bytes_max as usize * 2
            }
            _ => super::OUTPUT_BYTES_MAX,
        };
        let waiting = self
            .connections
            .get(key)
            .map_or(0, |connection| connection.busy().output.len());
        if waiting <= output_bytes_max {
            return;
        }
        match self.purpose {
            Some(Purpose::Session(session)) => self.close_slow(session, turn),
            _ => {
                self.stats.refused(Refusal::SlowConsumer);
                self.close_socket(key, 1008, Refusal::SlowConsumer.code(), turn);
            }
        }
    }

    /// RFC 6455 §5.5.1: the answer to a close repeats its code.
    fn peer_closes(&mut self, key: Key, code: Option<u16>, turn: &mut Turn<'_>) {
        let purpose = self.purpose;
        let Some(connection) = self.connections.get_mut(key) else {
            return;
        };
        match code {
            Some(code) => ws::encode_close(code, "", &mut connection.busy_mut().output),
            None => ws::encode_frame(ws::Opcode::Close, &[], &mut connection.busy_mut().output),
        }
        // RFC 6455 §7.1.1: the server closes first, and at once.
        turn.out.push(Output::PeerFinished(key.conn()));
        self.close_after_flush(key, turn);
        if let Some(Purpose::Session(session)) = purpose {
            self.close_session(session, Cause::Peer, turn);
        }
    }

    fn socket_message(&mut self, key: Key, message: Result<&str, &[u8]>, turn: &mut Turn<'_>) {
        match self.purpose {
            Some(Purpose::Echo) => self.echo_frame(key, message, turn),
            Some(Purpose::Probe(session)) => self.probe_message(key, session, message, turn),
            Some(Purpose::Session(session)) => match message {
                Ok(text) => self.engine_text(session, text, turn),
                Err(bytes) => self.engine_binary(session, bytes, turn),
            },
            None => {}
        }
    }

    fn echo_frame(&mut self, key: Key, message: Result<&str, &[u8]>, turn: &mut Turn<'_>) {
        let Some(connection) = self.connections.get_mut(key) else {
            return;
        };
        let (opcode, payload) = match message {
            Ok(text) => (ws::Opcode::Text, text.as_bytes()),
            Err(bytes) => (ws::Opcode::Binary, bytes),
        };
        if self.echo_deflates {
            ws::deflate::encode_frame(opcode, payload, &mut connection.busy_mut().output);
        } else {
            ws::encode_frame(opcode, payload, &mut connection.busy_mut().output);
        }
        turn.out.push(Output::Dirty(key.conn()));
    }

    /// Engine.IO's upgrade: "2probe" is answered with "3probe", then "5" makes this the session's transport.
    fn probe_message(
        &mut self,
        key: Key,
        session_key: Key,
        message: Result<&str, &[u8]>,
        turn: &mut Turn<'_>,
    ) {
        match message {
            Ok("2probe") => {
                let Some(connection) = self.connections.get_mut(key) else {
                    return;
                };
                let output = &mut connection.busy_mut().output;
                ws::encode_frame(ws::Opcode::Text, b"3probe", output);
                turn.out.push(Output::Dirty(key.conn()));
                if let Some(session) = self.sessions.get_mut(session_key) {
                    session.transport = Transport::Upgrading;
                }
                self.upstream_upgrading(session_key, turn);
                self.release_poll(session_key, turn);
                if !self.post_waits(session_key) {
                    self.answer_held(session_key, turn);
                }
            }
            Ok("5") => self.upgrade(key, session_key, turn),
            _ => self.refuse_probe(key, turn),
        }
    }

    /// A session that ended keeps its probe, for a client that has stopped polling takes the end of the probe for nothing: now it hears why.
    fn refuse_upgrade(&mut self, key: Key, session_key: Key, turn: &mut Turn<'_>) {
        let closing = self.sessions.get(session_key);
        match closing.and_then(|session| session.rare().closing.map(|closing| closing.cause)) {
            Some(cause) => self.tell_socket(key, cause, turn),
            None => self.refuse_probe(key, turn),
        }
    }

    fn refuse_probe(&mut self, key: Key, turn: &mut Turn<'_>) {
        self.stats.refused(Refusal::BadUpgrade);
        self.close_socket(key, 1002, Refusal::BadUpgrade.code(), turn);
    }

    fn upgrade(&mut self, key: Key, session_key: Key, turn: &mut Turn<'_>) {
        let id = key.conn();
        let probed = self.sessions.get(session_key).is_some_and(|session| {
            session.transport == Transport::Upgrading && session.rare().closing.is_none()
        });
        if !probed {
            self.refuse_upgrade(key, session_key, turn);
            return;
        }
        self.stats.upgrades += 1;
        self.dismiss_poll(session_key, turn);
        self.clear_deadline(key);
        self.purpose = Some(Purpose::Session(session_key));
        self.attach_socket(key, id, session_key, turn);
        self.upstream_upgraded(session_key, turn);
    }

    /// A GET that still waits when the WebSocket takes over goes home with a noop.
    fn dismiss_poll(&mut self, session_key: Key, turn: &mut Turn<'_>) {
        let Some(session) = self.sessions.get_mut(session_key) else {
            return;
        };
        let waiting = session.conn.take().map(Key::of);
        let Some(waiting) = waiting else { return };
        let Some(connection) = self.connections.get_mut(waiting) else {
            return;
        };
        let Stage::Poll(poll) = mem::replace(&mut connection.stage, Stage::Head) else {
            return;
        };
        self.respond(waiting, 200, super::engine::TEXT, b"6", &poll.reply, turn);
    }

    /// Makes the WebSocket the session's transport; what waits in the session goes out on it.
    pub(crate) fn attach_socket(
        &mut self,
        key: Key,
        id: ConnId,
        session_key: Key,
        turn: &mut Turn<'_>,
    ) {
        let Some(connection) = self.connections.get_mut(key) else {
            return;
        };
        if let Stage::Socket(socket) = &mut connection.stage {
            socket.purpose = Purpose::Session(session_key);
        }
        let Some(session) = self.sessions.get_mut(session_key) else {
            return;
        };
        session.transport = Transport::WebSocket;
        session.settle_on(id, connection.client);
        self.stats.sessions_websocket += 1;
        let rare = session.rare_mut();
        rare.probe = None;
        let urgent = mem::take(&mut rare.urgent);
        session.tidy();
        for packet in urgent.chars().filter(|packet| *packet != '6') {
            self.send_urgent(session_key, packet.encode_utf8(&mut [0; 4]), turn);
        }
        turn.out.push(Output::Dirty(id));
        let waits = self.sessions.get(session_key);
        if waits.is_some_and(|session| !session.rare().parked.is_empty()) {
            self.pause(session_key, turn);
        }
    }

    /// Says goodbye on a WebSocket that is no session's transport.
    pub(crate) fn close_socket(&mut self, key: Key, code: u16, reason: &str, turn: &mut Turn<'_>) {
        let Some(connection) = self
            .connections
            .get_mut(key)
            .filter(|connection| !connection.closing)
        else {
            return;
        };
        ws::encode_close(code, reason, &mut connection.busy_mut().output);
        self.close_after_flush(key, turn);
    }
}
