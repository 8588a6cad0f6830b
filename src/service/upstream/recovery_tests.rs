//! Clients that go and come back while their workers live, hang, lie or die.

use super::applications::AppId;
use super::exchange::Order;
use super::mail::{LeftSocket, SpaceId, ToLinks};
use super::stage::{Stage, client};
use super::window::Window;
use crate::time::ConnId;
use ringway_proto::link::{Bind, Flags, Frame, GoAway, GoAwayMode, Json, Long, Part, Payload};
use serde_json::value::RawValue;

const SPACE: SpaceId = SpaceId(0);

/// A worker that wants recovery, and has the main namespace.
fn worker(stage: &mut Stage, instance: &str) -> ConnId {
    let conn = stage.worker(instance);
    bind(stage, conn, "{\"recovery\":{\"ttl\":60000}}");
    stage.say(conn, 0, &Frame::Nsp { name: "/" });
    stage.heard(conn);
    conn
}

fn bind(stage: &mut Stage, conn: ConnId, opts: &str) {
    let opts: &RawValue = serde_json::from_str(opts).expect("JSON");
    let json = Json::new(Bind {
        path: "/".into(),
        opts,
        rpc: "none".into(),
        parser: "default".into(),
        namespaces: None,
    });
    stage.say(conn, 0, &Frame::Bind { json });
}

/// A stage with a worker, of which a client has a socket in rooms, and the offset that the client has.
fn scene() -> (Stage, ConnId, String) {
    let mut stage = Stage::new(Window::default());
    let conn = worker(&mut stage, "a");
    enter_anew(&mut stage, conn, 1);
    let offset = broadcast(&mut stage, conn, &[], "2[\"first\"]");
    stage.take_frames();
    (stage, conn, offset)
}

fn enter_anew(stage: &mut Stage, conn: ConnId, number: u64) {
    stage.open(number, &[]);
    stage.heard(conn);
    member(stage, conn, number, "p");
}

fn member(stage: &mut Stage, conn: ConnId, number: u64, pid: &str) {
    let frame = Frame::Member {
        nsp: 0,
        sid: "s",
        pid,
        rooms: vec!["in"],
        auth: Long("{}"),
        data: Long("{}"),
    };
    stage.say(conn, client(number).0, &frame);
}

/// Gives its offset.
fn broadcast(stage: &mut Stage, conn: ConnId, rooms: &[&str], text: &str) -> String {
    let frame = Frame::Bcast {
        nsp: 0,
        rooms: rooms.to_vec(),
        except: Vec::new(),
        parts: vec![Part::Text(text)],
    };
    stage.say_with(conn, 0, Flags::RECOVER, &frame);
    let frames = stage.take_frames();
    let told = frames.last().expect("it was told");
    let offset = told.rsplit('"').nth(1).expect("an offset is a text");
    assert_eq!(
        *told,
        format!("BCAST 0 {},\"{offset}\"]", text.trim_end_matches(']'))
    );
    offset.to_owned()
}

/// The client's connection ends; its shard knows the socket as MEMBER said.
fn leave(stage: &mut Stage, number: u64, reason: u8) {
    stage.mail(&ToLinks::Closed {
        app: AppId::MAIN,
        client: client(number),
        body: &[reason, 0, 0, 0, 0],
        sockets: vec![LeftSocket {
            space: SPACE,
            sid: "s",
            pid: "p",
            rooms: vec!["in"],
            data: "{\"as\":\"told\"}",
        }],
    });
}

fn save(stage: &mut Stage, conn: ConnId, number: u64) {
    let frame = Frame::SessionSave {
        nsp: 0,
        pid: "p",
        rooms: vec!["s", "in", "late"],
        sid: "s",
        data: Long("{\"as\":\"saved\"}"),
    };
    stage.say(conn, client(number).0, &frame);
}

fn get(stage: &mut Stage, conn: ConnId, number: u64, offset: &str) {
    let frame = Frame::SessionGet {
        request: number as u32,
        nsp: 0,
        pid: "p",
        offset,
    };
    stage.say(conn, client(number).0, &frame);
}

