//! Time and connections, as the caller names them.

use serde::{Deserialize, Serialize};

/// The time of a call; the service has no clock of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Now {
    /// Monotonic microseconds since a start common to all shards.
    pub monotonic_us: u64,
    /// Milliseconds since the Unix epoch.
    pub unix_ms: u64,
}

/// A TCP connection. The caller chose the number: the low 32 bits are a slot, small numbers first; those above say which use of the slot it is, and stay
/// below 2^30.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct ConnId(pub u64);
