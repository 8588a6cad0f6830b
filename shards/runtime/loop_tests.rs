//! The loop over a driver that does only what a test says: each operation is recorded, each completion is written by hand.

use crate::{Bounds, Cause, Class, Command, Conn, Context, Handler, MailOutcome, Mesh};
use crate::{FileOutcome, FilePiece, MeshBounds, Now, Outgoing, Shard};
use core::time::Duration;
use ringway_io::{
    Completion, Driver, Entropy, Errno, Frame, JobOutput, Key, LeaseId, Listener, Op, OpKind,
    Outcome, Peer, PoolFull, RecvEnd, RecvLease, ShardId, SlotLease, Socket,
};
use std::collections::{BTreeMap, VecDeque};
use std::net::SocketAddr;

const PEER: ShardId = ShardId(1);
pub(crate) const SLOT_BYTES: u32 = 64 * 1024;

/// Records operations, hands out scripted completions, and counts the leases that are out.
#[derive(Default)]
pub(crate) struct Script {
    pub(crate) now: Duration,
    pub(crate) submitted: Vec<(Key, Op)>,
    listeners: u32,
    /// Those that were closed.
    pub(crate) stopped: Vec<Listener>,
    completions: Vec<Completion>,
    left_some: bool,
    buffers: BTreeMap<u32, Vec<u8>>,
    buffers_made: u32,
    sevens: Sevens,
    /// Slots of the arena that are free.
    pub(crate) slots: Vec<u16>,
}

/// Bits that are always the same.
#[derive(Default)]
pub(crate) struct Sevens;

impl Entropy for Sevens {
    fn draw(&mut self) -> u64 {
        7
    }
}

impl Driver for Script {
    type Entropy = Sevens;

    fn submit(&mut self, key: Key, op: Op) {
        self.submitted.push((key, op));
    }

    fn wait(&mut self, _: Option<Duration>, batch: &mut Vec<Completion>) {
        batch.append(&mut self.completions);
    }

    fn has_left_some(&self) -> bool {
        self.left_some
    }

    fn now(&self) -> Duration {
        self.now
    }

    fn unix_time(&self) -> Duration {
        self.now
    }

    fn entropy(&mut self) -> u64 {
        self.sevens.draw()
    }

    fn lend<'a>(&'a mut self, lease: &'a mut RecvLease) -> (&'a mut [u8], &'a mut Sevens) {
        let buffer = self.buffers.get_mut(&lease.id().0);
        (buffer.expect("a leased buffer is out"), &mut self.sevens)
    }

    fn recycle(&mut self, lease: RecvLease) {
        let known = self.buffers.remove(&lease.id().0);
        assert!(known.is_some(), "a lease is returned once");
    }

    fn slot_bytes_max(&self) -> u32 {
        SLOT_BYTES
    }

    fn take_slot(&mut self) -> Option<SlotLease> {
        self.slots.pop().map(SlotLease::grant)
    }

    fn return_slot(&mut self, slot: SlotLease) {
        assert!(!self.slots.contains(&slot.id()), "a slot is returned once");
        self.slots.push(slot.id());
    }

    fn slot_bytes<'a>(&'a mut self, _: &'a mut SlotLease) -> &'a mut [u8] {
        unreachable!("the loop looks into no slot")
    }

    fn wake(&mut self, _: ShardId) {}

    fn listeners(&self) -> u32 {
        self.listeners
    }

    fn stop_listening(&mut self, listener: Listener) {
        self.stopped.push(listener);
    }
}

/// Notes what it was told; each connection sends what stands in `outgoing`.
#[derive(Default)]
pub(crate) struct Notes {
    pub(crate) accepted: Vec<(Listener, Peer)>,
    received: Vec<u8>,
    pub(crate) closed: Vec<Cause>,
    pub(crate) outgoing: VecDeque<Vec<u8>>,
    /// What is sent when there is none of that.
    pub(crate) pieces: VecDeque<FilePiece>,
    pub(crate) sent: u32,
    /// What the next message of the control thread commands.
    commanded: Option<Command>,
    /// What was answered about files.
    pub(crate) answers: Vec<(u64, FileOutcome)>,
    is_answering: bool,
    is_timing: bool,
    /// Deadlines, and whether all was heard before them.
    deadlines: Vec<(u64, bool)>,
}

