//! What goes out: the loop asks each dirty connection once per lap, so that everything queued in a lap shares a send.
//!
//! Deliberately absent: encoding of broadcasts, which is done once per shard by `packet`.

use super::{Hub, Key, Output, Turn};
use crate::connection::{Purpose, Stage};
use crate::outbox::{Dropped, OutboxBounds, Pushed};
use crate::packet::{Encoding, Packet};
use crate::session::{Session, Transport};
use crate::stats::Stats;
use crate::time::{ConnId, Now};
use std::rc::Rc;

/// What may wait for a client of a worker, which may well say ten thousand things in one breath.
const WORKER_BOUNDS: OutboxBounds = OutboxBounds {
    packets_max: 65_536,
    bytes_max: 4 << 20,
};

impl Hub {
    /// The next bytes for `conn`'s wire: answers, pongs, pings and closes first, then queued packets. `None` when there is
    /// nothing to send now.
    pub fn next_send(&mut self, now: Now, conn: ConnId) -> Option<Rc<[u8]>> {
        if self.upstream.is_link(conn) {
            return self.upstream.next_send(conn);
        }
        let key = Key::of(conn);
        self.answer_poll(now, key);
        let connection = self.connections.get_mut(key)?;
        let mut output = connection.take_output();
        let mut queue = None;
        if !connection.closing
            && let Stage::Socket(socket) = &connection.stage
            && let Purpose::Session(session) = socket.purpose
        {
            let encoding = match socket.deflate {
                true => Encoding::Deflated,
                false => Encoding::Plain,
            };
            queue = self.take_queue(now, session, encoding);
        }
        let bytes: Option<Rc<[u8]>> = match queue {
            Some(queue) if output.is_empty() => Some(queue),
            queue => {
                output.extend_from_slice(queue.as_deref().unwrap_or_default());
                (!output.is_empty()).then(|| output.into())
            }
        };
        self.stats.bytes_sent += bytes.as_ref().map_or(0, |bytes| bytes.len()) as u64;
        bytes
    }

    /// Takes as many packets as one send holds.
    fn take_queue(&mut self, now: Now, key: Key, encoding: Encoding) -> Option<Rc<[u8]>> {
        let session = self.sessions.get_mut(key)?;
        let (count, bytes) = self.joined.head(session.outbox.packets(), encoding)?;
        session.reads_on(now, self.settings.ping_timeout_ms);
        session.outbox.take(count, |packet| {
            self.queued_bytes -= packet.bytes() as u64;
            self.stats.sent(&packet, now);
        });
        self.note_taken(key);
        Some(bytes)
    }

    /// After a send: requests that waited behind the answer are read now, and a connection whose answer was its last one closes.
    pub(crate) fn after_send(&mut self, key: Key, turn: &mut Turn<'_>) {
        self.send_on(key, turn);
        let Some(connection) = self.connections.get_mut(key) else {
            return;
        };
        let (id, closing) = (key.conn(), connection.closing);
        if matches!(connection.stage, Stage::Answer { .. } | Stage::Given { .. })
            && connection.busy().output.is_empty()
        {
            self.queued_bytes -= connection.answer_bytes();
            self.given_bytes -= connection.given_bytes();
            connection.stage = Stage::Head;
            connection.clear_deadline();
        }
        if closing {
            turn.out.push(Output::CloseAfterFlush(id));
            return;
        }
        let Some(connection) = self.connections.get(key) else {
            return;
        };
        if matches!(connection.stage, Stage::Head) {
            if connection.busy().deadline_us == 0 {
                let idle_us = u64::from(self.settings.keep_alive_timeout_ms) * 1000;
                self.set_deadline(key, turn.now.monotonic_us + idle_us, turn);
            }
            self.advance(key, turn);
        }
    }

    /// Queues a packet for one session.
    pub(crate) fn push_packet(&mut self, key: Key, packet: Rc<Packet>, turn: &mut Turn<'_>) {
        self.push_within(key, packet, self.settings.outbox_bounds(), turn);
    }

