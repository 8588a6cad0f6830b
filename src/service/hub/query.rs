//! Questions of operators: sessions and rooms of this shard.
//!
//! Deliberately absent: joining the answers of several shards.

use super::{Hub, Output, Turn};
use crate::post::Post;
use crate::rooms::{Ask, Message};
use crate::session::{Session, Transport};
use crate::time::Now;
use serde::Serialize;

/// A question.
#[derive(Clone, Debug)]
pub enum Query {
    /// Sessions from a slot on, at most that many.
    Connections {
        /// The first slot.
        from: u32,
        /// Rows.
        rows_max: u32,
    },
    /// Rooms with members here, at most that many.
    Rooms {
        /// Rows.
        rows_max: u32,
    },
}

/// An answer.
#[derive(Clone, Debug, Serialize)]
#[serde(untagged)]
pub enum Answer {
    /// Sessions.
    Connections(Vec<ConnectionRow>),
    /// Rooms.
    Rooms(Vec<RoomRow>),
}

/// One session.
#[derive(Clone, Debug, Serialize)]
pub struct ConnectionRow {
    /// Where to go on: the next page begins above it.
    pub slot: u32,
    /// The session's id.
    pub sid: String,
    /// The first namespace's subject.
    pub subject: Option<String>,
    /// The client's address.
    pub address: String,
    /// `polling` or `websocket`.
    pub transport: &'static str,
    /// Namespaces.
    pub namespaces: Vec<String>,
    /// Rooms, with their namespaces.
    pub rooms: Vec<String>,
    /// Packets queued.
    pub queue_packets: usize,
    /// Bytes queued.
    pub queue_bytes: usize,
}

/// One room.
#[derive(Clone, Debug, Serialize)]
pub struct RoomRow {
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub room: String,
    /// Members on this shard.
    pub members: usize,
}

impl Hub {
    /// Publishes in the operator's name. `data` is JSON. `false`: no ring space, try again.
    #[expect(
        clippy::too_many_arguments,
        reason = "what every call of the loop brings, and a message"
    )]
    pub fn publish_from_admin(
        &mut self,
        now: Now,
        namespace: &str,
        room: &str,
        data: &str,
        post: &mut dyn Post,
        entropy: &mut dyn FnMut() -> u64,
        out: &mut Vec<Output>,
    ) -> bool {
        // Nobody waits for the answer: the key is of no session.
        let session = super::Key {
            slot: u32::MAX,
            generation: 0,
        };
        let ask = Ask {
            session,
            namespace: namespace.into(),
            ack: None,
            room: room.into(),
            join: false,
        };
        let message = Message {
            from: "admin".to_owned(),
            data: data.to_owned(),
            attachments: Vec::new(),
        };
        let mut turn = Turn {
            now,
            post,
            entropy,
            out,
        };
        let sent = self.rooms.publish(now, ask, message, turn.post);
        self.settle_rooms(&mut turn);
        sent
    }

    /// Answers an operator's question.
    #[must_use]
    pub fn query(&self, query: &Query) -> Answer {
        match query {
            Query::Connections { from, rows_max } => {
                let keys = self
                    .sessions
                    .keys()
                    .filter(|key| key.slot >= *from)
                    .take(*rows_max as usize);
                let rows = keys.filter_map(|key| Some((key, self.sessions.get(key)?)));
                Answer::Connections(rows.map(|(key, session)| self.row(key, session)).collect())
            }
            Query::Rooms { rows_max } => {
                let rooms = self.rooms.list().take(*rows_max as usize);
                let row = |(namespace, room, members): (&str, &str, usize)| RoomRow {
                    namespace: namespace.to_owned(),
                    room: room.to_owned(),
                    members,
                };
                Answer::Rooms(rooms.map(row).collect())
            }
        }
    }

    fn row(&self, key: super::Key, session: &Session) -> ConnectionRow {
        let identity = session
            .namespaces
            .iter()
            .find_map(|namespace| namespace.identity.as_ref());
        let rooms = self
            .rooms
            .rooms_of(key)
            .into_iter()
            .map(|(namespace, room)| format!("{namespace} {room}"));
        ConnectionRow {
            slot: key.slot,
            sid: session.sid.text(),
            subject: identity.map(|identity| identity.subject.clone()),
            address: session.address.to_string(),
            transport: if session.transport == Transport::WebSocket {
                "websocket"
            } else {
                "polling"
            },
            namespaces: session
                .namespaces
                .iter()
                .map(|namespace| namespace.name.to_string())
                .collect(),
            rooms: rooms.collect(),
            queue_packets: session.outbox.len(),
            queue_bytes: session.outbox.bytes(),
        }
    }
}
