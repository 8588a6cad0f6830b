//! Peers that try to cost more than they may, to be taken for others, or to be in two states at once. Each was possible once.

use super::clients::{UPGRADE, check, frame, get, post};
use super::world::{World, settings, token};
use crate::auth::TrustedProxies;
use crate::forwarded::ProxyHeaderName;
use crate::refusal::Refusal;
use crate::settings::Settings;

fn dev(change: impl FnOnce(&mut Settings)) -> Settings {
    let mut settings = settings(true);
    change(&mut settings);
    settings
}

#[test]
fn sessions_without_connections_are_bounded() {
    let mut world = World::new(1, dev(|settings| settings.sessions_max = 3));
    let conn = world.open(0);
    for expected in ["200", "200", "200", "503"] {
        world.send(conn, get("transport=polling", "").as_bytes());
        check(&world.read(conn), &format!("HTTP/1.1 {expected}"));
    }
    assert_eq!(world.hubs[0].stats().sessions, 3);
}

#[test]
fn sessions_cost_their_address_as_connections_do() {
    let mut limited = settings(false);
    limited.rates.address_connections.per_second = 1;
    limited.rates.address_connections.burst = 3;
    let mut world = World::new(1, limited);
    let conn = world.open(0);
    for expected in ["200", "200", "429"] {
        world.send(conn, get("transport=polling", "").as_bytes());
        check(&world.read(conn), &format!("HTTP/1.1 {expected}"));
    }
}

/// Clients read the reference server's numbers and texts; operators count by the catalogue's codes.
#[test]
fn each_error_of_engine_io_has_a_code_of_its_own() {
    let stranger = "0123456789abcdefghij";
    for (request, body, refusal) in [
        (
            get("transport=pigeon", ""),
            r#"{"code":0,"message":"Transport unknown"}"#,
            Refusal::UnknownTransport,
        ),
        (
            get(&format!("transport=polling&sid={stranger}"), ""),
            r#"{"code":1,"message":"Session ID unknown"}"#,
            Refusal::UnknownSid,
        ),
        (
            post("", "40"),
            r#"{"code":2,"message":"Bad handshake method"}"#,
            Refusal::HandshakeMethod,
        ),
        (
            get("transport=polling", UPGRADE),
            r#"{"code":3,"message":"Bad request"}"#,
            Refusal::EngineRequest,
        ),
        (
            get("transport=polling", "").replace("EIO=4", "EIO=3"),
            r#"{"code":5,"message":"Unsupported protocol version"}"#,
            Refusal::EngineVersion,
        ),
    ] {
        let mut world = World::new(1, settings(true));
        let conn = world.open(0);
        world.send(conn, request.as_bytes());
        let seen = world.read(conn);
        check(&seen, "HTTP/1.1 400 ");
        assert!(seen.ends_with(&format!("\r\n\r\n{body}")), "{seen}");
        let mut expected = [0; Refusal::ALL.len()];
        expected[refusal.index()] = 1;
        assert_eq!(world.hubs[0].stats().refusals, expected, "{request}");
    }
}

/// RFC 9112 §9.3: what is behind an answer is a request only if the body before it was read.
#[test]
fn a_body_that_nobody_reads_is_no_request() {
    for path in ["/x", "/socket.io/?EIO=4&transport=polling", "/", "/ws-echo"] {
        let mut world = World::new(1, settings(true));
        let conn = world.open(0);
        let inner = get("transport=polling", "");
        let length = inner.len();
        let outer = format!("POST {path} HTTP/1.1\r\nHost: a\r\nContent-Length: {length}\r\n\r\n");
        world.send(conn, format!("{outer}{inner}").as_bytes());
        let seen = world.read(conn);
        assert_eq!(seen.matches("HTTP/1.1").count(), 1, "{path}: {seen}");
        check(&seen, "Connection: close");
        assert!(world.wires[&conn].closed, "{path}");
    }
}

