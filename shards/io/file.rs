//! Files: what names them, what may be asked about them, and what comes of it.
//!
//! Files are opened beneath directories that the driver was given at its start, as listeners are, and never by a path of the whole system. Deliberately
//! absent: who may open what, and what a name means.

use crate::{Errno, SlotLease};
use std::ffi::CString;

/// The longest path, without the zero behind it (PATH_MAX).
pub const PATH_BYTES_MAX: usize = 4095;
/// The longest name of one component (NAME_MAX).
pub const NAME_BYTES_MAX: usize = 255;

/// A directory that the driver was given at its start, by its index in that order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Root(pub u32);

/// An open file of this driver. Whoever opened it closes it ([`FileOp::Close`]); after that the number may name another file, so the loop gives out
/// counted handles and never this.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct File(pub u32);

/// Where a name is looked up or made.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Directory {
    /// A directory of the start.
    Root(Root),
    /// One that was opened by [`OpenHow::Directory`].
    Opened(File),
}

/// A path beneath a root: relative, not empty, without a zero byte and not too long. Whether it stays beneath the root is the kernel's decision, at the
/// moment at which it is opened: no look at the text could know where symbolic links lead.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct RelativePath(CString);

impl RelativePath {
    /// `None` for what no file beneath a root can be called.
    #[must_use]
    pub fn new(bytes: &[u8]) -> Option<Self> {
        let is_relative = !bytes.is_empty() && bytes[0] != b'/';
        (is_relative && bytes.len() <= PATH_BYTES_MAX)
            .then(|| CString::new(bytes).ok().map(Self))
            .flatten()
    }

    /// The path as the kernel reads it.
    #[must_use]
    pub fn as_c_str(&self) -> &core::ffi::CStr {
        &self.0
    }
}

/// The name of one entry of a directory: no slash, no zero byte, neither `.` nor `..`. Names that are made, moved or removed are of this kind, since
/// the kernel has no way of resolving a path beneath a root for those.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct FileName(CString);

impl FileName {
    /// `None` for what is not the name of one entry.
    #[must_use]
    pub fn new(bytes: &[u8]) -> Option<Self> {
        let is_one = !matches!(bytes, b"" | b"." | b"..") && !bytes.contains(&b'/');
        (is_one && bytes.len() <= NAME_BYTES_MAX)
            .then(|| CString::new(bytes).ok().map(Self))
            .flatten()
    }

    /// The name as the kernel reads it.
    #[must_use]
    pub fn as_c_str(&self) -> &core::ffi::CStr {
        &self.0
    }
}

/// What a name turned out to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum FileKind {
    /// A regular file: the only kind that is given out, but for directories that were asked for.
    Regular,
    /// A directory.
    Directory,
    /// A device, a FIFO, a socket, or a symbolic link that is not followed.
    Special,
}

/// What the file system says about an open file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FileStat {
    /// What it is.
    pub kind: FileKind,
    /// Bytes.
    pub size: u64,
    /// When its contents last changed, in nanoseconds since the Unix epoch.
    pub modified_ns: i128,
    /// When anything of it last changed, likewise: nobody can set this one back.
    pub changed_ns: i128,
    /// Its number in its file system.
    pub inode: u64,
    /// Its file system.
    pub device: u64,
    /// Names that it has: none once it was replaced or removed while it is open.
    pub links: u64,
    /// Who may do what with it, as one number: another one when its mode or its owner is.
    pub permissions: u128,
}

impl FileStat {
    /// Whether a file that was open all the while has the bytes that it had `then`, as far as that can be seen without reading it.
    ///
    /// Whoever writes can set back when the file was modified, but not when it changed. That moves also for a name or permissions more or less, and is no
    /// reason to think of other bytes then. A file that got another name in place of the one it had looks like one that was written.
    #[must_use]
    pub fn has_bytes_of(&self, then: &Self) -> bool {
        let bytes = |stat: &Self| (stat.size, stat.modified_ns);
        let standing = |stat: &Self| (stat.links, stat.permissions);
        bytes(self) == bytes(then)
            && (self.changed_ns == then.changed_ns || standing(self) != standing(then))
    }
}

