//! The driver of one shard: operations become ring entries, their completions become outcomes.
//!
//! Deliberately absent: accepting (see `accept`) and the queues themselves (see `ring`).

use crate::accept::{ACCEPT, Accepts, INSTALL, OWN_CANCEL, abandon};
use crate::arena::Arena;
use crate::builder::Peer;
use crate::files::adopt;
use crate::filetable::Files;
use crate::inflight::{Cancel, Cancels, FromFile, HeldSend, Receives, Sends, is_in_flight};
use crate::pool::PoolPort;
use crate::recv::{BULK_BYTES, BULK_GROUP, GROUP, RecvPool, is_bulk};
use crate::ring::{Ring, TOP_BYTE, ZERO_COPY};
use crate::sys::{Entropy, ProcessClock, Waker};
use crate::zerocopy::{Ended, REPORT_USAGE};
use core::mem::ManuallyDrop;
use core::ops::Range;
use core::time::Duration;
use io_uring::{cqueue, opcode, squeue, types};
use ringway_io::{
    Completion, Driver, Entropy as _, Errno, Frame, Job, Key, Listener, Notices, Op, OpKind,
    Outcome, PoolFull, RecvEnd, RecvLease, ShardId, SlotLease, Socket,
};
use std::collections::VecDeque;
use std::sync::Arc;

/// user_data of the poll on our eventfd; its top byte is no [`OpKind`].
const WAKE: u64 = 0xa0 << 56;
/// user_data of the loop's cancels, with their number in the low bits.
const CANCEL: u64 = 0xa4 << 56;
/// user_data of the cancel of a receive that is renewed, with the rest of its key in the low bits.
const RENEW: u64 = 0xa7 << 56;

/// What the kernel may read or write between a submission and its terminal completion.
pub(crate) struct Memory {
    pub(crate) recv: RecvPool,
    /// The pool for those who send much: not asked for yet, or what came of it.
    pub(crate) bulk: Option<Option<RecvPool>>,
    pub(crate) sends: Sends,
    /// By the listener's number.
    pub(crate) accepts: Vec<Accepts>,
    pub(crate) files: Files,
}

impl Memory {
    /// # Panics
    /// When there is no pool for those who send much.
    fn recv_pool(&mut self, is_bulk: bool) -> &mut RecvPool {
        match is_bulk {
            true => self
                .bulk
                .as_mut()
                .and_then(Option::as_mut)
                .expect("who received into it knows that it is there"),
            false => &mut self.recv,
        }
    }

    /// Nobody will handle this completion: a descriptor that it brings is closed, or its number would be taken for ever.
    fn abandon(&self, entry: &cqueue::Entry) {
        let (data, result) = (entry.user_data(), entry.result());
        let brings = match data >> 56 {
            kind if kind == OpKind::File as u64 => self.files.opens(Key::from_bits(data)),
            kind if kind == OpKind::Send as u64 => self.sends.installs(Key::from_bits(data)),
            _ => return abandon(&self.accepts, entry),
        };
        if let (true, Ok(fd)) = (brings, count_or_errno(result)) {
            drop(adopt(fd));
        }
    }
}

/// The production driver, made by `UringBuilder::start`. Dropping it cancels everything and waits for the last completions.
pub struct UringDriver {
    pub(crate) ring: Ring,
    /// Freed by `drop`, when nothing is in flight any more.
    pub(crate) memory: ManuallyDrop<Memory>,
    pub(crate) receives: Receives,
    pub(crate) cancels: Cancels,
    /// Completions on their way to the loop, in the kernel's order.
    pub(crate) backlog: VecDeque<Completion>,
    pub(crate) entropy: Entropy,
    pub(crate) waker: Waker,
    pub(crate) clock: ProcessClock,
    pub(crate) pool: PoolPort,
    pub(crate) peers: Arc<[Peer]>,
    /// A wake was seen that no return of `wait` has answered yet.
    pub(crate) woken: bool,
    /// A receive found no buffer: however many did in one batch, it is one shortage.
    pub(crate) starved: bool,
    /// The last wait left something with the kernel.
    pub(crate) left_some: bool,
}

/// What a poll for POLLOUT says. The ring adds POLLRDHUP to whatever is asked for.
const fn polled(result: i32) -> Outcome {
    let asked = (libc::POLLOUT | libc::POLLERR | libc::POLLHUP | libc::POLLNVAL) as i32;
    if result >= 0 && result & asked == 0 {
        Outcome::HalfClosed
    } else {
        Outcome::Writable
    }
}

