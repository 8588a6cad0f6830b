//! What was found of files a moment ago: small ones whole, larger ones open, and that there is none.
//!
//! A file that is asked for often is looked at once in [`CacheBounds::fresh_us`], and answered from memory in between. One that is open and was not asked for
//! lately is closed: it may have been deleted meanwhile, and would stay on the disk for as long as it is open. Deliberately absent: opening and reading, which the
//! shard does.

use super::{HeldBytes, Ledger, Stat};
use crate::hub::Seed;
use crate::uploads::Reader;
use core::any::Any;
use core::cell::Cell;
use ringway_proto::http1::Coding;
use std::collections::{BTreeMap, HashMap, VecDeque};
use std::rc::Rc;

/// Looks at a name after which an open file is closed that nobody asked for.
const UNASKED_LOOKS: u64 = 4;
/// But not before, and not later than that.
const UNASKED_US_MIN: u64 = 5_000_000;
const UNASKED_US_MAX: u64 = 60_000_000;
/// Open files that are looked at in one sweep.
const SWEEP_FILES_MAX: usize = 1024;

/// A file that the shard has open; the last clone closes it. What it is only the shard knows.
pub type FileRef = Rc<dyn Any>;

/// What the cache may hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CacheBounds {
    /// Names; beyond it the oldest that was not asked for lately goes.
    pub entries_max: usize,
    /// Bytes of files that are held whole; likewise.
    pub bytes_max: usize,
    /// Larger files are not held whole.
    pub file_bytes_max: u64,
    /// Files that are held open; likewise.
    pub open_max: usize,
    /// For how long a file need not be looked at again.
    pub fresh_us: u64,
}

impl Default for CacheBounds {
    fn default() -> Self {
        Self {
            entries_max: 2048,
            bytes_max: 16 << 20,
            file_bytes_max: 64 * 1024,
            open_max: 384,
            fresh_us: 1_000_000,
        }
    }
}

/// A file's bytes, or where they are.
#[derive(Clone)]
pub(crate) enum Content {
    /// All of them.
    Whole(HeldBytes),
    /// In an open file.
    Open(FileRef),
    /// In an open file, encrypted.
    Sealed(Rc<SealedFile>),
}

/// An open file whose bytes are encrypted: each piece proves that it is what was written.
pub(crate) struct SealedFile {
    pub(crate) file: FileRef,
    pub(crate) reader: Reader,
    /// What it is on the disk.
    pub(crate) disk: Stat,
}

/// A file that was found.
pub(crate) struct Kept {
    pub(crate) stat: Stat,
    pub(crate) content: Content,
    /// When it was last seen to be what it is said to be, if it is open.
    seen_us: Cell<Option<u64>>,
}

/// For how long an open file that was looked at for one request is not looked at for others: some laps, and a tenth of the time after which the loop looks again before it
/// sends.
const SEEN_FOR_US: u64 = 1_000;

impl Kept {
    pub(crate) const fn new(stat: Stat, content: Content) -> Self {
        let seen_us = Cell::new(None);
        Self {
            stat,
            content,
            seen_us,
        }
    }

    pub(crate) fn was_seen(&self, now_us: u64) {
        self.seen_us.set(Some(now_us));
    }

    /// Whether it was looked at just now.
    pub(crate) fn is_seen(&self, now_us: u64) -> bool {
        let seen_us = self.seen_us.get();
        seen_us.is_some_and(|seen_us| now_us.saturating_sub(seen_us) < SEEN_FOR_US)
    }

    /// Whether its bytes are whatever the open file has now.
    pub(crate) const fn is_open(&self) -> bool {
        matches!(self.content, Content::Open(_))
    }

    pub(crate) const fn is_sealed(&self) -> bool {
        matches!(self.content, Content::Sealed(_))
    }

    fn bytes(&self) -> usize {
        match &self.content {
            Content::Whole(bytes) => bytes.len(),
            Content::Open(_) | Content::Sealed(_) => 0,
        }
    }
}

/// What is known of a name.
#[derive(Clone)]
pub(crate) enum Known {
    /// Nothing that is served.
    Absent,
    /// A directory.
    Directory,
    /// A file.
    File(Rc<Kept>),
}

impl Known {
    fn is_open(&self) -> bool {
        matches!(self, Self::File(kept) if kept.is_open() || kept.is_sealed())
    }

