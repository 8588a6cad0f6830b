//! Wants as operations on files, one after the other: which files there are of an upload, and what of them is synced when.
//!
//! Two directories: *parts* has `<id>.part`, the bytes so far, and `<id>.json`, the record; *whole* has the final files and nothing else, so that it can be
//! served. A record is replaced by a new file (`<id>.new`) that is synced and renamed over it. A want is done when everything of it is durable.
//!
//! Deliberately absent: which wants there are and in which order (`machine.rs`), and files themselves: they are values that nobody here looks into.

use super::{StorageError, Ticket, UploadId, Want};
use crate::files::FileRef;
use std::collections::{BTreeMap, VecDeque};

/// Bytes that are copied at a time where parts are put together.
const COPY_BYTES: u64 = 256 << 10;

/// A directory of uploads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Area {
    /// Of parts and records.
    Parts,
    /// Of final files.
    Whole,
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

/// One operation of a want.
enum Step {
    /// The part is open from now on.
    OpenPart {
        creates: bool,
    },
    /// Another upload's part is open for this want.
    OpenSource(UploadId),
    /// The next record is an empty file that is open for this want.
    CreateRecord,
    /// Into the part.
    WritePart {
        bytes: Vec<u8>,
        offset: u64,
    },
    /// Into the file that is open for this want.
    WriteRecord(Vec<u8>),
    /// From the source to the part.
    Copy {
        from: u64,
        to: u64,
        left: u64,
    },
    TruncatePart(u64),
    SyncPart,
    SyncRecord,
    SyncArea(Area),
    Rename {
        from: Area,
        name: String,
        to: Area,
        new_name: String,
        may_be_absent: bool,
    },
    Unlink {
        area: Area,
        name: String,
    },
}

/// A want under way.
struct Job {
    ticket: Ticket,
    upload: UploadId,
    steps: VecDeque<Step>,
    /// Of the step that the shard has: what else it may say, and what follows.
    asked: Asked,
    file: Option<FileRef>,
    /// Whether it writes a piece of a body, whose memory comes back.
    is_piece: bool,
    memory: Option<Vec<u8>>,
}

/// What the shard was asked last.
#[derive(Clone, Copy)]
enum Asked {
    Part,
    File,
    CreateRecord,
    Source { to: u64, count: u32 },
    Bytes,
    Done { may_be_absent: bool },
}

/// A part, as far as it is open.
enum Part {
    /// These jobs wait for it.
    Opening(Vec<u64>),
    Open(FileRef),
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
    /// Jobs of each upload that has any.
    counts: BTreeMap<UploadId, u32>,
    asks: VecDeque<(u64, StoreAsk)>,
    finished: VecDeque<Finished>,
}

impl Store {
    /// Whether nothing is under way.
    pub(crate) fn is_idle(&self) -> bool {
        self.jobs.is_empty()
    }

