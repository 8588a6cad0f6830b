//! The pretend kernel: everything a ring may legally do, in an order and with faults that a seed decides.
//!
//! A [`Kernel`] holds the clients' network, one ring per shard and the time, which stands still until somebody moves it. [`SimDriver`]s are
//! the shards' ends. What a shard may never do (two sends in flight, a close before the last completion, a lease given back twice) is asserted
//! here. Deliberately absent: any protocol, threads, and the real clock.

mod disk;
mod driver;
mod faults;
mod guard;
mod kernel;
mod network;
mod random;
mod ring;
mod slots;
mod step;
mod storage;

pub use driver::SimDriver;
pub use faults::{Fault, Faults};
pub use kernel::{Config, Kernel, Moved, Storage};
pub use network::{Client, End};
pub use random::Random;
