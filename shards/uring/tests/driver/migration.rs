//! One connection wanders between two rings on two threads while its client keeps sending.
#![expect(
    clippy::disallowed_types,
    reason = "two threads of a test, not shards: they begin together and hand each other what the mesh would"
)]

use crate::bench::{Bench, SMALL, accept_key, builders, pattern, recv_key};
use ringway_io::{Driver as _, Errno, Key, Op, OpKind, Outcome, RecvEnd, ShardId, Socket};
use ringway_uring::UringConfig;
use std::io::Write as _;
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Barrier};
use std::thread;

/// How often the connection moves; afterwards the shard that has it reads to the end.
const MOVES: u64 = 400;
/// Receive completions before it is told to move on.
const STAY: usize = 3;

/// What the mailbox carries: the token and how far the stream was read.
type State = (u64, usize);

struct Shard {
    bench: Bench,
    me: ShardId,
    out: Sender<State>,
    inbox: Receiver<State>,
    writer_may_end: Arc<AtomicBool>,
}

impl Shard {
    /// Visits are numbered; this shard has every second one. Returns the length of the stream if it ended here.
    fn run(mut self) -> Option<usize> {
        for visit in (u64::from(self.me.0)..=MOVES).step_by(2) {
            let (socket, mut offset) = self.take_over(visit);
            if visit == MOVES {
                self.writer_may_end.store(true, Ordering::Relaxed);
                return Some(self.read_to_end(socket, offset));
            }
            self.read_a_while(socket, &mut offset);
            self.hand_over(socket, visit + 1, offset);
        }
        None
    }

    fn take_over(&mut self, visit: u64) -> (Socket, usize) {
        if visit == 0 {
            self.bench.accept();
            let (socket, _) = self.bench.accepted();
            self.bench.cancel(accept_key());
            return (socket, 0);
        }
        let arrived = self
            .bench
            .find(|one| matches!(one.outcome, Outcome::Arrived { .. }));
        let Outcome::Arrived { socket, token } = arrived.outcome else {
            unreachable!("`find` said so")
        };
        let (sent, offset) = self.inbox.recv().expect("pushed before the descriptor");
        assert_eq!((sent, token & 0xffff), (token, visit));
        (socket, offset)
    }

    /// One completion of the receive, its bytes checked.
    fn step(&mut self, offset: &mut usize) -> Outcome {
        let (outcome, bytes) = self.bench.received(0);
        let right = bytes
            .iter()
            .zip(*offset..)
            .all(|(byte, at)| *byte == pattern(at));
        assert!(right, "bytes lost, doubled or moved after {offset}");
        *offset += bytes.len();
        outcome
    }

    /// Receives, cancels, and goes on to the receive's last completion: bytes may come until then.
    fn read_a_while(&mut self, socket: Socket, offset: &mut usize) {
        self.bench.recv(0, socket);
        for completions in 1.. {
            let outcome = self.step(offset);
            if completions == STAY {
                self.bench.cancel(recv_key(0));
            }
            match outcome {
                Outcome::Received { more: true, .. } => {}
                _ if completions >= STAY => return,
                Outcome::RecvEnded(RecvEnd::NoBuffers) | Outcome::Received { .. } => {
                    self.bench.recv(0, socket);
                }
                other => panic!("{other:?} at {offset}"),
            }
        }
    }

    /// State first, then the descriptor, because SEND_FD overtakes messages.
    fn hand_over(&mut self, socket: Socket, visit: u64, offset: usize) {
        let token = u64::from(self.me.0) << 48 | visit;
        let to = ShardId(1 - self.me.0);
        self.out.send((token, offset)).expect("the other shard");
        let key = Key::new(OpKind::SendSocket, 0, 0);
        self.bench
            .driver
            .submit(key, Op::SendSocket { socket, to, token });
        let one = self.bench.find(|one| one.key == key);
        assert!(matches!(one.outcome, Outcome::SocketSent(Ok(()))));
        self.bench.close(0, socket);
    }