/// A result of the kernel: a count, or a negative error number.
pub(crate) const fn count_or_errno(result: i32) -> Result<u32, Errno> {
    if result < 0 {
        Err(Errno(-result))
    } else {
        Ok(result as u32)
    }
}

/// Deferred operations that the kernel runs in one call when nobody asks for more (IO_LOCAL_TW_DEFAULT_MAX of its io_uring.h). Each may be a receive. A lap that
/// looked at twenty of them and sent to hundreds would hear ever less of what its peers say.
const DEFERRED_MAX: u16 = 20;

/// How often a lap asks for more of them.
const DEFERRED_ROUNDS_MAX: u32 = 8;

impl UringDriver {
    /// Queues an entry that names descriptors and numbers only.
    pub(crate) fn push_plain(&mut self, entry: squeue::Entry, user_data: u64) {
        // SAFETY: every caller passes an entry without an address. (A receive names the buffer group, whose memory outlives what is in flight:
        // see `drop`.)
        unsafe { self.ring.push(entry, user_data) };
    }

    /// Turns the ring's completions into outcomes.
    fn reap(&mut self) {
        self.ring.collect();
        while let Some(entry) = self.ring.next() {
            self.take(&entry);
        }
        if core::mem::take(&mut self.starved) {
            self.left_some = true;
            self.memory.recv.was_short();
        }
    }

    /// Lets the kernel run more of what it deferred, as long as each call brings something and there are buffers for it.
    fn reap_deferred(&mut self) {
        for _ in 0..DEFERRED_ROUNDS_MAX {
            let before = self.backlog.len();
            if !self.ring.has_deferred() {
                return;
            }
            if !self.memory.recv.has_free(DEFERRED_MAX) {
                self.left_some = true;
                return;
            }
            self.ring.enter(false, None);
            self.reap();
            if self.backlog.len() == before {
                return;
            }
        }
        self.left_some |= self.ring.has_deferred();
    }

    fn take(&mut self, entry: &cqueue::Entry) {
        let (data, result) = (entry.user_data(), entry.result());
        match data & TOP_BYTE {
            WAKE => self.woken(cqueue::more(entry.flags())),
            ACCEPT => self.accepted(data, result),
            INSTALL => self.installed(data, result),
            OWN_CANCEL => self.accept_cancel_seen(data, result),
            CANCEL => self.cancel_seen(data & !TOP_BYTE, result),
            RENEW => self.renewal_seen(data & !TOP_BYTE, result),
            ZERO_COPY => self.zero_copy_ended(data as u16, result, entry.flags()),
            _ => self.complete(Key::from_bits(data), result, entry.flags()),
        }
    }

    fn woken(&mut self, more: bool) {
        self.woken = true;
        self.waker.clear();
        if !more {
            self.arm_wake();
        }
    }

    pub(crate) fn arm_wake(&mut self) {
        let poll = opcode::PollAdd::new(types::Fd(self.waker.raw()), libc::POLLIN as u32)
            .multi(true)
            .build();
        self.push_plain(poll, WAKE);
    }

    fn complete(&mut self, key: Key, result: i32, flags: u32) {
        let outcome = match key.kind() {
            OpKind::Recv => self.received(key, result, flags),
            OpKind::Send => self.sent(key, count_or_errno(result)),
            OpKind::Writable => polled(result),
            OpKind::File => return self.file_op_ended(key, result),
            OpKind::Shutdown => Outcome::ShutDown,
            OpKind::Close => Outcome::Closed,
            OpKind::SendSocket => Outcome::SocketSent(count_or_errno(result).map(drop)),
            OpKind::Arrive => return self.arrived(key, result),
            OpKind::Accept | OpKind::Cancel | OpKind::Compute => {
                unreachable!("the ring never sees these kinds")
            }
        };
        self.backlog.push_back(Completion { key, outcome });
    }

    /// A peer's MSG_RING posted here. When our table is full the sender is told and nothing is seen here.
    fn arrived(&mut self, posted: Key, result: i32) {
        let Ok(slot) = count_or_errno(result) else {
            return;
        };
        let outcome = Outcome::Arrived {
            socket: Socket(slot),
            token: posted.to_bits() & !TOP_BYTE,
        };
        let key = Key::new(OpKind::Arrive, 0, 0);
        self.backlog.push_back(Completion { key, outcome });
    }

