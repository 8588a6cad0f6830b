//! One shard: the loop and its phases. Accepting, receiving, sending, closing and moving stand in files of their own.

use crate::accept::Accept;
use crate::arrivals::Arrivals;
use crate::behind::Behind;
use crate::filework::FileWorks;
use crate::freeze::Stopping;
use crate::handler::{Command, Conn, Context, Handler, MailOutcome, Now};
use crate::late::Late;
use crate::mesh::{Class, Mesh, Owner};
use crate::stats::LoopStats;
use crate::table::{Table, flag};
use crate::transfer::Transfers;
use crate::wheel::TimerWheel;
use core::time::Duration;
use ringway_io::{Completion, Driver, Key, Listener, Op, OpKind, Outcome, ShardId};
use rtrb::Consumer;
use std::collections::VecDeque;

/// Requests taken from one shard in one lap.
const REQUESTS_PER_LAP: usize = 256;
/// Control messages taken in one lap.
const CONTROLS_PER_LAP: usize = 64;
/// In the key of an operation that is no connection's.
const NO_SLOT: u32 = u32::MAX;

/// What a shard may grow to.
#[derive(Clone, Copy, Debug)]
pub struct Bounds {
    /// Connections; the descriptor table must have a reserve beyond.
    pub connections_max: u32,
    /// How long a closed connection may take to read its last bytes.
    pub linger: Duration,
}

/// What a timer of the loop's own is for.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Timer {
    Linger(Conn),
    /// A transfer whose socket cannot say when it takes something asks again.
    Transfer(Conn),
    AcceptRetry(Listener),
    Arrival(u64),
    /// Transfers whose clients take nothing are looked for.
    Stalls,
}

/// A shard over a driver, under a handler.
pub struct Shard<D: Driver, H: Handler> {
    pub(crate) driver: D,
    pub(crate) handler: H,
    pub(crate) mesh: Mesh,
    pub(crate) table: Table,
    pub(crate) wheel: TimerWheel<Timer>,
    /// The handler's timers, by its tokens: one or two for each connection.
    pub(crate) handler_wheel: TimerWheel<u64>,
    pub(crate) stats: LoopStats,
    pub(crate) bounds: Bounds,
    pub(crate) commands: Vec<Command>,
    pub(crate) dirty: VecDeque<Conn>,
    /// Those that go before them.
    pub(crate) urgent: VecDeque<Conn>,
    /// Those that go behind them.
    pub(crate) behind: Behind,
    /// Those that are on none of these lists yet.
    late: Late,
    pub(crate) starved: Vec<Conn>,
    pub(crate) moving: Vec<Conn>,
    /// Hand-overs that failed, whose targets have not been told: shard and token.
    pub(crate) revoked: Vec<(ShardId, u64)>,
    pub(crate) arrivals: Arrivals,
    pub(crate) hand_overs: u64,
    pub(crate) files: FileWorks,
    pub(crate) transfers: Transfers,
    control: Consumer<H::Control>,
    batch: Vec<Completion>,
    scratch: Vec<u8>,
    now: Now,
    /// Of each listener.
    pub(crate) accepts: Vec<Accept>,
    exit: bool,
    /// Whether this lap began with all read that had come.
    heard_all: bool,
    /// Operations of no connection that are in flight, but for the accepts.
    pub(crate) strays: u32,
    pub(crate) stopping: Stopping,
}