    fn bytes(&self) -> usize {
        match self {
            Self::Absent | Self::Directory => 0,
            Self::File(kept) => kept.bytes(),
        }
    }
}

/// A form of a file that it was compressed to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Encoded {
    pub(crate) coding: Coding,
    /// What the file was.
    pub(crate) stat: Stat,
}

impl Encoded {
    /// A name that no file has: they have no zeros in them.
    fn name_of(&self, path: &str) -> String {
        format!("{path}\0{}", self.coding.name())
    }
}

struct Entry {
    known: Known,
    checked_us: u64,
    /// When it was asked for last.
    asked_us: u64,
    /// Its place among those that hold a file open.
    opened: Option<u64>,
    /// It was seen that this is no longer so.
    is_stale: bool,
    /// Since it was last passed over for its age.
    was_used: bool,
}

/// The cache of one shard.
pub(crate) struct Cache {
    bounds: CacheBounds,
    /// By the root's number.
    roots: Vec<HashMap<Rc<str>, Entry, Seed>>,
    /// All names, in the order in which they are passed over.
    order: VecDeque<(usize, Rc<str>)>,
    bytes: usize,
    /// All bytes of files in memory: what it has let go of may be on its way still.
    held: Ledger,
    /// Entries that hold a file open, by when they came to it.
    opened: BTreeMap<u64, (usize, Rc<str>)>,
    opened_ever: u64,
    /// Behind which of them the next sweep goes on.
    swept_to: u64,
}

impl Cache {
    pub(crate) fn new(bounds: CacheBounds, roots: usize, seed: Seed) -> Self {
        let map = || HashMap::with_hasher(seed);
        Self {
            bounds,
            roots: (0..roots).map(|_| map()).collect(),
            order: VecDeque::new(),
            bytes: 0,
            held: Ledger::default(),
            opened: BTreeMap::new(),
            opened_ever: 0,
            swept_to: 0,
        }
    }

    pub(crate) const fn bounds(&self) -> &CacheBounds {
        &self.bounds
    }

    /// Bytes of files that it holds.
    pub(crate) const fn bytes(&self) -> usize {
        self.bytes
    }

    /// Counts bytes of a file until nobody has them.
    pub(crate) fn hold(&self, bytes: Vec<u8>) -> HeldBytes {
        self.held.hold(bytes)
    }

    /// Bytes of files that somebody has and the cache has not.
    pub(crate) fn bytes_elsewhere(&self) -> u64 {
        self.held.bytes() - self.bytes as u64
    }

    /// What is known of a name, if that is not too long ago.
    pub(crate) fn get(&mut self, root: usize, path: &str, now_us: u64) -> Option<Known> {
        let entry = self.roots[root].get_mut(path)?;
        if entry.is_stale || entry.checked_us + self.bounds.fresh_us < now_us {
            return None;
        }
        entry.was_used = true;
        entry.asked_us = now_us;
        Some(entry.known.clone())
    }

    /// The open file that a name stands for is not what it was: the name is to be looked at again.
    pub(crate) fn doubt(&mut self, root: usize, path: &str, changed: &Rc<Kept>) {
        if let Some(entry) = self.roots[root].get_mut(path) {
            entry.is_stale |=
                matches!(&entry.known, Known::File(kept) if Rc::ptr_eq(kept, changed));
        }
    }

    /// Whether a name stands for what is remembered of it: the bytes, or the file that is open already. A second one of the same file would stay open as long as
    /// somebody is sent the first.
    pub(crate) fn unchanged(&mut self, root: usize, path: &str, stat: &Stat, now_us: u64) -> bool {
        let Some(entry) = self.roots[root].get_mut(path) else {
            return false;
        };
        let is_same =
            !entry.is_stale && matches!(&entry.known, Known::File(kept) if kept.stat == *stat);
        if is_same {
            entry.checked_us = now_us;
        }
        is_same
    }

    /// Likewise, of an encrypted file, which is told by what it is on the disk.
    pub(crate) fn unchanged_sealed(
        &mut self,
        root: usize,
        path: &str,
        disk: &Stat,
        now_us: u64,
    ) -> bool {
        let Some(entry) = self.roots[root].get_mut(path) else {
            return false;
        };
        let is_it =
            |kept: &Kept| matches!(&kept.content, Content::Sealed(sealed) if sealed.disk == *disk);
        let is_same = !entry.is_stale && matches!(&entry.known, Known::File(kept) if is_it(kept));
        if is_same {
            entry.checked_us = now_us;
        }
        is_same
    }

