//! The rings between shards: one per ordered pair and class, bounded in bytes, carrying bytes.

mod patience;
mod ring;
mod wakes;

use core::time::Duration;
use ring::{RingIn, RingOut, ring};
use ringway_io::ShardId;
use std::sync::Arc;
use wakes::Wakes;

/// The longest answer to a request.
pub const REPLY_BYTES_MAX: usize = 512;
/// At most this many shards: a room keeps its interested ones in one word.
pub(crate) const SHARDS_MAX: u16 = 64;

/// The class of a message decides what its handling may need.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Class {
    /// Handling it needs no ring space; always drains.
    Deliver = 0,
    /// The answer to a request; its space was reserved when the request was sent; always drains.
    Reply = 1,
    /// Handled only when what it causes (deliveries and its reply) fits; may wait.
    Request = 2,
}

/// Whose message it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Owner {
    /// The handler's.
    Handler = 0,
    /// The loop's: a connection's state.
    HandOver = 1,
    /// The loop's: a hand-over that failed.
    HandOverFailed = 2,
}

/// There is no space for the message now. The shard is woken when there is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Full;

/// Sizes of the rings.
#[derive(Clone, Copy, Debug)]
pub struct MeshBounds {
    /// Bytes of one deliver ring.
    pub deliver_bytes: usize,
    /// Bytes of one request ring.
    pub request_bytes: usize,
    /// Requests of one shard to another that may be unanswered.
    pub replies_max: usize,
}

impl MeshBounds {
    /// Shares `bytes_max` between the pairs of `shards`.
    #[must_use]
    pub fn within(bytes_max: usize, shards: u16) -> Self {
        let pairs = (usize::from(shards) * usize::from(shards.saturating_sub(1))).max(1);
        let share = (bytes_max / pairs).clamp(16 << 10, 1 << 20);
        Self {
            deliver_bytes: share / 2,
            request_bytes: share / 4,
            replies_max: share / 4 / REPLY_BYTES_MAX,
        }
    }
}

struct PairOut {
    rings: [RingOut; 3],
    unanswered: usize,
}

struct PairIn {
    rings: [RingIn; 3],
    /// The first request waits for ring space.
    waits: bool,
}

/// This shard's ends of the rings.
pub struct Mesh {
    me: u16,
    outs: Vec<Option<PairOut>>,
    ins: Vec<Option<PairIn>>,
    wakes: Wakes,
    replies_max: usize,
}

impl Mesh {
    /// The ends for every shard, in order.
    ///
    /// # Panics
    /// For more than [`SHARDS_MAX`] shards.
    #[must_use]
    pub fn build(shards: u16, bounds: &MeshBounds) -> Vec<Self> {
        assert!(
            (1..=SHARDS_MAX).contains(&shards),
            "1 to {SHARDS_MAX} shards"
        );
        let shared = Arc::new(wakes::Shared::new(shards));
        let count = usize::from(shards);
        let blank = |me| Self {
            me,
            outs: (0..count).map(|_| None).collect(),
            ins: (0..count).map(|_| None).collect(),
            wakes: Wakes::new(me, shared.clone()),
            replies_max: bounds.replies_max,
        };
        let mut meshes: Vec<Self> = (0..shards).map(blank).collect();
        for from in 0..count {
            for to in (0..count).filter(|to| *to != from) {
                let sizes = [
                    bounds.deliver_bytes,
                    bounds.replies_max * (REPLY_BYTES_MAX + ring::HEAD_BYTES),
                    bounds.request_bytes,
                ];
                let [(a, b), (c, d), (e, f)] = sizes.map(ring);
                meshes[from].outs[to] = Some(PairOut {
                    rings: [a, c, e],
                    unanswered: 0,
                });
                meshes[to].ins[from] = Some(PairIn {
                    rings: [b, d, f],
                    waits: false,
                });
            }
        }
        meshes
    }

    /// How many shards there are.
    #[must_use]
    pub fn shards(&self) -> u16 {
        self.outs.len() as u16
    }

    fn out(&mut self, to: ShardId) -> &mut PairOut {
        self.outs[usize::from(to.0)]
            .as_mut()
            .expect("a shard sends to others, never to itself")
    }

