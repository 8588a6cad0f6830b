//! Metrics: each shard copies its own numbers into atomics that only it writes; the control thread renders them when asked.
//!
//! Deliberately absent: anything on the data path. Shards count in plain integers.

use core::fmt::{self, Write as _};
use metrics::{counter, describe_counter, describe_gauge, gauge, with_local_recorder};
use metrics_exporter_prometheus::{PrometheusBuilder, PrometheusHandle, PrometheusRecorder};
use ringway_runtime::LoopStats;
use ringway_service::refusal::Refusal;
use ringway_service::stats::{DropReason, LATENCY_BOUNDS_US, Stats};
use std::sync::atomic::{AtomicU64, Ordering};

const REFUSALS: &str = "ringway_refusals_total";
const DROPPED: &str = "ringway_dropped_total";

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
        "ringway_file_requests_total",
        "Requests for files.",
        false,
        |stats, _| stats.file_requests,
    ),
    (
        "ringway_file_cache_bytes",
        "Bytes of small files that are held in memory now.",
        true,
        |stats, _| stats.file_cache_bytes,
    ),
    (
        "ringway_files_encoded_total",
        "Requests that were answered with a file that was compressed on the way.",
        false,
        |stats, _| stats.files_encoded,
    ),
    (
        "ringway_files_encodings_refused_total",
        "Requests that were answered with a file as it is because compressing takes as much memory as it may.",
        false,
        |stats, _| stats.files_encodings_refused,
    ),
    (
        "ringway_file_encodings_joined_total",
        "Requests that waited for a file that was being compressed for another one.",
        false,
        |stats, _| stats.file_encodings_joined,
    ),
    (
        "ringway_file_encodings_cut_total",
        "Answers that ended in the middle because their file could not be read or compressed to its end.",
        false,
        |stats, _| stats.file_encodings_cut,
    ),
    (
        "ringway_file_seals_broken_total",
        "Encrypted files whose key could not be had, or whose bytes were not what was written.",
        false,
        |stats, _| stats.file_seals_broken,
    ),
    (
        "ringway_file_bytes_encoded_total",
        "Bytes of files that were compressed.",
        false,
        |stats, _| stats.file_bytes_encoded,
    ),
    (
        "ringway_file_jobs_total",
        "Pieces of files that were given to the threads beside the shards.",
        false,
        |stats, _| stats.file_jobs,
    ),
    (
        "ringway_file_jobs_waiting",
        "Pieces of files that wait for these threads.",
        true,
        |stats, _| stats.file_jobs_waiting,
    ),
    (
        "ringway_file_opens_joined_total",
        "Requests that waited for a file that was being opened for another one.",
        false,
        |stats, _| stats.file_opens_joined,
    ),
    (
        "ringway_file_rate_waits_total",
        "Times that bytes of a file waited for what the rate of their connection or user allows.",
        false,
        |stats, _| stats.file_rate_waits,
    ),
    (
        "ringway_files_open",
        "Files that are open now.",
        true,
        |_, laps| laps.files_open,
    ),
    (
        "ringway_file_operations_total",
        "Operations on files that the kernel was asked for.",
        false,
        |_, laps| laps.file_operations,
    ),
    (
        "ringway_file_requests_refused_total",
        "Operations on files that were refused because too many were under way.",
        false,
        |_, laps| laps.file_requests_refused,
    ),
    (
        "ringway_file_transfers",
        "Pieces of files that are being sent now.",
        true,
        |_, laps| laps.transfers_live,
    ),
    (
        "ringway_file_transfers_cut_total",
        "Transfers that ended their connection because the file was cut short or could not be read.",
        false,
        |_, laps| laps.transfers_cut,
    ),
    (
        "ringway_file_transfers_stalled_total",
        "Transfers that ended because their client took nothing for two minutes.",
        false,
        |_, laps| laps.transfers_stalled,
    ),
    (
        "ringway_file_transfer_waits_total",
        "Times that a transfer waited for its client.",
        false,
        |_, laps| laps.transfer_waits,
    ),
    (
        "ringway_file_slot_waits_total",
        "Times that a transfer waited for a piece of memory to read into.",
        false,
        |_, laps| laps.slot_waits,
    ),
    (
        "ringway_file_bytes_direct_total",
        "Bytes of files that were sent without a copy.",
        false,
        |_, laps| laps.file_bytes_direct,
    ),
    (
        "ringway_file_bytes_copied_total",
        "Bytes of files that were read and sent.",
        false,
        |_, laps| laps.file_bytes_copied,
    ),
    (
        "ringway_file_sends_avoided_copy_total",
        "Sends of what was read of files in which the kernel avoided a copy, as its notices say.",
        false,
        |_, laps| laps.notices.avoided,
    ),
    (
        "ringway_file_sends_not_avoided_copy_total",
        "Sends of what was read of files in which the kernel was to avoid a copy and did not; it is then asked more rarely.",
        false,
        |_, laps| laps.notices.copied,
    ),
    (
        "ringway_used_urls",
        "One-time URLs that are remembered to have been used.",
        true,
        |stats, _| stats.used_urls,
    ),
    (
        "ringway_used_url_lines_unreadable",
        "Lines of journals of used one-time URLs that could not be read at the start; a use that only such a line knew of is forgotten.",
        true,
        |stats, _| stats.used_url_lines_unreadable,
    ),
    (
        "ringway_upload_requests_total",
        "Requests for uploads.",
        false,
        |stats, _| stats.upload_requests,
    ),
    (
        "ringway_uploads",
        "Uploads that are known now, finished ones among them until they are forgotten.",
        true,
        |stats, _| stats.uploads.uploads,
    ),
    (
        "ringway_upload_bytes_reserved",
        "Bytes that count against users now: of uploads that are there or announced.",
        true,
        |stats, _| stats.uploads.bytes_reserved,
    ),
    (
        "ringway_upload_transfers",
        "Requests that write to uploads now.",
        true,
        |stats, _| stats.uploads.transfers,
    ),
    (
        "ringway_uploads_created_total",
        "Uploads created.",
        false,
        |stats, _| stats.uploads.created,
    ),
    (
        "ringway_uploads_finished_total",
        "Uploads that became whole.",
        false,
        |stats, _| stats.uploads.finished,
    ),
    (
        "ringway_uploads_expired_total",
        "Uploads that expired.",
        false,
        |stats, _| stats.uploads.expired,
    ),
    (
        "ringway_upload_bytes_total",
        "Bytes of uploads that were taken.",
        false,
        |stats, _| stats.uploads.bytes_received,
    ),
    (
        "ringway_upload_storage_failures_total",
        "Times that the disk refused to store something of an upload.",
        false,
        |stats, _| stats.uploads.storage_failures,
    ),
    (
        "ringway_upload_records_unreadable",
        "Records of uploads that could not be read at the start; what they are about is left as it is.",
        true,
        |stats, _| stats.uploads.records_unreadable,
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
        "ringway_upstream_emitters",
        "Emitters that are joined, or may still come back.",
        true,
        |stats, _| stats.exchange.emitters,
    ),
    (
        "ringway_upstream_workers",
        "Workers that are joined, or may still come back.",
        true,
        |stats, _| stats.exchange.workers,
    ),
    (
        "ringway_upstream_clients_waiting",
        "Clients that wait for a worker.",
        true,
        |stats, _| stats.exchange.clients_waiting,
    ),
    (
        "ringway_links_accepted_total",
        "Links of workers that were accepted.",
        false,
        |stats, _| stats.exchange.links_accepted,
    ),
    (
        "ringway_links_joined_total",
        "Links whose worker joined.",
        false,
        |stats, _| stats.exchange.links_joined,
    ),
    (
        "ringway_links_refused_total",
        "Links that were closed for what they said, or for saying nothing.",
        false,
        |stats, _| stats.exchange.links_refused,
    ),
    (
        "ringway_links_paused",
        "Links that are not read now: of workers that say most while clients or shards have too much before them, all when that is not enough, and of workers that flooded (RW-2614).",
        true,
        |stats, _| stats.exchange.links_paused,
    ),
    (
        "ringway_links_pauses_total",
        "Times that all links were paused, as pausing those of workers that say most was not enough.",
        false,
        |stats, _| stats.exchange.links_pauses,
    ),
    (
        "ringway_links_heaviest_pauses_total",
        "Times that the links of workers that say most were paused, and the others were read on.",
        false,
        |stats, _| stats.exchange.heaviest_pauses,
    ),
    (
        "ringway_links_turned_away_total",
        "Links that were closed as they came, as their peer had lied too often (RW-2605).",
        false,
        |stats, _| stats.exchange.links_turned_away,
    ),
    (
        "ringway_links_resumed_total",
        "Links that came back in time.",
        false,
        |stats, _| stats.exchange.links_resumed,
    ),
    (
        "ringway_upstream_workers_lost_total",
        "Workers that did not come back in time, or said goodbye.",
        false,
        |stats, _| stats.exchange.workers_lost,
    ),
    (
        "ringway_upstream_clients_lost_total",
        "Clients for whom no worker came in time.",
        false,
        |stats, _| stats.exchange.clients_lost,
    ),
    (
        "ringway_upstream_bus_dropped_total",
        "Messages between workers that a worker which does not read did not get.",
        false,
        |stats, _| stats.exchange.bus_dropped,
    ),
    (
        "ringway_upstream_namespaces_refused_total",
        "Namespaces that were one too many, of workers or asked for by clients (RW-2616), or had too long a name.",
        false,
        |stats, _| stats.exchange.namespaces_refused,
    ),
    (
        "ringway_upstream_namespaces_native_total",
        "Namespaces of workers that are the daemon's own (RW-2609).",
        false,
        |stats, _| stats.exchange.namespaces_kept,
    ),
    (
        "ringway_upstream_namespaces_taken_total",
        "Namespaces of workers that are another application's (RW-2607).",
        false,
        |stats, _| stats.exchange.namespaces_taken,
    ),
    (
        "ringway_upstream_questions_open",
        "Requests that wait for the application's word, whether they may come in.",
        true,
        |stats, _| stats.exchange.questions_open,
    ),
    (
        "ringway_upstream_questions_total",
        "Requests that the application was asked about.",
        false,
        |stats, _| stats.exchange.questions,
    ),
    (
        "ringway_upstream_questions_late_total",
        "Of these, those that it gave no answer to in time.",
        false,
        |stats, _| stats.exchange.questions_late,
    ),
    (
        "ringway_upstream_answers_late_total",
        "Answers that came when nobody waited for them any more.",
        false,
        |stats, _| stats.exchange.answers_late,
    ),
    (
        "ringway_upstream_bindings_total",
        "Times that the application has come to want other options.",
        false,
        |stats, _| stats.exchange.bindings,
    ),
    (
        "ringway_upstream_sessions_waiting",
        "Sockets whose clients are gone and may come back.",
        true,
        |stats, _| stats.exchange.sessions_waiting,
    ),
    (
        "ringway_upstream_log_bytes",
        "Bytes of broadcasts that are kept for clients which come back.",
        true,
        |stats, _| stats.exchange.log_bytes,
    ),
    (
        "ringway_upstream_sessions_recovered_total",
        "Sockets whose clients came back.",
        false,
        |stats, _| stats.exchange.sessions_recovered,
    ),
    (
        "ringway_upstream_sessions_refused_total",
        "Sockets that were asked for in vain: unknown, too late, or with too much missed.",
        false,
        |stats, _| stats.exchange.sessions_refused,
    ),
    (
        "ringway_upstream_workers_isolated",
        "Workers that get no clients for now, or one to be tried with.",
        true,
        |stats, _| stats.exchange.workers_isolated,
    ),
    (
        "ringway_upstream_stalls_total",
        "Times that a worker dealt with nothing for link.stall_ms.",
        false,
        |stats, _| stats.exchange.stalls,
    ),
    (
        "ringway_upstream_floods_total",
        "Times that a worker was isolated as it said more than can be carried to clients for link.flood_ms (RW-2614).",
        false,
        |stats, _| stats.exchange.floods,
    ),
    (
        "ringway_upstream_circuits_opened_total",
        "Times that workers of a name were kept from clients (RW-2604).",
        false,
        |stats, _| stats.exchange.circuits_opened,
    ),
    (
        "ringway_upstream_probes_total",
        "Times that such a worker was tried with one client.",
        false,
        |stats, _| stats.exchange.probes,
    ),
    (
        "ringway_upstream_circuits_closed_total",
        "Times that it was well with it, and got clients as ever.",
        false,
        |stats, _| stats.exchange.circuits_closed,
    ),
    (
        "ringway_upstream_clients_migrated_total",
        "Clients that went from a worker that left to another one.",
        false,
        |stats, _| stats.exchange.clients_migrated,
    ),
    (
        "ringway_upstream_clients_refused_total",
        "Clients that were refused as all workers were failing (RW-2603).",
        false,
        |stats, _| stats.exchange.clients_refused,
    ),
    (
        "ringway_upstream_clients_unanswered_total",
        "Clients that were closed, as they waited for an acknowledgement of a worker that is gone (RW-2606).",
        false,
        |stats, _| stats.exchange.clients_unanswered,
    ),
    (
        "ringway_upstream_clients_dismissed_total",
        "Clients that were told to go and not to come back, as workers died on them (RW-2615).",
        false,
        |stats, _| stats.exchange.clients_dismissed,
    ),
    (
        "ringway_upstream_frames_stale_total",
        "Frames of workers about clients that had gone.",
        false,
        |stats, _| stats.exchange.frames_stale,
    ),
    (
        "ringway_upstream_volatile_dropped_total",
        "Volatile messages of workers that found their client busy.",
        false,
        |stats, _| stats.volatile_dropped,
    ),
    (
        "ringway_upstream_memberships_refused_total",
        "What workers said of sockets that had gone, or that may be in no more rooms.",
        false,
        |stats, _| stats.memberships_refused,
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
        "ringway_laps_behind_total",
        "Laps that left with the kernel what had come by then: the shard gets less than it needs of its core. No session is closed for silence in such a lap.",
        false,
        |_, laps| laps.laps_behind,
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
const DROPPED_AT: usize = REFUSALS_AT + Refusal::ALL.len();
const DELIVERY_AT: usize = DROPPED_AT + DropReason::ALL.len();
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
            .chain(stats.dropped)
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
        let counts = |name: &str| matches!(name, "ringway_connections" | "ringway_sessions");
        let rows = ROWS.iter().enumerate();
        rows.filter(|(_, (name, ..))| counts(name))
            .map(|(index, _)| self.get(index))
            .sum()
    }
}

