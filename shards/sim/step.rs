//! How operations come to their ends: a few at each wait, in any legal order.

use crate::faults::Fault;
use crate::guard::checksum;
use crate::kernel::State;
use crate::ring::{InFlight, Work};
use crate::storage;
use ringway_io::{Completion, Errno, Key, OpKind, Outcome, Peer, PoolFull, RecvEnd, Socket};
use std::collections::{HashMap, HashSet, VecDeque};
use std::net::SocketAddr;

const ECONNRESET: Errno = Errno(104);
const EPIPE: Errno = Errno(32);
const ECANCELED: Errno = Errno(125);
const ENFILE: Errno = Errno(23);
const EMFILE: Errno = Errno(24);

/// How many in a thousand operations that could go on do so at a wait.
const PROGRESS_PERMILLE: u16 = 700;

/// What became of an operation at this wait.
pub(crate) enum Progress {
    /// It goes on.
    Waits,
    /// It goes on, and had something to tell.
    Told(Outcome),
    /// It has ended.
    Ended(Outcome),
}

/// Whether a wait would have something to give or to do.
pub(crate) fn can_progress(state: &State, shard: usize) -> bool {
    let ring = &state.rings[shard];
    !ring.ready.is_empty()
        || ring
            .in_flight
            .iter()
            .any(|operation| !operation.seen || is_due(state, shard, operation))
}

fn is_due(state: &State, shard: usize, operation: &InFlight) -> bool {
    if operation.cancelled {
        return true;
    }
    match &operation.work {
        Work::Accept { listener } => !state.rings[shard].doors[*listener].arriving.is_empty(),
        Work::Recv { pair } => {
            let pair = &state.pairs[*pair];
            pair.reset || pair.up.ended || !pair.up.bytes.is_empty()
        }
        Work::Send { pair, .. } | Work::Writable { pair } => {
            let pair = &state.pairs[*pair];
            pair.reset || pair.down.ended || pair.down.room() > 0
        }
        Work::Cancel { .. }
        | Work::Shutdown { .. }
        | Work::Close { .. }
        | Work::SendSocket { .. }
        | Work::Compute { .. }
        | Work::SendFile { .. }
        | Work::SendSlot { .. }
        | Work::File { .. } => true,
    }
}

/// One wait of a shard.
pub(crate) fn run(state: &mut State, shard: usize, batch: &mut Vec<Completion>) {
    storage::notice_some(state, shard);
    if !can_progress(state, shard) || roll(state, Fault::SpuriousReturn) {
        return;
    }
    let mut order: Vec<usize> = (0..state.rings[shard].in_flight.len()).collect();
    state.random.shuffle(&mut order);
    let mut ended = HashSet::new();
    for index in order {
        if visit(state, shard, index) {
            ended.insert(index);
        }
    }
    let mut index = 0;
    state.rings[shard].in_flight.retain(|_| {
        index += 1;
        !ended.contains(&(index - 1))
    });
    tell_stale(state, shard);
    hand_out(state, shard, batch);
}

pub(crate) fn roll(state: &mut State, fault: Fault) -> bool {
    state.faults.roll(&mut state.random, fault)
}

/// Lets one operation go on; whether it ended.
fn visit(state: &mut State, shard: usize, index: usize) -> bool {
    let operation = &mut state.rings[shard].in_flight[index];
    if !operation.seen {
        operation.seen = true;
        if roll(state, Fault::SubmitDelayed) {
            state.rings[shard].in_flight[index].seen = false;
            return false;
        }
    }
    let due = is_due(state, shard, &state.rings[shard].in_flight[index]);
    if !due || !state.random.chance(PROGRESS_PERMILLE) {
        return false;
    }
    let (progress, key) = (
        advance(state, shard, index),
        state.rings[shard].in_flight[index].key,
    );
    let (outcome, ended) = match progress {
        Progress::Waits => return false,
        Progress::Told(outcome) => (outcome, false),
        Progress::Ended(outcome) => (outcome, true),
    };
    state.rings[shard]
        .ready
        .push_back(Completion { key, outcome });
    ended
}

