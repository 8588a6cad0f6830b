//! Open files as the handler has them: counted, and closed by the loop when the last handle is gone.
//!
//! Why not closed by a command: a file is opened for a connection that may end at any moment, before or after the answer comes. Whoever forgot one case would
//! leak a descriptor; of a value that is dropped with its connection nobody can forget it.

use core::cell::{Cell, RefCell};
use core::time::Duration;
use ringway_io::{Directory, File, FileStat, Root};
use std::rc::Rc;

/// Files that nobody has a handle of any more, until the loop closes them at the end of the lap.
pub(crate) type Dropped = Rc<RefCell<Vec<File>>>;

struct Counted {
    file: File,
    /// What it was when it was opened.
    stat: FileStat,
    /// When it was last seen to have the bytes that it was opened with.
    seen_at: Cell<Duration>,
    dropped: Dropped,
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.dropped.borrow_mut().push(self.file);
    }
}

/// An open file of this shard. Clones are the same file; the loop has one of its own for every transfer and operation that is under way, so a handle may be
/// dropped as soon as its file was given away.
#[derive(Clone)]
pub struct FileHandle(Rc<Counted>);

impl FileHandle {
    pub(crate) fn new(file: File, stat: FileStat, now: Duration, dropped: &Dropped) -> Self {
        let dropped = dropped.clone();
        Self(Rc::new(Counted {
            file,
            stat,
            seen_at: Cell::new(now),
            dropped,
        }))
    }

    /// It was looked at. Whether its bytes may be taken for those that it was opened with. What else changes of a file, such as its last name when another one replaces it, is
    /// not asked. A file that grew is taken to have been appended to: a log that is written all the time could never be had otherwise.
    pub(crate) fn look(&self, stat: &FileStat, now: Duration) -> bool {
        let then = &self.0.stat;
        let has_its_bytes = stat.size > then.size || stat.has_bytes_of(then);
        if has_its_bytes {
            self.0.seen_at.set(now);
        }
        has_its_bytes
    }

    /// When it was last seen to have them: by whoever it was, for all who are sent it.
    pub(crate) fn seen_at(&self) -> Duration {
        self.0.seen_at.get()
    }

    pub(crate) fn bytes(&self) -> u64 {
        self.0.stat.size
    }

    pub(crate) fn file(&self) -> File {
        self.0.file
    }
}

impl core::fmt::Debug for FileHandle {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "FileHandle({})", self.0.file.0)
    }
}

/// A directory in which names are made, moved and removed.
#[derive(Clone, Debug)]
pub enum Place {
    /// One of those that the driver was given at its start.
    Root(Root),
    /// One that was opened.
    Opened(FileHandle),
}

impl Place {
    pub(crate) fn directory(&self) -> Directory {
        match self {
            Self::Root(root) => Directory::Root(*root),
            Self::Opened(file) => Directory::Opened(file.file()),
        }
    }
}
