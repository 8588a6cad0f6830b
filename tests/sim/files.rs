//! One shard that serves files and takes some, over the pretended kernel and its disk. Clients ask for ranges while others cut and replace the files; the handler
//! writes files of its own meanwhile, until the power goes. What a client got is what the file had; who got less knows why; what was acknowledged is found
//! afterwards, nothing half-written has its name, and no slot and no descriptor is left over.

use core::time::Duration;
use ringway_io::{
    FileName, JobOutput, Listener, OpenHow, Peer, PoolFull, RelativePath, Root, ShardId, Symlinks,
    SyncWhat,
};
use ringway_runtime::{
    Bounds, Cause, Class, Command, Conn, Context, FileHandle, FileOutcome, FilePiece, FileRequest,
    Handler, MailOutcome, Mesh, MeshBounds, Now, Outgoing, Place, Shard,
};
use ringway_sim::{Client, Config, End, Fault, Kernel, Random, SimDriver, Storage};
use rtrb::{Producer, RingBuffer};
use std::collections::{BTreeMap, HashMap, VecDeque};

const SEEDS: u64 = 400;
const STEPS: usize = 900;
const SETTLE_LAPS_MAX: usize = 60_000;
const CLIENTS_MAX: usize = 8;
/// Files that clients ask for, by their names' only letter.
const FILES: usize = 4;
const FILE_BYTES_MAX: usize = 3_000;
const REQUEST_BYTES: usize = 5;
const HEAD_BYTES: usize = 12;
const ROOT: Place = Place::Root(Root(0));
/// Tokens of uploads; below are connections.
const UPLOAD: u64 = 1 << 63;

/// The byte at an offset of a file.
const fn byte_of(inode: u64, offset: usize) -> u8 {
    (offset % 251) as u8 ^ (inode as u8).wrapping_mul(37)
}

fn bytes_of(inode: u64, range: core::ops::Range<usize>) -> Vec<u8> {
    range.map(|offset| byte_of(inode, offset)).collect()
}

/// A request: the file, from where, and how much.
#[derive(Clone, Copy, Debug)]
struct Request {
    file: u8,
    start: u16,
    count: u16,
}

impl Request {
    fn to_bytes(self) -> [u8; REQUEST_BYTES] {
        let ([a, b], [c, d]) = (self.start.to_le_bytes(), self.count.to_le_bytes());
        [self.file, a, b, c, d]
    }

    fn from_bytes(bytes: &[u8]) -> Self {
        Self {
            file: bytes[0],
            start: u16::from_le_bytes([bytes[1], bytes[2]]),
            count: u16::from_le_bytes([bytes[3], bytes[4]]),
        }
    }
}

/// What precedes a range: the file's number and the count of bytes that follow. Number 0 and none: it could not be opened.
fn head(inode: u64, count: u32) -> Vec<u8> {
    [&inode.to_le_bytes()[..], &count.to_le_bytes()].concat()
}

#[derive(Default)]
struct Visitor {
    name: usize,
    input: Vec<u8>,
    /// A file is being opened for it, under this number.
    opening: Option<u64>,
    outgoing: VecDeque<Outgoing>,
}

/// An upload under way.
struct Upload {
    number: u32,
    file: Option<FileHandle>,
    named: bool,
    written: usize,
    size: usize,
    step: Step,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Step {
    Open,
    Write,
    Sync,
    Name,
    SyncName,
    Remove,
}

/// The handler.
#[derive(Default)]
struct Desk {
    visitors: HashMap<Conn, Visitor>,
    opens: u64,
    /// Why each client was closed.
    closed: BTreeMap<usize, Cause>,
    upload: Option<Upload>,
    uploads: u32,
    uploads_max: u32,
    /// Acknowledged: on the disk, by their names.
    done: BTreeMap<u32, usize>,
    /// All that were begun.
    sizes: BTreeMap<u32, usize>,
}

fn upload_name(number: u32) -> Vec<u8> {
    format!("up-{number}").into_bytes()
}

fn part_name(number: u32) -> FileName {
    FileName::new(format!(".part-{number}").as_bytes()).expect("a name")
}

fn upload_bytes(number: u32, range: core::ops::Range<usize>) -> Vec<u8> {
    bytes_of(u64::from(number) + 1000, range)
}

impl Desk {
    fn next_request(&mut self, cx: &mut Context<'_>, conn: Conn) {
        self.opens += 1;
        let opens = self.opens;
        let Some(visitor) = self.visitors.get_mut(&conn) else {
            return;
        };
        if visitor.opening.is_some() || visitor.input.len() < REQUEST_BYTES {
            return;
        }
        visitor.opening = Some(opens);
        let request = Request::from_bytes(&visitor.input);
        let name = [b'a' + request.file];
        let request = Box::new(FileRequest::Open {
            root: Root(0),
            path: RelativePath::new(&name).expect("a path"),
            how: OpenHow::Read(Symlinks::Beneath),
        });
        let token = opens;
        cx.commands.push(Command::File { token, request });
    }

