//! MOVE on its way to the shards, and MOVED on its way to whose the sockets are.

use super::ToLinks;
use super::applications::{AppId, Routes};
use super::clients::Clients;
use super::mail::{ClientNumber, MovedSocket, SpaceId};
use super::moved::{BehindMoves, BusMessage};
use super::pressure::Hold;
use super::space::{Space, Target};
use super::stage::{Stage, client};
use super::window::Window;
use super::worker::WorkerId;
use crate::hub::Key;
use crate::time::ConnId;
use ringway_proto::link::{Flags, Frame, Movement, Part};

const JOIN: Movement = Movement::Join;
const LEAVE: Movement = Movement::Leave;
const CLOSE: Movement = Movement::Close;

/// A window of few frames: the others wait.
const fn narrow(frames: u32) -> Window {
    Window {
        frames,
        bytes: 1 << 20,
    }
}

/// Two workers, each of which has a namespace and a client.
fn stage(window: Window) -> (Stage, [ConnId; 2]) {
    let mut stage = Stage::new(window);
    let conns = ["a", "b"].map(|instance| stage.worker(instance));
    for conn in conns {
        stage.say(conn, 1, &Frame::Nsp { name: "/" });
    }
    for number in [1, 2] {
        stage.open(number, &[]);
    }
    stage.take_told();
    for conn in conns {
        stage.heard_all(conn);
    }
    (stage, conns)
}

fn moved(stage: &mut Stage, number: u64, (what, known): (Movement, u32), places: &[&str]) {
    let socket = MovedSocket {
        client: client(number),
        sid: "s",
        known,
        places: (1 << places.len()) - 1,
    };
    stage.mail(&ToLinks::Moved {
        answers: None,
        namespace: "/",
        what,
        places: places.to_vec(),
        sockets: vec![socket],
    });
}

fn of_moves(frames: Vec<String>) -> Vec<String> {
    let frames = frames.into_iter();
    frames.filter(|frame| frame.starts_with("MOVED")).collect()
}

fn moving<'a>(places: &[&'a str]) -> Frame<'a> {
    Frame::Move {
        nsp: 1,
        what: Movement::Join,
        rooms: vec!["x"],
        except: Vec::new(),
        places: places.to_vec(),
    }
}

#[test]
fn a_move_goes_to_the_shards_and_what_came_of_it_to_whose_the_socket_is() {
    let (mut stage, [a, b]) = stage(Window::default());
    stage.say(a, 0, &moving(&["r"]));
    assert_eq!(stage.take_told(), ["MOVE"]);
    moved(&mut stage, 2, (JOIN, 3), &["r", "q"]);
    assert_eq!(of_moves(stage.heard_all(a)), Vec::<String>::new());
    assert_eq!(
        of_moves(stage.heard_all(b)),
        ["MOVED 2 s Join r,q behind 3"]
    );
}

#[test]
fn one_in_a_namespace_that_the_worker_has_not_named_is_refused() {
    let (mut stage, [a, _]) = stage(Window::default());
    let frame = Frame::Move {
        nsp: 7,
        what: Movement::Leave,
        rooms: Vec::new(),
        except: Vec::new(),
        places: vec!["r"],
    };
    stage.say(a, 0, &frame);
    assert_eq!(stage.heard(a), ["ERROR not-allowed"]);
}

#[test]
fn the_rooms_of_one_are_bounded() {
    let (mut stage, [a, _]) = stage(Window::default());
    let names: Vec<String> = (0..65).map(|number| number.to_string()).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    stage.say(a, 0, &moving(&names[..64]));
    assert_eq!(stage.take_told(), ["MOVE"]);
    stage.say(a, 0, &moving(&names));
    assert_eq!(stage.heard(a).last().unwrap(), "ERROR too-many");
    // So are their bytes: MOVED repeats them beside the socket's name, and is a frame.
    let (mut stage, [a, _]) = self::stage(Window::default());
    let half = "x".repeat(32 << 10);
    stage.say(a, 0, &moving(&[&half, &half]));
    assert_eq!(stage.take_told(), ["MOVE"]);
    stage.say(a, 0, &moving(&[&half, &half, "y"]));
    assert_eq!(stage.heard(a).last().unwrap(), "ERROR too-many");
}

