//! The circuit breaker: which workers get no clients for now, and for how long.
//!
//! A *kin* is the workers of one name, or all that have none: a process that dies is another instance when it comes back, and its kin remembers. Deliberately
//! absent: what becomes of clients (`mend`), and what a link did wrong (`fault`).

use super::connects::Connects;
use super::mail::ClientNumber;
use std::collections::{BTreeMap, VecDeque};

/// Kins that are remembered; the one that failed least recently gives way.
const KINS_MAX: usize = 128;
/// A kin's name, as far as it is kept.
const KIN_BYTES_MAX: usize = 128;
/// Failures that are remembered of a kin, whatever is configured.
pub const FAILURES_MAX: usize = 1_000;

/// Links of one peer that may be refused for what they said. More than of one worker: behind a peer may be several.
const PEER_LIES_MAX: u32 = 20;
/// Of the time for which a worker may flood, the part after which one that has done so before does it again.
const FLOOD_AGAIN: u64 = 4;
/// Time between two links of a host that are let in although others of its links are refused.
const LET_IN_US: u64 = 1_000_000;

/// What becomes of clients for whom there is no sound worker, though there are others.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OnFailure {
    /// They wait, as they do when there is no worker at all.
    Hold,
    /// They are told to come again later, at once.
    Refuse,
}

/// When a circuit opens, and what follows.
#[derive(Clone, Debug)]
pub struct BreakerSettings {
    /// How long a worker may deal with nothing of what it was sent, in milliseconds; 0: for ever.
    pub stall_ms: u32,
    /// How long a worker may say more than can be carried to clients, in milliseconds; 0: for ever.
    pub flood_ms: u32,
    /// Failures of a kin that open its circuit; 0: none do.
    pub failures_max: u32,
    /// Workers in a row that die by an exception until the client is told to go that was alone with the last of them; 0: it is not looked for.
    pub client_deaths_max: u32,
    /// The time within which they are counted, in milliseconds. A worker that lived longer has not failed when it dies.
    pub failures_within_ms: u32,
    /// The first waiting time, in milliseconds.
    pub isolate_ms_min: u32,
    /// The longest one, in milliseconds.
    pub isolate_ms_max: u32,
    /// What becomes of clients meanwhile.
    pub on_failure: OnFailure,
}

/// Whether a worker gets clients.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Circuit {
    /// It does.
    #[default]
    Closed,
    /// Not before that.
    Open { until_us: u64 },
    /// One, to see what comes of it.
    HalfOpen { probe: Option<Probe> },
}

/// The one client of a worker whose circuit is half open.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Probe {
    pub(super) client: ClientNumber,
    pub(super) since_us: u64,
    /// How many counted frames the worker was sent with its OPEN or RESUME, once that went.
    pub(super) opened_at: Option<u64>,
    /// How many CONNECTs the worker had answered before.
    pub(super) answers_before: u64,
    /// The worker was sent a CONNECT of this client.
    pub(super) has_asked: bool,
}

/// How far a worker has dealt with what it was sent.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Progress {
    done_frames: u64,
    /// Since when it owes something and has dealt with nothing.
    since_us: u64,
}

impl Progress {
    /// Looks at it. What a daemon that does not read or that was late itself sees is no sign of anything.
    pub(super) const fn look(&mut self, now_us: u64, done_frames: u64, owes: bool) {
        if !owes || done_frames != self.done_frames {
            self.done_frames = done_frames;
            self.since_us = now_us;
        }
    }

    pub(super) const fn forgive(&mut self, now_us: u64) {
        self.since_us = now_us;
    }

    pub(super) const fn owes_for_us(&self, now_us: u64) -> u64 {
        now_us.saturating_sub(self.since_us)
    }
}

/// What the breaker knows of one worker.
#[derive(Debug, Default)]
pub(super) struct Standing {
    pub(super) kin: Box<str>,
    pub(super) joined_us: u64,
    pub(super) circuit: Circuit,
    pub(super) progress: Progress,
    /// Requests that it has judged in time, and well.
    pub(super) answers: u64,
    /// Its circuit opened as it judged none: one that it judges closes it.
    pub(super) is_mute: bool,
    /// CONNECTs that it has not answered.
    pub(super) connects: Connects,
    /// Its circuit opened as it answered none: one that it answers closes it.
    pub(super) lets_nobody_in: bool,
    /// Its circuit opened as one of its kin flooded: one that does not closes it.
    pub(super) has_flooded: bool,
}

