//! What is in flight: frames and slots until the terminal completion of their send (invariant 1), receives, and cancels until they took effect.

use ringway_io::{File, Frame, GENERATION_MAX, Key, OpKind, SlotLease, Socket, Sparse};
use std::collections::HashMap;

/// What a send needs until its terminal completion.
pub(crate) enum HeldSend {
    /// The kernel reads it.
    Frame(Frame),
    /// The kernel reads it.
    Slot(SlotLease),
    /// What it reads stands elsewhere, since it outlasts the send (see `zerocopy`).
    ZeroCopy,
    /// A send from a file, whose socket gets a descriptor first.
    Install(FromFile),
}

/// A send from a file.
#[derive(Clone, Copy)]
pub(crate) struct FromFile {
    pub(crate) socket: Socket,
    pub(crate) file: File,
    pub(crate) offset: u64,
    pub(crate) count: u32,
    pub(crate) is_known: bool,
}

/// One place per connection slot, because there is one send in flight per socket (invariant 2). As long as the loop's table of connections, which
/// has a bound.
pub(crate) struct Sends(Sparse<(Key, HeldSend)>);

impl Sends {
    /// Room for so many without growing.
    pub(crate) fn with_capacity(sockets_max: u32) -> Self {
        Self(Sparse::with_capacity(sockets_max))
    }

    /// # Panics
    /// When the slot's last send is still in flight.
    pub(crate) fn assert_free(&self, key: Key) {
        let slot = key.slot();
        let is_free = self.0.get(slot).is_none();
        assert!(is_free, "two sends in flight on connection slot {slot}");
    }

    /// Holds what a send needs from its submission on.
    ///
    /// # Panics
    /// When the slot's last send is still in flight.
    pub(crate) fn hold(&mut self, key: Key, held: HeldSend) -> &HeldSend {
        self.assert_free(key);
        &self.0.insert(key.slot(), (key, held)).1
    }

    /// Whether the completion under `key`, which nobody will handle, brings a descriptor.
    pub(crate) fn installs(&self, key: Key) -> bool {
        let held = self.0.get(key.slot());
        held.is_some_and(|(_, held)| matches!(held, HeldSend::Install(_)))
    }

    /// Whether `key` names a send in flight.
    fn has(&self, key: Key) -> bool {
        let held = self.0.get(key.slot());
        held.is_some_and(|(holder, _)| *holder == key)
    }

    /// The terminal completion came.
    pub(crate) fn release(&mut self, key: Key) -> HeldSend {
        match self.0.remove(key.slot()) {
            Some((holder, held)) if holder == key => held,
            _ => panic!("a send completes once, under its own key"),
        }
    }
}

/// No receive.
const NONE: u32 = u32::MAX;

/// Above a generation stands how a receive has gone since it was armed: so many buffers in a row behind which its socket had more, up to [`LONG`], or one of these.
const COURSE_SHIFT: u32 = GENERATION_MAX.count_ones();
/// It fills one large buffer and ends.
const BULK: u32 = 0xfb;
/// Nothing is in flight, and the next one is to be [`BULK`].
const MUCH_CAME: u32 = 0xfc;
/// The socket was empty once.
const SETTLED: u32 = 0xfd;
/// It is being ended, to be armed again.
const RENEWED: u32 = 0xfe;

/// The kernel fills 32 buffers (MULTISHOT_MAX_RETRY of its net.c) before it leaves the rest of what it found to a poll. Half of it: it is no promise.
const LONG: u32 = 16;

/// With so many bytes in one large buffer it goes on: what two or three small ones would hold.
const MUCH_BYTES: i32 = 8 << 10;

/// The receive in flight of each connection slot, by its generation.
///
/// A receive that is armed where much waits has a flaw: the kernel goes over to a poll while there are bytes, and takes whatever else the socket says in that moment for
/// one event with them. Of a peer that had reset the connection by then it reads the bytes, and nothing is ever heard of it (Linux 6.18; a peer that said its end in
/// order is heard of). So such a receive is renewed when its socket is empty for the first time: arming looks at the socket first, and there is nothing else to be seen.
///
/// Behind one that found much, and was ended by whoever could not take more, the next fills one large buffer. As it ends by itself, nothing has to be cancelled, and
/// nothing comes for which there is no place; and what would be sixteen small buffers is one call. So it goes on as long as much comes.
pub(crate) struct Receives(Vec<u32>);

impl Receives {
    /// Room for so many without growing.
    pub(crate) fn with_capacity(sockets_max: u32) -> Self {
        Self(Vec::with_capacity(sockets_max as usize))
    }

    /// A receive was submitted: one of one large buffer, or one that goes on.
    pub(crate) fn begin(&mut self, key: Key, is_bulk: bool) {
        let slot = key.slot() as usize;
        if self.0.len() <= slot {
            self.0.resize(slot + 1, NONE);
        }
        let before = self.0[slot];
        assert!(
            before == NONE || before >> COURSE_SHIFT == MUCH_CAME,
            "two receives in flight on connection slot {slot}"
        );
        let course = if is_bulk { BULK } else { 0 };
        self.0[slot] = key.generation() | course << COURSE_SHIFT;
    }

    fn is(&self, key: Key, course: u32) -> bool {
        self.0.get(key.slot() as usize) == Some(&(key.generation() | course << COURSE_SHIFT))
    }

    /// Whether the next receive of this connection had better fill a large buffer.
    pub(crate) fn much_came(&self, key: Key) -> bool {
        self.is(key, MUCH_CAME)
    }

