//! What workers say to their clients is carried out, on the clients' shards.
//!
//! Deliberately absent: whether a worker may say it, which the exchange has seen to.

use super::{Hub, Key, Turn};
use crate::packet::Packet;
use crate::refusal::Refusal;
use crate::session::Cause;
use crate::upstream::{
    AppId, ClientNumber, Space, SpaceError, SpaceId, Target, ToClients, ToLinks, WorkerId,
    namespace_of, numbered,
};
use ringway_proto::link::{Flags, Frame, Kind, Part, Raw, Side};
use ringway_proto::socketio;
use std::rc::Rc;

/// What a worker says of a socket.
fn change(
    space: &mut Space,
    key: Key,
    worker: WorkerId,
    frame: &Frame<'_>,
) -> Result<(), SpaceError> {
    match frame {
        Frame::Member {
            sid,
            pid,
            rooms,
            auth,
            data,
            ..
        } => {
            space.set(key, sid, pid, (auth.0, data.0), rooms)?;
            space.belongs(key, worker);
            Ok(())
        }
        Frame::Join { rooms, .. } => {
            space.note_frame(key);
            space.join(key, rooms)
        }
        Frame::SetData { data, .. } => space.set_data(key, data.0),
        Frame::Leave { rooms, .. } => {
            space.note_frame(key);
            space.leave(key, rooms);
            Ok(())
        }
        _ => {
            space.remove(key);
            Ok(())
        }
    }
}

/// Texts were texts when they came.
fn borrowed(parts: &[(bool, Box<[u8]>)]) -> Vec<Part<'_>> {
    let parts = parts.iter();
    let borrowed = parts.map(
        |(is_binary, bytes)| match (is_binary, str::from_utf8(bytes)) {
            (false, Ok(text)) => Part::Text(text),
            _ => Part::Binary(bytes),
        },
    );
    borrowed.collect()
}

/// The close code of a WebSocket.
const fn code_of(refusal: Refusal) -> u16 {
    match refusal {
        Refusal::NoWorker
        | Refusal::WorkersFailing
        | Refusal::AnswerLost
        | Refusal::NamespaceTaken => 1013,
        _ => 1008,
    }
}

impl Hub {
    pub(super) fn hear_links(&mut self, bytes: &[u8], turn: &mut Turn<'_>) {
        match ToClients::decode(bytes) {
            ToClients::Space { space, app, name } => self.upstream.clients.name(space, app, name),
            ToClients::Bound { json } => self.bind(json),
            ToClients::Judged { question, said } => self.upstream.questions.hear(question, said),
            ToClients::Answered { number } => self.end_asked(number),
            ToClients::Parser { parser } => self.upstream.parser = Some(parser),
            ToClients::Gone { space, is_given } => {
                let keys = self.upstream.clients.retire(space);
                keys.into_iter()
                    .filter(|_| is_given)
                    .for_each(|key| self.end_moved(key, turn));
            }
            ToClients::Refused { client } => {
                self.end_client(client, Refusal::NamespacesFull, turn);
            }
            ToClients::Moved { client } => {
                self.end_client(client, Refusal::NamespaceTaken, turn);
            }
            ToClients::Entered { client, space } => self.client_entered(client, space, turn),
            ToClients::Dealt { client, bytes } => self.upstream_dealt(client, bytes, turn),
            ToClients::Again { client } => {
                // What its last worker says to its own clients from now on is not for this one.
                let leg = self.upstream.clients.find_leg(client);
                leg.into_iter()
                    .for_each(|leg| self.upstream.clients.disown(leg));
                self.answer_call(client, turn);
            }
            ToClients::Left { client, name } => {
                if let Some(leg) = self.upstream.clients.find_leg(client) {
                    self.upstream.clients.leave(leg, name);
                }
            }
            ToClients::Unanswered { client } => {
                self.end_client(client, Refusal::AnswerLost, turn);
            }
            ToClients::Lost { client } => self.end_client(client, Refusal::NoWorker, turn),
            ToClients::Failing { client } => {
                self.end_client(client, Refusal::WorkersFailing, turn);
            }
            ToClients::Dismissed { client } => self.dismiss(client, turn),
            ToClients::Frame {
                client,
                space,
                worker,
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
                self.upstream.speaker = Some(worker);
                match client {
                    Some(client) => {
                        let space = space.map(|space| (space, worker));
                        self.client_frame(client, space, flags, &frame, turn);
                    }
                    None => self.upstream_broadcast((space, worker), flags, &frame, turn),
                }
                self.upstream.weigh(turn.now);
            }
        }
    }

    fn end_client(&mut self, client: ClientNumber, refusal: Refusal, turn: &mut Turn<'_>) {
        let cause = Cause::Told(refusal, code_of(refusal));
        let Some(leg) = self.upstream.clients.find_leg(client) else {
            return;
        };
        let is_about_workers =
            !matches!(refusal, Refusal::NamespacesFull | Refusal::NamespaceTaken);
        if !is_about_workers || !self.part(leg, cause, turn) {
            self.close_session(leg.0, cause, turn);
        }
    }

