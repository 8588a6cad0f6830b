//! What clients behind trusted proxies cost, and that nobody pays for another.

use super::world::{World, settings};
use crate::auth::TrustedProxies;
use crate::time::ConnId;

/// The peer of every connection of these worlds is the proxy.
fn world(address_connections_max: u32) -> World {
    let mut settings = settings(false);
    settings.trusted_proxies = TrustedProxies::parse(&["192.0.2.1".to_owned()]).unwrap();
    settings.rates.address_connections_max = address_connections_max;
    World::new(1, settings)
}

impl World {
    /// A request of `client`, on a connection that the proxy may use for others too.
    fn ask(&mut self, conn: ConnId, client: &str) -> String {
        let head = format!("GET /none HTTP/1.1\r\nHost: a\r\nX-Forwarded-For: {client}\r\n\r\n");
        self.send(conn, head.as_bytes());
        let bytes = core::mem::take(&mut self.wires.get_mut(&conn).unwrap().received);
        String::from_utf8_lossy(&bytes)[9..12].to_owned()
    }
}

#[test]
fn a_refused_connection_gives_nobody_a_place() {
    let mut world = world(1);
    let first = world.open(0);
    assert_eq!(world.ask(first, "1.1.1.1"), "404");
    for _ in 0..3 {
        let next = world.open(0);
        assert_eq!(world.ask(next, "1.1.1.1"), "429");
        world.hang_up(next);
    }
    world.hang_up(first);
    let last = world.open(0);
    assert_eq!(world.ask(last, "1.1.1.1"), "404");
}

#[test]
fn a_connection_that_serves_several_clients_is_the_last_ones() {
    let mut world = world(1);
    let shared = world.open(0);
    assert_eq!(world.ask(shared, "1.1.1.1"), "404");
    assert_eq!(world.ask(shared, "2.2.2.2"), "404");
    let (one, two) = (world.open(0), world.open(0));
    assert_eq!(world.ask(one, "1.1.1.1"), "404", "its place was given back");
    assert_eq!(world.ask(two, "2.2.2.2"), "429", "its place is taken");
}
