//! A client whose worker wants no more of it, for now, and its neighbour.

use super::ToLinks;
use super::mail::MovedSocket;
use super::parsing::Parser;
use super::stage::{Stage, client};
use super::window::Window;
use crate::time::ConnId;
use ringway_proto::link::{Frame, MOVED_UNKNOWN, Movement};

/// What a worker hears of its clients.
fn heard(stage: &mut Stage, conn: ConnId) -> Vec<String> {
    let mut all = stage.heard_all(conn);
    all.retain(|frame| !frame.starts_with("CREDIT"));
    all
}

#[test]
fn a_held_client_waits_alone_and_hears_no_less_behind_it() {
    let mut stage = Stage::new(Window::default());
    let conn = stage.worker("one");
    (1..=2).for_each(|number| stage.open(number, &[]));
    heard(&mut stage, conn);
    stage.say(conn, client(1).0, &Frame::Hold { on: true });
    stage.data(1, "2[\"a\"]");
    stage.data(2, "2[\"b\"]");
    let all = heard(&mut stage, conn);
    assert_eq!(all.len(), 1, "{all:?}");
    assert!(all[0].contains("[\"b\"]"), "{all:?}");
    stage.pressure(1, true);
    let all = heard(&mut stage, conn);
    assert_eq!(all.len(), 1, "what is no word of it comes: {all:?}");
    stage.say(conn, client(1).0, &Frame::Hold { on: false });
    let all = heard(&mut stage, conn);
    assert!(all.len() == 1 && all[0].contains("[\"a\"]"), "{all:?}");
}

#[test]
fn of_a_client_that_is_gone_the_rest_comes() {
    let mut stage = Stage::new(Window::default());
    let conn = stage.worker("one");
    stage.open(1, &[]);
    heard(&mut stage, conn);
    stage.say(conn, client(1).0, &Frame::Hold { on: true });
    stage.data(1, "2[\"a\"]");
    assert!(heard(&mut stage, conn).is_empty());
    stage.close(1);
    assert_eq!(heard(&mut stage, conn).len(), 2);
}

#[test]
fn a_client_that_was_taken_over_waits_until_it_is_back() {
    for says_taken in [true, false] {
        let mut stage = Stage::new(Window::default());
        stage.says_taken = says_taken;
        let conn = stage.worker("one");
        stage.resume(1);
        stage.data(1, "2[\"a\"]");
        let taken = |frames: &[String]| frames.iter().any(|frame| frame.contains("[\"a\"]"));
        assert_eq!(taken(&heard(&mut stage, conn)), !says_taken);
        // It ends before it has said it.
        stage.kill(conn);
        let next = stage.worker("two");
        stage.resume(1);
        let all = heard(&mut stage, next);
        assert!(!taken(&all) && all[0].starts_with("RESUME"), "{all:?}");
        stage.say(next, client(1).0, &Frame::Hold { on: false });
        assert_eq!(taken(&heard(&mut stage, next)), says_taken);
    }
}

/// A socket is disconnected while its client waits.
fn disconnect(stage: &mut Stage, nsp: &str, sid: &str) {
    let socket = MovedSocket {
        client: client(1),
        sid,
        known: MOVED_UNKNOWN,
        places: 0,
    };
    stage.mail(&ToLinks::Moved {
        answers: None,
        namespace: nsp,
        what: Movement::Disconnect,
        places: Vec::new(),
        sockets: vec![socket],
    });
}

/// A client that waits.
fn held() -> (Stage, ConnId) {
    let mut stage = Stage::new(Window::default());
    let conn = stage.worker("one");
    stage.open(1, &[]);
    heard(&mut stage, conn);
    stage.say(conn, client(1).0, &Frame::Hold { on: true });
    (stage, conn)
}

/// What is heard at the end of the wait of what was said before the socket in `/a` was disconnected, and behind that.
#[track_caller]
fn check_said(before: &[&str], behind: &[&str], expected: &[&str]) {
    let (mut stage, conn) = held();
    before.iter().for_each(|text| stage.data(1, text));
    disconnect(&mut stage, "/a", "s");
    let moved = heard(&mut stage, conn);
    assert_eq!(moved, ["MOVED 1 s Disconnect  behind 4294967295"]);
    behind.iter().for_each(|text| stage.data(1, text));
    stage.say(conn, client(1).0, &Frame::Hold { on: false });
    let expected: Vec<String> = expected.iter().map(|it| format!("DATA 1 {it}")).collect();
    assert_eq!(heard(&mut stage, conn), expected, "{before:?} {behind:?}");
}

