//! What the loop counts: plain numbers of one thread; whoever publishes them copies them out.

/// Buckets of the lap time, powers of two of a microsecond: below 1, 2, 4 … 2^19, and beyond.
pub(crate) const LAP_BUCKETS: usize = 21;

/// Counters since the start.
#[derive(Clone, Debug, Default)]
pub struct LoopStats {
    /// Laps.
    pub laps: u64,
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
    /// Lap times, sleeping not counted.
    pub lap_us: [u64; LAP_BUCKETS],
}

impl LoopStats {
    pub(crate) fn lap_took(&mut self, micros: u64) {
        let bucket = (u64::BITS - micros.leading_zeros()) as usize;
        self.lap_us[bucket.min(LAP_BUCKETS - 1)] += 1;
    }
}
