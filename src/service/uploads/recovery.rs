//! What a process that starts makes of what an earlier one left on the disk.

use super::machine::Upload;
use super::sealing::{Stored, plain_bytes_of_part};
use super::vault::What;
use super::{Lock, Record, UploadId, Uploads, Vault, Want};
use ringway_streams::crypt::Grid;

/// What is on the disk of one upload.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found {
    /// Which.
    pub upload: UploadId,
    /// The record's bytes, if there is one; none of them, if it cannot be read.
    pub record: Option<Vec<u8>>,
    /// The part's length, if there is one.
    pub part_bytes: Option<u64>,
    /// The length of the file of the record's final name, if there is one.
    pub final_bytes: Option<u64>,
}

impl Found {
    /// Whether there is a record, and not one that says anything, or one of an upload that is encrypted by a key that is not there.
    #[must_use]
    pub fn is_unreadable(&self, vault: Option<&Vault>) -> bool {
        let Some(record) = self.record.as_deref() else {
            return false;
        };
        Record::decode(self.upload, record).is_none() || self.is_locked(vault)
    }

    fn is_locked(&self, vault: Option<&Vault>) -> bool {
        let stored = Stored::split(self.record.as_deref().unwrap_or_default());
        let opens = |lock: &[u8]| {
            let lock = Lock::decode(lock)?;
            vault?.open(self.upload, &lock, What::Part(stored.record))
        };
        // Of a whole file the lock is elsewhere, and nothing of it is needed to remember it.
        let lock = stored.sealed.filter(|_| !stored.is_locked_elsewhere());
        lock.is_some_and(|(lock, _)| opens(lock).is_none())
    }
}

impl Uploads {
    /// The final name that a record says, under which [`Found::final_bytes`] is to be looked for.
    #[must_use]
    pub fn final_name_in(upload: UploadId, record: &[u8]) -> Option<String> {
        Record::decode(upload, record).map(|record| record.name)
    }

    /// The lengths of the final file and of the part, as their plaintext has them.
    fn plain_bytes(&self, found: &Found, record: &Record) -> (Option<u64>, Option<u64>) {
        let bytes = found.record.as_deref().unwrap_or_default();
        if Stored::split(bytes).sealed.is_none() {
            return (found.final_bytes, found.part_bytes);
        }
        let vault = self.settings.vault.as_deref();
        let grid = vault.map_or_else(Grid::default, Vault::grid);
        // A file of a length that none of ours has was changed by somebody; reading it will say so.
        let whole = |bytes| grid.plain_bytes(bytes).unwrap_or(record.offset);
        let part = |bytes| plain_bytes_of_part(grid, bytes, record.offset);
        (found.final_bytes.map(whole), found.part_bytes.map(part))
    }

    /// Takes an upload over. Call it for each that is found, before anything else; what is to be cleaned up comes of [`Uploads::poll`].
    pub fn recover(&mut self, now_unix_seconds: u64, found: &Found) {
        self.now = now_unix_seconds;
        let upload = found.upload;
        let Some(record) = &found.record else {
            // A part without a record was being created, or removed.
            return self.clean(Want::Remove { upload, name: None });
        };
        let Some(mut record) = Record::decode(upload, record) else {
            // It may be a newer version's, or the disk's fault: somebody who knows more may make something of it.
            self.stats.records_unreadable += 1;
            return;
        };
        let recorded = record.offset;
        if found.is_locked(self.settings.vault.as_deref()) {
            // With its key it can be gone on with.
            self.stats.records_unreadable += 1;
            return;
        }
        let (final_bytes, part_bytes) = self.plain_bytes(found, &record);
        let (is_finished, high) = match (final_bytes, part_bytes) {
            // It got its final name when everything was recorded.
            (Some(bytes), _) => {
                record.offset = bytes;
                record.length = Some(bytes);
                (true, bytes)
            }
            (None, Some(bytes)) => {
                // What is behind the offset was not acknowledged; what is missing before it was lost by the disk.
                record.offset = record.offset.min(bytes);
                (false, bytes)
            }
            // It was being removed.
            (None, None) => return self.clean(Want::Remove { upload, name: None }),
        };
        // What was being put together was not answered: the client asks for it again.
        if record.is_final() && !record.is_complete() {
            return self.clean(Want::Remove { upload, name: None });
        }
        let reserved = record.length.unwrap_or(record.offset).max(high);
        self.quotas.recall(&record.subject, reserved);
        let offset = record.offset;
        self.insert(
            upload,
            Upload {
                record,
                writer: None,
                high,
                is_finished,
                reserved,
                // The disk's record counts bytes that are not there: a body must not write over them while it does.
                is_doubtful: !is_finished && offset < recorded,
                is_doomed: false,
            },
        );
        self.mend(upload);
    }
}
