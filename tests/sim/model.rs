//! The reference model: what design promises about rooms, judged from what clients see and nothing else.

use std::collections::{BTreeMap, HashMap};

/// What a slow member of a room must expect.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Policy {
    Disconnect,
    DropOldest,
    Conflate,
}

/// The rooms of every seed.
pub(crate) const ROOMS: [&str; 6] = [
    "plain:0", "plain:1", "plain:2", "oldest:0", "latest:0", "latest:1",
];

pub(crate) fn policy_of(room: &str) -> Policy {
    match room.split(':').next() {
        Some("oldest") => Policy::DropOldest,
        Some("latest") => Policy::Conflate,
        _ => Policy::Disconnect,
    }
}

/// Where a message stands.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Place {
    room: String,
    epoch: u64,
    offset: u64,
}

/// What a member has seen of its room.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Seen {
    pub(crate) epoch: u64,
    pub(crate) offset: u64,
}

/// Everything that anybody was told about the order of any room.
#[derive(Default)]
pub(crate) struct Model {
    payloads: BTreeMap<(String, u64, u64), String>,
    places: HashMap<String, Place>,
    published: HashMap<String, String>,
    last: BTreeMap<String, Seen>,
    pub(crate) deliveries: u64,
    pub(crate) acks: u64,
    pub(crate) gaps: u64,
}

impl Model {
    /// A client is about to publish.
    pub(crate) fn publishes(&mut self, room: &str, payload: &str) {
        let before = self.published.insert(payload.to_owned(), room.to_owned());
        assert!(before.is_none(), "each payload is published once");
    }

    /// Somebody was told that `payload` has this number. A payload has one number, a number one payload.
    pub(crate) fn numbered(&mut self, room: &str, at: Seen, payload: &str) {
        assert_eq!(
            self.published.get(payload).map(String::as_str),
            Some(room),
            "{payload} was published to this room"
        );
        assert!(at.offset > 0, "numbers begin with one");
        let Seen { epoch, offset } = at;
        let place = Place {
            room: room.to_owned(),
            epoch,
            offset,
        };
        let first = self
            .places
            .entry(payload.to_owned())
            .or_insert_with(|| place.clone());
        assert_eq!(*first, place, "{payload} has one number");
        let known = self
            .payloads
            .entry((room.to_owned(), epoch, offset))
            .or_insert_with(|| payload.to_owned());
        assert_eq!(known, payload, "{room} {offset} is one message");
        let last = self.last.entry(room.to_owned()).or_insert(at);
        if last.epoch != epoch || last.offset < offset {
            *last = at;
        }
    }

    /// A member got a message.
    pub(crate) fn delivered(&mut self, room: &str, seen: &mut Seen, at: Seen, payload: &str) {
        self.deliveries += 1;
        self.numbered(room, at, payload);
        assert_eq!(
            seen.epoch, at.epoch,
            "{room}: the epoch of the join's answer"
        );
        assert!(
            at.offset > seen.offset,
            "{room}: {} came after {}: out of order or twice",
            at.offset,
            seen.offset
        );
        let gap = at.offset - seen.offset - 1;
        if policy_of(room) == Policy::Disconnect {
            assert_eq!(gap, 0, "{room}: a message is missing before {}", at.offset);
        }
        self.gaps += gap;
        *seen = at;
    }

    /// Nothing moves any more: a member that is still connected has seen the room's last message.
    pub(crate) fn is_complete(&self, room: &str, seen: Seen, who: usize) {
        let Some(last) = self.last.get(room).filter(|last| last.epoch == seen.epoch) else {
            return;
        };
        assert!(
            seen.offset >= last.offset,
            "client {who} saw {room} only up to {} of {}",
            seen.offset,
            last.offset
        );
    }
}
