//! Clients that follow the protocol, connections that break, a disk that fails and forgets: from a seed.
//!
//! What must hold: no offset that a client was told is taken back; what is visible under a final name is exactly what was sent; and once nothing
//! fails any more, everything becomes whole.

use super::disk_tests::{Disk, Random};
use super::*;
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use ringway_proto::http1::{Bounds, Request, parse_head};
use ringway_proto::tus::Method;

const CLIENTS: usize = 5;
const STEPS: u64 = 1500;
const WHO: Who<'_> = Who::Holder("anna", None);

/// A request on its way.
struct Flight {
    transfer: TransferId,
    /// What is to be sent still.
    body: Vec<u8>,
    has_ended: bool,
    may_send: bool,
}

struct Client {
    content: Vec<u8>,
    url: Option<String>,
    /// What the server said is safe.
    told: u64,
    /// Where the client thinks that it is; `None`: it has to ask.
    offset: Option<u64>,
    is_done: bool,
    flight: Option<Flight>,
}

struct World {
    random: Random,
    disk: Disk,
    uploads: Uploads,
    clients: Vec<Client>,
    now: u64,
    cut_odds: u64,
    crashes: u64,
    mismatches: u64,
}

fn settings() -> UploadsSettings {
    UploadsSettings {
        checkpoint_bytes: 300,
        expire_seconds: 1 << 40,
        remember_seconds: 1 << 40,
        ..UploadsSettings::default()
    }
}

fn request(method: &str, path: &str, lines: &str) -> Request {
    let head =
        format!("{method} {path} HTTP/1.1\r\nHost: a\r\nTus-Resumable: 1.0.0\r\n{lines}\r\n");
    let bounds = Bounds {
        head_bytes_max: 8192,
        body_bytes_max: 1 << 20,
    };
    parse_head(head.as_bytes(), &bounds).unwrap().unwrap().0
}

fn sha1(bytes: &[u8]) -> String {
    let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA1_FOR_LEGACY_USE_ONLY, bytes);
    BASE64_STANDARD.encode(digest.as_ref())
}

impl World {
    fn new(seed: u64) -> Self {
        let mut random = Random(seed);
        let client = |_| {
            let bytes = random.below(2500);
            Client {
                content: (0..bytes).map(|_| random.below(256) as u8).collect(),
                url: None,
                told: 0,
                offset: None,
                is_done: false,
                flight: None,
            }
        };
        let clients = (0..CLIENTS).map(client).collect();
        Self {
            disk: Disk::new(40),
            uploads: Uploads::new(settings()),
            random,
            clients,
            now: 1_000,
            cut_odds: 60,
            crashes: 0,
            mismatches: 0,
        }
    }

    fn run(&mut self) {
        for _ in 0..STEPS {
            self.step();
            if self.random.one_in(200) {
                self.crash();
            }
        }
        // From here on nothing fails: everything must become whole.
        self.disk.fault_odds = 0;
        self.cut_odds = 0;
        for _ in 0..200_000 {
            if self.clients.iter().all(|client| client.is_done) {
                return self.check_finals();
            }
            self.step();
        }
        let stuck = self.clients.iter().filter(|client| !client.is_done);
        let state = |client: &Client| {
            let flight = client.flight.as_ref();
            let flight = flight.map(|it| (it.transfer, it.may_send, it.has_ended, it.body.len()));
            (client.told, client.content.len(), client.offset, flight)
        };
        let states: Vec<_> = stuck.map(state).collect();
        panic!("no progress: {states:?}");
    }

    fn step(&mut self) {
        self.now += self.random.below(2);
        match self.random.below(3) {
            0 => {
                if let Some((ticket, result)) = self.disk.step(&mut self.random) {
                    self.handle(Input::Stored(ticket, result), &[]);
                }
            }
            _ => {
                let index = self.random.below(CLIENTS as u64) as usize;
                self.act(index);
            }
        }
    }

    fn act(&mut self, index: usize) {
        let client = &self.clients[index];
        if client.is_done {
            return;
        }
        if client.flight.is_some() {
            return self.send(index);
        }
        match (client.url.clone(), client.offset) {
            (None, _) => self.create(index),
            (Some(url), None) => self.begin(index, &request("HEAD", &url, ""), Vec::new()),
            (Some(url), Some(offset)) => self.patch(index, &url, offset),
        }
    }

