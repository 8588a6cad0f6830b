//! Files that are being looked for: opened, and read if they are small. Whoever wants the same meanwhile waits for the same search.
//!
//! Deliberately absent: what a request makes of what is found (`files.rs`).

use super::files::Opening;
use super::{FileAnswer, FileAsk, Hub, Key, NotOpened, OpenedFile, Output, Seed, Seen, Turn};
use crate::files::{Content, FileRef, Kept, Known, SealedFile, Stat};
use crate::uploads::{
    LOCK_BYTES_MAX, Reader, SEALED_HEAD_BYTES, UploadId, is_sealed_upload, lock_name,
    upload_of_whole,
};
use std::collections::HashMap;
use std::rc::Rc;

/// Times that a file may change while it is read, before its clients are told to come again.
const CHANGES_MAX: u8 = 3;

/// The mark of a search's token; all others are connections'.
pub(super) const SEARCH: u64 = 1 << 62;

struct Search {
    root: usize,
    path: Rc<str>,
    /// Who waits for it. Some of them may be gone.
    waiters: Vec<Key>,
    /// The file once it is being read.
    reading: Option<OpenedFile>,
    /// What was read of it.
    bytes: Option<Vec<u8>>,
    changes: u8,
    /// It is an upload: whether it is encrypted is being found out.
    lock: Option<LockSearch>,
    /// It is none, or its key was erased.
    has_no_lock: bool,
}

/// The search for what is kept of the key of an upload.
struct LockSearch {
    upload: UploadId,
    opened: OpenedFile,
    /// What was made of it, and how long the file is, while that is read.
    found: Option<(Reader, u64)>,
}

impl Search {
    fn open(&self) -> FileAsk {
        FileAsk::Open {
            root: self.root,
            path: String::from(&*self.path),
        }
    }
}

/// What a client is told of an encrypted file.
const fn plain(disk: Stat, bytes: u64) -> Stat {
    Stat { bytes, ..disk }
}

/// What a search came to; `None`: what is known already is right still.
type Found = Result<Option<Kept>, NotOpened>;

/// All searches of a shard, each by its number and its name.
pub(super) struct Searches {
    by_number: HashMap<u64, Search, Seed>,
    by_name: HashMap<(usize, Rc<str>), u64, Seed>,
    next: u64,
}

impl Searches {
    pub(super) fn new(seed: Seed) -> Self {
        Self {
            by_number: HashMap::with_hasher(seed),
            by_name: HashMap::with_hasher(seed),
            next: 0,
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.by_number.is_empty()
    }

    fn begin(&mut self, root: usize, path: Rc<str>, key: Key) -> u64 {
        let number = self.next;
        self.next = (number + 1) % SEARCH;
        self.by_name.insert((root, path.clone()), number);
        let search = Search {
            root,
            path,
            waiters: vec![key],
            reading: None,
            bytes: None,
            changes: 0,
            lock: None,
            has_no_lock: false,
        };
        self.by_number.insert(number, search);
        number
    }

    fn end(&mut self, number: u64) -> Option<Search> {
        let search = self.by_number.remove(&number)?;
        self.by_name.remove(&(search.root, search.path.clone()));
        Some(search)
    }
}

impl Hub {
    /// Looks for a file, or waits for whoever does.
    pub(super) fn search(&mut self, key: Key, root: usize, path: &str, turn: &mut Turn<'_>) {
        let path: Rc<str> = path.into();
        let searches = &mut self.files.searches;
        let known = searches.by_name.get(&(root, path.clone())).copied();
        let search = known.and_then(|number| searches.by_number.get_mut(&number));
        if let Some(search) = search {
            search.waiters.push(key);
            self.stats.file_opens_joined += 1;
            return;
        }
        let number = searches.begin(root, path, key);
        self.ask_again(number, turn);
    }

    fn ask_again(&self, number: u64, turn: &mut Turn<'_>) {
        if let Some(search) = self.files.searches.by_number.get(&number) {
            let (token, ask) = (SEARCH | number, search.open());
            turn.out.push(Output::File { token, ask });
        }
    }

    /// What the shard says of a search.
    pub(super) fn search_answered(&mut self, number: u64, answer: FileAnswer, turn: &mut Turn<'_>) {
        let search = self.files.searches.by_number.get(&number);
        if search.is_some_and(|search| search.lock.is_some()) {
            return self.lock_answered(number, answer, turn);
        }
        let found = match answer {
            FileAnswer::Opened(Ok(opened)) => self.file_opened(number, opened, turn),
            FileAnswer::Opened(Err(why)) => Some(Err(why)),
            FileAnswer::Read(Some(bytes)) => self.file_read(number, bytes, turn),
            FileAnswer::Stat(seen) => self.file_stated(number, seen, turn),
            FileAnswer::Read(None) => Some(Err(NotOpened::Failed)),
        };
        if let Some(found) = found {
            self.end_search(number, found, turn);
        }
    }

