//! One-time URLs over a disk that may be slow or fail: who is answered when, and what the journals say afterwards.

use super::clients::check;
use super::world::{World, settings};
use crate::files::{FilesSettings, Grant, OnceIds, Replay, Root, UrlClass, UrlKeys, UsedUrls};
use crate::settings::Settings;
use crate::time::ConnId;
use crate::uploads::{StoreAnswer, StoreAsk, StoreError};
use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;
use std::sync::Arc;

const TEXT: &[u8] = b"hello";
const EXPIRES: u64 = 1_700_003_600;

fn keys() -> UrlKeys {
    UrlKeys::new(&[("k".to_owned(), vec![7; 32])]).unwrap()
}

fn with_files(used_urls: Option<u32>) -> Settings {
    let mut files = FilesSettings::new(vec![Root::default()]).unwrap();
    files.used_urls = used_urls;
    Settings {
        files: Some(files),
        url_keys: Some(Arc::new(keys())),
        ..settings(false)
    }
}

fn url(path: &str, id: u128) -> String {
    keys().mint(&Grant {
        class: UrlClass::Read,
        path,
        expires_unix_seconds: EXPIRES,
        download: None,
        subject: None,
        rooms: None,
        once: Some(id),
    })
}

fn file_url(id: u128) -> String {
    url("/files/a.txt", id)
}

type Bytes = Rc<RefCell<Vec<u8>>>;

/// The files that the shards write, and one that they serve.
#[derive(Default)]
struct Disk {
    names: BTreeMap<String, Bytes>,
    fails: Option<StoreError>,
    syncs: usize,
    opens: usize,
}

impl Disk {
    fn answer(&mut self, ask: StoreAsk) -> StoreAnswer {
        let done = self.fails.map_or(Ok(()), Err);
        match ask {
            StoreAsk::Open { name, creates, .. } => {
                assert!(creates, "journals are made, and not opened");
                self.opens += 1;
                StoreAnswer::Opened(done.and_then(|()| self.make(name)))
            }
            StoreAsk::Write {
                file,
                bytes,
                offset,
            } => {
                let held = file.downcast::<RefCell<Vec<u8>>>().unwrap();
                // A disk that fails has written a part of it.
                let count = bytes.len() / if done.is_ok() { 1 } else { 2 };
                held.borrow_mut().truncate(offset as usize);
                held.borrow_mut().extend_from_slice(&bytes[..count]);
                StoreAnswer::Wrote(bytes, done)
            }
            StoreAsk::Sync(_) => {
                self.syncs += 1;
                StoreAnswer::Done(done)
            }
            StoreAsk::SyncArea(_) => StoreAnswer::Done(done),
            StoreAsk::Rename { name, new_name, .. } => {
                let file = self.names.remove(&name).unwrap();
                self.names.insert(new_name, file);
                StoreAnswer::Done(done)
            }
            StoreAsk::Unlink { name, .. } => {
                let known = self.names.remove(&name);
                StoreAnswer::Done(known.map(drop).ok_or(StoreError::Absent))
            }
            StoreAsk::Read { .. } | StoreAsk::Truncate { .. } => {
                unreachable!("journals are written from their start to their end")
            }
        }
    }

    fn make(&mut self, name: String) -> Result<Rc<dyn core::any::Any>, StoreError> {
        if self.names.contains_key(&name) {
            return Err(StoreError::Exists);
        }
        let file = Bytes::default();
        self.names.insert(name, file.clone());
        Ok(file)
    }

    /// The ids that a process finds which starts now.
    fn found(&self) -> UsedUrls {
        let journals = self
            .names
            .iter()
            .filter(|(name, _)| name.ends_with(".journal"));
        let mut found = UsedUrls {
            generation: 7,
            ..UsedUrls::default()
        };
        for (_, bytes) in journals {
            let mut replay = Replay::default();
            replay.push(&bytes.borrow());
            let (used, unreadable) = replay.finish();
            found.used.extend(used);
            found.unreadable += unreadable;
        }
        found
    }

    fn ids(&self) -> BTreeSet<u128> {
        self.found().used.into_iter().map(|(id, _)| id).collect()
    }

    fn lines(&self) -> usize {
        let files = self.names.values();
        files
            .map(|file| file.borrow().split(|byte| *byte == b'\n').count() - 1)
            .sum()
    }
}

