//! Downloads through the whole service: files that are compressed on the way, whole and piece by piece, shaped and not, while others cut and replace them, the
//! pool refuses, disks fail and clients go. What a client decodes is the file of its tag; a body has its end only if it is whole; nothing is left over.

use crate::seats::{Seat, mesh_bounds, next_timer, seats};
use core::time::Duration;
use ringway::config::{Config as Configuration, FileRoot};
use ringway_proto::http1::Coding;
use ringway_service::limits::ByteRate;
use ringway_service::settings::Settings;
use ringway_sim::{Client, Config, Fault, Kernel, Random, Storage};
use ringway_streams::compress::{BrotliDecoder, DeflateDecoder, Limits, Wrapper, ZstdDecoder};
use ringway_streams::{Stage, run};
use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

const SEEDS: u64 = 400;
const STEPS: usize = 1_500;
const SETTLE_STEPS_MAX: usize = 300_000;
const CLIENTS_MAX: usize = 8;
const FILES: usize = 4;
/// Some of them are several pieces, and each may be in memory whole or not.
const FILE_BYTES_MAX: usize = 200_000;

/// Text of sixteen letters, as random as that lets it be: half of it is left when it is compressed.
fn byte_of(inode: u64, offset: usize) -> u8 {
    let mixed = (offset as u64 ^ inode << 32).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    b'a' + (mixed >> 60) as u8
}

fn bytes_of(inode: u64, range: core::ops::Range<usize>) -> Vec<u8> {
    range.map(|offset| byte_of(inode, offset)).collect()
}

/// What a client has asked.
#[derive(Clone, Copy, Debug)]
struct Request {
    file: usize,
    /// Nothing is said of codings with `Identity`.
    coding: Coding,
    range: Option<(usize, usize)>,
    is_head: bool,
}

fn name(file: usize) -> String {
    format!("{}.txt", (b'a' + file as u8) as char)
}

impl Request {
    fn text(&self) -> String {
        let method = if self.is_head { "HEAD" } else { "GET" };
        let mut text = format!("{method} /f/{} HTTP/1.1\r\nHost: a\r\n", name(self.file));
        if self.coding != Coding::Identity {
            text += &format!("Accept-Encoding: {}\r\n", self.coding.name());
        }
        if let Some((start, end)) = self.range {
            text += &format!("Range: bytes={start}-{end}\r\n");
        }
        text + "\r\n"
    }
}

/// The value of a header.
fn header<'a>(head: &'a str, name: &str) -> Option<&'a str> {
    let mut lines = head.split("\r\n").filter_map(|line| line.split_once(": "));
    let found = lines.find(|(key, _)| key.eq_ignore_ascii_case(name));
    found.map(|(_, value)| value)
}

/// The bytes within chunks and how many bytes they take, if the last one is there.
fn unchunked(bytes: &[u8]) -> Option<(Vec<u8>, usize)> {
    let (mut body, mut at) = (Vec::new(), 0);
    loop {
        let line = bytes[at..].windows(2).position(|two| two == b"\r\n")?;
        let size = core::str::from_utf8(&bytes[at..at + line]).expect("hexadecimal");
        let size = usize::from_str_radix(size, 16).expect("hexadecimal");
        at += line + 2;
        let chunk = bytes.get(at..at + size + 2)?;
        assert_eq!(&chunk[size..], b"\r\n", "behind a chunk");
        body.extend_from_slice(&chunk[..size]);
        at += size + 2;
        if size == 0 {
            return Some((body, at));
        }
    }
}

fn decoded(coding: &str, body: &[u8]) -> Vec<u8> {
    let limits = Limits::output(FILE_BYTES_MAX as u64);
    let mut decoder: Box<dyn Stage> = match coding {
        "zstd" => Box::new(ZstdDecoder::new(limits, 23).expect("memory")),
        "br" => Box::new(BrotliDecoder::new(limits, 24)),
        "gzip" => Box::new(DeflateDecoder::new(Wrapper::Gzip, limits)),
        other => panic!("{other} was not asked for"),
    };
    run(&mut *decoder, body, FILE_BYTES_MAX).expect("what has its end is whole")
}

