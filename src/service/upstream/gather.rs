//! Broadcasts that each client answers: one number for all who are asked, and their answers to the worker in batches.
//!
//! Deliberately absent: who was asked, and who has answered already, which the clients' shards know (`hub/gathered`).

use super::exchange::Exchange;
use super::fault::Fault;
use super::mail::{Said, ToClients};
use super::worker::WorkerId;
use ringway_proto::link::{Frame, Kind, Part, Raw};
use std::collections::BTreeMap;

/// Numbers of broadcasts: workers count their own below 2^29, and clients know 31 bits.
pub(crate) const ACK_ID_MIN: u64 = 1 << 30;
const ACK_ID_MAX: u64 = (1 << 31) - 1;
/// Broadcasts of a worker that wait for answers; the oldest gives way.
const ASKED_MAX: usize = 128;
/// How long one may wait: a timeout beyond this is none.
const TIMEOUT_MS_MAX: u32 = 3_600_000;
/// What answers may come later than the worker waits: they have a way to go.
const LATE_US: u64 = 1_000_000;
/// One frame's worth of answers.
const BATCH_BYTES: usize = 32 << 10;
const BATCH_PARTS: usize = 4096;

/// A broadcast that waits for answers.
#[derive(Debug)]
struct Asked {
    worker: WorkerId,
    request: u32,
    /// Shards that have not said how many they asked.
    shards_left: u16,
    clients: u32,
    answers: u32,
    until_us: u64,
}

/// All of them, by the number that clients answer with.
#[derive(Debug, Default)]
pub(super) struct Gather {
    asked: BTreeMap<u64, Asked>,
    last: u64,
    now_us: u64,
}

impl Gather {
    /// Broadcasts that wait for answers.
    pub(super) fn len(&self) -> usize {
        self.asked.len()
    }

    fn number(&mut self) -> u64 {
        loop {
            let next = self.last + 1;
            self.last = match (ACK_ID_MIN..=ACK_ID_MAX).contains(&next) {
                true => next,
                false => ACK_ID_MIN,
            };
            if !self.asked.contains_key(&self.last) {
                return self.last;
            }
        }
    }

    /// The numbers of those that are to end.
    fn numbers(&self, mut ends: impl FnMut(&Asked) -> bool) -> Vec<u64> {
        let asked = self.asked.iter().filter(|(_, asked)| ends(asked));
        asked.map(|(number, _)| *number).collect()
    }
}

/// Where a packet's number is in its text: workers write `0`, as they know none. `None` for what is no event with that number.
fn number_at(text: &str) -> Option<usize> {
    let bytes = text.as_bytes();
    let digits = |from: usize| {
        let rest = bytes.get(from..).unwrap_or_default();
        from + rest.iter().take_while(|byte| byte.is_ascii_digit()).count()
    };
    let mut at = match bytes.first()? {
        b'2' => 1,
        b'5' => {
            let dash = digits(1);
            (dash > 1 && bytes.get(dash) == Some(&b'-')).then_some(dash + 1)?
        }
        _ => return None,
    };
    if bytes.get(at) == Some(&b'/') {
        at += text[at..].find(',')? + 1;
    }
    (bytes.get(at) == Some(&b'0') && digits(at) == at + 1).then_some(at)
}

/// The packet with the number that clients answer with.
pub(crate) fn numbered(text: &str, number: u64) -> Option<String> {
    let at = number_at(text)?;
    Some(format!("{}{number}{}", &text[..at], &text[at + 1..]))
}

impl Exchange {
    /// A worker asks clients.
    pub(super) fn ask_clients(
        &mut self,
        id: WorkerId,
        raw: &Raw<'_>,
        frame: &Frame<'_>,
    ) -> Result<(), Fault> {
        let Frame::BcastAck {
            request,
            timeout_ms,
            nsp,
            parts,
            ..
        } = frame
        else {
            return Ok(());
        };
        let is_event =
            |part: &Part<'_>| matches!(part, Part::Text(text) if number_at(text).is_some());
        if self.is_opaque() || !parts.first().is_some_and(is_event) {
            return Err(Fault::Turn(
                "BCAST_ACK of what is no event with the number 0",
            ));
        }
        let space = self.space(id, *nsp)?;
        let Some(space) = self.with_clients(id, space) else {
            self.owe_count(id, *request, 0);
            return Ok(());
        };
        if !self.may_say(id, parts[0])? {
            self.owe_count(id, *request, 0);
            return Ok(());
        }
        let open = self.gather.numbers(|asked| asked.worker == id);
        if open.len() >= ASKED_MAX {
            // Its timeout is what the worker has for those.
            self.end_asking(open[0]);
        }
        let number = self.gather.number();
        let timeout_us = u64::from((*timeout_ms).min(TIMEOUT_MS_MAX)) * 1000;
        let asked = Asked {
            worker: id,
            request: *request,
            shards_left: self.shards,
            clients: 0,
            answers: 0,
            until_us: self.gather.now_us + timeout_us + LATE_US,
        };
        self.gather.asked.insert(number, asked);
        // The shards know it by the daemon's number.
        let mut body = raw.body.to_vec();
        body[..4].copy_from_slice(&(number as u32).to_le_bytes());
        let raw = Raw {
            body: &body,
            ..*raw
        };
        self.broadcast_to(id, space, &raw);
        Ok(())
    }

