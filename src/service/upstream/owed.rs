//! Acknowledgements that clients wait for, so that whoever waits for one of a process that is gone is closed and comes again
//! (`link.on_worker_loss = "strict"`).
//!
//! An event is counted from when it is on its worker's link: before that it is the next one's. Deliberately absent: packets of an application with a parser
//! of its own, which nobody here can read.

use super::applications::namespace_of;
use super::deal::Client;
use super::exchange::Exchange;
use super::mail::{ClientNumber, ToClients};
use crate::hub::Seed;
use core::cell::Cell;
use core::hash::BuildHasher as _;
use ringway_proto::link::{Flags, Kind, Raw};
use std::rc::Rc;

/// What becomes of a client whose worker is gone.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum OnWorkerLoss {
    /// It goes on with the next one, whatever it waits for.
    #[default]
    Keep,
    /// One that waits for an acknowledgement is closed.
    Strict,
}

/// Acknowledgements of one client, and of all, that are known one by one. Beyond that they are counted: what is answered and not known is one of these.
const IDS_MAX: usize = 256;
const ALL_IDS_MAX: usize = 1 << 20;

/// An event's namespace, hashed, and its number there.
type Id = (u64, u64);

fn hashed(namespace: &str) -> u64 {
    Seed::new(0).hash_one(namespace)
}

/// The number of a packet that has one, and how many attachments it has. `None` for what is none of these kinds.
fn numbered(text: &str, kinds: [char; 2]) -> Option<(Id, u32)> {
    let mut rest = text.strip_prefix(kinds)?;
    let mut attachments = 0;
    if text.starts_with(['5', '6']) {
        let (count, behind) = rest.split_once('-')?;
        (attachments, rest) = (count.parse().ok()?, behind);
    }
    if rest.starts_with('/') {
        rest = rest.split_once(',')?.1;
    }
    let end = rest.find(|digit: char| !digit.is_ascii_digit())?;
    let (digits, arguments) = rest.split_at(end);
    let id = arguments.starts_with('[').then(|| digits.parse().ok())??;
    Some(((hashed(namespace_of(text)), id), attachments))
}

/// What one client waits for.
#[derive(Debug)]
pub(super) struct Owed {
    ids: Vec<Id>,
    more: u32,
    /// An answer with attachments that are still to come.
    half: Option<(Id, u32)>,
    /// Ids of all clients.
    all: Rc<Cell<usize>>,
}

impl Drop for Owed {
    fn drop(&mut self) {
        self.all.set(self.all.get() - self.ids.len());
    }
}

impl Owed {
    pub(super) fn new(all: &Rc<Cell<usize>>) -> Self {
        Self {
            ids: Vec::new(),
            more: 0,
            half: None,
            all: Rc::clone(all),
        }
    }

    /// The client's word is on its way to the worker.
    fn asked(&mut self, text: &str) {
        if text.starts_with('1') {
            return self.leave(text);
        }
        let Some((id, _)) = numbered(text, ['2', '5']) else {
            return;
        };
        if self.ids.len() < IDS_MAX && self.all.get() < ALL_IDS_MAX {
            self.ids.push(id);
            self.all.set(self.all.get() + 1);
        } else {
            self.more = self.more.saturating_add(1);
        }
    }

    /// Who leaves a namespace waits for nothing there.
    fn leave(&mut self, text: &str) {
        let namespace = hashed(namespace_of(text));
        self.retain(|id| id.0 != namespace);
    }

    fn retain(&mut self, stays: impl Fn(&Id) -> bool) {
        let before = self.ids.len();
        self.ids.retain(stays);
        self.all.set(self.all.get() - (before - self.ids.len()));
    }

    /// The worker's word to the client.
    fn answered(&mut self, text: &str) {
        if text.starts_with(['1', '4']) {
            return self.leave(text);
        }
        match numbered(text, ['3', '6']) {
            Some((id, 0)) => self.is_answered(id),
            half => self.half = half,
        }
    }

    fn attachment(&mut self) {
        match self.half {
            Some((id, 1)) => {
                self.half = None;
                self.is_answered(id);
            }
            Some((id, left)) => self.half = Some((id, left - 1)),
            None => {}
        }
    }

    fn is_answered(&mut self, id: Id) {
        if !self.forget(id) {
            self.more = self.more.saturating_sub(1);
        }
    }

    /// `false`: the id is not known.
    fn forget(&mut self, id: Id) -> bool {
        let at = self.ids.iter().position(|other| *other == id);
        if let Some(at) = at {
            self.ids.swap_remove(at);
            self.all.set(self.all.get() - 1);
        }
        at.is_some()
    }

    /// Whether the client waits for anything but for answers to these, which the next worker hears; whatever it is, it begins anew.
    fn ends_with<'a>(&mut self, again: impl Iterator<Item = &'a [u8]>) -> bool {
        for body in again {
            let text = core::str::from_utf8(body).unwrap_or_default();
            // One that was answered already is not among them, and takes nobody else's place.
            if let Some((id, _)) = numbered(text, ['2', '5']) {
                self.forget(id);
            }
        }
        let waits = !self.ids.is_empty() || self.more > 0;
        self.retain(|_| false);
        (self.more, self.half) = (0, None);
        waits
    }
}

