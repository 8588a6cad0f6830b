//! Timers of connections and sessions: heads that never end, pings, pongs that never come, tokens that expire.
//!
//! Deliberately absent: the timer wheel. A timer cannot be cancelled; whoever it wakes looks whether it is still meant.

use super::{Hub, Key, Output, Turn};
use crate::post::Post;
use crate::refusal::Refusal;
use crate::session::{Cause, Heartbeat, Moment, Session, Transport};
use crate::time::Now;
use ringway_proto::engineio::PacketKind;
use ringway_proto::ws;

const KIND_SHIFT: u32 = 62;
const CONNECTION: u64 = 0;
const SESSION: u64 = 1;
const DRAIN: u64 = 2;
pub(crate) const DRAIN_TOKEN: u64 = DRAIN << KIND_SHIFT;
pub(crate) const UPSTREAM_TOKEN: u64 = DRAIN_TOKEN | 1;
pub(crate) const UPLOADS_TOKEN: u64 = DRAIN_TOKEN | 2;
pub(crate) const FILES_TOKEN: u64 = DRAIN_TOKEN | 3;
pub(crate) const GATHER_TOKEN: u64 = DRAIN_TOKEN | 4;
pub(crate) const VERIFY_TOKEN: u64 = 3 << KIND_SHIFT;

/// A timer that fires so much too late says that this shard did not run: the pong may have come, and is not read yet.
const STALL_US: u64 = 500_000;

/// When a shard that has not read all looks again at whoever seems silent.
const LOOK_AGAIN_US: u64 = 1_000_000;

/// So many more timeouts it leaves to them.
const UNREAD_TIMEOUTS_MAX: u64 = 3;
/// Beats in the interval between two pings.
const BEATS: u64 = 256;

impl Hub {
    /// A timer of [`Output::Timer`].
    pub fn deadline(
        &mut self,
        now: Now,
        token: u64,
        post: &mut dyn Post,
        entropy: &mut dyn FnMut() -> u64,
        out: &mut Vec<Output>,
    ) {
        let mut turn = Turn::new(now, post, entropy, out);
        match token >> KIND_SHIFT {
            CONNECTION => {
                let key = Key::from_bits(token);
                self.connection_deadline(key, &mut turn);
                self.inherited_deadline(key, &mut turn);
            }
            SESSION => self.session_deadline(Key::from_bits(token), &mut turn),
            DRAIN if token == UPSTREAM_TOKEN => self.upstream_tick(&mut turn),
            DRAIN if token == UPLOADS_TOKEN => self.uploads_tick(&mut turn),
            DRAIN if token == GATHER_TOKEN => self.gather_tick(),
            DRAIN if token == FILES_TOKEN => self.files_tick(&mut turn),
            DRAIN => self.drain_step(&mut turn),
            _ => self.try_again(token, &mut turn),
        }
    }

    /// What the pool refused, and what the rate of the connection whose key the token has did not allow before.
    fn try_again(&mut self, token: u64, turn: &mut Turn<'_>) {
        self.verify_again(turn);
        self.run_again(turn);
        self.wake_body(Key::from_bits(token), turn);
    }

    pub(crate) fn set_deadline(&mut self, key: Key, at_us: u64, turn: &mut Turn<'_>) {
        self.arm_connection(key, at_us, turn.out);
    }

    pub(crate) fn clear_deadline(&mut self, key: Key) {
        if let Some(connection) = self.connections.get_mut(key) {
            connection.clear_deadline();
        }
    }

    /// One timer per connection: a later deadline is found when the earlier timer fires.
    pub(crate) fn arm_connection(&mut self, key: Key, at_us: u64, out: &mut Vec<Output>) {
        let Some(connection) = self.connections.get_mut(key) else {
            return;
        };
        connection.busy_mut().deadline_us = at_us;
        if connection.busy().timer_us == 0 || connection.busy().timer_us > at_us {
            connection.busy_mut().timer_us = at_us;
            out.push(Output::Timer {
                at_us,
                token: CONNECTION << KIND_SHIFT | key.bits(),
            });
        }
    }

