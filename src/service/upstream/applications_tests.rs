//! Two applications behind one exchange: what one of them has, says and suffers is not the other's.

use super::applications::AppId;
use super::breaker::OnFailure;
use super::deal::frame_cost;
use super::exchange::Exchange;
use super::mend::Notice;
use super::stage::Stage;
use super::window::Window;
use crate::time::ConnId;
use ringway_proto::link::{Bind, Flags, Frame, GoAway, GoAwayMode, Json, Long, Part, Payload};
use serde_json::value::RawValue;

const SHOP: AppId = AppId(1);

fn stage() -> Stage {
    Stage::with_applications(Window::default(), &[("shop", &["/orders", "/tenant-*"])])
}

/// What a worker hears beside what is of the link itself.
fn heard(stage: &mut Stage, conn: ConnId) -> Vec<String> {
    let mut frames = stage.heard_all(conn);
    frames.retain(|frame| !frame.starts_with("CREDIT") && !frame.starts_with("PING"));
    frames
}

fn name(stage: &mut Stage, conn: ConnId, number: u64, name: &str) {
    stage.say(conn, number, &Frame::Nsp { name });
}

fn send(stage: &mut Stage, conn: ConnId, client: u64, text: &str) {
    let payload = Payload(Part::Text(text));
    stage.say(conn, client, &Frame::Send { payload });
}

fn broadcast(stage: &mut Stage, conn: ConnId, nsp: u16, text: &str) {
    let (rooms, except) = (Vec::new(), Vec::new());
    let parts = vec![Part::Text(text)];
    let frame = Frame::Bcast {
        nsp,
        rooms,
        except,
        parts,
    };
    stage.say(conn, 0, &frame);
}

fn bind(stage: &mut Stage, conn: ConnId, rpc: &'static str, parser: &'static str) {
    bind_all(stage, conn, (rpc, parser), "{}");
}

fn bind_with(stage: &mut Stage, conn: ConnId, opts: &str) {
    bind_all(stage, conn, ("none", "default"), opts);
}

fn bind_all(
    stage: &mut Stage,
    conn: ConnId,
    (rpc, parser): (&'static str, &'static str),
    opts: &str,
) {
    let opts = RawValue::from_string(opts.to_owned()).expect("it is JSON");
    let json = Json::new(Bind {
        path: "/socket.io/".into(),
        opts: &opts,
        rpc: rpc.into(),
        parser: parser.into(),
        namespaces: None,
    });
    stage.say(conn, 0, &Frame::Bind { json });
}

fn member(stage: &mut Stage, conn: ConnId, client: u64, nsp: u16) {
    let frame = Frame::Member {
        nsp,
        sid: "s",
        pid: "",
        rooms: Vec::new(),
        auth: Long("{}"),
        data: Long("{}"),
    };
    stage.say(conn, client, &frame);
}

#[test]
fn each_application_has_its_own_worker_of_a_client() {
    let mut stage = stage();
    let (main, shop) = (stage.worker("m"), stage.worker_of("shop", "s"));
    stage.open(1, &["0"]);
    stage.open_at(SHOP, 2, &["0/orders,"]);
    assert_eq!(heard(&mut stage, main), ["OPEN 1", "DATA 1 0"]);
    assert_eq!(heard(&mut stage, shop), ["OPEN 2", "DATA 2 0/orders,"]);

    // It dies: the other one's clients do not notice, and its own wait for the next one.
    stage.kill(shop);
    assert_eq!(stage.exchange.stats().clients_waiting, 1);
    stage.data(1, "2[]");
    stage.data(2, "2/orders,[]");
    assert_eq!(heard(&mut stage, main), ["DATA 1 2[]"]);
    assert!(stage.take_told().is_empty());
    stage.worker("m2");
    assert!(
        stage.take_told().is_empty(),
        "it is no worker of the waiting client's application"
    );
    let next = stage.worker_of("shop", "s2");
    assert_eq!(stage.take_told(), ["again 2"]);
    stage.open_at(SHOP, 2, &[]);
    assert_eq!(heard(&mut stage, next), ["OPEN 2", "DATA 2 2/orders,[]"]);
}

#[test]
fn an_instance_is_of_its_application() {
    let mut stage = stage();
    let (main, shop) = (stage.worker("one"), stage.worker_of("shop", "one"));
    assert!(!stage.peer(main).is_closed && !stage.peer(shop).is_closed);
    assert_eq!(stage.exchange.stats().workers, 2);
    stage.application = "other";
    let other = stage.accept();
    stage.hello(other, "one");
    assert_eq!(
        heard(&mut stage, other),
        ["CHALLENGE 0", "ERROR not-allowed"]
    );
}