fn advance(state: &mut State, shard: usize, index: usize) -> Progress {
    let operation = &state.rings[shard].in_flight[index];
    let (key, cancelled) = (operation.key, operation.cancelled);
    match &operation.work {
        Work::Accept { listener } => {
            let listener = *listener;
            accept(state, shard, listener, cancelled)
        }
        Work::Recv { pair } => {
            let at = (*pair, operation.socket.unwrap_or_default());
            receive(state, shard, at, cancelled)
        }
        Work::Send { .. } => send(state, shard, index, cancelled),
        Work::Cancel { target } => {
            let target = *target;
            cancel(state, shard, target)
        }
        Work::Shutdown { pair, both } => {
            let (pair, both) = (*pair, *both);
            let pair = &mut state.pairs[pair];
            pair.down.ended = true;
            if both {
                pair.up.ended = true;
            }
            Progress::Ended(Outcome::ShutDown)
        }
        Work::Close { socket } => {
            let socket = *socket;
            close(state, shard, socket)
        }
        Work::SendSocket { socket, to, token } => {
            let (socket, to, token) = (*socket, *to, *token);
            send_socket(state, shard, socket, to, token)
        }
        Work::Compute { .. } => compute(state, shard, index, key),
        Work::SendFile {
            pair,
            file,
            offset,
            count,
        } => {
            let (pair, at, count) = (*pair, (*file, *offset), *count);
            let end = storage::send_file(state, shard, pair, at, count);
            Progress::Ended(Outcome::FileSent(end))
        }
        Work::SendSlot { .. } => storage::send_slot(state, shard, index),
        Work::Writable { .. } => Progress::Ended(Outcome::Writable),
        Work::File { .. } => storage::file_op(state, shard, index),
    }
}

/// Who connects to the first listener has an address, who connects to another is a process of this host.
fn peer_of(pair: usize, listener: usize) -> Peer {
    match listener {
        0 => {
            let address = [10, 0, (pair >> 8) as u8, pair as u8];
            Peer::Inet(SocketAddr::from((address, 40_000)))
        }
        _ => Peer::Unix {
            // Root, whom whoever listens trusts.
            uid: 0,
            pid: pair as u32,
        },
    }
}

fn accept(state: &mut State, shard: usize, listener: usize, cancelled: bool) -> Progress {
    let none = |errno, more| Outcome::Accepted {
        result: Err(errno),
        more,
    };
    let is_empty = state.rings[shard].doors[listener].arriving.is_empty();
    if is_empty || (cancelled && state.random.chance(500)) {
        return Progress::Ended(none(ECANCELED, false));
    }
    if roll(state, Fault::AcceptFailed) {
        return Progress::Ended(none(EMFILE, false));
    }
    let Some(pair) = state.rings[shard].doors[listener].arriving.pop_front() else {
        return Progress::Waits;
    };
    let Some(socket) = state.rings[shard].install(pair) else {
        // The kernel has taken the client by then, which sees its end.
        state.faults.note(Fault::TableFull);
        state.pairs[pair].break_off();
        return Progress::Told(none(ENFILE, true));
    };
    state.pairs[pair].descriptors += 1;
    let peer = peer_of(pair, listener);
    let more = !roll(state, Fault::AcceptEnded);
    let outcome = Outcome::Accepted {
        result: Ok((Socket(socket), peer)),
        more,
    };
    if more {
        Progress::Told(outcome)
    } else {
        Progress::Ended(outcome)
    }
}

