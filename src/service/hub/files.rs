//! Requests for files: what is looked up for each, and which answer it gets.
//!
//! A file that was looked at a moment ago is answered at once, head and body in one send if it is small. Everything else waits in `openings`: for the shard,
//! which opens and reads without holding anybody up (`searches.rs`), or for the pool, which compresses (`encoding.rs`).
//!
//! Deliberately absent: what is answered (`files/`), how the bodies go out (`bodies.rs`), and how bytes of files move (`shards/`).

use super::bodies::{Bodies, Source};
use super::encoding::{Packs, is_packed_whole};
use super::errands::{Errand, Errands};
use super::heartbeat::FILES_TOKEN;
use super::http::Routed;
use super::searches::{SEARCH, Searches};
use super::unsealing::Unsealing;
use super::used_urls::Journal;
use super::{Hub, Job, Key, Output, Seed, Turn};
use crate::auth::{PermitResult, Verdict};
use crate::connection::{Reply, Stage};
use crate::files::{
    self, Access, Cache, Content, Encoded, Facts, FileRef, FilesSettings, Form, Granted, HeldBytes,
    Kept, Known, OnceIds, OnceVerdict, Plan, Refused, SignedUrl, Stat, UrlClass, UrlKeys, Wanted,
};
use crate::post::Post;
use crate::refusal::Refusal;
use crate::time::{ConnId, Now};
use core::any::Any;
use ringway_proto::http1::{Coding, Request};
use std::collections::HashMap;
use std::rc::Rc;
use std::sync::Arc;

/// The longest path that a kernel opens (PATH_MAX), with room for the suffix of a sibling.
const PATH_BYTES_MAX: usize = 4095 - 4;

/// One-time URLs whose use a shard remembers until they expire; beyond it such URLs are refused for a while (RW-2709).
const ONCE_IDS_MAX: usize = 65_536;

/// Between two looks at files that are open.
const TICK_US: u64 = 1_000_000;

/// What the shard is asked about files.
pub enum FileAsk {
    /// Open a file beneath a root, by its path.
    Open {
        /// The root's number.
        root: usize,
        /// Beneath it.
        path: String,
    },
    /// Read some of its bytes.
    Read {
        /// From what.
        file: FileRef,
        /// How many.
        count: u32,
        /// Behind how many.
        offset: u64,
    },
    /// What it is now.
    Stat(FileRef),
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
    /// There is something by that name, and this process may not read it.
    Denied,
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
    /// Of a look at an open file; `None` when that failed.
    Stat(Option<Seen>),
}

/// What an open file is now.
#[derive(Clone, Copy, Debug)]
pub struct Seen {
    /// All that is known of it.
    pub stat: Stat,
    /// Whether it has the bytes that it was opened with; others may have come behind them.
    pub has_its_bytes: bool,
}

/// What was found so far of what a request needs.
#[derive(Default)]
struct Found {
    own: Option<Rc<Kept>>,
    siblings: Vec<(Coding, Rc<Kept>)>,
    /// Which sibling is looked for next.
    next: usize,
    /// What `own` was compressed to for this request; `None` when it cannot be.
    encoded: Option<(Coding, Option<HeldBytes>)>,
    /// The open file that is being looked at, and those that were what they are said to be when they were, or were opened for this request: one that is replaced
    /// all the time would else be opened again and again.
    checking: Option<Rc<Kept>>,
    checked: Vec<Rc<Kept>>,
}

impl Found {
    /// Whether a file is what is known of it. One in memory is; one that is open may be written to at any time.
    fn is_checked(&self, kept: &Rc<Kept>, now_us: u64) -> bool {
        let mut checked = self.checked.iter();
        !kept.is_open() || kept.is_seen(now_us) || checked.any(|checked| Rc::ptr_eq(checked, kept))
    }

    fn encoded(&self, cache: &Cache, wanted: &Wanted, coding: Coding) -> Option<HeldBytes> {
        if let Some((made, bytes)) = &self.encoded
            && *made == coding
        {
            return bytes.clone();
        }
        let stat = self.own.as_ref()?.stat;
        cache.encoded(wanted.root, wanted.path.as_str(), &Encoded { coding, stat })
    }

