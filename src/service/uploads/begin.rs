//! A request's head: what it asks for, and whether it may have it.

use super::machine::{BUSY_SECONDS, Upload, with_expiry};
use super::record::final_name;
use super::transfer::{Kind, Phase, Sum, Transfer};
use super::{Answer, Record, TransferId, UploadId, Uploads, Want, Who, options};
use crate::refusal::Refusal;
use crate::rooms::is_room_name;
use ringway_proto::http1::{BodyLength, Request};
use ringway_proto::tus::{self, Concat, Creation, Length, Metadata, Method, Patch};
use std::collections::BTreeMap;

/// Concatenations of a shard at a time. Each has a piece of 256 KiB in memory, and the disk to itself for as long as it goes.
const CONCATENATIONS_MAX: usize = 16;
/// Bytes of Upload-Concat headers that a shard remembers, of which each may have 32 KiB.
const CONCAT_BYTES_MAX: usize = 16 << 20;

/// A request, and what is known of who makes it.
#[derive(Clone, Copy, Debug)]
pub struct Ask<'a> {
    /// The request; its path is beneath the prefix of uploads.
    pub request: &'a Request,
    /// What it means to do. It was decided once, before anybody asked who may.
    pub method: Method,
    /// Who.
    pub who: Who<'a>,
    /// Random bits, for the name of an upload that it may create.
    pub entropy: u128,
    /// The home of that.
    pub bucket: u16,
}

/// What becomes of a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Begun {
    /// It is answered. If it has a body, nobody reads it.
    Answer(Answer),
    /// It goes on; its answer comes of [`Uploads::poll`].
    Transfer(TransferId),
}

impl From<Result<TransferId, Answer>> for Begun {
    fn from(result: Result<TransferId, Answer>) -> Self {
        result.map_or_else(Self::Answer, Self::Transfer)
    }
}

const fn headers() -> Answer {
    Answer::refused(400, Refusal::UploadHeaders)
}

/// An answer to somebody for whom there is no room now.
fn come_again(refusal: Refusal, seconds: &str) -> Answer {
    Answer::refused(503, refusal).with("Retry-After", seconds)
}

impl Uploads {
    /// A request came. Its body is not looked at before [`super::Output::Body`] says so.
    pub fn begin(&mut self, now_unix_seconds: u64, ask: &Ask<'_>) -> Begun {
        self.now = now_unix_seconds;
        if ask.method == Method::Options {
            return Begun::Answer(options(&self.settings));
        }
        if matches!(ask.who, Who::Anybody) {
            return Begun::Answer(Answer::refused(401, Refusal::TokenMissing));
        }
        if let Err(error) = tus::check_version(ask.request) {
            return Begun::Answer(error.into());
        }
        let rest = ask.request.path.strip_prefix(self.settings.prefix.as_str());
        match (ask.method, rest.unwrap_or_default()) {
            (Method::Post, "") => self.create(ask).into(),
            (_, "") => Begun::Answer(not_allowed("OPTIONS, POST")),
            (_, name) => self.existing(name, ask),
        }
    }

    fn existing(&mut self, name: &str, ask: &Ask<'_>) -> Begun {
        let is_removal = ask.method == Method::Delete;
        let found = UploadId::parse(name).ok_or(Answer::refused(404, Refusal::UploadNotFound));
        let found = found.and_then(|id| self.reachable(id, ask.who.subject(), is_removal));
        let id = match found.and_then(|id| self.permitted(id, &ask.who)) {
            Ok(id) => id,
            Err(answer) => return Begun::Answer(answer),
        };
        match ask.method {
            Method::Head => self.head(id),
            Method::Patch => self.patch(id, ask).into(),
            Method::Delete => self.terminate(id).into(),
            Method::Options | Method::Post | Method::Other => {
                Begun::Answer(not_allowed("DELETE, HEAD, OPTIONS, PATCH"))
            }
        }
    }

