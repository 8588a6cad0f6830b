//! Receiving: one armed multishot receive per connection, bytes handed up, buffers given back in the same breath.

use crate::freeze::Stopping;
use crate::handler::{Cause, Conn, Handler};
use crate::shard::Shard;
use crate::table::{flag, key};
use ringway_io::{Driver, Entropy as _, Key, Op, OpKind, RecvEnd, RecvLease};

impl<D: Driver, H: Handler> Shard<D, H> {
    /// Arms the receive if bytes are wanted. The one place that does (invariant 5).
    pub(crate) fn arm_recv(&mut self, conn: Conn) {
        let Some(record) = self.table.get(conn) else {
            return;
        };
        if record.wants_recv() && self.stopping == Stopping::No {
            record.set(flag::RECV);
            record.ops += 1;
            let socket = record.socket();
            self.driver
                .submit(key(OpKind::Recv, conn), Op::Recv { socket });
        }
    }

    pub(crate) fn received(&mut self, at: Key, mut lease: RecvLease, more: bool) {
        self.stats.bytes_in += lease.len() as u64;
        let conn = Conn {
            slot: at.slot(),
            generation: at.generation(),
        };
        let Some(record) = self.table.get(conn) else {
            // Invariant 3: a stale completion gives its buffer back and nothing else.
            self.stats.completions_stale += 1;
            self.driver.recycle(lease);
            return;
        };
        if !more {
            // It is over: whoever wants no more of it has nothing to cancel.
            record.clear(flag::RECV | flag::RECV_CANCEL);
        }
        if record.has(flag::CLOSING | flag::LINGER) {
            self.driver.recycle(lease);
        } else if record.has(flag::PAUSED | flag::MIGRATING) || self.stopping != Stopping::No {
            let input = &mut self.table.extra(conn).input;
            input.extend_from_slice(self.driver.bytes(&mut lease));
            self.driver.recycle(lease);
        } else {
            self.hand_up(conn, lease);
        }
        if !more {
            self.recv_op_ended(conn);
        }
    }

    fn hand_up(&mut self, conn: Conn, mut lease: RecvLease) {
        let mut commands = core::mem::take(&mut self.commands);
        let (now, heard_all, shard) = (self.now(), self.heard_all(), self.mesh.me());
        // The handler works on the leased buffer itself.
        let (bytes, bits) = self.driver.lend(&mut lease);
        let mut entropy = || bits.draw();
        let mut cx = crate::Context {
            now,
            heard_all,
            shard,
            mesh: &mut self.mesh,
            commands: &mut commands,
            entropy: &mut entropy,
        };
        self.handler.received(&mut cx, conn, bytes);
        self.driver.recycle(lease);
        self.commands = commands;
        self.carry_out();
    }

    /// Carries out the commands of a call that could not do so itself.
    fn carry_out(&mut self) {
        let commands = core::mem::take(&mut self.commands);
        self.call(|_, cx| cx.commands.extend(commands));
    }

    pub(crate) fn recv_ended(&mut self, at: Key, end: RecvEnd) {
        let Some((conn, record)) = self.table.by_key(at) else {
            self.stats.completions_stale += 1;
            return;
        };
        if end == RecvEnd::NoBuffers {
            // Invariant 4: parked here, armed again when buffers have been given back, which is at the lap's end.
            record.set(flag::STARVED);
            self.starved.push(conn);
            self.stats.recv_starved += 1;
        }
        // While paused or moving, the bytes before the end are not read yet. Whoever arms the next receive is told the end again.
        let waits = record.has(flag::PAUSED | flag::MIGRATING) || self.stopping != Stopping::No;
        let deferred = waits && !record.has(flag::LINGER);
        match end {
            RecvEnd::Eof if !deferred => self.peer_finished(conn),
            RecvEnd::Failed(_) => self.recv_was_last(conn, Cause::Failed),
            _ => self.recv_retired(conn),
        }
    }

    /// The peer is gone. Marked as closing before anything else may act on the retired receive, which is not armed again.
    fn recv_was_last(&mut self, conn: Conn, cause: Cause) {
        let Some(record) = self.table.get(conn) else {
            return;
        };
        record.clear(flag::RECV | flag::RECV_CANCEL);
        record.ops -= 1;
        self.close(conn, cause);
    }

    fn recv_retired(&mut self, conn: Conn) {
        let Some(record) = self.table.get(conn) else {
            return;
        };
        record.clear(flag::RECV | flag::RECV_CANCEL);
        self.recv_op_ended(conn);
    }

    /// Another one may be armed already.
    fn recv_op_ended(&mut self, conn: Conn) {
        let Some(record) = self.table.get(conn) else {
            return;
        };
        record.ops -= 1;
        self.after_op(conn);
        self.arm_recv(conn);
    }

    pub(crate) fn rearm_starved(&mut self) {
        for conn in core::mem::take(&mut self.starved) {
            if let Some(record) = self.table.get(conn) {
                record.clear(flag::STARVED);
                self.arm_recv(conn);
            }
        }
    }

    pub(crate) fn pause(&mut self, conn: Conn) {
        if let Some(record) = self.table.get(conn) {
            record.set(flag::PAUSED);
            self.cancel_recv(conn);
        }
    }

    pub(crate) fn cancel_recv(&mut self, conn: Conn) {
        let Some(record) = self.table.get(conn) else {
            return;
        };
        if record.has(flag::RECV) && !record.has(flag::RECV_CANCEL) {
            record.set(flag::RECV_CANCEL);
            record.ops += 1;
            let target = key(OpKind::Recv, conn);
            self.driver
                .submit(key(OpKind::Cancel, conn), Op::Cancel { target });
        }
    }

    pub(crate) fn resume(&mut self, conn: Conn) {
        let Some(record) = self.table.get(conn) else {
            return;
        };
        if !record.has(flag::PAUSED) || record.has(flag::MIGRATING | flag::CLOSING) {
            return;
        }
        record.clear(flag::PAUSED);
        if self.stopping != Stopping::No {
            return;
        }
        let extra = self.table.take_extra(conn);
        let mut input = extra.map_or_else(Vec::new, |extra| extra.input);
        if !input.is_empty() {
            self.call(|handler, cx| handler.received(cx, conn, &mut input));
        }
        self.arm_recv(conn);
    }
}
