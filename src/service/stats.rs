//! Counters and gauges of one shard's service: plain integers with one writer.
//!
//! Deliberately absent: atomics and text; the wiring copies the numbers out and names them for operators.

use crate::packet::Packet;
use crate::refusal::Refusal;
use crate::time::Now;
use crate::uploads::UploadsStats;
use crate::upstream::ExchangeStats;

/// Upper bounds of the latency buckets, in microseconds; one bucket more counts what is above the last.
pub const LATENCY_BOUNDS_US: [u64; 16] = [
    16, 32, 64, 128, 256, 512, 1_024, 2_048, 4_096, 8_192, 16_384, 32_768, 65_536, 262_144,
    1_048_576, 4_194_304,
];

/// How long something took, counted in buckets.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Histogram {
    /// How many were at most [`LATENCY_BOUNDS_US`] of the same index and above the one before.
    pub buckets: [u64; LATENCY_BOUNDS_US.len() + 1],
    /// The sum of all, in microseconds.
    pub sum_us: u64,
    /// How many.
    pub count: u64,
}

impl Histogram {
    /// Counts one.
    pub fn record(&mut self, us: u64) {
        let index = LATENCY_BOUNDS_US.partition_point(|bound| *bound < us);
        self.buckets[index] += 1;
        self.sum_us += us;
        self.count += 1;
    }
}

/// Everything that one shard's service counts.
#[derive(Clone, Debug)]
pub struct Stats {
    /// TCP connections open now.
    pub connections: u64,
    /// TCP connections ever accepted.
    pub connections_accepted: u64,
    /// TCP connections that came from another shard.
    pub connections_arrived: u64,
    /// TCP connections that went to another shard.
    pub connections_migrated: u64,
    /// Sessions open now.
    pub sessions: u64,
    /// Sessions ever opened.
    pub sessions_opened: u64,
    /// Sessions whose transport is WebSocket now.
    pub sessions_websocket: u64,
    /// HTTP requests answered.
    pub http_requests: u64,
    /// Requests that were answered with a file that was compressed on the way, or before for another one.
    pub files_encoded: u64,
    /// Requests that were answered with a file as it is because encoders had as much memory as they may.
    pub files_encodings_refused: u64,
    /// Requests that waited for a file that was being compressed for another one.
    pub file_encodings_joined: u64,
    /// Answers that ended in the middle because the file could not be read or compressed to its end.
    pub file_encodings_cut: u64,
    /// Encrypted files whose key could not be had, or whose bytes were not what was written.
    pub file_seals_broken: u64,
    /// Bytes of files that were given to encoders.
    pub file_bytes_encoded: u64,
    /// Pieces of work for encoders that the pool beside the shards was given.
    pub file_jobs: u64,
    /// Pieces of work for encoders that wait now.
    pub file_jobs_waiting: u64,
    /// Requests that waited for a file that was being opened for another one.
    pub file_opens_joined: u64,
    /// Times that bytes of a file waited for the rate of their connection or user.
    pub file_rate_waits: u64,
    /// Requests for files.
    pub file_requests: u64,
    /// Bytes of open files that were handed to the wire; small files are not among them.
    pub file_bytes: u64,
    /// Bytes of small files that are held in memory now.
    pub file_cache_bytes: u64,
    /// One-time URLs that were used, as of the last lap; those that have expired are forgotten when the next one is used.
    pub used_urls: u64,
    /// Lines of journals of used one-time URLs that could not be read at the start.
    pub used_url_lines_unreadable: u64,
    /// Requests for uploads.
    pub upload_requests: u64,
    /// Uploads, as of the last second.
    pub uploads: UploadsStats,
    /// Upgrades from polling to WebSocket that completed.
    pub upgrades: u64,
    /// Socket.IO packets received.
    pub packets_received: u64,
    /// Packets handed to the wire.
    pub packets_sent: u64,
    /// Bytes received.
    pub bytes_received: u64,
    /// Bytes handed to the wire.
    pub bytes_sent: u64,
    /// Messages that clients published and that were sent to their home.
    pub published: u64,
    /// Messages put into members' queues.
    pub delivered: u64,
    /// Acks received that the daemon never asked for.
    pub acks_unasked: u64,
    /// Packets for namespaces that the session has not joined.
    pub packets_unconnected: u64,
    /// Messages of workers, or attachments of them, that were volatile and found their client busy.
    pub volatile_dropped: u64,
    /// What workers said of sockets that have gone, or that may be in no more rooms.
    pub memberships_refused: u64,
    /// Links and workers; on the shard that has them.
    pub exchange: ExchangeStats,
    /// Times that a session waited for ring space.
    pub parked: u64,
    /// Refusals and closes, by the place of the refusal in `Refusal::ALL`.
    pub refusals: [u64; Refusal::ALL.len()],
    /// Messages that went for newer ones in slow members' queues.
    pub dropped: [u64; DropReason::ALL.len()],
    /// Bytes in all queues, as of the last lap.
    pub queued_bytes: u64,
    /// Bytes of unfinished requests and messages, as of the last lap.
    pub input_bytes: u64,
    /// From the home's receipt of a message to handing it to the wire.
    pub delivery_latency: Histogram,
}