#[test]
fn rfc9110_9_3_2_a_head_is_answered_without_a_body() {
    let mut world = World::new(1, settings(true));
    let conn = world.open(0);
    for path in ["/x", "/socket.io/?EIO=4&transport=polling"] {
        world.send(
            conn,
            format!("HEAD {path} HTTP/1.1\r\nHost: a\r\n\r\n").as_bytes(),
        );
        let seen = world.read(conn);
        assert!(seen.ends_with("\r\n\r\n"), "{path}: {seen}");
        assert!(!seen.contains("Content-Length: 0"), "{path}: {seen}");
    }
}

/// The first answer is still on its way: the others wait, and too many of them end the connection.
#[test]
fn requests_behind_answers_that_nobody_reads_are_bounded() {
    let mut world = World::new(1, settings(true));
    let conn = world.open(0);
    world.wires.get_mut(&conn).unwrap().stalled = true;
    let many = "GET /x HTTP/1.1\r\nHost: a\r\n\r\n".repeat(500);
    for _ in 0..40 {
        world.send(conn, many.as_bytes());
    }
    assert!(
        world.wires[&conn].closed,
        "somebody who never reads is cut off"
    );
    let stats = world.hubs[0].stats();
    assert_eq!(stats.refusals[Refusal::SlowConsumer.index()], 1);
    assert!(stats.http_requests < 1000, "{stats:?}");
}

#[test]
fn pings_that_nobody_reads_the_pongs_of_are_bounded() {
    for (query, hello) in [("transport=websocket", "40"), ("", "")] {
        let mut world = World::new(1, settings(true));
        let conn = world.open(0);
        if query.is_empty() {
            let upgrade = format!("GET /ws-echo HTTP/1.1\r\nHost: a\r\n{UPGRADE}\r\n");
            world.send(conn, upgrade.as_bytes());
        } else {
            world.send(conn, get(query, UPGRADE).as_bytes());
            world.send(conn, &frame(hello));
        }
        world.wires.get_mut(&conn).unwrap().stalled = true;
        let ping = [&[0x89, 0x80 | 125, 0, 0, 0, 0][..], &[7; 125]].concat();
        for _ in 0..40 {
            world.send(conn, &ping.repeat(100));
        }
        world.wires.get_mut(&conn).unwrap().stalled = false;
        world.settle();
        check(&world.read(conn), "RW-2401");
        assert!(world.wires[&conn].closed);
    }
}

/// A close among packets that wait for ring space: what stands behind it must not get anybody into a room.
#[test]
fn nothing_behind_a_close_is_heard() {
    let mut world = World::new(2, settings(true));
    world.rings_hold(1);
    for shard in 0..2 {
        let (conn, sid) = world.polling(shard);
        world.send(conn, post(&sid, "40").as_bytes());
        let publishes = ["42[\"publish\",\"lobby\",1]"; 4].join("\u{1e}");
        let body = format!("{publishes}\u{1e}41\u{1e}1\u{1e}42[\"join\",\"x\"]");
        world.send(conn, post(&sid, &body).as_bytes());
        world.pass_ms(20_000);
    }
    for hub in &world.hubs {
        assert_eq!(hub.stats().sessions, 0);
    }
}

#[test]
fn a_post_is_answered_when_its_packets_were_taken() {
    let mut world = World::new(2, settings(true));
    let (conn, sid) = world.polling(0);
    let (other, sid_of_other) = world.polling(1);
    for (conn, sid) in [(conn, &sid), (other, &sid_of_other)] {
        world.send(conn, post(sid, "40").as_bytes());
        world.read(conn);
    }
    // The room's home is on one of the two shards: the other one's publisher waits for the ring.
    world.rings_hold(0);
    let mut waiting = Vec::new();
    for (conn, sid) in [(conn, &sid), (other, &sid_of_other)] {
        let body = post(sid, "42[\"publish\",\"lobby\",1]");
        if !world.send_while_rings_are_full(conn, body.as_bytes()) {
            waiting.push(conn);
        }
    }
    let held: Vec<_> = waiting
        .iter()
        .filter(|conn| world.read(**conn).is_empty())
        .collect();
    assert_eq!(held.len(), 1, "one publisher is remote");
    let held = *held[0];
    world.rings_hold(8);
    world.settle();
    check(&world.read(held), "\r\n\r\nok");
}

