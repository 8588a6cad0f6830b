//! What clients behind trusted proxies cost, and that nobody pays for another.

use super::clients::{check, get, post};
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

/// Proxies like to open a connection for each request.
#[test]
fn requests_of_a_session_are_no_new_connections() {
    let mut settings = settings(false);
    settings.trusted_proxies = TrustedProxies::parse(&["192.0.2.1".to_owned()]).unwrap();
    settings.rates.address_connections.per_second = 1;
    settings.rates.address_connections.burst = 3;
    let mut world = World::new(1, settings);
    let forwarded = "X-Forwarded-For: 1.1.1.1\r\n";
    let first = world.open(0);
    world.send(first, get("transport=polling", forwarded).as_bytes());
    let open = world.read(first);
    let sid = open.split("\"sid\":\"").nth(1).unwrap();
    let sid = sid.split('"').next().unwrap().to_owned();
    for _ in 0..10 {
        let conn = world.open(0);
        let head = post(&sid, "3").replacen("\r\n", &format!("\r\n{forwarded}"), 1);
        world.send(conn, head.as_bytes());
        check(&world.read(conn), "HTTP/1.1 200");
    }
    let refused: Vec<String> = (0..3)
        .map(|_| {
            let conn = world.open(0);
            world.ask(conn, "1.1.1.1")
        })
        .collect();
    assert_eq!(refused[2], "429", "strangers are counted: {refused:?}");
}
