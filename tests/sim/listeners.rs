//! One shard with two listeners over the pretended kernel: a table that is full most of the time, accepts that fail, and clients that come by either.
//! Each comes in once, by the listener that it chose, until the shard takes no more.

use core::time::Duration;
use ringway_io::{JobOutput, Listener, Peer, PoolFull, ShardId};
use ringway_runtime::{
    Bounds, Cause, Class, Command, Conn, Context, Handler, MailOutcome, Mesh, MeshBounds, Now,
    Outgoing, Shard,
};
use ringway_sim::{Client, Config, End, Kernel, Random, SimDriver};
use rtrb::{Producer, RingBuffer};
use std::collections::BTreeSet;

const SEEDS: u64 = 300;
const STEPS: usize = 600;
const LISTENERS: usize = 2;
const CONNECTIONS_MAX: u32 = 5;
/// Laps within which whoever waits must have come in once nothing goes wrong any more.
const SETTLE_LAPS_MAX: usize = 20_000;

/// Notes who came; the loop closes whoever has finished.
#[derive(Default)]
struct Guests(BTreeSet<(u32, usize)>);

impl Handler for Guests {
    /// Stop.
    type Control = ();

    fn accepted(&mut self, _: &mut Context<'_>, _: Conn, listener: Listener, peer: Peer) {
        let name = match (listener.0, peer) {
            (0, Peer::Inet(address)) => name_of(address.ip()),
            (1, Peer::Unix { pid, .. }) => pid as usize,
            other => panic!("{other:?} came by another kind of socket"),
        };
        assert!(self.0.insert((listener.0, name)), "{name} came twice");
    }

    fn received(&mut self, _: &mut Context<'_>, _: Conn, _: &mut [u8]) {}

    fn finished(&mut self, _: &mut Context<'_>, _: Conn) {}

    fn next_send(&mut self, _: Now, _: Conn) -> Option<Outgoing> {
        None
    }

    fn sent(&mut self, _: &mut Context<'_>, _: Conn) {}

    fn closed(&mut self, _: &mut Context<'_>, _: Conn, _: Cause) {}

    fn freeze(&mut self, _: Now, _: Conn) -> Vec<u8> {
        unreachable!("there is no other shard")
    }

    fn arrived(&mut self, _: &mut Context<'_>, _: Conn, _: &[u8]) {}

    fn mail(&mut self, _: &mut Context<'_>, _: ShardId, _: Class, _: &[u8]) -> MailOutcome {
        MailOutcome::Taken
    }

    fn deadline(&mut self, _: &mut Context<'_>, _: u64) {}

    fn computed(&mut self, _: &mut Context<'_>, _: u32, _: Result<JobOutput, PoolFull>) {}

    fn control(&mut self, cx: &mut Context<'_>, (): ()) {
        cx.commands.push(Command::StopAccepting);
    }

    fn lap(&mut self, _: &mut Context<'_>) {}
}

/// The pretended kernel gives a client an address that is its number.
fn name_of(address: core::net::IpAddr) -> usize {
    match address {
        core::net::IpAddr::V4(address) => {
            let [_, _, high, low] = address.octets();
            usize::from(high) << 8 | usize::from(low)
        }
        other @ core::net::IpAddr::V6(_) => panic!("{other} is no client's"),
    }
}

struct House {
    kernel: Kernel,
    random: Random,
    shard: Shard<SimDriver, Guests>,
    control: Producer<()>,
    /// Who connected, by which listener.
    came: BTreeSet<(u32, usize)>,
    /// Who has not hung up.
    here: Vec<Client>,
}

impl House {
    fn new(seed: u64) -> Self {
        let mut random = Random::new(seed);
        let config = Config {
            recv_buffers: 4,
            recv_buffer_bytes: 64,
            sockets_max: 64,
            listeners: LISTENERS,
            up_bytes_max: 64,
            down_bytes_max: 64,
        };
        let kernel = Kernel::new(random.fork(), 1, config);
        let (control, inbox) = RingBuffer::new(1);
        let bounds = Bounds {
            connections_max: CONNECTIONS_MAX,
            linger: Duration::from_secs(2),
        };
        let mesh = Mesh::build(1, &MeshBounds::within(0, 1)).remove(0);
        let mut shard = Shard::new(kernel.driver(0), Guests::default(), mesh, inbox, bounds);
        shard.start();
        Self {
            kernel,
            random,
            shard,
            control,
            came: BTreeSet::new(),
            here: Vec::new(),
        }
    }

    fn lap(&mut self) {
        self.shard.work();
        let deadline = self.shard.park();
        if !self.kernel.would_return(0, deadline) {
            let until = deadline.unwrap_or_else(|| self.kernel.now());
            self.kernel.pass(until);
        }
        self.shard.reap(deadline);
    }

    fn connect(&mut self) -> Client {
        let listener = self.random.below(LISTENERS) as u32;
        let client = self.kernel.connect_to(0, Listener(listener));
        self.came.insert((listener, client.0));
        client
    }

    fn step(&mut self) {
        match self.random.below(100) {
            0..=19 if self.here.len() < 12 => {
                let client = self.connect();
                self.here.push(client);
            }
            20..=39 if !self.here.is_empty() => {
                let index = self.random.below(self.here.len());
                self.kernel.hang_up(self.here.swap_remove(index));
            }
            _ => self.lap(),
        }
    }

    /// Everybody leaves, so that everybody finds a place.
    fn settle(&mut self) {
        self.kernel.be_quiet();
        for client in self.here.drain(..) {
            self.kernel.hang_up(client);
        }
        for _ in 0..SETTLE_LAPS_MAX {
            if self.shard.handler().0 == self.came && self.shard.stats().connections == 0 {
                return;
            }
            self.lap();
        }
        let missing = self.came.difference(&self.shard.handler().0);
        panic!("{:?} never came in", missing.collect::<Vec<_>>());
    }

    /// Who knocks while the shard stops is taken or refused; who knocks later is refused, by either listener.
    fn close(&mut self) {
        assert!(self.control.push(()).is_ok());
        let late: Vec<_> = (0..4).map(|_| self.connect()).collect();
        (0..200).for_each(|_| self.lap());
        let taken = &self.shard.handler().0;
        let is_taken = |client: &Client| taken.iter().any(|(_, name)| *name == client.0);
        for client in late.iter().filter(|client| !is_taken(client)) {
            assert_eq!(self.kernel.end(*client), Some(End::Reset));
        }
        for listener in 0..LISTENERS as u32 {
            let client = self.kernel.connect_to(0, Listener(listener));
            assert_eq!(self.kernel.end(client), Some(End::Reset));
        }
    }
}

#[test]
fn everybody_comes_in_once_by_the_listener_of_their_choice() {
    let (mut stops, mut errors) = (0, 0);
    for seed in 0..SEEDS {
        let mut house = House::new(seed);
        (0..STEPS).for_each(|_| house.step());
        house.settle();
        house.close();
        stops += house.shard.stats().accept_stops;
        errors += house.shard.stats().accept_errors;
    }
    assert!(stops > 0, "the table was never full");
    assert!(errors > 0, "no accept failed");
}