/// Whether symbolic links on the way are followed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Symlinks {
    /// As long as they stay beneath the root.
    Beneath,
    /// None.
    Refused,
}

/// What a file is opened for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OpenHow {
    /// To read a regular file.
    Read(Symlinks),
    /// To go on writing a regular file that there is.
    Write,
    /// To make a regular file, which must not exist, and write it.
    Create,
    /// To name entries in it, and to sync it.
    Directory,
}

/// A file that was opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Opened {
    /// The file.
    pub file: File,
    /// What it was when it was opened.
    pub stat: FileStat,
    /// Whether a temporary has a name: its file system has none without one, so it is renamed into place and must be removed if it is given up.
    pub named: bool,
}

/// Why a file was not opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OpenError {
    /// There is none by that name.
    Absent,
    /// There is one already.
    Exists,
    /// This process may not.
    Denied,
    /// The path leads out of the root, or over a symbolic link that is not followed.
    Escapes,
    /// A name is longer than the file system allows.
    NameTooLong,
    /// It is something else than was asked for; it was closed again.
    Unfit(FileKind),
    /// Too many files are open.
    Exhausted,
    /// The file system is full.
    Full,
    /// Something else.
    Failed(Errno),
}

const EPERM: i32 = 1;
const ENOENT: i32 = 2;
const ENXIO: i32 = 6;
const ENOMEM: i32 = 12;
const EACCES: i32 = 13;
const EEXIST: i32 = 17;
const EXDEV: i32 = 18;
const ENODEV: i32 = 19;
const ENOTDIR: i32 = 20;
const EISDIR: i32 = 21;
const ENFILE: i32 = 23;
const EMFILE: i32 = 24;
const ENOSPC: i32 = 28;
const ENAMETOOLONG: i32 = 36;
const ELOOP: i32 = 40;
const EDQUOT: i32 = 122;

impl OpenError {
    /// What the kernel's error says about the name.
    #[must_use]
    pub const fn of(errno: Errno) -> Self {
        match errno.0 {
            ENOENT | ENOTDIR => Self::Absent,
            EEXIST => Self::Exists,
            EPERM | EACCES => Self::Denied,
            EXDEV | ELOOP => Self::Escapes,
            ENAMETOOLONG => Self::NameTooLong,
            EISDIR => Self::Unfit(FileKind::Directory),
            // A socket, or a device that is not there.
            ENXIO | ENODEV => Self::Unfit(FileKind::Special),
            EMFILE | ENFILE | ENOMEM => Self::Exhausted,
            ENOSPC | EDQUOT => Self::Full,
            _ => Self::Failed(errno),
        }
    }
}

/// What must be on the disk when a sync ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SyncWhat {
    /// The bytes, and what is needed to find them (fdatasync).
    Data,
    /// Everything about the file (fsync).
    All,
}

