//! All uploads of one shard, and the requests that change them.
//!
//! After each call of [`Uploads::begin`] and [`Uploads::handle`], call [`Uploads::poll`] until it gives nothing; the order of what it gives is the order in
//! which storage and client get it.

use super::chores::{Chores, NOBODY};
use super::quota::Quotas;
use super::transfer::{Checkpoint, Fault, Kind, Phase, Transfer};
use super::{Answer, Record, StorageError, Ticket, UploadId, UploadsSettings, Want};
use crate::refusal::Refusal;
use ringway_proto::http1::format_date;
use std::collections::{BTreeMap, BTreeSet, VecDeque};

/// Uploads that are remembered as gone, so that whose they were hear 410 and not 404.
const GONE_MAX: usize = 4096;
/// When a client whose request found storage busy, or not to be written to, is to come again.
pub(super) const BUSY_SECONDS: &str = "5";

/// A request that changes an upload.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct TransferId(pub(super) u64);

/// What happens.
#[derive(Clone, Copy, Debug)]
pub enum Input<'a> {
    /// A piece of a body. If it is to be stored, the next [`Want::Write`] is about it; if none comes, it is to be dropped.
    Body(TransferId, &'a [u8]),
    /// The body is whole.
    BodyEnd(TransferId),
    /// The connection is gone.
    Cut(TransferId),
    /// What came of a want.
    Stored(Ticket, Result<(), StorageError>),
    /// Time goes by. Once a second is enough.
    Tick,
}

/// What is to be done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Output {
    /// By storage.
    Want(Ticket, Want),
    /// The body may come now (and `100 Continue` goes, if the client waits for it).
    Body(TransferId),
    /// Nobody writes to this upload any more: its part need not be open.
    Release(UploadId),
    /// The answer; the transfer is over for the client.
    Answer(TransferId, Answer),
    /// Somebody may want to know.
    Event(Event),
}

/// What becomes of uploads. After a crash at the wrong moment nobody is told that one was finished; a HEAD always says so.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// More bytes are safe.
    Progress {
        /// Whose.
        upload: UploadId,
        /// The room that was named.
        room: Option<String>,
        /// By whom.
        subject: String,
        /// How many.
        offset: u64,
        /// Of how many.
        length: Option<u64>,
    },
    /// A file is whole and has its final name.
    Finished {
        /// Which.
        upload: UploadId,
        /// The room that was named.
        room: Option<String>,
        /// The final name.
        name: String,
        /// Whose it is.
        subject: String,
        /// How long.
        bytes: u64,
        /// Upload-Metadata, as it was sent.
        metadata: String,
    },
}

/// What is counted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct UploadsStats {
    /// Uploads that are known now.
    pub uploads: u64,
    /// Bytes that users have or have announced, now.
    pub bytes_reserved: u64,
    /// Requests that write now.
    pub transfers: u64,
    /// Uploads ever created.
    pub created: u64,
    /// Uploads ever finished.
    pub finished: u64,
    /// Uploads that expired.
    pub expired: u64,
    /// Bytes of bodies that were taken.
    pub bytes_received: u64,
    /// Times that storage could not.
    pub storage_failures: u64,
    /// Records that an earlier process left and nobody can read; what they are about is left alone.
    pub records_unreadable: u64,
}

/// An upload.
pub(super) struct Upload {
    pub(super) record: Record,
    /// Who writes to it, or keeps it from being written to.
    pub(super) writer: Option<TransferId>,
    /// The part may have bytes up to here, of bodies that did not count.
    pub(super) high: u64,
    pub(super) is_finished: bool,
    /// Bytes that count against the user.
    pub(super) reserved: u64,
    /// Whether storage may have another record than this one: a write of it failed, and a crash would tell which is there.
    pub(super) is_doubtful: bool,
    /// Removing it failed halfway: nobody can have it any more, and it is tried again.
    pub(super) is_doomed: bool,
}

impl Upload {
    /// Whether all its bytes are safe, and the name is wanting that it is to have.
    pub(super) fn lacks_name(&self) -> bool {
        self.record.is_complete() && !self.record.is_partial() && !self.is_finished
    }
}