    /// Begins a want. `piece` is what a [`Want::Write`] is about.
    pub(crate) fn begin(&mut self, ticket: Ticket, want: Want, piece: Vec<u8>) {
        let upload = want.upload();
        self.jobs_begun += 1;
        let id = self.jobs_begun;
        let job = Job {
            ticket,
            upload,
            is_piece: matches!(want, Want::Write { .. }),
            steps: steps_of(want, piece),
            asked: Asked::Part,
            file: None,
            memory: None,
        };
        self.jobs.insert(id, job);
        *self.counts.entry(upload).or_default() += 1;
        self.go_on(id);
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
        }
    }

    /// What came of what the shard was asked.
    pub(crate) fn answered(&mut self, id: u64, answer: StoreAnswer) {
        let Some(asked) = self.jobs.get(&id).map(|job| job.asked) else {
            return;
        };
        let result = match (asked, answer) {
            (Asked::Part, StoreAnswer::Opened(result)) => return self.part_opened(id, result),
            (Asked::CreateRecord, StoreAnswer::Opened(Err(StoreError::Exists))) => {
                self.make_room_for_record(id);
                Ok(())
            }
            (Asked::CreateRecord | Asked::File, StoreAnswer::Opened(result)) => {
                result.map(|file| self.keep_file(id, file))
            }
            (Asked::Source { to, count }, StoreAnswer::Read(result)) => {
                result.and_then(|bytes| self.copy(id, bytes, to, count))
            }
            (_, StoreAnswer::Wrote(memory, result)) => {
                self.keep_memory(id, memory);
                result
            }
            (
                Asked::Done {
                    may_be_absent: true,
                },
                StoreAnswer::Done(Err(StoreError::Absent)),
            ) => Ok(()),
            (_, StoreAnswer::Done(result)) => result,
            _ => unreachable!("the shard answers what it was asked"),
        };
        match result {
            Ok(()) => self.go_on(id),
            Err(error) => self.end(id, Err(error.into())),
        }
    }

    fn part_opened(&mut self, id: u64, result: Result<FileRef, StoreError>) {
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
                None => self.go_on(id),
                Some(error) => self.end(id, Err(error.into())),
            }
        }
    }

    /// A crash, or a failure, left an unfinished record.
    fn make_room_for_record(&mut self, id: u64) {
        if let Some(job) = self.jobs.get_mut(&id) {
            let (area, name) = (Area::Parts, new_record_name(job.upload));
            job.steps.push_front(Step::CreateRecord);
            job.steps.push_front(Step::Unlink { area, name });
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

    /// Bytes of another part came. One that has fewer than its record says was cut by somebody else.
    fn copy(&mut self, id: u64, bytes: Vec<u8>, offset: u64, count: u32) -> Result<(), StoreError> {
        if bytes.len() != count as usize {
            return Err(StoreError::Failed);
        }
        if let Some(job) = self.jobs.get_mut(&id) {
            job.steps.push_front(Step::WritePart { bytes, offset });
        }
        Ok(())
    }

    /// Asks for what comes next, or is done.
    fn go_on(&mut self, id: u64) {
        loop {
            let Some(job) = self.jobs.get_mut(&id) else {
                return;
            };
            let Some(step) = job.steps.pop_front() else {
                return self.end(id, Ok(()));
            };
            let upload = job.upload;
            let (asked, ask) = match step {
                Step::OpenPart { creates } => match self.parts.get_mut(&upload) {
                    Some(Part::Open(_)) => continue,
                    Some(Part::Opening(waiting)) => return waiting.push(id),
                    None => {
                        self.parts.insert(upload, Part::Opening(Vec::new()));
                        (Asked::Part, open(part_name(upload), creates, false))
                    }
                },
                step => self.ask_of(id, step),
            };
            let Some(job) = self.jobs.get_mut(&id) else {
                return;
            };
            job.asked = asked;
            return self.asks.push_back((id, ask));
        }
    }

    fn part(&self, upload: UploadId) -> FileRef {
        match self.parts.get(&upload) {
            Some(Part::Open(file)) => file.clone(),
            _ => unreachable!("a part is opened before anything is done with it"),
        }
    }

    fn ask_of(&mut self, id: u64, step: Step) -> (Asked, StoreAsk) {
        let upload = self.jobs[&id].upload;
        let file = || {
            let file = self.jobs[&id].file.clone();
            file.expect("a file is opened before anything is done with it")
        };
        let done = Asked::Done {
            may_be_absent: false,
        };
        match step {
            Step::OpenPart { .. } => unreachable!("it is looked at first"),
            Step::OpenSource(from) => (Asked::File, open(part_name(from), false, true)),
            Step::CreateRecord => (
                Asked::CreateRecord,
                open(new_record_name(upload), true, false),
            ),
            Step::WritePart { bytes, offset } => {
                let file = self.part(upload);
                (
                    Asked::Bytes,
                    StoreAsk::Write {
                        file,
                        bytes,
                        offset,
                    },
                )
            }
            Step::WriteRecord(bytes) => {
                let (file, offset) = (file(), 0);
                (
                    Asked::Bytes,
                    StoreAsk::Write {
                        file,
                        bytes,
                        offset,
                    },
                )
            }
            Step::Copy { from, to, left } => {
                let (file, offset) = (file(), from);
                let count = left.min(COPY_BYTES) as u32;
                let rest = left - u64::from(count);
                if let Some(job) = self.jobs.get_mut(&id).filter(|_| rest > 0) {
                    job.steps.push_front(Step::Copy {
                        from: from + u64::from(count),
                        to: to + u64::from(count),
                        left: rest,
                    });
                }
                (
                    Asked::Source { to, count },
                    StoreAsk::Read {
                        file,
                        offset,
                        count,
                    },
                )
            }
            Step::TruncatePart(bytes) => {
                let file = self.part(upload);
                (done, StoreAsk::Truncate { file, bytes })
            }
            Step::SyncPart => (done, StoreAsk::Sync(self.part(upload))),
            Step::SyncRecord => (done, StoreAsk::Sync(file())),
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
                },
            ),
            Step::Unlink { area, name } => (
                Asked::Done {
                    may_be_absent: true,
                },
                StoreAsk::Unlink { area, name },
            ),
        }
    }

    fn end(&mut self, id: u64, result: Result<(), StorageError>) {
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
        // A piece that was not written because its part could not be opened has its memory yet.
        let unwritten = job.steps.into_iter().find_map(|step| match step {
            Step::WritePart { bytes, .. } if job.is_piece => Some(bytes),
            _ => None,
        });
        self.finished.push_back(Finished {
            ticket: job.ticket,
            result,
            memory: job.memory.or(unwritten),
        });
    }
}