/// A histogram on the page. Shards count in its buckets; the library's own histograms take every sample one by one, and a page after an hour
/// without one would cost gigabytes.
struct Histogram {
    name: &'static str,
    help: &'static str,
    /// Upper bounds in microseconds; one more bucket lies above the last.
    bounds_us: Vec<u64>,
    /// Where its first bucket was published.
    at: usize,
}

impl Histogram {
    fn all() -> [Self; 2] {
        [
            Self {
                name: "ringway_delivery_latency_seconds",
                help: "From a message's arrival at a member's shard to its hand-over to the kernel.",
                bounds_us: LATENCY_BOUNDS_US.to_vec(),
                at: DELIVERY_AT,
            },
            Self {
                name: "ringway_lap_seconds",
                help: "Time of a lap, sleeping not counted.",
                bounds_us: (0..LAP_BUCKETS - 1).map(|power| 1 << power).collect(),
                at: LAP_AT,
            },
        ]
    }

    fn render(&self, page: &mut String, published: &[Published]) -> fmt::Result {
        let (name, help) = (self.name, self.help);
        writeln!(page, "# HELP {name} {help}\n# TYPE {name} histogram")?;
        for (shard, values) in published.iter().enumerate() {
            let (mut count, mut sum_us) = (0, 0);
            for (bucket, bound_us) in self.bounds_us.iter().enumerate() {
                let fresh = values.get(self.at + bucket);
                count += fresh;
                sum_us += fresh * bound_us;
                let bound = seconds(*bound_us);
                writeln!(
                    page,
                    "{name}_bucket{{shard=\"{shard}\",le=\"{bound}\"}} {count}"
                )?;
            }
            let above = values.get(self.at + self.bounds_us.len());
            count += above;
            // The sum takes every sample for its bucket's bound, and those above the last one for twice that.
            sum_us += above * self.bounds_us[self.bounds_us.len() - 1] * 2;
            let sum = seconds(sum_us);
            writeln!(
                page,
                "{name}_bucket{{shard=\"{shard}\",le=\"+Inf\"}} {count}"
            )?;
            writeln!(page, "{name}_sum{{shard=\"{shard}\"}} {sum}")?;
            writeln!(page, "{name}_count{{shard=\"{shard}\"}} {count}")?;
        }
        Ok(())
    }
}

