//! Metrics: each shard copies its own numbers into atomics that only it writes; the control thread renders them when asked.
//!
//! Deliberately absent: anything on the data path. Shards count in plain integers.

use metrics::{
    counter, describe_counter, describe_gauge, describe_histogram, gauge, histogram,
    with_local_recorder,
};
use metrics_exporter_prometheus::{
    BuildError, Matcher, PrometheusBuilder, PrometheusHandle, PrometheusRecorder,
};
use ringway_runtime::LoopStats;
use ringway_service::refusal::Refusal;
use ringway_service::stats::{LATENCY_BOUNDS_US, Stats};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

const DELIVERY: &str = "ringway_delivery_latency_seconds";
const LAP: &str = "ringway_lap_seconds";
const REFUSALS: &str = "ringway_refusals_total";

type Read = fn(&Stats, &LoopStats) -> u64;

/// Name, what it means, whether it is a gauge, and where it is counted.
const ROWS: &[(&str, &str, bool, Read)] = &[
    (
        "ringway_connections",
        "TCP connections open now.",
        true,
        |stats, _| stats.connections,
    ),
    (
        "ringway_connections_accepted_total",
        "TCP connections accepted.",
        false,
        |stats, _| stats.connections_accepted,
    ),
    (
        "ringway_connections_migrated_total",
        "TCP connections handed to the shard of their session.",
        false,
        |_, laps| laps.migrations,
    ),
    (
        "ringway_connections_migration_failures_total",
        "Hand-overs that failed.",
        false,
        |_, laps| laps.migrations_failed,
    ),
    (
        "ringway_sessions",
        "Engine.IO sessions open now.",
        true,
        |stats, _| stats.sessions,
    ),
    (
        "ringway_sessions_websocket",
        "Sessions whose transport is WebSocket now.",
        true,
        |stats, _| stats.sessions_websocket,
    ),
    (
        "ringway_sessions_opened_total",
        "Engine.IO sessions opened.",
        false,
        |stats, _| stats.sessions_opened,
    ),
    (
        "ringway_upgrades_total",
        "Upgrades from polling to WebSocket.",
        false,
        |stats, _| stats.upgrades,
    ),
    (
        "ringway_http_requests_total",
        "HTTP requests read.",
        false,
        |stats, _| stats.http_requests,
    ),
    (
        "ringway_packets_received_total",
        "Socket.IO packets received.",
        false,
        |stats, _| stats.packets_received,
    ),
    (
        "ringway_packets_sent_total",
        "Packets handed to the wire.",
        false,
        |stats, _| stats.packets_sent,
    ),
    (
        "ringway_published_total",
        "Messages that clients published.",
        false,
        |stats, _| stats.published,
    ),
    (
        "ringway_delivered_total",
        "Messages put into members' queues.",
        false,
        |stats, _| stats.delivered,
    ),
    (
        "ringway_dropped_total",
        "Messages that went for newer ones in slow members' queues.",
        false,
        |stats, _| stats.dropped,
    ),
    (
        "ringway_queued_bytes",
        "Bytes in members' queues now.",
        true,
        |stats, _| stats.queued_bytes,
    ),
    (
        "ringway_input_bytes",
        "Bytes of unfinished requests and messages now.",
        true,
        |stats, _| stats.input_bytes,
    ),
    (
        "ringway_acks_unasked_total",
        "Acknowledgements that nobody had asked for.",
        false,
        |stats, _| stats.acks_unasked,
    ),
    (
        "ringway_packets_unconnected_total",
        "Packets for namespaces that their session has not joined.",
        false,
        |stats, _| stats.packets_unconnected,
    ),
    (
        "ringway_sessions_parked_total",
        "Times that a session waited for space between shards.",
        false,
        |stats, _| stats.parked,
    ),
    (
        "ringway_bytes_received_total",
        "Bytes received.",
        false,
        |_, laps| laps.bytes_in,
    ),
    (
        "ringway_bytes_sent_total",
        "Bytes sent.",
        false,
        |_, laps| laps.bytes_out,
    ),
    (
        "ringway_sends_total",
        "Sends submitted to the kernel.",
        false,
        |_, laps| laps.sends,
    ),
    (
        "ringway_sends_short_total",
        "Sends that went only in part.",
        false,
        |_, laps| laps.sends_short,
    ),
    (
        "ringway_receive_starved_total",
        "Receives that found no buffer and were parked.",
        false,
        |_, laps| laps.recv_starved,
    ),
    (
        "ringway_accept_errors_total",
        "Accepts that failed.",
        false,
        |_, laps| laps.accept_errors,
    ),
    (
        "ringway_accept_stops_total",
        "Times that accepting stopped because the shard was full.",
        false,
        |_, laps| laps.accept_stops,
    ),
    (
        "ringway_mail_total",
        "Messages between shards.",
        false,
        |_, laps| laps.mail,
    ),
    (
        "ringway_mail_waits_total",
        "Requests between shards that waited for space.",
        false,
        |_, laps| laps.mail_waits,
    ),
    (
        "ringway_wakes_total",
        "Wakes of sleeping shards.",
        false,
        |_, laps| laps.wakes,
    ),
    (
        "ringway_completions_total",
        "Completions handled.",
        false,
        |_, laps| laps.completions,
    ),
    (
        "ringway_completions_stale_total",
        "Completions of connections that were gone.",
        false,
        |_, laps| laps.completions_stale,
    ),
    (
        "ringway_laps_total",
        "Laps of the loop.",
        false,
        |_, laps| laps.laps,
    ),
];

