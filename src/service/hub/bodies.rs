//! Bodies of files on their way: what is in memory in portions, what is in an open file by the loop, which is handed a range of it, and what is compressed
//! as it is made. Each takes no more than its connection's and its user's rates allow; the rest waits for the timer.
//!
//! Deliberately absent: how bytes of files move (`shards/`), and what they are (`files.rs`).

use super::encoding::Encoding;
use super::files::Admission;
use super::heartbeat::VERIFY_TOKEN;
use super::lines::Lines;
use super::unsealing::Unsealing;
use super::{Hub, Key, Output, Seed, Turn};
use crate::connection::{Reply, Stage};
use crate::files::{Content, FileRef, Plan, Refused, Segment};
use crate::limits::{Allowance, ByteBucket};
use crate::refusal::Refusal;
use crate::time::{ConnId, Now};
use core::ops::Range;
use std::collections::{HashMap, VecDeque};

/// Answers of so many bytes are as small as any other.
const UNCOUNTED_BYTES_MAX: usize = 4096;

/// Bytes that go out of memory at a time.
const PORTION_BYTES_MAX: usize = 64 * 1024;
/// A longer portion goes behind messages.
const LONG_BYTES: usize = 32 * 1024;

/// Less than this is not worth a send while more is wanted.
const LEAST_BYTES: u64 = 16 * 1024;

/// How long a client may take for a byte of a portion, beside the time for which it may do nothing.
pub(super) const PATIENCE_US_PER_BYTE: u64 = 1000;

/// How often somebody in a line looks whether it is the first: whoever was may be gone.
const LINE_LOOK_US: u64 = 100_000;

/// Where the bytes of a body come from.
pub(super) enum Source {
    /// It has none.
    Nothing,
    /// As they are stored.
    Stored(Content),
    /// Out of an encoder.
    Encoding(Box<Encoding>),
    /// As they are stored, but for being encrypted there.
    Unsealing(Box<Unsealing>),
}

/// A body that goes out in pieces.
pub(super) struct Sending {
    source: Source,
    segments: VecDeque<Segment>,
    keep_alive: bool,
    user: Option<Box<str>>,
    /// Bytes of an open file that may go now and that the loop has not taken.
    granted: u64,
    /// Nothing goes before this; 0 for no such time.
    waits_until_us: u64,
    /// It has a place in its user's line.
    is_in_line: bool,
    /// Bytes in the connection's output, which count as queued.
    counted_bytes: u64,
}

impl Sending {
    /// What may be moved to the wire once it is allowed to: so many bytes of memory beside those that go out already, or of a file.
    fn wanted(&self, out_bytes: usize) -> u64 {
        let room = PORTION_BYTES_MAX.saturating_sub(out_bytes) as u64;
        match (&self.source, self.segments.front()) {
            (Source::Encoding(encoding), _) => room.min(encoding.ready_bytes() as u64),
            (Source::Unsealing(unsealing), Some(Segment::File(_))) => {
                room.min(unsealing.ready_bytes() as u64)
            }
            (Source::Stored(Content::Whole(_)), Some(Segment::File(range))) => {
                room.min(range.end - range.start)
            }
            (Source::Stored(Content::Open(_)), Some(Segment::File(range))) if self.granted == 0 => {
                range.end - range.start
            }
            _ => 0,
        }
    }

    /// So many bytes may go.
    fn grant(&mut self, count: u64, out: &mut Vec<u8>) {
        match &mut self.source {
            Source::Encoding(encoding) => encoding.take(count as usize, out),
            Source::Stored(Content::Open(_)) => self.granted = count,
            Source::Stored(Content::Whole(bytes)) => {
                if let Some(Segment::File(range)) = self.segments.front_mut() {
                    let from = range.start as usize;
                    out.extend_from_slice(&bytes[from..from + count as usize]);
                    range.start += count;
                }
                self.pop_empty();
            }
            Source::Unsealing(unsealing) => {
                unsealing.take(count as usize, out);
                if let Some(Segment::File(range)) = self.segments.front_mut() {
                    range.start += count;
                }
                self.pop_empty();
            }
            // What is encrypted is not sent as it is stored.
            Source::Nothing | Source::Stored(Content::Sealed(_)) => {}
        }
    }

    /// What is to be decrypted next, if that is wanted.
    pub(super) fn next_sealed(&mut self) -> Option<(&mut Unsealing, Range<u64>)> {
        match (&mut self.source, self.segments.front()) {
            (Source::Unsealing(unsealing), Some(Segment::File(range))) => {
                Some((unsealing, range.clone()))
            }
            _ => None,
        }
    }

