//! What ends a sleep: another thread, a deadline, a job's result.

use crate::bench::{Bench, SMALL, builders_with};
use ringway_io::{
    Completion, Driver as _, Job, JobOutput, Key, Op, OpKind, Outcome, PoolFull, ShardId,
};
use ringway_uring::{POOL_QUEUE_JOBS, Pool, UringBuilder, UringConfig};
use std::sync::mpsc::channel;
use std::thread;
use std::time::Duration;

/// Far beyond what a wake takes: reaching it means that the wake was lost.
const LOST_AFTER: Duration = Duration::from_secs(30);

fn assert_moves<T: Send>(value: T) -> T {
    value
}

fn pair() -> (UringBuilder, UringBuilder) {
    let (made, _) = crate::bench::builders(&SMALL, 2);
    let mut made = assert_moves(made).into_iter();
    let (Some(zero), Some(one)) = (made.next(), made.next()) else {
        unreachable!("two were asked for")
    };
    (zero, one)
}

#[test]
fn two_shards_wake_each_other_from_sleep() {
    let (zero, one) = pair();
    let (sleeping, asleep) = channel();
    let sleeper = thread::spawn(move || {
        let mut bench = Bench::new(one);
        for _ in 0..1000 {
            sleeping.send(()).expect("the other shard");
            let deadline = bench.driver.now() + LOST_AFTER;
            let mut batch = Vec::new();
            bench.driver.wait(Some(deadline), &mut batch);
            assert!(bench.driver.now() < deadline, "a wake was lost");
        }
    });
    let mut bench = Bench::new(zero);
    while asleep.recv().is_ok() {
        bench.driver.wake(ShardId(1));
    }
    sleeper.join().expect("the sleeper");
}

#[test]
fn the_control_thread_wakes_a_shard_before_and_during_its_sleep() {
    let (zero, _one) = pair();
    let waker = zero.waker();
    waker.wake();
    let mut bench = Bench::new(zero);
    let mut batch = Vec::new();
    bench.driver.wait(None, &mut batch);
    thread::spawn(move || waker.wake());
    bench.driver.wait(None, &mut batch);
    assert!(batch.is_empty(), "a wake is no completion");
}

/// A submission queue that fills enters the kernel in the middle of a lap, where the wake is seen long before the next sleep.
#[test]
fn a_wake_that_is_seen_in_the_middle_of_a_lap_is_not_slept_over() {
    let config = UringConfig {
        sq_entries: 8,
        ..SMALL
    };
    let (mut bench, socket, _client) = Bench::connected(&config);
    let ended = |one: &Completion| matches!(one.outcome, Outcome::Accepted { more: false, .. });
    bench.find(ended);
    bench.driver.wake(ShardId(0));
    (0..20).for_each(|slot| bench.recv(slot, socket));
    let deadline = bench.driver.now() + LOST_AFTER;
    let mut batch = Vec::new();
    bench.driver.wait(Some(deadline), &mut batch);
    assert!(bench.driver.now() < deadline, "the wake was slept over");
}

#[test]
fn a_sleep_ends_at_its_deadline() {
    let (zero, _one) = pair();
    let mut bench = Bench::new(zero);
    let deadline = bench.driver.now() + Duration::from_millis(20);
    let mut batch = Vec::new();
    while bench.driver.now() < deadline {
        bench.driver.wait(Some(deadline), &mut batch);
    }
    assert!(bench.driver.now() < deadline + LOST_AFTER);
    assert!(batch.is_empty());
}

#[test]
fn both_clocks_advance_together_and_bits_differ() {
    let (zero, _one) = pair();
    let mut bench = Bench::new(zero);
    let driver = &mut bench.driver;
    let (now, unix) = (driver.now(), driver.unix_time());
    let (later, unix_later) = (driver.now(), driver.unix_time());
    assert!(later >= now && unix_later > unix);
    assert!(unix.as_secs() > 1_700_000_000, "an epoch of this century");
    let mut bits: Vec<u64> = (0..100).map(|_| driver.entropy()).collect();
    bits.sort_unstable();
    bits.dedup();
    assert_eq!(bits.len(), 100);
}

fn job_key(slot: usize) -> Key {
    Key::new(OpKind::Compute, 0, slot as u32)
}

#[test]
fn a_job_runs_elsewhere_and_its_result_comes_back() {
    let (zero, _one) = pair();
    let mut bench = Bench::new(zero);
    let job: Job = Box::new(|| Box::new(thread::current().name().map(str::to_owned)) as JobOutput);
    bench.driver.submit(job_key(7), Op::Compute { job });
    let one = bench.find(|one| one.key == job_key(7));
    let Outcome::Computed(Ok(output)) = one.outcome else {
        panic!("{one:?} has no result")
    };
    let name = output.downcast::<Option<String>>().expect("what it made");
    assert_eq!(name.as_deref(), Some("compute-0"));
}

#[test]
fn a_full_pool_refuses_and_answers_everything_it_took() {
    let mut pool = Pool::new(1).expect("an eventfd");
    let (mut made, _) = builders_with(&SMALL, 1, &mut pool);
    let mut bench = Bench::new(made.remove(0));
    for slot in 0..=POOL_QUEUE_JOBS {
        let job: Job = Box::new(move || Box::new(slot));
        bench.driver.submit(job_key(slot), Op::Compute { job });
    }
    // No worker runs yet, so the last one is the only completion.
    let refused = bench.next();
    assert_eq!(refused.key, job_key(POOL_QUEUE_JOBS));
    let Outcome::Computed(Err(PoolFull(job))) = refused.outcome else {
        panic!("{refused:?} is no refusal")
    };
    assert_eq!(
        job().downcast_ref(),
        Some(&POOL_QUEUE_JOBS),
        "it comes back"
    );
    pool.start().expect("a thread");
    for slot in 0..POOL_QUEUE_JOBS {
        let one = bench.next();
        let Outcome::Computed(Ok(output)) = one.outcome else {
            panic!("{one:?} has no result")
        };
        assert_eq!(one.key, job_key(slot));
        assert_eq!(output.downcast_ref(), Some(&slot));
    }
}