    /// A piece of the content from `offset` on, perhaps spoilt on the way, and the lines about it.
    fn body(&mut self, index: usize, offset: u64) -> (Vec<u8>, String) {
        let content = &self.clients[index].content[offset as usize..];
        let bytes = self.random.below(content.len() as u64 + 1) as usize;
        let bytes = if self.random.one_in(3) {
            content.len()
        } else {
            bytes
        };
        let mut body = content[..bytes].to_vec();
        let mut lines = format!("Content-Type: {}\r\n", ringway_proto::tus::MEDIA_TYPE);
        if self.random.one_in(3) {
            lines.push_str(&format!("Upload-Checksum: sha1 {}\r\n", sha1(&body)));
            if !body.is_empty() && self.random.one_in(4) {
                let at = self.random.below(bytes as u64) as usize;
                body[at] ^= 1;
            }
        }
        lines.push_str(&if self.random.one_in(2) {
            "Transfer-Encoding: chunked\r\n".to_owned()
        } else {
            format!("Content-Length: {bytes}\r\n")
        });
        (body, lines)
    }

    fn create(&mut self, index: usize) {
        let length = self.clients[index].content.len();
        let deferred = self.random.one_in(4);
        let mut lines = if deferred {
            "Upload-Defer-Length: 1\r\n".to_owned()
        } else {
            format!("Upload-Length: {length}\r\n")
        };
        let mut body = Vec::new();
        if self.random.one_in(2) {
            let (piece, more) = self.body(index, 0);
            lines.push_str(&more);
            body = piece;
        }
        self.begin(index, &request("POST", "/uploads/", &lines), body);
    }

    fn patch(&mut self, index: usize, url: &str, offset: u64) {
        let (body, lines) = self.body(index, offset);
        let length = self.clients[index].content.len();
        // Whoever deferred the length says it now; saying it again does no harm.
        let lines = format!("Upload-Offset: {offset}\r\nUpload-Length: {length}\r\n{lines}");
        self.begin(index, &request("PATCH", url, &lines), body);
    }

    fn begin(&mut self, index: usize, request: &Request, body: Vec<u8>) {
        let ask = Ask {
            request,
            method: Method::of(request).unwrap(),
            who: WHO,
            entropy: u128::from(self.random.below(u64::MAX)) << 64 | u128::from(self.now),
            bucket: 7,
        };
        match self.uploads.begin(self.now, &ask) {
            Begun::Answer(answer) => self.answered(index, &answer),
            Begun::Transfer(transfer) => {
                self.clients[index].flight = Some(Flight {
                    transfer,
                    has_ended: !request.has_body(),
                    body,
                    may_send: false,
                });
            }
        }
        self.drain(&[]);
    }

    /// A piece, the end, or the break of a connection.
    fn send(&mut self, index: usize) {
        let is_cut = self.random.one_in(self.cut_odds);
        let Some(flight) = &mut self.clients[index].flight else {
            return;
        };
        let transfer = flight.transfer;
        if is_cut {
            self.clients[index].flight = None;
            self.clients[index].offset = None;
            return self.handle(Input::Cut(transfer), &[]);
        }
        if flight.has_ended || !flight.may_send || !self.uploads.wants_body(transfer) {
            return;
        }
        if flight.body.is_empty() {
            flight.has_ended = true;
            return self.handle(Input::BodyEnd(transfer), &[]);
        }
        let bytes = 1 + self.random.below(flight.body.len().min(200) as u64) as usize;
        let piece: Vec<u8> = flight.body.drain(..bytes).collect();
        self.handle(Input::Body(transfer, &piece), &piece);
    }

    fn handle(&mut self, input: Input<'_>, piece: &[u8]) {
        self.uploads.handle(self.now, input);
        self.drain(piece);
    }

