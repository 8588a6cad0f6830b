//! What nobody asked for: cleaning up and mending what an earlier process left, and removing what has expired. So many chores at a time, and the next one
//! when one is done: a disk is not asked for more than it does, and as fast as it does it.

use super::machine::{Output, Upload};
use super::transfer::{Kind, Phase, Transfer};
use super::{StorageError, Ticket, TransferId, UploadId, Uploads, Want};
use std::collections::{BTreeMap, VecDeque};

/// Chores at a time. Clients' requests need the disk, too.
const CHORES_MAX: usize = 64;
/// The transfer of wants that belong to none.
pub(super) const NOBODY: TransferId = TransferId(0);

/// Chores that are done or wait. Those of the start are as many as uploads were found; what expires waits among the uploads.
#[derive(Default)]
pub(super) struct Chores {
    under_way: usize,
    unclean: VecDeque<Want>,
    unmended: VecDeque<UploadId>,
    /// Wants of nobody that storage has.
    cleaning: BTreeMap<u64, Want>,
    cleanings: u64,
}

impl Chores {
    const fn room(&self) -> usize {
        CHORES_MAX.saturating_sub(self.under_way)
    }
}

impl Upload {
    /// Whether storage has to do something before it is as its record says: it lacks its name, or has bytes that do not count.
    fn is_unmended(&self) -> bool {
        self.lacks_name() || (!self.is_finished && self.high > self.record.offset)
    }
}

impl Uploads {
    /// Files that are nobody's are to go.
    pub(super) fn clean(&mut self, want: Want) {
        self.chores.unclean.push_back(want);
        self.clean_some();
    }

    /// An upload is to become what its record says, unless a client sees to that before.
    pub(super) fn mend(&mut self, upload: UploadId) {
        if self.uploads[&upload].is_unmended() {
            self.chores.unmended.push_back(upload);
        }
        self.mend_some();
    }

    /// Begins what there is room for.
    pub(super) fn do_chores(&mut self) {
        self.clean_some();
        self.mend_some();
        self.expire_some();
    }

    fn clean_some(&mut self) {
        while self.chores.room() > 0
            && let Some(want) = self.chores.unclean.pop_front()
        {
            self.chores.under_way += 1;
            self.chores.cleanings += 1;
            let sequence = self.chores.cleanings;
            self.chores.cleaning.insert(sequence, want.clone());
            let transfer = NOBODY.0;
            let ticket = Ticket { transfer, sequence };
            self.outputs.push_back(Output::Want(ticket, want));
        }
    }

    /// What came of a want of nobody. What storage had no time for is tried again a second later; what it could not do, by the next process.
    pub(super) fn cleaned(&mut self, sequence: u64, result: Result<(), StorageError>) {
        let Some(want) = self.chores.cleaning.remove(&sequence) else {
            return;
        };
        self.chores.under_way -= 1;
        match result {
            Ok(()) => self.do_chores(),
            Err(StorageError::Busy) => self.chores.unclean.push_back(want),
            Err(_) => {}
        }
    }

    fn mend_some(&mut self) {
        while self.chores.room() > 0
            && let Some(upload) = self.chores.unmended.pop_front()
        {
            let known = self.uploads.get(&upload);
            let is_due = known.is_some_and(|it| it.writer.is_none() && it.is_unmended());
            if is_due {
                let id = self.begin_chore(upload, Kind::Finish, Phase::Finishing);
                // What did not count may lie behind the end.
                self.truncate(id);
            }
        }
    }

    fn expire_some(&mut self) {
        let due = self.expiries.range(..=(self.now, UploadId::MAX));
        let idle = |id: &UploadId| self.uploads[id].writer.is_none();
        let due: Vec<UploadId> = due
            .map(|(_, id)| *id)
            .filter(idle)
            .take(self.chores.room())
            .collect();
        for upload in due {
            let id = self.begin_chore(upload, Kind::Expire, Phase::Removing);
            self.remove(id);
        }
    }

    fn begin_chore(&mut self, upload: UploadId, kind: Kind, phase: Phase) -> TransferId {
        let offset = self.uploads[&upload].record.offset;
        let mut transfer = Transfer::new(upload, kind, phase, offset);
        transfer.has_client = false;
        transfer.is_chore = true;
        self.chores.under_way += 1;
        self.start(transfer)
    }

    /// A chore is over. After one that failed the next ones wait for a second: the same would be tried again at once.
    pub(super) fn chore_ended(&mut self, has_failed: bool) {
        self.chores.under_way -= 1;
        if !has_failed {
            self.do_chores();
        }
    }
}
