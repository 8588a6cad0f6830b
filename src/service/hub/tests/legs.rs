//! A client with workers of several applications, which play their part by hand.

use super::clients::frame;
use super::world::{World, settings};
use crate::hub::Key;
use crate::post::Class;
use crate::settings::{Settings, UpstreamSettings};
use crate::time::ConnId;
use crate::upstream::stage::{self, described};
use crate::upstream::{Affinity, FRAME_BODY_BYTES_MAX, Hold, Sum, ToLinks, Weights, Window};
use ringway_proto::link::{
    self, Flags, Frame, GoAway, GoAwayMode, Hello, Json, Long, Part, Payload,
};
use std::collections::BTreeSet;

/// The peer of a link.
struct Worker {
    conn: ConnId,
    heard: Sum,
}

fn with_shop(window: Window) -> Settings {
    Settings {
        upstream: Some(UpstreamSettings {
            native: BTreeSet::new(),
            affinity: Affinity::None,
            exchange: stage::settings(window, &[("shop", &["/orders"])]),
        }),
        queue_packets_max: 4096,
        queue_bytes_max: 1 << 20,
        ..settings(true)
    }
}

fn bytes_of(number: u64, frame: &Frame<'_>) -> Vec<u8> {
    let mut bytes = Vec::new();
    frame.encode_into(number, Flags::NONE, &mut bytes);
    bytes
}

impl World {
    fn worker(&mut self, application: &str, instance: &str, namespace: &str) -> Worker {
        let worker = Worker {
            conn: self.link(),
            heard: Sum::default(),
        };
        let json = Json::new(Hello {
            proto: [1, 0],
            app: application.into(),
            instance: instance.into(),
            role: "worker".into(),
            nonce: "0".repeat(32).into(),
            name: None,
            weight: None,
            resume: None,
            caps: None,
        });
        self.says(&worker, 0, &Frame::Hello { json, mac: "" });
        self.says(&worker, 0, &Frame::Nsp { name: namespace });
        worker
    }

    fn says(&mut self, worker: &Worker, number: u64, frame: &Frame<'_>) {
        self.send(worker.conn, &bytes_of(number, frame));
    }

    fn sends(&mut self, worker: &Worker, number: u64, text: &str) {
        let payload = Payload(Part::Text(text));
        self.says(worker, number, &Frame::Send { payload });
    }

    /// An attachment without bytes.
    fn sends_binary(&mut self, worker: &Worker, number: u64) {
        let mut bytes = Vec::new();
        let payload = Payload(Part::Binary(&[]));
        Frame::Send { payload }.encode_into(number, Flags::BINARY, &mut bytes);
        self.send(worker.conn, &bytes);
    }

    fn joins(&mut self, worker: &Worker, number: u64) {
        let member = Frame::Member {
            nsp: 0,
            sid: "s",
            pid: "p",
            rooms: Vec::new(),
            auth: Long("{}"),
            data: Long("{}"),
        };
        self.says(worker, number, &member);
    }

    /// What a worker hears of clients.
    fn reads(&mut self, worker: &mut Worker) -> Vec<String> {
        let wire = self.wires.get_mut(&worker.conn).expect("it is there");
        let bytes = core::mem::take(&mut wire.received);
        let (mut rest, mut frames) = (&bytes[..], Vec::new());
        while let Some((raw, bytes)) = link::split(rest, FRAME_BODY_BYTES_MAX).expect("frames") {
            rest = &rest[bytes..];
            if raw.kind.is_counted() {
                worker.heard.frames += 1;
                worker.heard.bytes += bytes as u64;
            }
            frames.push(described(&raw));
        }
        frames.retain(|frame| !frame.starts_with("P") || frame.starts_with("PRESSURE"));
        let of_link = ["CHALLENGE", "WELCOME", "CREDIT"];
        frames.retain(|frame| !of_link.iter().any(|name| frame.starts_with(name)));
        frames
    }