    fn connection_deadline(&mut self, key: Key, turn: &mut Turn<'_>) {
        let now_us = turn.now.monotonic_us;
        let Some(connection) = self.connections.get_mut(key) else {
            return;
        };
        if connection.busy().timer_us > now_us {
            return;
        }
        connection.clear_timer();
        match connection.busy().deadline_us {
            0 => {}
            due_us if due_us > now_us => self.arm_connection(key, due_us, turn.out),
            _ => {
                let why = match self.is_starved(key) {
                    true => Refusal::Busy,
                    false => Refusal::Silent,
                };
                self.stats.refused(why);
                self.close_now(key, turn);
            }
        }
    }

    /// A WebSocket needs no timer any more, and its session needs one: it fires for that. The time that is left of it.
    pub(super) fn bequeath_timer(&mut self, key: Key) -> u64 {
        let connection = self.connections.get_mut(key);
        connection.map_or(0, |connection| connection.take_timer())
    }

    /// The session finds out itself whether it waits for this timer.
    fn inherited_deadline(&mut self, key: Key, turn: &mut Turn<'_>) {
        let connection = self.connections.get(key);
        if let Some(session) = connection.and_then(|connection| connection.carries()) {
            self.session_deadline(session, turn);
        }
    }

    /// One timer per session, for whatever comes first.
    pub(crate) fn arm_session(&mut self, key: Key, at_us: u64, out: &mut Vec<Output>) {
        let Some(session) = self.sessions.get_mut(key) else {
            return;
        };
        if session.timer == Moment::NONE || session.timer.us() > at_us {
            session.timer = Moment::at(at_us);
            out.push(Output::Timer {
                at_us,
                token: SESSION << KIND_SHIFT | key.bits(),
            });
        }
    }

    /// A new session's heartbeat starts at a random phase, so that pings are spread over the interval.
    pub(crate) fn first_heartbeat(&self, now: Now, phase: u64) -> Heartbeat {
        let interval_us = u64::from(self.settings.ping_interval_ms) * 1000;
        // Clients give up after interval + timeout without a ping: the first one may be early, never late.
        let due_us = now.monotonic_us + interval_us / 2 + phase % (interval_us / 2).max(1);
        let due_us = self.on_the_beat(due_us).max(now.monotonic_us);
        Heartbeat::ping_at(due_us)
    }

    /// The beat of this shard before `at_us`. Pings of a beat go out together, and their pongs come together: a shard with a million neighbours on its
    /// CPU would be woken for each of them. Shards have their beats one after the other.
    fn on_the_beat(&self, at_us: u64) -> u64 {
        let beat_us = u64::from(self.settings.ping_interval_ms) * 1000 / BEATS + 1;
        let offset_us = beat_us * u64::from(self.shard) / u64::from(self.shards);
        let late_us = at_us.saturating_sub(offset_us) % beat_us;
        at_us - late_us
    }

    fn session_deadline(&mut self, key: Key, turn: &mut Turn<'_>) {
        let now_us = turn.now.monotonic_us;
        let Some(session) = self.sessions.get_mut(key) else {
            return;
        };
        if session.timer.us() > now_us {
            return;
        }
        let late_us = now_us - session.timer.us();
        session.timer = Moment::NONE;
        if let Some(closing) = session.rare().closing {
            if closing.until_us <= now_us {
                self.give_up_closing(key, closing.cause, turn);
            } else {
                self.arm_session(key, closing.until_us, turn.out);
            }
            return;
        }
        self.spare_held(key, turn.now);
        if self.may_be_unread(key, turn.now) {
            return self.arm_session(key, now_us + LOOK_AGAIN_US, turn.out);
        }
        self.forgive_stall(key, late_us, turn.now);
        if let Some(cause) = self.overdue(key, turn.now) {
            self.close_session(key, cause, turn);
            return;
        }
        self.beat(key, turn);
        let next_us = self
            .sessions
            .get(key)
            .map(|session| self.next_deadline_us(session, turn.now));
        if let Some(next_us) = next_us {
            self.arm_session(key, next_us, turn.out);
        }
    }

