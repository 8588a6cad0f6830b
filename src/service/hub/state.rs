//! A connection as bytes: it moves to the shard that owns its session, with the request that names the session unread.
//!
//! Deliberately absent: the socket and the bytes in flight, which travel by the loop's own hand.

use super::{Hub, Turn};
use crate::connection::{Connection, Stage};
use crate::post::Post;
use crate::time::{ConnId, Now};

use super::Output;

impl Hub {
    /// Everything about `conn` as bytes; the last call about it here. Empty if it is not known.
    ///
    /// # Panics
    /// Never: plain data serialises.
    pub fn freeze(&mut self, conn: ConnId) -> Vec<u8> {
        let removed = self
            .by_conn
            .remove(&conn)
            .and_then(|key| self.connections.remove(key));
        let Some(connection) = removed else {
            return Vec::new();
        };
        self.stats.connections -= 1;
        postcard::to_stdvec(&connection).expect("plain data serialises")
    }

    /// A connection came from another shard with what [`Self::freeze`] gave there.
    ///
    /// # Panics
    /// When `state` was not written by [`Self::freeze`] of the same build.
    pub fn arrived(
        &mut self,
        now: Now,
        conn: ConnId,
        state: &[u8],
        post: &mut dyn Post,
        entropy: &mut dyn FnMut() -> u64,
        out: &mut Vec<Output>,
    ) {
        if state.is_empty() {
            out.push(Output::Close(conn));
            return;
        }
        let mut connection: Connection =
            postcard::from_bytes(state).expect("shards of one process speak one language");
        connection.id = conn;
        connection.stage = Stage::Head;
        connection.timer_us = 0;
        let unsent = !connection.output.is_empty();
        let key = self.insert_connection(connection);
        self.stats.connections_arrived += 1;
        if unsent {
            out.push(Output::Dirty(conn));
        }
        let mut turn = Turn {
            now,
            post,
            entropy,
            out,
        };
        let deadline_us = now.monotonic_us + u64::from(self.settings.head_timeout_ms) * 1000;
        self.set_deadline(key, deadline_us, &mut turn);
        self.advance(key, &mut turn);
    }
}
