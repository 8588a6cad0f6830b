//! What clients send and see: WebSocket, polling, the upgrade between them, other shards, and the ends.

use super::world::{World, settings, token};
use crate::settings::Settings;
use crate::time::ConnId;
use ringway_proto::ws;

pub(super) const UPGRADE: &str = "Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n";

pub(super) fn get(query: &str, headers: &str) -> String {
    format!("GET /socket.io/?EIO=4&{query} HTTP/1.1\r\nHost: a\r\n{headers}\r\n")
}

pub(super) fn post(sid: &str, body: &str) -> String {
    let length = body.len();
    format!(
        "POST /socket.io/?EIO=4&transport=polling&sid={sid} HTTP/1.1\r\nHost: a\r\nContent-Length: {length}\r\n\r\n{body}"
    )
}

/// A masked text frame.
pub(super) fn frame(text: &str) -> Vec<u8> {
    frame_of(0x81, text)
}

/// A masked frame with that first byte.
pub(super) fn frame_of(first: u8, text: &str) -> Vec<u8> {
    let mut bytes = vec![first];
    match text.len() {
        length @ 0..126 => bytes.push(0x80 | length as u8),
        length @ 126..0x1_0000 => {
            bytes.push(0x80 | 126);
            bytes.extend_from_slice(&(length as u16).to_be_bytes());
        }
        length => {
            bytes.push(0x80 | 127);
            bytes.extend_from_slice(&(length as u64).to_be_bytes());
        }
    }
    let mask = [1, 2, 3, 4];
    bytes.extend_from_slice(&mask);
    bytes.extend(
        text.bytes()
            .enumerate()
            .map(|(at, byte)| byte ^ mask[at % 4]),
    );
    bytes
}

impl World {
    /// What the client has read since the last call, as text.
    pub(super) fn read(&mut self, conn: ConnId) -> String {
        let bytes = core::mem::take(&mut self.wires.get_mut(&conn).unwrap().received);
        String::from_utf8_lossy(&bytes).into_owned()
    }

    pub(super) fn websocket(&mut self, shard: u16, connect: &str) -> ConnId {
        let conn = self.open(shard);
        self.send(conn, get("transport=websocket", UPGRADE).as_bytes());
        self.send(conn, &frame(connect));
        conn
    }