    /// A shard has asked so many.
    pub(super) fn was_asked(&mut self, number: u64, clients: u32) {
        let Some(asked) = self.gather.asked.get_mut(&number) else {
            return;
        };
        asked.shards_left -= 1;
        asked.clients += clients;
        if asked.shards_left == 0 {
            let (worker, request, clients) = (asked.worker, asked.request, asked.clients);
            self.owe_count(worker, request, clients);
            self.end_if_answered(number);
        }
    }

    fn owe_count(&mut self, id: WorkerId, request: u32, clients: u32) {
        if let Some(worker) = self.workers.get_mut(&id) {
            let body = Frame::BcastCount { request, clients }.body();
            worker.owe_answer(Kind::BcastCount, &body);
            self.pump(id);
        }
    }

    /// A client has answered.
    pub(super) fn was_answered(&mut self, number: u64, parts: &[Said<'_>]) {
        let Some(asked) = self.gather.asked.get_mut(&number) else {
            return;
        };
        asked.answers += 1;
        let (id, request) = (asked.worker, asked.request);
        if let Some(worker) = self.workers.get_mut(&id) {
            let is_taken = worker.owe_replies(Replies::new(request, parts));
            self.stats.bus_dropped += u64::from(!is_taken);
            self.pump(id);
        }
        self.end_if_answered(number);
    }

    fn end_if_answered(&mut self, number: u64) {
        let asked = self.gather.asked.get(&number);
        if asked.is_some_and(|asked| asked.shards_left == 0 && asked.answers >= asked.clients) {
            self.end_asking(number);
        }
    }

    fn end_asking(&mut self, number: u64) {
        self.gather.asked.remove(&number);
        self.say_to_all(&ToClients::Answered { number });
    }

    /// A worker is gone: nobody waits for its answers.
    pub(super) fn lose_asked(&mut self, id: WorkerId) {
        let numbers = self.gather.numbers(|asked| asked.worker == id);
        numbers
            .into_iter()
            .for_each(|number| self.end_asking(number));
    }

    /// Those that waited long enough end.
    pub(super) fn settle_asked(&mut self, now_us: u64) {
        self.gather.now_us = now_us;
        let numbers = self.gather.numbers(|asked| now_us >= asked.until_us);
        numbers
            .into_iter()
            .for_each(|number| self.end_asking(number));
    }
}

/// Answers of one request on their way to its worker: a BCAST_REPLY.
#[derive(Debug)]
pub(super) struct Replies {
    request: u32,
    parts: u16,
    body: Vec<u8>,
}

impl Replies {
    /// Bytes before the parts: request and count.
    const HEAD_BYTES: usize = 6;

    fn new(request: u32, said: &[Said<'_>]) -> Self {
        let parts: Vec<Part<'_>> = said.iter().filter_map(Said::part).collect();
        Self {
            request,
            parts: parts.len() as u16,
            body: Frame::BcastReply { request, parts }.body(),
        }
    }

    pub(super) fn bytes(&self) -> usize {
        self.body.len()
    }

    /// The frame's body, to be written.
    pub(super) fn take_body(&mut self) -> Vec<u8> {
        core::mem::take(&mut self.body)
    }

    /// There was no room for it yet.
    pub(super) fn give_body(&mut self, body: Vec<u8>) {
        self.body = body;
    }

    /// Takes in others of the same request, if that does not become too large a frame.
    pub(super) fn takes(&mut self, other: &Self) -> bool {
        let fits = self.body.len() + other.body.len() <= BATCH_BYTES
            && usize::from(self.parts) + usize::from(other.parts) <= BATCH_PARTS;
        if self.request != other.request || !fits {
            return false;
        }
        self.parts += other.parts;
        self.body[4..Self::HEAD_BYTES].copy_from_slice(&self.parts.to_le_bytes());
        self.body.extend_from_slice(&other.body[Self::HEAD_BYTES..]);
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_packet_gets_its_number() {
        let number = ACK_ID_MIN;
        for (text, expected) in [
            ("20[\"a\"]", Some("21073741824[\"a\"]")),
            ("2/n,0[\"a\"]", Some("2/n,1073741824[\"a\"]")),
            ("51-0[\"a\"]", Some("51-1073741824[\"a\"]")),
            ("512-/é,0[]", Some("512-/é,1073741824[]")),
            ("2[\"a\"]", None),
            ("21[\"a\"]", None),
            ("200[\"a\"]", None),
            ("2/n0[]", None),
            ("5-0[]", None),
            ("50[]", None),
            ("30[]", None),
            ("2", None),
            ("", None),
        ] {
            assert_eq!(numbered(text, number).as_deref(), expected, "{text}");
        }
    }
}
