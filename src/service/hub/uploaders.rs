//! Who uploads: what a request means to do, which shard knows of it, and by what whoever makes it may.
//!
//! The order matters. What is meant is decided once, by [`Method::of`]; then the request goes to its home by what it says of itself; and there, once, what it
//! says is verified, beside the shards if that takes long. Nothing is done for anybody before.
//!
//! Deliberately absent: what a permission is for (`uploads/permits.rs`).

use super::errands::Errand;
use super::files::bearer_of;
use super::http::Routed;
use super::{Hub, Job, Key, Turn};
use crate::auth::{Keys, PermitResult, Verdict};
use crate::connection::{Reply, Stage};
use crate::files::{Grant, Refused, UrlClass, UrlKeys};
use crate::refusal::Refusal;
use crate::rooms::home_of;
use crate::session::BUCKETS;
use crate::time::Now;
use crate::uploads::{Answer, FilePermits, UploadId, Who};
use core::any::Any;
use ringway_proto::http1::Request;
use ringway_proto::tus::{Metadata, Method};
use std::sync::Arc;

/// What a request shows of who makes it. Nobody has looked whether it is good.
enum Credential<'a> {
    /// Nothing is asked for with `--dev`.
    Nothing,
    /// A signed URL, and the keys that may have signed it.
    Url(&'a Arc<UrlKeys>),
    /// A bearer token.
    Token(&'a str),
}

/// Whose request it is, verified.
pub(super) enum Uploader {
    /// Anybody's, who asks what the server knows.
    Anybody,
    /// With `--dev`.
    Developer,
    /// A token's.
    Bearer(String, FilePermits),
    /// A signed URL's.
    Holder(Signed),
}

impl Uploader {
    pub(super) fn who(&self) -> Who<'_> {
        match self {
            Self::Anybody => Who::Anybody,
            Self::Developer => Who::Developer,
            Self::Bearer(subject, permits) => Who::Bearer(subject, permits),
            Self::Holder(signed) => Who::Holder(&signed.subject, signed.rooms.as_deref()),
        }
    }

    /// By a signed URL, if it was one.
    pub(super) fn into_signed(self) -> Option<Signed> {
        match self {
            Self::Holder(signed) => Some(signed),
            Self::Anybody | Self::Developer | Self::Bearer(..) => None,
        }
    }
}

/// By a signed URL: for whom, and until when. What is created gets a URL of the same kind.
pub(super) struct Signed {
    subject: String,
    rooms: Option<String>,
    expires_unix_seconds: u64,
}

/// A verification.
enum Proof {
    Done(Uploader),
    Later(Job),
}

/// A request whose token is being verified.
pub(super) struct Proving {
    request: Request,
    method: Method,
    reply: Reply,
    /// The client has said all that it will say.
    pub(super) has_finished: bool,
}

impl Proving {
    pub(super) fn has_body(&self) -> bool {
        self.request.has_body()
    }
}

/// All uploads of a user have one home, so that its quota is one number and its parts can be put together.
fn bucket_of_subject(subject: &str) -> u16 {
    home_of(subject, BUCKETS)
}

impl Hub {
    /// A request for an upload.
    pub(crate) fn route_upload(
        &mut self,
        key: Key,
        request: &Request,
        turn: &mut Turn<'_>,
    ) -> Routed {
        let reply = self.reply_to_upload(request);
        let method = match Method::of(request) {
            Ok(method) => method,
            Err(error) => {
                self.stats.upload_requests += 1;
                self.answer_upload(key, &error.into(), &reply, false, turn);
                return Routed::Done;
            }
        };
        match self.home_of_upload(request, method) {
            Ok(Some(bucket)) if bucket % self.shards != self.shard => {
                return Routed::Elsewhere(bucket % self.shards);
            }
            Ok(None) => self.admit_upload(key, (request, method), Uploader::Anybody, reply, turn),
            Ok(Some(_)) => self.prove_upload(key, (request, method), reply, turn),
            Err(refused) => self.refuse_upload(key, &refused, &reply, turn),
        }
        self.stats.upload_requests += 1;
        Routed::Done
    }

