//! Messages between the rooms of different shards. They come from ourselves: what does not decode is our bug.

use super::{Position, SlowConsumerPolicy, parts};
use crate::packet::{Origin, Packet};
use crate::refusal::Refusal;
use ringway_proto::socketio;
use serde::{Deserialize, Serialize};

/// What members hear.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum RoomEvent {
    /// What somebody published.
    Message,
    /// An upload is whole.
    File,
    /// More of an upload has come.
    Progress,
}

impl RoomEvent {
    /// The event's name, as JSON.
    const fn quoted(self) -> &'static str {
        match self {
            Self::Message => "\"message\"",
            Self::File => "\"file\"",
            Self::Progress => "\"progress\"",
        }
    }
}

/// A client's message on its way.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Message<'a> {
    pub(super) event: RoomEvent,
    pub(super) name: &'a str,
    pub(super) from: &'a str,
    pub(super) data: &'a str,
    #[serde(borrow)]
    pub(super) attachments: Vec<&'a [u8]>,
    pub(super) key: Option<&'a str>,
    pub(super) unix_ms: u64,
}

/// What shards say to each other about rooms.
#[derive(Debug, Serialize, Deserialize)]
pub(super) enum Wire<'a> {
    Subscribe {
        name: &'a str,
    },
    Subscribed {
        name: &'a str,
        position: Result<Position, Refusal>,
    },
    Unsubscribe {
        name: &'a str,
    },
    Publish {
        token: u64,
        /// It counts against the room's rate.
        limited: bool,
        #[serde(borrow)]
        message: Message<'a>,
    },
    Published {
        token: u64,
        position: Result<Position, Refusal>,
    },
    Deliver {
        position: Position,
        #[serde(borrow)]
        message: Message<'a>,
    },
}

impl<'a> Wire<'a> {
    pub(super) fn encode(&self) -> Vec<u8> {
        postcard::to_stdvec(self).expect("these shapes always serialise")
    }

    pub(super) fn decode(bytes: &'a [u8]) -> Self {
        postcard::from_bytes(bytes).expect("messages between our own shards decode")
    }
}

impl Message<'_> {
    /// The event, as `message(room, data, meta)`.
    pub(super) fn packet(
        &self,
        position: Position,
        policy: SlowConsumerPolicy,
        received_us: u64,
    ) -> Packet {
        let (namespace, room) = parts(self.name);
        let Position { epoch, offset } = position;
        let from = socketio::quoted(self.from);
        let meta = format!(
            "{{\"from\":{from},\"epoch\":{epoch},\"offset\":{offset},\"ts\":{}}}",
            self.unix_ms
        );
        let mut text = Vec::with_capacity(self.data.len() + meta.len() + room.len() + 32);
        let values = [
            self.event.quoted(),
            &socketio::quoted(room),
            self.data,
            &meta,
        ];
        socketio::event_into(
            &mut text,
            false,
            self.attachments.len() as u16,
            namespace,
            None,
            &values,
        );
        let origin = Origin {
            room: self.name.into(),
            policy,
            key: self.key.map(Into::into),
            received_us,
        };
        Packet::new(&text, &self.attachments, Some(origin))
    }
}
