//! The rooms: who is in each, and what waits to be written to them all at the end of the batch.

use crate::connections::Place;
use crate::frame;
use std::collections::HashMap;

/// A room that holds more than this is written to at once.
pub(crate) const JOINED_BYTES_MAX: usize = 64 * 1024;
/// A queue that is larger gives its memory back after use.
const QUEUE_BYTES_KEPT: usize = 4 * 1024;

#[derive(Default)]
pub(crate) struct Room {
    name: Box<[u8]>,
    pub(crate) members: Vec<Place>,
    /// Frames, one after the other, that every member shall get.
    queue: Vec<u8>,
}

#[derive(Default)]
pub(crate) struct Rooms {
    names: HashMap<Box<[u8]>, u32>,
    rooms: Vec<Room>,
    vacant: Vec<u32>,
    /// Rooms with something queued; one may stand here twice, or for nothing.
    dirty: Vec<u32>,
    joined_bytes_max: usize,
}

impl Rooms {
    /// Rooms that hold at most so much until the end of the batch; with 0 nothing waits for others.
    pub(crate) fn new(joined_bytes_max: usize) -> Self {
        Self {
            joined_bytes_max,
            ..Self::default()
        }
    }

    pub(crate) fn open(&mut self, name: &[u8]) -> u32 {
        if let Some(&room) = self.names.get(name) {
            return room;
        }
        let room = self.vacant.pop().unwrap_or_else(|| {
            self.rooms.push(Room::default());
            (self.rooms.len() - 1) as u32
        });
        self.rooms[room as usize].name = name.into();
        self.names.insert(name.into(), room);
        room
    }

    pub(crate) fn get(&self, room: u32) -> &Room {
        &self.rooms[room as usize]
    }

    /// Adds a member and returns where it stands.
    pub(crate) fn enter(&mut self, room: u32, member: Place) -> u32 {
        let members = &mut self.rooms[room as usize].members;
        members.push(member);
        (members.len() - 1) as u32
    }

    /// Removes the member at `index` and returns who stands there now, if anybody.
    pub(crate) fn leave(&mut self, room: u32, index: u32) -> Option<Place> {
        let left = &mut self.rooms[room as usize];
        left.members.swap_remove(index as usize);
        if left.members.is_empty() {
            let left = std::mem::take(left);
            self.names.remove(&left.name);
            self.vacant.push(room);
            return None;
        }
        left.members.get(index as usize).copied()
    }

    /// Encodes a message once for all members; returns the room if it should be written to at once.
    pub(crate) fn publish(&mut self, name: &[u8], opcode: u8, payload: &[u8]) -> Option<u32> {
        let &room = self.names.get(name)?;
        let queue = &mut self.rooms[room as usize].queue;
        if queue.is_empty() {
            self.dirty.push(room);
        }
        frame::push(queue, opcode, [b"m", payload]);
        (queue.len() > self.joined_bytes_max).then_some(room)
    }

    pub(crate) fn next_dirty(&mut self) -> Option<u32> {
        self.dirty.pop()
    }

    pub(crate) fn take_queue(&mut self, room: u32) -> Vec<u8> {
        std::mem::take(&mut self.rooms[room as usize].queue)
    }

    /// Gives a written queue back, so that its memory serves again.
    pub(crate) fn return_queue(&mut self, room: u32, mut queue: Vec<u8>) {
        queue.clear();
        if queue.capacity() <= QUEUE_BYTES_KEPT {
            self.rooms[room as usize].queue = queue;
        }
    }
}
