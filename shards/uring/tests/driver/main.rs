//! The driver over real sockets on loopback. Nothing sleeps: each test waits for completions, and a lost one shows as a panic of the bench.

#![expect(
    unsafe_code,
    reason = "a socket option, inotify and the umask, which std does not offer"
)]

mod accepting;
mod bench;
mod cancelling;
mod files;
mod listeners;
mod migration;
mod receiving;
mod sending;
mod unix;
mod waking;
mod zerocopy;