#[test]
fn whoever_has_no_worker_is_told_by_resume() {
    let (mut stage, [a, b]) = stage(Window::default());
    stage.kill(b);
    moved(&mut stage, 2, (LEAVE, 0), &["r"]);
    stage.resume(2);
    moved(&mut stage, 2, (JOIN, u32::MAX), &["q"]);
    let heard = stage.heard_all(a);
    let of_client = heard.iter().filter(|frame| frame.contains(" 2"));
    let of_client: Vec<&String> = of_client.collect();
    assert_eq!(
        of_client,
        ["RESUME 2", "MOVED 2 s Join q behind 4294967295"]
    );
}

/// What a worker hears that has no room in its window meanwhile: what, behind how many, and the rooms; then what it hears in the end.
#[track_caller]
fn check(moves: &[(Movement, u32, &[&str])], expected: &[&str]) {
    let (mut stage, [_, b]) = stage(narrow(2));
    for _ in 0..2 {
        stage.data(2, "2[\"x\"]");
    }
    for (what, known, places) in moves {
        moved(&mut stage, 2, (*what, *known), places);
    }
    let heard = of_moves(stage.heard_all(b));
    assert_eq!(heard, expected, "{moves:?}");
}

#[test]
fn of_what_waits_only_the_outcome_counts() {
    check(
        &[(JOIN, 1, &["r"]), (JOIN, 1, &["q", "r"])],
        &["MOVED 2 s Join r,q behind 1"],
    );
    check(&[(JOIN, 1, &["r"]), (LEAVE, 1, &["r"])], &[]);
    check(
        &[(LEAVE, 1, &["r", "q"]), (JOIN, 1, &["p", "r"])],
        &["MOVED 2 s Leave q behind 1", "MOVED 2 s Join p behind 1"],
    );
    check(
        &[
            (LEAVE, 1, &["r"]),
            (JOIN, 1, &["q"]),
            (LEAVE, 1, &["q"]),
            (JOIN, 1, &["r"]),
        ],
        &[],
    );
    // What the worker has said in between may be about the same rooms.
    check(
        &[(JOIN, 1, &["r"]), (LEAVE, 2, &["r"])],
        &["MOVED 2 s Join r behind 1", "MOVED 2 s Leave r behind 2"],
    );
    check(
        &[(JOIN, 1, &["r"]), (CLOSE, 1, &[]), (JOIN, 1, &["q"])],
        &["MOVED 2 s Join r,q behind 1", "MOVED 2 s Close  behind 1"],
    );
}

#[test]
fn whoever_does_not_read_does_not_have_more_and_more_kept_for_it() {
    let (mut stage, [_, b]) = stage(narrow(1));
    stage.data(2, "2[\"x\"]");
    for known in 0..64 {
        moved(&mut stage, 2, (JOIN, known), &["r"]);
    }
    assert_eq!(stage.take_told(), Vec::<String>::new());
    moved(&mut stage, 2, (JOIN, 64), &["r"]);
    assert_eq!(stage.take_told(), ["lost 2"]);
    assert_eq!(of_moves(stage.heard_all(b)), Vec::<String>::new());
    moved(&mut stage, 2, (LEAVE, 65), &["r"]);
    assert_eq!(
        of_moves(stage.heard_all(b)),
        Vec::<String>::new(),
        "it comes anew"
    );
}

#[test]
fn nor_is_it_long_names_that_are_kept_for_it() {
    let (mut stage, [_, b]) = stage(narrow(1));
    let long = ["x", "y"].map(|name| name.repeat(60_000));
    stage.data(2, "2[\"x\"]");
    for _ in 0..1_000 {
        moved(&mut stage, 2, (JOIN, 0), &[&long[0]]);
    }
    assert_eq!(stage.take_told(), Vec::<String>::new(), "it is one room");
    // It reads, and there is as much room as before.
    assert_eq!(of_moves(stage.heard_all(b)).len(), 1);
    stage.data(2, "2[\"x\"]");
    moved(&mut stage, 2, (JOIN, 0), &[&long[1]]);
    assert_eq!(stage.take_told(), Vec::<String>::new());
    moved(&mut stage, 2, (JOIN, 0), &[&long[0]]);
    assert_eq!(stage.take_told(), ["lost 2"]);
}

