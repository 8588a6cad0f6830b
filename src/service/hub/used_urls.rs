//! One-time URLs whose use is written down: whoever uses one is answered when that is on the disk, so that no crash makes it good for another use.
//!
//! A shard appends to a journal of its own, one operation at a time. What comes meanwhile goes together: a hundred clients wait for two syncs rather than for
//! a hundred. Where there is no journal yet, where an operation failed, and where too much of it says nothing any more, it is written anew from what the
//! shard remembers, and takes the old one's place by a rename: so it does not matter what a write that failed has left.
//!
//! Deliberately absent: which ids are used (`files/once.rs`), how that is text (`files/journal.rs`), and what an earlier process left (the wiring reads it).

use super::files::Admission;
use super::{Hub, Key, Output, Turn};
use crate::files::{Entry, OnceIds, Refused, UsedUrls, journal_name, new_journal_name};
use crate::files::{FileRef, FilesSettings};
use crate::refusal::Refusal;
use crate::uploads::{Area, StoreAnswer, StoreAsk, StoreError};
use std::collections::BTreeMap;

/// The mark of a journal's token among those of uploads.
pub(super) const USED_URLS: u64 = 1 << 62;

/// Lines of one write, so that no lap is about thousands of them.
const PORTION_LINES: usize = 1024;
/// A journal with fewer lines is not written anew for its length.
const LINES_LEAST: u64 = 4096;
/// Nor is one that has no more of them for each id that is remembered.
const LINES_PER_ID: u64 = 4;
/// Ids about which something waits to be written; beyond it no use is begun.
const WAITING_MAX: usize = 65_536;

/// What the shard is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Step {
    Nothing,
    /// A new journal is being made.
    Making,
    /// What is left of one that came to nothing is being removed.
    MakingRoom,
    /// What is remembered is being written to it; next come the ids from this one on.
    Copying(Option<u128>),
    /// What clients wait for is being written.
    Writing,
    Syncing,
    /// It gets its name.
    Naming,
    SyncingName,
}

/// What is to be written about an id: the last word counts, so there is one.
struct Waiting {
    entry: Entry,
    /// Who is answered then.
    client: Option<Key>,
}

/// What came to its end: clients whose uses are written down, or cannot be.
pub(super) struct Written {
    clients: Vec<Key>,
    is_safe: bool,
}

/// The journal of one shard.
pub(super) struct Journal {
    shard: u16,
    generation: u64,
    /// What is appended to. `None`: it has to be written anew.
    file: Option<FileRef>,
    /// What will be, once it has its name.
    new: Option<FileRef>,
    bytes: u64,
    lines: u64,
    step: Step,
    waiting: BTreeMap<u128, Waiting>,
    /// Whose uses are among what is being written.
    writing: Vec<Key>,
    ask: Option<StoreAsk>,
}

impl Journal {
    /// `None` where nothing is written down.
    pub(super) fn new(settings: Option<&FilesSettings>, shard: u16) -> Option<Self> {
        settings?.used_urls?;
        Some(Self {
            shard,
            generation: 0,
            file: None,
            new: None,
            bytes: 0,
            lines: 0,
            step: Step::Nothing,
            waiting: BTreeMap::new(),
            writing: Vec::new(),
            ask: None,
        })
    }

    /// Whether nothing is under way.
    pub(super) fn is_idle(&self) -> bool {
        self.step == Step::Nothing && self.waiting.is_empty()
    }

    /// How many ids wait to be written.
    pub(super) fn waiting(&self) -> usize {
        self.waiting.len()
    }

    /// A client waits for its use to be written. `false`: too much waits already.
    fn record(&mut self, id: u128, expires_unix_seconds: u64, client: Key) -> bool {
        if self.waiting.len() >= WAITING_MAX {
            return false;
        }
        let entry = Entry::Used {
            id,
            expires_unix_seconds,
        };
        let client = Some(client);
        self.waiting.insert(id, Waiting { entry, client });
        true
    }

    /// A use came to nothing that was written, or is on its way.
    pub(super) fn give_back(&mut self, id: u128) {
        let (entry, client) = (Entry::Returned { id }, None);
        self.waiting.insert(id, Waiting { entry, client });
    }

