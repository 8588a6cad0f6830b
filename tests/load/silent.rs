//! Connections that send nothing: counted, closed in time, and no burden to anybody else.

use crate::client::{Client, Dial};
use crate::crowd::{self, source};
use crate::daemon::{Daemon, PATIENCE};
use crate::memory::MIB;
use std::io::Read as _;
use std::net::{Ipv4Addr, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

const SILENT: usize = 10_000;
/// The bystander warms the shard's receive buffers, which are touched in turn, before anything is measured: 64 of them at first.
const WARM_UP_ECHOES: usize = 600;
const NO_RATES: [&str; 2] = [
    "limits.connection_events_per_second=0",
    "limits.user_events_per_second=0",
];
/// Pace of the bystander's echoes.
const PACE: Duration = Duration::from_millis(20);
/// No echo may take longer; the worst is printed.
const LATE: Duration = Duration::from_secs(2);
/// What stays after 10,000 connections have come and gone: tables that do not shrink, and the allocator's free lists. A leak of one
/// connection's record each would be more.
const RESIDUE_BYTES: i64 = 8 * MIB;
/// The same connections once more find room in what stayed.
const GROWTH_BYTES: i64 = MIB;

/// How 10,000 connections come in, and who of them is let in.
struct Case {
    settings: &'static [&'static str],
    source: fn(usize) -> Ipv4Addr,
    shards: u16,
    /// How many are refused for their address; `None` when that depends on how fast they come.
    refused: Option<u64>,
}

const fn one_address(_: usize) -> Ipv4Addr {
    Ipv4Addr::new(127, 2, 2, 2)
}

fn check(name: &str, case: &Case) {
    println!("{SILENT} connections that send nothing, {name}:");
    let settings = [case.settings, &NO_RATES].concat();
    let daemon = Daemon::start(case.shards, &settings);
    let mut bystander = crowd::open(&daemon, 0..1, None, |_| vec!["hall".to_owned()]).remove(0);
    let alone = (0..WARM_UP_ECHOES).map(|_| echo(&mut bystander)).max();
    let alone = alone.unwrap_or_default();
    println!("  alone: the slowest of {WARM_UP_ECHOES} echoes {alone:?}");
    let over = AtomicBool::new(false);
    thread::scope(|scope| {
        let echoes = scope.spawn(|| echo_until(&mut bystander, &over));
        let first = flood(&daemon, case, 1);
        let second = flood(&daemon, case, 2);
        over.store(true, Ordering::Relaxed);
        let (count, worst) = echoes.join().expect("the bystander was served");
        println!("  meanwhile: {count} echoes, the slowest {worst:?}");
        assert!(count > 0 && worst < LATE);
        assert!(first < RESIDUE_BYTES && second < GROWTH_BYTES);
    });
    let newcomers = crowd::open(&daemon, 1..101, None, |_| vec!["hall".to_owned()]);
    assert_eq!(newcomers.len(), 100);
}

/// One flood, from its beginning until nothing of it is left; gives the anonymous memory that stayed. `floods` counts this one: the page may
/// be 200 ms old, so it is only compared with sums that it must come to.
fn flood(daemon: &Daemon, case: &Case, floods: u64) -> i64 {
    let before = daemon.memory();
    let dial = |number| Dial {
        port: daemon.port,
        source: (case.source)(number),
        receive_bytes: None,
    };
    let streams: Vec<TcpStream> = (0..SILENT)
        .map(|number| dial(number).connect().expect("the kernel takes it"))
        .collect();
    let all = floods * SILENT as u64;
    daemon.wait_until("all were taken from the kernel", || {
        daemon.metrics().sum("ringway_connections_accepted_total") == 1 + all
    });
    let open = daemon.metrics().sum("ringway_connections");
    let during = daemon.memory().since(before);
    // Every one of them hears the end of it: nobody is left hanging.
    streams.into_iter().for_each(wait_for_end);
    let (mut silent, mut refused) = (0, 0);
    daemon.wait_until(
        "the bystander is alone again, and each end is counted",
        || {
            let page = daemon.metrics();
            (silent, refused) = (page.refusals("RW-2013"), page.refusals("RW-2205"));
            page.sum("ringway_connections") == 1 && silent + refused == all
        },
    );
    let stayed = daemon.memory().since(before);
    println!(
        "  {open} open at a time; so far {silent} silent, {refused} refused for their address"
    );
    println!("  per connection while open: {}", during.per(SILENT));
    println!("  per connection afterwards: {}", stayed.per(SILENT));
    assert!(case.refused.is_none_or(|each| each * floods == refused));
    stayed.anonymous
}

/// Refused or timed out, the connection ends.
fn wait_for_end(mut stream: TcpStream) {
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    match stream.read(&mut [0; 16]) {
        Ok(0) => {}
        Ok(count) => panic!("{count} bytes without a request"),
        Err(error) => assert_eq!(error.kind(), std::io::ErrorKind::ConnectionReset),
    }
}

fn echo(client: &mut Client) -> Duration {
    let started = Instant::now();
    client.send("420[\"echo\",\"anybody there?\"]");
    client.read_ack();
    started.elapsed()
}

/// Echoes until told to stop; how many there were, and the slowest.
fn echo_until(client: &mut Client, over: &AtomicBool) -> (usize, Duration) {
    let (mut count, mut worst) = (0, Duration::ZERO);
    while !over.load(Ordering::Relaxed) {
        worst = worst.max(echo(client));
        count += 1;
        thread::sleep(PACE);
    }
    (count, worst)
}

#[test]
fn from_many_addresses_all_are_let_in_and_closed() {
    let case = Case {
        // Long enough for all of them to be there at once.
        settings: &["limits.head_timeout_ms=6000"],
        source,
        shards: 2,
        refused: Some(0),
    };
    check("from many addresses", &case);
}

#[test]
fn from_one_address_the_rate_refuses() {
    let case = Case {
        settings: &["limits.head_timeout_ms=3000"],
        source: one_address,
        shards: 2,
        refused: None,
    };
    check("from one address, by its rate", &case);
}

#[test]
fn from_one_address_the_number_refuses() {
    let case = Case {
        settings: &[
            "limits.head_timeout_ms=3000",
            "limits.address_connections_per_second=0",
            "limits.address_connections_max=1000",
        ],
        source: one_address,
        shards: 1,
        refused: Some(SILENT as u64 - 1000),
    };
    check("from one address, by its number", &case);
}
