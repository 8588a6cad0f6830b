//! Wants as operations on files, one after the other: which files there are of an upload, and what of them is synced when.
//!
//! Three directories: *parts* has `<id>.part`, the bytes so far, and `<id>.json`, the record; *whole* has the final files and nothing else, so that it can be
//! served; *keys* has the lock of each final file that is encrypted. A record is replaced by a new file (`<id>.new`) that is synced and renamed over it. A want is done when everything of it is durable.
//!
//! Where there are master keys, new uploads are encrypted (`sealing.rs`), and those from before are not: what an upload is says the file of its record.
//!
//! Deliberately absent: which wants there are and in which order (`machine.rs`), and files themselves: they are values that nobody here looks into.

mod openers;

use super::record::Record;
use super::sealing::{Chance, LOCKED_ELSEWHERE, Reader, STORED_BYTES_MAX, Sealing, Spoilt, Stored};
use super::steps::{Step, lock_steps, new_name, part_name, record_name, record_steps, steps_of};
use super::vault::{Lock, Vault, What};
use super::{StorageError, Ticket, UploadId, Want};
use crate::files::FileRef;
use openers::Openers;
use ringway_streams::crypt::Grid;
use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

/// Bytes that are copied at a time where parts are put together.
const COPY_BYTES: u64 = 256 << 10;

/// A directory that the daemon writes to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Area {
    /// Of parts and records.
    Parts,
    /// Of final files.
    Whole,
    /// Of what is kept of the keys of final files that are encrypted.
    Locks,
    /// Not of uploads: of what is written down about one-time URLs.
    UsedUrls,
}

/// What the shard is asked.
pub enum StoreAsk {
    /// Open a file for reading and writing, or make it, if there is none by that name.
    Open {
        /// Where.
        area: Area,
        /// Which.
        name: String,
        /// Whether it is to be made.
        creates: bool,
        /// Whether it is only read.
        reads: bool,
    },
    /// Read.
    Read {
        /// From what.
        file: FileRef,
        /// From where.
        offset: u64,
        /// How many bytes at most.
        count: u32,
    },
    /// Write all of it.
    Write {
        /// To what.
        file: FileRef,
        /// What.
        bytes: Vec<u8>,
        /// Where to.
        offset: u64,
    },
    /// Make what was written durable.
    Sync(FileRef),
    /// Make names durable.
    SyncArea(Area),
    /// Give a file another name; a file that has that name loses it.
    Rename {
        /// Where it is.
        from: Area,
        /// Its name.
        name: String,
        /// Where it will be.
        to: Area,
        /// Its new name.
        new_name: String,
        /// Whether it may be that it was moved before.
        may_be_absent: bool,
    },
    /// Remove a name.
    Unlink {
        /// Where.
        area: Area,
        /// Which.
        name: String,
    },
    /// Make a file so long.
    Truncate {
        /// Which.
        file: FileRef,
        /// Bytes.
        bytes: u64,
    },
}

/// Why the shard could not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StoreError {
    /// There is no file by that name.
    Absent,
    /// There is one already.
    Exists,
    /// There is no room.
    Full,
    /// Too much is open or under way.
    Busy,
    /// It may not be written to.
    ReadOnly,
    /// No file may be so long.
    TooLarge,
    /// Anything else.
    Failed,
}

impl From<Spoilt> for StoreError {
    fn from(_: Spoilt) -> Self {
        Self::Failed
    }
}

impl From<StoreError> for StorageError {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::Full => Self::Full,
            StoreError::Busy => Self::Busy,
            StoreError::ReadOnly => Self::ReadOnly,
            StoreError::TooLarge => Self::TooLarge,
            StoreError::Absent | StoreError::Exists | StoreError::Failed => Self::Failed,
        }
    }
}

/// What came of a [`StoreAsk`].
pub enum StoreAnswer {
    /// Of an open.
    Opened(Result<FileRef, StoreError>),
    /// Of a read.
    Read(Result<Vec<u8>, StoreError>),
    /// Of a write; its memory comes back.
    Wrote(Vec<u8>, Result<(), StoreError>),
    /// Of everything else.
    Done(Result<(), StoreError>),
}