/// A worker with so many clients that has no room in its window.
fn crowd(clients: u64) -> (Stage, ConnId) {
    let mut stage = Stage::new(narrow(1));
    let conn = stage.worker("a");
    stage.say(conn, 1, &Frame::Nsp { name: "/" });
    for number in 1..=clients {
        stage.open(number, &[]);
    }
    stage.heard_all(conn);
    stage.data(1, "2[\"x\"]");
    stage.take_told();
    (stage, conn)
}

/// All of them are moved.
fn move_all(stage: &mut Stage, clients: u64, (what, known): (Movement, u32), place: &str) {
    let sids: Vec<String> = (1..=clients).map(|it| format!("{it:020}")).collect();
    let sockets = sids.iter().zip(1..).map(|(sid, number)| MovedSocket {
        client: client(number),
        sid,
        known,
        places: 1,
    });
    stage.mail(&ToLinks::Moved {
        answers: None,
        namespace: "/",
        what,
        places: vec![place],
        sockets: sockets.collect(),
    });
}

fn backlog(stage: &Stage) -> usize {
    let worker = stage.exchange.workers.values().next().unwrap();
    worker.backlog.bytes()
}

/// So much one may do at once, and who has many sockets need not look into it meanwhile.
#[track_caller]
fn check_calls(clients: u64, calls: usize) {
    let (mut stage, conn) = crowd(clients);
    for call in 0..calls {
        move_all(&mut stage, clients, (JOIN, 0), &format!("room {call}"));
    }
    assert_eq!(stage.take_told(), Vec::<String>::new());
    assert_eq!(of_moves(stage.heard_all(conn)).len() as u64, clients);
    assert_eq!(backlog(&stage), 0);
    stage.exchange.audit();
}

#[test]
fn many_calls_for_many_sockets_close_nobody() {
    check_calls(2_000, 100);
}

#[test]
fn some_calls_for_very_many_sockets_close_nobody() {
    check_calls(45_000, 3);
}

#[test]
fn what_was_taken_back_does_not_count() {
    let (mut stage, _) = crowd(100);
    let long = "x".repeat(10_000);
    for _ in 0..100 {
        move_all(&mut stage, 100, (JOIN, 0), &long);
        move_all(&mut stage, 100, (LEAVE, 0), &long);
    }
    assert_eq!(stage.take_told(), Vec::<String>::new());
    assert_eq!(backlog(&stage), 0);
    stage.exchange.audit();
}

/// Beyond what a worker with so many clients may have before it, whoever has most of that comes anew.
#[test]
fn what_waits_for_a_worker_that_never_reads_is_bounded() {
    let (mut stage, _) = crowd(1_000);
    moved(&mut stage, 500, (JOIN, 0), &["short"]);
    let long = "x".repeat(60_000);
    for number in (1..=1_000).filter(|number| *number != 500) {
        moved(&mut stage, number, (JOIN, 0), &[&long]);
    }
    let lost = stage.take_told();
    let kept = 999 - lost.len();
    assert_eq!(kept, 296, "of 17 MiB and more");
    assert!(!lost.contains(&"lost 500".to_owned()));
    assert!(backlog(&stage) <= (16 << 20) + 1_000 * 1_024);
    stage.exchange.audit();
}

#[test]
fn whoever_goes_leaves_room() {
    let (mut stage, conn) = crowd(2);
    for number in [1, 2] {
        moved(&mut stage, number, (JOIN, 0), &["r"]);
    }
    assert!(backlog(&stage) > 0);
    for number in [1, 2] {
        stage.close(number);
        stage.exchange.audit();
    }
    assert_eq!(backlog(&stage), 0);
    let heard = stage.heard_all(conn);
    assert_eq!(of_moves(heard).len(), 2, "they are last words");
    stage.exchange.audit();
}

