//! Requests that workers judge, and what they say of themselves in BIND.

use super::applications::AppId;
use super::mail::ToLinks;
use super::stage::{Stage, client};
use super::window::Window;
use crate::time::ConnId;
use ringway_proto::link::{Bind, Frame, HsResponse, Json};

const WINDOW: Window = Window {
    frames: 64,
    bytes: 1 << 16,
};

const REQUEST: &str = r#"{"method":"GET","url":"/","headers":[],"address":"::1","secure":false}"#;
const REFUSED: &str =
    r#"{"code":0,"message":"no","context":{},"method":"GET","url":"/","headers":[]}"#;

fn ask(stage: &mut Stage, question: u32) {
    let json = REQUEST;
    stage.mail(&ToLinks::Ask {
        shard: 0,
        question,
        affinity: None,
        json,
    });
}

fn answer(stage: &mut Stage, conn: ConnId, request: u32) {
    let json = Json::new(HsResponse {
        ok: true,
        headers: None,
        sid: None,
        status: None,
        body: None,
        code: None,
        context: None,
    });
    stage.say(conn, 0, &Frame::HsRes { request, json });
}

fn bind(stage: &mut Stage, conn: ConnId, path: &str) {
    let opts = serde_json::from_str("{}").expect("an object");
    let json = Json::new(Bind {
        path: path.into(),
        opts,
        rpc: "none".into(),
        parser: "default".into(),
        namespaces: None,
    });
    stage.say(conn, 0, &Frame::Bind { json });
}

