//! The connections of one shard: slots with generations.

use crate::handler::Conn;
use ringway_io::{Frame, GENERATION_MAX, Key, OpKind, ShardId, Socket, Sparse};
use std::collections::BTreeMap;

/// What is set in a [`Record`].
pub(crate) mod flag {
    /// A receive is armed.
    pub(crate) const RECV: u16 = 1;
    /// Its cancel is on the way.
    pub(crate) const RECV_CANCEL: u16 = 1 << 1;
    /// The handler wants no bytes for now.
    pub(crate) const PAUSED: u16 = 1 << 2;
    /// The last receive found no buffer.
    pub(crate) const STARVED: u16 = 1 << 3;
    /// Listed for the flush.
    pub(crate) const DIRTY: u16 = 1 << 4;
    /// Close when nothing is left to send.
    pub(crate) const CLOSE_AFTER_FLUSH: u16 = 1 << 5;
    /// Our side is shut; what the peer still sends is thrown away.
    pub(crate) const LINGER: u16 = 1 << 6;
    /// Being closed; the handler has forgotten it.
    pub(crate) const CLOSING: u16 = 1 << 7;
    /// The close is submitted.
    pub(crate) const CLOSE_SENT: u16 = 1 << 8;
    /// Moves to another shard.
    pub(crate) const MIGRATING: u16 = 1 << 9;
    /// Its descriptor is on the way.
    pub(crate) const SOCKET_SENT: u16 = 1 << 10;
    /// Something was sent since the last look.
    pub(crate) const PROGRESS: u16 = 1 << 11;
    /// The peer has finished sending.
    pub(crate) const PEER_FINISHED: u16 = 1 << 12;
    /// Listed for the flush before all others.
    pub(crate) const URGENT: u16 = 1 << 13;
    /// A piece of a file is on its way to it.
    pub(crate) const TRANSFER: u16 = 1 << 14;
    /// The slot is in use.
    pub(crate) const LIVE: u16 = 1 << 15;
}

/// What few connections have: who is paused with input, or moves.
#[derive(Default)]
pub(crate) struct Extra {
    /// Bytes that came while paused.
    pub(crate) input: Vec<u8>,
    /// Where it moves.
    pub(crate) to: Option<ShardId>,
    /// What travels, once the handler has given it away.
    pub(crate) frozen: Option<Vec<u8>>,
    /// The hand-over's token.
    pub(crate) token: u64,
}

/// One connection.
#[derive(Default)]
pub(crate) struct Record {
    pub(crate) generation: u32,
    pub(crate) socket: u32,
    pub(crate) flags: u16,
    /// Operations whose last completion has not come.
    pub(crate) ops: u16,
}

const _: () = assert!(
    size_of::<Record>() <= 12,
    "an idle connection is one small record"
);

impl Record {
    pub(crate) const fn has(&self, flags: u16) -> bool {
        self.flags & flags != 0
    }

    pub(crate) const fn has_all(&self, flags: u16) -> bool {
        self.flags & flags == flags
    }

    pub(crate) const fn set(&mut self, flags: u16) {
        self.flags |= flags;
    }

    pub(crate) const fn clear(&mut self, flags: u16) {
        self.flags &= !flags;
    }

    pub(crate) const fn socket(&self) -> Socket {
        Socket(self.socket)
    }

    /// Whether bytes are wanted and none are coming.
    pub(crate) const fn wants_recv(&self) -> bool {
        !self.has(flag::RECV | flag::PAUSED | flag::STARVED | flag::CLOSING | flag::PEER_FINISHED)
    }
}

/// A frame that is not sent whole.
#[derive(Clone)]
pub(crate) struct Sending {
    pub(crate) frame: Frame,
    /// How much of it went before.
    pub(crate) sent: u32,
}

/// The table.
#[derive(Default)]
pub(crate) struct Table {
    records: Vec<Record>,
    /// By the slot of a connection that there is.
    extras: BTreeMap<u32, Box<Extra>>,
    sends: Sparse<Sending>,
    free: Vec<u32>,
    live: u32,
}

impl Table {
    /// Room for all connections that there may be: memory that nobody has touched costs nothing, and a table that grows by doubling costs half as
    /// much again as it holds.
    pub(crate) fn with_capacity(connections_max: u32) -> Self {
        Self {
            records: Vec::with_capacity(connections_max as usize),
            sends: Sparse::with_capacity(connections_max),
            ..Self::default()
        }
    }