fn bus<'a>(opaque: &'a str) -> Frame<'a> {
    Frame::Bus {
        nsp: "/",
        to: "",
        from: "a",
        opaque: opaque.as_bytes(),
    }
}

/// Whatever the client says, and although its worker was sent nothing for a while.
#[test]
fn what_became_of_sockets_comes_before_what_others_ask_and_what_clients_say() {
    let (mut stage, [a, b]) = stage(narrow(1));
    for word in ["1", "2", "3"] {
        stage.data(2, word);
    }
    stage.say(a, 0, &moving(&["r"]));
    moved(&mut stage, 2, (JOIN, 0), &["r"]);
    moved(&mut stage, 2, (LEAVE, 0), &["q"]);
    done(&mut stage, 0);
    stage.say(a, 0, &bus("1"));
    assert_eq!(
        stage.heard_all(b),
        [
            "DATA 2 1",
            "MOVED 2 s Join r behind 0",
            "MOVED 2 s Leave q behind 0",
            "BUS 0",
            "DATA 2 2",
            "DATA 2 3"
        ]
    );
}

/// As the names of rooms, which whoever hears of the rooms has to know.
#[test]
fn what_has_to_be_known_before_waits_for_nothing() {
    let (mut stage, [a, b]) = stage(Window::default());
    stage.say(a, 0, &moving(&["r"]));
    stage.say_with(a, 0, Flags::VOLATILE, &bus("1"));
    assert_eq!(of_bus(&mut stage, b), 1);
}

#[test]
fn what_has_to_be_known_before_comes_before_what_waits() {
    let (mut stage, [a, b]) = stage(narrow(1));
    stage.data(2, "1");
    stage.data(2, "2");
    stage.say(a, 0, &bus("later"));
    for name in ["one", "two"] {
        stage.say_with(a, 0, Flags::VOLATILE, &bus(name));
    }
    moved(&mut stage, 2, (JOIN, 0), &["r"]);
    assert_eq!(
        stage.heard_all(b),
        [
            "DATA 2 1",
            "BUS 0",
            "BUS 0",
            "MOVED 2 s Join r behind 0",
            "BUS 0",
            "DATA 2 2"
        ]
    );
}

/// Names that a peer says, one after the other.
fn say_names(stage: &mut Stage, conn: ConnId, from: &str, count: usize) {
    for _ in 0..count {
        let frame = Frame::Bus {
            nsp: "/",
            to: "",
            from,
            opaque: b"",
        };
        stage.say_with(conn, 0, Flags::VOLATILE, &frame);
    }
}

#[test]
fn what_has_to_be_known_before_takes_turns_with_all_else() {
    let (mut stage, [a, b]) = stage(narrow(1));
    for word in ["1", "2", "3"] {
        stage.data(2, word);
    }
    say_names(&mut stage, a, "a", 4);
    assert_eq!(
        stage.heard_all(b),
        [
            "DATA 2 1", "BUS 0", "DATA 2 2", "BUS 0", "DATA 2 3", "BUS 0", "BUS 0"
        ]
    );
}

#[test]
fn however_much_has_to_be_known_before_the_rest_comes() {
    let (mut stage, [a, b]) = stage(narrow(1));
    stage.data(2, "1");
    stage.data(2, "2");
    moved(&mut stage, 2, (JOIN, 0), &["r"]);
    say_names(&mut stage, a, "a", 3_000);
    let heard = stage.heard_all(b);
    let at = |what: &str| heard.iter().position(|frame| frame.starts_with(what));
    assert_eq!(at("MOVED"), Some(1 + 1_024));
    assert_eq!(at("DATA 2 2"), Some(3 + 1_024));
    assert_eq!(heard.len(), 3_003);
}

