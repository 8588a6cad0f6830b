//! Links that come, go, lie or do not read, and the workers behind them.

use super::applications::AppId;
use super::exchange::{Exchange, ExchangeSettings};
use super::mail::ToLinks;
use super::mend::Notice;
use super::pressure::Hold;
use super::proof::Secret;
use super::stage::{Stage, client};
use super::window::Window;
use crate::time::ConnId;
use ringway_proto::link::{Flags, Frame, GoAway, GoAwayMode, Json, Long, Part, Payload};

fn stage() -> Stage {
    Stage::new(Window::default())
}

/// Room for so many frames.
fn narrow(frames: u32) -> Stage {
    Stage::new(Window {
        frames,
        bytes: 1 << 20,
    })
}

#[track_caller]
fn is_refused(stage: &mut Stage, conn: ConnId, code: &str) {
    let heard = stage.read(conn);
    assert_eq!(heard.last(), Some(&format!("ERROR {code}")), "{heard:?}");
    assert_eq!(stage.exchange.stats().links_refused, 1);
}

#[test]
fn a_name_for_a_life_has_its_bound() {
    for (bytes, is_taken) in [
        (0, false),
        (1, true),
        (128, true),
        (129, false),
        (60_000, false),
    ] {
        let mut stage = stage();
        let conn = stage.accept();
        stage.hello(conn, &"i".repeat(bytes));
        if is_taken {
            assert_eq!(stage.read(conn), ["CHALLENGE 0", "WELCOME 0"], "{bytes}");
        } else {
            is_refused(&mut stage, conn, "not-allowed");
        }
    }
}

/// A client asks and the worker answers: how often it is woken, and how much of that for CREDIT alone.
fn wakes(stage: &mut Stage, conn: ConnId, events: u32) -> (u32, u32) {
    let (mut all, mut alone) = (0, 0);
    for _ in 0..events {
        stage.data(1, "20[]");
        all += u32::from(!stage.heard(conn).is_empty());
        let payload = Payload(Part::Text("30[]"));
        stage.say(conn, 1, &Frame::Send { payload });
        let words = stage.heard(conn);
        all += u32::from(!words.is_empty());
        alone += u32::from(words == ["CREDIT 0"]);
    }
    (all, alone)
}

#[test]
fn credit_goes_with_what_else_is_said() {
    let mut stage = stage();
    let conn = stage.worker("a");
    stage.open(1, &["0"]);
    stage.heard_all(conn);
    // Each SEND was answered by a CREDIT of its own: two for each event.
    assert_eq!(wakes(&mut stage, conn, 1000), (1000, 0));
    assert!(stage.heard(conn).is_empty());
    let mut told = || {
        stage.pass(100_000);
        let mut words = stage.heard(conn);
        words.retain(|word| word != "PING 0");
        words
    };
    assert_eq!(told(), ["CREDIT 0"], "the last one's");
    assert!(told().is_empty(), "nothing is owed");
}

#[test]
fn credit_does_not_wait_when_a_quarter_of_the_window_is_used() {
    let mut stage = narrow(40);
    let conn = stage.worker("a");
    stage.open(1, &["0"]);
    stage.heard_all(conn);
    let payload = Payload(Part::Text("2[]"));
    let mut heard = Vec::new();
    for _ in 0..25 {
        stage.say(conn, 1, &Frame::Send { payload });
        heard.extend(stage.heard(conn));
    }
    assert_eq!(heard, ["CREDIT 0", "CREDIT 0"]);
}

#[test]
fn who_has_not_said_who_it_is_says_little() {
    let mut stage = stage();
    let conn = stage.accept();
    stage.hello(conn, &"i".repeat(70_000));
    is_refused(&mut stage, conn, "bad-length");
}

#[test]
fn workers_that_may_come_back_are_so_many() {
    let mut stage = stage();
    for number in 0..128 {
        let conn = stage.worker(&format!("w{number}"));
        stage.cut(conn);
    }
    let conn = stage.accept();
    stage.hello(conn, "one-more");
    is_refused(&mut stage, conn, "too-many");
    stage.pass(600_000);
    stage.worker("later");
    assert_eq!(stage.exchange.stats().workers, 1);
}

