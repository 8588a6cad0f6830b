//! How operations on files come to their ends.

use crate::faults::Fault;
use crate::kernel::State;
use crate::ring::{Content, OpenFile, Work};
use crate::step::{Progress, roll};
use ringway_io::{
    Directory, Errno, File, FileDone, FileKind, FileOp, FileSend, FileStat, Job, OpenError,
    OpenHow, Opened, Outcome, SlotLease,
};

const EPIPE: Errno = Errno(32);
const EIO: Errno = Errno(5);
const EAGAIN: Errno = Errno(11);
const EEXIST: Errno = Errno(17);
const ENOENT: Errno = Errno(2);
const EISDIR: Errno = Errno(21);
const ENOSPC: Errno = Errno(28);
const ECONNRESET: Errno = Errno(104);

/// Of a thousand waits in so many a notice comes.
const NOTICE_PERMILLE: u16 = 200;

const DIRECTORY: FileStat = FileStat {
    kind: FileKind::Directory,
    size: 0,
    modified_ns: 0,
    changed_ns: 0,
    inode: u64::MAX,
    device: 1,
    links: 1,
    permissions: 0,
};

fn file_of(directory: &Directory) -> Option<File> {
    match directory {
        Directory::Root(_) => None,
        Directory::Opened(file) => Some(*file),
    }
}

/// The open files that an operation names.
pub(crate) fn names(op: &FileOp) -> [Option<File>; 2] {
    match op {
        FileOp::Stat { file }
        | FileOp::Read { file, .. }
        | FileOp::ReadSlot { file, .. }
        | FileOp::Write { file, .. }
        | FileOp::Sync { file, .. }
        | FileOp::Truncate { file, .. }
        | FileOp::Close { file } => [Some(*file), None],
        FileOp::Link { file, to, .. } => [Some(*file), file_of(to)],
        FileOp::Rename { from, to, .. } => [file_of(from), file_of(to)],
        FileOp::Temporary { directory, .. }
        | FileOp::SyncDirectory { directory }
        | FileOp::Unlink { directory, .. } => [file_of(directory), None],
        FileOp::Open { .. } => [None, None],
    }
}

/// One operation, done as a whole at this moment.
struct Desk<'a> {
    state: &'a mut State,
    shard: usize,
}

