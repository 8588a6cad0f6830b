//! What the handler asks about files, and what is in flight because of it.
//!
//! Deliberately absent: the way of a file to a connection (see `transfer`).

use crate::handle::{Dropped, FileHandle, Place};
use crate::handler::{Conn, Handler};
use crate::shard::Shard;
use ringway_io::{
    Driver, Errno, FileDone, FileName, FileOp, FileStat, GENERATION_MAX, Key, Op, OpKind,
    OpenError, OpenHow, RelativePath, Root, SyncWhat,
};

/// Operations of the handler that may be under way. One more is refused: whoever asked tells its client to come again.
pub const FILE_REQUESTS_MAX: u32 = 4096;

const EIO: Errno = Errno(5);
const EAGAIN: Errno = Errno(11);

/// What a handler may ask about files.
#[derive(Debug)]
pub enum FileRequest {
    /// Open beneath a root. Outcome: [`FileOutcome::Opened`].
    Open {
        /// Beneath what.
        root: Root,
        /// Which.
        path: RelativePath,
        /// What for.
        how: OpenHow,
    },
    /// Make a file that has no name yet. Outcome: [`FileOutcome::Opened`].
    Temporary {
        /// In which directory.
        place: Place,
        /// Its name, should the file system have no files without one.
        name: FileName,
    },
    /// What an open file is now. Outcome: [`FileOutcome::Stat`].
    Stat(FileHandle),
    /// Read into memory: for what is transformed, or kept. Outcome: [`FileOutcome::Read`].
    Read {
        /// From what.
        file: FileHandle,
        /// How many bytes at most.
        count: u32,
        /// From where.
        offset: u64,
    },
    /// Write all of `bytes`. Outcome: [`FileOutcome::Wrote`].
    Write {
        /// To what.
        file: FileHandle,
        /// The bytes; they come back, so that their memory can serve again.
        bytes: Vec<u8>,
        /// Where to.
        offset: u64,
    },
    /// Outcome: [`FileOutcome::Done`], once it is on the disk.
    Sync {
        /// Which.
        file: FileHandle,
        /// How much of it.
        what: SyncWhat,
    },
    /// The names of a directory are on the disk. Outcome: [`FileOutcome::Done`].
    SyncPlace(Place),
    /// Give an open file a name, which must be free. Outcome: [`FileOutcome::Done`].
    Link {
        /// Which.
        file: FileHandle,
        /// Where.
        to: Place,
        /// The name.
        name: FileName,
    },
    /// Move a name. Outcome: [`FileOutcome::Done`].
    Rename {
        /// From where.
        from: Place,
        /// Which.
        name: FileName,
        /// Where to.
        to: Place,
        /// The new name.
        new_name: FileName,
        /// Whether a file that has the new name loses it.
        replaces: bool,
    },
    /// Remove a name. Outcome: [`FileOutcome::Done`].
    Unlink {
        /// Where.
        place: Place,
        /// Which.
        name: FileName,
    },
    /// Make it so long. Outcome: [`FileOutcome::Done`].
    Truncate {
        /// Which.
        file: FileHandle,
        /// Bytes.
        size: u64,
    },
}

/// A file that was opened for the handler.
#[derive(Clone, Debug)]
pub struct OpenedFile {
    /// The file, open until the last clone of this is dropped.
    pub file: FileHandle,
    /// What it was when it was opened.
    pub stat: FileStat,
    /// Whether a temporary has a name, which must be removed if it is given up.
    pub named: bool,
}

/// What an open file is now.
#[derive(Clone, Copy, Debug)]
pub struct Looked {
    /// All that is known of it.
    pub stat: FileStat,
    /// Whether its bytes may be taken for those that it was opened with, and others have only come behind them.
    pub has_its_bytes: bool,
}

