//! A piece of a file on its way to a connection.
//!
//! What is in memory goes by `Op::SendFile`, without a copy. What is not is read into a slot of the arena and sent from there, with the next slot being read
//! meanwhile; reading makes the kernel read ahead, so what follows is usually in memory by then, and is asked for again by the first way. Nothing waits
//! within a lap: a cold page is the ring's to wait for, and so is a full socket.
//!
//! Bytes of a file are read while they are sent. Before the last ones of a long piece, of the end of a file, or of whatever was not seen to be the same a moment
//! ago, go out it is looked at whether the file was written to meanwhile: who got a mixture of two files must not take it for one.
//!
//! How the lap divides its time: frames go first, all that [`crate::Shard::work`] sends in a lap; then files, one chunk of a connection in its turn, until
//! [`LAP_BYTES_MAX`] or [`LAP_TIME_MAX`] is used up. Whoever had no turn is first in the next lap, which does not sleep. So a message waits for files as
//! long as one such share takes, however many transfers there are.
//!
//! A slow reader costs its record here, while it waits for its socket: slots belong to those that read. Where no slot is free, transfers wait for one in
//! their order.

use crate::filework::Work;
use crate::handle::{FileHandle, KNOWN_FOR};
use crate::handler::{Cause, Conn, Handler};
use crate::shard::{Shard, Timer};
use crate::table::{flag, key};
use core::ops::Range;
use core::time::Duration;
use ringway_io::{
    Driver, Errno, FileOp, FileSend, FileStat, Frame, Key, Op, OpKind, SlotLease, Sparse,
};
use std::collections::VecDeque;

/// Bytes of one send from a file at most: a connection's share of a lap. An eighth of it costs a third more CPU (README.md of `shards/uring`): each
/// send asks what is in memory, and wakes whoever reads.
pub const CHUNK_BYTES_MAX: u32 = 1024 * 1024;

/// Bytes of files that a lap sends.
pub const LAP_BYTES_MAX: u32 = 1024 * 1024;

/// How long a lap sends files, give or take a chunk.
pub const LAP_TIME_MAX: Duration = Duration::from_micros(250);

/// Reads of one transfer that are under way or not sent yet: one goes out while the other comes in.
const AHEAD_MAX: usize = 2;

/// How often transfers are looked at whose clients may take nothing.
const STALL_SWEEP: Duration = Duration::from_secs(30);

/// Such looks in a row after which one is over: a client that takes next to nothing for two minutes.
const STALL_SWEEPS_MAX: u8 = 4;

/// What a client takes between two looks at least: a thousand bytes a second, as of bytes out of memory.
const SWEEP_BYTES_MIN: u64 = 30_000;

/// A shorter piece is not looked at again before its end, if that comes within [`SEEN_FOR`]: it was just before its beginning.
const CHECKED_BYTES_MIN: u64 = 2 * CHUNK_BYTES_MAX as u64;

/// What is held back until it was.
const CHECKED_TAIL_BYTES: u64 = 64 * 1024;

/// How long a file is taken to be what it was when it was looked at. What goes into its socket at once pays for no look of its own.
const SEEN_FOR: Duration = Duration::from_millis(10);

/// Where they or what is behind them are fewer, both are looked at together, so that the pieces do not become small.
const KNOWN_BYTES_MIN: u32 = 128 * 1024;

/// After how long a socket is asked again that cannot say when it takes something; twice as long each time, while it takes nothing.
const PAUSE_MIN: Duration = Duration::from_millis(8);
const PAUSE_MAX: Duration = Duration::from_millis(256);

const EAGAIN: Errno = Errno(11);

/// A piece of a file, for the wire.
#[derive(Clone, Debug)]
pub struct FilePiece {
    /// Which.
    pub file: FileHandle,
    /// Which bytes of it. A file that ends before them closes the connection with [`Cause::FileShort`]: what was promised cannot be sent.
    pub range: Range<u64>,
}

