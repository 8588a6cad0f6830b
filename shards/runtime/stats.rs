//! What the loop counts: plain numbers of one thread; whoever publishes them copies them out.

use ringway_io::Notices;

/// Buckets of the lap time, powers of two of a microsecond: below 1, 2, 4 … 2^19, and beyond.
pub(crate) const LAP_BUCKETS: usize = 21;

/// Counters since the start.
#[derive(Clone, Debug, Default)]
pub struct LoopStats {
    /// Laps.
    pub laps: u64,
    /// Those that began without having read all that had come.
    pub laps_behind: u64,
    /// Completions handled.
    pub completions: u64,
    /// Completions of an older generation.
    pub completions_stale: u64,
    /// Clients accepted.
    pub accepted: u64,
    /// Accepts that failed.
    pub accept_errors: u64,
    /// Times that accepting stopped because the table was full.
    pub accept_stops: u64,
    /// Receives that found no buffer.
    pub recv_starved: u64,
    /// Bytes received.
    pub bytes_in: u64,
    /// Bytes sent.
    pub bytes_out: u64,
    /// Sends submitted.
    pub sends: u64,
    /// Sends that went only in part.
    pub sends_short: u64,
    /// Messages from other shards.
    pub mail: u64,
    /// Requests that had to wait for ring space.
    pub mail_waits: u64,
    /// Wakes of other shards.
    pub wakes: u64,
    /// Connections handed to other shards.
    pub migrations: u64,
    /// Hand-overs that failed.
    pub migrations_failed: u64,
    /// Connections now.
    pub connections: u64,
    /// Operations on files.
    pub file_operations: u64,
    /// Those that were refused because too many were under way.
    pub file_requests_refused: u64,
    /// Files open now.
    pub files_open: u64,
    /// Pieces of files that were sent.
    pub transfers: u64,
    /// Those under way now.
    pub transfers_live: u64,
    /// Those that ended their connection because the file was short or could not be read.
    pub transfers_cut: u64,
    /// Those that ended because their client took nothing for too long.
    pub transfers_stalled: u64,
    /// Times that one waited for its socket.
    pub transfer_waits: u64,
    /// Times that one waited for a slot.
    pub slot_waits: u64,
    /// Bytes of files that were sent without a copy.
    pub file_bytes_direct: u64,
    /// Bytes of files that were sent from slots.
    pub file_bytes_copied: u64,
    /// What the kernel said of those of them that were to avoid the copy.
    pub notices: Notices,
    /// Lap times, sleeping not counted.
    pub lap_us: [u64; LAP_BUCKETS],
}

impl LoopStats {
    pub(crate) fn lap_took(&mut self, micros: u64) {
        let bucket = (u64::BITS - micros.leading_zeros()) as usize;
        self.lap_us[bucket.min(LAP_BUCKETS - 1)] += 1;
    }
}