/// What came of a [`FileRequest`].
#[derive(Debug)]
pub enum FileOutcome {
    /// Of an open. Who does not want it any more drops it.
    Opened(Result<OpenedFile, OpenError>),
    /// Of a stat.
    Stat(Result<Looked, Errno>),
    /// Of a read: all that was asked for, or what there is before the file's end.
    Read(Result<Vec<u8>, Errno>),
    /// Of a write: all of it, or how much of it at least before the error.
    Wrote {
        /// The memory.
        bytes: Vec<u8>,
        /// Bytes that were written.
        count: u32,
        /// Why no more were.
        result: Result<(), Errno>,
    },
    /// Of what either worked or did not.
    Done(Result<(), Errno>),
}

/// What an operation in flight is for. Handles in it keep their files open.
pub(crate) enum Work {
    /// The handler's, about these files.
    Asked {
        token: u64,
        files: [Option<FileHandle>; 2],
    },
    /// The handler's, which goes on until all of it is read.
    Read {
        token: u64,
        file: FileHandle,
        offset: u64,
        /// What was read before.
        filled: Vec<u8>,
    },
    /// The handler's, which goes on until all of it is written.
    Write {
        token: u64,
        file: FileHandle,
        offset: u64,
        written: u32,
    },
    /// A transfer's read into a slot.
    Slot {
        conn: Conn,
        _file: FileHandle,
        offset: u64,
    },
    /// A transfer's: whether the file is still what it was.
    Check { conn: Conn, _file: FileHandle },
    /// The loop's own.
    Close,
}

/// Operations on files that are in flight, by the slot and the generation of their keys.
#[derive(Default)]
pub(crate) struct FileWorks {
    works: Vec<(u32, Option<Work>)>,
    free: Vec<u32>,
    /// Those of the handler.
    asked: u32,
    /// Files that nobody has a handle of.
    pub(crate) dropped: Dropped,
}

impl FileWorks {
    fn begin(&mut self, work: Work) -> Key {
        let slot = self.free.pop().unwrap_or_else(|| {
            self.works.push((0, None));
            (self.works.len() - 1) as u32
        });
        self.asked += u32::from(work.is_asked());
        let (generation, place) = &mut self.works[slot as usize];
        *place = Some(work);
        Key::new(OpKind::File, *generation, slot)
    }

    fn end(&mut self, key: Key) -> Work {
        let (generation, place) = &mut self.works[key.slot() as usize];
        assert_eq!(*generation, key.generation(), "an operation ends once");
        let work = place.take().expect("an operation ends once");
        *generation = (*generation + 1) & GENERATION_MAX;
        self.free.push(key.slot());
        self.asked -= u32::from(work.is_asked());
        work
    }

    /// Whether nothing is in flight.
    pub(crate) const fn is_idle(&self) -> bool {
        self.free.len() == self.works.len()
    }
}

impl Work {
    const fn is_asked(&self) -> bool {
        matches!(
            self,
            Self::Asked { .. } | Self::Read { .. } | Self::Write { .. }
        )
    }
}

/// What is said when there is too much to do.
fn refused(request: FileRequest) -> FileOutcome {
    match request {
        FileRequest::Open { .. } | FileRequest::Temporary { .. } => {
            FileOutcome::Opened(Err(OpenError::Exhausted))
        }
        FileRequest::Stat(_) => FileOutcome::Stat(Err(EAGAIN)),
        FileRequest::Read { .. } => FileOutcome::Read(Err(EAGAIN)),
        FileRequest::Write { bytes, .. } => FileOutcome::Wrote {
            bytes,
            count: 0,
            result: Err(EAGAIN),
        },
        _ => FileOutcome::Done(Err(EAGAIN)),
    }
}

fn opened_of(place: &Place) -> Option<FileHandle> {
    match place {
        Place::Root(_) => None,
        Place::Opened(file) => Some(file.clone()),
    }
}

