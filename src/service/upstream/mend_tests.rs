//! Workers that get stuck, die again and again, or lie, and what becomes of their clients.

use super::breaker::OnFailure;
use super::exchange::{Exchange, ExchangeSettings};
use super::mail::ToLinks;
use super::mend::{Failure, Notice};
use super::stage::{Stage, breaker, client};
use super::window::Window;
use crate::time::ConnId;
use ringway_proto::link::{Frame, Part, Payload};

const SECOND_US: u64 = 1_000_000;

fn stage(on_failure: OnFailure) -> Stage {
    let mut stage = Stage::new(Window::default());
    let settings = ExchangeSettings {
        breaker: super::breaker::BreakerSettings {
            on_failure,
            ..breaker()
        },
        ..stage.exchange.settings.clone()
    };
    stage.exchange = Exchange::new(settings, 1, [1, 2]);
    stage
}

/// Time goes by for workers that answer pings and deal with what they are sent, and for others.
fn pass_with(stage: &mut Stage, well: &[ConnId], us: u64) {
    for _ in 0..us / 100_000 {
        stage.pass(100_000);
        for conn in well {
            stage.heard_all(*conn);
            stage.say(*conn, 0, &Frame::Pong { number: 0 });
        }
    }
}

fn notices(stage: &mut Stage) -> Vec<&'static str> {
    let notices = stage.exchange.take_notices();
    let name = |notice: &Notice| match notice {
        Notice::Opened { failure, .. } => match failure {
            Failure::Stalled => "stalled",
            Failure::Died => "died",
            Failure::Lied => "lied",
            Failure::Mute => "mute",
            Failure::Unanswered => "unanswered connects",
            Failure::Misjudged => "misjudged",
            Failure::Flooded => "flooded",
        },
        Notice::TurnedAway { .. } => "turned away",
        Notice::Refused { .. } => "refused",
        Notice::Kept { .. } => "kept",
        Notice::Unanswered { .. } => "unanswered",
        Notice::Dismissed { .. } => "dismissed",
        Notice::HalfOpen { .. } => "half open",
        Notice::Closed { .. } => "closed",
        Notice::Taken { .. } => "taken",
        Notice::Crowded { .. } => "crowded",
    };
    // What each link was told is another test.
    let notices = notices.iter().map(name);
    notices.filter(|name| *name != "refused").collect()
}

/// A worker that joins, gets a client if it may, and dies.
fn die(stage: &mut Stage, instance: &str) {
    let conn = stage.worker(instance);
    stage.kill(conn);
}

#[test]
fn clients_of_a_stuck_worker_go_to_another_one() {
    let mut stage = stage(OnFailure::Hold);
    let stuck = stage.worker("a");
    stage.open(1, &[]);
    let well = stage.worker("b");
    stage.open(2, &[]);
    stage.data(1, "42[\"never returns\"]");
    stage.read(stuck);
    pass_with(&mut stage, &[well], 9 * SECOND_US);
    assert_eq!(stage.take_told(), Vec::<String>::new(), "not yet");
    pass_with(&mut stage, &[well], 2 * SECOND_US);
    assert_eq!(notices(&mut stage), ["stalled"]);
    assert_eq!(stage.take_told(), ["again 1"]);
    assert!(stage.read(stuck).contains(&"ERROR stalled".to_owned()));
    stage.open(1, &[]);
    assert_eq!(
        stage.heard_all(well),
        ["OPEN 1"],
        "what it was sent is lost"
    );
    assert_eq!(stage.exchange.stats().stalls, 1);
}

#[test]
fn a_worker_that_has_just_come_is_not_stuck_however_old_the_daemon_is() {
    let mut stage = stage(OnFailure::Hold);
    let well = stage.worker("a");
    pass_with(&mut stage, &[well], 60 * SECOND_US);
    let new = stage.worker("b");
    stage.open(1, &[]);
    stage.open(2, &[]);
    // It has not dealt with what it was sent when workers are looked at next.
    pass_with(&mut stage, &[well], 9 * SECOND_US);
    assert_eq!(notices(&mut stage), [""; 0]);
    assert!(!stage.read(new).contains(&"ERROR stalled".to_owned()));
    pass_with(&mut stage, &[well], 2 * SECOND_US);
    assert_eq!(notices(&mut stage), ["stalled"], "it is, behind that");
}

