//! The ring of one shard.

use crate::accept::Accepts;
use crate::inflight::Sends;
use crate::pool::{Pool, PoolPort};
use crate::recv::{GROUP, RecvPool};
use crate::sys::{Entropy, ProcessClock, Waker};
use core::time::Duration;
use io_uring::{IoUring, cqueue, opcode, squeue, types};
use ringway_io::{
    Completion, Driver, Errno, Job, Key, Listener, Op, OpKind, Outcome, PoolFull, RecvEnd,
    RecvLease, ShardId, Socket,
};
use std::collections::VecDeque;
use std::io;
use std::os::fd::{AsRawFd as _, OwnedFd};
use std::sync::Arc;

/// IORING_ENTER_GETEVENTS: without it a ring with DEFER_TASKRUN delivers nothing (invariant 6).
const ENTER_GETEVENTS: u32 = 1;
/// user_data of the poll on our eventfd; its top byte is no [`OpKind`].
const WAKE: u64 = 0xa0 << 56;
/// user_data of one-shot accepts: the index of the place in the low bits.
const ACCEPT: u64 = 0xa1 << 56;
/// user_data of cancels that the driver makes for itself.
const OWN_CANCEL: u64 = 0xa2 << 56;
const TOP_BYTE: u64 = 0xff << 56;

/// Sizes of one ring.
#[derive(Clone, Copy, Debug)]
pub struct UringConfig {
    /// Submission entries.
    pub sq_entries: u32,
    /// Completion entries.
    pub cq_entries: u32,
    /// Places for sockets.
    pub sockets_max: u32,
    /// Receive buffers, a power of two.
    pub recv_buffers: u16,
    /// Bytes of each.
    pub recv_buffer_bytes: u32,
}

impl Default for UringConfig {
    fn default() -> Self {
        Self {
            sq_entries: 1024,
            cq_entries: 4096,
            sockets_max: 19_800,
            recv_buffers: 512,
            recv_buffer_bytes: 4096,
        }
    }
}

/// A ring that was made but does not run yet. Make all of them first, so that each knows the others, then start each on its own thread.
pub struct UringBuilder {
    ring: IoUring,
    recv: RecvPool,
    waker: Waker,
    listener: Option<OwnedFd>,
    clock: ProcessClock,
    pool: PoolPort,
    peers: Arc<[Peer]>,
}

/// What a shard needs of another to reach it.
#[derive(Clone, Debug)]
struct Peer {
    ring: i32,
    waker: Waker,
}

impl UringBuilder {
    /// Makes one ring per listener; the position is the shard.
    ///
    /// # Errors
    /// What the kernel refuses: ENOMEM for memlock, EMFILE or EINVAL for tables beyond RLIMIT_NOFILE.
    pub fn all(
        config: &UringConfig,
        listeners: Vec<OwnedFd>,
        clock: ProcessClock,
        pool: &mut Pool,
    ) -> io::Result<Vec<Self>> {
        let mut builders = listeners
            .into_iter()
            .map(|listener| Self::one(config, listener, clock, pool))
            .collect::<io::Result<Vec<_>>>()?;
        let peers: Arc<[Peer]> = builders
            .iter()
            .map(|builder| Peer {
                ring: builder.ring.as_raw_fd(),
                waker: builder.waker.clone(),
            })
            .collect();
        builders
            .iter_mut()
            .for_each(|builder| builder.peers = peers.clone());
        Ok(builders)
    }

    fn one(
        config: &UringConfig,
        listener: OwnedFd,
        clock: ProcessClock,
        pool: &mut Pool,
    ) -> io::Result<Self> {
        let ring = IoUring::builder()
            .setup_cqsize(config.cq_entries)
            .setup_single_issuer()
            .setup_defer_taskrun()
            .setup_r_disabled()
            .build(config.sq_entries)?;
        ring.submitter().register_files_sparse(config.sockets_max)?;
        let mut recv = RecvPool::new(config.recv_buffers, config.recv_buffer_bytes)?;
        recv.register(&ring)?;
        let waker = Waker::new()?;
        let pool = pool.port(&waker);
        Ok(Self {
            ring,
            recv,
            waker,
            listener: Some(listener),
            clock,
            pool,
            peers: Arc::new([]),
        })
    }