    fn form(&self, cache: &Cache, wanted: &Wanted, coding: Coding) -> Form {
        match (self.encoded(cache, wanted, coding), &self.encoded) {
            (Some(bytes), _) => Form::Made(bytes.len() as u64),
            (None, Some((made, _))) if *made == coding => Form::Never,
            (None, _) => Form::Unmade,
        }
    }
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

/// A one-time URL that a request uses up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct OnceUse {
    pub(super) id: u128,
    pub(super) expires_unix_seconds: u64,
    /// The disk knows of it, or will.
    pub(super) is_recorded: bool,
}

/// With what somebody was let in.
#[derive(Default)]
pub(super) struct Admission {
    /// The one-time URL that the request uses up.
    pub(super) once: Option<OnceUse>,
    /// Whom its token, or its URL, names.
    pub(super) user: Option<Box<str>>,
    /// The URL, if that is signed.
    signed: Option<SignedUrl>,
}

/// Who says whether somebody may read a file.
enum Permit {
    /// This shard did.
    Here(Admission),
    /// The shard that remembers the use of its URL.
    Elsewhere(u16),
    /// Its token's signature takes a while.
    Later(Job),
}

/// A request that waits: for the shard, or for the pool.
pub(super) struct Opening {
    admission: Admission,
    request: Request,
    wanted: Wanted,
    reply: Reply,
    found: Found,
}

impl Opening {
    /// What it waited for was found.
    pub(super) fn found_file(&mut self, kept: Rc<Kept>) {
        let found = &mut self.found;
        found.checked.push(kept.clone());
        match (&found.own, self.wanted.siblings.get(found.next)) {
            (None, _) => found.own = Some(kept),
            (Some(_), Some(coding)) => {
                found.siblings.push((*coding, kept));
                found.next += 1;
            }
            (Some(_), None) => unreachable!("only what is wanted is looked for"),
        }
    }

    /// What it waited for was made, or cannot be.
    pub(super) fn found_encoded(&mut self, coding: Coding, bytes: Option<HeldBytes>) {
        self.found.encoded = Some((coding, bytes));
    }

    pub(super) const fn reply(&self) -> &Reply {
        &self.reply
    }

    pub(super) const fn admission(&self) -> &Admission {
        &self.admission
    }

    /// The one-time URL that it uses up.
    pub(super) const fn once_mut(&mut self) -> Option<&mut OnceUse> {
        self.admission.once.as_mut()
    }

    fn case(&self) -> Case<'_> {
        Case {
            request: &self.request,
            wanted: &self.wanted,
            reply: &self.reply,
            found: &self.found,
            admission: &self.admission,
        }
    }
}

/// A request, and what is known about it.
#[derive(Clone, Copy)]
struct Case<'a> {
    request: &'a Request,
    wanted: &'a Wanted,
    reply: &'a Reply,
    found: &'a Found,
    admission: &'a Admission,
}

/// What a request has to wait for.
enum Wait {
    /// Somebody looks for this file.
    Search(String),
    /// The file is compressed to this.
    Pack(Coding),
    /// It is looked at whether this one is what it was.
    Check(Rc<Kept>),
    /// It is written down that its one-time URL is used.
    Record,
}

/// Files of one hub.
pub(crate) struct Files {
    pub(super) cache: Cache,
    /// The next look at its open files has its timer.
    is_sweeping: bool,
    /// One-time URLs whose use this shard remembers.
    pub(super) once: OnceIds,
    /// Where it writes that down.
    pub(super) journal: Option<Journal>,
    pub(super) openings: HashMap<Key, Opening, Seed>,
    pub(super) searches: Searches,
    pub(super) bodies: Bodies,
    pub(super) packs: Packs,
    pub(super) errands: Errands,
}

impl Files {
    pub(crate) fn new(settings: Option<&FilesSettings>, shard: u16, seed: Seed) -> Self {
        let roots = settings.map_or(0, |settings| settings.roots().len());
        let bounds = settings.map_or_else(Default::default, |settings| settings.cache);
        let jobs_max = settings.map_or(1, |settings| settings.compression.jobs_max);
        Self {
            cache: Cache::new(bounds, roots, seed),
            is_sweeping: false,
            once: OnceIds::new(ONCE_IDS_MAX),
            journal: Journal::new(settings, shard),
            openings: HashMap::with_hasher(seed),
            searches: Searches::new(seed),
            bodies: Bodies::new(seed),
            packs: Packs::new(seed),
            errands: Errands::new(jobs_max, seed),
        }
    }

