//! Peers that ask on and on and read no answer: what they asked for does not pile up.

use crate::client::{Client, Dial, frame_into};
use crate::crowd::{self, source};
use crate::daemon::Daemon;
use crate::memory::MIB;
use std::io::{Read as _, Write as _};

/// Requests are written until the daemon takes no more, and no further than this.
const WRITTEN_BYTES_MAX: usize = 64 << 20;
/// `limits.queue_bytes_max`, what the send in flight took of it before, and the growth of a vector by doubling.
const ANSWER_BYTES_MAX: i64 = 6 * MIB;

/// Asks until the daemon hangs up, which it does with a counted reason and without having grown.
fn check_bounded(daemon: &Daemon, client: &Client, requests: &[u8]) {
    let before = daemon.memory();
    let mut stream = client.stream();
    let rounds = WRITTEN_BYTES_MAX / requests.len();
    let written = (0..rounds).take_while(|_| stream.write_all(requests).is_ok());
    let written = written.count() * requests.len();
    let growth = daemon.memory().since(before);
    println!("{written} bytes of requests whose answers nobody reads: {growth}");
    assert!(growth.anonymous < ANSWER_BYTES_MAX);
    daemon.wait_until("it is closed for a counted reason", || {
        daemon.metrics().refusals("RW-2401") == 1
    });
    let mut chunk = [0; 4096];
    while stream.read(&mut chunk).is_ok_and(|count| count > 0) {}
    daemon.wait_until("nobody is left", || {
        daemon.metrics().sum("ringway_connections") == 0
    });
}

/// Pongs go ahead of the queue and are not counted by its bound: they have a bound of their own.
#[test]
fn rfc6455_5_5_2_pongs_that_nobody_reads_are_bounded() {
    let daemon = Daemon::start(1, &["engine.ping_interval_ms=600000"]);
    let client = crowd::open(&daemon, 0..1, None, |_| Vec::new()).remove(0);
    let mut ping = Vec::new();
    frame_into(&mut ping, 9, &[b'p'; 125]);
    check_bounded(&daemon, &client, &ping.repeat(1000));
}

#[test]
fn responses_that_nobody_reads_are_bounded() {
    let daemon = Daemon::start(1, &[]);
    let client = Client::dial(Dial {
        port: daemon.port,
        source: source(0),
        receive_bytes: None,
    });
    let request = b"GET /nothing HTTP/1.1\r\nhost: load\r\n\r\n";
    check_bounded(&daemon, &client, &request.repeat(1000));
}