    /// The client is in a namespace that is another application's by now. It comes again, and is served by that one.
    fn end_moved(&mut self, key: Key, turn: &mut Turn<'_>) {
        self.close_session(key, Cause::Told(Refusal::NamespaceTaken, 1013), turn);
    }

    /// A client came back to its socket: what was kept for it is of no use any more.
    fn client_entered(&mut self, client: ClientNumber, space: SpaceId, turn: &mut Turn<'_>) {
        if self.upstream.clients.find(client).is_some() {
            let mail = ToLinks::Entered { client, space };
            self.say_or_keep(mail.encode(), turn);
        }
    }

    fn upstream_dealt(&mut self, client: ClientNumber, bytes: u32, turn: &mut Turn<'_>) {
        let Some((key, app)) = self.upstream.clients.find_leg(client) else {
            return;
        };
        let Some(upstream) = self.upstream_of(key) else {
            return;
        };
        let was_held = !upstream.has_room();
        upstream.dealt(app, bytes);
        let is_released = was_held && upstream.has_room();
        self.input_bytes -= u64::from(bytes);
        if is_released {
            self.spare_pong(key, turn);
        }
    }

    /// Tells a new worker of a client.
    pub(super) fn answer_call(&mut self, client: ClientNumber, turn: &mut Turn<'_>) {
        let Some(leg) = self.upstream.clients.find_leg(client) else {
            return;
        };
        match self.say_open(leg, client, turn) {
            true => self.dismiss_again(leg, client, turn),
            false => drop(self.upstream.called.insert(client)),
        }
    }

    fn client_frame(
        &mut self,
        client: ClientNumber,
        space: Option<(SpaceId, WorkerId)>,
        flags: Flags,
        frame: &Frame<'_>,
        turn: &mut Turn<'_>,
    ) {
        let Some(leg) = self.upstream.clients.find_leg(client) else {
            return;
        };
        match frame {
            Frame::Send { payload } => self.upstream_send(leg, flags, payload.0, turn),
            Frame::CloseConn {} => {
                self.worker_closes(leg, flags.contains(Flags::DISCARD), turn);
            }
            frame => {
                let space = space.expect("it names a namespace");
                self.membership(leg.0, space, frame, turn);
            }
        }
    }

    /// What a worker says of a client's socket. What is kept of that has a bound, and whoever's socket goes beyond it is closed.
    fn membership(
        &mut self,
        key: Key,
        (id, worker): (SpaceId, WorkerId),
        frame: &Frame<'_>,
        turn: &mut Turn<'_>,
    ) {
        let before = self.upstream.clients.bytes();
        let outcome = self
            .upstream
            .clients
            .change(key, id, |space| change(space, key, worker, frame));
        if let Err(SpaceError::TakenSid | SpaceError::NoMember | SpaceError::TooManyRooms) = outcome
        {
            self.stats.memberships_refused += 1;
        } else if matches!(frame, Frame::Member { .. }) && self.is_opaque() {
            self.opaque_joined(key);
        }
        let bytes = self.upstream.clients.bytes();
        if bytes > before && bytes > self.settings.shard_input_bytes_max {
            self.close_session(key, Cause::Told(Refusal::Busy, 1009), turn);
        }
    }

    pub(super) fn upstream_send(
        &mut self,
        (key, app): (Key, AppId),
        flags: Flags,
        part: Part<'_>,
        turn: &mut Turn<'_>,
    ) {
        let is_opaque = self.is_opaque();
        let Some(session) = self.sessions.get_mut(key) else {
            return;
        };
        let is_busy = !session.outbox.is_empty();
        let upstream = session.upstream_mut();
        let Some(leg) = upstream.and_then(|upstream| upstream.leg_mut(app)) else {
            return;
        };
        // A volatile packet goes whole or not at all: its text decides for its attachments, and of one that cannot be read the first part.
        let begins = match is_opaque {
            true => !flags.contains(Flags::REST),
            false => matches!(part, Part::Text(_)),
        };
        if begins {
            leg.is_dropping = flags.contains(Flags::VOLATILE) && is_busy;
        }
        if leg.is_dropping {
            self.stats.volatile_dropped += 1;
            return;
        }
        let is_whole = is_opaque || leg.assembly.is_idle_for(part);
        let parts = match is_whole {
            true => Vec::new(),
            false => {
                let before = leg.assembly.kept_bytes();
                let parts = leg.assembly.take(part);
                self.queued_bytes = self.queued_bytes + leg.assembly.kept_bytes() - before;
                parts
            }
        };
        match part {
            // Who is in no namespace is told nothing but that it may not come in.
            _ if is_opaque && begins && self.is_nameless(key) => self.opaque_answered(key),
            Part::Text(text) if !is_opaque && text.starts_with(['0', '4']) => {
                self.note_answer((key, app), text);
            }
            Part::Text(text) if !is_opaque && text.starts_with('1') => {
                self.note_dismissed((key, app), text, turn);
            }
            _ => {}
        }
        match is_whole {
            true => self.push_parts(key, flags, &[part], turn),
            false => self.push_parts(key, flags, &borrowed(&parts), turn),
        }
    }

