//! Clients that come and go, by every door: nothing of them stays.

use crate::client::{Client, Dial};
use crate::crowd::{self, source};
use crate::daemon::Daemon;
use crate::memory::MIB;
use std::time::Duration;

/// How many; `LOAD_CYCLES` in the environment makes it more.
const CYCLES: usize = 20_000;
/// Clients at a time; subjects and addresses are drawn from as many.
const WAVE: usize = 200;
/// Rooms are drawn from as many; each client joins two.
const ROOMS: usize = 500;
/// What the second half may add to the first. A hundred bytes left by each client would be more.
const GROWTH_BYTES: i64 = MIB;
/// A room without members keeps its number for a minute, and is looked for every ten seconds.
const ROOMS_FORGOTTEN_WITHIN: Duration = Duration::from_secs(90);

fn cycles() -> usize {
    let wanted = std::env::var("LOAD_CYCLES").ok();
    wanted.map_or(CYCLES, |count| count.parse().expect("LOAD_CYCLES"))
}

fn rooms(number: usize) -> Vec<String> {
    let room = |number: usize| format!("room-{}", number % ROOMS);
    vec![room(number), room(number * 7 + 1)]
}

/// A polling session whose client never comes back.
fn abandon_polling(daemon: &Daemon, number: usize) {
    let mut client = Client::dial(Dial {
        port: daemon.port,
        source: source(number),
        receive_bytes: None,
    });
    client.write(b"GET /socket.io/?EIO=4&transport=polling HTTP/1.1\r\nhost: load\r\n\r\n");
    client.sip(b"HTTP/1.1 200".len());
}

/// One wave: half say goodbye, a quarter just hang up, a quarter reset; and some sessions are never heard of again.
fn wave(daemon: &Daemon, number: usize) {
    let clients = crowd::open(daemon, 0..WAVE, None, |client| {
        rooms(number * WAVE + client)
    });
    for (index, client) in clients.into_iter().enumerate() {
        match index % 4 {
            0 => drop(client),
            1 => client.reset(),
            _ => client.close(),
        }
    }
    (0..WAVE / 20).for_each(|client| abandon_polling(daemon, client));
}

/// Cycles, and then nobody: the operator's gauges say so.
fn churn(daemon: &Daemon, waves: core::ops::Range<usize>) {
    waves.for_each(|number| wave(daemon, number));
    daemon.wait_until("nobody is left", || {
        let page = daemon.metrics();
        page.sum("ringway_connections") + page.sum("ringway_sessions") == 0
    });
    assert!(daemon.rows("connections").is_empty());
    let members = daemon.rows("rooms");
    assert!(members.iter().all(|row| row["members"] == 0), "{members:?}");
}

#[test]
fn nothing_stays_of_clients_that_come_and_go() {
    let heartbeat = [
        "engine.ping_interval_ms=1000",
        "engine.ping_timeout_ms=1000",
    ];
    let daemon = Daemon::start(2, &heartbeat);
    let (empty, waves) = (daemon.memory(), cycles() / WAVE);
    churn(&daemon, 0..waves / 2);
    let half = daemon.memory();
    churn(&daemon, waves / 2..waves);
    let full = daemon.memory();
    println!(
        "{} clients came and went: {}",
        cycles() / 2,
        half.since(empty)
    );
    println!("{} more: {}", cycles() / 2, full.since(half));
    assert!(full.since(half).resident < GROWTH_BYTES);
    daemon.wait_within(ROOMS_FORGOTTEN_WITHIN, "no room is left", || {
        daemon.rows("rooms").is_empty()
    });
    println!(
        "once the rooms were forgotten: {}",
        daemon.memory().since(empty)
    );
    assert!(daemon.memory().since(half).resident < GROWTH_BYTES);
}
