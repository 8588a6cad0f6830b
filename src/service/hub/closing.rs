//! Ends: of a connection, of a session, and of everything when the daemon drains.
//!
//! Deliberately absent: a Socket.IO DISCONNECT; clients do not come back after one, so the daemon never sends it.

use super::{Hub, Key, Output, Turn};
use crate::connection::{Purpose, Stage};
use crate::refusal::Refusal;
use crate::session::{Cause, Closing, Session, Transport};
use crate::time::Now;
use ringway_proto::engineio::PacketKind;

/// WebSocket close code 1012: the service restarts, come back.
const SERVICE_RESTART: u16 = 1012;
/// Time between two steps of a drain.
const DRAIN_STEP_US: u64 = 10_000;
/// How long a closed polling session waits for the request that tells its client.
const CLOSING_US: u64 = 10_000_000;

/// A drain in progress: sessions are closed evenly until the deadline, so that they do not all come back at once.
pub(crate) struct Drain {
    deadline_us: u64,
    rest: Vec<Key>,
}

impl Drain {
    pub(crate) const fn deadline_us(&self) -> u64 {
        self.deadline_us
    }
}

impl Hub {
    /// Refuses newcomers and closes all sessions at an even pace until `deadline_us` (monotonic).
    pub fn drain(&mut self, now: Now, deadline_us: u64, out: &mut Vec<Output>) {
        let rest = self.sessions.keys().collect();
        self.drain = Some(Drain { deadline_us, rest });
        out.push(Output::Timer {
            at_us: now.monotonic_us,
            token: super::heartbeat::DRAIN_TOKEN,
        });
    }

    /// Whether a drain has closed everything.
    #[must_use]
    pub fn drained(&self) -> bool {
        self.drain_told_everybody()
            && self.sessions.len() == 0
            && self.connections.len() == 0
            && self.uploads_are_quiet()
    }

    /// Until then requests of sessions that wait for their turn are answered as ever: a connection that closed under them would end
    /// them before it.
    pub(crate) fn drain_told_everybody(&self) -> bool {
        let drain = self.drain.as_ref();
        drain.is_some_and(|drain| drain.rest.is_empty())
    }

    pub(crate) fn drain_step(&mut self, turn: &mut Turn<'_>) {
        let now_us = turn.now.monotonic_us;
        let Some(drain) = &mut self.drain else { return };
        let steps = (drain.deadline_us.saturating_sub(now_us) / DRAIN_STEP_US).max(1);
        let count = drain
            .rest
            .len()
            .div_ceil(usize::try_from(steps).unwrap_or(usize::MAX));
        let keep = drain.rest.len() - count;
        let batch = drain.rest.split_off(keep);
        let more = !drain.rest.is_empty();
        for key in batch {
            self.close_session(key, Cause::Told(Refusal::Draining, SERVICE_RESTART), turn);
        }
        if more {
            turn.out.push(Output::Timer {
                at_us: now_us + DRAIN_STEP_US,
                token: super::heartbeat::DRAIN_TOKEN,
            });
        } else {
            self.close_idle_connections(turn);
        }
    }

    /// Everybody was told: connections between two requests have nothing to wait for. Those with an answer on its way close behind it.
    fn close_idle_connections(&mut self, turn: &mut Turn<'_>) {
        self.drain_uploads(turn);
        let keys: Vec<Key> = self.connections.keys().collect();
        for key in keys {
            let Some(connection) = self.connections.get(key) else {
                continue;
            };
            let between = matches!(connection.stage, Stage::Prefix | Stage::Head);
            let purpose = match &connection.stage {
                Stage::Socket(socket) => Some(socket.purpose),
                _ => None,
            };
            if purpose == Some(Purpose::Echo) {
                self.close_socket(key, SERVICE_RESTART, Refusal::Draining.code(), turn);
            } else if between {
                self.close_after_flush(key, turn);
            }
        }
    }

    /// Ends a session: it leaves its rooms at once, its client is told in the way of its transport.
    pub(crate) fn close_session(&mut self, key: Key, cause: Cause, turn: &mut Turn<'_>) {
        let Some(session) = self
            .sessions
            .get_mut(key)
            .filter(|session| session.rare().closing.is_none())
        else {
            return;
        };
        if let Cause::Told(refusal, _) = cause {
            self.stats.refused(refusal);
        }
        self.queued_bytes -= session.outbox.bytes() as u64;
        session.outbox.clear();
        let mut waits = false;
        if let Some(rare) = session.rare_if() {
            self.input_bytes -= rare.input_bytes();
            waits = !core::mem::take(&mut rare.parked).is_empty();
            rare.pending.clear();
            rare.reassembly = None;
        }
        self.rooms.leave_all(key);
        self.upstream_closed(key, cause, turn);
        let Some(session) = self.sessions.get_mut(key) else {
            return;
        };
        let transport = session.transport;
        if waits {
            // What waited is not done any more: its POST, which may be older than the WebSocket, waits for nothing, and is read again.
            self.resume(key, turn);
            self.answer_held(key, turn);
        }
        match transport {
            Transport::WebSocket => self.close_websocket_session(key, cause, turn),
            Transport::Polling | Transport::Upgrading => {
                self.close_polling_session(key, cause, turn);
            }
        }
        if self.purpose == Some(Purpose::Session(key)) {
            self.purpose = None;
        }
    }

