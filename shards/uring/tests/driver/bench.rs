//! A loop of a few lines around one driver, and clients that speak in patterns.

use ringway_io::{
    Completion, Driver as _, Frame, Key, Listener, Op, OpKind, Outcome, Peer, RecvEnd, RecvLease,
    Socket,
};
use ringway_uring::{Pool, ProcessClock, UringBuilder, UringConfig, UringDriver, bind_shared};
use std::collections::VecDeque;
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::os::fd::{AsFd as _, OwnedFd};
use std::time::Duration;

/// No completion of these tests takes this long; without a bound a lost one would hang the run.
const LOST_AFTER: Duration = Duration::from_secs(30);

/// Small enough that the edges are near.
pub(crate) const SMALL: UringConfig = UringConfig {
    sq_entries: 64,
    cq_entries: 1024,
    sockets_max: 64,
    recv_buffers: 16,
    recv_buffers_first: 16,
    recv_buffer_bytes: 4096,
};

/// The byte at an offset of every stream: its period is prime, so a lost, doubled or moved piece shows.
pub(crate) const fn pattern(offset: usize) -> u8 {
    (offset % 251) as u8
}

pub(crate) fn pattern_bytes(count: usize) -> Vec<u8> {
    (0..count).map(pattern).collect()
}

/// Rings that do not run yet, listening on one free port.
pub(crate) fn builders(config: &UringConfig, shards: usize) -> (Vec<UringBuilder>, SocketAddr) {
    let mut pool = Pool::new(1).expect("an eventfd");
    let made = builders_with(config, shards, &mut pool);
    pool.start().expect("a thread");
    made
}

pub(crate) fn builders_with(
    config: &UringConfig,
    shards: usize,
    pool: &mut Pool,
) -> (Vec<UringBuilder>, SocketAddr) {
    let any = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
    let first = bind_shared(any, 16 << 10).expect("a port");
    let address = address_of(&first);
    let more = (1..shards).map(|_| bind_shared(address, 16 << 10).expect("a shared port"));
    let sockets = core::iter::once(first).chain(more);
    let sockets = sockets.map(|socket| vec![socket]).collect();
    let clock = ProcessClock::start();
    let made = UringBuilder::all(config, sockets, clock, pool).expect("rings");
    for builder in &made {
        builder.listen(4096).expect("a listener");
    }
    (made, address)
}

pub(crate) fn address_of(listener: &OwnedFd) -> SocketAddr {
    let copy = listener.as_fd().try_clone_to_owned().expect("a descriptor");
    let listener = std::net::TcpListener::from(copy);
    listener.local_addr().expect("a bound socket")
}

/// One shard's loop, turned by hand.
pub(crate) struct Bench {
    pub(crate) driver: UringDriver,
    completions: VecDeque<Completion>,
}

impl Bench {
    pub(crate) fn new(builder: UringBuilder) -> Self {
        let driver = builder.start().expect("a ring starts once");
        Self {
            driver,
            completions: VecDeque::new(),
        }
    }

    /// One shard and the address at which it listens.
    pub(crate) fn single(config: &UringConfig) -> (Self, SocketAddr) {
        let (mut made, address) = builders(config, 1);
        (Self::new(made.remove(0)), address)
    }

    /// A shard with one connected client, whose accept is over.
    pub(crate) fn connected(config: &UringConfig) -> (Self, Socket, TcpStream) {
        let (mut bench, address) = Self::single(config);
        bench.accept();
        let client = TcpStream::connect(address).expect("a listener");
        let (socket, _) = bench.accepted();
        bench.cancel(accept_key());
        (bench, socket, client)
    }

    pub(crate) fn accept(&mut self) {
        self.accept_on(0);
    }

    pub(crate) fn accept_on(&mut self, number: u32) {
        let listener = Listener(number);
        self.driver
            .submit(accept_key_of(number), Op::Accept { listener });
    }

    pub(crate) fn recv(&mut self, slot: u32, socket: Socket) {
        self.driver.submit(recv_key(slot), Op::Recv { socket });
    }

    pub(crate) fn send(&mut self, slot: u32, socket: Socket, frame: Frame) {
        let piece = 0..frame.len() as u32;
        let op = Op::Send {
            socket,
            frame,
            piece,
            goes_on: false,
        };
        self.driver.submit(send_key(slot), op);
    }

    pub(crate) fn cancel(&mut self, target: Key) {
        let key = Key::new(OpKind::Cancel, 0, target.slot());
        self.driver.submit(key, Op::Cancel { target });
    }

    /// Closes, and waits until it is done.
    pub(crate) fn close(&mut self, slot: u32, socket: Socket) {
        let key = Key::new(OpKind::Close, 0, slot);
        self.driver.submit(key, Op::Close { socket });
        self.find(|completion| completion.key == key);
    }