/// All that a worker hears, but for credit.
fn hears(stage: &mut Stage, conn: ConnId) -> Vec<String> {
    let mut heard = stage.heard_all(conn);
    heard.retain(|line| line != "CREDIT 0");
    heard
}

/// A client that is back, asks, and hears at once.
#[track_caller]
fn asks(stage: &mut Stage, conn: ConnId, number: u64, offset: &str, expected: &str) {
    // Whoever has a worker is given no other.
    stage.open(number, &[]);
    hears(stage, conn);
    get(stage, conn, number, offset);
    let heard = hears(stage, conn);
    assert_eq!(heard, [format!("SESSION_RES {number} {expected}")]);
}

fn answer(stage: &mut Stage, conn: ConnId, number: u64, text: &str) {
    let payload = Payload(Part::Text(text));
    stage.say(conn, client(number).0, &Frame::Send { payload });
}

fn told_client(number: u64, what: &str) -> String {
    let number = client(number).0;
    what.replace('#', &number.to_string())
}

const NONE: &str = "none";
const SAVED: &str = "s s,in,late {\"as\":\"saved\"} 0";
const TOLD: &str = "s in,s {\"as\":\"told\"} 0";

#[test]
fn who_comes_back_enters_in_one_step() {
    let (mut stage, conn, offset) = scene();
    leave(&mut stage, 1, 0);
    save(&mut stage, conn, 1);
    broadcast(&mut stage, conn, &["late"], "2[\"second\"]");
    broadcast(&mut stage, conn, &["elsewhere"], "2[\"not\"]");
    let other = worker(&mut stage, "b");
    stage.kill(conn);
    asks(&mut stage, other, 2, &offset, SAVED);
    let third = broadcast(&mut stage, other, &["in"], "2[\"third\"]");
    member(&mut stage, other, 2, "p");
    let join = Frame::Join {
        nsp: 0,
        rooms: vec!["more"],
    };
    stage.say(other, client(2).0, &join);
    assert_eq!(stage.take_frames(), [""; 0], "it is held back");
    let fourth = broadcast(&mut stage, other, &["s"], "2[\"fourth\"]");
    answer(&mut stage, other, 2, "0{\"sid\":\"s\"}");
    let frames = stage.take_frames();
    let second = frames[0].rsplit('"').nth(1).expect("an offset").to_owned();
    let expected = [
        format!("SEND # 2[\"second\",\"{second}\"]"),
        format!("SEND # 2[\"third\",\"{third}\"]"),
        format!("SEND # 2[\"fourth\",\"{fourth}\"]"),
        "SEND # 0{\"sid\":\"s\"}".to_owned(),
        "MEMBER #".to_owned(),
        "JOIN #".to_owned(),
    ];
    assert_eq!(frames, expected.map(|line| told_client(2, &line)));
    assert_eq!(stage.exchange.stats().sessions_waiting, 0);
    // What is said next goes its way.
    stage.say(other, client(2).0, &join);
    assert_eq!(stage.take_frames(), [told_client(2, "JOIN #")]);
}

#[test]
fn what_emitters_say_is_kept_as_long_as_the_application_has_recovery() {
    let (mut stage, first, _) = scene();
    let emitter = emitter(&mut stage);
    broadcast(&mut stage, emitter, &["in"], "2[\"kept\"]");
    // A version without it takes the place of the one that has it.
    let second = stage.worker("b");
    bind(&mut stage, second, "{}");
    stage.say(second, 0, &Frame::Nsp { name: "/" });
    broadcast(&mut stage, emitter, &["in"], "2[\"kept\"]");
    stage.kill(first);
    assert!(!is_kept(&mut stage, emitter));
}

/// BROADCASTs that are kept take an offset; others go as they are.
fn is_kept(stage: &mut Stage, conn: ConnId) -> bool {
    let frame = Frame::Bcast {
        nsp: 0,
        rooms: vec!["in"],
        except: Vec::new(),
        parts: vec![Part::Text("2[\"x\"]")],
    };
    stage.take_frames();
    stage.say_with(conn, 0, Flags::RECOVER, &frame);
    let frames = stage.take_frames();
    frames.last().expect("it was told") != "BCAST 0 2[\"x\"]"
}