    fn pop_empty(&mut self) {
        let is_empty = |segment: &mut Segment| match segment {
            Segment::Bytes(bytes) => bytes.is_empty(),
            Segment::File(range) => range.start == range.end,
        };
        self.segments.pop_front_if(is_empty);
    }

    /// Moves what stands between pieces to the bytes that go out.
    fn take_bytes(&mut self, out: &mut Vec<u8>) {
        let is_bytes = |segment: &mut Segment| matches!(segment, Segment::Bytes(_));
        while let Some(Segment::Bytes(bytes)) = self.segments.pop_front_if(is_bytes) {
            out.extend_from_slice(&bytes);
        }
    }

    fn is_over(&self) -> bool {
        match &self.source {
            Source::Encoding(encoding) => encoding.is_over(),
            _ => self.segments.is_empty(),
        }
    }
}

/// All of a shard's.
pub(super) struct Bodies {
    by_key: HashMap<Key, Sending, Seed>,
    /// What encoders may take together.
    encoding_bytes: usize,
    /// What segments may take together that are decrypted.
    unsealing_bytes: usize,
    /// Of connections that have got something, as long as there is a rate for that.
    buckets: HashMap<Key, ByteBucket, Seed>,
    lines: Lines,
}

impl Bodies {
    pub(super) fn new(seed: Seed) -> Self {
        Self {
            by_key: HashMap::with_hasher(seed),
            encoding_bytes: 0,
            unsealing_bytes: 0,
            buckets: HashMap::with_hasher(seed),
            lines: Lines::new(seed),
        }
    }

    pub(super) fn has(&self, key: Key) -> bool {
        self.by_key.contains_key(&key)
    }

    /// Whether its connection ends behind it.
    pub(super) fn is_last(&self, key: Key) -> bool {
        let sending = self.by_key.get(&key);
        sending.is_some_and(|sending| !sending.keep_alive)
    }

    pub(super) fn len(&self) -> usize {
        self.by_key.len()
    }

    pub(super) const fn encoding_bytes(&self) -> usize {
        self.encoding_bytes
    }

    pub(super) const fn unsealing_bytes(&self) -> usize {
        self.unsealing_bytes
    }

    /// Whether no piece of a file is being read or compressed.
    pub(super) fn are_idle(&self) -> bool {
        let is_idle = |sending: &Sending| match &sending.source {
            Source::Encoding(encoding) => !encoding.is_busy(),
            Source::Unsealing(unsealing) => !unsealing.is_busy(),
            Source::Nothing | Source::Stored(_) => true,
        };
        self.by_key.values().all(is_idle)
    }

    /// What a connection's file goes through.
    pub(super) fn encoding(&mut self, key: Key) -> Option<&mut Encoding> {
        match &mut self.by_key.get_mut(&key)?.source {
            Source::Encoding(encoding) => Some(encoding),
            Source::Nothing | Source::Stored(_) | Source::Unsealing(_) => None,
        }
    }

    /// A connection's body.
    pub(super) fn sending(&mut self, key: Key) -> Option<&mut Sending> {
        self.by_key.get_mut(&key)
    }

    fn insert(&mut self, key: Key, sending: Sending) {
        match &sending.source {
            Source::Encoding(encoding) => self.encoding_bytes += encoding.cost_bytes(),
            Source::Unsealing(_) => self.unsealing_bytes += Unsealing::COST_BYTES,
            Source::Nothing | Source::Stored(_) => {}
        }
        self.by_key.insert(key, sending);
    }

    /// A body is over. How many bytes of it were queued.
    fn remove(&mut self, key: Key) -> u64 {
        let Some(sending) = self.by_key.remove(&key) else {
            return 0;
        };
        match &sending.source {
            Source::Encoding(encoding) => self.encoding_bytes -= encoding.cost_bytes(),
            Source::Unsealing(_) => self.unsealing_bytes -= Unsealing::COST_BYTES,
            Source::Nothing | Source::Stored(_) => {}
        }
        if let Some(user) = sending.user.filter(|_| sending.is_in_line) {
            self.lines.leave(&user, key);
        }
        sending.counted_bytes
    }

    /// Its connection is gone. How many bytes of it were queued.
    pub(super) fn forget(&mut self, key: Key) -> u64 {
        // Each connection asks when it ends, and hardly any was given a file: no key is hashed for that.
        if self.by_key.is_empty() && self.buckets.is_empty() {
            return 0;
        }
        self.buckets.remove(&key);
        self.remove(key)
    }