struct Reader {
    client: Client,
    asked: VecDeque<Request>,
    unsent: Vec<u8>,
    got: Vec<u8>,
}

impl Reader {
    /// Takes whole answers off what it got. What was in each, for the table.
    fn judge(&mut self) -> Vec<&'static str> {
        let mut seen = Vec::new();
        while let Some((what, bytes)) = self.judge_one() {
            self.asked.pop_front();
            self.got.drain(..bytes);
            seen.push(what);
        }
        seen
    }

    fn judge_one(&self) -> Option<(&'static str, usize)> {
        let head_bytes = self.got.windows(4).position(|four| four == b"\r\n\r\n")? + 4;
        let head = core::str::from_utf8(&self.got[..head_bytes]).expect("text");
        let request = self.asked.front().expect("nothing comes unasked");
        let rest = &self.got[head_bytes..];
        if request.is_head {
            return Some(("heads", head_bytes));
        }
        let (body, body_bytes) = match header(head, "Transfer-Encoding") {
            Some(_) => unchunked(rest)?,
            None => {
                let length = header(head, "Content-Length").expect("a length or chunks");
                let length: usize = length.parse().expect("a number");
                (rest.get(..length)?.to_vec(), length)
            }
        };
        Some((judge_body(request, head, &body), head_bytes + body_bytes))
    }
}

/// A body is of the file that its tag names.
fn judge_body(request: &Request, head: &str, body: &[u8]) -> &'static str {
    let status = head.split(' ').nth(1).expect("a status");
    if !matches!(status, "200" | "206") {
        assert!(matches!(status, "404" | "416" | "500" | "503"), "{head}");
        return "refused";
    }
    let tag = header(head, "ETag").expect("a tag");
    let mut parts = tag.trim_start_matches("W/").trim_matches('"').split('-');
    let mut number = || {
        let text = parts.next().expect("a number");
        u64::from_str_radix(text, 16).expect("hexadecimal")
    };
    let (inode, length) = (number(), number() as usize);
    let coding = header(head, "Content-Encoding");
    assert_eq!(tag.starts_with("W/"), coding.is_some(), "{head}");
    assert_eq!(header(head, "Vary"), Some("Accept-Encoding"), "{head}");
    let Some(coding) = coding else {
        let (start, end) = request
            .range
            .filter(|_| status == "206")
            .unwrap_or((0, length));
        let end = length.min(if status == "206" { end + 1 } else { end });
        assert!(*body == bytes_of(inode, start..end), "{request:?}: {head}");
        return if status == "206" {
            "ranges"
        } else {
            "as they are"
        };
    };
    assert_eq!(coding, request.coding.name(), "{head}");
    assert!(request.range.is_none(), "{head}");
    assert!(
        decoded(coding, body) == bytes_of(inode, 0..length),
        "{request:?}: {head}"
    );
    match header(head, "Transfer-Encoding") {
        Some(_) => "compressed in pieces",
        None => "compressed whole",
    }
}

struct House {
    kernel: Kernel,
    random: Random,
    seats: Vec<Seat>,
    readers: Vec<Reader>,
    counts: BTreeMap<&'static str, u64>,
}

fn settings_of(random: &mut Random) -> Settings {
    let root = FileRoot {
        prefix: "/f/".to_owned(),
        directory: "files".into(),
        public: true,
        index: None,
        cache_control: None,
        precompressed: random.chance(500),
        compress: true,
        always_download: false,
    };
    let mut config = Configuration {
        dev: true,
        ..Configuration::default()
    };
    config.files.roots = vec![root];
    config.files.cache_bytes_max = random.below(400_000);
    config.files.cache_file_bytes_max = random.below(150_000) as u32;
    config.files.revalidate_ms = random.below(3) as u32 * 500;
    config.files.compress_kept_bytes_max = random.below(150_000);
    config.files.compress_jobs_max = 1 + random.below(3);
    config.files.compress_gzip_level = 1;
    // One brotli encoder, several of gzip; now and then none.
    config.files.compress_memory_bytes_max = random.below(3) * (5 << 20);
    let mut settings = ringway::settings::settings(&config).expect("a usable configuration");
    // Without keys, which nobody needs for what is public, but with rates.
    settings.dev = false;
    if random.chance(500) {
        settings.rates.connection_download = ByteRate {
            per_second: 20_000 << random.below(4),
            burst: 1 + random.below(40_000) as u64,
        };
    }
    settings
}