fn emitter(stage: &mut Stage) -> ConnId {
    let emitter = stage.accept();
    stage.hello_as("emitter", emitter, "e", None);
    stage.heard(emitter);
    stage.say(emitter, 0, &Frame::Nsp { name: "/" });
    emitter
}

/// Workers that deal with what they hear.
fn wait(stage: &mut Stage, conns: &[ConnId], seconds: u64) {
    for _ in 0..seconds {
        stage.pass(1_000_000);
        for conn in conns {
            stage.say(*conn, 0, &Frame::Pong { number: 0 });
            stage.heard_all(*conn);
        }
    }
}

#[test]
fn who_waits_is_not_forgotten_by_a_version_without_recovery() {
    let (mut stage, first, offset) = scene();
    let emitter = emitter(&mut stage);
    let second = stage.worker("b");
    bind(&mut stage, second, "{}");
    stage.say(second, 0, &Frame::Nsp { name: "/" });
    wait(&mut stage, &[first, second, emitter], 30);
    leave(&mut stage, 1, 0);
    save(&mut stage, first, 1);
    stage.cut(first);
    // What it has heard last is older than a minute by now.
    wait(&mut stage, &[second, emitter], 50);
    assert!(is_kept(&mut stage, emitter), "for the one that waits");
    // The version before that is back; the first client is the other one's.
    let third = worker(&mut stage, "c");
    stage.open(9, &[]);
    asks(&mut stage, third, 2, &offset, SAVED);
    stage.kill(third);
    wait(&mut stage, &[second, emitter], 1);
    assert!(is_kept(&mut stage, emitter), "for the one that comes back");
    stage.close(2);
    wait(&mut stage, &[second, emitter], 61);
    assert!(!is_kept(&mut stage, emitter), "nobody waits");
}

#[test]
fn the_log_reaches_back_to_who_waits_longest() {
    let (mut stage, conn, offset) = scene();
    wait(&mut stage, &[conn], 50);
    leave(&mut stage, 1, 0);
    save(&mut stage, conn, 1);
    // Clients that go from now on may take less time.
    bind(&mut stage, conn, "{\"recovery\":{\"ttl\":1000}}");
    wait(&mut stage, &[conn], 50);
    asks(&mut stage, conn, 2, &offset, SAVED);
}

#[test]
fn a_worker_that_has_not_said_what_it_wants_takes_nothing_away() {
    let (mut stage, first, offset) = scene();
    let silent = stage.worker("b");
    stage.kill(first);
    leave(&mut stage, 1, 0);
    bind(&mut stage, silent, "{\"recovery\":{\"ttl\":60000}}");
    stage.say(silent, 0, &Frame::Nsp { name: "/" });
    stage.heard(silent);
    asks(&mut stage, silent, 2, &offset, TOLD);
}

#[test]
fn a_session_is_given_to_one_client() {
    let (mut stage, conn, offset) = scene();
    leave(&mut stage, 1, 0);
    save(&mut stage, conn, 1);
    asks(&mut stage, conn, 2, &offset, SAVED);
    stage.open(3, &[]);
    get(&mut stage, conn, 3, &offset);
    stage.pass(300_000);
    let heard = hears(&mut stage, conn);
    assert!(heard.contains(&"SESSION_RES 3 none".to_owned()));
    // Its worker asks again, or the next one does.
    asks(&mut stage, conn, 2, &offset, SAVED);
    stage.kill(conn);
    let next = worker(&mut stage, "b");
    stage.open(2, &[]);
    asks(&mut stage, next, 2, &offset, SAVED);
    member(&mut stage, next, 2, "p");
    answer(&mut stage, next, 2, "0{}");
    assert_eq!(stage.take_frames().len(), 2);
    asks(&mut stage, next, 2, &offset, NONE);
    assert_eq!(stage.exchange.stats().sessions_refused, 2);
}

