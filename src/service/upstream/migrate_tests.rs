//! A worker that leaves, and the clients that go to others before it does.

use super::ToLinks;
use super::mail::MovedSocket;
use super::stage::{Stage, client};
use super::window::Window;
use crate::time::ConnId;
use ringway_proto::link::{Flags, Frame, GoAway, GoAwayMode, Json, Movement};

/// Two workers, the first of which has the clients with odd numbers.
fn stage(clients: u64) -> (Stage, ConnId, ConnId) {
    let mut stage = Stage::new(Window::default());
    stage.pass(100_000);
    let (old, new) = (stage.worker("old"), stage.worker("new"));
    (1..=clients).for_each(|number| stage.open(number, &[]));
    let is_odd = |number: &u64| number % 2 == 1;
    let odd: Vec<String> = (1..=clients)
        .filter(is_odd)
        .map(|n| format!("OPEN {n}"))
        .collect();
    assert_eq!(stage.heard_all(old), odd);
    stage.heard_all(new);
    (stage, old, new)
}

fn leave(stage: &mut Stage, conn: ConnId) {
    let json = Json::new(GoAway {
        mode: GoAwayMode::Migrate,
        reason: "deploy".into(),
        deadline_ms: 20_000,
    });
    stage.say(conn, 0, &Frame::GoAway { json });
}

/// The clients that a worker is asked for.
fn asked(stage: &mut Stage, conn: ConnId) -> Vec<u64> {
    let heard = stage.heard_all(conn);
    let numbers = heard
        .iter()
        .filter_map(|frame| frame.strip_prefix("MIGRATE_OUT "));
    numbers
        .map(|number| number.parse().expect("a number"))
        .collect()
}

#[test]
fn clients_go_at_the_pace_that_is_set() {
    let (mut stage, old, _) = stage(200);
    leave(&mut stage, old);
    let mut total = 0;
    for step in 1..=10 {
        stage.pass(100_000);
        total += asked(&mut stage, old).len();
        assert!(total <= 10 * step + 11, "{total} after {step} steps");
    }
    assert!((90..=100).contains(&total), "{total} in a second");
    stage.pass(1_000_000);
    assert_eq!(total + asked(&mut stage, old).len(), 100, "all of them");
}

#[test]
fn a_leave_that_is_said_again_asks_nobody_twice() {
    let (mut stage, old, _) = stage(100);
    leave(&mut stage, old);
    stage.pass(100_000);
    let first = asked(&mut stage, old);
    assert!(!first.is_empty());
    leave(&mut stage, old);
    stage.pass(100_000);
    let second = asked(&mut stage, old);
    assert!(!second.is_empty());
    // The first word may not have come: behind a cut it is said anew.
    stage.cut(old);
    let again = stage.accept();
    let received = 50 + first.len() + second.len();
    stage.hello_again(again, "old", Some(received as u64));
    leave(&mut stage, again);
    stage.pass(1_000_000);
    let mut all = asked(&mut stage, again);
    assert!(!all.is_empty());
    all.extend(first);
    all.extend(second);
    assert_eq!(all.len(), 50);
    all.sort_unstable();
    let mut once = all.clone();
    once.dedup();
    assert_eq!(all, once);
}

#[test]
fn what_a_client_says_meanwhile_is_for_the_next_worker_and_in_order() {
    let (mut stage, old, new) = stage(1);
    stage.data(1, "a");
    leave(&mut stage, old);
    stage.pass(100_000);
    stage.data(1, "b");
    assert_eq!(stage.heard_all(old), ["DATA 1 a", "MIGRATE_OUT 1"]);
    stage.data(1, "c");
    assert_eq!(stage.heard_all(old), [""; 0]);
    assert_eq!(stage.take_told(), [""; 0], "it is still the old one's");
    stage.say(old, 1, &Frame::MigrateOut {});
    assert_eq!(stage.take_told(), ["again 1"]);
    stage.data(1, "d");
    stage.open(1, &[]);
    let expected = ["OPEN 1", "DATA 1 b", "DATA 1 c", "DATA 1 d"];
    assert_eq!(stage.heard_all(new), expected);
    assert_eq!(stage.exchange.stats().clients_migrated, 1);
}