#[test]
fn a_flood_of_pings_is_answered_once() {
    let mut stage = stage();
    let conn = stage.worker("a");
    let mut pings = Vec::new();
    for number in 0..10_000 {
        Frame::Ping { number }.encode_into(0, Flags::NONE, &mut pings);
    }
    stage.exchange.received(stage.now(), conn, &pings);
    while stage.exchange.read_on(stage.now()) {}
    stage.flush(conn);
    assert_eq!(stage.read(conn), ["PONG 9999"]);
}

#[test]
fn a_link_that_is_told_to_go_and_does_not_is_closed() {
    let mut stage = stage();
    let conn = stage.accept();
    stage.hello(conn, "");
    is_refused(&mut stage, conn, "not-allowed");
    stage.pass(4_000_000);
    assert!(!stage.peer(conn).is_closed, "it has time to read that");
    stage.pass(2_000_000);
    assert!(stage.peer(conn).is_closed);
    let stats = stage.exchange.stats();
    assert_eq!(stats.links_refused, 1, "it was refused once");
    assert!(!stage.exchange.is_link(conn));
}

#[test]
fn a_joined_worker_that_lies_and_does_not_read_is_given_up() {
    let mut stage = stage();
    let conn = stage.worker("a");
    let what_never_was = Frame::Credit {
        frames: 9,
        bytes: 9,
    };
    stage.say(conn, 0, &what_never_was);
    stage.pass(7_000_000);
    assert!(stage.peer(conn).is_closed);
    assert_eq!(stage.exchange.stats().workers, 0);
}

#[test]
fn nobody_is_silent_while_nothing_is_read() {
    let mut stage = stage();
    let conn = stage.worker("a");
    stage.block(true);
    stage.pass(60_000_000);
    assert!(!stage.peer(conn).is_closed);
    stage.block(false);
    stage.pass(30_000_000);
    assert_eq!(stage.read(conn).last().unwrap(), "ERROR silent");
}

#[test]
fn clients_of_a_life_that_is_replaced_are_held_for_all_of_the_time() {
    let mut stage = stage();
    stage.worker("a");
    stage.open(1, &[]);
    stage.pass(5_000_000);
    let again = stage.worker("a");
    assert_eq!(stage.take_told(), ["again 1"]);
    stage.pass(200_000);
    assert_eq!(stage.take_told(), Vec::<String>::new(), "it is not lost");
    stage.open(1, &[]);
    assert_eq!(stage.heard(again).last().unwrap(), "OPEN 1");
}

#[test]
fn a_hold_shorter_than_the_grace_is_a_hold() {
    let settings = ExchangeSettings {
        grace_ms: 5_000,
        hold_ms: 1_000,
        payload_bytes_max: 1_000_000,
        ..stage().exchange.settings
    };
    let mut stage = stage();
    stage.exchange = Exchange::new(settings, 1, [1, 2]);
    let conn = stage.worker("a");
    stage.open(1, &[]);
    stage.cut(conn);
    stage.pass(5_500_000);
    assert_eq!(stage.exchange.stats().clients_waiting, 1);
    stage.pass(1_000_000);
    assert_eq!(stage.take_told(), ["lost 1"]);
}

#[test]
fn a_worker_that_closes_takes_its_clients_with_it() {
    let mut stage = stage();
    let conn = stage.worker("a");
    stage.open(1, &[]);
    let json = Json::new(GoAway {
        mode: GoAwayMode::Close,
        reason: "deployed".into(),
        deadline_ms: 0,
    });
    stage.say(conn, 0, &Frame::GoAway { json });
    stage.cut(conn);
    assert_eq!(stage.take_told(), ["lost 1"]);
    assert!(!stage.exchange.is_busy());
}

