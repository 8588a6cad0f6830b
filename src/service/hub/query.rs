//! What operators ask, and their messages.
//!
//! Deliberately absent: HTTP, and putting the shards' answers together.

use super::{Hub, Output, Turn};
use crate::post::Post;
use crate::rooms::{Attempt, ListedRoom, Publish, RoomEvent};
use crate::session::Session;
use crate::time::Now;
use serde::Serialize;

/// A question to one shard.
#[derive(Clone, Debug)]
pub enum Query {
    /// Sessions in the order of their slots.
    Connections {
        /// The first slot.
        from: u32,
        /// How many at most.
        limit: usize,
    },
    /// Rooms in the order of namespace and name.
    Rooms {
        /// Only those behind this namespace and name.
        after: Option<(String, String)>,
        /// How many at most.
        limit: usize,
    },
    /// One room.
    Room {
        /// Its namespace.
        namespace: String,
        /// Its name.
        room: String,
    },
}

/// One shard's answer.
#[derive(Clone, Debug)]
pub enum Answer {
    /// To [`Query::Connections`].
    Connections(Vec<ConnectionRow>),
    /// To [`Query::Rooms`] and [`Query::Room`].
    Rooms(Vec<RoomRow>),
}

/// A session.
#[derive(Clone, Debug, Serialize)]
pub struct ConnectionRow {
    /// Its Engine.IO id, shortened: the whole one is a secret of its client.
    pub id: String,
    /// The shard that owns it.
    pub shard: u16,
    /// Its place there.
    #[serde(skip)]
    pub slot: u32,
    /// The client's address.
    pub address: String,
    /// `polling` or `websocket`.
    pub transport: &'static str,
    /// Whom its tokens name.
    pub subjects: Vec<String>,
    /// Namespaces.
    pub namespaces: Vec<String>,
    /// Rooms.
    pub rooms: Vec<String>,
    /// Packets that wait for it.
    pub queued_packets: usize,
    /// Their bytes.
    pub queued_bytes: usize,
}

/// A room, as one shard knows it.
#[derive(Clone, Debug, Serialize)]
pub struct RoomRow {
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub room: String,
    /// Members on this shard.
    pub members: usize,
    /// Its epoch, from its home.
    pub epoch: Option<u64>,
    /// Its last number, from its home.
    pub offset: Option<u64>,
}

/// What became of an operator's message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PublishOutcome {
    /// Numbered.
    Done {
        /// The room's epoch.
        epoch: u64,
        /// Its number.
        offset: u64,
    },
    /// No ring space, or too many rooms: try again.
    Busy,
}

fn row_of((namespace, room, members, position): ListedRoom<'_>) -> RoomRow {
    RoomRow {
        namespace: namespace.to_owned(),
        room: room.to_owned(),
        members,
        epoch: position.map(|position| position.epoch),
        offset: position.map(|position| position.offset),
    }
}

impl Hub {
    /// Answers a question.
    #[must_use]
    pub fn query(&self, query: &Query) -> Answer {
        match query {
            Query::Connections { from, limit } => {
                let keys = self.sessions.keys_from(*from).take(*limit);
                let rows = keys.filter_map(|key| Some(self.row(key, self.sessions.get(key)?)));
                Answer::Connections(rows.collect())
            }
            Query::Rooms { after, limit } => Answer::Rooms(self.room_page(after.as_ref(), *limit)),
            Query::Room { namespace, room } => {
                let found = self.rooms.find(namespace, room);
                Answer::Rooms(found.into_iter().map(row_of).collect())
            }
        }
    }

    /// The first rooms behind a place. Those of all shards together hold the first of all, whole.
    fn room_page(&self, after: Option<&(String, String)>, limit: usize) -> Vec<RoomRow> {
        let after = after.map(|(namespace, room)| (namespace.as_str(), room.as_str()));
        let behind = |room: &ListedRoom<'_>| after.is_none_or(|after| (room.0, room.1) > after);
        let mut rooms: Vec<_> = self.rooms.list().filter(behind).collect();
        let by_name = |a: &ListedRoom<'_>, b: &ListedRoom<'_>| (a.0, a.1).cmp(&(b.0, b.1));
        if rooms.len() > limit {
            rooms.select_nth_unstable_by(limit, by_name);
            rooms.truncate(limit);
        }
        rooms.sort_unstable_by(by_name);
        rooms.into_iter().map(row_of).collect()
    }