/// Who says that another application has what this one says, in the operator's log.
fn told_taken(stage: &mut Stage) -> Vec<String> {
    let notices = stage.exchange.take_notices().into_iter();
    let taken = notices.filter_map(|notice| match notice {
        Notice::Taken {
            worker,
            application,
            owner,
            namespace,
        } => Some(format!("{worker} {application} {owner} {namespace}")),
        _ => None,
    });
    taken.collect()
}

#[test]
fn a_namespace_is_one_applications() {
    let mut stage = stage();
    let (main, shop) = (stage.worker("m"), stage.worker_of("shop", "s"));
    for (conn, number) in [(main, 1), (shop, 1)] {
        name(&mut stage, conn, number, "/");
    }
    name(&mut stage, shop, 2, "/orders");
    name(&mut stage, shop, 3, "/found");
    assert_eq!(heard(&mut stage, main), ["PEERS / m"]);
    assert_eq!(
        heard(&mut stage, shop),
        ["PEERS / s", "PEERS /orders s", "PEERS /found s"]
    );
    name(&mut stage, main, 2, "/found");
    assert_eq!(told_taken(&mut stage), ["m default shop /found"]);
    let main = stage.worker("m2");
    name(&mut stage, main, 1, "/tenant-7");
    assert_eq!(
        told_taken(&mut stage),
        ["m2 default shop /tenant-7"],
        "it is reserved, be its workers there or not"
    );
    assert_eq!(stage.exchange.stats().namespaces_taken, 2);

    // Whose workers are gone has it no more, unless it is reserved.
    stage.take_told();
    let main = stage.worker("m3");
    stage.kill(shop);
    assert_eq!(stage.take_told(), ["gone 3 given", "space 4 /found"]);
    name(&mut stage, main, 2, "/found");
    assert_eq!(
        heard(&mut stage, main),
        ["PEERS /found m", "PEERS /found m,m3"]
    );
    name(&mut stage, main, 3, "/orders");
    assert_eq!(told_taken(&mut stage), ["m3 default shop /orders"]);
    assert_eq!(stage.exchange.stats().links_refused, 0);
}

#[test]
fn what_is_said_in_another_ones_namespace_is_heard_by_nobody() {
    let mut stage = stage();
    let (main, shop) = (stage.worker("m"), stage.worker_of("shop", "s"));
    name(&mut stage, shop, 3, "/found");
    name(&mut stage, main, 2, "/found");
    // The client's CONNECT was on its way when the other application came.
    stage.open(1, &["0/found,"]);
    heard(&mut stage, main);
    stage.take_told();
    let rooms = || vec!["r"];
    let text = Part::Text("20[\"x\"]");
    let ask = Frame::BcastAck {
        request: 5,
        timeout_ms: 100,
        nsp: 2,
        rooms: Vec::new(),
        except: Vec::new(),
        parts: vec![text],
    };
    let save = Frame::SessionSave {
        nsp: 2,
        pid: "p",
        rooms: rooms(),
        sid: "s",
        data: Long("{}"),
    };
    let get = Frame::SessionGet {
        request: 6,
        nsp: 2,
        pid: "p",
        offset: "",
    };
    let data = Long("{}");
    bind_with(&mut stage, main, "{\"recovery\":{\"ttl\":1000}}");
    stage.take_told();
    for frame in [
        Frame::Join {
            nsp: 2,
            rooms: rooms(),
        },
        Frame::Leave {
            nsp: 2,
            rooms: rooms(),
        },
        Frame::SetData { nsp: 2, data },
        Frame::LeaveAll { nsp: 2 },
        save,
        get,
    ] {
        stage.say(main, 1, &frame);
    }
    for frame in [
        ask,
        Frame::Bus {
            nsp: "/found",
            to: "",
            from: "m",
            opaque: b"x",
        },
    ] {
        stage.say(main, 0, &frame);
    }
    broadcast(&mut stage, main, 2, "2/found,[\"x\"]");
    broadcast(&mut stage, main, 2, "2[\"x\"]");
    send(&mut stage, main, 1, "2/found,[\"x\"]");
    send(&mut stage, main, 1, "0/found,{}");
    assert_eq!(stage.take_told(), [""; 0]);
    assert_eq!(
        heard(&mut stage, main),
        ["SESSION_RES 6 none", "BCAST_COUNT 0"]
    );
    assert_eq!(heard(&mut stage, shop), ["PEERS /found s"]);
    // Who asked is to come again, and is refused as ever if that is what the application wants.
    send(&mut stage, main, 1, "4/found,{}");
    assert_eq!(stage.take_told(), ["SEND"]);
    member(&mut stage, main, 1, 2);
    assert_eq!(stage.take_told(), ["moved 1"]);

    // A namespace that is not its own any more by its own word is a lie again.
    let removed = Frame::Nsp { name: "/found" };
    stage.say_with(main, 2, Flags::REMOVED, &removed);
    send(&mut stage, main, 1, "2/found,[\"x\"]");
    assert_eq!(heard(&mut stage, main), ["ERROR not-allowed"]);
}