    /// The next completion, in the driver's order.
    pub(crate) fn next(&mut self) -> Completion {
        let lost_at = self.driver.now() + LOST_AFTER;
        loop {
            if let Some(completion) = self.completions.pop_front() {
                return completion;
            }
            assert!(self.driver.now() < lost_at, "a completion is missing");
            let mut batch = Vec::new();
            self.driver.wait(Some(lost_at), &mut batch);
            self.completions.extend(batch);
        }
    }

    /// One lap that does not sleep, and the first completion that there is by then.
    pub(crate) fn lap(&mut self) -> Option<Completion> {
        let (now, mut batch) = (self.driver.now(), Vec::new());
        self.driver.wait(Some(now), &mut batch);
        self.completions.extend(batch);
        self.completions.pop_front()
    }

    /// The first completion of those that came with an earlier lap.
    pub(crate) fn waiting(&mut self) -> Option<Completion> {
        self.completions.pop_front()
    }

    /// The first completion that fits; those before it keep their order.
    pub(crate) fn find(&mut self, fits: impl Fn(&Completion) -> bool) -> Completion {
        let mut skipped = Vec::new();
        let found = loop {
            let completion = self.next();
            if fits(&completion) {
                break completion;
            }
            skipped.push(completion);
        };
        skipped
            .into_iter()
            .rev()
            .for_each(|one| self.completions.push_front(one));
        found
    }

    /// Waits for a client of the first listener, which is TCP's.
    pub(crate) fn accepted(&mut self) -> (Socket, SocketAddr) {
        match self.accepted_on(0) {
            (socket, Peer::Inet(address)) => (socket, address),
            other => panic!("{other:?} has no address"),
        }
    }

    /// Waits for a client of a listener.
    pub(crate) fn accepted_on(&mut self, listener: u32) -> (Socket, Peer) {
        let one = self.find(|one| one.key == accept_key_of(listener));
        let Outcome::Accepted { result, more } = one.outcome else {
            panic!("{one:?} is no accept's")
        };
        assert!(more, "the accept is still armed");
        result.expect("a client")
    }

    /// The next completion of a receive: bytes (given back at once) and whether it is still armed, or its end.
    pub(crate) fn received(&mut self, slot: u32) -> (Outcome, Vec<u8>) {
        let one = self.find(|one| one.key == recv_key(slot));
        let Outcome::Received { mut lease, more } = one.outcome else {
            return (one.outcome, Vec::new());
        };
        let bytes = self.driver.bytes(&mut lease).to_vec();
        let empty = RecvLease::grant(lease.id(), 0);
        self.driver.recycle(lease);
        (Outcome::Received { lease: empty, more }, bytes)
    }

    /// Receives exactly `count` bytes, arming again whenever the receive ends on the way.
    pub(crate) fn receive_exactly(&mut self, slot: u32, socket: Socket, count: usize) -> Vec<u8> {
        let mut all = Vec::new();
        while all.len() < count {
            let (outcome, bytes) = self.received(slot);
            all.extend(bytes);
            match outcome {
                Outcome::Received { more: true, .. } => {}
                Outcome::Received { .. } => self.recv(slot, socket),
                Outcome::RecvEnded(RecvEnd::NoBuffers | RecvEnd::Ended) => self.recv(slot, socket),
                other => panic!("{other:?} after {} of {count} bytes", all.len()),
            }
        }
        all
    }

    /// How a receive ends that has no more bytes. The pool may have been empty when the end came: then the kernel says so first, and the
    /// end follows when it is asked again.
    pub(crate) fn end(&mut self, slot: u32, socket: Socket) -> RecvEnd {
        loop {
            match self.received(slot).0 {
                Outcome::RecvEnded(RecvEnd::NoBuffers | RecvEnd::Ended) => self.recv(slot, socket),
                Outcome::Received { more: false, .. } => self.recv(slot, socket),
                Outcome::RecvEnded(end) => return end,
                other => panic!("{other:?} after the last byte"),
            }
        }
    }

    /// Waits for the terminal completion of a send.
    pub(crate) fn sent(&mut self, slot: u32) -> Result<u32, ringway_io::Errno> {
        let one = self.find(|one| one.key == send_key(slot));
        let Outcome::Sent(result) = one.outcome else {
            panic!("{one:?} is no end of a send")
        };
        result
    }
}

pub(crate) const fn accept_key() -> Key {
    accept_key_of(0)
}

pub(crate) const fn accept_key_of(listener: u32) -> Key {
    Key::new(OpKind::Accept, 0, listener)
}

pub(crate) const fn recv_key(slot: u32) -> Key {
    Key::new(OpKind::Recv, 0, slot)
}

pub(crate) const fn send_key(slot: u32) -> Key {
    Key::new(OpKind::Send, 0, slot)
}
