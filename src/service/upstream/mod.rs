//! Workers: Node processes whose sockets, rooms and broadcasts live here, joined by links (docs/link.md).
//!
//! Deliberately absent: the codec (`proto/link`) and how bytes move.

mod proof;
mod space;
#[cfg(test)]
mod space_tests;
mod window;

pub use proof::{Prover, Secret, is_proof, prove};
pub use space::{Member, Space, SpaceError};
pub use window::{FalseCredit, Incoming, Outgoing, Overrun, Sum, Window};
