//! Whole hubs against several clients: a script of bytes connects, sends, stalls, hangs up, lets time pass. The world's books must balance after
//! each step, and when everybody has left nothing remains.

use crate::client::{Seen, UPGRADE, get, masked};
use crate::input::{Input, text_of};
use crate::world::{PEER, START_SECONDS, World, settings, token};
use ringway_proto::ws::deflate;
use ringway_service::auth::TrustedProxies;
use ringway_service::limits::{Rate, RateLimits};
use ringway_service::rooms::{SlowConsumerPolicy, SlowConsumerRules};
use ringway_service::settings::Settings;
use ringway_service::time::ConnId;

/// Clients at a time; steps of a script.
const CLIENTS_MAX: usize = 8;
const STEPS_MAX: usize = 200;

/// What clients often say, so that a byte of the script says it.
const PACKETS: [&str; 24] = [
    "40",
    "40/a,",
    "41",
    "41/a,",
    "1",
    "2",
    "3",
    "5",
    "6",
    "2probe",
    r#"421["join","a"]"#,
    r#"422["join","b"]"#,
    r#"42/a,3["join","a"]"#,
    r#"424["leave","a"]"#,
    r#"425["publish","a",{"x":[1,"two"]}]"#,
    r#"42["publish","a",1,{"key":"k"}]"#,
    r#"426["publish","c","in c"]"#,
    r#"427["echo",{"y":null}]"#,
    r#"428["info"]"#,
    r#"451-9["publish","a",{"_placeholder":true,"num":0}]"#,
    r#"452-["echo",{"_placeholder":true,"num":0},{"_placeholder":true,"num":1}]"#,
    r#"430["ack"]"#,
    r#"4410["x"]"#,
    "b",
];

struct Client {
    conn: ConnId,
    /// Whether it asked for a WebSocket.
    websocket: bool,
}

/// A script's interpreter.
struct Script<'a> {
    input: Input<'a>,
    world: World,
    clients: Vec<Client>,
    /// Ids of sessions that were opened by polling.
    sids: Vec<String>,
    dev: bool,
}

/// A byte of settings, then steps.
pub fn hub(data: &[u8]) {
    let mut input = Input::new(data);
    let (flags, shape) = (input.byte(), input.byte());
    let mut world = World::new(1 + u16::from(shape % 3), settings_of(flags));
    world.rings_hold(1 + usize::from(shape >> 5));
    let mut script = Script {
        input,
        world,
        clients: Vec::new(),
        sids: Vec::new(),
        dev: flags & 1 == 1,
    };
    for _ in 0..STEPS_MAX {
        if script.input.is_empty() {
            break;
        }
        script.step();
    }
    script.world.check_empty();
}

fn settings_of(flags: u8) -> Settings {
    let mut settings = settings(flags & 1 == 1);
    if flags & 2 != 0 {
        settings.trusted_proxies = TrustedProxies::parse(&[PEER.to_owned()]).expect("an address");
    }
    let policy = match flags >> 2 & 3 {
        0 => SlowConsumerPolicy::DropOldest,
        1 => SlowConsumerPolicy::Conflate,
        _ => SlowConsumerPolicy::Disconnect,
    };
    settings.slow_consumers = SlowConsumerRules::new(vec![("*".to_owned(), policy)]);
    if flags & 16 != 0 {
        settings.rates = tight_rates();
    }
    settings
}

fn tight_rates() -> RateLimits {
    let rate = |burst| Rate {
        per_second: 1,
        burst,
    };
    RateLimits {
        connection_events: rate(6),
        user_events: rate(7),
        room_messages: rate(4),
        address_events: rate(20),
        address_connections: rate(6),
        address_connections_max: 4,
        ..RateLimits::default()
    }
}

