//! The hot functions, each alone, on input that never changes: `scripts/instructions` counts their instructions, `benches/wall.rs` takes their time.
//!
//! Deliberately absent: the kernel and the loop, which scenarios of the bench measure.

mod client;
mod frames;
#[cfg(test)]
mod idle;
mod packets;
mod room;

use core::hint::black_box;

/// A function with what it works on.
pub trait Subject {
    /// What has to happen before each step and is not part of it.
    fn prepare(&mut self) {}

    /// One iteration.
    fn step(&mut self);
}

/// A step that needs nothing before it.
impl<F: FnMut()> Subject for F {
    fn step(&mut self) {
        self();
    }
}

/// A subject by its name.
pub struct Entry {
    /// As the command line and the baselines have it.
    pub name: &'static str,
    /// What one iteration is.
    pub what: &'static str,
    /// Makes it; the first steps after that may cost more.
    pub build: fn() -> Box<dyn Subject>,
}

const fn entry(name: &'static str, what: &'static str, build: fn() -> Box<dyn Subject>) -> Entry {
    Entry { name, what, build }
}

/// All of them, in the order of a message's way.
pub const ENTRIES: &[Entry] = &[
    entry(
        "unmask-64",
        "1,024 payloads of 64 bytes are unmasked",
        frames::unmask_64,
    ),
    entry(
        "unmask-16384",
        "4 payloads of 16 KiB are unmasked",
        frames::unmask_16384,
    ),
    entry(
        "frame-decode",
        "one receive with 64 masked text frames of 64 bytes becomes messages",
        frames::decode,
    ),
    entry(
        "frame-encode",
        "headers of 64 frames, of all three lengths, are written",
        frames::encode,
    ),
    entry(
        "packet-scan",
        "64 Engine.IO messages are parsed down to their Socket.IO packet",
        packets::scan,
    ),
    entry(
        "arguments-scan",
        "the data of 64 publishes is cut into arguments and looked through for placeholders",
        packets::arguments,
    ),
    entry(
        "handshakes",
        "16 clients connect over a WebSocket, show their tokens, enter the namespace, say goodbye and are forgotten",
        client::handshakes,
    ),
    entry(
        "echoes",
        "64 clients say one event each, and are acknowledged",
        client::echoes,
    ),
    entry(
        "fan-out-plan",
        "one publish to a room of 1,000 is received, numbered, encoded and queued for each member",
        room::plan,
    ),
    entry(
        "flush-1",
        "1,000 members with one message each are asked for their send, which completes",
        room::flush_one,
    ),
    entry(
        "flush-4",
        "1,000 members with the same four messages each are asked for their send, which completes",
        room::flush_four,
    ),
];

/// A step, by the name that callgrind's `--toggle-collect` starts and stops counting at.
#[inline(never)]
pub fn measured(subject: &mut dyn Subject) {
    subject.step();
    // A call in the last place would be a jump, and this function would never be seen to return.
    black_box(());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn subjects_have_names_of_their_own_and_go_on() {
        for (index, entry) in ENTRIES.iter().enumerate() {
            assert!(
                ENTRIES[..index]
                    .iter()
                    .all(|other| other.name != entry.name)
            );
            let mut subject = (entry.build)();
            for _ in 0..40 {
                subject.prepare();
                measured(&mut *subject);
            }
        }
    }
}