/// A want under way.
struct Job {
    ticket: Ticket,
    upload: UploadId,
    steps: VecDeque<Step>,
    /// Of the step that the shard has: what else it may say, and what follows.
    asked: Asked,
    file: Option<FileRef>,
    /// How another upload's part is read, and what of it stands in its record.
    source: Option<(Reader, Vec<u8>)>,
    /// Whether it writes a piece of a body, whose memory comes back.
    is_piece: bool,
    memory: Option<Vec<u8>>,
    /// Whether others wait for what it finds out of its upload.
    is_placing: bool,
    /// Whether nothing is written to the upload when it is done.
    is_last: bool,
    /// Whether it is what its upload has its turn for.
    is_opening: bool,
}

/// What the shard was asked last.
#[derive(Clone, Copy)]
enum Asked {
    Part { may_be_absent: bool },
    File,
    CreateNew(Area),
    Stored(Option<u64>),
    SourceStored(UploadId),
    Locked,
    Tail(u64),
    Source { from: u64, to: u64, count: u32 },
    Piece,
    Bytes,
    Done { may_be_absent: bool },
}

/// A part, as far as it is open.
enum Part {
    /// These jobs wait for it.
    Opening(Vec<u64>),
    Open(FileRef),
}

/// How an upload stands on the disk.
enum Kind {
    Plain,
    Sealed(Box<Sealing>),
}

/// A want that came to its end.
pub(crate) struct Finished {
    pub(crate) ticket: Ticket,
    pub(crate) result: Result<(), StorageError>,
    /// The memory of its piece, if it was a write.
    pub(crate) memory: Option<Vec<u8>>,
}

/// Everything that storage is at.
#[derive(Default)]
pub(crate) struct Store {
    jobs: BTreeMap<u64, Job>,
    jobs_begun: u64,
    parts: BTreeMap<UploadId, Part>,
    vault: Option<Arc<Vault>>,
    /// Of uploads that something was written to, where there are master keys: as many as there are uploads.
    kinds: BTreeMap<UploadId, Kind>,
    /// Uploads about which it is being found out, and the jobs that wait for it.
    placing: BTreeMap<UploadId, Vec<u64>>,
    /// Jobs of each upload that has any.
    counts: BTreeMap<UploadId, u32>,
    openers: Openers,
    asks: VecDeque<(u64, StoreAsk)>,
    finished: VecDeque<Finished>,
}

impl Store {
    /// Encrypts what is new, where there are master keys, and opens files for so many uploads at a time.
    pub(crate) fn new(vault: Option<Arc<Vault>>, openers_max: u32) -> Self {
        Self {
            vault,
            openers: Openers::new(openers_max),
            ..Self::default()
        }
    }

    /// Whether nothing is under way.
    pub(crate) fn is_idle(&self) -> bool {
        self.jobs.is_empty()
    }

    /// Begins a want. `piece` is what a [`Want::Write`] is about.
    pub(crate) fn begin(
        &mut self,
        ticket: Ticket,
        want: Want,
        piece: Vec<u8>,
        entropy: Chance<'_>,
    ) {
        let upload = want.upload();
        self.jobs_begun += 1;
        let id = self.jobs_begun;
        let job = Job {
            ticket,
            upload,
            is_piece: matches!(want, Want::Write { .. }),
            is_last: matches!(
                want,
                Want::Finish { .. } | Want::Remove { .. } | Want::Forget { .. }
            ),
            steps: steps_of(want, piece, self.grid()),
            asked: Asked::Bytes,
            file: None,
            source: None,
            memory: None,
            is_placing: false,
            is_opening: false,
        };
        self.jobs.insert(id, job);
        *self.counts.entry(upload).or_default() += 1;
        if self.admit(id) {
            self.go_on(id, entropy);
        }
    }

    /// What the shard is to do, and the token by which it says what came of it.
    pub(crate) fn next_ask(&mut self) -> Option<(u64, StoreAsk)> {
        self.asks.pop_front()
    }

    /// The next want that is done.
    pub(crate) fn next_finished(&mut self) -> Option<Finished> {
        self.finished.pop_front()
    }