#[test]
fn a_worker_that_dies_halfway_leaves_nothing_of_it() {
    let (mut stage, conn, offset) = scene();
    leave(&mut stage, 1, 0);
    save(&mut stage, conn, 1);
    asks(&mut stage, conn, 2, &offset, SAVED);
    member(&mut stage, conn, 2, "p");
    stage.kill(conn);
    let next = worker(&mut stage, "b");
    stage.open(2, &[]);
    asks(&mut stage, next, 2, &offset, SAVED);
    answer(&mut stage, next, 2, "0{}");
    let frames = stage.take_frames();
    assert_eq!(
        frames,
        [told_client(2, "SEND # 0{}")],
        "no MEMBER of another"
    );
}

#[test]
fn what_a_worker_that_lives_says_is_waited_for() {
    let (mut stage, conn, offset) = scene();
    leave(&mut stage, 1, 0);
    stage.open(2, &[]);
    hears(&mut stage, conn);
    get(&mut stage, conn, 2, &offset);
    assert_eq!(hears(&mut stage, conn), [""; 0]);
    save(&mut stage, conn, 1);
    assert_eq!(hears(&mut stage, conn), [format!("SESSION_RES 2 {SAVED}")]);
    // It is too late to say another thing.
    save(&mut stage, conn, 1);
    assert_eq!(stage.exchange.stats().sessions_waiting, 0);
    assert_eq!(stage.exchange.stats().frames_stale, 1);
}

#[test]
fn who_comes_before_its_end_is_heard_of_is_waited_for() {
    // Its old connection is on another shard: that it ended is heard later, and what its socket was later still.
    let (mut stage, conn, offset) = scene();
    stage.open(2, &[]);
    hears(&mut stage, conn);
    get(&mut stage, conn, 2, &offset);
    stage.pass(100_000);
    assert_eq!(hears(&mut stage, conn), ["PING 0"]);
    leave(&mut stage, 1, 0);
    assert_eq!(hears(&mut stage, conn), ["CLOSE 1"]);
    stage.pass(1_000_000);
    save(&mut stage, conn, 1);
    assert_eq!(hears(&mut stage, conn), [format!("SESSION_RES 2 {SAVED}")]);
    member(&mut stage, conn, 2, "p");
    answer(&mut stage, conn, 2, "0{}");
    stage.mail(&ToLinks::Entered {
        client: client(2),
        space: SPACE,
    });
    assert_eq!(stage.exchange.stats().sessions_recovered, 1);
    // The same of a client that came back and went again before it was in.
    stage.open(3, &[]);
    leave(&mut stage, 2, 0);
    save(&mut stage, conn, 2);
    asks(&mut stage, conn, 3, &offset, SAVED);
    stage.open(4, &[]);
    hears(&mut stage, conn);
    get(&mut stage, conn, 4, &offset);
    assert_eq!(hears(&mut stage, conn), [""; 0]);
    stage.close(3);
    let heard = hears(&mut stage, conn);
    assert!(
        heard.contains(&format!("SESSION_RES 4 {SAVED}")),
        "{heard:?}"
    );
}

#[test]
fn an_end_that_does_not_come_is_not_waited_for() {
    let (mut stage, conn, offset) = scene();
    let check = |stage: &mut Stage, end: &dyn Fn(&mut Stage)| {
        stage.open(2, &[]);
        hears(stage, conn);
        get(stage, conn, 2, &offset);
        stage.pass(200_000);
        assert!(!hears(stage, conn).contains(&"SESSION_RES 2 none".to_owned()));
        end(stage);
        let heard = hears(stage, conn);
        assert!(
            heard.contains(&"SESSION_RES 2 none".to_owned()),
            "{heard:?}"
        );
        stage.close(2);
    };
    // The socket is another's.
    check(&mut stage, &|stage| stage.pass(100_000));
    // It said what is no packet.
    check(&mut stage, &|stage| leave(stage, 1, 3));
    // It took leave.
    enter_anew(&mut stage, conn, 1);
    check(&mut stage, &|stage| {
        stage.say(conn, client(1).0, &Frame::LeaveAll { nsp: 0 });
    });
    // It is one's own, or nobody's, or the offset is none.
    enter_anew(&mut stage, conn, 1);
    get(&mut stage, conn, 1, &offset);
    assert_eq!(hears(&mut stage, conn), ["SESSION_RES 1 none"]);
    asks(&mut stage, conn, 2, "guess", NONE);
    stage.say(conn, client(1).0, &Frame::LeaveAll { nsp: 0 });
    asks(&mut stage, conn, 2, &offset, NONE);
}

