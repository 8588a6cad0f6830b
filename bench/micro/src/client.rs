//! What one client costs without a room: its handshake with all that belongs to it, and an echo.

use crate::Subject;
use crate::frames::{masked, masked_close};
use crate::room::{Shard, connect_packet};
use ringway_service::time::ConnId;

/// Clients that come and go in one step.
const CLIENTS: u64 = 16;
/// Clients that say something in one step.
const SPEAKERS: u64 = 64;
const ECHO: &str =
    r#"427["echo","0123456789012345678901234567890123456789012345678901234567890123"]"#;

/// What a client sends, in three receives.
struct Visit {
    upgrade: Vec<u8>,
    connect: Vec<u8>,
    close: Vec<u8>,
}

impl Visit {
    fn new(number: u64) -> Self {
        Self {
            upgrade: Shard::upgrade(),
            connect: masked(&connect_packet(number)),
            close: masked_close(1000),
        }
    }
}

/// Steps are clients that connect over a WebSocket, show their token, enter the namespace, and say goodbye.
struct Handshakes {
    shard: Shard,
    visits: Vec<Visit>,
    /// How often the slots have been used.
    generation: u64,
}

impl Subject for Handshakes {
    fn prepare(&mut self) {
        self.shard.rest();
        self.visits = (0..CLIENTS).map(Visit::new).collect();
    }

    fn step(&mut self) {
        for (slot, visit) in (0..).zip(&mut self.visits) {
            let conn = ConnId::new(self.generation << 32 | slot);
            self.shard.accept(conn);
            for bytes in [&mut visit.upgrade, &mut visit.connect, &mut visit.close] {
                self.shard.receive(conn, bytes);
                assert!(self.shard.flush(conn) > 0, "an answer to each");
            }
            self.shard.left(conn);
        }
        self.generation += 1;
    }
}

pub(crate) fn handshakes() -> Box<dyn Subject> {
    Box::new(Handshakes {
        shard: Shard::empty(),
        visits: Vec::new(),
        generation: 0,
    })
}

/// Steps are events that are acknowledged with what they say.
struct Echoes {
    shard: Shard,
    events: Vec<Vec<u8>>,
}

impl Subject for Echoes {
    fn prepare(&mut self) {
        self.shard.rest();
        self.events = (0..SPEAKERS).map(|_| masked(ECHO)).collect();
    }

    fn step(&mut self) {
        for (number, event) in (0..).zip(&mut self.events) {
            self.shard.receive(ConnId::new(number), event);
        }
        for number in 0..SPEAKERS {
            let bytes = self.shard.flush(ConnId::new(number));
            assert!(bytes > ECHO.len(), "the acknowledgement");
        }
    }
}

pub(crate) fn echoes() -> Box<dyn Subject> {
    let mut shard = Shard::empty();
    for number in 0..SPEAKERS {
        shard.enter(number, &[]);
    }
    Box::new(Echoes {
        shard,
        events: Vec::new(),
    })
}