#[test]
fn whoever_waits_for_a_namespace_has_it_when_it_is_free() {
    // A client has made it at the main application, before the one came that has it.
    for leaves in [false, true] {
        let mut stage = stage();
        let main = stage.worker("m");
        name(&mut stage, main, 2, "/found");
        let (shop, second) = (stage.worker_of("shop", "s"), stage.worker_of("shop", "s2"));
        for conn in [shop, second] {
            name(&mut stage, conn, 7, "/found");
        }
        heard(&mut stage, main);
        assert_eq!(heard(&mut stage, shop), [""; 0]);
        stage.take_told();
        match leaves {
            true => {
                let removed = Frame::Nsp { name: "/found" };
                stage.say_with(main, 2, Flags::REMOVED, &removed);
            }
            false => stage.kill(main),
        }
        assert_eq!(stage.take_told(), ["gone 0 given", "space 1 /found"]);
        let frames = heard(&mut stage, shop);
        assert_eq!(frames.last().map(String::as_str), Some("PEERS /found s,s2"));
        broadcast(&mut stage, shop, 7, "2/found,[\"x\"]");
        assert_eq!(stage.take_frames(), ["BCAST 0 2/found,[\"x\"]"]);
        assert!(!stage.peer(shop).is_closed && !stage.peer(second).is_closed);
    }
}

#[test]
fn a_link_that_comes_again_and_again_fills_no_log() {
    let mut stage = stage();
    let shop = stage.worker_of("shop", "s");
    name(&mut stage, shop, 1, "/found");
    let main = stage.worker("m");
    let say = |stage: &mut Stage| (0..100).for_each(|number| name(stage, main, number, "/found"));
    say(&mut stage);
    assert_eq!(told_taken(&mut stage).len(), 8);
    say(&mut stage);
    assert_eq!(told_taken(&mut stage).len(), 0);
    stage.now_us += 60_000_000;
    say(&mut stage);
    assert_eq!(told_taken(&mut stage).len(), 8);
    assert_eq!(stage.exchange.stats().namespaces_taken, 300);
    // Of a name beyond all bounds nothing is kept.
    name(
        &mut stage,
        main,
        1,
        &format!("/tenant-{}", "x".repeat(60_000)),
    );
    let stats = stage.exchange.stats();
    assert_eq!((stats.namespaces_taken, stats.namespaces_refused), (300, 1));
    assert!(!stage.peer(main).is_closed);
}

#[test]
fn what_is_said_stays_with_the_application() {
    let mut stage = stage();
    let (main, shop) = (stage.worker("m"), stage.worker_of("shop", "s"));
    let second = stage.worker_of("shop", "s2");
    for conn in [main, shop, second] {
        name(&mut stage, conn, 1, "/");
    }
    for conn in [main, shop, second] {
        heard(&mut stage, conn);
    }
    let frame = Frame::Bus {
        nsp: "/",
        to: "",
        from: "s",
        opaque: b"x",
    };
    stage.say(shop, 0, &frame);
    assert_eq!(heard(&mut stage, second), ["BUS 0"]);
    assert!(heard(&mut stage, main).is_empty());

    // Clients reach one `/` alone: in the others a broadcast finds nobody, and nobody can be.
    stage.take_frames();
    broadcast(&mut stage, shop, 1, "2[\"news\"]");
    assert!(stage.take_frames().is_empty() && heard(&mut stage, shop).is_empty());
    broadcast(&mut stage, main, 1, "2[\"news\"]");
    assert_eq!(stage.take_frames(), ["BCAST 0 2[\"news\"]"]);
    stage.open_at(SHOP, 2, &[]);
    let frames = [heard(&mut stage, shop), heard(&mut stage, second)].concat();
    assert_eq!(frames, ["OPEN 2"]);
    member(&mut stage, shop, 2, 1);
    assert_eq!(heard(&mut stage, shop), ["ERROR not-allowed"]);
}

