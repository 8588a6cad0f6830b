//! Clients of upstream namespaces: their packets go to a worker as they are.
//!
//! Deliberately absent: what the worker says (`obeyed`), which worker it is (`upstream/deal`), and what the packets mean, which the worker knows.

use super::{Hub, Key, Turn};
use crate::auth::Header;
use crate::refusal::Refusal;
use crate::session::{Cause, Inbound, Leg, Upstream};
use crate::upstream::{Admitted, AppId, ClientNumber, LINKS, Said, ToLinks, frame_cost};
use ringway_proto::link::{self, CloseReason, Flags, Frame, Kind, Phase, ResumedSocket};
use ringway_proto::socketio::SocketIoError;
use ringway_proto::{http1, socketio};
use serde_json::{Value, json};

/// What is said of a client to its next worker: a frame's body at most.
const OPEN_BYTES_MAX: usize = link::FRAME_BODY_BYTES_MAX as usize;

/// The body of CLOSE.
pub(super) fn close_body(cause: Cause) -> Vec<u8> {
    let (reason, code, text) = match cause {
        Cause::Peer => (CloseReason::TransportClose, 0, ""),
        Cause::Told(refusal, code) => (reason_of(refusal), code, refusal.message()),
    };
    Frame::Close { reason, code, text }.body()
}

const fn reason_of(refusal: Refusal) -> CloseReason {
    match refusal {
        Refusal::PingTimeout => CloseReason::PingTimeout,
        Refusal::BadPacket | Refusal::BadPayload | Refusal::BadAttachment => {
            CloseReason::ParseError
        }
        Refusal::WorkerClosed => CloseReason::ForcedClose,
        Refusal::SlowConsumer | Refusal::Busy => CloseReason::TransportError,
        _ => CloseReason::TransportClose,
    }
}

/// What the application says of origins holds for every answer to the client; the rest for the first.
fn repeated(headers: Vec<Header>) -> Box<[Header]> {
    let is_repeated = |name: &str| {
        let name = name.to_ascii_lowercase();
        name == "vary" || name.starts_with("access-control-")
    };
    let headers = headers.into_iter();
    headers.filter(|(name, _)| is_repeated(name)).collect()
}

impl Hub {
    /// Whether a namespace belongs to the application behind the links.
    pub(crate) fn is_upstream(&self, namespace: &str) -> bool {
        let upstream = self.settings.upstream.as_ref();
        upstream.is_some_and(|upstream| !upstream.native.contains(namespace))
    }

    /// Keeps what OPEN will say of the client.
    pub(crate) fn keep_head(
        &mut self,
        key: Key,
        request: &http1::Request,
        admitted: Option<Admitted>,
    ) {
        if self.settings.upstream.is_none() {
            return;
        }
        let Some(session) = self.sessions.get(key) else {
            return;
        };
        let address = self.address_of(session);
        let mut head = super::asking::head_of(request);
        let public_sid = admitted.as_ref().and_then(|it| it.public_sid.as_deref());
        let sid = public_sid.map_or_else(|| session.sid.text(), str::to_owned);
        let more =
            json!({ "sid": sid, "proto": 4, "address": address.to_string(), "secure": false });
        head.extend(more.as_object().cloned().unwrap_or_default());
        let head = Value::Object(head).to_string();
        let fields = head[1..head.len() - 1].into();
        let pings_ms = (
            self.settings.ping_interval_ms,
            self.settings.ping_timeout_ms,
        );
        let mut upstream = Upstream::new(fields, pings_ms);
        let affinity = self.settings.upstream.as_ref();
        let affinity = affinity.map(|settings| &settings.affinity);
        upstream.affinity = affinity.and_then(|said| said.value(request, address));
        if let Some(admitted) = admitted {
            upstream.worker = Some(admitted.worker);
            upstream.headers = repeated(admitted.headers);
        }
        if let Some(session) = self.sessions.get_mut(key) {
            session.rare_mut().upstream = Some(Box::new(upstream));
        }
    }