/// Whoever hears names of a peer that it does not know passes them over.
#[test]
fn peers_are_known_before_what_they_name() {
    let (mut stage, [_, b]) = stage(narrow(1));
    stage.data(2, "1");
    stage.data(2, "2");
    let third = stage.worker("c");
    stage.say(third, 1, &Frame::Nsp { name: "/" });
    stage.say(third, 2, &Frame::Nsp { name: "/other" });
    say_names(&mut stage, third, "c", 1);
    moved(&mut stage, 2, (JOIN, 0), &["r"]);
    assert_eq!(
        stage.heard_all(b),
        [
            "DATA 2 1",
            "PEERS / a,b,c",
            "BUS 0",
            "MOVED 2 s Join r behind 0",
            "PEERS /other c",
            "DATA 2 2"
        ]
    );
}

/// A message without a word is one, too.
#[test]
fn messages_for_one_that_does_not_read_are_bounded_however_short_they_are() {
    let kept = |flags: Flags| {
        let (mut stage, [a, _]) = stage(narrow(1));
        stage.data(2, "1");
        let count = 165_000;
        for _ in 0..count {
            stage.say_with(a, 0, flags, &bus(""));
        }
        count - stage.exchange.stats().bus_dropped
    };
    let most = (16 << 20) / (96 + 8);
    assert_eq!((kept(Flags::VOLATILE), kept(Flags::NONE)), (most, most));
}

#[test]
fn messages_that_went_leave_room() {
    for flags in [Flags::VOLATILE, Flags::NONE] {
        let (mut stage, [a, b]) = stage(narrow(1));
        let long = "x".repeat(10 << 20);
        for _ in 0..3 {
            stage.data(2, "1");
            stage.say_with(a, 0, flags, &bus(&long));
            assert_eq!(of_bus(&mut stage, b), 1);
        }
        assert_eq!(stage.exchange.stats().bus_dropped, 0);
    }
}

/// Of several namespaces one ends: what the client had said there before is still heard there, as the server closes who speaks where it is not.
#[test]
fn whoever_is_disconnected_has_said_what_it_said() {
    let (mut stage, [_, b]) = stage(narrow(1));
    stage.data(2, "1");
    stage.data(2, "2");
    moved(&mut stage, 2, (Movement::Disconnect, 0), &[]);
    assert_eq!(
        stage.heard_all(b),
        ["DATA 2 1", "DATA 2 2", "MOVED 2 s Disconnect  behind 0"]
    );
}

/// What others ask is about a worker that has done it: also where what the client had said before comes first.
#[test]
fn that_a_socket_was_disconnected_comes_before_what_others_ask() {
    let (mut stage, [a, b]) = stage(narrow(1));
    for word in ["1", "2", "3"] {
        stage.data(2, word);
    }
    stage.say(a, 0, &moving(&["r"]));
    moved(&mut stage, 2, (Movement::Disconnect, 0), &[]);
    done(&mut stage, 0);
    stage.say(a, 0, &bus("1"));
    stage.data(2, "4");
    assert_eq!(
        stage.heard_all(b),
        [
            "DATA 2 1",
            "DATA 2 2",
            "DATA 2 3",
            "MOVED 2 s Disconnect  behind 0",
            "BUS 0",
            "DATA 2 4"
        ]
    );
}

fn done(stage: &mut Stage, shard: u16) {
    stage.mail(&ToLinks::Moved {
        answers: Some(shard),
        namespace: "/",
        what: JOIN,
        places: Vec::new(),
        sockets: Vec::new(),
    });
}

fn of_bus(stage: &mut Stage, conn: ConnId) -> usize {
    let heard = stage.heard_all(conn).into_iter();
    heard.filter(|frame| frame.starts_with("BUS")).count()
}

#[test]
fn what_others_are_asked_stands_behind_what_became_of_their_sockets() {
    let (mut stage, [a, b]) = stage(Window::default());
    stage.say(a, 0, &bus("1"));
    assert_eq!(of_bus(&mut stage, b), 1, "there is nothing to wait for");
    stage.say(a, 0, &moving(&["r"]));
    stage.say(a, 0, &bus("2"));
    stage.say(a, 0, &moving(&["q"]));
    stage.say(a, 0, &bus("3"));
    for _ in 0..2 {
        assert_eq!(of_bus(&mut stage, b), 0);
        done(&mut stage, 0);
        assert_eq!(of_bus(&mut stage, b), 1);
    }
    stage.say(a, 0, &bus("4"));
    assert_eq!(of_bus(&mut stage, b), 1);
}