    /// Closes the part of an upload of which nothing is under way.
    pub(crate) fn release(&mut self, upload: UploadId) {
        if !self.counts.contains_key(&upload) {
            self.parts.remove(&upload);
            if let Some(Kind::Sealed(sealing)) = self.kinds.get_mut(&upload) {
                sealing.rest();
            }
        }
    }

    /// What came of what the shard was asked.
    pub(crate) fn answered(&mut self, id: u64, answer: StoreAnswer, entropy: Chance<'_>) {
        let Some(asked) = self.jobs.get(&id).map(|job| job.asked) else {
            return;
        };
        let result = match (asked, answer) {
            (Asked::Part { may_be_absent }, StoreAnswer::Opened(result)) => {
                return self.part_opened(id, result, may_be_absent, entropy);
            }
            (Asked::CreateNew(area), StoreAnswer::Opened(Err(StoreError::Exists))) => {
                self.make_room(id, area);
                Ok(())
            }
            (Asked::CreateNew(_) | Asked::File, StoreAnswer::Opened(result)) => {
                result.map(|file| self.keep_file(id, file))
            }
            (Asked::Stored(at), StoreAnswer::Read(result)) => {
                result.and_then(|bytes| self.stored_read(id, &bytes, at))
            }
            (Asked::SourceStored(from), StoreAnswer::Read(result)) => {
                result.and_then(|bytes| self.source_stored_read(id, from, &bytes))
            }
            (Asked::Locked, StoreAnswer::Read(result)) => {
                result.map(|bytes| self.locked_read(id, &bytes))
            }
            (Asked::Tail(at), StoreAnswer::Read(result)) => {
                result.and_then(|bytes| self.tail_read(id, bytes, at))
            }
            (Asked::Source { from, to, count }, StoreAnswer::Read(result)) => {
                result.and_then(|bytes| self.copy(id, bytes, (from, to), count))
            }
            (Asked::Piece, StoreAnswer::Wrote(memory, result)) => {
                self.keep_memory(id, memory);
                result
            }
            (Asked::Bytes, StoreAnswer::Wrote(_, result)) => result,
            (
                Asked::Done {
                    may_be_absent: true,
                },
                StoreAnswer::Done(Err(StoreError::Absent)),
            ) => Ok(()),
            (_, StoreAnswer::Done(result)) => result.map(|()| self.was_there(id)),
            _ => unreachable!("the shard answers what it was asked"),
        };
        match result {
            Ok(()) => self.go_on(id, entropy),
            Err(error) => self.end(id, Err(error.into()), entropy),
        }
    }

    fn part_opened(
        &mut self,
        id: u64,
        result: Result<FileRef, StoreError>,
        may_be_absent: bool,
        entropy: Chance<'_>,
    ) {
        let upload = self.jobs[&id].upload;
        let Some(Part::Opening(waiting)) = self.parts.remove(&upload) else {
            unreachable!("a part is opened once");
        };
        let error = result.as_ref().err().copied();
        if let Ok(file) = result {
            self.parts.insert(upload, Part::Open(file));
        }
        for id in [id].into_iter().chain(waiting) {
            match error {
                None => self.go_on(id, entropy),
                Some(StoreError::Absent) if may_be_absent => {
                    self.go_without_part(id);
                    self.go_on(id, entropy);
                }
                Some(error) => self.end(id, Err(error.into()), entropy),
            }
        }
    }

    /// It was done before; what is left to do needs no part.
    fn go_without_part(&mut self, id: u64) {
        if let Some(job) = self.jobs.get_mut(&id) {
            while job.steps.pop_front_if(|step| step.needs_part()).is_some() {}
        }
    }

    /// What might have been moved before was not: nobody need look where it is.
    fn was_there(&mut self, id: u64) {
        if let Some(job) = self.jobs.get_mut(&id) {
            job.steps
                .pop_front_if(|step| matches!(step, Step::FindMoved { .. }));
        }
    }

    /// A crash, or a failure, left an unfinished record or lock.
    fn make_room(&mut self, id: u64, area: Area) {
        if let Some(job) = self.jobs.get_mut(&id) {
            let name = || new_name(job.upload);
            let (create, unlink) = (
                Step::CreateNew { area, name: name() },
                Step::Unlink { area, name: name() },
            );
            job.steps.push_front(create);
            job.steps.push_front(unlink);
        }
    }