/// Socket.IO's server closes the connection, and with it the other namespaces, of whoever says something where it is not.
#[test]
fn who_is_disconnected_while_it_waits_has_said_nothing_there() {
    check_said(
        &["2[\"x\"]", "2/a,[\"x\"]", "2/b,[\"x\"]"],
        &[],
        &["2[\"x\"]", "2/b,[\"x\"]"],
    );
    check_said(&["3/a,1[]", "2/a,2[\"x\"]", "1/a,"], &[], &[]);
    check_said(&[], &["2/a,[\"y\"]", "2/ab,[\"y\"]"], &["2/ab,[\"y\"]"]);
    check_said(&["2/a,[\"x\"]", "1/a"], &["2/b,[]"], &["2/b,[]"]);
}

/// That is of another socket.
#[test]
fn what_it_says_behind_a_connect_is_heard() {
    check_said(
        &["2/a,[\"x\"]", "1/a,", "0/a,{}", "2/a,[\"y\"]"],
        &["2/a,[\"z\"]"],
        &["0/a,{}", "2/a,[\"y\"]", "2/a,[\"z\"]"],
    );
    check_said(
        &["0/a?q=1,{}"],
        &["2/a,[\"y\"]"],
        &["0/a?q=1,{}", "2/a,[\"y\"]"],
    );
}

#[test]
fn nor_is_anything_heard_of_a_packet_with_attachments() {
    let (mut stage, conn) = held();
    stage.part(1, "52-/a,[{},{}]", true);
    stage.attachment(1, "one", true);
    stage.attachment(1, "two", false);
    stage.part(1, "51-/b,[{}]", true);
    stage.attachment(1, "three", false);
    stage.part(1, "61-/a,[{}]", true);
    disconnect(&mut stage, "/a", "s");
    // The rest of it comes only now.
    stage.attachment(1, "four", false);
    stage.data(1, "2/b,[]");
    heard(&mut stage, conn);
    stage.say(conn, client(1).0, &Frame::Hold { on: false });
    assert_eq!(
        heard(&mut stage, conn),
        ["DATA 1 51-/b,[{}]", "DATA 1 three", "DATA 1 2/b,[]"]
    );
}

#[test]
fn what_nobody_hears_makes_room_all_the_same() {
    let (mut stage, conn) = held();
    let long = format!("2/a,[\"{}\"]", "x".repeat(20_000));
    stage.data(1, &long);
    assert_eq!(stage.dealt.get(&client(1)), None);
    disconnect(&mut stage, "/a", "s");
    let cost = (long.len() + 96) as u64;
    assert_eq!(stage.dealt[&client(1)], cost);
    stage.data(1, &long);
    stage.say(conn, client(1).0, &Frame::Hold { on: false });
    assert_eq!(stage.dealt[&client(1)], 2 * cost);
}

#[test]
fn who_has_another_socket_there_is_heard() {
    let (mut stage, conn) = held();
    stage.say(conn, 1, &Frame::Nsp { name: "/a" });
    disconnect(&mut stage, "/a", "s");
    let member = |sid| Frame::Member {
        nsp: 1,
        sid,
        pid: "",
        rooms: Vec::new(),
        auth: ringway_proto::link::Long("{}"),
        data: ringway_proto::link::Long("{}"),
    };
    for (sid, expected) in [("s", 0), ("t", 1)] {
        stage.say(conn, client(1).0, &Frame::Hold { on: true });
        disconnect(&mut stage, "/a", "s");
        stage.say(conn, client(1).0, &member(sid));
        stage.data(1, "2/a,[]");
        heard(&mut stage, conn);
        stage.say(conn, client(1).0, &Frame::Hold { on: false });
        assert_eq!(heard(&mut stage, conn).len(), expected, "{sid}");
    }
}

#[test]
fn a_client_that_was_taken_over_does_not_say_what_its_last_worker_did_not_hear_of_a_socket_that_ends()
 {
    let mut stage = Stage::new(Window::default());
    stage.says_taken = true;
    let conn = stage.worker("one");
    stage.resume(1);
    for text in ["2/a,[]", "2/b,[]"] {
        stage.data(1, text);
    }
    disconnect(&mut stage, "/a", "s");
    assert_eq!(heard(&mut stage, conn).len(), 2, "RESUME and MOVED");
    stage.say(conn, client(1).0, &Frame::Hold { on: false });
    assert_eq!(heard(&mut stage, conn), ["DATA 1 2/b,[]"]);
}

/// Nobody here knows of which namespace it is.
#[test]
fn what_cannot_be_read_is_heard() {
    let (mut stage, conn) = held();
    stage.exchange.parser = Some(Parser::Opaque);
    stage.data(1, "2/a,[]");
    disconnect(&mut stage, "/a", "s");
    assert_eq!(heard(&mut stage, conn).len(), 1);
    stage.say(conn, client(1).0, &Frame::Hold { on: false });
    assert_eq!(heard(&mut stage, conn), ["DATA 1 2/a,[]"]);
}
