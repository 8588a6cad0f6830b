//! Native namespaces: join, leave, publish, echo, refresh, info, and their answers.
//!
//! Deliberately absent: how a packet reaches its client (`hub/`) and how rooms work (`rooms/`).

mod command;

pub(crate) use command::Command;

use crate::auth::Identity;
use crate::hub::{Hub, Key, Turn};
use crate::refusal::Refusal;
use crate::rooms::{Asker, Attempt, Effect, Position, Publish, RoomEvent};
use crate::session::{Event, Inbound, Session};
use std::io::Write as _;

/// The longest name of a namespace.
pub(crate) const NAMESPACE_BYTES_MAX: u16 = 128;

/// Which permission a command needs.
#[derive(Clone, Copy)]
enum Right {
    Join,
    Publish,
}

impl Hub {
    /// An event of a client in a native namespace.
    pub(crate) fn native(&mut self, key: Key, event: Event<'_>, turn: &mut Turn<'_>) {
        match Command::parse(event.data, event.attachments.len() as u16) {
            Err(refusal) => self.refuse_event(key, event, refusal, turn),
            Ok(Command::Join { room }) => self.native_join(key, event, &room, turn),
            Ok(Command::Leave { room }) => self.native_leave(key, event, &room, turn),
            Ok(Command::Publish {
                room,
                data,
                key: conflate,
            }) => self.native_publish(key, event, &room, data, conflate.as_deref(), turn),
            Ok(Command::Echo { data }) => {
                let write = |out: &mut Vec<u8>| {
                    out.extend_from_slice(b"{\"ok\":true,\"data\":");
                    out.extend_from_slice(data.as_bytes());
                    out.push(b'}');
                };
                let to = (event.namespace, event.id);
                self.acknowledge_with(key, to, event.attachments, write, turn);
            }
            Ok(Command::Refresh { token }) => self.refresh(key, event, &token, turn),
            Ok(Command::Info) => {
                let version = serde_json::Value::from(self.settings().version.as_str());
                let answer = format!(
                    "{{\"ok\":true,\"shard\":{},\"shards\":{},\"version\":{version}}}",
                    self.shard(),
                    self.shards()
                );
                self.acknowledge(key, event.namespace, event.id, &answer, &[], turn);
            }
        }
    }

    fn permits(&self, key: Key, namespace: &str, room: &str, right: Right) -> bool {
        let identity = self
            .session(key)
            .and_then(|session| session.namespace(namespace)?.identity.as_ref());
        match (identity, right) {
            // No identity: `--dev` lets anonymous clients do everything.
            (None, _) => self.settings().dev,
            (Some(identity), Right::Join) => identity.may_join(room),
            (Some(identity), Right::Publish) => identity.may_publish(room),
        }
    }

    fn native_join(&mut self, key: Key, event: Event<'_>, room: &str, turn: &mut Turn<'_>) {
        if !self.permits(key, event.namespace, room, Right::Join) {
            return self.refuse_event(key, event, Refusal::Forbidden, turn);
        }
        let asker = Asker {
            member: key,
            namespace: event.namespace.into(),
            id: event.id,
        };
        let attempt = self.rooms_mut().join(turn.now, turn.post, asker, room);
        self.attempted(key, event, attempt, turn);
    }

    fn native_leave(&mut self, key: Key, event: Event<'_>, room: &str, turn: &mut Turn<'_>) {
        if self.rooms_mut().leave(key, event.namespace, room) {
            self.acknowledge(key, event.namespace, event.id, "{\"ok\":true}", &[], turn);
        } else {
            self.refuse_event(key, event, Refusal::NotInRoom, turn);
        }
    }