    /// Whether a deliver message of `bytes` bytes would fit now; if not, the shard is woken when there is more space.
    pub fn deliver_fits(&mut self, to: ShardId, bytes: usize) -> bool {
        let fits = self.out(to).rings[Class::Deliver as usize].fits(bytes);
        if !fits {
            self.note_full(to, Class::Deliver, bytes);
        }
        fits
    }

    fn note_full(&mut self, to: ShardId, class: Class, bytes: usize) {
        self.wakes.want_space(to, class, bytes);
    }

    fn send(
        &mut self,
        to: ShardId,
        class: Class,
        owner: Owner,
        parts: &[&[u8]],
    ) -> Result<(), Full> {
        if self.out(to).rings[class as usize].push(owner as u8, parts) {
            self.wakes.touch(to);
            return Ok(());
        }
        self.note_full(to, class, parts.iter().map(|part| part.len()).sum());
        Err(Full)
    }

    /// Sends a message whose bytes are the concatenation of `parts`.
    ///
    /// # Errors
    /// [`Full`]; nothing was sent.
    pub fn deliver(&mut self, to: ShardId, parts: &[&[u8]]) -> Result<(), Full> {
        self.send(to, Class::Deliver, Owner::Handler, parts)
    }

    /// Sends a request and reserves one reply of [`REPLY_BYTES_MAX`] bytes for its answer.
    ///
    /// # Errors
    /// [`Full`]; nothing was sent or reserved.
    pub fn request(&mut self, to: ShardId, parts: &[&[u8]]) -> Result<(), Full> {
        if self.out(to).unanswered == self.replies_max {
            // An answer frees the place, and answers wake by themselves.
            return Err(Full);
        }
        self.send(to, Class::Request, Owner::Handler, parts)?;
        self.out(to).unanswered += 1;
        Ok(())
    }

    /// Sends a request that has no reply.
    ///
    /// # Errors
    /// [`Full`]; nothing was sent.
    pub fn request_one_way(&mut self, to: ShardId, parts: &[&[u8]]) -> Result<(), Full> {
        self.send(to, Class::Request, Owner::Handler, parts)
    }

    pub(crate) fn hand_over(
        &mut self,
        to: ShardId,
        owner: Owner,
        parts: &[&[u8]],
    ) -> Result<(), Full> {
        self.send(to, Class::Request, owner, parts)
    }

    /// Answers a request; its space was reserved by the asker.
    ///
    /// # Panics
    /// When the message is longer than [`REPLY_BYTES_MAX`] or nothing was reserved: both are our own bugs.
    pub fn reply(&mut self, to: ShardId, parts: &[&[u8]]) {
        assert!(
            parts.iter().map(|part| part.len()).sum::<usize>() <= REPLY_BYTES_MAX,
            "a reply is short"
        );
        let sent = self.send(to, Class::Reply, Owner::Handler, parts);
        assert_eq!(sent, Ok(()), "the asker reserved space for this reply");
    }

    /// Bytes waiting in the deliver ring from a shard.
    pub(crate) fn deliver_waiting(&self, from: ShardId) -> usize {
        self.ins[usize::from(from.0)]
            .as_ref()
            .map_or(0, |pair| pair.rings[Class::Deliver as usize].waiting())
    }

    /// Copies the first message into `scratch` and gives its owner; `taken` is called for when it was handled.
    pub(crate) fn peek(
        &mut self,
        from: ShardId,
        class: Class,
        scratch: &mut Vec<u8>,
    ) -> Option<Owner> {
        let pair = self.ins[usize::from(from.0)].as_mut()?;
        let owner = pair.rings[class as usize].peek(scratch)?;
        Some(match owner {
            0 => Owner::Handler,
            1 => Owner::HandOver,
            2 => Owner::HandOverFailed,
            other => unreachable!("only `send` writes owners, not {other}"),
        })
    }

