//! Is this kernel fit, and are this process's limits? Each refusal names its cause.

use io_uring::{IoUring, Probe, opcode};
use std::fmt;
use std::fs;

/// Why io_uring cannot be used here.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ProbeError {
    /// Older than 6.1, or without an operation that is needed.
    KernelTooOld {
        /// What is missing.
        missing: String,
    },
    /// A seccomp filter refuses io_uring (containers).
    Seccomp,
    /// `kernel.io_uring_disabled` refuses it.
    Sysctl,
    /// RLIMIT_MEMLOCK is too small for the rings.
    Memlock {
        /// Bytes wanted.
        wanted: u64,
        /// Bytes allowed.
        allowed: u64,
    },
    /// RLIMIT_NOFILE is too small for one ring's table.
    Nofile {
        /// Entries wanted.
        wanted: u64,
        /// Entries allowed.
        allowed: u64,
    },
    /// Something else.
    Other(String),
}

impl fmt::Display for ProbeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::KernelTooOld { missing } => write!(
                f,
                "the kernel lacks {missing}; Linux 6.1 or later is needed"
            ),
            Self::Seccomp => {
                f.write_str("a seccomp filter denies io_uring, as container runtimes do by default")
            }
            Self::Sysctl => f.write_str("the sysctl kernel.io_uring_disabled denies io_uring"),
            Self::Memlock { wanted, allowed } => write!(
                f,
                "RLIMIT_MEMLOCK allows {allowed} bytes, the rings need {wanted}"
            ),
            Self::Nofile { wanted, allowed } => write!(
                f,
                "RLIMIT_NOFILE allows {allowed} descriptors, a shard's table needs {wanted}"
            ),
            Self::Other(what) => f.write_str(what),
        }
    }
}

impl core::error::Error for ProbeError {}

/// This process's limits, as far as io_uring minds them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// RLIMIT_MEMLOCK in bytes; `None`: unlimited, or CAP_IPC_LOCK is held.
    pub memlock_bytes: Option<u64>,
    /// RLIMIT_NOFILE.
    pub nofile: u64,
}

fn rlimit(resource: u32) -> u64 {
    let mut limit = libc::rlimit {
        rlim_cur: 0,
        rlim_max: 0,
    };
    // SAFETY: one rlimit, exclusively borrowed during the call.
    let result = unsafe { libc::getrlimit(resource, &raw mut limit) };
    assert_eq!(result, 0, "these limits always exist");
    limit.rlim_cur
}

/// A line of this thread's status: filters and capabilities are a thread's own.
fn status_line(name: &str) -> Option<String> {
    let status = fs::read_to_string("/proc/thread-self/status").ok()?;
    status
        .lines()
        .find_map(|line| line.strip_prefix(name).map(|rest| rest.trim().to_owned()))
}

fn holds_ipc_lock() -> bool {
    const CAP_IPC_LOCK: u64 = 14;
    status_line("CapEff:")
        .and_then(|bits| u64::from_str_radix(&bits, 16).ok())
        .is_some_and(|bits| bits >> CAP_IPC_LOCK & 1 == 1)
}

/// Reads this process's limits.
#[must_use]
pub fn limits() -> Limits {
    let memlock = rlimit(libc::RLIMIT_MEMLOCK);
    let unlimited = memlock == libc::RLIM_INFINITY || holds_ipc_lock();
    Limits {
        memlock_bytes: (!unlimited).then_some(memlock),
        nofile: rlimit(libc::RLIMIT_NOFILE),
    }
}

/// What the kernel charges for one ring, measured on 6.18: both queues and the ring of receive buffers, each rounded up to pages.
#[must_use]
pub const fn memlock_bytes(sq_entries: u32, cq_entries: u32, recv_buffers: u16) -> u64 {
    let entries = (64 * sq_entries as u64).next_multiple_of(4096);
    let buffers = (16 * recv_buffers as u64).next_multiple_of(4096);
    let queues = (192 + 16 * cq_entries as u64 + 4 * sq_entries as u64).next_multiple_of(4096);
    entries + queues + buffers
}

/// Asks the kernel for a ring as the driver will, and for each operation.
///
/// # Errors
/// See [`ProbeError`].
pub fn probe() -> Result<(), ProbeError> {
    let ring: IoUring = IoUring::builder()
        .setup_single_issuer()
        .setup_defer_taskrun()
        .setup_taskrun_flag()
        .build(8)
        .map_err(|error| cause(&error, "rings with SINGLE_ISSUER and DEFER_TASKRUN"))?;
    let mut probe = Probe::new();
    ring.submitter()
        .register_probe(&mut probe)
        .map_err(|error| cause(&error, "a list of io_uring's operations"))?;
    for (code, name) in [
        (opcode::Accept::CODE, "ACCEPT"),
        (opcode::Recv::CODE, "RECV"),
        (opcode::Send::CODE, "SEND"),
        (opcode::AsyncCancel::CODE, "ASYNC_CANCEL"),
        (opcode::Shutdown::CODE, "SHUTDOWN"),
        (opcode::Close::CODE, "CLOSE"),
        (opcode::MsgRingData::CODE, "MSG_RING"),
        (opcode::PollAdd::CODE, "POLL_ADD"),
        (opcode::FilesUpdate::CODE, "FILES_UPDATE"),
    ] {
        if !probe.is_supported(code) {
            return Err(ProbeError::KernelTooOld {
                missing: format!("the io_uring operation {name}"),
            });
        }
    }
    Ok(())
}

/// EPERM is Docker's filter or the sysctl; ENOSYS is an old kernel or Debian's filter, which looks like one; EINVAL is what a
/// kernel says that has never heard of `wanted`.
fn cause(error: &std::io::Error, wanted: &str) -> ProbeError {
    let filtered = status_line("Seccomp:").is_some_and(|mode| mode == "2");
    let disabled = fs::read_to_string("/proc/sys/kernel/io_uring_disabled")
        .is_ok_and(|value| value.trim() != "0");
    match error.raw_os_error() {
        Some(libc::EPERM) if disabled => ProbeError::Sysctl,
        Some(libc::EPERM | libc::ENOSYS) if filtered => ProbeError::Seccomp,
        Some(libc::ENOSYS | libc::EINVAL) => ProbeError::KernelTooOld {
            missing: wanted.to_owned(),
        },
        Some(libc::ENOMEM) => ProbeError::Memlock {
            wanted: memlock_bytes(8, 16, 0),
            allowed: limits().memlock_bytes.unwrap_or(u64::MAX),
        },
        _ => ProbeError::Other(format!("io_uring cannot be set up: {error}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_kernel_is_fit() {
        assert_eq!(probe(), Ok(()));
    }

    #[test]
    fn fifty_four_rings_fit_eight_mebibytes() {
        assert!(54 * memlock_bytes(1024, 4096, 512) <= 8 << 20);
    }
}
