//! CONNECT, DISCONNECT and the identities behind them.
//!
//! Deliberately absent: how a token is verified (`auth`) and what a namespace does with events (`native/`).

use super::{Hub, Job, Key, Output, Turn};
use crate::auth::{Identity, Verdict, VerifyResult};
use crate::refusal::Refusal;
use crate::session::{Cause, Event, Namespace, PendingConnect, SocketId};
use crate::time::Now;
use core::any::Any;
use ringway_proto::socketio;
use serde::Deserialize;
use std::borrow::Cow;

/// Time until a verification is tried again that found the pool full.
const VERIFY_AGAIN_US: u64 = 10_000;

#[derive(Deserialize, Default)]
struct ConnectAuth<'a> {
    #[serde(borrow, default)]
    token: Option<Token<'a>>,
}

/// Lent where it has no escapes: an `Option<Cow>` would own it always.
#[derive(Deserialize)]
struct Token<'a>(#[serde(borrow)] Cow<'a, str>);

impl Hub {
    pub(crate) fn connect(&mut self, key: Key, name: &str, data: &str, turn: &mut Turn<'_>) {
        let Some(session) = self.sessions.get(key) else {
            return;
        };
        let known = session.namespace(name).is_some()
            || session
                .rare()
                .pending
                .iter()
                .any(|pending| &*pending.namespace == name);
        if known || name.chars().any(char::is_control) {
            self.close_session(key, Cause::Told(Refusal::BadNamespace, 1002), turn);
            return;
        }
        if self.namespaces_of(key, name) >= usize::from(self.settings.namespaces_max) {
            self.close_session(key, Cause::Told(Refusal::TooManyNamespaces, 1008), turn);
            return;
        }
        if !self.settings.dev
            && let Err(refusal) = self.charge_event(key, name, turn)
        {
            // Not a CONNECT_ERROR, after which clients do not try again by themselves.
            self.close_session(key, Cause::Told(refusal, 1008), turn);
            return;
        }
        let auth: ConnectAuth<'_> = serde_json::from_str(data).unwrap_or_default();
        match auth.token {
            None if self.settings.dev => self.enter(key, name, None, turn),
            None => self.connect_error(key, name, Refusal::TokenMissing, turn),
            Some(Token(token)) => self.verify(key, name, &token, None, turn),
        }
    }

    /// A token that is to replace that of CONNECT. One at a time: verifying takes a while, and who waits for it asks no second time.
    pub(crate) fn refresh(&mut self, key: Key, event: Event<'_>, token: &str, turn: &mut Turn<'_>) {
        let is_pending = self.sessions.get(key).is_some_and(|session| {
            let mut pending = session.rare().pending.iter();
            pending.any(|pending| &*pending.namespace == event.namespace)
        });
        if is_pending {
            self.refuse_event(key, event, Refusal::Busy, turn);
        } else {
            self.verify(key, event.namespace, token, Some(event.id), turn);
        }
    }

    /// Verifies a token here, or beside the shards if that takes long.
    pub(crate) fn verify(
        &mut self,
        key: Key,
        name: &str,
        token: &str,
        refresh: Option<Option<u64>>,
        turn: &mut Turn<'_>,
    ) {
        match self.settings.keys.verify(token, turn.now) {
            Verdict::Done(result) => self.verified(key, name, result, refresh, turn),
            Verdict::Job(job) => {
                let (token_of_job, bytes) = (self.next_job, token.len() as u64);
                self.next_job = self.next_job.wrapping_add(1);
                if let Some(session) = self.sessions.get_mut(key) {
                    let (namespace, token) = (name.into(), token.into());
                    session.rare_mut().pending.push(PendingConnect {
                        namespace,
                        token,
                        job: token_of_job,
                        refresh,
                    });
                    self.input_bytes += bytes;
                }
                self.start_job(key, token_of_job, job, turn);
                if self.over_input() {
                    self.close_session(key, Cause::Told(Refusal::Busy, 1008), turn);
                }
            }
        }
    }

    fn start_job(&mut self, key: Key, token: u32, job: Job, turn: &mut Turn<'_>) {
        self.jobs.insert(token, key);
        turn.out.push(Output::Compute { token, job });
    }

    /// The pool was full, as it is when many come back at once. A refusal would strand clients, which do not try again after one.
    fn verify_later(&mut self, key: Key, token: u32, turn: &mut Turn<'_>) {
        if self.unverified.is_empty() {
            turn.out.push(Output::Timer {
                at_us: turn.now.monotonic_us + VERIFY_AGAIN_US,
                token: super::heartbeat::VERIFY_TOKEN,
            });
        }
        self.unverified.push((key, token));
    }

