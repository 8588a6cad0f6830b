//! Sends from slots without a copy, over loopback: there the kernel copies when the peer takes the bytes, and says so; until then it reads the slot.

use crate::bench::{Bench, SMALL, builders, send_key};
use crate::files::Place;
use ringway_io::{Driver as _, Errno, Key, Notices, Op, OpKind, Outcome, SlotLease, Socket};
use ringway_uring::{FilesConfig, ProcessClock};
use std::fs;
use std::io::Read as _;
use std::net::{SocketAddr, TcpStream};
use std::os::fd::FromRawFd as _;
use std::time::Duration;

/// No notice takes so long.
const LOST_AFTER: Duration = Duration::from_secs(30);
/// For so long a driver that ends waits for a kernel that does not let go of its memory.
const BROKEN_AFTER: Duration = Duration::from_secs(10);
const SLOT_BYTES: u32 = 64 << 10;
/// Two of them may be with the kernel beyond their sends.
const FILES: FilesConfig = FilesConfig {
    slots: 8,
    slot_bytes: SLOT_BYTES,
    files_max: 1,
    installed_max: 1,
    zero_copy: true,
};

/// A client whose kernel takes some kilobytes until it reads.
fn narrow_client(address: SocketAddr) -> TcpStream {
    let SocketAddr::V4(address) = address else {
        panic!("the listeners of these tests are IPv4's")
    };
    let to = libc::sockaddr_in {
        sin_family: libc::AF_INET as libc::sa_family_t,
        sin_port: address.port().to_be(),
        sin_addr: libc::in_addr {
            s_addr: u32::from(*address.ip()).to_be(),
        },
        sin_zero: [0; 8],
    };
    // SAFETY: no memory is involved.
    let fd = unsafe { libc::socket(libc::AF_INET, libc::SOCK_STREAM | libc::SOCK_CLOEXEC, 0) };
    assert!(fd >= 0, "a socket");
    // SAFETY: the descriptor is new, and nobody else has it.
    let client = unsafe { TcpStream::from_raw_fd(fd) };
    let bytes: libc::c_int = 4096;
    let (level, option) = (libc::SOL_SOCKET, libc::SO_RCVBUF);
    let length = size_of_val(&bytes) as libc::socklen_t;
    // SAFETY: an int of the stack is read during the call.
    let set = unsafe { libc::setsockopt(fd, level, option, (&raw const bytes).cast(), length) };
    assert_eq!(set, 0, "a buffer may be small");
    let length = size_of_val(&to) as libc::socklen_t;
    // SAFETY: an address of the stack is read during the call.
    let connected = unsafe { libc::connect(fd, (&raw const to).cast(), length) };
    assert_eq!(connected, 0, "a listener");
    client
}

struct Sender {
    bench: Bench,
    socket: Socket,
}

impl Sender {
    fn new(name: &str, connect: impl Fn(SocketAddr) -> TcpStream) -> (Self, TcpStream) {
        let place = Place::new(name);
        let (mut made, address) = builders(&SMALL, 1);
        let root = fs::File::open(&place.0).expect("a directory");
        made[0]
            .serve_files(&FILES, vec![root.into()])
            .expect("an arena");
        let mut bench = Bench::new(made.remove(0));
        bench.accept();
        let client = connect(address);
        let (socket, _) = bench.accepted();
        (Self { bench, socket }, client)
    }

    fn slot(&mut self, byte: u8) -> SlotLease {
        let mut slot = self.bench.driver.take_slot().expect("a free slot");
        self.bench.driver.slot_bytes(&mut slot).fill(byte);
        slot
    }