    /// Invariant 5: whether a completion goes on, ends or fails a receive is decided here and nowhere else.
    fn received(&mut self, key: Key, result: i32, flags: u32) -> Outcome {
        let more = cqueue::more(flags);
        let is_renewed = self.receives.is_renewed(key);
        let is_bulk = self.receives.is_bulk(key);
        if !more {
            self.receives.end(key, result);
        } else if self.receives.filled(key, cqueue::sock_nonempty(flags)) {
            self.renew(key);
        }
        let pool = self.memory.recv_pool(is_bulk);
        let lease = cqueue::buffer_select(flags).map(|id| pool.lease(id, result.max(0) as u32));
        match lease {
            Some(lease) if !lease.is_empty() => return Outcome::Received { lease, more },
            Some(unused) => pool.recycle(unused),
            None => {}
        }
        assert!(!more, "a receive without bytes is at its end");
        Outcome::RecvEnded(match -result {
            0 => RecvEnd::Eof,
            libc::ENOBUFS => {
                self.starved |= !is_bulk;
                RecvEnd::NoBuffers
            }
            libc::ECANCELED if is_renewed => RecvEnd::Ended,
            libc::ECANCELED => RecvEnd::Cancelled,
            libc::EAGAIN | libc::EINTR => RecvEnd::Ended,
            errno => RecvEnd::Failed(Errno(errno)),
        })
    }

    fn cancel(&mut self, key: Key, target: Key) {
        if let Some(listener) = self.accepting_under(target) {
            let outcome = Outcome::CancelSeen;
            self.backlog.push_back(Completion { key, outcome });
            return self.cancel_accept(listener);
        }
        let number = self.cancels.begin(Cancel { key, target });
        self.push_cancel(number, target);
    }

    fn push_cancel(&mut self, number: u64, target: Key) {
        let cancel = opcode::AsyncCancel::new(target.to_bits());
        self.push_plain(cancel.build(), CANCEL | number);
    }

    /// The kernel does not find (ENOENT) an operation that it is about to try again; such a cancel has to be repeated, or the operation would
    /// go on as if nothing had been asked.
    fn cancel_seen(&mut self, number: u64, result: i32) {
        let Cancel { key, target } = self.cancels.get(number);
        let in_flight = is_in_flight(target, &self.memory.sends, &self.receives);
        if result == -libc::ENOENT && in_flight {
            return self.push_cancel(number, target);
        }
        self.cancels.end(number);
        let outcome = Outcome::CancelSeen;
        self.backlog.push_back(Completion { key, outcome });
    }

    /// Ends a receive, which the loop then arms again (see [`Receives`]).
    fn renew(&mut self, key: Key) {
        let cancel = opcode::AsyncCancel::new(key.to_bits());
        self.push_plain(cancel.build(), RENEW | key.to_bits() & !TOP_BYTE);
    }

    /// As with the loop's cancels, what the kernel does not find may be about to go on. By the time that this is seen it may be over, and another one be armed under its key.
    fn renewal_seen(&mut self, rest: u64, result: i32) {
        let key = Key::from_bits((OpKind::Recv as u64) << 56 | rest);
        if result == -libc::ENOENT && self.receives.is_renewed(key) {
            self.renew(key);
        }
    }

    fn recv(&mut self, key: Key, socket: Socket) {
        let is_bulk = self.receives.much_came(key) && self.has_bulk();
        self.receives.begin(key, is_bulk);
        let socket = types::Fixed(socket.0);
        let entry = match is_bulk {
            // The kernel takes the buffer when there is something to put into it.
            true => opcode::Recv::new(socket, core::ptr::null_mut(), BULK_BYTES)
                .buf_group(BULK_GROUP)
                .build()
                .flags(squeue::Flags::BUFFER_SELECT),
            false => opcode::RecvMulti::new(socket, GROUP).build(),
        };
        self.push_plain(entry, key.to_bits());
    }

    fn has_bulk(&mut self) -> bool {
        let ring = &self.ring;
        let bulk = self
            .memory
            .bulk
            .get_or_insert_with(|| RecvPool::bulk(ring.io()));
        bulk.is_some()
    }

    fn send(
        &mut self,
        key: Key,
        socket: Socket,
        frame: Frame,
        (piece, goes_on): (&Range<u32>, bool),
    ) {
        let HeldSend::Frame(frame) = self.memory.sends.hold(key, HeldSend::Frame(frame)) else {
            unreachable!("what was just put there")
        };
        let bytes = &frame[piece.start as usize..piece.end as usize];
        let length = piece.end - piece.start;
        let more = if goes_on { libc::MSG_MORE } else { 0 };
        let entry = opcode::Send::new(types::Fixed(socket.0), bytes.as_ptr(), length)
            .flags(libc::MSG_WAITALL | libc::MSG_NOSIGNAL | more)
            .build();
        // SAFETY: `sends` holds the frame until `release` saw the send's only completion; a frame's bytes never move and are never written.
        unsafe { self.ring.push(entry, key.to_bits()) };
    }