    fn keep_file(&mut self, id: u64, file: FileRef) {
        if let Some(job) = self.jobs.get_mut(&id) {
            job.file = Some(file);
        }
    }

    fn keep_memory(&mut self, id: u64, memory: Vec<u8>) {
        if let Some(job) = self.jobs.get_mut(&id).filter(|job| job.is_piece) {
            job.memory = Some(memory);
        }
    }

    fn grid(&self) -> Option<Grid> {
        self.vault.as_deref().map(Vault::grid)
    }

    fn vault(&self) -> Arc<Vault> {
        let vault = self.vault.clone();
        vault.expect("only where there are master keys it is asked for what they are needed for")
    }

    /// What is kept of an upload was read: whether it is encrypted, and what its next byte stands behind.
    fn stored_read(&mut self, id: u64, bytes: &[u8], at: Option<u64>) -> Result<(), StoreError> {
        let upload = self.jobs[&id].upload;
        let stored = Stored::split(bytes);
        let record = Record::decode(upload, stored.record).ok_or(StoreError::Failed)?;
        let is_sealed = matches!(self.kinds.get(&upload), Some(Kind::Sealed(_)));
        let Some((lock, tail)) = stored.sealed else {
            // An upload that was encrypted does not go on without.
            if is_sealed {
                return Err(StoreError::Failed);
            }
            self.kinds.insert(upload, Kind::Plain);
            return Ok(());
        };
        let grid = self.vault().grid();
        let lock = Lock::decode(lock).ok_or(StoreError::Failed)?;
        let lock = (&lock, What::Part(stored.record));
        let sealing = Sealing::of_lock(&self.vault(), upload, lock).ok_or(StoreError::Failed)?;
        if !is_sealed {
            let kind = Kind::Sealed(Box::new(sealing));
            self.kinds.insert(upload, kind);
        }
        let Some(Kind::Sealed(sealing)) = self.kinds.get_mut(&upload) else {
            return Err(StoreError::Failed);
        };
        let at = at.unwrap_or(record.offset);
        let rest = grid.rest(at) as usize;
        if rest == 0 {
            sealing.place(at, Vec::new());
        } else if grid.index_of(at) == grid.index_of(record.offset) && at <= record.offset {
            let tail = sealing.reader().open_tail(grid.index_of(at), tail);
            let mut tail = tail.ok_or(StoreError::Failed)?;
            if tail.len() < rest {
                return Err(StoreError::Failed);
            }
            tail.truncate(rest);
            sealing.place(at, tail);
        } else if at < record.offset {
            self.put_before(id, [Step::ReadTail(at)]);
        } else {
            return Err(StoreError::Failed);
        }
        Ok(())
    }

    /// A segment came whose start is what the next byte stands behind.
    fn tail_read(&mut self, id: u64, bytes: Vec<u8>, at: u64) -> Result<(), StoreError> {
        let upload = self.jobs[&id].upload;
        let grid = self.vault().grid();
        let Some(Kind::Sealed(sealing)) = self.kinds.get_mut(&upload) else {
            return Err(StoreError::Failed);
        };
        let tail = sealing.reader().open(grid.index_of(at), false, bytes);
        let mut tail = tail.ok_or(StoreError::Failed)?;
        tail.truncate(grid.rest(at) as usize);
        sealing.place(at, tail);
        Ok(())
    }

    /// What is kept of an upload whose file is whole was read. If that has its key, it is written anew without.
    fn locked_read(&mut self, id: u64, bytes: &[u8]) {
        let stored = Stored::split(bytes);
        let upload = self.jobs[&id].upload;
        if stored.sealed.is_none() || stored.is_locked_elsewhere() {
            return;
        }
        let bare = [stored.record, LOCKED_ELSEWHERE].join(&b'\n');
        if let Some(job) = self.jobs.get_mut(&id) {
            for step in record_steps(upload, Step::WriteFile(bare))
                .into_iter()
                .rev()
            {
                job.steps.push_front(step);
            }
        }
    }

