//! The compute pool beside the shards: each worker serves every shard over a ring of its own pair, so no lock is taken.

use crate::sys::Waker;
use ringway_io::{Job, JobOutput};
use rtrb::{Consumer, Producer, RingBuffer};
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::{process, thread};

/// Jobs that may wait between one shard and one worker.
pub const POOL_QUEUE_JOBS: usize = 64;

type Done = (u64, JobOutput);

/// A shard's end: one queue to each worker and one back.
pub(crate) struct PoolPort {
    lanes: Vec<Lane>,
    next: usize,
}

struct Lane {
    jobs: Producer<(u64, Job)>,
    done: Consumer<Done>,
    waiting: usize,
    worker: Waker,
}

struct Bench {
    jobs: Consumer<(u64, Job)>,
    done: Producer<Done>,
    shard: Waker,
}

/// A pool under construction; [`Pool::start`] spawns its threads.
pub struct Pool {
    workers: Vec<(Waker, Vec<Bench>)>,
}

impl Pool {
    /// A pool of `workers` threads.
    ///
    /// # Errors
    /// When no eventfd can be made.
    pub fn new(workers: usize) -> io::Result<Self> {
        let workers = (0..workers)
            .map(|_| Waker::new().map(|waker| (waker, Vec::new())))
            .collect::<io::Result<_>>()?;
        Ok(Self { workers })
    }

    pub(crate) fn port(&mut self, shard: &Waker) -> PoolPort {
        let lanes = self.workers.iter_mut().map(|(worker, benches)| {
            let (jobs, jobs_out) = RingBuffer::new(POOL_QUEUE_JOBS);
            // As many answers as jobs fit, so a worker never waits for space.
            let (done_in, done) = RingBuffer::new(POOL_QUEUE_JOBS);
            benches.push(Bench {
                jobs: jobs_out,
                done: done_in,
                shard: shard.clone(),
            });
            Lane {
                jobs,
                done,
                waiting: 0,
                worker: worker.clone(),
            }
        });
        PoolPort {
            lanes: lanes.collect(),
            next: 0,
        }
    }

    /// Spawns the threads; they live as long as the process.
    ///
    /// # Errors
    /// When a thread cannot be spawned.
    pub fn start(self) -> io::Result<()> {
        for (index, (waker, benches)) in self.workers.into_iter().enumerate() {
            thread::Builder::new()
                .name(format!("compute-{index}"))
                .spawn(move || work(&waker, benches))?;
        }
        Ok(())
    }
}

/// How much less than a shard a worker is wanted on a CPU that both want: it gets a tenth of what the shard gets, and waits when that wakes. At the same
/// priority rooms waited tens of milliseconds while files were compressed.
const NICE: i32 = 10;

fn work(waker: &Waker, mut benches: Vec<Bench>) {
    give_way();
    loop {
        let worked = benches.iter_mut().filter_map(Bench::work_one).count();
        if worked == 0 {
            waker.sleep();
        }
    }
}

/// Lets shards go first. Where that is not allowed, nothing but speed depends on it.
fn give_way() {
    // SAFETY: no memory is involved. To Linux the process 0 is the calling thread alone.
    let _ = unsafe { libc::setpriority(libc::PRIO_PROCESS, 0, NICE) };
}

impl Bench {
    fn work_one(&mut self) -> Option<()> {
        let (key, job) = self.jobs.pop().ok()?;
        let output = catch_unwind(AssertUnwindSafe(job));
        // A worker that unwinds would leave the jobs of every shard unanswered without a word.
        let Ok(output) = output else { process::abort() };
        let pushed = self.done.push((key, output));
        assert!(
            pushed.is_ok(),
            "a lane has as many places for answers as for jobs"
        );
        self.shard.wake();
        Some(())
    }
}

impl PoolPort {
    /// Hands a job to the next worker with a free place, or gives it back undone.
    pub(crate) fn submit(&mut self, key: u64, job: Job) -> Result<(), Job> {
        let count = self.lanes.len();
        for _ in 0..count {
            self.next = (self.next + 1) % count;
            let lane = &mut self.lanes[self.next];
            if lane.waiting < POOL_QUEUE_JOBS {
                lane.waiting += 1;
                let pushed = lane.jobs.push((key, job));
                assert!(pushed.is_ok(), "fewer than the queue's places are waiting");
                lane.worker.wake();
                return Ok(());
            }
        }
        Err(job)
    }

    pub(crate) fn drain(&mut self, mut sink: impl FnMut(u64, JobOutput)) {
        for lane in &mut self.lanes {
            while let Ok((key, output)) = lane.done.pop() {
                lane.waiting -= 1;
                sink(key, output);
            }
        }
    }
}