fn receive(
    state: &mut State,
    shard: usize,
    (index, socket): (usize, u32),
    cancelled: bool,
) -> Progress {
    let ended = |end| Progress::Ended(Outcome::RecvEnded(end));
    let pair = &state.pairs[index];
    let (available, reset) = (pair.up.bytes.len(), pair.reset);
    let finished = pair.up.ended;
    if cancelled && (available == 0 || state.random.chance(500)) {
        return ended(RecvEnd::Cancelled);
    }
    if reset {
        return ended(RecvEnd::Failed(ECONNRESET));
    }
    if available == 0 && !finished {
        return Progress::Waits;
    }
    // A buffer is chosen before the socket is looked at: an empty pool hides the end, too.
    if state.rings[shard].pool.is_empty() {
        state.faults.note(Fault::PoolEmpty);
        state.rings[shard].starved.push(socket);
        return ended(RecvEnd::NoBuffers);
    }
    if available == 0 {
        return ended(RecvEnd::Eof);
    }
    if roll(state, Fault::ReceiveEnded) {
        return ended(RecvEnd::Ended);
    }
    let whole = available.min(state.rings[shard].pool.buffer_bytes());
    let count = if roll(state, Fault::ShortReceive) {
        1 + state.random.below(whole)
    } else {
        whole
    };
    let bytes = state.pairs[index].up.take(count);
    let lease = state.rings[shard].pool.fill(&bytes);
    if cancelled {
        state.faults.note(Fault::BytesAfterCancel);
    }
    let more = !roll(state, Fault::ReceiveEnded);
    let outcome = Outcome::Received { lease, more };
    if more {
        Progress::Told(outcome)
    } else {
        Progress::Ended(outcome)
    }
}

fn send(state: &mut State, shard: usize, index: usize, cancelled: bool) -> Progress {
    let Work::Send {
        pair,
        frame,
        checksum: sum,
        piece,
        goes_on,
        moved,
    } = &state.rings[shard].in_flight[index].work
    else {
        unreachable!("the caller matched a send")
    };
    assert_eq!(*sum, checksum(frame), "a frame changed while it was sent");
    let (pair, piece, moved, frame) = (*pair, piece.clone(), *moved, frame.clone());
    let goes_on = *goes_on;
    let ended = |result| Progress::Ended(Outcome::Sent(result));
    let partial = |errno| {
        if moved > 0 {
            Ok(moved as u32)
        } else {
            Err(errno)
        }
    };
    if state.pairs[pair].reset {
        return ended(partial(ECONNRESET));
    }
    if state.pairs[pair].down.ended {
        return ended(partial(EPIPE));
    }
    if cancelled && state.random.chance(500) {
        if moved > 0 {
            state.faults.note(Fault::CancelledSendMoved);
        }
        return ended(partial(ECANCELED));
    }
    let rest = &frame[piece.start + moved..piece.end];
    let short = roll(state, Fault::ShortSend);
    let room = state.pairs[pair].down.room();
    if room < rest.len() {
        state.faults.note(Fault::SlowReader);
    }
    let mut count = rest.len().min(room);
    if short && count > 0 {
        count = 1 + state.random.below(count);
    }
    state.pairs[pair].down.put(&rest[..count]);
    let total = moved + count;
    if goes_on && (short || piece.start + total == piece.end) {
        state.pairs[pair].down.hold(count);
    }
    if piece.start + total == piece.end || (short && total > 0) {
        return ended(Ok(total as u32));
    }
    if let Work::Send { moved, .. } = &mut state.rings[shard].in_flight[index].work {
        *moved = total;
    }
    Progress::Waits
}

fn cancel(state: &mut State, shard: usize, target: Key) -> Progress {
    let found = state.rings[shard].in_flight.iter_mut().find(|operation| {
        operation.key == target && !matches!(operation.work, Work::Cancel { .. })
    });
    match found {
        Some(operation) => operation.cancelled = true,
        None => state.faults.note(Fault::CancelTooLate),
    }
    Progress::Ended(Outcome::CancelSeen)
}