    fn session(&self, shard: usize) -> Key {
        let mut keys = self.hubs[shard].sessions.keys();
        keys.next().expect("a session")
    }
}

fn credit(worker: &Worker) -> Vec<u8> {
    let Sum { frames, bytes } = worker.heard;
    bytes_of(0, &Frame::Credit { frames, bytes })
}

/// When it ends the links have not read yet that there is room for its events, and a broadcast that reaches it.
#[test]
fn what_the_links_say_while_a_client_ends_finds_none_of_its_legs() {
    let mut world = World::new(
        1,
        with_shop(Window {
            frames: 4,
            bytes: 1 << 20,
        }),
    );
    let mut main = world.worker("default", "a", "/");
    let mut shop = world.worker("shop", "b", "/orders");
    let conn = world.websocket(0, "40");
    world.send(conn, &frame("40/orders,"));
    assert_eq!(world.reads(&mut main), ["OPEN 1", "DATA 1 0"]);
    assert_eq!(world.reads(&mut shop), ["OPEN 2", "DATA 2 0/orders,"]);
    world.joins(&shop, 2);
    let event = format!("42/orders,[\"{}\"]", "x".repeat(10_000));
    (0..4).for_each(|_| world.send(conn, &frame(&event)));
    assert_eq!(world.reads(&mut shop).len(), 1, "there is a window");
    // A shard has too much before it, and for long.
    let now = world.now;
    let pressed = ToLinks::Pressed {
        shard: 0,
        hold: Hold::All,
        is_many: false,
        weights: Weights::default(),
    };
    world.with(0, |hub, post, _, out| {
        hub.mail(now, 0, Class::Request, &pressed.encode(), post, out);
    });
    world.stand_still_ms(2_500);
    let broadcast = Frame::Bcast {
        nsp: 0,
        rooms: Vec::new(),
        except: Vec::new(),
        parts: vec![Part::Text("2/orders,[1]")],
    };
    world.bring(
        shop.conn,
        &[bytes_of(0, &broadcast), credit(&shop)].concat(),
    );
    world.hang_up(conn);
    let hub = &world.hubs[0];
    assert_eq!(hub.sessions.len(), 0);
    assert_eq!((hub.input_bytes, hub.queued_bytes), (0, 0));
    assert_eq!(world.reads(&mut main), ["CLOSE 1"]);
    // Its last words, and its end.
    assert_eq!(world.reads(&mut shop).len(), 4);
}

#[test]
fn what_is_kept_of_a_workers_packet_is_in_the_shards_budget() {
    let mut world = World::new(1, with_shop(Window::default()));
    let mut main = world.worker("default", "a", "/");
    let conn = world.websocket(0, "40");
    assert_eq!(world.reads(&mut main), ["OPEN 1", "DATA 1 0"]);
    let kept = |world: &World| world.hubs[0].queued_bytes;
    world.sends(&main, 1, "52-[]");
    assert_eq!(kept(&world), 64 + 5);
    world.sends_binary(&main, 1);
    assert_eq!(kept(&world), 2 * 64 + 5);
    world.sends_binary(&main, 1);
    assert_eq!(kept(&world), 0, "the client has it");
    world.sends(&main, 1, "52-[]");
    world.hang_up(main.conn);
    world.pass_ms(1_000);
    let mut next = world.worker("default", "b", "/");
    assert_eq!(kept(&world), 0, "nobody says the rest of it");
    world.sends(&next, 1, "52-[]");
    assert_eq!(kept(&world), 64 + 5);
    world.hang_up(conn);
    assert_eq!(kept(&world), 0);
    assert!(world.reads(&mut next).contains(&"CLOSE 1".to_owned()));
}