    /// Sends from a slot full of `byte`: from which, what came back, and how much went.
    fn send(&mut self, byte: u8) -> (u16, SlotLease, Result<u32, Errno>) {
        let slot = self.slot(byte);
        let from = slot.id();
        let op = Op::SendSlot {
            socket: self.socket,
            slot,
            piece: 0..SLOT_BYTES,
        };
        self.bench.driver.submit(send_key(0), op);
        let one = self.bench.find(|one| one.key == send_key(0));
        let Outcome::SlotSent { slot, result } = one.outcome else {
            panic!("{one:?} is no end of a send")
        };
        (from, slot, result)
    }

    fn await_writable(&mut self) {
        let (key, socket) = (Key::new(OpKind::Writable, 0, 0), self.socket);
        self.bench.driver.submit(key, Op::AwaitWritable { socket });
        let one = self.bench.find(|one| one.key == key);
        assert!(matches!(one.outcome, Outcome::Writable));
    }

    fn notices(&self) -> Notices {
        self.bench.driver.notices()
    }

    /// Turns the loop until the kernel said so often that it copied.
    fn until_copied(&mut self, times: u64) {
        let lost_at = self.bench.driver.now() + LOST_AFTER;
        while self.notices().copied < times {
            assert!(self.bench.driver.now() < lost_at, "a notice is missing");
            assert!(self.bench.lap().is_none(), "a notice is nobody's outcome");
        }
    }

    /// Slots that are free, after all of them were taken and given back.
    fn free_slots(&mut self) -> usize {
        let driver = &mut self.bench.driver;
        let slots: Vec<_> = core::iter::from_fn(|| driver.take_slot()).collect();
        let count = slots.len();
        slots.into_iter().for_each(|slot| driver.return_slot(slot));
        count
    }
}

#[test]
fn what_the_kernel_still_reads_stays_as_it_is_and_another_slot_comes_back() {
    let (mut sender, mut client) = Sender::new("lent", narrow_client);
    let (from, slot, result) = sender.send(1);
    let went = result.expect("some of it") as usize;
    assert_ne!(slot.id(), from, "the peer has not taken it");
    assert_eq!(sender.notices(), Notices::default());
    sender.bench.driver.return_slot(slot);
    assert_eq!(sender.free_slots(), 7, "one is with the kernel");
    // Whoever gets a slot now may write what he likes.
    let others: Vec<_> = (0..7).map(|_| sender.slot(2)).collect();
    let mut read = vec![0; went];
    client.read_exact(&mut read).expect("what was sent");
    assert!(read.iter().all(|byte| *byte == 1), "and nothing else");
    let driver = &mut sender.bench.driver;
    others.into_iter().for_each(|slot| driver.return_slot(slot));
    sender.until_copied(1);
    assert_eq!(sender.free_slots(), 8, "the notice gives it back");
}

#[test]
fn where_the_kernel_copies_it_is_asked_ever_more_rarely() {
    let (mut sender, mut client) = Sender::new("copied", |address| {
        TcpStream::connect(address).expect("a listener")
    });
    let reader = std::thread::spawn(move || {
        let mut all = Vec::new();
        client.read_to_end(&mut all).expect("an orderly end");
        all
    });
    let mut sent = Vec::new();
    let mut tries = 0;
    for round in 0..60_u8 {
        sender.await_writable();
        let (from, slot, result) = sender.send(round);
        if slot.id() != from {
            tries += 1;
            sender.until_copied(tries);
        }
        sender.bench.driver.return_slot(slot);
        let went = result.expect("some of it") as usize;
        sent.resize(sent.len() + went, round);
    }
    assert_eq!(tries, 3, "the first, and behind 16 and 32 others");
    let socket = sender.socket;
    sender.bench.close(0, socket);
    assert!(reader.join().expect("a reader") == sent);
}

#[test]
fn a_driver_that_ends_waits_for_no_peer() {
    let (mut sender, client) = Sender::new("ends", narrow_client);
    let (from, slot, _) = sender.send(1);
    assert_ne!(slot.id(), from);
    let clock = ProcessClock::start();
    drop(sender);
    assert!(clock.now() < BROKEN_AFTER / 2);
    drop(client);
}
