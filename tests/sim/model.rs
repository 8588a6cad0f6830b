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

/// What conflating replaces by: a message by a newer one of its key.
pub(crate) type Keyed = BTreeMap<String, Seen>;

/// A message as its publisher sent it.
struct Published {
    room: String,
    key: Option<String>,
    /// Its publisher was told that it sends too fast: nobody may ever see it.
    was_refused: bool,
}

/// Everything that anybody was told about the order of any room.
#[derive(Default)]
pub(crate) struct Model {
    /// No queue of this seed is ever full: only conflating may take a message from a member.
    pub(crate) is_roomy: bool,
    /// Rates are so low that some of what clients ask is refused.
    pub(crate) is_throttled: bool,
    payloads: BTreeMap<(String, u64, u64), String>,
    places: HashMap<String, Place>,
    published: HashMap<String, Published>,
    /// The newest number that anybody was told, by room and epoch.
    last: BTreeMap<(String, u64), u64>,
    /// The epoch that anybody was told last.
    epochs: BTreeMap<String, u64>,
    last_of_keys: BTreeMap<String, Keyed>,
    pub(crate) deliveries: u64,
    pub(crate) acks: u64,
    pub(crate) gaps: u64,
    pub(crate) refused: u64,
}

impl Model {
    pub(crate) fn new(is_roomy: bool, is_throttled: bool) -> Self {
        Self {
            is_roomy,
            is_throttled,
            ..Self::default()
        }
    }

    /// A client is about to publish.
    pub(crate) fn publishes(&mut self, room: &str, key: Option<&str>, payload: &str) {
        let published = Published {
            room: room.to_owned(),
            key: key.map(str::to_owned),
            was_refused: false,
        };
        let before = self.published.insert(payload.to_owned(), published);
        assert!(before.is_none(), "each payload is published once");
    }

    /// The publisher was told that it sends too fast.
    pub(crate) fn refuses(&mut self, payload: &str) {
        let place = self.places.get(payload);
        assert!(place.is_none(), "{payload} was refused and is at {place:?}");
        let published = self.published.get_mut(payload);
        published.expect("a message of this client").was_refused = true;
    }

    pub(crate) fn key_of(&self, payload: &str) -> Option<&str> {
        self.published.get(payload)?.key.as_deref()
    }

    /// Somebody was told that `payload` has this number. A payload has one number, a number one payload.
    pub(crate) fn numbered(&mut self, room: &str, at: Seen, payload: &str) {
        let published = self.published.get(payload);
        assert_eq!(
            published.map(|published| published.room.as_str()),
            Some(room),
            "{payload} was published to this room"
        );
        assert!(
            published.is_some_and(|published| !published.was_refused),
            "{payload} was refused"
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
        let last = self.last.entry((room.to_owned(), epoch)).or_default();
        *last = offset.max(*last);
        self.epochs.insert(room.to_owned(), epoch);
        if let Some(key) = published.and_then(|published| published.key.clone()) {
            let keys = self.last_of_keys.entry(room.to_owned()).or_default();
            advance(keys.entry(key).or_insert(at), at);
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
        let is_complete = match policy_of(room) {
            Policy::Disconnect => true,
            Policy::DropOldest => self.is_roomy,
            Policy::Conflate => false,
        };
        if is_complete {
            assert_eq!(gap, 0, "{room}: a message is missing before {}", at.offset);
        }
        self.gaps += gap;
        *seen = at;
    }

    /// Nothing moves any more: a member that is still connected has seen the last message of the epoch that it is in.
    pub(crate) fn is_complete(&self, room: &str, seen: Seen, who: usize) {
        let last = self.last.get(&(room.to_owned(), seen.epoch));
        assert!(
            last.is_none_or(|last| seen.offset >= *last),
            "client {who} saw {room} only up to {} of {last:?}",
            seen.offset
        );
    }

    /// A message was published that nothing came after: a room has one epoch for all who are in it, and its members have the message.
    pub(crate) fn has_last_word(&self, room: &str, seen: Seen, who: usize) {
        assert_eq!(
            Some(&seen.epoch),
            self.epochs.get(room),
            "client {who} is in another {room} than the last publisher"
        );
        self.is_complete(room, seen, who);
    }

    /// Nothing moves any more: of each key the member has the newest message since it joined, whatever else was taken from it. A full queue takes
    /// without looking at keys, so that only roomy seeds can tell.
    pub(crate) fn is_conflated_by_key(&self, room: &str, since: Seen, had: &Keyed, who: usize) {
        if !self.is_roomy {
            return;
        }
        for (key, last) in self.last_of_keys.get(room).into_iter().flatten() {
            let is_of_this_stay = last.epoch == since.epoch && last.offset > since.offset;
            assert!(
                !is_of_this_stay || had.get(key) == Some(last),
                "client {who} has {:?} of {room} {key}, whose newest is {last:?}",
                had.get(key)
            );
        }
    }
}

/// The later of two places in a room; an epoch that was told last is the later one.
fn advance(last: &mut Seen, at: Seen) {
    if last.epoch != at.epoch || last.offset < at.offset {
        *last = at;
    }
}
