//! A worker that lies: it joins, and says valid frames about clients that are others'. Its own link may be refused; nobody else is to notice.
//!
//! It may be given clients meanwhile, who go to others when it ends; it does nothing to those.

use super::client::trace;
use ringway_io::Listener;
use ringway_proto::link::{
    self, FRAME_BODY_BYTES_MAX, Flags, Frame, GoAway, GoAwayMode, Hello, Json, Long, Part, Payload,
    Side,
};
use ringway_sim::{Client, Kernel, Random};
use std::collections::VecDeque;

/// How many lies it tells at most.
const LIES: usize = 12;

pub(crate) struct Liar {
    name: u64,
    client: Client,
    out: VecDeque<u8>,
    input: Vec<u8>,
    is_open: bool,
    lies_left: usize,
    pub(crate) was_refused: bool,
    pub(crate) is_done: bool,
}

impl Liar {
    pub(crate) fn new(name: u64, kernel: &Kernel) -> Self {
        Self {
            name,
            client: kernel.connect_to(0, Listener(1)),
            out: VecDeque::new(),
            input: Vec::new(),
            is_open: false,
            lies_left: LIES,
            was_refused: false,
            is_done: false,
        }
    }

    pub(crate) fn has_work(&self, kernel: &Kernel) -> bool {
        let writes = !self.out.is_empty() && kernel.writable(self.client);
        let lies = self.is_open && self.lies_left > 0;
        writes || lies || kernel.readable(self.client) || kernel.end(self.client).is_some()
    }

    pub(crate) fn turn(&mut self, kernel: &Kernel, random: &mut Random, numbers: &[u64]) {
        let count = kernel.write(self.client, self.out.make_contiguous());
        self.out.drain(..count);
        self.input.extend(kernel.read(self.client, 4096));
        self.read();
        if self.is_open && self.lies_left > 0 && self.out.is_empty() {
            self.lies_left -= 1;
            self.lie(random, numbers);
        }
        let has_ended = kernel.end(self.client).is_some();
        let has_said_all = self.lies_left == 0 && self.out.is_empty();
        if has_ended || has_said_all {
            self.is_done = true;
            kernel.finish(self.client);
        }
    }

    fn read(&mut self) {
        let input = core::mem::take(&mut self.input);
        let mut taken = 0;
        while let Some((raw, bytes)) =
            link::split(&input[taken..], FRAME_BODY_BYTES_MAX).expect("frames of the daemon")
        {
            taken += bytes;
            match Frame::parse(&raw, Side::Daemon).expect("frames of the daemon") {
                Frame::Challenge { .. } => self.say_hello(),
                Frame::Welcome { .. } => self.is_open = true,
                Frame::Error { code, .. } => {
                    trace("liar", self.name as usize, &code);
                    self.was_refused = true;
                }
                _ => {}
            }
        }
        self.input = input[taken..].to_vec();
    }

    fn say(&mut self, conn: u64, frame: &Frame<'_>) {
        let mut bytes = Vec::new();
        frame.encode_into(conn, Flags::NONE, &mut bytes);
        self.out.extend(bytes);
    }

    fn say_hello(&mut self) {
        let json = Json::new(Hello {
            proto: [1, 0],
            app: "default".into(),
            instance: format!("liar-{}", self.name).into(),
            role: "worker".into(),
            nonce: "0".repeat(32).into(),
            name: Some("liar".into()),
            weight: None,
            resume: None,
            caps: None,
        });
        self.say(0, &Frame::Hello { json, mac: "" });
    }

    fn lie(&mut self, random: &mut Random, numbers: &[u64]) {
        let is_somebody = !numbers.is_empty() && random.chance(800);
        let conn = match is_somebody {
            true => numbers[random.below(numbers.len())],
            // Nobody's: a number of its own client would be no lie.
            false => (1 << 50) + random.next() % 100,
        };
        let nsp = random.below(3) as u16;
        let payload = Payload(Part::Text(r#"2["lie"]"#));
        let json = Json::new(GoAway {
            mode: GoAwayMode::Keep,
            reason: "".into(),
            deadline_ms: 0,
        });
        let frame = match random.below(14) {
            0 => Frame::Send { payload },
            1 => Frame::CloseConn {},
            2 => Frame::Leave {
                nsp,
                rooms: vec!["a"],
            },
            3 => Frame::LeaveAll { nsp },
            4 => Frame::Join {
                nsp,
                rooms: vec!["a"],
            },
            5 => Frame::Member {
                nsp,
                sid: "lie",
                pid: "",
                rooms: vec![],
                auth: Long("{}"),
                data: Long("{}"),
            },
            6 => Frame::MigrateOut {},
            7 => Frame::SetData {
                nsp,
                data: Long("{}"),
            },
            8 => Frame::SessionGet {
                request: 7,
                nsp,
                pid: "p",
                offset: "",
            },
            9 => Frame::Credit {
                frames: random.below(3) as u64,
                bytes: random.below(100) as u64,
            },
            10 => Frame::Bus {
                nsp: "/",
                to: "",
                from: "life-0",
                opaque: b"lie",
            },
            11 => Frame::GoAway { json },
            12 => Frame::Pong { number: 9 },
            _ => Frame::Nsp { name: "/lies" },
        };
        let conn = match frame {
            Frame::Nsp { .. } => 0,
            _ => conn,
        };
        self.say(conn, &frame);
    }
}