    /// The upload, if whoever asks could create it now: a permission that was taken away is none for what was begun with it.
    fn permitted(&self, id: UploadId, who: &Who<'_>) -> Result<UploadId, Answer> {
        let record = &self.uploads[&id].record;
        let metadata = Metadata::parse(&record.metadata).unwrap_or_default();
        match who.may_continue(filename(&metadata), record.room.as_deref()) {
            true => Ok(id),
            false => Err(Answer::refused(403, Refusal::FileForbidden)),
        }
    }

    /// The upload, if it is there. One that is half gone can only be removed.
    fn reachable(&self, id: UploadId, subject: &str, is_removal: bool) -> Result<UploadId, Answer> {
        let is_doomed = self.uploads.get(&id).is_some_and(|known| known.is_doomed);
        if is_doomed && is_removal && self.uploads[&id].record.subject == subject {
            return Ok(id);
        }
        self.owned(id, subject).map(|()| id)
    }

    /// Whether the upload is there and is the subject's. To others it is not there.
    fn owned(&self, id: UploadId, subject: &str) -> Result<(), Answer> {
        let Some(known) = self.uploads.get(&id) else {
            let (status, refusal) = if self.is_gone(id, subject) {
                (410, Refusal::UploadGone)
            } else {
                (404, Refusal::UploadNotFound)
            };
            return Err(Answer::refused(status, refusal));
        };
        if known.record.subject != subject {
            return Err(Answer::refused(404, Refusal::UploadNotFound));
        }
        let has_expired = known.record.expires_unix_seconds <= self.now;
        if known.is_doomed || has_expired && known.writer.is_none() {
            return Err(Answer::refused(410, Refusal::UploadGone));
        }
        Ok(())
    }

    fn unlocked(&self, id: UploadId) -> Result<(), Answer> {
        match self.uploads[&id].writer {
            None => Ok(()),
            Some(_) => Err(Answer::refused(423, Refusal::UploadLocked)),
        }
    }

    /// Who writes to an upload now. A connection from which nothing came for a while may be cut for the sake of a client that was answered 423.
    #[must_use]
    pub fn writer(&self, id: UploadId) -> Option<TransferId> {
        self.uploads.get(&id).and_then(|known| known.writer)
    }

    fn head(&mut self, id: UploadId) -> Begun {
        let known = &self.uploads[&id];
        // The client that was cut asks how far it came, and must not begin before that. What puts parts together changes none of them.
        let is_its_own = |writer: &TransferId| self.transfers[writer].upload == id;
        let lost = |writer: &TransferId| is_its_own(writer) && self.has_lost_client(*writer);
        if let Some(writer) = known.writer.filter(lost) {
            return Begun::Transfer(self.look(id, writer));
        }
        if !known.lacks_name() {
            return Begun::Answer(head_of(known));
        }
        // A client that hears of all its bytes asks for nothing more, and it may still go wrong: this one comes again.
        if known.writer.is_some() {
            return Begun::Answer(Answer::refused(423, Refusal::UploadLocked));
        }
        // Its last bytes are safe, and giving it its name failed.
        let transfer = Transfer::new(id, Kind::Finish, Phase::Finishing, known.record.offset);
        let transfer = self.start(transfer);
        self.truncate(transfer);
        Begun::Transfer(transfer)
    }

    fn terminate(&mut self, id: UploadId) -> Result<TransferId, Answer> {
        self.unlocked(id)?;
        let offset = self.uploads[&id].record.offset;
        let id = self.start(Transfer::new(id, Kind::Terminate, Phase::Removing, offset));
        self.remove(id);
        Ok(id)
    }

