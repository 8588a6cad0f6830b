//! `link.on_worker_loss = "strict"`: whoever waits for an acknowledgement of a process that is gone is closed, and nobody else.

use super::exchange::{Exchange, ExchangeSettings};
use super::mend::Notice;
use super::owed::OnWorkerLoss;
use super::stage::Stage;
use super::window::Window;
use crate::time::ConnId;
use ringway_proto::link::{Frame, GoAway, GoAwayMode, Json, Part, Payload};

fn stage_with(redeliver: bool) -> Stage {
    let mut stage = Stage::new(Window::default());
    let settings = ExchangeSettings {
        on_worker_loss: OnWorkerLoss::Strict,
        redeliver,
        ..stage.exchange.settings.clone()
    };
    stage.exchange = Exchange::new(settings, 1, [1, 2]);
    stage
}

fn answer(stage: &mut Stage, conn: ConnId, client: u64, text: &str) {
    let payload = Payload(Part::Text(text));
    stage.say(conn, client, &Frame::Send { payload });
}

fn closed(stage: &mut Stage) -> Vec<String> {
    let mut told = stage.take_told();
    told.retain(|told| told.starts_with("unanswered"));
    told
}

#[test]
fn who_waits_is_closed_and_who_does_not_stays() {
    let mut stage = stage_with(false);
    let first = stage.worker("a");
    for number in 1..=4 {
        stage.open(number, &["0"]);
    }
    stage.data(1, "20[\"a\"]");
    stage.data(2, "20[\"a\"]");
    stage.data(3, "2[\"a\"]");
    stage.heard_all(first);
    answer(&mut stage, first, 2, "30[]");
    stage.kill(first);
    assert_eq!(closed(&mut stage), ["unanswered 1"]);
    let stats = stage.exchange.stats();
    assert_eq!((stats.clients_unanswered, stats.clients_waiting), (1, 3));
    let notices = stage.exchange.take_notices();
    let told = Notice::Unanswered {
        worker: "a".to_owned(),
        clients: 1,
    };
    assert!(notices.contains(&told), "{notices:?}");

    // Nothing of it is waited for at the next one.
    let next = stage.worker("b");
    (2..=4).for_each(|number| stage.open(number, &[]));
    stage.heard_all(next);
    stage.kill(next);
    assert!(closed(&mut stage).is_empty());
}

#[test]
fn what_no_worker_was_sent_is_the_next_ones() {
    let mut stage = stage_with(false);
    let first = stage.worker("a");
    stage.open(1, &[]);
    stage.heard_all(first);
    stage.cut(first);
    stage.data(1, "20[\"a\"]");
    stage.pass(600_000);
    assert!(closed(&mut stage).is_empty());
    let next = stage.worker("b");
    stage.open(1, &[]);
    assert_eq!(stage.heard(next), ["OPEN 1", "DATA 1 20[\"a\"]"]);
    stage.kill(next);
    assert_eq!(closed(&mut stage), ["unanswered 1"]);
}

#[test]
fn what_is_redelivered_is_not_lost() {
    for (redeliver, expected) in [(true, 0), (false, 1)] {
        let mut stage = stage_with(redeliver);
        let first = stage.worker("a");
        stage.open(1, &[]);
        stage.data(1, "20[\"a\"]");
        stage.read(first);
        stage.kill(first);
        assert_eq!(closed(&mut stage).len(), expected, "{redeliver}");
    }
    // It had dealt with it: it is not said again.
    let mut stage = stage_with(true);
    let first = stage.worker("a");
    stage.open(1, &[]);
    stage.data(1, "20[\"a\"]");
    stage.heard_all(first);
    stage.kill(first);
    assert_eq!(closed(&mut stage), ["unanswered 1"]);
}

#[test]
fn an_event_that_is_said_again_and_was_answered_takes_nobody_elses_place() {
    let mut stage = stage_with(true);
    let first = stage.worker("a");
    stage.open(1, &[]);
    // More than are remembered one by one; what is beyond is counted.
    for id in 0..=300 {
        stage.data(1, &format!("2{id}[\"a\"]"));
    }
    stage.heard_all(first);
    (0..300).for_each(|id| answer(&mut stage, first, 1, &format!("3{id}[]")));
    stage.data(1, "2999[\"a\"]");
    stage.read(first);
    answer(&mut stage, first, 1, "3999[]");
    stage.kill(first);
    assert_eq!(closed(&mut stage), ["unanswered 1"], "300 is owed");
}

#[test]
fn a_client_that_is_handed_over_stays() {
    let mut stage = stage_with(false);
    let old = stage.worker("a");
    stage.open(1, &[]);
    stage.data(1, "20[\"a\"]");
    stage.heard_all(old);
    stage.worker("b");
    let json = Json::new(GoAway {
        mode: GoAwayMode::Migrate,
        reason: "deploy".into(),
        deadline_ms: 20_000,
    });
    stage.say(old, 0, &Frame::GoAway { json });
    stage.pass(200_000);
    let asked = stage.heard_all(old);
    assert!(asked.contains(&"MIGRATE_OUT 1".to_owned()), "{asked:?}");
    stage.say(old, 1, &Frame::MigrateOut {});
    stage.kill(old);
    assert!(closed(&mut stage).is_empty());
    assert_eq!(stage.exchange.stats().clients_waiting, 1);
}

#[test]
fn by_default_nobody_is_closed_and_nothing_is_remembered() {
    let mut stage = Stage::new(Window::default());
    let first = stage.worker("a");
    stage.open(1, &[]);
    stage.data(1, "20[\"a\"]");
    stage.heard_all(first);
    assert_eq!(stage.exchange.all_owed.get(), 0);
    stage.kill(first);
    assert!(closed(&mut stage).is_empty());
}