    /// What is kept of an upload whose bytes are copied was read.
    fn source_stored_read(
        &mut self,
        id: u64,
        from: UploadId,
        bytes: &[u8],
    ) -> Result<(), StoreError> {
        let stored = Stored::split(bytes);
        let Some((lock, tail)) = stored.sealed else {
            return Ok(());
        };
        let read = || {
            let record = Record::decode(from, stored.record)?;
            let lock = Lock::decode(lock)?;
            let vault = self.vault();
            let what = What::Part(stored.record);
            let (grid, reader) = (vault.grid(), Reader::new(&vault, from, (&lock, what))?);
            let tail = match grid.rest(record.offset) {
                0 => Vec::new(),
                _ => reader.open_tail(grid.index_of(record.offset), tail)?,
            };
            Some((reader, tail))
        };
        let source = read().ok_or(StoreError::Failed)?;
        if let Some(job) = self.jobs.get_mut(&id) {
            job.source = Some(source);
        }
        Ok(())
    }

    /// Bytes of another part came. One that has fewer than its record says was cut by somebody else.
    fn copy(
        &mut self,
        id: u64,
        mut bytes: Vec<u8>,
        (from, offset): (u64, u64),
        count: u32,
    ) -> Result<(), StoreError> {
        if bytes.len() != count as usize {
            return Err(StoreError::Failed);
        }
        let grid = self.grid();
        let Some(job) = self.jobs.get_mut(&id) else {
            return Ok(());
        };
        if let (Some((reader, _)), Some(grid)) = (&job.source, grid) {
            let opened = reader.open(grid.index_of(from), false, bytes);
            bytes = opened.ok_or(StoreError::Failed)?;
        }
        job.steps.push_front(Step::Put { bytes, offset });
        Ok(())
    }

    /// Asks for what comes next, or is done.
    fn go_on(&mut self, id: u64, entropy: Chance<'_>) {
        loop {
            let Some(job) = self.jobs.get_mut(&id) else {
                return;
            };
            let Some(step) = job.steps.pop_front() else {
                return self.end(id, Ok(()), entropy);
            };
            if matches!(step, Step::Placed) {
                job.is_placing = false;
                return self.placed(id, entropy);
            }
            match self.take(id, step, entropy) {
                Ok(Taken::Done) => {}
                Ok(Taken::Waits) => return,
                Ok(Taken::Asks(asked, ask)) => {
                    if let Some(job) = self.jobs.get_mut(&id) {
                        job.asked = asked;
                        // What it had open it is done with.
                        job.file.take_if(|_| matches!(ask, StoreAsk::Open { .. }));
                        self.asks.push_back((id, ask));
                    }
                    return;
                }
                Err(error) => return self.end(id, Err(error.into()), entropy),
            }
        }
    }

    /// It was found out how an upload stands: first for who asked, whose bytes come before those of the others.
    fn placed(&mut self, id: u64, entropy: Chance<'_>) {
        let upload = self.jobs[&id].upload;
        let waiting = self.placing.remove(&upload).unwrap_or_default();
        self.go_on(id, entropy);
        for id in waiting {
            self.go_on(id, entropy);
        }
    }

    fn part(&self, upload: UploadId) -> FileRef {
        match self.parts.get(&upload) {
            Some(Part::Open(file)) => file.clone(),
            _ => unreachable!("a part is opened before anything is done with it"),
        }
    }

    fn file(&self, id: u64) -> FileRef {
        let file = self.jobs[&id].file.clone();
        file.expect("a file is opened before anything is done with it")
    }

    fn sealing(&mut self, upload: UploadId) -> Option<&mut Sealing> {
        match self.kinds.get_mut(&upload) {
            Some(Kind::Sealed(sealing)) => Some(sealing),
            _ => None,
        }
    }

