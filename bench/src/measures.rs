//! What the table shows of a run: one number each, of which less is better.

use crate::outcome::Outcome;
use serde::{Deserialize, Serialize};

/// A number of a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Measure {
    /// The server's CPU microseconds per operation, which is CPU seconds per million.
    CpuUs,
    /// The server's CPU seconds per gigabyte (10^9 bytes) of bodies.
    GigabyteCpuS,
    /// The same per publish, of which each connection has a delivery.
    PublishCpuUs,
    /// The server's CPU seconds per second.
    Cores,
    /// The median of latency, in microseconds.
    P50Us,
    /// The 99th percentile of latency, in milliseconds.
    P99Ms,
    /// Seconds in which the neighbours get a gigabyte.
    BulkGigabyteS,
    /// What a connection adds to the server's resident memory.
    ResidentBytes,
    /// What one adds to its anonymous memory.
    AnonymousBytes,
    /// What one adds to what is alive in the heap, where the server tells.
    HeapBytes,
    /// What one adds to the kernel's slab, both of its ends.
    SlabBytes,
    /// All of the server's resident memory.
    ResidentMib,
    /// How much the kernel's queues of TCP have grown, those of both ends.
    TcpMib,
    /// How much resident memory grows in an hour, in mebibytes.
    ResidentMibPerHour,
    /// How much the kernel's slab does.
    SlabMibPerHour,
}

impl Measure {
    /// How the table names it.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::CpuUs => "CPU us each",
            Self::GigabyteCpuS => "CPU s a GB",
            Self::PublishCpuUs => "CPU us a publish",
            Self::Cores => "cores",
            Self::P50Us => "p50 us",
            Self::P99Ms => "p99 ms",
            Self::BulkGigabyteS => "s a GB of bulk",
            Self::ResidentBytes => "RSS bytes each",
            Self::AnonymousBytes => "anonymous bytes each",
            Self::HeapBytes => "heap bytes each",
            Self::SlabBytes => "kernel slab bytes each",
            Self::ResidentMib => "RSS MiB",
            Self::TcpMib => "kernel TCP MiB",
            Self::ResidentMibPerHour => "RSS MiB/h",
            Self::SlabMibPerHour => "kernel slab MiB/h",
        }
    }

    /// `None` where the run failed, or did nothing that could be measured.
    pub(crate) fn of(self, outcome: &Outcome) -> Option<f64> {
        const MIB: f64 = (1 << 20) as f64;
        if outcome.failure.is_some() {
            return None;
        }
        let each = |bytes: i64| bytes as f64 / outcome.connections as f64;
        let found = match self {
            Self::CpuUs => outcome.cpu_seconds * 1e6 / outcome.operations as f64,
            Self::GigabyteCpuS => outcome.cpu_seconds * 1e9 / outcome.bytes as f64,
            Self::PublishCpuUs => {
                outcome.cpu_seconds * 1e6 * outcome.heard_by() as f64 / outcome.operations as f64
            }
            Self::Cores => outcome.cpu_seconds / outcome.seconds,
            Self::P50Us => outcome.latency.as_ref()?.p50_us,
            Self::P99Ms => outcome.latency.as_ref()?.p99_us / 1000.0,
            Self::BulkGigabyteS => {
                let bulk = outcome.bulk?;
                bulk.seconds * 1e9 / bulk.bytes as f64
            }
            Self::ResidentBytes => each(outcome.memory.resident),
            Self::AnonymousBytes => each(outcome.memory.anonymous),
            Self::HeapBytes if outcome.memory.heap != 0 => each(outcome.memory.heap),
            Self::HeapBytes => return None,
            Self::SlabBytes => each(outcome.memory.kernel_slab),
            Self::ResidentMib => outcome.resident_bytes as f64 / MIB,
            Self::TcpMib => outcome.memory.kernel_tcp as f64 / MIB,
            Self::ResidentMibPerHour => outcome.resident_bytes_per_hour? / MIB,
            Self::SlabMibPerHour => outcome.kernel_slab_bytes_per_hour? / MIB,
        };
        found.is_finite().then_some(found)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::process::Memory;

    #[test]
    fn numbers_of_a_run() {
        let mut outcome = Outcome {
            connections: 100,
            operations: 1_000_000,
            bytes: 4_000_000_000,
            seconds: 4.0,
            cpu_seconds: 2.0,
            memory: Memory {
                resident: 5_000,
                ..Memory::default()
            },
            resident_bytes: 3 << 20,
            ..Outcome::default()
        };
        let of = |measure: Measure| measure.of(&outcome);
        assert_eq!(of(Measure::CpuUs), Some(2.0));
        assert_eq!(of(Measure::GigabyteCpuS), Some(0.5));
        assert_eq!(
            of(Measure::PublishCpuUs),
            Some(200.0),
            "of a result that does not say who hears it"
        );
        assert_eq!(of(Measure::Cores), Some(0.5));
        assert_eq!(of(Measure::HeapBytes), None);
        assert_eq!(of(Measure::ResidentBytes), Some(50.0));
        assert_eq!(of(Measure::ResidentMib), Some(3.0));
        assert_eq!(of(Measure::P99Ms), None);
        assert_eq!(of(Measure::ResidentMibPerHour), None);
        outcome.members = 20;
        assert_eq!(Measure::PublishCpuUs.of(&outcome), Some(40.0));
        outcome.operations = 0;
        assert_eq!(Measure::CpuUs.of(&outcome), None);
        outcome.failure = Some(String::new());
        assert_eq!(Measure::Cores.of(&outcome), None);
    }
}
