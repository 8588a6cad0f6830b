//! The loads: what clients do once they are in, and what is counted of it.

pub(crate) mod churn;
pub(crate) mod echo;
pub(crate) mod idle;
pub(crate) mod publish;
pub(crate) mod say;

use crate::crowd::{Crowd, Work};
use core::time::Duration;
use hdrhistogram::Histogram;
use serde::{Deserialize, Serialize};
use std::io;

/// The longest time that is told apart from longer ones.
const LATENCY_NS_MAX: u64 = 100_000_000_000;
/// A wait is not longer than this, so that the end of a phase is not slept through.
pub(crate) const WAIT_MAX: Duration = Duration::from_millis(20);

/// Work that is measured: `start`, then `due` before each wait, then `stop`, after which what is under way still arrives.
pub(crate) trait Load: Work {
    /// Everybody is in.
    fn start(&mut self, _crowd: &mut Crowd) {}

    /// Sends what is due; how long one may wait for answers then.
    fn due(&mut self, _crowd: &mut Crowd) -> Duration {
        WAIT_MAX
    }

    /// Begins nothing new from here on.
    fn stop(&mut self) {}

    /// Operations under way that will end: what is left of them in the end was lost.
    fn missing(&self) -> u64;

    fn tally(&mut self) -> &mut Tally;
}

/// Work and those who do it, as the run sees them: `start`, then `due` and `turn` again and again, then `stop`.
pub(crate) trait Drive {
    /// Everybody is in.
    fn start(&mut self);

    /// Sends what is due; how long one may wait for answers then.
    fn due(&mut self) -> Duration;

    /// Waits for so long at most, and deals with what came.
    ///
    /// # Errors
    /// The machine's, and what a server did wrong.
    fn turn(&mut self, most: Duration) -> io::Result<()>;

    /// Begins nothing new from here on.
    fn stop(&mut self);

    /// Operations under way that will end.
    fn missing(&self) -> u64;

    fn tally(&mut self) -> &mut Tally;

    /// Nanoseconds since it began.
    fn clock_ns(&self) -> u64;
}

/// A crowd that does a load.
pub(crate) struct Driven<'a, L> {
    crowd: &'a mut Crowd,
    load: L,
}

impl<'a, L> Driven<'a, L> {
    pub(crate) const fn new(crowd: &'a mut Crowd, load: L) -> Self {
        Self { crowd, load }
    }
}

impl<L: Load> Drive for Driven<'_, L> {
    fn start(&mut self) {
        self.load.start(self.crowd);
    }

    fn due(&mut self) -> Duration {
        self.load.due(self.crowd)
    }

    fn turn(&mut self, most: Duration) -> io::Result<()> {
        self.crowd.turn(most, &mut self.load)
    }

    fn stop(&mut self) {
        self.load.stop();
    }

    fn missing(&self) -> u64 {
        self.load.missing()
    }

    fn tally(&mut self) -> &mut Tally {
        self.load.tally()
    }

    fn clock_ns(&self) -> u64 {
        self.crowd.clock_ns()
    }
}

/// What a load has counted since it began.
pub(crate) struct Tally {
    /// Echoes, deliveries, cycles of churn, files or ranges of them; what slow readers read at once.
    pub(crate) operations: u64,
    /// Bytes of bodies.
    pub(crate) bytes: u64,
    /// Answers that said no, and answers to something else.
    pub(crate) refused: u64,
    /// Messages that came twice, or after a later one.
    pub(crate) disordered: u64,
    /// From the moment at which each was due; only of what was due since `since_ns`.
    pub(crate) latency_ns: Histogram<u64>,
    pub(crate) since_ns: u64,
}

impl Tally {
    pub(crate) fn new() -> Self {
        let latency_ns = Histogram::new_with_max(LATENCY_NS_MAX, 3);
        Self {
            operations: 0,
            bytes: 0,
            refused: 0,
            disordered: 0,
            latency_ns: latency_ns.expect("three digits are possible"),
            since_ns: u64::MAX,
        }
    }

    /// Something that was due at one moment is done at another.
    pub(crate) fn done(&mut self, due_ns: u64, now_ns: u64) {
        self.operations += 1;
        if due_ns >= self.since_ns {
            self.latency_ns
                .saturating_record(now_ns.saturating_sub(due_ns));
        }
    }
}

/// A distribution of times, in microseconds.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Latency {
    pub(crate) count: u64,
    pub(crate) p50_us: f64,
    pub(crate) p90_us: f64,
    pub(crate) p99_us: f64,
    pub(crate) p999_us: f64,
    pub(crate) max_us: f64,
    /// The histogram: how many took at most so long, and longer than the bucket before.
    pub(crate) buckets_us: Vec<(f64, u64)>,
}

impl Latency {
    /// `None` when nothing was recorded.
    pub(crate) fn of(histogram: &Histogram<u64>) -> Option<Self> {
        let us = |ns: u64| ns as f64 / 1000.0;
        let at = |quantile| us(histogram.value_at_quantile(quantile));
        let buckets = histogram.iter_log(1000, 1.25);
        let buckets = buckets.map(|step| {
            (
                us(step.value_iterated_to()),
                step.count_since_last_iteration(),
            )
        });
        (!histogram.is_empty()).then(|| Self {
            count: histogram.len(),
            p50_us: at(0.5),
            p90_us: at(0.9),
            p99_us: at(0.99),
            p999_us: at(0.999),
            max_us: us(histogram.max()),
            buckets_us: buckets.filter(|(_, count)| *count > 0).collect(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_due_before_is_counted_and_not_timed() {
        let mut tally = Tally::new();
        tally.done(5, 10);
        assert_eq!(Latency::of(&tally.latency_ns), None);
        tally.since_ns = 1_000_000;
        tally.done(999_999, 5_000_000);
        for late_us in 1..=100 {
            tally.done(1_000_000, 1_000_000 + late_us * 1000);
        }
        let latency = Latency::of(&tally.latency_ns).unwrap();
        assert_eq!((tally.operations, latency.count), (102, 100));
        assert!((49.0..51.0).contains(&latency.p50_us), "{latency:?}");
        assert!((98.0..100.0).contains(&latency.p99_us), "{latency:?}");
        let counts = latency.buckets_us.iter().map(|(_, count)| count);
        assert_eq!(counts.sum::<u64>(), 100);
    }
}
