//! The rooms that have members on this shard, and who is in which: entering, leaving and asking take the same time however large a room is.
//!
//! Deliberately absent: homes, and what is to be told to whom.

use super::Name;
use super::local::Local;
use crate::hub::slab::reserved;
use crate::hub::{Key, Seed};
use std::collections::HashMap;
use std::rc::Rc;

/// A room's place in the table, for as long as it is there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct RoomId(u32);

/// A member that waits for the home's answer has no place among the members yet.
const NOWHERE: u32 = u32::MAX;

/// No room.
const NO_ROOM: RoomId = RoomId(u32::MAX);

/// One room of a session.
#[derive(Clone, Copy, Debug)]
struct Stay {
    room: RoomId,
    /// The session's index among the room's members.
    place: u32,
}

impl Stay {
    const NONE: Self = Self {
        room: NO_ROOM,
        place: NOWHERE,
    };

    fn is_one(&self) -> bool {
        self.room != NO_ROOM
    }
}

/// Rooms of a session that have a place of their own for each session.
type First = [Stay; 2];

/// The table.
pub(super) struct Locals {
    ids: HashMap<Name, RoomId, Seed>,
    rooms: Vec<Option<Box<Local>>>,
    free: Vec<RoomId>,
    /// By the session's slot. A session leaves all rooms before its slot is given to another.
    stays: Vec<First>,
    /// The rest of those whose places there are all taken.
    more: HashMap<u32, Vec<Stay>, Seed>,
}

impl Locals {
    /// Room for the rooms of `members_max` sessions: memory that nobody has touched costs nothing.
    pub(super) fn new(seed: Seed, members_max: u32) -> Self {
        Self {
            ids: HashMap::with_hasher(seed),
            rooms: Vec::new(),
            free: Vec::new(),
            stays: Vec::with_capacity(reserved(members_max)),
            more: HashMap::with_hasher(seed),
        }
    }

    pub(super) fn len(&self) -> usize {
        self.ids.len()
    }

    pub(super) fn find(&self, name: &str) -> Option<RoomId> {
        self.ids.get(name).copied()
    }

    /// # Panics
    /// When the room was removed.
    pub(super) fn room(&self, id: RoomId) -> &Local {
        let room = self.rooms[id.0 as usize].as_deref();
        room.expect("a room that is there")
    }