#[test]
fn who_is_told_to_go_hears_it_behind_nothing_that_is_half_said() {
    let mut world = World::new(1, with_shop(Window::default()));
    let mut conn = None;
    for life in ["a", "b", "c"] {
        let worker = world.worker("default", life, "/");
        let is_first = conn.is_none();
        let client = *conn.get_or_insert_with(|| world.websocket(0, "40"));
        // So long a worker has lived before somebody is tried with it.
        world.pass_ms(1_500);
        world.joins(&worker, 1);
        if is_first {
            world.sends(&worker, 1, "0{}");
            assert!(world.read(client).contains("40{}"));
        }
        world.sends(&worker, 1, "51-[\"half\"]");
        let (code, message) = ("exception", "");
        world.says(&worker, 0, &Frame::Error { code, message });
        world.hang_up(worker.conn);
        world.pass_ms(1_000);
    }
    let read = world.read(conn.expect("it came"));
    assert!(read.contains("41") && !read.contains("half"), "{read}");
    assert!(!is_there(&world));
    assert_eq!(world.hubs[0].queued_bytes, 0);
}

/// The one that was asked dies, and the namespace has become another one's: it is still the first one's to answer.
#[test]
fn a_connect_is_said_to_somebody_when_its_namespace_changes_hands() {
    let mut world = World::new(1, with_shop(Window::default()));
    let mut dead = world.worker("default", "a", "/");
    world.websocket(0, "40/news,");
    assert_eq!(world.reads(&mut dead), ["OPEN 1", "DATA 1 0/news,"]);
    let mut shop = world.worker("shop", "b", "/news");
    world.hang_up(dead.conn);
    world.pass_ms(1_000);
    let mut next = world.worker("default", "c", "/");
    assert_eq!(world.reads(&mut next), ["OPEN 1", "DATA 1 0/news,"]);
    world.sends(&next, 1, "4/news,{\"message\":\"Invalid namespace\"}");
    let session = world.session(0);
    let upstream = world.hubs[0].upstream_of(session).expect("it is there");
    assert!(upstream.connects.is_empty(), "it was answered");
    assert!(world.reads(&mut shop).is_empty());
}

/// Tests have room for four namespaces of a session.
#[test]
fn a_namespace_too_many_is_refused_and_the_others_go_on() {
    let mut world = World::new(1, with_shop(Window::default()));
    let mut main = world.worker("default", "a", "/");
    let mut shop = world.worker("shop", "b", "/orders");
    let conn = world.websocket(0, "40");
    for name in ["/orders", "/b", "/c", "/d", "/b"] {
        world.send(conn, &frame(&format!("40{name},")));
    }
    let refused = "44/d,{\"message\":\"the session has as many namespaces as it may have\",\"data\":{\"code\":\"RW-2010\"}}";
    assert!(world.read(conn).contains(refused));
    let asked = [
        "OPEN 1",
        "DATA 1 0",
        "DATA 1 0/b,",
        "DATA 1 0/c,",
        "DATA 1 0/b,",
    ];
    assert_eq!(world.reads(&mut main), asked);
    assert_eq!(world.reads(&mut shop), ["OPEN 2", "DATA 2 0/orders,"]);
    // One that it is in counts as one that it has asked for.
    world.joins(&main, 1);
    world.sends(&main, 1, "0{}");
    world.joins(&shop, 2);
    world.sends(&shop, 2, "0/orders,{}");
    world.send(conn, &frame("40/d,"));
    assert!(world.read(conn).contains(refused));
    world.says(&shop, 2, &Frame::LeaveAll { nsp: 0 });
    world.send(conn, &frame("40/d,"));
    assert_eq!(world.reads(&mut main), ["DATA 1 0/d,"]);
    // One that it has left makes room before its worker knows.
    world.send(conn, &frame("40/e,"));
    assert!(world.read(conn).contains("44/e,"));
    world.send(conn, &frame("41"));
    world.send(conn, &frame("40/e,"));
    assert_eq!(world.reads(&mut main), ["DATA 1 1", "DATA 1 0/e,"]);
    world.send(conn, &frame("40"));
    assert!(world.read(conn).contains("44{"), "there is no room again");
    world.says(&main, 1, &Frame::LeaveAll { nsp: 0 });
    world.hang_up(conn);
    let clients = &world.hubs[0].upstream.clients;
    assert_eq!((clients.bytes(), world.hubs[0].input_bytes), (0, 0));
}

