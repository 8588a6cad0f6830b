//! How much each user has.

use crate::refusal::Refusal;
use std::collections::BTreeMap;

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Usage {
    uploads: u32,
    bytes: u64,
}

/// Uploads and bytes by user. Users without an upload are not in it, so it has as many entries as there are uploads at most.
#[derive(Debug, Default)]
pub(super) struct Quotas(BTreeMap<String, Usage>);

impl Quotas {
    /// Counts one more upload of so many bytes.
    pub(super) fn open(
        &mut self,
        subject: &str,
        bytes: u64,
        bytes_max: u64,
        uploads_max: u32,
    ) -> Result<(), Refusal> {
        let usage = self.0.get(subject).copied().unwrap_or_default();
        let fits = usage
            .bytes
            .checked_add(bytes)
            .filter(|sum| *sum <= bytes_max);
        let Some(bytes) = fits.filter(|_| usage.uploads < uploads_max) else {
            return Err(Refusal::UploadQuota);
        };
        let uploads = usage.uploads + 1;
        self.0.insert(subject.to_owned(), Usage { uploads, bytes });
        Ok(())
    }

    /// Counts an upload that was there before this process.
    pub(super) fn recall(&mut self, subject: &str, bytes: u64) {
        let usage = self.0.entry(subject.to_owned()).or_default();
        usage.uploads += 1;
        usage.bytes = usage.bytes.saturating_add(bytes);
    }

    /// An upload's bytes become others.
    pub(super) fn change(&mut self, subject: &str, from: u64, to: u64) {
        if let Some(usage) = self.0.get_mut(subject) {
            usage.bytes = usage.bytes.saturating_sub(from).saturating_add(to);
        }
    }

    /// An upload is gone.
    pub(super) fn close(&mut self, subject: &str, bytes: u64) {
        let Some(usage) = self.0.get_mut(subject) else {
            return;
        };
        usage.bytes = usage.bytes.saturating_sub(bytes);
        usage.uploads -= 1;
        if usage.uploads == 0 {
            self.0.remove(subject);
        }
    }

    /// Bytes that the user may still have.
    pub(super) fn room(&self, subject: &str, bytes_max: u64) -> u64 {
        let used = self.0.get(subject).map_or(0, |usage| usage.bytes);
        bytes_max.saturating_sub(used)
    }

    pub(super) fn bytes(&self) -> u64 {
        let bytes = self.0.values().map(|usage| usage.bytes);
        bytes.fold(0, u64::saturating_add)
    }
}