impl Handler for Notes {
    type Control = ();

    fn is_answering(&self, _: Conn) -> bool {
        self.is_answering
    }

    fn is_timing(&self, _: Conn) -> bool {
        self.is_timing
    }

    fn accepted(&mut self, _: &mut Context<'_>, _: Conn, listener: Listener, peer: Peer) {
        self.accepted.push((listener, peer));
    }

    fn received(&mut self, _: &mut Context<'_>, _: Conn, bytes: &mut [u8]) {
        self.received.extend_from_slice(bytes);
    }

    fn finished(&mut self, _: &mut Context<'_>, _: Conn) {}

    fn next_send(&mut self, _: Now, _: Conn) -> Option<Outgoing> {
        let frame = self.outgoing.pop_front().map(Frame::from);
        let piece = || self.pieces.pop_front().map(Box::new).map(Outgoing::File);
        frame.map(Outgoing::from).or_else(piece)
    }

    fn sent(&mut self, _: &mut Context<'_>, _: Conn) {
        self.sent += 1;
    }

    fn file(&mut self, _: &mut Context<'_>, token: u64, outcome: FileOutcome) {
        self.answers.push((token, outcome));
    }

    fn closed(&mut self, _: &mut Context<'_>, _: Conn, cause: Cause) {
        self.closed.push(cause);
    }

    fn freeze(&mut self, _: Now, _: Conn) -> Vec<u8> {
        b"state".to_vec()
    }

    fn arrived(&mut self, _: &mut Context<'_>, _: Conn, _: &[u8]) {}

    fn mail(&mut self, _: &mut Context<'_>, _: ShardId, _: Class, _: &[u8]) -> MailOutcome {
        MailOutcome::Taken
    }

    fn deadline(&mut self, cx: &mut Context<'_>, token: u64) {
        self.deadlines.push((token, cx.heard_all));
    }

    fn computed(&mut self, _: &mut Context<'_>, _: u32, _: Result<JobOutput, PoolFull>) {}

    fn control(&mut self, cx: &mut Context<'_>, (): ()) {
        cx.commands.extend(self.commanded.take());
    }

    fn lap(&mut self, _: &mut Context<'_>) {}
}

/// A shard, and the way to command it.
pub(crate) struct Bench {
    pub(crate) shard: Shard<Script, Notes>,
    control: rtrb::Producer<()>,
}

pub(crate) const CONN: Conn = Conn {
    slot: 0,
    generation: 0,
};

impl Bench {
    pub(crate) fn new(connections_max: u32) -> Self {
        Self::with_listeners(connections_max, 1)
    }

    pub(crate) fn with_listeners(connections_max: u32, listeners: u32) -> Self {
        let mesh = Mesh::build(2, &MeshBounds::within(1 << 20, 2)).swap_remove(0);
        let (control, messages) = rtrb::RingBuffer::new(8);
        let bounds = Bounds {
            connections_max,
            linger: Duration::from_secs(1),
        };
        let script = Script {
            listeners,
            ..Script::default()
        };
        let mut shard = Shard::new(script, Notes::default(), mesh, messages, bounds);
        shard.start();
        Self { shard, control }
    }

    /// With one connection, its receive armed.
    pub(crate) fn connected() -> Self {
        let mut bench = Self::new(100);
        bench.accept(0);
        assert_eq!(bench.kinds(), [OpKind::Accept, OpKind::Recv]);
        bench
    }

    pub(crate) fn accept(&mut self, socket: u32) {
        let peer = Peer::Inet(SocketAddr::from(([127, 0, 0, 1], 1)));
        let result = Ok((Socket(socket), peer));
        let outcome = Outcome::Accepted { result, more: true };
        self.complete(Key::new(OpKind::Accept, 0, 0), [outcome]);
    }

    /// Handles these completions, then does a lap's work.
    pub(crate) fn complete(&mut self, key: Key, outcomes: impl IntoIterator<Item = Outcome>) {
        let script = &mut self.shard.driver.completions;
        script.extend(
            outcomes
                .into_iter()
                .map(|outcome| Completion { key, outcome }),
        );
        self.shard.rest();
        self.shard.work();
    }

    pub(crate) fn complete_conn(&mut self, kind: OpKind, outcome: Outcome) {
        self.complete(crate::table::key(kind, CONN), [outcome]);
    }

    pub(crate) fn command(&mut self, command: Command) {
        // Commands stay on their thread: files are counted there.
        self.shard.handler.commanded = Some(command);
        assert!(self.control.push(()).is_ok(), "the ring has room");
        self.shard.work();
    }

    fn bytes(&mut self, bytes: &[u8], more: bool) -> Outcome {
        let driver = &mut self.shard.driver;
        driver.buffers_made += 1;
        driver.buffers.insert(driver.buffers_made, bytes.to_vec());
        let lease = RecvLease::grant(LeaseId(driver.buffers_made), bytes.len() as u32);
        Outcome::Received { lease, more }
    }

    /// What was submitted since the last look.
    pub(crate) fn kinds(&mut self) -> Vec<OpKind> {
        let submitted = &mut self.shard.driver.submitted;
        submitted.drain(..).map(|(key, _)| key.kind()).collect()
    }
}

#[test]
fn a_peer_that_left_is_closed_without_another_receive() {
    let mut bench = Bench::connected();
    bench.complete_conn(OpKind::Recv, Outcome::RecvEnded(RecvEnd::Eof));
    assert_eq!(bench.kinds(), [OpKind::Close]);
    assert_eq!(bench.shard.handler.closed, [Cause::Peer]);
    bench.complete_conn(OpKind::Close, Outcome::Closed);
    assert_eq!(bench.shard.table.live(), 0);
}

/// It may have asked, finished, and be reading (RFC 9112 §9.6).
#[test]
fn a_peer_that_finished_gets_what_there_is_to_tell_it() {
    let mut bench = Bench::connected();
    bench.kinds();
    bench.shard.handler.outgoing.push_back(b"answer".to_vec());
    bench.complete_conn(OpKind::Recv, Outcome::RecvEnded(RecvEnd::Eof));
    let answer = bench.shard.driver.submitted.pop().map(|(_, op)| op);
    assert!(
        matches!(answer, Some(Op::Send { goes_on: false, .. })),
        "it may have asked for more"
    );
    assert_eq!(bench.shard.handler.closed, []);
    bench.complete_conn(OpKind::Send, Outcome::Sent(Ok(6)));
    assert_eq!(bench.kinds(), [OpKind::Close]);
    assert_eq!(bench.shard.handler.closed, [Cause::Peer]);
}

#[test]
fn a_slow_peer_is_cut_off_when_it_reads_nothing_and_not_before() {
    let mut bench = Bench::connected();
    bench.kinds();
    bench.shard.handler.outgoing.push_back(vec![7; 300_000]);
    bench.command(Command::CloseAfterFlush(CONN));
    for (second, piece) in [(1, 131_072), (2, 131_072)] {
        bench.complete_conn(OpKind::Send, Outcome::Sent(Ok(piece)));
        bench.shard.driver.now = Duration::from_millis(second * 1200);
        bench.shard.work();
        assert_eq!(bench.shard.handler.closed, [], "it read in second {second}");
    }
    bench.kinds();
    bench.shard.driver.now = Duration::from_millis(4000);
    bench.shard.work();
    assert_eq!(bench.shard.handler.closed, [Cause::Closed]);
    assert_eq!(bench.shard.stats.sends_short, 0, "pieces are not short");
}

#[test]
fn deadlines_know_whether_all_was_heard_before_them() {
    let mut bench = Bench::connected();
    for (token, left_some) in [(1, true), (2, false)] {
        let at = Duration::from_secs(token);
        bench.command(Command::Timer { at, token });
        bench.shard.driver.now = at;
        bench.shard.driver.left_some = left_some;
        bench.shard.rest();
        bench.shard.work();
    }
    assert_eq!(bench.shard.handler.deadlines, [(1, false), (2, true)]);
    assert_eq!(bench.shard.stats.laps_behind, 1);
}

#[test]
fn stale_bytes_give_their_lease_back_and_nothing_else() {
    let mut bench = Bench::connected();
    bench.complete_conn(OpKind::Recv, Outcome::RecvEnded(RecvEnd::Eof));
    bench.complete_conn(OpKind::Close, Outcome::Closed);
    bench.kinds();
    let stale = bench.bytes(b"late", true);
    bench.complete_conn(OpKind::Recv, stale);
    assert_eq!(bench.kinds(), []);
    assert_eq!(bench.shard.handler.received, b"");
    assert_eq!(bench.shard.stats.completions_stale, 1);
    assert!(bench.shard.driver.buffers.is_empty(), "the lease came back");
}

#[test]
fn a_short_send_continues_where_it_stopped() {
    let mut bench = Bench::connected();
    bench.kinds();
    bench
        .shard
        .handler
        .outgoing
        .extend([b"hello".to_vec(), b"next".to_vec()]);
    bench.command(Command::Dirty(CONN));
    assert_eq!(bench.kinds(), [OpKind::Send], "one send in flight");
    bench.complete_conn(OpKind::Send, Outcome::Sent(Ok(2)));
    let rest = bench.shard.driver.submitted.pop().map(|(_, op)| op);
    assert!(
        matches!(&rest, Some(Op::Send { piece, .. }) if *piece == (2..5)),
        "{rest:?}"
    );
    bench.complete_conn(OpKind::Send, Outcome::Sent(Ok(3)));
    let next = bench.shard.driver.submitted.pop().map(|(_, op)| op);
    assert!(
        matches!(&next, Some(Op::Send { piece, frame, .. }) if piece.start == 0 && &frame[..] == b"next"),
        "{next:?}"
    );
}

#[test]
fn what_may_go_later_goes_in_time_or_with_what_goes_before() {
    let at = Duration::from_micros;
    let mut bench = Bench::connected();
    bench.kinds();
    let start = bench.shard.driver.now;
    bench.shard.handler.outgoing.push_back(b"first".to_vec());
    bench.command(Command::DirtyAt {
        conn: CONN,
        at: start + at(200),
    });
    assert_eq!(bench.kinds(), []);
    assert_eq!(bench.shard.park(), Some(start + at(200)));
    bench.shard.driver.now = start + at(199);
    bench.shard.work();
    assert_eq!(bench.kinds(), []);
    bench.shard.driver.now = start + at(200);
    bench.shard.work();
    assert_eq!(bench.kinds(), [OpKind::Send]);
    bench.complete_conn(OpKind::Send, Outcome::Sent(Ok(5)));
    bench.shard.handler.outgoing.push_back(b"second".to_vec());
    bench.command(Command::DirtyAt {
        conn: CONN,
        at: start + at(400),
    });
    bench.command(Command::Dirty(CONN));
    assert_eq!(bench.kinds(), [OpKind::Send], "something else is said");
    bench.complete_conn(OpKind::Send, Outcome::Sent(Ok(6)));
    bench.shard.driver.now = start + at(400);
    bench.shard.work();
    assert_eq!(bench.kinds(), [], "there is nothing left to say");
}

#[test]
fn no_close_before_the_last_completion() {
    let mut bench = Bench::connected();
    bench.kinds();
    bench.shard.handler.outgoing.push_back(b"hello".to_vec());
    bench.command(Command::Dirty(CONN));
    bench.command(Command::Close(CONN));
    assert_eq!(
        bench.kinds(),
        [OpKind::Send, OpKind::Shutdown, OpKind::Cancel]
    );
    bench.complete_conn(OpKind::Shutdown, Outcome::ShutDown);
    bench.complete_conn(OpKind::Cancel, Outcome::CancelSeen);
    bench.complete_conn(OpKind::Recv, Outcome::RecvEnded(RecvEnd::Cancelled));
    assert_eq!(bench.kinds(), [], "the send is still in flight");
    bench.complete_conn(OpKind::Send, Outcome::Sent(Err(Errno(32))));
    assert_eq!(bench.kinds(), [OpKind::Close]);
}

/// A WebSocket's peer that has sent its close frame says no more: its end is not waited for.
#[test]
fn a_peer_that_said_all_is_closed_behind_the_last_frame() {
    let mut bench = Bench::connected();
    bench.kinds();
    bench.shard.handler.outgoing.push_back(b"close".to_vec());
    bench.command(Command::PeerFinished(CONN));
    bench.command(Command::CloseAfterFlush(CONN));
    let last = bench.shard.driver.submitted.pop().map(|(_, op)| op);
    assert!(
        matches!(last, Some(Op::Send { goes_on: true, .. })),
        "the end goes with it"
    );
    bench.complete_conn(OpKind::Send, Outcome::Sent(Ok(5)));
    assert_eq!(bench.shard.handler.closed, [Cause::Peer]);
    assert_eq!(bench.kinds(), [OpKind::Cancel], "nothing is shut down");
    bench.complete_conn(OpKind::Cancel, Outcome::CancelSeen);
    assert_eq!(bench.kinds(), [], "the receive is still in flight");
    bench.complete_conn(OpKind::Recv, Outcome::RecvEnded(RecvEnd::Cancelled));
    assert_eq!(bench.kinds(), [OpKind::Close]);
    bench.complete_conn(OpKind::Close, Outcome::Closed);
    assert_eq!(bench.shard.table.live(), 0);
}

#[test]
fn who_said_all_is_not_cut_off_while_it_waits_for_us() {
    let mut bench = Bench::connected();
    bench.shard.handler.is_answering = true;
    bench.command(Command::PeerFinished(CONN));
    bench.command(Command::CloseAfterFlush(CONN));
    for second in [3, 6, 9] {
        bench.shard.driver.now = Duration::from_secs(second);
        bench.shard.work();
        assert_eq!(bench.shard.handler.closed, [], "{second}");
    }
    // What is on its way to it, it has to read.
    bench.shard.handler.outgoing.push_back(b"answer".to_vec());
    bench.command(Command::Dirty(CONN));
    for second in [12, 15] {
        bench.shard.driver.now = Duration::from_secs(second);
        bench.shard.work();
    }
    assert_eq!(bench.shard.handler.closed, [Cause::Closed]);
}

/// A long answer out of memory has a time of its own, after which the handler closes its connection.
#[test]
fn who_said_all_has_as_much_time_to_read_as_others() {
    let mut bench = Bench::connected();
    bench.shard.handler.is_answering = true;
    bench.shard.handler.is_timing = true;
    bench.shard.handler.outgoing.push_back(b"long".to_vec());
    bench.command(Command::PeerFinished(CONN));
    bench.command(Command::CloseAfterFlush(CONN));
    for second in [3, 6, 60] {
        bench.shard.driver.now = Duration::from_secs(second);
        bench.shard.work();
        assert_eq!(bench.shard.handler.closed, [], "{second}");
    }
    bench.shard.handler.is_timing = false;
    bench.shard.driver.now = Duration::from_secs(63);
    bench.shard.work();
    assert_eq!(bench.shard.handler.closed, [Cause::Closed]);
}

#[test]
fn who_may_say_more_is_listened_to_behind_the_last_frame() {
    let mut bench = Bench::connected();
    bench.kinds();
    bench.shard.handler.outgoing.push_back(b"last".to_vec());
    bench.command(Command::CloseAfterFlush(CONN));
    bench.complete_conn(OpKind::Send, Outcome::Sent(Ok(4)));
    assert_eq!(bench.kinds(), [OpKind::Send, OpKind::Shutdown]);
    assert_eq!(bench.shard.handler.closed, []);
}

#[test]
fn a_starved_receive_is_armed_once_a_lap() {
    let mut bench = Bench::connected();
    bench.kinds();
    bench.complete_conn(OpKind::Recv, Outcome::RecvEnded(RecvEnd::NoBuffers));
    assert_eq!(bench.kinds(), [OpKind::Recv]);
    bench.shard.work();
    assert_eq!(bench.kinds(), []);
}

/// What came before the peer's end is delivered, although the handler had paused when both arrived.
#[test]
fn bytes_before_the_end_outlive_a_pause() {
    let mut bench = Bench::connected();
    bench.command(Command::Pause(CONN));
    let last = bench.bytes(b"publish", true);
    let key = crate::table::key(OpKind::Recv, CONN);
    bench.complete(key, [last, Outcome::RecvEnded(RecvEnd::Eof)]);
    bench.complete_conn(OpKind::Cancel, Outcome::CancelSeen);
    assert_eq!(bench.shard.handler.closed, [], "not before it read them");
    bench.kinds();
    bench.command(Command::Resume(CONN));
    assert_eq!(bench.shard.handler.received, b"publish");
    assert_eq!(bench.kinds(), [OpKind::Recv], "which says the end again");
}

fn migrating() -> Bench {
    let mut bench = Bench::connected();
    bench.command(Command::Migrate {
        conn: CONN,
        to: PEER,
    });
    bench.kinds();
    bench.complete_conn(OpKind::Cancel, Outcome::CancelSeen);
    bench
}

#[test]
fn a_moved_connection_frees_its_slot() {
    let mut bench = migrating();
    bench.complete_conn(OpKind::Recv, Outcome::RecvEnded(RecvEnd::Cancelled));
    assert_eq!(bench.kinds(), [OpKind::SendSocket]);
    bench.complete_conn(OpKind::SendSocket, Outcome::SocketSent(Ok(())));
    assert_eq!(bench.kinds(), [OpKind::Close]);
    bench.complete_conn(OpKind::Close, Outcome::Closed);
    assert_eq!(bench.shard.table.live(), 0);
}

/// The end may be the last thing that the receive says before the move: the target sees it again.
#[test]
fn a_peer_that_leaves_during_the_move_frees_its_slot() {
    let mut bench = migrating();
    bench.complete_conn(OpKind::Recv, Outcome::RecvEnded(RecvEnd::Eof));
    assert_eq!(bench.kinds(), [OpKind::SendSocket]);
    bench.complete_conn(OpKind::SendSocket, Outcome::SocketSent(Ok(())));
    assert_eq!(bench.kinds(), [OpKind::Close]);
}

#[test]
fn a_reset_during_the_move_closes_here_and_tells_the_handler() {
    let mut bench = migrating();
    let reset = Outcome::RecvEnded(RecvEnd::Failed(Errno(104)));
    bench.complete_conn(OpKind::Recv, reset);
    assert_eq!(bench.kinds(), [OpKind::Close]);
    assert_eq!(bench.shard.handler.closed, [Cause::Failed]);
}

#[test]
fn a_linger_that_ends_during_the_move_frees_the_slot() {
    let mut bench = Bench::connected();
    bench.shard.handler.outgoing.push_back(b"last".to_vec());
    bench.command(Command::CloseAfterFlush(CONN));
    bench.command(Command::Migrate {
        conn: CONN,
        to: PEER,
    });
    bench.complete_conn(OpKind::Cancel, Outcome::CancelSeen);
    bench.complete_conn(OpKind::Recv, Outcome::RecvEnded(RecvEnd::Cancelled));
    bench.complete_conn(OpKind::Send, Outcome::Sent(Ok(4)));
    assert_eq!(bench.kinds().last(), Some(&OpKind::SendSocket));
    bench.shard.driver.now = Duration::from_secs(2);
    bench.shard.work();
    bench.complete_conn(OpKind::SendSocket, Outcome::SocketSent(Ok(())));
    assert_eq!(bench.kinds(), [OpKind::Close]);
}

/// As the driver reports a full descriptor table: the error, then the end of the accept.
#[test]
fn a_failed_accept_pauses() {
    let mut bench = Bench::new(100);
    bench.kinds();
    let failed = |errno, more| Outcome::Accepted {
        result: Err(Errno(errno)),
        more,
    };
    let key = Key::new(OpKind::Accept, 0, 0);
    bench.complete(key, [failed(23, true), failed(125, false)]);
    assert_eq!(bench.kinds(), [], "not in the same lap");
    assert_eq!(bench.shard.stats.accept_errors, 1);
    bench.shard.driver.now = Duration::from_secs(1);
    bench.shard.work();
    assert_eq!(bench.kinds(), [OpKind::Accept]);
}

#[test]
fn a_small_table_accepts_again_once_it_has_room() {
    let mut bench = Bench::new(1);
    bench.accept(0);
    assert_eq!(
        bench.kinds(),
        [OpKind::Accept, OpKind::Cancel, OpKind::Recv]
    );
    let ended = Outcome::Accepted {
        result: Err(Errno(125)),
        more: false,
    };
    bench.complete(Key::new(OpKind::Accept, 0, 0), [ended]);
    bench.complete_conn(OpKind::Recv, Outcome::RecvEnded(RecvEnd::Eof));
    bench.kinds();
    bench.complete_conn(OpKind::Close, Outcome::Closed);
    bench.shard.work();
    assert_eq!(bench.kinds(), [OpKind::Accept]);
}

/// A message to thousands does not keep the shard from whoever else has something to say.
#[test]
fn a_lap_sends_to_so_many_and_the_next_goes_on() {
    let mut bench = Bench::new(1000);
    (0..300).for_each(|socket| bench.accept(socket));
    bench.kinds();
    bench
        .shard
        .handler
        .outgoing
        .extend(vec![b"all".to_vec(); 300]);
    for slot in 0..300 {
        let conn = Conn {
            slot,
            generation: 0,
        };
        bench.shard.mark_dirty(conn);
    }
    let last = Conn {
        slot: 299,
        generation: 0,
    };
    bench.command(Command::Urgent(last));
    let first = bench
        .shard
        .driver
        .submitted
        .first()
        .map(|(key, _)| key.slot());
    assert_eq!(first, Some(299), "a ping does not wait for messages");
    assert_eq!(bench.kinds().len(), 128);
    for sends in [128, 44, 0] {
        bench.shard.work();
        assert_eq!(bench.kinds().len(), sends);
    }
    assert_eq!(bench.shard.park(), None, "it may sleep now");
}

/// What is long takes no turn of a message, and goes on a few at a time.
#[test]
fn what_is_long_goes_behind_messages() {
    let mut bench = Bench::new(1000);
    (0..310).for_each(|socket| bench.accept(socket));
    bench.kinds();
    bench
        .shard
        .handler
        .outgoing
        .extend(vec![b"all".to_vec(); 311]);
    let conn = |slot| Conn {
        slot,
        generation: 0,
    };
    (300..310).for_each(|slot| bench.shard.behind.push(conn(slot)));
    (0..300).for_each(|slot| bench.shard.mark_dirty(conn(slot)));
    for sends in [132, 132, 44 + 2] {
        assert_eq!(bench.shard.park(), Some(Duration::ZERO));
        bench.shard.work();
        assert_eq!(bench.kinds().len(), sends);
    }
    assert_eq!(bench.shard.park(), None, "it may sleep now");
    // One that is listed waits for its turn, also when its send is done.
    let done = crate::table::key(OpKind::Send, conn(300));
    bench.shard.behind.push(conn(300));
    bench.shard.sent(done, Ok(3));
    assert_eq!(bench.kinds().len(), 0);
    bench.shard.work();
    assert_eq!(bench.kinds().len(), 1);
}

/// What closes behind thousands of messages is not cut off before it had its turn.
#[test]
fn last_words_outlive_a_backlog() {
    let mut bench = Bench::new(1000);
    (0..300).for_each(|socket| bench.accept(socket));
    bench
        .shard
        .handler
        .outgoing
        .extend(vec![b"all".to_vec(); 300]);
    let conn = |slot| Conn {
        slot,
        generation: 0,
    };
    (0..300).for_each(|slot| bench.shard.mark_dirty(conn(slot)));
    bench.command(Command::CloseAfterFlush(conn(299)));
    bench.shard.driver.now = Duration::from_secs(2);
    bench.kinds();
    bench.shard.work();
    assert_eq!(bench.shard.handler.closed, [], "its turn has not come");
    bench.shard.work();
    let last = bench.shard.driver.submitted.last().map(|(key, _)| *key);
    assert_eq!(last, Some(crate::table::key(OpKind::Send, conn(299))));
}