#[test]
fn what_a_worker_that_dies_has_asked_is_asked() {
    let (mut stage, [a, b]) = stage(Window::default());
    stage.say(a, 0, &moving(&["r"]));
    stage.say(a, 0, &bus("1"));
    assert_eq!(of_bus(&mut stage, b), 0);
    stage.kill(a);
    assert_eq!(of_bus(&mut stage, b), 1);
}

#[test]
fn what_waits_behind_moves_is_bounded() {
    let (mut stage, [a, b]) = stage(Window::default());
    let long = "x".repeat(1 << 20);
    stage.say(a, 0, &moving(&["r"]));
    for _ in 0..6 {
        stage.say(a, 0, &bus(&long));
    }
    assert_eq!(of_bus(&mut stage, b), 3, "of six there is room for three");
}

/// Which messages go, by how many bytes they have, when a shard has done one more.
#[track_caller]
fn check_order(done: &[u16], expected: &[&[usize]]) {
    let mut behind = BehindMoves::default();
    let message = |bytes: usize| BusMessage {
        app: AppId::MAIN,
        from: "a".into(),
        to: "".into(),
        first_in: None,
        body: vec![0; bytes].into(),
    };
    let (one, other) = (WorkerId(1), WorkerId(2));
    let waits = |behind: &mut BehindMoves, id, bytes| {
        behind.said((id, 0), 2);
        assert!(behind.hold(id, message(bytes)).is_empty());
    };
    waits(&mut behind, one, 1);
    waits(&mut behind, other, 2);
    waits(&mut behind, one, 3);
    let third = behind.hold(WorkerId(3), message(4));
    assert_eq!(third.len(), 1, "it has moved nobody");
    let went: Vec<Vec<usize>> = done
        .iter()
        .map(|shard| {
            behind.done(*shard);
            let taken = behind.take().into_iter();
            taken.map(|message| message.body.len()).collect()
        })
        .collect();
    assert_eq!(went, expected, "{done:?}");
}

#[test]
fn all_shards_have_to_have_done_it() {
    check_order(&[0, 1, 0, 1, 0, 1], &[&[], &[1], &[], &[2], &[], &[3]]);
    check_order(&[0, 0, 0, 1, 1, 1], &[&[], &[], &[], &[1], &[2], &[3]]);
}

/// What it does is done by shards in one go each: whoever says it again and again waits for them, and for nobody's sake does anybody else.
#[test]
fn a_worker_that_moves_more_than_is_done_waits_alone() {
    let (mut stage, [a, b]) = stage(Window::default());
    for _ in 0..40 {
        stage.say(a, 0, &moving(&["r"]));
    }
    assert_eq!(stage.take_told().len(), 16);
    assert!(stage.peer(a).is_paused && !stage.peer(b).is_paused);
    stage.say(b, 0, &moving(&["r"]));
    assert_eq!(stage.take_told().len(), 1);
    for left in (0..16).rev() {
        assert!(stage.peer(a).is_paused);
        done(&mut stage, 0);
        let more = if left == 0 { 16 } else { 0 };
        assert_eq!(stage.take_told().len(), more);
    }
    // The other's was done among them.
    (0..17).for_each(|_| done(&mut stage, 0));
    assert_eq!(stage.take_told().len(), 8);
    (0..8).for_each(|_| done(&mut stage, 0));
    assert!(!stage.peer(a).is_paused);
}

/// How many MOVEs go at once, of so many rooms each, with so many clients.
#[track_caller]
fn check_at_once(clients: u64, rooms: usize, expected: usize) {
    let (mut stage, [a, _]) = stage(Window::default());
    (3..=clients).for_each(|number| stage.open(number, &[]));
    stage.take_told();
    for _ in 0..20 {
        stage.say(a, 0, &moving(&vec!["r"; rooms]));
    }
    assert_eq!(stage.take_told().len(), expected, "{clients} {rooms}");
}

