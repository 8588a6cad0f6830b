//! Whether the daemon may look into what clients and their application say: an application with a parser of its own says so in BIND.
//!
//! Deliberately absent: what is read of a packet (`hub/packets`) or is not (`hub/opaque`).

use super::exchange::Exchange;
use super::fault::Fault;
use super::mail::ToClients;
use super::worker::WorkerId;
use ringway_proto::link::Bind;
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;

/// How the application's packets are encoded.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Parser {
    /// As Socket.IO's text with attachments.
    Text,
    /// By a parser of the application's own: each message is one whole, of which nothing is known.
    Opaque,
}

impl Parser {
    fn of(bind: &Bind<'_>) -> Result<Self, Fault> {
        match &*bind.parser {
            "default" => Ok(Self::Text),
            "opaque" => Ok(Self::Opaque),
            _ => Err(Fault::NotAllowed("parser")),
        }
    }
}

impl Exchange {
    /// A worker says what it serves. All of an application have one parser, as all of its clients do: one that has another waits until the others are gone.
    pub(super) fn bind_parser(&mut self, id: WorkerId, bind: &Bind<'_>) -> Result<(), Fault> {
        let parser = Parser::of(bind)?;
        if parser == Parser::Opaque && !self.native.is_empty() {
            return Err(Fault::ParserBesideNative);
        }
        if parser == Parser::Opaque && self.routes.are_several() {
            return Err(Fault::ParserBesideOthers);
        }
        let mut others = self.workers.iter().filter(|(other, _)| **other != id);
        if others.any(|(_, other)| other.parser.is_some_and(|had| had != parser)) {
            return Err(Fault::OtherParser);
        }
        self.worker_mut(id).parser = Some(parser);
        if self.parser.replace(parser) != Some(parser) {
            self.say_to_all(&ToClients::Parser { parser });
        }
        Ok(())
    }

    /// Which namespaces are the daemon's own. Beside one an application has no parser of its own: clients have one for all namespaces, and here it is read.
    pub(crate) fn keep_native(&mut self, native: BTreeSet<String>) {
        self.native = native;
    }

    pub(super) fn is_opaque(&self) -> bool {
        self.parser == Some(Parser::Opaque)
    }
}
