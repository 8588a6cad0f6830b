//! Uploads over the pretended kernel and its disk. Clients create, continue and remove uploads, break off in the middle and come back; the disk is full, fails,
//! and forgets what was not synced when the power goes, several times in a seed. No acknowledged byte is lost, what has its final name is whole, what was
//! removed does not come back, and nothing is left over.

use crate::seats::{Seat, mesh_bounds, next_timer, seats_over};
use ringway::config::Config as Configuration;
use ringway_runtime::MeshBounds;
use ringway_service::files::UsedUrls;
use ringway_service::settings::Settings;
use ringway_service::uploads::{
    Found, UploadId, Uploads, Vault, lock_name, part_name, record_name, unseal, upload_of,
};
use ringway_sim::{Client, Config, Kernel, Random, Storage};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

const SEEDS: u64 = 300;
const LIVES: usize = 3;
const STEPS: usize = 4_000;
const SETTLE_STEPS_MAX: usize = 400_000;
const CLIENTS: usize = 4;
/// Uploads that each client begins until the end, and at the end, when nothing fails any more and nobody breaks off.
const UPLOADS_MAX: u32 = 4;
const LAST_UPLOADS: u32 = 3;
const BYTES_MAX: usize = 1_500;
/// Of no body that is ever sent.
const WRONG_SHA1: &str = "AAAAAAAAAAAAAAAAAAAAAAAAAAA=";
/// Directories, in the order in which drivers are given them.
const WHOLE: usize = 0;
const PARTS: usize = 1;
const LOCKS: usize = 2;

fn bytes_of(number: u32, range: core::ops::Range<usize>) -> Vec<u8> {
    let byte = |offset: usize| (offset % 251) as u8 ^ (number as u8).wrapping_mul(37);
    range.map(byte).collect()
}

/// What a client has asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Asked {
    Nothing,
    Create {
        with: usize,
    },
    Offset,
    Patch {
        end: usize,
    },
    /// A body that does not have its checksum.
    Spoilt,
    /// To put the part together, twice.
    Join,
    Remove,
}

/// An upload as its client knows it.
#[derive(Clone, Debug)]
struct Upload {
    number: u32,
    size: usize,
    /// It is to be put together with itself.
    is_part: bool,
    /// It may be put together already: whoever asked for that has not heard the answer.
    may_be_used: bool,
    /// How often its bytes are in the file.
    copies: usize,
    /// Its path, once the client was told.
    path: Option<String>,
    /// Bytes that are safe: the client was told so.
    acknowledged: usize,
    /// Where it is, if the client knows.
    offset: Option<usize>,
    is_being_removed: bool,
    /// Somebody asked for that and has not heard the answer: it may be under way, and keep others away.
    may_be_removed: bool,
    /// Removing it failed: this process does not give it out any more.
    is_half_gone: bool,
}

impl Upload {
    fn id(&self) -> Option<UploadId> {
        self.path.as_deref().and_then(UploadId::of_url)
    }
}

struct Uploader {
    client: Option<Client>,
    unsent: Vec<u8>,
    got: Vec<u8>,
    asked: Asked,
    upload: Option<Upload>,
    begun: u32,
}

struct House {
    kernel: Kernel,
    random: Random,
    settings: Arc<Settings>,
    mesh_bounds: MeshBounds,
    shards: usize,
    seats: Vec<Seat>,
    uploaders: Vec<Uploader>,
    numbers: u32,
    uploads_max: u32,
    /// Whole uploads, of which their clients were told.
    done: Vec<Upload>,
    removed: BTreeSet<UploadId>,
    /// What happened, for the table.
    counts: BTreeMap<&'static str, u64>,
}

/// Segments so small that an upload has many.
fn vault_of(random: &mut Random) -> Option<Arc<Vault>> {
    let vault = Vault::of_keys(&[[9; 32]]);
    vault.map(|vault| Arc::new(vault.with_segments(16 << random.below(6))))
}

