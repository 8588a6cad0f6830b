//! The seam between a shard and whatever moves its bytes.
//!
//! A [`Driver`] takes operations ([`Op`]) and gives back completions ([`Completion`]). Production links
//! `ringway-uring`, tests link `ringway-sim`; the loop in `ringway-runtime` cannot tell which. Buffers are types
//! whose move is the transfer of ownership: what the driver holds, nobody else can touch.
//!
//! Deliberately absent: any protocol, any policy, any `unsafe`.

mod completion;
mod driver;
mod file;
mod frame;
mod key;
mod lease;
mod op;
mod slot;
mod sparse;

pub use completion::{Completion, Outcome, PoolFull, RecvEnd};
pub use driver::{Driver, Entropy, Notices};
pub use file::{
    Directory, File, FileDone, FileKind, FileName, FileOp, FileSend, FileStat, NAME_BYTES_MAX,
    OpenError, OpenHow, Opened, PATH_BYTES_MAX, RelativePath, Root, Symlinks, SyncWhat,
};
pub use frame::Frame;
pub use key::{GENERATION_MAX, Key, OpKind};
pub use lease::{LeaseId, RecvLease};
pub use op::{Errno, Job, JobOutput, Listener, Op, Peer, ShardId, Socket};
pub use slot::SlotLease;
pub use sparse::Sparse;