    fn patch(&mut self, id: UploadId, ask: &Ask<'_>) -> Result<TransferId, Answer> {
        let record = &self.uploads[&id].record;
        if record.is_final() {
            return Err(Answer::refused(403, Refusal::UploadFinal));
        }
        let patch = Patch::parse(ask.request)?;
        self.unlocked(id)?;
        if patch.offset != record.offset {
            return Err(Answer::refused(409, Refusal::UploadOffset));
        }
        let length = self.declared(record, patch.length)?;
        self.admit_body(ask.who.subject())?;
        let body = body_bytes(ask.request);
        let limit = self.reserve(id, length, body)?;
        let mut transfer = Transfer::new(id, Kind::Patch, Phase::Receiving, patch.offset);
        transfer.has_body = true;
        // Nobody says that a body of no bytes is over.
        transfer.has_ended = body == Some(0);
        transfer.limit = limit;
        transfer.grows = length.is_none() && body.is_none();
        transfer.length = length;
        transfer.sum = patch.checksum.map(Sum::new);
        let id = self.start(transfer);
        self.admit(id);
        Ok(id)
    }

    /// The length, once it is said; it never changes.
    fn declared(&self, record: &Record, said: Option<u64>) -> Result<Option<u64>, Answer> {
        match (record.length, said) {
            (Some(known), Some(said)) if known != said => Err(headers()),
            (known, None) => Ok(known),
            (_, Some(said)) if said > self.settings.bytes_max => {
                Err(Answer::refused(413, Refusal::UploadTooLarge))
            }
            (_, Some(said)) if said < record.offset => Err(headers()),
            (_, said) => Ok(said),
        }
    }

    /// Makes room for a body, and says where it has to end.
    fn reserve(
        &mut self,
        id: UploadId,
        length: Option<u64>,
        body: Option<u64>,
    ) -> Result<u64, Answer> {
        const TOO_LARGE: Answer = Answer::refused(413, Refusal::UploadTooLarge);
        let known = &self.uploads[&id];
        let (offset, reserved) = (known.record.offset, known.reserved);
        let subject = known.record.subject.clone();
        let room = self.quotas.room(&subject, self.settings.user_bytes_max);
        let limit = match (length, body) {
            (Some(length), Some(body)) if body > length - offset => return Err(TOO_LARGE),
            (Some(length), _) => length,
            (None, Some(body)) => offset.saturating_add(body),
            // A body of chunks counts as it comes: nobody knows how much it is.
            (None, None) => return Ok(self.settings.bytes_max),
        };
        if limit > self.settings.bytes_max {
            return Err(TOO_LARGE);
        }
        if limit.saturating_sub(reserved) > room {
            return Err(Answer::refused(413, Refusal::UploadQuota));
        }
        let held = limit.max(known.high);
        self.quotas.change(&subject, reserved, held);
        if let Some(known) = self.uploads.get_mut(&id) {
            known.reserved = held;
        }
        Ok(limit)
    }

    fn create(&mut self, ask: &Ask<'_>) -> Result<TransferId, Answer> {
        let creation = Creation::parse(ask.request)?;
        let metadata = &creation.metadata;
        check_permits(&ask.who, metadata)?;
        let parts = match &creation.concat {
            Concat::Final(urls) => self.parts(urls, ask.who.subject())?,
            Concat::None | Concat::Partial => Vec::new(),
        };
        let concat = ask.request.header("upload-concat");
        self.admit_concat(concat.unwrap_or_default(), &parts)?;
        let body = body_bytes(ask.request);
        let bytes = self.announced(&creation, &parts, body)?;
        if body != Some(0) {
            self.admit_body(ask.who.subject())?;
        }
        let id = self.open(ask, beyond_parts(bytes, &parts))?;
        let name = final_name(id, filename(metadata));
        let length = match (creation.length, &creation.concat) {
            (Length::Known(length), _) => Some(length),
            (Length::Deferred, Concat::Final(_)) => Some(bytes),
            (Length::Deferred, _) => None,
        };
        let mut record = Record::new(ask.who.subject().to_owned(), length, name);
        record.expires_unix_seconds = self.now + self.settings.expire_seconds;
        record.metadata = metadata.as_header().to_owned();
        record.concat = concat.map(str::to_owned);
        record.room = metadata.text("room").map(str::to_owned);
        Ok(self.start_creation(
            id,
            record,
            bytes,
            parts,
            creation.checksum.map(Sum::new),
            body,
        ))
    }

