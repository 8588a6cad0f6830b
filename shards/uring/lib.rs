//! The production driver: one io_uring per shard.
//!
//! The only unsafe code, the only clock and the only entropy of Ringway. `README.md` beside this file lists the invariants.
//! Deliberately absent: any protocol, any policy, configuration.
#![expect(unsafe_code, reason = "the one crate that speaks to the kernel")]

mod accept;
mod arena;
mod builder;
mod driver;
mod files;
mod filetable;
mod inflight;
mod listen;
mod mapping;
mod pool;
mod probe;
mod recv;
mod ring;
mod sendfile;
mod sys;
mod zerocopy;

pub use arena::FilesConfig;
pub use builder::{UringBuilder, UringConfig};
pub use driver::UringDriver;
pub use listen::{bind_alone, bind_shared, bind_unix};
pub use pool::{POOL_QUEUE_JOBS, Pool};
pub use probe::{Limits, ProbeError, limits, memlock_bytes, probe};
pub use sys::{Entropy, ProcessClock, Waker};
