//! Operations on files: entries of the ring, but for what never waits.
//!
//! Opening, reading and writing try at once and go to a thread of the kernel's when they would wait, so that no lap does. Names are made, moved and removed
//! by such a thread always. Deliberately absent: the way of a file's bytes to a socket without a copy (see `sendfile`).

use crate::driver::{UringDriver, count_or_errno};
use crate::filetable::{Files, HeldFile, OpenWhat};
use crate::inflight::{FromFile, HeldSend};
use crate::sendfile::{send_file, set_nonblocking};
use core::ffi::CStr;
use io_uring::types::FsyncFlags;
use io_uring::{opcode, squeue, types};
use ringway_io::{
    Completion, Directory, Errno, File, FileDone, FileKind, FileName, FileOp, FileSend, FileStat,
    Key, OpenError, OpenHow, Opened, Outcome, RelativePath, Root, SlotLease, Symlinks, SyncWhat,
};
use std::ffi::CString;
use std::io;
use std::os::fd::{AsRawFd as _, FromRawFd as _, IntoRawFd as _, OwnedFd, RawFd};

/// Who may read and write what is made here: its owner, and its group reads.
const NEW_FILE_MODE: u64 = 0o640;

fn how(flags: i32, resolve: u64) -> types::OpenHow {
    // A FIFO would else wait for its other end, and a terminal become this process's own.
    let always = libc::O_CLOEXEC | libc::O_NONBLOCK | libc::O_NOCTTY;
    let mode = if flags & (libc::O_CREAT | libc::O_TMPFILE) & !libc::O_DIRECTORY == 0 {
        0
    } else {
        NEW_FILE_MODE
    };
    types::OpenHow::new()
        .flags((flags | always) as u64)
        .mode(mode)
        .resolve(libc::RESOLVE_BENEATH | libc::RESOLVE_NO_MAGICLINKS | resolve)
}

fn how_to(open: OpenHow) -> types::OpenHow {
    match open {
        OpenHow::Read(Symlinks::Beneath) => how(libc::O_RDONLY, 0),
        OpenHow::Read(Symlinks::Refused) => how(libc::O_RDONLY, libc::RESOLVE_NO_SYMLINKS),
        OpenHow::Write => how(libc::O_RDWR, libc::RESOLVE_NO_SYMLINKS),
        OpenHow::Create => how(
            libc::O_RDWR | libc::O_CREAT | libc::O_EXCL,
            libc::RESOLVE_NO_SYMLINKS,
        ),
        OpenHow::Directory => how(
            libc::O_RDONLY | libc::O_DIRECTORY,
            libc::RESOLVE_NO_SYMLINKS,
        ),
    }
}

const fn kind_of(mode: u32) -> FileKind {
    match mode & libc::S_IFMT {
        libc::S_IFREG => FileKind::Regular,
        libc::S_IFDIR => FileKind::Directory,
        _ => FileKind::Special,
    }
}

/// What the kernel knows of an open file, without asking a server for it.
fn stat(fd: RawFd) -> Result<FileStat, Errno> {
    // SAFETY: a statx of zeroes is a valid value.
    let mut stat = unsafe { core::mem::zeroed::<libc::statx>() };
    let flags = libc::AT_EMPTY_PATH | libc::AT_STATX_DONT_SYNC;
    // SAFETY: an empty name and the struct, both of which live during the call.
    let result = unsafe {
        libc::statx(
            fd,
            c"".as_ptr(),
            flags,
            libc::STATX_BASIC_STATS,
            &raw mut stat,
        )
    };
    if result != 0 {
        return Err(last_errno());
    }
    let nanoseconds =
        |at: &libc::statx_timestamp| i128::from(at.tv_sec) * 1_000_000_000 + i128::from(at.tv_nsec);
    Ok(FileStat {
        kind: kind_of(u32::from(stat.stx_mode)),
        size: stat.stx_size,
        modified_ns: nanoseconds(&stat.stx_mtime),
        changed_ns: nanoseconds(&stat.stx_ctime),
        inode: stat.stx_ino,
        device: libc::makedev(stat.stx_dev_major, stat.stx_dev_minor),
        links: u64::from(stat.stx_nlink),
        permissions: u128::from(stat.stx_mode)
            | u128::from(stat.stx_uid) << 32
            | u128::from(stat.stx_gid) << 64,
    })
}

fn last_errno() -> Errno {
    Errno(io::Error::last_os_error().raw_os_error().unwrap_or(0))
}

/// Reads of a regular file wait as they should: what was said to the open was for what is none.
fn clear_nonblock(fd: RawFd) {
    // SAFETY: no memory is involved.
    unsafe { libc::fcntl(fd, libc::F_SETFL, 0) };
}

