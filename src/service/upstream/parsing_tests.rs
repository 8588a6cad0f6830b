//! Who may say how packets are encoded, and what becomes of messages that nobody here can read.

use super::applications::AppId;
use super::mail::Said;
use super::stage::{Stage, client};
use super::window::Window;
use super::{ToLinks, exchange::ExchangeSettings};
use crate::time::ConnId;
use ringway_proto::link::{Bind, Frame, Json};
use serde_json::value::RawValue;

fn stage() -> Stage {
    Stage::new(Window::default())
}

fn bind(stage: &mut Stage, conn: ConnId, parser: &str) {
    let opts = RawValue::from_string("{}".to_owned()).expect("it is JSON");
    let json = Json::new(Bind {
        path: "/socket.io/".into(),
        opts: &opts,
        rpc: "none".into(),
        parser: parser.into(),
        namespaces: None,
    });
    stage.say(conn, 0, &Frame::Bind { json });
}

#[track_caller]
fn is_refused(stage: &mut Stage, conn: ConnId) {
    assert_eq!(stage.read(conn).last().unwrap(), "ERROR not-allowed");
}

/// What shards are told of parsers.
fn parsers(stage: &mut Stage) -> Vec<String> {
    let told = stage.take_told().into_iter();
    told.filter(|text| text.starts_with("parser")).collect()
}

#[test]
fn shards_hear_of_a_parser_when_it_is_another_one() {
    let mut stage = stage();
    let first = stage.worker("a");
    bind(&mut stage, first, "opaque");
    let second = stage.worker("b");
    bind(&mut stage, second, "opaque");
    assert_eq!(parsers(&mut stage), ["parser Opaque"]);
    stage.kill(first);
    stage.kill(second);
    let third = stage.worker("c");
    bind(&mut stage, third, "default");
    assert_eq!(parsers(&mut stage), ["parser Text"]);
}

#[test]
fn an_application_has_one_parser_and_no_third_kind() {
    for (first, second) in [("default", "opaque"), ("opaque", "default")] {
        let mut stage = stage();
        let conn = stage.worker("a");
        bind(&mut stage, conn, first);
        let other = stage.worker("b");
        bind(&mut stage, other, second);
        is_refused(&mut stage, other);
        assert!(!stage.peer(conn).is_closed);
        stage.kill(conn);
        let other = stage.worker("c");
        bind(&mut stage, other, second);
        assert_eq!(stage.exchange.stats().links_refused, 1, "nobody is left");
    }
    let mut stage = stage();
    let conn = stage.worker("a");
    bind(&mut stage, conn, "latin");
    is_refused(&mut stage, conn);
}

#[test]
fn a_parser_of_ones_own_has_no_place_beside_native_namespaces() {
    let mut stage = stage();
    stage.exchange.keep_native(["/live".to_owned()].into());
    let conn = stage.worker("a");
    bind(&mut stage, conn, "opaque");
    is_refused(&mut stage, conn);
}

#[test]
fn what_a_dead_worker_had_not_dealt_with_is_said_again_message_by_message() {
    let settings = ExchangeSettings {
        redeliver: true,
        ..stage().exchange.settings
    };
    let mut stage = stage();
    stage.exchange = super::Exchange::new(settings, 1, [1, 2]);
    let conn = stage.worker("a");
    bind(&mut stage, conn, "opaque");
    stage.open(1, &[]);
    stage.heard(conn);
    stage.attachment(1, "one", false);
    stage.attachment(1, "two", false);
    stage.part(1, "53-three", false);
    assert_eq!(stage.read(conn).len(), 3, "without credit");
    stage.kill(conn);
    let next = stage.worker("b");
    stage.open(1, &[]);
    let heard = stage.heard_all(next);
    assert_eq!(
        heard,
        ["OPEN 1", "DATA 1 one", "DATA 1 two", "DATA 1 53-three"]
    );
}

#[test]
fn what_nobody_answered_and_still_waits_is_not_said_twice() {
    let mut stage = stage();
    stage.open(1, &[]);
    stage.attachment(1, "connect", false);
    let conn = stage.worker("a");
    let said = |is_binary| Said {
        is_binary,
        body: b"connect",
    };
    stage.mail(&ToLinks::Open {
        app: AppId::MAIN,
        client: client(1),
        resumes: false,
        worker: None,
        affinity: None,
        json: "{}",
        connects: vec![said(true), said(false)],
    });
    // A text of the same bytes is another message.
    assert_eq!(
        stage.heard_all(conn),
        ["OPEN 1", "DATA 1 connect", "DATA 1 connect"]
    );
}
