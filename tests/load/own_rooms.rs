//! Stalled members that share no packet: each is in a room of its own, and somebody else reads all of them.
//!
//! Members of one room share what waits for them, so that a thousand of them cost little; here nothing is shared, and a queue costs all that it may.

use crate::client::{Client, Dial};
use crate::crowd::{self, source};
use crate::daemon::{Daemon, token};
use crate::memory::{KIB, MIB};
use crate::scene::{NO_RATES, RECEIVE_BYTES};

const MEMBERS: usize = 200;
const QUEUE_BYTES: i64 = 256 * KIB;
/// What one send joins at most, and the packet that crosses it.
const IN_FLIGHT_BYTES: i64 = 64 * KIB + 4 * KIB;
/// The queue's own slots, allocator headers, table growth.
const OVERHEAD_BYTES: i64 = 4 * KIB;
const NOISE_BYTES: i64 = 4 * MIB;
const PAYLOAD_BYTES: usize = 4_000;
/// Messages that the publisher has not heard of.
const WINDOW: usize = 40;
const ROUNDS_MAX: usize = 400;

struct Rooms {
    daemon: Daemon,
    _stalled: Vec<Client>,
    reader: Client,
    publisher: Client,
}

fn room(number: usize) -> String {
    format!("own:{number}")
}

impl Rooms {
    fn open() -> Self {
        let bytes = format!("limits.queue_bytes_max={QUEUE_BYTES}");
        let settings = [
            "rooms.slow_consumers=[{pattern=\"own:*\",policy=\"drop-oldest\"}]",
            "limits.queue_packets_max=1000",
            "engine.ping_interval_ms=600000",
            &bytes,
        ];
        let daemon = Daemon::start(1, &[&settings[..], &NO_RATES].concat());
        let own = |number| vec![room(number)];
        let all = |_| (0..MEMBERS).map(room).collect();
        let stalled = crowd::open(&daemon, 0..MEMBERS, Some(RECEIVE_BYTES), own);
        let reader = crowd::open(&daemon, MEMBERS..MEMBERS + 1, None, all).remove(0);
        let mut publisher = Client::dial(Dial {
            port: daemon.port,
            source: source(0),
            receive_bytes: None,
        });
        publisher.ask_upgrade();
        publisher.read_upgrade();
        publisher.ask_connect(&token("publisher"));
        publisher.read_connect();
        Self {
            daemon,
            _stalled: stalled,
            reader,
            publisher,
        }
    }

    /// One message to each room; the reader reads them all.
    fn round(&mut self) {
        let payload = "x".repeat(PAYLOAD_BYTES);
        for first in (0..MEMBERS).step_by(WINDOW) {
            for number in first..first + WINDOW {
                let room = room(number);
                let event = format!("420[\"publish\",\"{room}\",\"{payload}\"]");
                self.publisher.send(&event);
            }
            for _ in 0..WINDOW {
                assert!(self.reader.text().starts_with("42[\"message\""));
                self.publisher.read_ack();
            }
        }
    }

    fn dropped(&self) -> u64 {
        self.daemon.metrics().sum("ringway_dropped_total")
    }

    /// Rounds until nearly each message of one drops another: the kernel may still take a few, now from one member and now from another.
    fn fill(&mut self) {
        let mut more = 0;
        for _ in 0..ROUNDS_MAX {
            let before = self.dropped();
            self.round();
            more = self.dropped() - before;
            if more >= MEMBERS as u64 * 9 / 10 {
                return;
            }
        }
        let open = self.open_count();
        panic!("the queues did not fill: the last round dropped {more}, {open} clients are left");
    }

    fn open_count(&self) -> u64 {
        self.daemon.metrics().sum("ringway_sessions")
    }
}

#[test]
fn a_queue_that_nobody_shares_costs_no_more_than_its_bound() {
    let mut rooms = Rooms::open();
    let empty = rooms.daemon.memory();
    rooms.fill();
    let growth = rooms.daemon.memory().since(empty);
    let counted = rooms.daemon.metrics().sum("ringway_queued_bytes") as i64;
    println!("per member of a room of its own: {}", growth.per(MEMBERS));
    println!("  counted as queued: {}", counted / MEMBERS as i64);
    let everybody = MEMBERS as u64 + 2;
    assert_eq!(rooms.open_count(), everybody, "nobody is closed");
    let members = MEMBERS as i64;
    assert!(counted > members * QUEUE_BYTES * 9 / 10, "{counted}");
    assert!(
        growth.anonymous > counted * 9 / 10,
        "nothing is shared: {growth}"
    );
    let most = members * (QUEUE_BYTES + IN_FLIGHT_BYTES + OVERHEAD_BYTES);
    assert!(growth.anonymous < most + NOISE_BYTES, "{growth}");
}