impl<D: Driver, H: Handler> Shard<D, H> {
    /// A shard; it does nothing until [`Shard::run`] or the phases are called.
    #[must_use]
    pub fn new(
        driver: D,
        handler: H,
        mesh: Mesh,
        control: Consumer<H::Control>,
        bounds: Bounds,
    ) -> Self {
        let now = Now {
            monotonic: driver.now(),
            unix: driver.unix_time(),
        };
        let accepts = vec![Accept::default(); driver.listeners() as usize];
        Self {
            driver,
            handler,
            mesh,
            table: Table::with_capacity(bounds.connections_max),
            wheel: TimerWheel::default(),
            handler_wheel: TimerWheel::default(),
            stats: LoopStats::default(),
            bounds,
            commands: Vec::new(),
            dirty: VecDeque::new(),
            urgent: VecDeque::new(),
            behind: Behind::default(),
            late: Late::default(),
            starved: Vec::new(),
            moving: Vec::new(),
            revoked: Vec::new(),
            arrivals: Arrivals::default(),
            hand_overs: 0,
            files: FileWorks::default(),
            transfers: Transfers::default(),
            control,
            batch: Vec::new(),
            scratch: Vec::new(),
            now,
            accepts,
            exit: false,
            heard_all: true,
            strays: 0,
            stopping: Stopping::No,
        }
    }

    /// The handler.
    #[must_use]
    pub const fn handler(&self) -> &H {
        &self.handler
    }

    /// The counters.
    #[must_use]
    pub const fn stats(&self) -> &LoopStats {
        &self.stats
    }

    /// Takes clients from now on.
    pub fn start(&mut self) {
        self.arm_accepts();
    }

    /// Runs until the handler commands [`Command::Exit`]; `each_lap` sees handler and counters after every lap.
    pub fn run(&mut self, mut each_lap: impl FnMut(&mut H, &LoopStats, Now)) {
        self.start();
        loop {
            self.work();
            each_lap(&mut self.handler, &self.stats, self.now);
            if self.exit {
                return;
            }
            self.rest();
        }
    }

    /// Everything of a lap but the wait: mail, control, timers, the handler's own lap, the flush, wakes.
    pub fn work(&mut self) {
        self.read_time();
        let started = self.now.monotonic;
        if self.mesh.next_wake().is_some_and(|at| at <= started) {
            // Not behind what this lap has to do.
            self.wake_others();
        }
        self.drain_control();
        self.drain_mail();
        self.expire();
        self.call(|handler, cx| handler.lap(cx));
        while let Some(conn) = self.late.pop(started) {
            self.mark_dirty(conn);
        }
        self.retry_hand_overs();
        self.flush();
        self.move_files();
        self.close_dropped();
        self.rearm_starved();
        self.arm_accepts_when_room();
        self.wake_others();
        self.stats.laps += 1;
        self.stats.connections = u64::from(self.table.live());
        self.stats.notices = self.driver.notices();
        self.stats
            .lap_took((self.driver.now() - started).as_micros() as u64);
    }

    /// Whoever does not lap again owes nobody a wake.
    fn wake_others(&mut self) {
        let now = (!self.exit).then_some(self.now.monotonic);
        let (driver, stats) = (&mut self.driver, &mut self.stats);
        self.mesh.take_wakes(now, |shard| {
            stats.wakes += 1;
            driver.wake(shard);
        });
    }

    /// The wait: sleeps only when the mesh has nothing for us, then handles what completed.
    pub fn rest(&mut self) {
        let deadline = self.park();
        self.reap(deadline);
    }

    /// The first half of [`Shard::rest`]: says to the other shards that this one sleeps, and until when at most (at once when there is
    /// something to do). The simulator lets other shards run before the second half.
    pub fn park(&mut self) -> Option<Duration> {
        let listed = !(self.dirty.is_empty() && self.urgent.is_empty() && self.behind.is_empty());
        let flushed = !listed && self.transfers.is_flushed();
        let idle = flushed && self.control.is_empty() && self.mesh.park();
        if idle {
            let next = [
                self.wheel.next(),
                self.handler_wheel.next(),
                self.mesh.next_wake(),
                self.late.next(),
            ];
            next.into_iter().flatten().min()
        } else {
            Some(Duration::ZERO)
        }
    }

    /// Whether something waits for this shard in the mesh. A shard that sleeps over it was not woken, unless another owes it a wake.
    #[must_use]
    pub fn has_mail(&self) -> bool {
        !self.mesh.is_idle()
    }