    fn take(&mut self, id: u64, step: Step, entropy: Chance<'_>) -> Result<Taken, StoreError> {
        let upload = self.jobs[&id].upload;
        let done = Asked::Done {
            may_be_absent: false,
        };
        let (asked, ask) = match step {
            Step::OpenPart {
                creates,
                may_be_absent,
            } => return Ok(self.open_part(id, creates, may_be_absent)),
            Step::Place(at) => return Ok(self.place(id, at)),
            Step::Placed => unreachable!("the others go on behind it"),
            Step::PutHeader => {
                let sealing = Sealing::new(&self.vault(), upload, entropy);
                let bytes = sealing.header();
                let kind = Kind::Sealed(Box::new(sealing));
                self.kinds.insert(upload, kind);
                self.write_part(upload, bytes, 0)
            }
            Step::Put { bytes, offset } => return self.put(id, bytes, offset, entropy),
            Step::PutEnd => return self.put_end(id, entropy),
            Step::WritePart { bytes, offset } => self.write_part(upload, bytes, offset),
            Step::WriteRecord(record) => {
                let bytes = self.with_lock(upload, record, entropy)?;
                self.write_file(id, bytes)
            }
            Step::WriteFile(bytes) => self.write_file(id, bytes),
            Step::WriteLock => {
                let bytes = self.lock_of_whole(upload, entropy)?;
                self.write_file(id, bytes)
            }
            Step::Copy { from, to, left } => return self.copy_next(id, (from, to), left),
            Step::OpenSource(from) => (Asked::File, open(part_name(from), false, true)),
            Step::OpenStored(from) => (Asked::File, open(record_name(from), false, true)),
            Step::ReadStored(at) => (Asked::Stored(at), self.read_file(id)),
            Step::ReadSourceStored(from) => (Asked::SourceStored(from), self.read_file(id)),
            Step::ReadLocked => (Asked::Locked, self.read_file(id)),
            Step::ReadTail(at) => {
                let grid = self.vault().grid();
                let ask = read_segment(self.part(upload), grid, grid.index_of(at));
                (Asked::Tail(at), ask)
            }
            Step::CreateNew { area, name } => {
                (Asked::CreateNew(area), open_in(area, name, true, false))
            }
            Step::TruncatePart(bytes) => {
                let grid = self.grid();
                let bytes = match (self.sealing(upload), grid) {
                    (Some(sealing), Some(grid)) => {
                        sealing.cut(bytes);
                        grid.place_of(grid.index_of(bytes))
                    }
                    _ => bytes,
                };
                let file = self.part(upload);
                (done, StoreAsk::Truncate { file, bytes })
            }
            Step::CutPart(bytes) => {
                let file = self.part(upload);
                (done, StoreAsk::Truncate { file, bytes })
            }
            Step::SyncPart => (done, StoreAsk::Sync(self.part(upload))),
            Step::SyncFile => (done, StoreAsk::Sync(self.file(id))),
            Step::SyncArea(area) => (done, StoreAsk::SyncArea(area)),
            Step::Rename {
                from,
                name,
                to,
                new_name,
                may_be_absent,
            } => (
                Asked::Done { may_be_absent },
                StoreAsk::Rename {
                    from,
                    name,
                    to,
                    new_name,
                    may_be_absent,
                },
            ),
            Step::FindMoved { area, name } => (Asked::File, open_in(area, name, false, true)),
            Step::Unlink { area, name } => (
                Asked::Done {
                    may_be_absent: true,
                },
                StoreAsk::Unlink { area, name },
            ),
        };
        Ok(Taken::Asks(asked, ask))
    }

    fn open_part(&mut self, id: u64, creates: bool, may_be_absent: bool) -> Taken {
        let upload = self.jobs[&id].upload;
        match self.parts.get_mut(&upload) {
            Some(Part::Open(_)) => Taken::Done,
            Some(Part::Opening(waiting)) => {
                waiting.push(id);
                Taken::Waits
            }
            None => {
                self.parts.insert(upload, Part::Opening(Vec::new()));
                let asked = Asked::Part { may_be_absent };
                Taken::Asks(asked, open(part_name(upload), creates, false))
            }
        }
    }

    /// Whether the next byte of an upload is known to be this one.
    fn is_placed(&self, upload: UploadId, at: Option<u64>) -> bool {
        let is_placed = match self.kinds.get(&upload) {
            Some(Kind::Plain) => true,
            Some(Kind::Sealed(sealing)) => sealing.at().is_some_and(|now| at.unwrap_or(now) == now),
            None => false,
        };
        is_placed && !self.placing.contains_key(&upload)
    }

