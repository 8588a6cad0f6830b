//! Links of workers, on the shard that has them: the exchange is told what happens, and what it wants is done.
//!
//! Deliberately absent: what it decides (`upstream/exchange`).

use super::slow::SLOW_BYTES;
use super::{Hub, Key, Output, Turn};
use crate::outbox::{Outbox, OutboxBounds};
use crate::post::{Class, Post};
use crate::refusal::Refusal;
use crate::session::Cause;
use crate::time::{ConnId, Now};
use crate::upstream::{Exchange, Hold, LinkPeer, Notice, Order, Pressed, ToLinks};
use std::collections::btree_map::Entry;

/// How often links and workers are looked after.
const TICK_US: u64 = 100_000;
/// How long workers wait for a client that takes nothing: much less than for all of them, or it would use up what the others need.
const PATIENCE_US: u64 = 500_000;
/// Bytes of mail that are dealt with before the links hear of it: an eighth of what may be on the way.
const CARRIED_BYTES: u64 = 128 << 10;
/// What a client can take in a moment: of a worker's words alone, which are bounded by sixteen times as much.
const PRESSED_AT: OutboxBounds = OutboxBounds {
    packets_max: 4096,
    bytes_max: 256 << 10,
};
/// What makes all workers wait, and not only those that say most: what stands before it when these wait, and what was on the way by then, is less. What may be on
/// the way behind that still fits.
const MUCH_AT: OutboxBounds = OutboxBounds {
    packets_max: 24 << 10,
    bytes_max: 1 << 20,
};
/// So many clients of a shard, and which part of all, are many: what a few cannot take says more of them than of their worker.
const MANY_CLIENTS_MIN: usize = 4;
const MANY_PART: usize = 4;
/// For how long a client counts among those.
const LATELY_US: u64 = 2_000_000;
/// What it comes down to until workers go on.
const RELIEVED_AT: OutboxBounds = OutboxBounds {
    packets_max: 512,
    bytes_max: 64 << 10,
};

fn is_pressed(outbox: &Outbox, bounds: OutboxBounds) -> bool {
    outbox.len() > bounds.packets_max || outbox.bytes() > bounds.bytes_max
}

/// Who is to wait for such a client.
fn hold_for(outbox: &Outbox, pressed: &Pressed, now_us: u64) -> Hold {
    match is_pressed(outbox, MUCH_AT) {
        _ if now_us >= pressed.took_us + PATIENCE_US => Hold::Nobody,
        true => Hold::All,
        false => Hold::Heaviest,
    }
}

impl Hub {
    /// A link of a worker was accepted; by `peer` it is known again if it lies.
    ///
    /// # Panics
    /// When this shard has no exchange.
    pub fn link_accepted(
        &mut self,
        now: Now,
        conn: ConnId,
        peer: &LinkPeer,
        post: &mut dyn Post,
        entropy: &mut dyn FnMut() -> u64,
        out: &mut Vec<Output>,
    ) {
        let mut turn = Turn::new(now, post, entropy, out);
        let nonce = [(turn.entropy)(), (turn.entropy)()];
        let exchange = self.upstream.exchange.as_mut();
        let exchange = exchange.expect("links come where the exchange is");
        exchange.accepted(now, conn, nonce, peer);
        self.carry_orders(&mut turn);
        self.arm_tick(&mut turn);
    }

    /// A link was closed as it came, as its user may not join.
    pub fn link_of_another_user(&mut self) {
        let exchange = self.upstream.exchange.as_mut();
        exchange
            .expect("links come where the exchange is")
            .refused_unheard();
    }

    /// What an operator wants to hear of: shards do not log.
    pub fn take_notices(&mut self) -> Vec<Notice> {
        let exchange = self.upstream.exchange.as_mut();
        exchange.map_or_else(Vec::new, |exchange| exchange.take_notices())
    }

    /// Something happened to a link.
    pub(super) fn with_exchange(
        &mut self,
        now: Now,
        post: &mut dyn Post,
        out: &mut Vec<Output>,
        act: impl FnOnce(&mut Exchange),
    ) {
        let mut turn = Turn {
            now,
            post,
            entropy: &mut || 0,
            out,
        };
        self.upstream.exchange.as_deref_mut().map(act);
        self.carry_orders(&mut turn);
    }

