//! What becomes of workers that fail, and of their clients: a circuit opens, waits, tries one client, and closes.
//!
//! Deliberately absent: how often and for how long (`breaker`).

use super::applications::AppId;
use super::breaker::{Circuit, Probe};
use super::exchange::Exchange;
use super::fault::Fault;
use super::link::{Link, LinkPeer};
use super::mail::{ClientNumber, ToClients};
use super::owning::called_kin;
use super::worker::{Worker, WorkerId};
use crate::time::{ConnId, Now};

/// How long a worker must be well with its one client before it gets the others.
const PROBE_US: u64 = 1_000_000;
/// For how long it may owe something at the end of that.
const PROBE_OWES_US: u64 = 500_000;
/// A daemon that looks so late did not run: what workers owe may have come meanwhile.
const LATE_US: u64 = 1_000_000;
/// What is kept to be told; more at a time is not worth a line.
const NOTICES_MAX: usize = 64;

/// Why a circuit opens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Failure {
    /// The worker deals with nothing of what it was sent.
    Stalled,
    /// The worker judges none of the requests that it is asked about.
    Mute,
    /// The worker answers no CONNECT.
    Unanswered,
    /// The worker says of requests what no client could be told.
    Misjudged,
    /// The worker says more than can be carried to clients, and goes on.
    Flooded,
    /// Workers of the name died again and again, soon after they had come.
    Died,
    /// Workers of the name said again and again what they must not.
    Lied,
}

impl Failure {
    /// For a log line.
    #[must_use]
    pub const fn text(self) -> &'static str {
        match self {
            Self::Stalled => "it deals with nothing of what it was sent",
            Self::Mute => "it judges none of the requests that it is asked about",
            Self::Unanswered => "it lets no client in, and refuses none",
            Self::Misjudged => "it says of requests what no client can be told (RW-2612)",
            Self::Flooded => "it says more than can be carried to clients, and goes on (RW-2614)",
            Self::Died => "it died again and again",
            Self::Lied => "it said again and again what it must not",
        }
    }
}

/// What an operator wants to hear of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Notice {
    /// The worker gets no clients for now.
    Opened {
        /// Its name, or its instance when it has none.
        worker: String,
        /// Why.
        failure: Failure,
        /// For how long at least.
        wait_ms: u64,
        /// Clients that it had.
        clients: u32,
    },
    /// A peer's links are closed as soon as they come.
    TurnedAway {
        /// Its process or its host.
        peer: String,
        /// For how long.
        wait_ms: u64,
    },
    /// A link was refused for what it said, or did not say.
    Refused {
        /// As of [`Self::TurnedAway`].
        peer: String,
        /// As of [`Self::Opened`]; none when it had not joined.
        worker: Option<String>,
        /// The code that it was told.
        code: &'static str,
        /// What it was told beside that.
        message: String,
    },
    /// A worker has a namespace that is the daemon's own.
    Kept {
        /// As of [`Self::Opened`].
        worker: String,
        /// Whose it is.
        application: String,
        /// The namespace.
        namespace: String,
    },
    /// An application has as many namespaces as it may have, and a client or a worker wanted one more.
    Crowded {
        /// Whose they are.
        application: String,
        /// The one that was wanted.
        namespace: String,
        /// How many there are.
        namespaces: usize,
    },
    /// A worker is gone, and clients were closed that waited for its acknowledgements.
    Unanswered {
        /// As of [`Self::Opened`].
        worker: String,
        /// How many.
        clients: u64,
    },
    /// A client was told to go and not to come back, as workers died on it.
    Dismissed {
        /// The last of these, as of [`Self::Opened`].
        worker: String,
        /// How many in a row.
        deaths: u32,
    },
    /// A worker has a namespace that is another application's, and is not given its clients.
    Taken {
        /// As of [`Self::Opened`].
        worker: String,
        /// The worker's application.
        application: String,
        /// The one that has the namespace.
        owner: String,
        /// Its name.
        namespace: String,
    },
    /// It gets one client.
    HalfOpen {
        /// As of [`Self::Opened`].
        worker: String,
    },
    /// It gets clients as the others do.
    Closed {
        /// As of [`Self::Opened`].
        worker: String,
    },
}

/// What people call the worker.
pub(super) fn called(worker: &Worker) -> String {
    let kin = called_kin(&worker.standing.kin);
    match kin.is_empty() || kin.ends_with('/') {
        true => format!("{kin}{}", worker.instance),
        false => kin,
    }
}