    fn opened(&mut self, cx: &mut Context<'_>, token: u64, outcome: FileOutcome) {
        let FileOutcome::Opened(result) = outcome else {
            panic!("{outcome:?} is no open's")
        };
        let waits = |(_, visitor): &(&Conn, &mut Visitor)| visitor.opening == Some(token);
        // Whoever is gone leaves the file to be dropped here.
        let Some((conn, visitor)) = self.visitors.iter_mut().find(waits) else {
            return;
        };
        let conn = *conn;
        visitor.opening = None;
        let request = Request::from_bytes(&visitor.input);
        visitor.input.drain(..REQUEST_BYTES);
        match result {
            Err(_) => visitor
                .outgoing
                .push_back(Outgoing::Frame(head(0, 0).into())),
            Ok(opened) => {
                let start = u64::from(request.start).min(opened.stat.size);
                let end = (start + u64::from(request.count)).min(opened.stat.size);
                let head = head(opened.stat.inode, (end - start) as u32);
                visitor.outgoing.push_back(Outgoing::Frame(head.into()));
                let (file, range) = (opened.file, start..end);
                let piece = Box::new(FilePiece { file, range });
                visitor.outgoing.push_back(Outgoing::File(piece));
            }
        }
        cx.commands.push(Command::Dirty(conn));
        self.next_request(cx, conn);
    }

    fn ask(cx: &mut Context<'_>, request: FileRequest) {
        let request = Box::new(request);
        cx.commands.push(Command::File {
            token: UPLOAD,
            request,
        });
    }

    fn begin_upload(&mut self, cx: &mut Context<'_>) {
        if self.upload.is_some() || self.uploads >= self.uploads_max {
            return;
        }
        self.uploads += 1;
        let number = self.uploads;
        let size = ((cx.entropy)() % 700) as usize;
        self.sizes.insert(number, size);
        self.upload = Some(Upload {
            number,
            file: None,
            named: false,
            written: 0,
            size,
            step: Step::Open,
        });
        let request = FileRequest::Temporary {
            place: ROOT,
            name: part_name(number),
        };
        Self::ask(cx, request);
    }

    /// The next operation of the upload, as its step says.
    fn go_on(&mut self, cx: &mut Context<'_>) {
        let Some(upload) = &mut self.upload else {
            return;
        };
        let Some(file) = upload.file.clone() else {
            unreachable!("it was opened")
        };
        let name = FileName::new(&upload_name(upload.number)).expect("a name");
        if upload.step == Step::Write && upload.written == upload.size {
            upload.step = Step::Sync;
        }
        let request = match upload.step {
            Step::Open => unreachable!("it was opened"),
            Step::Write => {
                let end = (upload.written + 200).min(upload.size);
                FileRequest::Write {
                    file,
                    bytes: upload_bytes(upload.number, upload.written..end),
                    offset: upload.written as u64,
                }
            }
            Step::Sync => FileRequest::Sync {
                file,
                what: SyncWhat::Data,
            },
            Step::Name if upload.named => FileRequest::Rename {
                from: ROOT,
                name: part_name(upload.number),
                to: ROOT,
                new_name: name,
                replaces: false,
            },
            Step::Name => FileRequest::Link {
                file,
                to: ROOT,
                name,
            },
            Step::SyncName => FileRequest::SyncPlace(ROOT),
            Step::Remove => FileRequest::Unlink {
                place: ROOT,
                name: part_name(upload.number),
            },
        };
        Self::ask(cx, request);
    }

    fn upload_answered(&mut self, cx: &mut Context<'_>, outcome: FileOutcome) {
        let Some(upload) = &mut self.upload else {
            unreachable!("an upload has asked")
        };
        let next = match (upload.step, outcome) {
            (Step::Open, FileOutcome::Opened(Ok(opened))) => {
                upload.named = opened.named;
                upload.file = Some(opened.file);
                Some(Step::Write)
            }
            (Step::Write, FileOutcome::Wrote { count, result, .. }) => {
                upload.written += count as usize;
                result.is_ok().then_some(Step::Write)
            }
            (Step::Sync, FileOutcome::Done(Ok(()))) => Some(Step::Name),
            (Step::Name, FileOutcome::Done(Ok(()))) => Some(Step::SyncName),
            (Step::SyncName, FileOutcome::Done(Ok(()))) => {
                self.done.insert(upload.number, upload.size);
                self.upload = None;
                return;
            }
            (_, FileOutcome::Opened(_) | FileOutcome::Done(_)) => None,
            (step, other) => panic!("{other:?} at {step:?}"),
        };
        match next {
            Some(step) => upload.step = step,
            None if upload.named
                && matches!(upload.step, Step::Write | Step::Sync | Step::Name) =>
            {
                upload.step = Step::Remove;
            }
            None => {
                self.upload = None;
                return;
            }
        }
        self.go_on(cx);
    }
}

impl Handler for Desk {
    type Control = ();

