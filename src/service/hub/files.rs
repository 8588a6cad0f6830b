//! Requests for files: what is looked up for each, what the shard is asked, and how the answer goes out.
//!
//! A file that was looked at a moment ago is answered at once, head and body in one send if it is small. Everything else waits in `openings` for the shard,
//! which opens and reads without holding anybody up. A body that is not in memory goes out piece by piece: the loop is handed a range of an open file and
//! chooses how to send it.
//!
//! Deliberately absent: what is answered (`files/`), and how bytes of files move (`shards/`).

use super::http::Routed;
use super::{Hub, Key, Output, Seed, Turn};
use crate::connection::{Reply, Stage};
use crate::files::{
    self, Access, Cache, Content, Facts, FileRef, Kept, Known, OnceIds, Plan, Refused, Segment,
    Stat, UrlClass, UrlKeys, Wanted,
};
use crate::post::Post;
use crate::refusal::Refusal;
use crate::time::{ConnId, Now};
use crate::uploads::FilePermits;
use core::ops::Range;
use ringway_proto::http1::{Coding, Request};
use std::collections::{HashMap, VecDeque};
use std::rc::Rc;
use std::sync::Arc;

/// Times that a file may change while it is read, before its client is told to come again.
const CHANGES_MAX: u8 = 3;

/// The longest path that a kernel opens (PATH_MAX), with room for the suffix of a sibling.
const PATH_BYTES_MAX: usize = 4095 - 4;

/// One-time URLs whose use a shard remembers until they expire; beyond it such URLs are refused for a while (RW-2709).
const ONCE_IDS_MAX: usize = 65_536;

/// Answers of so many bytes are as small as any other.
const UNCOUNTED_BYTES_MAX: usize = 4096;

/// What the shard is asked about files. One thing at a time for each connection.
pub enum FileAsk {
    /// Open a file beneath a root, by its path.
    Open {
        /// The root's number.
        root: usize,
        /// Beneath it.
        path: String,
    },
    /// Read its first bytes.
    Read {
        /// From what.
        file: FileRef,
        /// How many.
        count: u32,
    },
}

/// A file that was opened.
pub struct OpenedFile {
    /// The file.
    pub file: FileRef,
    /// What it was then.
    pub stat: Stat,
}

/// Why a file was not opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NotOpened {
    /// Nothing that may be served: no such name, another place, something that is no file.
    Absent,
    /// A directory.
    Directory,
    /// Too much is open or under way.
    Busy,
    /// The file system says something else.
    Failed,
}

/// What came of a [`FileAsk`].
pub enum FileAnswer {
    /// Of an open.
    Opened(Result<OpenedFile, NotOpened>),
    /// Of a read; `None` when it failed.
    Read(Option<Vec<u8>>),
}

/// What was found so far of what a request needs.
#[derive(Default)]
struct Found {
    own: Option<Rc<Kept>>,
    siblings: Vec<(Coding, Rc<Kept>)>,
    /// Which sibling is looked for next.
    next: usize,
}

/// What comes next for a request.
enum Next {
    /// This name must be opened.
    Open(String),
    /// Everything is known.
    Answer,
    /// There is no such file.
    Absent,
    /// It is a directory.
    Directory,
}

/// Who says whether somebody may read a file.
enum Permit {
    /// This shard did; the id that the request has used up.
    Here(Option<u128>),
    /// The shard that remembers the use of its URL.
    Elsewhere(u16),
}

/// A request that waits for the shard.
struct Opening {
    /// The id of a one-time URL that it has used up.
    once: Option<u128>,
    request: Request,
    wanted: Wanted,
    reply: Reply,
    found: Found,
    /// The name that is being opened, and the file once it is being read.
    path: String,
    reading: Option<OpenedFile>,
    changes: u8,
}

/// A body that goes out in pieces.
struct Sending {
    file: FileRef,
    segments: VecDeque<Segment>,
    keep_alive: bool,
}

/// Files of one hub.
pub(crate) struct Files {
    cache: Cache,
    /// One-time URLs whose use this shard remembers.
    once: OnceIds,
    openings: HashMap<Key, Opening, Seed>,
    sendings: HashMap<Key, Sending, Seed>,
}

impl Files {
    pub(crate) fn new(settings: Option<&files::FilesSettings>, seed: Seed) -> Self {
        let roots = settings.map_or(0, |settings| settings.roots().len());
        let bounds = settings.map_or_else(Default::default, |settings| settings.cache);
        Self {
            cache: Cache::new(bounds, roots, seed),
            once: OnceIds::new(ONCE_IDS_MAX),
            openings: HashMap::with_hasher(seed),
            sendings: HashMap::with_hasher(seed),
        }
    }