#[test]
fn what_a_stuck_worker_was_sent_is_delivered_again_if_that_is_wanted() {
    let mut stage = stage(OnFailure::Hold);
    stage.exchange.settings.redeliver = true;
    let stuck = stage.worker("a");
    stage.open(1, &[]);
    let well = stage.worker("b");
    stage.data(1, "42[\"never returns\"]");
    stage.read(stuck);
    pass_with(&mut stage, &[well], 11 * SECOND_US);
    stage.open(1, &[]);
    let heard = stage.heard_all(well);
    assert_eq!(heard, ["OPEN 1", "DATA 1 42[\"never returns\"]"]);
}

#[test]
fn two_seconds_of_silence_are_nothing() {
    let mut stage = stage(OnFailure::Hold);
    let conn = stage.worker("a");
    stage.worker("b");
    stage.open(1, &[]);
    for _ in 0..20 {
        stage.data(1, "42[1]");
        pass_with(&mut stage, &[], 2 * SECOND_US);
        stage.heard_all(conn);
        stage.say(conn, 0, &Frame::Pong { number: 0 });
        for conn in [1, 2].map(ConnId::new) {
            stage.heard_all(conn);
            stage.say(conn, 0, &Frame::Pong { number: 0 });
        }
    }
    assert_eq!(notices(&mut stage), [""; 0]);
}

#[test]
fn a_daemon_that_did_not_read_or_run_is_not_judge_of_workers() {
    let mut stage = stage(OnFailure::Hold);
    stage.worker("a");
    stage.worker("b");
    stage.open(1, &[]);
    stage.block(true);
    stage.pass(30 * SECOND_US);
    stage.block(false);
    stage.pass(5 * SECOND_US);
    // The machine sleeps.
    stage.now_us += 60 * SECOND_US;
    stage.pass(5 * SECOND_US);
    assert_eq!(notices(&mut stage), [""; 0]);
}

#[test]
fn a_stuck_worker_that_is_alone_keeps_its_clients_and_goes_on_with_them() {
    let mut stage = stage(OnFailure::Hold);
    let conn = stage.worker("a");
    stage.open(1, &[]);
    stage.data(1, "42[1]");
    let heard = stage.read(conn);
    assert_eq!(heard, ["OPEN 1", "DATA 1 42[1]"]);
    stage.pass(11 * SECOND_US);
    assert_eq!(notices(&mut stage), ["stalled"]);
    stage.open(2, &[]);
    assert_eq!(stage.exchange.stats().clients_waiting, 1, "it gets no more");
    // It is back.
    stage.heard_all(conn);
    pass_with(&mut stage, &[conn], 3 * SECOND_US);
    assert_eq!(notices(&mut stage), ["half open", "closed"]);
    assert_eq!(stage.take_told(), ["again 2"]);
    assert_eq!(stage.exchange.stats().workers_isolated, 0);
}

#[test]
fn a_worker_that_comes_relieves_one_that_is_stuck() {
    let mut stage = stage(OnFailure::Hold);
    let stuck = stage.worker("a");
    stage.open(1, &[]);
    stage.read(stuck);
    stage.pass(11 * SECOND_US);
    assert_eq!(stage.take_told(), Vec::<String>::new());
    let conn = stage.accept();
    stage.hello_named(conn, "b", "another");
    pass_with(&mut stage, &[conn], SECOND_US);
    assert_eq!(stage.take_told(), ["again 1"]);
}

#[test]
fn a_stuck_worker_that_comes_back_gets_one_client_first() {
    let mut stage = stage(OnFailure::Hold);
    let stuck = stage.worker("a");
    for number in 1..=10 {
        stage.open(number, &[]);
    }
    stage.read(stuck);
    let well = stage.accept();
    stage.hello_named(well, "b", "another");
    pass_with(&mut stage, &[well], 11 * SECOND_US);
    assert_eq!(stage.take_told().len(), 10);
    (1..=10).for_each(|number| stage.open(number, &[]));
    let back = stage.worker("a");
    pass_with(&mut stage, &[well, back], SECOND_US);
    notices(&mut stage);
    stage.open(11, &[]);
    assert_eq!(
        stage.heard_all(back),
        ["OPEN 11"],
        "the one to be tried with"
    );
    stage.open(12, &[]);
    assert_eq!(stage.heard_all(well), ["OPEN 12"]);
    pass_with(&mut stage, &[well, back], 2 * SECOND_US);
    assert_eq!(notices(&mut stage), ["closed"]);
    stage.open(13, &[]);
    assert_eq!(stage.heard_all(back), ["OPEN 13"], "it has least to do");
}