    /// The next byte of an upload is this one; if that is not known, it is found out, or waited for.
    fn place(&mut self, id: u64, at: Option<u64>) -> Taken {
        let upload = self.jobs[&id].upload;
        if self.is_placed(upload, at) {
            return Taken::Done;
        }
        let Some(job) = self.jobs.get_mut(&id) else {
            return Taken::Waits;
        };
        if let Some(waiting) = self.placing.get_mut(&upload) {
            waiting.push(id);
            job.steps.push_front(Step::Place(at));
            return Taken::Waits;
        }
        self.placing.insert(upload, Vec::new());
        job.is_placing = true;
        job.steps.push_front(Step::Placed);
        job.steps.push_front(Step::ReadStored(at));
        job.steps.push_front(Step::OpenStored(upload));
        Taken::Done
    }

    /// Bytes that were received, or copied: as they are, or as far as they fill segments.
    fn put(
        &mut self,
        id: u64,
        bytes: Vec<u8>,
        offset: u64,
        entropy: Chance<'_>,
    ) -> Result<Taken, StoreError> {
        let upload = self.jobs[&id].upload;
        let Some(sealing) = self.sealing(upload) else {
            let file = self.part(upload);
            let ask = StoreAsk::Write {
                file,
                bytes,
                offset,
            };
            return Ok(Taken::Asks(Asked::Piece, ask));
        };
        let sealed = match sealing.at() == Some(offset) {
            true => sealing.push(&bytes, entropy),
            false => Err(Spoilt),
        };
        self.keep_memory(id, bytes);
        let (place, sealed) = sealed?;
        if sealed.is_empty() {
            return Ok(Taken::Done);
        }
        let (asked, ask) = self.write_part(upload, sealed, place);
        Ok(Taken::Asks(asked, ask))
    }

    /// Makes a part whole, if it is encrypted: its last segment, its header, and the lock that it has from then on.
    fn put_end(&mut self, id: u64, entropy: Chance<'_>) -> Result<Taken, StoreError> {
        let upload = self.jobs[&id].upload;
        let Some(sealing) = self.sealing(upload) else {
            return Ok(Taken::Done);
        };
        let at = sealing.at().ok_or(StoreError::Failed)?;
        // A last segment that is the first may begin a run, and the header says under which it stands.
        let end = sealing.finish(entropy)?;
        let header = sealing.header();
        let grid = self.vault().grid();
        // Behind what counts there may be what a crash left.
        let mut steps = vec![
            Step::CutPart(grid.place_of(grid.index_of(at))),
            Step::WritePart {
                bytes: header,
                offset: 0,
            },
        ];
        steps.extend(end.map(|(offset, bytes)| Step::WritePart { bytes, offset }));
        steps.push(Step::SyncPart);
        steps.extend(lock_steps(upload));
        self.put_before(id, steps);
        Ok(Taken::Done)
    }

    /// These steps come next, in their order.
    fn put_before(&mut self, id: u64, steps: impl IntoIterator<Item = Step>) {
        if let Some(job) = self.jobs.get_mut(&id) {
            let rest = core::mem::take(&mut job.steps);
            job.steps = steps.into_iter().chain(rest).collect();
        }
    }

    /// A record, with what is kept beside it.
    fn with_lock(
        &mut self,
        upload: UploadId,
        mut record: Vec<u8>,
        entropy: Chance<'_>,
    ) -> Result<Vec<u8>, StoreError> {
        if self.sealing(upload).is_none() {
            return Ok(record);
        }
        let vault = self.vault();
        let offset = Record::decode(upload, &record).map(|record| record.offset);
        let offset = offset.ok_or(StoreError::Failed)?;
        if let Some(sealing) = self.sealing(upload) {
            let kept = sealing.keep(&vault, (&record, offset), entropy)?;
            record.push(b'\n');
            record.extend_from_slice(&kept);
        }
        Ok(record)
    }

    fn lock_of_whole(
        &mut self,
        upload: UploadId,
        entropy: Chance<'_>,
    ) -> Result<Vec<u8>, StoreError> {
        let vault = self.vault();
        let sealing = self.sealing(upload).ok_or(StoreError::Failed)?;
        let bytes = sealing.at().ok_or(StoreError::Failed)?;
        let lock = sealing.lock(&vault, What::Whole(bytes), entropy);
        Ok(lock.encode())
    }