    fn native_publish(
        &mut self,
        key: Key,
        event: Event<'_>,
        room: &str,
        data: &str,
        conflate: Option<&str>,
        turn: &mut Turn<'_>,
    ) {
        if !self.permits(key, event.namespace, room, Right::Publish) {
            return self.refuse_event(key, event, Refusal::Forbidden, turn);
        }
        let host = self.host();
        let from = self
            .session(key)
            .and_then(|session| session.namespace(event.namespace))
            .map(|namespace| {
                namespace.identity.as_ref().map_or_else(
                    || namespace.id.text(host),
                    |identity| identity.subject().to_owned(),
                )
            });
        let Some(from) = from else { return };
        let asker = Asker {
            member: key,
            namespace: event.namespace.into(),
            id: event.id,
        };
        let publish = Publish {
            event: RoomEvent::Message,
            is_limited: true,
            namespace: event.namespace,
            room,
            from: &from,
            data,
            attachments: event.attachments,
            key: conflate,
        };
        let attempt = self
            .rooms_mut()
            .publish(turn.now, turn.post, Some(asker), &publish);
        if matches!(attempt, Attempt::Done(_) | Attempt::Pending) {
            self.stats_mut().published += 1;
        }
        self.attempted(key, event, attempt, turn);
        self.settle_rooms(turn);
    }

    fn attempted(&mut self, key: Key, event: Event<'_>, attempt: Attempt, turn: &mut Turn<'_>) {
        match attempt {
            Attempt::Done(position) => self.answer(key, event.namespace, event.id, position, turn),
            Attempt::Pending => self.owes(key, event.id),
            Attempt::Full => self.park(key, Inbound::Event(Box::new(event.to_parked())), turn),
            Attempt::Refused(refusal) => self.refuse_event(key, event, refusal, turn),
        }
    }

    fn answer(
        &mut self,
        key: Key,
        namespace: &str,
        id: Option<u64>,
        position: Position,
        turn: &mut Turn<'_>,
    ) {
        let Position { epoch, offset } = position;
        let write = |out: &mut Vec<u8>| {
            // Writing into a Vec cannot fail.
            let _ = write!(out, "{{\"ok\":true,\"epoch\":{epoch},\"offset\":{offset}}}");
        };
        self.acknowledge_with(key, (namespace, id), &[], write, turn);
    }

    /// A room's home will answer.
    fn owes(&mut self, key: Key, id: Option<u64>) {
        if let Some(session) = self.session_mut(key).filter(|_| id.is_some()) {
            session.outbox.owe();
        }
    }

    /// A room's home has answered.
    fn answered(&mut self, asker: Asker, answer: Result<Position, Refusal>, turn: &mut Turn<'_>) {
        let (member, namespace) = (asker.member, &asker.namespace);
        if let Some(session) = self.session_mut(member).filter(|_| asker.id.is_some()) {
            session.outbox.settle();
        }
        match answer {
            Ok(position) => self.answer(member, namespace, asker.id, position, turn),
            Err(refusal) => self.refuse(member, namespace, asker.id, refusal, turn),
        }
    }

    /// Hands on what the rooms have for the sessions here.
    pub(crate) fn settle_rooms(&mut self, turn: &mut Turn<'_>) {
        for effect in self.rooms_mut().take_effects() {
            match effect {
                Effect::Answer(asker, answer) => self.answered(asker, answer, turn),
                Effect::Deliver(packet, members) => {
                    self.stats_mut().delivered += members.len() as u64;
                    for member in &*members {
                        self.push_to_member(*member, packet.clone(), turn);
                    }
                }
                Effect::LeftOut(refusal) => self.stats_mut().refused(refusal),
            }
        }
    }

    /// The result of a refresh event's verification. Another subject's token is refused: rooms were joined under the first one's rights.
    pub(crate) fn refreshed(
        &mut self,
        key: Key,
        name: &str,
        id: Option<u64>,
        result: Result<Identity, Refusal>,
        turn: &mut Turn<'_>,
    ) {
        let result = result.and_then(|identity| self.replace_identity(key, name, identity));
        match result {
            Ok(()) => self.acknowledge(key, name, id, "{\"ok\":true}", &[], turn),
            Err(refusal) => self.refuse(key, name, id, refusal, turn),
        }
        self.rearm(key, turn);
    }

    fn replace_identity(
        &mut self,
        key: Key,
        name: &str,
        identity: Identity,
    ) -> Result<(), Refusal> {
        let session = self.session_mut(key);
        let namespace = session.and_then(|session: &mut Session| session.namespaces.find_mut(name));
        let Some(namespace) = namespace else {
            return Err(Refusal::BadNamespace);
        };
        if namespace
            .identity
            .as_ref()
            .is_some_and(|old| old.subject() != identity.subject())
        {
            return Err(Refusal::TokenClaims);
        }
        namespace.identity = Some(identity);
        Ok(())
    }
}
