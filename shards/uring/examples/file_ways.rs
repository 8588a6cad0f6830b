//! What a GB of a file that is in memory costs the thread that sends it, by each way and size, to a client that copies and to one that discards.
//!
//! `cargo run --release -p ringway-uring --example file_ways [ROUNDS] [MEBIBYTES]` prints the table of README.md: CPU seconds per GB of the sending thread, the median of the
//! rounds, ways and sizes taking turns. Sender and client each have a core of their own (taskset).
#![expect(
    unsafe_code,
    clippy::print_stdout,
    reason = "recv with MSG_TRUNC, which std does not offer; the table is what it is for"
)]

use ringway_io::{
    Completion, Driver as _, File, FileDone, FileOp, FileSend, Frame, Key, Listener, Op, OpKind,
    OpenHow, Outcome, RelativePath, Root, Socket, Symlinks,
};
use ringway_uring::{
    FilesConfig, Pool, ProcessClock, UringBuilder, UringConfig, UringDriver, bind_shared,
};
use std::collections::VecDeque;
use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::os::fd::{AsFd as _, AsRawFd as _};
use std::process::{Child, Command};
use std::{env, fs};

const SIZES: [u32; 4] = [16 << 10, 256 << 10, 1 << 20, 256 << 20];
const SLOT_BYTES: u32 = 128 << 10;

#[derive(Clone, Copy, Debug)]
enum Way {
    /// sendfile(2), so many bytes at a time.
    SendFile(u32),
    /// READ_FIXED into a slot, SEND from it, the next read under way.
    Slot,
    /// READ into memory, which becomes a frame, and SEND.
    Plain,
    /// SEND of a frame that is in memory.
    Memory,
}

const WAYS: [Way; 5] = [
    Way::SendFile(128 << 10),
    Way::SendFile(512 << 10),
    Way::Slot,
    Way::Plain,
    Way::Memory,
];

struct Bench {
    driver: UringDriver,
    completions: VecDeque<Completion>,
    socket: Socket,
    file: File,
    keys: u32,
    /// Requests that came and are not answered.
    asked: usize,
    memory: Frame,
}

impl Bench {
    fn next(&mut self, fits: impl Fn(&Completion) -> bool) -> Outcome {
        loop {
            if let Some(index) = self.completions.iter().position(&fits) {
                let found = self.completions.remove(index);
                return found.expect("it was found").outcome;
            }
            let mut batch = Vec::new();
            self.driver.wait(None, &mut batch);
            self.completions.extend(batch);
        }
    }

    fn submit(&mut self, kind: OpKind, op: Op) -> Key {
        self.keys += u32::from(kind == OpKind::File);
        let slot = if kind == OpKind::File { self.keys } else { 0 };
        let key = Key::new(kind, 0, slot);
        self.driver.submit(key, op);
        key
    }

    fn of(&mut self, kind: OpKind, op: Op) -> Outcome {
        let key = self.submit(kind, op);
        self.next(|one| one.key == key)
    }

    fn file(&mut self, op: FileOp) -> FileDone {
        match self.of(OpKind::File, Op::File(Box::new(op))) {
            Outcome::File(done) => *done,
            other => panic!("{other:?}"),
        }
    }

    fn await_writable(&mut self) {
        let socket = self.socket;
        self.of(OpKind::Writable, Op::AwaitWritable { socket });
    }

    fn send_file(&mut self, size: u32, chunk: u32) {
        let (socket, file) = (self.socket, self.file);
        let mut at = 0;
        while at < size {
            let op = Op::SendFile {
                socket,
                file,
                offset: u64::from(at),
                count: chunk.min(size - at),
                is_known: false,
            };
            match self.of(OpKind::Send, op) {
                Outcome::FileSent(FileSend::Went(count)) => at += count,
                Outcome::FileSent(FileSend::Blocked) => self.await_writable(),
                Outcome::FileSent(FileSend::Again) => {}
                // Others on this machine want memory, too.
                Outcome::FileSent(FileSend::Cold) => self.warm(at, chunk),
                other => panic!("{other:?}"),
            }
        }
    }

    fn warm(&mut self, at: u32, chunk: u32) {
        self.file(FileOp::Read {
            file: self.file,
            bytes: vec![0; chunk as usize],
            offset: u64::from(at),
        });
    }

    fn read_slot(&mut self, at: u32, size: u32) -> Option<Key> {
        let count = SLOT_BYTES.min(size - at);
        let slot = (count > 0).then(|| self.driver.take_slot().expect("there are two"))?;
        let op = FileOp::ReadSlot {
            file: self.file,
            slot,
            count,
            offset: u64::from(at),
        };
        Some(self.submit(OpKind::File, Op::File(Box::new(op))))
    }

