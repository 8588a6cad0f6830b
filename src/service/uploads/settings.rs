//! Bounds of uploads.

use super::Vault;
use std::sync::Arc;

/// How uploads behave.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UploadsSettings {
    /// What the path of their URLs begins with: `/uploads/`.
    pub prefix: String,
    /// Bytes of one.
    pub bytes_max: u64,
    /// Bytes of all of one user: those that are announced, and those of finished ones that are still remembered.
    pub user_bytes_max: u64,
    /// Uploads of one user.
    pub user_uploads_max: u32,
    /// Bodies of one user that come in at a time.
    pub user_bodies_max: u32,
    /// Bodies of all users that come in at a time: each has a file open.
    pub bodies_max: u32,
    /// Uploads for which files are opened at a time, two of each at most, besides those of bodies that come in. Whoever comes then waits in line, one entry for each upload.
    pub openers_max: u32,
    /// Uploads of a shard.
    pub uploads_max: u32,
    /// How long an unfinished one is kept after its last bytes.
    pub expire_seconds: u64,
    /// How long a finished one is remembered; its file stays.
    pub remember_seconds: u64,
    /// After so many bytes of one request what came is synced and recorded, so that a cut costs less than that.
    pub checkpoint_bytes: u64,
    /// Writes of one request that storage has at a time.
    pub writes_max: u32,
    /// Keys that new uploads are encrypted by; without them nothing is.
    pub vault: Option<Arc<Vault>>,
}

impl UploadsSettings {
    /// Offsets that storage can go back to while bytes come: multiples of this.
    pub(super) fn unit(&self) -> u64 {
        let vault = self.vault.as_deref();
        vault.map_or(1, |vault| vault.grid().segment_bytes())
    }
}

impl Default for UploadsSettings {
    fn default() -> Self {
        Self {
            prefix: "/uploads/".to_owned(),
            bytes_max: 64 << 30,
            user_bytes_max: 256 << 30,
            user_uploads_max: 256,
            user_bodies_max: 128,
            bodies_max: 384,
            openers_max: 64,
            uploads_max: 65_536,
            expire_seconds: 24 * 3600,
            remember_seconds: 24 * 3600,
            checkpoint_bytes: 64 << 20,
            writes_max: 4,
            vault: None,
        }
    }
}
