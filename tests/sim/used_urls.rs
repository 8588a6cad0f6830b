//! One-time URLs over the pretended kernel and its disk, which fails, is full, and forgets what was not synced when the power goes, several times in a seed.
//! Whoever was answered has used its URL up, for every process after it; whoever was refused has not; and no URL is lost to a client that never asked.

use crate::seats::{Seat, mesh_bounds, next_timer, seats_over};
use ringway::config::Config as Configuration;
use ringway_runtime::MeshBounds;
use ringway_service::auth::Keys;
use ringway_service::files::{
    FilesSettings, Grant, Replay, Root, UrlClass, UrlKeys, UsedUrls, generation_of,
};
use ringway_service::settings::Settings;
use ringway_sim::{Client, Config, Kernel, Random, Storage};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

const SEEDS: u64 = 120;
const LIVES: usize = 4;
const STEPS: usize = 3_000;
const SETTLE_STEPS_MAX: usize = 200_000;
const CLIENTS: usize = 5;
const IDS: u128 = 60;
/// Directories, in the order in which drivers are given them.
const SERVED: usize = 0;
const JOURNALS: usize = 1;
const TEXT: &[u8] = b"for you alone";
const FOR_EVER: u64 = 9_999_999_999;

struct Reader {
    client: Option<Client>,
    unsent: Vec<u8>,
    got: Vec<u8>,
    asked: Option<u128>,
}

struct House {
    kernel: Kernel,
    random: Random,
    settings: Arc<Settings>,
    keys: Arc<UrlKeys>,
    mesh_bounds: MeshBounds,
    shards: usize,
    generation: u64,
    seats: Vec<Seat>,
    readers: Vec<Reader>,
    /// Their clients were answered.
    used: BTreeSet<u128>,
    /// Nobody knows: the client, the disk or the power was gone before it was said.
    unsure: BTreeSet<u128>,
    /// Refused by this process, which has to know that; of the disk only the next one sees.
    refused: BTreeSet<u128>,
    counts: BTreeMap<&'static str, u64>,
}

fn settings_of(keys: &Arc<UrlKeys>) -> Settings {
    let config = Configuration {
        dev: true,
        ..Configuration::default()
    };
    let settings = ringway::settings::settings(&config).expect("a usable configuration");
    let mut files = FilesSettings::new(vec![Root::default()]).expect("a usable root");
    files.used_urls = Some(JOURNALS as u32);
    Settings {
        dev: false,
        keys: Keys::new(&[], None, None, 0).expect("no keys are usable keys"),
        rates: Default::default(),
        files: Some(files),
        url_keys: Some(keys.clone()),
        ..settings
    }
}

impl House {
    fn new(seed: u64) -> Self {
        let mut random = Random::new(seed);
        let config = Config {
            recv_buffers: 8,
            recv_buffer_bytes: 256,
            sockets_max: 64,
            listeners: 1,
            up_bytes_max: 512,
            down_bytes_max: 1024,
        };
        let shards = 1 + random.below(3);
        let kernel = Kernel::new(random.fork(), shards, config);
        kernel.serve_files(Storage {
            roots: 2,
            slots: 1,
            slot_bytes: 64,
            files_max: 32,
            nameless: true,
        });
        kernel.put_file(SERVED, b"a", |_| TEXT.to_vec());
        let keys = UrlKeys::new(&[("k".to_owned(), vec![7; 32])]).expect("a key");
        let keys = Arc::new(keys);
        let reader = || Reader {
            client: None,
            unsent: Vec::new(),
            got: Vec::new(),
            asked: None,
        };
        let mut house = Self {
            settings: Arc::new(settings_of(&keys)),
            keys,
            mesh_bounds: mesh_bounds(&mut random),
            kernel,
            random,
            shards,
            generation: 0,
            seats: Vec::new(),
            readers: (0..CLIENTS).map(|_| reader()).collect(),
            used: BTreeSet::new(),
            unsure: BTreeSet::new(),
            refused: BTreeSet::new(),
            counts: BTreeMap::new(),
        };
        house.start();
        house
    }

    fn count(&mut self, what: &'static str) {
        *self.counts.entry(what).or_default() += 1;
    }

    /// What a process finds at its start. Journals of all processes stay here: what merges them is tested with real files.
    fn found(&self) -> UsedUrls {
        let mut found = UsedUrls {
            generation: self.generation,
            ..UsedUrls::default()
        };
        for name in self.kernel.names(JOURNALS) {
            let known = core::str::from_utf8(&name).ok().and_then(generation_of);
            let bytes = self.kernel.file(JOURNALS, &name);
            if let (Some((_, true)), Some(bytes)) = (known, bytes) {
                let mut replay = Replay::default();
                replay.push(&bytes);
                let (used, unreadable) = replay.finish();
                found.used.extend(used);
                found.unreadable += unreadable;
            }
        }
        found
    }