    /// Whether no request waits for the shard.
    pub(crate) fn is_quiet(&self) -> bool {
        self.openings.is_empty()
    }

    /// Bytes of files that are held in memory.
    pub(crate) const fn cached_bytes(&self) -> usize {
        self.cache.bytes()
    }

    /// Its connection is gone; a one-time URL that came to nothing is good for another try.
    pub(crate) fn forget(&mut self, key: Key) {
        let opening = self.openings.remove(&key);
        if let Some(id) = opening.and_then(|opening| opening.once) {
            self.once.give_back(id);
        }
        self.sendings.remove(&key);
    }

    /// Looks up what is not known yet of what a request needs.
    fn look(&mut self, wanted: &Wanted, found: &mut Found, now: Now) -> Next {
        let path = wanted.path.as_str();
        if path.len() > PATH_BYTES_MAX {
            return Next::Absent;
        }
        if found.own.is_none() {
            match self.cache.get(wanted.root, path, now.monotonic_us) {
                None => return Next::Open(path.to_owned()),
                Some(Known::Absent) => return Next::Absent,
                Some(Known::Directory) => return Next::Directory,
                Some(Known::File(kept)) => found.own = Some(kept),
            }
        }
        while let Some(coding) = wanted.siblings.get(found.next) {
            let name = format!("{path}{}", coding.suffix());
            match self.cache.get(wanted.root, &name, now.monotonic_us) {
                None => return Next::Open(name),
                Some(Known::Absent | Known::Directory) => {}
                Some(Known::File(kept)) => found.siblings.push((*coding, kept)),
            }
            found.next += 1;
        }
        Next::Answer
    }
}

impl Hub {
    /// Whether a path is beneath a root of files.
    pub(crate) fn is_file_path(&self, path: &str) -> bool {
        let settings = self.settings.files.as_ref();
        settings.is_some_and(|settings| settings.route(path).is_some())
    }

    /// A request for a file.
    pub(crate) fn route_file(
        &mut self,
        key: Key,
        request: &Request,
        turn: &mut Turn<'_>,
    ) -> Routed {
        let settings = self.settings.clone();
        let files = settings.files.as_ref();
        let files = files.expect("paths are beneath roots of settings");
        let wanted = files.wanted(request);
        let wanted =
            wanted.and_then(|wanted| Ok((self.permit_file(request, &wanted, turn.now)?, wanted)));
        match wanted {
            Ok((Permit::Elsewhere(shard), _)) => return Routed::Elsewhere(shard),
            Ok((Permit::Here(once), wanted)) => {
                self.find_file(key, request, (wanted, once), turn);
            }
            Err(refused) => {
                let reply = self.reply_to(request);
                self.refuse_file(key, &refused, &reply, turn);
            }
        }
        self.stats.file_requests += 1;
        Routed::Done
    }

    /// Answers at once if everything is known, or asks the shard.
    fn find_file(
        &mut self,
        key: Key,
        request: &Request,
        (wanted, once): (Wanted, Option<u128>),
        turn: &mut Turn<'_>,
    ) {
        let reply = self.reply_to(request);
        let mut found = Found::default();
        let next = self.files.look(&wanted, &mut found, turn.now);
        let Next::Open(path) = next else {
            return self.answer_next(key, &next, (request, &wanted, &found, &reply), turn);
        };
        let opening = Opening {
            request: request.clone(),
            wanted,
            reply,
            found,
            path,
            reading: None,
            changes: 0,
            once,
        };
        self.open_file(key, opening, turn);
    }

    /// Whether whoever asks may read the file, or which shard knows. A one-time URL has one shard that remembers its use.
    fn permit_file(
        &mut self,
        request: &Request,
        wanted: &Wanted,
        now: Now,
    ) -> Result<Permit, Refused> {
        let files = self.settings.files.as_ref();
        let root = files.map(|files| &files.roots()[wanted.root]);
        if self.settings.dev || root.is_some_and(|root| root.access == Access::Open) {
            return Ok(Permit::Here(None));
        }
        let prefix = root.map_or("", |root| &root.prefix);
        let path = format!("{prefix}{}", wanted.path.as_str());
        let now_unix_seconds = now.unix_ms / 1000;
        let keys = self.settings.url_keys.as_ref();
        let verify =
            |keys: &Arc<UrlKeys>| keys.verify(request, UrlClass::Read, &path, now_unix_seconds);
        let Some(granted) = keys.map(verify).transpose()?.flatten() else {
            let (_, permits) = self.bearer(request, now)?;
            return match permits.may_read(wanted.path.as_str()) {
                true => Ok(Permit::Here(None)),
                false => Err(Refused::new(403, Refusal::FileForbidden)),
            };
        };
        // Looking takes nothing away.
        let Some(id) = granted.once.filter(|_| request.method == "GET") else {
            return Ok(Permit::Here(None));
        };
        let home = OnceIds::home(id, self.shards);
        if home != self.shard {
            return Ok(Permit::Elsewhere(home));
        }
        let verdict = self
            .files
            .once
            .use_up(id, granted.expires_unix_seconds, now_unix_seconds);
        verdict.accepted().map(|()| Permit::Here(Some(id)))
    }