    /// Begins with what waits, unless the shard is at something.
    fn begin(&mut self, ids: &OnceIds) {
        if self.step != Step::Nothing || self.waiting.is_empty() {
            return;
        }
        let lines_max = LINES_LEAST.max(LINES_PER_ID * ids.len() as u64);
        if self.lines > lines_max {
            self.file = None;
        }
        match self.file {
            Some(_) => self.write_waiting(),
            None => self.make(),
        }
    }

    fn make(&mut self) {
        (self.bytes, self.lines) = (0, 0);
        let name = new_journal_name(self.generation, self.shard);
        let ask = StoreAsk::Open {
            area: Area::UsedUrls,
            name,
            creates: true,
            reads: false,
        };
        self.ask(Step::Making, ask);
    }

    fn ask(&mut self, step: Step, ask: StoreAsk) {
        self.step = step;
        self.ask = Some(ask);
    }

    /// What came of the operation; what waited for it, if it was the last one.
    fn answered(&mut self, answer: StoreAnswer, ids: &OnceIds) -> Option<Written> {
        let result = match answer {
            StoreAnswer::Opened(Ok(file)) => {
                self.new = Some(file);
                Ok(())
            }
            StoreAnswer::Opened(Err(StoreError::Exists)) => {
                self.make_room();
                return None;
            }
            StoreAnswer::Done(Err(StoreError::Absent)) if self.step == Step::MakingRoom => Ok(()),
            StoreAnswer::Opened(Err(error)) => Err(error),
            StoreAnswer::Done(result) | StoreAnswer::Wrote(_, result) => result,
            StoreAnswer::Read(_) => unreachable!("a journal is not read here"),
        };
        match result {
            Ok(()) => self.go_on(ids),
            Err(_) => Some(self.fail()),
        }
    }

    fn go_on(&mut self, ids: &OnceIds) -> Option<Written> {
        match self.step {
            Step::Nothing => unreachable!("nothing was asked"),
            Step::MakingRoom => self.make(),
            Step::Making => self.copy(0, ids),
            Step::Copying(Some(next)) => self.copy(next, ids),
            Step::Copying(None) => self.write_waiting(),
            Step::Writing => {
                let file = self.target();
                self.ask(Step::Syncing, StoreAsk::Sync(file));
            }
            Step::Syncing if self.new.is_some() => self.name(),
            Step::Naming => self.ask(Step::SyncingName, StoreAsk::SyncArea(Area::UsedUrls)),
            Step::Syncing | Step::SyncingName => return Some(self.end()),
        }
        None
    }

    fn make_room(&mut self) {
        let name = new_journal_name(self.generation, self.shard);
        let area = Area::UsedUrls;
        self.ask(Step::MakingRoom, StoreAsk::Unlink { area, name });
    }

    /// The next of what is remembered. What is given back meanwhile waits, and is said behind it.
    fn copy(&mut self, from: u128, ids: &OnceIds) {
        let mut bytes = Vec::new();
        let mut next = None;
        for (count, (id, expires_unix_seconds)) in ids.from(from).enumerate() {
            if count == PORTION_LINES {
                next = Some(id);
                break;
            }
            let entry = Entry::Used {
                id,
                expires_unix_seconds,
            };
            entry.append(&mut bytes);
            self.lines += 1;
        }
        match bytes.is_empty() {
            true => self.write_waiting(),
            false => self.write(Step::Copying(next), bytes),
        }
    }

    fn write_waiting(&mut self) {
        let mut bytes = Vec::new();
        for _ in 0..PORTION_LINES {
            let Some((_, waiting)) = self.waiting.pop_first() else {
                break;
            };
            waiting.entry.append(&mut bytes);
            self.writing.extend(waiting.client);
            self.lines += 1;
        }
        self.write(Step::Writing, bytes);
    }

    fn write(&mut self, step: Step, bytes: Vec<u8>) {
        let (file, offset) = (self.target(), self.bytes);
        self.bytes += bytes.len() as u64;
        let ask = StoreAsk::Write {
            file,
            bytes,
            offset,
        };
        self.ask(step, ask);
    }

    fn target(&self) -> FileRef {
        let file = self.new.as_ref().or(self.file.as_ref());
        file.expect("only a journal that is open is written to")
            .clone()
    }