impl World {
    /// One operation of each shard. Whether there was any.
    fn store(&mut self, disk: &mut Disk) -> bool {
        let asks = core::mem::take(&mut self.store_asks);
        let was_asked = !asks.is_empty();
        for (shard, token, ask) in asks {
            let (now, answer) = (self.now, disk.answer(ask));
            self.with(shard, |hub, post, entropy, out| {
                hub.stored(now, token, answer, post, entropy, out);
            });
        }
        self.settle();
        self.serve(TEXT);
        was_asked
    }

    fn store_all(&mut self, disk: &mut Disk) {
        while self.store(disk) {}
    }

    fn want(&mut self, method: &str, url: &str, lines: &str) -> ConnId {
        let conn = self.open(0);
        let request = format!("{method} {url} HTTP/1.1\r\nHost: a\r\n{lines}\r\n");
        self.send(conn, request.as_bytes());
        self.serve(TEXT);
        conn
    }

    /// What comes of a request when the disk has done all that it was asked.
    fn fetch(&mut self, disk: &mut Disk, method: &str, id: u128) -> String {
        let conn = self.want(method, &file_url(id), "");
        self.store_all(disk);
        self.read(conn)
    }
}

fn world(shards: u16) -> World {
    World::new(shards, with_files(Some(1)))
}

/// Another process, on this number of shards.
fn again(shards: u16, disk: &Disk) -> World {
    let mut world = world(shards);
    let found = disk.found();
    for hub in &mut world.hubs {
        hub.adopt_used_urls(&found);
    }
    world
}

#[test]
fn whoever_uses_a_url_is_answered_when_that_is_safe() {
    let (mut world, mut disk) = (world(1), Disk::default());
    let conn = world.want("GET", &file_url(5), "");
    loop {
        let seen = world.read(conn);
        if !seen.is_empty() {
            check(&seen, "HTTP/1.1 200 ");
            assert!(seen.ends_with("hello"));
            break;
        }
        assert!(!world.hubs[0].is_quiet());
        assert!(world.store(&mut disk), "it waits for nothing");
    }
    assert_eq!(disk.ids(), BTreeSet::from([5]));
    assert!(disk.syncs > 0 && world.hubs[0].is_quiet());
    // The next one is appended.
    check(&world.fetch(&mut disk, "GET", 6), " 200 ");
    assert_eq!((disk.ids(), disk.opens), (BTreeSet::from([5, 6]), 1));
}

#[test]
fn a_use_is_known_to_the_next_process_on_any_number_of_shards() {
    let (mut first, mut disk) = (world(2), Disk::default());
    for id in 0..6 {
        check(&first.fetch(&mut disk, "GET", id), " 200 ");
    }
    for shards in [1, 2, 3] {
        let mut world = again(shards, &disk);
        for id in 0..6 {
            for method in ["GET", "HEAD"] {
                let seen = world.fetch(&mut disk, method, id);
                check(&seen, "HTTP/1.1 410 ");
            }
        }
        let seen = world.fetch(&mut disk, "HEAD", 9);
        check(&seen, " 200 ");
    }
}

#[test]
fn what_was_adopted_stands_in_the_next_journal_too() {
    let mut disk = Disk::default();
    let found = UsedUrls {
        used: (0..3000).map(|id| (id, EXPIRES)).collect(),
        ..UsedUrls::default()
    };
    let mut world = world(2);
    for hub in &mut world.hubs {
        hub.adopt_used_urls(&found);
    }
    assert_eq!(OnceIds::home(4000, 2), 0);
    check(&world.fetch(&mut disk, "GET", 4000), " 200 ");
    let expected = (0..3000).step_by(2).chain([4000]);
    assert_eq!(disk.ids(), expected.collect());
}

#[test]
fn looking_at_a_used_url_finds_nothing_and_takes_nothing() {
    for used_urls in [None, Some(1)] {
        let mut world = World::new(2, with_files(used_urls));
        let mut disk = Disk::default();
        for id in [2, 3] {
            check(&world.fetch(&mut disk, "HEAD", id), " 200 ");
            check(&world.fetch(&mut disk, "GET", id), " 200 ");
            let seen = world.fetch(&mut disk, "HEAD", id);
            check(&seen, "HTTP/1.1 410 ");
            assert!(seen.ends_with("\r\n\r\n"), "no body: {seen}");
        }
        assert_eq!(disk.names.is_empty(), used_urls.is_none());
    }
}