#[test]
fn a_name_that_is_too_long_is_refused_and_the_connection_goes_on() {
    let mut world = World::new(1, with_shop(Window::default()));
    let mut main = world.worker("default", "a", "/");
    let conn = world.websocket(0, "40");
    let (longest, longer, huge) = ("n".repeat(1_023), "n".repeat(1_024), "n".repeat(70_000));
    for name in [&longest, &longer, &huge] {
        world.send(conn, &frame(&format!("40/{name},")));
    }
    assert_eq!(world.reads(&mut main).len(), 3);
    let read = world.read(conn);
    for name in [&longer, &huge] {
        let refused = format!(
            "44/{name},{{\"message\":\"Invalid namespace\",\"data\":{{\"code\":\"RW-2009\"}}}}"
        );
        assert!(read.contains(&refused), "{}", name.len());
    }
    assert!(is_there(&world));
    world.send(conn, &frame(&format!("42/{longer},[\"event\"]")));
    assert!(!is_there(&world), "it is in no such namespace");
}

/// Its application's namespaces are as many as there may be.
#[test]
fn a_namespace_for_which_an_application_has_no_room_is_refused_and_those_that_it_has_are_not() {
    let mut settings = with_shop(Window::default());
    if let Some(upstream) = &mut settings.upstream {
        upstream.exchange.namespaces_max = 2;
    }
    let mut world = World::new(2, settings);
    let mut main = world.worker("default", "a", "/");
    world.says(&main, 1, &Frame::Nsp { name: "/a" });
    let mut shop = world.worker("shop", "b", "/orders");
    world.settle();
    let conn = world.websocket(1, "40");
    for name in ["/a", "/b", "/orders"] {
        world.send(conn, &frame(&format!("40{name},")));
    }
    world.settle();
    let read = world.read(conn);
    assert!(
        read.contains("44/b,{") && read.contains("RW-2616"),
        "{read}"
    );
    assert_eq!(read.matches("44/").count(), 1, "{read}");
    assert_eq!(world.reads(&mut main).len(), 3);
    assert_eq!(world.reads(&mut shop).len(), 2);
    assert_eq!(world.hubs[0].take_notices().len(), 1);
    // What a worker has without any client asking has some room beyond.
    world.says(&main, 2, &Frame::Nsp { name: "/late" });
    world.settle();
    world.send(conn, &frame("40/late,"));
    world.settle();
    assert_eq!(world.reads(&mut main).len(), 1);
}

/// Seventy thousand bytes for a client that does not read.
fn much() -> String {
    format!("2[\"{}\"]", "x".repeat(70_000))
}

#[test]
fn a_new_worker_of_one_application_changes_nothing_for_the_others_of_a_slow_client() {
    let mut world = World::new(1, with_shop(Window::default()));
    let mut dead = world.worker("default", "a", "/");
    let mut shop = world.worker("shop", "b", "/orders");
    let conn = world.websocket(0, "40");
    world.send(conn, &frame("40/orders,"));
    world.reads(&mut shop);
    world.joins(&dead, 1);
    world.sends(&dead, 1, "0{}");
    world.wires.get_mut(&conn).expect("it is there").stalled = true;
    world.sends(&dead, 1, &much());
    assert_eq!(world.reads(&mut dead).last().expect("more"), "PRESSURE 1 1");
    assert_eq!(world.reads(&mut shop), ["PRESSURE 2 1"]);
    world.hang_up(dead.conn);
    world.pass_ms(1_000);
    let mut next = world.worker("default", "c", "/");
    assert_eq!(world.reads(&mut next), ["RESUME 1", "PRESSURE 1 1"]);
    world.wires.get_mut(&conn).expect("it is there").stalled = false;
    world.settle();
    assert_eq!(world.reads(&mut next), ["PRESSURE 1 0"]);
    assert_eq!(world.reads(&mut shop), ["PRESSURE 2 0"]);
}