    /// A packet for the application.
    pub(crate) fn upstream_text(
        &mut self,
        key: Key,
        text: &str,
        packet: &socketio::Packet<'_>,
        turn: &mut Turn<'_>,
    ) {
        let app = self.upstream.clients.routes.of(packet.namespace);
        let is_connect = packet.kind == socketio::PacketKind::Connect;
        if is_connect && let Err(refusal) = self.has_place_in((key, app), packet.namespace) {
            return self.refuse_connect((key, app), packet.namespace, refusal, turn);
        }
        if !self.upstream_is_open((key, app), turn) {
            return self.park(key, Inbound::Text(text.into()), turn);
        }
        let flags = match text.is_ascii() {
            true => Flags::ASCII,
            false => Flags::NONE,
        };
        let has_more = packet.attachments > 0;
        let before = self.number_at((key, app));
        if !self.upstream_data((key, app), flags, has_more, text.as_bytes(), turn) {
            return self.park(key, Inbound::Text(text.into()), turn);
        }
        // It is charged once it is said: what waits for ring space comes here again.
        if !self.settings.dev
            && let Err(refusal) = self.charge_event(key, packet.namespace, turn)
        {
            return self.close_session(key, Cause::Told(refusal, 1008), turn);
        }
        if is_connect && before != self.number_at((key, app)) && self.worker_knows(key) {
            // Where the links are the application may have parted from the client while this was said, and not have heard it: it is told anew.
            return self.park(key, Inbound::Text(text.into()), turn);
        }
        self.note_packet((key, app), text, packet);
    }

    /// A packet of a namespace with a name longer than any. Whoever asks for such a one is refused as for one that is not there; nobody is in one.
    pub(super) fn upstream_too_long(&mut self, key: Key, text: &str, turn: &mut Turn<'_>) {
        let bounds = socketio::Bounds {
            namespace_bytes_max: u16::MAX,
            ..self.settings.packet_bounds()
        };
        match socketio::Packet::parse(text, &bounds) {
            Ok(packet) if packet.kind == socketio::PacketKind::Connect => {
                let app = self.upstream.clients.routes.of(packet.namespace);
                self.refuse_connect((key, app), packet.namespace, Refusal::BadNamespace, turn);
            }
            // It is longer than such bounds can say.
            Err(SocketIoError::Namespace) if text.starts_with("0/") => {
                let name = text[1..].split([',', '?']).next().unwrap_or_default();
                let app = self.upstream.clients.routes.of(name);
                self.refuse_connect((key, app), name, Refusal::BadNamespace, turn);
            }
            _ => self.close_session(key, Cause::Told(Refusal::BadPacket, 1002), turn),
        }
    }

    fn number_at(&mut self, (key, app): (Key, AppId)) -> Option<ClientNumber> {
        self.upstream_of(key)?.number(app)
    }

    fn worker_knows(&mut self, key: Key) -> bool {
        let upstream = self.upstream_of(key);
        upstream.is_some_and(|upstream| !upstream.legs.is_empty())
    }

    /// Remembers what of a client's packet is not over yet: a CONNECT until it is answered, attachments until they came.
    fn note_packet(&mut self, (key, app): (Key, AppId), text: &str, packet: &socketio::Packet<'_>) {
        let Some(upstream) = self.upstream_of(key) else {
            return;
        };
        if upstream.legs.is_empty() {
            // What it said has ended it.
            return;
        }
        upstream.attachments = packet.attachments;
        upstream.attachments_of = app;
        let namespace = packet.namespace;
        match packet.kind {
            socketio::PacketKind::Connect => {
                self.count_input_of(key, |upstream| upstream.asks(app, namespace, text));
            }
            socketio::PacketKind::Disconnect => {
                self.count_input_of(key, |upstream| {
                    upstream.answered(namespace);
                    upstream
                        .leg_mut(app)
                        .into_iter()
                        .for_each(|leg| leg.leaves(namespace));
                });
                self.upstream.clients.forget_pid(key, namespace);
            }
            _ => {}
        }
    }

    /// An attachment of such a packet.
    pub(crate) fn upstream_attachment(&mut self, key: Key, bytes: &[u8], turn: &mut Turn<'_>) {
        let due = self.upstream_of(key);
        let due = due.map(|upstream| (upstream.attachments, upstream.attachments_of));
        let (left, app) = due.unwrap_or_default();
        let is_said = self.upstream_is_open((key, app), turn)
            && self.upstream_data((key, app), Flags::BINARY, left > 1, bytes, turn);
        if !is_said {
            return self.park(key, Inbound::Binary(bytes.into()), turn);
        }
        if let Some(upstream) = self.upstream_of(key) {
            upstream.attachments -= 1;
        }
    }

    /// Whether what is no packet is for the worker to refuse, which tells its application why. Of a client that has native namespaces alone no
    /// worker knows.
    pub(crate) fn worker_judges(&self, key: Key) -> bool {
        let upstream = self.settings.upstream.as_ref();
        upstream.is_some_and(|upstream| {
            let session = self.sessions.get(key);
            let known = session.and_then(|session| session.upstream());
            upstream.native.is_empty() || known.is_some_and(|known| !known.legs.is_empty())
        })
    }