    /// What comes next of another part: of an encrypted one a segment, or what its record has.
    fn copy_next(
        &mut self,
        id: u64,
        (from, to): (u64, u64),
        left: u64,
    ) -> Result<Taken, StoreError> {
        let (file, grid) = (self.file(id), self.grid());
        let Some(job) = self.jobs.get_mut(&id) else {
            return Ok(Taken::Waits);
        };
        let (offset, bytes, count) = match job.source.as_mut().zip(grid) {
            Some(((_, tail), grid)) if left < grid.segment_bytes() => {
                let (bytes, offset) = (core::mem::take(tail), to);
                if bytes.len() as u64 != left {
                    return Err(StoreError::Failed);
                }
                job.steps.push_front(Step::Put { bytes, offset });
                return Ok(Taken::Done);
            }
            Some((_, grid)) => {
                let place = grid.place_of(grid.index_of(from));
                (place, grid.segment_bytes(), grid.sealed_bytes() as u32)
            }
            None => {
                let bytes = left.min(COPY_BYTES);
                (from, bytes, bytes as u32)
            }
        };
        if left > bytes {
            job.steps.push_front(Step::Copy {
                from: from + bytes,
                to: to + bytes,
                left: left - bytes,
            });
        }
        let asked = Asked::Source { from, to, count };
        let ask = StoreAsk::Read {
            file,
            offset,
            count,
        };
        Ok(Taken::Asks(asked, ask))
    }

    fn write_part(&self, upload: UploadId, bytes: Vec<u8>, offset: u64) -> (Asked, StoreAsk) {
        let file = self.part(upload);
        let ask = StoreAsk::Write {
            file,
            bytes,
            offset,
        };
        (Asked::Bytes, ask)
    }

    fn write_file(&self, id: u64, bytes: Vec<u8>) -> (Asked, StoreAsk) {
        let (file, offset) = (self.file(id), 0);
        let ask = StoreAsk::Write {
            file,
            bytes,
            offset,
        };
        (Asked::Bytes, ask)
    }

    fn read_file(&self, id: u64) -> StoreAsk {
        StoreAsk::Read {
            file: self.file(id),
            offset: 0,
            count: STORED_BYTES_MAX as u32,
        }
    }

    fn end(&mut self, id: u64, result: Result<(), StorageError>, entropy: Chance<'_>) {
        let Some(job) = self.jobs.remove(&id) else {
            return;
        };
        let upload = job.upload;
        if let Some(count) = self.counts.get_mut(&upload) {
            *count -= 1;
            if *count == 0 {
                self.counts.remove(&upload);
            }
        }
        if job.is_opening {
            self.openers.left(upload);
        }
        if job.is_last && result.is_ok() {
            self.kinds.remove(&upload);
        }
        // A piece that was not written because its part could not be opened has its memory yet.
        let unwritten = job.steps.into_iter().find_map(|step| match step {
            Step::Put { bytes, .. } if job.is_piece => Some(bytes),
            _ => None,
        });
        self.finished.push_back(Finished {
            ticket: job.ticket,
            result,
            memory: job.memory.or(unwritten),
        });
        if job.is_placing {
            // The others try it themselves.
            for id in self.placing.remove(&upload).unwrap_or_default() {
                self.go_on(id, entropy);
            }
        }
    }
}

/// What became of a step.
enum Taken {
    /// It is done.
    Done,
    /// The shard is asked.
    Asks(Asked, StoreAsk),
    /// Another job goes first.
    Waits,
}

const fn open(name: String, creates: bool, reads: bool) -> StoreAsk {
    open_in(Area::Parts, name, creates, reads)
}

const fn open_in(area: Area, name: String, creates: bool, reads: bool) -> StoreAsk {
    StoreAsk::Open {
        area,
        name,
        creates,
        reads,
    }
}

fn read_segment(file: FileRef, grid: Grid, index: u32) -> StoreAsk {
    StoreAsk::Read {
        file,
        offset: grid.place_of(index),
        count: grid.sealed_bytes() as u32,
    }
}
