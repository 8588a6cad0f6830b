//! Wall time of every subject: `make micro`. Never part of a test: it says what this machine does today.

use criterion::Criterion;
use ringway_micro::{ENTRIES, measured};
use std::time::{Duration, Instant};

fn main() {
    let mut criterion = Criterion::default()
        .warm_up_time(Duration::from_millis(500))
        .measurement_time(Duration::from_secs(2))
        .configure_from_args();
    for entry in ENTRIES {
        criterion.bench_function(entry.name, |bencher| {
            let mut subject = (entry.build)();
            bencher.iter_custom(|iterations| {
                let mut total = Duration::ZERO;
                for _ in 0..iterations {
                    subject.prepare();
                    let start = Instant::now();
                    measured(&mut *subject);
                    total += start.elapsed();
                }
                total
            });
        });
    }
    criterion.final_summary();
}