    fn slots(&mut self, size: u32) {
        let (mut at, socket) = (0, self.socket);
        let mut ahead = self.read_slot(0, size);
        while let Some(key) = ahead {
            let Outcome::File(done) = self.next(|one| one.key == key) else {
                panic!("a read")
            };
            let FileDone::SlotRead { mut slot, result } = *done else {
                panic!("a read")
            };
            let count = result.expect("a file");
            at += count;
            ahead = self.read_slot(at, size);
            let mut from = 0;
            while from < count {
                let piece = from..count;
                let op = Op::SendSlot {
                    socket,
                    slot,
                    piece,
                };
                let Outcome::SlotSent { slot: back, result } = self.of(OpKind::Send, op) else {
                    panic!("a send")
                };
                slot = back;
                from += result.unwrap_or(0);
                if from < count {
                    self.await_writable();
                }
            }
            self.driver.return_slot(slot);
        }
    }

    fn send(&mut self, frame: Frame, size: u32) {
        let (socket, piece) = (self.socket, 0..size);
        let op = Op::Send {
            socket,
            frame,
            piece,
            goes_on: false,
        };
        let sent = self.of(OpKind::Send, op);
        assert!(matches!(sent, Outcome::Sent(Ok(count)) if count == size));
    }

    fn plain(&mut self, size: u32) {
        let mut at = 0;
        while at < size {
            let count = SLOT_BYTES.min(size - at);
            let done = self.file(FileOp::Read {
                file: self.file,
                bytes: vec![0; count as usize],
                offset: u64::from(at),
            });
            let FileDone::Read { bytes, .. } = done else {
                panic!("a read")
            };
            self.send(Frame::from(bytes), count);
            at += count;
        }
    }

    fn respond(&mut self, way: Way, size: u32) {
        match way {
            Way::SendFile(chunk) => self.send_file(size, chunk),
            Way::Slot => self.slots(size),
            Way::Plain => self.plain(size),
            Way::Memory => self.send(self.memory.clone(), size),
        }
    }

    /// The client asks with a byte.
    fn receive(&mut self) {
        if self.asked > 0 {
            self.asked -= 1;
            return;
        }
        let key = Key::new(OpKind::Recv, 0, 0);
        match self.next(|one| one.key == key) {
            Outcome::Received { lease, more: true } => {
                self.asked = lease.len() - 1;
                self.driver.recycle(lease);
            }
            other => panic!("{other:?}"),
        }
    }

    /// CPU seconds per GB.
    fn measure(&mut self, way: Way, size: u32, bytes: u64) -> f64 {
        let times = (bytes / u64::from(size)).max(1);
        let before = cpu_ns();
        for _ in 0..times {
            self.receive();
            self.respond(way, size);
        }
        (cpu_ns() - before) as f64 / (times * u64::from(size)) as f64
    }
}

/// What this thread has run.
fn cpu_ns() -> u64 {
    let text = fs::read_to_string("/proc/thread-self/schedstat").expect("statistics");
    let first = text.split(' ').next().expect("a number");
    first.parse().expect("a number")
}

/// Asks and reads, for ever: `client ADDRESS copy|discard`, told sizes by its standard input.
fn client(address: &str, discards: bool) {
    let mut stream = TcpStream::connect(address).expect("a listener");
    let mut buffer = vec![0; 256 << 10];
    for line in std::io::stdin().lines() {
        let line = line.expect("text");
        let mut numbers = line
            .split(' ')
            .map(|word| word.parse::<u64>().expect("a number"));
        let (size, times) = (
            numbers.next().expect("a size"),
            numbers.next().expect("times"),
        );
        let mut to_ask = times;
        while to_ask > 0 {
            // Several at a time: on a machine that does other things, too, each turn of the two would else be a wait for the scheduler.
            let now = to_ask.min(64);
            to_ask -= now;
            stream
                .write_all(&vec![b'?'; now as usize])
                .expect("a server");
            let mut left = size * now;
            while left > 0 {
                let most = left.min(buffer.len() as u64) as usize;
                left -= if discards {
                    discard(&stream, most)
                } else {
                    read(&mut stream, &mut buffer[..most])
                };
            }
        }
    }
}

fn read(stream: &mut TcpStream, buffer: &mut [u8]) -> u64 {
    let count = stream.read(buffer).expect("bytes");
    assert!(count > 0, "the server is there");
    count as u64
}

fn discard(stream: &TcpStream, most: usize) -> u64 {
    let fd = stream.as_raw_fd();
    // SAFETY: with MSG_TRUNC nothing is written anywhere on a TCP socket.
    let count = unsafe { libc::recv(fd, core::ptr::null_mut(), most, libc::MSG_TRUNC) };
    assert!(count > 0, "the server is there");
    count as u64
}