/// What a handler has for the wire.
pub enum Outgoing {
    /// Bytes.
    Frame(Frame),
    /// Bytes behind which a piece of a file comes as soon as they went.
    Head(Frame),
    /// A piece of a file, which no frame of this connection overtakes. Boxed, since nearly everything else is a frame.
    File(Box<FilePiece>),
}

impl From<Frame> for Outgoing {
    fn from(frame: Frame) -> Self {
        Self::Frame(frame)
    }
}

/// Bytes that were asked of the disk, or came.
struct Ahead {
    offset: u64,
    count: u32,
    /// Once it was read, with as many bytes as stand in `count`.
    slot: Option<SlotLease>,
}

/// Where a transfer stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stand {
    /// In the line for its turn.
    Listed,
    /// In the line for a slot.
    Slotless,
    /// For the disk.
    Reading,
    /// For the socket.
    Sending,
    /// For a while, and the socket has nothing of it.
    Pausing,
}

/// One transfer.
pub(crate) struct Transfer {
    conn: Conn,
    file: FileHandle,
    at: u64,
    end: u64,
    stand: Stand,
    /// In the file's order.
    ahead: VecDeque<Ahead>,
    /// Where it was when it had last moved far enough, and the sweeps since then.
    seen: u64,
    idle_sweeps: u8,
    /// Nothing from here on goes before it is known that the file is what it was.
    checked_to: u64,
    /// It was looked at for this transfer, and nothing was sent since: a shard that has much to do does not look for ever.
    is_checked: bool,
    /// How often it asked a socket in vain that cannot say when it takes something.
    pauses: u32,
    /// Bytes that were to go directly, the last time.
    asked: u32,
    /// What was in memory, as far as and when it was seen.
    known_to: u64,
    known_at: Duration,
}

impl Transfer {
    /// Whether this is one sweep too many in which its client took too little. What waits for its turn, a slot or the disk is not its client's fault.
    fn is_stalled(&mut self) -> bool {
        self.idle_sweeps += 1;
        // Over all of them: a socket that was full takes nothing for long, and then much at once.
        let least = SWEEP_BYTES_MIN * u64::from(self.idle_sweeps);
        if self.at - self.seen >= least || !self.is_on_client() {
            (self.seen, self.idle_sweeps) = (self.at, 0);
        }
        self.idle_sweeps >= STALL_SWEEPS_MAX
    }

    /// Whether it waits for its client.
    fn is_on_client(&self) -> bool {
        matches!(self.stand, Stand::Sending | Stand::Pausing)
    }

    /// Where the next read begins.
    fn read_to(&self) -> u64 {
        self.ahead
            .back()
            .map_or(self.at, |last| last.offset + u64::from(last.count))
    }

    fn chunk(&self, from: u64, bytes_max: u32) -> u32 {
        (self.checked_to - from).min(u64::from(bytes_max)) as u32
    }

    /// How many of the next bytes are asked for, and whether they were in memory a moment ago. A socket takes less at a time than is looked at, and looking
    /// at it again each time costs a tenth of the sending. What others were sent is known too.
    fn known(&self, count: u32, now: Duration) -> (u32, bool) {
        let is_fresh = now.saturating_sub(self.known_at) < KNOWN_FOR;
        let own = if is_fresh { self.known_to } else { 0 };
        let own = own.saturating_sub(self.at);
        match own.max(self.file.warm_bytes(self.at, now)) {
            left if self.is_worth_a_send(left, count) => (left.min(u64::from(count)) as u32, true),
            _ => (count, false),
        }
    }

    /// Whether the `left` bytes that are known go by themselves: all that are asked for, or neither they nor what is behind them are small.
    fn is_worth_a_send(&self, left: u64, count: u32) -> bool {
        let least = u64::from(KNOWN_BYTES_MIN);
        let behind = (self.end - self.at).saturating_sub(left);
        left >= u64::from(count) || (left >= least && behind >= least)
    }

