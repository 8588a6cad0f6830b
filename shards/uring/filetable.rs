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

/// For whom much went the kernel holds more.
struct Pace {
    /// Bytes of files after which a socket has shown that its reader is no slow one.
    after_bytes: u32,
    /// Unsent bytes that the kernel holds for such a reader, as far as its socket held fewer from the start.
    notsent_bytes: libc::c_int,
    /// Such readers of a shard at a time: whoever stops reading then holds as much of the kernel's memory. The others stay what they were before.
    readers_max: usize,
}

/// A socket that holds little is full after each piece, and each is a wake and a few calls: with a few thousand bytes it would be asked anew for each, and 256 MiB to one
/// reader cost half as much again with 128 KiB as with four mebibytes.
const PACES: [Pace; 3] = [
    Pace {
        after_bytes: MIB,
        notsent_bytes: 128 * 1024,
        readers_max: usize::MAX,
    },
    Pace {
        after_bytes: 8 * MIB,
        notsent_bytes: MIB as libc::c_int,
        readers_max: 64,
    },
    Pace {
        after_bytes: 64 * MIB,
        notsent_bytes: 4 * MIB as libc::c_int,
        readers_max: 8,
    },
];
const MIB: u32 = 1024 * 1024;

/// A descriptor of a socket, for system calls.
struct Ordinary {
    fd: OwnedFd,
    /// Bytes of files that went by it.
    went: u32,
    /// What the kernel held for it before it had shown that it is fast.
    slow_notsent_bytes: Option<libc::c_int>,
    /// Its place in [`PACES`].
    pace: Option<usize>,
}

impl Ordinary {
    /// The pace that it has shown now, if it is another one than before.
    fn went(&mut self, bytes: u32) -> Option<usize> {
        let before = self.went;
        self.went = before.saturating_add(bytes);
        let passed = |pace: &Pace| before < pace.after_bytes && self.went >= pace.after_bytes;
        PACES.iter().rposition(passed)
    }

    fn run_at(&mut self, pace: usize) {
        let notsent_bytes = PACES[pace].notsent_bytes;
        if self.pace.is_none() {
            let held = tcp_option(self.fd.as_raw_fd(), libc::TCP_NOTSENT_LOWAT);
            self.slow_notsent_bytes = held.filter(|bytes| *bytes > 0);
        }
        self.pace = Some(pace);
        if self
            .slow_notsent_bytes
            .is_some_and(|held| held < notsent_bytes)
        {
            set_tcp_option(self.fd.as_raw_fd(), libc::TCP_NOTSENT_LOWAT, notsent_bytes);
        }
    }

    /// The socket goes on without it, as slow as it began.
    fn retire(&self) {
        if let Some(bytes) = self.slow_notsent_bytes {
            set_tcp_option(self.fd.as_raw_fd(), libc::TCP_NOTSENT_LOWAT, bytes);
        }
    }
}

/// Descriptors of sockets beside their places in the table, for system calls.
pub(crate) struct Installed {
    fds: Sparse<Ordinary>,
    /// Sockets in the order in which they were installed. One that is gone may still stand here.
    order: VecDeque<u32>,
    max: usize,
    /// How many of them run at each of [`PACES`].
    readers: [usize; PACES.len()],
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
            pace: None,
        };
        self.fds.insert(socket, ordinary);
        self.order.push_back(socket);
    }

    /// So many bytes of a file went by a socket's descriptor.
    pub(crate) fn went(&mut self, socket: u32, bytes: u32) {
        let Some(ordinary) = self.fds.get_mut(socket) else {
            return;
        };
        let Some(shown) = ordinary.went(bytes) else {
            return;
        };
        // Where there is no room the next slower one will do.
        let has_room = |pace: &usize| self.readers[*pace] < PACES[*pace].readers_max;
        let pace = (0..=shown).rev().find(has_room).unwrap_or(0);
        if ordinary.pace >= Some(pace) {
            return;
        }
        if let Some(before) = ordinary.pace {
            self.readers[before] -= 1;
        }
        self.readers[pace] += 1;
        ordinary.run_at(pace);
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
        if let Some(pace) = ordinary.pace {
            self.readers[pace] -= 1;
        }
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
                readers: [0; PACES.len()],
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