#[test]
fn a_worker_that_dies_takes_no_end_along_that_is_waited_for() {
    let (mut stage, conn, offset) = scene();
    let other = worker(&mut stage, "b");
    stage.open(2, &[]);
    hears(&mut stage, other);
    get(&mut stage, other, 2, &offset);
    stage.cut(conn);
    leave(&mut stage, 1, 0);
    stage.kill(conn);
    let heard = hears(&mut stage, other);
    assert!(
        heard.contains(&format!("SESSION_RES 2 {TOLD}")),
        "{heard:?}"
    );
}

#[test]
fn a_worker_that_hangs_or_dies_is_not_waited_for() {
    for dies in [false, true] {
        let (mut stage, conn, offset) = scene();
        let other = worker(&mut stage, "b");
        leave(&mut stage, 1, 0);
        enter_anew(&mut stage, conn, 2);
        stage.open(3, &[]);
        hears(&mut stage, other);
        get(&mut stage, other, 3, &offset);
        stage.pass(1_000_000);
        assert!(
            !stage
                .heard_all(other)
                .iter()
                .any(|line| line.starts_with("SESSION_RES"))
        );
        match dies {
            true => stage.kill(conn),
            false => stage.pass(1_100_000),
        }
        let heard = hears(&mut stage, other);
        assert!(
            heard.contains(&format!("SESSION_RES 3 {TOLD}")),
            "{heard:?}"
        );
    }
}

#[test]
fn a_newer_question_takes_the_place_of_one_that_waits() {
    let (mut stage, conn, offset) = scene();
    leave(&mut stage, 1, 0);
    stage.open(2, &[]);
    stage.open(3, &[]);
    hears(&mut stage, conn);
    get(&mut stage, conn, 2, &offset);
    get(&mut stage, conn, 3, &offset);
    assert_eq!(hears(&mut stage, conn), ["SESSION_RES 2 none"]);
    save(&mut stage, conn, 1);
    assert_eq!(hears(&mut stage, conn), [format!("SESSION_RES 3 {SAVED}")]);
}

#[test]
fn who_took_leave_starts_anew() {
    // Its worker says so, be it behind its end.
    let (mut stage, conn, offset) = scene();
    leave(&mut stage, 1, 0);
    stage.open(2, &[]);
    hears(&mut stage, conn);
    get(&mut stage, conn, 2, &offset);
    stage.say(conn, client(1).0, &Frame::LeaveAll { nsp: 0 });
    assert_eq!(hears(&mut stage, conn), ["SESSION_RES 2 none"]);
    // And who said what is no packet.
    let (mut stage, conn, offset) = scene();
    leave(&mut stage, 1, 3);
    asks(&mut stage, conn, 2, &offset, NONE);
    // But not whom its worker has saved.
    let (mut stage, conn, offset) = scene();
    save(&mut stage, conn, 1);
    stage.say(conn, client(1).0, &Frame::LeaveAll { nsp: 0 });
    leave(&mut stage, 1, 4);
    asks(&mut stage, conn, 2, &offset, SAVED);
}

#[test]
fn a_socket_without_a_worker_waits_as_it_was_told() {
    let (mut stage, conn, offset) = scene();
    stage.kill(conn);
    leave(&mut stage, 1, 0);
    assert_eq!(stage.exchange.stats().sessions_waiting, 1);
    let next = worker(&mut stage, "b");
    asks(&mut stage, next, 2, &offset, TOLD);
}

#[test]
fn clients_that_nobody_came_for_may_come_back_later() {
    let (mut stage, conn, offset) = scene();
    stage.kill(conn);
    stage.pass(31_000_000);
    assert!(stage.take_told().contains(&format!("lost {}", client(1).0)));
    leave(&mut stage, 1, 0);
    let next = worker(&mut stage, "b");
    asks(&mut stage, next, 2, &offset, TOLD);
}