fn open(name: String, creates: bool, reads: bool) -> StoreAsk {
    StoreAsk::Open {
        area: Area::Parts,
        name,
        creates,
        reads,
    }
}

/// The name of an upload's part.
#[must_use]
pub fn part_name(upload: UploadId) -> String {
    format!("{upload}.part")
}

/// The name of an upload's record.
#[must_use]
pub fn record_name(upload: UploadId) -> String {
    format!("{upload}.json")
}

fn new_record_name(upload: UploadId) -> String {
    format!("{upload}.new")
}

/// The upload whose record or part has that name.
#[must_use]
pub fn upload_of(name: &str) -> Option<UploadId> {
    let (id, kind) = name.split_once('.')?;
    let id = UploadId::parse(id)?;
    matches!(kind, "part" | "json" | "new").then_some(id)
}

fn record_steps(upload: UploadId, record: Vec<u8>) -> [Step; 5] {
    [
        Step::CreateRecord,
        Step::WriteRecord(record),
        Step::SyncRecord,
        Step::Rename {
            from: Area::Parts,
            name: new_record_name(upload),
            to: Area::Parts,
            new_name: record_name(upload),
            may_be_absent: false,
        },
        Step::SyncArea(Area::Parts),
    ]
}

fn unlink(area: Area, name: String) -> Step {
    Step::Unlink { area, name }
}

fn steps_of(want: Want, piece: Vec<u8>) -> VecDeque<Step> {
    const OPEN: Step = Step::OpenPart { creates: false };
    let parts = Step::SyncArea(Area::Parts);
    let whole = Step::SyncArea(Area::Whole);
    match want {
        Want::Create { upload, record } => {
            let mut steps = VecDeque::from([Step::OpenPart { creates: true }]);
            steps.extend(record_steps(upload, record));
            steps
        }
        Want::Write { offset, .. } => {
            let bytes = piece;
            [OPEN, Step::WritePart { bytes, offset }].into()
        }
        Want::Append {
            offset,
            from,
            bytes,
            ..
        } => {
            let copy = Step::Copy {
                from: 0,
                to: offset,
                left: bytes,
            };
            let steps = [OPEN, Step::OpenSource(from), copy];
            let count = if bytes == 0 { 1 } else { steps.len() };
            steps.into_iter().take(count).collect()
        }
        Want::Truncate { bytes, .. } => [OPEN, Step::TruncatePart(bytes)].into(),
        Want::Sync { .. } => [OPEN, Step::SyncPart].into(),
        Want::Record { upload, record } => record_steps(upload, record).into(),
        Want::Finish { upload, name } => {
            let rename = Step::Rename {
                from: Area::Parts,
                name: part_name(upload),
                to: Area::Whole,
                new_name: name,
                may_be_absent: true,
            };
            [rename, whole, parts].into()
        }
        Want::Remove { upload, name } => {
            let whole_file = name.map(|name| [unlink(Area::Whole, name), whole]);
            let mut steps: VecDeque<Step> = whole_file.into_iter().flatten().collect();
            steps.push_back(unlink(Area::Parts, part_name(upload)));
            steps.push_back(unlink(Area::Parts, new_record_name(upload)));
            steps.push_back(unlink(Area::Parts, record_name(upload)));
            steps.push_back(parts);
            steps
        }
        Want::Forget { upload } => [unlink(Area::Parts, record_name(upload)), parts].into(),
    }
}