const LAP_BUCKETS: usize = 21;
const DELIVERY_BUCKETS: usize = LATENCY_BOUNDS_US.len() + 1;
const REFUSALS_AT: usize = ROWS.len();
const DELIVERY_AT: usize = REFUSALS_AT + Refusal::ALL.len();
const LAP_AT: usize = DELIVERY_AT + DELIVERY_BUCKETS;
const VALUES: usize = LAP_AT + LAP_BUCKETS;

/// One shard's numbers, as it last copied them out.
pub struct Published(Box<[AtomicU64]>);

impl Default for Published {
    fn default() -> Self {
        Self((0..VALUES).map(|_| AtomicU64::new(0)).collect())
    }
}

impl Published {
    /// Copies a shard's numbers out; called by that shard alone.
    pub fn publish(&self, stats: &Stats, laps: &LoopStats) {
        let rows = ROWS.iter().map(|(_, _, _, read)| read(stats, laps));
        let values = rows
            .chain(stats.refusals)
            .chain(stats.delivery_latency.buckets)
            .chain(laps.lap_us);
        for (place, value) in self.0.iter().zip(values) {
            place.store(value, Ordering::Relaxed);
        }
    }

    fn get(&self, index: usize) -> u64 {
        self.0[index].load(Ordering::Relaxed)
    }

    /// Connections and sessions.
    #[must_use]
    pub fn open(&self) -> u64 {
        ROWS.iter()
            .position(|(name, ..)| *name == "ringway_sessions")
            .map_or(0, |index| self.get(index))
    }
}

/// The page.
pub struct Metrics {
    recorder: PrometheusRecorder,
    handle: PrometheusHandle,
    /// What the histograms have been told already, per shard.
    told: Mutex<Vec<[u64; VALUES]>>,
}

impl Metrics {
    /// A page for that many shards.
    ///
    /// # Errors
    /// Never with these buckets; the library wants it said.
    pub fn new(shards: usize) -> Result<Self, BuildError> {
        let seconds = |bounds: &[u64]| bounds.iter().map(|us| *us as f64 / 1e6).collect::<Vec<_>>();
        let lap_bounds: Vec<u64> = (0..LAP_BUCKETS as u32 - 1)
            .map(|power| 1 << power)
            .collect();
        let recorder = PrometheusBuilder::new()
            .set_buckets_for_metric(
                Matcher::Full(DELIVERY.to_owned()),
                &seconds(&LATENCY_BOUNDS_US),
            )?
            .set_buckets_for_metric(Matcher::Full(LAP.to_owned()), &seconds(&lap_bounds))?
            .build_recorder();
        let handle = recorder.handle();
        with_local_recorder(&recorder, describe);
        Ok(Self {
            recorder,
            handle,
            told: Mutex::new(vec![[0; VALUES]; shards]),
        })
    }