    /// What has no namespace, or comes where it has no place: the worker's parser says what is wrong, and its answer is the connection's end.
    pub(crate) fn upstream_nonsense(&mut self, key: Key, inbound: Inbound, turn: &mut Turn<'_>) {
        let (flags, body) = match &inbound {
            Inbound::Text(text) if text.is_ascii() => (Flags::ASCII, text.as_bytes()),
            Inbound::Text(text) => (Flags::NONE, text.as_bytes()),
            Inbound::Binary(bytes) => (Flags::BINARY, &**bytes),
            Inbound::Event(_) => unreachable!("an event was parsed"),
        };
        // Whoever knows the client has a parser for it.
        let known = self.upstream_of(key).and_then(|known| known.legs.first());
        let app = known.map_or(AppId::MAIN, |leg| leg.app);
        let is_said = self.upstream_is_open((key, app), turn)
            && self.upstream_data((key, app), flags, false, body, turn);
        if !is_said {
            return self.park(key, inbound, turn);
        }
        // Attachments that a packet was short of have nowhere to go.
        self.upstream_of(key)
            .into_iter()
            .for_each(|upstream| upstream.attachments = 0);
        if !self.settings.dev
            && let Err(refusal) = self.charge_event(key, "/", turn)
        {
            self.close_session(key, Cause::Told(refusal, 1008), turn);
        }
    }

    pub(super) fn upstream_of(&mut self, key: Key) -> Option<&mut Upstream> {
        self.sessions.get_mut(key)?.upstream_mut()
    }

    /// Namespaces that a client is in, and those that it has asked for and has no answer about, without the one that it asks for.
    pub(super) fn namespaces_of(&self, key: Key, asked: &str) -> usize {
        let Some(session) = self.sessions.get(key) else {
            return 0;
        };
        let native = session.namespaces.len() + session.rare().pending.len();
        let Some(upstream) = session.upstream() else {
            return native;
        };
        let is_counted = |name: &str| name == asked || upstream.asks_for(name);
        let joined = self.upstream.clients.count_of(key, is_counted);
        let connects = upstream.connects.iter();
        let others = connects.filter(|connect| *connect.namespace != *asked);
        native + joined + others.count()
    }

    /// Whether a client may ask its application for a namespace.
    fn has_place_in(&self, (key, app): (Key, AppId), namespace: &str) -> Result<(), Refusal> {
        let settings = self.settings.upstream.as_ref();
        let spaces_max = settings.map_or(0, |upstream| upstream.exchange.namespaces_max as usize);
        if self.namespaces_of(key, namespace) >= usize::from(self.settings.namespaces_max) {
            return Err(Refusal::TooManyNamespaces);
        }
        match self.upstream.clients.has_place(app, namespace, spaces_max) {
            true => Ok(()),
            false => Err(Refusal::NamespacesFull),
        }
    }

    /// A client may not have a namespace. Its other ones go on, and it does not ask again by itself, as it would if it were closed.
    fn refuse_connect(
        &mut self,
        (key, app): (Key, AppId),
        namespace: &str,
        refusal: Refusal,
        turn: &mut Turn<'_>,
    ) {
        if !self.settings.dev
            && let Err(refusal) = self.charge_event(key, namespace, turn)
        {
            return self.close_session(key, Cause::Told(refusal, 1008), turn);
        }
        if refusal == Refusal::NamespacesFull {
            let name = namespace;
            self.say_to_links(&ToLinks::Crowded { app, name }, turn);
        }
        // As a server says it of a namespace that it does not have.
        let said = match refusal {
            Refusal::BadNamespace => "Invalid namespace",
            refusal => refusal.message(),
        };
        self.refused_connect(key, namespace, (refusal, said), turn);
    }

    /// Whether the client may send its worker at an application something: it is known to the links, and not too much is on the way.
    pub(super) fn upstream_is_open(
        &mut self,
        (key, app): (Key, AppId),
        turn: &mut Turn<'_>,
    ) -> bool {
        let Some(upstream) = self.upstream_of(key) else {
            return false;
        };
        let (number, has_room) = (upstream.number(app), upstream.has_room());
        let has_room = has_room && !self.over_input();
        number.is_some() && has_room || number.is_none() && self.ask_for_worker((key, app), turn)
    }

    /// Whether as much as may be is on the way to its worker.
    pub(super) fn is_held_by_worker(&self, key: Key) -> bool {
        let upstream = self
            .sessions
            .get(key)
            .and_then(|session| session.upstream());
        upstream.is_some_and(|upstream| !upstream.legs.is_empty() && !upstream.has_room())
    }