    /// Whom a request's bearer token names, and what it permits. A token is verified here, whatever its kind: that is a fraction of what opening a file, or one
    /// sync, costs.
    pub(super) fn bearer(
        &self,
        request: &Request,
        now: Now,
    ) -> Result<(String, FilePermits), Refused> {
        let header = request.header("authorization").unwrap_or_default();
        let (scheme, token) = header.split_once(' ').unwrap_or_default();
        if !scheme.eq_ignore_ascii_case("bearer") {
            return Err(Refused::token_missing());
        }
        let permitted = self.settings.keys.permits(token.trim(), now);
        permitted.map_err(|refusal| {
            let refused = Refused::new(401, refusal);
            refused.with("WWW-Authenticate", "Bearer error=\"invalid_token\"")
        })
    }

    fn open_file(&mut self, key: Key, opening: Opening, turn: &mut Turn<'_>) {
        let ask = FileAsk::Open {
            root: opening.wanted.root,
            path: opening.path.clone(),
        };
        self.ask_file(key, ask, opening, turn);
    }

    fn ask_file(&mut self, key: Key, ask: FileAsk, opening: Opening, turn: &mut Turn<'_>) {
        let Some(connection) = self.connections.get_mut(key) else {
            return;
        };
        connection.stage = Stage::Opening;
        connection.clear_deadline();
        self.files.openings.insert(key, opening);
        let token = key.bits();
        turn.out.push(Output::File { token, ask });
    }

    /// What came of [`Output::File`].
    pub fn file(
        &mut self,
        now: Now,
        token: u64,
        answer: FileAnswer,
        post: &mut dyn Post,
        entropy: &mut dyn FnMut() -> u64,
        out: &mut Vec<Output>,
    ) {
        let mut turn = Turn::new(now, post, entropy, out);
        let key = Key::from_bits(token);
        // Its connection may be gone: then nobody wants the file.
        let Some(opening) = self.files.openings.remove(&key) else {
            return;
        };
        match answer {
            FileAnswer::Opened(Ok(opened)) => self.file_opened(key, opening, opened, &mut turn),
            FileAnswer::Opened(Err(why)) => self.file_not_opened(key, opening, why, &mut turn),
            FileAnswer::Read(Some(bytes)) => self.file_read(key, opening, bytes, &mut turn),
            FileAnswer::Read(None) => {
                self.file_not_opened(key, opening, NotOpened::Failed, &mut turn)
            }
        }
        self.advance(key, &mut turn);
    }

    fn file_opened(
        &mut self,
        key: Key,
        mut opening: Opening,
        opened: OpenedFile,
        turn: &mut Turn<'_>,
    ) {
        let (root, now_us) = (opening.wanted.root, turn.now.monotonic_us);
        let cache = &mut self.files.cache;
        if cache.unchanged(root, &opening.path, &opened.stat, now_us) {
            return self.look_on(key, opening, turn);
        }
        if opened.stat.bytes <= cache.bounds().file_bytes_max {
            let ask = FileAsk::Read {
                file: opened.file.clone(),
                count: opened.stat.bytes as u32,
            };
            opening.reading = Some(opened);
            return self.ask_file(key, ask, opening, turn);
        }
        let OpenedFile { file, stat } = opened;
        let content = Content::Open(file);
        self.learn_file(key, opening, Kept { stat, content }, turn);
    }

    fn file_read(&mut self, key: Key, mut opening: Opening, bytes: Vec<u8>, turn: &mut Turn<'_>) {
        let opened = opening
            .reading
            .take()
            .expect("only files that were opened are read");
        if bytes.len() as u64 == opened.stat.bytes {
            let content = Content::Whole(bytes.into());
            let stat = opened.stat;
            return self.learn_file(key, opening, Kept { stat, content }, turn);
        }
        // It was cut short since it was opened.
        opening.changes += 1;
        if opening.changes > CHANGES_MAX {
            return self.file_not_opened(key, opening, NotOpened::Busy, turn);
        }
        self.open_file(key, opening, turn);
    }