fn close(state: &mut State, shard: usize, socket: u32) -> Progress {
    let ring = &mut state.rings[shard];
    let pair = ring.pair(socket);
    ring.sockets[socket as usize] = None;
    let pair = &mut state.pairs[pair];
    pair.descriptors -= 1;
    if pair.descriptors == 0 {
        pair.close();
    }
    Progress::Ended(Outcome::Closed)
}

fn send_socket(state: &mut State, shard: usize, socket: u32, to: usize, token: u64) -> Progress {
    let pair = state.rings[shard].pair(socket);
    let Some(slot) = state.rings[to].install(pair) else {
        state.faults.note(Fault::TableFull);
        return Progress::Ended(Outcome::SocketSent(Err(ENFILE)));
    };
    state.pairs[pair].descriptors += 1;
    let outcome = Outcome::Arrived {
        socket: Socket(slot),
        token,
    };
    // Last in, first out, as the kernel does it.
    let key = Key::new(OpKind::Arrive, 0, 0);
    state.rings[to]
        .ready
        .push_front(Completion { key, outcome });
    Progress::Ended(Outcome::SocketSent(Ok(())))
}

fn compute(state: &mut State, shard: usize, index: usize, _key: Key) -> Progress {
    let is_refused = roll(state, Fault::ComputeRefused);
    let done: ringway_io::Job = Box::new(|| unreachable!("a job runs once"));
    let Work::Compute { job } = &mut state.rings[shard].in_flight[index].work else {
        unreachable!("the caller matched a job")
    };
    let job = core::mem::replace(job, done);
    let result = if is_refused {
        Err(PoolFull(job))
    } else {
        Ok(job())
    };
    Progress::Ended(Outcome::Computed(result))
}

/// Bytes for a connection that is closed: its slot may serve another client by now.
fn tell_stale(state: &mut State, shard: usize) {
    if state.rings[shard].stale.is_empty()
        || state.rings[shard].pool.is_empty()
        || !roll(state, Fault::CompletionAfterClose)
    {
        return;
    }
    let count = state.rings[shard].stale.len();
    let at = state.random.below(count);
    let key = state.rings[shard].stale.swap_remove(at);
    let lease = state.rings[shard].pool.fill(b"GET /of-a-closed-connection");
    let outcome = Outcome::Received { lease, more: false };
    state.rings[shard]
        .ready
        .push_back(Completion { key, outcome });
}

/// Gives out what has ended: each operation's completions in their order, those of different operations in any.
fn hand_out(state: &mut State, shard: usize, batch: &mut Vec<Completion>) {
    let ready: Vec<Completion> = state.rings[shard].ready.drain(..).collect();
    let mut keys: Vec<Key> = ready.iter().map(|completion| completion.key).collect();
    let mut by_key: HashMap<Key, VecDeque<Completion>> = HashMap::new();
    for completion in ready {
        by_key
            .entry(completion.key)
            .or_default()
            .push_back(completion);
    }
    let before = keys.clone();
    state.random.shuffle(&mut keys);
    if keys != before {
        state.faults.note(Fault::Reordered);
    }
    let mut held = HashSet::new();
    for key in keys {
        let Some(completion) = by_key.get_mut(&key).and_then(VecDeque::pop_front) else {
            unreachable!("as many completions as keys")
        };
        if held.contains(&key) || roll(state, Fault::CompletionHeld) {
            held.insert(key);
            state.rings[shard].ready.push_back(completion);
        } else {
            note_closed(state, shard, &completion);
            batch.push(completion);
        }
    }
}

/// From now on nothing may come for this connection; if the kernel were late, something would.
fn note_closed(state: &mut State, shard: usize, completion: &Completion) {
    let key = completion.key;
    if matches!(completion.outcome, Outcome::Closed) && key.slot() != u32::MAX {
        let receive = Key::new(OpKind::Recv, key.generation(), key.slot());
        state.rings[shard].stale.push(receive);
    }
}