impl Default for Stats {
    fn default() -> Self {
        Self {
            connections: 0,
            connections_accepted: 0,
            connections_arrived: 0,
            connections_migrated: 0,
            sessions: 0,
            sessions_opened: 0,
            sessions_websocket: 0,
            http_requests: 0,
            files_encoded: 0,
            files_encodings_refused: 0,
            file_encodings_joined: 0,
            file_encodings_cut: 0,
            file_seals_broken: 0,
            file_bytes_encoded: 0,
            file_jobs: 0,
            file_jobs_waiting: 0,
            file_opens_joined: 0,
            file_rate_waits: 0,
            file_requests: 0,
            file_bytes: 0,
            file_cache_bytes: 0,
            used_urls: 0,
            used_url_lines_unreadable: 0,
            upload_requests: 0,
            uploads: UploadsStats::default(),
            upgrades: 0,
            packets_received: 0,
            packets_sent: 0,
            bytes_received: 0,
            bytes_sent: 0,
            published: 0,
            delivered: 0,
            acks_unasked: 0,
            packets_unconnected: 0,
            volatile_dropped: 0,
            memberships_refused: 0,
            exchange: ExchangeStats::default(),
            parked: 0,
            refusals: [0; Refusal::ALL.len()],
            dropped: [0; DropReason::ALL.len()],
            queued_bytes: 0,
            input_bytes: 0,
            delivery_latency: Histogram::default(),
        }
    }
}

impl Stats {
    /// Counts a packet that goes to a client now.
    pub(crate) fn sent(&mut self, packet: &Packet, now: Now) {
        self.packets_sent += 1;
        if let Some(received_us) = packet.received_us() {
            let waited_us = now.monotonic_us.saturating_sub(received_us);
            self.delivery_latency.record(waited_us);
        }
    }

    /// Counts a refusal.
    pub(crate) fn refused(&mut self, refusal: Refusal) {
        self.refusals[refusal.index()] += 1;
    }
}

/// Why a message of a room was taken from a slow member's queue.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DropReason {
    /// The queue was full, and the room's policy is `drop-oldest` or `conflate`.
    DropOldest,
    /// A newer message of its key came.
    Conflate,
    /// The queue was full when something of another room, or an answer, came.
    Displaced,
}

impl DropReason {
    /// All of them, by their place in [`Stats::dropped`].
    pub const ALL: [Self; 3] = [Self::DropOldest, Self::Conflate, Self::Displaced];

    /// The label of the metric.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::DropOldest => "drop-oldest",
            Self::Conflate => "conflate",
            Self::Displaced => "displaced",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_falls_into_the_bucket_whose_bound_is_not_below_it() {
        for (us, index) in [
            (0, 0),
            (16, 0),
            (17, 1),
            (4_194_304, 15),
            (4_194_305, 16),
            (u64::MAX >> 1, 16),
        ] {
            let mut histogram = Histogram::default();
            histogram.record(us);
            assert_eq!(histogram.buckets[index], 1, "{us}");
            assert_eq!((histogram.count, histogram.sum_us), (1, us));
        }
    }
}