impl House {
    fn new(seed: u64) -> Self {
        let mut random = Random::new(seed);
        let config = Config {
            recv_buffers: 8,
            recv_buffer_bytes: 64 << random.below(3),
            sockets_max: 64,
            listeners: 1,
            up_bytes_max: 256,
            down_bytes_max: 1024 << random.below(6),
        };
        let kernel = Kernel::new(random.fork(), 1, config);
        kernel.serve_files(Storage {
            roots: 1,
            slots: 1 + random.below(4) as u16,
            slot_bytes: 4096 << random.below(4),
            files_max: 3 + random.below(30),
            nameless: true,
        });
        let settings = Arc::new(settings_of(&mut random));
        let bounds = mesh_bounds(&mut random);
        let mut seats = seats((&kernel, &mut random), 1, &settings, &bounds, 40);
        seats.iter_mut().for_each(|seat| seat.shard.start());
        let mut house = Self {
            kernel,
            random,
            seats,
            readers: Vec::new(),
            counts: BTreeMap::new(),
        };
        (0..FILES).for_each(|file| house.put(file));
        house
    }

    fn put(&mut self, file: usize) {
        let bytes_max = FILE_BYTES_MAX >> (2 * self.random.below(5));
        let size = self.random.below(bytes_max);
        let bytes = |inode| bytes_of(inode, 0..size);
        self.kernel.put_file(0, name(file).as_bytes(), bytes);
    }

    fn lap(&mut self) -> bool {
        self.seats[0].run(&self.kernel, &mut self.random, 0)
    }

    /// Time passes up to the next timer, but no more than this: clients have turns meanwhile.
    fn pass(&self, most: Duration) {
        let until = self.kernel.now() + most;
        let until = next_timer(&self.seats).map_or(until, |at| at.min(until));
        self.kernel.pass(until);
    }

    fn ask(&mut self, index: usize) {
        let start = self.random.below(FILE_BYTES_MAX);
        let is_range = self.random.chance(150);
        let request = Request {
            file: self.random.below(FILES + 1),
            coding: Coding::ALL[self.random.below(Coding::ALL.len())],
            range: is_range.then(|| (start, start + self.random.below(FILE_BYTES_MAX))),
            is_head: self.random.chance(50),
        };
        let reader = &mut self.readers[index];
        if reader.asked.len() < 2 {
            reader.asked.push_back(request);
            reader.unsent.extend(request.text().into_bytes());
        }
    }

    /// Lets a client write and read what it can.
    fn turn(&mut self, index: usize) {
        let bytes_max = 1 + self.random.below(20_000);
        let reader = &mut self.readers[index];
        let count = self.kernel.write(reader.client, &reader.unsent);
        reader.unsent.drain(..count);
        reader
            .got
            .extend(self.kernel.read(reader.client, bytes_max));
        for what in reader.judge() {
            *self.counts.entry(what).or_default() += 1;
        }
    }

    fn step(&mut self) {
        let index = (!self.readers.is_empty()).then(|| self.random.below(self.readers.len()));
        match (self.random.below(1000), index) {
            (0..=49, _) if self.readers.len() < CLIENTS_MAX => self.readers.push(Reader {
                client: self.kernel.connect(0),
                asked: VecDeque::new(),
                unsent: Vec::new(),
                got: Vec::new(),
            }),
            (50..=139, Some(index)) => self.ask(index),
            (140..=399, Some(index)) => self.turn(index),
            (400..=405, Some(index)) => {
                let reader = self.readers.swap_remove(index);
                self.kernel.reset(reader.client);
            }
            (406..=410, Some(index)) => self.kernel.finish(self.readers[index].client),
            (411..=425, _) => {
                let file = self.random.below(FILES);
                self.put(file);
            }
            (426..=431, _) => {
                let (file, size) = (self.random.below(FILES), self.random.below(FILE_BYTES_MAX));
                self.kernel.cut_file(0, name(file).as_bytes(), size);
            }
            (432..=449, _) => {
                // Now and then so much that who has not read is given up.
                let most_ms = 1 << self.random.below(17);
                self.pass(Duration::from_millis(most_ms));
            }
            _ => drop(self.lap()),
        }
    }