#[test]
fn a_worker_does_not_speak_for_another_application() {
    let packets = ["2[\"a\"]", "51-[]", "0/other,{}", "1/elsewhere,"];
    for text in packets {
        let mut stage = stage();
        let shop = stage.worker_of("shop", "s");
        name(&mut stage, shop, 1, "/orders");
        stage.open_at(SHOP, 2, &[]);
        heard(&mut stage, shop);
        send(&mut stage, shop, 2, "2/orders,[]");
        send(&mut stage, shop, 2, "4/elsewhere,{}");
        broadcast(&mut stage, shop, 1, "2/orders,[]");
        assert_eq!(stage.take_frames().len(), 3, "what it may say");
        send(&mut stage, shop, 2, text);
        assert_eq!(heard(&mut stage, shop), ["ERROR not-allowed"], "{text}");
        assert!(stage.take_frames().is_empty());

        let shop = stage.worker_of("shop", "s2");
        name(&mut stage, shop, 1, "/orders");
        heard(&mut stage, shop);
        broadcast(&mut stage, shop, 1, text);
        assert_eq!(heard(&mut stage, shop), ["ERROR not-allowed"], "{text}");
    }
}

#[test]
fn an_emitter_is_its_applications() {
    let mut stage = stage();
    let shop = stage.worker_of("shop", "s");
    name(&mut stage, shop, 1, "/orders");
    for (application, expected) in [("default", 0), ("shop", 1)] {
        stage.application = application;
        let emitter = stage.accept();
        stage.hello_as("emitter", emitter, application, None);
        name(&mut stage, emitter, 1, "/orders");
        name(&mut stage, emitter, 2, "/");
        stage.take_frames();
        broadcast(&mut stage, emitter, 1, "2/orders,[]");
        broadcast(&mut stage, emitter, 2, "2[]");
        assert_eq!(stage.take_frames().len(), expected, "{application}");
        assert!(!stage.peer(emitter).is_closed);
    }
}

#[test]
fn the_main_application_has_the_word_about_connections() {
    let mut stage = stage();
    let (main, shop) = (stage.worker("m"), stage.worker_of("shop", "s"));
    bind(&mut stage, shop, "none", "default");
    assert!(
        !stage
            .take_told()
            .iter()
            .any(|told| told.starts_with("bound"))
    );
    bind(&mut stage, main, "handshake", "default");
    assert!(
        stage
            .take_told()
            .iter()
            .any(|told| told.starts_with("bound"))
    );
    heard(&mut stage, shop);
    bind(&mut stage, shop, "handshake", "default");
    assert_eq!(heard(&mut stage, shop), ["ERROR not-allowed"]);
    bind(&mut stage, main, "none", "opaque");
    let frames = heard(&mut stage, main);
    assert_eq!(frames.last().map(String::as_str), Some("ERROR not-allowed"));
}

#[test]
fn workers_that_fail_are_one_applications() {
    let mut stage = stage();
    stage.exchange.settings.breaker.on_failure = OnFailure::Refuse;
    stage.exchange = Exchange::new(stage.exchange.settings.clone(), 1, [1, 2]);
    stage.worker("m");
    for instance in ["a", "b", "c", "d", "e"] {
        let shop = stage.worker_of("shop", instance);
        stage.kill(shop);
    }
    stage.open(1, &[]);
    stage.open_at(SHOP, 2, &[]);
    assert_eq!(stage.take_told(), ["failing 2"]);
    let notices = format!("{:?}", stage.exchange.take_notices());
    assert!(notices.contains("shop/"), "{notices}");
    // Those of the main application without a name have not failed.
    let second = stage.worker("m2");
    stage.open(3, &[]);
    assert_eq!(heard(&mut stage, second), ["OPEN 3"]);
}

#[test]
fn a_worker_that_leaves_hands_its_clients_to_its_own() {
    let mut stage = stage();
    let (main, shop) = (stage.worker("m"), stage.worker_of("shop", "s"));
    stage.open_at(SHOP, 2, &[]);
    heard(&mut stage, shop);
    let json = Json::new(GoAway {
        mode: GoAwayMode::Migrate,
        reason: "deploy".into(),
        deadline_ms: 10_000,
    });
    stage.say(shop, 0, &Frame::GoAway { json });
    assert_eq!(
        heard(&mut stage, shop),
        ["GOAWAY 0"],
        "there is no other of its own"
    );
    assert!(heard(&mut stage, main).is_empty());
}

/// Each client may have 64 KiB on the way, to all of its applications together.
#[test]
fn a_client_of_many_applications_is_not_left_without_room() {
    let names: [&'static str; 5] = ["default", "b", "c", "d", "e"];
    let others: Vec<(&str, &[&str])> = names[1..].iter().map(|name| (*name, &[][..])).collect();
    let mut stage = Stage::with_applications(Window::default(), &others);
    // What one application alone has dealt with and need not tell.
    let text = "x".repeat(16 * 1024 - 1 - frame_cost(0) as usize);
    for (at, name) in names.into_iter().enumerate() {
        stage.worker_of(name, name);
        stage.open_at(AppId(at as u8), at as u64 + 1, &[]);
        stage.data(at as u64 + 1, &text);
    }
    let told: u64 = stage.dealt.values().sum();
    assert_eq!(told, 5 * (16 * 1024 - 1));
}