    /// Nothing is received from whoever's worker does not follow: its pong may have come, and is not waited for.
    fn spare_held(&mut self, key: Key, now: Now) {
        let is_due = |session: &Session| {
            let is_held = session
                .upstream()
                .is_some_and(|upstream| !upstream.has_room());
            is_held && session.heartbeat.due_us() <= now.monotonic_us
        };
        if self.sessions.get(key).is_some_and(is_due) {
            self.forgo_pong(key, now);
        }
    }

    /// The interval and the timeout that the client was told of.
    fn pings_us(&self, key: Key) -> (u64, u64) {
        let session = self.sessions.get(key);
        let told = session.and_then(Session::upstream);
        let settings = (
            self.settings.ping_interval_ms,
            self.settings.ping_timeout_ms,
        );
        let (interval_ms, timeout_ms) = told.map_or(settings, |upstream| upstream.pings_ms);
        (u64::from(interval_ms) * 1000, u64::from(timeout_ms) * 1000)
    }

    /// Does not wait for a pong that is due. The next ping comes as if it had come, or the client would think that nobody is here.
    pub(super) fn forgo_pong(&mut self, key: Key, now: Now) {
        let (interval_us, timeout_us) = self.pings_us(key);
        let Some(session) = self.sessions.get_mut(key) else {
            return;
        };
        if session.heartbeat.is_pinged() {
            let next_us = (session.heartbeat.due_us() + interval_us).saturating_sub(timeout_us);
            session.heartbeat = Heartbeat::ping_at(next_us.max(now.monotonic_us));
        }
    }

    /// Whether all that had come was read before the deadlines that follow.
    pub fn has_heard(&mut self, all: bool) {
        self.heard_all = all;
    }

    /// Whether a session is overdue, and what it is waited for may be among what this shard has not come to: a shard with more to read than it gets to
    /// is no judge of who was silent. It is not to hold those who are gone for ever, and judges in the end all the same.
    fn may_be_unread(&self, key: Key, now: Now) -> bool {
        let Some(session) = self.sessions.get(key).filter(|_| !self.heard_all) else {
            return false;
        };
        let heartbeat = session.heartbeat;
        let pong_due_us = heartbeat.is_pinged().then(|| heartbeat.due_us());
        let timeout_us = u64::from(self.settings.ping_timeout_ms) * 1000;
        let due_us = [pong_due_us, self.connect_due_us(session)]
            .into_iter()
            .flatten()
            .min();
        due_us.is_some_and(|due_us| {
            let late_us = now.monotonic_us.checked_sub(due_us);
            late_us.is_some_and(|late_us| late_us < timeout_us * UNREAD_TIMEOUTS_MAX)
        })
    }

    /// A shard that stood still, as all of a machine does that is moved, has not listened either: for as long again no pong is late. Whoever does not
    /// send it is cut off at the end of that.
    fn forgive_stall(&mut self, key: Key, late_us: u64, now: Now) {
        let timeout_us = u64::from(self.settings.ping_timeout_ms) * 1000;
        // The first to fire were due first: they tell those that were due a moment ago.
        if late_us > STALL_US {
            let until_us = now.monotonic_us + late_us.min(timeout_us);
            self.forgiving_until_us = self.forgiving_until_us.max(until_us);
        }
        let Some(session) = self.sessions.get_mut(key) else {
            return;
        };
        let is_due = session.heartbeat.due_us() <= now.monotonic_us;
        if session.heartbeat.is_pinged() && is_due && now.monotonic_us < self.forgiving_until_us {
            session.heartbeat = Heartbeat::pong_by(self.forgiving_until_us);
        }
    }