#[test]
fn who_is_late_starts_anew() {
    let (mut stage, conn, offset) = scene();
    leave(&mut stage, 1, 0);
    save(&mut stage, conn, 1);
    // It says goodbye: one that is silent for so long would be kept from clients, and its kin with it.
    let json = Json::new(GoAway {
        mode: GoAwayMode::Keep,
        reason: "".into(),
        deadline_ms: 0,
    });
    stage.say(conn, 0, &Frame::GoAway { json });
    stage.cut(conn);
    stage.pass(59_000_000);
    assert_eq!(stage.exchange.stats().sessions_waiting, 1);
    stage.pass(2_000_000);
    let stats = stage.exchange.stats();
    assert_eq!(stats.sessions_waiting, 0);
    assert!(stats.log_bytes > 0, "others may have gone later");
    let next = worker(&mut stage, "b");
    asks(&mut stage, next, 2, &offset, NONE);
    stage.pass(60_000_000);
    assert_eq!(stage.exchange.stats().log_bytes, 0);
}

#[test]
fn an_offset_that_was_not_given_out_is_none() {
    let (mut stage, conn, offset) = scene();
    leave(&mut stage, 1, 0);
    save(&mut stage, conn, 1);
    for wrong in [
        "",
        "x",
        &format!("{offset}0"),
        &offset[1..],
        &"0".repeat(60_000),
    ] {
        asks(&mut stage, conn, 2, wrong, NONE);
    }
    asks(&mut stage, conn, 2, &offset, SAVED);
}

#[test]
fn a_client_that_is_refused_may_try_again() {
    let (mut stage, conn, offset) = scene();
    leave(&mut stage, 1, 0);
    save(&mut stage, conn, 1);
    asks(&mut stage, conn, 2, &offset, SAVED);
    answer(&mut stage, conn, 2, "4{\"message\":\"no\"}");
    assert_eq!(stage.take_frames().len(), 1, "it hears that");
    asks(&mut stage, conn, 3, &offset, SAVED);
}

#[test]
fn a_client_that_goes_before_it_is_in_finds_its_session_again() {
    // Before it is let in.
    let (mut stage, conn, offset) = scene();
    leave(&mut stage, 1, 0);
    save(&mut stage, conn, 1);
    asks(&mut stage, conn, 2, &offset, SAVED);
    member(&mut stage, conn, 2, "p");
    stage.close(2);
    asks(&mut stage, conn, 3, &offset, SAVED);
    // And as it is, on the way to its shard. Its worker believes that it was.
    member(&mut stage, conn, 3, "p");
    answer(&mut stage, conn, 3, "0{}");
    stage.close(3);
    save(&mut stage, conn, 3);
    asks(&mut stage, conn, 4, &offset, SAVED);
    // Its shard has it.
    member(&mut stage, conn, 4, "p");
    answer(&mut stage, conn, 4, "0{}");
    stage.mail(&ToLinks::Entered {
        client: client(4),
        space: SPACE,
    });
    assert_eq!(stage.exchange.stats().sessions_recovered, 1);
    stage.close(4);
    asks(&mut stage, conn, 5, &offset, NONE);
}

#[test]
fn a_worker_that_did_not_wait_makes_a_new_socket() {
    let (mut stage, conn, offset) = scene();
    leave(&mut stage, 1, 0);
    save(&mut stage, conn, 1);
    asks(&mut stage, conn, 2, &offset, SAVED);
    broadcast(&mut stage, conn, &[], "2[\"missed\"]");
    member(&mut stage, conn, 2, "new");
    answer(&mut stage, conn, 2, "0{}");
    let expected = ["MEMBER #", "SEND # 0{}"].map(|line| told_client(2, line));
    assert_eq!(stage.take_frames(), expected);
}

#[test]
fn who_cannot_be_given_what_it_missed_is_closed() {
    let (mut stage, conn, offset) = scene();
    leave(&mut stage, 1, 0);
    save(&mut stage, conn, 1);
    asks(&mut stage, conn, 2, &offset, SAVED);
    member(&mut stage, conn, 2, "p");
    for _ in 0..5 {
        // One that is larger than the window waits until all before it are credited.
        stage.pass(100_000);
        let large = format!("2[\"{}\"]", "x".repeat(8 << 20));
        broadcast(&mut stage, conn, &["elsewhere"], &large);
    }
    answer(&mut stage, conn, 2, "0{}");
    assert_eq!(stage.take_frames(), [told_client(2, "CLOSE_CONN #")]);
}

