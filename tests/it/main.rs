//! The command line of the real binary: refusals to start, and the tables that hold the tree together.

mod arrows;
mod boot;
mod fitness;
mod operating;
mod snapshots;
mod tidy;
mod transfers;
mod tree;
mod vectors;