#[test]
fn one_namespace_too_many_ends_the_client_that_wants_it_and_nobody_else() {
    let mut stage = narrow(100_000);
    let conn = stage.worker("a");
    stage.open(1, &[]);
    for number in 0..1024 {
        stage.say(
            conn,
            number,
            &Frame::Nsp {
                name: &format!("/{number}"),
            },
        );
    }
    let long = format!("/{}", "n".repeat(2_000));
    stage.say(conn, 2_000, &Frame::Nsp { name: "/one-more" });
    stage.say(conn, 2_001, &Frame::Nsp { name: &long });
    stage.take_told();
    let member = |nsp| Frame::Member {
        nsp,
        sid: "s",
        pid: "",
        rooms: Vec::new(),
        auth: Long("{}"),
        data: Long("{}"),
    };
    stage.say(conn, 1, &member(7));
    stage.say(conn, 1, &member(2_000));
    stage.say(conn, 1, &member(2_001));
    assert_eq!(stage.take_told(), ["MEMBER", "refused 1", "refused 1"]);
    assert_eq!(stage.exchange.stats().namespaces_refused, 2);
    stage.say_with(conn, 7, Flags::REMOVED, &Frame::Nsp { name: "/7" });
    stage.say(conn, 2_002, &Frame::Nsp { name: "/again" });
    assert_eq!(stage.take_told(), ["gone 7", "space 1024 /again"]);
    assert!(!stage.peer(conn).is_closed);
}

#[test]
fn namespaces_of_workers_that_are_gone_make_room() {
    let mut stage = narrow(100_000);
    for life in 0..3 {
        let conn = stage.worker(&format!("w{life}"));
        for number in 0..1024 {
            stage.say(
                conn,
                number,
                &Frame::Nsp {
                    name: &format!("/{life}-{number}"),
                },
            );
        }
        assert!(!stage.peer(conn).is_closed);
        stage.kill(conn);
    }
    assert_eq!(stage.exchange.stats().namespaces_refused, 0);
}

#[test]
fn a_client_that_was_refused_a_namespace_makes_room_if_workers_are_gone_and_is_told_of_once_a_minute()
 {
    let mut stage = narrow(100_000);
    let crowded = |stage: &mut Stage| {
        let app = AppId::MAIN;
        stage.mail(&ToLinks::Crowded { app, name: "/new" });
        stage.exchange.take_notices().len()
    };
    let (conn, other) = (stage.worker("a"), stage.worker("b"));
    for number in 0..960 {
        let name = format!("/{number}");
        stage.say(conn, number, &Frame::Nsp { name: &name });
        if number < 10 {
            stage.say(other, number, &Frame::Nsp { name: &name });
        }
    }
    stage.take_told();
    assert_eq!(crowded(&mut stage), 1);
    assert_eq!(crowded(&mut stage), 0);
    assert_eq!(
        stage.take_told(),
        Vec::<String>::new(),
        "all are somebody's"
    );
    stage.kill(conn);
    stage.take_told();
    stage.now_us += 60_000_000;
    assert_eq!(crowded(&mut stage), 1);
    // The other one has ten of them.
    assert_eq!(stage.take_told().len(), 950);
    assert_eq!(stage.exchange.stats().namespaces_refused, 3);
}

#[test]
fn namespaces_whose_clients_wait_for_the_next_worker_make_no_room_for_one_that_a_client_asks_for() {
    let mut stage = narrow(100_000);
    let conn = stage.worker("a");
    for number in 0..960 {
        let name = format!("/{number}");
        stage.say(conn, number, &Frame::Nsp { name: &name });
    }
    stage.open(1, &[]);
    stage.kill(conn);
    stage.take_told();
    let app = AppId::MAIN;
    let crowded = ToLinks::Crowded { app, name: "/new" };
    stage.mail(&crowded);
    // Nor for one that the next worker makes, as long as there is room to spare.
    let conn = stage.worker("b");
    stage.say(conn, 0, &Frame::Nsp { name: "/late" });
    let told = stage.take_told();
    let told: Vec<_> = told
        .iter()
        .filter(|text| !text.starts_with("again"))
        .collect();
    assert_eq!(told, ["space 960 /late"]);
    stage.now_us += 30_000_000;
    stage.mail(&crowded);
    assert_eq!(stage.take_told().len(), 960, "nobody waits any more");
}

#[test]
fn a_namespace_is_there_as_long_as_a_worker_has_it_by_some_number() {
    let mut stage = stage();
    let (one, other) = (stage.worker("a"), stage.worker("b"));
    let name = Frame::Nsp { name: "/n" };
    for (conn, number) in [(one, 1), (one, 2), (other, 7), (one, 1)] {
        stage.say(conn, number, &name);
    }
    assert_eq!(stage.take_told(), ["space 0 /n"]);
    for (conn, number) in [(one, 1), (one, 2)] {
        stage.say_with(conn, number, Flags::REMOVED, &name);
    }
    assert_eq!(stage.take_told(), Vec::<String>::new());
    let heard = stage.heard_all(other);
    assert_eq!(heard.last().unwrap(), "PEERS /n b");
    stage.say_with(other, 7, Flags::REMOVED, &name);
    assert_eq!(stage.take_told(), ["gone 0"]);
}