    fn start(&mut self) {
        let found = self.found();
        let machine = (&self.kernel, &mut self.random);
        let over = (&self.settings, &[][..], &found);
        self.seats = seats_over(machine, self.shards, over, &self.mesh_bounds, 40);
        self.seats.iter_mut().for_each(|seat| seat.shard.start());
        self.generation += 1;
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
            0..=399 => {
                let id = self.random.below(IDS as usize) as u128;
                self.turn(index, Some(id));
            }
            400..=409 => self.leave(index),
            _ => self.lap(),
        }
    }

    fn leave(&mut self, index: usize) {
        if let Some(client) = self.readers[index].client.take() {
            match self.random.below(2) {
                0 => self.kernel.reset(client),
                _ => self.kernel.hang_up(client),
            }
            self.count("clients that broke off");
        }
        self.lost(index);
    }

    fn lost(&mut self, index: usize) {
        let reader = &mut self.readers[index];
        reader.client = None;
        reader.unsent.clear();
        reader.got.clear();
        self.unsure.extend(reader.asked.take());
    }

    /// A client asks for what it wants, unless somebody else does; writes; reads.
    fn turn(&mut self, index: usize, wanted: Option<u128>) {
        let Some(client) = self.readers[index].client else {
            let shard = self.random.below(self.shards);
            self.readers[index].client = Some(self.kernel.connect(shard));
            return;
        };
        let is_free = |id: &u128| self.readers.iter().all(|one| one.asked != Some(*id));
        if self.readers[index].asked.is_none()
            && let Some(id) = wanted.filter(is_free)
        {
            self.readers[index].unsent = self.request(id);
            self.readers[index].asked = Some(id);
        }
        let reader = &mut self.readers[index];
        let count = self.kernel.write(client, &reader.unsent);
        reader.unsent.drain(..count);
        let got = self.kernel.read(client, 512);
        reader.got.extend(got);
        self.hear(index);
        if self.kernel.end(client).is_some() && !self.kernel.readable(client) {
            self.kernel.hang_up(client);
            self.lost(index);
        }
    }

    fn request(&self, id: u128) -> Vec<u8> {
        let url = self.keys.mint(&Grant {
            class: UrlClass::Read,
            path: "/files/a",
            expires_unix_seconds: FOR_EVER,
            download: None,
            subject: None,
            rooms: None,
            once: Some(id),
        });
        format!("GET {url} HTTP/1.1\r\nHost: a\r\n\r\n").into_bytes()
    }

    /// The head says it.
    fn hear(&mut self, index: usize) {
        let reader = &mut self.readers[index];
        let Some(end) = reader.got.windows(4).position(|four| four == b"\r\n\r\n") else {
            return;
        };
        let head = String::from_utf8(reader.got[..end].to_vec()).expect("a head is text");
        let value = |name: &str| {
            let mut lines = head.lines();
            lines.find_map(|line| line.strip_prefix(name).map(str::to_owned))
        };
        let body = value("Content-Length: ").map_or(0, |bytes| bytes.parse().expect("a number"));
        if reader.got.len() < end + 4 + body {
            return;
        }
        let text = reader.got.drain(..end + 4 + body).skip(end + 4).collect();
        let closes = value("Connection: ").as_deref() != Some("keep-alive");
        let id = reader.asked.take().expect("nothing comes unasked");
        let status = head.split(' ').nth(1).expect("a status").to_owned();
        self.answered(id, &status, text);
        if closes {
            if let Some(client) = self.readers[index].client {
                self.kernel.hang_up(client);
            }
            self.lost(index);
        }
    }

    fn answered(&mut self, id: u128, status: &str, text: Vec<u8>) {
        match status {
            "200" => {
                assert_eq!(text, TEXT);
                assert!(self.used.insert(id), "{id} was used twice");
                self.count("URLs used");
            }
            "410" => {
                let may_be_used = self.used.contains(&id) || self.unsure.contains(&id);
                assert!(may_be_used, "{id} was never used");
                self.count("URLs found used");
            }
            "500" | "503" => {
                let text = String::from_utf8(text).expect("a refusal is text");
                let is_of_the_journal = text.contains("RW-2712");
                self.refused.insert(id);
                self.count(match is_of_the_journal {
                    true => "uses that could not be written",
                    false => "files that could not be read",
                });
            }
            other => panic!("{other} for {id}"),
        }
    }

    /// What a client was told is on the disk, whatever else is.
    fn judge(&self) {
        let found = self.found().used.into_iter();
        let found: BTreeSet<u128> = found.map(|(id, _)| id).collect();
        for id in &self.used {
            assert!(found.contains(id), "{id} was used and is forgotten");
        }
        for id in &found {
            let may_be = self.used.contains(id) || self.unsure.contains(id);
            assert!(may_be || self.refused.contains(id), "{id} was never used");
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
        self.judge();
        self.unsure.append(&mut self.refused);
        self.start();
    }

    /// Everybody gets everything through: then all is used.
    fn settle(&mut self) {
        self.kernel.be_quiet();
        let mut next = 0;
        for _ in 0..SETTLE_STEPS_MAX {
            for index in 0..CLIENTS {
                let is_idle = self.readers[index].asked.is_none();
                self.turn(index, Some(next % IDS));
                next += u128::from(is_idle && self.readers[index].asked.is_some());
            }
            self.lap();
            if next >= 2 * IDS && self.readers.iter().all(|one| one.asked.is_none()) {
                return;
            }
        }
        panic!("somebody waits for ever");
    }

    fn end(&mut self) {
        for index in 0..CLIENTS {
            if let Some(client) = self.readers[index].client.take() {
                self.kernel.reset(client);
            }
        }
        for _ in 0..SETTLE_STEPS_MAX {
            let mut hubs = self.seats.iter().map(|seat| seat.shard.handler().hub());
            let seats = self.seats.iter();
            let connections: u64 = seats.map(|seat| seat.shard.stats().connections).sum();
            if connections == 0 && hubs.all(|hub| hub.is_quiet() && hub.leftovers().is_empty()) {
                return self.judge();
            }
            self.lap();
        }
        panic!("something is left");
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
const EVENTS: [&str; 5] = [
    "URLs found used",
    "URLs used",
    "clients that broke off",
    "times the power went",
    "uses that could not be written",
];

#[test]
fn every_promise_of_urls_for_one_use_holds_under_all_faults() {
    crate::run_and_sum("seeds of URLs for one use", SEEDS, &EVENTS, run);
}
