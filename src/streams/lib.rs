//! Stages over chunks of bytes: compress, encrypt, throttle, split, merge. Sans-IO: bytes (and time) in, bytes out, in portions that the caller bounds.
//!
//! One trait, [`Stage`], has the contract; a chain of stages is a stage ([`Chain`]). What has several inputs or outputs ([`Tee`], [`Merge`], [`mux`],
//! splitters) is not a stage, but keeps the same manners: it says how much it took, holds a bounded amount, and waits for the slowest.
//!
//! Deliberately absent: files, sockets, clocks, randomness, threads. Keys, nonces and the time are arguments.

pub mod compress;
pub mod crypt;
pub mod mux;

mod chain;
mod error;
mod life;
mod lines;
mod merge;
mod run;
mod slices;
mod stage;
mod tee;
mod throttle;

pub use chain::Chain;
pub use error::{Format, StreamError};
pub use lines::Lines;
pub use merge::{Merge, Order, Unit};
pub use run::run;
pub use slices::{Piece, Slices};
pub use stage::{Next, Progress, Stage};
pub use tee::Tee;
pub use throttle::{Bucket, Throttle};
