//! Questions about requests, which a worker answers before a client is let in; and what workers hear of requests that were refused.
//!
//! Deliberately absent: which requests are asked about, and what becomes of them, which their shards know (`hub/asking`).

use super::applications::AppId;
use super::binding::BIND_BYTES_MAX;
use super::exchange::Exchange;
use super::fault::Fault;
use super::mail::{Ruling, ToClients};
use super::questions::can_be_said;
use super::worker::{Ready, Worker, WorkerId};
use crate::time::{ConnId, Now};
use ringway_proto::link::{Bind, HsResponse, Json, Kind};
use std::collections::{BTreeMap, BTreeSet};

/// Questions without an answer, of all clients.
const QUESTIONS_MAX: usize = 8192;
/// Their bytes.
const QUESTION_BYTES_MAX: usize = 32 << 20;
/// How long a worker may think about one.
const ANSWER_US: u64 = 5_000_000;
/// How long one waits for a worker: as long as clients wait for an answer, and no longer.
const AWAY_US: u64 = 20_000_000;
/// Workers that may die of a question before it is given up: it may be what they die of.
const TRIES_MAX: u8 = 2;
/// Refused requests that wait for a worker that does not read; it hears of no more.
const ERRORS_MAX: usize = 64;

/// A request that is judged.
#[derive(Debug)]
struct Question {
    shard: u16,
    /// Its number there.
    number: u32,
    /// What decides who is asked, and has the client then.
    affinity: Option<u64>,
    json: Box<str>,
    /// Who was asked, and when.
    worker: Option<WorkerId>,
    /// It is in the worker's row, and not on its link.
    is_ready: bool,
    since_us: u64,
    /// How many that worker had judged by then.
    answers_before: u64,
    /// Workers that died with it before them.
    tries: u8,
}

/// All that are not answered.
#[derive(Debug, Default)]
pub(super) struct Questioning {
    next: u32,
    /// By the numbers that workers know, which are those of their time.
    open: BTreeMap<u32, Question>,
    bytes: usize,
    /// What the application's last BIND said.
    bound: Box<str>,
    /// Words of shards that they do so that have not come.
    unobeyed: u32,
}

impl Questioning {
    fn take(&mut self, request: u32) -> Option<Question> {
        let question = self.open.remove(&request)?;
        self.bytes -= question.json.len();
        Some(question)
    }

    /// Those that `worker` was asked; or that nobody was.
    fn of(&self, worker: Option<WorkerId>) -> Vec<u32> {
        let mine = self.open.iter();
        let mine = mine.filter(|(_, question)| question.worker == worker);
        mine.map(|(request, _)| *request).collect()
    }

    /// Whether nobody has ever asked that, as far as numbers that begin anew can say.
    const fn is_unasked(&self, request: u32) -> bool {
        request.wrapping_sub(self.next) < 1 << 31
    }

    pub(super) fn len(&self) -> usize {
        self.open.len()
    }
}

impl Exchange {
    /// A shard wants to know whether a request may come in.
    pub(super) fn ask_about(
        &mut self,
        now: Now,
        (shard, number): (u16, u32),
        affinity: Option<u64>,
        json: &str,
    ) {
        let questions = &mut self.questioning;
        let is_full = questions.open.len() >= QUESTIONS_MAX
            || questions.bytes + json.len() > QUESTION_BYTES_MAX;
        if is_full {
            let (question, said) = (number, Ruling::Busy);
            return self.say(shard, &ToClients::Judged { question, said });
        }
        let request = questions.next;
        questions.next = questions.next.wrapping_add(1);
        questions.bytes += json.len();
        let question = Question {
            shard,
            number,
            affinity,
            json: json.into(),
            worker: None,
            is_ready: false,
            since_us: now.monotonic_us,
            answers_before: 0,
            tries: 0,
        };
        questions.open.insert(request, question);
        self.stats.questions += 1;
        self.pose(now, request);
        self.refuse_questions(now);
    }

