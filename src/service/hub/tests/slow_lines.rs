//! Clients on slow lines, who do what they can.

use super::clients::{check, get, post};
use super::world::{World, settings};

/// 40 bytes a millisecond: much longer than a head may take, and steady.
#[test]
fn a_body_that_comes_steadily_may_take_its_time() {
    let mut world = World::new(1, settings(true));
    let (conn, sid) = world.polling(0);
    let body = format!("4{}", "x".repeat(90_000));
    let bytes = post(&sid, &body).into_bytes();
    for part in bytes.chunks(4_000) {
        assert!(!world.wires[&conn].closed);
        world.send(conn, part);
        world.pass_ms(2_000);
    }
    check(&world.read(conn), "HTTP/1.1 200");
}

#[test]
fn a_body_that_trickles_is_cut_off() {
    let mut world = World::new(1, settings(true));
    let (conn, sid) = world.polling(0);
    let bytes = post(&sid, &"x".repeat(90_000)).into_bytes();
    world.send(conn, &bytes[..200]);
    for byte in bytes[200..].chunks(1).take(40) {
        world.send(conn, byte);
        world.pass_ms(500);
    }
    assert!(world.wires[&conn].closed, "two bytes a second");
}

/// While its POST waits for answers to be read it has no other one for the pong.
#[test]
fn a_polling_client_whose_post_waits_is_there_as_long_as_it_reads() {
    let mut world = World::new(1, settings(true));
    let (conn, sid) = world.polling(0);
    world.send(conn, post(&sid, "40").as_bytes());
    world.read(conn);
    let echoes: Vec<String> = (0..400)
        .map(|id| format!(r#"42{id}["echo",{id}]"#))
        .collect();
    world.send(conn, post(&sid, &echoes.join("\u{1e}")).as_bytes());
    let mut answers = 0;
    for _ in 0..80 {
        let reader = world.open(0);
        world.send(
            reader,
            get(&format!("transport=polling&sid={sid}"), "").as_bytes(),
        );
        let seen = world.read(reader);
        answers += seen.matches(r#""ok":true"#).count();
        assert!(!seen.contains("HTTP/1.1 400"), "{seen}");
        world.hang_up(reader);
        world.pass_ms(1_000);
        if world.read(conn).contains("\r\n\r\nok") {
            break;
        }
    }
    assert!(
        answers > 250,
        "{answers} answers in 80 seconds, and never cut off"
    );
    assert_eq!(world.hubs[0].stats().sessions, 1);
}