    /// Whether no request and no body waits for the shard, nothing is with the pool, and nothing is being written.
    pub(crate) fn is_quiet(&self) -> bool {
        let nobody_waits = self.openings.is_empty() && self.searches.is_empty();
        let writes_nothing = self.journal.as_ref().is_none_or(Journal::is_idle);
        nobody_waits && writes_nothing && self.errands.is_empty() && self.bodies.are_idle()
    }

    /// Whether nothing is answered behind what a connection is being answered.
    pub(super) fn is_last(&self, key: Key) -> bool {
        let opening = self.openings.get(&key);
        opening.is_some_and(|opening| !opening.reply.keep_alive) || self.bodies.is_last(key)
    }

    /// What is left of requests, by its name.
    pub(super) fn leftovers(&self) -> [(&'static str, usize); 6] {
        let unwritten = self.journal.as_ref().map_or(0, Journal::waiting);
        [
            ("uses of URLs to write", unwritten),
            ("requests for files", self.openings.len()),
            ("bodies", self.bodies.len()),
            ("bytes of encoders", self.bodies.encoding_bytes()),
            ("bytes of segments", self.bodies.unsealing_bytes()),
            ("files to compress", self.packs.len()),
        ]
    }

    /// Bytes that answers on their way need beside those.
    pub(crate) fn borrowed_bytes(&self) -> u64 {
        self.cache.bytes_elsewhere() + self.bodies.unsealing_bytes() as u64
    }

    /// Bytes of answers on their way that count as queued.
    pub(crate) fn queued_bytes(&self) -> u64 {
        self.bodies.counted_bytes()
    }

    /// Bytes of files that are held in memory.
    pub(crate) const fn cached_bytes(&self) -> usize {
        self.cache.bytes()
    }

    /// Its connection is gone; a one-time URL that came to nothing is good for another try. How many bytes of it were queued.
    pub(crate) fn forget(&mut self, key: Key) -> u64 {
        let is_opening = !self.openings.is_empty();
        if is_opening && let Some(opening) = self.openings.remove(&key) {
            self.give_back(&opening.admission);
        }
        self.bodies.forget(key)
    }

    /// Its one-time URL gave nothing: it is good for another try.
    pub(super) fn give_back(&mut self, admission: &Admission) {
        let Some(once) = admission.once else {
            return;
        };
        self.once.give_back(once.id);
        if let Some(journal) = self.journal.as_mut().filter(|_| once.is_recorded) {
            journal.give_back(once.id);
        }
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
        if self.answer_page(key, request, turn) {
            self.stats.file_requests += 1;
            return Routed::Done;
        }
        let settings = self.settings.clone();
        let files = settings.files.as_ref();
        let files = files.expect("paths are beneath roots of settings");
        let wanted = files.wanted(request);
        let wanted =
            wanted.and_then(|wanted| Ok((self.permit_file(request, &wanted, turn.now)?, wanted)));
        match wanted {
            Ok((Permit::Elsewhere(shard), _)) => return Routed::Elsewhere(shard),
            Ok((Permit::Later(job), wanted)) => {
                self.prove_file(key, request, (wanted, job), turn);
            }
            Ok((Permit::Here(admission), wanted)) => {
                self.find_file(key, request, (wanted, admission), turn);
            }
            Err(refused) => {
                let reply = self.reply_to_file(request);
                self.refuse_file(key, &refused, &reply, turn);
            }
        }
        self.stats.file_requests += 1;
        Routed::Done
    }

    /// Answers at once if everything is known, or lets the request wait.
    pub(super) fn find_file(
        &mut self,
        key: Key,
        request: &Request,
        (wanted, admission): (Wanted, Admission),
        turn: &mut Turn<'_>,
    ) {
        let (reply, mut found) = (self.reply_to_file(request), Found::default());
        let next = self.files.look(&wanted, &mut found, turn.now);
        let case = Case {
            request,
            wanted: &wanted,
            reply: &reply,
            found: &found,
            admission: &admission,
        };
        let Some(wait) = self.answer_next(key, next, case, turn) else {
            return;
        };
        let opening = Opening {
            request: request.clone(),
            wanted,
            reply,
            found,
            admission,
        };
        self.wait_for(key, opening, wait, turn);
    }

    fn wait_for(&mut self, key: Key, opening: Opening, wait: Wait, turn: &mut Turn<'_>) {
        let Some(connection) = self.connections.get_mut(key) else {
            return;
        };
        connection.stage = Stage::Opening;
        connection.clear_deadline();
        let (root, kept) = (opening.wanted.root, opening.found.own.clone());
        let path = opening.wanted.path.clone();
        self.files.openings.insert(key, opening);
        match wait {
            Wait::Search(path) => self.search(key, root, &path, turn),
            Wait::Pack(coding) => {
                let kept = kept.expect("what is compressed was found");
                self.pack(key, (root, path.as_str(), coding), &kept, turn);
            }
            Wait::Check(kept) => self.check_file(key, kept, turn),
            Wait::Record => self.record_use(key, turn),
        }
    }

    fn check_file(&mut self, key: Key, kept: Rc<Kept>, turn: &mut Turn<'_>) {
        let opening = self.files.openings.get_mut(&key);
        let (Some(opening), Content::Open(file)) = (opening, &kept.content) else {
            return;
        };
        let (token, ask) = (key.bits(), FileAsk::Stat(file.clone()));
        opening.found.checking = Some(kept);
        turn.out.push(Output::File { token, ask });
    }

    /// What an open file is now: the request's, or that of a body that was read to its end.
    fn file_checked(&mut self, key: Key, seen: Option<Seen>, turn: &mut Turn<'_>) {
        let Some(mut opening) = self.files.openings.remove(&key) else {
            let has_its_bytes = seen.is_some_and(|seen| seen.has_its_bytes);
            return self.encoding_checked(key, has_its_bytes, turn);
        };
        let kept = opening.found.checking.take();
        let kept = kept.expect("a request waits for the file that is looked at");
        if seen.is_some_and(|seen| seen.stat == kept.stat) {
            kept.was_seen(turn.now.monotonic_us);
            opening.found.checked.push(kept);
        } else {
            self.doubt_file(&opening.wanted, &kept);
            opening.found = Found::default();
        }
        self.look_on(key, opening, turn);
        self.advance(key, turn);
    }

    /// A name stands for something else than is remembered.
    fn doubt_file(&mut self, wanted: &Wanted, kept: &Rc<Kept>) {
        let (root, path) = (wanted.root, wanted.path.as_str());
        self.files.cache.doubt(root, path, kept);
        for coding in &wanted.siblings {
            let name = format!("{path}{}", coding.suffix());
            self.files.cache.doubt(root, &name, kept);
        }
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
            return Ok(Permit::Here(Admission::default()));
        }
        let prefix = root.map_or("", |root| &root.prefix);
        let path = format!("{prefix}{}", wanted.path.as_str());
        let now_unix_seconds = now.unix_ms / 1000;
        let keys = self.settings.url_keys.as_ref();
        let verify =
            |keys: &Arc<UrlKeys>| keys.verify(request, UrlClass::Read, &path, now_unix_seconds);
        let Some(granted) = keys.map(verify).transpose()?.flatten() else {
            let token = bearer_of(request).ok_or_else(Refused::token_missing)?;
            return match self.settings.keys.permits_or_job(token, now) {
                Verdict::Done(permits) => admitted(permits, wanted).map(Permit::Here),
                Verdict::Job(job) => Ok(Permit::Later(job)),
            };
        };
        let home = granted.once.map(|id| OnceIds::home(id, self.shards));
        if let Some(home) = home.filter(|home| *home != self.shard) {
            return Ok(Permit::Elsewhere(home));
        }
        self.use_url(request, &granted, now_unix_seconds)
            .map(Permit::Here)
    }

