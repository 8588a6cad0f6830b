//! Time and connections, as the caller names them.

use core::num::NonZeroU64;
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
pub struct ConnId(
    /// One more than the number, so that having none costs nothing.
    NonZeroU64,
);

impl ConnId {
    /// The connection of that number.
    ///
    /// # Panics
    /// For the largest number of all.
    #[must_use]
    pub const fn new(number: u64) -> Self {
        match NonZeroU64::new(number.wrapping_add(1)) {
            Some(number) => Self(number),
            None => panic!("a slot and a generation have 62 bits"),
        }
    }

    /// Its number.
    #[must_use]
    pub const fn number(self) -> u64 {
        self.0.get() - 1
    }
}
