//! An exchange whose links and clients are played by a test.

use super::applications::{AppId, Application};
use super::breaker::{BreakerSettings, OnFailure};
use super::exchange::{Exchange, ExchangeSettings, Order};
use super::link::LinkPeer;
use super::mail::{ClientNumber, Said, ToClients, ToLinks};
use super::owed::OnWorkerLoss;
use super::pressure::Hold;
use super::window::{Sum, Window};
use crate::time::{ConnId, Now};
use ringway_proto::link::{self, Flags, Frame, Hello, Json, Kind, Part, Raw, ResumePoint, Side};
use std::collections::HashMap;

/// The peer's end of a link.
#[derive(Default)]
pub(super) struct Peer {
    /// What the daemon said, as far as it was not looked at.
    wire: Vec<u8>,
    /// Counted frames that were looked at.
    heard: Sum,
    pub(super) is_closed: bool,
    /// Nothing is received from it.
    pub(super) is_paused: bool,
}

pub(super) struct Stage {
    pub(super) exchange: Exchange,
    pub(super) now_us: u64,
    peers: HashMap<ConnId, Peer>,
    next_conn: u64,
    /// The shard of clients says at once that it does what the application wants.
    pub(super) is_obedient: bool,
    /// Whose links come.
    pub(super) peer: String,
    /// They come over TCP.
    pub(super) is_over_tcp: bool,
    /// Workers say when a client that they took over is back.
    pub(super) says_taken: bool,
    /// Workers that join are of a version without MOVED.
    pub(super) is_old: bool,
    /// Whose workers come.
    pub(super) application: &'static str,
    /// What clients' shards were told, as text.
    pub(super) told: Vec<String>,
    /// Frames of workers that went to clients' shards, with what is in them.
    frames: Vec<String>,
    /// What was dealt with, by client.
    pub(super) dealt: HashMap<ClientNumber, u64>,
}

pub(super) const fn client(number: u64) -> ClientNumber {
    ClientNumber::new(0, number)
}

/// As it is by default.
pub(super) const fn breaker() -> BreakerSettings {
    BreakerSettings {
        stall_ms: 10_000,
        flood_ms: 30_000,
        failures_max: 5,
        client_deaths_max: 3,
        failures_within_ms: 60_000,
        isolate_ms_min: 1_000,
        isolate_ms_max: 10_000,
        on_failure: OnFailure::Hold,
    }
}

/// As they are by default, with applications beside the main one.
pub(crate) fn settings(window: Window, others: &[(&str, &[&str])]) -> ExchangeSettings {
    let application = |(name, namespaces): &(&str, &[&str])| Application {
        name: (*name).to_owned(),
        namespaces: namespaces.iter().map(|name| (*name).to_owned()).collect(),
    };
    ExchangeSettings {
        application: "default".to_owned(),
        applications: others.iter().map(application).collect(),
        // With what is spare, 1,024.
        namespaces_max: 960,
        window,
        grace_ms: 500,
        hold_ms: 30_000,
        payload_bytes_max: 1_000_000,
        redeliver: false,
        migrations_per_second: 100,
        coalesce_us: 0,
        on_worker_loss: OnWorkerLoss::Keep,
        breaker: breaker(),
        secret: None,
    }
}

impl Stage {
    pub(super) fn new(window: Window) -> Self {
        Self::with_applications(window, &[])
    }

    /// With applications beside the main one, each with namespaces of its own.
    pub(super) fn with_applications(window: Window, others: &[(&str, &[&str])]) -> Self {
        Self {
            exchange: Exchange::new(settings(window, others), 1, [1, 2]),
            now_us: 1_000_000,
            peers: HashMap::new(),
            next_conn: 1,
            is_obedient: true,
            peer: "process 1".to_owned(),
            is_over_tcp: false,
            says_taken: false,
            is_old: false,
            application: "default",
            told: Vec::new(),
            frames: Vec::new(),
            dealt: HashMap::new(),
        }
    }

    /// Links are read, or not.
    pub(super) fn block(&mut self, is_blocked: bool) {
        self.hold(if is_blocked { Hold::All } else { Hold::Nobody });
    }

    pub(super) fn hold(&mut self, hold: Hold) {
        self.exchange.set_hold(self.now(), hold);
        self.carry();
    }

    pub(super) const fn now(&self) -> Now {
        Now {
            monotonic_us: self.now_us,
            unix_ms: 0,
        }
    }

    pub(super) fn peer(&self, conn: ConnId) -> &Peer {
        &self.peers[&conn]
    }