#[test]
fn an_application_comes_to_know_a_client_that_is_slow() {
    let mut world = World::new(1, with_shop(Window::default()));
    let mut main = world.worker("default", "a", "/");
    let mut shop = world.worker("shop", "b", "/orders");
    let conn = world.websocket(0, "40");
    world.wires.get_mut(&conn).expect("it is there").stalled = true;
    world.sends(&main, 1, &much());
    assert_eq!(world.reads(&mut main).last().expect("more"), "PRESSURE 1 1");
    world.send(conn, &frame("40/orders,"));
    let expected = ["OPEN 2", "PRESSURE 2 1", "DATA 2 0/orders,"];
    assert_eq!(world.reads(&mut shop), expected);
}

#[test]
fn who_was_told_of_a_slow_client_hears_its_end_though_others_were_not() {
    let mut world = World::new(2, with_shop(Window::default()));
    let mut main = world.worker("default", "a", "/");
    let mut shop = world.worker("shop", "b", "/orders");
    let conn = world.websocket(1, "40");
    world.send(conn, &frame("40/orders,"));
    world.settle();
    let number = |heard: &[String]| heard[0][5..].parse::<u64>().expect("a number");
    let (first, second) = (
        number(&world.reads(&mut main)),
        number(&world.reads(&mut shop)),
    );
    world.wires.get_mut(&conn).expect("it is there").stalled = true;
    world.rings_hold(1);
    world.sends(&main, first, &much());
    assert_eq!(world.reads(&mut main), [format!("PRESSURE {first} 1")]);
    assert!(world.reads(&mut shop).is_empty(), "there was no ring space");
    world.rings_hold(64);
    world.wires.get_mut(&conn).expect("it is there").stalled = false;
    world.settle();
    assert_eq!(world.reads(&mut main), [format!("PRESSURE {first} 0")]);
    assert!(world.reads(&mut shop).is_empty());
    // Whom both know, both hear of.
    world.wires.get_mut(&conn).expect("it is there").stalled = true;
    world.sends(&main, first, &much());
    assert_eq!(world.reads(&mut main), [format!("PRESSURE {first} 1")]);
    assert_eq!(world.reads(&mut shop), [format!("PRESSURE {second} 1")]);
}

/// Workers of two applications, and a client that is in a namespace of the main one; the other one has refused it.
fn refused_by_shop(world: &mut World) -> (Worker, Worker, ConnId) {
    let mut main = world.worker("default", "a", "/");
    let mut shop = world.worker("shop", "b", "/orders");
    let conn = world.websocket(0, "40");
    world.send(conn, &frame("40/orders,"));
    world.reads(&mut main);
    world.reads(&mut shop);
    world.joins(&main, 1);
    world.sends(&main, 1, "0{}");
    world.sends(&shop, 2, "4/orders,{}");
    (main, shop, conn)
}

fn is_there(world: &World) -> bool {
    world.hubs[0].sessions.len() == 1
}