#[test]
fn peers_are_said_as_they_are_when_there_is_room() {
    let mut stage = narrow(1);
    let stuck = stage.worker("stuck");
    stage.say(stuck, 1, &Frame::Nsp { name: "/" });
    let other = stage.worker("other");
    for _ in 0..1_000 {
        stage.say(other, 1, &Frame::Nsp { name: "/" });
        stage.say_with(other, 1, Flags::REMOVED, &Frame::Nsp { name: "/" });
        stage.heard_all(other);
    }
    stage.say(other, 1, &Frame::Nsp { name: "/" });
    let heard = stage.heard_all(stuck);
    assert_eq!(heard.last().unwrap(), "PEERS / stuck,other");
    assert!(heard.len() <= 3, "{heard:?}");
}

#[test]
fn what_workers_say_to_one_that_does_not_read_is_bounded() {
    let mut stage = narrow(8);
    let stuck = stage.worker("stuck");
    let other = stage.worker("other");
    let payload = vec![7; 1 << 20];
    for _ in 0..64 {
        stage.say(
            other,
            1,
            &Frame::Bus {
                nsp: "/",
                to: "stuck",
                from: "other",
                opaque: &payload,
            },
        );
        stage.read(other);
    }
    let dropped = stage.exchange.stats().bus_dropped;
    let heard = stage.heard_all(stuck);
    let bus = heard.iter().filter(|frame| frame.starts_with("BUS"));
    assert_eq!(bus.count() as u64 + dropped, 64);
    assert!((16..=18).contains(&(64 - dropped)), "{dropped}");
    assert!(!stage.peer(stuck).is_closed);
}

#[test]
fn a_client_of_another_worker_is_not_to_be_spoken_for() {
    let mut stage = stage();
    let _mine = stage.worker("a");
    stage.open(1, &[]);
    let other = stage.worker("b");
    stage.say(other, client(1).0, &Frame::CloseConn {});
    is_refused(&mut stage, other, "not-allowed");
}

#[test]
fn a_link_that_comes_back_goes_on_where_it_was() {
    let mut stage = stage();
    let conn = stage.worker("a");
    stage.say(conn, 1, &Frame::Nsp { name: "/" });
    stage.open(1, &[]);
    stage.data(1, "40");
    let heard = stage.read(conn);
    assert_eq!(heard, ["CREDIT 0", "PEERS / a", "OPEN 1", "DATA 1 40"]);
    stage.cut(conn);
    let back = stage.accept();
    stage.hello_again(back, "a", Some(2));
    let expected = ["CHALLENGE 0", "WELCOME back", "DATA 1 40"];
    assert_eq!(stage.read(back), expected);
    assert_eq!(stage.exchange.stats().links_resumed, 1);
}

#[test]
fn a_link_that_is_cut_before_its_worker_has_said_anything_comes_back() {
    let mut stage = stage();
    let conn = stage.worker("a");
    stage.open(1, &[]);
    stage.data(1, "40");
    assert_eq!(stage.read(conn), ["OPEN 1", "DATA 1 40"]);
    // It knew of no other life when it came, so that it speaks of this one.
    stage.cut(conn);
    let back = stage.accept();
    stage.hello_again(back, "a", Some(1));
    let expected = ["CHALLENGE 0", "WELCOME back", "DATA 1 40"];
    assert_eq!(stage.read(back), expected);
    // One that begins anew has had nothing of that: it is said again.
    let mut stage = self::stage();
    let conn = stage.worker("a");
    stage.open(1, &[]);
    stage.data(1, "40");
    stage.cut(conn);
    let back = stage.worker("a");
    stage.open(1, &[]);
    assert_eq!(stage.read(back), ["OPEN 1", "DATA 1 40"]);
}

#[test]
fn what_is_said_of_another_life_is_not_of_this_one() {
    let mut stage = stage();
    let conn = stage.accept();
    stage.hello_again(conn, "a", Some(7));
    stage.open(1, &[]);
    // The link was cut before WELCOME came: the worker speaks of the life before.
    stage.cut(conn);
    let back = stage.accept();
    stage.hello_again(back, "a", Some(1));
    assert_eq!(stage.read(back), ["CHALLENGE 0", "WELCOME 0"]);
    assert_eq!(stage.take_told(), ["again 1"]);
}

