//! Native namespaces: the events that the daemon answers itself.
//!
//! Deliberately absent: numbering and fan-out (`rooms`), and reading the events (`command`).

mod command;

pub use command::{Command, KEY_BYTES_MAX, ROOM_BYTES_MAX};

use crate::auth::Identity;
use crate::hub::{Hub, Key, Turn};
use crate::packet::Packet;
use crate::refusal::Refusal;
use crate::rooms::{Ask, Message};
use crate::session::{Event, Inbound};
use ringway_proto::socketio;

impl Hub {
    /// Carries out an event of a namespace that the session has joined, or parks it until there is ring space.
    pub(crate) fn native(&mut self, key: Key, event: Event, turn: &mut Turn<'_>) {
        let command = match Command::parse(&event.data, event.attachments.len() as u16) {
            Ok(command) => command,
            Err(refusal) => {
                self.refuse_event(key, &event, refusal, turn);
                return;
            }
        };
        if let Err(refusal) = self.permit(key, &event.namespace, &command) {
            self.refuse_event(key, &event, refusal, turn);
            return;
        }
        let done = match command {
            Command::Join { room } => self.join(key, &event, &room, turn),
            Command::Leave { room } => self.leave(key, &event, &room, turn),
            Command::Publish { room, data, key: _ } => self.publish(key, &event, &room, data, turn),
            Command::Echo { data } => self.echo(key, &event, data, turn),
            Command::Refresh { token } => self.refresh(key, &event, &token, turn),
            Command::Info => self.info(key, &event, turn),
        };
        if !done {
            self.park(key, Inbound::Event(Box::new(event)), turn);
        }
        self.settle_rooms(turn);
    }

    fn identity(&self, key: Key, namespace: &str) -> Option<&Identity> {
        self.sessions
            .get(key)?
            .namespace(namespace)?
            .1
            .identity
            .as_deref()
    }

    fn permit(&self, key: Key, namespace: &str, command: &Command<'_>) -> Result<(), Refusal> {
        // Anonymous clients exist with `--dev` alone, where everything is permitted to them.
        let Some(identity) = self.identity(key, namespace) else {
            return Ok(());
        };
        let permitted = match command {
            Command::Join { room } => identity.may_join(room),
            Command::Publish { room, .. } => identity.may_publish(room),
            _ => true,
        };
        if permitted {
            Ok(())
        } else {
            Err(Refusal::NotPermitted)
        }
    }

    fn join(&mut self, key: Key, event: &Event, room: &str, turn: &mut Turn<'_>) -> bool {
        let rooms = self.rooms.rooms_of(key);
        let known = rooms
            .iter()
            .any(|(space, name)| *space == *event.namespace && name == room);
        if !known && rooms.len() >= usize::from(self.settings.session_rooms_max) {
            self.refuse_event(key, event, Refusal::TooManyRooms, turn);
            return true;
        }
        self.rooms
            .join(turn.now, ask(key, event, room, true), turn.post)
    }

    fn publish(
        &mut self,
        key: Key,
        event: &Event,
        room: &str,
        data: &str,
        turn: &mut Turn<'_>,
    ) -> bool {
        let from = self.sender(key, &event.namespace);
        let message = Message {
            from,
            data: data.to_owned(),
            attachments: event.attachments.clone(),
        };
        let sent = self
            .rooms
            .publish(turn.now, ask(key, event, room, false), message, turn.post);
        self.stats.published += u64::from(sent);
        sent
    }

    /// Who a message is from: the token's subject, or the socket's id.
    fn sender(&self, key: Key, namespace: &str) -> String {
        if let Some(identity) = self.identity(key, namespace) {
            return identity.subject.clone();
        }
        let namespace = self
            .sessions
            .get(key)
            .and_then(|session| session.namespace(namespace));
        namespace
            .map(|(_, namespace)| namespace.id.to_string())
            .unwrap_or_default()
    }

