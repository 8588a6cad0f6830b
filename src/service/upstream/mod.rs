//! Workers: Node processes whose sockets, rooms and broadcasts live here, joined by links (docs/link.md).
//!
//! Deliberately absent: the codec (`proto/link`) and how bytes move.

mod affinity;
#[cfg(test)]
mod affinity_tests;
mod applications;
#[cfg(test)]
mod applications_tests;
mod asking;
#[cfg(test)]
mod asking_tests;
mod backlog;
mod begun;
mod binding;
mod books;
mod breaker;
mod clients;
mod coalescing;
mod connects;
mod deal;
#[cfg(test)]
mod deal_tests;
mod emitter;
#[cfg(test)]
mod emitter_tests;
mod exchange;
#[cfg(test)]
mod exchange_tests;
mod fault;
mod flood;
#[cfg(test)]
mod flood_tests;
mod gather;
#[cfg(test)]
mod gather_tests;
mod hold;
#[cfg(test)]
mod hold_tests;
mod holding;
mod joint;
mod keeping;
mod lately;
mod link;
mod living;
mod log;
mod mail;
mod mend;
#[cfg(test)]
mod mend_tests;
mod migrate;
#[cfg(test)]
mod migrate_tests;
mod moved;
#[cfg(test)]
mod moved_tests;
mod obey;
mod owed;
#[cfg(test)]
mod owed_tests;
mod owning;
mod parsing;
#[cfg(test)]
mod parsing_tests;
mod pressure;
mod proof;
mod questions;
#[cfg(test)]
mod random;
mod recovery;
#[cfg(test)]
mod recovery_tests;
mod rejoin;
mod sessions;
mod shares;
mod space;
#[cfg(test)]
mod space_tests;
#[cfg(test)]
pub(crate) mod stage;
mod stories;
mod suspects;
#[cfg(test)]
mod suspects_tests;
mod window;
mod worker;

pub use affinity::Affinity;
pub use applications::{APPLICATIONS_MAX, Application};
pub(crate) use applications::{AppId, namespace_of};
pub(crate) use binding::{Asks, Binding, Origins as ApplicationOrigins};
pub use breaker::{BreakerSettings, FAILURES_MAX, OnFailure};
pub(crate) use deal::frame_cost;
pub(crate) use exchange::{Exchange, Order};
pub use exchange::{ExchangeSettings, ExchangeStats};
pub(crate) use gather::{ACK_ID_MIN, numbered};
pub(crate) use joint::{Joint, LINKS, Pressed};
pub use link::LinkPeer;
pub(crate) use mail::{ClientNumber, MAIL, MovedSocket, Said, SpaceId, ToClients, ToLinks};
pub use mend::{Failure, Notice};
pub(crate) use obey::SPACE_NAME_BYTES_MAX;
pub use owed::OnWorkerLoss;
pub(crate) use parsing::Parser;
pub(crate) use pressure::Hold;
pub use proof::{Prover, Secret, is_proof, prove};
pub(crate) use questions::{Admitted, Asked, Judged, Unsaid, Verdict};
pub use ringway_proto::link::FRAME_BODY_BYTES_MAX;
#[cfg(test)]
pub(crate) use shares::Weights;
pub use space::{Member, Moved, Space, SpaceError, Target};
pub use window::{FalseCredit, Incoming, Outgoing, Overrun, Sum, Window};
pub use worker::WorkerId;