    /// Whether what is in flight fills a large buffer.
    pub(crate) fn is_bulk(&self, key: Key) -> bool {
        self.is(key, BULK)
    }

    /// It filled a buffer and goes on; behind that the socket had more, or not. Whether it has to be renewed.
    pub(crate) fn filled(&mut self, key: Key, had_more: bool) -> bool {
        let receive = &mut self.0[key.slot() as usize];
        let course = match (*receive >> COURSE_SHIFT, had_more) {
            (BULK..=RENEWED, _) => return false,
            (course, true) => LONG.min(course + 1),
            (LONG, false) => RENEWED,
            (_, false) => SETTLED,
        };
        *receive = key.generation() | course << COURSE_SHIFT;
        course == RENEWED
    }

    /// Whether it is being renewed.
    pub(crate) fn is_renewed(&self, key: Key) -> bool {
        self.is(key, RENEWED)
    }

    /// The terminal completion came, with so many bytes or an error.
    pub(crate) fn end(&mut self, key: Key, result: i32) {
        assert!(self.has(key), "a receive ends once");
        let receive = &mut self.0[key.slot() as usize];
        let goes_on = match *receive >> COURSE_SHIFT {
            BULK => result >= MUCH_BYTES || result == -libc::ECANCELED,
            course => (LONG..BULK).contains(&course) && result == -libc::ECANCELED,
        };
        *receive = match goes_on {
            true => key.generation() | MUCH_CAME << COURSE_SHIFT,
            false => NONE,
        };
    }

    fn has(&self, key: Key) -> bool {
        let receive = self.0.get(key.slot() as usize);
        receive.is_some_and(|receive| {
            *receive != NONE
                && *receive >> COURSE_SHIFT != MUCH_CAME
                && *receive & GENERATION_MAX == key.generation()
        })
    }
}

/// Whether the kernel still has the operation that `key` names; of receives and sends only, as the others end by themselves.
pub(crate) fn is_in_flight(key: Key, sends: &Sends, receives: &Receives) -> bool {
    match key.kind() {
        OpKind::Send => sends.has(key),
        OpKind::Recv => receives.has(key),
        _ => false,
    }
}

/// One cancel: its own key and the key of what it ends.
#[derive(Clone, Copy)]
pub(crate) struct Cancel {
    pub(crate) key: Key,
    pub(crate) target: Key,
}

/// Cancels on their way, each under a number of its own.
#[derive(Default)]
pub(crate) struct Cancels {
    under_way: HashMap<u64, Cancel>,
    last: u64,
}

impl Cancels {
    pub(crate) fn begin(&mut self, cancel: Cancel) -> u64 {
        // 56 bits of numbers last longer than any process.
        self.last += 1;
        self.under_way.insert(self.last, cancel);
        self.last
    }

    pub(crate) fn get(&self, number: u64) -> Cancel {
        self.under_way[&number]
    }

    pub(crate) fn end(&mut self, number: u64) {
        self.under_way.remove(&number);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: Key = Key::new(OpKind::Recv, GENERATION_MAX, 3);

    /// Whether the next receive is of one large buffer, of one that ended so.
    fn check_next(buffers: u32, result: i32, expected: bool) {
        let mut receives = Receives(Vec::new());
        receives.begin(KEY, false);
        (0..buffers).for_each(|_| assert!(!receives.filled(KEY, true)));
        receives.end(KEY, result);
        assert!(!receives.has(KEY));
        assert_eq!(receives.much_came(KEY), expected, "{buffers}, {result}");
        let other = Key::new(OpKind::Recv, 7, KEY.slot());
        assert!(!receives.much_came(other));
        receives.begin(other, false);
        assert!(receives.has(other) && !receives.is_bulk(other));
    }

    #[test]
    fn much_that_nobody_could_take_comes_in_large_buffers() {
        check_next(LONG, -libc::ECANCELED, true);
        check_next(LONG + 9, -libc::ECANCELED, true);
        check_next(LONG - 1, -libc::ECANCELED, false);
        check_next(LONG, -libc::ENOBUFS, false);
        check_next(LONG, 0, false);
        let mut receives = Receives(Vec::new());
        // Who found no large buffer goes on with small ones: others would always be first.
        for (result, expected) in [
            (MUCH_BYTES, true),
            (-libc::ECANCELED, true),
            (-libc::ENOBUFS, false),
            (MUCH_BYTES - 1, false),
            (0, false),
        ] {
            receives.begin(KEY, true);
            assert!(receives.is_bulk(KEY) && receives.has(KEY));
            receives.end(KEY, result);
            assert_eq!(receives.much_came(KEY), expected, "{result}");
        }
    }

    /// Whether a receive is renewed behind so many buffers in a row, and one more behind which there is nothing.
    fn check(buffers: u32, expected: bool) {
        let mut receives = Receives(Vec::new());
        receives.begin(KEY, false);
        assert!((0..buffers).all(|_| !receives.filled(KEY, true)));
        assert_eq!(receives.filled(KEY, false), expected, "{buffers}");
        assert_eq!(receives.is_renewed(KEY), expected);
        assert!(receives.has(KEY));
        // Once is enough, and later ones were armed where nothing waited.
        assert!((0..100).all(|one| !receives.filled(KEY, one % 40 > 0)));
        receives.end(KEY, 1);
        assert!(!receives.has(KEY) && !receives.is_renewed(KEY));
    }

    #[test]
    fn what_began_with_much_is_renewed_once() {
        check(0, false);
        check(LONG - 1, false);
        check(LONG, true);
        check(1000, true);
    }
}
