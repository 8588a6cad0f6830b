//! Files over the real kernel: what is opened and what is not, writing, names, and the ways of their bytes to a socket.

use crate::bench::{Bench, SMALL, builders, pattern_bytes, send_key};
use ringway_io::{
    Directory, Driver as _, Errno, File, FileDone, FileKind, FileName, FileOp, FileSend, Key, Op,
    OpKind, OpenError, OpenHow, Opened, Outcome, RelativePath, Root, SlotLease, Socket, Symlinks,
    SyncWhat,
};
use ringway_uring::FilesConfig;
use std::io::Read as _;
use std::net::{Shutdown, TcpStream};
use std::os::unix::fs::{FileExt as _, symlink};
use std::path::{Path, PathBuf};
use std::{fs, thread};

const FILES: FilesConfig = FilesConfig {
    slots: 4,
    slot_bytes: 64 << 10,
    files_max: 3,
    installed_max: 2,
    zero_copy: false,
};
const ROOT: Directory = Directory::Root(Root(0));
const READ: OpenHow = OpenHow::Read(Symlinks::Beneath);

/// A directory of its own, which goes with the value.
pub(crate) struct Place(pub(crate) PathBuf);

impl Place {
    pub(crate) fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("ringway-{}-{name}", std::process::id()));
        fs::create_dir_all(&path).expect("a directory");
        Self(path)
    }

    fn write(&self, name: &str, bytes: &[u8]) -> PathBuf {
        let path = self.0.join(name);
        fs::write(&path, bytes).expect("a file");
        path
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn path(bytes: &[u8]) -> RelativePath {
    RelativePath::new(bytes).expect("a relative path")
}

fn name(bytes: &[u8]) -> FileName {
    FileName::new(bytes).expect("a name")
}

/// A driver that serves a directory, and a connected client.
struct Server {
    bench: Bench,
    socket: Socket,
    client: TcpStream,
    ops: u32,
}

impl Server {
    fn new(place: &Path) -> Self {
        Self::with(place, &FILES)
    }

    fn with(place: &Path, config: &FilesConfig) -> Self {
        let (mut made, address) = builders(&SMALL, 1);
        let root = fs::File::open(place).expect("a directory");
        made[0]
            .serve_files(config, vec![root.into()])
            .expect("an arena");
        let mut bench = Bench::new(made.remove(0));
        bench.accept();
        let client = TcpStream::connect(address).expect("a listener");
        let (socket, _) = bench.accepted();
        Self {
            bench,
            socket,
            client,
            ops: 0,
        }
    }

    fn file(&mut self, op: FileOp) -> FileDone {
        self.ops += 1;
        let key = Key::new(OpKind::File, 0, self.ops);
        self.bench.driver.submit(key, Op::File(Box::new(op)));
        let one = self.bench.find(|one| one.key == key);
        let Outcome::File(done) = one.outcome else {
            panic!("{one:?} is of no file")
        };
        *done
    }

    fn open(&mut self, bytes: &[u8], how: OpenHow) -> Result<Opened, OpenError> {
        let (root, path) = (Root(0), path(bytes));
        let FileDone::Opened(result) = self.file(FileOp::Open { root, path, how }) else {
            panic!("no open")
        };
        result
    }

    fn read(&mut self, bytes: &[u8]) -> File {
        self.open(bytes, READ).expect("a file").file
    }

    fn close(&mut self, file: File) {
        assert!(matches!(
            self.file(FileOp::Close { file }),
            FileDone::Closed
        ));
    }

    fn done(&mut self, op: FileOp) -> Result<(), Errno> {
        match self.file(op) {
            FileDone::Done(result) => result,
            other => panic!("{other:?}"),
        }
    }

    fn write(&mut self, file: File, bytes: &[u8], offset: u64) {
        let bytes = bytes.to_vec();
        let done = self.file(FileOp::Write {
            file,
            bytes,
            from: 0,
            offset,
        });
        let FileDone::Wrote { bytes, result } = done else {
            panic!("{done:?}")
        };
        assert_eq!(result, Ok(bytes.len() as u32));
    }

    /// Submits a send and gives its outcome.
    fn sent(&mut self, op: Op) -> Outcome {
        self.bench.driver.submit(send_key(0), op);
        self.bench.find(|one| one.key == send_key(0)).outcome
    }

    /// Asks again when something stood in the way.
    fn send_file(&mut self, file: File, offset: u64, count: u32) -> FileSend {
        loop {
            let socket = self.socket;
            let outcome = self.sent(Op::SendFile {
                socket,
                file,
                offset,
                count,
                is_known: false,
            });
            match outcome {
                Outcome::FileSent(FileSend::Again) => {}
                Outcome::FileSent(end) => return end,
                other => panic!("{other:?}"),
            }
        }
    }

    fn await_writable(&mut self) {
        let (key, socket) = (Key::new(OpKind::Writable, 0, 0), self.socket);
        self.bench.driver.submit(key, Op::AwaitWritable { socket });
        let one = self.bench.find(|one| one.key == key);
        assert!(matches!(one.outcome, Outcome::Writable));
    }

    fn read_slot(&mut self, file: File, offset: u64) -> (SlotLease, Result<u32, Errno>) {
        let slot = self.bench.driver.take_slot().expect("a free slot");
        let count = self.bench.driver.slot_bytes_max();
        let done = self.file(FileOp::ReadSlot {
            file,
            slot,
            count,
            offset,
        });
        match done {
            FileDone::SlotRead { slot, result } => (slot, result),
            other => panic!("{other:?}"),
        }
    }

    /// What the client has got when the connection is closed.
    fn finish(mut self) -> Vec<u8> {
        self.bench.close(0, self.socket);
        let mut all = Vec::new();
        self.client.read_to_end(&mut all).expect("an orderly end");
        all
    }
}

fn descriptors() -> usize {
    fs::read_dir("/proc/self/fd").expect("a list").count()
}

#[test]
fn only_regular_files_beneath_the_root_are_given_out() {
    let place = Place::new("opens");
    let root = place.0.join("root");
    fs::create_dir_all(root.join("sub")).expect("a directory");
    place.write("secret", b"no");
    place.write("root/file", b"yes");
    symlink("../secret", root.join("out")).expect("a link");
    symlink("file", root.join("in")).expect("a link");
    symlink("loop", root.join("loop")).expect("a link");
    let fifo = std::process::Command::new("mkfifo")
        .arg(root.join("fifo"))
        .status();
    assert!(fifo.expect("mkfifo").success());
    let socket = std::os::unix::net::UnixListener::bind(root.join("socket"));
    let mut server = Server::new(&root);
    for (bytes, expected) in [
        (&b"absent"[..], OpenError::Absent),
        (b"file/x", OpenError::Absent),
        (b"../secret", OpenError::Escapes),
        (b"sub/../../secret", OpenError::Escapes),
        (b"out", OpenError::Escapes),
        (b"loop", OpenError::Escapes),
        (b"sub", OpenError::Unfit(FileKind::Directory)),
        (b"fifo", OpenError::Unfit(FileKind::Special)),
        (b"socket", OpenError::Unfit(FileKind::Special)),
        (&[b'n'; 300], OpenError::NameTooLong),
    ] {
        assert_eq!(
            server.open(bytes, READ),
            Err(expected),
            "{}",
            bytes.escape_ascii()
        );
    }
    let refused = server.open(b"in", OpenHow::Read(Symlinks::Refused));
    assert_eq!(refused, Err(OpenError::Escapes));
    for bytes in [&b"file"[..], b"in", b"sub/../file"] {
        let opened = server.open(bytes, READ).expect("a file");
        assert_eq!((opened.stat.size, opened.stat.links), (3, 1));
        server.close(opened.file);
    }
    drop(socket);
}

#[test]
fn so_many_files_are_open_and_no_more() {
    let place = Place::new("many");
    place.write("file", b"yes");
    let mut server = Server::new(&place.0);
    let files: Vec<_> = (0..3).map(|_| server.read(b"file")).collect();
    assert_eq!(server.open(b"file", READ), Err(OpenError::Exhausted));
    files.iter().for_each(|file| server.close(*file));
    assert_eq!(server.read(b"file").0, 2, "numbers are used again");
}

#[test]
fn a_stat_sees_what_became_of_an_open_file() {
    let place = Place::new("stat");
    let at = place.write("file", b"one");
    let mut server = Server::new(&place.0);
    let opened = server.open(b"file", READ).expect("a file");
    let stat = |server: &mut Server| match server.file(FileOp::Stat { file: opened.file }) {
        FileDone::Stat(stat) => stat.expect("an open file has one"),
        other => panic!("{other:?}"),
    };
    assert_eq!(stat(&mut server), opened.stat);
    fs::write(&at, b"longer").expect("a file");
    let longer = stat(&mut server);
    assert!(longer.size == 6 && longer.modified_ns > opened.stat.modified_ns);
    place.write("next", b"x");
    fs::rename(place.0.join("next"), &at).expect("a name");
    assert_eq!(stat(&mut server).links, 0, "it was replaced");
}

#[test]
fn a_nameless_file_gets_its_name_when_it_is_whole() {
    let place = Place::new("nameless");
    let mut server = Server::new(&place.0);
    let temporary = FileOp::Temporary {
        directory: ROOT,
        name: name(b".part"),
    };
    let FileDone::Opened(Ok(opened)) = server.file(temporary) else {
        panic!("no temporary")
    };
    let file = opened.file;
    server.write(file, b"hello ", 0);
    server.write(file, b"world", 6);
    let what = SyncWhat::Data;
    assert_eq!(server.done(FileOp::Sync { file, what }), Ok(()));
    if !opened.named {
        assert_eq!(fs::read_dir(&place.0).expect("a list").count(), 0);
        let link = || FileOp::Link {
            file,
            to: ROOT,
            name: name(b"whole"),
        };
        assert_eq!(server.done(link()), Ok(()));
        let exists = Err(Errno(libc::EEXIST));
        assert_eq!(server.done(link()), exists, "a name is not taken away");
    }
    let directory = ROOT;
    assert_eq!(server.done(FileOp::SyncDirectory { directory }), Ok(()));
    server.close(file);
    let whole = if opened.named { ".part" } else { "whole" };
    assert_eq!(fs::read(place.0.join(whole)).expect("it"), b"hello world");
}

#[test]
fn names_are_made_moved_and_removed() {
    let place = Place::new("names");
    place.write("taken", b"old");
    let mut server = Server::new(&place.0);
    let made = server.open(b"new", OpenHow::Create).expect("a new file");
    assert_eq!(server.open(b"new", OpenHow::Create), Err(OpenError::Exists));
    server.write(made.file, b"0123456789", 0);
    let (file, size) = (made.file, 4);
    assert_eq!(server.done(FileOp::Truncate { file, size }), Ok(()));
    server.close(file);
    let again = server.open(b"new", OpenHow::Write).expect("it is there");
    assert_eq!(again.stat.size, 4);
    server.close(again.file);
    let rename = |replaces| FileOp::Rename {
        from: ROOT,
        name: name(b"new"),
        to: ROOT,
        new_name: name(b"taken"),
        replaces,
    };
    let exists = Err(Errno(libc::EEXIST));
    assert_eq!(server.done(rename(false)), exists);
    assert_eq!(server.done(rename(true)), Ok(()));
    assert_eq!(fs::read(place.0.join("taken")).expect("it"), b"0123");
    let unlink = || FileOp::Unlink {
        directory: ROOT,
        name: name(b"taken"),
    };
    assert_eq!(server.done(unlink()), Ok(()));
    assert_eq!(server.done(unlink()), Err(Errno(libc::ENOENT)));
}

#[test]
fn a_directory_beneath_the_root_takes_names() {
    let place = Place::new("below");
    fs::create_dir(place.0.join("sub")).expect("a directory");
    let mut server = Server::new(&place.0);
    let sub = server.open(b"sub", OpenHow::Directory).expect("it").file;
    let made = server.open(b"sub/a", OpenHow::Create).expect("a file");
    server.close(made.file);
    let moved = server.done(FileOp::Rename {
        from: Directory::Opened(sub),
        name: name(b"a"),
        to: ROOT,
        new_name: name(b"b"),
        replaces: false,
    });
    assert_eq!(moved, Ok(()));
    let directory = Directory::Opened(sub);
    assert_eq!(server.done(FileOp::SyncDirectory { directory }), Ok(()));
    server.close(sub);
    assert!(place.0.join("b").exists());
    let not_one = server.open(b"b", OpenHow::Directory);
    assert_eq!(not_one, Err(OpenError::Absent));
}

#[test]
fn bytes_are_read_into_memory_and_into_slots() {
    let place = Place::new("reads");
    let bytes = pattern_bytes(100_000);
    place.write("file", &bytes);
    let mut server = Server::new(&place.0);
    let file = server.read(b"file");
    let done = server.file(FileOp::Read {
        file,
        bytes: vec![0; 1000],
        offset: 99_500,
    });
    let FileDone::Read {
        bytes: read,
        result,
    } = done
    else {
        panic!("{done:?}")
    };
    assert!(result == Ok(500) && read[..500] == bytes[99_500..]);
    let (mut slot, result) = server.read_slot(file, 1);
    assert_eq!(result, Ok(64 << 10));
    assert!(*server.bench.driver.slot_bytes(&mut slot) == bytes[1..=64 << 10]);
    let (other, result) = server.read_slot(file, 100_000);
    assert_eq!(result, Ok(0), "the end is no error");
    server.bench.driver.return_slot(other);
    let outcome = server.sent(Op::SendSlot {
        socket: server.socket,
        slot,
        piece: 9..1009,
    });
    let Outcome::SlotSent { slot, result } = outcome else {
        panic!("{outcome:?}")
    };
    assert_eq!(result, Ok(1000));
    server.bench.driver.return_slot(slot);
    assert!(server.finish() == bytes[10..1010]);
}

#[test]
fn a_file_in_memory_goes_without_a_copy_and_never_waits_for_the_socket() {
    let place = Place::new("sendfile");
    let bytes = pattern_bytes(32 << 20);
    place.write("file", &bytes);
    let mut server = Server::new(&place.0);
    let file = server.read(b"file");
    let mut at = 0;
    loop {
        match server.send_file(file, at as u64, 128 << 10) {
            FileSend::Went(count) => at += count as usize,
            FileSend::Blocked => break,
            other => panic!("{other:?} at {at}"),
        }
    }
    assert!(at < bytes.len(), "the sockets hold less than the file");
    let mut client = server.client.try_clone().expect("a descriptor");
    let reader = thread::spawn(move || {
        let mut all = Vec::new();
        client.read_to_end(&mut all).map(|_| all)
    });
    while at < bytes.len() {
        let count = (bytes.len() - at).min(128 << 10) as u32;
        match server.send_file(file, at as u64, count) {
            FileSend::Went(count) => at += count as usize,
            FileSend::Blocked => server.await_writable(),
            other => panic!("{other:?} at {at}"),
        }
    }
    // The ring's own operations wait as if the socket had never been told not to.
    server
        .bench
        .send(0, server.socket, pattern_bytes(8 << 20).into());
    assert_eq!(server.bench.sent(0), Ok(8 << 20));
    server.close(file);
    server.bench.close(0, server.socket);
    let all = reader.join().expect("a reader").expect("an orderly end");
    assert!(all.len() == bytes.len() + (8 << 20) && all[..bytes.len()] == bytes);
}

/// Such a piece is one page more than the kernel moves at a time. What it moves first is less than a segment of loopback, and would wait there for what follows, while the
/// socket is full with it (TCP_NOTSENT_LOWAT) and takes nothing more.
#[test]
fn a_piece_that_begins_within_a_page_goes_at_once() {
    let place = Place::new("unaligned");
    let bytes = pattern_bytes(1 << 20);
    let at = place.write("file", b"");
    let handle = fs::OpenOptions::new().write(true).open(at).expect("a file");
    // Page by page from the end: neighbours are not neighbours in memory, and go as a piece each.
    for (page, piece) in bytes.chunks(4096).enumerate().rev() {
        let written = handle.write_all_at(piece, page as u64 * 4096);
        written.expect("a disk");
    }
    let mut server = Server::new(&place.0);
    let file = server.read(b"file");
    // The client's window grows before it takes a whole segment.
    for round in 0..16 {
        let at = 2501 + round * 40_960;
        let (socket, frame) = (server.socket, b"head".to_vec().into());
        let outcome = server.sent(Op::Send {
            socket,
            frame,
            piece: 0..4,
            goes_on: true,
        });
        assert!(matches!(outcome, Outcome::Sent(Ok(4))), "{outcome:?}");
        let end = server.send_file(file, at, 64 << 10);
        assert_eq!(end, FileSend::Went(64 << 10), "from {at}");
        let mut got = vec![0; 4 + (64 << 10)];
        server.client.read_exact(&mut got).expect("all of it");
        assert!(got[..4] == *b"head" && got[4..] == bytes[at as usize..][..64 << 10]);
    }
}

/// A reader that has taken a mebibyte is no slow one: the kernel holds more for it, until it has no descriptor any more.
#[test]
fn a_fast_reader_may_have_more_under_way() {
    let place = Place::new("fast");
    place.write("file", &pattern_bytes(64 << 10));
    let mut server = Server::new(&place.0);
    let file = server.read(b"file");
    let before = held_at_most(&mut server, file);
    let mut took = vec![0; 64 << 10];
    for _ in 0..16 {
        assert_eq!(
            server.send_file(file, 0, 64 << 10),
            FileSend::Went(64 << 10)
        );
        server.client.read_exact(&mut took).expect("all of it");
    }
    let after = held_at_most(&mut server, file);
    assert!(
        after >= before + (64 << 10),
        "{before} before, {after} after"
    );
}

/// Bytes that the socket takes while its client reads none; the client reads them then.
fn held_at_most(server: &mut Server, file: File) -> usize {
    let mut held = 0;
    while let FileSend::Went(count) = server.send_file(file, 0, 4096) {
        held += count as usize;
    }
    let mut got = vec![0; held];
    server.client.read_exact(&mut got).expect("what was taken");
    held
}

#[test]
fn beyond_the_end_or_out_of_memory_is_cold() {
    let place = Place::new("cold");
    let at = place.write("file", &pattern_bytes(1 << 20));
    let mut server = Server::new(&place.0);
    let file = server.read(b"file");
    // Out of memory it goes only when it is on a disk, and while no socket has a page of it.
    let handle = fs::File::open(&at).expect("a file");
    handle.sync_all().expect("a disk");
    let is_memory_only = evict(&handle);
    let end = server.send_file(file, 512 << 10, 4096);
    assert!(is_memory_only || end == FileSend::Cold, "{end:?}");
    let (slot, result) = server.read_slot(file, 512 << 10);
    assert_eq!(result, Ok(64 << 10));
    server.bench.driver.return_slot(slot);
    let end = server.send_file(file, 512 << 10, 4096);
    assert_eq!(end, FileSend::Went(4096), "reading it made it hot");
    fs::write(&at, b"short").expect("a file");
    assert_eq!(server.send_file(file, 4096, 4096), FileSend::Cold);
    let (slot, result) = server.read_slot(file, 4096);
    assert_eq!(result, Ok(0), "it was cut short");
    server.bench.driver.return_slot(slot);
}

/// Drops a file's pages; whether they cannot be dropped, as its file system has no other place for them.
#[expect(unsafe_code, reason = "advice that std does not offer")]
fn evict(file: &fs::File) -> bool {
    use std::os::fd::AsRawFd as _;
    let fd = file.as_raw_fd();
    // SAFETY: a statfs of zeroes is a valid value, and the calls name nothing else.
    let mut system = unsafe { core::mem::zeroed::<libc::statfs>() };
    // SAFETY: the struct lives during the call.
    let result = unsafe { libc::fstatfs(fd, &raw mut system) };
    assert_eq!(result, 0);
    // SAFETY: no memory is involved.
    let result = unsafe { libc::posix_fadvise(fd, 0, 0, libc::POSIX_FADV_DONTNEED) };
    assert_eq!(result, 0);
    const TMPFS: i64 = 0x0102_1994;
    system.f_type as i64 == TMPFS
}

/// More sockets than may have a descriptor of their own: the one that has it longest loses it, and gets another when it wants one.
#[test]
fn a_closed_socket_ends_although_it_had_a_descriptor() {
    let place = Place::new("installed");
    place.write("file", &pattern_bytes(1000));
    let mut server = Server::new(&place.0);
    let file = server.read(b"file");
    let address = server.client.peer_addr().expect("a listener");
    let mut clients = vec![server.client.try_clone().expect("a descriptor")];
    let mut sockets = vec![server.socket];
    for _ in 0..3 {
        clients.push(TcpStream::connect(address).expect("a listener"));
        sockets.push(server.bench.accepted().0);
    }
    let before = descriptors();
    for _ in 0..2 {
        for socket in &sockets {
            server.socket = *socket;
            assert_eq!(server.send_file(file, 0, 1000), FileSend::Went(1000));
        }
    }
    assert!(
        descriptors() <= before + 2 + 8,
        "other tests run beside this one"
    );
    for (socket, mut client) in sockets.into_iter().zip(clients) {
        server.bench.close(0, socket);
        let mut all = Vec::new();
        client.read_to_end(&mut all).expect("an orderly end");
        assert!(all == [pattern_bytes(1000), pattern_bytes(1000)].concat());
    }
}

#[test]
fn a_shut_socket_ends_the_wait() {
    let place = Place::new("shut");
    place.write("file", &pattern_bytes(32 << 20));
    let mut server = Server::new(&place.0);
    let file = server.read(b"file");
    while server.send_file(file, 0, 128 << 10) != FileSend::Blocked {}
    let (key, socket) = (Key::new(OpKind::Writable, 0, 0), server.socket);
    server
        .bench
        .driver
        .submit(key, Op::AwaitWritable { socket });
    let shutdown = Key::new(OpKind::Shutdown, 0, 0);
    server
        .bench
        .driver
        .submit(shutdown, Op::Shutdown { socket });
    server.bench.find(|one| one.key == key);
    let end = server.send_file(file, 0, 4096);
    assert_eq!(end, FileSend::Failed(Errno(libc::EPIPE)));
}

/// Of such a socket the ring says at once that there is something to say, and not what.
#[test]
fn a_socket_whose_peer_has_said_all_is_not_taken_for_one_with_room() {
    let place = Place::new("half");
    place.write("file", &pattern_bytes(32 << 20));
    let mut server = Server::new(&place.0);
    let file = server.read(b"file");
    while server.send_file(file, 0, 128 << 10) != FileSend::Blocked {}
    let client = server.client.try_clone().expect("a descriptor");
    client.shutdown(Shutdown::Write).expect("it is connected");
    let (key, socket) = (Key::new(OpKind::Writable, 0, 0), server.socket);
    server
        .bench
        .driver
        .submit(key, Op::AwaitWritable { socket });
    let one = server.bench.find(|one| one.key == key);
    assert!(
        matches!(one.outcome, Outcome::HalfClosed),
        "{:?}",
        one.outcome
    );
    assert_eq!(server.send_file(file, 0, 128 << 10), FileSend::Blocked);
}

#[test]
#[should_panic(expected = "two sends in flight")]
fn a_send_from_a_slot_is_the_send_in_flight() {
    let place = Place::new("two");
    let mut server = Server::new(&place.0);
    let (socket, piece) = (server.socket, 0..9);
    let slot = server.bench.driver.take_slot().expect("a slot");
    let op = Op::SendSlot {
        socket,
        slot,
        piece,
    };
    server.bench.driver.submit(send_key(0), op);
    server.bench.send(0, socket, pattern_bytes(1).into());
}

#[test]
#[should_panic(expected = "a file closes after its last completion")]
fn a_close_waits_for_the_last_completion() {
    let place = Place::new("early");
    place.write("file", b"bytes");
    let mut server = Server::new(&place.0);
    let file = server.read(b"file");
    let read = FileOp::Read {
        file,
        bytes: vec![0; 5],
        offset: 0,
    };
    let keys = [1, 2].map(|slot| Key::new(OpKind::File, 1, slot));
    server
        .bench
        .driver
        .submit(keys[0], Op::File(Box::new(read)));
    server
        .bench
        .driver
        .submit(keys[1], Op::File(Box::new(FileOp::Close { file })));
}

/// Opens whose completion nobody looks at any more.
#[test]
fn a_dropped_driver_closes_what_was_being_opened() {
    let place = Place::new("dropped");
    place.write("file", b"bytes");
    let unique = place.0.join("file");
    let mut server = Server::new(&place.0);
    server.read(b"file");
    for slot in 10..12 {
        let op = FileOp::Open {
            root: Root(0),
            path: path(b"file"),
            how: READ,
        };
        let key = Key::new(OpKind::File, 1, slot);
        server.bench.driver.submit(key, Op::File(Box::new(op)));
    }
    drop(server);
    let links = fs::read_dir("/proc/self/fd").expect("a list");
    let open = links
        .filter_map(|entry| fs::read_link(entry.ok()?.path()).ok())
        .filter(|target| *target == unique);
    assert_eq!(open.count(), 0);
}