    pub(super) fn polling(&mut self, shard: u16) -> (ConnId, String) {
        let conn = self.open(shard);
        self.send(conn, get("transport=polling", "").as_bytes());
        let answer = self.read(conn);
        let (_, rest) = answer.split_once(r#""sid":""#).expect("a handshake");
        (conn, rest.split('"').next().unwrap().to_owned())
    }

    pub(super) fn say(&mut self, conn: ConnId, text: &str) -> String {
        self.send(conn, &frame(text));
        self.read(conn)
    }
}

#[track_caller]
pub(super) fn check(seen: &str, expected: &str) {
    assert!(seen.contains(expected), "{expected:?} is not in {seen:?}");
}

#[test]
fn a_websocket_client_connects_joins_and_publishes() {
    let mut world = World::new(1, settings(true));
    let conn = world.websocket(0, "40");
    let seen = world.read(conn);
    check(&seen, "HTTP/1.1 101");
    check(&seen, r#"0{"sid":""#);
    check(&seen, r#"40{"sid":""#);
    check(
        &world.say(conn, r#"421["join","lobby"]"#),
        r#"431[{"ok":true,"epoch":"#,
    );
    let seen = world.say(conn, r#"422["publish","lobby",{"a":1}]"#);
    check(&seen, r#"42["message","lobby",{"a":1},{"from":""#);
    check(&seen, r#"432[{"ok":true,"#);
    check(
        &world.say(conn, r#"423["info"]"#),
        r#"433[{"ok":true,"shard":0,"shards":1"#,
    );
    check(
        &world.say(conn, r#"424["leave","lobby"]"#),
        r#"434[{"ok":true}]"#,
    );
    check(
        &world.say(conn, r#"425["dance"]"#),
        r#"435[{"ok":false,"code":"RW-2015""#,
    );
}

#[test]
fn members_on_all_shards_see_one_order() {
    let mut world = World::new(4, settings(true));
    let conns: Vec<ConnId> = (0..4).map(|shard| world.websocket(shard, "40")).collect();
    for conn in &conns {
        let seen = world.say(*conn, r#"421["join","lobby"]"#);
        world.settle();
        check(&(seen + &world.read(*conn)), r#"431[{"ok":true"#);
    }
    for (number, conn) in conns.iter().enumerate() {
        world.send(*conn, &frame(&format!(r#"42["publish","lobby",{number}]"#)));
    }
    for conn in conns {
        let seen = world.read(conn);
        let offsets: Vec<&str> = seen
            .split(r#""offset":"#)
            .skip(1)
            .map(|rest| &rest[..1])
            .collect();
        assert_eq!(offsets, ["1", "2", "3", "4"], "{seen}");
    }
}

#[test]
fn a_polling_client_waits_gets_and_upgrades() {
    let mut world = World::new(1, settings(true));
    let (conn, sid) = world.polling(0);
    let query = format!("transport=polling&sid={sid}");
    world.send(conn, get(&query, "").as_bytes());
    assert_eq!(world.read(conn), "");
    let other = world.open(0);
    world.send(other, post(&sid, "40").as_bytes());
    check(&world.read(other), "\r\n\r\nok");
    check(&world.read(conn), r#"40{"sid":""#);
    // The upgrade: the probe releases the poll that waits.
    world.send(conn, get(&query, "").as_bytes());
    let socket = world.open(0);
    world.send(
        socket,
        get(&format!("transport=websocket&sid={sid}"), UPGRADE).as_bytes(),
    );
    check(&world.say(socket, "2probe"), "3probe");
    check(&world.read(conn), "\r\n\r\n6");
    world.say(socket, "5");
    check(
        &world.say(socket, r#"421["echo",7]"#),
        r#"431[{"ok":true,"data":7}]"#,
    );
    assert_eq!(world.hubs[0].stats().upgrades, 1);
}

#[test]
fn requests_find_the_shard_of_their_session() {
    let mut world = World::new(4, settings(true));
    let (_, sid) = world.polling(3);
    for shard in 0..4 {
        let conn = world.open(shard);
        world.send(conn, post(&sid, "6").as_bytes());
        check(&world.read(conn), "\r\n\r\nok");
    }
    let socket = world.open(1);
    world.send(
        socket,
        get(&format!("transport=websocket&sid={sid}"), UPGRADE).as_bytes(),
    );
    check(&world.say(socket, "2probe"), "3probe");
    assert_eq!(world.hubs[3].stats().connections_arrived, 4);
}

#[test]
fn an_aborted_poll_loses_nothing() {
    let mut world = World::new(1, settings(true));
    let (conn, sid) = world.polling(0);
    let query = format!("transport=polling&sid={sid}");
    world.send(conn, get(&query, "").as_bytes());
    world.hang_up(conn);
    let other = world.open(0);
    world.send(other, post(&sid, "40").as_bytes());
    world.read(other);
    world.send(other, get(&query, "").as_bytes());
    check(&world.read(other), r#"40{"sid":""#);
}

#[test]
fn a_second_poll_at_a_time_ends_the_session() {
    let mut world = World::new(1, settings(true));
    let (conn, sid) = world.polling(0);
    let query = format!("transport=polling&sid={sid}");
    world.send(conn, get(&query, "").as_bytes());
    let other = world.open(0);
    world.send(other, get(&query, "").as_bytes());
    check(&world.read(other), "HTTP/1.1 400");
    check(&world.read(conn), "\r\n\r\n1");
    world.send(other, get(&query, "").as_bytes());
    check(&world.read(other), r#"{"code":1,"#);
}

#[test]
fn tokens_open_namespaces_and_permit() {
    let mut world = World::new(1, settings(false));
    let stranger = world.websocket(0, "40");
    check(
        &world.read(stranger),
        r#"44{"message":"a token is needed: send it as auth.token","data":{"code":"RW-2101"}}"#,
    );
    let conn = world.websocket(0, &format!(r#"40{{"token":"{}"}}"#, token("ann", 5)));
    check(&world.read(conn), r#"40{"sid":""#);
    check(
        &world.say(conn, r#"421["join","order:2"]"#),
        r#"431[{"ok":true"#,
    );
    check(&world.say(conn, r#"422["join","lobby"]"#), "RW-2109");
    check(&world.say(conn, r#"423["publish","order:2",1]"#), "RW-2109");
    check(
        &world.say(conn, &format!(r#"424["refresh","{}"]"#, token("bob", 9))),
        "RW-2108",
    );
    check(
        &world.say(conn, &format!(r#"425["refresh","{}"]"#, token("ann", 9))),
        r#"435[{"ok":true}]"#,
    );
    world.pass_ms(8_000);
    assert!(!world.wires[&conn].closed);
    world.pass_ms(1_001);
    check(&world.read(conn), "RW-2106");
    assert!(world.wires[&conn].closed);
}

#[test]
fn pings_go_out_and_silence_ends_a_session() {
    let mut world = World::new(1, settings(true));
    let conn = world.websocket(0, "40");
    world.read(conn);
    world.pass_ms(25_000);
    assert_eq!(world.read(conn), "\u{fffd}\u{1}2");
    world.send(conn, &frame("3"));
    world.pass_ms(25_000);
    assert_eq!(world.read(conn), "\u{fffd}\u{1}2");
    world.pass_ms(20_000);
    check(&world.read(conn), "RW-2012");
}

/// A machine that is moved to another host stands still for longer than a pong may take; pongs that came meanwhile are not read yet when timers fire. Of a
/// hundred clients some are late by far, and some by a moment.
#[test]
fn a_shard_that_stood_still_cuts_nobody_off_for_that() {
    for answers in [true, false] {
        let mut world = World::new(1, settings(true));
        let conns: Vec<ConnId> = (0..100).map(|_| world.websocket(0, "40")).collect();
        world.pass_ms(25_000);
        for conn in &conns {
            assert!(world.read(*conn).ends_with('2'), "each was pinged");
        }
        world.stand_still_ms(20_000);
        world.pass_ms(0);
        for conn in &conns {
            assert!(!world.wires[conn].closed, "its pong was not read yet");
            if answers {
                world.send(*conn, &frame("3"));
            }
        }
        world.pass_ms(20_000);
        let closed = conns.iter().filter(|conn| world.wires[conn].closed);
        assert_eq!(closed.count(), if answers { 0 } else { 100 });
    }
}

/// A shard that has more to read than it gets to cannot say who was silent, and judges all the same when three more timeouts are over.
#[test]
fn a_shard_that_has_not_read_all_is_no_judge_of_silence() {
    let mut world = World::new(1, settings(true));
    let conn = world.websocket(0, "40");
    world.read(conn);
    world.pass_ms(25_000);
    assert_eq!(world.read(conn), "\u{fffd}\u{1}2");
    let mut nameless = world.open(0);
    world.send(nameless, get("transport=websocket", UPGRADE).as_bytes());
    world.hubs[0].has_heard(false);
    world.pass_ms(50_000);
    assert!(!world.wires[&conn].closed && !world.wires[&nameless].closed);
    // What was late is read.
    world.send(conn, &frame("3"));
    world.send(nameless, &frame("40"));
    world.hubs[0].has_heard(true);
    world.pass_ms(2_000);
    assert!(!world.wires[&conn].closed && !world.wires[&nameless].closed);
    world.pass_ms(25_000);
    assert!(world.read(conn).ends_with("\u{1}2"), "it is pinged as ever");
    // Once all is read the silent are closed as soon as it looks again.
    nameless = world.websocket(0, "40");
    world.hubs[0].has_heard(false);
    world.pass_ms(20_000);
    assert!(!world.wires[&conn].closed);
    world.hubs[0].has_heard(true);
    world.pass_ms(1_000);
    check(&world.read(conn), "RW-2012");
    // And in the end without that.
    world.hubs[0].has_heard(false);
    world.pass_ms(70_000);
    assert!(!world.wires[&nameless].closed);
    world.pass_ms(15_000);
    check(&world.read(nameless), "RW-2012");
}

#[test]
fn a_client_that_never_connects_and_a_head_that_never_ends_are_closed() {
    let mut world = World::new(1, settings(true));
    let loris = world.open(0);
    world.send(loris, b"GET / HT");
    world.pass_ms(10_000);
    assert!(world.wires[&loris].closed);
    let mut world = World::new(
        1,
        Settings {
            connect_timeout_ms: 5_000,
            ..settings(true)
        },
    );
    let conn = world.open(0);
    world.send(conn, get("transport=websocket", UPGRADE).as_bytes());
    world.pass_ms(4_999);
    assert!(!world.wires[&conn].closed);
    world.pass_ms(1);
    check(&world.read(conn), "RW-2011");
    assert_eq!(world.hubs[0].stats().sessions, 0);
}

#[test]
fn a_slow_member_is_closed_and_the_others_are_not() {
    let mut world = World::new(1, settings(true));
    let (slow, fast) = (world.websocket(0, "40"), world.websocket(0, "40"));
    for conn in [slow, fast] {
        world.say(conn, r#"42["join","lobby"]"#);
    }
    world.wires.get_mut(&slow).unwrap().stalled = true;
    for number in 0..20 {
        check(
            &world.say(fast, &format!(r#"42["publish","lobby",{number}]"#)),
            r#"42["message""#,
        );
    }
    world.wires.get_mut(&slow).unwrap().stalled = false;
    world.settle();
    check(&world.read(slow), "RW-2401");
    assert!(world.wires[&slow].closed && !world.wires[&fast].closed);
}

#[test]
fn a_drain_closes_at_a_pace_and_never_disconnects() {
    let mut world = World::new(1, settings(true));
    let conns: Vec<ConnId> = (0..10).map(|_| world.websocket(0, "40")).collect();
    let (poller, sid) = world.polling(0);
    world.send(
        poller,
        get(&format!("transport=polling&sid={sid}"), "").as_bytes(),
    );
    world.drain(0, 1_000);
    world.pass_ms(50);
    let closed = conns.iter().filter(|conn| world.wires[conn].closed).count();
    assert!((1..10).contains(&closed), "{closed}");
    world.pass_ms(950);
    check(&world.read(poller), "\r\n\r\n1");
    for conn in conns {
        let seen = world.read(conn);
        check(&seen, "RW-2402");
        assert!(!seen.contains("41"), "{seen}");
        assert!(
            !world.hubs[0].drained(),
            "its last bytes may be on their way"
        );
        world.hang_up(conn);
    }
    world.hang_up(poller);
    assert!(world.hubs[0].drained());
}

#[test]
fn a_full_ring_parks_the_session_and_loses_nothing() {
    let mut world = World::new(2, settings(true));
    world.rings_hold(1);
    let conns = [world.websocket(0, "40"), world.websocket(1, "40")];
    for conn in conns {
        world.read(conn);
        let events: Vec<u8> = (0..4)
            .flat_map(|id| frame(&format!(r#"42{id}["publish","lobby",{id}]"#)))
            .collect();
        world.send(conn, &events);
        let seen = world.read(conn);
        for id in 0..4 {
            check(&seen, &format!(r#"43{id}[{{"ok":true"#));
        }
        assert!(!world.wires[&conn].paused);
    }
    assert_eq!(
        world
            .hubs
            .iter()
            .filter(|hub| hub.stats().parked > 0)
            .count(),
        1
    );
}

#[test]
fn cut_at_any_byte_the_answers_are_the_same() {
    let mut bytes = get("transport=websocket", UPGRADE).into_bytes();
    for text in [
        "40",
        r#"421["join","lobby"]"#,
        r#"422["publish","lobby","x"]"#,
    ] {
        bytes.extend_from_slice(&frame(text));
    }
    let run = |cut: usize| {
        let mut world = World::new(1, settings(true));
        let conn = world.open(0);
        world.send(conn, &bytes[..cut]);
        world.send(conn, &bytes[cut..]);
        (world.read(conn), world.wires[&conn].closed)
    };
    let whole = run(bytes.len() - 1);
    check(&whole.0, r#"432[{"ok":true"#);
    assert!(!whole.1);
    // A close goes ahead of what is queued, so that only a healthy stream has the same answers at every cut.
    for cut in 1..bytes.len() {
        assert_eq!(run(cut), whole, "cut at {cut}");
    }
}

/// Pongs go ahead of the queue and are not counted by its bound: they have one of their own.
#[test]
fn rfc6455_5_5_2_pongs_that_nobody_reads_are_bounded() {
    let mut world = World::new(1, settings(true));
    let conn = world.websocket(0, "40");
    world.read(conn);
    // Read in one call, so that no pong can leave in between.
    let (one, ping) = (frame_of(0x89, "p"), frame_of(0x89, &"p".repeat(125)));
    world.send(conn, &one);
    check(&world.read(conn), "p");
    let pings = settings(true).queue_bytes_max as usize / 125 + 1;
    world.send(conn, &ping.repeat(pings));
    check(&world.read(conn), "RW-2401");
}

#[test]
fn answers_that_nobody_reads_are_bounded() {
    let mut world = World::new(1, settings(true));
    let conn = world.open(0);
    world.wires.get_mut(&conn).unwrap().stalled = true;
    let requests = "GET /nothing HTTP/1.1\r\nHost: a\r\n\r\n".repeat(100);
    for _ in 0..100 {
        world.send(conn, requests.as_bytes());
    }
    assert!(world.wires[&conn].closed);
    let answers = world.hubs[0].next_send(world.now, conn);
    assert!(answers.is_none_or(|bytes| bytes.len() < 2 * settings(true).queue_bytes_max as usize));
}

#[test]
fn sessions_that_nobody_comes_back_to_are_bounded() {
    let mut world = World::new(1, settings(true));
    let sessions_max = settings(true).sessions_max;
    let conn = world.open(0);
    for _ in 0..sessions_max {
        world.send(conn, get("transport=polling", "").as_bytes());
        check(&world.read(conn), "200 OK");
    }
    world.send(conn, get("transport=polling", "").as_bytes());
    check(&world.read(conn), "RW-2206");
    world.pass_ms(46_000);
    let (conn, _) = world.polling(0);
    assert!(!world.wires[&conn].closed);
}

/// One compressed message serves everybody, so it has one window: who asked for less hears it as it is, and may still compress what it says.
#[test]
fn rfc7692_7_1_2_1_a_smaller_window_hears_plain_text() {
    let text = "x".repeat(2000);
    for (window, plain) in [("15", false), ("10", true)] {
        let mut deflates = settings(true);
        deflates.deflate = true;
        let mut world = World::new(1, deflates);
        let conn = world.open(0);
        let offer = format!(
            "{UPGRADE}Sec-WebSocket-Extensions: permessage-deflate; server_max_window_bits={window}\r\n"
        );
        world.send(conn, get("transport=websocket", &offer).as_bytes());
        check(
            &world.read(conn),
            &format!("; server_max_window_bits={window}\r\n"),
        );
        world.say(conn, "40");
        // A final text frame with RSV1, masked by zeros.
        let event = ws::deflate::compress(format!(r#"421["echo","{text}"]"#).as_bytes());
        let mut squeezed = vec![0xc1, 0x80 | event.len() as u8, 0, 0, 0, 0];
        squeezed.extend_from_slice(&event);
        world.send(conn, &squeezed);
        let answer = world.read(conn);
        assert_eq!(answer.contains(&text), plain, "{window}: {answer}");
        assert_eq!(answer.len() > 2000, plain, "{window}: {}", answer.len());
    }
}
