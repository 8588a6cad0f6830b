//! Workers: Node processes whose sockets, rooms and broadcasts live here, joined by links (docs/link.md).
//!
//! Deliberately absent: the codec (`proto/link`) and how bytes move.

mod clients;
mod exchange;
mod fault;
mod joint;
mod link;
mod mail;
mod obey;
mod proof;
#[cfg(test)]
mod random;
mod space;
#[cfg(test)]
mod space_tests;
mod window;
mod worker;

pub(crate) use exchange::{Exchange, Order};
pub use exchange::{ExchangeSettings, ExchangeStats};
pub(crate) use joint::{Joint, LINKS};
pub(crate) use mail::{ClientNumber, MAIL, SpaceId, ToClients, ToLinks};
pub use proof::{Prover, Secret, is_proof, prove};
pub use space::{Member, Space, SpaceError};
pub use window::{FalseCredit, Incoming, Outgoing, Overrun, Sum, Window};
