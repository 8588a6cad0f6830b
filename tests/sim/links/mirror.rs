//! What a worker knows of the rooms of one socket that others move, too: in the end the same as the daemon.

use ringway_proto::link::MOVED_UNKNOWN;
use std::collections::{BTreeMap, BTreeSet};

/// The rooms, and what the worker has said of them.
#[derive(Debug, Default)]
pub(crate) struct Mirror {
    rooms: BTreeSet<String>,
    /// JOINs and LEAVEs since it was described.
    said: u32,
    /// The last of them that named a room, and whether it only said again what the daemon had done.
    last: BTreeMap<String, (u32, bool)>,
}

impl Mirror {
    pub(crate) fn of(rooms: impl IntoIterator<Item = String>) -> Self {
        Self {
            rooms: rooms.into_iter().collect(),
            ..Self::default()
        }
    }

    pub(crate) fn rooms(&self) -> impl Iterator<Item = &String> {
        self.rooms.iter()
    }

    /// A JOIN or LEAVE names these.
    pub(crate) fn says(&mut self, rooms: &[&str]) {
        self.say(rooms, false);
    }

    fn say(&mut self, rooms: &[&str], is_echo: bool) {
        self.said += 1;
        for room in rooms {
            self.last.insert((*room).to_owned(), (self.said, is_echo));
        }
    }

    /// It joins a room in which it is not, or leaves it; whether it is in it now.
    pub(crate) fn turn(&mut self, room: &str) -> bool {
        self.says(&[room]);
        let is_in = !self.rooms.remove(room);
        if is_in {
            self.rooms.insert(room.to_owned());
        }
        is_in
    }

    /// Whether the worker has said something of that room which the daemon had not obeyed then: that counts.
    fn is_later(&self, known: u32, room: &str) -> bool {
        let last = self.last.get(room);
        last.is_some_and(|(frame, is_echo)| match known {
            MOVED_UNKNOWN => !is_echo,
            known => *frame > known,
        })
    }

    pub(crate) fn passes_over(&self, known: u32, places: &[&str]) -> bool {
        places.iter().any(|room| self.is_later(known, room))
    }

    /// It was moved by the daemon, which had obeyed so many frames. What has to be said again, as the daemon was told something else since.
    pub(crate) fn moved<'a>(
        &mut self,
        known: u32,
        joins: bool,
        places: &[&'a str],
    ) -> Vec<&'a str> {
        let places = places.iter().copied();
        let places: Vec<&str> = places.filter(|room| !self.is_later(known, room)).collect();
        for room in &places {
            match joins {
                true => drop(self.rooms.insert((*room).to_owned())),
                false => drop(self.rooms.remove(*room)),
            }
        }
        if known != MOVED_UNKNOWN || places.is_empty() {
            return Vec::new();
        }
        self.say(&places, true);
        places
    }
}