impl Exchange {
    /// Takes what an operator wants to hear of.
    pub(crate) fn take_notices(&mut self) -> Vec<Notice> {
        core::mem::take(&mut self.notices)
    }

    pub(super) fn notice(&mut self, notice: Notice) {
        if self.notices.len() < NOTICES_MAX {
            self.notices.push(notice);
        }
    }

    pub(super) fn tell_unanswered(&mut self, worker: &Worker, clients: u64) {
        if clients > 0 {
            let worker = called(worker);
            self.notice(Notice::Unanswered { worker, clients });
        }
    }

    /// How many workers get no clients, or one.
    pub(super) fn isolated(&self) -> usize {
        let workers = self.workers.values();
        workers
            .filter(|worker| !worker.standing.is_closed())
            .count()
    }

    /// Whether the application has a worker that takes clients as ever.
    pub(super) fn has_sound_worker(&self, app: AppId) -> bool {
        self.workers_of(app)
            .any(|(_, worker)| worker.takes_clients())
    }

    /// Whether clients for whom there is no worker are told so at once.
    pub(super) fn refuses_clients(&self, now: Now, app: AppId) -> bool {
        let is_failing = || self.is_failing(now.monotonic_us, app);
        self.breaker.refuses() && !self.has_sound_worker(app) && is_failing()
    }

    /// Now and then: who is stuck or floods, who may try, and who has shown that it is sound.
    pub(super) fn mend(&mut self, now: Now) {
        let now_us = now.monotonic_us;
        let passed_us = now_us - core::mem::replace(&mut self.breaker.looked_us, now_us);
        let is_late = passed_us > LATE_US;
        let ids: Vec<WorkerId> = self.workers.keys().copied().collect();
        for id in ids {
            // What it owes is no client's.
            if self.worker_mut(id).is_emitter() {
                continue;
            }
            let is_forgiven = is_late || self.is_paused(id);
            self.look_at_flood(id, passed_us, is_late);
            let owes_for_us = self.owes_for_us(now_us, id, is_forgiven);
            self.look_at_connects(now, id, is_forgiven);
            match self.is_to_be_isolated(id) {
                true => self.isolate_flooder(now, id),
                false => self.mend_one(now, id, owes_for_us),
            }
        }
        self.settle_links();
    }

    /// Whether nothing of the worker is read.
    fn is_paused(&self, id: WorkerId) -> bool {
        let link = self.workers.get(&id).and_then(|worker| worker.link);
        let link = link.and_then(|conn| self.links.get(&conn));
        link.is_some_and(Link::is_paused)
    }

    /// For how long it has been one of those that say most and wait.
    fn look_at_flood(&mut self, id: WorkerId, passed_us: u64, is_late: bool) {
        let flood = &mut self.worker_mut(id).flood;
        match is_late {
            true => flood.forgive(),
            false => flood.pass(passed_us),
        }
    }

    /// Whether a worker has flooded for too long, and another one can take its clients. One that is alone goes on waiting while others of the daemon's are read:
    /// without it its clients would have nobody.
    fn is_to_be_isolated(&self, id: WorkerId) -> bool {
        let Some(worker) = self.workers.get(&id).filter(|worker| worker.link.is_some()) else {
            return false;
        };
        let (standing, flooded_us) = (&worker.standing, worker.flood.for_us());
        let is_open = matches!(standing.circuit, Circuit::Open { .. });
        let is_flood = self.breaker.is_flood(flooded_us, standing.has_flooded);
        is_flood && !is_open && self.has_other(worker.app, id)
    }

    /// Whether the application has another worker that takes clients as ever.
    fn has_other(&self, app: AppId, id: WorkerId) -> bool {
        let mut workers = self.workers_of(app).filter(|(other, _)| *other != id);
        workers.any(|(_, worker)| worker.takes_clients() && worker.link.is_some())
    }

    /// The worker's clients go to another one. It comes back, and nothing of it is read until it is tried with one client.
    fn isolate_flooder(&mut self, now: Now, id: WorkerId) {
        self.stats.floods += 1;
        let kin = self.worker_mut(id).standing.kin.clone();
        let until_us = self.breaker.open_for_flood(now.monotonic_us, &kin);
        self.worker_mut(id).standing.circuit = Circuit::Open { until_us };
        self.tell_opened(now, id, Failure::Flooded, until_us);
        self.cut_off(now, id, &Fault::Flooded);
    }