    /// With what a verified URL lets somebody in, at the home of its id if it is a one-time URL. Looking takes nothing away, and finds nothing where somebody
    /// took it before.
    fn use_url(
        &mut self,
        request: &Request,
        granted: &Granted,
        now_unix_seconds: u64,
    ) -> Result<Admission, Refused> {
        let (ids, expires_unix_seconds) = (&mut self.files.once, granted.expires_unix_seconds);
        let Some(id) = granted.once else {
            return Ok(admitted_by_url(granted, None));
        };
        if request.method != "GET" {
            let verdict = match ids.is_used(id) {
                true => OnceVerdict::Used,
                false => OnceVerdict::First,
            };
            return verdict.accepted().map(|()| admitted_by_url(granted, None));
        }
        let verdict = ids.use_up(id, expires_unix_seconds, now_unix_seconds);
        verdict.accepted()?;
        let once = OnceUse {
            id,
            expires_unix_seconds,
            is_recorded: false,
        };
        Ok(admitted_by_url(granted, Some(once)))
    }

    /// A request waits until its token is verified.
    fn prove_file(
        &mut self,
        key: Key,
        request: &Request,
        (wanted, job): (Wanted, Job),
        turn: &mut Turn<'_>,
    ) {
        let reply = self.reply_to_file(request);
        let Some(connection) = self.connections.get_mut(key) else {
            return;
        };
        connection.stage = Stage::Opening;
        connection.clear_deadline();
        let opening = Opening {
            request: request.clone(),
            wanted,
            reply,
            found: Found::default(),
            admission: Admission::default(),
        };
        self.files.openings.insert(key, opening);
        self.begin_job(Errand::Permit(key), job, turn);
    }

