//! The whole pretended machine: network, rings, time.

use crate::disk::Disk;
use crate::driver::SimDriver;
use crate::faults::{Fault, Faults};
use crate::guard::Pool;
use crate::network::{Client, End, Pair};
use crate::random::Random;
use crate::ring::Ring;
use crate::slots::Slots;
use crate::step;
use core::cell::RefCell;
use core::time::Duration;
use ringway_io::Listener;
use std::rc::Rc;

/// How small everything is: the smaller, the more often something is full.
#[derive(Clone, Copy, Debug)]
pub struct Config {
    /// Receive buffers of one ring.
    pub recv_buffers: u32,
    /// Bytes of one of them.
    pub recv_buffer_bytes: usize,
    /// Descriptors of one ring.
    pub sockets_max: usize,
    /// Listeners of one ring: the first as if it were TCP's, the others as if they were Unix sockets.
    pub listeners: usize,
    /// Bytes that a client may have sent without anybody reading them.
    pub up_bytes_max: usize,
    /// Bytes that wait for a client that does not read: its window and our send buffer.
    pub down_bytes_max: usize,
}

/// What a machine has for files: nothing, unless [`Kernel::serve_files`] said so.
#[derive(Clone, Copy, Debug, Default)]
pub struct Storage {
    /// Directories that the drivers are given.
    pub roots: usize,
    /// Slots of one ring's arena.
    pub slots: u16,
    /// Bytes of one of them.
    pub slot_bytes: usize,
    /// Files that one ring may have open.
    pub files_max: usize,
    /// Whether there are files without names.
    pub nameless: bool,
}

/// The state behind all ends.
pub(crate) struct State {
    pub(crate) random: Random,
    pub(crate) faults: Faults,
    pub(crate) now: Duration,
    pub(crate) pairs: Vec<Pair>,
    pub(crate) rings: Vec<Ring>,
    pub(crate) disk: Disk,
    pub(crate) storage: Storage,
    config: Config,
}

/// The pretended machine; clones are the same one.
#[derive(Clone)]
pub struct Kernel(pub(crate) Rc<RefCell<State>>);

/// A connection on its way to a machine with another number of shards.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Moved(usize);

/// Time that passed before the start.
const START: Duration = Duration::from_secs(1);

impl Kernel {
    /// A machine of `shards` rings whose every choice follows from `random`.
    #[must_use]
    pub fn new(random: Random, shards: usize, config: Config) -> Self {
        let mut state = State {
            random,
            faults: Faults::default(),
            now: START,
            pairs: Vec::new(),
            rings: Vec::new(),
            disk: Disk::default(),
            storage: Storage::default(),
            config,
        };
        state.rings = state.blank_rings(shards);
        Self(Rc::new(RefCell::new(state)))
    }

    /// A shard's driver.
    #[must_use]
    pub fn driver(&self, shard: usize) -> SimDriver {
        let entropy = self.0.borrow_mut().random.fork();
        SimDriver::new(self.clone(), shard, entropy)
    }

    /// The time of all shards.
    #[must_use]
    pub fn now(&self) -> Duration {
        self.0.borrow().now
    }

    /// Moves the time on; never back.
    pub fn pass(&self, until: Duration) {
        let mut state = self.0.borrow_mut();
        state.now = state.now.max(until);
    }

    /// Whether a shard that sleeps until `deadline` would go on now.
    #[must_use]
    pub fn would_return(&self, shard: usize, deadline: Option<Duration>) -> bool {
        let state = self.0.borrow();
        state.rings[shard].woken
            || deadline.is_some_and(|deadline| deadline <= state.now)
            || step::can_progress(&state, shard)
    }

    /// The control thread wakes a shard.
    pub fn wake(&self, shard: usize) {
        self.0.borrow_mut().rings[shard].woken = true;
    }

    /// Nothing more goes wrong from now on.
    pub fn be_quiet(&self) {
        self.0.borrow_mut().faults.be_quiet();
    }

    /// How often each fault fired.
    #[must_use]
    pub fn faults(&self) -> Faults {
        self.0.borrow().faults.clone()
    }