    fn is_served(&self, reader: &Reader) -> bool {
        let is_over = self.kernel.end(reader.client).is_some();
        (is_over && !self.kernel.readable(reader.client))
            || (reader.asked.is_empty() && reader.unsent.is_empty())
    }

    /// Everybody gets what was asked for, or is cut off.
    fn settle(&mut self) {
        self.kernel.be_quiet();
        for _ in 0..SETTLE_STEPS_MAX {
            (0..self.readers.len()).for_each(|index| self.turn(index));
            if !self.lap() {
                self.pass(Duration::from_millis(50));
            }
            if self.readers.iter().all(|reader| self.is_served(reader)) {
                return;
            }
        }
        let waiting = self.readers.iter().filter(|one| !self.is_served(one));
        let waiting: Vec<_> = waiting.map(|one| (one.client, &one.asked)).collect();
        panic!("{waiting:?} wait for ever: {:?}", self.kernel.in_flight(0));
    }

    /// Everybody leaves; nothing is left of them.
    fn leave(&mut self) {
        for reader in self.readers.drain(..) {
            self.kernel.reset(reader.client);
        }
        for _ in 0..SETTLE_STEPS_MAX {
            let shard = &self.seats[0].shard;
            let is_left = shard.stats().connections == 0 && shard.handler().hub().is_quiet();
            if is_left && self.kernel.slots_out(0) == 0 {
                let hub = shard.handler().hub();
                hub.audit();
                assert_eq!(hub.leftovers(), []);
                return;
            }
            if !self.lap() {
                self.pass(Duration::from_secs(60));
            }
        }
        let hub = self.seats[0].shard.handler().hub();
        panic!(
            "{:?} are left: {:?}",
            hub.leftovers(),
            self.kernel.in_flight(0)
        );
    }

    fn fired(&self, fault: Fault) -> u64 {
        let faults = self.kernel.faults();
        let mut all = faults.fired().chain(faults.fired_of_files());
        all.find(|(one, _)| *one == fault)
            .map_or(0, |(_, count)| count)
    }
}

fn run_seed(seed: u64) -> BTreeMap<&'static str, u64> {
    let mut house = House::new(seed);
    (0..STEPS).for_each(|_| house.step());
    house.settle();
    house.leave();
    let stats = house.seats[0].shard.handler().hub().stats();
    let mut counts = core::mem::take(&mut house.counts);
    counts.extend([
        ("opens joined", stats.file_opens_joined),
        ("compressions joined", stats.file_encodings_joined),
        ("compressions cut", stats.file_encodings_cut),
        ("without memory", stats.files_encodings_refused),
        ("waits for a rate", stats.file_rate_waits),
        ("jobs refused", house.fired(Fault::ComputeRefused)),
        ("files cut", house.fired(Fault::FileCut)),
    ]);
    counts
}

#[expect(clippy::print_stdout, reason = "the table is what a run is for")]
#[test]
fn every_promise_of_downloads_holds_under_all_faults() {
    let seeds = crate::seeds(SEEDS);
    let is_full = seeds.end - seeds.start >= SEEDS;
    let reports = match crate::run(seeds, run_seed) {
        Ok(reports) => reports,
        Err(seed) => panic!("seed {seed} failed; replay it with: make sim SEED={seed}"),
    };
    let mut sums: BTreeMap<&'static str, u64> = BTreeMap::new();
    for (name, count) in reports.iter().flatten() {
        *sums.entry(name).or_default() += count;
    }
    println!("{:<24}{:>14}", "seeds of downloads", reports.len());
    for (name, count) in &sums {
        println!("{name:<24}{count:>14}");
        assert!(*count > 0 || !is_full, "{name}: none");
    }
    for name in [
        "compressed in pieces",
        "compressed whole",
        "ranges",
        "as they are",
    ] {
        assert!(sums.contains_key(name) || !is_full, "{name}: none");
    }
}
