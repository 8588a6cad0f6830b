//! Decisions: sessions, rooms, auth, limits. Sans-IO: never sees a socket, a clock or a shard's memory.
//!
//! Deliberately absent: how bytes move (`shards/`), configuration files, the admin surface.

mod address;
pub mod auth;
mod connection;
pub mod files;
pub mod forwarded;
pub mod hub;
mod joined;
pub mod limits;
mod native;
mod outbox;
mod packet;
pub mod post;
pub mod refusal;
pub mod rooms;
mod session;
pub mod settings;
pub mod stats;
mod text;
pub mod time;
pub mod uploads;
pub mod upstream;