    /// A client connects to the first listener of a shard. Nobody listening resets it.
    #[must_use]
    pub fn connect(&self, shard: usize) -> Client {
        self.connect_to(shard, Listener(0))
    }

    /// A client connects to any listener of a shard. Nobody listening resets it.
    #[must_use]
    pub fn connect_to(&self, shard: usize, listener: Listener) -> Client {
        let mut state = self.0.borrow_mut();
        let mut pair = Pair::new(state.config.up_bytes_max, state.config.down_bytes_max);
        let client = state.pairs.len();
        let door = &mut state.rings[shard].doors[listener.0 as usize];
        if door.listening {
            door.arriving.push_back(client);
        } else {
            pair.reset = true;
        }
        state.pairs.push(pair);
        Client(client)
    }

    /// Writes as much as there is room for; how many bytes that were.
    #[must_use]
    pub fn write(&self, client: Client, bytes: &[u8]) -> usize {
        let mut state = self.0.borrow_mut();
        let pair = &mut state.pairs[client.0];
        if pair.reset || pair.up.ended {
            return bytes.len();
        }
        let count = bytes.len().min(pair.up.room());
        pair.up.bytes.extend(&bytes[..count]);
        count
    }

    /// Reads at most `bytes_max`.
    #[must_use]
    pub fn read(&self, client: Client, bytes_max: usize) -> Vec<u8> {
        self.0.borrow_mut().pairs[client.0].down.take(bytes_max)
    }

    /// Whether the client has something to read.
    #[must_use]
    pub fn readable(&self, client: Client) -> bool {
        self.0.borrow().pairs[client.0].down.seen() > 0
    }

    /// Whether a write would take anything.
    #[must_use]
    pub fn writable(&self, client: Client) -> bool {
        let state = self.0.borrow();
        let pair = &state.pairs[client.0];
        pair.reset || pair.up.ended || pair.up.room() > 0
    }

    /// How the connection ended; `None` while it has not, or while there is something to read.
    #[must_use]
    pub fn end(&self, client: Client) -> Option<End> {
        self.0.borrow().pairs[client.0].end()
    }

    /// The client closes a connection that has ended.
    pub fn hang_up(&self, client: Client) {
        self.0.borrow_mut().pairs[client.0].up.ended = true;
    }

    /// The client finishes sending, and goes on reading.
    pub fn finish(&self, client: Client) {
        let mut state = self.0.borrow_mut();
        state.pairs[client.0].up.ended = true;
        state.faults.note(Fault::HalfClose);
    }

    /// The client's host says that there is no such connection.
    pub fn reset(&self, client: Client) {
        let mut state = self.0.borrow_mut();
        state.pairs[client.0].break_off();
        state.faults.note(Fault::PeerReset);
    }

    /// The machine has a disk from now on, with empty directories. Before anything happens.
    pub fn serve_files(&self, storage: Storage) {
        let mut state = self.0.borrow_mut();
        state.disk = Disk::new(storage.roots);
        state.storage = storage;
        let shards = state.rings.len();
        state.rings = state.blank_rings(shards);
    }

    /// Puts a file on the disk, as if it had always been there; another one of that name is replaced, and lives on where it is open.
    /// What is in it may depend on its number, which is given back.
    pub fn put_file(&self, root: usize, name: &[u8], bytes: impl Fn(u64) -> Vec<u8>) -> u64 {
        let mut state = self.0.borrow_mut();
        if state.disk.look(root, name).is_some() {
            state.faults.note(Fault::FileReplaced);
        }
        state.disk.found(root, name, |inode| bytes(inode as u64)) as u64
    }

    /// Somebody else cuts a file short, wherever it is in use.
    pub fn cut_file(&self, root: usize, name: &[u8], size: usize) {
        let mut state = self.0.borrow_mut();
        let Some(inode) = state.disk.look(root, name) else {
            return;
        };
        if size < state.disk.bytes(inode).len() {
            state.faults.note(Fault::FileCut);
            state.disk.truncate(inode, size);
            state.disk.sync(inode);
        }
    }

