//! Broadcasts that wait for answers: how many, how long, and what becomes of them when their worker goes.

use super::ToLinks;
use super::gather::ACK_ID_MIN;
use super::mail::Said;
use super::stage::Stage;
use super::window::Window;
use crate::time::ConnId;
use ringway_proto::link::{Frame, Part};

fn asking(text: &'static str, request: u32) -> Frame<'static> {
    Frame::BcastAck {
        request,
        timeout_ms: 1_000,
        nsp: 1,
        rooms: Vec::new(),
        except: Vec::new(),
        parts: vec![Part::Text(text)],
    }
}

/// A worker that has a namespace.
fn stage() -> (Stage, ConnId) {
    let mut stage = Stage::new(Window::default());
    let conn = stage.worker("a");
    stage.say(conn, 1, &Frame::Nsp { name: "/" });
    stage.take_told();
    stage.heard(conn);
    (stage, conn)
}

fn answer(stage: &mut Stage, number: u64) {
    let parts = vec![Said::text("31073741824[1]")];
    stage.mail(&ToLinks::Answer { number, parts });
}

fn of_answers(stage: &mut Stage, conn: ConnId) -> Vec<String> {
    let heard = stage.heard_all(conn);
    let of_answers = heard.into_iter().filter(|frame| frame.starts_with("BCAST"));
    of_answers.collect()
}

#[test]
fn all_who_were_asked_have_answered() {
    let (mut stage, conn) = stage();
    stage.say(conn, 0, &asking("20[\"a\"]", 7));
    assert_eq!(stage.take_told(), ["BCAST_ACK"]);
    let (number, clients) = (ACK_ID_MIN, 2);
    answer(&mut stage, number);
    stage.mail(&ToLinks::Asked { number, clients });
    assert_eq!(stage.take_told(), Vec::<String>::new(), "one is missing");
    answer(&mut stage, number);
    assert_eq!(stage.take_told(), ["answered"]);
    answer(&mut stage, number);
    let heard = of_answers(&mut stage, conn);
    assert_eq!(heard, ["BCAST_REPLY 0", "BCAST_COUNT 0", "BCAST_REPLY 0"]);
}

#[test]
fn answers_wait_in_batches_for_a_worker_that_does_not_read() {
    let mut stage = Stage::new(Window {
        frames: 4,
        bytes: 1 << 20,
    });
    let conn = stage.worker("a");
    stage.say(conn, 1, &Frame::Nsp { name: "/" });
    stage.say(conn, 0, &asking("20[\"a\"]", 7));
    let (number, clients) = (ACK_ID_MIN, 10_000);
    stage.mail(&ToLinks::Asked { number, clients });
    (0..10_000).for_each(|_| answer(&mut stage, number));
    let heard = of_answers(&mut stage, conn);
    let replies = heard
        .iter()
        .filter(|frame| *frame == "BCAST_REPLY 0")
        .count();
    assert!((5..30).contains(&replies), "{replies}");
}

#[test]
fn what_is_no_question_is_refused() {
    for text in ["2[\"a\"]", "21[\"a\"]", "30[]", "5-0[]", "x", "2/n0[]"] {
        let (mut stage, conn) = stage();
        stage.say(conn, 0, &asking(text, 1));
        assert_eq!(
            stage.read(conn).last().unwrap(),
            "ERROR out-of-turn",
            "{text}"
        );
    }
}

#[test]
fn there_are_so_many_and_the_oldest_gives_way() {
    let (mut stage, conn) = stage();
    for request in 0..128 {
        stage.say(conn, 0, &asking("20[]", request));
    }
    assert!(!stage.take_told().contains(&"answered".to_owned()));
    stage.say(conn, 0, &asking("20[]", 128));
    assert_eq!(stage.take_told(), ["answered", "BCAST_ACK"]);
    answer(&mut stage, ACK_ID_MIN);
    assert_eq!(
        of_answers(&mut stage, conn),
        Vec::<String>::new(),
        "it is forgotten"
    );
}

#[test]
fn time_and_the_workers_end_end_it() {
    let (mut stage, conn) = stage();
    stage.pass(100_000);
    stage.say(conn, 0, &asking("20[]", 1));
    stage.take_told();
    stage.pass(1_900_000);
    assert_eq!(stage.take_told(), Vec::<String>::new());
    stage.pass(200_000);
    assert_eq!(stage.take_told(), ["answered"]);
    stage.say(conn, 0, &asking("20[]", 2));
    stage.take_told();
    stage.kill(conn);
    assert_eq!(stage.take_told(), ["answered"]);
    answer(&mut stage, ACK_ID_MIN + 1);
}