/// All uploads of one shard.
pub struct Uploads {
    pub(super) settings: UploadsSettings,
    pub(super) uploads: BTreeMap<UploadId, Upload>,
    pub(super) quotas: Quotas,
    pub(super) transfers: BTreeMap<TransferId, Transfer>,
    /// Those that wait for the end of one that was cut, by its number.
    looks: BTreeMap<TransferId, Vec<TransferId>>,
    pub(super) now: u64,
    pub(super) stats: UploadsStats,
    pub(super) expiries: BTreeSet<(u64, UploadId)>,
    pub(super) chores: Chores,
    /// Bytes of Upload-Concat headers that records have.
    pub(super) concat_bytes: usize,
    /// By whose they were: to others they never were there.
    gone: BTreeMap<UploadId, String>,
    gone_order: VecDeque<UploadId>,
    transfers_begun: u64,
    pub(super) outputs: VecDeque<Output>,
}

impl Uploads {
    /// None yet.
    #[must_use]
    pub fn new(settings: UploadsSettings) -> Self {
        Self {
            settings,
            uploads: BTreeMap::new(),
            quotas: Quotas::default(),
            transfers: BTreeMap::new(),
            looks: BTreeMap::new(),
            now: 0,
            stats: UploadsStats::default(),
            expiries: BTreeSet::new(),
            chores: Chores::default(),
            concat_bytes: 0,
            gone: BTreeMap::new(),
            gone_order: VecDeque::new(),
            transfers_begun: 0,
            outputs: VecDeque::new(),
        }
    }

    /// What was counted.
    #[must_use]
    pub fn stats(&self) -> UploadsStats {
        UploadsStats {
            uploads: self.uploads.len() as u64,
            bytes_reserved: self.quotas.bytes(),
            transfers: self.transfers.len() as u64,
            ..self.stats
        }
    }

