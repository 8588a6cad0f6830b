//! Much at once from clients that read everything: none of them is slow, and none is closed for being so.

use super::clients::{UPGRADE, check, frame, get, post};
use super::world::{World, es256, key, settings, slow_token, token};
use crate::auth::Keys;
use crate::rooms::home_shard;
use crate::time::ConnId;

/// Acknowledged events in one breath, more than the queue holds.
fn many(world: &mut World, conn: ConnId, event: &str) -> String {
    let events: Vec<u8> = (0..100)
        .flat_map(|id| frame(&format!("42{id}{event}")))
        .collect();
    world.send(conn, &events);
    world.settle();
    world.read(conn)
}

#[test]
fn events_beyond_the_rate_are_all_refused_one_by_one() {
    let mut limited = settings(false);
    limited.rates.connection_events.per_second = 1;
    limited.rates.connection_events.burst = 5;
    let mut world = World::new(1, limited);
    let connect = format!(r#"40{{"token":"{}"}}"#, token("ann", 600));
    let conn = world.websocket(0, &connect);
    world.read(conn);
    let seen = many(&mut world, conn, r#"["echo",1]"#);
    assert_eq!(seen.matches("RW-2201").count(), 96, "{seen}");
    assert!(!world.wires[&conn].closed);
}

/// Verifying takes a while, and costs a core that all share: one at a time for each namespace, however often it is asked for.
#[test]
fn a_refresh_waits_for_the_one_before() {
    let mut both = settings(false);
    both.keys = Keys::new(&[key(), es256()], None, None, 0).unwrap();
    let mut world = World::new(1, both);
    let connect = format!(r#"40{{"token":"{}"}}"#, token("ann", 600));
    let conn = world.websocket(0, &connect);
    world.read(conn);
    let refresh = format!(r#"["refresh","{}"]"#, slow_token("ann"));
    let seen = many(&mut world, conn, &refresh);
    assert_eq!(world.jobs.len(), 1, "one is being verified");
    assert_eq!(seen.matches("RW-2207").count(), 99, "{seen}");
    world.compute();
    check(&world.read(conn), r#"430[{"ok":true}]"#);
    // Leaving the namespace forgets what was asked for it: coming back is no second time.
    world.say(conn, &format!("42100{refresh}"));
    world.say(conn, "41");
    check(&world.say(conn, &connect), r#"40{"sid""#);
    world.compute();
    assert!(!world.wires[&conn].closed);
}

/// Answers of a room's home come in one lap, many together: what is owed counts before it comes.
#[test]
fn publishes_to_a_room_of_another_shard_are_all_acknowledged() {
    let mut world = World::new(2, settings(true));
    let conn = world.websocket(0, "40");
    world.read(conn);
    let room = (0..)
        .map(|number| format!("room {number}"))
        .find(|room| home_shard("/", room, 2) == 1)
        .unwrap();
    let seen = many(&mut world, conn, &format!(r#"["publish","{room}",1]"#));
    assert_eq!(seen.matches(r#""ok":true"#).count(), 100, "{seen}");
    assert!(!world.wires[&conn].closed);
}

/// What a client emits while it upgrades comes by POST, and the answers go over the WebSocket.
#[test]
fn a_burst_before_the_upgrade_is_answered_behind_it() {
    for probe_comes_first in [true, false] {
        let mut world = World::new(1, settings(true));
        let (conn, sid) = world.polling(0);
        world.send(conn, post(&sid, "40").as_bytes());
        world.read(conn);
        let socket = world.open(0);
        let query = format!("transport=websocket&sid={sid}");
        world.send(socket, get(&query, UPGRADE).as_bytes());
        if probe_comes_first {
            world.say(socket, "2probe");
        }
        let echoes: Vec<String> = (0..100)
            .map(|id| format!(r#"42{id}["echo",{id}]"#))
            .collect();
        world.send(conn, post(&sid, &echoes.join("\u{1e}")).as_bytes());
        if !probe_comes_first {
            world.say(socket, "2probe");
        }
        check(&world.read(conn), "\r\n\r\nok");
        let seen = world.say(socket, "5") + &world.read(socket);
        assert_eq!(seen.matches(r#""ok":true"#).count(), 100, "{seen}");
        assert_eq!(world.say(socket, r#"42["echo",7]"#), "");
        assert!(!world.wires[&socket].closed);
    }
}

/// A client that has heard "3probe" has stopped polling, and takes the end of its probe for nothing but a failed upgrade.
#[test]
fn a_session_that_ends_while_it_upgrades_says_so_where_the_client_listens() {
    let mut world = World::new(1, settings(true));
    let (_conn, sid) = world.polling(0);
    let socket = world.open(0);
    let query = format!("transport=websocket&sid={sid}");
    world.send(socket, get(&query, UPGRADE).as_bytes());
    check(&world.say(socket, "2probe"), "3probe");
    world.drain(0, 10);
    world.pass_ms(100);
    assert!(
        !world.wires[&socket].closed,
        "it would be waited for in vain"
    );
    check(&world.say(socket, "5"), "RW-2402");
    assert!(world.wires[&socket].closed);
}