    /// Whoever waits for a worker is told to come later, if that is the policy.
    pub(super) fn refuse_questions(&mut self, now: Now) {
        if !self.refuses_clients(now, AppId::MAIN) {
            return;
        }
        for request in self.questioning.of(None) {
            self.stats.clients_refused += 1;
            self.settle_question(request, Ruling::Failing);
        }
    }

    /// Gives a question to a worker, if there is one.
    fn pose(&mut self, now: Now, request: u32) {
        let question = self.questioning.open.get(&request);
        let affinity = question.and_then(|question| question.affinity);
        let Some(id) = self.judge_of_requests(affinity) else {
            return;
        };
        let Some(question) = self.questioning.open.get_mut(&request) else {
            return;
        };
        question.worker = Some(id);
        question.is_ready = true;
        question.since_us = now.monotonic_us;
        let worker = self.workers.get_mut(&id).expect("it was just chosen");
        question.answers_before = worker.standing.answers;
        worker.asked += 1;
        worker.row.push_back(Ready::Question(request));
        self.pump(id);
    }

    /// Who is asked: a sound worker; if there is none one that is tried again, one question at a time.
    fn judge_of_requests(&self, affinity: Option<u64>) -> Option<WorkerId> {
        let tried = || {
            let tried = self.probing(AppId::MAIN)?;
            (self.workers.get(&tried)?.asked == 0).then_some(tried)
        };
        self.chosen(AppId::MAIN, affinity).or_else(tried)
    }

    /// A worker is there: whoever waits is asked about.
    pub(super) fn pose_the_waiting(&mut self, now: Now) {
        let waiting = self.questioning.of(None);
        waiting
            .into_iter()
            .for_each(|request| self.pose(now, request));
    }

    /// A worker is gone: another one is asked.
    pub(super) fn lose_questions(&mut self, now: Now, id: WorkerId) {
        for request in self.questioning.of(Some(id)) {
            let Some(question) = self.questioning.open.get_mut(&request) else {
                continue;
            };
            question.tries += u8::from(!question.is_ready);
            question.worker = None;
            question.since_us = now.monotonic_us;
            if question.tries < TRIES_MAX {
                self.pose(now, request);
            } else {
                self.stats.questions_late += 1;
                self.settle_question(request, Ruling::Late);
            }
        }
    }

    pub(super) fn pump_question(&mut self, id: WorkerId, request: u32) -> Option<()> {
        let worker = self.workers.get_mut(&id)?;
        let question = self.questioning.open.get_mut(&request);
        let question = question.filter(|question| question.worker == Some(id) && question.is_ready);
        let Some(question) = question else {
            worker.row.pop_front();
            return Some(());
        };
        let mut body = request.to_le_bytes().to_vec();
        body.extend_from_slice(&long(&question.json));
        worker.push_own(Kind::HsReq, &body)?;
        question.is_ready = false;
        Some(())
    }

    /// A worker has answered. An answer to what is not open any more came too late.
    pub(super) fn take_answer(
        &mut self,
        now: Now,
        id: WorkerId,
        request: u32,
        json: &Json<'_, HsResponse<'_>>,
    ) -> Result<(), Fault> {
        if self.questioning.is_unasked(request) {
            return Err(Fault::NotAllowed("answer"));
        }
        let Some(question) = self.questioning.open.get(&request) else {
            self.stats.answers_late += 1;
            return Ok(());
        };
        if question.worker != Some(id) || question.is_ready {
            return Err(Fault::NotAllowed("answer"));
        }
        let answer = Ruling::Answer {
            worker: id.0,
            json: json.text(),
        };
        let answers_before = question.answers_before;
        self.settle_question(request, answer);
        // Its shard says so to the client; here it is known who is to blame.
        match can_be_said(json.value()) {
            true => self.note_answer(id),
            false => self.note_bad_answer(now, id, answers_before),
        }
        Ok(())
    }

    fn settle_question(&mut self, request: u32, said: Ruling<'_>) {
        if let Some(asked) = self.questioning.take(request) {
            let worker = asked.worker.and_then(|id| self.workers.get_mut(&id));
            if let Some(worker) = worker {
                worker.asked -= 1;
            }
            let question = asked.number;
            self.say(asked.shard, &ToClients::Judged { question, said });
        }
    }