fn seconds(us: u64) -> f64 {
    us as f64 / 1e6
}

/// The page.
pub struct Metrics {
    recorder: PrometheusRecorder,
    handle: PrometheusHandle,
    histograms: [Histogram; 2],
}

impl Default for Metrics {
    fn default() -> Self {
        let recorder = PrometheusBuilder::new().build_recorder();
        let handle = recorder.handle();
        with_local_recorder(&recorder, describe);
        Self {
            recorder,
            handle,
            histograms: Histogram::all(),
        }
    }
}

impl Metrics {
    /// Renders the page from what the shards published.
    #[must_use]
    pub fn render(&self, published: &[Published]) -> String {
        with_local_recorder(&self.recorder, || {
            for (index, shard) in published.iter().enumerate() {
                set_shard(&index.to_string(), shard);
            }
        });
        let mut page = self.handle.render();
        for histogram in &self.histograms {
            let written = histogram.render(&mut page, published);
            written.expect("a string takes everything");
        }
        page
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
    describe_counter!(
        DROPPED,
        "Messages that went for newer ones in slow members' queues, by reason."
    );
}

fn set_shard(shard: &str, values: &Published) {
    for (index, (name, _, is_gauge, _)) in ROWS.iter().enumerate() {
        let value = values.get(index);
        if *is_gauge {
            gauge!(*name, "shard" => shard.to_owned()).set(value as f64);
        } else {
            counter!(*name, "shard" => shard.to_owned()).absolute(value);
        }
    }
    for (index, refusal) in Refusal::ALL.iter().enumerate() {
        counter!(REFUSALS, "shard" => shard.to_owned(), "code" => refusal.code())
            .absolute(values.get(REFUSALS_AT + index));
    }
    for (index, reason) in DropReason::ALL.iter().enumerate() {
        counter!(DROPPED, "shard" => shard.to_owned(), "reason" => reason.name())
            .absolute(values.get(DROPPED_AT + index));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_says_what_a_shard_counted() {
        let (metrics, published) = (Metrics::default(), [Published::default()]);
        let mut stats = Stats {
            connections: 3,
            ..Stats::default()
        };
        stats.refusals[Refusal::SlowConsumer.index()] = 2;
        stats.dropped[DropReason::Conflate as usize] = 5;
        stats.delivery_latency.record(100);
        stats.delivery_latency.record(1 << 40);
        published[0].publish(&stats, &LoopStats::default());
        let page = metrics.render(&published);
        for line in [
            "# HELP ringway_connections TCP connections open now.",
            "ringway_connections{shard=\"0\"} 3",
            "ringway_refusals_total{shard=\"0\",code=\"RW-2401\"} 2",
            "ringway_dropped_total{shard=\"0\",reason=\"conflate\"} 5",
            "# TYPE ringway_delivery_latency_seconds histogram",
            "ringway_delivery_latency_seconds_bucket{shard=\"0\",le=\"0.000064\"} 0",
            "ringway_delivery_latency_seconds_bucket{shard=\"0\",le=\"0.000128\"} 1",
            "ringway_delivery_latency_seconds_bucket{shard=\"0\",le=\"4.194304\"} 1",
            "ringway_delivery_latency_seconds_bucket{shard=\"0\",le=\"+Inf\"} 2",
            "ringway_delivery_latency_seconds_sum{shard=\"0\"} 8.388736",
            "ringway_delivery_latency_seconds_count{shard=\"0\"} 2",
            "ringway_lap_seconds_count{shard=\"0\"} 0",
        ] {
            assert!(page.contains(&format!("{line}\n")), "{line}\n{page}");
        }
    }

    /// Nobody looked for an hour: the page must not cost memory or time for each sample since.
    #[test]
    fn a_page_after_many_samples_costs_what_the_first_one_did() {
        let (metrics, published) = (Metrics::default(), [Published::default()]);
        let mut laps = LoopStats::default();
        laps.lap_us[3] = 1 << 40;
        published[0].publish(&Stats::default(), &laps);
        let page = metrics.render(&published);
        let line = format!("ringway_lap_seconds_count{{shard=\"0\"}} {}\n", 1_u64 << 40);
        assert!(page.contains(&line), "{page}");
    }
}
