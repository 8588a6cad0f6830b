//! Clients that are asked by a broadcast: who was, and what they answer, each once.
//!
//! Deliberately absent: who waits for it (`upstream/gather`).

use super::{Hub, Key, Seed, Turn};
use crate::refusal::Refusal;
use crate::session::Cause;
use crate::upstream::{ACK_ID_MIN, Said, SpaceId, ToLinks};
use ringway_proto::socketio::{self, PacketKind, Reassembly};
use std::collections::{BTreeMap, HashSet, VecDeque};
use std::rc::Rc;

/// Clients that are remembered to be asked, by all broadcasts of a shard. More are asked, and their answers heard by nobody.
const ASKED_MAX: usize = 2 << 20;
/// What may wait for ring space. Beyond it answers are dropped: whoever asked has a timeout.
const WAITING_BYTES_MAX: usize = 4 << 20;

/// What a shard knows of broadcasts that wait for answers.
#[derive(Default)]
pub(crate) struct Gathered {
    /// By the number that clients answer with: the namespace, and who has not answered.
    asked: BTreeMap<u64, (Rc<str>, HashSet<Key, Seed>)>,
    clients: usize,
    /// Words to the links that found no ring space.
    waiting: VecDeque<Vec<u8>>,
    waiting_bytes: usize,
}

impl Gathered {
    fn ask(&mut self, number: u64, namespace: Rc<str>, keys: &[Key]) {
        let room = ASKED_MAX.saturating_sub(self.clients);
        let mut asked = HashSet::with_hasher(Seed::new(number));
        asked.extend(keys.iter().take(room).copied());
        self.clients += asked.len();
        self.asked.insert(number, (namespace, asked));
    }

    fn answer(&mut self, number: u64, key: Key) -> bool {
        let asked = self.asked.get_mut(&number);
        let is_first = asked.is_some_and(|(_, keys)| keys.remove(&key));
        self.clients -= usize::from(is_first);
        is_first
    }

    fn end(&mut self, number: u64) {
        let ended = self.asked.remove(&number);
        self.clients -= ended.map_or(0, |(_, keys)| keys.len());
    }
}

/// The number, if a packet answers a broadcast.
pub(super) fn answered(packet: &socketio::Packet<'_>) -> Option<u64> {
    let is_answer = matches!(packet.kind, PacketKind::Ack | PacketKind::BinaryAck);
    packet.id.filter(|id| is_answer && *id >= ACK_ID_MIN)
}

impl Hub {
    /// These clients were asked.
    pub(super) fn note_asked(
        &mut self,
        number: u64,
        space: SpaceId,
        keys: &[Key],
        turn: &mut Turn<'_>,
    ) {
        let namespace = Rc::clone(&self.upstream.clients.named(space).name);
        self.upstream.gathered.ask(number, namespace, keys);
        let clients = keys.len() as u32;
        self.say_gathered(&ToLinks::Asked { number, clients }, true, turn);
    }

    pub(super) fn end_asked(&mut self, number: u64) {
        self.upstream.gathered.end(number);
    }

    /// A client answers a broadcast; with attachments, once they are there.
    pub(super) fn gather_text(
        &mut self,
        key: Key,
        text: &str,
        packet: &socketio::Packet<'_>,
        turn: &mut Turn<'_>,
    ) {
        if !self.settings.dev
            && let Err(refusal) = self.charge_event(key, packet.namespace, turn)
        {
            return self.close_session(key, Cause::Told(refusal, 1008), turn);
        }
        if packet.attachments > 0 {
            return self.reassemble(key, packet, turn);
        }
        let Some(number) = answered(packet) else {
            return;
        };
        self.gather(key, number, packet.namespace, &[Said::text(text)], turn);
    }

    /// The last attachment of an answer came. `false`: it is no such answer.
    pub(super) fn gather_whole(
        &mut self,
        key: Key,
        packet: &Reassembly,
        turn: &mut Turn<'_>,
    ) -> bool {
        let number = packet.id.filter(|id| *id >= ACK_ID_MIN);
        let Some(number) = number.filter(|_| self.is_upstream(&packet.namespace)) else {
            return false;
        };
        let namespace = match &*packet.namespace {
            "/" => String::new(),
            other => format!("{other},"),
        };
        let count = packet.attachments.len();
        let text = format!("6{count}-{namespace}{number}{}", packet.data);
        let attachments = packet.attachments.iter().map(|bytes| Said {
            is_binary: true,
            body: bytes,
        });
        let parts: Vec<Said<'_>> = core::iter::once(Said::text(&text))
            .chain(attachments)
            .collect();
        self.gather(key, number, &packet.namespace, &parts, turn);
        true
    }

    /// Who was not asked, or has answered, or is asked in another namespace, says nothing.
    fn gather(
        &mut self,
        key: Key,
        number: u64,
        namespace: &str,
        parts: &[Said<'_>],
        turn: &mut Turn<'_>,
    ) {
        let asked = self.upstream.gathered.asked.get(&number);
        let is_there = asked.is_some_and(|(name, _)| **name == *namespace);
        if !is_there || !self.upstream.gathered.answer(number, key) {
            self.stats.acks_unasked += 1;
            return;
        }
        let parts = parts.to_vec();
        self.say_gathered(&ToLinks::Answer { number, parts }, false, turn);
    }

    /// Says something to the links, or keeps it until there is ring space: in order, and an answer not without bound.
    fn say_gathered(&mut self, mail: &ToLinks<'_>, is_owed: bool, turn: &mut Turn<'_>) {
        let gathered = &self.upstream.gathered;
        if gathered.waiting.is_empty() && self.say_to_links(mail, turn) {
            return;
        }
        let bytes = mail.encode();
        let gathered = &mut self.upstream.gathered;
        if is_owed || gathered.waiting_bytes + bytes.len() <= WAITING_BYTES_MAX {
            gathered.waiting_bytes += bytes.len();
            gathered.waiting.push_back(bytes);
        } else {
            self.stats.refused(Refusal::Busy);
        }
    }

    /// Tries again what waits.
    pub(super) fn say_waiting_answers(&mut self, turn: &mut Turn<'_>) {
        while let Some(bytes) = self.upstream.gathered.waiting.pop_front() {
            if !self.say_encoded(&bytes, turn) {
                self.upstream.gathered.waiting.push_front(bytes);
                return;
            }
            self.upstream.gathered.waiting_bytes -= bytes.len();
        }
    }
}
