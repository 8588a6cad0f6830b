//! Workers: Node processes whose sockets, rooms and broadcasts live here, joined by links (docs/link.md).
//!
//! Deliberately absent: the codec (`proto/link`) and how bytes move.

mod breaker;
mod clients;
mod deal;
#[cfg(test)]
mod deal_tests;
mod exchange;
#[cfg(test)]
mod exchange_tests;
mod fault;
mod joint;
mod link;
mod mail;
mod mend;
#[cfg(test)]
mod mend_tests;
mod migrate;
#[cfg(test)]
mod migrate_tests;
mod obey;
mod pressure;
mod proof;
#[cfg(test)]
mod random;
mod space;
#[cfg(test)]
mod space_tests;
#[cfg(test)]
mod stage;
mod window;
mod worker;

pub use breaker::{BreakerSettings, FAILURES_MAX, OnFailure};
pub(crate) use deal::frame_cost;
pub(crate) use exchange::{Exchange, Order};
pub use exchange::{ExchangeSettings, ExchangeStats};
pub(crate) use joint::{Joint, LINKS, Pressed};
pub(crate) use mail::{ClientNumber, MAIL, SpaceId, ToClients, ToLinks};
pub use mend::{Failure, Notice};
pub use proof::{Prover, Secret, is_proof, prove};
pub use ringway_proto::link::FRAME_BODY_BYTES_MAX;
pub use space::{Member, Space, SpaceError};
pub use window::{FalseCredit, Incoming, Outgoing, Overrun, Sum, Window};