#[test]
fn an_application_that_has_nothing_to_do_with_a_client_parts_from_it_alone() {
    let mut world = World::new(1, with_shop(Window::default()));
    let (mut main, mut shop, conn) = refused_by_shop(&mut world);
    world.says(&shop, 2, &Frame::CloseConn {});
    assert!(is_there(&world));
    assert_eq!(world.reads(&mut shop), ["CLOSE 2"]);
    assert!(world.reads(&mut main).is_empty());
    // It tries again, is let in, and leaves; its old number is nobody's.
    world.send(conn, &frame("40/orders,"));
    assert_eq!(world.reads(&mut shop), ["OPEN 3", "DATA 3 0/orders,"]);
    world.joins(&shop, 3);
    world.sends(&shop, 3, "0/orders,{}");
    world.send(conn, &frame("41/orders,"));
    world.says(&shop, 2, &Frame::CloseConn {});
    world.says(&shop, 3, &Frame::LeaveAll { nsp: 0 });
    world.says(&shop, 3, &Frame::CloseConn {});
    assert!(is_there(&world));
    assert_eq!(world.reads(&mut shop), ["DATA 3 1/orders,", "CLOSE 3"]);
    // The last one that it uses ends it.
    world.send(conn, &frame("41"));
    world.says(&main, 1, &Frame::CloseConn {});
    assert!(!is_there(&world));
    assert_eq!(world.hubs[0].input_bytes, 0);
}

#[test]
fn a_client_that_believes_to_be_in_a_namespace_is_closed_with_it() {
    let ends: [fn(&mut World, &Worker, ConnId); 4] = [
        // It is in.
        |world, shop, conn| {
            world.send(conn, &frame("40/orders,"));
            world.sends(shop, 2, "0/orders,{}");
        },
        // Its worker has forgotten it.
        |world, shop, conn| {
            world.send(conn, &frame("40/orders,"));
            world.sends(shop, 2, "0/orders,{}");
            world.says(shop, 2, &Frame::LeaveAll { nsp: 0 });
        },
        // It waits for an answer.
        |world, _, conn| world.send(conn, &frame("40/orders,")),
        // It was dismissed a moment ago: both are one word.
        |world, shop, conn| {
            world.send(conn, &frame("40/orders,"));
            world.sends(shop, 2, "0/orders,{}");
            world.sends(shop, 2, "1/orders,");
        },
    ];
    for end in ends {
        let mut world = World::new(1, with_shop(Window::default()));
        let (_, shop, conn) = refused_by_shop(&mut world);
        end(&mut world, &shop, conn);
        world.says(&shop, 2, &Frame::CloseConn {});
        assert!(!is_there(&world));
    }
    // Long after, it is another word.
    let mut world = World::new(1, with_shop(Window::default()));
    let (_, shop, conn) = refused_by_shop(&mut world);
    ends[3](&mut world, &shop, conn);
    world.pass_ms(1_100);
    world.says(&shop, 2, &Frame::CloseConn {});
    assert!(is_there(&world));
    // And what is to be discarded is the connection.
    let mut world = World::new(1, with_shop(Window::default()));
    let (_, shop, _) = refused_by_shop(&mut world);
    let mut close = Vec::new();
    Frame::CloseConn {}.encode_into(2, Flags::DISCARD, &mut close);
    world.send(shop.conn, &close);
    assert!(!is_there(&world));
}

/// Where the links are, what is said to them may have them read first that the application parts from the client.
#[test]
fn a_connect_that_crosses_a_parting_is_said_anew() {
    let mut world = World::new(1, with_shop(Window::default()));
    let (_, mut shop, conn) = refused_by_shop(&mut world);
    let now = world.now;
    let pressed = ToLinks::Pressed {
        shard: 0,
        hold: Hold::All,
        is_many: false,
        weights: Weights::default(),
    };
    world.with(0, |hub, post, _, out| {
        hub.mail(now, 0, Class::Request, &pressed.encode(), post, out);
    });
    world.stand_still_ms(2_500);
    world.bring(shop.conn, &bytes_of(2, &Frame::CloseConn {}));
    world.send(conn, &frame("40/orders,"));
    world.settle();
    assert!(is_there(&world));
    let heard = world.reads(&mut shop);
    assert_eq!(heard[heard.len() - 2..], ["OPEN 3", "DATA 3 0/orders,"]);
    world.sends(&shop, 3, "0/orders,{}");
    let session = world.session(0);
    let upstream = world.hubs[0].upstream_of(session).expect("it is there");
    assert!(upstream.connects.is_empty(), "it was answered");
}

