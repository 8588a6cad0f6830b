//! What files have done beside the shards: compressing, and checking the signatures of tokens. Of the former a shard has few pieces with the pool at a time, so that
//! the latter need not wait for long; the others wait here.
//!
//! Deliberately absent: the pool (`shards/`), and what is compressed (`encoding.rs`).

use super::encoding::PackName;
use super::heartbeat::VERIFY_TOKEN;
use super::{Hub, Job, Key, Output, Seed, Turn};
use core::any::Any;
use std::collections::{HashMap, VecDeque};

/// Time until a job is tried again that found the pool full.
const AGAIN_US: u64 = 10_000;

/// What a job is for.
pub(super) enum Errand {
    /// A small file is compressed whole, for all who wait for it.
    Pack(PackName),
    /// A piece of a file is compressed for this connection.
    Piece(Key),
    /// The token of a request on this connection is verified.
    Permit(Key),
    /// As much, of a request for an upload.
    Upload(Key),
}

/// All of a shard's.
pub(super) struct Errands {
    /// By the job's token.
    working: HashMap<u32, Errand, Seed>,
    waiting: VecDeque<Errand>,
    /// Jobs that found the pool full; they count as working.
    refused: Vec<(u32, Job)>,
    jobs_max: usize,
}

impl Errands {
    pub(super) fn new(jobs_max: usize, seed: Seed) -> Self {
        Self {
            working: HashMap::with_hasher(seed),
            waiting: VecDeque::new(),
            refused: Vec::new(),
            jobs_max: jobs_max.max(1),
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.working.is_empty() && self.waiting.is_empty()
    }

    /// Whether a job of the pool's is one of these.
    pub(super) fn has(&self, token: u32) -> bool {
        self.working.contains_key(&token)
    }

    /// Those that wait for others of this shard.
    pub(super) fn waiting(&self) -> usize {
        self.waiting.len()
    }
}

impl Hub {
    /// Has something done as soon as it is its turn.
    pub(super) fn run_errand(&mut self, errand: Errand, turn: &mut Turn<'_>) {
        self.files.errands.waiting.push_back(errand);
        self.start_errands(turn);
    }

    fn start_errands(&mut self, turn: &mut Turn<'_>) {
        while self.files.errands.working.len() < self.files.errands.jobs_max {
            let Some(errand) = self.files.errands.waiting.pop_front() else {
                return;
            };
            let job = match &errand {
                Errand::Pack(name) => self.pack_job(name),
                Errand::Piece(key) => self.piece_job(*key),
                Errand::Permit(_) | Errand::Upload(_) => {
                    unreachable!("a token does not wait for files")
                }
            };
            // Whoever wanted it may be gone.
            if let Some(job) = job {
                self.stats.file_jobs += 1;
                self.begin_job(errand, job, turn);
            }
        }
    }

    /// Has a job done at once.
    pub(super) fn begin_job(&mut self, errand: Errand, job: Job, turn: &mut Turn<'_>) {
        let token = self.next_job;
        self.next_job = self.next_job.wrapping_add(1);
        self.files.errands.working.insert(token, errand);
        turn.out.push(Output::Compute { token, job });
    }

    /// A job is done, or found the pool full.
    pub(super) fn errand_done(
        &mut self,
        token: u32,
        result: Result<Box<dyn Any + Send>, Job>,
        turn: &mut Turn<'_>,
    ) {
        let result = match result {
            Ok(result) => result,
            Err(job) => return self.run_later(token, job, turn),
        };
        let errand = self.files.errands.working.remove(&token);
        self.start_errands(turn);
        match errand {
            Some(Errand::Pack(name)) => self.packed(&name, result, turn),
            Some(Errand::Piece(key)) => self.piece_made(key, result, turn),
            Some(Errand::Permit(key)) => self.permitted(key, result, turn),
            Some(Errand::Upload(key)) => self.upload_proven(key, result, turn),
            None => {}
        }
    }

    fn run_later(&mut self, token: u32, job: Job, turn: &mut Turn<'_>) {
        let refused = &mut self.files.errands.refused;
        if refused.is_empty() {
            turn.out.push(Output::Timer {
                at_us: turn.now.monotonic_us + AGAIN_US,
                token: VERIFY_TOKEN,
            });
        }
        refused.push((token, job));
    }

    /// Tries again what the pool refused.
    pub(super) fn run_again(&mut self, turn: &mut Turn<'_>) {
        let refused = core::mem::take(&mut self.files.errands.refused);
        let again = refused.into_iter();
        turn.out
            .extend(again.map(|(token, job)| Output::Compute { token, job }));
    }
}
