//! The shard loop: reap, step, flush. Knows sockets, timers and the other shards; knows no protocol.
//!
//! [`Shard`] owns the sockets of one core over any [`ringway_io::Driver`] and reports to a [`Handler`], which decides what the
//! bytes mean. Shards speak through the [`Mesh`], bounded rings of bytes, one per ordered pair and [`Class`].
//!
//! Deliberately absent: protocols, rooms, configuration, logging.

mod handler;
mod mesh;

pub use handler::{Cause, Command, Conn, Context, Handler, MailOutcome, Now};
pub use mesh::{Class, Full, Mesh};
