//! Small system calls: clocks, entropy, eventfd.

use core::time::Duration;
use std::io;
use std::os::fd::{AsRawFd as _, FromRawFd as _, OwnedFd, RawFd};
use std::sync::Arc;

/// The clock that all shards of a process share: a monotonic start and the wall time at it.
#[derive(Clone, Copy, Debug)]
pub struct ProcessClock {
    start: Duration,
    unix_start: Duration,
}

fn read_clock(id: libc::clockid_t) -> Duration {
    let mut time = libc::timespec {
        tv_sec: 0,
        tv_nsec: 0,
    };
    // SAFETY: `time` is a valid, exclusively borrowed timespec for the duration of the call.
    let result = unsafe { libc::clock_gettime(id, &raw mut time) };
    assert_eq!(result, 0, "these clocks always exist");
    Duration::new(time.tv_sec as u64, time.tv_nsec as u32)
}

impl ProcessClock {
    /// Starts now.
    #[must_use]
    pub fn start() -> Self {
        Self {
            start: read_clock(libc::CLOCK_MONOTONIC),
            unix_start: read_clock(libc::CLOCK_REALTIME),
        }
    }

    /// Time since the start.
    #[must_use]
    pub fn now(&self) -> Duration {
        read_clock(libc::CLOCK_MONOTONIC) - self.start
    }

    /// Wall time, advancing with [`ProcessClock::now`]: a step of the host's clock does not expire tokens.
    #[must_use]
    pub fn unix_time(&self) -> Duration {
        self.unix_start + self.now()
    }
}

/// Unpredictable bits, fetched 256 bytes at a time.
pub struct Entropy {
    buffer: [u8; 256],
    used: usize,
}

impl Entropy {
    /// None fetched yet.
    #[must_use]
    pub const fn of_kernel() -> Self {
        Self {
            buffer: [0; 256],
            used: 256,
        }
    }

    fn next(&mut self) -> u64 {
        if self.used == self.buffer.len() {
            self.refill();
        }
        let mut bytes = [0; 8];
        bytes.copy_from_slice(&self.buffer[self.used..self.used + 8]);
        // Used bits are overwritten: a later leak of this memory tells nothing of ids that were given out.
        self.buffer[self.used..self.used + 8].fill(0);
        self.used += 8;
        u64::from_ne_bytes(bytes)
    }

    fn refill(&mut self) {
        // SAFETY: the buffer is ours and as long as stated; up to 256 bytes are never given partially (getrandom(2)).
        let got = unsafe { libc::getrandom(self.buffer.as_mut_ptr().cast(), self.buffer.len(), 0) };
        assert_eq!(got, 256, "getrandom(2) gives up to 256 bytes whole");
        self.used = 0;
    }
}

impl ringway_io::Entropy for Entropy {
    fn draw(&mut self) -> u64 {
        self.next()
    }
}

/// Wakes one shard from any thread.
#[derive(Clone, Debug)]
pub struct Waker(Arc<OwnedFd>);

impl Waker {
    pub(crate) fn new() -> io::Result<Self> {
        // SAFETY: no memory is involved; the result is checked.
        let fd = unsafe { libc::eventfd(0, libc::EFD_CLOEXEC | libc::EFD_NONBLOCK) };
        if fd < 0 {
            return Err(io::Error::last_os_error());
        }
        // SAFETY: `fd` was just made and belongs to nobody else.
        Ok(Self(Arc::new(unsafe { OwnedFd::from_raw_fd(fd) })))
    }

    /// Wakes the shard, now or when it next would sleep. An eventfd and write(2): a write through the ring would go to a worker thread.
    pub fn wake(&self) {
        let one = 1_u64.to_ne_bytes();
        // SAFETY: eight bytes of the stack are read during the call. A full counter (EAGAIN) means that the shard is woken anyway.
        let _ = unsafe { libc::write(self.0.as_raw_fd(), one.as_ptr().cast(), one.len()) };
    }

    /// Sleeps until somebody wakes (for pool threads).
    pub(crate) fn sleep(&self) {
        let mut poll = libc::pollfd {
            fd: self.0.as_raw_fd(),
            events: libc::POLLIN,
            revents: 0,
        };
        // SAFETY: one pollfd, exclusively borrowed during the call.
        let _ = unsafe { libc::poll(&raw mut poll, 1, -1) };
        self.clear();
    }

    pub(crate) fn clear(&self) {
        let mut count = [0_u8; 8];
        // SAFETY: eight bytes of the stack are written during the call.
        let _ = unsafe { libc::read(self.0.as_raw_fd(), count.as_mut_ptr().cast(), count.len()) };
    }

    pub(crate) fn raw(&self) -> i32 {
        self.0.as_raw_fd()
    }
}

/// Sets an option of TCP's; whether it is one of the socket's, and could be set.
pub(crate) fn set_tcp_option(socket: RawFd, option: libc::c_int, value: libc::c_int) -> bool {
    let bytes = size_of::<libc::c_int>() as libc::socklen_t;
    // SAFETY: the value lives during the call, and has the length that is said.
    let result = unsafe {
        libc::setsockopt(
            socket,
            libc::IPPROTO_TCP,
            option,
            (&raw const value).cast(),
            bytes,
        )
    };
    result == 0
}

/// An option of TCP's; `None` where the socket has none by that name.
pub(crate) fn tcp_option(socket: RawFd, option: libc::c_int) -> Option<libc::c_int> {
    let mut value: libc::c_int = 0;
    let mut bytes = size_of::<libc::c_int>() as libc::socklen_t;
    // SAFETY: the value and its length live during the call.
    let result = unsafe {
        libc::getsockopt(
            socket,
            libc::IPPROTO_TCP,
            option,
            (&raw mut value).cast(),
            &raw mut bytes,
        )
    };
    (result == 0).then_some(value)
}