    fn name(&mut self) {
        let ask = StoreAsk::Rename {
            from: Area::UsedUrls,
            name: new_journal_name(self.generation, self.shard),
            to: Area::UsedUrls,
            new_name: journal_name(self.generation, self.shard),
            may_be_absent: false,
        };
        self.ask(Step::Naming, ask);
    }

    fn end(&mut self) -> Written {
        if let Some(new) = self.new.take() {
            self.file = Some(new);
        }
        self.step = Step::Nothing;
        Written {
            clients: core::mem::take(&mut self.writing),
            is_safe: true,
        }
    }

    /// Whoever waits is told now, also those of whom nothing was tried: a disk that fails would keep them for as long as others come.
    fn fail(&mut self) -> Written {
        (self.file, self.new, self.step) = (None, None, Step::Nothing);
        let mut clients = core::mem::take(&mut self.writing);
        let waiting = core::mem::take(&mut self.waiting);
        clients.extend(waiting.into_values().filter_map(|waiting| waiting.client));
        Written {
            clients,
            is_safe: false,
        }
    }
}

impl Hub {
    /// Uses of one-time URLs that earlier processes wrote down, before the first lap. Those of other shards are passed over.
    pub fn adopt_used_urls(&mut self, found: &UsedUrls) {
        let (shard, shards) = (self.shard, self.shards);
        for (id, expires_unix_seconds) in &found.used {
            if OnceIds::home(*id, shards) == shard {
                self.files.once.adopt(*id, *expires_unix_seconds);
            }
        }
        if let Some(journal) = &mut self.files.journal {
            journal.generation = found.generation;
        }
        // They are of no shard.
        if shard == 0 {
            self.stats.used_url_lines_unreadable = found.unreadable;
        }
    }

    /// The root where uses of one-time URLs are written down.
    #[must_use]
    pub fn used_urls_root(&self) -> Option<u32> {
        self.settings.files.as_ref()?.used_urls
    }

    /// Whether a request that will get something of the file has to wait until its use of a one-time URL is written.
    pub(super) fn is_unwritten(&self, admission: &Admission) -> bool {
        let once = admission.once.as_ref();
        self.files.journal.is_some() && once.is_some_and(|once| !once.is_recorded)
    }

    /// A request waits until its use of a one-time URL is written. What was asked for together is written together, at the lap's end.
    pub(super) fn record_use(&mut self, key: Key, turn: &mut Turn<'_>) {
        let opening = self.files.openings.get_mut(&key);
        let once = opening.and_then(|opening| opening.once_mut());
        let (Some(once), Some(journal)) = (once, &mut self.files.journal) else {
            return;
        };
        if journal.record(once.id, once.expires_unix_seconds, key) {
            once.is_recorded = true;
        } else {
            self.use_failed(key, turn);
        }
    }

    /// Its use could not be written: then it is none.
    fn use_failed(&mut self, key: Key, turn: &mut Turn<'_>) {
        let Some(opening) = self.files.openings.remove(&key) else {
            return;
        };
        self.files.give_back(opening.admission());
        let refused = Refused::new(503, Refusal::UrlNotRecorded).with("Retry-After", "1");
        self.refuse_file(key, &refused, opening.reply(), turn);
    }

    /// What came of an operation on the journal.
    pub(super) fn journal_answered(&mut self, answer: StoreAnswer, turn: &mut Turn<'_>) {
        let files = &mut self.files;
        let journal = files.journal.as_mut();
        let written = journal.and_then(|journal| journal.answered(answer, &files.once));
        if let Some(written) = written {
            self.uses_written(written, turn);
        }
        self.work_journal(turn);
    }

    fn uses_written(&mut self, written: Written, turn: &mut Turn<'_>) {
        for key in written.clients {
            if !written.is_safe {
                self.use_failed(key, turn);
            } else if let Some(opening) = self.files.openings.remove(&key) {
                self.look_on(key, opening, turn);
            }
            self.advance(key, turn);
        }
    }

    /// Has the shard do what is next.
    pub(super) fn work_journal(&mut self, turn: &mut Turn<'_>) {
        let files = &mut self.files;
        let Some(journal) = &mut files.journal else {
            return;
        };
        journal.begin(&files.once);
        if let Some(ask) = journal.ask.take() {
            let token = USED_URLS;
            turn.out.push(Output::Store { token, ask });
        }
    }
}
