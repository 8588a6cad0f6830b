//! What waits is counted, in both directions, and whoever makes it grow over the budget pays.

use super::clients::{check, frame, get, post};
use super::world::{World, settings};
use crate::rooms::{SlowConsumerPolicy, SlowConsumerRules};
use crate::settings::Settings;

fn dev(change: impl FnOnce(&mut Settings)) -> Settings {
    let mut settings = settings(true);
    change(&mut settings);
    settings
}

#[test]
fn unfinished_messages_have_a_budget() {
    let mut world = World::new(1, dev(|settings| settings.shard_input_bytes_max = 150_000));
    let conns: Vec<_> = (0..3).map(|_| world.websocket(0, "40")).collect();
    for conn in &conns {
        // The first 60,000 bytes of a message of 90,000.
        let start = [
            &[0x81, 0xff, 0, 0, 0, 0, 0, 1, 0x5f, 0x90, 0, 0, 0, 0][..],
            &[b'x'; 60_000],
        ];
        world.send(*conn, &start.concat());
    }
    let closed: Vec<bool> = conns.iter().map(|conn| world.wires[conn].closed).collect();
    assert_eq!(
        closed,
        [false, false, true],
        "who goes over the budget pays"
    );
    for conn in conns {
        world.hang_up(conn);
    }
    world.settle();
    assert_eq!(world.hubs[0].stats().input_bytes, 0);
}

#[test]
fn attachments_that_never_complete_are_counted_and_let_go() {
    let mut world = World::new(1, settings(true));
    let conn = world.websocket(0, "40");
    world.send(
        conn,
        &frame(r#"452-["echo",{"_placeholder":true,"num":0}]"#),
    );
    world.send(
        conn,
        &[&[0x82, 0x80 | 100, 0, 0, 0, 0][..], &[1; 100]].concat(),
    );
    let kept = world.hubs[0].stats().input_bytes;
    assert!((100..200).contains(&kept), "{kept}");
    check(&world.say(conn, r#"42["echo",1]"#), "RW-2007");
    world.hang_up(conn);
    world.settle();
    assert_eq!(world.hubs[0].stats().input_bytes, 0);
}

/// An answer to a poll is as much a queue as what it was taken from: counted, and given up when nobody reads it.
#[test]
fn an_answer_that_nobody_reads_is_counted_and_ends() {
    let mut world = World::new(1, settings(true));
    let (conn, sid) = world.polling(0);
    let query = format!("transport=polling&sid={sid}");
    let other = world.open(0);
    world.send(other, post(&sid, "40").as_bytes());
    world.wires.get_mut(&conn).unwrap().stuck = true;
    world.send(conn, get(&query, "").as_bytes());
    world.settle();
    let waits = world.hubs[0].stats().queued_bytes;
    assert!(waits > 40, "{waits}");
    world.pass_ms(59_000);
    assert!(!world.wires[&conn].closed);
    world.pass_ms(2_000);
    assert!(
        world.wires[&conn].closed,
        "nobody read it for keep_alive_timeout"
    );
    world.hang_up(conn);
    world.settle();
    assert_eq!(world.hubs[0].stats().queued_bytes, 0);
}

#[test]
fn input_that_waits_is_counted() {
    let mut world = World::new(1, settings(true));
    let conn = world.websocket(0, "40");
    let events: Vec<u8> = (0..200)
        .flat_map(|id| frame(&format!(r#"42{id}["echo",{id}]"#)))
        .collect();
    world.wires.get_mut(&conn).unwrap().stalled = true;
    world.send(conn, &events);
    let waits = world.hubs[0].stats().input_bytes;
    assert!(waits > 150 * 48, "{waits}");
    world.wires.get_mut(&conn).unwrap().stalled = false;
    world.settle();
    assert_eq!(world.hubs[0].stats().input_bytes, 0);
}

#[test]
fn input_that_waits_has_the_budget_of_all_input() {
    let mut world = World::new(1, dev(|settings| settings.shard_input_bytes_max = 20_000));
    let conn = world.websocket(0, "40");
    let text = "x".repeat(1000);
    let events: Vec<u8> = (0..60)
        .flat_map(|id| frame(&format!(r#"42{id}["echo","{text}"]"#)))
        .collect();
    world.wires.get_mut(&conn).unwrap().stalled = true;
    world.send(conn, &events);
    world.wires.get_mut(&conn).unwrap().stalled = false;
    world.settle();
    check(&world.read(conn), "RW-2207");
    assert_eq!(world.hubs[0].stats().input_bytes, 0);
}

/// Its queue is full of what may be dropped: what it says itself is heard all the same, and its answer comes.
#[test]
fn a_member_whose_room_floods_it_is_still_heard() {
    let rule = ("game".to_owned(), SlowConsumerPolicy::DropOldest);
    let rules = SlowConsumerRules::new(vec![rule]);
    let mut world = World::new(1, dev(|settings| settings.slow_consumers = rules));
    let slow = world.websocket(0, "40");
    world.say(slow, r#"42["join","game"]"#);
    let member = world.websocket(0, "40");
    world.say(member, r#"42["join","game"]"#);
    world.wires.get_mut(&slow).unwrap().stalled = true;
    for number in 0..40 {
        world.say(member, &format!(r#"42["publish","game",{number}]"#));
    }
    world.send(slow, &frame(r#"427["echo",1]"#));
    assert!(!world.wires[&slow].paused, "it is not slow to answer");
    world.wires.get_mut(&slow).unwrap().stalled = false;
    world.settle();
    check(&world.read(slow), r#"437[{"ok":true,"data":1}]"#);
}
