//! Applications that have nothing to do with a client any more, while it uses others on the same connection: they part from it, and it stays.
//!
//! Only from a client that is in none of their namespaces, as it was told itself: Socket.IO has no word by which a namespace ends and its client comes back to
//! it by itself (not after a DISCONNECT, nor after a CONNECT_ERROR), so that the others end with the connection. Deliberately absent: that.

use super::upstream::close_body;
use super::{Hub, Key, Turn};
use crate::refusal::Refusal;
use crate::session::Cause;
use crate::upstream::{AppId, ClientNumber};
use ringway_proto::link::{Flags, Part};
use ringway_proto::socketio;

/// How long behind a DISCONNECT of its own a worker's CLOSE_CONN belongs to it: `disconnect(true)` says both at once, and means the connection. What it means
/// later is that the client has connected to nothing in time.
const DISMISSED_US: u64 = 1_000_000;

impl Hub {
    /// Whether clients may have more than one application on their connections. Else nothing of this is looked at.
    pub(super) fn has_neighbours(&self) -> bool {
        let upstream = self.settings.upstream.as_ref();
        let has_native = upstream.is_some_and(|upstream| !upstream.native.is_empty());
        has_native || self.upstream.clients.routes.are_several()
    }

    /// A worker closes a client's connection.
    pub(super) fn worker_closes(
        &mut self,
        (key, app): (Key, AppId),
        discards: bool,
        turn: &mut Turn<'_>,
    ) {
        let cause = Cause::Told(Refusal::WorkerClosed, 1000);
        if discards {
            return self.close_session(key, cause, turn);
        }
        let now_us = turn.now.monotonic_us;
        let upstream = self.upstream_of(key);
        let leg = upstream.and_then(|upstream| upstream.leg_mut(app));
        let is_meant =
            leg.is_some_and(|leg| leg.dismissed_us > 0 && now_us < leg.dismissed_us + DISMISSED_US);
        if is_meant || !self.part((key, app), cause, turn) {
            self.upstream.ending.insert(key);
        }
    }

    /// Workers die on a client: it is told to leave, as clients do not come back after that by themselves. Who has a parser of its own is only closed.
    pub(super) fn dismiss(&mut self, client: ClientNumber, turn: &mut Turn<'_>) {
        let Some((key, app)) = self.upstream.clients.find_leg(client) else {
            return;
        };
        // What its last worker left half said would come before it.
        self.drop_assembly((key, app));
        if !self.is_opaque() {
            for words in self.dismissals((key, app)) {
                self.upstream_send((key, app), Flags::NONE, Part::Text(&words), turn);
            }
        }
        self.worker_closes((key, app), false, turn);
    }

    /// DISCONNECT for each of its sockets, CONNECT_ERROR for each that it asked for.
    fn dismissals(&self, (key, app): (Key, AppId)) -> Vec<String> {
        let session = self.sessions.get(key);
        let upstream = session.and_then(|session| session.upstream());
        let connects = upstream.map_or(&[][..], |upstream| &upstream.connects);
        let asked = connects.iter().filter(|connect| connect.app == app);
        let asked: Vec<&str> = asked.map(|connect| &*connect.namespace).collect();
        let sockets = self.upstream.clients.sockets((key, app));
        let names = sockets.map(|(named, _)| &*named.name);
        let left = names.filter(|name| !asked.contains(name));
        let left = left.map(|name| match name {
            "/" => "1".to_owned(),
            name => format!("1{name},"),
        });
        let refused = asked.iter().map(|name| {
            let refusal = Refusal::WorkersDie;
            let packet = socketio::connect_error(name, refusal.message(), refusal.code());
            String::from_utf8(packet).expect("it is made of texts")
        });
        left.chain(refused).collect()
    }

    /// An application has nothing to do with a client any more. `false`: the client has something there, or nothing elsewhere.
    pub(super) fn part(
        &mut self,
        (key, app): (Key, AppId),
        cause: Cause,
        turn: &mut Turn<'_>,
    ) -> bool {
        if !self.has_neighbours() || !self.is_idle_at((key, app)) {
            return false;
        }
        let was_held = self.is_held_by_worker(key);
        let mut parted = None;
        self.count_input_of(key, |upstream| parted = upstream.take_leg(app));
        let Some(leg) = parted else {
            return false;
        };
        self.forget_slow_at((key, leg.number));
        let mail = self.end_leg(key, &leg, &close_body(cause));
        self.say_or_keep(mail, turn);
        if was_held {
            self.spare_pong(key, turn);
        }
        true
    }

    /// Whether the client uses its connection, and not for this application.
    fn is_idle_at(&self, (key, app): (Key, AppId)) -> bool {
        let Some(session) = self.sessions.get(key) else {
            return false;
        };
        let Some(upstream) = session.upstream() else {
            return false;
        };
        let has_native = !session.namespaces.is_empty() || !session.rare().pending.is_empty();
        let mut others = upstream.legs.iter().filter(|leg| leg.app != app);
        !upstream.uses(app) && (has_native || others.any(|leg| upstream.uses(leg.app)))
    }

    /// A client that was not read is read again.
    pub(super) fn spare_pong(&mut self, key: Key, turn: &mut Turn<'_>) {
        // Its pong stands behind all that waits to be read.
        self.forgo_pong(key, turn.now);
        let session = self.sessions.get(key);
        let due_us = session.map(|session| session.heartbeat.due_us());
        due_us
            .into_iter()
            .for_each(|due_us| self.arm_session(key, due_us, turn.out));
    }
}