    /// So many of the next bytes were in memory.
    fn learn(&mut self, count: u32, now: Duration) {
        if self.known_to < self.at + u64::from(count) {
            self.known_to = self.at + u64::from(count);
            self.known_at = now;
        }
    }

    /// Stops short of the last bytes, if nobody has looked at the file for a moment: whatever made the transfer wait, others may have written to it meanwhile.
    fn hold_back(&mut self, now: Duration) {
        let is_seen = now.saturating_sub(self.file.seen_at()) <= SEEN_FOR;
        if is_seen || self.is_checked {
            return;
        }
        // What was read before it is known is not sent before.
        let is_last = |ahead: &Ahead| ahead.offset + u64::from(ahead.count) == self.end;
        self.checked_to = match self.ahead.front() {
            Some(first) if self.is_read() && is_last(first) => self.at,
            Some(_) => self.checked_to,
            None => tail_of(&(self.at..self.end)).min(self.checked_to),
        };
    }

    fn is_read(&self) -> bool {
        let first = self.ahead.front();
        first.is_some_and(|first| first.offset == self.at && first.slot.is_some())
    }
}

/// All transfers, and who waits for what.
#[derive(Default)]
pub(crate) struct Transfers {
    by_conn: Sparse<Transfer>,
    /// Those whose turn comes.
    listed: VecDeque<Conn>,
    /// Those that wait for a slot.
    slotless: VecDeque<Conn>,
    /// The next sweep has its timer.
    sweeping: bool,
}

impl Transfers {
    fn get(&mut self, conn: Conn) -> Option<&mut Transfer> {
        let transfer = self.by_conn.get_mut(conn.slot)?;
        (transfer.conn == conn).then_some(transfer)
    }

    fn list(&mut self, conn: Conn) {
        if let Some(transfer) = self.get(conn)
            && transfer.stand != Stand::Listed
        {
            transfer.stand = Stand::Listed;
            self.listed.push_back(conn);
        }
    }

    /// Whether no transfer waits for its turn.
    pub(crate) fn is_flushed(&self) -> bool {
        self.listed.is_empty()
    }

    /// Whether a piece of a file is on its way to a connection.
    pub(crate) fn has(&self, conn: Conn) -> bool {
        let transfer = self.by_conn.get(conn.slot);
        transfer.is_some_and(|one| one.conn == conn)
    }
}

/// How far a piece of a file of so many bytes goes without another look at it. The end of a file is looked at however short the piece is that it is in: it may
/// be the last of many, or of a client that has the others from before.
fn checked_to(range: &Range<u64>, file_bytes: u64) -> u64 {
    let is_end = range.start > 0 && range.end == file_bytes;
    if range.end - range.start <= CHECKED_BYTES_MIN && !is_end {
        return range.end;
    }
    tail_of(range)
}

/// Where its last bytes begin.
fn tail_of(range: &Range<u64>) -> u64 {
    let tail = range.end.saturating_sub(CHECKED_TAIL_BYTES);
    tail.max(range.start)
}

impl<D: Driver, H: Handler> Shard<D, H> {
    /// The connection's next bytes are a file's. It is one operation of the connection until its last byte went.
    pub(crate) fn begin_transfer(&mut self, conn: Conn, piece: FilePiece) {
        let Some(record) = self.table.get(conn) else {
            return;
        };
        record.set(flag::TRANSFER);
        record.ops += 1;
        let FilePiece { file, range } = piece;
        let range = range.start..range.end.max(range.start);
        let checked_to = checked_to(&range, file.bytes());
        let transfer = Transfer {
            conn,
            file,
            at: range.start,
            end: range.end,
            checked_to,
            is_checked: false,
            pauses: 0,
            stand: Stand::Sending,
            ahead: VecDeque::new(),
            seen: range.start,
            idle_sweeps: 0,
            asked: 0,
            known_to: 0,
            known_at: Duration::ZERO,
        };
        self.transfers.by_conn.insert(conn.slot, transfer);
        self.transfers.list(conn);
        self.stats.transfers += 1;
        self.stats.transfers_live += 1;
        self.arm_sweep();
    }