    fn arm_tick(&mut self, turn: &mut Turn<'_>) {
        if !core::mem::replace(&mut self.upstream.is_ticking, true) {
            let token = super::heartbeat::UPSTREAM_TOKEN;
            let at_us = turn.now.monotonic_us + TICK_US;
            turn.out.push(Output::Timer { at_us, token });
        }
    }

    pub(super) fn upstream_tick(&mut self, turn: &mut Turn<'_>) {
        self.upstream.is_ticking = false;
        self.say_pressure(turn);
        let mut is_busy = !self.upstream.pressed.is_empty();
        if let Some(exchange) = &mut self.upstream.exchange {
            exchange.tick(turn.now);
            is_busy |= exchange.is_busy();
        }
        self.upstream.block_links(turn.now);
        self.carry_orders(turn);
        if is_busy {
            self.arm_tick(turn);
        }
    }

    pub(super) fn exchange_mail(&mut self, mail: &ToLinks<'_>, turn: &mut Turn<'_>) {
        if let Some(exchange) = &mut self.upstream.exchange {
            exchange.mail(turn.now, mail);
        }
        self.upstream.block_links(turn.now);
        self.arm_tick(turn);
        self.carry_orders(turn);
    }

    /// What the exchange wants done, in its order: what a step causes comes behind all that was ordered before.
    fn carry_orders(&mut self, turn: &mut Turn<'_>) {
        if core::mem::replace(&mut self.upstream.is_carrying, true) {
            return;
        }
        loop {
            let orders = self.upstream.take_orders();
            if orders.is_empty() && !self.upstream.read_links(turn.now) {
                break;
            }
            orders.into_iter().for_each(|order| self.carry(order, turn));
            self.upstream.block_links(turn.now);
        }
        self.upstream.is_carrying = false;
    }

    fn carry(&mut self, order: Order, turn: &mut Turn<'_>) {
        match order {
            Order::Dirty(conn) => turn.out.push(Output::Dirty(conn)),
            Order::DirtyAt { conn, at_us } => turn.out.push(Output::DirtyAt { conn, at_us }),
            Order::CloseAfterFlush(conn) => turn.out.push(Output::CloseAfterFlush(conn)),
            Order::Close(conn) => turn.out.push(Output::Close(conn)),
            Order::Pause(conn) => turn.out.push(Output::Pause(conn)),
            Order::Resume(conn) => turn.out.push(Output::Resume(conn)),
            Order::Mail { to, bytes } if to == self.shard => self.hear_links(&bytes, turn),
            Order::Mail { to, bytes } => self
                .upstream
                .deliver(to, bytes, |bytes| turn.post.deliver(to, &[bytes])),
        }
    }

    /// Mail between clients and links.
    pub(super) fn upstream_mail(&mut self, class: Class, bytes: &[u8], turn: &mut Turn<'_>) {
        match class {
            Class::Request => self.exchange_mail(&ToLinks::decode(bytes), turn),
            Class::Deliver => {
                self.hear_links(bytes, turn);
                self.upstream.carried_bytes += bytes.len() as u64;
                self.say_carried(turn);
            }
            Class::Reply => unreachable!("nobody is asked"),
        }
    }

    /// Once per lap: what waited for ring space, and sessions whose last words went out.
    pub(super) fn upstream_lap(&mut self, turn: &mut Turn<'_>) {
        if let Some(exchange) = &mut self.upstream.exchange {
            exchange.pass(turn.now);
        }
        let post = &mut *turn.post;
        self.upstream
            .deliver_waiting(|to, bytes| post.deliver(to, &[bytes]));
        self.upstream.block_links(turn.now);
        self.carry_orders(turn);
        for mail in core::mem::take(&mut self.upstream.clients.unsaid) {
            self.say_or_keep(mail, turn);
        }
        self.say_waiting_answers(turn);
        for client in core::mem::take(&mut self.upstream.called) {
            self.answer_call(client, turn);
        }
        self.say_obeyed(turn);
        self.settle_questions(turn);
        self.end_sessions(turn);
        self.say_eased(turn);
        self.say_pressure(turn);
        self.say_carried(turn);
    }