    fn close_websocket_session(&mut self, key: Key, cause: Cause, turn: &mut Turn<'_>) {
        let Some(session) = self.remove_session(key) else {
            return;
        };
        self.stats.sessions_websocket -= 1;
        self.release_post(&session, turn);
        let conn = session.conn.map(Key::of);
        if let Some(conn) = conn {
            self.tell_socket(conn, cause, turn);
        }
    }

    /// Closes a WebSocket with the reason for which its session ends.
    pub(crate) fn tell_socket(&mut self, key: Key, cause: Cause, turn: &mut Turn<'_>) {
        match cause {
            Cause::Told(refusal, code) => self.close_socket(key, code, refusal.code(), turn),
            Cause::Peer => self.close_socket(key, 1000, "", turn),
        }
    }

    /// The close packet rides on the GET that waits, or on the next one, if that comes soon.
    fn close_polling_session(&mut self, key: Key, cause: Cause, turn: &mut Turn<'_>) {
        let until_us = turn.now.monotonic_us + CLOSING_US;
        let transport = self.sessions.get(key).map(|session| session.transport);
        if transport == Some(Transport::Polling) {
            self.close_probe(key, cause, turn);
        }
        let Some(session) = self.sessions.get_mut(key) else {
            return;
        };
        // engine.io says both to a GET that comes behind the end, and a worker's word is always behind the request that it answers.
        let symbols = match cause {
            Cause::Peer => &[PacketKind::Noop][..],
            Cause::Told(Refusal::WorkerClosed, _) => &[PacketKind::Noop, PacketKind::Close],
            Cause::Told(..) => &[PacketKind::Close],
        };
        let symbols = symbols.iter().map(|kind| kind.symbol());
        session.rare_mut().urgent.extend(symbols);
        session.rare_mut().closing = Some(Closing { cause, until_us });
        if session.conn.is_none() && cause == Cause::Peer {
            if let Some(session) = self.remove_session(key) {
                self.release_post(&session, turn);
            }
            return;
        }
        turn.out.extend(session.conn.map(Output::Dirty));
        // Also with a GET that waits: it may stand behind answers that its client does not read.
        self.arm_session(key, until_us, turn.out);
    }

    /// A WebSocket that has not been probed is of no use to a session that ends. One that has been is where the client may wait: a client that
    /// has stopped polling hears nothing else.
    fn close_probe(&mut self, key: Key, cause: Cause, turn: &mut Turn<'_>) {
        let session = self.sessions.get_mut(key);
        let probe = session.and_then(|session| session.rare_if()?.probe.take());
        if let Some(probe) = probe.map(Key::of) {
            self.tell_socket(probe, cause, turn);
        }
    }

    /// A client that is not to be told any more takes the GET along that waits for it.
    pub(crate) fn give_up_closing(&mut self, key: Key, cause: Cause, turn: &mut Turn<'_>) {
        self.close_probe(key, cause, turn);
        let session = self.remove_session(key);
        let waiting = session.and_then(|session| session.conn.map(Key::of));
        if let Some(waiting) = waiting {
            self.close_now(waiting, turn);
        }
    }

    /// A POST of a session that is gone waits for nothing. Its packets may have ended the session when they were tried again: then nothing else waited.
    fn release_post(&mut self, session: &Session, turn: &mut Turn<'_>) {
        let post = session.rare().post.map(Key::of);
        if let Some(held) = post.filter(|post| self.is_held(*post)) {
            self.answer_post(held, true, turn);
        }
    }

    pub(crate) fn remove_session(&mut self, key: Key) -> Option<Session> {
        let session = self.sessions.remove(key)?;
        assert!(
            self.rooms.is_stranger(key),
            "a session leaves its rooms before it goes"
        );
        self.by_sid.remove(&session.sid, key);
        self.stats.sessions -= 1;
        Some(session)
    }

    /// Nothing more is read from the connection; what is in its output goes out first.
    pub(crate) fn close_after_flush(&mut self, key: Key, turn: &mut Turn<'_>) {
        let Some(connection) = self.connections.get_mut(key) else {
            return;
        };
        connection.closing = true;
        drop(connection.take_input());
        turn.out.push(Output::CloseAfterFlush(key.conn()));
    }

    pub(crate) fn close_now(&mut self, key: Key, turn: &mut Turn<'_>) {
        let Some(connection) = self.connections.get_mut(key) else {
            return;
        };
        connection.closing = true;
        drop(connection.take_input());
        turn.out.push(Output::Close(key.conn()));
    }

    /// Closes sessions that cannot keep up, with a stated reason.
    pub(crate) fn close_slow(&mut self, key: Key, turn: &mut Turn<'_>) {
        self.close_session(key, Cause::Told(Refusal::SlowConsumer, 1008), turn);
    }
}
