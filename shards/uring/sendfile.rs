//! sendfile(2), never waiting: neither for a page that is not in memory nor for a socket that is full.

use crate::inflight::FromFile;
use crate::sys::set_tcp_option;
use ringway_io::{Errno, FileSend};
use std::io;
use std::os::fd::RawFd;

const PAGE_BYTES: u64 = 4096;
/// What sendfile(2) moves at a time, within a call: sixteen pages. A piece that begins within a page needs one more.
const PIPE_BYTES: u32 = 64 * 1024;
/// The number of cachestat(2), the same on every architecture.
const CACHESTAT: libc::c_long = 451;

/// struct cachestat_range of cachestat(2).
#[repr(C)]
struct Range {
    offset: u64,
    length: u64,
}

/// struct cachestat of cachestat(2).
#[repr(C)]
#[derive(Default)]
struct Cached {
    pages: u64,
    dirty: u64,
    writeback: u64,
    evicted: u64,
    recently_evicted: u64,
}

fn errno() -> i32 {
    io::Error::last_os_error().raw_os_error().unwrap_or(0)
}

/// How many pages of a range are in memory; `None` when the kernel does not say (before 6.5; since 6.14 of files that are another user's).
fn pages_cached(file: RawFd, offset: u64, length: u64) -> Option<u64> {
    let range = Range { offset, length };
    let mut cached = Cached::default();
    // SAFETY: both structs are as the system call has them, and live during the call.
    let result = unsafe { libc::syscall(CACHESTAT, file, &raw const range, &raw mut cached, 0) };
    (result == 0).then_some(cached.pages)
}

/// Whether a byte can be read without waiting. A page may be in memory and still on its way from the disk: read ahead brings the last one last.
fn is_readable_now(file: RawFd, offset: u64) -> bool {
    let mut byte = 0_u8;
    let part = libc::iovec {
        iov_base: (&raw mut byte).cast(),
        iov_len: 1,
    };
    // SAFETY: one byte of the stack is written during the call.
    let count = unsafe { libc::preadv2(file, &raw const part, 1, offset as i64, libc::RWF_NOWAIT) };
    count == 1
}

fn is_in_memory(file: RawFd, offset: u64, count: u32) -> bool {
    let last = offset + u64::from(count) - 1;
    let wanted = last / PAGE_BYTES - offset / PAGE_BYTES + 1;
    pages_cached(file, offset, u64::from(count)) == Some(wanted) && is_readable_now(file, last)
}

/// From now on calls on the socket do not wait, by whichever descriptor of it. The ring's operations say by themselves that they do not, and are not told that they
/// would have had to: they wait by polling.
pub(crate) fn set_nonblocking(socket: RawFd) {
    // SAFETY: no memory is involved, and the descriptor is open.
    let result = unsafe { libc::fcntl(socket, libc::F_SETFL, libc::O_NONBLOCK) };
    assert_eq!(result, 0, "a socket's flags can always be set");
}

/// Whether the bytes may be sent without waiting for the disk.
fn is_warm(file: RawFd, send: &FromFile) -> bool {
    match send.is_known {
        true => is_readable_now(file, send.offset + u64::from(send.count) - 1),
        false => is_in_memory(file, send.offset, send.count),
    }
}

/// Has the kernel send what it holds back. Where the socket takes less than all, sendfile(2) has already said of what it took that more follows (MSG_MORE), and
/// a segment that is not full waits 200 ms for it. All of what was taken can be one such segment, and then the socket is not writable either
/// (TCP_NOTSENT_LOWAT): nothing would move until that time is over. Setting TCP_NODELAY, set or not, sends what waits, and fails on a Unix socket, which
/// holds nothing back.
fn push(socket: RawFd) {
    let _ = set_tcp_option(socket, libc::TCP_NODELAY, 1);
}

/// One call of sendfile(2), on a socket that does not wait.
fn send_some(socket: RawFd, file: RawFd, offset: u64, count: u32) -> FileSend {
    let mut position = offset as i64;
    // SAFETY: both descriptors are open, and `position` lives during the call. A socket that is shut raises SIGPIPE, which Rust programs ignore.
    let went = unsafe { libc::sendfile(socket, file, &raw mut position, count as usize) };
    match went {
        1.. => FileSend::Went(went as u32),
        0 => FileSend::End,
        _ => match errno() {
            libc::EAGAIN => FileSend::Blocked,
            libc::EINTR => FileSend::Again,
            libc::EINVAL | libc::ENOSYS => FileSend::Cold,
            errno => FileSend::Failed(Errno(errno)),
        },
    }
}

/// Sends from a file, both by their descriptors; the socket is one that does not wait.
pub(crate) fn send_file(socket: RawFd, file: RawFd, send: &FromFile) -> FileSend {
    let (offset, count) = (send.offset, send.count);
    if count == 0 || !is_warm(file, send) {
        return FileSend::Cold;
    }
    let mut end = send_some(socket, file, offset, count);
    if let FileSend::Went(went) = end
        && went < count
    {
        push(socket);
        let rest = count - went;
        // What is left is no more than one filling of the kernel's pipe: not worth another turn.
        if rest <= PIPE_BYTES
            && let FileSend::Went(more) = send_some(socket, file, offset + u64::from(went), rest)
        {
            if more < rest {
                push(socket);
            }
            end = FileSend::Went(went + more);
        }
    }
    end
}