    /// Removes the first message; gives how many ring bytes it took.
    pub(crate) fn taken(&mut self, from: ShardId, class: Class) -> usize {
        let pair = self.ins[usize::from(from.0)]
            .as_mut()
            .expect("a message was peeked at");
        let bytes = pair.rings[class as usize].advance();
        match class {
            Class::Reply => self.out(from).unanswered -= 1,
            Class::Request => pair.waits = false,
            Class::Deliver => {}
        }
        self.wakes.freed(from);
        bytes
    }

    /// The first request of that shard has to wait.
    pub(crate) fn waits(&mut self, from: ShardId) {
        self.ins[usize::from(from.0)]
            .as_mut()
            .expect("a message was peeked at")
            .waits = true;
    }

    /// Whether nothing is on its way to this shard and nothing unanswered from it.
    pub(crate) fn is_quiet(&self) -> bool {
        let empty = |pair: &PairIn| pair.rings.iter().all(|ring| ring.waiting() == 0);
        self.ins.iter().flatten().all(empty)
            && self.outs.iter().flatten().all(|pair| pair.unanswered == 0)
    }

    /// Says that this shard is about to sleep. `false`: something is there after all, do not.
    pub(crate) fn park(&self) -> bool {
        self.wakes.set_parked(true);
        let idle = self.is_idle();
        if !idle {
            self.wakes.set_parked(false);
        }
        idle
    }

    /// Whether nothing is here for this shard, and no space that it waits for.
    pub(crate) fn is_idle(&self) -> bool {
        self.ins.iter().flatten().all(PairIn::is_idle) && !self.space_came()
    }

    fn space_came(&self) -> bool {
        let fits = |to: usize, class: usize, bytes| {
            let pair = self.outs[to].as_ref();
            pair.is_some_and(|pair| pair.rings[class].fits(bytes))
        };
        self.wakes.space_came(fits)
    }

    /// A lap begins: whoever still waits for space will try again in it, and so note it again.
    pub(crate) fn unpark(&mut self) {
        self.wakes.set_parked(false);
        self.wakes.forget_waits();
    }

    /// The shards to wake: those that got something, or space, and sleep. Once per lap. Wakes that can wait are owed from `now` on; without
    /// a time none is.
    pub(crate) fn take_wakes(&mut self, now: Option<Duration>, sink: impl FnMut(ShardId)) {
        let rings = self
            .outs
            .iter_mut()
            .flatten()
            .flat_map(|pair| &mut pair.rings);
        rings.for_each(RingOut::reclaim);
        self.wakes.take(now, &mut self.outs, sink);
    }

    /// When the next wake that is owed must be sent.
    pub(crate) fn next_wake(&self) -> Option<Duration> {
        self.wakes.next()
    }

    /// When that shard must be woken, if it is owed a wake.
    pub(crate) fn owes_wake_at(&self, to: ShardId) -> Option<Duration> {
        self.wakes.owed_at(to)
    }

    /// This shard.
    #[must_use]
    pub const fn me(&self) -> ShardId {
        ShardId(self.me)
    }
}

impl PairOut {
    fn is_empty(&self) -> bool {
        self.rings.iter().all(RingOut::is_empty)
    }

    fn is_taken_to_mark(&self) -> bool {
        self.rings.iter().all(RingOut::is_taken_to_mark)
    }

    fn mark(&mut self) {
        self.rings.iter_mut().for_each(RingOut::mark);
    }
}

