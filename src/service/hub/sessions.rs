//! The table of sessions: how one begins, and what its rooms tell it.
//!
//! Deliberately absent: how one ends (`closing`).

use super::{Hub, Key, Turn};
use crate::limits::TokenBucket;
use crate::outbox::Outbox;
use crate::refusal::Refusal;
use crate::rooms::Event;
use crate::session::{Application, Session, Sid, Transport};
use std::collections::VecDeque;
use std::net::IpAddr;

impl Hub {
    pub(crate) fn insert_session(
        &mut self,
        sid: Sid,
        address: IpAddr,
        application: Application,
        transport: Transport,
        phase: u64,
        turn: &mut Turn<'_>,
    ) -> Key {
        let key = self.sessions.insert(Session {
            sid,
            address,
            application,
            transport,
            conn: None,
            probe: None,
            post: None,
            opened_us: turn.now.monotonic_us,
            heartbeat: self.first_heartbeat(turn.now, phase),
            timer_us: 0,
            urgent: String::new(),
            outbox: Outbox::default(),
            namespaces: Vec::new(),
            pending: Vec::new(),
            reassembly: None,
            parked: VecDeque::new(),
            events: TokenBucket::default(),
            closing: None,
        });
        self.by_sid.insert(sid, key);
        self.stats.sessions += 1;
        self.stats.sessions_opened += 1;
        self.rearm(key, turn);
        key
    }

    /// Arms the session's timer for whatever comes first.
    pub(crate) fn rearm(&mut self, key: Key, turn: &mut Turn<'_>) {
        let Some(next_us) = self
            .sessions
            .get(key)
            .map(|session| self.next_deadline_us(session, turn.now))
        else {
            return;
        };
        self.arm_session(key, next_us, turn.out);
    }

    pub(crate) fn charge_event(&mut self, key: Key, turn: &Turn<'_>) -> Result<(), Refusal> {
        let rate = self.limits.rates.connection_events;
        let Some(session) = self.sessions.get_mut(key) else {
            return Ok(());
        };
        if session.events.take(turn.now, rate) {
            Ok(())
        } else {
            Err(Refusal::RateLimited)
        }
    }

    /// Hands out what rooms have said: answers to their askers, messages to their members.
    pub(crate) fn settle_rooms(&mut self, turn: &mut Turn<'_>) {
        for event in self.rooms.take_events() {
            match event {
                Event::Deliver(key, packet) => {
                    self.stats.delivered += 1;
                    self.push_packet(key, packet, turn);
                }
                Event::Answer(ask, epoch, offset) => {
                    let value = format!(r#"{{"ok":true,"epoch":{epoch},"offset":{offset}}}"#);
                    self.ack(ask.session, &ask.namespace, ask.ack, &value, turn);
                }
            }
        }
    }
}