    fn read_to_end(&mut self, socket: Socket, mut offset: usize) -> usize {
        self.bench.recv(0, socket);
        loop {
            match self.step(&mut offset) {
                Outcome::Received { more: true, .. } => {}
                Outcome::RecvEnded(RecvEnd::Eof) => return offset,
                Outcome::Received { .. } | Outcome::RecvEnded(RecvEnd::NoBuffers) => {
                    self.bench.recv(0, socket);
                }
                other => panic!("{other:?} at {offset}"),
            }
        }
    }
}

/// Writes the pattern until it may end; returns how much went.
fn write_endlessly(address: SocketAddr, may_end: &AtomicBool) -> usize {
    let mut client = TcpStream::connect(address).expect("a listener");
    let mut written = 0;
    while !may_end.load(Ordering::Relaxed) {
        let piece: Vec<u8> = (written..written + 5000).map(pattern).collect();
        client.write_all(&piece).expect("a reader");
        written += piece.len();
    }
    client.shutdown(Shutdown::Write).expect("a connection");
    written
}

/// Closes the other shards' doors, so that the only client comes to shard 0.
fn alone(bench: &mut Bench) {
    bench.driver.stop_listening(ringway_io::Listener(0));
}

#[test]
fn a_connection_that_wanders_under_traffic_loses_no_byte() {
    let (made, address) = builders(&SMALL, 2);
    let may_end = Arc::new(AtomicBool::new(false));
    // A ring that was not started yet refuses arrivals, and a listener that is open may get the client.
    let started = Arc::new(Barrier::new(3));
    let (to_one, from_zero) = channel();
    let (to_zero, from_one) = channel();
    let mailboxes = [(to_one, from_one), (to_zero, from_zero)];
    let shards: Vec<_> = (0..)
        .zip(made.into_iter().zip(mailboxes))
        .map(|(me, (builder, (out, inbox)))| {
            let (started, writer_may_end) = (started.clone(), may_end.clone());
            thread::spawn(move || {
                let mut bench = Bench::new(builder);
                if me == 1 {
                    alone(&mut bench);
                }
                started.wait();
                let shard = Shard {
                    bench,
                    me: ShardId(me),
                    out,
                    inbox,
                    writer_may_end,
                };
                shard.run()
            })
        })
        .collect();
    started.wait();
    let written = write_endlessly(address, &may_end);
    let read: Vec<_> = shards
        .into_iter()
        .filter_map(|shard| shard.join().expect("a shard"))
        .collect();
    assert_eq!(read, [written]);
}

/// The sender is told; the target sees nothing and loses nothing.
#[test]
fn a_full_table_over_there_is_told_to_the_sender() {
    let config = UringConfig {
        sockets_max: 1,
        ..SMALL
    };
    let (mut made, address) = builders(&config, 2);
    let (mut one, mut zero) = (Bench::new(made.remove(1)), Bench::new(made.remove(0)));
    let mut clients = Vec::new();
    // The kernel spreads clients over both listeners by hash: go on until each shard has one waiting.
    let sockets = [&mut zero, &mut one].map(|bench| {
        bench.accept();
        loop {
            clients.push(TcpStream::connect(address).expect("a listener"));
            let mut batch = Vec::new();
            let now = bench.driver.now();
            bench.driver.wait(Some(now), &mut batch);
            let socket = batch.into_iter().find_map(|one| match one.outcome {
                Outcome::Accepted { result, .. } => result.ok(),
                _ => None,
            });
            if let Some((socket, _)) = socket {
                break socket;
            }
        }
    });
    let key = Key::new(OpKind::SendSocket, 0, 0);
    let op = Op::SendSocket {
        socket: sockets[0],
        to: ShardId(1),
        token: 1,
    };
    zero.driver.submit(key, op);
    // Both rings belong to this thread: the target runs the hand-over when it enters.
    let ended = loop {
        let mut batch = Vec::new();
        for bench in [&mut one, &mut zero] {
            let now = bench.driver.now();
            bench.driver.wait(Some(now), &mut batch);
        }
        let arrived = batch
            .iter()
            .any(|one| matches!(one.outcome, Outcome::Arrived { .. }));
        assert!(!arrived, "there is no place for it");
        if let Some(ended) = batch.into_iter().find(|one| one.key == key) {
            break ended;
        }
    };
    let Outcome::SocketSent(Err(errno)) = ended.outcome else {
        panic!("{ended:?} should have failed")
    };
    assert_eq!(errno, Errno(libc::ENFILE));
}