    /// What wakes this shard from another thread.
    #[must_use]
    pub fn waker(&self) -> Waker {
        self.waker.clone()
    }

    /// Starts the ring on the calling thread, which alone may use it from now on.
    ///
    /// # Errors
    /// What the kernel refuses.
    pub fn start(self) -> io::Result<UringDriver> {
        self.ring.submitter().register_enable_rings()?;
        let mut driver = UringDriver {
            ring: self.ring,
            recv: self.recv,
            sends: Sends::default(),
            accepts: Accepts::new(),
            accept_key: None,
            listener: self.listener,
            backlog: VecDeque::new(),
            entropy: Entropy::new(),
            waker: self.waker,
            clock: self.clock,
            pool: self.pool,
            peers: self.peers,
            woken: false,
        };
        driver.arm_wake();
        Ok(driver)
    }
}

/// The production driver. Fields drop in order: the ring before the memory that it names.
pub struct UringDriver {
    ring: IoUring,
    recv: RecvPool,
    sends: Sends,
    accepts: Accepts,
    accept_key: Option<Key>,
    listener: Option<OwnedFd>,
    backlog: VecDeque<Completion>,
    entropy: Entropy,
    waker: Waker,
    clock: ProcessClock,
    pool: PoolPort,
    peers: Arc<[Peer]>,
    /// A wake was seen that no return of `wait` has answered yet.
    woken: bool,
}

impl UringDriver {
    fn push(&mut self, entry: &squeue::Entry) {
        loop {
            // SAFETY: every entry names memory that is held until its terminal completion: frames in `sends`, addresses in `accepts`, buffers in
            // `recv`; all of them outlive the ring, which is dropped first.
            if unsafe { self.ring.submission().push(entry) }.is_ok() {
                return;
            }
            self.enter(0, None);
            self.reap();
        }
    }

    /// Submits, and waits for `want` completions or the timeout. Interruptions and a busy kernel are back-pressure (invariant 8).
    fn enter(&mut self, want: usize, timeout: Option<Duration>) {
        let pending = self.ring.submission().len();
        let result = match timeout {
            Some(timeout) if want > 0 => {
                let timeout = types::Timespec::from(timeout);
                self.ring
                    .submitter()
                    .submit_with_args(want, &types::SubmitArgs::new().timespec(&timeout))
            }
            // SAFETY: no argument is passed; what the entries name is held (see `push`).
            _ => unsafe {
                self.ring.submitter().enter::<()>(
                    pending as u32,
                    want as u32,
                    ENTER_GETEVENTS,
                    None,
                )
            },
        };
        if let Err(error) = result {
            let expected = matches!(
                error.raw_os_error(),
                Some(libc::ETIME | libc::EINTR | libc::EBUSY | libc::EAGAIN)
            );
            assert!(
                expected,
                "io_uring_enter refused what it had taken before: {error}"
            );
        }
    }

    /// Moves completions out of the ring, so that it never overflows while a lap submits.
    fn reap(&mut self) {
        assert_eq!(
            self.ring.completion().overflow(),
            0,
            "a completion was lost (invariant 9)"
        );
        let entries: Vec<cqueue::Entry> = self.ring.completion().collect();
        for entry in entries {
            self.take(&entry);
        }
    }

