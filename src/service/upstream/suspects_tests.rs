//! Clients on whom workers die are found, and nobody else is closed for it.

use super::mend::Notice;
use super::stage::Stage;
use super::window::Window;
use crate::time::ConnId;
use ringway_proto::link::Frame;

const SECOND_US: u64 = 1_000_000;
/// A worker that lives for so long is one with which somebody may be tried.
const PROVEN_US: u64 = SECOND_US + SECOND_US / 10;

fn stage() -> Stage {
    let mut stage = Stage::new(Window::default());
    // These are about clients: workers are taken as they come.
    stage.exchange.settings.breaker.failures_max = 0;
    stage.exchange.breaker = super::breaker::Breaker::new(
        stage.exchange.settings.breaker.clone(),
        stage.exchange.settings.hold_ms,
        1,
    );
    stage
}

/// An exception ends the worker.
fn fall(stage: &mut Stage, conn: ConnId) {
    let (code, message) = ("exception", "");
    stage.say(conn, 0, &Frame::Error { code, message });
    stage.kill(conn);
}

/// Whom the links have asked to say again who they are; they do.
fn come_again(stage: &mut Stage) -> Vec<u64> {
    let told = stage.take_told();
    let again = told.iter().filter_map(|text| text.strip_prefix("again "));
    let again: Vec<u64> = again.map(|number| number.parse().unwrap()).collect();
    again.iter().for_each(|number| stage.resume(*number));
    again
}

fn dismissed(stage: &mut Stage) -> Vec<String> {
    let told = stage.take_told();
    let mut told: Vec<String> = told
        .into_iter()
        .filter(|text| !text.starts_with("dealt"))
        .collect();
    told.sort();
    told
}

#[test]
fn a_client_on_whom_every_worker_dies_is_told_to_go() {
    let mut stage = stage();
    let conn = stage.worker("0");
    (1..=3).for_each(|number| stage.open(number, &[]));
    stage.heard_all(conn);
    stage.pass(5 * SECOND_US);
    stage.data(2, "42[\"poison\"]");
    stage.read(conn);
    fall(&mut stage, conn);

    let conn = stage.worker("1");
    let mut all = come_again(&mut stage);
    all.sort_unstable();
    assert_eq!(all, [1, 2, 3], "it may have been anything");
    stage.read(conn);
    fall(&mut stage, conn);

    // Of the three one was suspect twice.
    let conn = stage.worker("2");
    let mut well = come_again(&mut stage);
    well.sort_unstable();
    assert_eq!(well, [1, 3], "it waits");
    stage.heard_all(conn);
    stage.pass(SECOND_US / 2);
    assert_eq!(
        come_again(&mut stage),
        [0; 0],
        "until the worker has lived a while"
    );
    stage.pass(PROVEN_US / 2);
    assert_eq!(come_again(&mut stage), [2], "and is tried");
    stage.read(conn);
    fall(&mut stage, conn);
    let told = dismissed(&mut stage);
    assert!(told.contains(&"dismissed 2".to_owned()), "{told:?}");
    let notices = stage.exchange.take_notices();
    let is_told = |notice: &Notice| matches!(notice, Notice::Dismissed { deaths: 3, .. });
    assert!(notices.iter().any(is_told), "{notices:?}");
    assert_eq!(stage.exchange.stats().clients_dismissed, 1);

    let conn = stage.worker("3");
    stage.pass(5 * SECOND_US);
    let mut well = come_again(&mut stage);
    well.sort_unstable();
    assert_eq!(well, [1, 3], "the others go on");
    stage.heard_all(conn);
    assert_eq!(stage.exchange.stats().clients_waiting, 0);
}

#[test]
fn a_client_that_is_alone_has_as_many_chances() {
    let mut stage = stage();
    let mut conn = stage.worker("0");
    stage.open(1, &[]);
    for life in 1..=3 {
        stage.read(conn);
        fall(&mut stage, conn);
        let told = dismissed(&mut stage);
        assert_eq!(told == ["dismissed 1"], life == 3, "{life}: {told:?}");
        conn = stage.worker(&life.to_string());
        stage.pass(PROVEN_US);
        come_again(&mut stage);
    }
}