#[test]
fn what_gives_nothing_of_a_file_is_not_written() {
    let (mut world, mut disk) = (world(1), Disk::default());
    let conn = world.want("GET", &file_url(1), "If-None-Match: *\r\n");
    check(&world.read(conn), " 304 ");
    let conn = world.want("GET", &file_url(1), "Range: bytes=9-\r\n");
    check(&world.read(conn), " 416 ");
    let conn = world.want("GET", &url("/files/none", 1), "");
    check(&world.read(conn), " 404 ");
    assert!(world.store_asks.is_empty() && world.hubs[0].is_quiet());
    check(&world.fetch(&mut disk, "GET", 1), " 200 ");
}

#[test]
fn a_use_that_cannot_be_written_is_none() {
    for error in [StoreError::Full, StoreError::Busy, StoreError::Failed] {
        for at in 0..8 {
            let (mut world, mut disk) = (world(1), Disk::default());
            check(&world.fetch(&mut disk, "GET", 1), " 200 ");
            let conns = [2, 3].map(|id| world.want("GET", &file_url(id), ""));
            for _ in 0..at {
                world.store(&mut disk);
            }
            disk.fails = Some(error);
            world.store_all(&mut disk);
            disk.fails = None;
            for (conn, id) in conns.into_iter().zip([2, 3]) {
                let seen = world.read(conn);
                if seen.contains(" 200 ") {
                    continue;
                }
                check(&seen, "HTTP/1.1 503 ");
                check(&seen, "RW-2712");
                check(&seen, "Retry-After: 1");
                check(&world.fetch(&mut disk, "GET", id), " 200 ");
            }
            assert_eq!(disk.ids(), BTreeSet::from([1, 2, 3]), "{error:?} at {at}");
            assert_eq!(disk.found().unreadable, 0, "it was written anew");
            assert!(world.hubs[0].is_quiet());
        }
    }
}

/// The journal is written anew when the disk works again, without what was refused.
#[test]
fn what_was_refused_is_not_found_later() {
    let (mut world, mut disk) = (world(1), Disk::default());
    check(&world.fetch(&mut disk, "GET", 1), " 200 ");
    let conn = world.want("GET", &file_url(2), "");
    assert!(world.store(&mut disk), "it is written");
    disk.fails = Some(StoreError::Failed);
    assert!(world.store(&mut disk), "and not synced");
    check(&world.read(conn), "RW-2712");
    assert_eq!(disk.ids(), BTreeSet::from([1, 2]));
    disk.fails = None;
    world.store_all(&mut disk);
    assert_eq!(disk.ids(), BTreeSet::from([1]));
}

#[test]
fn a_client_that_is_gone_gives_its_url_back() {
    for at in 0..8 {
        let (mut world, mut disk) = (world(1), Disk::default());
        let conn = world.want("GET", &file_url(1), "");
        for _ in 0..at {
            world.store(&mut disk);
        }
        let is_answered = !world.read(conn).is_empty();
        world.hang_up(conn);
        world.store_all(&mut disk);
        assert_eq!(disk.ids().is_empty(), !is_answered, "{at}");
        assert!(world.hubs[0].is_quiet() && world.hubs[0].leftovers().is_empty());
        let seen = world.fetch(&mut disk, "GET", 1);
        check(&seen, if is_answered { " 410 " } else { " 200 " });
        assert_eq!(disk.ids(), BTreeSet::from([1]));
    }
}

#[test]
fn those_who_come_together_wait_for_one_sync() {
    let (mut world, mut disk) = (world(1), Disk::default());
    check(&world.fetch(&mut disk, "GET", 0), " 200 ");
    let before = disk.syncs;
    let conns: Vec<ConnId> = (1..=50)
        .map(|id| world.want("GET", &file_url(id), ""))
        .collect();
    world.store_all(&mut disk);
    for conn in conns {
        check(&world.read(conn), " 200 ");
    }
    assert_eq!(disk.ids().len(), 51);
    // The first one's, and the others'.
    assert_eq!(disk.syncs - before, 2);
}

#[test]
fn a_journal_that_says_little_is_written_anew() {
    let (mut world, mut disk) = (world(1), Disk::default());
    check(&world.fetch(&mut disk, "GET", 0), " 200 ");
    let mut lines_max = 0;
    for _ in 0..3000 {
        let conn = world.want("GET", &file_url(1), "");
        world.store(&mut disk);
        world.hang_up(conn);
        world.wires.remove(&conn);
        world.store_all(&mut disk);
        lines_max = lines_max.max(disk.lines());
    }
    assert!((4096..4200).contains(&lines_max), "{lines_max}");
    assert!(disk.opens > 1 && disk.lines() < 4096);
    assert_eq!(disk.ids(), BTreeSet::from([0]));
}