/// A file system that has no files without a name (EOPNOTSUPP), or has never heard of them.
const fn has_no_nameless(errno: Errno) -> bool {
    matches!(errno.0, libc::EOPNOTSUPP | libc::EISDIR | libc::ENOENT)
}

fn fd_name(fd: RawFd) -> CString {
    CString::new(format!("/proc/self/fd/{fd}")).expect("digits have no zero byte")
}

/// Takes the descriptor that a completion brings.
pub(crate) fn adopt(result: u32) -> OwnedFd {
    // SAFETY: the kernel has just made it for the operation of which this is the result; each completion is looked at once, and nobody else knows it.
    unsafe { OwnedFd::from_raw_fd(result as RawFd) }
}

impl UringDriver {
    fn files(&mut self) -> &mut Files {
        &mut self.memory.files
    }

    /// # Safety
    /// `entry` names memory of what is held under `key` only, and of that nothing which moves when a box, a vector or a string does.
    unsafe fn push_file(&mut self, key: Key, entry: squeue::Entry) {
        // SAFETY: `Files` holds what the caller named until `release`, which only the terminal completion calls.
        unsafe { self.ring.push(entry, key.to_bits()) };
    }

    fn tell_file(&mut self, key: Key, done: FileDone) {
        let outcome = Outcome::File(Box::new(done));
        self.backlog.push_back(Completion { key, outcome });
    }

    pub(crate) fn file_op(&mut self, key: Key, op: FileOp) {
        match op {
            FileOp::Open { root, path, how } => self.open(key, root, &path, how),
            FileOp::Temporary { directory, name } => self.open_nameless(key, directory, name),
            FileOp::Stat { file } => {
                let stat = stat(self.files().fd(file));
                self.tell_file(key, FileDone::Stat(stat));
            }
            FileOp::Read {
                file,
                bytes,
                offset,
            } => self.read(key, file, bytes, offset),
            FileOp::ReadSlot {
                file,
                slot,
                count,
                offset,
            } => self.read_slot(key, (file, offset), slot, count),
            FileOp::Write {
                file,
                bytes,
                from,
                offset,
            } => self.write(key, (file, offset), bytes, from),
            FileOp::Sync { file, what } => self.sync(key, file, what),
            FileOp::SyncDirectory { directory } => self.sync_directory(key, directory),
            FileOp::Link { file, to, name } => self.link(key, file, to, &name),
            FileOp::Rename {
                from,
                name,
                to,
                new_name,
                replaces,
            } => self.rename(key, (from, &name), (to, &new_name), replaces),
            FileOp::Unlink { directory, name } => self.unlink(key, directory, &name),
            FileOp::Truncate { file, size } => self.truncate(key, file, size),
            FileOp::Close { file } => self.close_file(key, file),
        }
    }

    fn open(&mut self, key: Key, root: Root, path: &RelativePath, how: OpenHow) {
        let directory = self.files().root(root);
        let what = OpenWhat::Path(how);
        self.push_open(key, directory, path.as_c_str(), (how_to(how), what));
    }

    fn open_nameless(&mut self, key: Key, directory: Directory, name: FileName) {
        let fd = self.files().directory(directory);
        let how = how(libc::O_RDWR | libc::O_TMPFILE, 0);
        let what = OpenWhat::Nameless(directory, name);
        self.push_open(key, fd, c".", (how, what));
    }

    fn open_named(&mut self, key: Key, directory: Directory, name: &FileName) {
        let fd = self.files().directory(directory);
        let how = how_to(OpenHow::Create);
        self.push_open(key, fd, name.as_c_str(), (how, OpenWhat::Named));
    }

    fn push_open(
        &mut self,
        key: Key,
        directory: RawFd,
        name: &CStr,
        (how, what): (types::OpenHow, OpenWhat),
    ) {
        let (name, how) = (name.to_owned(), Box::new(how));
        let HeldFile::Open { name, how, .. } =
            self.files().hold(key, HeldFile::Open { name, how, what })
        else {
            unreachable!("what was just put there")
        };
        let directory = types::Fd(directory);
        let entry = opcode::OpenAt2::new(directory, name.as_ptr(), &raw const **how).build();
        // SAFETY: the name's bytes and the boxed `how` are held under `key`.
        unsafe { self.push_file(key, entry) };
    }

    fn read(&mut self, key: Key, file: File, mut bytes: Vec<u8>, offset: u64) {
        let fd = types::Fd(self.files().fd(file));
        let (start, count) = (bytes.as_mut_ptr(), bytes.len() as u32);
        self.files().hold(key, HeldFile::Read(file, bytes));
        let entry = opcode::Read::new(fd, start, count).offset(offset).build();
        // SAFETY: the vector's bytes, all of them initialised, do not move with it; it is held under `key`.
        unsafe { self.push_file(key, entry) };
    }

