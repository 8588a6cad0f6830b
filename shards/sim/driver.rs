//! A shard's end of the pretended machine.

use crate::faults::Fault;
use crate::guard::checksum;
use crate::kernel::Kernel;
use crate::random::Random;
use crate::ring::{InFlight, Ring, Work};
use crate::step;
use core::time::Duration;
use ringway_io::{
    Completion, Driver, FileOp, Key, Listener, Op, RecvLease, ShardId, SlotLease, Socket,
};

/// Wall-clock time at the machine's start.
const UNIX_START: Duration = Duration::from_secs(1_700_000_000);

/// The driver of one shard. It never sleeps: whoever calls the shards decides whose turn it is.
pub struct SimDriver {
    kernel: Kernel,
    shard: usize,
    entropy: Random,
    /// What a lease's bytes are lent from; one lease is looked at at a time.
    lent: Option<(RecvLeaseCopy, Vec<u8>)>,
    /// The same of a slot.
    lent_slot: Option<(u16, Vec<u8>)>,
}

/// Which lease is lent.
#[derive(Clone, Copy, PartialEq, Eq)]
struct RecvLeaseCopy(u32, usize);

impl SimDriver {
    pub(crate) const fn new(kernel: Kernel, shard: usize, entropy: Random) -> Self {
        Self {
            kernel,
            shard,
            entropy,
            lent: None,
            lent_slot: None,
        }
    }

    /// Writes lent bytes back to their buffer, where the guard looks at them.
    fn settle_loan(&mut self) {
        if let Some((id, bytes)) = self.lent_slot.take() {
            let slot = SlotLease::grant(id);
            let mut state = self.kernel.0.borrow_mut();
            *state.rings[self.shard].slots.bytes(&slot) = bytes;
        }
        let Some((RecvLeaseCopy(id, length), bytes)) = self.lent.take() else {
            return;
        };
        let lease = RecvLease::grant(ringway_io::LeaseId(id), length as u32);
        let mut state = self.kernel.0.borrow_mut();
        state.rings[self.shard]
            .pool
            .bytes(&lease)
            .copy_from_slice(&bytes);
    }
}

/// What an operation is to the ring, and which socket it uses.
fn work_of(ring: &mut Ring, op: Op) -> (Option<u32>, Work) {
    let with =
        |Socket(socket): Socket, work: fn(usize) -> Work| (Some(socket), work(ring.pair(socket)));
    match op {
        Op::Accept { listener } => {
            assert_eq!(ring.accepts_on(listener), 0, "two accepts in flight");
            let listener = listener.0 as usize;
            let listening = ring.doors[listener].listening;
            assert!(listening, "nothing is accepted after `stop_listening`");
            (None, Work::Accept { listener })
        }
        Op::Recv { socket } => {
            assert_eq!(ring.receives_on(socket.0), 0, "two receives in flight");
            // Invariant 4: while the loop holds buffers, asking again would only find the pool empty again.
            let starved = ring.starved.contains(&socket.0);
            assert!(!starved || ring.leased() == 0, "armed again on ENOBUFS");
            with(socket, |pair| Work::Recv { pair })
        }
        Op::Send {
            socket,
            frame,
            piece,
            goes_on,
        } => {
            assert_eq!(ring.sends_on(socket.0), 0, "two sends in flight");
            let checksum = checksum(&frame);
            let piece = piece.start as usize..piece.end as usize;
            assert!(piece.end <= frame.len(), "a piece lies within its frame");
            let (moved, pair) = (0, ring.pair(socket.0));
            let work = Work::Send {
                pair,
                frame,
                checksum,
                piece,
                goes_on,
                moved,
            };
            (Some(socket.0), work)
        }
        Op::Cancel { target } => (None, Work::Cancel { target }),
        Op::Shutdown { socket } => with(socket, |pair| Work::Shutdown { pair, both: true }),
        Op::ShutdownWrite { socket } => with(socket, |pair| Work::Shutdown { pair, both: false }),
        Op::Close {
            socket: Socket(socket),
        } => {
            assert!(!ring.uses(socket), "a close before the last completion");
            (Some(socket), Work::Close { socket })
        }
        Op::SendSocket {
            socket: Socket(socket),
            to,
            token,
        } => {
            assert!(!ring.uses(socket), "a hand-over with something in flight");
            let to = usize::from(to.0);
            (Some(socket), Work::SendSocket { socket, to, token })
        }
        Op::Compute { job } => (None, Work::Compute { job }),
        Op::SendFile {
            socket,
            file,
            offset,
            count,
            is_known: _,
        } => {
            assert_eq!(ring.sends_on(socket.0), 0, "two sends in flight");
            assert!(count > 0, "nothing is sent of a file");
            let work = Work::SendFile {
                pair: ring.pair(socket.0),
                file,
                offset,
                count,
            };
            (Some(socket.0), work)
        }
        Op::SendSlot {
            socket,
            slot,
            piece,
        } => {
            assert_eq!(ring.sends_on(socket.0), 0, "two sends in flight");
            let piece = piece.start as usize..piece.end as usize;
            assert!(!piece.is_empty() && piece.end <= ring.slots.slot_bytes());
            let work = Work::SendSlot {
                pair: ring.pair(socket.0),
                checksum: ring.slots.checksum(&slot),
                slot,
                piece,
            };
            (Some(socket.0), work)
        }
        Op::AwaitWritable { socket } => {
            let pair = ring.pair(socket.0);
            (Some(socket.0), Work::Writable { pair })
        }
        Op::File(op) => (None, file_work(ring, op)),
    }
}