    /// A small file is read as well: then nothing is found yet.
    fn file_opened(
        &mut self,
        number: u64,
        opened: OpenedFile,
        turn: &mut Turn<'_>,
    ) -> Option<Found> {
        let now_us = turn.now.monotonic_us;
        let search = self.files.searches.by_number.get_mut(&number)?;
        let cache = &mut self.files.cache;
        if cache.unchanged(search.root, &search.path, &opened.stat, now_us) {
            return Some(Ok(None));
        }
        let settings = self.settings.files.as_ref();
        let locks = settings.and_then(|files| files.roots()[search.root].locks);
        let is_large = opened.stat.bytes > cache.bounds().file_bytes_max;
        if let (Some(root), Some(upload), false) =
            (locks, upload_of_whole(&search.path), search.has_no_lock)
        {
            search.lock = Some(LockSearch {
                upload,
                opened,
                found: None,
            });
            let path = lock_name(upload);
            let (token, ask) = (SEARCH | number, FileAsk::Open { root, path });
            turn.out.push(Output::File { token, ask });
            return None;
        }
        let OpenedFile { file, stat } = opened;
        if is_large && locks.is_none() {
            let content = Content::Open(file);
            return Some(Ok(Some(Kept::new(stat, content))));
        }
        // Of a large upload its first bytes say whether it was encrypted.
        let count = match is_large {
            true => SEALED_HEAD_BYTES,
            false => stat.bytes as u32,
        };
        let ask = FileAsk::Read {
            file: file.clone(),
            count,
            offset: 0,
        };
        search.reading = Some(OpenedFile { file, stat });
        let token = SEARCH | number;
        turn.out.push(Output::File { token, ask });
        None
    }

    fn file_read(&mut self, number: u64, bytes: Vec<u8>, turn: &mut Turn<'_>) -> Option<Found> {
        let search = self.files.searches.by_number.get_mut(&number)?;
        let opened = search.reading.as_ref();
        let file = opened
            .expect("only files that were opened are read")
            .file
            .clone();
        search.bytes = Some(bytes);
        let (token, ask) = (SEARCH | number, FileAsk::Stat(file));
        turn.out.push(Output::File { token, ask });
        None
    }

    /// What a file is that was read. It may have been written to since it was opened; then it is opened and read again. One that was replaced meanwhile is not: what was
    /// read is all of the one that had the name then.
    fn file_stated(
        &mut self,
        number: u64,
        seen: Option<Seen>,
        turn: &mut Turn<'_>,
    ) -> Option<Found> {
        let search = self.files.searches.by_number.get_mut(&number)?;
        let (Some(opened), Some(bytes)) = (search.reading.take(), search.bytes.take()) else {
            unreachable!("only files that were read are looked at again")
        };
        let stat = opened.stat;
        let Some(seen) = seen else {
            return Some(Err(NotOpened::Busy));
        };
        let is_large = stat.bytes > self.files.cache.bounds().file_bytes_max;
        // Without its key it is nothing any more.
        if search.has_no_lock && is_sealed_upload(&search.path, &bytes) {
            return Some(Err(NotOpened::Absent));
        }
        if seen.has_its_bytes && is_large {
            let content = Content::Open(opened.file);
            return Some(Ok(Some(Kept::new(stat, content))));
        }
        // One that grew may have been written anew, and then another look costs little; where it always grows it is what is appended to.
        let has_grown = seen.stat.bytes > stat.bytes && search.changes < CHANGES_MAX;
        if seen.has_its_bytes && !has_grown && bytes.len() as u64 == stat.bytes {
            let content = Content::Whole(self.files.cache.hold(bytes));
            return Some(Ok(Some(Kept::new(stat, content))));
        }
        search.changes += 1;
        if search.changes > CHANGES_MAX {
            return Some(Err(NotOpened::Busy));
        }
        self.ask_again(number, turn);
        None
    }

    /// What the shard says of an upload's lock, and then of an upload that has one. Where there is none it was not encrypted, or was erased by erasing that.
    fn lock_answered(&mut self, number: u64, answer: FileAnswer, turn: &mut Turn<'_>) {
        let found = match answer {
            FileAnswer::Opened(Ok(opened)) => {
                let count = LOCK_BYTES_MAX as u32 + 1;
                return self.ask_to_read(number, opened.file, count, turn);
            }
            FileAnswer::Opened(Err(NotOpened::Absent)) => self.has_no_lock(number, turn),
            FileAnswer::Opened(Err(NotOpened::Directory | NotOpened::Denied))
            | FileAnswer::Stat(_) => Some(Err(NotOpened::Failed)),
            FileAnswer::Opened(Err(why)) => Some(Err(why)),
            FileAnswer::Read(Some(bytes)) => {
                let found = self.lock_read(number, bytes, turn);
                let is_broken = matches!(found, Some(Err(NotOpened::Failed)));
                self.stats.file_seals_broken += u64::from(is_broken);
                found
            }
            FileAnswer::Read(None) => Some(Err(NotOpened::Busy)),
        };
        if let Some(found) = found {
            self.end_search(number, found, turn);
        }
    }