    fn take(&mut self, entry: &cqueue::Entry) {
        let (data, result) = (entry.user_data(), entry.result());
        match data & TOP_BYTE {
            WAKE => self.woken(cqueue::more(entry.flags())),
            ACCEPT => self.accepted((data & !TOP_BYTE) as usize, result),
            OWN_CANCEL => {}
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

    fn arm_wake(&mut self) {
        let poll = opcode::PollAdd::new(types::Fd(self.waker.raw()), libc::POLLIN as u32)
            .multi(true)
            .build();
        self.push(&poll.user_data(WAKE));
    }

    fn complete(&mut self, key: Key, result: i32, flags: u32) {
        let outcome = match key.kind() {
            OpKind::Recv => self.received(result, flags),
            OpKind::Send => {
                self.sends.release(key);
                Outcome::Sent(if result < 0 {
                    Err(Errno(-result))
                } else {
                    Ok(result as u32)
                })
            }
            OpKind::Cancel => Outcome::CancelSeen,
            OpKind::Shutdown => Outcome::ShutDown,
            OpKind::Close => Outcome::Closed,
            OpKind::SendSocket => Outcome::SocketSent(if result < 0 {
                Err(Errno(-result))
            } else {
                Ok(())
            }),
            // A table that is full here is reported to the sender; this side sees nothing of it.
            OpKind::Arrive if result < 0 => return,
            OpKind::Arrive => {
                let arrived = Outcome::Arrived {
                    socket: Socket(result as u32),
                    token: key.to_bits() & !TOP_BYTE,
                };
                self.backlog.push_back(Completion {
                    key: Key::new(OpKind::Arrive, 0, 0),
                    outcome: arrived,
                });
                return;
            }
            OpKind::Accept | OpKind::Compute => unreachable!("the ring never sees these kinds"),
        };
        self.backlog.push_back(Completion { key, outcome });
    }

    fn received(&mut self, result: i32, flags: u32) -> Outcome {
        let more = cqueue::more(flags);
        match (result, cqueue::buffer_select(flags)) {
            (1.., Some(id)) => Outcome::Received {
                lease: self.recv.lease(id, result as u32),
                more,
            },
            (_, Some(id)) => {
                let lease = self.recv.lease(id, 0);
                self.recv.recycle(lease);
                Outcome::RecvEnded(RecvEnd::Eof)
            }
            (0, None) => Outcome::RecvEnded(RecvEnd::Eof),
            _ => Outcome::RecvEnded(match -result {
                libc::ENOBUFS => RecvEnd::NoBuffers,
                libc::ECANCELED => RecvEnd::Cancelled,
                libc::EAGAIN | libc::EINTR => RecvEnd::Ended,
                errno => RecvEnd::Failed(Errno(errno)),
            }),
        }
    }

    fn accepted(&mut self, index: usize, result: i32) {
        let peer = self.accepts.finish(index);
        let Some(key) = self.accept_key else { return };
        if result == -libc::ECANCELED {
            self.end_accept(key);
            return;
        }
        let result = if result < 0 {
            Err(Errno(-result))
        } else {
            Ok((Socket(result as u32), peer))
        };
        // An error ends the accept, as it would end a multishot one; the loop re-arms when it is ready.
        if result.is_err() {
            self.cancel_accepts();
            self.backlog.push_back(Completion {
                key,
                outcome: Outcome::Accepted { result, more: true },
            });
            self.end_accept(key);
            return;
        }
        let more = self.accepts.armed;
        self.backlog.push_back(Completion {
            key,
            outcome: Outcome::Accepted { result, more: true },
        });
        if more {
            self.arm_accepts()
        } else {
            self.end_accept(key)
        }
    }

    /// The last of the cancelled accepts ends the operation.
    fn end_accept(&mut self, key: Key) {
        if !self.accepts.armed && self.accepts.is_idle() {
            self.accept_key = None;
            let outcome = Outcome::Accepted {
                result: Err(Errno(libc::ECANCELED)),
                more: false,
            };
            self.backlog.push_back(Completion { key, outcome });
        }
    }

    fn arm_accepts(&mut self) {
        let Some(listener) = self.listener.as_ref().map(|fd| fd.as_raw_fd()) else {
            return;
        };
        while let Some((index, entry)) = self.accepts.next(listener) {
            self.push(&entry.user_data(ACCEPT | index as u64));
        }
    }

    fn cancel_accepts(&mut self) {
        self.accepts.armed = false;
        let indexes: Vec<usize> = self.accepts.in_flight().collect();
        for index in indexes {
            self.push(
                &opcode::AsyncCancel::new(ACCEPT | index as u64)
                    .build()
                    .user_data(OWN_CANCEL),
            );
        }
    }

    fn start_accept(&mut self, key: Key) {
        assert!(self.accept_key.is_none(), "one accept at a time");
        self.accept_key = Some(key);
        self.accepts.armed = true;
        self.arm_accepts();
    }

    fn cancel(&mut self, key: Key, target: Key) {
        if self.accept_key == Some(target) {
            self.cancel_accepts();
            self.backlog.push_back(Completion {
                key,
                outcome: Outcome::CancelSeen,
            });
            self.end_accept(target);
            return;
        }
        self.push(
            &opcode::AsyncCancel::new(target.to_bits())
                .build()
                .user_data(key.to_bits()),
        );
    }

    fn send(&mut self, key: Key, socket: Socket, frame: ringway_io::Frame, from: u32) {
        let rest = &self.sends.hold(key, frame)[from as usize..];
        let entry = opcode::Send::new(types::Fixed(socket.0), rest.as_ptr(), rest.len() as u32)
            .flags(libc::MSG_WAITALL | libc::MSG_NOSIGNAL)
            .build();
        self.push(&entry.user_data(key.to_bits()));
    }

    fn send_socket(&mut self, key: Key, socket: Socket, to: ShardId, token: u64) {
        assert_eq!(token & TOP_BYTE, 0, "a token has 56 bits");
        let arrive = (OpKind::Arrive as u64) << 56 | token;
        let ring = types::Fd(self.peers[usize::from(to.0)].ring);
        let entry = opcode::MsgRingSendFd::new(
            ring,
            types::Fixed(socket.0),
            types::DestinationSlot::auto_target(),
            arrive,
        );
        self.push(&entry.build().user_data(key.to_bits()));
    }

    fn compute(&mut self, key: Key, job: Job) {
        if self.pool.submit(key.to_bits(), job).is_err() {
            self.backlog.push_back(Completion {
                key,
                outcome: Outcome::Computed(Err(PoolFull)),
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
    fn submit(&mut self, key: Key, op: Op) {
        let entry = match op {
            Op::Accept { .. } => return self.start_accept(key),
            Op::Cancel { target } => return self.cancel(key, target),
            Op::Send {
                socket,
                frame,
                from,
            } => return self.send(key, socket, frame, from),
            Op::SendSocket { socket, to, token } => {
                return self.send_socket(key, socket, to, token);
            }
            Op::Compute { job } => return self.compute(key, job),
            Op::Recv { socket } => opcode::RecvMulti::new(types::Fixed(socket.0), GROUP).build(),
            Op::Shutdown { socket } => {
                opcode::Shutdown::new(types::Fixed(socket.0), libc::SHUT_RDWR).build()
            }
            Op::ShutdownWrite { socket } => {
                opcode::Shutdown::new(types::Fixed(socket.0), libc::SHUT_WR).build()
            }
            Op::Close { socket } => opcode::Close::new(types::Fixed(socket.0)).build(),
        };
        self.push(&entry.user_data(key.to_bits()));
    }

    fn wait(&mut self, deadline: Option<Duration>, batch: &mut Vec<Completion>) {
        self.reap();
        self.drain_pool();
        let remaining = deadline.map(|deadline| deadline.saturating_sub(self.now()));
        // A wake that came while the lap worked must not be slept over.
        let at_once = core::mem::take(&mut self.woken)
            || !self.backlog.is_empty()
            || remaining == Some(Duration::ZERO);
        self.enter(usize::from(!at_once), remaining);
        self.reap();
        self.drain_pool();
        self.woken = false;
        batch.extend(self.backlog.drain(..));
    }

    fn now(&self) -> Duration {
        self.clock.now()
    }

    fn unix_time(&self) -> Duration {
        self.clock.unix_time()
    }

    fn entropy(&mut self) -> u64 {
        self.entropy.next()
    }

    fn bytes<'a>(&'a mut self, lease: &'a mut RecvLease) -> &'a mut [u8] {
        self.recv.bytes(lease)
    }

    fn recycle(&mut self, lease: RecvLease) {
        self.recv.recycle(lease);
    }

    fn wake(&mut self, shard: ShardId) {
        self.peers[usize::from(shard.0)].waker.wake();
    }

    fn stop_listening(&mut self, _listener: Listener) {
        self.listener = None;
    }
}