#[test]
fn a_packet_goes_whole_to_one_worker() {
    let (mut stage, old, new) = stage(1);
    stage.part(1, "51-", true);
    leave(&mut stage, old);
    stage.pass(300_000);
    assert_eq!(stage.heard_all(old), ["DATA 1 51-"]);
    stage.attachment(1, "whole", false);
    stage.pass(100_000);
    assert_eq!(stage.heard_all(old), ["DATA 1 whole", "MIGRATE_OUT 1"]);
    stage.say(old, 1, &Frame::MigrateOut {});
    stage.open(1, &[]);
    assert_eq!(stage.heard_all(new), ["OPEN 1"]);
}

#[test]
fn one_that_is_alone_is_told_so_and_keeps_them() {
    let mut stage = Stage::new(Window::default());
    stage.pass(100_000);
    let alone = stage.worker("a");
    stage.open(1, &[]);
    stage.heard_all(alone);
    leave(&mut stage, alone);
    stage.pass(1_000_000);
    assert_eq!(stage.heard_all(alone), ["GOAWAY 0"]);
    stage.data(1, "still here");
    assert_eq!(stage.heard_all(alone), ["DATA 1 still here"]);
    stage.open(2, &[]);
    assert_eq!(stage.exchange.stats().clients_waiting, 1, "it gets no more");
}

#[test]
fn one_that_was_alone_and_says_it_again_is_answered_again() {
    let mut stage = Stage::new(Window::default());
    stage.pass(100_000);
    let alone = stage.worker("a");
    stage.open(1, &[]);
    stage.heard_all(alone);
    for _ in 0..3 {
        leave(&mut stage, alone);
        assert_eq!(stage.heard_all(alone), ["GOAWAY 0"]);
    }
    // Whoever asks without reading costs nothing.
    let mut words = Vec::new();
    for _ in 0..500 {
        let json = Json::new(GoAway {
            mode: GoAwayMode::Migrate,
            reason: "".into(),
            deadline_ms: 20_000,
        });
        Frame::GoAway { json }.encode_into(0, Flags::NONE, &mut words);
    }
    stage.exchange.received(stage.now(), alone, &words);
    stage.flush(alone);
    assert_eq!(stage.heard_all(alone), ["GOAWAY 0"]);
    // There is another one by now.
    let next = stage.worker("b");
    leave(&mut stage, alone);
    stage.pass(100_000);
    assert_eq!(stage.heard_all(alone), ["MIGRATE_OUT 1"]);
    stage.say(alone, 1, &Frame::MigrateOut {});
    stage.open(1, &[]);
    assert_eq!(stage.heard_all(next), ["OPEN 1"]);
}

#[test]
fn a_client_that_goes_altogether_is_not_missed() {
    let (mut stage, old, _) = stage(3);
    leave(&mut stage, old);
    stage.pass(100_000);
    assert_eq!(asked(&mut stage, old), [1, 3]);
    stage.close(1);
    assert_eq!(stage.heard_all(old), ["CLOSE 1"]);
    stage.say(old, 1, &Frame::MigrateOut {});
    stage.say(old, 3, &Frame::MigrateOut {});
    assert_eq!(stage.take_told(), ["again 3"]);
    assert!(!stage.peer(old).is_closed);
}

#[test]
fn who_dies_while_it_leaves_loses_nothing_that_waits() {
    let (mut stage, old, new) = stage(3);
    leave(&mut stage, old);
    stage.pass(100_000);
    assert_eq!(asked(&mut stage, old), [1, 3]);
    stage.data(1, "waits");
    stage.kill(old);
    assert_eq!(stage.take_told(), ["again 1", "again 3"]);
    stage.open(1, &[]);
    assert_eq!(stage.heard_all(new), ["OPEN 1", "DATA 1 waits"]);
}