#[test]
fn a_link_that_comes_while_none_is_read_is_not_read_either() {
    let mut stage = stage();
    stage.block(true);
    let conn = stage.accept();
    assert!(stage.peer(conn).is_paused);
    stage.hello(conn, "a");
    stage.pass(10_000_000);
    assert_eq!(stage.read(conn), ["CHALLENGE 0"], "it is not silent");
    stage.block(false);
    assert!(!stage.peer(conn).is_paused);
    assert_eq!(stage.read(conn), ["WELCOME 0"]);
}

#[test]
fn a_removal_is_of_the_number_and_not_of_the_name() {
    let mut stage = stage();
    let conn = stage.worker("a");
    stage.say(conn, 1, &Frame::Nsp { name: "/a" });
    stage.say(conn, 2, &Frame::Nsp { name: "/b" });
    stage.take_told();
    stage.say_with(conn, 1, Flags::REMOVED, &Frame::Nsp { name: "/b" });
    stage.say(conn, 3, &Frame::Nsp { name: "/a" });
    assert_eq!(stage.take_told(), ["gone 0", "space 2 /a"]);
    // A number that is given again is another namespace from then on.
    stage.say(conn, 2, &Frame::Nsp { name: "/c" });
    assert_eq!(stage.take_told(), ["space 3 /c", "gone 1"]);
}

#[test]
fn what_is_said_of_a_namespace_that_was_removed_reaches_nobody_and_is_no_lie() {
    let mut stage = stage();
    let conn = stage.worker("a");
    stage.open(1, &[]);
    stage.say(conn, 1, &Frame::Nsp { name: "/a" });
    stage.say_with(conn, 1, Flags::REMOVED, &Frame::Nsp { name: "/a" });
    stage.take_told();
    let stale = stage.exchange.stats().frames_stale;
    let (rooms, except, parts) = (Vec::new(), Vec::new(), vec![Part::Text("2[\"left\"]")]);
    stage.say(
        conn,
        0,
        &Frame::Bcast {
            nsp: 1,
            rooms,
            except,
            parts,
        },
    );
    let rooms = vec!["room"];
    stage.say(conn, 1, &Frame::Join { nsp: 1, rooms });
    stage.say(conn, 1, &Frame::LeaveAll { nsp: 1 });
    assert!(stage.take_told().is_empty());
    assert_eq!(stage.exchange.stats().frames_stale, stale + 2);
    let (rooms, auth, data) = (Vec::new(), Long("{}"), Long("{}"));
    let (nsp, sid, pid) = (1, "s", "");
    stage.say(
        conn,
        1,
        &Frame::Member {
            nsp,
            sid,
            pid,
            rooms,
            auth,
            data,
        },
    );
    assert_eq!(stage.take_told(), ["refused 1"], "it comes anew");
    assert!(!stage.peer(conn).is_closed);
    // One that was never named is another matter.
    stage.say(conn, 1, &Frame::LeaveAll { nsp: 2 });
    is_refused(&mut stage, conn, "not-allowed");
}

#[test]
fn links_are_read_one_after_the_other() {
    let mut stage = narrow(100_000);
    let loud = stage.worker("loud");
    let quiet = stage.worker("quiet");
    let opaque = vec![0; 40 << 10];
    stage.block(true);
    for _ in 0..20 {
        let bus = Frame::Bus {
            nsp: "/",
            to: "nobody",
            from: "loud",
            opaque: &opaque,
        };
        stage.say(loud, 1, &bus);
    }
    stage.say(quiet, 1, &Frame::Nsp { name: "/" });
    stage.exchange.set_hold(stage.now(), Hold::Nobody);
    for _ in 0..2 {
        stage.exchange.read_on(stage.now());
    }
    assert!(
        stage.exchange.names.get(AppId::MAIN, "/").is_some(),
        "it had its turn"
    );
}

/// A stage whose operator has set a secret.
fn secret_stage() -> Stage {
    let mut stage = stage();
    stage.exchange.settings.secret = Secret::new(&[7; 32]);
    stage
}