fn start_client(address: SocketAddr, kind: &str) -> Child {
    let program = env::current_exe().expect("this program");
    Command::new("taskset")
        .args(["-c", "1"])
        .arg(program)
        .args(["client", &address.to_string(), kind])
        .stdin(std::process::Stdio::piped())
        .spawn()
        .expect("taskset")
}

fn start(directory: &std::path::Path) -> (Bench, SocketAddr) {
    let any = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
    let listener = bind_shared(any, 128 << 10).expect("a port");
    let copy = listener.as_fd().try_clone_to_owned().expect("a descriptor");
    let address = TcpListener::from(copy).local_addr().expect("an address");
    let mut pool = Pool::new(1).expect("an eventfd");
    let clock = ProcessClock::start();
    let config = UringConfig::default();
    let made = UringBuilder::all(&config, vec![vec![listener]], clock, &mut pool);
    let mut builder = made.expect("a ring").remove(0);
    let files = FilesConfig {
        slots: 4,
        slot_bytes: SLOT_BYTES,
        ..FilesConfig::default()
    };
    let root = fs::File::open(directory).expect("a directory");
    builder
        .serve_files(&files, vec![root.into()])
        .expect("an arena");
    builder.listen(16).expect("a listener");
    let bench = Bench {
        driver: builder.start().expect("a ring"),
        completions: VecDeque::new(),
        socket: Socket(0),
        file: File(0),
        keys: 0,
        asked: 0,
        memory: Frame::from(vec![7; SIZES[3] as usize]),
    };
    (bench, address)
}

fn connect(bench: &mut Bench, address: SocketAddr, kind: &str) -> Child {
    let child = start_client(address, kind);
    let key = Key::new(OpKind::Accept, 0, 0);
    let Outcome::Accepted { result, .. } = bench.next(|one| one.key == key) else {
        panic!("a client")
    };
    bench.socket = result.expect("a client").0;
    let socket = bench.socket;
    bench.submit(OpKind::Recv, Op::Recv { socket });
    child
}

fn median(mut numbers: Vec<f64>) -> f64 {
    numbers.sort_by(f64::total_cmp);
    numbers[numbers.len() / 2]
}

fn main() {
    let words: Vec<String> = env::args().collect();
    if words.get(1).is_some_and(|word| word == "client") {
        return client(&words[2], words[3] == "discard");
    }
    let number = |index: usize, usual| {
        words
            .get(index)
            .map_or(usual, |word| word.parse().expect("a number"))
    };
    let (rounds, bytes) = (number(1, 5), number(2, 256) << 20);
    let directory = env::temp_dir().join(format!("ringway-ways-{}", std::process::id()));
    fs::create_dir_all(&directory).expect("a directory");
    fs::write(directory.join("file"), vec![7; SIZES[3] as usize]).expect("a file");
    let (mut bench, address) = start(&directory);
    let listener = Listener(0);
    bench.submit(OpKind::Accept, Op::Accept { listener });
    let opened = bench.file(FileOp::Open {
        root: Root(0),
        path: RelativePath::new(b"file").expect("a path"),
        how: OpenHow::Read(Symlinks::Beneath),
    });
    let FileDone::Opened(Ok(opened)) = opened else {
        panic!("{opened:?}")
    };
    bench.file = opened.file;
    for kind in ["copy", "discard"] {
        let mut child = connect(&mut bench, address, kind);
        let mut input = child.stdin.take().expect("a pipe");
        let mut cells = vec![Vec::new(); SIZES.len() * WAYS.len()];
        for _ in 0..rounds {
            for (index, cell) in cells.iter_mut().enumerate() {
                let (size, way) = (SIZES[index / WAYS.len()], WAYS[index % WAYS.len()]);
                let times = (bytes / u64::from(size)).max(1);
                writeln!(input, "{size} {times}").expect("a client");
                cell.push(bench.measure(way, size, bytes));
            }
        }
        for (index, cell) in cells.into_iter().enumerate() {
            let (size, way) = (SIZES[index / WAYS.len()], WAYS[index % WAYS.len()]);
            println!(
                "{kind:<8} {:>7} KiB  {:<18} {:.3}",
                size >> 10,
                format!("{way:?}"),
                median(cell)
            );
        }
        drop(input);
        let key = Key::new(OpKind::Recv, 0, 0);
        bench.next(|one| one.key == key);
        let socket = bench.socket;
        bench.of(OpKind::Close, Op::Close { socket });
        child.wait().expect("a client");
    }
    fs::remove_dir_all(&directory).expect("a directory");
}