    fn ask_to_read(&self, number: u64, file: FileRef, count: u32, turn: &mut Turn<'_>) {
        let ask = FileAsk::Read {
            file,
            count,
            offset: 0,
        };
        let token = SEARCH | number;
        turn.out.push(Output::File { token, ask });
    }

    fn has_no_lock(&mut self, number: u64, turn: &mut Turn<'_>) -> Option<Found> {
        let search = self.files.searches.by_number.get_mut(&number)?;
        search.has_no_lock = true;
        let lock = search.lock.take()?;
        self.file_opened(number, lock.opened, turn)
    }

    /// The lock was read, or of a file that has one all, if it is small, or the header.
    fn lock_read(&mut self, number: u64, bytes: Vec<u8>, turn: &mut Turn<'_>) -> Option<Found> {
        let search = self.files.searches.by_number.get_mut(&number)?;
        let lock = search.lock.as_mut()?;
        if let Some((reader, count)) = lock.found.take() {
            let (file, disk) = (lock.opened.file.clone(), lock.opened.stat);
            let content = match disk.bytes <= self.files.cache.bounds().file_bytes_max {
                true => reader
                    .open_whole(count, &bytes)
                    .filter(|_| bytes.len() as u64 == disk.bytes)
                    .map(|text| Content::Whole(self.files.cache.hold(text))),
                false => reader
                    .is_header(&bytes)
                    .then(|| SealedFile { file, reader, disk })
                    .map(|sealed| Content::Sealed(Rc::new(sealed))),
            };
            let kept = content.map(|content| Kept::new(plain(disk, count), content));
            return Some(kept.map(Some).ok_or(NotOpened::Failed));
        }
        let uploads = self.settings.uploads.as_ref();
        let unlock = || {
            let vault = uploads?.uploads.vault.as_deref()?;
            let count = vault.grid().plain_bytes(lock.opened.stat.bytes)?;
            Some((Reader::of_whole(vault, lock.upload, &bytes, count)?, count))
        };
        let Some((reader, count)) = unlock() else {
            return Some(Err(NotOpened::Failed));
        };
        let disk = lock.opened.stat;
        let cache = &mut self.files.cache;
        let now_us = turn.now.monotonic_us;
        if cache.unchanged_sealed(search.root, &search.path, &disk, now_us) {
            return Some(Ok(None));
        }
        let wanted = match disk.bytes <= cache.bounds().file_bytes_max {
            true => disk.bytes as u32,
            false => SEALED_HEAD_BYTES,
        };
        let file = lock.opened.file.clone();
        lock.found = Some((reader, count));
        self.ask_to_read(number, file, wanted, turn);
        None
    }

    /// Everybody who waits goes on with what was found.
    fn end_search(&mut self, number: u64, found: Found, turn: &mut Turn<'_>) {
        let Some(search) = self.files.searches.end(number) else {
            return;
        };
        let found = found.map(|kept| kept.map(Rc::new));
        self.learn_search(&search, &found, turn);
        for key in search.waiters {
            // Its connection may be gone: then nobody wants the file.
            let Some(opening) = self.files.openings.remove(&key) else {
                continue;
            };
            self.hear_search(key, opening, &found, turn);
            self.advance(key, turn);
        }
    }

    fn learn_search(
        &mut self,
        search: &Search,
        found: &Result<Option<Rc<Kept>>, NotOpened>,
        turn: &Turn<'_>,
    ) {
        let cache = &mut self.files.cache;
        let known = match found {
            Ok(Some(kept)) => Known::File(kept.clone()),
            Err(NotOpened::Absent | NotOpened::Denied) => Known::Absent,
            Err(NotOpened::Directory) => Known::Directory,
            Err(NotOpened::Busy) => return cache.let_go(),
            Ok(None) | Err(NotOpened::Failed) => return,
        };
        cache.learn(search.root, &search.path, known, turn.now.monotonic_us);
    }

    fn hear_search(
        &mut self,
        key: Key,
        mut opening: Opening,
        found: &Result<Option<Rc<Kept>>, NotOpened>,
        turn: &mut Turn<'_>,
    ) {
        match found {
            // A cache without room has forgotten it already.
            Ok(Some(kept)) => {
                opening.found_file(kept.clone());
                self.look_on(key, opening, turn);
            }
            Err(why @ (NotOpened::Busy | NotOpened::Failed)) => {
                self.file_failed(key, opening, *why, turn);
            }
            Ok(None) | Err(NotOpened::Absent | NotOpened::Denied | NotOpened::Directory) => {
                self.look_on(key, opening, turn);
            }
        }
    }
}