#[test]
fn a_question_has_one_answer() {
    let mut stage = Stage::new(WINDOW);
    let conn = stage.worker("a");
    ask(&mut stage, 7);
    assert_eq!(stage.heard(conn), ["HS_REQ 0"]);
    answer(&mut stage, conn, 0);
    assert_eq!(
        stage.take_told(),
        [r#"judged 7 Answer { worker: 0, json: "{\"ok\":true}" }"#]
    );
    // One more is late, and nothing else.
    answer(&mut stage, conn, 0);
    assert!(stage.take_told().is_empty() && !stage.peer(conn).is_closed);
    assert_eq!(stage.exchange.stats().answers_late, 1);
}

#[test]
fn an_answer_to_what_was_never_asked_ends_the_link() {
    let mut stage = Stage::new(WINDOW);
    let conn = stage.worker("a");
    answer(&mut stage, conn, 0);
    assert_eq!(
        stage.heard(conn).last().map(String::as_str),
        Some("ERROR not-allowed")
    );
}

#[test]
fn an_answer_to_anothers_question_ends_the_link() {
    let mut stage = Stage::new(WINDOW);
    let (one, other) = (stage.worker("a"), stage.worker("b"));
    ask(&mut stage, 1);
    assert_eq!(stage.heard(one), ["HS_REQ 0"]);
    answer(&mut stage, other, 0);
    assert_eq!(
        stage.heard(other).last().map(String::as_str),
        Some("ERROR not-allowed")
    );
    assert!(stage.take_told().is_empty());
    answer(&mut stage, one, 0);
    assert_eq!(stage.take_told().len(), 1);
}

#[test]
fn a_question_waits_for_a_worker_and_goes_to_the_next_when_it_dies() {
    let mut stage = Stage::new(WINDOW);
    ask(&mut stage, 1);
    assert_eq!(stage.exchange.stats().questions_open, 1);
    let one = stage.accept();
    stage.hello(one, "a");
    assert_eq!(stage.heard(one), ["CHALLENGE 0", "WELCOME 0", "HS_REQ 0"]);
    stage.kill(one);
    let two = stage.accept();
    stage.hello(two, "b");
    assert_eq!(stage.heard(two), ["CHALLENGE 0", "WELCOME 0", "HS_REQ 0"]);
    answer(&mut stage, two, 0);
    assert!(stage.take_told()[0].starts_with("judged 1 Answer { worker: 1"));
}

#[test]
fn whoever_does_not_answer_is_waited_for_so_long() {
    let mut stage = Stage::new(WINDOW);
    ask(&mut stage, 1);
    stage.pass(21_000_000);
    assert_eq!(stage.take_told(), ["judged 1 Away"]);
    let conn = stage.worker("a");
    ask(&mut stage, 2);
    stage.pass(4_000_000);
    assert!(stage.take_told().is_empty());
    stage.pass(1_500_000);
    assert_eq!(stage.take_told(), ["judged 2 Late"]);
    assert_eq!(stage.exchange.stats().questions_late, 2);
    assert!(!stage.peer(conn).is_closed);
}

#[test]
fn there_are_only_so_many_questions() {
    let mut stage = Stage::new(WINDOW);
    (0..8192).for_each(|question| ask(&mut stage, question));
    assert!(stage.take_told().is_empty());
    ask(&mut stage, 9000);
    assert_eq!(stage.take_told(), ["judged 9000 Busy"]);
}

#[test]
fn a_client_goes_to_the_worker_that_let_it_in_if_that_is_there() {
    let mut stage = Stage::new(WINDOW);
    let (one, other) = (stage.worker("a"), stage.worker("b"));
    let open = |stage: &mut Stage, number: u64, worker: u64| {
        stage.mail(&ToLinks::Open {
            app: AppId::MAIN,
            client: client(number),
            resumes: false,
            worker: Some(worker),
            affinity: None,
            json: "{}",
            connects: Vec::new(),
        });
    };
    open(&mut stage, 1, 1);
    open(&mut stage, 2, 1);
    assert_eq!(stage.heard(other), ["OPEN 1", "OPEN 2"]);
    open(&mut stage, 3, 99);
    assert_eq!(stage.heard(one), ["OPEN 3"]);
}

#[test]
fn what_the_application_wants_is_said_when_it_changes() {
    let mut stage = Stage::new(WINDOW);
    let (one, other) = (stage.worker("a"), stage.worker("b"));
    bind(&mut stage, one, "/a");
    bind(&mut stage, other, "/a");
    let told = stage.take_told();
    assert_eq!(told.len(), 2, "{told:?}");
    assert_eq!(told[0], "parser Text");
    assert!(told[1].starts_with(r#"bound {"path":"/a""#), "{told:?}");
    bind(&mut stage, other, "/b");
    assert_eq!(stage.take_told().len(), 1);
    bind(&mut stage, one, &"/c".repeat(40_000));
    assert_eq!(
        stage.heard(one).last().map(String::as_str),
        Some("ERROR too-many")
    );
    assert!(stage.take_told().is_empty());
}

#[test]
fn of_refused_requests_a_worker_that_does_not_read_hears_some() {
    let mut stage = Stage::new(Window {
        frames: 1,
        bytes: 1 << 16,
    });
    let json = REFUSED;
    stage.mail(&ToLinks::Refused { json });
    let conn = stage.worker("a");
    (0..1000).for_each(|_| stage.mail(&ToLinks::Refused { json }));
    let mut heard = 0;
    while stage.heard(conn).len() == 1 {
        heard += 1;
    }
    assert_eq!(heard, 65);
}

#[test]
fn whoever_binds_is_given_credit_when_all_shards_do_so() {
    let mut stage = Stage::new(WINDOW);
    stage.is_obedient = false;
    let conn = stage.worker("a");
    bind(&mut stage, conn, "/a");
    assert!(stage.heard(conn).is_empty());
    stage.mail(&ToLinks::Obeyed);
    assert_eq!(stage.heard(conn), ["CREDIT 0"]);
    // The same once more is done already.
    bind(&mut stage, conn, "/a");
    assert_eq!(stage.heard(conn), ["CREDIT 0"]);
}

#[test]
fn a_question_that_workers_die_of_is_given_up() {
    let mut stage = Stage::new(WINDOW);
    ask(&mut stage, 1);
    for instance in ["a", "b"] {
        assert!(stage.take_told().is_empty());
        let conn = stage.accept();
        stage.hello(conn, instance);
        assert_eq!(stage.heard(conn), ["CHALLENGE 0", "WELCOME 0", "HS_REQ 0"]);
        stage.kill(conn);
    }
    assert_eq!(stage.take_told(), ["judged 1 Late"]);
    assert_eq!(stage.exchange.stats().questions_open, 0);
}

#[test]
fn questions_are_spread_over_workers_before_anybody_opens() {
    let mut stage = Stage::new(WINDOW);
    let (one, other) = (stage.worker("a"), stage.worker("b"));
    (0..6).for_each(|question| ask(&mut stage, question));
    assert_eq!(stage.heard(one).len(), 3);
    assert_eq!(stage.heard(other).len(), 3);
}

/// About how many requests a worker was asked since it was looked at last.
fn asked(stage: &mut Stage, conn: ConnId) -> usize {
    let heard = stage.heard(conn);
    heard.iter().filter(|frame| *frame == "HS_REQ 0").count()
}

/// Asks about a request, and lets the time for an answer pass.
fn ask_in_vain(stage: &mut Stage, mute: ConnId, question: u32) {
    ask(stage, question);
    assert_eq!(asked(stage, mute), 1);
    stage.pass(5_500_000);
    assert_eq!(stage.take_told(), [format!("judged {question} Late")]);
}

#[test]
fn a_worker_that_judges_nothing_is_asked_no_more_and_then_about_one() {
    let mut stage = Stage::new(WINDOW);
    let mute = stage.worker("a");
    (0..5).for_each(|question| ask_in_vain(&mut stage, mute, question));
    assert_eq!(stage.exchange.isolated(), 1);
    (10..12).for_each(|question| ask(&mut stage, question));
    assert_eq!(asked(&mut stage, mute), 0, "it waits");
    stage.pass(1_200_000);
    assert_eq!(
        stage.heard(mute),
        ["HS_REQ 0"],
        "one, to see what comes of it"
    );
    answer(&mut stage, mute, 5);
    assert_eq!(stage.exchange.isolated(), 0);
    stage.pass(200_000);
    assert_eq!(asked(&mut stage, mute), 1, "and the rest");
}

#[test]
fn meanwhile_others_are_asked() {
    let mut stage = Stage::new(WINDOW);
    let mute = stage.worker("a");
    (0..5).for_each(|question| ask_in_vain(&mut stage, mute, question));
    let well = stage.accept();
    stage.hello_named(well, "b", "another version");
    ask(&mut stage, 10);
    assert_eq!(asked(&mut stage, mute), 0);
    assert_eq!(asked(&mut stage, well), 1);
    assert!(!stage.peer(mute).is_closed, "it keeps its clients");
}

#[test]
fn a_request_that_is_never_judged_is_no_failure_of_a_worker_that_judges_others() {
    let mut stage = Stage::new(WINDOW);
    let conn = stage.worker("a");
    for round in 0..10 {
        ask(&mut stage, 2 * round);
        ask(&mut stage, 2 * round + 1);
        stage.heard(conn);
        answer(&mut stage, conn, 2 * round + 1);
        stage.pass(5_500_000);
        assert_eq!(stage.take_told().len(), 2);
    }
    assert_eq!(stage.exchange.isolated(), 0);
}

/// Says of a request what no client can be told.
fn misjudge(stage: &mut Stage, conn: ConnId, request: u32) {
    let json = Json::new(HsResponse {
        ok: false,
        headers: None,
        sid: None,
        status: Some(101),
        body: None,
        code: None,
        context: None,
    });
    stage.say(conn, 0, &Frame::HsRes { request, json });
}

#[test]
fn a_worker_whose_verdicts_nobody_can_be_told_is_asked_no_more_and_none_of_them_ends_that() {
    let mut stage = Stage::new(WINDOW);
    let conn = stage.worker("a");
    for request in 0..5 {
        ask(&mut stage, request);
        assert_eq!((asked(&mut stage, conn), stage.exchange.isolated()), (1, 0));
        misjudge(&mut stage, conn, request);
    }
    assert_eq!(stage.exchange.isolated(), 1);
    assert_eq!(stage.take_told().len(), 5, "its shards say so to clients");
    ask(&mut stage, 5);
    assert_eq!(asked(&mut stage, conn), 0);
    stage.pass(1_200_000);
    assert_eq!(asked(&mut stage, conn), 1, "the one that it is tried with");
    misjudge(&mut stage, conn, 5);
    let stats = stage.exchange.stats();
    assert_eq!((stats.workers_isolated, stats.circuits_closed), (1, 0));
    ask(&mut stage, 6);
    stage.pass(2_400_000);
    assert_eq!(asked(&mut stage, conn), 1);
    answer(&mut stage, conn, 6);
    assert_eq!(stage.exchange.isolated(), 0);
    assert!(!stage.peer(conn).is_closed, "it keeps its clients");
}

#[test]
fn a_request_that_is_misjudged_while_others_are_not_is_no_failure() {
    let mut stage = Stage::new(WINDOW);
    let conn = stage.worker("a");
    for round in 0..10 {
        ask(&mut stage, 2 * round);
        ask(&mut stage, 2 * round + 1);
        stage.heard(conn);
        answer(&mut stage, conn, 2 * round + 1);
        misjudge(&mut stage, conn, 2 * round);
    }
    assert_eq!(stage.exchange.isolated(), 0);
}

#[test]
fn a_worker_that_says_more_than_its_window_allows_ends_its_link() {
    let window = Window {
        frames: 4,
        ..WINDOW
    };
    let mut stage = Stage::new(window);
    let conn = stage.worker("a");
    stage.is_obedient = false;
    bind(&mut stage, conn, "/chat");
    // There is no credit until its BIND is obeyed.
    let name = "/a";
    (0..3).for_each(|number| stage.say(conn, number, &Frame::Nsp { name }));
    assert!(
        !stage
            .read(conn)
            .iter()
            .any(|frame| frame.starts_with("ERROR"))
    );
    stage.say(conn, 3, &Frame::Nsp { name });
    let heard = stage.read(conn);
    assert_eq!(heard.last().map(String::as_str), Some("ERROR window"));
    assert_eq!(stage.exchange.stats().links_refused, 1);
}