    fn arm_sweep(&mut self) {
        if !core::mem::replace(&mut self.transfers.sweeping, true) {
            let at = self.now().monotonic + STALL_SWEEP;
            self.wheel.insert(at, Timer::Stalls);
        }
    }

    /// Whoever has taken nothing for so many sweeps is cut off: a file that waits for it stays open as long.
    pub(crate) fn sweep_transfers(&mut self) {
        self.transfers.sweeping = false;
        if self.stats.transfers_live == 0 {
            return;
        }
        for conn in self.table.conns() {
            if self.transfers.get(conn).is_some_and(Transfer::is_stalled) {
                self.stats.transfers_stalled += 1;
                self.close(conn, Cause::Failed);
            }
        }
        self.arm_sweep();
    }

    /// The lap's share for files.
    pub(crate) fn move_files(&mut self) {
        if self.transfers.is_flushed() {
            return;
        }
        let until = self.driver.now() + LAP_TIME_MAX;
        let mut left = LAP_BYTES_MAX;
        for _ in 0..self.transfers.listed.len() {
            if left == 0 || self.driver.now() > until {
                return;
            }
            let Some(conn) = self.transfers.listed.pop_front() else {
                return;
            };
            left = left.saturating_sub(self.step(conn));
        }
    }

    /// Gives a transfer its turn; how many bytes it may send in it.
    fn step(&mut self, conn: Conn) -> u32 {
        let now = self.now().monotonic;
        let Some(transfer) = self.transfers.get(conn) else {
            return 0;
        };
        if transfer.at == transfer.end {
            self.finish_transfer(conn);
            return 0;
        }
        transfer.hold_back(now);
        if transfer.at == transfer.checked_to {
            self.check_transfer(conn);
            return 0;
        }
        if transfer.is_read() {
            return self.send_ahead(conn);
        }
        if !transfer.ahead.is_empty() {
            transfer.stand = Stand::Reading;
            return 0;
        }
        (transfer.stand, transfer.is_checked) = (Stand::Sending, false);
        let count = transfer.chunk(transfer.at, CHUNK_BYTES_MAX);
        let (count, is_known) = transfer.known(count, now);
        transfer.asked = count;
        let (file, offset) = (transfer.file.file(), transfer.at);
        let Some(record) = self.table.get(conn) else {
            return 0;
        };
        let op = Op::SendFile {
            socket: record.socket(),
            file,
            offset,
            count,
            is_known,
        };
        self.stats.sends += 1;
        self.driver.submit(key(OpKind::Send, conn), op);
        count
    }

    /// All but its last bytes went.
    fn check_transfer(&mut self, conn: Conn) {
        let Some(transfer) = self.transfers.get(conn) else {
            return;
        };
        transfer.stand = Stand::Reading;
        let handle = transfer.file.clone();
        let op = FileOp::Stat {
            file: handle.file(),
        };
        let work = Work::Check {
            conn,
            _file: handle,
        };
        self.submit_file(work, op);
    }

    /// The transfer may be gone.
    pub(crate) fn transfer_checked(&mut self, conn: Conn, result: Result<FileStat, Errno>) {
        let now = self.now().monotonic;
        let Some(transfer) = self.transfers.get(conn) else {
            return;
        };
        match result {
            Ok(stat) if transfer.file.look(&stat, now) => {
                (transfer.checked_to, transfer.is_checked) = (transfer.end, true);
                self.transfers.list(conn);
            }
            Ok(_) => self.fail_transfer(conn, Cause::FileChanged),
            Err(_) => self.fail_transfer(conn, Cause::FileFailed),
        }
    }