/// An operation on files. The key's kind is `File` for all of them, and its slot and generation are the loop's own.
#[derive(Debug)]
pub enum FileOp {
    /// Open beneath a root. Never hangs on what is no file: that is closed again and named. Outcome: [`FileDone::Opened`].
    Open {
        /// Beneath what.
        root: Root,
        /// Which.
        path: RelativePath,
        /// What for.
        how: OpenHow,
    },
    /// Make a file without a name, to be linked into place; where the file system has no such files, one by the name given. Outcome: [`FileDone::Opened`].
    Temporary {
        /// In which directory, and so on which file system.
        directory: Directory,
        /// Its name, if it must have one.
        name: FileName,
    },
    /// What it is now. Outcome: [`FileDone::Stat`].
    Stat {
        /// Which.
        file: File,
    },
    /// Read into memory, as many bytes as there are in `bytes`. Outcome: [`FileDone::Read`], perhaps with fewer.
    Read {
        /// From what.
        file: File,
        /// Where to; held by the driver until the completion, which brings it back.
        bytes: Vec<u8>,
        /// From where.
        offset: u64,
    },
    /// Read into a slot. Outcome: [`FileDone::SlotRead`], perhaps with fewer bytes.
    ReadSlot {
        /// From what.
        file: File,
        /// Where to; the completion brings it back.
        slot: SlotLease,
        /// How many bytes, at most a slot's.
        count: u32,
        /// From where.
        offset: u64,
    },
    /// Write what stands in `bytes` from `from` on. Outcome: [`FileDone::Wrote`], perhaps with fewer.
    Write {
        /// To what.
        file: File,
        /// The bytes; held by the driver until the completion, which brings them back.
        bytes: Vec<u8>,
        /// How many of them were written before.
        from: u32,
        /// Where the first of those that are written now goes.
        offset: u64,
    },
    /// Outcome: [`FileDone::Done`], once it is on the disk.
    Sync {
        /// Which.
        file: File,
        /// How much of it.
        what: SyncWhat,
    },
    /// Names that were made, moved or removed in a directory are on the disk. Outcome: [`FileDone::Done`].
    SyncDirectory {
        /// Which.
        directory: Directory,
    },
    /// Give an open file a name, which must be free. Outcome: [`FileDone::Done`].
    Link {
        /// Which.
        file: File,
        /// Where.
        to: Directory,
        /// The name.
        name: FileName,
    },
    /// Move a name. Outcome: [`FileDone::Done`].
    Rename {
        /// From where.
        from: Directory,
        /// Which.
        name: FileName,
        /// Where to.
        to: Directory,
        /// The new name.
        new_name: FileName,
        /// Whether a file that has the new name loses it; else it must be free.
        replaces: bool,
    },
    /// Remove a name of a file. Outcome: [`FileDone::Done`].
    Unlink {
        /// Where.
        directory: Directory,
        /// Which.
        name: FileName,
    },
    /// Make it so long. Outcome: [`FileDone::Done`].
    Truncate {
        /// Which.
        file: File,
        /// Bytes.
        size: u64,
    },
    /// Close. Only after the last completion of everything else on this file. Outcome: [`FileDone::Closed`].
    Close {
        /// Which.
        file: File,
    },
}

/// What came of a [`FileOp`].
#[derive(Debug)]
pub enum FileDone {
    /// Of an open.
    Opened(Result<Opened, OpenError>),
    /// Of a stat.
    Stat(Result<FileStat, Errno>),
    /// Of a read: how many bytes; none at the file's end.
    Read {
        /// The memory.
        bytes: Vec<u8>,
        /// How much of it was filled.
        result: Result<u32, Errno>,
    },
    /// Of a read into a slot: how many bytes; none at the file's end.
    SlotRead {
        /// The slot.
        slot: SlotLease,
        /// How much of it was filled.
        result: Result<u32, Errno>,
    },
    /// Of a write: how many bytes.
    Wrote {
        /// The memory.
        bytes: Vec<u8>,
        /// How much of it was written now.
        result: Result<u32, Errno>,
    },
    /// Of what either worked or did not.
    Done(Result<(), Errno>),
    /// Of a close.
    Closed,
}

/// How a send from a file ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FileSend {
    /// So many bytes went, at least one.
    Went(u32),
    /// Nothing stands in the way any more that did: ask again.
    Again,
    /// The socket takes nothing now: wait for [`crate::Outcome::Writable`].
    Blocked,
    /// Not by this way: the bytes are not in memory, or nobody can say whether they are. Read them into a slot.
    Cold,
    /// The file has no byte there.
    End,
    /// The socket or the file failed.
    Failed(Errno),
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_is_relative_and_has_no_zero() {
        let long = [b'a'; PATH_BYTES_MAX + 1];
        for refused in [&b""[..], b"/etc", b"a\0b", &long] {
            assert_eq!(RelativePath::new(refused), None);
        }
        for taken in [&b"a"[..], b"a/../b", b"\xff", &long[1..]] {
            assert!(
                RelativePath::new(taken).is_some_and(|path| path.as_c_str().to_bytes() == taken)
            );
        }
    }

    #[test]
    fn a_name_is_one_entry() {
        let long = [b'a'; NAME_BYTES_MAX + 1];
        for refused in [&b""[..], b".", b"..", b"a/b", b"/", b"a\0", &long] {
            assert_eq!(FileName::new(refused), None);
        }
        for taken in [&b"a"[..], b"...", b".a", &long[1..]] {
            assert!(FileName::new(taken).is_some_and(|name| name.as_c_str().to_bytes() == taken));
        }
    }
}