impl Desk<'_> {
    fn rolls(&mut self, fault: Fault) -> bool {
        roll(self.state, fault)
    }

    fn content(&self, file: File) -> Content {
        let open = self.state.rings[self.shard].files[file.0 as usize].as_ref();
        open.expect("an operation names an open file").content
    }

    fn inode(&self, file: File) -> Result<usize, Errno> {
        match self.content(file) {
            Content::Inode(inode) => Ok(inode),
            Content::Root(_) => Err(EISDIR),
        }
    }

    fn root(&self, directory: Directory) -> usize {
        match directory {
            Directory::Root(root) => root.0 as usize,
            Directory::Opened(file) => match self.content(file) {
                Content::Root(root) => root,
                Content::Inode(_) => panic!("a file is no directory"),
            },
        }
    }

    fn open(&mut self, root: usize, name: &[u8], how: OpenHow) -> Result<Opened, OpenError> {
        if self.rolls(Fault::OpenRefused) {
            return Err(OpenError::Exhausted);
        }
        let found = self.state.disk.look(root, name);
        let inode = match (how, found) {
            (OpenHow::Directory, _) if name == b"." => return self.admit(Content::Root(root)),
            (OpenHow::Directory, _) => return Err(OpenError::Absent),
            (OpenHow::Create, Some(_)) => return Err(OpenError::Exists),
            (OpenHow::Create, None) if self.rolls(Fault::DiskFull) => return Err(OpenError::Full),
            (OpenHow::Create, None) => {
                let inode = self.state.disk.make();
                self.state.disk.name(root, name, inode);
                inode
            }
            (_, found) => found.ok_or(OpenError::Absent)?,
        };
        self.admit(Content::Inode(inode))
    }

    fn temporary(&mut self, root: usize, name: &[u8]) -> Result<Opened, OpenError> {
        if self.state.storage.nameless {
            let inode = self.state.disk.make();
            return self.admit(Content::Inode(inode));
        }
        let opened = self.open(root, name, OpenHow::Create)?;
        Ok(Opened {
            named: true,
            ..opened
        })
    }

    fn admit(&mut self, content: Content) -> Result<Opened, OpenError> {
        let stat = match content {
            Content::Inode(inode) => self.state.disk.stat(inode),
            Content::Root(_) => DIRECTORY,
        };
        let ring = &mut self.state.rings[self.shard];
        let number = ring.files.iter().position(Option::is_none);
        let number = number.ok_or(OpenError::Exhausted)?;
        ring.files[number] = Some(OpenFile { content });
        let (file, named) = (File(number as u32), false);
        Ok(Opened { file, stat, named })
    }

    /// What a read of so many bytes gets.
    fn read(&mut self, file: File, offset: u64, count: usize) -> Result<Vec<u8>, Errno> {
        let inode = self.inode(file)?;
        if self.rolls(Fault::ReadFailed) {
            return Err(EIO);
        }
        let bytes = self.state.disk.bytes(inode);
        let start = bytes.len().min(offset as usize);
        let mut bytes = bytes[start..bytes.len().min(start + count)].to_vec();
        if bytes.len() > 1 && self.rolls(Fault::ShortRead) {
            let kept = 1 + self.state.random.below(bytes.len());
            bytes.truncate(kept);
        }
        Ok(bytes)
    }

    fn write(&mut self, file: File, offset: u64, bytes: &[u8]) -> Result<u32, Errno> {
        let inode = self.inode(file)?;
        if self.rolls(Fault::WriteFailed) {
            return Err(EIO);
        }
        let mut count = bytes.len();
        // A full disk takes what fits, and says so when nothing does.
        if self.rolls(Fault::DiskFull) {
            count = self.state.random.below(count.max(1));
            if count == 0 {
                return Err(ENOSPC);
            }
        } else if count > 1 && self.rolls(Fault::ShortWrite) {
            count = 1 + self.state.random.below(count);
        }
        let disk = &mut self.state.disk;
        disk.write(inode, offset as usize, &bytes[..count]);
        Ok(count as u32)
    }

    /// A sync that fails has synced nothing that anybody could rely on.
    fn sync(&mut self, content: Content) -> Result<(), Errno> {
        if self.rolls(Fault::SyncFailed) {
            if let Content::Inode(inode) = content {
                let State { disk, random, .. } = &mut *self.state;
                disk.sync_badly(inode, random);
            }
            return Err(EIO);
        }
        match content {
            Content::Inode(inode) => self.state.disk.sync(inode),
            Content::Root(root) => self.state.disk.sync_names(root),
        }
        Ok(())
    }

    fn link(&mut self, file: File, root: usize, name: &[u8]) -> Result<(), Errno> {
        let inode = self.inode(file)?;
        if self.state.disk.look(root, name).is_some() {
            return Err(EEXIST);
        }
        if self.rolls(Fault::DiskFull) {
            return Err(ENOSPC);
        }
        self.state.disk.name(root, name, inode);
        Ok(())
    }

    fn rename(
        &mut self,
        from: (usize, &[u8]),
        to: (usize, &[u8]),
        replaces: bool,
    ) -> Result<(), Errno> {
        let disk = &mut self.state.disk;
        disk.look(from.0, from.1).ok_or(ENOENT)?;
        if !replaces && disk.look(to.0, to.1).is_some() {
            return Err(EEXIST);
        }
        disk.rename(from, to);
        Ok(())
    }

    fn unlink(&mut self, root: usize, name: &[u8]) -> Result<(), Errno> {
        self.state.disk.look(root, name).ok_or(ENOENT)?;
        self.state.disk.unname(root, name);
        Ok(())
    }

    fn run(&mut self, op: FileOp) -> FileDone {
        match op {
            FileOp::Open { root, path, how } => {
                FileDone::Opened(self.open(root.0 as usize, path.as_c_str().to_bytes(), how))
            }
            FileOp::Temporary { directory, name } => {
                let root = self.root(directory);
                FileDone::Opened(self.temporary(root, name.as_c_str().to_bytes()))
            }
            FileOp::Stat { file } => FileDone::Stat(match self.content(file) {
                Content::Inode(inode) => Ok(self.state.disk.stat(inode)),
                Content::Root(_) => Ok(DIRECTORY),
            }),
            FileOp::Read {
                file,
                mut bytes,
                offset,
            } => {
                let read = self.read(file, offset, bytes.len());
                let result = read.map(|read| {
                    bytes[..read.len()].copy_from_slice(&read);
                    read.len() as u32
                });
                FileDone::Read { bytes, result }
            }
            FileOp::ReadSlot {
                file,
                slot,
                count,
                offset,
            } => {
                let read = self.read(file, offset, count as usize);
                let slots = &mut self.state.rings[self.shard].slots;
                let result = match &read {
                    Ok(bytes) => {
                        slots.end_read(&slot, bytes);
                        Ok(bytes.len() as u32)
                    }
                    Err(errno) => Err(*errno),
                };
                FileDone::SlotRead { slot, result }
            }
            FileOp::Write {
                file,
                bytes,
                from,
                offset,
            } => {
                let result = self.write(file, offset, &bytes[from as usize..]);
                FileDone::Wrote { bytes, result }
            }
            FileOp::Sync { file, .. } => {
                let content = self.content(file);
                FileDone::Done(self.sync(content))
            }
            FileOp::SyncDirectory { directory } => {
                let root = self.root(directory);
                FileDone::Done(self.sync(Content::Root(root)))
            }
            FileOp::Link { file, to, name } => {
                let root = self.root(to);
                FileDone::Done(self.link(file, root, name.as_c_str().to_bytes()))
            }
            FileOp::Rename {
                from,
                name,
                to,
                new_name,
                replaces,
            } => {
                let (name, new_name) = (name.as_c_str(), new_name.as_c_str());
                let from = (self.root(from), name.to_bytes());
                let to = (self.root(to), new_name.to_bytes());
                FileDone::Done(self.rename(from, to, replaces))
            }
            FileOp::Unlink { directory, name } => {
                let root = self.root(directory);
                FileDone::Done(self.unlink(root, name.as_c_str().to_bytes()))
            }
            FileOp::Truncate { file, size } => {
                let result = self.inode(file);
                let done = result.map(|inode| self.state.disk.truncate(inode, size as usize));
                FileDone::Done(done)
            }
            FileOp::Close { file } => {
                self.state.rings[self.shard].files[file.0 as usize] = None;
                FileDone::Closed
            }
        }
    }
}