    /// # Panics
    /// When the room was removed.
    pub(super) fn room_mut(&mut self, id: RoomId) -> &mut Local {
        let room = self.rooms[id.0 as usize].as_deref_mut();
        room.expect("a room that is there")
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &Local> {
        self.ids.values().map(|id| self.room(*id))
    }

    pub(super) fn insert(&mut self, local: Local) -> RoomId {
        let id = self.free.pop().unwrap_or_else(|| {
            self.rooms.push(None);
            RoomId((self.rooms.len() - 1) as u32)
        });
        let before = self.ids.insert(local.name.clone(), id);
        assert!(before.is_none(), "a room is there once");
        self.rooms[id.0 as usize] = Some(Box::new(local));
        id
    }

    /// Removes a room that has no members.
    pub(super) fn remove(&mut self, id: RoomId) -> Box<Local> {
        let local = self.rooms[id.0 as usize].take();
        let local = local.expect("a room that is there");
        assert!(local.members.is_empty(), "members would be in no room");
        self.ids.remove(&local.name);
        self.free.push(id);
        local
    }

    /// The rooms of a session, those included that it waits for.
    pub(super) fn rooms_of(&self, member: Key) -> impl Iterator<Item = RoomId> {
        let first = self.stays.get(member.slot as usize).copied();
        let first = first.unwrap_or([Stay::NONE; 2]);
        let more = first[1].is_one().then(|| self.more.get(&member.slot));
        let more = more.flatten().map_or(&[][..], |more| more);
        let first = first.into_iter().filter(Stay::is_one);
        first.chain(more.iter().copied()).map(|stay| stay.room)
    }

    pub(super) fn has(&self, member: Key, id: RoomId) -> bool {
        self.rooms_of(member).any(|room| room == id)
    }

    /// Writes a room down for a session, which is no member yet.
    pub(super) fn expect(&mut self, member: Key, id: RoomId) {
        let slot = member.slot as usize;
        if self.stays.len() <= slot {
            self.stays.resize(slot + 1, [Stay::NONE; 2]);
        }
        if self.stay(member.slot, id).is_some() {
            return;
        }
        let stay = Stay {
            room: id,
            place: NOWHERE,
        };
        let mut first = self.stays[slot].iter_mut();
        match first.find(|stay| !stay.is_one()) {
            Some(free) => *free = stay,
            None => self.more.entry(member.slot).or_default().push(stay),
        }
    }

    /// Makes a session a member, if it is none.
    pub(super) fn enter(&mut self, member: Key, id: RoomId) {
        self.expect(member, id);
        let place = self.room(id).members.len() as u32;
        let stay = self.stay(member.slot, id);
        let stay = stay.expect("it was just written down");
        if stay.place == NOWHERE {
            stay.place = place;
            Rc::make_mut(&mut self.room_mut(id).members).push(member.slot);
        }
    }

    /// Takes a session out of a room; whether it was in, or waited for it.
    pub(super) fn leave(&mut self, member: Key, id: RoomId) -> bool {
        let Some(stay) = self.stay(member.slot, id) else {
            return false;
        };
        let place = core::mem::replace(stay, Stay::NONE).place;
        self.fill_up(member.slot);
        if place != NOWHERE {
            self.vacate(id, place);
        }
        true
    }

    /// One of the rest takes the place that is free among the first.
    fn fill_up(&mut self, slot: u32) {
        if let Some(more) = self.more.get_mut(&slot) {
            let mut first = self.stays[slot as usize].iter_mut();
            match first.find(|stay| !stay.is_one()) {
                Some(free) => *free = more.pop().expect("a rest is not empty"),
                None => more.retain(Stay::is_one),
            }
            if more.is_empty() {
                self.more.remove(&slot);
            }
        }
    }

    /// The last member takes the place that is free.
    fn vacate(&mut self, id: RoomId, place: u32) {
        let members = Rc::make_mut(&mut self.room_mut(id).members);
        members.swap_remove(place as usize);
        if let Some(moved) = members.get(place as usize).copied() {
            let stay = self.stay(moved, id);
            stay.expect("a member's rooms are written down").place = place;
        }
    }

    fn stay(&mut self, slot: u32, id: RoomId) -> Option<&mut Stay> {
        let first = self.stays.get_mut(slot as usize)?;
        if let Some(at) = first.iter().position(|stay| stay.room == id) {
            return Some(&mut first[at]);
        }
        let more = first[1].is_one().then(|| self.more.get_mut(&slot));
        let mut more = more.flatten()?.iter_mut();
        more.find(|stay| stay.room == id)
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Position, SlowConsumerPolicy};
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeSet;

    const fn key(slot: u32) -> Key {
        Key {
            slot,
            generation: 0,
        }
    }

    fn room(name: &str) -> Local {
        let position = Position {
            epoch: 1,
            offset: 0,
        };
        Local::known(name.into(), SlowConsumerPolicy::Disconnect, position)
    }

    fn members(locals: &Locals, id: RoomId) -> BTreeSet<u32> {
        let members = &locals.room(id).members;
        let set: BTreeSet<u32> = members.iter().copied().collect();
        assert_eq!(set.len(), members.len(), "each once");
        set
    }

    #[test]
    fn a_room_that_is_asked_for_has_no_member_yet() {
        let mut locals = Locals::new(Seed::fixed(), 8);
        let id = locals.insert(room("a"));
        locals.expect(key(3), id);
        assert!(locals.has(key(3), id) && members(&locals, id).is_empty());
        locals.enter(key(3), id);
        locals.enter(key(3), id);
        assert_eq!(members(&locals, id), [3].into());
        assert!(locals.leave(key(3), id) && !locals.leave(key(3), id));
        assert_eq!(locals.remove(id).members.len(), 0);
        assert_eq!((locals.find("a"), locals.len()), (None, 0));
    }

    proptest! {
        /// A step enters or leaves; five rooms, eight sessions.
        #[test]
        fn memberships_are_those_of_sets(steps in proptest::collection::vec((any::<bool>(), 0_usize..5, 0_u32..8), 0..200)) {
            let mut locals = Locals::new(Seed::fixed(), 8);
            let ids = ["a", "b", "c", "d", "e"].map(|name| locals.insert(room(name)));
            let mut sets = [const { BTreeSet::new() }; 5];
            for (enters, index, slot) in steps {
                if enters {
                    locals.enter(key(slot), ids[index]);
                    sets[index].insert(slot);
                } else {
                    prop_assert_eq!(locals.leave(key(slot), ids[index]), sets[index].remove(&slot));
                }
                for (id, set) in ids.iter().zip(&sets) {
                    prop_assert_eq!(&members(&locals, *id), set);
                }
                prop_assert_eq!(locals.rooms_of(key(slot)).count(), sets.iter().filter(|set| set.contains(&slot)).count());
            }
        }
    }
}
