//! Closing: shut, wait for every last completion, close (invariant 7).

use crate::handler::{Cause, Conn, Handler};
use crate::shard::{Shard, Timer};
use crate::table::{Record, flag, key};
use ringway_io::{Driver, Key, Op, OpKind};

impl<D: Driver, H: Handler> Shard<D, H> {
    pub(crate) fn close_after_flush(&mut self, conn: Conn) {
        let Some(record) = self.table.get(conn) else {
            return;
        };
        if !record.has(flag::CLOSE_AFTER_FLUSH | flag::CLOSING | flag::MIGRATING) {
            record.set(flag::CLOSE_AFTER_FLUSH);
            self.mark_dirty(conn);
            self.look_again(conn);
        }
    }

    pub(crate) fn peer_said_all(&mut self, conn: Conn) {
        if let Some(record) = self.table.get(conn) {
            record.set(flag::PEER_FINISHED);
        }
    }

    /// From now on: a peer that reads nothing of its last bytes within the linger time is cut off.
    fn look_again(&mut self, conn: Conn) {
        let over = self.now().monotonic + self.bounds.linger;
        if let Some(record) = self.table.get(conn) {
            record.clear(flag::PROGRESS);
            self.wheel.insert(over, Timer::Linger(conn));
        }
    }

    /// The handler has nothing more to send.
    pub(crate) fn flushed(&mut self, conn: Conn) {
        let Some(record) = self.table.get(conn) else {
            return;
        };
        if !record.has(flag::CLOSE_AFTER_FLUSH) {
            return;
        }
        if record.has(flag::PEER_FINISHED) {
            // The answer comes with a `Dirty` of its own, and brings us here again.
            if self.handler.is_answering(conn) {
                return;
            }
            return self.close(conn, Cause::Peer);
        }
        // What the peer still sends is read and thrown away until it closes: a close with unread bytes would reset the connection
        // and take our last words with it.
        record.set(flag::LINGER);
        record.clear(flag::PAUSED);
        record.ops += 1;
        let socket = record.socket();
        self.driver
            .submit(key(OpKind::Shutdown, conn), Op::ShutdownWrite { socket });
        self.arm_recv(conn);
    }

    /// The linger time is over. Who has read something in it gets as much again: a long answer takes a slow peer its time. So does who has had no turn yet: its
    /// last words wait behind others' messages, or for the disk; and who is being answered, as long as nothing is on its way that it could read. Who takes next
    /// to nothing of a file is cut off by the rule for files, which has more patience, and of other long answers by the handler's.
    pub(crate) fn linger_over(&mut self, conn: Conn) {
        let goes_on = |record: &mut Record| record.has(flag::PROGRESS | flag::DIRTY | flag::URGENT);
        let is_sending = self.table.is_sending(conn);
        let is_timed = self.transfers.has(conn) || self.handler.is_timing(conn);
        let waits = is_timed || !is_sending && self.handler.is_answering(conn);
        let is_listed = self.behind.has(conn);
        if self.table.get(conn).is_some_and(goes_on)
            || (waits || is_listed) && self.table.get(conn).is_some()
        {
            self.look_again(conn);
        } else {
            self.close(conn, Cause::Closed);
        }
    }

    /// The peer has nothing more to say. What there is to tell it goes out first: it may have asked, finished, and be reading.
    pub(crate) fn peer_finished(&mut self, conn: Conn) {
        let Some(record) = self.table.get(conn) else {
            return;
        };
        record.clear(flag::RECV | flag::RECV_CANCEL);
        record.ops -= 1;
        record.set(flag::PEER_FINISHED);
        if record.has(flag::LINGER | flag::CLOSING) {
            return self.close(conn, Cause::Peer);
        }
        self.call(|handler, cx| handler.finished(cx, conn));
        self.close_after_flush(conn);
    }

    /// Ends a connection now; the handler hears of it here and never again.
    pub(crate) fn close(&mut self, conn: Conn, cause: Cause) {
        let Some(record) = self.table.get(conn) else {
            return;
        };
        if record.has(flag::CLOSING) {
            // What the caller retired may have been what the close waited for.
            return self.after_op(conn);
        }
        record.set(flag::CLOSING);
        let extra = self.table.extra_if(conn);
        let frozen = extra.is_some_and(|extra| extra.frozen.is_some());
        if !frozen {
            self.call(|handler, cx| handler.closed(cx, conn, cause));
        }
        let is_sending = self.abandon_transfer(conn) || self.table.is_sending(conn);
        let Some(record) = self.table.get(conn) else {
            return;
        };
        // A receive ends by its cancel; a send may have to be ended by this, which the kernel gives to a thread of its own.
        if is_sending {
            record.ops += 1;
            let socket = record.socket();
            self.driver
                .submit(key(OpKind::Shutdown, conn), Op::Shutdown { socket });
        }
        self.cancel_recv(conn);
        self.after_op(conn);
    }

    pub(crate) fn op_ended(&mut self, at: Key) {
        let Some((conn, record)) = self.table.by_key(at) else {
            return;
        };
        record.ops -= 1;
        self.after_op(conn);
    }

    /// An operation retired: was it the last that a close or a hand-over waited for?
    pub(crate) fn after_op(&mut self, conn: Conn) {
        let Some(record) = self.table.get(conn) else {
            return;
        };
        if record.ops > 0 {
            return;
        }
        if record.has(flag::CLOSING) && !record.has(flag::CLOSE_SENT) {
            record.set(flag::CLOSE_SENT);
            record.ops += 1;
            let socket = record.socket();
            self.driver
                .submit(key(OpKind::Close, conn), Op::Close { socket });
        } else if record.has(flag::MIGRATING) && !record.has(flag::CLOSING) {
            self.hand_over(conn);
        }
    }

    pub(crate) fn closed(&mut self, at: Key) {
        let Some((conn, record)) = self.table.by_key(at) else {
            return;
        };
        record.ops -= 1;
        self.table.remove(conn);
    }
}
