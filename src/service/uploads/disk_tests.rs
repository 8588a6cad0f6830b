//! A pretend disk: it does what it is asked in any order, fails, and forgets what was not synced.

use super::{Found, StorageError, Ticket, UploadId, Want};
use std::collections::BTreeMap;

/// SplitMix64: a seed is a run.
pub(super) struct Random(pub(super) u64);

impl Random {
    /// A number below `end`.
    pub(super) const fn below(&mut self, end: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut word = self.0;
        word = (word ^ (word >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        word = (word ^ (word >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (word ^ (word >> 31)) % end
    }

    pub(super) const fn one_in(&mut self, odds: u64) -> bool {
        odds > 0 && self.below(odds) == 0
    }
}

/// Bytes that last, and writes that may not.
#[derive(Clone, Debug, Default)]
struct Part {
    durable: Vec<u8>,
    unsynced: Vec<Change>,
}

#[derive(Clone, Debug)]
enum Change {
    Write(u64, Vec<u8>),
    Cut(u64),
}

impl Change {
    fn apply(&self, bytes: &mut Vec<u8>) {
        match self {
            Self::Write(offset, data) => put(bytes, *offset, data),
            Self::Cut(length) => bytes.resize(*length as usize, 0),
        }
    }

    /// What is there of it when it was not synced: all, nothing, or some.
    fn remnant(self, random: &mut Random) -> Option<Self> {
        match (random.below(3), self) {
            (0, _) => None,
            (1, Self::Write(offset, mut data)) => {
                data.truncate(random.below(data.len() as u64 + 1) as usize);
                let empty = data.is_empty();
                Some(Self::Write(offset, data)).filter(|_| !empty)
            }
            (_, change) => Some(change),
        }
    }
}

impl Part {
    fn bytes(&self) -> Vec<u8> {
        let mut bytes = self.durable.clone();
        for change in &self.unsynced {
            change.apply(&mut bytes);
        }
        bytes
    }
}

fn put(bytes: &mut Vec<u8>, offset: u64, data: &[u8]) {
    let (start, end) = (offset as usize, offset as usize + data.len());
    bytes.resize(bytes.len().max(end), 0);
    bytes[start..end].copy_from_slice(data);
}

#[derive(Default)]
pub(super) struct Disk {
    parts: BTreeMap<UploadId, Part>,
    records: BTreeMap<UploadId, Vec<u8>>,
    pub(super) finals: BTreeMap<String, Vec<u8>>,
    /// What was asked for and is not done; of a write, its bytes.
    pub(super) pending: Vec<(Ticket, Want, Vec<u8>)>,
    /// One in so many wants fails; zero: none.
    pub(super) fault_odds: u64,
    pub(super) failures: u64,
    /// So many of the next names cannot be given.
    pub(super) names_to_fail: u64,
    /// And so many of the next uploads cannot be removed.
    pub(super) removals_to_fail: u64,
    /// How those fail, if not in one way or another.
    pub(super) fault: Option<StorageError>,
}

impl Disk {
    pub(super) fn new(fault_odds: u64) -> Self {
        Self {
            fault_odds,
            ..Self::default()
        }
    }

    /// Does one thing of those that were asked for; gives its outcome.
    pub(super) fn step(
        &mut self,
        random: &mut Random,
    ) -> Option<(Ticket, Result<(), StorageError>)> {
        if self.pending.is_empty() {
            return None;
        }
        let index = random.below(self.pending.len() as u64) as usize;
        let (ticket, want, piece) = self.pending.swap_remove(index);
        if matches!(want, Want::Finish { .. }) && self.names_to_fail > 0 {
            self.names_to_fail -= 1;
            return Some((ticket, Err(StorageError::Failed)));
        }
        if matches!(want, Want::Remove { .. }) && self.removals_to_fail > 0 {
            self.removals_to_fail -= 1;
            return Some((ticket, Err(StorageError::Failed)));
        }
        if random.one_in(self.fault_odds) {
            self.failures += 1;
            self.half_do(&want, &piece, random);
            let is_full = matches!(want, Want::Write { .. }) && random.one_in(2);
            let error = if let Some(fault) = self.fault {
                fault
            } else if is_full {
                StorageError::Full
            } else {
                StorageError::Failed
            };
            return Some((ticket, Err(error)));
        }
        Some((ticket, self.carry_out(&want, &piece)))
    }

    fn carry_out(&mut self, want: &Want, piece: &[u8]) -> Result<(), StorageError> {
        let gone = StorageError::Failed;
        match want {
            Want::Create { upload, record } => {
                assert!(!self.parts.contains_key(upload), "created twice");
                self.parts.insert(*upload, Part::default());
                self.records.insert(*upload, record.clone());
            }
            Want::Write {
                upload,
                offset,
                bytes,
            } => {
                assert_eq!(piece.len() as u64, *bytes);
                let part = self.parts.get_mut(upload).ok_or(gone)?;
                part.unsynced.push(Change::Write(*offset, piece.to_vec()));
            }
            Want::Append {
                upload,
                offset,
                from,
                bytes,
            } => {
                let data = self.parts.get(from).ok_or(gone)?.bytes();
                let data = data.get(..*bytes as usize).ok_or(gone)?.to_vec();
                let part = self.parts.get_mut(upload).ok_or(gone)?;
                part.unsynced.push(Change::Write(*offset, data));
            }
            Want::Truncate { upload, bytes } => {
                let part = self.parts.get_mut(upload).ok_or(gone)?;
                part.unsynced.push(Change::Cut(*bytes));
            }
            Want::Sync { upload } => {
                let part = self.parts.get_mut(upload).ok_or(gone)?;
                part.durable = part.bytes();
                part.unsynced.clear();
            }
            Want::Record { upload, record } => {
                assert!(self.records.contains_key(upload), "a record of nothing");
                self.records.insert(*upload, record.clone());
            }
            Want::Finish { upload, name, .. } => match self.parts.remove(upload) {
                Some(part) => {
                    assert!(part.unsynced.is_empty(), "visible before it is synced");
                    self.finals.insert(name.clone(), part.durable);
                }
                None => assert!(self.finals.contains_key(name), "nothing to finish"),
            },
            Want::Remove { upload, name } => {
                self.parts.remove(upload);
                if let Some(name) = name {
                    self.finals.remove(name);
                }
                self.records.remove(upload);
            }
            Want::Forget { upload } => {
                self.records.remove(upload);
            }
        }
        Ok(())
    }

    /// What failed, or was cut off by a crash, may have been done in part.
    fn half_do(&mut self, want: &Want, piece: &[u8], random: &mut Random) {
        match want {
            Want::Create { upload, .. } => {
                if random.one_in(2) {
                    self.parts.insert(*upload, Part::default());
                }
            }
            Want::Write { upload, offset, .. } => {
                let kept = random.below(piece.len() as u64 + 1) as usize;
                if let Some(part) = self.parts.get_mut(upload) {
                    part.unsynced
                        .push(Change::Write(*offset, piece[..kept].to_vec()));
                }
            }
            // After a failed fsync the pages are clean and their bytes are nowhere.
            Want::Sync { upload } => {
                if let Some(part) = self.parts.get_mut(upload) {
                    part.forget(random);
                }
            }
            Want::Remove { upload, name } => {
                if random.one_in(2) {
                    self.parts.remove(upload);
                    if let Some(name) = name {
                        self.finals.remove(name);
                    }
                }
            }
            Want::Append { .. } | Want::Truncate { .. } => {}
            Want::Record { .. } | Want::Finish { .. } | Want::Forget { .. } => {
                if random.one_in(2) {
                    let _ = self.carry_out(want, piece);
                }
            }
        }
    }

    /// The power goes: what was pending may be done in part, what was not synced may be there or not. What is found then.
    pub(super) fn crash(&mut self, random: &mut Random) -> Vec<Found> {
        for (_, want, piece) in core::mem::take(&mut self.pending) {
            self.half_do(&want, &piece, random);
        }
        for part in self.parts.values_mut() {
            part.forget(random);
        }
        let mut ids: Vec<UploadId> = self.parts.keys().copied().collect();
        ids.extend(self.records.keys());
        ids.sort_unstable();
        ids.dedup();
        ids.into_iter().map(|id| self.found(id)).collect()
    }

    fn found(&self, upload: UploadId) -> Found {
        let record = self.records.get(&upload).cloned();
        let name = record.as_deref();
        let name = name.and_then(|record| super::Uploads::final_name_in(upload, record));
        let file = name.and_then(|name| self.finals.get(&name));
        Found {
            upload,
            record,
            part_bytes: self.parts.get(&upload).map(Part::length),
            final_bytes: file.map(|file| file.len() as u64),
        }
    }

    /// Bytes of parts.
    pub(super) fn part_bytes(&self) -> u64 {
        self.parts.values().map(Part::length).sum()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.parts.is_empty() && self.records.is_empty()
    }
}

impl Part {
    /// Each change that was not synced is kept, lost, or cut.
    fn forget(&mut self, random: &mut Random) {
        for change in core::mem::take(&mut self.unsynced) {
            if let Some(change) = change.remnant(random) {
                change.apply(&mut self.durable);
            }
        }
    }

    /// Bytes that it takes.
    fn length(&self) -> u64 {
        self.bytes().len() as u64
    }
}
