//! Connections that move to the shard of their session, as bytes.
//!
//! Deliberately absent: the descriptor, which the loop moves, and sessions, which stay where they are.

use super::{Hub, Key, Output, Turn};
use crate::connection::{Connection, Stage};
use crate::post::Post;
use crate::time::{ConnId, Now};

impl Hub {
    /// Everything about `conn` as bytes; it is forgotten here.
    ///
    /// # Panics
    /// Never: these shapes always serialise.
    pub fn freeze(&mut self, conn: ConnId) -> Vec<u8> {
        let Some(mut connection) = self.connections.remove(Key::of(conn)) else {
            return Vec::new();
        };
        self.uncount_input(&connection);
        connection.counted_bytes = 0;
        self.stats.connections -= 1;
        self.limits.disconnect(connection.place.take());
        postcard::to_stdvec(&connection).expect("a connection serialises")
    }

    /// A connection came from another shard, with what [`Self::freeze`] gave there.
    pub fn arrived(
        &mut self,
        now: Now,
        conn: ConnId,
        state: &[u8],
        post: &mut dyn Post,
        entropy: &mut dyn FnMut() -> u64,
        out: &mut Vec<Output>,
    ) {
        let Ok(mut connection) = postcard::from_bytes::<Connection>(state) else {
            // It vanished there while it was on its way.
            out.push(Output::Close(conn));
            return;
        };
        connection.id = conn;
        connection.stage = Stage::Head;
        connection.timer_us = 0;
        self.stats.connections_arrived += 1;
        if !self.settings.dev && !self.settings.trusted_proxies.contains(connection.client) {
            // It was let in before: it is counted here, and not refused.
            connection.place = Some(self.limits.count(now, connection.client));
        }
        let key = self.insert_connection(connection);
        let mut turn = Turn {
            now,
            post,
            entropy,
            out,
        };
        self.set_deadline(
            key,
            now.monotonic_us + u64::from(self.settings.head_timeout_ms) * 1000,
            &mut turn,
        );
        // Answers to requests before the one that brought it here may be among its luggage.
        turn.out.push(Output::Dirty(conn));
        self.advance(key, &mut turn);
        self.count_input(key, &mut turn);
    }
}