    /// How many rooms are known here.
    #[cfg(test)]
    pub(crate) fn room_count(&self) -> usize {
        self.rooms.list().count()
    }

    /// Looks through the books: what they say of all sessions and connections together is what these hold, and nobody holds more than it may.
    ///
    /// # Panics
    /// When not: a bug of ours.
    pub fn audit(&self) {
        let bounds = self.settings.outbox_bounds();
        let (mut queued, mut input) = (self.files.queued_bytes(), 0);
        let mut given = queued;
        for session in self
            .sessions
            .keys()
            .filter_map(|key| self.sessions.get(key))
        {
            let outbox = &session.outbox;
            queued += outbox.bytes() as u64;
            input += session.rare().input_bytes();
            assert!(outbox.len() <= bounds.packets_max, "packets in a queue");
            assert!(
                outbox.bytes() <= bounds.bytes_max || outbox.len() == 1,
                "bytes in a queue"
            );
        }
        for key in self.connections.keys() {
            let Some(connection) = self.connections.get(key) else {
                continue;
            };
            input += u64::from(connection.busy().counted_bytes);
            queued += connection.answer_bytes();
            given += connection.given_bytes();
        }
        assert_eq!(queued, self.queued_bytes, "bytes in all queues");
        assert_eq!(given, self.given_bytes, "bytes of answers");
        assert_eq!(input, self.input_bytes, "bytes of input");
        self.audit_uploads();
        assert_eq!(self.by_sid.len(), self.sessions.len(), "names of sessions");
        if let Some(exchange) = &self.upstream.exchange {
            exchange.audit();
        }
    }

    /// What is left of clients and their workers, by its name: nothing when all clients are gone and have been said to be.
    #[must_use]
    pub fn leftovers(&self) -> Vec<(&'static str, usize)> {
        let all = self.upstream.leftovers().into_iter();
        let all = all.chain(self.files.leftovers());
        all.filter(|(_, count)| *count > 0).collect()
    }

    /// The rooms of a socket of a worker's, by its id; `None` when it is not here.
    #[must_use]
    pub fn rooms_at_worker(&self, namespace: &str, sid: &str) -> Option<Vec<String>> {
        self.upstream.clients.rooms_of(namespace, sid)
    }

    fn row(&self, key: super::Key, session: &Session) -> ConnectionRow {
        let subject = |(_, namespace): (&str, &crate::session::Namespace)| {
            Some(namespace.identity.as_ref()?.subject().to_owned())
        };
        ConnectionRow {
            id: session.sid.text().chars().take(8).collect(),
            shard: self.shard,
            slot: key.slot,
            address: self.address_of(session).to_string(),
            transport: session.transport.name(),
            subjects: session.namespaces.iter().filter_map(subject).collect(),
            namespaces: session
                .namespaces
                .iter()
                .map(|(name, _)| name.to_owned())
                .collect(),
            rooms: self.rooms.rooms_of(key),
            queued_packets: session.outbox.len(),
            queued_bytes: session.outbox.bytes(),
        }
    }

    /// Numbers and delivers an operator's message; to be asked of the room's home ([`crate::rooms::home_shard`]).
    pub fn publish_from_admin(
        &mut self,
        now: Now,
        (namespace, room, data): (&str, &str, &str),
        post: &mut dyn Post,
        out: &mut Vec<Output>,
    ) -> PublishOutcome {
        let mut turn = Turn {
            now,
            post,
            entropy: &mut || 0,
            out,
        };
        let publish = Publish {
            event: RoomEvent::Message,
            is_limited: false,
            namespace,
            room,
            from: "server",
            data,
            attachments: &[],
            key: None,
        };
        let attempt = self.rooms.publish(now, turn.post, None, &publish);
        self.settle_rooms(&mut turn);
        match attempt {
            Attempt::Done(position) => PublishOutcome::Done {
                epoch: position.epoch,
                offset: position.offset,
            },
            Attempt::Pending | Attempt::Full | Attempt::Refused(_) => PublishOutcome::Busy,
        }
    }
}