    /// Tells the links when clients of this shard come to have more before them than they can take in a moment, and when that is over. One that takes
    /// nothing is not waited for.
    fn say_pressure(&mut self, turn: &mut Turn<'_>) {
        if self.upstream.pressed.is_empty() && self.upstream.hold == Hold::Nobody {
            return;
        }
        let sessions = &self.sessions;
        let now_us = turn.now.monotonic_us;
        let mut hold = Hold::Nobody;
        self.upstream.pressed.retain(|key, pressed| {
            let outbox = sessions.get(*key).map(|session| &session.outbox);
            let outbox = outbox.filter(|outbox| is_pressed(outbox, RELIEVED_AT));
            outbox.is_some_and(|outbox| {
                pressed.look(outbox.bytes(), now_us);
                hold = hold.max(hold_for(outbox, pressed, now_us));
                true
            })
        });
        if hold != self.upstream.hold {
            self.tell_pressure(hold, turn);
        }
    }

    fn tell_pressure(&mut self, hold: Hold, turn: &mut Turn<'_>) {
        // Before it is said: links that are set free may press again at once.
        let known = core::mem::replace(&mut self.upstream.hold, hold);
        let now_us = turn.now.monotonic_us;
        self.upstream
            .lately
            .retain(|_, at_us| now_us < *at_us + LATELY_US);
        self.upstream.are_many = self.are_many();
        self.upstream.weigh(turn.now);
        self.upstream.weights.fade(now_us);
        let mail = ToLinks::Pressed {
            shard: self.shard,
            hold,
            is_many: self.upstream.are_many,
            weights: self.upstream.weights.clone(),
        };
        if !self.say_to_links(&mail, turn) {
            self.upstream.hold = known;
        }
    }

    fn are_many(&self) -> bool {
        let count = self.upstream.lately.len();
        count >= MANY_CLIENTS_MIN && count * MANY_PART >= self.sessions.len()
    }

    fn say_carried(&mut self, turn: &mut Turn<'_>) {
        let bytes = self.upstream.carried_bytes;
        if bytes < CARRIED_BYTES {
            return;
        }
        let shard = self.shard;
        let mail = ToLinks::Carried { shard, bytes };
        if self.say_to_links(&mail, turn) {
            self.upstream.carried_bytes = 0;
        }
    }

    /// A worker has said something to a client.
    pub(super) fn note_pressure(&mut self, key: Key, turn: &mut Turn<'_>) {
        let Some(outbox) = self.sessions.get(key).map(|session| &session.outbox) else {
            return;
        };
        let (bytes, is_pressed) = (outbox.bytes(), is_pressed(outbox, PRESSED_AT));
        if bytes > SLOW_BYTES {
            self.note_slow(key, bytes, turn);
        }
        if is_pressed {
            self.note_pressed(key, bytes, turn);
        }
    }

    /// It has more before it than it can take in a moment. What the links read until this lap's end would be too much.
    fn note_pressed(&mut self, key: Key, bytes: usize, turn: &mut Turn<'_>) {
        let now_us = turn.now.monotonic_us;
        if let Entry::Vacant(place) = self.upstream.pressed.entry(key) {
            let took_us = now_us;
            place.insert(Pressed { took_us, bytes });
            self.upstream.lately.insert(key, now_us);
            // All that it could not take, of which most is whose this is.
            self.upstream.spoken_bytes += bytes as u64;
            // One that takes nothing causes no lap.
            self.arm_tick(turn);
        }
        let session = self.sessions.get(key);
        let pressed = self.upstream.pressed.get(&key);
        let Some((session, pressed)) = session.zip(pressed) else {
            return;
        };
        let hold = hold_for(&session.outbox, pressed, now_us);
        let hold = hold.max(self.upstream.hold);
        if hold > self.upstream.hold || self.are_many() && !self.upstream.are_many {
            self.tell_pressure(hold, turn);
        }
    }

    fn end_sessions(&mut self, turn: &mut Turn<'_>) {
        for key in core::mem::take(&mut self.upstream.ending) {
            let Some(session) = self.sessions.get(key) else {
                continue;
            };
            if session.outbox.is_empty() {
                self.close_session(key, Cause::Told(Refusal::WorkerClosed, 1000), turn);
            } else {
                self.upstream.ending.insert(key);
            }
        }
    }
}