    /// The next thing to do.
    pub fn poll(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    /// Whether a piece of this body would be taken now. While storage is busy with earlier ones the client waits.
    #[must_use]
    pub fn wants_body(&self, id: TransferId) -> bool {
        self.transfers.get(&id).is_some_and(|transfer| {
            transfer.phase == Phase::Receiving
                && !transfer.has_ended
                && transfer.fault.is_none()
                && transfer.writes.len() < self.settings.writes_max as usize
        })
    }

    /// Something happened.
    pub fn handle(&mut self, now_unix_seconds: u64, input: Input<'_>) {
        self.now = now_unix_seconds;
        match input {
            Input::Body(id, piece) => self.take_piece(id, piece),
            Input::BodyEnd(id) => self.end_body(id, false),
            Input::Cut(id) => {
                if let Some(transfer) = self.transfers.get_mut(&id) {
                    transfer.has_client = false;
                }
                self.end_body(id, true);
            }
            Input::Stored(ticket, result) => self.stored(ticket, result),
            Input::Tick => self.do_chores(),
        }
    }

    fn take_piece(&mut self, id: TransferId, piece: &[u8]) {
        self.grow(id, piece.len() as u64);
        let Some(transfer) = self.transfers.get_mut(&id) else {
            return;
        };
        let upload = transfer.upload;
        let taken = transfer.take(piece);
        if let Some((offset, write)) = taken {
            let bytes = piece.len() as u64;
            self.stats.bytes_received += bytes;
            let ticket = Ticket {
                transfer: id.0,
                sequence: write.sequence,
            };
            let want = Want::Write {
                upload,
                offset,
                bytes,
            };
            self.outputs.push_back(Output::Want(ticket, want));
        }
        self.settle(id);
    }

    /// Counts a piece of a body of unknown length, or refuses the body for it.
    fn grow(&mut self, id: TransferId, bytes: u64) {
        let Some(transfer) = self.transfers.get_mut(&id) else {
            return;
        };
        let Some(known) = self.uploads.get_mut(&transfer.upload) else {
            return;
        };
        let end = transfer.next.saturating_add(bytes);
        if !transfer.grows || transfer.has_ended || end <= known.reserved {
            return;
        }
        let subject = &known.record.subject;
        let room = self.quotas.room(subject, self.settings.user_bytes_max);
        if end - known.reserved > room {
            let fault = Fault(413, Refusal::UploadQuota);
            transfer.fault.get_or_insert(fault);
        } else {
            self.quotas.change(subject, known.reserved, end);
            known.reserved = end;
        }
    }

    fn end_body(&mut self, id: TransferId, is_cut: bool) {
        if let Some(transfer) = self.transfers.get_mut(&id) {
            transfer.is_cut |= is_cut && !transfer.has_ended;
            transfer.has_ended = true;
        }
        self.settle(id);
    }

    fn stored(&mut self, ticket: Ticket, result: Result<(), StorageError>) {
        let id = TransferId(ticket.transfer);
        self.stats.storage_failures += u64::from(result.is_err());
        if id == NOBODY {
            return self.cleaned(ticket.sequence, result);
        }
        let fault = result.err().map(fault_of);
        let Some(transfer) = self.transfers.get_mut(&id) else {
            return;
        };
        if transfer.written(ticket.sequence, fault) {
            self.checkpoint(id);
            self.settle(id);
        } else if transfer
            .checkpoint
            .is_some_and(|checkpoint| checkpoint.sequence == ticket.sequence)
        {
            self.checkpointed(id, fault);
            self.settle(id);
        } else if transfer.pending == Some(ticket.sequence) {
            transfer.pending = None;
            match fault {
                None => self.succeeded(id),
                Some(fault) => self.failed(id, fault),
            }
        }
    }

    /// Makes what came last, if it is much and may be counted before the body is whole.
    fn checkpoint(&mut self, id: TransferId) {
        let Some(transfer) = self.transfers.get(&id) else {
            return;
        };
        let Some(upload) = self.uploads.get(&transfer.upload) else {
            return;
        };
        let offset = transfer.frontier - transfer.frontier % self.settings.unit();
        let grown = offset.saturating_sub(upload.record.offset);
        // All of it may be there before the body is over: whether it is whole is decided when nothing more can be refused.
        let is_all = transfer.length.or(upload.record.length) == Some(transfer.frontier);
        let is_due = !is_all
            && transfer.kind == Kind::Patch
            && transfer.sum.is_none()
            && transfer.fault.is_none()
            && !transfer.has_ended
            && transfer.checkpoint.is_none()
            && grown >= self.settings.checkpoint_bytes;
        if is_due {
            let upload = transfer.upload;
            let sequence = self.ask(id, Want::Sync { upload });
            self.set_checkpoint(id, sequence, offset, false);
        }
    }

    fn set_checkpoint(&mut self, id: TransferId, sequence: u64, offset: u64, is_synced: bool) {
        if let Some(transfer) = self.transfers.get_mut(&id) {
            transfer.checkpoint = Some(Checkpoint {
                sequence,
                offset,
                is_synced,
            });
        }
    }

    fn checkpointed(&mut self, id: TransferId, fault: Option<Fault>) {
        let Some(transfer) = self.transfers.get_mut(&id) else {
            return;
        };
        let Some(checkpoint) = transfer.checkpoint.take() else {
            return;
        };
        let upload = transfer.upload;
        if let Some(fault) = fault {
            transfer.fault.get_or_insert(fault);
            self.doubt(upload);
            let Some(transfer) = self.transfers.get_mut(&id) else {
                return;
            };
            // What was not synced is not to be believed, even if a later sync says nothing.
            transfer.frontier = transfer.start.max(self.uploads[&upload].record.offset);
            transfer.next = transfer.next.max(transfer.frontier);
            for write in &mut transfer.writes {
                write.end = 0;
            }
            return;
        }
        let mut record = self.record_at(id, checkpoint.offset);
        // The request may be refused yet, and then it has not said how long all is.
        record.length = self.uploads[&upload].record.length;
        if checkpoint.is_synced {
            self.commit(upload, record);
            self.progress(upload);
        } else {
            let record = record.encode();
            let sequence = self.ask(id, Want::Record { upload, record });
            self.set_checkpoint(id, sequence, checkpoint.offset, true);
        }
    }

    /// The record of a transfer's upload, once so many bytes are synced.
    fn record_at(&self, id: TransferId, offset: u64) -> Record {
        let transfer = &self.transfers[&id];
        let mut record = self.uploads[&transfer.upload].record.clone();
        record.offset = offset;
        record.length = transfer.length.or(record.length);
        record.expires_unix_seconds = self.now + self.settings.expire_seconds;
        record
    }

    /// Storage has the record.
    fn commit(&mut self, id: UploadId, record: Record) {
        let Some(upload) = self.uploads.get_mut(&id) else {
            return;
        };
        self.expiries
            .remove(&(upload.record.expires_unix_seconds, id));
        self.expiries.insert((record.expires_unix_seconds, id));
        upload.record = record;
        upload.is_doubtful = false;
    }

    /// How far a body has come that its room's members may want to hear of, though its last bytes are not safe yet.
    #[must_use]
    pub fn progress_of(&self, id: TransferId) -> Option<Event> {
        let transfer = self.transfers.get(&id)?;
        let record = &self.uploads.get(&transfer.upload)?.record;
        let is_receiving = transfer.phase == Phase::Receiving && record.room.is_some();
        is_receiving.then(|| Event::Progress {
            upload: transfer.upload,
            room: record.room.clone(),
            subject: record.subject.clone(),
            offset: transfer.frontier,
            length: transfer.length.or(record.length),
        })
    }

    fn progress(&mut self, id: UploadId) {
        let record = &self.uploads[&id].record;
        self.outputs.push_back(Output::Event(Event::Progress {
            upload: id,
            room: record.room.clone(),
            subject: record.subject.clone(),
            offset: record.offset,
            length: record.length,
        }));
    }

    /// The body is over and everything of it that storage had is answered: what counts is decided, and made to last.
    fn settle(&mut self, id: TransferId) {
        let Some(transfer) = self.transfers.get_mut(&id) else {
            return;
        };
        let is_over = transfer.has_ended || transfer.fault.is_some();
        let is_idle = transfer.writes.is_empty() && transfer.checkpoint.is_none();
        if transfer.phase != Phase::Receiving || !is_over || !is_idle {
            return;
        }
        let recorded = self.uploads.get(&transfer.upload);
        let recorded = recorded.map_or(transfer.start, |known| known.record.offset);
        let mut kept = transfer.kept(recorded);
        // Of what failed in the middle storage has whole units, and what was recorded before.
        if kept != transfer.next {
            kept = recorded.max(kept - kept % self.settings.unit());
        }
        let (next, was_cut) = (transfer.next, transfer.is_cut);
        transfer.frontier = kept;
        let is_lost = transfer.fault.is_some() || was_cut;
        if let Some(upload) = self.uploads.get_mut(&transfer.upload) {
            upload.high = upload.high.max(next);
        }
        // Nobody knows the URL of an upload whose creation was not answered.
        if transfer.kind == Kind::Create && is_lost {
            self.remove(id);
        } else {
            self.truncate(id);
        }
    }

    /// What did not count may lie behind the end of what does: nobody's quota counts it, and it must not be in the file.
    pub(super) fn truncate(&mut self, id: TransferId) {
        let transfer = &self.transfers[&id];
        let (upload, bytes) = (transfer.upload, transfer.frontier);
        let known = &self.uploads[&upload];
        let is_cut = known.high > bytes && !known.is_finished;
        // Storage that goes by units has what is left of one in the record, and another record may lack it while the part has the unit yet.
        if is_cut && known.is_doubtful && self.settings.unit() > 1 {
            let record = known.record.encode();
            self.enter(id, Phase::Restoring, Want::Record { upload, record });
        } else if is_cut {
            self.enter(id, Phase::Truncating, Want::Truncate { upload, bytes });
        } else {
            self.sync(id, false);
        }
    }

    fn sync(&mut self, id: TransferId, must: bool) {
        let transfer = &self.transfers[&id];
        let upload = transfer.upload;
        if must || transfer.frontier != self.uploads[&upload].record.offset {
            self.enter(id, Phase::Syncing, Want::Sync { upload });
        } else {
            self.record(id);
        }
    }

    fn record(&mut self, id: TransferId) {
        let transfer = &self.transfers[&id];
        let upload = transfer.upload;
        let before = &self.uploads[&upload].record;
        let changes = transfer.frontier != before.offset
            || transfer
                .length
                .is_some_and(|length| before.length != Some(length));
        if changes {
            let record = self.record_at(id, transfer.frontier).encode();
            self.enter(id, Phase::Recording, Want::Record { upload, record });
        } else {
            self.finish(id);
        }
    }

    pub(super) fn finish(&mut self, id: TransferId) {
        if self.transfers[&id].is_left() {
            return self.remove(id);
        }
        let upload = self.transfers[&id].upload;
        let known = &self.uploads[&upload];
        let is_refused = self.transfers[&id].fault.is_some();
        if known.lacks_name() && !is_refused {
            let (name, bytes) = (known.record.name.clone(), known.record.offset);
            let want = Want::Finish {
                upload,
                name,
                bytes,
            };
            self.enter(id, Phase::Finishing, want);
        } else {
            self.answer(id);
        }
    }

    pub(super) fn remove(&mut self, id: TransferId) {
        let upload = self.transfers[&id].upload;
        let known = &self.uploads[&upload];
        let expires = self.transfers[&id].kind == Kind::Expire;
        let keeps_file = known.is_finished && expires && !known.is_doomed;
        let want = if keeps_file {
            Want::Forget { upload }
        } else {
            let name = Some(known.record.name.clone());
            Want::Remove { upload, name }
        };
        self.enter(id, Phase::Removing, want);
    }

    /// The next part of a concatenation, or what follows the last.
    pub(super) fn append(&mut self, id: TransferId) {
        let transfer = &self.transfers[&id];
        // Nobody will know its URL: the parts are all that their client has.
        if !transfer.has_client {
            return self.remove(id);
        }
        let (upload, offset) = (transfer.upload, transfer.frontier);
        let Some((from, bytes)) = transfer.parts.get(transfer.parts_done).copied() else {
            return self.sync(id, true);
        };
        let want = Want::Append {
            upload,
            offset,
            from,
            bytes,
        };
        self.enter(id, Phase::Appending, want);
    }

    /// A phase's want is done.
    fn succeeded(&mut self, id: TransferId) {
        let Some(transfer) = self.transfers.get_mut(&id) else {
            return;
        };
        let upload = transfer.upload;
        match transfer.phase {
            Phase::Creating if transfer.kind == Kind::Concatenate => self.append(id),
            // Nobody knows its URL.
            Phase::Creating if !transfer.has_client => self.remove(id),
            Phase::Creating if transfer.has_body => {
                transfer.phase = Phase::Receiving;
                self.let_body_come(id);
            }
            Phase::Creating => self.finish(id),
            Phase::Waiting | Phase::Receiving => {}
            Phase::Appending => {
                transfer.frontier += transfer.parts[transfer.parts_done].1;
                transfer.parts_done += 1;
                self.append(id);
            }
            Phase::Restoring => {
                if let Some(known) = self.uploads.get_mut(&upload) {
                    known.is_doubtful = false;
                }
                self.truncate(id);
            }
            Phase::Truncating => {
                transfer.is_trimmed = true;
                self.sync(id, true);
            }
            Phase::Syncing => {
                let (bytes, is_trimmed) = (transfer.frontier, transfer.is_trimmed);
                // Not before it is synced: whoever comes after a failure has to cut the part again.
                if let Some(known) = self.uploads.get_mut(&upload).filter(|_| is_trimmed) {
                    known.high = bytes;
                }
                self.record(id);
            }
            Phase::Recording => {
                let offset = transfer.frontier;
                let record = self.record_at(id, offset);
                self.commit(upload, record);
                self.progress(upload);
                self.finish(id);
            }
            Phase::Mending => {
                transfer.phase = Phase::Receiving;
                if let Some(known) = self.uploads.get_mut(&upload) {
                    known.is_doubtful = false;
                }
                self.let_body_come(id);
            }
            Phase::Finishing if transfer.is_left() => self.remove(id),
            Phase::Finishing => self.finished(id),
            Phase::Removing => self.removed(id),
        }
    }

    fn finished(&mut self, id: TransferId) {
        let upload = self.transfers[&id].upload;
        let Some(known) = self.uploads.get_mut(&upload) else {
            return;
        };
        known.is_finished = true;
        let mut record = known.record.clone();
        self.stats.finished += 1;
        self.outputs.push_back(Output::Event(Event::Finished {
            upload,
            room: record.room.clone(),
            name: record.name.clone(),
            subject: record.subject.clone(),
            bytes: record.offset,
            metadata: record.metadata.clone(),
        }));
        record.expires_unix_seconds = self.now + self.settings.remember_seconds;
        self.commit(upload, record);
        self.answer(id);
    }

    fn removed(&mut self, id: TransferId) {
        let transfer = &self.transfers[&id];
        let upload = transfer.upload;
        self.stats.expired += u64::from(transfer.kind == Kind::Expire);
        self.forget(upload);
        self.answer(id);
    }

    /// An upload is no more.
    fn forget(&mut self, id: UploadId) {
        let Some(known) = self.uploads.remove(&id) else {
            return;
        };
        let concat = known.record.concat.as_ref();
        self.concat_bytes -= concat.map_or(0, String::len);
        self.quotas.close(&known.record.subject, known.reserved);
        self.expiries
            .remove(&(known.record.expires_unix_seconds, id));
        if self.gone.insert(id, known.record.subject).is_none() {
            self.gone_order.push_back(id);
        }
        if self.gone_order.len() > GONE_MAX
            && let Some(oldest) = self.gone_order.pop_front()
        {
            self.gone.remove(&oldest);
        }
    }

    /// Whether there was such an upload of this subject.
    pub(super) fn is_gone(&self, id: UploadId, subject: &str) -> bool {
        self.gone.get(&id).is_some_and(|owner| owner == subject)
    }

    /// A phase's want failed: nothing more is tried, and the client hears of it.
    fn failed(&mut self, id: TransferId, fault: Fault) {
        let Some(transfer) = self.transfers.get_mut(&id) else {
            return;
        };
        transfer.fault.get_or_insert(fault);
        let upload = transfer.upload;
        let records = [Phase::Recording, Phase::Mending, Phase::Restoring];
        if records.contains(&transfer.phase) {
            self.doubt(upload);
        }
        let Some(transfer) = self.transfers.get(&id) else {
            return;
        };
        let is_new = matches!(transfer.kind, Kind::Create | Kind::Concatenate);
        let is_forgetting = transfer.kind == Kind::Expire && self.uploads[&upload].is_finished;
        if transfer.phase == Phase::Removing && !is_forgetting {
            self.doom(upload);
        }
        let Some(transfer) = self.transfers.get(&id) else {
            return;
        };
        // An upload that nobody knows goes; if even that fails, it is tried again.
        if is_new && transfer.phase != Phase::Removing {
            self.remove(id);
        } else {
            self.answer(id);
        }
    }

    /// Part of it is gone, and the rest goes as soon as storage can.
    fn doom(&mut self, upload: UploadId) {
        let Some(known) = self.uploads.get_mut(&upload) else {
            return;
        };
        known.is_doomed = true;
        let mut record = known.record.clone();
        // Not at once: storage has just failed.
        record.expires_unix_seconds = self.now + 1;
        self.commit(upload, record);
    }

    fn doubt(&mut self, upload: UploadId) {
        if let Some(known) = self.uploads.get_mut(&upload) {
            known.is_doubtful = true;
        }
    }

    /// A body may come: at once, or when storage surely has a record that does not count what the body writes over.
    pub(super) fn admit(&mut self, id: TransferId) {
        let upload = self.transfers[&id].upload;
        let known = &self.uploads[&upload];
        if known.is_doubtful {
            let record = known.record.encode();
            self.enter(id, Phase::Mending, Want::Record { upload, record });
        } else {
            self.let_body_come(id);
        }
    }

    pub(super) fn enter(&mut self, id: TransferId, phase: Phase, want: Want) {
        let sequence = self.ask(id, want);
        if let Some(transfer) = self.transfers.get_mut(&id) {
            transfer.phase = phase;
            transfer.pending = Some(sequence);
        }
    }

    fn ask(&mut self, id: TransferId, want: Want) -> u64 {
        let transfer = self.transfers.get_mut(&id).expect("it is asked for now");
        let sequence = transfer.sequence();
        let ticket = Ticket {
            transfer: id.0,
            sequence,
        };
        self.outputs.push_back(Output::Want(ticket, want));
        sequence
    }

    /// The transfer is over.
    fn answer(&mut self, id: TransferId) {
        let Some(transfer) = self.transfers.remove(&id) else {
            return;
        };
        self.unlock(id, &transfer);
        self.outputs.push_back(Output::Release(transfer.upload));
        self.tell(id, &transfer);
        if transfer.is_chore {
            self.chore_ended(transfer.fault.is_some());
        }
        self.tell_looks(id, &transfer);
    }

    /// Those who waited for the end of a transfer hear what came of it. If all bytes are safe and the name is wanting, the first of them asks for it again,
    /// as anybody who looks now would, and the others hear what came of that.
    fn tell_looks(&mut self, id: TransferId, ended: &Transfer) {
        let mut looks = self.looks.remove(&id).unwrap_or_default();
        let known = self.uploads.get(&ended.upload);
        // What is half removed gets no name.
        let lacks_name = known.is_some_and(|known| known.lacks_name() && !known.is_doomed);
        if lacks_name && ended.kind != Kind::Finish && !looks.is_empty() {
            let first = looks.remove(0);
            self.looks.insert(first, looks);
            return self.finish_for(first, ended.upload);
        }
        for look in looks {
            if let Some(mut transfer) = self.transfers.remove(&look) {
                transfer.fault = ended.fault.filter(|_| lacks_name);
                self.tell(look, &transfer);
            }
        }
    }

    /// Whoever waited asks for the name itself.
    fn finish_for(&mut self, look: TransferId, upload: UploadId) {
        let (Some(known), Some(waiting)) =
            (self.uploads.get_mut(&upload), self.transfers.get_mut(&look))
        else {
            return;
        };
        known.writer = Some(look);
        let has_client = waiting.has_client;
        let offset = known.record.offset;
        *waiting = Transfer::new(upload, Kind::Finish, Phase::Finishing, offset);
        waiting.has_client = has_client;
        self.truncate(look);
    }

    fn tell(&mut self, id: TransferId, transfer: &Transfer) {
        if transfer.has_client {
            let answer = self.answer_of(transfer);
            self.outputs.push_back(Output::Answer(id, answer));
        }
    }

    /// Whether the client of a transfer is gone, and what it brought is not dealt with yet.
    pub(super) fn has_lost_client(&self, id: TransferId) -> bool {
        let transfer = self.transfers.get(&id);
        transfer.is_some_and(|transfer| !transfer.has_client && !transfer.is_chore)
    }

    /// Begins to wait for the end of whoever writes to an upload.
    pub(super) fn look(&mut self, upload: UploadId, writer: TransferId) -> TransferId {
        let offset = self.uploads[&upload].record.offset;
        let look = self.add(Transfer::new(upload, Kind::Look, Phase::Waiting, offset));
        self.looks.entry(writer).or_default().push(look);
        look
    }

    fn add(&mut self, transfer: Transfer) -> TransferId {
        self.transfers_begun += 1;
        let id = TransferId(self.transfers_begun);
        self.transfers.insert(id, transfer);
        id
    }

    fn unlock(&mut self, id: TransferId, transfer: &Transfer) {
        let parts = transfer.parts.iter().map(|(part, _)| *part);
        let whole = self.uploads.get(&transfer.upload);
        let is_done = transfer.fault.is_none()
            && transfer.has_client
            && whole.is_some_and(|whole| whole.is_finished);
        for part in parts {
            let Some(known) = self
                .uploads
                .get_mut(&part)
                .filter(|it| it.writer == Some(id))
            else {
                continue;
            };
            known.writer = None;
            // The protocol lets parts go once they are put together: they are bytes that are stored twice, and the whole counts for them.
            if is_done {
                let counted = core::mem::take(&mut known.reserved);
                self.quotas.change(&known.record.subject, counted, 0);
                let mut record = known.record.clone();
                record.expires_unix_seconds = self.now;
                self.commit(part, record);
            }
        }
        let Some(known) = self.uploads.get_mut(&transfer.upload) else {
            return;
        };
        known.writer = None;
        let announced = known.record.length.unwrap_or(known.record.offset);
        // What could not be cut off is on the disk, and counts.
        let reserved = announced.max(known.high);
        let before = core::mem::replace(&mut known.reserved, reserved);
        self.quotas.change(&known.record.subject, before, reserved);
    }

    fn answer_of(&self, transfer: &Transfer) -> Answer {
        if let Some(Fault(status, refusal)) = transfer.fault {
            let answer = Answer::refused(status, refusal);
            return match status {
                503 => answer.with("Retry-After", BUSY_SECONDS),
                _ => answer,
            };
        }
        let known = self.uploads.get(&transfer.upload);
        // It was there, and this client's, when the look began.
        if transfer.kind == Kind::Look && known.is_none_or(|known| known.is_doomed) {
            return Answer::refused(410, Refusal::UploadGone);
        }
        let Some(known) = known else {
            return Answer::new(204);
        };
        let offset = known.record.offset.to_string();
        let answer = match transfer.kind {
            Kind::Create | Kind::Concatenate => {
                let (prefix, id) = (&self.settings.prefix, transfer.upload);
                let answer = Answer::new(201).with("Location", format!("{prefix}{id}"));
                if transfer.has_body {
                    answer.with("Upload-Offset", offset)
                } else {
                    answer
                }
            }
            Kind::Finish | Kind::Look => return super::begin::head_of(known),
            _ => Answer::new(204).with("Upload-Offset", offset),
        };
        with_expiry(answer, known)
    }

    /// Begins a transfer and locks its upload.
    pub(super) fn start(&mut self, transfer: Transfer) -> TransferId {
        let id = self.add(transfer);
        let transfer = &self.transfers[&id];
        let parts = transfer.parts.iter().map(|(part, _)| part);
        for upload in parts.chain([&transfer.upload]) {
            if let Some(known) = self.uploads.get_mut(upload) {
                known.writer = Some(id);
            }
        }
        id
    }

    pub(super) fn insert(&mut self, id: UploadId, upload: Upload) {
        self.expiries
            .insert((upload.record.expires_unix_seconds, id));
        let concat = upload.record.concat.as_ref();
        self.concat_bytes += concat.map_or(0, String::len);
        self.uploads.insert(id, upload);
    }

    fn let_body_come(&mut self, id: TransferId) {
        if !self.transfers[&id].has_ended {
            self.outputs.push_back(Output::Body(id));
        }
        // It may have been cut meanwhile, or have no bytes.
        self.settle(id);
    }
}

pub(super) fn with_expiry(answer: Answer, upload: &Upload) -> Answer {
    if upload.is_finished {
        return answer;
    }
    let expires = format_date(upload.record.expires_unix_seconds);
    answer.with("Upload-Expires", expires)
}

const fn fault_of(error: StorageError) -> Fault {
    match error {
        StorageError::Full => Fault(507, Refusal::StorageFull),
        StorageError::Busy => Fault(503, Refusal::Busy),
        StorageError::ReadOnly => Fault(503, Refusal::StorageReadOnly),
        StorageError::TooLarge => Fault(413, Refusal::UploadTooLarge),
        StorageError::Failed => Fault(500, Refusal::StorageFailed),
    }
}
