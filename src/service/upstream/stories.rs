//! What a worker has not been sent yet of what became of its sockets: of what waits only the outcome counts.
//!
//! Names are shared by all sockets that one MOVE has moved, and looked at as little as can be: a worker that is busy for a moment has many sockets, and others
//! may move them often. Deliberately absent: how much of that may wait (`moved`).

use super::deal::Waiting;
use ringway_proto::link::{Flags, Frame, Movement};
use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, VecDeque};
use std::rc::Rc;

/// A MOVED that waits.
#[derive(Debug)]
pub(super) struct Story {
    nsp: Rc<str>,
    sid: Box<str>,
    known: u32,
    what: Movement,
    /// Each with its place among them, as applications see rooms in the order in which they were joined.
    places: BTreeMap<Rc<str>, u32>,
    named: u32,
    /// Of the frame's body.
    bytes: usize,
}

/// What a name takes in a body.
const fn name_bytes(name: &str) -> usize {
    2 + name.len()
}

impl Story {
    pub(super) fn new(
        nsp: Rc<str>,
        (sid, known): (&str, u32),
        what: Movement,
        places: impl Iterator<Item = Rc<str>>,
    ) -> Self {
        let numbers = size_of::<u32>() + size_of::<u8>() + size_of::<u16>();
        let bytes = name_bytes(&nsp) + name_bytes(sid) + numbers;
        let mut story = Self {
            nsp,
            sid: sid.into(),
            known,
            what,
            places: BTreeMap::new(),
            named: 0,
            bytes,
        };
        story.add(places);
        story
    }

    pub(super) const fn body_bytes(&self) -> usize {
        self.bytes
    }

    /// The namespace that the socket leaves while its connection stays.
    pub(super) fn ends(&self) -> Option<&Rc<str>> {
        (self.what == Movement::Disconnect).then_some(&self.nsp)
    }

    pub(super) fn sid(&self) -> &str {
        &self.sid
    }

    pub(super) fn encode_into(&self, conn: u64, out: &mut Vec<u8>) {
        let mut places: Vec<(&Rc<str>, &u32)> = self.places.iter().collect();
        places.sort_unstable_by_key(|(_, at)| **at);
        let frame = Frame::Moved {
            nsp: &self.nsp,
            sid: &self.sid,
            known: self.known,
            what: self.what,
            places: places.into_iter().map(|(place, _)| &**place).collect(),
        };
        frame.encode_into(conn, Flags::NONE, out);
    }

    /// What takes it back, if anything does.
    const fn opposite(&self) -> Option<Movement> {
        match self.what {
            Movement::Join => Some(Movement::Leave),
            Movement::Leave => Some(Movement::Join),
            Movement::Disconnect | Movement::Close => None,
        }
    }

    /// Whether it is of the same socket, and behind the same word of its worker's.
    fn is_beside(&self, other: &Self) -> bool {
        self.known == other.known && self.sid == other.sid && self.nsp == other.nsp
    }

    fn add(&mut self, places: impl Iterator<Item = Rc<str>>) {
        for place in places {
            let bytes = name_bytes(&place);
            let at = self.named;
            if let Entry::Vacant(entry) = self.places.entry(place) {
                entry.insert(at);
                self.named += 1;
                self.bytes += bytes;
            }
        }
    }

    /// In their order.
    fn into_places(self) -> impl Iterator<Item = Rc<str>> {
        let mut places: Vec<(Rc<str>, u32)> = self.places.into_iter().collect();
        places.sort_unstable_by_key(|(_, at)| *at);
        places.into_iter().map(|(place, _)| place)
    }

    fn remove(&mut self, places: &[Rc<str>]) {
        let removed = places.iter().filter_map(|it| self.places.remove_entry(it));
        self.bytes -= removed.map(|(place, _)| name_bytes(&place)).sum::<usize>();
    }
}

/// Makes one story of what waits for a worker that a socket has joined and left, and of what it does next: of a room that it has left and is in again, or
/// the other way round, there is nothing to say. Gives what is a story of its own.
pub(super) fn merge(queue: &mut VecDeque<Waiting>, mut next: Story) -> Option<Story> {
    let Some(opposite) = next.opposite() else {
        return Some(next);
    };
    if let Some(at) = find(queue, &next, opposite) {
        cancel(queue, at, &mut next);
    }
    if next.places.is_empty() {
        return None;
    }
    let Some(at) = find(queue, &next, next.what) else {
        return Some(next);
    };
    let same = queue[at].story.as_mut().expect("it was found as one");
    same.add(next.into_places());
    None
}

/// Takes out of the story at `at`, and out of the next one, what both name.
fn cancel(queue: &mut VecDeque<Waiting>, at: usize, next: &mut Story) {
    let other = queue[at].story.as_mut().expect("it was found as one");
    let both = next.places.keys();
    let both = both.filter(|place| other.places.contains_key(*place));
    let both: Vec<Rc<str>> = both.cloned().collect();
    next.remove(&both);
    other.remove(&both);
    if other.places.is_empty() {
        queue.remove(at);
    }
}

/// Where what waits of the same socket, and joins or leaves.
fn find(queue: &VecDeque<Waiting>, next: &Story, what: Movement) -> Option<usize> {
    queue.iter().position(|frame| {
        let story = frame.story.as_deref();
        story.is_some_and(|story| story.what == what && story.is_beside(next))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_story_knows_how_long_it_is() {
        let places = |names: &'static str| names.split(' ').map(Rc::from);
        let told = |story: &Story| {
            let mut out = Vec::new();
            story.encode_into(7, &mut out);
            out.len() - ringway_proto::link::HEADER_BYTES
        };
        let mut story = Story::new("/".into(), ("s", 1), Movement::Join, places("a bb a"));
        assert_eq!(story.body_bytes(), told(&story));
        let mut queue = VecDeque::from([Waiting::moved(story)]);
        story = Story::new("/".into(), ("s", 1), Movement::Join, places("bb ccc"));
        assert!(merge(&mut queue, story).is_none());
        let merged = queue[0].story.as_ref().unwrap();
        assert_eq!(
            (merged.body_bytes(), merged.places.len()),
            (told(merged), 3)
        );
        story = Story::new("/".into(), ("s", 1), Movement::Leave, places("bb d"));
        let rest = merge(&mut queue, story).unwrap();
        let merged = queue[0].story.as_ref().unwrap();
        assert_eq!(
            (merged.body_bytes(), rest.body_bytes()),
            (told(merged), told(&rest))
        );
        assert_eq!((merged.places.len(), rest.places.len()), (2, 1));
    }
}