    /// What a file of this state was compressed to, if that is remembered: it is as right as the file is.
    pub(crate) fn encoded(&self, root: usize, path: &str, of: &Encoded) -> Option<HeldBytes> {
        let entry = self.roots[root].get(&*of.name_of(path))?;
        match &entry.known {
            Known::File(kept) if kept.stat == of.stat => match &kept.content {
                Content::Whole(bytes) => Some(bytes.clone()),
                Content::Open(_) | Content::Sealed(_) => None,
            },
            _ => None,
        }
    }

    /// It was asked for, and stays longer.
    pub(crate) fn use_encoded(&mut self, root: usize, path: &str, of: &Encoded) {
        if let Some(entry) = self.roots[root].get_mut(&*of.name_of(path)) {
            entry.was_used = true;
        }
    }

    /// Remembers what a file was compressed to.
    pub(crate) fn learn_encoded(
        &mut self,
        root: usize,
        path: &str,
        of: &Encoded,
        bytes: HeldBytes,
        now_us: u64,
    ) {
        let content = Content::Whole(bytes);
        let stat = of.stat;
        let known = Known::File(Rc::new(Kept::new(stat, content)));
        self.learn(root, &of.name_of(path), known, now_us);
    }

    /// Remembers what was found.
    pub(crate) fn learn(&mut self, root: usize, path: &str, known: Known, now_us: u64) {
        let found = self.roots[root].get_key_value(path);
        let name = found.map_or_else(|| path.into(), |(name, _)| name.clone());
        let is_new = found.is_none();
        self.bytes += known.bytes();
        let opened = known.is_open().then(|| self.open((root, name.clone())));
        let entry = Entry {
            known,
            checked_us: now_us,
            asked_us: now_us,
            opened,
            is_stale: false,
            was_used: false,
        };
        if is_new {
            self.order.push_back((root, name.clone()));
        }
        if let Some(old) = self.roots[root].insert(name, entry) {
            self.forget(&old);
        }
        self.bound();
    }

    /// Whether it holds a file open.
    pub(crate) fn holds_open(&self) -> bool {
        !self.opened.is_empty()
    }

    /// Lets go of open files that nobody asked for lately, or of as many as one look may cost. Whoever is sent one has it until then.
    pub(crate) fn sweep(&mut self, now_us: u64) {
        let unasked_us = UNASKED_LOOKS.saturating_mul(self.bounds.fresh_us);
        let unasked_us = unasked_us.clamp(UNASKED_US_MIN, UNASKED_US_MAX);
        for _ in 0..self.opened.len().min(SWEEP_FILES_MAX) {
            let next = self.opened.range(self.swept_to..).next();
            let Some((place, (root, name))) = next.or_else(|| self.opened.iter().next()) else {
                return;
            };
            let (place, root, name) = (*place, *root, name.clone());
            self.swept_to = place + 1;
            let entry = self.roots[root].get(&name);
            if entry.is_some_and(|entry| entry.asked_us + unasked_us < now_us) {
                self.let_go_of(root, &name);
            }
        }
    }

    /// Whatever a name stood for, nobody knows it any more. Its place in the line stays: it is passed over there in its time.
    pub(crate) fn let_go_of(&mut self, root: usize, path: &str) {
        let Some(entry) = self.roots[root].get_mut(path) else {
            return;
        };
        let nothing = Entry {
            known: Known::Absent,
            opened: None,
            is_stale: true,
            ..*entry
        };
        let old = core::mem::replace(entry, nothing);
        self.forget(&old);
    }

    /// Closes what is held open, when nothing more can be opened.
    pub(crate) fn let_go(&mut self) {
        while let Some((_, (root, name))) = self.opened.pop_first() {
            self.let_go_of(root, &name);
        }
    }

    fn open(&mut self, name: (usize, Rc<str>)) -> u64 {
        self.opened_ever += 1;
        self.opened.insert(self.opened_ever, name);
        self.opened_ever
    }

    fn forget(&mut self, entry: &Entry) {
        self.bytes -= entry.known.bytes();
        if let Some(place) = entry.opened {
            self.opened.remove(&place);
        }
    }

    fn is_over(&self) -> bool {
        let bounds = &self.bounds;
        let are_many = self.order.len() > bounds.entries_max || self.opened.len() > bounds.open_max;
        are_many || self.bytes > bounds.bytes_max
    }