#[test]
fn many_that_come_back_at_once_are_given_what_they_missed_one_after_the_other() {
    let (mut stage, conn, offset) = scene();
    stage.kill(conn);
    let pids: Vec<String> = (2..10).map(|number| format!("p{number}")).collect();
    let sockets = pids.iter().map(|pid| LeftSocket {
        space: SPACE,
        sid: pid,
        pid,
        rooms: vec!["late"],
        data: "{}",
    });
    let sockets: Vec<LeftSocket<'_>> = sockets.collect();
    for socket in sockets {
        stage.mail(&ToLinks::Closed {
            app: AppId::MAIN,
            client: client(99),
            body: &[0; 5],
            sockets: vec![socket],
        });
    }
    let next = worker(&mut stage, "b");
    let large = format!("2[\"{}\"]", "x".repeat(1 << 20));
    broadcast(&mut stage, next, &["late"], &large);
    let mut words = Vec::new();
    for (number, pid) in (2..10).zip(&pids) {
        stage.open(number, &[]);
        let get = Frame::SessionGet {
            request: 1,
            nsp: 0,
            pid,
            offset: &offset,
        };
        stage.say(next, client(number).0, &get);
        member(&mut stage, next, number, pid);
        let payload = Payload(Part::Text("0{}"));
        Frame::Send { payload }.encode_into(client(number).0, Flags::NONE, &mut words);
    }
    stage.exchange.received(stage.now(), next, &words);
    for given in 1..=8 {
        let orders = stage.exchange.take_orders();
        let is_large =
            |order: &&Order| matches!(order, Order::Mail { bytes, .. } if bytes.len() > 1 << 20);
        assert_eq!(orders.iter().filter(is_large).count(), 1, "{given}");
        assert!(stage.exchange.read_on(stage.now()));
    }
}

#[test]
fn what_is_held_back_has_its_bound() {
    let (mut stage, conn, offset) = scene();
    leave(&mut stage, 1, 0);
    save(&mut stage, conn, 1);
    asks(&mut stage, conn, 2, &offset, SAVED);
    member(&mut stage, conn, 2, "p");
    let room = "r".repeat(60_000);
    let join = Frame::Join {
        nsp: 0,
        rooms: vec![&room],
    };
    let mut joins = 0;
    while stage.take_frames().is_empty() {
        stage.say(conn, client(2).0, &join);
        joins += 1;
        assert!(joins < 100);
    }
    assert!(joins > 30, "{joins}");
    assert!(
        !stage.peer(conn).is_closed,
        "it is the client's end, and not the link's"
    );
    stage.close(2);
    asks(&mut stage, conn, 3, &offset, SAVED);
}

#[test]
fn answers_to_a_worker_that_does_not_read_have_their_bound() {
    let mut stage = Stage::new(Window {
        frames: 4,
        bytes: 1 << 20,
    });
    let conn = worker(&mut stage, "a");
    enter_anew(&mut stage, conn, 1);
    let get = Frame::SessionGet {
        request: 7,
        nsp: 0,
        pid: "p",
        offset: "",
    };
    let mut flood = Vec::new();
    for _ in 0..250_000 {
        get.encode_into(client(1).0, Flags::NONE, &mut flood);
    }
    stage.exchange.received(stage.now(), conn, &flood);
    while stage.exchange.read_on(stage.now()) {}
    stage.flush(conn);
    let heard = hears(&mut stage, conn).len();
    // Each costs 64 bytes and its own 5, of 16 MiB, and four are on the link.
    assert_eq!(heard, (16 << 20) / 69 + 4);
}

