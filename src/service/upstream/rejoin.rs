//! A client that comes back enters in one step: it is given what it missed, its CONNECT is answered, and it is in its rooms, with nothing broadcast in between.
//!
//! From its worker's MEMBER to the answer, what the worker says of its membership is held back. Deliberately absent: whether it may come back (`keeping`).

use super::exchange::Exchange;
use super::mail::{ClientNumber, SpaceId, ToClients};
use super::recovery::{answered, listener};
use super::worker::WorkerId;
use ringway_proto::link::{Flags, Frame, Kind, Raw, Side};

impl Exchange {
    /// A worker's frame about its client, which may be coming back. `true`: it was dealt with.
    pub(super) fn enters(
        &mut self,
        client: ClientNumber,
        space: Option<SpaceId>,
        raw: &Raw<'_>,
    ) -> bool {
        if self.recovery.entering.is_empty() {
            return false;
        }
        match (raw.kind, space) {
            (Kind::Send, _) => self.enters_by_answer(client, raw),
            (Kind::Member, Some(space)) => self.enters_by_member((client, space), raw),
            (Kind::LeaveAll, Some(space)) => {
                self.recovery.stop_entering((client, space));
                false
            }
            (_, Some(space)) => {
                let entering = self.recovery.entering.get(&(client, space));
                entering.is_some_and(|entering| !entering.held.is_empty())
                    && self.hold_or_close((client, space), raw)
            }
            _ => false,
        }
    }

    fn enters_by_member(&mut self, at: (ClientNumber, SpaceId), raw: &Raw<'_>) -> bool {
        let entering = self.recovery.entering.get(&at);
        let Some(entering) = entering.filter(|entering| !entering.is_in) else {
            return false;
        };
        let frame = Frame::parse(raw, Side::Worker);
        let is_same = matches!(frame, Ok(Frame::Member { pid, .. }) if *pid == *entering.pid);
        if !is_same {
            // The worker did not wait for the answer: the client starts anew.
            self.recovery.stop_entering(at);
            return false;
        }
        self.recovery.let_go(at);
        self.hold_or_close(at, raw)
    }

    fn hold_or_close(&mut self, at: (ClientNumber, SpaceId), raw: &Raw<'_>) -> bool {
        if self.recovery.hold(at, raw.kind, raw.body).is_none() {
            self.recovery.put_back(at);
            self.cut_off_client(at.0);
        }
        true
    }

    /// A client that cannot be given what it missed is closed, and starts anew when it comes again.
    fn cut_off_client(&mut self, client: ClientNumber) {
        self.say_frame(client, None, (Kind::CloseConn, Flags::DISCARD), &[]);
    }

    fn enters_by_answer(&mut self, client: ClientNumber, raw: &Raw<'_>) -> bool {
        let is_text = !raw.flags.contains(Flags::BINARY);
        let Some((name, is_welcome)) = answered(raw.body).filter(|_| is_text) else {
            return false;
        };
        let app = self.app_of_client(client);
        let space = app.and_then(|app| self.names.get(app, name));
        let Some(at) = space.map(|space| (client, space)) else {
            return false;
        };
        let entering = self.recovery.entering.get(&at);
        match entering.filter(|entering| !entering.is_in) {
            Some(_) if !is_welcome => {
                self.recovery.put_back(at);
                false
            }
            Some(entering) if !entering.held.is_empty() => {
                self.enter(at, raw);
                true
            }
            _ => false,
        }
    }

    /// The one step: what was missed, the answer to CONNECT, the rooms. In the order of socket.io's own server, whose client keeps what it hears before the
    /// answer and gives it to its handlers just before `connect`. All of it goes in one batch, as a client that is cut off before the answer keeps what
    /// it has, and would hear it again.
    fn enter(&mut self, at: (ClientNumber, SpaceId), raw: &Raw<'_>) {
        let (client, space) = at;
        let Some(mut entering) = self.recovery.stop_entering(at) else {
            return;
        };
        let listener = listener(&entering.session);
        let Some(packets) = self.recovery.logs.missed(space, entering.from, listener) else {
            return self.cut_off_client(client);
        };
        let parts = packets.into_iter().flat_map(|packet| &packet.parts);
        let parts: Vec<(Flags, Box<[u8]>)> = parts.cloned().collect();
        for (flags, body) in &parts {
            self.recovery.given_bytes += body.len();
            self.say_frame(client, None, (Kind::Send, *flags), body);
        }
        self.say_frame(client, None, (raw.kind, raw.flags), raw.body);
        for (kind, body) in core::mem::take(&mut entering.held) {
            self.say_frame(client, Some(space), (kind, Flags::NONE), &body);
        }
        self.say(client.shard(), &ToClients::Entered { client, space });
        entering.held_bytes = 0;
        entering.is_in = true;
        self.recovery.start_entering(at, entering);
    }

    /// The client was there when it entered.
    pub(super) fn entered(&mut self, client: ClientNumber, space: SpaceId) {
        let stopped = self.recovery.stop_entering((client, space));
        self.stats.sessions_recovered += u64::from(stopped.is_some());
    }

    pub(super) fn say_frame(
        &mut self,
        client: ClientNumber,
        space: Option<SpaceId>,
        (kind, flags): (Kind, Flags),
        body: &[u8],
    ) {
        let known = self.clients.get(&client);
        // One that has lost its worker meanwhile is of nobody, which is no worker's number.
        let worker = known.and_then(|known| known.worker);
        let mail = ToClients::Frame {
            client: Some(client),
            space,
            worker: worker.unwrap_or(WorkerId(u64::MAX)),
            kind: kind.to_byte(),
            flags: flags.bits(),
            body,
        };
        self.say(client.shard(), &mail);
    }
}