#[test]
fn a_poll_whose_answer_breaks_ends_the_session() {
    let mut world = World::new(1, settings(true));
    let (conn, sid) = world.polling(0);
    let query = format!("transport=polling&sid={sid}");
    let other = world.open(0);
    world.send(conn, get(&query, "").as_bytes());
    world.wires.get_mut(&conn).unwrap().stuck = true;
    world.send(other, post(&sid, "40").as_bytes());
    world.read(other);
    world.hang_up(conn);
    world.send(other, get(&query, "").as_bytes());
    check(&world.read(other), "\r\n\r\n1");
    assert_eq!(world.hubs[0].stats().sessions, 0);
}

/// Its queue holds eight packets. Whoever reads gets all answers; whoever does not is made to wait, and is not cut off for it.
#[test]
fn answers_asked_for_in_one_breath_all_come() {
    let mut world = World::new(1, settings(true));
    let conn = world.websocket(0, "40");
    world.read(conn);
    let events: Vec<u8> = (0..200)
        .flat_map(|id| frame(&format!(r#"42{id}["echo",{id}]"#)))
        .collect();
    world.wires.get_mut(&conn).unwrap().stalled = true;
    world.send(conn, &events);
    assert!(world.wires[&conn].paused && !world.wires[&conn].closed);
    world.wires.get_mut(&conn).unwrap().stalled = false;
    world.settle();
    let seen = world.read(conn);
    for id in 0..200 {
        check(&seen, &format!(r#"43{id}[{{"ok":true,"data":{id}}}]"#));
    }
    assert!(!world.wires[&conn].paused && !world.wires[&conn].closed);
}

/// What comes in the same lap as the end of the connection would be said to nobody.
#[test]
fn a_get_that_is_given_up_takes_nothing_with_it() {
    let mut world = World::new(1, settings(true));
    let (conn, sid) = world.polling(0);
    let query = format!("transport=polling&sid={sid}");
    world.send(conn, get(&query, "").as_bytes());
    world.finish(conn);
    let other = world.open(0);
    world.send(other, post(&sid, "40").as_bytes());
    assert_eq!(world.read(conn), "");
    world.hang_up(conn);
    world.read(other);
    world.send(other, get(&query, "").as_bytes());
    check(&world.read(other), r#"40{"sid":""#);
}

#[test]
fn a_websocket_that_is_finished_leaves_its_rooms() {
    let mut world = World::new(1, settings(true));
    let conn = world.websocket(0, "40");
    world.say(conn, r#"42["join","lobby"]"#);
    world.finish(conn);
    assert_eq!(world.hubs[0].stats().sessions, 0);
}

#[test]
fn a_join_that_is_left_before_its_answer_is_answered() {
    let mut world = World::new(2, settings(true));
    for shard in 0..2 {
        let conn = world.websocket(shard, "40");
        world.read(conn);
        let both = [
            frame(r#"421["join","lobby"]"#),
            frame(r#"422["leave","lobby"]"#),
        ];
        world.send(conn, &both.concat());
        let seen = world.read(conn);
        check(&seen, "431[{");
        check(&seen, r#"432[{"ok":true}]"#);
    }
}

#[test]
fn a_body_of_many_small_packets_is_taken() {
    let mut world = World::new(1, settings(true));
    let (conn, sid) = world.polling(0);
    let body = ["6"; 5000].join("\u{1e}");
    world.send(conn, post(&sid, &body).as_bytes());
    check(&world.read(conn), "\r\n\r\nok");
}

#[test]
fn base64_is_binary_on_a_websocket_too() {
    let mut world = World::new(1, settings(true));
    let conn = world.websocket(0, "40");
    world.read(conn);
    let header = frame(r#"451-7["echo",{"_placeholder":true,"num":0}]"#);
    world.send(conn, &[header, frame("bAQID")].concat());
    check(
        &world.read(conn),
        r#"461-7[{"ok":true,"data":{"_placeholder":true,"num":0}}]"#,
    );
}

#[test]
fn a_session_that_ends_is_not_upgraded() {
    let mut world = World::new(1, settings(true));
    let (conn, sid) = world.polling(0);
    let socket = world.open(0);
    let upgrade = get(&format!("transport=websocket&sid={sid}"), UPGRADE);
    world.send(socket, upgrade.as_bytes());
    check(&world.say(socket, "2probe"), "3probe");
    // A malformed packet ends the session; it waits for the GET that tells the client.
    world.send(conn, post(&sid, "49").as_bytes());
    world.say(socket, "5");
    let late = world.open(0);
    world.send(late, upgrade.as_bytes());
    check(&world.read(late), "HTTP/1.1 400");
    world.pass_ms(20_000);
    assert_eq!(world.hubs[0].stats().sessions, 0);
    assert_eq!(world.hubs[0].stats().sessions_websocket, 0);
    assert!(world.wires[&socket].closed);
}

#[test]
fn a_token_that_never_expires_is_no_timer_for_now() {
    let mut world = World::new(1, settings(false));
    let conn = world.websocket(0, &format!(r#"40{{"token":"{}"}}"#, token("ann", 1 << 53)));
    check(&world.read(conn), r#"40{"sid":""#);
    world.pass_ms(10_000);
    assert!(!world.wires[&conn].closed);
}

#[test]
fn rfc6455_4_4_another_version_is_told_the_right_one() {
    let mut world = World::new(1, settings(true));
    let conn = world.open(0);
    let old = UPGRADE.replace(": 13", ": 8");
    world.send(conn, get("transport=websocket", &old).as_bytes());
    let seen = world.read(conn);
    check(&seen, "HTTP/1.1 426");
    check(&seen, "Sec-WebSocket-Version: 13\r\n");
}

#[test]
fn a_preflight_allows_what_is_asked_to_whom_may_come() {
    let mut world = World::new(1, settings(true));
    let conn = world.open(0);
    let ask = |origin: &str| {
        format!(
            "OPTIONS /socket.io/?EIO=4&transport=polling HTTP/1.1\r\nHost: a\r\nOrigin: {origin}\r\nAccess-Control-Request-Headers: x-trace, content-type\r\n\r\n"
        )
    };
    world.send(conn, ask("http://a").as_bytes());
    let seen = world.read(conn);
    check(&seen, "HTTP/1.1 204");
    check(
        &seen,
        "Access-Control-Allow-Headers: x-trace, content-type\r\n",
    );
    check(&seen, "Access-Control-Allow-Origin: http://a\r\n");
    assert!(!seen.contains("Content-Length"), "{seen}");
    world.send(conn, ask("http://evil.example").as_bytes());
    assert!(!world.read(conn).contains("Access-Control"));
}

/// An answer to a request before the one that moves the connection goes out there, at once.
#[test]
fn answers_travel_with_their_connection() {
    let mut world = World::new(2, settings(true));
    let (_, sid) = world.polling(1);
    let conn = world.open(0);
    let poll = get(&format!("transport=polling&sid={sid}"), "");
    world.send(
        conn,
        format!("GET /x HTTP/1.1\r\nHost: a\r\n\r\n{poll}").as_bytes(),
    );
    check(&world.read(conn), "HTTP/1.1 404");
    assert!(world.dirty_since_arrival(conn), "the loop was told");
}

fn behind_proxy(name: ProxyHeaderName, headers: &str) -> (String, String) {
    let mut settings = settings(false);
    settings.trusted_proxies = TrustedProxies::parse(&["192.0.2.1".to_owned()]).unwrap();
    settings.proxy_header = name;
    let mut world = World::new(1, settings);
    let conn = world.open(0);
    world.send(conn, get("transport=polling", headers).as_bytes());
    let address = world.first_address().unwrap_or_default();
    (world.read(conn)[9..12].to_owned(), address)
}

/// nginx adds to X-Forwarded-For and passes on whatever stands in Forwarded.
#[test]
fn a_header_that_the_proxy_does_not_write_is_not_believed() {
    let forged = "Forwarded: for=9.9.9.9\r\nX-Forwarded-For: 1.1.1.1\r\n";
    let refused = ("400".to_owned(), String::new());
    assert_eq!(behind_proxy(ProxyHeaderName::Any, forged), refused);
    let told = |address: &str| ("200".to_owned(), address.to_owned());
    assert_eq!(
        behind_proxy(ProxyHeaderName::XForwardedFor, forged),
        told("1.1.1.1")
    );
    assert_eq!(
        behind_proxy(ProxyHeaderName::Forwarded, forged),
        told("9.9.9.9")
    );
    let agreed = "Forwarded: for=1.1.1.1\r\nX-Forwarded-For: 1.1.1.1\r\n";
    assert_eq!(behind_proxy(ProxyHeaderName::Any, agreed), told("1.1.1.1"));
}

/// Endless names must neither grow without bound nor keep others out.
#[test]
fn homes_are_bounded_and_spare_ones_make_way() {
    let mut world = World::new(2, dev(|settings| settings.shard_rooms_max = 4));
    let conn = world.websocket(0, "40");
    for number in 0..40 {
        world.say(conn, &format!(r#"42["publish","room-{number}",1]"#));
        world.pass_ms(100);
    }
    let rooms = world.hubs.iter().map(|hub| hub.room_count()).max();
    assert!(rooms <= Some(4), "{rooms:?}");
    let seen = world.say(conn, r#"421["join","another"]"#);
    check(&seen, r#"431[{"ok":true"#);
}

#[test]
fn a_join_is_refused_when_its_home_is_full() {
    let mut world = World::new(2, dev(|settings| settings.shard_rooms_max = 1));
    let conns = [world.websocket(0, "40"), world.websocket(1, "40")];
    let mut answers = String::new();
    for (number, conn) in conns.iter().cycle().take(8).enumerate() {
        world.read(*conn);
        answers += &world.say(*conn, &format!(r#"42{number}["join","room-{number}"]"#));
    }
    check(&answers, r#""ok":true"#);
    check(&answers, "RW-2303");
    for conn in conns {
        world.hang_up(conn);
    }
    world.settle();
    assert!(world.hubs.iter().all(|hub| hub.stats().sessions == 0));
}

#[test]
fn a_rooms_rate_is_one_for_all_shards() {
    let mut limited = settings(false);
    limited.rates.room_messages.per_second = 1;
    limited.rates.room_messages.burst = 4;
    let mut world = World::new(4, limited);
    let connect = format!(r#"40{{"token":"{}"}}"#, token("ann", 100));
    let mut taken = 0;
    for shard in 0..4 {
        let conn = world.websocket(shard, &connect);
        for id in 0..4 {
            let seen = world.say(conn, &format!(r#"42{id}["publish","order:1",1]"#));
            taken += seen.matches(r#""ok":true"#).count();
        }
    }
    assert_eq!(taken, 4);
}

#[test]
fn a_closed_session_is_not_upgraded() {
    let mut world = World::new(1, settings(true));
    let (conn, sid) = world.polling(0);
    world.send(conn, post(&sid, "malformed").as_bytes());
    let probe = world.open(0);
    let query = format!("transport=websocket&sid={sid}");
    world.send(probe, get(&query, UPGRADE).as_bytes());
    check(&world.read(probe), "400");
    world.send(probe, &[frame("2probe"), frame("5")].concat());
    world.pass_ms(120_000);
    assert_eq!(world.hubs[0].stats().sessions_websocket, 0);
    assert!(world.wires.values().all(|wire| wire.closed));
}