    fn file_not_opened(&mut self, key: Key, opening: Opening, why: NotOpened, turn: &mut Turn<'_>) {
        let known = match why {
            NotOpened::Absent => Known::Absent,
            NotOpened::Directory => Known::Directory,
            NotOpened::Busy | NotOpened::Failed => {
                return self.file_failed(key, opening, why, turn);
            }
        };
        let (root, path) = (opening.wanted.root, &opening.path);
        let cache = &mut self.files.cache;
        cache.learn(root, path, known, turn.now.monotonic_us);
        self.look_on(key, opening, turn);
    }

    /// A sibling that cannot be had is none. Of the file itself the client is told, and its one-time URL is good for another try.
    fn file_failed(&mut self, key: Key, mut opening: Opening, why: NotOpened, turn: &mut Turn<'_>) {
        if why == NotOpened::Busy {
            self.files.cache.let_go();
        }
        if opening.found.own.is_some() {
            opening.found.next += 1;
            return self.look_on(key, opening, turn);
        }
        if let Some(id) = opening.once {
            self.files.once.give_back(id);
        }
        let refused = match why {
            NotOpened::Busy => Refused::new(503, Refusal::Busy).with("Retry-After", "1"),
            _ => Refused::new(500, Refusal::FileFailed),
        };
        self.refuse_file(key, &refused, &opening.reply, turn);
    }

    /// Whether an answer is still being made, for whoever has said all that it will say.
    #[must_use]
    pub fn is_answering(&self, conn: ConnId) -> bool {
        self.files.openings.contains_key(&Key::of(conn)) || self.is_uploading(Key::of(conn))
    }

    fn learn_file(&mut self, key: Key, mut opening: Opening, kept: Kept, turn: &mut Turn<'_>) {
        let (root, path, kept) = (opening.wanted.root, &opening.path, Rc::new(kept));
        let known = Known::File(kept.clone());
        let cache = &mut self.files.cache;
        cache.learn(root, path, known, turn.now.monotonic_us);
        // A cache without room has forgotten it already.
        let found = &mut opening.found;
        match (&found.own, opening.wanted.siblings.get(found.next)) {
            (None, _) => found.own = Some(kept),
            (Some(_), Some(coding)) => {
                found.siblings.push((*coding, kept));
                found.next += 1;
            }
            (Some(_), None) => unreachable!("only what is wanted is opened"),
        }
        self.look_on(key, opening, turn);
    }

    /// Goes on with a request whose last question was answered.
    fn look_on(&mut self, key: Key, mut opening: Opening, turn: &mut Turn<'_>) {
        let next = self
            .files
            .look(&opening.wanted, &mut opening.found, turn.now);
        if let Next::Open(path) = next {
            opening.path = path;
            return self.open_file(key, opening, turn);
        }
        let Opening {
            request,
            wanted,
            reply,
            found,
            ..
        } = &opening;
        self.answer_next(key, &next, (request, wanted, found, reply), turn);
    }

    fn answer_next(
        &mut self,
        key: Key,
        next: &Next,
        (request, wanted, found, reply): (&Request, &Wanted, &Found, &Reply),
        turn: &mut Turn<'_>,
    ) {
        let settings = self.settings.clone();
        let files = settings.files.as_ref();
        let files = files.expect("paths are beneath roots of settings");
        let keep_alive = reply.keep_alive && !self.drain_told_everybody();
        let facts = Facts {
            request,
            wanted,
            now_unix_seconds: turn.now.unix_ms / 1000,
            boundary: u128::from((turn.entropy)()) << 64 | u128::from((turn.entropy)()),
            headers: &reply.headers,
            keep_alive,
        };
        match (next, &found.own) {
            (Next::Answer, Some(own)) => {
                let siblings = found.siblings.iter();
                let siblings: Vec<(Coding, Stat)> = siblings
                    .map(|(coding, kept)| (*coding, kept.stat))
                    .collect();
                let plan = files::respond(files, &facts, &own.stat, &siblings);
                let stored = found
                    .siblings
                    .iter()
                    .find(|(coding, _)| *coding == plan.stored);
                let kept = stored.map_or(own, |(_, kept)| kept);
                self.send_plan(key, plan, Some(&kept.content), turn);
            }
            (Next::Directory, _) if let Some(plan) = files::redirect(files, &facts) => {
                self.send_plan(key, plan, None, turn);
            }
            _ => self.refuse_file(key, &Refused::not_found(), reply, turn),
        }
    }

