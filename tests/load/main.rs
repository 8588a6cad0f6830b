//! Load on the real binary: what many members cost, and that every cost has a bound.
//!
//! Figures are printed; asserted is what no machine may exceed. Run by `make load`; deliberately absent: comparisons with other
//! servers, and timing that a busy machine could spoil.

#![expect(clippy::print_stdout, reason = "figures are what a load test is for")]

mod churn;
mod client;
mod crowd;
mod daemon;
mod idle;
mod memory;
mod own_rooms;
mod scene;
mod silent;
mod stalled;
mod unread;
