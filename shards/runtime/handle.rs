//! Open files as the handler has them: counted, and closed by the loop when the last handle is gone.
//!
//! Why not closed by a command: a file is opened for a connection that may end at any moment, before or after the answer comes. Whoever forgot one case would
//! leak a descriptor; of a value that is dropped with its connection nobody can forget it.

use core::cell::{Cell, RefCell};
use core::ops::Range;
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
    /// What of it was in memory a moment ago, as whoever was sent it found.
    warm: Cell<Warm>,
    dropped: Dropped,
}

/// Bytes in one piece, and since when.
#[derive(Clone, Copy, Default)]
struct Warm {
    from: u64,
    to: u64,
    since: Duration,
}

/// How long bytes of a file are taken to be in memory that were seen there: what was just read is not the first that a kernel without memory takes away.
pub(crate) const KNOWN_FOR: Duration = Duration::from_millis(50);

impl Drop for Counted {
    fn drop(&mut self) {
        self.dropped.borrow_mut().push(self.file);
    }
}

/// An open file of this shard. Clones are the same file; the loop has one of its own for every transfer and operation that is under way, so a handle may be
/// dropped as soon as its file was given away.
#[derive(Clone)]
pub struct FileHandle(Rc<Counted>);

impl Warm {
    fn is_fresh(&self, now: Duration) -> bool {
        now.saturating_sub(self.since) < KNOWN_FOR
    }
}

impl FileHandle {
    pub(crate) fn new(file: File, stat: FileStat, now: Duration, dropped: &Dropped) -> Self {
        let dropped = dropped.clone();
        Self(Rc::new(Counted {
            file,
            stat,
            seen_at: Cell::new(now),
            warm: Cell::default(),
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

    /// These bytes went out of memory. What joins on to what others were sent is known as long as that.
    pub(crate) fn went(&self, bytes: &Range<u64>, now: Duration) {
        let before = self.0.warm.get();
        let joins = before.is_fresh(now) && (before.from..=before.to).contains(&bytes.start);
        self.0.warm.set(match joins {
            true => Warm {
                to: before.to.max(bytes.end),
                ..before
            },
            false => Warm {
                from: bytes.start,
                to: bytes.end,
                since: now,
            },
        });
    }

    /// How many bytes from there on were in memory a moment ago.
    pub(crate) fn warm_bytes(&self, at: u64, now: Duration) -> u64 {
        let warm = self.0.warm.get();
        let is_in = warm.is_fresh(now) && (warm.from..warm.to).contains(&at);
        if is_in { warm.to - at } else { 0 }
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
