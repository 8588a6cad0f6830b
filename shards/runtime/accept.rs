//! Accepting: one accept for each listener, all of them bounded by the one table of connections.
//!
//! Deliberately absent: what a listener is for. The handler is told by which one a connection came.

use crate::freeze::Stopping;
use crate::handler::Handler;
use crate::shard::{Shard, Timer};
use core::time::Duration;
use ringway_io::{Driver, Errno, GENERATION_MAX, Key, Listener, Op, OpKind, Peer, Socket};

/// Time after which accepting is tried again when it failed.
const ACCEPT_RETRY: Duration = Duration::from_millis(100);
/// Free places below the bound at which accepting begins again.
const ACCEPT_MARGIN: u32 = 64;

/// The accept of one listener.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Accept {
    armed: bool,
    cancelling: bool,
    generation: u32,
    stopped: bool,
    /// Failed; waits for its timer.
    failed: bool,
}

impl Accept {
    /// Whether an error is no news: the accept is about to end, or another error of its has set the timer.
    const fn expects_errors(self) -> bool {
        self.cancelling || self.stopped || self.failed
    }

    const fn is_idle(self) -> bool {
        !(self.armed || self.stopped || self.failed)
    }
}

impl<D: Driver, H: Handler> Shard<D, H> {
    fn listeners(&self) -> impl Iterator<Item = Listener> + use<D, H> {
        let listeners = self.accepts.len() as u32;
        (0..listeners).map(Listener)
    }

    fn accept_of(&mut self, listener: Listener) -> &mut Accept {
        &mut self.accepts[listener.0 as usize]
    }

    fn accept_key(&mut self, listener: Listener) -> Key {
        let generation = self.accept_of(listener).generation;
        Key::new(OpKind::Accept, generation, listener.0)
    }

    pub(crate) fn arm_accepts(&mut self) {
        for listener in self.listeners() {
            self.arm_accept(listener);
        }
    }

    fn arm_accept(&mut self, listener: Listener) {
        let may = self.accept_of(listener).is_idle() && self.stopping == Stopping::No;
        if may && self.has_room() {
            self.accept_of(listener).armed = true;
            let key = self.accept_key(listener);
            self.driver.submit(key, Op::Accept { listener });
        }
    }

    const fn has_room(&self) -> bool {
        self.table.live() < self.bounds.connections_max
    }

    /// Somewhat below the bound: a table that hovers there does not arm and cancel for every client.
    pub(crate) fn arm_accepts_when_room(&mut self) {
        let connections_max = self.bounds.connections_max;
        let margin = (connections_max / 10).min(ACCEPT_MARGIN);
        if self.table.live() < connections_max - margin {
            self.arm_accepts();
        }
    }

    /// Whether an accept is in flight.
    pub(crate) fn accepts(&self) -> bool {
        self.accepts.iter().any(|accept| accept.armed)
    }

    pub(crate) fn cancel_accepts(&mut self) {
        for listener in self.listeners() {
            self.cancel_accept(listener);
        }
    }

    fn cancel_accept(&mut self, listener: Listener) {
        let accept = self.accept_of(listener);
        if accept.armed && !accept.cancelling {
            accept.cancelling = true;
            let target = self.accept_key(listener);
            self.submit_stray(OpKind::Cancel, Op::Cancel { target });
        }
    }

    pub(crate) fn stop_accepting(&mut self) {
        for listener in self.listeners() {
            self.stop_listener(listener);
        }
    }

    fn stop_listener(&mut self, listener: Listener) {
        let accept = self.accept_of(listener);
        if core::mem::replace(&mut accept.stopped, true) {
            return;
        }
        if accept.armed {
            self.cancel_accept(listener);
        } else {
            self.driver.stop_listening(listener);
        }
    }

    pub(crate) fn accepted(&mut self, key: Key, result: Result<(Socket, Peer), Errno>, more: bool) {
        let listener = Listener(key.slot());
        match result {
            Ok((socket, peer)) => self.welcome(socket, listener, peer),
            Err(_) if self.accept_of(listener).expects_errors() => {}
            Err(_) => self.accept_failed(listener),
        }
        if !more {
            self.accept_ended(listener);
        }
    }

    fn accept_ended(&mut self, listener: Listener) {
        let accept = self.accept_of(listener);
        accept.armed = false;
        accept.cancelling = false;
        accept.generation = (accept.generation + 1) & GENERATION_MAX;
        if accept.stopped {
            self.driver.stop_listening(listener);
        }
    }

    /// Out of descriptors, most likely, and another try would fail at once: accepting rests until a timer. One error pauses all accepts that the
    /// driver has in flight for the listener, so that only the first one counts and sets the timer.
    fn accept_failed(&mut self, listener: Listener) {
        self.stats.accept_errors += 1;
        self.accept_of(listener).failed = true;
        let retry = self.now().monotonic + ACCEPT_RETRY;
        self.wheel.insert(retry, Timer::AcceptRetry(listener));
    }

    pub(crate) fn accept_retry(&mut self, listener: Listener) {
        self.accept_of(listener).failed = false;
        self.arm_accept(listener);
    }

    fn welcome(&mut self, socket: Socket, listener: Listener, peer: Peer) {
        self.stats.accepted += 1;
        let conn = self.table.insert(socket);
        if !self.has_room() {
            self.stats.accept_stops += 1;
            self.cancel_accepts();
        }
        self.call(|handler, cx| handler.accepted(cx, conn, listener, peer));
        self.arm_recv(conn);
    }
}