    fn start_creation(
        &mut self,
        id: UploadId,
        record: Record,
        bytes: u64,
        parts: Vec<(UploadId, u64)>,
        sum: Option<Sum>,
        body: Option<u64>,
    ) -> TransferId {
        let kind = if parts.is_empty() {
            Kind::Create
        } else {
            Kind::Concatenate
        };
        let mut transfer = Transfer::new(id, kind, Phase::Creating, 0);
        transfer.has_body = body != Some(0);
        transfer.grows = record.length.is_none() && body.is_none();
        transfer.limit = match transfer.grows {
            true => self.settings.bytes_max,
            false => bytes,
        };
        transfer.sum = sum.filter(|_| transfer.has_body);
        let reserved = beyond_parts(bytes, &parts);
        transfer.parts = parts;
        let upload = id;
        let encoded = record.encode();
        self.insert(
            id,
            Upload {
                record,
                writer: None,
                high: 0,
                is_finished: false,
                reserved,
                is_doubtful: false,
                is_doomed: false,
            },
        );
        self.stats.created += 1;
        let id = self.start(transfer);
        let want = Want::Create {
            upload,
            record: encoded,
        };
        self.enter(id, Phase::Creating, want);
        id
    }

    /// Bytes that a new upload is to count for.
    fn announced(
        &self,
        creation: &Creation,
        parts: &[(UploadId, u64)],
        body: Option<u64>,
    ) -> Result<u64, Answer> {
        const TOO_LARGE: Answer = Answer::refused(413, Refusal::UploadTooLarge);
        let sum = |sum: u64, (_, bytes): &(UploadId, u64)| sum.checked_add(*bytes);
        let bytes = match (creation.length, &creation.concat) {
            (Length::Known(length), _) => Some(length),
            (Length::Deferred, Concat::Final(_)) => parts.iter().try_fold(0, sum),
            // A body of chunks counts as it comes: nobody knows how much it is.
            (Length::Deferred, _) => Some(body.unwrap_or(0)),
        };
        let bytes = bytes.filter(|bytes| *bytes <= self.settings.bytes_max);
        let bytes = bytes.ok_or(TOO_LARGE)?;
        if body.is_some_and(|body| body > bytes) {
            return Err(TOO_LARGE);
        }
        Ok(bytes)
    }

    /// A place for one more upload.
    fn open(&mut self, ask: &Ask<'_>, bytes: u64) -> Result<UploadId, Answer> {
        let id = UploadId::new(ask.entropy, ask.bucket);
        let is_full = self.uploads.len() >= self.settings.uploads_max as usize;
        if is_full || self.uploads.contains_key(&id) {
            return Err(come_again(Refusal::UploadsFull, "60"));
        }
        let settings = &self.settings;
        let (bytes_max, uploads_max) = (settings.user_bytes_max, settings.user_uploads_max);
        let opened = self
            .quotas
            .open(ask.who.subject(), bytes, bytes_max, uploads_max);
        opened.map_err(|refusal| Answer::refused(413, refusal))?;
        Ok(id)
    }

    /// Whether one more body may come in: whoever sends many slowly would otherwise have all files open that a shard may have.
    fn admit_body(&self, subject: &str) -> Result<(), Answer> {
        let is_of_user = |transfer: &&Transfer| {
            let known = self.uploads.get(&transfer.upload);
            known.is_some_and(|known| known.record.subject == subject)
        };
        let bodies = || self.transfers.values().filter(|transfer| transfer.has_body);
        let (settings, of_user) = (&self.settings, bodies().filter(is_of_user).count());
        if bodies().count() >= settings.bodies_max as usize
            || of_user >= settings.user_bodies_max as usize
        {
            return Err(come_again(Refusal::UploadsBusy, BUSY_SECONDS));
        }
        Ok(())
    }