fn settings_of(random: &mut Random) -> Settings {
    let mut config = Configuration {
        dev: true,
        ..Configuration::default()
    };
    config.uploads.directory = Some("uploads".into());
    config.uploads.buffers = 1 + random.below(4) as u32;
    config.uploads.buffer_bytes = 4096;
    config.uploads.writes_max = 1 + random.below(4) as u32;
    config.uploads.checkpoint_bytes = 1 + random.below(700) as u64;
    let mut settings = ringway::settings::settings(&config).expect("a usable configuration");
    if let Some(uploads) = &mut settings.uploads {
        // Smaller than an operator may choose, so that they are full now and then.
        uploads.buffer_bytes = 16 << random.below(6);
        uploads.uploads.openers_max = 1 + random.below(6) as u32;
        if random.chance(500) {
            uploads.uploads.vault = vault_of(random);
        }
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
            down_bytes_max: 1024,
        };
        let shards = 1 + random.below(2);
        let kernel = Kernel::new(random.fork(), shards, config);
        kernel.serve_files(Storage {
            roots: 3,
            slots: 1,
            slot_bytes: 64,
            files_max: 32,
            nameless: random.chance(700),
        });
        let uploader = || Uploader {
            client: None,
            unsent: Vec::new(),
            got: Vec::new(),
            asked: Asked::Nothing,
            upload: None,
            begun: 0,
        };
        let mut house = Self {
            settings: Arc::new(settings_of(&mut random)),
            mesh_bounds: mesh_bounds(&mut random),
            kernel,
            random,
            shards,
            seats: Vec::new(),
            uploaders: (0..CLIENTS).map(|_| uploader()).collect(),
            numbers: 0,
            uploads_max: UPLOADS_MAX,
            done: Vec::new(),
            removed: BTreeSet::new(),
            counts: BTreeMap::new(),
        };
        house.start();
        house
    }

    fn count(&mut self, what: &'static str) {
        *self.counts.entry(what).or_default() += 1;
    }

    /// A process begins on what is on the disk.
    fn start(&mut self) {
        let found = self.found();
        let machine = (&self.kernel, &mut self.random);
        let over = (&self.settings, &found[..], &UsedUrls::default());
        self.seats = seats_over(machine, self.shards, over, &self.mesh_bounds, 40);
        self.seats.iter_mut().for_each(|seat| seat.shard.start());
    }

    fn found(&self) -> Vec<Found> {
        let names = self.kernel.names(PARTS).into_iter();
        let uploads = names.filter_map(|name| upload_of(core::str::from_utf8(&name).ok()?));
        let uploads: BTreeSet<UploadId> = uploads.collect();
        uploads
            .into_iter()
            .map(|upload| self.find(upload))
            .collect()
    }

    fn find(&self, upload: UploadId) -> Found {
        let file = |root, name: &str| self.kernel.file(root, name.as_bytes());
        let length = |root, name: &str| file(root, name).map(|bytes| bytes.len() as u64);
        let record = file(PARTS, &record_name(upload));
        let name = record.as_deref();
        let name = name.and_then(|record| Uploads::final_name_in(upload, record));
        Found {
            upload,
            record,
            part_bytes: length(PARTS, &part_name(upload)),
            final_bytes: name.and_then(|name| length(WHOLE, &name)),
        }
    }

    fn lap(&mut self) {
        let mut ran = false;
        for index in 0..self.seats.len() {
            ran |= self.seats[index].run(&self.kernel, &mut self.random, index);
        }
        if !ran && let Some(at) = next_timer(&self.seats) {
            self.kernel.pass(at);
        }
    }

    fn step(&mut self) {
        let index = self.random.below(CLIENTS);
        match self.random.below(1000) {
            0..=499 => self.turn(index),
            500..=504 => self.leave(index),
            _ => self.lap(),
        }
    }

    /// A client breaks off, in one way or another, and knows nothing of what it had asked.
    fn leave(&mut self, index: usize) {
        let how = self.random.below(3);
        if let Some(client) = self.uploaders[index].client.take() {
            match how {
                0 => self.kernel.reset(client),
                1 => self.kernel.finish(client),
                _ => self.kernel.hang_up(client),
            }
            self.count("clients that broke off");
        }
        self.lost(index);
    }

    fn lost(&mut self, index: usize) {
        let uploader = &mut self.uploaders[index];
        uploader.client = None;
        uploader.unsent.clear();
        uploader.got.clear();
        if let Some(upload) = &mut uploader.upload {
            upload.offset = None;
            upload.may_be_used |= uploader.asked == Asked::Join;
            upload.may_be_removed |= uploader.asked == Asked::Remove;
            // Nobody knows the name of an upload whose creation was not answered.
            if upload.path.is_none() {
                uploader.upload = None;
            }
        }
        uploader.asked = Asked::Nothing;
    }

    /// A client asks, writes, reads.
    fn turn(&mut self, index: usize) {
        let Some(client) = self.uploaders[index].client else {
            let shard = self.random.below(self.shards);
            self.uploaders[index].client = Some(self.kernel.connect(shard));
            return;
        };
        if self.uploaders[index].asked == Asked::Nothing {
            self.ask(index);
        }
        let uploader = &mut self.uploaders[index];
        let count = self.kernel.write(client, &uploader.unsent);
        uploader.unsent.drain(..count);
        let got = self.kernel.read(client, 512);
        uploader.got.extend(got);
        self.hear(index);
        if self.kernel.end(client).is_some() && !self.kernel.readable(client) {
            self.kernel.hang_up(client);
            self.lost(index);
        }
    }

    fn ask(&mut self, index: usize) {
        let random = &mut self.random;
        let uploader = &mut self.uploaders[index];
        let Some(upload) = &mut uploader.upload else {
            if uploader.begun >= self.uploads_max {
                return;
            }
            uploader.begun += 1;
            self.numbers += 1;
            let size = random.below(BYTES_MAX);
            let with = if random.chance(300) {
                random.below(size + 1)
            } else {
                0
            };
            let body = bytes_of(self.numbers, 0..with);
            let is_part = random.chance(250);
            let concat = match is_part {
                true => "Upload-Concat: partial\r\n",
                false => "",
            };
            let head = format!("Upload-Length: {size}\r\n{concat}");
            uploader.unsent = request("POST", "/uploads/", &head, &body, false);
            uploader.asked = Asked::Create { with };
            uploader.upload = Some(Upload {
                number: self.numbers,
                size,
                is_part,
                may_be_used: false,
                copies: 1,
                path: None,
                acknowledged: 0,
                offset: None,
                is_being_removed: false,
                may_be_removed: false,
                is_half_gone: false,
            });
            return;
        };
        let path = upload.path.clone().expect("its creation was answered");
        let Some(offset) = upload.offset else {
            uploader.unsent = request("HEAD", &path, "", &[], false);
            uploader.asked = Asked::Offset;
            return;
        };
        if offset == upload.size {
            let head = format!("Upload-Concat: final;{path} {path}\r\n");
            uploader.unsent = request("POST", "/uploads/", &head, &[], false);
            uploader.asked = Asked::Join;
            return;
        }
        if random.chance(80) {
            upload.is_being_removed = true;
            uploader.unsent = request("DELETE", &path, "", &[], false);
            uploader.asked = Asked::Remove;
            return;
        }
        let end = offset + 1 + random.below(upload.size - offset);
        let mut body = bytes_of(upload.number, offset..end);
        let head = format!("Upload-Offset: {offset}\r\n");
        if random.chance(150) {
            body.iter_mut().for_each(|byte| *byte ^= 0xff);
            let head = format!("{head}Upload-Checksum: sha1 {WRONG_SHA1}\r\n");
            uploader.unsent = request("PATCH", &path, &head, &body, random.chance(300));
            uploader.asked = Asked::Spoilt;
            return;
        }
        uploader.unsent = request("PATCH", &path, &head, &body, random.chance(300));
        uploader.asked = Asked::Patch { end };
    }

    /// Looks at an answer that is whole.
    fn hear(&mut self, index: usize) {
        let uploader = &mut self.uploaders[index];
        let Some((answer, bytes)) = Answer::of(&uploader.got, uploader.asked == Asked::Offset)
        else {
            return;
        };
        uploader.got.drain(..bytes);
        let asked = core::mem::replace(&mut uploader.asked, Asked::Nothing);
        self.answered(index, asked, &answer);
        if answer.closes {
            if let Some(client) = self.uploaders[index].client {
                self.kernel.hang_up(client);
            }
            self.lost(index);
        }
    }

    fn answered(&mut self, index: usize, asked: Asked, answer: &Answer) {
        let uploader = &mut self.uploaders[index];
        let Some(mut upload) = uploader.upload.take() else {
            panic!("{asked:?} is about an upload")
        };
        let fails = matches!(answer.status, 500 | 503 | 507);
        match (asked, answer.status) {
            (Asked::Create { with }, 201) => {
                upload.path = answer.location.clone();
                assert_eq!(answer.offset.unwrap_or(0), with, "all of the body");
                self.know(index, upload, with);
            }
            // It does not exist.
            (Asked::Create { .. }, _) if fails => self.count("creations that failed"),
            (Asked::Offset, 200) => {
                let offset = answer.offset.expect("HEAD says it");
                self.know(index, upload, offset);
            }
            (Asked::Patch { end }, 204) => {
                assert_eq!(answer.offset, Some(end), "all of the body");
                self.count("bodies acknowledged");
                self.know(index, upload, end);
            }
            (Asked::Spoilt, 460) => {
                self.count("bodies spoilt");
                self.unsure(index, upload);
            }
            (Asked::Join, 201) => {
                upload.path = answer.location.clone();
                (upload.is_part, upload.copies) = (false, 2);
                let is_sealed = self.is_whole(&upload);
                self.count(if is_sealed {
                    "encrypted uploads put together"
                } else {
                    "uploads put together"
                });
                self.done.push(upload);
            }
            (Asked::Patch { .. } | Asked::Spoilt, 409 | 423)
            | (Asked::Offset | Asked::Join, 423) => {
                self.unsure(index, upload);
            }
            (Asked::Offset | Asked::Join, 404 | 410) if upload.may_be_used => {}
            (Asked::Remove, 204) => {
                self.count("uploads removed");
                self.removed.extend(upload.id());
            }
            (Asked::Remove, _) if fails => {
                self.count("removals that failed");
                upload.is_half_gone = true;
                self.unsure(index, upload);
            }
            (Asked::Remove, 423) => {
                upload.is_being_removed = upload.may_be_removed;
                self.unsure(index, upload);
            }
            (_, 404 | 410) => {
                assert!(upload.is_being_removed, "upload {} is lost", upload.number);
            }
            (Asked::Offset | Asked::Patch { .. } | Asked::Spoilt | Asked::Join, _) if fails => {
                self.count("requests that failed");
                self.unsure(index, upload);
            }
            (asked, status) => panic!("{status} to {asked:?}"),
        }
    }

    fn unsure(&mut self, index: usize, mut upload: Upload) {
        upload.offset = None;
        self.uploaders[index].upload = Some(upload);
    }

    /// A client was told that so many bytes are safe.
    fn know(&mut self, index: usize, mut upload: Upload, offset: usize) {
        let (number, before) = (upload.number, upload.acknowledged);
        assert!(
            !upload.is_half_gone,
            "{number} was half removed, and came back"
        );
        assert!(
            offset >= before,
            "{number}: {before} bytes were acknowledged, {offset} are there"
        );
        upload.acknowledged = offset;
        upload.offset = Some(offset);
        if offset == upload.size && !upload.is_part {
            let is_sealed = self.is_whole(&upload);
            self.count(if is_sealed {
                "encrypted uploads whole"
            } else {
                "uploads whole"
            });
            self.done.push(upload);
        } else {
            self.uploaders[index].upload = Some(upload);
        }
    }

    /// Whether it is encrypted; that it is whole is asserted.
    fn is_whole(&self, upload: &Upload) -> bool {
        let id = upload.id().expect("its path names it");
        let mut found = self.kernel.file(WHOLE, id.to_string().as_bytes());
        let uploads = self.settings.uploads.as_ref();
        let vault = uploads.and_then(|uploads| uploads.uploads.vault.as_deref());
        let lock = self.kernel.file(LOCKS, lock_name(id).as_bytes());
        // Those from before there was a key have none.
        let is_sealed = vault.is_some() && lock.is_some();
        if let (Some(vault), Some(lock), Some(sealed)) = (vault, lock, &found) {
            found = unseal(vault, id, &lock, sealed);
        }
        let expected = bytes_of(upload.number, 0..upload.size).repeat(upload.copies);
        assert!(
            found == Some(expected),
            "upload {} is not whole",
            upload.number
        );
        is_sealed
    }

    /// What is on the disk is what clients were told.
    fn judge(&self) {
        for upload in &self.done {
            self.is_whole(upload);
        }
        let known = self.uploaders.iter().filter_map(|one| one.upload.as_ref());
        let known: Vec<&Upload> = known.filter(|upload| upload.path.is_some()).collect();
        for upload in known {
            let name = upload.id().expect("its path names it").to_string();
            if self.kernel.file(WHOLE, name.as_bytes()).is_some() {
                self.is_whole(upload);
            }
        }
        for id in &self.removed {
            let is_there = |root, name: String| self.kernel.file(root, name.as_bytes()).is_some();
            assert!(!is_there(WHOLE, id.to_string()), "{id} came back");
            assert!(
                !is_there(LOCKS, lock_name(*id)),
                "the key of {id} came back"
            );
        }
    }

    fn lose_power(&mut self) {
        self.count("times the power went");
        self.kernel.lose_power();
        // Shards of before are not touched any more.
        core::mem::take(&mut self.seats)
            .into_iter()
            .for_each(core::mem::forget);
        (0..CLIENTS).for_each(|index| self.lost(index));
        let known = self.uploaders.iter_mut();
        let known = known.filter_map(|one| one.upload.as_mut());
        known.for_each(|upload| upload.is_half_gone = false);
        self.judge();
        self.begin_to_encrypt();
        self.start();
    }

    /// The next process may have a key for what is new.
    fn begin_to_encrypt(&mut self) {
        let mut settings = (*self.settings).clone();
        if let Some(uploads) = &mut settings.uploads
            && uploads.uploads.vault.is_none()
            && self.random.chance(300)
        {
            uploads.uploads.vault = vault_of(&mut self.random);
            self.count("processes that begin to encrypt");
        }
        self.settings = Arc::new(settings);
    }

    /// Everybody gets everything through.
    fn settle(&mut self) {
        self.kernel.be_quiet();
        self.uploads_max += LAST_UPLOADS;
        for _ in 0..SETTLE_STEPS_MAX {
            (0..CLIENTS).for_each(|index| self.turn(index));
            self.lap();
            let is_over = |one: &Uploader| one.upload.is_none() && one.begun >= self.uploads_max;
            if self.uploaders.iter().all(is_over) {
                return;
            }
        }
        let waiting = self
            .uploaders
            .iter()
            .map(|one| (one.asked, one.upload.clone()));
        panic!("{:?} wait for ever", waiting.collect::<Vec<_>>());
    }

    /// Everybody leaves; nothing is left.
    fn end(&mut self) {
        for index in 0..CLIENTS {
            if let Some(client) = self.uploaders[index].client.take() {
                self.kernel.reset(client);
            }
        }
        for _ in 0..SETTLE_STEPS_MAX {
            let open: usize = (0..self.shards)
                .map(|shard| self.kernel.files_open(shard))
                .sum();
            let seats = self.seats.iter();
            let connections: u64 = seats.map(|seat| seat.shard.stats().connections).sum();
            let is_quiet = |seat: &Seat| seat.shard.handler().hub().is_quiet();
            if open == 0 && connections == 0 && self.seats.iter().all(is_quiet) {
                self.seats
                    .iter()
                    .for_each(|seat| seat.shard.handler().hub().audit());
                return self.judge();
            }
            self.lap();
        }
        panic!("something is left");
    }
}

