//! Files through the loop and the real kernel: bytes arrive whole by either way, many slow readers hold no slot, a file that is cut short ends its connections, and
//! nothing stays open.

use ringway_io::{
    JobOutput, Listener, OpenHow, Peer, PoolFull, RelativePath, Root, ShardId, Symlinks,
};
use ringway_runtime::{
    Bounds, Cause, Class, Command, Conn, Context, FileOutcome, FilePiece, FileRequest, Handler,
    LoopStats, MailOutcome, Mesh, MeshBounds, Now, Outgoing, Shard,
};
use ringway_uring::{FilesConfig, Pool, ProcessClock, UringBuilder, UringConfig, bind_shared};
use std::collections::HashMap;
use std::fs;
use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::os::fd::AsFd as _;
use std::path::{Path, PathBuf};
use std::thread::{self, JoinHandle};
use std::time::Duration;

const FILE_BYTES: usize = 24 << 20;

/// Sends the whole file for every byte that it gets.
#[derive(Default)]
struct Library {
    opens: u64,
    waiting: HashMap<u64, Conn>,
    pieces: HashMap<Conn, Vec<FilePiece>>,
    causes: Vec<Cause>,
}

impl Handler for Library {
    type Control = ();

    fn accepted(&mut self, _: &mut Context<'_>, conn: Conn, _: Listener, _: Peer) {
        self.pieces.insert(conn, Vec::new());
    }

    fn received(&mut self, cx: &mut Context<'_>, conn: Conn, bytes: &mut [u8]) {
        for _ in bytes {
            self.opens += 1;
            self.waiting.insert(self.opens, conn);
            let request = Box::new(FileRequest::Open {
                root: Root(0),
                path: RelativePath::new(b"file").expect("a path"),
                how: OpenHow::Read(Symlinks::Refused),
            });
            let token = self.opens;
            cx.commands.push(Command::File { token, request });
        }
    }

    fn file(&mut self, cx: &mut Context<'_>, token: u64, outcome: FileOutcome) {
        let conn = self.waiting.remove(&token).expect("it was asked for");
        let (FileOutcome::Opened(Ok(opened)), Some(pieces)) = (outcome, self.pieces.get_mut(&conn))
        else {
            return;
        };
        let range = 0..opened.stat.size;
        let file = opened.file;
        pieces.push(FilePiece { file, range });
        cx.commands.push(Command::Dirty(conn));
    }

    fn next_send(&mut self, _: Now, conn: Conn) -> Option<Outgoing> {
        let piece = self.pieces.get_mut(&conn)?.pop()?;
        Some(Outgoing::File(Box::new(piece)))
    }

    fn closed(&mut self, _: &mut Context<'_>, conn: Conn, cause: Cause) {
        self.pieces.remove(&conn);
        self.causes.push(cause);
    }

    fn control(&mut self, cx: &mut Context<'_>, (): ()) {
        cx.commands.push(Command::Exit);
    }