#[test]
fn a_crash_loop_burns_one_client_at_a_time_and_another_one_each_time() {
    let mut stage = stage(OnFailure::Hold);
    (1..=3).for_each(|number| stage.open(number, &[]));
    for death in 0..5 {
        let conn = stage.worker(&format!("w{death}"));
        assert_eq!(stage.take_told(), ["again 1", "again 2", "again 3"]);
        (1..=3).for_each(|number| stage.open(number, &[]));
        assert_eq!(stage.heard_all(conn), ["OPEN 1", "OPEN 2", "OPEN 3"]);
        stage.kill(conn);
    }
    assert_eq!(notices(&mut stage), ["died"]);
    let mut tried = Vec::new();
    for life in 5..8 {
        let conn = stage.worker(&format!("w{life}"));
        let told = until_told(&mut stage, conn);
        let [told] = &*told else {
            panic!("{told:?} for a worker that is tried");
        };
        tried.push(told.clone());
        let number = told["again ".len()..].parse().unwrap();
        stage.open(number, &[]);
        assert_eq!(stage.heard_all(conn), [format!("OPEN {number}")]);
        stage.kill(conn);
        assert_eq!(notices(&mut stage), ["half open", "died"]);
    }
    assert_eq!(tried, ["again 1", "again 2", "again 3"]);
    let last = stage.worker("w8");
    assert_eq!(until_told(&mut stage, last), ["again 1"]);
    stage.open(1, &[]);
    pass_with(&mut stage, &[last], 2 * SECOND_US);
    assert_eq!(notices(&mut stage), ["half open", "closed"]);
    assert_eq!(stage.take_told(), ["again 2", "again 3"]);
    assert_eq!(stage.exchange.stats().clients_lost, 0);
}

/// What clients' shards are told, once they are.
fn until_told(stage: &mut Stage, conn: ConnId) -> Vec<String> {
    for _ in 0..150 {
        pass_with(stage, &[conn], 100_000);
        let told = stage.take_told();
        if !told.is_empty() {
            return told;
        }
    }
    Vec::new()
}

#[test]
fn old_workers_and_those_that_say_goodbye_may_die() {
    let mut stage = stage(OnFailure::Hold);
    for number in 0..20 {
        let conn = stage.worker(&format!("w{number}"));
        pass_with(&mut stage, &[conn], 60 * SECOND_US);
        stage.kill(conn);
    }
    assert_eq!(notices(&mut stage), [""; 0]);
}

#[test]
fn other_names_are_not_touched() {
    let mut stage = stage(OnFailure::Hold);
    (0..5).for_each(|number| die(&mut stage, &format!("w{number}")));
    assert_eq!(notices(&mut stage), ["died"]);
    let conn = stage.accept();
    stage.hello_named(conn, "x", "another");
    stage.open(1, &[]);
    assert_eq!(stage.heard_all(conn)[2..], ["OPEN 1"]);
}

#[test]
fn a_worker_that_lies_again_and_again_is_kept_from_clients() {
    let mut stage = stage(OnFailure::Hold);
    let mut conn = stage.worker("a");
    stage.open(1, &[]);
    let lie = Frame::Credit {
        frames: 999,
        bytes: 9,
    };
    for count in 0..4 {
        stage.say(conn, 0, &lie);
        stage.cut(conn);
        assert_eq!(notices(&mut stage), [""; 0], "{count}");
        conn = stage.accept();
        stage.hello_again(conn, "a", Some(0));
        assert!(stage.read(conn).contains(&"WELCOME back".to_owned()));
        stage.say(conn, 0, &Frame::Pong { number: 0 });
    }
    stage.say(conn, 0, &lie);
    assert_eq!(notices(&mut stage), ["lied"]);
    stage.cut(conn);
    let again = stage.worker("a");
    assert_eq!(stage.take_told(), Vec::<String>::new(), "it waits");
    assert_eq!(until_told(&mut stage, again), ["again 1"]);
}