    fn read_slot(&mut self, key: Key, (file, offset): (File, u64), slot: SlotLease, count: u32) {
        let arena = self.arena();
        assert!(count <= arena.slot_bytes(), "a slot has so many bytes");
        let (start, number) = (arena.start_of(slot.id()), slot.id());
        let fd = types::Fd(self.files().fd(file));
        self.files().hold(key, HeldFile::Slot(file, slot));
        let entry = opcode::ReadFixed::new(fd, start, count, number)
            .offset(offset)
            .build();
        // SAFETY: the slot's only lease is held under `key`; its memory is the arena's, which never moves.
        unsafe { self.push_file(key, entry) };
    }

    fn write(&mut self, key: Key, (file, offset): (File, u64), bytes: Vec<u8>, from: u32) {
        let fd = types::Fd(self.files().fd(file));
        let HeldFile::Write(_, bytes) = self.files().hold(key, HeldFile::Write(file, bytes)) else {
            unreachable!("what was just put there")
        };
        let rest = &bytes[from as usize..];
        let entry = opcode::Write::new(fd, rest.as_ptr(), rest.len() as u32)
            .offset(offset)
            .build();
        // SAFETY: the vector's bytes do not move with it; it is held under `key`.
        unsafe { self.push_file(key, entry) };
    }

    /// An operation that names descriptors and numbers only.
    fn push_about(&mut self, key: Key, file: Option<File>, entry: squeue::Entry) {
        self.files().hold(key, HeldFile::About(file));
        self.push_plain(entry, key.to_bits());
    }

    fn sync(&mut self, key: Key, file: File, what: SyncWhat) {
        let flags = match what {
            SyncWhat::Data => FsyncFlags::DATASYNC,
            SyncWhat::All => FsyncFlags::empty(),
        };
        let fd = types::Fd(self.files().fd(file));
        let entry = opcode::Fsync::new(fd).flags(flags).build();
        self.push_about(key, Some(file), entry);
    }

    fn sync_directory(&mut self, key: Key, directory: Directory) {
        let entry = opcode::Fsync::new(types::Fd(self.files().directory(directory))).build();
        self.push_about(key, opened_of(directory), entry);
    }

    fn truncate(&mut self, key: Key, file: File, size: u64) {
        if !self.files().abilities.truncates {
            let refused = FileDone::Done(Err(Errno(libc::ENOSYS)));
            return self.tell_file(key, refused);
        }
        let entry = opcode::Ftruncate::new(types::Fd(self.files().fd(file)), size).build();
        self.push_about(key, Some(file), entry);
    }

    /// Holds names and gives where they begin.
    fn hold_names<const N: usize>(
        &mut self,
        key: Key,
        file: Option<File>,
        names: [CString; N],
    ) -> [*const core::ffi::c_char; N] {
        let starts = core::array::from_fn(|index| names[index].as_ptr());
        let _names = names.into_iter().collect();
        self.files().hold(key, HeldFile::Names { file, _names });
        starts
    }

    /// By the name that the system has for an open file: giving it by its descriptor alone needs a capability (CAP_DAC_READ_SEARCH).
    fn link(&mut self, key: Key, file: File, to: Directory, name: &FileName) {
        let source = fd_name(self.files().fd(file));
        let directory = types::Fd(self.files().directory(to));
        let names = [source, name.as_c_str().to_owned()];
        let [source, name] = self.hold_names(key, Some(file), names);
        let entry = opcode::LinkAt::new(types::Fd(libc::AT_FDCWD), source, directory, name)
            .flags(libc::AT_SYMLINK_FOLLOW)
            .build();
        // SAFETY: both names are held under `key`; a string's bytes do not move with it.
        unsafe { self.push_file(key, entry) };
    }

    fn rename(
        &mut self,
        key: Key,
        (from, name): (Directory, &FileName),
        (to, new_name): (Directory, &FileName),
        replaces: bool,
    ) {
        let (from, to) = (self.files().directory(from), self.files().directory(to));
        let names = [name.as_c_str().to_owned(), new_name.as_c_str().to_owned()];
        let [name, new_name] = self.hold_names(key, None, names);
        let flags = if replaces { 0 } else { libc::RENAME_NOREPLACE };
        let entry = opcode::RenameAt::new(types::Fd(from), name, types::Fd(to), new_name)
            .flags(flags)
            .build();
        // SAFETY: both names are held under `key`; a string's bytes do not move with it.
        unsafe { self.push_file(key, entry) };
    }

    fn unlink(&mut self, key: Key, directory: Directory, name: &FileName) {
        let directory = types::Fd(self.files().directory(directory));
        let [name] = self.hold_names(key, None, [name.as_c_str().to_owned()]);
        let entry = opcode::UnlinkAt::new(directory, name).build();
        // SAFETY: the name is held under `key`; a string's bytes do not move with it.
        unsafe { self.push_file(key, entry) };
    }

