//! The rooms that have members on this shard, and who is in which: entering, leaving and asking take the same time however large a room is.
//!
//! Deliberately absent: homes, and what is to be told to whom.

use super::Name;
use super::local::Local;
use crate::hub::slab::reserved;
use crate::hub::{Key, Seed};
use smallvec::SmallVec;
use std::collections::HashMap;
use std::rc::Rc;

/// A room's place in the table, for as long as it is there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct RoomId(u32);

/// A member that waits for the home's answer has no place among the members yet.
const NOWHERE: u32 = u32::MAX;

/// One room of a session.
#[derive(Clone, Copy, Debug)]
struct Stay {
    room: RoomId,
    /// The session's index among the room's members.
    place: u32,
}

/// The table.
pub(super) struct Locals {
    ids: HashMap<Name, RoomId, Seed>,
    rooms: Vec<Option<Box<Local>>>,
    free: Vec<RoomId>,
    /// By the session's slot. A session leaves all rooms before its slot is given to another.
    stays: Vec<SmallVec<[Stay; 2]>>,
}

impl Locals {
    /// Room for the rooms of `members_max` sessions: memory that nobody has touched costs nothing.
    pub(super) fn new(seed: Seed, members_max: u32) -> Self {
        Self {
            ids: HashMap::with_hasher(seed),
            rooms: Vec::new(),
            free: Vec::new(),
            stays: Vec::with_capacity(reserved(members_max)),
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
    pub(super) fn rooms_of(&self, member: Key) -> impl ExactSizeIterator<Item = RoomId> {
        let stays = self.stays.get(member.slot as usize);
        let stays = stays.map_or(&[][..], |stays| stays);
        stays.iter().map(|stay| stay.room)
    }

    pub(super) fn has(&self, member: Key, id: RoomId) -> bool {
        self.rooms_of(member).any(|room| room == id)
    }

    /// Writes a room down for a session, which is no member yet.
    pub(super) fn expect(&mut self, member: Key, id: RoomId) {
        let slot = member.slot as usize;
        if self.stays.len() <= slot {
            self.stays.resize_with(slot + 1, SmallVec::new);
        }
        if self.stay(member, id).is_none() {
            self.stays[slot].push(Stay {
                room: id,
                place: NOWHERE,
            });
        }
    }

    /// Makes a session a member, if it is none.
    pub(super) fn enter(&mut self, member: Key, id: RoomId) {
        self.expect(member, id);
        let place = self.room(id).members.len() as u32;
        let stay = self.stay(member, id).expect("it was just written down");
        if stay.place == NOWHERE {
            stay.place = place;
            Rc::make_mut(&mut self.room_mut(id).members).push(member);
        }
    }

    /// Takes a session out of a room; whether it was in, or waited for it.
    pub(super) fn leave(&mut self, member: Key, id: RoomId) -> bool {
        let Some(stays) = self.stays.get_mut(member.slot as usize) else {
            return false;
        };
        let Some(index) = stays.iter().position(|stay| stay.room == id) else {
            return false;
        };
        let place = stays.swap_remove(index).place;
        if stays.is_empty() {
            // What many rooms took is given back.
            stays.shrink_to_fit();
        }
        if place != NOWHERE {
            self.vacate(id, place);
        }
        true
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

    fn stay(&mut self, member: Key, id: RoomId) -> Option<&mut Stay> {
        let stays = self.stays.get_mut(member.slot as usize)?;
        stays.iter_mut().find(|stay| stay.room == id)
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
        let set: BTreeSet<u32> = members.iter().map(|member| member.slot).collect();
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
        /// A step enters or leaves; three rooms, eight sessions.
        #[test]
        fn memberships_are_those_of_sets(steps in proptest::collection::vec((any::<bool>(), 0_usize..3, 0_u32..8), 0..200)) {
            let mut locals = Locals::new(Seed::fixed(), 8);
            let ids = ["a", "b", "c"].map(|name| locals.insert(room(name)));
            let mut sets = [const { BTreeSet::new() }; 3];
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
                prop_assert_eq!(locals.rooms_of(key(slot)).len(), sets.iter().filter(|set| set.contains(&slot)).count());
            }
        }
    }
}