    /// A link that has said nothing.
    pub(super) fn accept(&mut self) -> ConnId {
        let conn = ConnId::new(self.next_conn);
        self.next_conn += 1;
        self.peers.insert(conn, Peer::default());
        let peer = LinkPeer {
            name: self.peer.clone(),
            needs_proof: self.is_over_tcp,
        };
        self.exchange.accepted(self.now(), conn, [3, 4], &peer);
        self.carry();
        conn
    }

    pub(super) fn say(&mut self, conn: ConnId, number: u64, frame: &Frame<'_>) {
        self.say_with(conn, number, Flags::NONE, frame);
    }

    pub(super) fn say_with(&mut self, conn: ConnId, number: u64, flags: Flags, frame: &Frame<'_>) {
        let mut bytes = Vec::new();
        frame.encode_into(number, flags, &mut bytes);
        self.exchange.received(self.now(), conn, &bytes);
        self.carry();
    }

    pub(super) fn hello(&mut self, conn: ConnId, instance: &str) {
        self.hello_again(conn, instance, None);
    }

    /// A worker that people call by a name.
    pub(super) fn hello_named(&mut self, conn: ConnId, instance: &str, name: &str) {
        self.hello_with("worker", conn, instance, Some(name), None);
    }

    /// The same worker on another link; it says how many frames it has dealt with.
    pub(super) fn hello_again(&mut self, conn: ConnId, instance: &str, received: Option<u64>) {
        self.hello_with("worker", conn, instance, None, received);
    }

    pub(super) fn hello_as(
        &mut self,
        role: &'static str,
        conn: ConnId,
        instance: &str,
        received: Option<u64>,
    ) {
        self.hello_with(role, conn, instance, None, received);
    }

    fn hello_with(
        &mut self,
        role: &'static str,
        conn: ConnId,
        instance: &str,
        name: Option<&str>,
        received: Option<u64>,
    ) {
        let epoch = self.exchange.epoch().to_owned();
        let resume = received.map(|received| ResumePoint {
            epoch: epoch.into(),
            received,
        });
        let json = Json::new(Hello {
            proto: [1, 0],
            app: self.application.into(),
            instance: instance.into(),
            role: role.into(),
            nonce: "0".repeat(32).into(),
            name: name.map(Into::into),
            weight: None,
            resume,
            caps: Some(
                [("hold", self.says_taken), ("move", !self.is_old)]
                    .into_iter()
                    .filter(|(_, has)| *has)
                    .map(|(name, _)| name.into())
                    .collect(),
            ),
        });
        self.say(conn, 0, &Frame::Hello { json, mac: "" });
    }

    /// A worker that has joined.
    pub(super) fn worker(&mut self, instance: &str) -> ConnId {
        let conn = self.accept();
        self.hello(conn, instance);
        let frames = self.heard(conn);
        assert_eq!(frames, ["CHALLENGE 0", "WELCOME 0"]);
        conn
    }

    /// The same, of an application beside the main one.
    pub(super) fn worker_of(&mut self, application: &'static str, instance: &str) -> ConnId {
        self.application = application;
        let conn = self.worker(instance);
        self.application = "default";
        conn
    }

    /// The link ends.
    pub(super) fn cut(&mut self, conn: ConnId) {
        self.peers.entry(conn).or_default().is_closed = true;
        self.exchange.closed(self.now(), conn);
        self.carry();
    }

    /// Its worker is gone for good.
    pub(super) fn kill(&mut self, conn: ConnId) {
        self.cut(conn);
        self.pass(600_000);
    }

    /// Time goes by.
    pub(super) fn pass(&mut self, us: u64) {
        let end_us = self.now_us + us;
        while self.now_us < end_us {
            self.now_us = end_us.min(self.now_us + 100_000);
            self.exchange.tick(self.now());
            self.carry();
        }
    }

    pub(super) fn mail(&mut self, mail: &ToLinks<'_>) {
        self.exchange.mail(self.now(), mail);
        self.carry();
    }

    pub(super) fn open(&mut self, number: u64, connects: &[&str]) {
        self.open_at(AppId::MAIN, number, connects);
    }

    /// A client of an application.
    pub(super) fn open_at(&mut self, app: AppId, number: u64, connects: &[&str]) {
        self.open_with((app, None), number, connects);
    }