    fn drain(&mut self, piece: &[u8]) {
        while let Some(output) = self.uploads.poll() {
            match output {
                Output::Want(ticket, want) => {
                    let is_write = matches!(want, Want::Write { .. });
                    let piece = if is_write { piece.to_vec() } else { Vec::new() };
                    self.disk.pending.push((ticket, want, piece));
                }
                Output::Body(transfer) => {
                    if let Some(index) = self.flying(transfer)
                        && let Some(flight) = &mut self.clients[index].flight
                    {
                        flight.may_send = true;
                    }
                }
                Output::Answer(transfer, answer) => {
                    let index = self.flying(transfer).expect("somebody waits");
                    self.clients[index].flight = None;
                    self.answered(index, &answer);
                }
                Output::Event(_) | Output::Release(_) => {}
            }
        }
    }

    fn flying(&self, transfer: TransferId) -> Option<usize> {
        let of = |client: &Client| client.flight.as_ref().map(|flight| flight.transfer);
        self.clients
            .iter()
            .position(|client| of(client) == Some(transfer))
    }

    fn answered(&mut self, index: usize, answer: &Answer) {
        let client = &mut self.clients[index];
        let offset = answer
            .header("Upload-Offset")
            .map(|text| text.parse::<u64>().unwrap());
        match answer.status {
            201 => {
                client.url = answer.header("Location").map(str::to_owned);
                client.offset = Some(offset.unwrap_or(0));
            }
            200 | 204 => client.offset = offset,
            409 | 423 => client.offset = None,
            413 => panic!("nothing is too large: {answer:?}"),
            460 => {
                self.mismatches += 1;
                client.offset = None;
            }
            500 | 507 => client.offset = None,
            other => panic!("{other}: {answer:?}"),
        }
        if let Some(offset) = client.offset {
            assert!(offset >= client.told, "{offset} after {}", client.told);
            client.told = offset;
            // A deferred length has to be said before the file is whole.
            let is_whole = offset == client.content.len() as u64;
            let says_length = answer.status == 204 || answer.header("Upload-Length").is_some();
            client.is_done = is_whole && client.url.is_some() && says_length;
        }
        if self.clients[index].is_done {
            self.check_final(index);
        }
    }

    /// A file that its client was told is whole is there, and is what was sent.
    fn check_final(&self, index: usize) {
        let client = &self.clients[index];
        let name = client.url.as_deref().unwrap().rsplit('/').next().unwrap();
        let busy = self
            .uploads
            .writer(UploadId::parse(name).unwrap())
            .is_some();
        match self.disk.finals.get(name) {
            Some(file) => assert!(*file == client.content, "{name} is another file"),
            None => assert!(busy, "{name} is not there"),
        }
    }

    fn check_finals(&mut self) {
        while let Some((ticket, result)) = self.disk.step(&mut self.random) {
            self.handle(Input::Stored(ticket, result), &[]);
        }
        for index in 0..CLIENTS {
            self.check_final(index);
        }
    }

    /// The process ends with the power; another one looks at what is there.
    fn crash(&mut self) {
        self.crashes += 1;
        let found = self.disk.crash(&mut self.random);
        for file in self.disk.finals.values() {
            let known = self.clients.iter().any(|client| client.content == *file);
            assert!(known, "something half is visible");
        }
        self.uploads = Uploads::new(settings());
        for client in &mut self.clients {
            client.flight = None;
            client.offset = None;
        }
        for found in &found {
            self.uploads.recover(self.now, found);
        }
        self.drain(&[]);
    }
}

#[test]
fn no_told_byte_is_lost_and_nothing_half_is_visible() {
    let seeds = std::option_env!("UPLOAD_SEEDS").map_or(300, |text| text.parse().unwrap());
    let (mut crashes, mut failures, mut mismatches) = (0, 0, 0);
    for seed in 0..seeds {
        let mut world = World::new(seed);
        let outcome = std::panic::catch_unwind(core::panic::AssertUnwindSafe(|| world.run()));
        if let Err(panic) = outcome {
            eprintln!("seed {seed}");
            std::panic::resume_unwind(panic);
        }
        crashes += world.crashes;
        failures += world.disk.failures;
        mismatches += world.mismatches;
    }
    // A run in which nothing went wrong proves nothing.
    assert!(crashes > seeds && failures > seeds && mismatches > seeds / 10);
}
