//! Ringway, the daemon: wiring between `shards/` and `service/`, and what operators see.
//!
//! Deliberately absent: protocols (`src/proto`), decisions (`src/service`), moving bytes (`shards`).

pub mod admin;
pub mod check;
pub mod cli;
pub mod codes;
pub mod config;
pub mod control;
pub mod disk;
pub mod files;
pub mod links;
pub mod log;
pub mod metrics;
pub mod reseal;
pub mod serve;
pub mod settings;
pub mod shard;
pub mod start;
pub mod token;
pub mod uploads;
pub mod url;
pub mod used_urls;