    /// Sends what was read, and reads what comes behind it.
    fn send_ahead(&mut self, conn: Conn) -> u32 {
        let (Some(transfer), Some(record)) = (self.transfers.get(conn), self.table.get(conn))
        else {
            return 0;
        };
        let Some(Ahead {
            count,
            slot: Some(slot),
            offset,
        }) = transfer.ahead.pop_front()
        else {
            unreachable!("`step` asked whether it was read")
        };
        (transfer.stand, transfer.is_checked) = (Stand::Sending, false);
        let from = offset + u64::from(count);
        let op = Op::SendSlot {
            socket: record.socket(),
            slot,
            piece: 0..count,
        };
        self.stats.sends += 1;
        self.driver.submit(key(OpKind::Send, conn), op);
        self.read_ahead(conn, from);
        count
    }

    /// One more read, if there is a slot that nobody waits for.
    fn read_ahead(&mut self, conn: Conn, from: u64) {
        let Some(transfer) = self.transfers.get(conn) else {
            return;
        };
        let from = transfer.read_to().max(from);
        let is_wanted = from < transfer.checked_to && transfer.ahead.len() + 1 < AHEAD_MAX;
        if is_wanted
            && self.transfers.slotless.is_empty()
            && let Some(slot) = self.driver.take_slot()
        {
            self.read_into(conn, from, slot);
        }
    }

    /// What is next is not in memory.
    fn read_next(&mut self, conn: Conn) {
        let Some(transfer) = self.transfers.get(conn) else {
            return;
        };
        let from = transfer.at;
        match self.driver.take_slot() {
            Some(slot) => {
                transfer.stand = Stand::Reading;
                self.read_into(conn, from, slot);
            }
            None if self.driver.slot_bytes_max() == 0 => {
                self.fail_transfer(conn, Cause::FileFailed);
            }
            None => {
                transfer.stand = Stand::Slotless;
                self.transfers.slotless.push_back(conn);
                self.stats.slot_waits += 1;
            }
        }
    }

    fn read_into(&mut self, conn: Conn, offset: u64, slot: SlotLease) {
        let slot_bytes = self.driver.slot_bytes_max();
        let Some(transfer) = self.transfers.get(conn) else {
            return self.return_slot(slot);
        };
        let count = transfer.chunk(offset, slot_bytes);
        transfer.ahead.push_back(Ahead {
            offset,
            count,
            slot: None,
        });
        let handle = transfer.file.clone();
        let op = FileOp::ReadSlot {
            file: handle.file(),
            slot,
            count,
            offset,
        };
        let work = Work::Slot {
            conn,
            _file: handle,
            offset,
        };
        self.submit_file(work, op);
    }

    /// A slot is free: whoever has waited longest gets it, and whoever is next one that the kernel has let go of meanwhile.
    pub(crate) fn return_slot(&mut self, slot: SlotLease) {
        let mut free = Some(slot);
        while let Some(slot) = free {
            let Some((conn, from)) = self.next_slotless() else {
                return self.driver.return_slot(slot);
            };
            self.read_into(conn, from, slot);
            free = match self.transfers.slotless.is_empty() {
                true => None,
                false => self.driver.take_slot(),
            };
        }
    }

    /// Who waits for a slot, and from where on it reads.
    fn next_slotless(&mut self) -> Option<(Conn, u64)> {
        while let Some(conn) = self.transfers.slotless.pop_front() {
            if let Some(transfer) = self.transfers.get(conn)
                && transfer.stand == Stand::Slotless
            {
                transfer.stand = Stand::Reading;
                return Some((conn, transfer.at));
            }
        }
        None
    }