    fn accepted(&mut self, _: &mut Context<'_>, conn: Conn, _: Listener, peer: Peer) {
        let Peer::Inet(address) = peer else {
            panic!("there is one listener")
        };
        let core::net::IpAddr::V4(address) = address.ip() else {
            panic!("of an old kind")
        };
        let [_, _, high, low] = address.octets();
        let name = usize::from(high) << 8 | usize::from(low);
        let visitor = Visitor {
            name,
            ..Visitor::default()
        };
        self.visitors.insert(conn, visitor);
    }

    fn received(&mut self, cx: &mut Context<'_>, conn: Conn, bytes: &mut [u8]) {
        let visitor = self.visitors.get_mut(&conn).expect("it was accepted");
        visitor.input.extend_from_slice(bytes);
        self.next_request(cx, conn);
    }

    fn finished(&mut self, _: &mut Context<'_>, _: Conn) {}

    fn next_send(&mut self, _: Now, conn: Conn) -> Option<Outgoing> {
        self.visitors.get_mut(&conn)?.outgoing.pop_front()
    }

    fn sent(&mut self, _: &mut Context<'_>, _: Conn) {}

    fn closed(&mut self, _: &mut Context<'_>, conn: Conn, cause: Cause) {
        let visitor = self.visitors.remove(&conn).expect("it was accepted");
        self.closed.insert(visitor.name, cause);
    }

    fn freeze(&mut self, _: Now, _: Conn) -> Vec<u8> {
        unreachable!("there is no other shard")
    }

    fn arrived(&mut self, _: &mut Context<'_>, _: Conn, _: &[u8]) {}

    fn mail(&mut self, _: &mut Context<'_>, _: ShardId, _: Class, _: &[u8]) -> MailOutcome {
        MailOutcome::Taken
    }

    fn deadline(&mut self, _: &mut Context<'_>, _: u64) {}

    fn computed(&mut self, _: &mut Context<'_>, _: u32, _: Result<JobOutput, PoolFull>) {}

    fn file(&mut self, cx: &mut Context<'_>, token: u64, outcome: FileOutcome) {
        if token == UPLOAD {
            self.upload_answered(cx, outcome);
        } else {
            self.opened(cx, token, outcome);
        }
    }

    fn control(&mut self, _: &mut Context<'_>, (): ()) {}

    fn lap(&mut self, cx: &mut Context<'_>) {
        self.begin_upload(cx);
    }
}

/// A client, and what it has got of the answer that is coming.
struct Reader {
    client: Client,
    asked: VecDeque<Request>,
    /// Requests that did not fit yet.
    unsent: Vec<u8>,
    got: Vec<u8>,
    whole: u32,
    /// It has said all, and may be cut off when it does not read.
    finished: bool,
}

impl Reader {
    /// Looks at all answers that are whole, and at the beginning of the one that is not.
    fn judge(&mut self) {
        while self.got.len() >= HEAD_BYTES {
            let inode = u64::from_le_bytes(self.got[..8].try_into().expect("eight"));
            let count = u32::from_le_bytes(self.got[8..12].try_into().expect("four")) as usize;
            let request = self.asked.front().expect("an answer has a request");
            assert!(count <= usize::from(request.count), "more than was asked");
            let body = &self.got[HEAD_BYTES..];
            let here = body.len().min(count);
            let start = usize::from(request.start);
            let expected = bytes_of(inode, start..start + here);
            assert!(
                body[..here] == expected,
                "of {inode} at {start}: other bytes"
            );
            if here < count {
                return;
            }
            self.got.drain(..HEAD_BYTES + count);
            self.asked.pop_front();
            self.whole += 1;
        }
    }
}

struct House {
    kernel: Kernel,
    random: Random,
    shard: Shard<SimDriver, Desk>,
    _control: Producer<()>,
    readers: Vec<Reader>,
    /// Files that there were.
    puts: u64,
}

impl House {
    fn new(seed: u64) -> Self {
        let mut random = Random::new(seed);
        let config = Config {
            recv_buffers: 8,
            recv_buffer_bytes: 64,
            sockets_max: 64,
            listeners: 1,
            up_bytes_max: 64,
            down_bytes_max: 64 << random.below(5),
        };
        let kernel = Kernel::new(random.fork(), 1, config);
        kernel.serve_files(Storage {
            roots: 1,
            slots: 1 + random.below(4) as u16,
            slot_bytes: 64 << random.below(4),
            files_max: 3 + random.below(8),
            nameless: random.chance(700),
        });
        let (control, inbox) = RingBuffer::new(1);
        let bounds = Bounds {
            connections_max: CLIENTS_MAX as u32 + 20,
            linger: Duration::from_secs(2),
        };
        let mesh = Mesh::build(1, &MeshBounds::within(0, 1)).remove(0);
        let desk = Desk {
            uploads_max: 12,
            ..Desk::default()
        };
        let mut shard = Shard::new(kernel.driver(0), desk, mesh, inbox, bounds);
        shard.start();
        let mut house = Self {
            kernel,
            random,
            shard,
            _control: control,
            readers: Vec::new(),
            puts: 0,
        };
        (0..FILES).for_each(|file| house.put(file));
        house
    }

    fn name(file: usize) -> [u8; 1] {
        [b'a' + file as u8]
    }

    fn put(&mut self, file: usize) {
        let size = self.random.below(FILE_BYTES_MAX);
        let inode = self
            .kernel
            .put_file(0, &Self::name(file), |inode| bytes_of(inode, 0..size));
        self.puts = self.puts.max(inode);
    }

    fn lap(&mut self) {
        self.shard.work();
        let deadline = self.shard.park();
        if !self.kernel.would_return(0, deadline) {
            let until = deadline.unwrap_or_else(|| self.kernel.now());
            self.kernel.pass(until);
        }
        self.shard.reap(deadline);
    }

    fn ask(&mut self, index: usize) {
        let request = Request {
            file: self.random.below(FILES + 1) as u8,
            start: self.random.below(FILE_BYTES_MAX) as u16,
            count: self.random.below(FILE_BYTES_MAX) as u16,
        };
        let reader = &mut self.readers[index];
        reader.asked.push_back(request);
        reader.unsent.extend(request.to_bytes());
    }

    /// Lets a client write and read what it can.
    fn turn(&mut self, index: usize) {
        let bytes_max = 1 + self.random.below(400);
        let reader = &mut self.readers[index];
        let count = self.kernel.write(reader.client, &reader.unsent);
        reader.unsent.drain(..count);
        let read = self.kernel.read(reader.client, bytes_max);
        reader.got.extend(read);
        reader.judge();
    }

    fn step(&mut self) {
        let index = (!self.readers.is_empty()).then(|| self.random.below(self.readers.len()));
        match (self.random.below(100), index) {
            (0..=5, _) if self.readers.len() < CLIENTS_MAX => self.readers.push(Reader {
                client: self.kernel.connect(0),
                asked: VecDeque::new(),
                unsent: Vec::new(),
                got: Vec::new(),
                whole: 0,
                finished: false,
            }),
            (6..=14, Some(index)) => self.ask(index),
            (15..=39, Some(index)) => self.turn(index),
            (40, Some(index)) => {
                let reader = self.readers.swap_remove(index);
                self.kernel.reset(reader.client);
            }
            (41, Some(index)) => {
                let reader = &mut self.readers[index];
                reader.finished = true;
                self.kernel.finish(reader.client);
            }
            (42..=43, _) => {
                let file = self.random.below(FILES);
                self.put(file);
            }
            (44, _) => {
                let (file, size) = (self.random.below(FILES), self.random.below(FILE_BYTES_MAX));
                self.kernel.cut_file(0, &Self::name(file), size);
            }
            _ => self.lap(),
        }
    }

    /// Whether a client has nothing more to get.
    fn is_served(&self, reader: &Reader) -> bool {
        self.kernel.end(reader.client).is_some()
            || (reader.asked.is_empty() && reader.unsent.is_empty())
    }

    /// Everybody gets what was asked for, or is told that it cannot be had.
    fn settle(&mut self) {
        self.kernel.be_quiet();
        for _ in 0..SETTLE_LAPS_MAX {
            (0..self.readers.len()).for_each(|index| self.turn(index));
            self.lap();
            let served = self.readers.iter().all(|reader| self.is_served(reader));
            let desk = self.shard.handler();
            if served && desk.upload.is_none() && desk.uploads == desk.uploads_max {
                return;
            }
        }
        let waiting = self.readers.iter().filter(|one| !self.is_served(one));
        let waiting: Vec<_> = waiting.map(|one| (one.client, one.asked.len())).collect();
        panic!("{waiting:?} wait for ever: {:?}", self.kernel.in_flight(0));
    }

    /// Who got less than was promised was cut off because of the file, or had finished before it asked.
    fn judge_ends(&self) {
        for reader in &self.readers {
            if self.kernel.end(reader.client) != Some(End::Finished) {
                continue;
            }
            let cause = self.shard.handler().closed.get(&reader.client.0);
            let in_part = !reader.got.is_empty();
            let fits = match cause {
                Some(Cause::FileShort | Cause::FileChanged) => self.fired(Fault::FileCut) > 0,
                Some(Cause::FileFailed) => self.fired(Fault::ReadFailed) > 0,
                Some(Cause::Closed) => !in_part || reader.finished,
                // It took nothing for too long.
                Some(Cause::Failed) => !in_part || self.shard.stats().transfers_stalled > 0,
                _ => !in_part,
            };
            assert!(
                fits,
                "{:?} ended by {cause:?}, in part: {in_part}",
                reader.client
            );
        }
    }

    fn fired(&self, fault: Fault) -> u64 {
        let faults = self.kernel.faults();
        let found = faults.fired_of_files().find(|(one, _)| *one == fault);
        found.map_or(0, |(_, count)| count)
    }

    /// Everybody leaves; nothing is left.
    fn leave(&mut self) {
        for reader in self.readers.drain(..) {
            self.kernel.reset(reader.client);
        }
        for _ in 0..SETTLE_LAPS_MAX {
            let is_left = self.shard.stats().connections == 0
                && self.kernel.files_open(0) == 0
                && self.kernel.slots_out(0) == 0;
            if is_left {
                assert_eq!(self.shard.stats().transfers_live, 0);
                assert_eq!(self.shard.stats().files_open, 0);
                return;
            }
            self.lap();
        }
        let (files, slots) = (self.kernel.files_open(0), self.kernel.slots_out(0));
        let connections = self.shard.stats().connections;
        panic!("{files} files, {slots} slots and {connections} connections are left");
    }

    /// The power goes: what was acknowledged is there, and nothing by a final name is not whole.
    fn lose_power(&self) {
        self.kernel.lose_power();
        let desk = self.shard.handler();
        for (number, size) in &desk.sizes {
            let found = self.kernel.file(0, &upload_name(*number));
            let expected = upload_bytes(*number, 0..*size);
            match found {
                Some(bytes) => assert!(bytes == expected, "upload {number} is not whole"),
                None => assert!(!desk.done.contains_key(number), "upload {number} is lost"),
            }
        }
    }
}

fn run(seed: u64) -> (BTreeMap<String, u64>, [u64; 3]) {
    let mut house = House::new(seed);
    (0..STEPS).for_each(|_| house.step());
    if seed.is_multiple_of(2) {
        // In the middle of things.
        house.lose_power();
    } else {
        house.settle();
        house.judge_ends();
        house.leave();
        house.lose_power();
    }
    let stats = house.shard.stats();
    let counts = [
        stats.file_bytes_direct,
        stats.file_bytes_copied,
        house.shard.handler().done.len() as u64,
    ];
    let faults = house.kernel.faults();
    let faults = faults.fired_of_files();
    (
        faults
            .map(|(fault, count)| (format!("{fault:?}"), count))
            .collect(),
        counts,
    )
}

#[expect(clippy::print_stdout, reason = "the table is what a run is for")]
#[test]
fn files_go_whole_or_say_why_and_leave_nothing_behind() {
    let seeds = crate::seeds(SEEDS);
    let is_full = seeds.end - seeds.start >= SEEDS;
    let reports = match crate::run(seeds, run) {
        Ok(reports) => reports,
        Err(seed) => panic!("seed {seed} failed; replay it with: make sim SEED={seed}"),
    };
    let mut faults: BTreeMap<String, u64> = BTreeMap::new();
    let mut counts = [0; 3];
    for (fired, of_seed) in &reports {
        for (name, count) in fired {
            *faults.entry(name.clone()).or_default() += count;
        }
        for (sum, count) in counts.iter_mut().zip(of_seed) {
            *sum += count;
        }
    }
    println!("{:<24}{:>14}", "seeds of files", reports.len());
    let names = ["bytes without a copy", "bytes from slots", "uploads kept"];
    let names = names.map(str::to_owned);
    for (name, count) in names.into_iter().zip(counts).chain(faults) {
        println!("{name:<24}{count:>14}");
        assert!(count > 0 || !is_full, "{name}: none");
    }
}