impl Standing {
    /// What it is sent first may not have been dealt with when it is looked at first: that it owes begins now, and not when time does.
    pub(super) const fn join(&mut self, now_us: u64) {
        self.joined_us = now_us;
        self.progress.forgive(now_us);
    }

    pub(super) const fn is_closed(&self) -> bool {
        matches!(self.circuit, Circuit::Closed)
    }

    /// Whether nothing of it is read: what it says goes to others' clients, too, though it has none of its own.
    pub(super) const fn is_unread(&self) -> bool {
        self.has_flooded && matches!(self.circuit, Circuit::Open { .. })
    }

    /// Whether it waits for its one client.
    pub(super) const fn wants_probe(&self) -> bool {
        matches!(self.circuit, Circuit::HalfOpen { probe: None })
    }

    /// Whether that it deals with what it is sent is not enough.
    pub(super) const fn wants_proof(&self) -> bool {
        self.is_mute || self.lets_nobody_in
    }

    /// What comes of its one client, as far as that was asked: it must be let in, or refused.
    pub(super) fn has_answered(&self, probe: &Probe) -> bool {
        let answered = self.connects.answers() > probe.answers_before;
        answered || !self.lets_nobody_in && !probe.has_asked
    }

    /// The worker was sent a CONNECT of a client, or is to say when it is back.
    pub(super) fn asked(&mut self, now_us: u64, client: ClientNumber) {
        self.connects.ask(now_us, client);
        if let Circuit::HalfOpen { probe: Some(probe) } = &mut self.circuit {
            probe.has_asked |= probe.client == client;
        }
    }

    /// The worker was sent OPEN or RESUME of a client, as the frame of that count.
    pub(super) fn opened(&mut self, client: ClientNumber, sent_frames: u64) {
        if let Circuit::HalfOpen { probe: Some(probe) } = &mut self.circuit
            && probe.client == client
        {
            probe.opened_at = Some(sent_frames);
        }
    }
}

/// The name by which a worker's failures are remembered.
pub(super) fn kin(name: Option<&str>) -> Box<str> {
    let name = name.unwrap_or_default();
    let mut ends = (0..=name.len().min(KIN_BYTES_MAX)).rev();
    let end = ends.find(|end| name.is_char_boundary(*end));
    name[..end.unwrap_or(0)].into()
}

#[derive(Debug, Default)]
struct Record {
    /// When it failed, the oldest first.
    failures_us: VecDeque<u64>,
    /// How often its circuit opened in a row.
    openings: u32,
    is_open: bool,
    /// It is open as one of them flooded.
    has_flooded: bool,
    until_us: u64,
    /// Of a peer: when one of its links is let in next, though it is open.
    next_us: u64,
}

/// What kins did, and for how long they are kept from clients.
pub(super) struct Breaker {
    settings: BreakerSettings,
    records: BTreeMap<Box<str>, Record>,
    random: u64,
    /// When workers were looked at last.
    pub(super) looked_us: u64,
}

impl Breaker {
    /// `seed` is unpredictable. Held clients must see the end of a waiting time: the longest one is half of `hold_ms` at most.
    pub(super) fn new(mut settings: BreakerSettings, hold_ms: u32, seed: u64) -> Self {
        settings.isolate_ms_max = settings.isolate_ms_max.min(hold_ms / 2);
        Self {
            settings,
            records: BTreeMap::new(),
            random: seed | 1,
            looked_us: 0,
        }
    }

    /// A breaker that knows peers by what the system says of them.
    pub(super) fn of_peers(mut settings: BreakerSettings, seed: u64) -> Self {
        settings.failures_max = settings.failures_max.min(1) * PEER_LIES_MAX;
        Self::new(settings, u32::MAX, seed.rotate_left(7))
    }

    pub(super) fn refuses(&self) -> bool {
        self.settings.on_failure == OnFailure::Refuse
    }

    /// Whether a worker that owes for so long is stuck.
    pub(super) fn is_stall(&self, owes_for_us: u64) -> bool {
        let stall_us = self.stall_us();
        stall_us > 0 && owes_for_us >= stall_us
    }

    /// How long a worker may take; 0: for ever.
    pub(super) const fn stall_us(&self) -> u64 {
        self.settings.stall_ms as u64 * 1000
    }

    /// Whether a worker that has flooded for so long is to be kept from clients.
    pub(super) fn is_flood(&self, flooded_us: u64, has_flooded: bool) -> bool {
        let flood_us = u64::from(self.settings.flood_ms) * 1000;
        let part = if has_flooded { FLOOD_AGAIN } else { 1 };
        flood_us > 0 && flooded_us >= flood_us / part
    }