fn request(method: &str, path: &str, head: &str, body: &[u8], is_chunked: bool) -> Vec<u8> {
    let media = match body.is_empty() {
        true => "",
        false => "Content-Type: application/offset+octet-stream\r\n",
    };
    let framing = match is_chunked {
        true => "Transfer-Encoding: chunked\r\n".to_owned(),
        false => format!("Content-Length: {}\r\n", body.len()),
    };
    let head = format!(
        "{method} {path} HTTP/1.1\r\nHost: a\r\nTus-Resumable: 1.0.0\r\n{head}{media}{framing}\r\n"
    );
    let mut bytes = head.into_bytes();
    if is_chunked {
        for piece in body.chunks(100) {
            bytes.extend(format!("{:x}\r\n", piece.len()).bytes());
            bytes.extend(piece);
            bytes.extend(b"\r\n");
        }
        bytes.extend(b"0\r\n\r\n");
    } else {
        bytes.extend(body);
    }
    bytes
}

struct Answer {
    status: u16,
    offset: Option<usize>,
    location: Option<String>,
    closes: bool,
}

impl Answer {
    /// The answer at the beginning of `bytes`, if it is whole, and its length.
    fn of(bytes: &[u8], is_of_head: bool) -> Option<(Self, usize)> {
        let end = bytes.windows(4).position(|four| four == b"\r\n\r\n")? + 4;
        let head = core::str::from_utf8(&bytes[..end]).expect("a head is text");
        let header = |name: &str| {
            head.lines().find_map(|line| {
                let (said, value) = line.split_once(": ")?;
                said.eq_ignore_ascii_case(name).then(|| value.to_owned())
            })
        };
        let status = head.split(' ').nth(1)?.parse().expect("a status");
        let body: usize = match status {
            200 | 201 | 204 => 0,
            // A refusal to HEAD says how long its body would be.
            _ if is_of_head => 0,
            _ => header("content-length").map_or(0, |bytes| bytes.parse().expect("a number")),
        };
        let is_here = bytes.len() >= end + body;
        let answer = Self {
            status,
            offset: header("upload-offset").map(|offset| offset.parse().expect("a number")),
            location: header("location"),
            closes: header("connection").as_deref() != Some("keep-alive"),
        };
        is_here.then_some((answer, end + body))
    }
}

fn run(seed: u64) -> BTreeMap<String, u64> {
    let mut house = House::new(seed);
    for _ in 0..LIVES {
        (0..STEPS).for_each(|_| house.step());
        house.lose_power();
    }
    house.settle();
    house.end();
    let faults = house.kernel.faults();
    let faults = faults.fired_of_files();
    let faults = faults.map(|(fault, count)| (format!("{fault:?}"), count));
    let counts = house.counts.iter();
    let counts = counts.map(|(name, count)| ((*name).to_owned(), *count));
    counts
        .chain(faults.filter(|(_, count)| *count > 0))
        .collect()
}

/// What has to happen in any large number of seeds.
const EVENTS: [&str; 13] = [
    "bodies acknowledged",
    "bodies spoilt",
    "clients that broke off",
    "creations that failed",
    "encrypted uploads put together",
    "encrypted uploads whole",
    "processes that begin to encrypt",
    "removals that failed",
    "requests that failed",
    "times the power went",
    "uploads put together",
    "uploads removed",
    "uploads whole",
];

#[test]
fn every_promise_of_uploads_holds_under_all_faults() {
    crate::run_and_sum("seeds of uploads", SEEDS, &EVENTS, run);
}
