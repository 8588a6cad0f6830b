//! Clients that do not keep up: their workers hear of it (PRESSURE), and of its end, so that applications may wait and what is volatile is not sent at all.
//!
//! Deliberately absent: workers that wait for all their clients together (`links`), and clients that are closed for it (`sending`).

use super::{Hub, Key, Turn};
use crate::upstream::ToLinks;
use ringway_proto::link::{Flags, Frame, Kind};

/// What waits for a client that does not keep up: a quarter of what makes all workers wait.
pub(super) const SLOW_BYTES: usize = 64 << 10;
/// What is left when it does again.
const EASED_BYTES: usize = 16 << 10;

impl Hub {
    /// So many bytes wait for a client, which is much. Its worker hears it once.
    #[cold]
    pub(super) fn note_slow(&mut self, key: Key, bytes: usize, turn: &mut Turn<'_>) {
        self.upstream.eased.remove(&key);
        if !self.upstream.slow.contains(&key) && self.say_slow(key, Some(bytes), turn) {
            self.upstream.slow.insert(key);
        }
    }

    /// A client has taken something.
    #[inline(always)]
    pub(super) fn note_taken(&mut self, key: Key) {
        // Hardly ever anybody is slow, and this is asked for each send.
        if !self.upstream.slow.is_empty() {
            self.note_taken_by(key);
        }
    }

    #[cold]
    fn note_taken_by(&mut self, key: Key) {
        if !self.upstream.slow.contains(&key) {
            return;
        }
        let session = self.sessions.get(key);
        if session.is_none_or(|session| session.outbox.bytes() <= EASED_BYTES) {
            self.upstream.eased.insert(key);
        }
    }

    /// Once per lap: those that keep up again.
    pub(super) fn say_eased(&mut self, turn: &mut Turn<'_>) {
        for key in core::mem::take(&mut self.upstream.eased) {
            if self.say_slow(key, None, turn) {
                self.upstream.slow.remove(&key);
            } else {
                // There is no ring space: the next lap tries again.
                self.upstream.eased.insert(key);
            }
        }
    }

    /// Its next worker takes it for one that keeps up, until more is said to it.
    pub(super) fn forget_slow(&mut self, key: Key) {
        self.upstream.slow.remove(&key);
        self.upstream.eased.remove(&key);
    }

    fn say_slow(&mut self, key: Key, bytes: Option<usize>, turn: &mut Turn<'_>) -> bool {
        let waiting = u32::try_from(bytes.unwrap_or(0)).unwrap_or(u32::MAX);
        let on = bytes.is_some();
        let body = Frame::Pressure { on, waiting }.body();
        // Who hears it twice, as another one found no ring space, knows it already.
        self.numbers_of(key).into_iter().all(|client| {
            let mail = ToLinks::Frame {
                client,
                kind: Kind::Pressure.to_byte(),
                flags: Flags::NONE.bits(),
                has_more: false,
                body: &body,
            };
            self.say_to_links(&mail, turn)
        })
    }
}