    /// Tries again what the pool refused.
    pub(crate) fn verify_again(&mut self, turn: &mut Turn<'_>) {
        for (key, token) in core::mem::take(&mut self.unverified) {
            let pending = self.sessions.get(key).and_then(|session| {
                session
                    .rare()
                    .pending
                    .iter()
                    .find(|pending| pending.job == token)
            });
            let Some(pending) = pending else { continue };
            match self.settings.keys.verify(&pending.token, turn.now) {
                Verdict::Job(job) => self.start_job(key, token, job, turn),
                // The keys were reloaded meanwhile.
                Verdict::Done(result) => self.settle_pending(key, token, result, turn),
            }
        }
    }

    /// The result of an [`Output::Compute`], or the job when the pool was full.
    pub fn computed(
        &mut self,
        now: Now,
        token: u32,
        result: Result<Box<dyn Any + Send>, Job>,
        post: &mut dyn crate::post::Post,
        entropy: &mut dyn FnMut() -> u64,
        out: &mut Vec<Output>,
    ) {
        let mut turn = Turn::new(now, post, entropy, out);
        if self.files.errands.has(token) {
            return self.errand_done(token, result, &mut turn);
        }
        let Some(key) = self.jobs.remove(&token) else {
            return;
        };
        match result
            .ok()
            .and_then(|result| result.downcast::<VerifyResult>().ok())
        {
            Some(result) => self.settle_pending(key, token, *result, &mut turn),
            None => self.verify_later(key, token, &mut turn),
        }
    }

    fn settle_pending(&mut self, key: Key, token: u32, result: VerifyResult, turn: &mut Turn<'_>) {
        let Some(session) = self.sessions.get_mut(key) else {
            return;
        };
        let pending = session
            .rare()
            .pending
            .iter()
            .position(|pending| pending.job == token);
        let Some(at) = pending else { return };
        let pending = session.rare_mut().pending.remove(at);
        session.tidy();
        self.input_bytes -= pending.token.len() as u64;
        self.verified(key, &pending.namespace, result, pending.refresh, turn);
    }

    fn verified(
        &mut self,
        key: Key,
        name: &str,
        result: Result<Identity, Refusal>,
        refresh: Option<Option<u64>>,
        turn: &mut Turn<'_>,
    ) {
        match (result, refresh) {
            (Ok(identity), None) => self.enter(key, name, Some(identity), turn),
            (Err(refusal), None) => self.connect_error(key, name, refusal, turn),
            (result, Some(id)) => self.refreshed(key, name, id, result, turn),
        }
    }

    fn enter(&mut self, key: Key, name: &str, identity: Option<Identity>, turn: &mut Turn<'_>) {
        let id = SocketId::new([(turn.entropy)(), (turn.entropy)()]);
        let Some(session) = self.sessions.get_mut(key) else {
            return;
        };
        session.enter(name, Namespace { id, identity });
        self.push_bytes(
            key,
            &socketio::connect(name, &id.text(self.settings.host)),
            turn,
        );
        let next_us = self
            .sessions
            .get(key)
            .map(|session| self.next_deadline_us(session, turn.now));
        if let Some(next_us) = next_us {
            self.arm_session(key, next_us, turn.out);
        }
    }

    fn connect_error(&mut self, key: Key, name: &str, refusal: Refusal, turn: &mut Turn<'_>) {
        self.refused_connect(key, name, (refusal, refusal.message()), turn);
    }

    /// Answers a CONNECT: the client may not come in, and is told why by a text and a code.
    pub(super) fn refused_connect(
        &mut self,
        key: Key,
        name: &str,
        (refusal, said): (Refusal, &str),
        turn: &mut Turn<'_>,
    ) {
        self.stats.refused(refusal);
        self.push_bytes(
            key,
            &socketio::connect_error(name, said, refusal.code()),
            turn,
        );
    }

    pub(crate) fn disconnect(&mut self, key: Key, name: &str, now: Now) {
        let Some(session) = self.sessions.get_mut(key) else {
            return;
        };
        session.leave(name, now);
        // What is still being verified for it would come too late.
        if let Some(rare) = session.rare_if() {
            let before = rare.pending_bytes();
            rare.pending.retain(|pending| &*pending.namespace != name);
            self.input_bytes -= before - rare.pending_bytes();
        }
        session.tidy();
        self.rooms.leave_namespace(key, name);
    }
}