#[test]
fn refused_clients_hear_it_at_once_and_one_may_try() {
    let mut stage = stage(OnFailure::Refuse);
    stage.open(1, &[]);
    assert_eq!(stage.take_told(), Vec::<String>::new(), "nobody has failed");
    let conn = stage.worker("a");
    assert_eq!(stage.take_told(), ["again 1"]);
    stage.open(1, &[]);
    stage.read(conn);
    stage.pass(11 * SECOND_US);
    assert_eq!(stage.take_told(), ["failing 1"]);
    stage.open(2, &[]);
    assert_eq!(stage.take_told(), ["failing 2"]);
    let back = stage.worker("a");
    pass_with(&mut stage, &[back], 2 * SECOND_US);
    stage.open(3, &[]);
    stage.open(4, &[]);
    assert_eq!(stage.take_told(), ["failing 4"]);
    pass_with(&mut stage, &[back], 2 * SECOND_US);
    stage.open(5, &[]);
    assert_eq!(stage.heard_all(back), ["OPEN 5"]);
    assert_eq!(stage.exchange.stats().clients_refused, 3);
    assert!(!stage.exchange.clients.contains_key(&client(1)));
}

#[test]
fn requests_hear_at_once_that_workers_fail_and_one_may_try() {
    let mut stage = stage(OnFailure::Refuse);
    let ask = |stage: &mut Stage, question| {
        let json = r#"{"method":"GET","url":"/","headers":[],"address":"::1","secure":false}"#;
        stage.mail(&ToLinks::Ask {
            shard: 0,
            question,
            affinity: None,
            json,
        });
        stage.take_told()
    };
    (0..4).for_each(|number| die(&mut stage, &format!("w{number}")));
    let last = stage.worker("w4");
    assert_eq!(ask(&mut stage, 1), Vec::<String>::new(), "it is asked");
    stage.kill(last);
    assert_eq!(stage.take_told(), ["judged 1 Failing"]);
    assert_eq!(ask(&mut stage, 2), ["judged 2 Failing"]);
    let back = stage.worker("w5");
    pass_with(&mut stage, &[back], 2 * SECOND_US);
    assert_eq!(ask(&mut stage, 3), Vec::<String>::new());
    assert_eq!(ask(&mut stage, 4), ["judged 4 Failing"]);
    assert_eq!(stage.heard_all(back), ["HS_REQ 0"], "3 is tried");
}

#[test]
fn one_client_that_goes_is_as_good_as_one_that_stays() {
    let mut stage = stage(OnFailure::Hold);
    (0..5).for_each(|number| die(&mut stage, &format!("w{number}")));
    let conn = stage.worker("w5");
    pass_with(&mut stage, &[conn], 2 * SECOND_US);
    stage.open(1, &[]);
    assert_eq!(stage.heard_all(conn), ["OPEN 1"]);
    stage.close(1);
    pass_with(&mut stage, &[conn], 2 * SECOND_US);
    assert_eq!(notices(&mut stage), ["died", "half open", "closed"]);
}

#[test]
fn a_client_that_goes_before_it_was_heard_makes_room_for_another() {
    let mut stage = stage(OnFailure::Hold);
    (0..5).for_each(|number| die(&mut stage, &format!("w{number}")));
    let conn = stage.worker("w5");
    stage.open(1, &[]);
    stage.open(2, &[]);
    let told = until_told(&mut stage, conn);
    assert_eq!(told, ["again 1"]);
    stage.close(1);
    assert_eq!(until_told(&mut stage, conn), ["again 2"]);
}

#[test]
fn a_peer_that_lies_again_and_again_waits_and_no_other_does() {
    let mut stage = stage(OnFailure::Hold);
    let lie = |stage: &mut Stage| {
        let conn = stage.accept();
        stage.say(conn, 0, &Frame::Ping { number: 1 });
        stage.cut(conn);
    };
    (0..19).for_each(|_| lie(&mut stage));
    assert_eq!(notices(&mut stage), [""; 0]);
    lie(&mut stage);
    assert_eq!(notices(&mut stage), ["turned away"]);
    let conn = stage.accept();
    assert!(stage.peer(conn).is_closed && stage.read(conn).is_empty());
    assert_eq!(stage.exchange.stats().links_turned_away, 1);
    stage.peer = "process 2".to_owned();
    stage.worker("honest");
    stage.peer = "process 1".to_owned();
    stage.pass(1_100_000);
    lie(&mut stage);
    assert_eq!(notices(&mut stage), ["turned away"], "one more is enough");
    stage.pass(SECOND_US);
    let conn = stage.accept();
    assert!(stage.peer(conn).is_closed, "and it waits for twice as long");
    stage.pass(10 * SECOND_US);
    stage.worker("honest by now");
}