    /// Queues what a worker says to one of its clients.
    pub(crate) fn push_of_worker(&mut self, key: Key, packet: Rc<Packet>, turn: &mut Turn<'_>) {
        // Whoever speaks to clients that follow is in nobody's way.
        if self.upstream.pressed.contains_key(&key) {
            self.upstream.spoken_bytes += packet.payload_bytes() as u64;
        }
        self.push_within(key, packet, WORKER_BOUNDS, turn);
        self.note_pressure(key, turn);
    }

    fn push_within(
        &mut self,
        key: Key,
        packet: Rc<Packet>,
        bounds: OutboxBounds,
        turn: &mut Turn<'_>,
    ) {
        let Some(session) = self.sessions.get_mut(key) else {
            return;
        };
        let counts = (&mut self.queued_bytes, &mut self.stats);
        if push_to(session, packet, bounds, counts, turn) == Pushed::Overflow {
            self.close_slow(key, turn);
        }
    }

    /// Queues a message of a room for the member in a slot, if somebody is there still: a member that was too slow for the last one is not.
    #[inline(always)]
    pub(crate) fn push_to_member(&mut self, slot: u32, packet: Rc<Packet>, turn: &mut Turn<'_>) {
        let bounds = self.settings.outbox_bounds();
        let Some(session) = self.sessions.get_slot_mut(slot) else {
            return;
        };
        let counts = (&mut self.queued_bytes, &mut self.stats);
        if push_to(session, packet, bounds, counts, turn) == Pushed::Overflow
            && let Some(key) = self.sessions.key_of_slot(slot)
        {
            self.close_slow(key, turn);
        }
    }

    /// Stops reading from a session's clients.
    pub(crate) fn pause(&mut self, key: Key, turn: &mut Turn<'_>) {
        for conn in self.reading(key) {
            if let Some(connection) = self
                .connections
                .get_mut(conn)
                .filter(|connection| !connection.paused)
            {
                connection.paused = true;
                turn.out.push(Output::Pause(conn.conn()));
            }
        }
    }

    /// Reads again.
    pub(crate) fn resume(&mut self, key: Key, turn: &mut Turn<'_>) {
        for conn in self.reading(key) {
            if let Some(connection) = self
                .connections
                .get_mut(conn)
                .filter(|connection| connection.paused)
            {
                connection.paused = false;
                turn.out.push(Output::Resume(conn.conn()));
            }
        }
    }

    fn reading(&self, key: Key) -> Vec<Key> {
        let Some(session) = self.sessions.get(key) else {
            return Vec::new();
        };
        let conns = match session.transport {
            // A POST may be older than the WebSocket.
            Transport::WebSocket => [session.conn, session.rare().post],
            Transport::Polling | Transport::Upgrading => [session.rare().post, None],
        };
        conns.into_iter().flatten().map(Key::of).collect()
    }
}

// A broadcast comes here for each member: the bounds must not travel through memory.
#[inline(always)]
fn push_to(
    session: &mut Session,
    packet: Rc<Packet>,
    bounds: OutboxBounds,
    (queued_bytes, stats): (&mut u64, &mut Stats),
    turn: &mut Turn<'_>,
) -> Pushed {
    if session.rare().closing.is_some() {
        return Pushed::Queued {
            dropped: Dropped::default(),
        };
    }
    let before = session.outbox.bytes();
    let pushed = session.outbox.push(packet, bounds);
    *queued_bytes = *queued_bytes + session.outbox.bytes() as u64 - before as u64;
    if let Pushed::Queued { dropped } = &pushed {
        if *dropped != Dropped::default() {
            let counts = stats.dropped.iter_mut().zip(dropped);
            counts.for_each(|(count, more)| *count += u64::from(*more));
        }
        turn.out.extend(session.conn.map(Output::Dirty));
    }
    pushed
}