    /// Bytes that count as queued.
    pub(super) fn counted_bytes(&self) -> u64 {
        let all = self.by_key.values();
        all.map(|sending| sending.counted_bytes).sum()
    }
}

impl Hub {
    /// Sends an answer: what is small and in memory at once, everything else piece by piece.
    pub(super) fn send_plan(
        &mut self,
        key: Key,
        plan: Plan,
        source: Source,
        admission: &Admission,
        turn: &mut Turn<'_>,
    ) {
        let user = admission.user.as_deref();
        if !matches!(plan.status, 200 | 206) {
            self.files.give_back(admission);
        }
        if let Some(refusal) = plan.refusal {
            self.stats.refused(refusal);
        }
        let mut sending = Sending {
            source,
            segments: plan.body.into(),
            keep_alive: plan.keep_alive,
            user: user.map(Into::into),
            granted: 0,
            waits_until_us: 0,
            is_in_line: false,
            counted_bytes: 0,
        };
        let mut answer = plan.head;
        if !self.is_shaped(user) {
            take_small(&mut sending, &mut answer);
        }
        if sending.is_over() {
            if answer.len() > UNCOUNTED_BYTES_MAX && self.over_answers() {
                self.files.give_back(admission);
            }
            return self.give_file(key, &answer, sending.keep_alive, turn);
        }
        let is_open = matches!(sending.source, Source::Stored(Content::Open(_)));
        if !is_open && self.over_answers() {
            self.files.give_back(admission);
            let refused = Refused::new(503, Refusal::ShardFull);
            return self.refuse_file(key, &refused, &Reply::last(), turn);
        }
        let Some(connection) = self.connections.get_mut(key) else {
            return;
        };
        connection.stage = Stage::Sending;
        connection.clear_deadline();
        self.files.bodies.insert(key, sending);
        self.date.insert(turn.now, &mut answer);
        self.push_body(key, answer, turn);
    }

    /// Sends an answer that is in memory. A large one counts as queued until it went out, and where the shard has no memory left for it the client comes again.
    fn give_file(&mut self, key: Key, answer: &[u8], keep_alive: bool, turn: &mut Turn<'_>) {
        if answer.len() <= UNCOUNTED_BYTES_MAX {
            self.send_answer(key, answer, keep_alive, turn);
        } else if self.over_answers() {
            let refused = Refused::new(503, Refusal::ShardFull);
            self.refuse_file(key, &refused, &Reply::last(), turn);
        } else {
            self.give(key, answer, keep_alive, turn);
        }
    }

    fn is_shaped(&self, user: Option<&str>) -> bool {
        !self.settings.dev && self.limits.shapes(user)
    }

    /// How much of what is wanted may go now.
    fn allow_body(&mut self, key: Key, user: Option<&str>, wanted: u64, now: Now) -> Allowance {
        if !self.is_shaped(user) {
            return Allowance::Now(wanted);
        }
        let bucket = self.files.bodies.buckets.entry(key).or_default();
        let allowance = self
            .limits
            .download(now, bucket, user, (wanted, LEAST_BYTES));
        self.stats.file_rate_waits += u64::from(matches!(allowance, Allowance::At(_)));
        allowance
    }

    /// Moves what may go to the bytes that go out, or grants it to the loop. When something is wanted that may not go yet: since when it may.
    fn fill(
        &mut self,
        key: Key,
        sending: &mut Sending,
        out: &mut Vec<u8>,
        turn: &mut Turn<'_>,
    ) -> Option<u64> {
        let now = turn.now;
        loop {
            if out.len() < PORTION_BYTES_MAX {
                sending.take_bytes(out);
            }
            let wanted = sending.wanted(out.len());
            if wanted == 0 {
                return None;
            }
            if self.waits_in_line(key, sending) {
                return Some(now.monotonic_us + LINE_LOOK_US);
            }
            let allowance = self.allow_body(key, sending.user.as_deref(), wanted, now);
            self.move_in_line(key, sending, (wanted, allowance), turn);
            match allowance {
                Allowance::At(at_us) => return Some(at_us),
                Allowance::Now(count) => sending.grant(count, out),
            }
        }
    }

    /// Whether others of its user asked before: then it goes behind them. Without lines whoever asked last would get all that there is, again and again.
    fn waits_in_line(&mut self, key: Key, sending: &mut Sending) -> bool {
        let Some(user) = sending
            .user
            .as_deref()
            .filter(|_| self.limits.shapes_user())
        else {
            return false;
        };
        let lines = &mut self.files.bodies.lines;
        match lines.first(user) {
            None => return false,
            Some(first) if first == key => return false,
            Some(_) if sending.is_in_line => return true,
            Some(_) => lines.join(user, key),
        }
        sending.is_in_line = true;
        self.stats.file_rate_waits += 1;
        true
    }

