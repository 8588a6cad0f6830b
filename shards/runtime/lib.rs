//! The shard loop: reap, step, flush. Knows sockets, timers and the other shards; knows no protocol.
//!
//! [`Shard`] owns the sockets of one core over any [`ringway_io::Driver`] and reports to a [`Handler`], which decides what the
//! bytes mean. Shards speak through the [`Mesh`], bounded rings of bytes, one per ordered pair and [`Class`].
//!
//! Deliberately absent: protocols, rooms, configuration, logging.

mod accept;
#[cfg(test)]
mod accept_tests;
mod arrivals;
mod behind;
mod close;
mod filework;
mod freeze;
mod handle;
mod handler;
mod late;
#[cfg(test)]
mod loop_tests;
mod mesh;
mod migrate;
mod placement;
mod receive;
mod send;
mod shard;
mod stats;
mod table;
mod transfer;
#[cfg(test)]
mod transfer_tests;
mod wheel;

pub use filework::{FILE_REQUESTS_MAX, FileOutcome, FileRequest, Looked, OpenedFile};
pub use freeze::FrozenConnection;
pub use handle::{FileHandle, Place};
pub use handler::{Cause, Command, Conn, Context, Handler, MailOutcome, Now};
pub use mesh::{Class, Full, Mesh, MeshBounds, REPLY_BYTES_MAX};
pub use placement::{allowed_cpus, pin};
pub use shard::{Bounds, Shard};
pub use stats::LoopStats;
pub use transfer::{CHUNK_BYTES_MAX, FilePiece, LAP_BYTES_MAX, LAP_TIME_MAX, Outgoing};
pub use wheel::TimerWheel;