    fn refuse_file(&mut self, key: Key, refused: &Refused, reply: &Reply, turn: &mut Turn<'_>) {
        self.stats.refused(refused.refusal);
        let keep_alive = reply.keep_alive && !self.drain_told_everybody();
        let answer = refused.answer(&reply.headers, reply.head, keep_alive);
        self.send_answer(key, &answer, keep_alive, turn);
    }

    /// Sends an answer: what is in memory at once, pieces of a file one after the other.
    fn send_plan(&mut self, key: Key, plan: Plan, content: Option<&Content>, turn: &mut Turn<'_>) {
        if let Some(refusal) = plan.refusal {
            self.stats.refused(refusal);
        }
        let (mut answer, mut segments) = (plan.head, VecDeque::from(plan.body));
        move_bytes(&mut segments, content, &mut answer);
        let file = content.and_then(|content| match content {
            Content::Open(file) => Some(file.clone()),
            Content::Whole(_) => None,
        });
        let Some(file) = file.filter(|_| !segments.is_empty()) else {
            return self.give_file(key, &answer, plan.keep_alive, turn);
        };
        let Some(connection) = self.connections.get_mut(key) else {
            return;
        };
        connection.busy_mut().output.extend_from_slice(&answer);
        connection.stage = Stage::Sending;
        turn.out.push(Output::Dirty(key.conn()));
        // For the head; the loop looks after who does not read the file.
        let idle_us = u64::from(self.settings.keep_alive_timeout_ms) * 1000;
        self.set_deadline(key, turn.now.monotonic_us + idle_us, turn);
        let sending = Sending {
            file,
            segments,
            keep_alive: plan.keep_alive,
        };
        self.files.sendings.insert(key, sending);
    }

    /// Sends an answer that is in memory. A large one counts as queued until it went out, and where the shard has no memory left for it the client comes again.
    fn give_file(&mut self, key: Key, answer: &[u8], keep_alive: bool, turn: &mut Turn<'_>) {
        if answer.len() <= UNCOUNTED_BYTES_MAX {
            self.send_answer(key, answer, keep_alive, turn);
        } else if self.over_memory() {
            let refused = Refused::new(503, Refusal::ShardFull);
            self.refuse_file(key, &refused, &Reply::last(), turn);
        } else {
            self.give(key, answer, keep_alive, turn);
        }
    }

    /// The next piece of a file for `conn`'s wire, once [`Self::next_send`] has nothing.
    pub fn next_piece(&mut self, conn: ConnId) -> Option<(FileRef, Range<u64>)> {
        if self.files.sendings.is_empty() {
            return None;
        }
        let sending = self.files.sendings.get_mut(&Key::of(conn))?;
        let Some(Segment::File(range)) = sending.segments.front().cloned() else {
            return None;
        };
        sending.segments.pop_front();
        self.stats.file_bytes += range.end - range.start;
        Some((sending.file.clone(), range))
    }

    /// A send of an answer in pieces ended: the bytes between two pieces follow, or the answer is whole.
    pub(crate) fn send_on(&mut self, key: Key, turn: &mut Turn<'_>) {
        let Some(connection) = self.connections.get_mut(key) else {
            return;
        };
        if !matches!(connection.stage, Stage::Sending) || !connection.busy().output.is_empty() {
            return;
        }
        let Some(sending) = self.files.sendings.get_mut(&key) else {
            // It came from elsewhere, where its file was open.
            return self.close_now(key, turn);
        };
        connection.clear_deadline();
        let mut bytes = Vec::new();
        move_bytes(&mut sending.segments, None, &mut bytes);
        if !bytes.is_empty() {
            connection.busy_mut().output = bytes;
            turn.out.push(Output::Dirty(key.conn()));
        } else if sending.segments.is_empty() {
            let keep_alive = sending.keep_alive;
            self.files.sendings.remove(&key);
            connection.stage = Stage::Head;
            let keep_alive = keep_alive && !self.drain_told_everybody();
            if !keep_alive {
                self.close_after_flush(key, turn);
            }
        }
    }
}

/// Moves what is in memory from the front of a body to the bytes that go out next.
fn move_bytes(segments: &mut VecDeque<Segment>, content: Option<&Content>, out: &mut Vec<u8>) {
    loop {
        match (segments.front(), content) {
            (Some(Segment::Bytes(bytes)), _) => out.extend_from_slice(bytes),
            (Some(Segment::File(range)), Some(Content::Whole(bytes))) => {
                out.extend_from_slice(&bytes[range.start as usize..range.end as usize]);
            }
            _ => return,
        }
        segments.pop_front();
    }
}