    fn finished(&mut self, _: &mut Context<'_>, _: Conn) {}

    fn sent(&mut self, _: &mut Context<'_>, _: Conn) {}

    fn freeze(&mut self, _: Now, _: Conn) -> Vec<u8> {
        unreachable!("there is one shard")
    }

    fn arrived(&mut self, _: &mut Context<'_>, _: Conn, _: &[u8]) {}

    fn mail(&mut self, _: &mut Context<'_>, _: ShardId, _: Class, _: &[u8]) -> MailOutcome {
        MailOutcome::Taken
    }

    fn deadline(&mut self, _: &mut Context<'_>, _: u64) {}

    fn computed(&mut self, _: &mut Context<'_>, _: u32, _: Result<JobOutput, PoolFull>) {}

    fn lap(&mut self, _: &mut Context<'_>) {}
}

/// A shard on a thread of its own, serving one directory.
struct Served {
    place: PathBuf,
    address: SocketAddr,
    stop: rtrb::Producer<()>,
    waker: ringway_uring::Waker,
    shard: JoinHandle<(LoopStats, Vec<Cause>)>,
}

fn pattern(offset: usize) -> u8 {
    (offset % 251) as u8
}

fn serve(name: &str) -> Served {
    let place = std::env::temp_dir().join(format!("ringway-it-{}-{name}", std::process::id()));
    fs::create_dir_all(&place).expect("a directory");
    let bytes: Vec<u8> = (0..FILE_BYTES).map(pattern).collect();
    fs::write(place.join("file"), bytes).expect("a file");
    let any = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
    let listener = bind_shared(any, 16 << 10).expect("a port");
    let copy = listener.as_fd().try_clone_to_owned().expect("a descriptor");
    let address = TcpListener::from(copy).local_addr().expect("an address");
    let mut pool = Pool::new(1).expect("an eventfd");
    let config = UringConfig {
        sockets_max: 256,
        ..UringConfig::default()
    };
    let made = UringBuilder::all(
        &config,
        vec![vec![listener]],
        ProcessClock::start(),
        &mut pool,
    );
    let mut builder = made.expect("a ring").remove(0);
    let files = FilesConfig {
        slots: 4,
        slot_bytes: 64 << 10,
        files_max: 100,
        installed_max: 8,
        zero_copy: true,
    };
    builder
        .serve_files(&files, vec![root(&place)])
        .expect("an arena");
    builder.listen(64).expect("a listener");
    let (stop, control) = rtrb::RingBuffer::new(1);
    let waker = builder.waker();
    let shard = thread::spawn(move || {
        let driver = builder.start().expect("a ring");
        let mesh = Mesh::build(1, &MeshBounds::within(0, 1)).remove(0);
        let bounds = Bounds {
            connections_max: 200,
            linger: Duration::from_secs(2),
        };
        let mut shard = Shard::new(driver, Library::default(), mesh, control, bounds);
        shard.run(|_, _, _| {});
        (shard.stats().clone(), shard.handler().causes.clone())
    });
    Served {
        place,
        address,
        stop,
        waker,
        shard,
    }
}

fn root(place: &Path) -> std::os::fd::OwnedFd {
    fs::File::open(place).expect("a directory").into()
}

impl Served {
    fn ask(&self) -> TcpStream {
        let mut client = TcpStream::connect(self.address).expect("a listener");
        client.write_all(b"?").expect("a server");
        client
    }

    fn finish(mut self) -> (LoopStats, Vec<Cause>) {
        self.stop.push(()).expect("it is asked once");
        self.waker.wake();
        let end = self.shard.join().expect("no panic");
        let _ = fs::remove_dir_all(&self.place);
        end
    }

    /// How many descriptors of this process are of the file.
    fn open(&self) -> usize {
        let file = self.place.join("file");
        let all = fs::read_dir("/proc/self/fd").expect("a list");
        let targets = all.filter_map(|entry| fs::read_link(entry.ok()?.path()).ok());
        targets.filter(|target| *target == file).count()
    }

    /// Waits until nobody has the file open.
    fn await_closed(&self) {
        for _ in 0..3000 {
            if self.open() == 0 {
                return;
            }
            thread::yield_now();
            // The shard is asked for nothing meanwhile: each look lets it run.
            let probe = TcpStream::connect(self.address).expect("a listener");
            probe.shutdown(Shutdown::Both).expect("a connection");
        }
        panic!("{} descriptors are left", self.open());
    }
}

fn read_file(client: &mut TcpStream) -> usize {
    let (mut at, mut buffer) = (0, vec![0; 64 << 10]);
    while at < FILE_BYTES {
        let count = client.read(&mut buffer).unwrap_or(0);
        if count == 0 {
            return at;
        }
        let fits = |(index, byte): (usize, &u8)| *byte == pattern(at + index);
        assert!(buffer[..count].iter().enumerate().all(fits), "at {at}");
        at += count;
    }
    at
}

#[test]
fn files_arrive_whole_at_many_and_are_closed_behind_them() {
    let served = serve("whole");
    // Nobody has read them since they were written; some of it will be in memory.
    let clients: Vec<_> = (0..12).map(|_| served.ask()).collect();
    let readers = clients.into_iter().map(|mut client| {
        thread::spawn(move || {
            assert_eq!(read_file(&mut client), FILE_BYTES);
            client.write_all(b"?").expect("the connection goes on");
            assert_eq!(read_file(&mut client), FILE_BYTES);
        })
    });
    let readers: Vec<_> = readers.collect();
    readers
        .into_iter()
        .for_each(|reader| reader.join().expect("the bytes of the file"));
    served.await_closed();
    let (stats, _) = served.finish();
    assert_eq!(stats.transfers, 24);
    let moved = stats.file_bytes_direct + stats.file_bytes_copied;
    assert_eq!(moved, 24 * FILE_BYTES as u64);
}

/// They wait for their sockets, and whoever reads is served beside them although there are four slots.
#[test]
fn readers_that_do_not_read_are_in_nobodys_way() {
    let served = serve("slow");
    let slow: Vec<_> = (0..60).map(|_| served.ask()).collect();
    let mut quick = served.ask();
    assert_eq!(read_file(&mut quick), FILE_BYTES);
    drop(slow);
    served.await_closed();
    let (stats, _) = served.finish();
    assert_eq!((stats.transfers, stats.transfers_live), (61, 0));
    assert!(stats.transfer_waits >= 60, "{}", stats.transfer_waits);
}

#[test]
fn a_file_that_is_cut_short_ends_the_connection() {
    let served = serve("cut");
    let mut client = served.ask();
    let mut first = [0];
    client.read_exact(&mut first).expect("it has begun");
    let file = fs::OpenOptions::new()
        .write(true)
        .open(served.place.join("file"));
    file.expect("the file").set_len(100).expect("it is cut");
    let got = 1 + {
        let mut rest = Vec::new();
        let _ = client.read_to_end(&mut rest);
        rest.len()
    };
    assert!(got < FILE_BYTES, "{got} bytes");
    served.await_closed();
    let (stats, causes) = served.finish();
    assert_eq!(stats.transfers_cut, 1);
    assert!(causes.contains(&Cause::FileShort), "{causes:?}");
}