    fn ask_for_worker(&mut self, (key, app): (Key, AppId), turn: &mut Turn<'_>) -> bool {
        let number = self.upstream.clients.number(key, app);
        if let Some(upstream) = self.upstream_of(key) {
            upstream.legs.push(Leg::new(app, number));
        }
        let is_asked = self.say_open((key, app), number, turn);
        if !is_asked {
            self.upstream.clients.forget(number);
            self.upstream_of(key)
                .into_iter()
                .for_each(|upstream| upstream.legs.retain(|leg| leg.app != app));
        }
        is_asked
    }

    pub(super) fn drop_assembly(&mut self, (key, app): (Key, AppId)) {
        let upstream = self.upstream_of(key);
        if let Some(leg) = upstream.and_then(|upstream| upstream.leg_mut(app)) {
            let dropped = core::mem::take(&mut leg.assembly);
            self.queued_bytes -= dropped.kept_bytes();
        }
    }

    /// Says who a client is, and which sockets it has. `false`: there is no ring space.
    pub(super) fn say_open(
        &mut self,
        (client_key, app): (Key, AppId),
        client: ClientNumber,
        turn: &mut Turn<'_>,
    ) -> bool {
        // What became of its sockets before is not to come behind what they are by now.
        if !self.upstream.clients.unsaid.is_empty() {
            return false;
        }
        // What its last worker left half said, the next one says anew, or nobody.
        self.drop_assembly((client_key, app));
        let Some(session) = self.sessions.get(client_key) else {
            return true;
        };
        let Some(upstream) = session.upstream() else {
            return true;
        };
        let transport = session.transport.name();
        let mut json = format!("{{\"transport\":\"{transport}\",{}", upstream.head);
        let sockets = self.sockets_of((client_key, app));
        let resumes = !sockets.is_empty();
        if resumes && self.is_in_doubt(client_key) {
            self.close_in_doubt(client_key, turn);
            return true;
        }
        if resumes {
            let sockets = serde_json::to_string(&sockets).expect("these shapes always serialise");
            json.push_str(&format!(",\"sockets\":{sockets}"));
        }
        json.push('}');
        let connects = upstream.connects.iter();
        let connects = connects.filter(|connect| connect.app == app);
        let connects = connects.map(|connect| Said::text(&connect.text));
        let openers = upstream.openers.iter().map(|(is_binary, body)| Said {
            is_binary: *is_binary,
            body,
        });
        let mail = ToLinks::Open {
            client,
            app,
            resumes,
            worker: upstream.worker.filter(|_| !resumes && app == AppId::MAIN),
            affinity: upstream.affinity,
            json: &json,
            connects: connects.chain(openers).collect(),
        };
        let mail = mail.encode();
        if mail.len() > OPEN_BYTES_MAX {
            self.close_session(client_key, Cause::Told(Refusal::Busy, 1009), turn);
            return true;
        }
        let is_said = self.say_encoded(&mail, turn);
        if is_said {
            self.say_slow_anew((client_key, client), turn);
        }
        is_said
    }