    /// When this shard is going to wake that one, if that does not come by itself.
    #[must_use]
    pub fn owes_wake_at(&self, to: ShardId) -> Option<Duration> {
        self.mesh.owes_wake_at(to)
    }

    /// The second half of [`Shard::rest`]: sleeps, and handles what completed.
    pub fn reap(&mut self, deadline: Option<Duration>) {
        let mut batch = core::mem::take(&mut self.batch);
        self.driver.wait(deadline, &mut batch);
        self.mesh.unpark();
        self.read_time();
        self.heard_all = !self.driver.has_left_some();
        self.stats.laps_behind += u64::from(!self.heard_all);
        self.stats.completions += batch.len() as u64;
        for completion in batch.drain(..) {
            self.complete(completion);
        }
        self.batch = batch;
        self.close_dropped();
    }

    fn read_time(&mut self) {
        self.now = Now {
            monotonic: self.driver.now(),
            unix: self.driver.unix_time(),
        };
    }

    pub(crate) const fn now(&self) -> Now {
        self.now
    }

    pub(crate) const fn heard_all(&self) -> bool {
        self.heard_all
    }

    /// Calls the handler and carries out what it commands.
    pub(crate) fn call<R>(&mut self, f: impl FnOnce(&mut H, &mut Context<'_>) -> R) -> R {
        let mut commands = core::mem::take(&mut self.commands);
        let driver = &mut self.driver;
        let mut entropy = || driver.entropy();
        let shard = self.mesh.me();
        let mut cx = Context {
            now: self.now,
            heard_all: self.heard_all,
            shard,
            mesh: &mut self.mesh,
            commands: &mut commands,
            entropy: &mut entropy,
        };
        let result = f(&mut self.handler, &mut cx);
        for command in commands.drain(..) {
            self.command(command);
        }
        // A command may have called the handler again, whose commands are carried out by then.
        self.commands = commands;
        result
    }

    fn command(&mut self, command: Command) {
        match command {
            Command::Dirty(conn) => self.mark_dirty(conn),
            Command::Urgent(conn) => self.mark_urgent(conn),
            Command::Behind(conn) => self.behind.push(conn),
            Command::DirtyAt { conn, at } => self.late.push(conn, at),
            Command::PeerFinished(conn) => self.peer_said_all(conn),
            Command::CloseAfterFlush(conn) => self.close_after_flush(conn),
            Command::Close(conn) => self.close(conn, crate::Cause::Closed),
            Command::Pause(conn) => self.pause(conn),
            Command::Resume(conn) => self.resume(conn),
            Command::Migrate { conn, to } => self.migrate(conn, to),
            Command::Timer { at, token } => self.handler_wheel.insert(at, token),
            Command::StopAccepting => self.stop_accepting(),
            Command::Exit => self.exit = true,
            Command::File { token, request } => self.ask_file(token, *request),
            Command::Compute { token, job } => self
                .driver
                .submit(Key::new(OpKind::Compute, 0, token), Op::Compute { job }),
        }
    }

    fn complete(&mut self, Completion { key, outcome }: Completion) {
        match outcome {
            Outcome::Accepted { result, more } => self.accepted(key, result, more),
            Outcome::Received { lease, more } => self.received(key, lease, more),
            Outcome::RecvEnded(end) => self.recv_ended(key, end),
            Outcome::Sent(result) => self.sent(key, result),
            Outcome::FileSent(end) => self.file_sent(key, end),
            Outcome::SlotSent { slot, result } => self.slot_sent(key, slot, result),
            Outcome::Writable => self.writable(key),
            Outcome::HalfClosed => self.half_closed(key),
            Outcome::File(done) => self.file_done(key, *done),
            Outcome::CancelSeen | Outcome::Closed if key.slot() == NO_SLOT => self.strays -= 1,
            Outcome::CancelSeen | Outcome::ShutDown => self.op_ended(key),
            Outcome::Closed => self.closed(key),
            Outcome::SocketSent(result) => self.socket_sent(key, result),
            Outcome::Arrived { socket, token } => self.socket_arrived(socket, token),
            Outcome::Computed(result) => {
                self.call(|handler, cx| handler.computed(cx, key.slot(), result))
            }
        }
    }

    fn drain_control(&mut self) {
        for _ in 0..CONTROLS_PER_LAP {
            let Ok(message) = self.control.pop() else {
                return;
            };
            self.call(|handler, cx| handler.control(cx, message));
        }
    }

    /// Replies before deliveries: how much is in the deliver ring is read first, so that a reply which was sent before a delivery is always
    /// handled before it.
    fn drain_mail(&mut self) {
        let me = self.mesh.me();
        for from in (0..self.mesh.shards())
            .map(ShardId)
            .filter(|from| *from != me)
        {
            let mut deliver_bytes = self.mesh.deliver_waiting(from);
            while self.take_mail(from, Class::Reply).is_some() {}
            while deliver_bytes > 0 {
                let Some(taken) = self.take_mail(from, Class::Deliver) else {
                    break;
                };
                deliver_bytes = deliver_bytes.saturating_sub(taken);
            }
            for _ in 0..REQUESTS_PER_LAP {
                if self.take_mail(from, Class::Request).is_none() {
                    break;
                }
            }
        }
    }

    /// Handles the first message of a ring; `None` when there is none or it has to wait.
    fn take_mail(&mut self, from: ShardId, class: Class) -> Option<usize> {
        let mut scratch = core::mem::take(&mut self.scratch);
        let outcome = self
            .mesh
            .peek(from, class, &mut scratch)
            .map(|owner| match owner {
                Owner::Handler => self.call(|handler, cx| handler.mail(cx, from, class, &scratch)),
                Owner::HandOver => self.state_arrived(&scratch),
                Owner::HandOverFailed => self.state_revoked(&scratch),
            });
        self.scratch = scratch;
        match outcome? {
            MailOutcome::Taken => {
                self.stats.mail += 1;
                Some(self.mesh.taken(from, class))
            }
            MailOutcome::Wait => {
                assert_eq!(class, Class::Request, "only a request may wait");
                self.stats.mail_waits += 1;
                self.mesh.waits(from);
                None
            }
        }
    }

    fn expire(&mut self) {
        let mut due = Vec::new();
        self.wheel.expire(self.now.monotonic, &mut due);
        for timer in due {
            match timer {
                Timer::Linger(conn) => self.linger_over(conn),
                Timer::Transfer(conn) => self.ask_again(conn),
                Timer::AcceptRetry(listener) => self.accept_retry(listener),
                Timer::Arrival(token) => self.arrival_overdue(token),
                Timer::Stalls => self.sweep_transfers(),
            }
        }
        let mut due = Vec::new();
        self.handler_wheel.expire(self.now.monotonic, &mut due);
        for token in due {
            self.call(|handler, cx| handler.deadline(cx, token));
        }
    }

    /// Whether the control thread's messages were all taken.
    pub(crate) fn control_is_empty(&self) -> bool {
        self.control.is_empty()
    }

    /// An operation of no connection.
    pub(crate) fn submit_stray(&mut self, kind: OpKind, op: Op) {
        self.strays += 1;
        self.driver.submit(Key::new(kind, 0, NO_SLOT), op);
    }

    /// Puts a connection on the flush's list, once.
    pub(crate) fn mark_dirty(&mut self, conn: Conn) {
        let Some(record) = self.table.get(conn) else {
            return;
        };
        if !record.has(flag::DIRTY) {
            record.set(flag::DIRTY);
            self.dirty.push_back(conn);
        }
    }

    /// Puts a connection before them, once.
    fn mark_urgent(&mut self, conn: Conn) {
        let Some(record) = self.table.get(conn) else {
            return;
        };
        if !record.has(flag::URGENT) {
            record.set(flag::URGENT);
            self.urgent.push_back(conn);
        }
    }
}