    const fn within_us(&self) -> u64 {
        self.settings.failures_within_ms as u64 * 1000
    }

    /// The circuit of a worker that joins.
    pub(super) fn join(&self, now_us: u64, kin: &str) -> Circuit {
        let record = self.records.get(kin);
        match record.filter(|record| self.is_open(now_us, record)) {
            Some(record) => Circuit::Open {
                until_us: record.until_us,
            },
            None => Circuit::Closed,
        }
    }

    /// Whether that is so as one of the kin flooded.
    pub(super) fn has_flooded(&self, kin: &str) -> bool {
        self.records
            .get(kin)
            .is_some_and(|record| record.has_flooded)
    }

    /// Whether a link of the peer is let in while its circuit is open: one in a while.
    pub(super) fn lets_one_in(&mut self, now_us: u64, peer: &str) -> bool {
        let record = self.records.get_mut(peer);
        let record = record.filter(|record| now_us >= record.next_us);
        record.is_some_and(|record| {
            record.next_us = now_us + LET_IN_US;
            true
        })
    }

    /// Nobody came for long to show that it is better: that is over.
    const fn is_open(&self, now_us: u64, record: &Record) -> bool {
        record.is_open && now_us < record.until_us + self.within_us()
    }

    /// Whether any of these kins' circuits is open.
    pub(super) fn is_failing(&self, now_us: u64, is_kin: impl Fn(&str) -> bool) -> bool {
        let mut records = self.records.iter();
        records.any(|(kin, record)| is_kin(kin) && self.is_open(now_us, record))
    }

    /// Whether a worker that lived for so long and dies has failed.
    pub(super) const fn is_early(&self, lived_us: u64) -> bool {
        lived_us < self.within_us()
    }

    /// A worker failed. Until when its kin is kept from clients, if that opens the circuit.
    pub(super) fn fail(&mut self, now_us: u64, kin: &str) -> Option<u64> {
        let failures_max = self.settings.failures_max as usize;
        let since_us = now_us.saturating_sub(self.within_us());
        let record = self.record(kin);
        let is_old = |at_us: &u64| *at_us < since_us;
        while record.failures_us.len() >= FAILURES_MAX
            || record.failures_us.front().is_some_and(is_old)
        {
            record.failures_us.pop_front();
        }
        record.failures_us.push_back(now_us);
        let is_too_often = failures_max > 0 && record.failures_us.len() >= failures_max;
        (is_too_often || record.is_open).then(|| self.open(now_us, kin))
    }

    /// So many of a kin's failures were none.
    pub(super) fn forgive(&mut self, kin: &str, failures: u32) {
        if let Some(record) = self.records.get_mut(kin).filter(|_| failures > 0) {
            let left = record.failures_us.len().saturating_sub(failures as usize);
            record.failures_us.truncate(left);
        }
    }

    /// The same for a kin of which one floods.
    pub(super) fn open_for_flood(&mut self, now_us: u64, kin: &str) -> u64 {
        let until_us = self.open(now_us, kin);
        self.record(kin).has_flooded = true;
        until_us
    }

    /// Opens the circuit of a kin: each time in a row for twice as long.
    pub(super) fn open(&mut self, now_us: u64, kin: &str) -> u64 {
        let (least_ms, most_ms) = (self.settings.isolate_ms_min, self.settings.isolate_ms_max);
        let (within_us, random) = (self.within_us(), self.next_random());
        let record = self.record(kin);
        // What was quiet for long begins anew.
        if now_us > record.until_us + within_us {
            record.openings = 0;
        }
        let doubled_ms = u64::from(least_ms) << record.openings.min(20);
        let delay_us = doubled_ms.min(u64::from(most_ms)) * 1000;
        record.openings += 1;
        record.is_open = true;
        // Workers that failed together do not come back together.
        record.until_us = now_us + delay_us / 2 + random % (delay_us / 2 + 1);
        record.until_us
    }

    /// A worker of the kin has shown that it is sound.
    pub(super) fn close(&mut self, kin: &str) {
        if let Some(record) = self.records.get_mut(kin) {
            record.is_open = false;
            record.has_flooded = false;
        }
    }

    fn record(&mut self, kin: &str) -> &mut Record {
        if !self.records.contains_key(kin) && self.records.len() >= KINS_MAX {
            let last = |record: &Record| record.failures_us.back().copied().unwrap_or(0);
            let oldest = self.records.iter().min_by_key(|(_, record)| last(record));
            let oldest = oldest.map(|(kin, _)| kin.clone());
            oldest.map(|kin| self.records.remove(&kin));
        }
        self.records.entry(kin.into()).or_default()
    }

