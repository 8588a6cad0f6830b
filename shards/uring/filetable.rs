//! Open files and the directories beneath which they were opened, by number; and what is in flight about them.

use crate::arena::{Arena, FilesConfig};
use crate::sys::{set_tcp_option, tcp_option};
use crate::zerocopy::ZeroCopy;
use ringway_io::{Directory, File, FileName, Key, OpenHow, Root, SlotLease, Sparse};
use std::collections::VecDeque;
use std::ffi::CString;
use std::os::fd::{AsRawFd as _, OwnedFd, RawFd};

/// What this kernel can do beyond the floor.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Abilities {
    /// FIXED_FD_INSTALL, 6.8: without it nothing is sent by sendfile(2).
    pub(crate) installs: bool,
    /// FTRUNCATE, 6.9: without it truncating is refused, since the call might wait for the disk.
    pub(crate) truncates: bool,
    /// SEND_ZC, 6.0: without it sends from slots copy.
    pub(crate) zero_copy: bool,
}

/// An open file.
pub(crate) struct Open {
    pub(crate) fd: OwnedFd,
    /// Its close may have to wait for the disk.
    pub(crate) writes: bool,
    /// Operations in flight.
    ops: u32,
}

/// What an operation on files needs until its completion.
pub(crate) enum HeldFile {
    /// An open, and what the kernel reads of it.
    Open {
        name: CString,
        how: Box<io_uring::types::OpenHow>,
        what: OpenWhat,
    },
    /// Bytes that the kernel writes.
    Read(File, Vec<u8>),
    /// Bytes that the kernel reads.
    Write(File, Vec<u8>),
    Slot(File, SlotLease),
    /// Something about one open file.
    About(Option<File>),
    /// Names that the kernel reads.
    Names {
        file: Option<File>,
        _names: Vec<CString>,
    },
    /// The descriptor closes with its completion: the kernel has closed it by then.
    Close,
}

/// What is opened.
pub(crate) enum OpenWhat {
    Path(OpenHow),
    /// A file without a name in this directory; if the file system has none, one of this name.
    Nameless(Directory, FileName),
    Named,
}

/// Bytes of files after which a socket has shown that its reader is no slow one.
const FAST_AFTER_BYTES: u32 = 1024 * 1024;
/// Unsent bytes that the kernel holds for such a reader, as far as its socket held fewer: with a few thousand of them it would be asked anew for each.
const FAST_NOTSENT_BYTES: libc::c_int = 128 * 1024;
/// Bytes after which it is one of those for whom bulk is sent by a mebibyte: a third less work for what a gigabyte takes.
const BULK_AFTER_BYTES: u32 = 8 * 1024 * 1024;
/// Unsent bytes for such a reader.
const BULK_NOTSENT_BYTES: libc::c_int = 1024 * 1024;
/// Such readers of a shard at a time: whoever stops reading then holds as much of the kernel's memory. The others stay what they were before.
const BULK_MAX: usize = 64;

/// A descriptor of a socket, for system calls.
struct Ordinary {
    fd: OwnedFd,
    /// Bytes of files that went by it.
    went: u32,
    /// What the kernel held for it before it had shown that it is fast.
    slow_notsent_bytes: Option<libc::c_int>,
    /// It is one of [`BULK_MAX`].
    is_bulk: bool,
}

impl Ordinary {
    /// Whether the reader is one of bulk from now on, for which there may be `room`.
    fn went(&mut self, bytes: u32, room: bool) -> bool {
        let before = self.went;
        self.went = before.saturating_add(bytes);
        let passes = |mark: u32| before < mark && self.went >= mark;
        if passes(FAST_AFTER_BYTES) {
            let held = tcp_option(self.fd.as_raw_fd(), libc::TCP_NOTSENT_LOWAT);
            self.slow_notsent_bytes = held.filter(|bytes| (1..FAST_NOTSENT_BYTES).contains(bytes));
            self.hold(FAST_NOTSENT_BYTES);
        }
        if passes(BULK_AFTER_BYTES) && room && self.slow_notsent_bytes.is_some() {
            self.hold(BULK_NOTSENT_BYTES);
            self.is_bulk = true;
            return true;
        }
        false
    }

    /// Where the kernel held as many from the start, it goes on so.
    fn hold(&self, bytes: libc::c_int) {
        if self.slow_notsent_bytes.is_some() {
            set_tcp_option(self.fd.as_raw_fd(), libc::TCP_NOTSENT_LOWAT, bytes);
        }
    }

    /// The socket goes on without it, as slow as it began.
    fn retire(&self) {
        if let Some(bytes) = self.slow_notsent_bytes {
            self.hold(bytes);
        }
    }
}

/// Descriptors of sockets beside their places in the table, for system calls.
pub(crate) struct Installed {
    fds: Sparse<Ordinary>,
    /// Sockets in the order in which they were installed. One that is gone may still stand here.
    order: VecDeque<u32>,
    max: usize,
    /// How many of them are readers of bulk.
    bulk: usize,
}

impl Installed {
    pub(crate) fn get(&self, socket: u32) -> Option<RawFd> {
        self.fds.get(socket).map(|ordinary| ordinary.fd.as_raw_fd())
    }