#[test]
fn what_was_on_the_way_to_an_application_that_parts_is_in_no_budget() {
    let window = Window {
        frames: 3,
        bytes: 1 << 20,
    };
    let mut world = World::new(1, with_shop(window));
    let (_, shop, conn) = refused_by_shop(&mut world);
    // There is no room for it at the worker, which is told nothing of credit.
    let event = format!("42/orders,[\"{}\"]", "x".repeat(20_000));
    (0..5).for_each(|_| world.send(conn, &frame(&event)));
    assert!(world.hubs[0].input_bytes > 60_000);
    world.says(&shop, 2, &Frame::CloseConn {});
    world.settle();
    assert!(is_there(&world));
    assert!(world.hubs[0].input_bytes < 64 * 1024);
    world.hang_up(conn);
    assert_eq!(world.hubs[0].input_bytes, 0);
}

#[test]
fn a_client_does_not_wait_for_an_application_that_it_does_not_use() {
    for uses in [false, true] {
        let mut world = World::new(1, with_shop(Window::default()));
        let (mut main, shop, conn) = refused_by_shop(&mut world);
        if uses {
            world.send(conn, &frame("40/orders,"));
        }
        world.hang_up(shop.conn);
        for _ in 0..32 {
            world.pass_ms(1_000);
            world.reads(&mut main);
            world.send(main.conn, &credit(&main));
            world.send(conn, &frame("3"));
        }
        assert_eq!(is_there(&world), !uses, "no worker came for it in time");
    }
}

/// A broadcast to the clients of whoever says it.
fn broadcast_local(world: &mut World, worker: &Worker, text: &str) {
    let broadcast = Frame::Bcast {
        nsp: 0,
        rooms: Vec::new(),
        except: Vec::new(),
        parts: vec![Part::Text(text)],
    };
    let mut bytes = Vec::new();
    broadcast.encode_into(0, Flags::LOCAL, &mut bytes);
    world.send(worker.conn, &bytes);
}

#[test]
fn a_client_that_was_handed_over_is_its_last_workers_no_more_and_its_next_ones_once_it_is_there() {
    let mut world = World::new(1, with_shop(Window::default()));
    let mut old = world.worker("default", "a", "/");
    let conn = world.websocket(0, "40");
    assert_eq!(world.reads(&mut old), ["OPEN 1", "DATA 1 0"]);
    world.joins(&old, 1);
    world.sends(&old, 1, "0{}");
    let mut new = world.worker("default", "b", "/");
    let json = Json::new(GoAway {
        mode: GoAwayMode::Migrate,
        reason: "deploy".into(),
        deadline_ms: 10_000,
    });
    world.says(&old, 0, &Frame::GoAway { json });
    world.pass_ms(300);
    assert_eq!(world.reads(&mut old), ["MIGRATE_OUT 1"]);
    broadcast_local(&mut world, &old, "2[\"still mine\"]");
    world.says(&old, 1, &Frame::MigrateOut {});
    broadcast_local(&mut world, &old, "2[\"gone\"]");
    assert_eq!(world.reads(&mut new), ["RESUME 1"]);
    broadcast_local(&mut world, &new, "2[\"not yet\"]");
    broadcast_local(&mut world, &old, "2[\"gone\"]");
    world.joins(&new, 1);
    broadcast_local(&mut world, &new, "2[\"mine\"]");
    broadcast_local(&mut world, &old, "2[\"gone\"]");
    let heard = world.read(conn);
    for (word, count) in [
        ("still mine", 1),
        ("gone", 0),
        ("not yet", 0),
        ("\"mine", 1),
    ] {
        assert_eq!(heard.matches(word).count(), count, "{word}: {heard}");
    }
}