    /// A transfer's read ended. The transfer may be gone, or may have gone on without it.
    pub(crate) fn slot_read(
        &mut self,
        conn: Conn,
        offset: u64,
        slot: SlotLease,
        result: Result<u32, Errno>,
    ) {
        let Some(transfer) = self.transfers.get(conn) else {
            return self.return_slot(slot);
        };
        let is_it = |ahead: &&mut Ahead| ahead.offset == offset && ahead.slot.is_none();
        let Some(ahead) = transfer.ahead.iter_mut().find(is_it) else {
            return self.return_slot(slot);
        };
        match result {
            Ok(count @ 1..) => {
                ahead.count = count;
                ahead.slot = Some(slot);
                if transfer.stand == Stand::Reading && transfer.is_read() {
                    self.transfers.list(conn);
                }
            }
            // What was read ahead may be behind the end of what is sent, if that is short: it is asked for again in its turn.
            _ if transfer.at != offset => {
                transfer.ahead.retain(|ahead| ahead.offset != offset);
                self.return_slot(slot);
            }
            Ok(_) => {
                self.return_slot(slot);
                self.fail_transfer(conn, Cause::FileShort);
            }
            Err(_) => {
                self.return_slot(slot);
                self.fail_transfer(conn, Cause::FileFailed);
            }
        }
    }

    /// A send from a file ended.
    pub(crate) fn file_sent(&mut self, at: Key, end: FileSend) {
        let Some(conn) = self.transfer_returned(at) else {
            return;
        };
        match end {
            FileSend::Went(count) => {
                self.stats.file_bytes_direct += u64::from(count);
                self.go_on_direct(conn, count);
            }
            FileSend::Again => self.transfers.list(conn),
            FileSend::Blocked => self.await_writable(conn),
            FileSend::Cold => self.read_next(conn),
            FileSend::End => self.fail_transfer(conn, Cause::FileShort),
            FileSend::Failed(_) => self.fail_transfer(conn, Cause::Failed),
        }
    }

    /// A send from a slot ended. What did not go is not kept: who reads slowly has no slot, and it is in memory now.
    pub(crate) fn slot_sent(&mut self, at: Key, slot: SlotLease, result: Result<u32, Errno>) {
        self.return_slot(slot);
        let Some(conn) = self.transfer_returned(at) else {
            return;
        };
        match result {
            Ok(count) => {
                self.stats.file_bytes_copied += u64::from(count);
                self.went(conn, count);
                self.go_on_behind(conn);
            }
            Err(EAGAIN) => {
                self.forget_ahead(conn);
                self.await_writable(conn);
            }
            Err(_) => self.fail_transfer(conn, Cause::Failed),
        }
    }

    /// Who took less than was there is full: asked again at once it would take a little, for as many calls as a large piece costs.
    fn go_on_direct(&mut self, conn: Conn, count: u32) {
        let now = self.now().monotonic;
        let Some(transfer) = self.transfers.get(conn) else {
            return;
        };
        let asked = transfer.asked;
        transfer.learn(asked, now);
        let bytes = transfer.at..transfer.at + u64::from(count);
        transfer.file.went(&bytes, now);
        self.went(conn, count);
        match count < asked {
            true => self.await_writable(conn),
            false => self.transfers.list(conn),
        }
    }

    /// What was read ahead goes next if it fits on; if not, the socket was full.
    fn go_on_behind(&mut self, conn: Conn) {
        let Some(transfer) = self.transfers.get(conn) else {
            return;
        };
        let fits = transfer
            .ahead
            .front()
            .is_none_or(|next| next.offset == transfer.at);
        if !fits {
            self.forget_ahead(conn);
        }
        self.transfers.list(conn);
    }

    /// Gives back what was read for a connection that does not take it now. What is still being read comes back by itself.
    fn forget_ahead(&mut self, conn: Conn) {
        let Some(transfer) = self.transfers.get(conn) else {
            return;
        };
        for ahead in core::mem::take(&mut transfer.ahead) {
            if let Some(slot) = ahead.slot {
                self.return_slot(slot);
            }
        }
    }

