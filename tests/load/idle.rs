//! Bytes per idle connection: tokens checked, limits on, two rooms joined, pings answered, everything else by default.

use crate::client::Client;
use crate::crowd;
use crate::daemon::{Daemon, PATIENCE};
use crate::memory::Memory;
use std::thread;
use std::time::{Duration, Instant};

const CONNECTIONS: usize = 10_000;
const GROUP: usize = 100;
/// Time between two rounds of answering pings.
const ROUND: Duration = Duration::from_millis(200);
/// Resident bytes that one connection may add. Well above what is measured: it is there to catch a buffer or a table that stays.
const RESIDENT_BYTES_MAX: i64 = 3 * 1024;

/// How many, from the environment: `LOAD_IDLE=19000` is as many as a table of descriptors holds.
fn connections() -> usize {
    let wanted = std::env::var("LOAD_IDLE").ok();
    wanted.map_or(CONNECTIONS, |count| count.parse().expect("LOAD_IDLE"))
}

fn rooms(number: usize) -> Vec<String> {
    vec!["common".to_owned(), format!("group-{}", number / GROUP)]
}

/// Answers pings until every client has had one.
fn answer_pings(clients: &mut [Client]) {
    let mut unheard: Vec<bool> = vec![true; clients.len()];
    let over = Instant::now() + PATIENCE;
    while unheard.contains(&true) {
        assert!(Instant::now() < over, "every client is pinged by then");
        for (client, unheard) in clients.iter_mut().zip(&mut unheard) {
            *unheard &= client.answer_pings() == 0;
        }
        thread::sleep(ROUND);
    }
}

fn print_row(shards: u16, from: usize, to: usize, growth: Memory) {
    let each = growth.per(to - from);
    println!(
        "| {shards} | {from} to {to} | {} | {} | {} |",
        each.resident, each.anonymous, each.slab
    );
}

fn check_idle(shards: u16) {
    let (daemon, count) = (Daemon::start(shards, &[]), connections());
    let empty = daemon.memory();
    let mut clients = crowd::open(&daemon, 0..count / 2, None, rooms);
    let half = daemon.memory();
    clients.append(&mut crowd::open(&daemon, count / 2..count, None, rooms));
    answer_pings(&mut clients);
    let full = daemon.memory();
    assert_eq!(
        daemon.metrics().sum("ringway_sessions_websocket"),
        count as u64
    );
    println!("bytes per idle connection (the kernel's slab is for both ends of it):");
    println!("| shards | connections | resident | anonymous | kernel slab |");
    println!("|---|---|---|---|---|");
    print_row(shards, 0, count / 2, half.since(empty));
    print_row(shards, count / 2, count, full.since(half));
    print_row(shards, 0, count, full.since(empty));
    let each = full.since(empty).per(count);
    assert!(each.resident < RESIDENT_BYTES_MAX, "{each}");
}

#[test]
fn one_shard() {
    check_idle(1);
}

#[test]
fn two_shards() {
    check_idle(2);
}