    /// Now and then: questions that have waited for too long.
    pub(super) fn end_late_questions(&mut self, now: Now) {
        // A worker may have become sound again.
        self.pose_the_waiting(now);
        self.refuse_questions(now);
        let is_late = |question: &Question, us: u64| now.monotonic_us >= question.since_us + us;
        let mut late = Vec::new();
        for (request, question) in &self.questioning.open {
            match question.worker {
                Some(_) if is_late(question, ANSWER_US) => late.push((*request, Ruling::Late)),
                None if is_late(question, AWAY_US) => late.push((*request, Ruling::Away)),
                _ => {}
            }
        }
        for id in self.mute(late.iter().map(|(request, _)| *request)) {
            self.note_mute(now, id);
        }
        for (request, said) in late {
            self.stats.questions_late += 1;
            self.settle_question(request, said);
        }
    }

    /// Workers that were asked these and have judged nothing since: not one request, whose client may be why, but each.
    fn mute(&self, requests: impl Iterator<Item = u32>) -> BTreeSet<WorkerId> {
        let questions = requests.filter_map(|request| self.questioning.open.get(&request));
        let asked = questions.filter(|question| !question.is_ready);
        let asked = asked.filter_map(|question| Some((question, question.worker?)));
        let answers = |id: &WorkerId| self.workers.get(id).map(|worker| worker.standing.answers);
        asked
            .filter(|(question, id)| answers(id) == Some(question.answers_before))
            .map(|(_, id)| id)
            .collect()
    }

    /// What the application wants. Its workers are to agree; the last one is heard.
    pub(super) fn bind(&mut self, id: WorkerId, json: &Json<'_, Bind<'_>>) -> Result<(), Fault> {
        let (value, json) = (json, json.text());
        if json.len() > BIND_BYTES_MAX {
            return Err(Fault::TooMany("bytes in BIND"));
        }
        self.may_bind(id, value.value())?;
        self.bind_recovery(id, value)?;
        self.bind_parser(id, value.value())?;
        if self.app_of(id) != AppId::MAIN {
            return Ok(());
        }
        if *self.questioning.bound != *json {
            self.questioning.bound = json.into();
            self.questioning.unobeyed += u32::from(self.shards);
            self.stats.bindings += 1;
            self.say_to_all(&ToClients::Bound { json });
        }
        self.worker_mut(id).is_binding = self.questioning.unobeyed > 0;
        Ok(())
    }

    /// A shard does what the application wants. When all do, workers that wait for that are given credit.
    pub(super) fn is_obeyed(&mut self) {
        self.questioning.unobeyed -= 1;
        if self.questioning.unobeyed > 0 {
            return;
        }
        let binding = self.workers.values_mut();
        let links = binding.filter_map(|worker| {
            let was_binding = core::mem::take(&mut worker.is_binding);
            worker.link.filter(|_| was_binding)
        });
        let links: Vec<ConnId> = links.collect();
        links.into_iter().for_each(|conn| self.credit(conn, true));
    }

    /// A request was refused: one of the workers hears of it, as one of several servers would.
    pub(super) fn tell_refused(&mut self, json: &str) {
        let Some(id) = self.least_loaded(AppId::MAIN) else {
            return;
        };
        let worker = self.worker_mut(id);
        let is_error = |ready: &&Ready| matches!(ready, Ready::Error(_));
        if worker.row.iter().filter(is_error).count() < ERRORS_MAX {
            worker.row.push_back(Ready::Error(json.into()));
            self.pump(id);
        }
    }
}

impl Worker {
    pub(super) fn pump_error(&mut self) -> Option<()> {
        let Some(Ready::Error(json)) = self.row.front() else {
            return None;
        };
        let body = long(json);
        self.push_own(Kind::ConnError, &body)
    }
}

/// A text with its length, as frames have it.
pub(super) fn long(text: &str) -> Vec<u8> {
    let mut body = (text.len() as u32).to_le_bytes().to_vec();
    body.extend_from_slice(text.as_bytes());
    body
}