    fn await_writable(&mut self, conn: Conn) {
        let Some(transfer) = self.transfers.get(conn) else {
            return;
        };
        transfer.stand = Stand::Sending;
        let Some(record) = self.table.get(conn) else {
            return;
        };
        let socket = record.socket();
        self.stats.transfer_waits += 1;
        self.driver
            .submit(key(OpKind::Writable, conn), Op::AwaitWritable { socket });
    }

    /// The socket takes something.
    pub(crate) fn writable(&mut self, at: Key) {
        if let Some(conn) = self.transfer_returned(at) {
            self.transfers.list(conn);
        }
    }

    /// The socket may take something, or not.
    pub(crate) fn half_closed(&mut self, at: Key) {
        let Some(conn) = self.transfer_returned(at) else {
            return;
        };
        let now = self.now().monotonic;
        let Some(transfer) = self.transfers.get(conn) else {
            return;
        };
        transfer.stand = Stand::Pausing;
        let pause = (PAUSE_MIN * (1 << transfer.pauses.min(16))).min(PAUSE_MAX);
        transfer.pauses += 1;
        self.wheel.insert(now + pause, Timer::Transfer(conn));
    }

    /// It has paused. The transfer may be gone, or another one.
    pub(crate) fn ask_again(&mut self, conn: Conn) {
        if let Some(transfer) = self.transfers.get(conn)
            && transfer.stand == Stand::Pausing
        {
            self.transfers.list(conn);
        }
    }

    fn went(&mut self, conn: Conn, count: u32) {
        self.stats.bytes_out += u64::from(count);
        if let Some(transfer) = self.transfers.get(conn) {
            transfer.at += u64::from(count);
            transfer.pauses = 0;
        }
        if let Some(record) = self.table.get(conn) {
            record.set(flag::PROGRESS);
        }
    }

    /// What the transfer had the socket do has ended. `None` when its connection is closing: then that was what the close waited for.
    fn transfer_returned(&mut self, at: Key) -> Option<Conn> {
        let Some((conn, record)) = self.table.by_key(at) else {
            self.stats.completions_stale += 1;
            return None;
        };
        if !record.has(flag::CLOSING) {
            return Some(conn);
        }
        self.end_transfer(conn);
        self.after_op(conn);
        None
    }

    fn finish_transfer(&mut self, conn: Conn) {
        self.end_transfer(conn);
        self.call(|handler, cx| handler.sent(cx, conn));
        self.after_op(conn);
        self.pull(conn);
    }

    /// Ends the connection: its peer was promised bytes that there are not.
    fn fail_transfer(&mut self, conn: Conn, cause: Cause) {
        if cause != Cause::Failed {
            self.stats.transfers_cut += 1;
        }
        if let Some(transfer) = self.transfers.get(conn) {
            // The socket has nothing of it, so the close need not wait for it.
            transfer.stand = Stand::Reading;
        }
        self.close(conn, cause);
    }

    /// The connection is closing. Whether the socket has something of its transfer, which must come back first.
    pub(crate) fn abandon_transfer(&mut self, conn: Conn) -> bool {
        match self.transfers.get(conn).map(|transfer| transfer.stand) {
            Some(Stand::Sending) => true,
            Some(_) => {
                self.end_transfer(conn);
                false
            }
            None => false,
        }
    }

    /// Forgets a transfer of which the socket has nothing; its slots come back, now or with their reads.
    fn end_transfer(&mut self, conn: Conn) {
        self.forget_ahead(conn);
        if self.transfers.get(conn).is_none() {
            return;
        }
        self.transfers.by_conn.remove(conn.slot);
        self.stats.transfers_live -= 1;
        if let Some(record) = self.table.get(conn) {
            record.clear(flag::TRANSFER);
            record.ops -= 1;
        }
    }

    /// A connection cannot take a transfer along to another shard or process: what is left of it would have to travel as bytes.
    pub(crate) fn cut_transfers(&mut self) {
        for conn in self.table.conns() {
            if self.transfers.get(conn).is_some() {
                self.close(conn, Cause::FileCut);
            }
        }
    }
}
