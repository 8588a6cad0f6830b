//! Connections that move to the shard of their session, as bytes.
//!
//! Deliberately absent: the descriptor, which the loop moves, and sessions, which stay where they are.

use super::{Hub, Key, Output, Turn};
use crate::connection::{Connection, Stage};
use crate::post::Post;
use crate::time::{ConnId, Now};
use std::net::IpAddr;

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
        connection.count_bytes(0);
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
        connection.stage = Stage::Head;
        connection.clear_timer();
        self.stats.connections_arrived += 1;
        let client = connection.client.into();
        let key = self.insert_connection(conn, connection);
        let mut turn = Turn::new(now, post, entropy, out);
        self.set_deadline(
            key,
            now.monotonic_us + u64::from(self.settings.head_timeout_ms) * 1000,
            &mut turn,
        );
        // Answers to requests before the one that brought it here may be among its luggage.
        turn.out.push(Output::Dirty(conn));
        if self.admit_arrival(key, client, &mut turn) {
            self.advance(key, &mut turn);
        }
        self.count_input(key, &mut turn);
    }

    /// It was let in before, and is no new connection; but its address needs a place here, too: otherwise one session would be enough to bring
    /// the places of all shards together on one. `false`: there is none, and it was answered.
    fn admit_arrival(&mut self, key: Key, client: IpAddr, turn: &mut Turn<'_>) -> bool {
        if self.settings.dev || self.settings.trusted_proxies.contains(client) {
            return true;
        }
        match self.limits.connect_again(turn.now, client) {
            Ok(place) => {
                let connection = self.connections.get_mut(key);
                connection.expect("it just came").place = Some(place);
                true
            }
            Err(refusal) => {
                self.refuse_http(key, 429, refusal, turn);
                false
            }
        }
    }
}
