//! Places of an address on a shard: whoever comes from another shard needs one, too.

use super::clients::{UPGRADE, check, get, post};
use super::world::{World, settings};
use crate::refusal::Refusal;

/// Two shards, and so many connections for the one address that everybody here has.
fn world(address_connections_max: u32) -> World {
    let mut settings = settings(false);
    settings.rates.address_connections_max = address_connections_max;
    World::new(2, settings)
}

#[test]
fn a_connection_that_moves_needs_a_place_where_it_goes() {
    let mut world = world(2);
    let (first, sid) = world.polling(0);
    let second = world.open(1);
    world.send(second, post(&sid, "3").as_bytes());
    check(&world.read(second), "HTTP/1.1 200");
    for request in [
        post(&sid, "3"),
        get(&format!("transport=polling&sid={sid}"), ""),
        get(&format!("transport=websocket&sid={sid}"), UPGRADE),
    ] {
        let late = world.open(1);
        world.send(late, request.as_bytes());
        let seen = world.read(late);
        check(&seen, "HTTP/1.1 429");
        check(&seen, Refusal::AddressConnections.code());
        assert!(world.wires[&late].closed, "{seen}");
        world.hang_up(late);
    }
    // Whoever was there is untouched, and a place that is given back is free.
    world.send(first, post(&sid, "3").as_bytes());
    check(&world.read(first), "HTTP/1.1 200");
    world.hang_up(second);
    let next = world.open(1);
    world.send(next, post(&sid, "3").as_bytes());
    check(&world.read(next), "HTTP/1.1 200");
}

#[test]
fn a_connection_that_has_moved_leaves_its_place_behind() {
    let mut world = world(2);
    let (first, sid) = world.polling(0);
    for _ in 0..3 {
        let next = world.open(1);
        world.send(next, post(&sid, "3").as_bytes());
        check(&world.read(next), "HTTP/1.1 200");
        world.hang_up(next);
    }
    world.hang_up(first);
    for _ in 0..2 {
        let own = world.open(1);
        assert!(!world.wires[&own].closed);
    }
    let over = world.open(1);
    assert!(world.wires[&over].closed);
}
