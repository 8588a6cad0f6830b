//! Clients that do not keep up: their workers hear of it (PRESSURE), and of its end, so that applications may wait and what is volatile is not sent at all.
//!
//! Deliberately absent: workers that wait for all their clients together (`links`), and clients that are closed for it (`sending`).

use super::{Hub, Key, Turn};
use crate::upstream::{ClientNumber, ToLinks};
use ringway_proto::link::{Flags, Frame, Kind};

/// What waits for a client that does not keep up: a quarter of what makes all workers wait.
pub(super) const SLOW_BYTES: usize = 64 << 10;
/// What is left when it does again.
const EASED_BYTES: usize = 16 << 10;

impl Hub {
    /// So many bytes wait for a client, which is much. Each of its workers hears it once.
    #[cold]
    pub(super) fn note_slow(&mut self, key: Key, bytes: usize, turn: &mut Turn<'_>) {
        self.upstream.eased.remove(&key);
        for client in self.untold(key) {
            self.tell_slow((key, client), bytes, turn);
        }
    }

    /// What the applications call a client that do not know yet that it is slow.
    fn untold(&self, key: Key) -> Vec<ClientNumber> {
        let told = self.upstream.slow.get(&key);
        let is_told = |number: &ClientNumber| told.is_some_and(|told| told.contains(number));
        let session = self.sessions.get(key);
        let upstream = session.and_then(|session| session.upstream());
        let legs = upstream.map_or(&[][..], |upstream| &upstream.legs);
        let numbers = legs.iter().map(|leg| leg.number);
        numbers.filter(|number| !is_told(number)).collect()
    }

    /// An application hears that a client does not keep up. Where the links are that may be the client's end.
    fn tell_slow(&mut self, (key, client): (Key, ClientNumber), bytes: usize, turn: &mut Turn<'_>) {
        if self.upstream.clients.find(client).is_none() {
            return;
        }
        self.upstream.slow.entry(key).or_default().push(client);
        if !self.say_slow(client, Some(bytes), turn) {
            self.forget_slow_at((key, client));
        }
    }

    /// A worker was told who a client is: the last one may have known that it is slow, and this one hears it if it is so.
    pub(super) fn say_slow_anew(
        &mut self,
        (key, client): (Key, ClientNumber),
        turn: &mut Turn<'_>,
    ) {
        let was_slow = self.forget_slow_at((key, client));
        let session = self.sessions.get(key);
        let bytes = session.map_or(0, |session| session.outbox.bytes());
        if bytes > SLOW_BYTES || was_slow && bytes > EASED_BYTES {
            self.tell_slow((key, client), bytes, turn);
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
        if !self.upstream.slow.contains_key(&key) {
            return;
        }
        if self.has_eased(key) {
            self.upstream.eased.insert(key);
        }
    }

    fn has_eased(&self, key: Key) -> bool {
        let session = self.sessions.get(key);
        session.is_none_or(|session| session.outbox.bytes() <= EASED_BYTES)
    }

    /// Once per lap: those that keep up again.
    pub(super) fn say_eased(&mut self, turn: &mut Turn<'_>) {
        for key in core::mem::take(&mut self.upstream.eased) {
            self.say_eased_of(key, turn);
        }
    }

    fn say_eased_of(&mut self, key: Key, turn: &mut Turn<'_>) {
        let told = self.upstream.slow.get(&key).cloned();
        for client in told.unwrap_or_default() {
            // One that has heard it may have said more at once.
            if !self.has_eased(key) {
                return;
            }
            self.forget_slow_at((key, client));
            if !self.say_slow(client, None, turn) {
                // There is no ring space: the next lap tries again.
                self.upstream.slow.entry(key).or_default().push(client);
                self.upstream.eased.insert(key);
            }
        }
    }

    /// The client is gone.
    pub(super) fn forget_slow(&mut self, key: Key) {
        self.upstream.slow.remove(&key);
        self.upstream.eased.remove(&key);
    }

    /// Whether the application knew that the client is slow. It does not any more.
    pub(super) fn forget_slow_at(&mut self, (key, client): (Key, ClientNumber)) -> bool {
        let Some(told) = self.upstream.slow.get_mut(&key) else {
            return false;
        };
        let before = told.len();
        told.retain(|number| *number != client);
        let knew = told.len() < before;
        if told.is_empty() {
            self.forget_slow(key);
        }
        knew
    }

    fn say_slow(
        &mut self,
        client: ClientNumber,
        bytes: Option<usize>,
        turn: &mut Turn<'_>,
    ) -> bool {
        let waiting = u32::try_from(bytes.unwrap_or(0)).unwrap_or(u32::MAX);
        let on = bytes.is_some();
        let mail = ToLinks::Frame {
            client,
            kind: Kind::Pressure.to_byte(),
            flags: Flags::NONE.bits(),
            has_more: false,
            body: &Frame::Pressure { on, waiting }.body(),
        };
        self.say_to_links(&mail, turn)
    }
}