    /// A client whose worker something decides.
    pub(super) fn open_with(
        &mut self,
        (app, affinity): (AppId, Option<u64>),
        number: u64,
        connects: &[&str],
    ) {
        self.mail(&ToLinks::Open {
            client: client(number),
            app,
            resumes: false,
            worker: None,
            affinity,
            json: "{}",
            connects: connects.iter().copied().map(Said::text).collect(),
        });
    }

    /// A client whose last worker had sockets of it.
    pub(super) fn resume(&mut self, number: u64) {
        self.mail(&ToLinks::Open {
            client: client(number),
            app: AppId::MAIN,
            resumes: true,
            worker: None,
            affinity: None,
            json: "{}",
            connects: Vec::new(),
        });
    }

    pub(super) fn data(&mut self, number: u64, text: &str) {
        self.part(number, text, false);
    }

    /// A packet's header, or all of it.
    pub(super) fn part(&mut self, number: u64, text: &str, has_more: bool) {
        self.frame(number, Flags::NONE, text, has_more);
    }

    pub(super) fn attachment(&mut self, number: u64, text: &str, has_more: bool) {
        self.frame(number, Flags::BINARY, text, has_more);
    }

    fn frame(&mut self, number: u64, flags: Flags, text: &str, has_more: bool) {
        self.mail(&ToLinks::Frame {
            client: client(number),
            kind: Kind::Data.to_byte(),
            flags: flags.bits(),
            has_more,
            body: text.as_bytes(),
        });
    }

    pub(super) fn pressure(&mut self, number: u64, on: bool) {
        let body = Frame::Pressure { on, waiting: 0 }.body();
        self.mail(&ToLinks::Frame {
            client: client(number),
            kind: Kind::Pressure.to_byte(),
            flags: Flags::NONE.bits(),
            has_more: false,
            body: &body,
        });
    }

    pub(super) fn close(&mut self, number: u64) {
        self.mail(&ToLinks::Closed {
            client: client(number),
            app: AppId::MAIN,
            body: &[0; 5],
            sockets: Vec::new(),
        });
    }

    /// Carries out what the exchange wants done.
    fn carry(&mut self) {
        loop {
            let orders = self.exchange.take_orders();
            if orders.is_empty() && !self.exchange.read_on(self.now()) {
                return;
            }
            orders.into_iter().for_each(|order| self.carry_out(order));
        }
    }

    fn carry_out(&mut self, order: Order) {
        match order {
            Order::Dirty(conn) | Order::DirtyAt { conn, .. } | Order::CloseAfterFlush(conn) => {
                self.flush(conn);
            }
            Order::Close(conn) => {
                self.peers.entry(conn).or_default().is_closed = true;
            }
            Order::Pause(conn) => self.peers.entry(conn).or_default().is_paused = true,
            Order::Resume(conn) => self.peers.entry(conn).or_default().is_paused = false,
            Order::Mail { bytes, .. } => self.hear_mail(&bytes),
        }
    }

    /// Takes what there is to send: a peer that does not read has large buffers before it.
    pub(super) fn flush(&mut self, conn: ConnId) {
        if let Some(bytes) = self.exchange.next_send(conn) {
            let peer = self.peers.entry(conn).or_default();
            peer.wire.extend_from_slice(&bytes);
        }
    }

    fn hear_mail(&mut self, bytes: &[u8]) {
        let mail = ToClients::decode(bytes);
        if let ToClients::Dealt { client, bytes } = mail {
            *self.dealt.entry(client).or_default() += u64::from(bytes);
            return;
        }
        if matches!(mail, ToClients::Bound { .. }) && self.is_obedient {
            self.exchange.mail(self.now(), &ToLinks::Obeyed);
        }
        if let ToClients::Frame {
            client,
            kind,
            flags,
            body,
            ..
        } = mail
        {
            self.frames.push(described(&Raw {
                kind: Kind::from_byte(kind).expect("a kind"),
                flags: Flags::from_bits(flags),
                conn: client.map_or(0, |client| client.0),
                body,
            }));
        }
        self.told.push(match mail {
            ToClients::Again { client } => format!("again {}", client.0),
            ToClients::Unanswered { client } => format!("unanswered {}", client.0),
            ToClients::Dismissed { client } => format!("dismissed {}", client.0),
            ToClients::Lost { client } => format!("lost {}", client.0),
            ToClients::Refused { client } => format!("refused {}", client.0),
            ToClients::Moved { client } => format!("moved {}", client.0),
            ToClients::Left { client, name } => format!("left {} {name}", client.0),
            ToClients::Failing { client } => format!("failing {}", client.0),
            ToClients::Space { space, name, .. } => format!("space {} {name}", space.0),
            ToClients::Entered { client, .. } => format!("entered {}", client.0),
            ToClients::Answered { .. } => "answered".to_owned(),
            ToClients::Parser { parser } => format!("parser {parser:?}"),
            ToClients::Gone { space, is_given } => {
                let given = if is_given { " given" } else { "" };
                format!("gone {}{given}", space.0)
            }
            ToClients::Bound { json } => format!("bound {json}"),
            ToClients::Judged { question, said } => format!("judged {question} {said:?}"),
            ToClients::Frame { kind, .. } => {
                Kind::from_byte(kind).expect("a kind").name().to_owned()
            }
            ToClients::Dealt { .. } => unreachable!("it was looked at"),
        });
    }