    /// What a file has in it.
    #[must_use]
    pub fn file(&self, root: usize, name: &[u8]) -> Option<Vec<u8>> {
        let state = self.0.borrow();
        let inode = state.disk.look(root, name)?;
        Some(state.disk.bytes(inode).to_vec())
    }

    /// The names in a directory.
    #[must_use]
    pub fn names(&self, root: usize) -> Vec<Vec<u8>> {
        self.0.borrow().disk.names(root).cloned().collect()
    }

    /// Files that a shard has open.
    #[must_use]
    pub fn files_open(&self, shard: usize) -> usize {
        let state = self.0.borrow();
        state.rings[shard].files.iter().flatten().count()
    }

    /// Slots that a shard has not given back.
    #[must_use]
    pub fn slots_out(&self, shard: usize) -> usize {
        self.0.borrow().rings[shard].slots.out()
    }

    /// The power goes and comes back: connections, rings and whatever was not synced are gone. Shards of before must not be touched any more.
    pub fn lose_power(&self) {
        let mut state = self.0.borrow_mut();
        let state = &mut *state;
        state.faults.note(Fault::PowerLost);
        state.disk.lose_power(&mut state.random);
        for pair in &mut state.pairs {
            pair.break_off();
        }
        let shards = state.rings.len();
        state.rings = state.blank_rings(shards);
    }

    /// Receive buffers that a shard has not given back.
    #[must_use]
    pub fn leased(&self, shard: usize) -> usize {
        self.0.borrow().rings[shard].leased()
    }

    /// What is in flight on a ring, for a report.
    #[must_use]
    pub fn in_flight(&self, shard: usize) -> Vec<String> {
        let state = self.0.borrow();
        state.rings[shard]
            .in_flight
            .iter()
            .map(|operation| format!("{:?}", operation.key))
            .collect()
    }

    /// Takes a connection out of a ring that is given up.
    #[must_use]
    pub fn take(&self, shard: usize, socket: ringway_io::Socket) -> Moved {
        let mut state = self.0.borrow_mut();
        let ring = &mut state.rings[shard];
        assert!(
            !ring.uses(socket.0),
            "a connection leaves with nothing in flight"
        );
        let pair = ring.pair(socket.0);
        ring.sockets[socket.0 as usize] = None;
        Moved(pair)
    }

    /// Replaces the rings by `shards` new ones, each with room for `sockets_min` at least. Clients that nobody accepted yet stay in the queue.
    ///
    /// # Panics
    /// When a ring still has something in flight or in its table.
    pub fn replace_rings(&self, shards: usize, sockets_min: usize) {
        let mut state = self.0.borrow_mut();
        state.config.sockets_max = state.config.sockets_max.max(sockets_min);
        let mut rings = state.blank_rings(shards);
        for (index, old) in core::mem::take(&mut state.rings).into_iter().enumerate() {
            assert!(
                old.in_flight.is_empty(),
                "a ring ends with nothing in flight"
            );
            assert!(
                old.sockets.iter().all(Option::is_none),
                "a ring ends with an empty table"
            );
            let doors = &mut rings[index % shards].doors;
            for (door, old) in doors.iter_mut().zip(old.doors) {
                door.arriving.extend(old.arriving);
            }
        }
        state.rings = rings;
    }

    /// Puts a connection into a ring.
    #[must_use]
    pub fn put(&self, shard: usize, moved: Moved) -> ringway_io::Socket {
        let mut state = self.0.borrow_mut();
        let socket = state.rings[shard].install(moved.0);
        ringway_io::Socket(socket.expect("a new table has room for what was open"))
    }
}

impl State {
    fn blank_rings(&self, shards: usize) -> Vec<Ring> {
        let config = &self.config;
        let storage = &self.storage;
        let ring = |_| {
            let pool = Pool::new(config.recv_buffers, config.recv_buffer_bytes);
            let mut ring = Ring::new(pool, config.sockets_max, config.listeners);
            ring.files.resize_with(storage.files_max, || None);
            ring.slots = Slots::new(storage.slots, storage.slot_bytes);
            ring
        };
        (0..shards).map(ring).collect()
    }
}