    /// xorshift64: it spreads times, and guards nothing.
    const fn next_random(&mut self) -> u64 {
        self.random ^= self.random << 13;
        self.random ^= self.random >> 7;
        self.random ^= self.random << 17;
        self.random
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn breaker(failures_max: u32) -> Breaker {
        let settings = BreakerSettings {
            stall_ms: 10_000,
            flood_ms: 30_000,
            failures_max,
            client_deaths_max: 3,
            failures_within_ms: 60_000,
            isolate_ms_min: 1_000,
            isolate_ms_max: 10_000,
            on_failure: OnFailure::Hold,
        };
        Breaker::new(settings, 30_000, 7)
    }

    #[track_caller]
    fn is_about(delay_us: Option<u64>, ms: u64) {
        let delay_us = delay_us.expect("the circuit opens");
        let range = ms * 500..=ms * 1_000;
        assert!(range.contains(&delay_us), "{delay_us} us for {ms} ms");
    }

    #[test]
    fn failures_open_a_circuit_when_they_are_many_within_the_time() {
        let mut breaker = breaker(3);
        assert_eq!(breaker.fail(0, "a"), None);
        assert_eq!(breaker.fail(0, "b"), None);
        assert_eq!(breaker.fail(1_000_000, "a"), None);
        let late_us = 60_500_000;
        assert_eq!(breaker.fail(late_us, "a"), None, "the first is too old");
        let until_us = breaker.fail(late_us, "a");
        is_about(until_us.map(|until_us| until_us - late_us), 1_000);
        assert!(breaker.is_failing(late_us, |_| true));
        assert_eq!(breaker.join(late_us, "b"), Circuit::Closed);
        breaker.close("a");
        assert_eq!(breaker.join(late_us, "a"), Circuit::Closed);
        assert!(!breaker.is_failing(late_us, |_| true));
    }

    #[test]
    fn each_opening_in_a_row_is_twice_as_long_up_to_a_bound() {
        let mut breaker = breaker(1);
        let mut now_us = 1_000_000;
        for ms in [1_000, 2_000, 4_000, 8_000, 10_000, 10_000] {
            let until_us = breaker.fail(now_us, "");
            is_about(until_us.map(|until_us| until_us - now_us), ms);
            breaker.close("");
            now_us += 20_000_000;
        }
        now_us += 100_000_000;
        let until_us = breaker.fail(now_us, "");
        is_about(until_us.map(|until_us| until_us - now_us), 1_000);
    }

    #[test]
    fn a_failure_while_it_is_open_opens_it_again() {
        let mut breaker = breaker(5);
        let until_us = breaker.open(0, "");
        assert!(breaker.fail(until_us, "").is_some());
    }

    #[test]
    fn none_is_none() {
        let mut breaker = breaker(0);
        assert!((0..2_000).all(|at| breaker.fail(at, "").is_none()));
        assert_eq!(breaker.records[""].failures_us.len(), FAILURES_MAX);
    }

    #[test]
    fn nobody_who_comes_back_is_nobody_who_fails() {
        let mut breaker = breaker(1);
        let until_us = breaker.fail(0, "").expect("one is enough");
        let forgotten_us = until_us + 60_000_000;
        assert!(breaker.is_failing(forgotten_us - 1, |_| true));
        assert!(!breaker.is_failing(forgotten_us, |_| true));
        assert_eq!(breaker.join(forgotten_us, ""), Circuit::Closed);
    }

    #[test]
    fn kins_and_their_names_are_bounded() {
        let mut breaker = breaker(5);
        for number in 0..1_000_u64 {
            breaker.fail(number, &number.to_string());
        }
        assert_eq!(breaker.records.len(), KINS_MAX);
        assert!(breaker.records.contains_key("999"));
        assert_eq!(kin(Some(&"é".repeat(100))).len(), 128);
        assert_eq!(kin(Some(&format!("x{}", "é".repeat(100)))).len(), 127);
        assert_eq!(&*kin(None), "");
    }

    #[test]
    fn who_waits_sees_the_end() {
        let mut breaker = Breaker::new(breaker(1).settings, 3_000, 7);
        let until_us = (0..10).map(|_| breaker.open(0, "")).max();
        assert!(until_us.is_some_and(|until_us| until_us <= 1_500_000));
    }
}