impl PairIn {
    fn is_idle(&self) -> bool {
        let [deliver, reply, request] = &self.rings;
        deliver.waiting() == 0 && reply.waiting() == 0 && (request.waiting() == 0 || self.waits)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BOUNDS: MeshBounds = MeshBounds {
        deliver_bytes: 256,
        request_bytes: 128,
        replies_max: 2,
    };

    fn take(mesh: &mut Mesh, from: u16, class: Class) -> Option<Vec<u8>> {
        let mut scratch = Vec::new();
        mesh.peek(ShardId(from), class, &mut scratch)?;
        mesh.taken(ShardId(from), class);
        Some(scratch)
    }

    #[test]
    fn classes_are_first_in_first_out_and_bounded() {
        let mut meshes = Mesh::build(2, &BOUNDS);
        let mut b = meshes.pop().unwrap();
        let mut a = meshes.pop().unwrap();
        let mut sent = 0_u8;
        while a.deliver(ShardId(1), &[&[sent], b"abc"]).is_ok() {
            sent += 1;
        }
        assert!(sent > 10);
        for expected in 0..sent {
            assert_eq!(
                take(&mut b, 0, Class::Deliver),
                Some(vec![expected, b'a', b'b', b'c'])
            );
        }
        assert_eq!(take(&mut b, 0, Class::Deliver), None);
        assert_eq!(a.deliver(ShardId(1), &[b"again"]), Ok(()));
    }

    #[test]
    fn long_messages_take_the_side_lane_in_order() {
        let mut meshes = Mesh::build(2, &BOUNDS);
        let long = vec![7; 5000];
        assert_eq!(meshes[0].deliver(ShardId(1), &[b"x"]), Ok(()));
        assert_eq!(meshes[0].deliver(ShardId(1), &[&long]), Ok(()));
        assert_eq!(meshes[0].deliver(ShardId(1), &[b"y"]), Ok(()));
        let got: Vec<_> = core::iter::from_fn(|| take(&mut meshes[1], 0, Class::Deliver)).collect();
        assert_eq!(got, [b"x".to_vec(), long, b"y".to_vec()]);
    }

    #[test]
    fn blocks_come_back_however_full_the_lane_was() {
        let mut meshes = Mesh::build(2, &BOUNDS);
        let long = vec![7; 5000];
        let mut got = 0;
        for taken in [1, 3, 8, 2, 8, 5, 8] {
            while meshes[0].deliver(ShardId(1), &[&long]).is_ok() {}
            for _ in 0..taken {
                got += usize::from(take(&mut meshes[1], 0, Class::Deliver).is_some());
            }
            if taken == 8 {
                meshes[0].take_wakes(Some(Duration::ZERO), |_| {});
            }
        }
        assert_eq!(got, 35);
    }

    #[test]
    fn a_request_reserves_its_reply() {
        let mut meshes = Mesh::build(2, &BOUNDS);
        assert_eq!(meshes[0].request(ShardId(1), &[b"1"]), Ok(()));
        assert_eq!(meshes[0].request(ShardId(1), &[b"2"]), Ok(()));
        assert_eq!(meshes[0].request(ShardId(1), &[b"3"]), Err(Full));
        assert_eq!(take(&mut meshes[1], 0, Class::Request), Some(b"1".to_vec()));
        meshes[1].reply(ShardId(0), &[&[0; REPLY_BYTES_MAX]]);
        assert_eq!(meshes[0].request(ShardId(1), &[b"3"]), Err(Full));
        assert_eq!(
            take(&mut meshes[0], 1, Class::Reply).map(|reply| reply.len()),
            Some(REPLY_BYTES_MAX)
        );
        assert_eq!(meshes[0].request(ShardId(1), &[b"3"]), Ok(()));
    }

    #[test]
    fn nobody_sleeps_over_mail_or_freed_space() {
        let mut meshes = Mesh::build(2, &BOUNDS);
        assert!(meshes[1].park());
        while meshes[0].deliver(ShardId(1), &[&[0; 20]]).is_ok() {}
        let mut woken = Vec::new();
        meshes[0].take_wakes(Some(Duration::ZERO), |shard| woken.push(shard));
        assert_eq!(woken, [ShardId(1)]);
        meshes[1].unpark();
        assert!(!meshes[1].park(), "mail is there");
        assert!(meshes[0].park(), "nothing to do until there is space");
        assert!(take(&mut meshes[1], 0, Class::Deliver).is_some());
        woken.clear();
        meshes[1].take_wakes(Some(Duration::ZERO), |shard| woken.push(shard));
        assert_eq!(woken, [ShardId(0)]);
    }

    /// A target that took what a wake was owed for has come by itself, whatever else it got meanwhile; and whoever is owed one gets it in time.
    #[test]
    fn a_wake_that_is_owed_is_sent_in_time_or_not_needed() {
        let mut meshes = Mesh::build(2, &BOUNDS);
        let mut now = Duration::ZERO;
        assert!(meshes[1].park());
        let mut woken = 0;
        for _ in 0..100 {
            now += patience::WAKE_DELAY * 2;
            meshes[0].deliver(ShardId(1), &[b"early"]).unwrap();
            meshes[0].take_wakes(Some(now), |_| woken += 1);
            meshes[1].unpark();
            assert!(take(&mut meshes[1], 0, Class::Deliver).is_some());
            assert!(meshes[1].park());
        }
        assert!(woken < 20, "woken {woken} times, though it came by itself");
        meshes[0].take_wakes(Some(now), |_| unreachable!("nothing is there"));
        meshes[0].deliver(ShardId(1), &[b"late"]).unwrap();
        meshes[0].take_wakes(Some(now), |_| unreachable!("it is trusted"));
        let next = meshes[0].next_wake();
        assert_eq!(next, Some(now + patience::WAKE_DELAY));
        assert_eq!(meshes[0].owes_wake_at(ShardId(1)), next);
        let mut woken = Vec::new();
        meshes[0].take_wakes(next, |shard| woken.push(shard));
        assert_eq!(woken, [ShardId(1)]);
        assert_eq!(meshes[0].next_wake(), None);
        // Whoever does not lap again wakes at once.
        meshes[1].unpark();
        assert!(take(&mut meshes[1], 0, Class::Deliver).is_some());
        assert!(meshes[1].park());
        meshes[0].deliver(ShardId(1), &[b"last"]).unwrap();
        meshes[0].take_wakes(None, |shard| woken.push(shard));
        assert_eq!(woken, [ShardId(1); 2]);
    }

    /// The receiver may empty the ring between the sender's look at it and the sender's note that it waits.
    #[test]
    fn space_that_came_before_the_note_keeps_the_sender_awake() {
        let mut meshes = Mesh::build(2, &BOUNDS);
        for _ in 0..10 {
            assert_eq!(meshes[0].deliver(ShardId(1), &[&[0; 20]]), Ok(()));
        }
        // The eleventh would not fit. The ring empties before that is noted.
        while take(&mut meshes[1], 0, Class::Deliver).is_some() {}
        meshes[0].note_full(ShardId(1), Class::Deliver, 20);
        assert!(!meshes[0].park(), "the message fits by now");
    }

    /// What an earlier lap waited for says nothing about this one.
    #[test]
    fn an_old_wait_does_not_hide_new_space() {
        let mut meshes = Mesh::build(2, &BOUNDS);
        for length in [60, 10, 60, 60] {
            assert_eq!(meshes[0].deliver(ShardId(1), &[&vec![0; length]]), Ok(()));
        }
        assert_eq!(meshes[0].deliver(ShardId(1), &[&[0; 60]]), Err(Full));
        assert!(meshes[0].park());
        assert!(take(&mut meshes[1], 0, Class::Deliver).is_some());
        meshes[0].unpark();
        while meshes[0].deliver(ShardId(1), &[&[0; 5]]).is_ok() {}
        // The receiver looks for waiting senders, and only then does this one note that it waits.
        take(&mut meshes[1], 0, Class::Deliver);
        meshes[0].note_full(ShardId(1), Class::Deliver, 5);
        assert!(!meshes[0].park(), "there is space for five bytes");
    }

    /// Two threads, no sleep: every message arrives once and in order.
    #[test]
    fn two_threads() {
        let mut meshes = Mesh::build(2, &BOUNDS);
        let mut b = meshes.pop().unwrap();
        let mut a = meshes.pop().unwrap();
        let sender = std::thread::spawn(move || {
            for number in 0..50_000_u32 {
                while a.deliver(ShardId(1), &[&number.to_le_bytes()]).is_err() {
                    std::thread::yield_now();
                }
            }
        });
        for number in 0..50_000_u32 {
            let got = loop {
                match take(&mut b, 0, Class::Deliver) {
                    Some(bytes) => break bytes,
                    None => std::thread::yield_now(),
                }
            };
            assert_eq!(got, number.to_le_bytes());
        }
        sender.join().unwrap();
    }
}