    /// The bucket whose shard knows of what a request is about: that which it names, or that of the subject that it claims to be. `None`: any shard knows.
    fn home_of_upload(&self, request: &Request, method: Method) -> Result<Option<u16>, Refused> {
        if !self.origin_allowed(request) {
            return Err(Refused::new(403, Refusal::ForeignOrigin));
        }
        if method == Method::Options {
            return Ok(None);
        }
        // Whoever shows nothing is not worth a move.
        let credential = self.credential(request)?;
        if let Some(named) = self.upload_of_path(&request.path) {
            return Ok(Some(named.bucket()));
        }
        let claimed = match credential {
            Credential::Nothing => String::new(),
            Credential::Url(_) => UrlKeys::claimed_subject(request).unwrap_or_default(),
            Credential::Token(token) => Keys::claimed_subject(token).map_err(Refused::token)?,
        };
        Ok(Some(bucket_of_subject(&claimed)))
    }

    fn credential<'a>(&'a self, request: &'a Request) -> Result<Credential<'a>, Refused> {
        if self.settings.dev {
            return Ok(Credential::Nothing);
        }
        let keys = self.settings.url_keys.as_ref();
        if let Some(keys) = keys.filter(|_| UrlKeys::claimed_subject(request).is_some()) {
            return Ok(Credential::Url(keys));
        }
        let token = bearer_of(request).ok_or_else(Refused::token_missing)?;
        Ok(Credential::Token(token))
    }

    /// Verifies whose request it is, and does what it says: now, or when that is known.
    fn prove_upload(
        &mut self,
        key: Key,
        (request, method): (&Request, Method),
        reply: Reply,
        turn: &mut Turn<'_>,
    ) {
        match self.proof(request, turn.now) {
            Ok(Proof::Done(who)) => self.admit_upload(key, (request, method), who, reply, turn),
            Ok(Proof::Later(job)) => {
                let proving = Proving {
                    request: request.clone(),
                    method,
                    reply,
                    has_finished: false,
                };
                self.await_proof(key, proving, job, turn);
            }
            Err(refused) => self.refuse_upload(key, &refused, &reply, turn),
        }
    }

    fn proof(&self, request: &Request, now: Now) -> Result<Proof, Refused> {
        match self.credential(request)? {
            Credential::Nothing => Ok(Proof::Done(Uploader::Developer)),
            Credential::Url(keys) => {
                let signed = signed_for_writing(keys, request, now)?;
                Ok(Proof::Done(Uploader::Holder(signed)))
            }
            Credential::Token(token) => match self.settings.keys.permits_or_job(token, now) {
                Verdict::Done(permits) => uploader_of(permits).map(Proof::Done),
                Verdict::Job(job) => Ok(Proof::Later(job)),
            },
        }
    }

    /// The request waits, and its client with it: of a body no more comes than is on its way.
    fn await_proof(&mut self, key: Key, proving: Proving, job: Job, turn: &mut Turn<'_>) {
        let (Some(connection), Some(uploads)) = (self.connections.get_mut(key), &mut self.uploads)
        else {
            return;
        };
        connection.stage = Stage::Uploading;
        connection.clear_deadline();
        let has_body = proving.has_body();
        uploads.proving.insert(key, proving);
        if has_body {
            self.receive_upload(key, false, turn);
        }
        self.begin_job(Errand::Upload(key), job, turn);
    }

    /// A token was verified; its connection may be gone.
    pub(super) fn upload_proven(
        &mut self,
        key: Key,
        result: Box<dyn Any + Send>,
        turn: &mut Turn<'_>,
    ) {
        let uploads = self.uploads.as_mut();
        let proving = uploads.and_then(|uploads| uploads.proving.remove(&key));
        let connection = self.connections.get(key);
        let is_open = connection.is_some_and(|connection| !connection.closing);
        let Some(proving) = proving.filter(|_| is_open) else {
            return;
        };
        self.receive_upload(key, true, turn);
        let permits = result.downcast::<PermitResult>();
        let asked = (&proving.request, proving.method);
        match uploader_of(*permits.expect("the job verifies a token")) {
            Ok(who) => self.admit_upload(key, asked, who, proving.reply, turn),
            Err(refused) => self.refuse_upload(key, &refused, &proving.reply, turn),
        }
        self.advance(key, turn);
        if proving.has_finished {
            self.finish_upload(key, turn);
        }
        self.count_input(key, turn);
    }

