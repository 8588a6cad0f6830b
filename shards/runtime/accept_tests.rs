//! A shard with two listeners: what is each one's own, and what they share.

use crate::Command;
use crate::loop_tests::Bench;
use core::time::Duration;
use ringway_io::{Errno, Key, Listener, OpKind, Outcome, Peer, RecvEnd, Socket};

const CLIENTS: Listener = Listener(0);
const LINKS: Listener = Listener(1);

const fn key(listener: Listener, generation: u32) -> Key {
    Key::new(OpKind::Accept, generation, listener.0)
}

/// Of one client; the number is its socket and its user.
const fn client(number: u32) -> Outcome {
    let peer = Peer::Unix {
        uid: number,
        pid: 1,
    };
    let result = Ok((Socket(number), peer));
    Outcome::Accepted { result, more: true }
}

const fn error(errno: i32, more: bool) -> Outcome {
    let result = Err(Errno(errno));
    Outcome::Accepted { result, more }
}

/// As the driver says that a cancelled accept is over.
const ENDED: Outcome = error(125, false);
/// And that it found the table full, before that.
const FULL: Outcome = error(23, true);

fn bench(connections_max: u32) -> Bench {
    let mut bench = Bench::with_listeners(connections_max, 2);
    assert_eq!(accepts(&mut bench), [key(CLIENTS, 0), key(LINKS, 0)]);
    bench
}

/// The accepts that were submitted since the last look.
fn accepts(bench: &mut Bench) -> Vec<Key> {
    let submitted = bench.shard.driver.submitted.drain(..).map(|(key, _)| key);
    submitted
        .filter(|key| key.kind() == OpKind::Accept)
        .collect()
}

/// The accepts that were cancelled since the last look.
fn cancelled(bench: &mut Bench) -> Vec<Key> {
    let target = |op| match op {
        ringway_io::Op::Cancel { target } => Some(target),
        _ => None,
    };
    let submitted = bench.shard.driver.submitted.drain(..);
    submitted.filter_map(|(_, op)| target(op)).collect()
}

fn pass(bench: &mut Bench, millis: u64) {
    bench.shard.driver.now += Duration::from_millis(millis);
    bench.shard.work();
}

#[test]
fn the_handler_knows_by_which_listener_a_client_came() {
    let mut bench = bench(100);
    bench.complete(key(LINKS, 0), [client(7)]);
    bench.complete(key(CLIENTS, 0), [client(8), client(9)]);
    let came = |listener, uid| (listener, Peer::Unix { uid, pid: 1 });
    assert_eq!(
        bench.shard.handler.accepted,
        [came(LINKS, 7), came(CLIENTS, 8), came(CLIENTS, 9)]
    );
    assert_eq!(bench.shard.stats.accepted, 3);
}

#[test]
fn the_bound_is_of_all_connections_together() {
    let mut bench = bench(2);
    bench.complete(key(CLIENTS, 0), [client(0)]);
    assert_eq!(cancelled(&mut bench), [], "there is room for one");
    bench.complete(key(LINKS, 0), [client(1)]);
    assert_eq!(cancelled(&mut bench), [key(CLIENTS, 0), key(LINKS, 0)]);
    // Those that the driver had accepted by then come in, and cancel nothing again.
    bench.complete(key(CLIENTS, 0), [client(2), ENDED]);
    bench.complete(key(LINKS, 0), [ENDED]);
    assert_eq!(cancelled(&mut bench), []);
    assert_eq!(bench.shard.table.live(), 3);
    leave(&mut bench, 2);
    assert_eq!(accepts(&mut bench), [], "the bound is reached still");
    leave(&mut bench, 1);
    assert_eq!(accepts(&mut bench), [key(CLIENTS, 1), key(LINKS, 1)]);
}

/// The client of that slot goes.
fn leave(bench: &mut Bench, slot: u32) {
    let conn = crate::Conn {
        slot,
        generation: 0,
    };
    let key = |kind| crate::table::key(kind, conn);
    bench.complete(key(OpKind::Recv), [Outcome::RecvEnded(RecvEnd::Eof)]);
    bench.complete(key(OpKind::Close), [Outcome::Closed]);
}

#[test]
fn a_listener_that_failed_rests_alone() {
    let mut bench = bench(100);
    bench.complete(key(LINKS, 0), [FULL, FULL, ENDED]);
    assert_eq!(bench.shard.stats.accept_errors, 1);
    pass(&mut bench, 60);
    bench.complete(key(CLIENTS, 0), [client(0)]);
    bench.complete(key(CLIENTS, 0), [FULL, ENDED]);
    assert_eq!(bench.shard.stats.accept_errors, 2);
    assert_eq!(accepts(&mut bench), [], "both rest");
    pass(&mut bench, 60);
    assert_eq!(accepts(&mut bench), [key(LINKS, 1)], "the first is due");
    pass(&mut bench, 60);
    assert_eq!(accepts(&mut bench), [key(CLIENTS, 1)]);
}

#[test]
fn each_listener_closes_when_its_own_accept_has_ended() {
    let mut bench = bench(100);
    bench.complete(key(LINKS, 0), [FULL, ENDED]);
    bench.command(Command::StopAccepting);
    assert_eq!(bench.shard.driver.stopped, [LINKS], "it had no accept");
    assert_eq!(cancelled(&mut bench), [key(CLIENTS, 0)]);
    bench.command(Command::StopAccepting);
    bench.complete(key(CLIENTS, 0), [client(0), ENDED]);
    assert_eq!(bench.shard.driver.stopped, [LINKS, CLIENTS], "once each");
    pass(&mut bench, 1000);
    assert_eq!(
        accepts(&mut bench),
        [],
        "a retry that was due opens nothing"
    );
    assert_eq!(bench.shard.stats.accept_errors, 1);
}

#[test]
fn a_shard_is_still_when_every_accept_has_ended() {
    let mut bench = bench(100);
    bench.shard.hush();
    assert_eq!(cancelled(&mut bench), [key(CLIENTS, 0), key(LINKS, 0)]);
    let seen = Key::new(OpKind::Cancel, 0, u32::MAX);
    bench.complete(seen, [Outcome::CancelSeen, Outcome::CancelSeen]);
    bench.complete(key(CLIENTS, 0), [ENDED]);
    bench.shard.still();
    assert!(!bench.shard.is_still(), "the links' accept is in flight");
    bench.complete(key(LINKS, 0), [ENDED]);
    assert!(bench.shard.is_still());
    assert_eq!(bench.shard.driver.stopped, [], "a hush closes nothing");
}