#[test]
fn lies_about_sessions_have_names() {
    let check = |code: &str, lie: &dyn Fn(&mut Stage, ConnId)| {
        let (mut stage, conn, _) = scene();
        stage.read(conn);
        lie(&mut stage, conn);
        let heard = stage.read(conn);
        assert_eq!(heard.last(), Some(&format!("ERROR {code}")), "{heard:?}");
    };
    let bcast = |parts: Vec<Part<'static>>| Frame::Bcast {
        nsp: 0,
        rooms: Vec::new(),
        except: Vec::new(),
        parts,
    };
    for parts in [
        vec![],
        vec![Part::Text("2[]")],
        vec![Part::Text("2")],
        vec![Part::Binary(b"2[\"a\"]")],
    ] {
        let frame = bcast(parts);
        check("bad-value", &|stage, conn| {
            stage.say_with(conn, 0, Flags::RECOVER, &frame);
        });
    }
    let long = "p".repeat(129);
    for pid in ["", &long] {
        let frame = Frame::SessionSave {
            nsp: 0,
            pid,
            rooms: Vec::new(),
            sid: "s",
            data: Long("{}"),
        };
        check("bad-value", &|stage, conn| {
            stage.say(conn, client(1).0, &frame);
        });
    }
    check("bad-json", &|stage, conn| {
        bind(stage, conn, "{\"recovery\":7}");
    });
    check("out-of-turn", &|stage, conn| {
        bind(stage, conn, "{}");
        save(stage, conn, 1);
    });
    check("out-of-turn", &|stage, conn| {
        bind(stage, conn, "{}");
        get(stage, conn, 1, "");
    });
    check("out-of-turn", &|stage, conn| {
        bind(stage, conn, "{}");
        let frame = bcast(vec![Part::Text("2[\"a\"]")]);
        stage.say_with(conn, 0, Flags::RECOVER, &frame);
    });
    let unnamed = Frame::SessionGet {
        request: 1,
        nsp: 9,
        pid: "p",
        offset: "",
    };
    check("not-allowed", &|stage, conn| {
        stage.say(conn, client(1).0, &unnamed);
    });
}

#[test]
fn another_workers_clients_are_not_spoken_for() {
    for asks in [false, true] {
        let (mut stage, _, offset) = scene();
        let thief = worker(&mut stage, "b");
        match asks {
            true => get(&mut stage, thief, 1, &offset),
            false => save(&mut stage, thief, 1),
        }
        let heard = stage.read(thief);
        assert_eq!(heard.last().map(String::as_str), Some("ERROR not-allowed"));
    }
    // Nor when they are gone.
    let (mut stage, conn, offset) = scene();
    let thief = worker(&mut stage, "b");
    leave(&mut stage, 1, 0);
    save(&mut stage, thief, 1);
    stage.say(thief, client(1).0, &Frame::LeaveAll { nsp: 0 });
    stage.kill(conn);
    asks(&mut stage, thief, 2, &offset, TOLD);
}

#[test]
fn an_old_socket_whose_last_words_are_on_the_way_is_out_of_its_rooms() {
    let (mut stage, conn, offset) = scene();
    // The worker closes the connection, and the client does not read.
    stage.say(conn, client(1).0, &Frame::CloseConn {});
    save(&mut stage, conn, 1);
    stage.take_frames();
    asks(&mut stage, conn, 2, &offset, SAVED);
    assert_eq!(stage.take_frames(), [told_client(1, "LEAVE_ALL #")]);
    // Its end is no news.
    leave(&mut stage, 1, 4);
    assert_eq!(stage.exchange.stats().sessions_waiting, 0);
}

#[test]
fn a_namespace_that_nobody_has_takes_its_sessions_along() {
    let (mut stage, conn, offset) = scene();
    leave(&mut stage, 1, 0);
    save(&mut stage, conn, 1);
    asks(&mut stage, conn, 2, &offset, SAVED);
    member(&mut stage, conn, 2, "p");
    leave(&mut stage, 9, 0);
    stage.say_with(conn, 0, Flags::REMOVED, &Frame::Nsp { name: "/" });
    let stats = stage.exchange.stats();
    assert_eq!((stats.sessions_waiting, stats.log_bytes), (0, 0));
    stage.say(conn, 0, &Frame::Nsp { name: "/" });
    asks(&mut stage, conn, 3, &offset, NONE);
}