    /// Renders the page from what the shards published.
    #[must_use]
    pub fn render(&self, published: &[Published]) -> String {
        let mut told = self.told.lock().unwrap_or_else(PoisonError::into_inner);
        with_local_recorder(&self.recorder, || {
            for (index, (shard, told)) in published.iter().zip(told.iter_mut()).enumerate() {
                set_shard(index.to_string(), shard, told);
            }
        });
        self.handle.render()
    }
}

fn describe() {
    for (name, help, is_gauge, _) in ROWS {
        if *is_gauge {
            describe_gauge!(*name, *help)
        } else {
            describe_counter!(*name, *help)
        }
    }
    describe_counter!(
        REFUSALS,
        "Refusals and closes, by the code that the peer was told."
    );
    describe_histogram!(
        DELIVERY,
        "From a message's arrival at a member's shard to its hand-over to the kernel."
    );
    describe_histogram!(LAP, "Time of a lap, sleeping not counted.");
}

fn set_shard(shard: String, values: &Published, told: &mut [u64; VALUES]) {
    for (index, (name, _, is_gauge, _)) in ROWS.iter().enumerate() {
        let value = values.get(index);
        if *is_gauge {
            gauge!(*name, "shard" => shard.clone()).set(value as f64);
        } else {
            counter!(*name, "shard" => shard.clone()).absolute(value);
        }
    }
    for (index, refusal) in Refusal::ALL.iter().enumerate() {
        counter!(REFUSALS, "shard" => shard.clone(), "code" => refusal.code())
            .absolute(values.get(REFUSALS_AT + index));
    }
    for bucket in 0..DELIVERY_BUCKETS {
        let us = LATENCY_BOUNDS_US
            .get(bucket)
            .copied()
            .unwrap_or(LATENCY_BOUNDS_US[LATENCY_BOUNDS_US.len() - 1] * 2);
        tell(
            DELIVERY,
            &shard,
            us as f64,
            values.get(DELIVERY_AT + bucket),
            &mut told[DELIVERY_AT + bucket],
        );
    }
    for bucket in 0..LAP_BUCKETS {
        tell(
            LAP,
            &shard,
            f64::from(1_u32 << bucket),
            values.get(LAP_AT + bucket),
            &mut told[LAP_AT + bucket],
        );
    }
}

/// Gives a histogram what is new in one bucket, at the bucket's upper bound.
fn tell(name: &'static str, shard: &str, us: f64, count: u64, told: &mut u64) {
    let fresh = count.saturating_sub(*told);
    *told = count;
    if fresh > 0 {
        histogram!(name, "shard" => shard.to_owned()).record_many(us / 1e6, fresh as usize);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_says_what_a_shard_counted() {
        let (metrics, published) = (Metrics::new(1).unwrap(), [Published::default()]);
        let mut stats = Stats {
            connections: 3,
            ..Stats::default()
        };
        stats.refusals[Refusal::SlowConsumer.index()] = 2;
        stats.delivery_latency.record(100);
        published[0].publish(&stats, &LoopStats::default());
        let page = metrics.render(&published);
        for line in [
            "# HELP ringway_connections TCP connections open now.",
            "ringway_connections{shard=\"0\"} 3",
            "ringway_refusals_total{shard=\"0\",code=\"RW-2401\"} 2",
            "ringway_delivery_latency_seconds_bucket{shard=\"0\",le=\"0.000128\"} 1",
        ] {
            assert!(page.contains(line), "{line}\n{page}");
        }
        assert!(
            metrics.render(&published).contains("_count{shard=\"0\"} 1"),
            "told once"
        );
    }
}