/// Takes an operation's work out, which ends at this moment.
fn take_work(state: &mut State, shard: usize, index: usize) -> Work {
    let done: Job = Box::new(|| unreachable!("the operation has ended"));
    let work = &mut state.rings[shard].in_flight[index].work;
    core::mem::replace(work, Work::Compute { job: done })
}

pub(crate) fn file_op(state: &mut State, shard: usize, index: usize) -> Progress {
    let Work::File { op } = take_work(state, shard, index) else {
        unreachable!("the caller matched an operation on files")
    };
    let done = Desk { state, shard }.run(*op);
    Progress::Ended(Outcome::File(Box::new(done)))
}

/// How many bytes the client's end takes; `Err` when it never will.
fn room(state: &State, pair: usize) -> Result<usize, Errno> {
    let pair = &state.pairs[pair];
    match (pair.reset, pair.down.ended) {
        (true, _) => Err(ECONNRESET),
        (_, true) => Err(EPIPE),
        _ => Ok(pair.down.room()),
    }
}

/// Sends as much of `bytes` as the client's end takes at once.
fn push(state: &mut State, pair: usize, bytes: &[u8]) -> usize {
    let mut count = bytes.len().min(state.pairs[pair].down.room());
    if count < bytes.len() {
        state.faults.note(Fault::SlowReader);
    }
    if count > 1 && roll(state, Fault::ShortFileSend) {
        count = 1 + state.random.below(count);
    }
    state.pairs[pair].down.put(&bytes[..count]);
    count
}

pub(crate) fn send_file(
    state: &mut State,
    shard: usize,
    pair: usize,
    (file, offset): (File, u64),
    count: u32,
) -> FileSend {
    let ended = match room(state, pair) {
        Err(errno) => FileSend::Failed(errno),
        Ok(_) if roll(state, Fault::SendPutOff) => FileSend::Again,
        Ok(_) if roll(state, Fault::ColdPage) => FileSend::Cold,
        Ok(0) => FileSend::Blocked,
        Ok(_) => FileSend::Went(0),
    };
    if ended != FileSend::Went(0) {
        return ended;
    }
    let Ok(inode) = (Desk { state, shard }).inode(file) else {
        return FileSend::Failed(EISDIR);
    };
    let bytes = state.disk.bytes(inode);
    let start = bytes.len().min(offset as usize);
    let bytes = bytes[start..bytes.len().min(start + count as usize)].to_vec();
    if bytes.is_empty() {
        return FileSend::End;
    }
    FileSend::Went(push(state, pair, &bytes) as u32)
}

pub(crate) fn send_slot(state: &mut State, shard: usize, index: usize) -> Progress {
    let Work::SendSlot {
        pair,
        slot,
        checksum,
        piece,
    } = take_work(state, shard, index)
    else {
        unreachable!("the caller matched a send from a slot")
    };
    let slots = &mut state.rings[shard].slots;
    let now = slots.checksum(&slot);
    assert_eq!(now, checksum, "a slot changed while it was sent");
    let bytes = slots.bytes(&slot)[piece].to_vec();
    let result = match room(state, pair) {
        Err(errno) => Err(errno),
        Ok(0) => Err(EAGAIN),
        Ok(_) => Ok(push(state, pair, &bytes) as u32),
    };
    let is_read_on = result.is_ok() && roll(state, Fault::NoticeLate);
    let slots = &mut state.rings[shard].slots;
    let slot = if is_read_on { slots.lend(slot) } else { slot };
    ended_slot(slot, result)
}

/// Notices of slots come when they like.
pub(crate) fn notice_some(state: &mut State, shard: usize) {
    for index in (0..state.rings[shard].slots.lent()).rev() {
        if state.random.chance(NOTICE_PERMILLE) {
            state.rings[shard].slots.notice(index);
        }
    }
}

fn ended_slot(slot: SlotLease, result: Result<u32, Errno>) -> Progress {
    Progress::Ended(Outcome::SlotSent { slot, result })
}