    /// What clients' shards were told in frames of workers.
    pub(super) fn take_frames(&mut self) -> Vec<String> {
        core::mem::take(&mut self.frames)
    }

    pub(super) fn take_told(&mut self) -> Vec<String> {
        core::mem::take(&mut self.told)
    }

    /// What a link was sent since it was looked at last; counted frames are dealt with.
    pub(super) fn heard(&mut self, conn: ConnId) -> Vec<String> {
        let frames = self.read(conn);
        let sum = self.peers[&conn].heard;
        if sum.frames > 0 && !self.peers[&conn].is_closed {
            let (frames, bytes) = (sum.frames, sum.bytes);
            self.say(conn, 0, &Frame::Credit { frames, bytes });
        }
        frames
    }

    /// The same, without credit for it.
    pub(super) fn read(&mut self, conn: ConnId) -> Vec<String> {
        let Some(peer) = self.peers.get_mut(&conn) else {
            return Vec::new();
        };
        let mut frames = Vec::new();
        let mut taken = 0;
        while let Some((raw, bytes)) =
            link::split(&peer.wire[taken..], link::FRAME_BODY_BYTES_MAX).expect("whole frames")
        {
            taken += bytes;
            if raw.kind.is_counted() {
                peer.heard.frames += 1;
                peer.heard.bytes += bytes as u64;
            }
            frames.push(described(&raw));
        }
        peer.wire.drain(..taken);
        frames
    }

    /// All that a worker hears, with credit, until there is no more.
    pub(super) fn heard_all(&mut self, conn: ConnId) -> Vec<String> {
        let mut all = Vec::new();
        loop {
            let frames = self.heard(conn);
            if frames.is_empty() {
                return all;
            }
            all.extend(frames);
        }
    }
}

/// A frame, for people.
pub(crate) fn described(raw: &Raw<'_>) -> String {
    if matches!(raw.kind, Kind::Open | Kind::Resume) {
        // The test's own clients say nothing of themselves.
        return format!("{} {}", raw.kind.name(), raw.conn);
    }
    let sender = match raw.kind.is_from(Side::Daemon) {
        true => Side::Daemon,
        false => Side::Worker,
    };
    let frame = Frame::parse(raw, sender).expect("whole frames");
    let name = raw.kind.name();
    match frame {
        Frame::Bcast { parts, .. } => {
            let text = parts.first().map_or(&[][..], Part::bytes);
            let text = String::from_utf8_lossy(text).into_owned();
            format!("{name} {} {text}", raw.conn)
        }
        Frame::SessionRes { request, session } => {
            let session = session.map_or_else(
                || "none".to_owned(),
                |session| {
                    let rooms = session.rooms.join(",");
                    let missed = session.parts.len();
                    format!("{} {rooms} {} {missed}", session.sid, session.data.0)
                },
            );
            format!("{name} {request} {session}")
        }
        Frame::Data { payload } | Frame::Send { payload } => {
            let text = String::from_utf8_lossy(payload.0.bytes()).into_owned();
            format!("{name} {} {text}", raw.conn)
        }
        Frame::Peers { nsp, instances } => format!("{name} {nsp} {}", instances.join(",")),
        Frame::Error { code, .. } => format!("{name} {code}"),
        Frame::Welcome { json, .. } if json.value().resumed => format!("{name} back"),
        Frame::Pong { number } => format!("{name} {number}"),
        Frame::Moved {
            sid,
            known,
            what,
            places,
            ..
        } => format!(
            "{name} {} {sid} {what:?} {} behind {known}",
            raw.conn,
            places.join(",")
        ),
        Frame::Pressure { on, .. } => format!("{name} {} {}", raw.conn, u8::from(on)),
        _ => format!("{name} {}", raw.conn),
    }
}
