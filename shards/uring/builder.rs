//! Making the rings of all shards, before any of them runs.
//!
//! A ring belongs to the thread that enables it (SINGLE_ISSUER), and each must know the others' descriptors: so all are made disabled by the
//! thread that starts the daemon, and each is then moved to its own thread and enabled there. Deliberately absent: limits (see `probe`).

use crate::accept::Accepts;
use crate::arena::{Arena, FilesConfig};
use crate::driver::{Memory, UringDriver};
use crate::filetable::{Abilities, Files};
use crate::inflight::{Cancels, Receives, Sends};
use crate::listen::listen;
use crate::pool::{Pool, PoolPort};
use crate::recv::RecvPool;
use crate::ring::Ring;
use crate::sys::{Entropy, ProcessClock, Waker};
use core::mem::ManuallyDrop;
use io_uring::{IoUring, Probe, opcode};
use std::collections::VecDeque;
use std::io;
use std::os::fd::{AsRawFd as _, OwnedFd};
use std::sync::Arc;

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
    /// How many of them the kernel gets at the start. It uses all that it has in turn, so that each costs its pages: a shard whose clients mostly
    /// listen gets along with few, and a shortage that lasts brings more.
    pub recv_buffers_first: u16,
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
            recv_buffers_first: 64,
            recv_buffer_bytes: 4096,
        }
    }
}

/// A ring that was made but does not run yet. Make all of them first, so that each knows the others, then start each on its own thread.
pub struct UringBuilder {
    ring: IoUring,
    sockets_max: u32,
    recv: RecvPool,
    waker: Waker,
    accepts: Vec<Accepts>,
    clock: ProcessClock,
    pool: PoolPort,
    peers: Arc<[Peer]>,
    files: Files,
}

/// What a shard needs of another to reach it.
#[derive(Clone, Debug)]
pub(crate) struct Peer {
    /// Its ring, alive as long as the shard's driver; after that a hand-over fails.
    pub(crate) ring: i32,
    pub(crate) waker: Waker,
}

fn is_directory(root: &OwnedFd) -> io::Result<()> {
    let root = std::fs::File::from(root.try_clone()?);
    if root.metadata()?.is_dir() {
        Ok(())
    } else {
        Err(io::Error::from_raw_os_error(libc::ENOTDIR))
    }
}

impl UringBuilder {
    /// Makes one ring per list of bound sockets, which [`Self::listen`] makes listeners; the list's position is the shard, and a socket's position in
    /// it the [`ringway_io::Listener`]. Lists need not be alike. Of a Unix socket, which has one path and one queue, several shards get clones.
    ///
    /// # Errors
    /// What the kernel refuses: ENOMEM for memlock, EMFILE or EINVAL for tables beyond RLIMIT_NOFILE, ENOTSOCK for what is no socket.
    pub fn all(
        config: &UringConfig,
        sockets: Vec<Vec<OwnedFd>>,
        clock: ProcessClock,
        pool: &mut Pool,
    ) -> io::Result<Vec<Self>> {
        let mut builders = sockets
            .into_iter()
            .map(|sockets| Self::one(config, sockets, clock, pool))
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
        sockets: Vec<OwnedFd>,
        clock: ProcessClock,
        pool: &mut Pool,
    ) -> io::Result<Self> {
        let accepts = sockets.into_iter().map(Accepts::new);
        let accepts = accepts.collect::<io::Result<_>>()?;
        let ring = IoUring::builder()
            .setup_cqsize(config.cq_entries)
            .setup_single_issuer()
            .setup_defer_taskrun()
            .setup_taskrun_flag()
            .setup_r_disabled()
            // One entry that the kernel refuses does not hold up those behind it.
            .setup_submit_all()
            .build(config.sq_entries)?;
        ring.submitter().register_files_sparse(config.sockets_max)?;
        let mut recv = RecvPool::new(config.recv_buffers, config.recv_buffer_bytes)?;
        recv.register(&ring, config.recv_buffers_first)?;
        let waker = Waker::new()?;
        let pool = pool.port(&waker);
        Ok(Self {
            ring,
            sockets_max: config.sockets_max,
            recv,
            waker,
            accepts,
            clock,
            pool,
            peers: Arc::new([]),
            files: Files::none(),
        })
    }

    /// Serves files beneath these directories; a directory's position is its [`ringway_io::Root`]. Without this there is no arena, and nothing is charged
    /// for one.
    ///
    /// # Errors
    /// ENOTDIR for what is no directory, ENOMEM when RLIMIT_MEMLOCK does not allow the arena ([`FilesConfig::memlock_bytes`]).
    pub fn serve_files(&mut self, config: &FilesConfig, roots: Vec<OwnedFd>) -> io::Result<()> {
        roots.iter().try_for_each(is_directory)?;
        let mut probe = Probe::new();
        self.ring.submitter().register_probe(&mut probe)?;
        let abilities = Abilities {
            installs: probe.is_supported(opcode::FixedFdInstall::CODE),
            truncates: probe.is_supported(opcode::Ftruncate::CODE),
            zero_copy: probe.is_supported(opcode::SendZc::CODE),
        };
        let arena = Arena::new(config)?;
        arena.register(&self.ring)?;
        self.files.serve(config, roots, arena, abilities);
        Ok(())
    }

    /// What wakes this shard from another thread.
    #[must_use]
    pub fn waker(&self) -> Waker {
        self.waker.clone()
    }

    /// Lets clients connect: they wait until the ring runs. What comes before may still fail, and then nobody had connected in vain.
    ///
    /// # Errors
    /// As of listen(2).
    pub fn listen(&self, backlog: u32) -> io::Result<()> {
        let mut sockets = self.accepts.iter().filter_map(Accepts::socket);
        sockets.try_for_each(|socket| listen(socket, backlog))
    }

    /// Starts the ring on the calling thread, which alone may use it from now on.
    ///
    /// # Errors
    /// What the kernel refuses.
    pub fn start(self) -> io::Result<UringDriver> {
        self.ring.submitter().register_enable_rings()?;
        let memory = Memory {
            recv: self.recv,
            bulk: None,
            sends: Sends::with_capacity(self.sockets_max),
            accepts: self.accepts,
            files: self.files,
        };
        let mut driver = UringDriver {
            ring: Ring::new(self.ring),
            memory: ManuallyDrop::new(memory),
            receives: Receives::with_capacity(self.sockets_max),
            cancels: Cancels::default(),
            backlog: VecDeque::new(),
            entropy: Entropy::of_kernel(),
            waker: self.waker,
            clock: self.clock,
            pool: self.pool,
            peers: self.peers,
            woken: false,
            starved: false,
            left_some: false,
        };
        driver.arm_wake();
        Ok(driver)
    }
}