impl Script<'_> {
    fn step(&mut self) {
        match self.input.byte() % 18 {
            0 => self.connect(),
            1 => self.websocket(),
            2 => self.polling(),
            3 => self.raw(),
            4 | 5 => self.say_often(),
            6 => self.say(),
            7 => self.frame(),
            8 => self.poll(),
            9 => self.post(),
            10 => self.probe(),
            11 => self.repeat(),
            12 => self.stall(),
            13 => self.hang_up(),
            14 => self.pass(),
            15 => self.enter(),
            16 => self.operate(),
            _ => self.reset_or_drain(),
        }
    }

    /// A new connection; when there are as many as may be, the oldest goes.
    fn open(&mut self) -> ConnId {
        if self.clients.len() == CLIENTS_MAX {
            let oldest = self.clients.remove(0);
            self.world.hang_up(oldest.conn);
        }
        let shard = u16::from(self.input.byte()) % self.world.shards();
        let conn = self.world.open(shard);
        self.clients.push(Client {
            conn,
            websocket: false,
        });
        conn
    }

    fn client(&mut self) -> Option<&mut Client> {
        let at = usize::from(self.input.byte());
        let count = self.clients.len();
        self.clients.get_mut(at.checked_rem(count)?)
    }

    /// Sends on a client's connection; takes what it answers, which may be a session id.
    fn send(&mut self, conn: ConnId, bytes: &[u8]) {
        self.world.send(conn, bytes);
        self.listen(conn);
    }

    fn listen(&mut self, conn: ConnId) {
        for seen in self.world.read(conn) {
            let Seen::Answer(200, body) = seen else {
                continue;
            };
            let open = body
                .strip_prefix(b"0")
                .and_then(|json| serde_json::from_slice::<serde_json::Value>(json).ok());
            if let Some(sid) = open.as_ref().and_then(|open| open["sid"].as_str()) {
                self.sids.push(sid.to_owned());
            }
        }
    }

    fn connect(&mut self) {
        self.open();
    }

    fn websocket(&mut self) {
        let conn = self.open();
        let deflates = if self.input.byte() & 1 == 1 {
            "Sec-WebSocket-Extensions: permessage-deflate\r\n"
        } else {
            ""
        };
        self.send(
            conn,
            &get("transport=websocket", &format!("{UPGRADE}{deflates}")),
        );
        if let Some(client) = self.clients.last_mut() {
            client.websocket = true;
        }
    }

    fn polling(&mut self) {
        let conn = self.open();
        self.send(conn, &get("transport=polling", ""));
    }

    fn raw(&mut self) {
        let Some(conn) = self.client().map(|client| client.conn) else {
            return;
        };
        let bytes = self.input.block();
        self.send(conn, bytes);
    }

    fn say_often(&mut self) {
        let packet = PACKETS[usize::from(self.input.byte()) % PACKETS.len()];
        self.say_packet(packet);
    }

    fn say(&mut self) {
        let packet = text_of(self.input.block()).to_owned();
        self.say_packet(&packet);
    }

    /// A packet in the way of the client's transport.
    fn say_packet(&mut self, packet: &str) {
        let Some(client) = self.client() else { return };
        let (conn, websocket) = (client.conn, client.websocket);
        if websocket {
            self.send(conn, &masked(0x81, packet.as_bytes()));
        } else {
            self.send_post(conn, packet.as_bytes());
        }
    }

    fn send_post(&mut self, conn: ConnId, body: &[u8]) {
        let Some(sid) = self.sid() else { return };
        let length = body.len();
        let mut request = format!(
            "POST /socket.io/?EIO=4&transport=polling&sid={sid} HTTP/1.1\r\nHost: a\r\nContent-Length: {length}\r\n\r\n"
        )
        .into_bytes();
        request.extend_from_slice(body);
        self.send(conn, &request);
    }

    fn sid(&mut self) -> Option<String> {
        let at = usize::from(self.input.byte());
        self.sids.get(at.checked_rem(self.sids.len())?).cloned()
    }

    /// Any frame: first byte and payload from the script, deflated when it asks.
    fn frame(&mut self) {
        let Some(conn) = self.client().map(|client| client.conn) else {
            return;
        };
        let first = self.input.byte();
        let payload = self.input.block();
        if first & 0x60 == 0x60 {
            self.send(conn, &masked(first & !0x20, &deflate::compress(payload)));
        } else {
            self.send(conn, &masked(first, payload));
        }
    }

    fn poll(&mut self) {
        let (Some(conn), Some(sid)) = (self.client().map(|client| client.conn), self.sid()) else {
            return;
        };
        self.send(conn, &get(&format!("transport=polling&sid={sid}"), ""));
    }

    fn post(&mut self) {
        let Some(conn) = self.client().map(|client| client.conn) else {
            return;
        };
        let body = self.input.block().to_vec();
        self.send_post(conn, &body);
    }

    fn probe(&mut self) {
        let Some(sid) = self.sid() else { return };
        let conn = self.open();
        self.send(
            conn,
            &get(&format!("transport=websocket&sid={sid}"), UPGRADE),
        );
        if let Some(client) = self.clients.last_mut() {
            client.websocket = true;
        }
    }

    /// One packet, frame or request many times over, in one receive.
    fn repeat(&mut self) {
        let Some(conn) = self.client().map(|client| client.conn) else {
            return;
        };
        let (kind, times) = (self.input.byte(), usize::from(self.input.byte()));
        let once = match kind % 4 {
            0 => masked(0x89, &[b'?'; 125]),
            1 => get("transport=polling&sid=x", ""),
            2 => masked(
                0x81,
                PACKETS[usize::from(kind >> 2) % PACKETS.len()].as_bytes(),
            ),
            _ => masked(0x82, &[kind; 64]),
        };
        self.send(conn, &once.repeat(times));
    }

    fn stall(&mut self) {
        let Some(conn) = self.client().map(|client| client.conn) else {
            return;
        };
        let stalled = self.input.byte() & 1 == 1;
        self.world.stall(conn, stalled);
        self.listen(conn);
    }

    fn hang_up(&mut self) {
        let Some(conn) = self.client().map(|client| client.conn) else {
            return;
        };
        self.clients.retain(|client| client.conn != conn);
        self.world.hang_up(conn);
    }

    fn pass(&mut self) {
        let ms = 1 << (self.input.byte() % 18);
        self.world.pass_ms(ms);
        let world = &self.world;
        self.clients.retain(|client| world.is_open(client.conn));
    }

    /// CONNECT with a token of this or that end.
    fn enter(&mut self) {
        let choice = self.input.byte();
        let exp = match choice % 4 {
            0 => START_SECONDS + 3600,
            1 => u64::MAX,
            2 => START_SECONDS + u64::from(choice),
            _ => START_SECONDS.saturating_mul(1 << (choice >> 4)),
        };
        let subject = if choice & 4 == 0 { "anna" } else { "ben" };
        let token = token(subject, exp);
        let packet = if choice & 8 == 0 {
            format!(r#"40{{"token":"{token}"}}"#)
        } else {
            format!(r#"421["refresh","{token}"]"#)
        };
        self.say_packet(&packet);
    }

    fn operate(&mut self) {
        let room = if self.input.byte() & 1 == 0 { "a" } else { "c" };
        self.world.publish(room, "\"from an operator\"");
    }

    fn reset_or_drain(&mut self) {
        let choice = self.input.byte();
        if choice < 16 {
            let shard = u16::from(choice) % self.world.shards();
            self.world.drain(shard, 100);
            return;
        }
        let mut settings = settings_of(choice);
        settings.dev = self.dev;
        self.world.reload(&settings);
    }
}