#[test]
fn over_tcp_the_secret_is_proven_and_over_a_unix_socket_it_is_not() {
    let mut stage = secret_stage();
    let local = stage.worker("local");
    stage.is_over_tcp = true;
    let remote = stage.accept();
    stage.hello(remote, "remote");
    is_refused(&mut stage, remote, "proof");
    stage.open(1, &[]);
    assert_eq!(stage.heard_all(local), ["OPEN 1"], "it is not touched");
}

#[test]
fn over_tcp_nobody_joins_without_a_secret() {
    let mut stage = stage();
    stage.is_over_tcp = true;
    let conn = stage.accept();
    stage.hello(conn, "remote");
    is_refused(&mut stage, conn, "proof");
}

#[test]
fn a_refused_link_is_told_once_of_each_peer_and_code() {
    let mut stage = secret_stage();
    for (peer, is_over_tcp) in [("a", true), ("a", true), ("b", true), ("a", false)] {
        (stage.peer, stage.is_over_tcp) = (peer.to_owned(), is_over_tcp);
        let conn = stage.accept();
        let instance = if is_over_tcp { "i" } else { "" };
        stage.hello(conn, instance);
    }
    let refused = |peer: &str, code, message: &str| Notice::Refused {
        peer: peer.to_owned(),
        worker: None,
        code,
        message: message.to_owned(),
    };
    let wrong = "the proof is wrong: are both secrets the same?";
    let expected = [
        refused("a", "proof", wrong),
        refused("b", "proof", wrong),
        refused("a", "not-allowed", "this instance may not join here"),
    ];
    assert_eq!(stage.exchange.take_notices(), expected);
}

#[test]
fn a_namespace_of_the_daemons_own_is_no_workers_and_no_fault() {
    let mut stage = stage();
    stage
        .exchange
        .keep_native(["/", "/live"].map(str::to_owned).into());
    let conn = stage.worker("a");
    stage.say(conn, 0, &Frame::Nsp { name: "/" });
    for number in [1, 2] {
        stage.say(conn, number, &Frame::Nsp { name: "/live" });
    }
    let kept = Notice::Kept {
        worker: "a".to_owned(),
        application: "default".to_owned(),
        namespace: "/live".to_owned(),
    };
    assert_eq!(stage.exchange.take_notices(), [kept], "it is told once");
    assert_eq!(stage.exchange.stats().namespaces_kept, 2);
    assert_eq!(stage.exchange.stats().links_refused, 0);
    // The number may stand for another namespace from then on.
    stage.say(conn, 2, &Frame::Nsp { name: "/own" });
    stage.open(1, &[]);
    stage.say(conn, 1, &Frame::LeaveAll { nsp: 2 });
    assert_eq!(stage.exchange.stats().links_refused, 0);
    stage.say(conn, 1, &Frame::LeaveAll { nsp: 1 });
    is_refused(&mut stage, conn, "not-allowed");
}

#[test]
fn a_packet_of_the_daemons_own_namespace_is_no_workers() {
    for (text, is_allowed) in [
        ("2/own,[\"a\"]", true),
        ("2/live,[\"a\"]", false),
        ("4/live,\"no\"", false),
    ] {
        let mut stage = stage();
        stage.exchange.keep_native(["/live".to_owned()].into());
        let conn = stage.worker("a");
        stage.open(1, &[]);
        stage.say(
            conn,
            1,
            &Frame::Send {
                payload: Payload(Part::Text(text)),
            },
        );
        assert_eq!(
            stage.exchange.stats().links_refused == 0,
            is_allowed,
            "{text}"
        );
    }
}

/// The bytes of two connections of one process need not come in the order in which it made them.
#[test]
fn a_hello_on_a_link_that_was_given_up_ends_nothing() {
    let mut stage = Stage::new(Window::default());
    let (given_up, conn) = (stage.accept(), stage.accept());
    stage.hello(conn, "a");
    stage.say(conn, 1, &Frame::Nsp { name: "/" });
    stage.open(1, &["0"]);
    assert!(stage.heard(conn).contains(&"OPEN 1".to_owned()));
    stage.hello(given_up, "a");
    assert!(stage.peer(given_up).is_closed && !stage.peer(conn).is_closed);
    stage.data(1, "2[\"x\"]");
    assert_eq!(stage.heard(conn), ["DATA 1 2[\"x\"]"]);
}
