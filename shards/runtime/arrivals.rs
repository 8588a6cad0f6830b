//! Connections that come from other shards: state by the mesh, descriptor by the ring, in either order.

use crate::freeze::Stopping;
use crate::handler::{Handler, MailOutcome};
use crate::shard::{Shard, Timer};
use core::time::Duration;
use ringway_io::{Driver, Op, OpKind, Socket};
use std::collections::HashMap;

/// After this time the other half is not coming.
const OTHER_HALF_MAX: Duration = Duration::from_secs(10);

enum Half {
    State(Vec<u8>),
    Socket(Socket),
}

/// Halves that wait for the other one, by token.
#[derive(Default)]
pub(crate) struct Arrivals(HashMap<u64, Half>);

impl Arrivals {
    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

fn token_of(bytes: &[u8]) -> u64 {
    u64::from_le_bytes(
        bytes[..8]
            .try_into()
            .expect("our own messages start with a token"),
    )
}

impl<D: Driver, H: Handler> Shard<D, H> {
    pub(crate) fn state_arrived(&mut self, bytes: &[u8]) -> MailOutcome {
        let token = token_of(bytes);
        match self.arrivals.0.remove(&token) {
            Some(Half::Socket(socket)) => self.settle(socket, &bytes[8..]),
            _ => self.keep(token, Half::State(bytes[8..].to_vec())),
        }
        MailOutcome::Taken
    }

    pub(crate) fn state_revoked(&mut self, bytes: &[u8]) -> MailOutcome {
        self.arrivals.0.remove(&token_of(bytes));
        MailOutcome::Taken
    }

    pub(crate) fn socket_arrived(&mut self, socket: Socket, token: u64) {
        match self.arrivals.0.remove(&token) {
            Some(Half::State(state)) => self.settle(socket, &state),
            _ => self.keep(token, Half::Socket(socket)),
        }
    }

    fn keep(&mut self, token: u64, half: Half) {
        self.arrivals.0.insert(token, half);
        self.wheel
            .insert(self.now().monotonic + OTHER_HALF_MAX, Timer::Arrival(token));
    }

    pub(crate) fn arrival_overdue(&mut self, token: u64) {
        if let Some(Half::Socket(socket)) = self.arrivals.0.remove(&token) {
            self.submit_stray(OpKind::Close, Op::Close { socket });
        }
    }

    /// Both halves are here.
    fn settle(&mut self, socket: Socket, state: &[u8]) {
        let (length, rest) = state.split_at(4);
        let length =
            u32::from_le_bytes(length.try_into().expect("four bytes were split off")) as usize;
        let (frozen, input) = rest.split_at(length);
        let conn = self.table.insert(socket);
        self.call(|handler, cx| handler.arrived(cx, conn, frozen));
        if self.stopping != Stopping::No {
            if self.table.get(conn).is_some() {
                self.table.extra(conn).input = input.to_vec();
            }
            return;
        }
        if !input.is_empty() {
            let mut input = input.to_vec();
            self.call(|handler, cx| handler.received(cx, conn, &mut input));
        }
        self.arm_recv(conn);
    }
}