    /// A token was verified; its connection may be gone.
    pub(super) fn permitted(&mut self, key: Key, result: Box<dyn Any + Send>, turn: &mut Turn<'_>) {
        let Some(mut opening) = self.files.openings.remove(&key) else {
            return;
        };
        let permits = result.downcast::<PermitResult>();
        let permits = *permits.expect("the job verifies a token");
        match admitted(permits, &opening.wanted) {
            Ok(admission) => {
                opening.admission = admission;
                self.look_on(key, opening, turn);
            }
            Err(refused) => self.refuse_file(key, &refused, &opening.reply, turn),
        }
        self.advance(key, turn);
    }

    /// What came of [`Output::File`](super::Output::File).
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
        if token & SEARCH != 0 {
            return self.search_answered(token & !SEARCH, answer, &mut turn);
        }
        match answer {
            FileAnswer::Read(bytes) => self.piece_read(Key::from_bits(token), bytes, &mut turn),
            FileAnswer::Stat(seen) => self.file_checked(Key::from_bits(token), seen, &mut turn),
            FileAnswer::Opened(_) => unreachable!("a search has a token of its own"),
        }
    }

    /// A sibling that cannot be had is none. Of the file itself the client is told, and its one-time URL is good for another try.
    pub(super) fn file_failed(
        &mut self,
        key: Key,
        mut opening: Opening,
        why: NotOpened,
        turn: &mut Turn<'_>,
    ) {
        if opening.found.own.is_some() {
            opening.found.next += 1;
            return self.look_on(key, opening, turn);
        }
        self.files.give_back(&opening.admission);
        let refused = match why {
            NotOpened::Busy => Refused::new(503, Refusal::Busy).with("Retry-After", "1"),
            _ => Refused::new(500, Refusal::FileFailed),
        };
        self.refuse_file(key, &refused, &opening.reply, turn);
    }

    /// Whether an answer is still being made, for whoever has said all that it will say.
    #[must_use]
    pub fn is_answering(&self, conn: ConnId) -> bool {
        let key = Key::of(conn);
        self.files.openings.contains_key(&key)
            || self.files.bodies.has(key)
            || self.is_uploading(key)
    }

    /// Goes on with a request for which something was found.
    pub(super) fn look_on(&mut self, key: Key, mut opening: Opening, turn: &mut Turn<'_>) {
        let next = self
            .files
            .look(&opening.wanted, &mut opening.found, turn.now);
        if let Some(wait) = self.answer_next(key, next, opening.case(), turn) {
            self.wait_for(key, opening, wait, turn);
        }
    }

    /// Answers, or says what the request has to wait for.
    fn answer_next(
        &mut self,
        key: Key,
        next: Next,
        case: Case<'_>,
        turn: &mut Turn<'_>,
    ) -> Option<Wait> {
        match (next, &case.found.own) {
            (Next::Open(path), _) => return Some(Wait::Search(path)),
            (Next::Answer, Some(own)) => return self.answer_found(key, own, case, turn),
            (Next::Directory, _) if let Some(plan) = self.plan(case, turn, files::redirect) => {
                self.send_plan(key, plan, Source::Nothing, case.admission, turn);
            }
            _ => {
                self.files.give_back(case.admission);
                self.refuse_file(key, &Refused::not_found(), case.reply, turn);
            }
        }
        None
    }

    /// Once per lap: files that are open are looked at soon.
    pub(super) fn arm_files(&mut self, turn: &mut Turn<'_>) {
        let files = &mut self.files;
        if files.cache.holds_open() && !core::mem::replace(&mut files.is_sweeping, true) {
            turn.out.push(Output::Timer {
                at_us: turn.now.monotonic_us + TICK_US,
                token: FILES_TOKEN,
            });
        }
    }

    /// Once a second while files are open.
    pub(super) fn files_tick(&mut self, turn: &mut Turn<'_>) {
        self.files.is_sweeping = false;
        self.files.cache.sweep(turn.now.monotonic_us);
        self.arm_files(turn);
    }

    /// Plans an answer.
    fn plan<T>(
        &self,
        case: Case<'_>,
        turn: &mut Turn<'_>,
        plan: impl FnOnce(&FilesSettings, &Facts<'_>) -> T,
    ) -> T {
        let files = self.settings.files.as_ref();
        let files = files.expect("paths are beneath roots of settings");
        let facts = Facts {
            request: case.request,
            wanted: case.wanted,
            now_unix_seconds: turn.now.unix_ms / 1000,
            boundary: u128::from((turn.entropy)()) << 64 | u128::from((turn.entropy)()),
            headers: &case.reply.headers,
            keep_alive: case.reply.keep_alive && !self.drain_told_everybody(),
            signed: case.admission.signed,
        };
        plan(files, &facts)
    }

    /// Plans the answer about a file, of which there are these forms.
    fn plan_file(
        &self,
        own: &Kept,
        case: Case<'_>,
        encoded: &dyn Fn(Coding) -> Form,
        turn: &mut Turn<'_>,
    ) -> Plan {
        let siblings = case.found.siblings.iter();
        let siblings: Vec<(Coding, Stat)> = siblings
            .map(|(coding, kept)| (*coding, kept.stat))
            .collect();
        self.plan(case, turn, |files, facts| {
            files::respond(files, facts, &own.stat, &siblings, encoded)
        })
    }

    /// Everything was found: answers, unless the file must be compressed first.
    fn answer_found(
        &mut self,
        key: Key,
        own: &Rc<Kept>,
        case: Case<'_>,
        turn: &mut Turn<'_>,
    ) -> Option<Wait> {
        let now_us = turn.now.monotonic_us;
        // Nothing else can be sent, so that what is planned is not planned twice.
        let is_alone = case.wanted.siblings.is_empty() && case.request.method == "GET";
        if is_alone && !case.found.is_checked(own, now_us) {
            return Some(Wait::Check(own.clone()));
        }
        // What is encrypted and large goes as it was: it is decrypted a segment at a time.
        let known = |coding| match own.is_sealed() {
            true => Form::Never,
            false => case.found.form(&self.files.cache, case.wanted, coding),
        };
        let plan = self.plan_file(own, case, &known, turn);
        // Whoever gets nothing of the file has used nothing up, and nothing is written for him.
        if matches!(plan.status, 200 | 206) && self.is_unwritten(case.admission) {
            return Some(Wait::Record);
        }
        let stored = stored_of(&plan, own, case.found);
        let reads_it = !plan.body.is_empty() && plan.encoded.is_none();
        if reads_it && !case.found.is_checked(stored, now_us) {
            return Some(Wait::Check(stored.clone()));
        }
        if let Some(coding) = plan.compress {
            if is_packed_whole(own) {
                return Some(Wait::Pack(coding));
            }
            self.send_encoding(key, (plan, coding), own, case, turn);
        } else if let Some(coding) = plan.encoded {
            self.send_encoded(key, (plan, coding), own, case, turn);
        } else {
            self.send_stored(key, plan, own, case, turn);
        }
        None
    }

    /// Sends a file as it is compressed piece by piece, or as it is when there is no memory for that.
    fn send_encoding(
        &mut self,
        key: Key,
        (plan, coding): (Plan, Coding),
        own: &Rc<Kept>,
        case: Case<'_>,
        turn: &mut Turn<'_>,
    ) {
        let name = (case.wanted.root, case.wanted.path.as_str(), coding);
        let Some(encoding) = self.begin_encoding(name, own, plan.is_chunked) else {
            self.stats.files_encodings_refused += 1;
            let plan = self.plan_file(own, case, &|_| Form::Never, turn);
            return self.send_stored(key, plan, own, case, turn);
        };
        self.stats.files_encoded += 1;
        self.send_plan(key, plan, Source::Encoding(encoding), case.admission, turn);
    }

    /// Sends what a file was compressed to.
    fn send_encoded(
        &mut self,
        key: Key,
        (plan, coding): (Plan, Coding),
        own: &Kept,
        case: Case<'_>,
        turn: &mut Turn<'_>,
    ) {
        let cache = &mut self.files.cache;
        let bytes = case.found.encoded(cache, case.wanted, coding);
        let bytes = bytes.expect("its length was said");
        let (root, path, stat) = (case.wanted.root, case.wanted.path.as_str(), own.stat);
        cache.use_encoded(root, path, &Encoded { coding, stat });
        self.stats.files_encoded += 1;
        let source = Source::Stored(Content::Whole(bytes));
        self.send_plan(key, plan, source, case.admission, turn);
    }

    /// Sends a file as it is, or a sibling of it.
    fn send_stored(
        &mut self,
        key: Key,
        plan: Plan,
        own: &Rc<Kept>,
        case: Case<'_>,
        turn: &mut Turn<'_>,
    ) {
        let kept = stored_of(&plan, own, case.found);
        let source = match &kept.content {
            Content::Sealed(file) => {
                let unsealing = Unsealing::new(file.clone(), kept.stat.bytes);
                Source::Unsealing(Box::new(unsealing))
            }
            content => Source::Stored(content.clone()),
        };
        self.send_plan(key, plan, source, case.admission, turn);
    }

    pub(super) fn refuse_file(
        &mut self,
        key: Key,
        refused: &Refused,
        reply: &Reply,
        turn: &mut Turn<'_>,
    ) {
        self.stats.refused(refused.refusal);
        let keep_alive = reply.keep_alive && !self.drain_told_everybody();
        let answer = refused.answer(&reply.headers, reply.head, keep_alive);
        self.send_answer(key, &answer, keep_alive, turn);
    }
}