    /// Does what a request says for whom it is.
    fn admit_upload(
        &mut self,
        key: Key,
        asked: (&Request, Method),
        who: Uploader,
        reply: Reply,
        turn: &mut Turn<'_>,
    ) {
        let named = self.upload_of_path(&asked.0.path);
        let bucket = named.map_or_else(|| bucket_of_subject(who.who().subject()), UploadId::bucket);
        let is_at_home = bucket % self.shards == self.shard;
        // It claimed to be somebody else's than it is.
        if !is_at_home && !matches!(who, Uploader::Anybody) {
            let refused = Refused::token(Refusal::TokenClaims);
            return self.refuse_upload(key, &refused, &reply, turn);
        }
        if let Err(refusal) = self.charge_upload(key, asked, who.who().subject(), turn.now) {
            let answer = too_many(refusal);
            let keep_alive = reply.keep_alive && !asked.0.has_body();
            return self.answer_upload(key, &answer, &reply, keep_alive, turn);
        }
        self.begin_upload(key, asked, (who, bucket, named), reply, turn);
    }

    /// Counts a new upload that names a room as an event of its user: the room's members will hear of it.
    fn charge_upload(
        &mut self,
        key: Key,
        (request, method): (&Request, Method),
        subject: &str,
        now: Now,
    ) -> Result<(), Refusal> {
        let is_exempt = self.settings.dev || method != Method::Post || !names_a_room(request);
        let Some(connection) = self.connections.get(key).filter(|_| !is_exempt) else {
            return Ok(());
        };
        let address = connection.client.into();
        self.limits
            .event_without_session(now, Some(subject), address)
    }

    pub(super) fn refuse_upload(
        &mut self,
        key: Key,
        refused: &Refused,
        reply: &Reply,
        turn: &mut Turn<'_>,
    ) {
        self.stats.refused(refused.refusal);
        let refused = refused
            .clone()
            .with("Tus-Resumable", ringway_proto::tus::VERSION);
        let answer = refused.answer(&reply.headers, reply.head, false);
        self.send_answer(key, &answer, false, turn);
    }

    /// The answer to whoever came by a signed URL: what was created is continued by one, too. Its room was named when it was created.
    pub(super) fn with_signed_location(
        &self,
        mut answer: Answer,
        signed: Option<&Signed>,
    ) -> Answer {
        let (Some(signed), Some(keys)) = (signed, &self.settings.url_keys) else {
            return answer;
        };
        for (name, value) in &mut answer.headers {
            if *name == "Location" {
                *value = keys.mint(&Grant {
                    class: UrlClass::Write,
                    path: value,
                    expires_unix_seconds: signed.expires_unix_seconds,
                    download: None,
                    subject: Some(&signed.subject),
                    rooms: None,
                    once: None,
                });
            }
        }
        answer
    }
}

/// Whether members of some room are to hear of what a request creates. What is malformed is refused elsewhere.
fn names_a_room(request: &Request) -> bool {
    let metadata = request.header("upload-metadata").and_then(Metadata::parse);
    metadata.is_some_and(|metadata| metadata.text("room").is_some())
}

/// The answer to whoever is faster than it may be, for clients that heed how long to wait; others come again when they like.
fn too_many(refusal: Refusal) -> Answer {
    Answer::refused(429, refusal).with("Retry-After", "1")
}

/// Whose a token is that was verified, or was not good.
fn uploader_of(permits: PermitResult) -> Result<Uploader, Refused> {
    let (subject, permits) = permits.map_err(Refused::token)?;
    Ok(Uploader::Bearer(subject, permits))
}

/// Whom a request's URL was signed for. An upload takes several requests: a URL for one use is none for writing.
fn signed_for_writing(keys: &UrlKeys, request: &Request, now: Now) -> Result<Signed, Refused> {
    let granted = keys.verify(request, UrlClass::Write, &request.path, now.unix_ms / 1000)?;
    let granted = granted.filter(|granted| granted.once.is_none());
    let signed = granted.and_then(|granted| {
        Some(Signed {
            subject: granted.subject?,
            rooms: granted.rooms,
            expires_unix_seconds: granted.expires_unix_seconds,
        })
    });
    signed.ok_or_else(|| Refused::new(403, Refusal::UrlSignature))
}
