//! What a fuzz target found: clients that leave everything unread, tokens for all times, packets behind a malformed one.

use super::clients::{check, get, post};
use super::world::{World, settings, token};
use crate::hub::{Answer, Query};
use crate::refusal::Refusal;
use crate::rooms::home_shard;
use crate::time::ConnId;

/// What a client may leave unread: the bound, and what one call may add to it.
const UNREAD_BYTES_MAX: usize = 65_536 + 2 * 100_000 + 16_384;

/// A stalled client sends `once` again and again; then it reads.
fn unread(world: &mut World, conn: ConnId, once: &[u8]) -> String {
    world.wires.get_mut(&conn).unwrap().stalled = true;
    for _ in 0..200 {
        world.send(conn, &once.repeat(50));
    }
    world.wires.get_mut(&conn).unwrap().stalled = false;
    world.settle();
    world.read(conn)
}

fn ping() -> Vec<u8> {
    [&[0x89, 0x80 | 125, 0, 0, 0, 0], &[b'?'; 125][..]].concat()
}

#[test]
fn pongs_that_nobody_reads_are_bounded() {
    for connect in ["40", "3"] {
        let mut world = World::new(1, settings(true));
        let conn = world.websocket(0, connect);
        let seen = unread(&mut world, conn, &ping());
        assert!(seen.len() <= UNREAD_BYTES_MAX, "{}", seen.len());
        check(&seen, "RW-2401");
        assert!(world.wires[&conn].closed);
    }
}

#[test]
fn answers_that_nobody_reads_are_bounded() {
    let mut world = World::new(1, settings(true));
    let conn = world.open(0);
    let seen = unread(&mut world, conn, get("transport=none", "").as_bytes());
    assert!(seen.len() <= UNREAD_BYTES_MAX, "{}", seen.len());
    assert!(world.wires[&conn].closed);
    let refusals = &world.hubs[0].stats().refusals;
    assert_eq!(refusals[Refusal::SlowConsumer.index()], 1);
}

#[test]
fn answers_that_are_read_late_all_come() {
    let mut world = World::new(1, settings(true));
    let conn = world.open(0);
    world.wires.get_mut(&conn).unwrap().stalled = true;
    let request = get("transport=none", "");
    for _ in 0..100 {
        world.send(conn, request.as_bytes());
    }
    world.wires.get_mut(&conn).unwrap().stalled = false;
    world.settle();
    assert_eq!(world.read(conn).matches("Transport unknown").count(), 100);
}

#[test]
fn rfc7519_4_1_4_a_token_for_all_times_arms_no_timer_in_the_past() {
    let mut world = World::new(1, settings(false));
    let forever = token("anna", u64::MAX - 1_700_000_000);
    let connect = format!(r#"40{{"token":"{forever}"}}"#);
    let conn = world.websocket(0, &connect);
    check(&world.read(conn), r#"40{"sid":"#);
    world.pass_ms(25_000);
    assert_eq!(world.read(conn), "\u{fffd}\u{1}2", "one ping");
    assert!(!world.wires[&conn].closed);
}

#[test]
fn what_was_parked_behind_a_malformed_packet_is_not_done() {
    let mut world = World::new(2, settings(true));
    world.rings_hold(1);
    let (conn, sid) = world.polling(0);
    world.send(conn, post(&sid, "40").as_bytes());
    let room = (0..)
        .map(|number| format!("room {number}"))
        .find(|room| home_shard("/", room, 2) == 1)
        .unwrap();
    let publish = format!(r#"42["publish","{room}",1]"#);
    let join = format!(r#"42["join","{room}"]"#);
    let packets = [&publish, &publish, "47", &join].join("\u{1e}");
    world.send(conn, post(&sid, &packets).as_bytes());
    world.pass_ms(60_000);
    let room = Query::Room {
        namespace: "/".to_owned(),
        room,
    };
    for hub in &world.hubs {
        assert_eq!(hub.stats().sessions, 0);
        let Answer::Rooms(rows) = hub.query(&room) else {
            panic!("the question was for rooms")
        };
        assert!(rows.iter().all(|row| row.members == 0), "{rows:?}");
    }
}