fn file_work(ring: &mut Ring, op: Box<FileOp>) -> Work {
    for file in crate::storage::names(&op).into_iter().flatten() {
        let open = &ring.files[file.0 as usize];
        assert!(open.is_some(), "an operation names an open file");
    }
    match &*op {
        FileOp::Close { file } => {
            assert!(
                !ring.uses_file(*file),
                "a file closes after its last completion"
            );
        }
        FileOp::ReadSlot { slot, count, .. } => {
            assert!(*count > 0 && *count as usize <= ring.slots.slot_bytes());
            ring.slots.begin_read(slot);
        }
        _ => {}
    }
    Work::File { op }
}

impl Driver for SimDriver {
    type Entropy = Random;

    fn submit(&mut self, key: Key, op: Op) {
        self.settle_loan();
        let mut state = self.kernel.0.borrow_mut();
        let ring = &mut state.rings[self.shard];
        let (socket, work) = work_of(ring, op);
        if matches!(work, Work::Recv { .. } | Work::Close { .. }) {
            ring.starved.retain(|starved| Some(*starved) != socket);
        }
        let twin = ring.in_flight.iter().any(|other| {
            other.key == key && !matches!(other.work, Work::Cancel { .. } | Work::Close { .. })
        });
        let shared = matches!(
            work,
            Work::Cancel { .. } | Work::Close { .. } | Work::Shutdown { .. }
        );
        assert!(shared || !twin, "two operations under the key {key:?}");
        ring.in_flight.push(InFlight {
            key,
            socket,
            work,
            cancelled: false,
            seen: false,
        });
    }

    fn wait(&mut self, _deadline: Option<Duration>, batch: &mut Vec<Completion>) {
        self.settle_loan();
        let mut state = self.kernel.0.borrow_mut();
        let ring = &mut state.rings[self.shard];
        ring.woken = false;
        assert_eq!(ring.leased(), 0, "a lease is held over a wait");
        // Everything was given back: whoever was told that the pool is empty may ask again.
        ring.starved.clear();
        step::run(&mut state, self.shard, batch);
    }

    fn has_left_some(&self) -> bool {
        let state = self.kernel.0.borrow();
        step::can_progress(&state, self.shard) || !state.rings[self.shard].starved.is_empty()
    }

    fn now(&self) -> Duration {
        self.kernel.now()
    }

    fn unix_time(&self) -> Duration {
        UNIX_START + self.kernel.now()
    }

    fn entropy(&mut self) -> u64 {
        self.entropy.next()
    }

    fn lend<'a>(&'a mut self, lease: &'a mut RecvLease) -> (&'a mut [u8], &'a mut Random) {
        self.settle_loan();
        let copy = {
            let mut state = self.kernel.0.borrow_mut();
            state.rings[self.shard].pool.bytes(lease).to_vec()
        };
        let loan = (RecvLeaseCopy(lease.id().0, lease.len()), copy);
        (&mut self.lent.insert(loan).1, &mut self.entropy)
    }

    fn recycle(&mut self, lease: RecvLease) {
        self.settle_loan();
        let mut state = self.kernel.0.borrow_mut();
        state.rings[self.shard].pool.recycle(&lease);
    }

    fn slot_bytes_max(&self) -> u32 {
        self.kernel.0.borrow().rings[self.shard].slots.slot_bytes() as u32
    }

    fn take_slot(&mut self) -> Option<SlotLease> {
        self.settle_loan();
        let mut state = self.kernel.0.borrow_mut();
        let slot = state.rings[self.shard].slots.take();
        if slot.is_none() {
            state.faults.note(Fault::SlotsOut);
        }
        slot
    }

    fn return_slot(&mut self, slot: SlotLease) {
        self.settle_loan();
        let mut state = self.kernel.0.borrow_mut();
        state.rings[self.shard].slots.give_back(&slot);
    }

    fn slot_bytes<'a>(&'a mut self, slot: &'a mut SlotLease) -> &'a mut [u8] {
        self.settle_loan();
        let bytes = self.kernel.0.borrow_mut().rings[self.shard]
            .slots
            .bytes(slot)
            .clone();
        &mut self.lent_slot.insert((slot.id(), bytes)).1
    }

    fn wake(&mut self, shard: ShardId) {
        self.kernel.0.borrow_mut().rings[usize::from(shard.0)].woken = true;
    }

    fn listeners(&self) -> u32 {
        self.kernel.0.borrow().rings[self.shard].doors.len() as u32
    }

    fn stop_listening(&mut self, listener: Listener) {
        let mut state = self.kernel.0.borrow_mut();
        let ring = &mut state.rings[self.shard];
        let accepts = ring.accepts_on(listener) > 0;
        assert!(!accepts, "an accept in flight would keep the listener open");
        let door = &mut ring.doors[listener.0 as usize];
        assert!(door.listening, "a listener closes once");
        door.listening = false;
        for pair in core::mem::take(&mut door.arriving) {
            state.pairs[pair].break_off();
        }
    }
}