/// What a request is to the driver, and what it has to do with. Reads and writes go on by themselves.
fn work_of(token: u64, request: FileRequest) -> (Work, FileOp) {
    let (files, op) = match request {
        FileRequest::Open { root, path, how } => ([None, None], FileOp::Open { root, path, how }),
        FileRequest::Temporary { place, name } => {
            let directory = place.directory();
            (
                [opened_of(&place), None],
                FileOp::Temporary { directory, name },
            )
        }
        FileRequest::Stat(handle) => {
            let file = handle.file();
            ([Some(handle), None], FileOp::Stat { file })
        }
        FileRequest::Read {
            file,
            count,
            offset,
        } => return read_on(token, file, offset, (Vec::new(), vec![0; count as usize])),
        FileRequest::Write {
            file,
            bytes,
            offset,
        } => return write_on(token, file, offset, (bytes, 0)),
        FileRequest::Sync { file: handle, what } => {
            let file = handle.file();
            ([Some(handle), None], FileOp::Sync { file, what })
        }
        FileRequest::SyncPlace(place) => {
            let directory = place.directory();
            (
                [opened_of(&place), None],
                FileOp::SyncDirectory { directory },
            )
        }
        FileRequest::Link {
            file: handle,
            to: place,
            name,
        } => {
            let (file, to) = (handle.file(), place.directory());
            (
                [Some(handle), opened_of(&place)],
                FileOp::Link { file, to, name },
            )
        }
        FileRequest::Rename {
            from,
            name,
            to,
            new_name,
            replaces,
        } => (
            [opened_of(&from), opened_of(&to)],
            FileOp::Rename {
                from: from.directory(),
                name,
                to: to.directory(),
                new_name,
                replaces,
            },
        ),
        FileRequest::Unlink { place, name } => {
            let directory = place.directory();
            (
                [opened_of(&place), None],
                FileOp::Unlink { directory, name },
            )
        }
        FileRequest::Truncate { file: handle, size } => {
            let file = handle.file();
            ([Some(handle), None], FileOp::Truncate { file, size })
        }
    };
    (Work::Asked { token, files }, op)
}

fn read_on(
    token: u64,
    file: FileHandle,
    offset: u64,
    (filled, bytes): (Vec<u8>, Vec<u8>),
) -> (Work, FileOp) {
    let op = FileOp::Read {
        file: file.file(),
        bytes,
        offset: offset + filled.len() as u64,
    };
    let work = Work::Read {
        token,
        file,
        offset,
        filled,
    };
    (work, op)
}

fn write_on(
    token: u64,
    file: FileHandle,
    offset: u64,
    (bytes, written): (Vec<u8>, u32),
) -> (Work, FileOp) {
    let op = FileOp::Write {
        file: file.file(),
        bytes,
        from: written,
        offset: offset + u64::from(written),
    };
    let work = Work::Write {
        token,
        file,
        offset,
        written,
    };
    (work, op)
}

impl<D: Driver, H: Handler> Shard<D, H> {
    pub(crate) fn ask_file(&mut self, token: u64, request: FileRequest) {
        if self.files.asked >= FILE_REQUESTS_MAX {
            self.stats.file_requests_refused += 1;
            let outcome = refused(request);
            return self.call(|handler, cx| handler.file(cx, token, outcome));
        }
        let (work, op) = work_of(token, request);
        self.submit_file(work, op);
    }

    pub(crate) fn submit_file(&mut self, work: Work, op: FileOp) {
        let key = self.files.begin(work);
        self.stats.file_operations += 1;
        self.driver.submit(key, Op::File(Box::new(op)));
    }