const CONNECT: &str = "0";

/// A client that asks to be let in.
fn knock(stage: &mut Stage, number: u64) {
    stage.open(number, &[]);
    stage.data(number, CONNECT);
}

/// The worker refuses a client.
fn turn_down(stage: &mut Stage, conn: ConnId, number: u64) {
    let payload = Payload(Part::Text(r#"4{"message":"no"}"#));
    stage.say(conn, client(number).0, &Frame::Send { payload });
}

#[test]
fn a_worker_that_lets_nobody_in_loses_its_clients_to_another_one() {
    let mut stage = stage(OnFailure::Hold);
    let mute = stage.worker("a");
    knock(&mut stage, 1);
    let well = stage.accept();
    stage.hello_named(well, "b", "another");
    pass_with(&mut stage, &[mute, well], 49 * SECOND_US);
    assert_eq!(notices(&mut stage), [""; 0], "it may be slow");
    pass_with(&mut stage, &[mute, well], 2 * SECOND_US);
    assert_eq!(notices(&mut stage), ["unanswered connects"]);
    assert_eq!(stage.take_told(), ["again 1"]);
    // Its next life is tried with one client, and dealing with its frames is not enough.
    let again = stage.worker("a");
    pass_with(&mut stage, &[again, well], SECOND_US);
    knock(&mut stage, 2);
    pass_with(&mut stage, &[again, well], 9 * SECOND_US);
    assert_eq!(notices(&mut stage), ["half open"]);
    pass_with(&mut stage, &[again, well], 2 * SECOND_US);
    assert_eq!(notices(&mut stage), ["unanswered connects"]);
    assert_eq!(stage.take_told(), ["again 2"]);
}

#[test]
fn a_worker_that_refuses_its_one_client_is_sound() {
    let mut stage = stage(OnFailure::Hold);
    let conn = stage.worker("a");
    knock(&mut stage, 1);
    pass_with(&mut stage, &[conn], 53 * SECOND_US);
    let told = ["unanswered connects", "half open"];
    assert_eq!(notices(&mut stage), told, "alone it stays");
    knock(&mut stage, 2);
    pass_with(&mut stage, &[conn], 2 * SECOND_US);
    assert_eq!(stage.exchange.stats().workers_isolated, 1);
    turn_down(&mut stage, conn, 2);
    pass_with(&mut stage, &[conn], SECOND_US);
    assert_eq!(notices(&mut stage), ["closed"]);
}

#[test]
fn a_worker_that_is_slow_to_answer_is_not_kept_from_clients() {
    let mut stage = stage(OnFailure::Hold);
    let conn = stage.worker("a");
    for number in 0..10 {
        knock(&mut stage, 2 * number);
        knock(&mut stage, 2 * number + 1);
        // The other one is never answered, and is its own affair.
        pass_with(&mut stage, &[conn], 25 * SECOND_US);
        turn_down(&mut stage, conn, 2 * number);
    }
    assert_eq!(notices(&mut stage), [""; 0]);
}

/// A peer's links are refused until they are turned away.
fn shut_the_door(stage: &mut Stage) {
    for _ in 0..20 {
        let conn = stage.accept();
        stage.say(conn, 0, &Frame::Ping { number: 1 });
        stage.cut(conn);
    }
    assert_eq!(notices(stage), ["turned away"]);
}

#[test]
fn a_host_whose_links_are_turned_away_is_let_in_now_and_then() {
    let mut stage = stage(OnFailure::Hold);
    stage.is_over_tcp = true;
    shut_the_door(&mut stage);
    let conn = stage.accept();
    assert_eq!(stage.read(conn), ["CHALLENGE 0"], "it may be another one");
    let conn = stage.accept();
    assert!(stage.peer(conn).is_closed);
    stage.pass(SECOND_US);
    let conn = stage.accept();
    assert!(!stage.peer(conn).is_closed);
}

#[test]
fn nobody_is_turned_away_for_what_another_process_said_that_is_not_told_from_it() {
    let mut stage = stage(OnFailure::Hold);
    stage.peer = super::link::LinkPeer::UNKNOWN.to_owned();
    for _ in 0..40 {
        let conn = stage.accept();
        stage.say(conn, 0, &Frame::Ping { number: 1 });
        stage.cut(conn);
    }
    assert_eq!(notices(&mut stage), [""; 0]);
    stage.worker("honest");
}