    /// For how long the worker has owed something and dealt with nothing.
    fn owes_for_us(&mut self, now_us: u64, id: WorkerId, is_forgiven: bool) -> u64 {
        let link = self.workers.get(&id).and_then(|worker| worker.link);
        let owes_word = link
            .and_then(|conn| self.link_mut(conn))
            .is_some_and(|link| link.owes_word());
        let Some(worker) = self.workers.get_mut(&id) else {
            return 0;
        };
        let outgoing = &worker.outgoing;
        let owes = link.is_some() && (owes_word || outgoing.has_undealt());
        let progress = &mut worker.standing.progress;
        progress.look(now_us, outgoing.done_frames(), owes);
        if is_forgiven {
            progress.forgive(now_us);
        }
        progress.owes_for_us(now_us)
    }

    /// Whether it lets anybody in, or refuses anybody.
    fn look_at_connects(&mut self, now: Now, id: WorkerId, is_forgiven: bool) {
        let (now_us, within_us) = (now.monotonic_us, self.breaker.stall_us());
        let worker = self.worker_mut(id);
        let connects = &mut worker.standing.connects;
        if is_forgiven || worker.link.is_none() {
            connects.forgive(now_us);
        } else if within_us > 0 && connects.fails(now_us, within_us) {
            self.note_unanswered(now, id);
        }
    }

    fn mend_one(&mut self, now: Now, id: WorkerId, owes_for_us: u64) {
        let Some(worker) = self.workers.get(&id) else {
            return;
        };
        let is_stuck = self.breaker.is_stall(owes_for_us);
        match worker.standing.circuit {
            Circuit::Open { .. } if is_stuck => self.leave_if_possible(now, id, &Fault::Stalled),
            _ if is_stuck => self.stall(now, id),
            Circuit::Closed => {}
            Circuit::Open { until_us } => {
                if now.monotonic_us >= until_us && worker.link.is_some() {
                    self.half_open(id);
                }
            }
            // It had clients when it got stuck, and deals with them again.
            Circuit::HalfOpen { probe: None }
                if worker.load > 0 && !worker.standing.wants_proof() && !self.is_on_trial(id) =>
            {
                self.close_circuit(id);
            }
            Circuit::HalfOpen { probe: None } => self.call_one(worker.app),
            Circuit::HalfOpen { probe: Some(probe) } => {
                self.judge(now, id, probe, owes_for_us);
            }
        }
    }

    /// The worker is stuck.
    fn stall(&mut self, now: Now, id: WorkerId) {
        self.stats.stalls += 1;
        let kin = self.worker_mut(id).standing.kin.clone();
        let until_us = self.breaker.open(now.monotonic_us, &kin);
        self.keep_open(id, until_us);
        self.tell_opened(now, id, Failure::Stalled, until_us);
        self.leave_if_possible(now, id, &Fault::Stalled);
    }

    /// It has clients, or may have: what it says of them is read, also of one that had flooded and was on trial.
    fn keep_open(&mut self, id: WorkerId, until_us: u64) {
        let standing = &mut self.worker_mut(id).standing;
        standing.circuit = Circuit::Open { until_us };
        standing.has_flooded = false;
    }

    /// Clients of a stuck worker go to others. Alone it keeps them, as it may go on: it is the only one that has what it was sent.
    fn leave_if_possible(&mut self, now: Now, id: WorkerId, fault: &Fault) {
        let app = self.app_of(id);
        if self.has_sound_worker(app) || self.breaker.refuses() {
            self.cut_off(now, id, fault);
            self.refuse_the_waiting(now, app);
        }
    }

    /// Ends a worker's life: it may come back with another one.
    fn cut_off(&mut self, now: Now, id: WorkerId, fault: &Fault) {
        if let Some(conn) = self.worker_mut(id).link.take() {
            self.say_fault(conn, fault);
        }
        self.lose(now, id);
    }

    fn half_open(&mut self, id: WorkerId) {
        self.stats.probes += 1;
        let worker = self.worker_mut(id);
        worker.standing.circuit = Circuit::HalfOpen { probe: None };
        let worker = called(worker);
        self.notice(Notice::HalfOpen { worker });
    }

    fn close_circuit(&mut self, id: WorkerId) {
        let worker = self.worker_mut(id);
        worker.standing.circuit = Circuit::Closed;
        worker.standing.is_mute = false;
        worker.standing.lets_nobody_in = false;
        worker.standing.has_flooded = false;
        let (app, kin, worker) = (worker.app, worker.standing.kin.clone(), called(worker));
        self.breaker.close(&kin);
        self.stats.circuits_closed += 1;
        self.notice(Notice::Closed { worker });
        self.call_the_waiting(app);
    }