    fn bound(&mut self) {
        while self.is_over() {
            let Some((root, name)) = self.order.pop_front() else {
                return;
            };
            let entry = self.roots[root]
                .get_mut(&name)
                .expect("a name in line has an entry");
            // A second chance: whoever was asked for meanwhile goes to the end once.
            if core::mem::take(&mut entry.was_used) {
                self.order.push_back((root, name));
                continue;
            }
            if let Some(entry) = self.roots[root].remove(&name) {
                self.forget(&entry);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BOUNDS: CacheBounds = CacheBounds {
        entries_max: 3,
        open_max: 1,
        bytes_max: 100,
        file_bytes_max: 60,
        fresh_us: 10,
    };

    fn whole(bytes: usize, inode: u64) -> Known {
        let stat = Stat {
            bytes: bytes as u64,
            modified_unix_seconds: 1,
            modified_nanoseconds: 0,
            inode,
            device: 1,
            changed_ns: 1,
            links: 1,
            permissions: 0,
        };
        let content = Content::Whole(Ledger::default().hold(vec![0; bytes]));
        Known::File(Rc::new(Kept::new(stat, content)))
    }

    fn cache() -> Cache {
        Cache::new(BOUNDS, 2, Seed::fixed())
    }

    #[test]
    fn what_is_known_is_known_for_a_while_and_of_its_root_alone() {
        let mut cache = cache();
        cache.learn(0, "a", Known::Absent, 5);
        assert!(matches!(cache.get(0, "a", 15), Some(Known::Absent)));
        assert!(cache.get(0, "a", 16).is_none());
        assert!(cache.get(1, "a", 5).is_none());
    }

    #[test]
    fn the_oldest_goes_unless_it_was_asked_for() {
        let mut cache = cache();
        for name in ["a", "b", "c"] {
            cache.learn(0, name, Known::Directory, 0);
        }
        assert!(cache.get(0, "a", 1).is_some());
        cache.learn(0, "d", Known::Absent, 1);
        assert!(cache.get(0, "b", 1).is_none() && cache.get(0, "a", 1).is_some());
    }

    fn open(inode: u64) -> (Known, FileRef) {
        let Known::File(kept) = whole(0, inode) else {
            unreachable!()
        };
        let file: FileRef = Rc::new(inode);
        let content = Content::Open(file.clone());
        (Known::File(Rc::new(Kept::new(kept.stat, content))), file)
    }

    #[test]
    fn open_files_are_bounded_and_let_go() {
        let mut cache = cache();
        let (first, second) = (open(1), open(2));
        cache.learn(0, "a", first.0, 0);
        cache.learn(0, "b", second.0, 0);
        assert_eq!(
            (Rc::strong_count(&first.1), Rc::strong_count(&second.1)),
            (1, 2)
        );
        cache.learn(0, "c", whole(9, 3), 0);
        cache.let_go();
        assert_eq!((Rc::strong_count(&second.1), cache.bytes()), (1, 9));
        assert!(cache.get(0, "b", 0).is_none() && cache.get(0, "c", 0).is_some());
    }

    #[test]
    fn an_open_file_that_nobody_asks_for_is_let_go_of() {
        let bounds = CacheBounds {
            open_max: 9,
            entries_max: 9,
            ..BOUNDS
        };
        let mut cache = Cache::new(bounds, 2, Seed::fixed());
        let files = [open(1), open(2), open(3)];
        for ((known, _), name) in files.iter().zip(["a", "b", "c"]) {
            cache.learn(0, name, known.clone(), 0);
        }
        let is_held = |(known, _): &(Known, FileRef)| matches!(known, Known::File(kept) if Rc::strong_count(kept) > 1);
        let held = |cache: &Cache| (cache.holds_open(), files.each_ref().map(is_held));
        cache.sweep(UNASKED_US_MIN);
        assert_eq!(held(&cache), (true, [true; 3]));
        // One of them is looked at again, and another one asked for in its time.
        let Known::File(kept) = &files[1].0 else {
            unreachable!()
        };
        assert!(cache.unchanged(0, "b", &kept.stat, UNASKED_US_MIN));
        assert!(cache.get(0, "b", UNASKED_US_MIN).is_some());
        cache.sweep(UNASKED_US_MIN + 1);
        assert!(cache.get(0, "a", UNASKED_US_MIN + 1).is_none());
        assert_eq!(held(&cache), (true, [false, true, false]));
        cache.sweep(2 * UNASKED_US_MIN + 1);
        assert_eq!(held(&cache), (false, [false; 3]));
        cache.learn(0, "a", files[0].0.clone(), 0);
        assert_eq!(held(&cache), (true, [true, false, false]));
    }

    #[test]
    fn a_file_that_was_removed_is_let_go_of() {
        let mut cache = cache();
        let (known, file) = open(1);
        cache.learn(0, "a", known, 0);
        cache.learn(0, "b", whole(9, 2), 0);
        cache.let_go_of(1, "a");
        assert_eq!(Rc::strong_count(&file), 2);
        for name in ["a", "b", "c"] {
            cache.let_go_of(0, name);
            assert!(cache.get(0, name, 0).is_none());
        }
        assert_eq!((Rc::strong_count(&file), cache.bytes()), (1, 0));
    }

    #[test]
    fn bytes_are_bounded_whatever_is_replaced() {
        let mut cache = cache();
        cache.learn(0, "a", whole(60, 1), 0);
        cache.learn(0, "a", whole(50, 2), 0);
        assert_eq!(cache.bytes(), 50);
        cache.learn(0, "b", whole(60, 3), 0);
        assert_eq!(cache.bytes(), 60);
        assert!(cache.get(0, "a", 0).is_none() && cache.get(0, "b", 0).is_some());
    }

    #[test]
    fn what_a_file_was_compressed_to_is_as_right_as_the_file() {
        let mut cache = cache();
        let Known::File(kept) = whole(9, 1) else {
            unreachable!()
        };
        let (coding, stat) = (Coding::Gzip, kept.stat);
        let of = Encoded { coding, stat };
        let packed = cache.hold(b"packed".to_vec());
        cache.learn_encoded(0, "a", &of, packed, 0);
        assert_eq!(cache.encoded(0, "a", &of).as_deref(), Some(&b"packed"[..]));
        assert_eq!(cache.bytes(), 6, "it counts as all that is kept");
        let coding = Coding::Zstd;
        assert!(cache.encoded(0, "a", &Encoded { coding, ..of }).is_none());
        let stat = Stat { inode: 2, ..stat };
        assert!(cache.encoded(0, "a", &Encoded { stat, ..of }).is_none());
        assert!(cache.encoded(1, "a", &of).is_none());
        cache.use_encoded(0, "a", &of);
        for name in ["b", "c", "d"] {
            cache.learn(0, name, Known::Absent, 0);
        }
        assert!(cache.encoded(0, "a", &of).is_some(), "it was asked for");
    }

    #[test]
    fn a_file_that_has_not_changed_is_fresh_again() {
        let mut cache = cache();
        cache.learn(0, "a", whole(9, 1), 0);
        let Known::File(kept) = whole(9, 1) else {
            unreachable!()
        };
        assert!(cache.unchanged(0, "a", &kept.stat, 20));
        assert!(cache.get(0, "a", 25).is_some());
        let other = Stat {
            inode: 2,
            ..kept.stat
        };
        assert!(!cache.unchanged(0, "a", &other, 40));
        assert!(!cache.unchanged(0, "b", &kept.stat, 40));
        // Another disk has a file of that number too, and a time of modification can be set back.
        for other in [
            Stat {
                device: 2,
                ..kept.stat
            },
            Stat {
                changed_ns: 2,
                ..kept.stat
            },
        ] {
            assert!(!cache.unchanged(0, "a", &other, 40));
        }
    }

    #[test]
    fn an_open_file_that_has_not_changed_is_opened_once() {
        let mut cache = cache();
        let (known, file) = open(1);
        let Known::File(kept) = known.clone() else {
            unreachable!()
        };
        cache.learn(0, "a", known, 0);
        assert!(cache.unchanged(0, "a", &kept.stat, 20));
        assert!(cache.get(0, "a", 25).is_some());
        cache.doubt(0, "a", &kept);
        assert!(cache.get(0, "a", 25).is_none());
        assert!(!cache.unchanged(0, "a", &kept.stat, 25));
        drop(kept);
        let (other, _) = open(2);
        cache.learn(0, "a", other, 25);
        assert_eq!(Rc::strong_count(&file), 1);
        assert!(cache.get(0, "a", 25).is_some());
    }
}