#[test]
fn a_link_that_is_cut_while_its_worker_leaves_comes_back() {
    let (mut stage, old, new) = stage(3);
    leave(&mut stage, old);
    stage.pass(100_000);
    stage.read(old);
    stage.cut(old);
    let again = stage.accept();
    stage.hello_again(again, "old", Some(2));
    assert_eq!(stage.read(again)[1], "WELCOME back");
    stage.say(again, 1, &Frame::MigrateOut {});
    assert_eq!(stage.take_told(), ["again 1"]);
    stage.open(1, &[]);
    assert_eq!(stage.heard_all(new), ["OPEN 1"]);
}

#[test]
fn a_client_that_is_not_handed_over_is_taken() {
    let (mut stage, old, new) = stage(1);
    leave(&mut stage, old);
    stage.pass(100_000);
    stage.data(1, "patience");
    for _ in 0..105 {
        stage.heard_all(old);
        stage.heard_all(new);
        stage.pass(100_000);
    }
    assert_eq!(stage.take_told(), ["again 1"]);
    stage.open(1, &[]);
    assert_eq!(stage.heard_all(new), ["OPEN 1", "DATA 1 patience"]);
    stage.say(old, 1, &Frame::MigrateOut {});
    assert!(!stage.peer(old).is_closed, "it was late");
}

#[test]
fn one_that_was_not_asked_for_is_not_given() {
    let (mut stage, old, _) = stage(1);
    stage.say(old, 1, &Frame::MigrateOut {});
    assert_eq!(stage.read(old), ["ERROR out-of-turn"]);
}

#[test]
fn behind_the_deadline_nobody_is_asked_for() {
    let (mut stage, old, _) = stage(10);
    stage.exchange.settings.migrations_per_second = 1;
    leave(&mut stage, old);
    for _ in 0..40 {
        stage.pass(1_000_000);
        stage.say(old, 0, &Frame::Pong { number: 0 });
    }
    let asked = asked(&mut stage, old);
    assert!(asked.len() <= 5, "{asked:?}");
}

/// A socket of the first client joins a room.
fn join(stage: &mut Stage) {
    let socket = MovedSocket {
        client: client(1),
        sid: "s",
        known: 0,
        places: 1,
    };
    stage.mail(&ToLinks::Moved {
        answers: None,
        namespace: "/",
        what: Movement::Join,
        places: vec!["r"],
        sockets: vec![socket],
    });
}

/// What its old worker says of the socket is its last word, so that it has to know.
#[test]
fn who_ends_on_its_way_is_where_it_was_moved_meanwhile() {
    let (mut stage, old, _) = stage(1);
    leave(&mut stage, old);
    stage.pass(100_000);
    assert_eq!(asked(&mut stage, old), [1]);
    join(&mut stage);
    stage.exchange.audit();
    assert_eq!(
        stage.heard_all(old),
        Vec::<String>::new(),
        "it is on its way"
    );
    stage.close(1);
    let expected = ["MOVED 1 s Join r behind 0", "CLOSE 1"];
    assert_eq!(stage.heard_all(old), expected);
    assert!(stage.exchange.clients.is_empty());
}

#[test]
fn who_is_handed_over_is_told_by_resume_where_it_is() {
    let (mut stage, old, new) = stage(1);
    leave(&mut stage, old);
    stage.pass(100_000);
    assert_eq!(asked(&mut stage, old), [1]);
    join(&mut stage);
    stage.say(old, client(1).0, &Frame::MigrateOut {});
    stage.exchange.audit();
    stage.resume(1);
    assert_eq!(stage.heard_all(new), ["RESUME 1"]);
    assert_eq!(stage.heard_all(old), Vec::<String>::new());
}