    /// Whoever waits for its user's rate stays first in the line, or begins one. Whoever got something, or waits for a rate of its own, lets the next one look.
    fn move_in_line(
        &mut self,
        key: Key,
        sending: &mut Sending,
        (wanted, allowance): (u64, Allowance),
        turn: &mut Turn<'_>,
    ) {
        let Some(user) = sending
            .user
            .as_deref()
            .filter(|_| self.limits.shapes_user())
        else {
            return;
        };
        let stays = matches!(allowance, Allowance::At(_))
            && self
                .limits
                .user_waits(turn.now, user, (wanted, LEAST_BYTES));
        let lines = &mut self.files.bodies.lines;
        match (stays, sending.is_in_line) {
            (true, false) => lines.join(user, key),
            (false, true) => {
                let next = lines.leave(user, key);
                self.call_next(next, turn);
            }
            _ => {}
        }
        sending.is_in_line = stays;
    }

    fn call_next(&mut self, next: Option<Key>, turn: &mut Turn<'_>) {
        let Some(next) = next else {
            return;
        };
        if let Some(sending) = self.files.bodies.by_key.get_mut(&next) {
            let at_us = turn.now.monotonic_us;
            sending.waits_until_us = at_us;
            let token = VERIFY_TOKEN | next.bits();
            turn.out.push(Output::Timer { at_us, token });
        }
    }

    /// Sends what may go of a body, behind these bytes.
    pub(super) fn push_body(&mut self, key: Key, mut bytes: Vec<u8>, turn: &mut Turn<'_>) {
        let Some(connection) = self.connections.get(key) else {
            return;
        };
        // A head may follow the answer before it.
        let is_free = !bytes.is_empty() || connection.busy().output.is_empty();
        let now_us = turn.now.monotonic_us;
        let is_ready = |sending: &mut Sending| is_free && sending.waits_until_us <= now_us;
        let sending = self.files.bodies.by_key.get_mut(&key);
        if !sending.is_some_and(is_ready) {
            return;
        }
        // Out of its table for as long as the others are asked.
        let Some(mut sending) = self.files.bodies.by_key.remove(&key) else {
            return;
        };
        let until_us = self.fill(key, &mut sending, &mut bytes, turn);
        if let Some(at_us) = until_us {
            sending.waits_until_us = at_us;
            let token = VERIFY_TOKEN | key.bits();
            turn.out.push(Output::Timer { at_us, token });
        }
        sending.counted_bytes += bytes.len() as u64;
        self.queued_bytes += bytes.len() as u64;
        self.given_bytes += bytes.len() as u64;
        let is_granted = sending.granted > 0;
        self.files.bodies.by_key.insert(key, sending);
        if !bytes.is_empty() {
            self.send_portion(key, bytes, turn);
        } else if is_granted {
            turn.out.push(Output::Dirty(key.conn()));
        }
        self.feed_encoder(key, turn);
        self.unseal_next(key, turn);
    }

    fn send_portion(&mut self, key: Key, bytes: Vec<u8>, turn: &mut Turn<'_>) {
        let Some(connection) = self.connections.get_mut(key) else {
            return;
        };
        let portion_us = bytes.len() as u64 * PATIENCE_US_PER_BYTE;
        match &mut connection.busy_mut().output {
            output if output.is_empty() => *output = bytes,
            output => output.extend_from_slice(&bytes),
        }
        let is_long = connection.busy().output.len() > LONG_BYTES;
        turn.out.push(match is_long {
            true => Output::Behind(key.conn()),
            false => Output::Dirty(key.conn()),
        });
        // The loop looks after who does not read what it sends of a file; who does not read this may not keep it for ever. A thousand bytes a second are enough.
        let idle_us = u64::from(self.settings.keep_alive_timeout_ms) * 1000 + portion_us;
        self.set_deadline(key, turn.now.monotonic_us + idle_us, turn);
    }

    /// Its rate allows more.
    pub(super) fn wake_body(&mut self, key: Key, turn: &mut Turn<'_>) {
        let sending = self.files.bodies.by_key.get(&key);
        if sending.is_some_and(|sending| sending.waits_until_us > 0) {
            self.push_body(key, Vec::new(), turn);
        }
    }