    /// A worker got a client: perhaps it is its one.
    pub(super) fn note_probe(&mut self, now: Now, id: WorkerId, client: ClientNumber) {
        let standing = &mut self.worker_mut(id).standing;
        let answers_before = standing.connects.answers();
        if let Circuit::HalfOpen { probe } = &mut standing.circuit {
            *probe = Some(Probe {
                client,
                since_us: now.monotonic_us,
                opened_at: None,
                answers_before,
                has_asked: false,
            });
        }
    }

    /// Whether it has flooded before, and is not calm.
    fn is_on_trial(&self, id: WorkerId) -> bool {
        let worker = &self.workers[&id];
        let is_calm = !worker.standing.has_flooded || worker.flood.is_calm();
        !is_calm && self.has_other(worker.app, id)
    }

    fn judge(&mut self, now: Now, id: WorkerId, probe: Probe, owes_for_us: u64) {
        let is_on_trial = self.is_on_trial(id);
        let worker = self.worker_mut(id);
        let done_frames = worker.outgoing.done_frames();
        let is_dealt = probe.opened_at.is_some_and(|at| done_frames >= at);
        let is_dealt = is_dealt && worker.standing.has_answered(&probe);
        let is_over = now.monotonic_us >= probe.since_us + PROBE_US;
        if is_dealt && is_over && owes_for_us < PROBE_OWES_US && !is_on_trial {
            self.close_circuit(id);
        } else if !is_dealt && !self.clients.contains_key(&probe.client) {
            // It left before it was any use.
            self.worker_mut(id).standing.circuit = Circuit::HalfOpen { probe: None };
        }
    }

    /// A worker is gone without a goodbye.
    pub(super) fn note_death(&mut self, now: Now, id: WorkerId) {
        let standing = &self.worker_mut(id).standing;
        let lived_us = now.monotonic_us - standing.joined_us;
        if !standing.is_closed() || self.breaker.is_early(lived_us) {
            self.fail(now, id, Failure::Died);
        }
    }

    /// A joined worker said what it must not. It may come back, unless it does so again and again.
    pub(super) fn note_lie(&mut self, now: Now, id: WorkerId) {
        let app = self.app_of(id);
        if self.fail(now, id, Failure::Lied).is_some() {
            self.worker_mut(id).link = None;
            self.lose(now, id);
            self.refuse_the_waiting(now, app);
        }
    }

    /// A worker has judged nothing for as long as it may think about one request. It keeps the clients that it has, and is asked about no others for a while; then
    /// about one.
    pub(super) fn note_mute(&mut self, now: Now, id: WorkerId) {
        if self.keep_away(now, id, Failure::Mute) {
            self.worker_mut(id).standing.is_mute = true;
        }
    }

    /// A worker has said of a request what no client could be told. One request, whose client may be why, is nothing while it judges others well.
    pub(super) fn note_bad_answer(&mut self, now: Now, id: WorkerId, answers_before: u64) {
        if self.worker_mut(id).standing.answers == answers_before {
            let is_mute = self.keep_away(now, id, Failure::Misjudged);
            self.worker_mut(id).standing.is_mute |= is_mute;
        }
    }

    /// A worker has answered no CONNECT for as long as it may deal with nothing. One that has let nobody in ever has nothing to lose: its clients go to others, if
    /// there are some. Else it keeps those whom it has let in.
    fn note_unanswered(&mut self, now: Now, id: WorkerId) {
        if !self.keep_away(now, id, Failure::Unanswered) {
            return;
        }
        let standing = &mut self.worker_mut(id).standing;
        standing.lets_nobody_in = true;
        if standing.connects.answers() == 0 {
            self.leave_if_possible(now, id, &Fault::Unanswered);
        }
    }

    /// Whether that opens the worker's circuit. It keeps the clients that it has.
    fn keep_away(&mut self, now: Now, id: WorkerId, failure: Failure) -> bool {
        if matches!(self.worker_mut(id).standing.circuit, Circuit::Open { .. }) {
            return false;
        }
        let until_us = self.fail(now, id, failure);
        if let Some(until_us) = until_us {
            self.keep_open(id, until_us);
            self.refuse_the_waiting(now, self.app_of(id));
        }
        until_us.is_some()
    }

    /// A worker has judged a request in time, and well.
    pub(super) fn note_answer(&mut self, id: WorkerId) {
        let standing = &mut self.worker_mut(id).standing;
        standing.answers += 1;
        if standing.is_mute && !standing.lets_nobody_in && standing.wants_probe() {
            self.close_circuit(id);
        }
    }