    /// Whether there is memory for one more of what is said of parts, and for putting them together.
    fn admit_concat(&self, concat: &str, parts: &[(UploadId, u64)]) -> Result<(), Answer> {
        let transfers = self.transfers.values();
        let others = transfers.filter(|transfer| transfer.kind == Kind::Concatenate);
        // One that copies for long leaves half of the turns to those who only begin something.
        let count_max = (self.settings.openers_max as usize / 2).clamp(1, CONCATENATIONS_MAX);
        if self.concat_bytes + concat.len() > CONCAT_BYTES_MAX {
            Err(come_again(Refusal::UploadsFull, "60"))
        } else if !parts.is_empty() && others.count() >= count_max {
            Err(come_again(Refusal::Busy, BUSY_SECONDS))
        } else {
            Ok(())
        }
    }

    /// The parts that a concatenation names: whole partial uploads of the same subject, to which nobody writes.
    fn parts(&self, urls: &[String], subject: &str) -> Result<Vec<(UploadId, u64)>, Answer> {
        let mut parts = Vec::with_capacity(urls.len());
        for url in urls {
            let id = UploadId::of_url(url).ok_or_else(headers)?;
            self.owned(id, subject)?;
            self.unlocked(id)?;
            let record = &self.uploads[&id].record;
            if !record.is_partial() || !record.is_complete() {
                return Err(Answer::refused(403, Refusal::UploadFinal));
            }
            parts.push((id, record.offset));
        }
        Ok(parts)
    }
}

/// Bytes that an upload counts for besides its parts, which go when it is whole: who may have a file may put it together. A part that is in it twice is there once.
fn beyond_parts(bytes: u64, parts: &[(UploadId, u64)]) -> u64 {
    let parts: BTreeMap<UploadId, u64> = parts.iter().copied().collect();
    bytes.saturating_sub(parts.values().sum())
}

/// The length of a body, if its head says it.
const fn body_bytes(request: &Request) -> Option<u64> {
    match request.body {
        BodyLength::Exact(bytes) => Some(bytes),
        BodyLength::Chunked => None,
    }
}

fn not_allowed(methods: &str) -> Answer {
    Answer::refused(405, Refusal::UploadMethod).with("Allow", methods)
}

/// What clients call the file: tus-js-client's examples say `filename`, Uppy says `name`.
fn filename(metadata: &Metadata) -> &str {
    let named = metadata.text("filename").or_else(|| metadata.text("name"));
    named.unwrap_or_default()
}

fn check_permits(who: &Who<'_>, metadata: &Metadata) -> Result<(), Answer> {
    if !who.may_upload(filename(metadata)) {
        return Err(Answer::refused(403, Refusal::FileForbidden));
    }
    let Some(room) = metadata.text("room") else {
        return Ok(());
    };
    if !is_room_name(room) {
        return Err(headers());
    }
    if who.may_announce(room) {
        Ok(())
    } else {
        Err(Answer::refused(403, Refusal::Forbidden))
    }
}

/// The answer to HEAD.
pub(super) fn head_of(upload: &Upload) -> Answer {
    let record = &upload.record;
    let mut answer = Answer::new(200);
    // Before it is put together an upload has no offset that means anything.
    if !record.is_final() || record.is_complete() {
        answer = answer.with("Upload-Offset", record.offset.to_string());
    }
    answer = match record.length {
        Some(length) => answer.with("Upload-Length", length.to_string()),
        None => answer.with("Upload-Defer-Length", "1"),
    };
    if !record.metadata.is_empty() {
        answer = answer.with("Upload-Metadata", record.metadata.clone());
    }
    if let Some(concat) = &record.concat {
        answer = answer.with("Upload-Concat", concat.clone());
    }
    with_expiry(answer, upload)
}