    /// The last close of a file that nobody names any more gives its blocks back, which may wait for the disk: what was written to closes on a thread of
    /// the kernel's.
    fn close_file(&mut self, key: Key, file: File) {
        let open = self.files().remove(file);
        let flags = if open.writes {
            squeue::Flags::ASYNC
        } else {
            squeue::Flags::empty()
        };
        let fd = types::Fd(open.fd.into_raw_fd());
        self.files().hold(key, HeldFile::Close);
        self.push_plain(opcode::Close::new(fd).build().flags(flags), key.to_bits());
    }

    /// The terminal completion of an operation on files.
    pub(crate) fn file_op_ended(&mut self, key: Key, result: i32) {
        let held = self.files().release(key);
        let count = count_or_errno(result);
        let done = match held {
            HeldFile::Open { what, .. } => match self.opened(key, what, count) {
                Some(result) => FileDone::Opened(result),
                None => return,
            },
            HeldFile::Read(_, bytes) => FileDone::Read {
                bytes,
                result: count,
            },
            HeldFile::Write(_, bytes) => FileDone::Wrote {
                bytes,
                result: count,
            },
            HeldFile::Slot(_, slot) => FileDone::SlotRead {
                slot,
                result: count,
            },
            HeldFile::About(_) | HeldFile::Names { .. } => FileDone::Done(count.map(drop)),
            HeldFile::Close => FileDone::Closed,
        };
        self.tell_file(key, done);
    }

    /// `None` when it goes on in another way.
    fn opened(
        &mut self,
        key: Key,
        what: OpenWhat,
        result: Result<u32, Errno>,
    ) -> Option<Result<Opened, OpenError>> {
        let result = match (&what, result) {
            (OpenWhat::Nameless(directory, name), Err(errno)) if has_no_nameless(errno) => {
                self.open_named(key, *directory, name);
                return None;
            }
            (_, Err(errno)) => Err(OpenError::of(errno)),
            (what, Ok(fd)) => self.admit(adopt(fd), what),
        };
        Some(result)
    }

    /// Gives a file its number, if it is what was asked for; else it closes.
    fn admit(&mut self, fd: OwnedFd, what: &OpenWhat) -> Result<Opened, OpenError> {
        let stat = stat(fd.as_raw_fd()).map_err(OpenError::Failed)?;
        let (wanted, writes) = match what {
            OpenWhat::Path(OpenHow::Read(_)) => (FileKind::Regular, false),
            OpenWhat::Path(OpenHow::Directory) => (FileKind::Directory, false),
            _ => (FileKind::Regular, true),
        };
        if stat.kind != wanted {
            return Err(OpenError::Unfit(stat.kind));
        }
        clear_nonblock(fd.as_raw_fd());
        let file = self.files().insert(fd, writes);
        Ok(Opened {
            file: file.ok_or(OpenError::Exhausted)?,
            stat,
            named: matches!(what, OpenWhat::Named),
        })
    }

    /// Sends from a file at once, if the socket has a descriptor for it; else it gets one first.
    pub(crate) fn send_file(&mut self, key: Key, send: FromFile) {
        self.memory.sends.assert_free(key);
        let fd = self.files().installed.get(send.socket.0);
        let end = match fd {
            Some(fd) => self.send_now(fd, send),
            None if self.files().abilities.installs => return self.install_socket(key, send),
            None => FileSend::Cold,
        };
        let outcome = Outcome::FileSent(end);
        self.backlog.push_back(Completion { key, outcome });
    }

    fn send_now(&mut self, socket: RawFd, send: FromFile) -> FileSend {
        let file = self.files().fd(send.file);
        let end = send_file(socket, file, &send);
        if let FileSend::Went(bytes) = end {
            self.files().installed.went(send.socket.0, bytes);
        }
        end
    }

    fn install_socket(&mut self, key: Key, send: FromFile) {
        let socket = types::Fixed(send.socket.0);
        self.memory.sends.hold(key, HeldSend::Install(send));
        let entry = opcode::FixedFdInstall::new(socket, 0).build();
        self.push_plain(entry, key.to_bits());
    }

    /// A socket has a descriptor, or there is none left for it. The send is made here: where more sockets send than may have descriptors, others would
    /// have taken this one by its next turn, and nobody would ever send anything.
    pub(crate) fn socket_installed(
        &mut self,
        send: FromFile,
        result: Result<u32, Errno>,
    ) -> FileSend {
        let Ok(fd) = result else {
            return FileSend::Cold;
        };
        set_nonblocking(fd as RawFd);
        self.files().installed.insert(send.socket.0, adopt(fd));
        self.send_now(fd as RawFd, send)
    }
}

const fn opened_of(directory: Directory) -> Option<File> {
    match directory {
        Directory::Root(_) => None,
        Directory::Opened(file) => Some(file),
    }
}