    pub(crate) const fn live(&self) -> u32 {
        self.live
    }

    /// All connections.
    pub(crate) fn conns(&self) -> Vec<Conn> {
        let live = self
            .records
            .iter()
            .zip(0..)
            .filter(|(record, _)| record.has(flag::LIVE));
        live.map(|(record, slot)| Conn {
            slot,
            generation: record.generation,
        })
        .collect()
    }

    /// Whether any connection has one of `flags`.
    pub(crate) fn any(&self, flags: u16) -> bool {
        self.records
            .iter()
            .any(|record| record.has(flag::LIVE) && record.has(flags))
    }

    /// Whether no connection has anything in flight or is being closed.
    pub(crate) fn is_idle(&self) -> bool {
        self.records
            .iter()
            .all(|record| record.ops == 0 && !record.has(flag::CLOSING))
    }

    pub(crate) fn insert(&mut self, socket: Socket) -> Conn {
        let slot = self.free.pop().unwrap_or_else(|| {
            self.records.push(Record::default());
            (self.records.len() - 1) as u32
        });
        let record = &mut self.records[slot as usize];
        assert!(record.flags == 0 && record.ops == 0, "slot {slot} is free");
        record.socket = socket.0;
        record.flags = flag::LIVE;
        self.live += 1;
        Conn {
            slot,
            generation: record.generation,
        }
    }

    /// The record, unless the handle is stale.
    pub(crate) fn get(&mut self, conn: Conn) -> Option<&mut Record> {
        let record = self.records.get_mut(conn.slot as usize)?;
        (record.generation == conn.generation && record.has(flag::LIVE)).then_some(record)
    }

    /// The record that a completion is about, unless it is of an older generation.
    pub(crate) fn by_key(&mut self, key: Key) -> Option<(Conn, &mut Record)> {
        let conn = Conn {
            slot: key.slot(),
            generation: key.generation(),
        };
        self.get(conn).map(|record| (conn, record))
    }

    /// The rare state of a connection that there is, made if there is none.
    pub(crate) fn extra(&mut self, conn: Conn) -> &mut Extra {
        self.extras.entry(conn.slot).or_default()
    }

    /// The rare state of a connection that there is, if it has any.
    pub(crate) fn extra_if(&self, conn: Conn) -> Option<&Extra> {
        self.extras.get(&conn.slot).map(|extra| &**extra)
    }

    pub(crate) fn take_extra(&mut self, conn: Conn) -> Option<Box<Extra>> {
        self.extras.remove(&conn.slot)
    }

    /// Whether a frame of a connection that there is has not gone whole.
    pub(crate) fn is_sending(&self, conn: Conn) -> bool {
        self.sends.get(conn.slot).is_some()
    }

    /// Keeps the frame of a connection that there is.
    ///
    /// # Panics
    /// When it has one already.
    pub(crate) fn put_sending(&mut self, conn: Conn, sending: Sending) {
        self.sends.insert(conn.slot, sending);
    }

    pub(crate) fn take_sending(&mut self, conn: Conn) -> Option<Sending> {
        self.sends.remove(conn.slot)
    }

    pub(crate) fn remove(&mut self, conn: Conn) {
        let Some(record) = self.get(conn) else { return };
        assert_eq!(record.ops, 0, "no slot is freed before its last completion");
        let generation = if record.generation == GENERATION_MAX {
            0
        } else {
            record.generation + 1
        };
        *record = Record {
            generation,
            ..Record::default()
        };
        self.extras.remove(&conn.slot);
        self.sends.remove(conn.slot);
        self.free.push(conn.slot);
        self.live -= 1;
    }
}

/// The key of an operation on a connection.
pub(crate) const fn key(kind: OpKind, conn: Conn) -> Key {
    Key::new(kind, conn.generation, conn.slot)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stale_handle_is_harmless() {
        let mut table = Table::default();
        let first = table.insert(Socket(7));
        table.remove(first);
        let second = table.insert(Socket(8));
        assert_eq!(first.slot, second.slot);
        assert!(table.get(first).is_none());
        table.remove(first);
        assert_eq!(
            (table.live(), table.get(second).map(|record| record.socket)),
            (1, Some(8))
        );
    }
}