    pub(crate) fn file_done(&mut self, key: Key, done: FileDone) {
        let work = self.files.end(key);
        match (work, done) {
            (Work::Close, _) => self.stats.files_open -= 1,
            (Work::Slot { conn, offset, .. }, FileDone::SlotRead { slot, result }) => {
                self.slot_read(conn, offset, slot, result);
            }
            (Work::Check { conn, .. }, FileDone::Stat(result)) => {
                self.transfer_checked(conn, result);
            }
            (
                Work::Read {
                    token,
                    file,
                    offset,
                    filled,
                },
                FileDone::Read { bytes, result },
            ) => self.read_part((token, file, offset), filled, bytes, result),
            (
                Work::Write {
                    token,
                    file,
                    offset,
                    written,
                },
                FileDone::Wrote { bytes, result },
            ) => self.wrote_part((token, file, offset), written, bytes, result),
            (
                Work::Asked {
                    token,
                    files: [file, _],
                },
                done,
            ) => {
                self.answer_file(token, file.as_ref(), done);
            }
            (_, other) => unreachable!("{other:?} is the end of another operation"),
        }
    }

    fn answer_file(&mut self, token: u64, file: Option<&FileHandle>, done: FileDone) {
        let now = self.now().monotonic;
        let look = |stat: FileStat| Looked {
            stat,
            has_its_bytes: file.is_some_and(|file| file.look(&stat, now)),
        };
        let outcome = match done {
            FileDone::Opened(result) => FileOutcome::Opened(result.map(|opened| {
                self.stats.files_open += 1;
                OpenedFile {
                    file: FileHandle::new(opened.file, opened.stat, now, &self.files.dropped),
                    stat: opened.stat,
                    named: opened.named,
                }
            })),
            FileDone::Stat(result) => FileOutcome::Stat(result.map(look)),
            FileDone::Done(result) => FileOutcome::Done(result),
            other => unreachable!("{other:?} is the end of another operation"),
        };
        self.call(|handler, cx| handler.file(cx, token, outcome));
    }

    /// A read may be short although there is more; only nothing at all is the file's end.
    fn read_part(
        &mut self,
        (token, file, offset): (u64, FileHandle, u64),
        mut filled: Vec<u8>,
        mut bytes: Vec<u8>,
        result: Result<u32, Errno>,
    ) {
        let count = match result {
            Ok(count) => count as usize,
            Err(errno) => {
                let outcome = FileOutcome::Read(Err(errno));
                return self.call(|handler, cx| handler.file(cx, token, outcome));
            }
        };
        let is_whole = count == bytes.len() || count == 0;
        let rest = bytes.len() - count;
        bytes.truncate(count);
        if filled.is_empty() {
            filled = bytes;
        } else {
            filled.extend_from_slice(&bytes);
        }
        if is_whole {
            let outcome = FileOutcome::Read(Ok(filled));
            return self.call(|handler, cx| handler.file(cx, token, outcome));
        }
        let (work, op) = read_on(token, file, offset, (filled, vec![0; rest]));
        self.submit_file(work, op);
    }

    fn wrote_part(
        &mut self,
        (token, file, offset): (u64, FileHandle, u64),
        before: u32,
        bytes: Vec<u8>,
        result: Result<u32, Errno>,
    ) {
        let count = before + result.unwrap_or(0);
        let is_whole = count as usize == bytes.len();
        if !is_whole && result.is_ok_and(|now| now > 0) {
            let (work, op) = write_on(token, file, offset, (bytes, count));
            return self.submit_file(work, op);
        }
        // A file that takes nothing and says nothing would be asked for ever.
        let result = match result {
            Ok(_) if is_whole => Ok(()),
            Ok(_) => Err(EIO),
            Err(errno) => Err(errno),
        };
        let outcome = FileOutcome::Wrote {
            bytes,
            count,
            result,
        };
        self.call(|handler, cx| handler.file(cx, token, outcome));
    }

    /// Files whose last handle went in this lap.
    pub(crate) fn close_dropped(&mut self) {
        while let Some(file) = self.next_dropped() {
            self.submit_file(Work::Close, FileOp::Close { file });
        }
    }

    fn next_dropped(&self) -> Option<ringway_io::File> {
        self.files.dropped.borrow_mut().pop()
    }
}