    fn sent(&mut self, key: Key, result: Result<u32, Errno>) -> Outcome {
        match self.memory.sends.release(key) {
            HeldSend::Frame(_) => Outcome::Sent(result),
            HeldSend::Slot(slot) => Outcome::SlotSent { slot, result },
            HeldSend::Install(send) => Outcome::FileSent(self.socket_installed(send, result)),
            HeldSend::ZeroCopy => unreachable!("its completion has its slot's number"),
        }
    }

    /// What the socket does not take at once is not waited for: a slot is for those that read.
    fn send_slot(&mut self, key: Key, socket: Socket, slot: SlotLease, piece: &Range<u32>) {
        let arena = self.arena();
        assert!(piece.end <= arena.slot_bytes(), "a slot has so many bytes");
        // SAFETY: the piece lies within the slot, as was just asked.
        let start = unsafe { arena.start_of(slot.id()).add(piece.start as usize) };
        let (socket, length) = (types::Fixed(socket.0), piece.end - piece.start);
        if self.memory.files.zero_copy.wants(length)
            && let Some(other) = self.arena().take()
        {
            return self.send_in_place(key, socket, (slot, other), (start, length));
        }
        self.memory.sends.hold(key, HeldSend::Slot(slot));
        let entry = opcode::Send::new(socket, start, length)
            .flags(libc::MSG_DONTWAIT | libc::MSG_NOSIGNAL)
            .build();
        // SAFETY: `sends` holds the slot's only lease until `release` saw the send's only completion; the arena's memory never moves.
        unsafe { self.ring.push(entry, key.to_bits()) };
    }

    /// Without a copy, if the kernel finds a way.
    fn send_in_place(
        &mut self,
        key: Key,
        socket: types::Fixed,
        (slot, other): (SlotLease, SlotLease),
        (start, length): (*mut u8, u32),
    ) {
        let number = slot.id();
        self.memory.sends.hold(key, HeldSend::ZeroCopy);
        self.memory.files.zero_copy.begin(key, slot, other);
        let entry = opcode::SendZc::new(socket, start, length)
            .buf_index(Some(number))
            .flags(libc::MSG_DONTWAIT | libc::MSG_NOSIGNAL)
            .zc_flags(REPORT_USAGE)
            .build();
        // SAFETY: `zero_copy` holds the slot's only lease until its notice, or until its completion if that promises none; the arena's memory never moves.
        unsafe { self.ring.push(entry, ZERO_COPY | u64::from(number)) };
    }

    fn zero_copy_ended(&mut self, slot: u16, result: i32, flags: u32) {
        let kind = (cqueue::notif(flags), cqueue::more(flags));
        match self.memory.files.zero_copy.ended(slot, result, kind) {
            Ended::Free(slot) => self.arena().give_back(&slot),
            Ended::Sent {
                key,
                slot,
                free,
                result,
            } => {
                self.memory.sends.release(key);
                if let Some(free) = free {
                    self.arena().give_back(&free);
                }
                let outcome = Outcome::SlotSent { slot, result };
                self.backlog.push_back(Completion { key, outcome });
            }
        }
    }

    fn await_writable(&mut self, key: Key, socket: Socket) {
        let poll = opcode::PollAdd::new(types::Fixed(socket.0), libc::POLLOUT as u32).build();
        self.push_plain(poll, key.to_bits());
    }

    /// # Panics
    /// When no files are served.
    pub(crate) fn arena(&mut self) -> &mut Arena {
        let arena = self.memory.files.arena.as_mut();
        arena.expect("who has a slot has it from the arena")
    }

    fn send_socket(&mut self, key: Key, socket: Socket, to: ShardId, token: u64) {
        assert_eq!(token & TOP_BYTE, 0, "a token has 56 bits");
        self.memory.files.installed.retire(socket.0);
        let arrive = (OpKind::Arrive as u64) << 56 | token;
        let ring = types::Fd(self.peers[usize::from(to.0)].ring);
        let entry = opcode::MsgRingSendFd::new(
            ring,
            types::Fixed(socket.0),
            types::DestinationSlot::auto_target(),
            arrive,
        );
        self.push_plain(entry.build(), key.to_bits());
    }

    fn compute(&mut self, key: Key, job: Job) {
        if let Err(job) = self.pool.submit(key.to_bits(), job) {
            self.backlog.push_back(Completion {
                key,
                outcome: Outcome::Computed(Err(PoolFull(job))),
            });
        }
    }

    fn drain_pool(&mut self) {
        let backlog = &mut self.backlog;
        self.pool.drain(|bits, output| {
            backlog.push_back(Completion {
                key: Key::from_bits(bits),
                outcome: Outcome::Computed(Ok(output)),
            });
        });
    }
}