    /// Whether what is on its way to `conn` is an answer that its client has a time of its own to read: until then it is waited for, also if it has said all.
    #[must_use]
    pub fn is_timing(&self, conn: ConnId) -> bool {
        let connection = self.connections.get(Key::of(conn));
        connection.is_some_and(|connection| {
            matches!(connection.stage, Stage::Sending | Stage::Given { .. })
                && connection.busy().deadline_us > 0
        })
    }

    /// Whether a piece of a file follows the bytes that the connection has to send.
    #[must_use]
    pub fn has_piece(&self, conn: ConnId) -> bool {
        if self.files.bodies.by_key.is_empty() {
            return false;
        }
        let sending = self.files.bodies.by_key.get(&Key::of(conn));
        sending.is_some_and(|sending| {
            let is_open = matches!(sending.source, Source::Stored(Content::Open(_)));
            let is_file = matches!(sending.segments.front(), Some(Segment::File(_)));
            is_open && is_file && sending.granted > 0
        })
    }

    /// The next piece of a file for `conn`'s wire, once [`Self::next_send`] has nothing.
    pub fn next_piece(&mut self, conn: ConnId) -> Option<(FileRef, Range<u64>)> {
        if self.files.bodies.by_key.is_empty() {
            return None;
        }
        let sending = self.files.bodies.by_key.get_mut(&Key::of(conn))?;
        let (Source::Stored(Content::Open(file)), Some(Segment::File(range)), 1..) = (
            &sending.source,
            sending.segments.front_mut(),
            sending.granted,
        ) else {
            return None;
        };
        let (file, start) = (file.clone(), range.start);
        range.start = range.end.min(start + sending.granted);
        let piece = start..range.start;
        sending.granted = 0;
        sending.pop_empty();
        self.stats.file_bytes += piece.end - piece.start;
        Some((file, piece))
    }

    /// A send of an answer in pieces ended: more follows, or the answer is whole.
    pub(crate) fn send_on(&mut self, key: Key, turn: &mut Turn<'_>) {
        let Some(connection) = self.connections.get_mut(key) else {
            return;
        };
        if !matches!(connection.stage, Stage::Sending) || !connection.busy().output.is_empty() {
            return;
        }
        let Some(sending) = self.files.bodies.by_key.get_mut(&key) else {
            // It came from elsewhere, where its file was open.
            return self.close_now(key, turn);
        };
        connection.clear_deadline();
        let sent_bytes = core::mem::take(&mut sending.counted_bytes);
        self.queued_bytes -= sent_bytes;
        self.given_bytes -= sent_bytes;
        if !sending.is_over() {
            return self.push_body(key, Vec::new(), turn);
        }
        let keep_alive = sending.keep_alive;
        self.files.bodies.remove(key);
        connection.stage = Stage::Head;
        if !keep_alive || self.drain_told_everybody() {
            self.close_after_flush(key, turn);
        }
    }
}

/// Takes a body that is in memory and small: it goes out with its head.
fn take_small(sending: &mut Sending, out: &mut Vec<u8>) {
    let bytes_of = |segment: &Segment| match segment {
        Segment::Bytes(bytes) => bytes.len() as u64,
        Segment::File(range) => range.end - range.start,
    };
    let body_bytes: u64 = sending.segments.iter().map(bytes_of).sum();
    let is_here = matches!(
        sending.source,
        Source::Nothing | Source::Stored(Content::Whole(_))
    );
    if !is_here || body_bytes > PORTION_BYTES_MAX as u64 {
        return;
    }
    out.reserve_exact(body_bytes as usize);
    while !sending.segments.is_empty() {
        sending.take_bytes(out);
        if let Some(Segment::File(range)) = sending.segments.front() {
            sending.grant(range.end - range.start, out);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::encoding::tests::encoding;
    use super::*;

    #[test]
    fn a_piece_that_is_being_read_is_under_way() {
        let mut bodies = Bodies::new(Seed::fixed());
        for is_busy in [false, true] {
            let mut encoding = encoding(true);
            encoding.set_busy(is_busy);
            let sending = Sending {
                source: Source::Encoding(Box::new(encoding)),
                segments: VecDeque::new(),
                keep_alive: true,
                user: None,
                granted: 0,
                waits_until_us: 0,
                is_in_line: false,
                counted_bytes: 0,
            };
            let key = Key::from_bits(1);
            bodies.insert(key, sending);
            assert_eq!(bodies.are_idle(), !is_busy);
            bodies.remove(key);
        }
        assert!(bodies.are_idle());
    }
}
