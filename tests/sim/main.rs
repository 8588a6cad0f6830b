//! Whole shards over the pretended kernel, a seed at a time; a reference model judges what clients see. `links` does the same with workers behind links.
//!
//! `SIM_SEED=7` runs one seed, `SIM_SEEDS=100000` that many, from `SIM_FROM` on.

mod client;
mod downloads;
mod files;
mod links;
mod listeners;
mod model;
mod seats;
mod tokens;
mod uploads;
mod used_urls;
mod wire;
mod world;

use links::LinkWorld;
use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use world::{Report, World};

/// Seeds of an ordinary run.
const SEEDS: u64 = 2_000;
/// Of an ordinary run of links, whose seeds are longer.
const LINK_SEEDS: u64 = 500;

fn number(name: &str) -> Option<u64> {
    let text = std::env::var(name).ok()?;
    let parsed = text
        .strip_prefix("0x")
        .map_or_else(|| text.parse(), |hex| u64::from_str_radix(hex, 16));
    Some(parsed.unwrap_or_else(|_| panic!("{name} is a number")))
}

fn seeds(usual: u64) -> core::ops::Range<u64> {
    if let Some(seed) = number("SIM_SEED") {
        return seed..seed + 1;
    }
    let from = number("SIM_FROM").unwrap_or(0);
    from..from + number("SIM_SEEDS").unwrap_or(usual)
}

/// Runs seeds until one fails; all reports, or the seed that failed.
fn run<R: Send>(
    seeds: core::ops::Range<u64>,
    one: impl Fn(u64) -> R + Sync,
) -> Result<Vec<R>, u64> {
    let (next, failed) = (AtomicU64::new(seeds.start), AtomicU64::new(u64::MAX));
    let worker = || {
        let mut reports = Vec::new();
        while failed.load(Ordering::Relaxed) == u64::MAX {
            let seed = next.fetch_add(1, Ordering::Relaxed);
            if seed >= seeds.end {
                break;
            }
            match catch_unwind(AssertUnwindSafe(|| one(seed))) {
                Ok(report) => reports.push(report),
                Err(_) => drop(failed.fetch_min(seed, Ordering::Relaxed)),
            }
        }
        reports
    };
    let threads = thread::available_parallelism()
        .map_or(1, usize::from)
        .min(16);
    let reports = thread::scope(|scope| {
        let workers: Vec<_> = (0..threads).map(|_| scope.spawn(worker)).collect();
        let join =
            |worker: thread::ScopedJoinHandle<'_, Vec<R>>| worker.join().expect("seeds are caught");
        workers.into_iter().flat_map(join).collect()
    });
    match failed.into_inner() {
        u64::MAX => Ok(reports),
        seed => Err(seed),
    }
}

/// Runs the seeds of a world that counts what happened, prints the sums, and demands each of `events` of as many seeds as are usual.
#[expect(clippy::print_stdout, reason = "the table is what a run is for")]
fn run_and_sum(
    what: &str,
    usual: u64,
    events: &[&str],
    one: impl Fn(u64) -> BTreeMap<String, u64> + Sync,
) {
    let seeds = seeds(usual);
    let is_full = seeds.end - seeds.start >= usual;
    let reports = match run(seeds, one) {
        Ok(reports) => reports,
        Err(seed) => panic!("seed {seed} failed; replay it with: make sim SEED={seed}"),
    };
    let mut sums: BTreeMap<&str, u64> = BTreeMap::new();
    for (name, count) in reports.iter().flatten() {
        *sums.entry(name).or_default() += count;
    }
    println!("{what:<32}{:>14}", reports.len());
    for (name, count) in &sums {
        println!("{name:<32}{count:>14}");
    }
    for name in events {
        assert!(sums.contains_key(name) || !is_full, "{name}: none");
    }
}

/// Of many seeds each fault must have fired and each end have come: a chance that is never taken tests nothing.
fn demand_every_fault(reports: &[Report]) {
    for (name, count) in events(reports) {
        assert!(count > 0, "{name}: none");
    }
    for (index, fault) in world::names().enumerate() {
        let fired = |report: &Report| {
            let count = report.faults.fired().nth(index);
            count.map_or(0, |(_, count)| count)
        };
        assert!(total(reports, fired) > 0, "{fault:?} never fired");
    }
}

fn total(reports: &[Report], count: impl Fn(&Report) -> u64) -> u64 {
    reports.iter().map(count).sum()
}

/// What has to happen in any large number of seeds.
fn events(reports: &[Report]) -> [(&'static str, u64); 9] {
    [
        ("deliveries", total(reports, |report| report.deliveries)),
        ("acknowledgements", total(reports, |report| report.acks)),
        ("numbers skipped", total(reports, |report| report.gaps)),
        ("refused by rates", total(reports, |report| report.refused)),
        (
            "slow consumers closed",
            total(reports, |report| report.slow_closes),
        ),
        ("migrations", total(reports, |report| report.migrations)),
        ("rings full", total(reports, |report| report.rings_full)),
        ("rebuilt", total(reports, |report| report.rebuilds)),
        ("drains", total(reports, |report| report.drains)),
    ]
}

#[expect(clippy::print_stdout, reason = "the table is what a run is for")]
fn print(reports: &[Report]) {
    let line = |name: &str, count: u64| println!("{name:<24}{count:>14}");
    line("seeds", reports.len() as u64);
    events(reports)
        .iter()
        .for_each(|(name, count)| line(name, *count));
    for (index, fault) in world::names().enumerate() {
        let fired = total(reports, |report| {
            report
                .faults
                .fired()
                .nth(index)
                .map_or(0, |(_, count)| count)
        });
        line(&format!("{fault:?}"), fired);
    }
}

/// A planted bug is an edit of one place; a file that has changed under it makes `make mutants` stop there.
#[test]
fn each_planted_bug_has_its_place() {
    let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR"));
    let bugs = std::fs::read_dir(root.join("tests/sim/mutants")).expect("the planted bugs");
    let mut count = 0;
    for bug in bugs {
        let text = std::fs::read_to_string(bug.expect("a file").path()).expect("text");
        let bug: toml::Table = text.parse().expect("TOML");
        let field = |name: &str| bug[name].as_str().expect("a string").to_owned();
        let file = std::fs::read_to_string(root.join(field("file"))).expect("its file");
        let places = file.matches(&field("find")).count();
        assert_eq!(places, 1, "{}", field("what"));
        count += 1;
    }
    assert!(count >= 12, "{count} planted bugs");
}

#[test]
fn every_promise_holds_under_all_faults() {
    match run(seeds(SEEDS), |seed| World::new(seed).run()) {
        Ok(reports) => {
            print(&reports);
            if reports.len() as u64 >= SEEDS {
                demand_every_fault(&reports);
            }
        }
        Err(seed) => panic!("seed {seed} failed; replay it with: make sim SEED={seed}"),
    }
}

#[expect(clippy::print_stdout, reason = "the table is what a run is for")]
#[test]
fn every_promise_of_links_holds_under_all_faults() {
    match run(seeds(LINK_SEEDS), |seed| LinkWorld::new(seed).run()) {
        Ok(reports) => {
            println!("{:<24}{:>14}", "seeds of links", reports.len());
            for (name, count) in links::events(&reports) {
                println!("{name:<24}{count:>14}");
                assert!(
                    count > 0 || (reports.len() as u64) < LINK_SEEDS,
                    "{name}: none"
                );
            }
        }
        Err(seed) => panic!("seed {seed} failed; replay it with: make sim SEED={seed}"),
    }
}