    fn sockets_of(&self, (key, app): (Key, AppId)) -> Vec<ResumedSocket<'_>> {
        // Whose CONNECT was not answered connects again.
        let session = self.sessions.get(key);
        let upstream = session.and_then(|session| session.upstream());
        let asks = |name: &str| upstream.is_some_and(|upstream| upstream.asks_for(name));
        let sockets = self.upstream.clients.sockets((key, app));
        let sockets = sockets.filter(|(named, _)| !asks(&named.name));
        let sockets = sockets.map(|(named, member)| ResumedSocket {
            nsp: (&*named.name).into(),
            sid: (&*member.sid).into(),
            pid: Some((&*member.pid).into()),
            rooms: named
                .space
                .rooms_of(key)
                .map(|room| (&**room).into())
                .collect(),
            auth: serde_json::from_str(&member.auth).ok(),
            data: serde_json::from_str(&member.data).ok(),
        });
        sockets.collect()
    }

    /// `false`: there is no ring space.
    pub(super) fn upstream_data(
        &mut self,
        (key, app): (Key, AppId),
        flags: Flags,
        has_more: bool,
        body: &[u8],
        turn: &mut Turn<'_>,
    ) -> bool {
        let number = self.upstream_of(key);
        let Some(client) = number.and_then(|upstream| upstream.number(app)) else {
            return true;
        };
        let cost = frame_cost(body.len());
        self.count_input_of(key, |upstream| upstream.sent(app, cost));
        let mail = ToLinks::Frame {
            client,
            kind: Kind::Data.to_byte(),
            flags: flags.bits(),
            has_more,
            body,
        };
        let is_said = self.say_to_links(&mail, turn);
        if !is_said {
            self.count_input_of(key, |upstream| upstream.dealt(app, cost));
        }
        is_said
    }

    /// What is on the way to a worker is input that is kept: the shard has one budget for all of it.
    pub(super) fn count_input_of(&mut self, key: Key, change: impl FnOnce(&mut Upstream)) {
        let Some(upstream) = self.upstream_of(key) else {
            return;
        };
        let before = upstream.input_bytes();
        change(upstream);
        let after = upstream.input_bytes();
        self.input_bytes = self.input_bytes + after - before;
    }

    pub(super) fn say_to_links(&mut self, mail: &ToLinks<'_>, turn: &mut Turn<'_>) -> bool {
        if self.shard != LINKS {
            return self.say_encoded(&mail.encode(), turn);
        }
        self.exchange_mail(mail, turn);
        true
    }

    pub(super) fn say_encoded(&mut self, mail: &[u8], turn: &mut Turn<'_>) -> bool {
        if self.shard != LINKS {
            return turn.post.request_one_way(LINKS, &[mail]);
        }
        self.exchange_mail(&ToLinks::decode(mail), turn);
        true
    }

    /// The session ends: so do its sockets, and its worker hears of it.
    pub(crate) fn upstream_closed(&mut self, key: Key, cause: Cause, turn: &mut Turn<'_>) {
        let Some(upstream) = self.upstream_of(key) else {
            return;
        };
        upstream.forget_input();
        let legs = core::mem::take(&mut upstream.legs);
        self.forget_slow(key);
        // Where the links are they answer at once, and must not find a session of which a leg is left: all are gone before the first is said.
        let body = close_body(cause);
        let legs = legs.into_iter();
        let mails: Vec<Vec<u8>> = legs.map(|leg| self.end_leg(key, &leg, &body)).collect();
        mails
            .into_iter()
            .for_each(|mail| self.say_or_keep(mail, turn));
    }

    /// An application's number of the client is nobody's any more. What it hears of that.
    pub(super) fn end_leg(&mut self, key: Key, leg: &Leg, body: &[u8]) -> Vec<u8> {
        let mail = ToLinks::Closed {
            client: leg.number,
            app: leg.app,
            body,
            sockets: self.upstream.clients.left((key, leg.app)),
        };
        let mail = mail.encode();
        self.queued_bytes -= leg.assembly.kept_bytes();
        self.upstream.clients.forget(leg.number);
        mail
    }

    /// What the applications call a client that know it.
    pub(super) fn numbers_of(&mut self, key: Key) -> Vec<ClientNumber> {
        let legs = self.upstream_of(key).map(|upstream| &*upstream.legs);
        let legs = legs.unwrap_or_default().iter();
        legs.map(|leg| leg.number).collect()
    }

    /// The links hear of it at once, or when there is ring space: in the order in which it was said.
    pub(super) fn say_or_keep(&mut self, mail: Vec<u8>, turn: &mut Turn<'_>) {
        if !self.upstream.clients.unsaid.is_empty() || !self.say_encoded(&mail, turn) {
            self.upstream.clients.unsaid.push(mail);
        }
    }

    /// A WebSocket probes for the client. Told once of a session, whose client may probe as often as it likes.
    pub(crate) fn upstream_upgrading(&mut self, key: Key, turn: &mut Turn<'_>) {
        let upstream = self.upstream_of(key);
        let untold =
            upstream.filter(|upstream| !upstream.legs.is_empty() && !upstream.is_upgrading);
        if let Some(upstream) = untold {
            upstream.is_upgrading = true;
            self.say_transport(key, Phase::Upgrading, turn);
        }
    }

    /// The client has changed its transport.
    pub(crate) fn upstream_upgraded(&mut self, key: Key, turn: &mut Turn<'_>) {
        self.say_transport(key, Phase::Upgrade, turn);
    }

    /// Its worker may miss that; nothing hangs on it.
    fn say_transport(&mut self, key: Key, phase: Phase, turn: &mut Turn<'_>) {
        let transport = link::Transport::WebSocket;
        let body = Frame::Transport { phase, transport }.body();
        for client in self.numbers_of(key) {
            let mail = ToLinks::Frame {
                client,
                kind: Kind::Transport.to_byte(),
                flags: Flags::NONE.bits(),
                has_more: false,
                body: &body,
            };
            self.say_to_links(&mail, turn);
        }
    }
}