    /// No more than so many, ever: the one that has stood longest makes way. It is never in use, as a call that uses it has returned.
    pub(crate) fn insert(&mut self, socket: u32, fd: OwnedFd) {
        if self.order.len() >= self.max
            && let Some(oldest) = self.order.pop_front()
        {
            self.retire(oldest);
        }
        self.remove(socket);
        let ordinary = Ordinary {
            fd,
            went: 0,
            slow_notsent_bytes: None,
            is_bulk: false,
        };
        self.fds.insert(socket, ordinary);
        self.order.push_back(socket);
    }

    /// So many bytes of a file went by a socket's descriptor.
    pub(crate) fn went(&mut self, socket: u32, bytes: u32) {
        let room = self.bulk < BULK_MAX;
        if let Some(ordinary) = self.fds.get_mut(socket) {
            self.bulk += usize::from(ordinary.went(bytes, room));
        }
    }

    /// The socket lives on without it.
    pub(crate) fn retire(&mut self, socket: u32) {
        if let Some(ordinary) = self.take(socket) {
            ordinary.retire();
        }
    }

    /// The socket is about to be closed, which it would not be while this is open.
    pub(crate) fn remove(&mut self, socket: u32) {
        drop(self.take(socket));
    }

    fn take(&mut self, socket: u32) -> Option<Ordinary> {
        let ordinary = self.fds.remove(socket)?;
        self.bulk -= usize::from(ordinary.is_bulk);
        Some(ordinary)
    }
}

/// Everything about files that one shard has.
pub(crate) struct Files {
    roots: Vec<OwnedFd>,
    open: Vec<Option<Open>>,
    free: Vec<u32>,
    files_max: u32,
    pub(crate) abilities: Abilities,
    pub(crate) arena: Option<Arena>,
    pub(crate) zero_copy: ZeroCopy,
    pub(crate) installed: Installed,
    /// By the slot of the operation's key.
    held: Sparse<(Key, HeldFile)>,
}

impl Files {
    /// Serves none.
    pub(crate) fn none() -> Self {
        Self {
            roots: Vec::new(),
            open: Vec::new(),
            free: Vec::new(),
            files_max: 0,
            abilities: Abilities::default(),
            arena: None,
            zero_copy: ZeroCopy::default(),
            installed: Installed {
                fds: Sparse::default(),
                order: VecDeque::new(),
                max: 0,
                bulk: 0,
            },
            held: Sparse::default(),
        }
    }

    pub(crate) fn serve(
        &mut self,
        config: &FilesConfig,
        roots: Vec<OwnedFd>,
        arena: Arena,
        abilities: Abilities,
    ) {
        self.roots = roots;
        self.files_max = config.files_max;
        self.installed.max = config.installed_max as usize;
        self.arena = Some(arena);
        if config.zero_copy && abilities.zero_copy {
            self.zero_copy = ZeroCopy::new(config.slots);
        }
        self.abilities = abilities;
    }

    pub(crate) fn root(&self, Root(root): Root) -> RawFd {
        self.roots[root as usize].as_raw_fd()
    }

    pub(crate) fn directory(&self, directory: Directory) -> RawFd {
        match directory {
            Directory::Root(root) => self.root(root),
            Directory::Opened(file) => self.fd(file),
        }
    }

    /// # Panics
    /// When it is not open.
    pub(crate) fn fd(&self, file: File) -> RawFd {
        let open = self.open[file.0 as usize].as_ref();
        open.expect("an operation names an open file")
            .fd
            .as_raw_fd()
    }

    /// A number for a file that was opened; `None` when there are too many, and then it closes.
    pub(crate) fn insert(&mut self, fd: OwnedFd, writes: bool) -> Option<File> {
        let open = Open { fd, writes, ops: 0 };
        if let Some(number) = self.free.pop() {
            self.open[number as usize] = Some(open);
            return Some(File(number));
        }
        let number = self.open.len() as u32;
        (number < self.files_max).then(|| {
            self.open.push(Some(open));
            File(number)
        })
    }

    /// Takes a file out, to close it.
    pub(crate) fn remove(&mut self, file: File) -> Open {
        let open = self.open[file.0 as usize].take();
        let open = open.expect("a file closes once");
        assert_eq!(open.ops, 0, "a file closes after its last completion");
        self.free.push(file.0);
        open
    }

    fn count(&mut self, held: &HeldFile, more: bool) {
        let (HeldFile::Read(file, _)
        | HeldFile::Write(file, _)
        | HeldFile::Slot(file, _)
        | HeldFile::About(Some(file))
        | HeldFile::Names {
            file: Some(file), ..
        }) = held
        else {
            return;
        };
        let open = self.open[file.0 as usize].as_mut();
        let open = open.expect("a file is open while something is in flight");
        open.ops = if more { open.ops + 1 } else { open.ops - 1 };
    }

    /// Holds what an operation needs from its submission on.
    pub(crate) fn hold(&mut self, key: Key, held: HeldFile) -> &HeldFile {
        self.count(&held, true);
        &self.held.insert(key.slot(), (key, held)).1
    }

    /// The terminal completion came.
    pub(crate) fn release(&mut self, key: Key) -> HeldFile {
        let (holder, held) = self
            .held
            .remove(key.slot())
            .expect("an operation ends once");
        assert_eq!(holder, key, "an operation ends under its own key");
        self.count(&held, false);
        held
    }

    /// Whether the completion under `key`, which nobody will handle, brings a descriptor.
    pub(crate) fn opens(&self, key: Key) -> bool {
        let held = self.held.get(key.slot());
        held.is_some_and(|(_, held)| matches!(held, HeldFile::Open { .. }))
    }
}

#[cfg(test)]
#[path = "filetable_tests.rs"]
mod tests;
