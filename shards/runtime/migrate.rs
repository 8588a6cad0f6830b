//! A connection leaves for the shard that owns its session: stop receiving, wait for the last completion, send state, send descriptor.

use crate::handler::{Conn, Handler};
use crate::mesh::Owner;
use crate::shard::Shard;
use crate::table::{flag, key};
use ringway_io::{Driver, Errno, Key, Op, OpKind, ShardId};

impl<D: Driver, H: Handler> Shard<D, H> {
    pub(crate) fn migrate(&mut self, conn: Conn, to: ShardId) {
        assert_ne!(to, self.mesh.me(), "a connection moves to another shard");
        let Some(record) = self.table.get(conn) else {
            return;
        };
        if record.has(flag::CLOSING | flag::MIGRATING | flag::LINGER) {
            return;
        }
        record.set(flag::MIGRATING | flag::PAUSED);
        self.table.extra(conn).to = Some(to);
        self.cancel_recv(conn);
        self.after_op(conn);
    }

    /// Nothing is in flight: freeze, and send the state before the descriptor.
    pub(crate) fn hand_over(&mut self, conn: Conn) {
        let now = self.now();
        let record = self.table.get(conn);
        if record.is_none_or(|record| record.has(flag::SOCKET_SENT)) {
            return;
        }
        let extra = self.table.extra(conn);
        let Some(to) = extra.to else {
            unreachable!("`migrate` set the target")
        };
        if extra.frozen.is_none() {
            self.hand_overs += 1;
            extra.token = u64::from(self.mesh.me().0) << 48 | (self.hand_overs & ((1 << 48) - 1));
            extra.frozen = Some(self.handler.freeze(now, conn));
        }
        let Some(frozen) = &extra.frozen else { return };
        let lengths = (frozen.len() as u32).to_le_bytes();
        let parts: [&[u8]; 4] = [&extra.token.to_le_bytes(), &lengths, frozen, &extra.input];
        if self.mesh.hand_over(to, Owner::HandOver, &parts).is_err() {
            self.moving.push(conn);
            return;
        }
        let token = extra.token;
        let Some(record) = self.table.get(conn) else {
            return;
        };
        let socket = record.socket();
        record.set(flag::SOCKET_SENT);
        record.ops += 1;
        self.driver.submit(
            key(OpKind::SendSocket, conn),
            Op::SendSocket { socket, to, token },
        );
    }

    /// Those that found the ring full.
    pub(crate) fn retry_hand_overs(&mut self) {
        for conn in core::mem::take(&mut self.moving) {
            self.after_op(conn);
        }
        for (to, token) in core::mem::take(&mut self.revoked) {
            self.revoke(to, token);
        }
    }

    /// The descriptor does not come: the target must not wait for it. Told as often as the ring is full.
    fn revoke(&mut self, to: ShardId, token: u64) {
        let parts: [&[u8]; 1] = [&token.to_le_bytes()];
        if self
            .mesh
            .hand_over(to, Owner::HandOverFailed, &parts)
            .is_err()
        {
            self.revoked.push((to, token));
        }
    }

    pub(crate) fn socket_sent(&mut self, at: Key, result: Result<(), Errno>) {
        let Some((conn, record)) = self.table.by_key(at) else {
            return;
        };
        record.ops -= 1;
        let extra = self.table.extra(conn);
        let (to, token) = (extra.to, extra.token);
        match (result, to) {
            (Err(_), Some(to)) => {
                self.stats.migrations_failed += 1;
                self.revoke(to, token);
            }
            _ => self.stats.migrations += 1,
        }
        // Frozen: the handler is not told, it gave the connection away.
        self.close(conn, crate::Cause::HandOverFailed);
    }
}
