//! Clients whose packets only their application can read: each message is one whole, and goes to the worker as it is.
//!
//! Until a worker has said how packets are encoded, what does not read as Socket.IO may still be one of those: it waits for a worker as all does. Deliberately
//! absent: who says how packets are encoded (`upstream/parsing`).

use super::{Hub, Key, Turn};
use crate::refusal::Refusal;
use crate::session::{Cause, Inbound};
use crate::upstream::{AppId, Parser};
use ringway_proto::link::{Flags, Part};

fn inbound(part: Part<'_>) -> Inbound {
    match part {
        Part::Text(text) => Inbound::Text(text.into()),
        Part::Binary(bytes) => Inbound::Binary(bytes.into()),
    }
}

const fn flags(part: Part<'_>) -> Flags {
    match part {
        Part::Text(text) if text.is_ascii() => Flags::ASCII,
        Part::Text(_) => Flags::NONE,
        Part::Binary(_) => Flags::BINARY,
    }
}

impl Hub {
    /// Whether the application has a parser of its own.
    pub(super) fn is_opaque(&self) -> bool {
        self.upstream.parser == Some(Parser::Opaque)
    }

    /// Whether it may come to have one: no worker has said anything else, and clients speak to nobody but the application.
    pub(super) fn may_be_opaque(&self) -> bool {
        let upstream = self.settings.upstream.as_ref();
        let is_alone = upstream.is_some_and(|upstream| {
            upstream.native.is_empty() && upstream.exchange.applications.is_empty()
        });
        is_alone && self.upstream.parser != Some(Parser::Text)
    }

    /// A message for the application.
    pub(super) fn upstream_whole(&mut self, key: Key, part: Part<'_>, turn: &mut Turn<'_>) {
        let app = AppId::MAIN;
        let is_said = self.upstream_is_open((key, app), turn)
            && self.upstream_data((key, app), flags(part), false, part.bytes(), turn);
        if !is_said {
            return self.park(key, inbound(part), turn);
        }
        // It is charged once it is said: what waits for ring space comes here again.
        if !self.settings.dev
            && let Err(refusal) = self.charge_event(key, "/", turn)
        {
            return self.close_session(key, Cause::Told(refusal, 1008), turn);
        }
        self.note_whole(key, part);
    }

    /// What a client says before it is in a namespace is said again to the next worker, if this one does not answer.
    fn note_whole(&mut self, key: Key, part: Part<'_>) {
        let is_nameless = self.is_nameless(key);
        let openers_max = usize::from(self.settings.namespaces_max);
        let Some(upstream) = self.upstream_of(key) else {
            return;
        };
        // What was read as a packet's header was none.
        upstream.attachments = 0;
        if is_nameless && !upstream.legs.is_empty() {
            let is_binary = matches!(part, Part::Binary(_));
            self.count_input_of(key, |upstream| {
                upstream.opens(is_binary, part.bytes(), openers_max);
            });
        }
    }

    /// Whether the client was in no namespace yet.
    pub(super) fn is_nameless(&self, key: Key) -> bool {
        let session = self.sessions.get(key);
        session.is_some_and(|session| session.rare().nameless_us > 0)
    }

    /// The client is in a namespace.
    pub(super) fn opaque_joined(&mut self, key: Key) {
        self.opaque_answered(key);
        if let Some(session) = self.sessions.get_mut(key) {
            session.rare_mut().nameless_us = 0;
        }
    }

    pub(super) fn opaque_answered(&mut self, key: Key) {
        self.count_input_of(key, |upstream| upstream.opener_answered());
    }

    /// Whether nobody can say which of a client's CONNECTs were answered: some of its sockets are known, and something it said to get one may be lost with
    /// its worker. It would wait for ever, and is closed instead, so that it comes again.
    pub(super) fn is_in_doubt(&self, key: Key) -> bool {
        let session = self.sessions.get(key);
        let upstream = session.and_then(|session| session.upstream());
        upstream.is_some_and(|upstream| !upstream.openers.is_empty())
    }

    /// Closes such a client.
    pub(super) fn close_in_doubt(&mut self, key: Key, turn: &mut Turn<'_>) {
        self.close_session(key, Cause::Told(Refusal::NoWorker, 1013), turn);
    }
}