    /// What a worker says to one client, if that is whole.
    fn push_parts(&mut self, key: Key, flags: Flags, parts: &[Part<'_>], turn: &mut Turn<'_>) {
        if !parts.is_empty() {
            let packet = self.packet_of(flags, parts);
            self.push_of_worker(key, packet, turn);
        }
    }

    /// A worker's packet: compressed where clients have agreed to it, unless the worker said not to.
    fn packet_of(&self, flags: Flags, parts: &[Part<'_>]) -> Rc<Packet> {
        let deflates = self.settings.deflate && !flags.contains(Flags::NO_COMPRESS);
        Rc::new(Packet::of_parts(parts).for_deflate(deflates))
    }

    /// A CONNECT is answered.
    fn note_answer(&mut self, (key, app): (Key, AppId), text: &str) {
        let Ok(packet) = socketio::Packet::parse(text, &self.settings.packet_bounds()) else {
            return;
        };
        let is_welcome = packet.kind == socketio::PacketKind::Connect;
        if is_welcome && self.has_neighbours() {
            self.upstream_of(key)
                .into_iter()
                .for_each(|upstream| upstream.joins(app, packet.namespace));
        }
        self.count_input_of(key, |upstream| {
            if !upstream.asks_for(packet.namespace) {
                // It was said when nothing was read: the application had another parser.
                upstream.openers.pop_front();
            }
            upstream.answered(packet.namespace);
        });
        let session = self.sessions.get_mut(key);
        let joined = session.filter(|_| is_welcome);
        if let Some(session) = joined {
            session.rare_mut().nameless_us = 0;
        }
    }

    /// A worker has a client leave a namespace.
    fn note_dismissed(&mut self, (key, app): (Key, AppId), text: &str, turn: &Turn<'_>) {
        if !self.has_neighbours() {
            return;
        }
        let now_us = turn.now.monotonic_us;
        let upstream = self.upstream_of(key);
        if let Some(leg) = upstream.and_then(|upstream| upstream.leg_mut(app)) {
            leg.leaves(namespace_of(text));
            leg.dismissed_us = now_us;
        }
    }

    fn upstream_broadcast(
        &mut self,
        (space, worker): (Option<SpaceId>, WorkerId),
        flags: Flags,
        frame: &Frame<'_>,
        turn: &mut Turn<'_>,
    ) {
        let space = space.expect("it names a namespace");
        match frame {
            Frame::Bcast {
                rooms,
                except,
                parts,
                ..
            } => {
                let keys = self.planned(space, worker, flags, (rooms, except));
                self.broadcast_parts(keys, flags, parts, turn);
            }
            Frame::BcastAck {
                request,
                rooms,
                except,
                parts,
                ..
            } => {
                let keys = self.planned(space, worker, flags, (rooms, except));
                let number = u64::from(*request);
                self.note_asked(number, space, &keys, turn);
                let mut parts = parts.clone();
                let Some(Part::Text(text)) = parts.first() else {
                    return;
                };
                let text = numbered(text, number).expect("the exchange has looked for its place");
                parts[0] = Part::Text(&text);
                self.broadcast_parts(keys, flags, &parts, turn);
            }
            Frame::Move {
                what,
                rooms,
                except,
                places,
                ..
            } => self.move_sockets(space, *what, Target { rooms, except }, (places, turn)),
            _ => {}
        }
    }

    /// Whom a broadcast reaches.
    fn planned(
        &self,
        space: SpaceId,
        worker: WorkerId,
        flags: Flags,
        (rooms, except): (&[&str], &[&str]),
    ) -> Vec<Key> {
        let space = &self.upstream.clients.named(space).space;
        let mut keys = space.plan(rooms, except);
        if flags.contains(Flags::LOCAL) {
            keys.retain(|key| space.is_of(*key, worker));
        }
        keys
    }

    fn broadcast_parts(
        &mut self,
        mut keys: Vec<Key>,
        flags: Flags,
        parts: &[Part<'_>],
        turn: &mut Turn<'_>,
    ) {
        if parts.is_empty() {
            return;
        }
        if flags.contains(Flags::VOLATILE) {
            keys.retain(|key| {
                self.sessions
                    .get(*key)
                    .is_some_and(|session| session.outbox.is_empty())
            });
        }
        let packet = self.packet_of(flags, parts);
        for key in keys {
            self.push_of_worker(key, Rc::clone(&packet), turn);
        }
    }
}