/// The file whose bytes an answer has: the one that was asked for, or a sibling.
fn stored_of<'a>(plan: &Plan, own: &'a Rc<Kept>, found: &'a Found) -> &'a Rc<Kept> {
    let mut siblings = found.siblings.iter();
    let stored = siblings.find(|(coding, _)| *coding == plan.stored);
    stored.map_or(own, |(_, kept)| kept)
}

/// The token of a request (RFC 6750 §2.1).
pub(super) fn bearer_of(request: &Request) -> Option<&str> {
    let (scheme, token) = request.header("authorization")?.split_once(' ')?;
    scheme
        .eq_ignore_ascii_case("bearer")
        .then_some(token.trim())
}

/// With what a verified URL lets somebody in. Whom it is for shares the limits of that user's tokens; a URL for nobody has none of a user.
fn admitted_by_url(granted: &Granted, once: Option<OnceUse>) -> Admission {
    let subject = granted.subject.as_deref();
    Admission {
        once,
        user: subject.filter(|it| !it.is_empty()).map(Into::into),
        signed: Some(SignedUrl {
            expires_unix_seconds: granted.expires_unix_seconds,
            is_once: granted.once.is_some(),
        }),
    }
}

/// Whether a token permits a file.
fn admitted(permits: PermitResult, wanted: &Wanted) -> Result<Admission, Refused> {
    let (subject, permits) = permits.map_err(Refused::token)?;
    if !permits.may_read(wanted.path.as_str()) {
        return Err(Refused::new(403, Refusal::FileForbidden));
    }
    Ok(Admission {
        once: None,
        user: Some(subject.into()),
        signed: None,
    })
}