    fn leave(&mut self, key: Key, event: &Event, room: &str, turn: &mut Turn<'_>) -> bool {
        if self.rooms.leave(key, &event.namespace, room) {
            self.ack(key, &event.namespace, event.id, r#"{"ok":true}"#, turn);
        } else {
            self.refuse_event(key, event, Refusal::NotMember, turn);
        }
        true
    }

    fn echo(&mut self, key: Key, event: &Event, data: &str, turn: &mut Turn<'_>) -> bool {
        let Some(id) = event.id else { return true };
        let mut text = Vec::new();
        let value = format!(r#"{{"ok":true,"data":{data}}}"#);
        let count = event.attachments.len() as u16;
        socketio::event_into(
            &mut text,
            true,
            count,
            &event.namespace,
            Some(id),
            &[&value],
        );
        self.push_packet(key, Packet::socket(text, event.attachments.clone()), turn);
        true
    }

    fn refresh(&mut self, key: Key, event: &Event, token: &str, turn: &mut Turn<'_>) -> bool {
        self.verify(key, &event.namespace, token, Some(event.id), turn);
        true
    }

    /// The answer to a refresh: the same subject with a later expiry; the namespace keeps its rooms.
    pub(crate) fn refreshed(
        &mut self,
        key: Key,
        name: &str,
        id: Option<u64>,
        result: Result<Identity, Refusal>,
        turn: &mut Turn<'_>,
    ) {
        let subject = self
            .identity(key, name)
            .map(|identity| identity.subject.clone());
        let result = result.and_then(|identity| {
            let same = subject.is_none_or(|subject| subject == identity.subject);
            if same {
                Ok(identity)
            } else {
                Err(Refusal::TokenInvalid)
            }
        });
        let identity = match result {
            Ok(identity) => identity,
            Err(refusal) => {
                self.stats.refused(refusal);
                self.ack(key, name, id, &refusal_json(refusal), turn);
                return;
            }
        };
        let expires = identity
            .expires_unix_ms()
            .map_or_else(|| "null".to_owned(), |expires| expires.to_string());
        let Some(session) = self.sessions.get_mut(key) else {
            return;
        };
        if let Some(namespace) = session
            .namespaces
            .iter_mut()
            .find(|namespace| &*namespace.name == name)
        {
            namespace.identity = Some(Box::new(identity));
        }
        self.ack(
            key,
            name,
            id,
            &format!(r#"{{"ok":true,"expires":{expires}}}"#),
            turn,
        );
    }

    fn info(&mut self, key: Key, event: &Event, turn: &mut Turn<'_>) -> bool {
        let version = socketio::quoted(&self.settings.version);
        let (shard, shards) = (self.shard, self.shards);
        let value =
            format!(r#"{{"ok":true,"shard":{shard},"shards":{shards},"version":{version}}}"#);
        self.ack(key, &event.namespace, event.id, &value, turn);
        true
    }

    /// Answers an event; nothing if the client did not ask for an answer.
    pub(crate) fn ack(
        &mut self,
        key: Key,
        namespace: &str,
        id: Option<u64>,
        value: &str,
        turn: &mut Turn<'_>,
    ) {
        let Some(id) = id else { return };
        let mut text = Vec::new();
        socketio::event_into(&mut text, true, 0, namespace, Some(id), &[value]);
        self.push_packet(key, Packet::socket(text, Vec::new()), turn);
    }

    pub(crate) fn refuse_event(
        &mut self,
        key: Key,
        event: &Event,
        refusal: Refusal,
        turn: &mut Turn<'_>,
    ) {
        self.stats.refused(refusal);
        self.ack(
            key,
            &event.namespace,
            event.id,
            &refusal_json(refusal),
            turn,
        );
    }
}

fn refusal_json(refusal: Refusal) -> String {
    let (code, message) = (refusal.code(), socketio::quoted(refusal.message()));
    format!(r#"{{"ok":false,"code":"{code}","message":{message}}}"#)
}

fn ask(session: Key, event: &Event, room: &str, join: bool) -> Ask {
    Ask {
        session,
        namespace: event.namespace.clone(),
        ack: event.id,
        room: room.into(),
        join,
    }
}