impl Driver for UringDriver {
    type Entropy = Entropy;

    fn submit(&mut self, key: Key, op: Op) {
        let entry = match op {
            Op::Accept { listener } => return self.start_accept(key, listener),
            Op::Cancel { target } => return self.cancel(key, target),
            Op::Send {
                socket,
                frame,
                piece,
                goes_on,
            } => return self.send(key, socket, frame, (&piece, goes_on)),
            Op::SendSocket { socket, to, token } => {
                return self.send_socket(key, socket, to, token);
            }
            Op::Compute { job } => return self.compute(key, job),
            Op::SendFile {
                socket,
                file,
                offset,
                count,
                is_known,
            } => {
                let send = FromFile {
                    socket,
                    file,
                    offset,
                    count,
                    is_known,
                };
                return self.send_file(key, send);
            }
            Op::SendSlot {
                socket,
                slot,
                piece,
            } => return self.send_slot(key, socket, slot, &piece),
            Op::AwaitWritable { socket } => return self.await_writable(key, socket),
            Op::File(op) => return self.file_op(key, *op),
            Op::Recv { socket } => return self.recv(key, socket),
            Op::Shutdown { socket } => {
                opcode::Shutdown::new(types::Fixed(socket.0), libc::SHUT_RDWR).build()
            }
            Op::ShutdownWrite { socket } => {
                opcode::Shutdown::new(types::Fixed(socket.0), libc::SHUT_WR).build()
            }
            Op::Close { socket } => {
                self.memory.files.installed.remove(socket.0);
                opcode::Close::new(types::Fixed(socket.0)).build()
            }
        };
        self.push_plain(entry, key.to_bits());
    }

    fn wait(&mut self, deadline: Option<Duration>, batch: &mut Vec<Completion>) {
        self.left_some = false;
        self.reap();
        self.drain_pool();
        let remaining = deadline.map(|deadline| deadline.saturating_sub(self.now()));
        // A wake that came while the lap worked must not be slept over.
        let at_once = core::mem::take(&mut self.woken)
            || !self.backlog.is_empty()
            || remaining == Some(Duration::ZERO);
        self.ring.enter(!at_once, remaining);
        self.reap();
        self.reap_deferred();
        self.drain_pool();
        self.woken = false;
        batch.extend(self.backlog.drain(..));
    }

    fn has_left_some(&self) -> bool {
        self.left_some
    }

    fn now(&self) -> Duration {
        self.clock.now()
    }

    fn unix_time(&self) -> Duration {
        self.clock.unix_time()
    }

    fn entropy(&mut self) -> u64 {
        self.entropy.draw()
    }

    fn lend<'a>(&'a mut self, lease: &'a mut RecvLease) -> (&'a mut [u8], &'a mut Entropy) {
        let pool = self.memory.recv_pool(is_bulk(lease));
        (pool.bytes(lease), &mut self.entropy)
    }

    fn recycle(&mut self, lease: RecvLease) {
        self.memory.recv_pool(is_bulk(&lease)).recycle(lease);
    }

    fn slot_bytes_max(&self) -> u32 {
        self.memory
            .files
            .arena
            .as_ref()
            .map_or(0, Arena::slot_bytes)
    }

    fn take_slot(&mut self) -> Option<SlotLease> {
        self.memory.files.arena.as_mut()?.take()
    }

    fn return_slot(&mut self, slot: SlotLease) {
        self.arena().give_back(&slot);
    }

    fn slot_bytes<'a>(&'a mut self, slot: &'a mut SlotLease) -> &'a mut [u8] {
        self.arena().bytes(slot)
    }

    fn notices(&self) -> Notices {
        self.memory.files.zero_copy.notices()
    }

    fn wake(&mut self, shard: ShardId) {
        self.peers[usize::from(shard.0)].waker.wake();
    }

    fn listeners(&self) -> u32 {
        self.memory.accepts.len() as u32
    }

    fn stop_listening(&mut self, listener: Listener) {
        self.memory.accepts[listener.0 as usize].stop();
    }
}

impl Drop for UringDriver {
    fn drop(&mut self) {
        // A panic may have left the books wrong, and a broken kernel may still write: then the memory is never freed.
        let memory = &self.memory;
        if std::thread::panicking() || !self.ring.drain(|entry| memory.abandon(entry)) {
            return;
        }
        // SAFETY: nothing is in flight, nothing is submitted after this, and `memory` is not used again.
        unsafe { ManuallyDrop::drop(&mut self.memory) };
    }
}