impl Client {
    /// A frame of the client's is on its worker's link.
    pub(super) fn note_asked(&mut self, kind: Kind, flags: Flags, body: &[u8]) {
        let is_text = kind == Kind::Data && !flags.contains(Flags::BINARY);
        if let Some(owed) = self.owed.as_deref_mut().filter(|_| is_text)
            && let Ok(text) = core::str::from_utf8(body)
        {
            owed.asked(text);
        }
    }

    /// Its worker has said something to it.
    pub(super) fn note_answered(&mut self, raw: &Raw<'_>) {
        let Some(owed) = self.owed.as_deref_mut().filter(|_| raw.kind == Kind::Send) else {
            return;
        };
        match core::str::from_utf8(raw.body) {
            _ if raw.flags.contains(Flags::BINARY) => owed.attachment(),
            Ok(text) => owed.answered(text),
            Err(_) => {}
        }
    }

    /// Its worker has let go of it.
    pub(super) fn forgets_owed(&mut self) {
        self.waits_in_vain(core::iter::empty());
    }

    /// Whether it waits for something that its last worker would have said, and the next one will not.
    pub(super) fn waits_in_vain<'a>(&mut self, again: impl Iterator<Item = &'a [u8]>) -> bool {
        let owed = self.owed.as_deref_mut();
        owed.is_some_and(|owed| owed.ends_with(again))
    }
}

impl Exchange {
    /// What a new client may wait for is remembered, if that is wanted.
    pub(super) fn owed(&self) -> Option<Box<Owed>> {
        let is_strict = self.settings.on_worker_loss == OnWorkerLoss::Strict;
        (is_strict && !self.is_opaque()).then(|| Box::new(Owed::new(&self.all_owed)))
    }

    /// A client waits for what nobody will say: it is closed, and asks again when it is back.
    pub(super) fn end_unanswered(&mut self, client: ClientNumber) {
        self.clients.remove(&client);
        self.stats.clients_unanswered += 1;
        self.say(client.shard(), &ToClients::Unanswered { client });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn owed() -> (Owed, Rc<Cell<usize>>) {
        let all = Rc::default();
        (Owed::new(&all), all)
    }

    fn waits(owed: &mut Owed) -> bool {
        owed.ends_with(core::iter::empty())
    }

    #[test]
    fn what_is_asked_is_waited_for_until_it_is_answered() {
        for (asks, answers, expected) in [
            (&["2[\"a\"]"][..], &[][..], false),
            (&["20[\"a\"]"], &[], true),
            (&["20[\"a\"]"], &["30[]"], false),
            (&["20[\"a\"]"], &["31[]"], true),
            (&["20[\"a\"]"], &["3/n,0[]"], true),
            (&["2/n,7[\"a\"]"], &["3/n,7[1]"], false),
            (&["51-/n,7[\"a\"]"], &["3/n,7[1]"], false),
            (&["20[\"a\"]", "21[\"a\"]"], &["31[]"], true),
            (&["2/n,7[\"a\"]", "1/n,"], &[], false),
            (&["2/n,7[\"a\"]", "1"], &[], true),
            (&["2/n,7[\"a\"]"], &["1/n,"], false),
            (&["20[\"a\"]"], &["2[\"30[]\"]"], true),
            (
                &[
                    "2x[\"a\"]",
                    "2",
                    "2-1[]",
                    "5-1[]",
                    "299999999999999999999999[]",
                ],
                &[],
                false,
            ),
        ] {
            let (mut owed, all) = owed();
            asks.iter().for_each(|text| owed.asked(text));
            answers.iter().for_each(|text| owed.answered(text));
            assert_eq!(waits(&mut owed), expected, "{asks:?} {answers:?}");
            assert_eq!(all.get(), 0);
        }
    }

    #[test]
    fn an_answer_is_whole_with_its_attachments() {
        let (mut owed, _) = owed();
        owed.asked("20[\"a\"]");
        owed.answered("62-0[]");
        owed.attachment();
        assert_eq!(owed.ids.len(), 1, "one is to come");
        owed.attachment();
        owed.attachment();
        assert!(!waits(&mut owed));
    }

    #[test]
    fn what_the_next_worker_hears_is_not_lost() {
        let (mut owed, _) = owed();
        owed.asked("20[\"a\"]");
        owed.asked("21[\"a\"]");
        assert!(owed.ends_with([&b"20[\"a\"]"[..]].into_iter()));
        owed.asked("20[\"a\"]");
        assert!(!owed.ends_with([&b"20[\"a\"]"[..], b"\xff"].into_iter()));
    }

    #[test]
    fn beyond_the_bounds_it_is_counted() {
        let (mut owed, all) = owed();
        let asked = IDS_MAX as u64 + 10;
        (0..asked).for_each(|id| owed.asked(&format!("2{id}[]")));
        assert_eq!(
            (owed.ids.len(), owed.more, all.get()),
            (IDS_MAX, 10, IDS_MAX)
        );
        (0..asked).for_each(|id| owed.answered(&format!("3{id}[]")));
        assert!(!waits(&mut owed));

        all.set(ALL_IDS_MAX);
        owed.asked("20[]");
        assert_eq!((owed.ids.len(), owed.more), (0, 1));
        all.set(0);
        assert!(waits(&mut owed));
        owed.asked("20[]");
        drop(owed);
        assert_eq!(all.get(), 0, "who is gone costs nothing");
    }
}