    /// Whether a peer's link is closed as soon as it comes: its waiting time is not over.
    ///
    /// A host may be many: behind its address are others, which prove that they are sound. So whence a worker has come is challenged all the same, and of another
    /// host one link now and then, whatever the rest of them say.
    pub(super) fn turns_away(&mut self, now: Now, peer: &LinkPeer) -> bool {
        let circuit = self.door.join(now.monotonic_us, &peer.name);
        let is_shut = matches!(circuit, Circuit::Open { until_us } if now.monotonic_us < until_us);
        if !is_shut || !peer.needs_proof {
            return is_shut;
        }
        let has_worker = self
            .workers
            .values()
            .any(|worker| *worker.peer == *peer.name);
        !has_worker && !self.door.lets_one_in(now.monotonic_us, &peer.name)
    }

    /// A link was refused for what it said.
    pub(super) fn note_refused(&mut self, now: Now, conn: ConnId) {
        let peer = self.link_mut(conn).map(|link| link.peer().to_owned());
        // Nobody knows whose fault that is.
        let Some(peer) = peer.filter(|peer| peer != LinkPeer::UNKNOWN) else {
            return;
        };
        if let Some(until_us) = self.door.fail(now.monotonic_us, &peer) {
            let wait_ms = (until_us - now.monotonic_us) / 1000;
            self.notice(Notice::TurnedAway { peer, wait_ms });
        }
    }

    /// Tells of a refused link: once in a while of each peer and code, as a peer tries again and again.
    pub(super) fn tell_refused_link(&mut self, now: Now, conn: ConnId, fault: &Fault) {
        let Some(link) = self.link_mut(conn) else {
            return;
        };
        let (peer, id, code) = (link.peer().to_owned(), link.worker(), fault.code());
        if self
            .lately
            .is_new(now.monotonic_us, &format!("{peer} {code}"))
        {
            let worker = id.and_then(|id| self.workers.get(&id)).map(called);
            let message = fault.to_string();
            self.notice(Notice::Refused {
                peer,
                worker,
                code,
                message,
            });
        }
    }

    /// Until when the circuit is open, if that opens it.
    fn fail(&mut self, now: Now, id: WorkerId, failure: Failure) -> Option<u64> {
        if self.worker_mut(id).is_emitter() {
            return None;
        }
        let kin = self.worker_mut(id).standing.kin.clone();
        let until_us = self.breaker.fail(now.monotonic_us, &kin);
        if let Some(until_us) = until_us {
            self.tell_opened(now, id, failure, until_us);
        }
        until_us
    }

    fn tell_opened(&mut self, now: Now, id: WorkerId, failure: Failure, until_us: u64) {
        self.stats.circuits_opened += 1;
        let worker = self.worker_mut(id);
        let (worker, clients) = (called(worker), worker.load);
        self.notice(Notice::Opened {
            worker,
            failure,
            wait_ms: (until_us - now.monotonic_us) / 1000,
            clients,
        });
    }

    /// Those that wait are told to come later, if that is the policy.
    pub(super) fn refuse_the_waiting(&mut self, now: Now, app: AppId) {
        if !self.refuses_clients(now, app) {
            return;
        }
        for place in self.waiting_for(app) {
            self.waiting.remove(&place);
            self.refuse_client(place.1);
        }
    }

    pub(super) fn refuse_client(&mut self, client: ClientNumber) {
        self.clients.remove(&client);
        self.stats.clients_refused += 1;
        self.say(client.shard(), &ToClients::Failing { client });
    }

    /// One of those that wait says again who it is: whoever is suspected least and has been tried least, so that one on whom workers die does not keep all others out.
    fn call_one(&mut self, app: AppId) {
        let waiting = self.waiting.iter().map(|(_, number)| *number);
        let waiting = waiting.filter_map(|number| Some((self.clients.get(&number)?, number)));
        let waiting = waiting.filter(|(client, _)| client.app == app);
        let is_called = |client: &super::deal::Client| client.is_called;
        let mut best: Option<((u32, u32), ClientNumber)> = None;
        for (client, number) in waiting {
            if is_called(client) {
                return;
            }
            let tried = (client.deaths, client.probes);
            if best.is_none_or(|(least, _)| tried < least) {
                best = Some((tried, number));
            }
        }
        if let Some((_, number)) = best {
            self.call(number);
        }
    }
}
