//! Who a client is and what it may do: tokens, permissions, origins.
//!
//! Deliberately absent: files (keys come as bytes) and clocks (time comes with each call).

mod cors;
mod identity;
mod keys;
mod naming;
mod origins;

pub use crate::forwarded::TrustedProxies;
pub(crate) use cors::{Cors, Header};
pub use identity::{Claims, Identity, RoomClaims};
pub use keys::{KeyConfig, KeyError, Keys, PermitResult, Verdict, VerifyResult, mint};
pub use origins::Origins;
