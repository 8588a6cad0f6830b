//! Sending: pulled from the handler, one frame in flight per connection, once per lap.

use crate::behind::BEHIND_MAX;
use crate::freeze::Stopping;
use crate::handler::{Cause, Conn, Handler};
use crate::shard::Shard;
use crate::table::{Sending, flag, key};
use crate::transfer::Outgoing;
use core::ops::Range;
use ringway_io::{Driver, Errno, Frame, Key, Op, OpKind};

/// Bytes of one send at most. A send that the peer takes slowly ends only when all of it went: by pieces it is seen whether anything goes.
const PIECE_BYTES_MAX: usize = 128 * 1024;

/// Connections that a lap sends to. A message to twenty thousand is a quarter of a second of the kernel's work: whoever else has something to say is heard
/// in between, and what completes is looked at while it is in the cache.
const FLUSHES_MAX: usize = 128;

fn piece_of(frame: &Frame, from: u32) -> Range<u32> {
    from..(from as usize + PIECE_BYTES_MAX).min(frame.len()) as u32
}

impl<D: Driver, H: Handler> Shard<D, H> {
    /// Gives the first of the dirty connections their next frames, if they can take one, the urgent ones before. The others have their turn in the next laps,
    /// which do not sleep.
    pub(crate) fn flush(&mut self) {
        let listed = self.urgent.len() + self.dirty.len();
        for _ in 0..listed.min(FLUSHES_MAX) {
            let urgent = self.urgent.pop_front();
            let list = if urgent.is_some() {
                flag::URGENT
            } else {
                flag::DIRTY
            };
            let Some(conn) = urgent.or_else(|| self.dirty.pop_front()) else {
                break;
            };
            if let Some(record) = self.table.get(conn) {
                record.clear(list);
                self.pull(conn);
            }
        }
        self.flush_behind();
    }

    /// A few of those that send what is long, whoever else there is: they go on, too, when others have always something to say.
    fn flush_behind(&mut self) {
        for _ in 0..BEHIND_MAX {
            let Some(conn) = self.behind.pop() else {
                return;
            };
            self.pull(conn);
        }
    }

    /// Sends the handler's next frame, if the connection has none in flight.
    pub(crate) fn pull(&mut self, conn: Conn) {
        let now = self.now();
        let Some(record) = self.table.get(conn) else {
            return;
        };
        if record.has(flag::CLOSING | flag::LINGER | flag::MIGRATING | flag::TRANSFER)
            || self.stopping == Stopping::Still
            || self.table.is_sending(conn)
        {
            return;
        }
        match self.handler.next_send(now, conn) {
            Some(Outgoing::Frame(frame)) => self.send(conn, frame, 0),
            Some(Outgoing::Head(frame)) => self.send_from(conn, frame, (0, true)),
            Some(Outgoing::File(piece)) => self.begin_transfer(conn, *piece),
            None => self.flushed(conn),
        }
    }

    pub(crate) fn send(&mut self, conn: Conn, frame: Frame, from: u32) {
        self.send_from(conn, frame, (from, false));
    }

    fn send_from(&mut self, conn: Conn, frame: Frame, (from, goes_on): (u32, bool)) {
        let Some(record) = self.table.get(conn) else {
            return;
        };
        record.ops += 1;
        let socket = record.socket();
        // It has said so in the protocol's words. Who has only ended its stream may have asked for more than this.
        let is_over = flag::CLOSE_AFTER_FLUSH | flag::PEER_FINISHED | flag::RECV;
        let is_over = record.has_all(is_over);
        let sending = Sending {
            frame: frame.clone(),
            sent: from,
        };
        self.table.put_sending(conn, sending);
        self.stats.sends += 1;
        let piece = piece_of(&frame, from);
        // Behind such a peer's last bytes its connection is closed at once: they and the end of the stream go in one segment. Of a frame in pieces the kernel would keep
        // the end of one from a socket that takes no other.
        let is_last = is_over && !self.handler.is_answering(conn) && piece.len() == frame.len();
        let goes_on = goes_on || is_last;
        let op = Op::Send {
            socket,
            frame,
            piece,
            goes_on,
        };
        self.driver.submit(key(OpKind::Send, conn), op);
    }

    pub(crate) fn sent(&mut self, at: Key, result: Result<u32, Errno>) {
        let Some((conn, record)) = self.table.by_key(at) else {
            self.stats.completions_stale += 1;
            return;
        };
        record.ops -= 1;
        let closing = record.has(flag::CLOSING);
        record.set(flag::PROGRESS);
        let sending = self.table.take_sending(conn);
        let Sending { frame, sent } = sending.expect("a send completes once");
        let piece = piece_of(&frame, sent);
        let total = sent + result.unwrap_or(0);
        self.stats.bytes_out += u64::from(result.unwrap_or(0));
        if closing {
            return self.after_op(conn);
        }
        if self.stopping == Stopping::Still {
            return self.sent_in_part(conn, frame, total, result);
        }
        if result.is_err() {
            return self.close(conn, Cause::Failed);
        }
        if (total as usize) < frame.len() {
            self.stats.sends_short += u64::from(total < piece.end);
            return self.send(conn, frame, total);
        }
        self.call(|handler, cx| handler.sent(cx, conn));
        self.after_op(conn);
        if !self.behind.has(conn) {
            self.pull(conn);
        }
    }
}