#[test]
fn it_waits_the_earlier_the_more_there_is_to_do() {
    check_at_once(2, 64, 16);
    check_at_once(65_536, 1, 16);
    check_at_once(65_537, 1, 16);
    check_at_once(100_000, 1, 11);
    check_at_once(20_000, 64, 1);
}

/// A few bytes move many sockets.
#[test]
fn a_move_weighs_what_it_does() {
    let (mut stage, [a, b]) = stage(Window::default());
    let text = "x".repeat(10_000);
    let frame = Frame::Bcast {
        nsp: 1,
        rooms: Vec::new(),
        except: Vec::new(),
        parts: vec![Part::Text(&text)],
    };
    stage.say(b, 0, &frame);
    stage.say(a, 0, &moving(&["r"]));
    let socket = MovedSocket {
        client: client(9),
        sid: "s",
        known: 0,
        places: 1,
    };
    stage.mail(&ToLinks::Moved {
        answers: Some(0),
        namespace: "/",
        what: JOIN,
        places: vec!["r"],
        sockets: vec![socket; 1_000],
    });
    stage.hold(Hold::Heaviest);
    assert!(stage.peer(a).is_paused && !stage.peer(b).is_paused);
}

#[test]
fn each_answer_is_weighed_for_whoever_moved() {
    let mut behind = BehindMoves::default();
    let ids = [WorkerId(1), WorkerId(2), WorkerId(1)];
    let undone = ids.map(|id| behind.said((id, 100_000), 2));
    assert_eq!(undone, [100_000, 100_000, 200_000]);
    let whose = [0, 0, 1, 0, 1, 1].map(|shard| behind.done(shard));
    assert_eq!(whose.map(|id| id.0), [1, 2, 1, 1, 2, 1]);
    assert_eq!(behind.said((WorkerId(1), 0), 2), 65_536, "those are done");
}

#[test]
fn a_worker_of_an_earlier_version_is_told_nothing_that_it_would_not_know() {
    let mut stage = Stage::new(Window::default());
    stage.is_old = true;
    let conn = stage.worker("a");
    stage.say(conn, 1, &Frame::Nsp { name: "/" });
    stage.open(1, &[]);
    stage.take_told();
    moved(&mut stage, 1, (JOIN, 0), &["r"]);
    assert_eq!(stage.take_told(), Vec::<String>::new());
    // It would not disconnect anybody.
    moved(&mut stage, 1, (CLOSE, 0), &[]);
    assert_eq!(stage.take_told(), ["lost 1"]);
    assert_eq!(of_moves(stage.heard_all(conn)), Vec::<String>::new());
}

/// A shard's clients, of which one is to be disconnected.
fn dismissed() -> (Clients, Key, ClientNumber) {
    let mut clients = Clients::new(0, 1, 8, Routes::default());
    let (space, key) = (
        SpaceId(1),
        Key {
            slot: 1,
            generation: 1,
        },
    );
    let number = clients.number(key, AppId::MAIN);
    clients.name(space, AppId::MAIN, "/t");
    let set = |space: &mut Space| space.set(key, "s", "pid", ("{}", "{}"), &["r"]);
    clients.change(key, space, set).unwrap();
    assert_eq!(clients.left((key, AppId::MAIN)).len(), 1);
    let all = Target {
        rooms: &[],
        except: &[],
    };
    clients.change_all(space, |space| space.dismiss(all, Movement::Close));
    (clients, key, number)
}

#[test]
fn a_namespace_that_goes_takes_those_along_who_are_to_be_disconnected() {
    let (mut clients, key, number) = dismissed();
    assert_eq!(clients.retire(SpaceId(1)), [key]);
    assert_eq!(clients.sockets((key, AppId::MAIN)).count(), 0);
    clients.forget(number);
    assert!(clients.is_empty() && clients.bytes() == 0);
}

#[test]
fn whoever_is_to_be_disconnected_does_not_come_back() {
    let (clients, key, _) = dismissed();
    assert_eq!(clients.left((key, AppId::MAIN)), []);
}