#[test]
fn workers_that_die_young_by_themselves_take_nobody_with_them() {
    for clients in [1, 2, 10] {
        let mut stage = stage();
        let mut conn = stage.worker("0");
        (1..=clients).for_each(|number| stage.open(number, &[]));
        for life in 1..=12 {
            // Whoever has come by then is with it when it falls.
            stage.pass(SECOND_US / 10 * (life % 10));
            come_again(&mut stage);
            stage.read(conn);
            fall(&mut stage, conn);
            conn = stage.worker(&life.to_string());
        }
        assert_eq!(stage.exchange.stats().clients_dismissed, 0, "{clients}");
        // The next one lives: all come to it, one half after the other.
        for _ in 0..100 {
            come_again(&mut stage);
            stage.heard_all(conn);
            stage.say(conn, 0, &Frame::Pong { number: 0 });
            stage.pass(SECOND_US / 10);
        }
        let stats = stage.exchange.stats();
        let left = (stats.clients_waiting, stats.clients_lost);
        assert_eq!(left, (0, 0), "{clients}");
    }
}

/// Two workers die on client 1 in a row.
fn suspect_twice(stage: &mut Stage) {
    let conn = stage.worker("0");
    stage.open(1, &[]);
    stage.read(conn);
    fall(stage, conn);
    let conn = stage.worker("1");
    come_again(stage);
    stage.read(conn);
    fall(stage, conn);
}

#[test]
fn a_fall_elsewhere_ends_no_trial() {
    let mut stage = stage();
    suspect_twice(&mut stage);
    let conn = stage.worker("2");
    stage.pass(PROVEN_US);
    assert_eq!(come_again(&mut stage), [1], "it is tried");
    stage.read(conn);
    let other = stage.worker("3");
    fall(&mut stage, other);
    fall(&mut stage, conn);
    assert_eq!(stage.exchange.stats().clients_dismissed, 1);
}

#[test]
fn who_is_tried_comes_to_a_worker_that_has_lived_a_while() {
    let mut stage = stage();
    suspect_twice(&mut stage);
    let old = stage.worker("2");
    (2..=9).for_each(|number| stage.open(number, &[]));
    stage.heard_all(old);
    stage.pass(PROVEN_US - SECOND_US / 10);
    // This one has less to do, and may die by itself.
    let young = stage.worker("3");
    stage.pass(SECOND_US / 10);
    assert_eq!(come_again(&mut stage), [1], "it is tried");
    let is_resume = |text: &String| text.starts_with("RESUME 1");
    assert!(!stage.heard(young).iter().any(is_resume));
    assert!(stage.heard(old).iter().any(is_resume));
}

#[test]
fn who_lives_on_with_a_worker_is_suspect_no_more() {
    let mut stage = stage();
    suspect_twice(&mut stage);
    let conn = stage.worker("2");
    stage.pass(PROVEN_US);
    assert_eq!(come_again(&mut stage), [1]);
    for _ in 0..30 {
        stage.heard_all(conn);
        stage.say(conn, 0, &Frame::Pong { number: 0 });
        stage.pass(SECOND_US / 10);
    }
    stage.data(1, "42[1]");
    stage.read(conn);
    fall(&mut stage, conn);
    stage.worker("3");
    assert_eq!(come_again(&mut stage), [1], "at once");
    assert_eq!(stage.exchange.stats().clients_dismissed, 0);
}

#[test]
fn workers_that_are_killed_or_go_on_after_an_exception_say_nothing_of_clients() {
    let mut stage = stage();
    let mut conn = stage.worker("0");
    stage.open(1, &[]);
    for life in 1..10 {
        stage.read(conn);
        if life % 2 == 0 {
            let (code, message) = ("exception", "");
            stage.say(conn, 0, &Frame::Error { code, message });
            for _ in 0..50 {
                stage.heard_all(conn);
                stage.say(conn, 0, &Frame::Pong { number: 0 });
                stage.pass(SECOND_US / 10);
            }
        }
        stage.kill(conn);
        conn = stage.worker(&life.to_string());
        assert_eq!(come_again(&mut stage), [1], "{life}");
    }
    assert_eq!(stage.exchange.stats().clients_dismissed, 0);
}

#[test]
fn nobody_is_looked_for_where_that_is_switched_off() {
    let mut stage = stage();
    stage.exchange.settings.breaker.client_deaths_max = 0;
    let mut conn = stage.worker("0");
    stage.open(1, &[]);
    for life in 1..10 {
        stage.read(conn);
        fall(&mut stage, conn);
        conn = stage.worker(&life.to_string());
        assert_eq!(come_again(&mut stage), [1], "{life}");
    }
}