    fn overdue(&self, key: Key, now: Now) -> Option<Cause> {
        let session = self.sessions.get(key)?;
        let is_due = session.heartbeat.due_us() <= now.monotonic_us;
        if session.heartbeat.is_pinged() && is_due {
            return Some(Cause::Told(Refusal::PingTimeout, 1008));
        }
        if self
            .connect_due_us(session)
            .is_some_and(|due_us| due_us <= now.monotonic_us)
        {
            return Some(Cause::Told(Refusal::ConnectTimeout, 1008));
        }
        let expired = session
            .expires_unix_ms()
            .is_some_and(|expires| expires <= now.unix_ms);
        expired.then_some(Cause::Told(Refusal::TokenExpired, 1008))
    }

    fn beat(&mut self, key: Key, turn: &mut Turn<'_>) {
        let (_, timeout_us) = self.pings_us(key);
        let Some(session) = self.sessions.get_mut(key) else {
            return;
        };
        let due =
            !session.heartbeat.is_pinged() && session.heartbeat.due_us() <= turn.now.monotonic_us;
        if due {
            session.heartbeat = Heartbeat::pong_by(turn.now.monotonic_us + timeout_us);
            self.send_urgent(
                key,
                PacketKind::Ping.symbol().encode_utf8(&mut [0; 4]),
                turn,
            );
        }
    }

    pub(crate) fn pong(&mut self, key: Key, turn: &mut Turn<'_>) {
        let (interval_us, _) = self.pings_us(key);
        let due_us = self.on_the_beat(turn.now.monotonic_us + interval_us);
        // The beat may be another one than when the client was told of its interval, and longer than that.
        let due_us = due_us.max(turn.now.monotonic_us + interval_us / 2);
        let Some(session) = self
            .sessions
            .get_mut(key)
            .filter(|session| session.heartbeat.is_pinged())
        else {
            return;
        };
        // The timer armed for the pong fires at its time and finds the later ping: no second timer.
        session.heartbeat = Heartbeat::ping_at(due_us);
        self.arm_session(key, due_us, turn.out);
    }

    /// A Socket.IO client that joins no namespace in time is no client.
    fn connect_due_us(&self, session: &Session) -> Option<u64> {
        let since_us = session.rare().nameless_us;
        let missing = since_us > 0 && session.rare().pending.is_empty();
        missing.then(|| since_us + u64::from(self.settings.connect_timeout_ms) * 1000)
    }

    pub(crate) fn next_deadline_us(&self, session: &Session, now: Now) -> u64 {
        let expiry_us = session.expires_unix_ms().map(|expires| {
            // As far as a token's life goes, which its issuer may have made endless.
            let left_us = expires.saturating_sub(now.unix_ms).saturating_mul(1000);
            now.monotonic_us.saturating_add(left_us)
        });
        let connect_us = self.connect_due_us(session);
        let rest = [expiry_us, connect_us].into_iter().flatten();
        rest.fold(session.heartbeat.due_us(), u64::min)
    }

    /// Sends an Engine.IO packet ahead of everything that is queued.
    pub(crate) fn send_urgent(&mut self, key: Key, packet: &str, turn: &mut Turn<'_>) {
        let Some(session) = self.sessions.get_mut(key) else {
            return;
        };
        if session.transport != Transport::WebSocket {
            session.rare_mut().urgent.push_str(packet);
            if let Some(conn) = session.conn {
                turn.out.push(Output::Urgent(conn));
            }
            return;
        }
        let Some(conn) = session.conn else {
            return;
        };
        if let Some(connection) = self.connections.get_mut(Key::of(conn)) {
            let output = &mut connection.busy_mut().output;
            ws::encode_frame(ws::Opcode::Text, packet.as_bytes(), output);
            turn.out.push(Output::Urgent(conn));
        }
    }
}
