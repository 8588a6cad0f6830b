//! What once stayed for ever because nobody held a timer for it: each time a client arranged that the one who would have ended it was gone.

use super::clients::{UPGRADE, check, frame, frame_of, get, post};
use super::world::{World, settings};

/// So many echoes that their answers fill half the queue, and the rest of them waits.
fn many_echoes() -> String {
    let echoes: Vec<String> = (0..40)
        .map(|id| format!(r#"42{id}["echo",{id}]"#))
        .collect();
    echoes.join("\u{1e}")
}

#[test]
fn a_post_that_waits_is_answered_when_the_websocket_of_its_session_closes() {
    let mut world = World::new(1, settings(true));
    let (conn, sid) = world.polling(0);
    world.send(conn, post(&sid, "40").as_bytes());
    world.read(conn);
    world.send(conn, post(&sid, &many_echoes()).as_bytes());
    assert_eq!(world.read(conn), "", "it waits");
    let socket = world.open(0);
    let query = format!("transport=websocket&sid={sid}");
    world.send(socket, get(&query, UPGRADE).as_bytes());
    let goodbye = [frame("2probe"), frame("5"), frame_of(0x88, "")].concat();
    world.send(socket, &goodbye);
    assert_eq!(world.hubs[0].stats().sessions, 0);
    assert!(!world.wires[&conn].paused, "its end would not be seen");
    check(&world.read(conn), "\r\n\r\nok");
    world.pass_ms(120_000);
    assert!(world.wires.values().all(|wire| wire.closed));
}

/// The head of a POST comes before the upgrade and its body after it, so that its packets wait behind a WebSocket. It ends while they do, or by one of them.
#[test]
fn a_post_that_waits_behind_a_websocket_is_answered_when_the_session_ends() {
    for ends_itself in [true, false] {
        let mut world = World::new(1, settings(true));
        let (conn, sid) = world.polling(0);
        world.send(conn, post(&sid, "40").as_bytes());
        world.read(conn);
        let socket = world.open(0);
        let query = format!("transport=websocket&sid={sid}");
        world.send(socket, get(&query, UPGRADE).as_bytes());
        world.say(socket, "2probe");
        let last = if ends_itself { "\u{1e}47" } else { "" };
        let request = post(&sid, &(many_echoes() + last));
        let (head, body) = request.split_at(request.find("\r\n\r\n").unwrap() + 4);
        world.send(conn, head.as_bytes());
        world.say(socket, "5");
        world.wires.get_mut(&socket).unwrap().stalled = true;
        world.send(conn, body.as_bytes());
        assert!(world.wires[&conn].paused, "its packets wait");
        assert_eq!(world.read(conn), "");
        world.wires.get_mut(&socket).unwrap().stalled = !ends_itself;
        match ends_itself {
            true => world.settle(),
            false => world.hang_up(socket),
        }
        assert_eq!(world.hubs[0].stats().sessions, 0, "{ends_itself}");
        assert!(!world.wires[&conn].paused, "its end would not be seen");
        check(&world.read(conn), "\r\n\r\nok");
    }
}

#[test]
fn a_get_behind_answers_that_nobody_reads_goes_with_its_session() {
    let mut world = World::new(1, settings(true));
    let (conn, sid) = world.polling(0);
    world.hang_up(conn);
    let stuck = world.open(0);
    world.wires.get_mut(&stuck).unwrap().stalled = true;
    let mut requests = "GET /x HTTP/1.1\r\nHost: a\r\n\r\n".repeat(20);
    requests.push_str(&get(&format!("transport=polling&sid={sid}"), ""));
    world.send(stuck, requests.as_bytes());
    world.pass_ms(120_000);
    assert_eq!(world.hubs[0].stats().sessions, 0);
    assert!(world.wires[&stuck].closed);
}
