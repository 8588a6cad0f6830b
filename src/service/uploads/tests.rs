//! Single cases: what each request is answered, on a disk that does what it is asked at once.

use super::disk_tests::{Disk, Random};
use super::*;
use ringway_proto::http1::{Bounds, Request, parse_head};
use ringway_proto::tus::Method;

mod storage;

const BYTES: &str = "Content-Type: application/offset+octet-stream\r\n";

struct World {
    uploads: Uploads,
    disk: Disk,
    now: u64,
    made: u128,
    events: Vec<Event>,
    released: Vec<UploadId>,
    answers: Vec<(TransferId, Answer)>,
    /// Bodies come when the test says so.
    is_by_hand: bool,
    permits: Option<FilePermits>,
}

fn request(method: &str, path: &str, lines: &str) -> Request {
    let head = format!("{method} {path} HTTP/1.1\r\nHost: a\r\n{lines}\r\n");
    let bounds = Bounds {
        head_bytes_max: 8192,
        body_bytes_max: 1 << 20,
    };
    parse_head(head.as_bytes(), &bounds).unwrap().unwrap().0
}

impl World {
    fn new(settings: UploadsSettings) -> Self {
        Self {
            uploads: Uploads::new(settings),
            disk: Disk::new(0),
            now: 1_700_000_000,
            made: 0,
            events: Vec::new(),
            released: Vec::new(),
            answers: Vec::new(),
            is_by_hand: false,
            permits: None,
        }
    }

    fn begin(&mut self, subject: &str, method: &str, path: &str, lines: &str) -> Begun {
        let request = request(method, path, &format!("Tus-Resumable: 1.0.0\r\n{lines}"));
        self.made += 1 << 12;
        let permits = self.permits.clone();
        let who = match &permits {
            Some(permits) => Who::Bearer(subject, permits),
            None => Who::Holder(subject, Some("*")),
        };
        let ask = Ask {
            request: &request,
            method: Method::of(&request).unwrap(),
            who,
            entropy: self.made,
            bucket: 0,
        };
        self.uploads.begin(self.now, &ask)
    }

    /// The answer to a request whose body, if it has one, comes in one piece.
    fn answer(&mut self, method: &str, path: &str, lines: &str, body: &[u8]) -> Answer {
        self.answer_of("anna", method, path, lines, body)
    }

    fn answer_of(
        &mut self,
        who: &str,
        method: &str,
        path: &str,
        lines: &str,
        body: &[u8],
    ) -> Answer {
        let lines = if body.is_empty() {
            lines.to_owned()
        } else {
            format!("{lines}{BYTES}Content-Length: {}\r\n", body.len())
        };
        match self.begin(who, method, path, &lines) {
            Begun::Answer(answer) => answer,
            Begun::Transfer(_) => self.drain(body).expect("an answer"),
        }
    }

    fn patch(&mut self, path: &str, offset: u64, lines: &str, body: &[u8]) -> Answer {
        let lines = format!("Upload-Offset: {offset}\r\n{lines}");
        self.answer("PATCH", path, &lines, body)
    }

    /// A PATCH from the beginning, whose body may come.
    fn begin_patch(&mut self, path: &str, bytes: u64) -> TransferId {
        let lines = format!("Upload-Offset: 0\r\n{BYTES}Content-Length: {bytes}\r\n");
        let Begun::Transfer(transfer) = self.begin("anna", "PATCH", path, &lines) else {
            panic!("it may write");
        };
        assert_eq!(self.uploads.poll(), Some(Output::Body(transfer)));
        transfer
    }

    fn create(&mut self, lines: &str, body: &[u8]) -> String {
        let answer = self.answer("POST", "/uploads/", lines, body);
        assert_eq!(answer.status, 201, "{answer:?}");
        answer.header("Location").unwrap().to_owned()
    }

    /// Does everything that is asked for; gives the last answer.
    fn drain(&mut self, body: &[u8]) -> Option<Answer> {
        let (mut last, mut random) = (None, Random(1));
        loop {
            while let Some(output) = self.uploads.poll() {
                match output {
                    Output::Want(ticket, want) => {
                        let is_write = matches!(want, Want::Write { .. });
                        let piece = if is_write { body.to_vec() } else { Vec::new() };
                        self.disk.pending.push((ticket, want, piece));
                    }
                    Output::Body(_) if self.is_by_hand => {}
                    Output::Body(transfer) => {
                        self.uploads.handle(self.now, Input::Body(transfer, body));
                        self.uploads.handle(self.now, Input::BodyEnd(transfer));
                    }
                    Output::Answer(id, answer) => {
                        self.answers.push((id, answer.clone()));
                        last = Some(answer);
                    }
                    Output::Event(event) => self.events.push(event),
                    Output::Release(upload) => self.released.push(upload),
                }
            }
            let Some((ticket, result)) = self.disk.step(&mut random) else {
                return last;
            };
            self.uploads.handle(self.now, Input::Stored(ticket, result));
        }
    }

    fn tick(&mut self, seconds: u64) {
        self.now += seconds;
        self.uploads.handle(self.now, Input::Tick);
        self.drain(&[]);
    }

    fn offset(&mut self, path: &str) -> Option<u64> {
        let answer = self.answer("HEAD", path, "", &[]);
        answer
            .header("Upload-Offset")
            .map(|text| text.parse().unwrap())
    }

    fn file(&self, path: &str) -> Option<&[u8]> {
        let id = path.rsplit('/').next().unwrap();
        let found = self
            .disk
            .finals
            .iter()
            .find(|(name, _)| name.starts_with(id));
        found.map(|(_, bytes)| bytes.as_slice())
    }
}

fn world() -> World {
    World::new(UploadsSettings::default())
}

#[test]
fn tus_core_an_upload_in_pieces() {
    let mut world = world();
    let lines = "Upload-Length: 11\r\nUpload-Metadata: filename YS5wbmc=,room cg==\r\n";
    let url = world.create(lines, b"");
    assert_eq!(world.offset(&url), Some(0));
    let answer = world.patch(&url, 0, "", b"hello ");
    assert_eq!(
        (answer.status, answer.header("Upload-Offset")),
        (204, Some("6"))
    );
    assert!(answer.header("Upload-Expires").is_some());
    assert_eq!(world.file(&url), None);
    assert_eq!(
        world.patch(&url, 6, "", b"world").header("Upload-Offset"),
        Some("11")
    );
    assert_eq!(world.file(&url), Some(&b"hello world"[..]));
    let head = world.answer("HEAD", &url, "", &[]);
    assert_eq!(head.header("Upload-Length"), Some("11"));
    assert_eq!(
        head.header("Upload-Metadata"),
        Some("filename YS5wbmc=,room cg==")
    );
    assert_eq!(head.header("Upload-Expires"), None, "it is finished");
    let Some(Event::Finished {
        name, room, bytes, ..
    }) = world.events.last()
    else {
        panic!("{:?}", world.events);
    };
    assert!(name.ends_with(".png") && room.as_deref() == Some("r") && *bytes == 11);
}

#[test]
fn tus_creation_with_upload_and_of_nothing() {
    let mut world = world();
    let answer = world.answer("POST", "/uploads/", "Upload-Length: 5\r\n", b"hello");
    assert_eq!(
        (answer.status, answer.header("Upload-Offset")),
        (201, Some("5"))
    );
    let url = world.create("Upload-Length: 0\r\n", b"");
    assert_eq!(world.file(&url), Some(&b""[..]));
}

#[test]
fn tus_deferred_length_is_said_once() {
    let mut world = world();
    let url = world.create("Upload-Defer-Length: 1\r\n", b"");
    let head = world.answer("HEAD", &url, "", &[]);
    assert_eq!(head.header("Upload-Defer-Length"), Some("1"));
    assert_eq!(world.patch(&url, 0, "", b"abc").status, 204);
    assert_eq!(
        world.patch(&url, 3, "Upload-Length: 2\r\n", b"d").status,
        400
    );
    assert_eq!(
        world.patch(&url, 3, "Upload-Length: 5\r\n", b"d").status,
        204
    );
    assert_eq!(
        world.patch(&url, 4, "Upload-Length: 6\r\n", b"e").status,
        400
    );
    assert_eq!(world.patch(&url, 4, "", b"e").status, 204);
    assert_eq!(world.file(&url), Some(&b"abcde"[..]));
    // The end may be said with no bytes at all.
    let url = world.create("Upload-Defer-Length: 1\r\n", b"xyz");
    let lines = format!("Upload-Length: 3\r\n{BYTES}");
    assert_eq!(world.patch(&url, 3, &lines, b"").status, 204);
    assert_eq!(world.file(&url), Some(&b"xyz"[..]));
}

#[test]
fn tus_checksum_mismatch_throws_the_bytes_away() {
    let mut world = world();
    let url = world.create("Upload-Length: 11\r\n", b"");
    let lines = "Upload-Checksum: sha1 Kq5sNclPz7QV2+lfQIuc6R7oRu0=\r\n";
    assert_eq!(world.patch(&url, 0, lines, b"hello WORLD").status, 460);
    assert_eq!(world.offset(&url), Some(0));
    assert_eq!(world.patch(&url, 0, lines, b"hello world").status, 204);
    assert_eq!(world.file(&url), Some(&b"hello world"[..]));
}

#[test]
fn what_did_not_count_is_not_in_the_file() {
    let mut world = world();
    let url = world.create("Upload-Defer-Length: 1\r\n", b"");
    let lines = "Upload-Checksum: sha1 Kq5sNclPz7QV2+lfQIuc6R7oRu0=\r\n";
    assert_eq!(world.patch(&url, 0, lines, b"something longer").status, 460);
    assert_eq!(
        world.patch(&url, 0, "Upload-Length: 2\r\n", b"ab").status,
        204
    );
    assert_eq!(world.file(&url), Some(&b"ab"[..]));
}

#[test]
fn tus_concatenation() {
    let mut world = world();
    let partial = "Upload-Concat: partial\r\n";
    let first = world.create(&format!("{partial}Upload-Length: 6\r\n"), b"hello ");
    let second = world.create(&format!("{partial}Upload-Length: 5\r\n"), b"wor");
    let together = format!("Upload-Concat: final;{first} https://a{second}\r\n");
    let early = world.answer("POST", "/uploads/", &together, &[]);
    assert_eq!(early.status, 403, "a part is not whole");
    assert_eq!(world.patch(&second, 3, "", b"ld").status, 204);
    assert_eq!((world.file(&first), world.file(&second)), (None, None));
    let whole = world.create(&together, b"");
    assert_eq!(world.file(&whole), Some(&b"hello world"[..]));
    let head = world.answer("HEAD", &whole, "", &[]);
    assert_eq!(head.header("Upload-Length"), Some("11"));
    assert!(head.header("Upload-Concat").unwrap().starts_with("final;"));
    assert_eq!(world.patch(&whole, 11, "", b"x").status, 403);
    assert_eq!(
        world.answer("HEAD", &first, "", &[]).status,
        410,
        "it was used"
    );
    let none = "Upload-Concat: final;/uploads/nobody\r\n";
    assert_eq!(world.answer("POST", "/uploads/", none, &[]).status, 400);
}

#[test]
fn what_is_put_together_counts_once() {
    use crate::refusal::Refusal;
    let mut world = World::new(UploadsSettings {
        user_bytes_max: 100,
        ..UploadsSettings::default()
    });
    let partial = "Upload-Concat: partial\r\n";
    let bytes = [b'x'; 40];
    let mut part = || world.create(&format!("{partial}Upload-Length: 40\r\n"), &bytes);
    let (first, second) = (part(), part());
    // But not for nothing: what has a part more than once is larger than its parts.
    let larger = format!("Upload-Concat: final;{first} {first} {first}\r\n");
    let refused = world.answer("POST", "/uploads/", &larger, &[]);
    assert_eq!(
        (refused.status, refused.refusal),
        (413, Some(Refusal::UploadQuota))
    );
    let whole = world.create(&format!("Upload-Concat: final;{first} {second}\r\n"), b"");
    assert_eq!(world.file(&whole).map(|file| file.len()), Some(80));
    assert_eq!(world.uploads.stats().bytes_reserved, 80);
    world.create("Upload-Length: 20\r\n", b"");
    let refused = world.answer("POST", "/uploads/", "Upload-Length: 1\r\n", &[]);
    assert_eq!(refused.status, 413);
    world.uploads.handle(world.now, Input::Tick);
    world.drain(&[]);
    assert_eq!(
        world.uploads.stats().bytes_reserved,
        100,
        "the parts are gone"
    );
    assert_eq!(world.answer("DELETE", &whole, "", &[]).status, 204);
    assert_eq!(world.uploads.stats().bytes_reserved, 20);
}

#[test]
fn tus_termination_frees_everything() {
    let mut world = world();
    let url = world.create("Upload-Length: 100\r\n", b"abc");
    assert_eq!(world.answer("DELETE", &url, "", &[]).status, 204);
    assert_eq!(world.answer("HEAD", &url, "", &[]).status, 410);
    let url = world.create("Upload-Length: 3\r\n", b"abc");
    assert_eq!(world.answer("DELETE", &url, "", &[]).status, 204);
    assert_eq!(world.file(&url), None);
    assert!(world.disk.is_empty());
    let stats = world.uploads.stats();
    assert_eq!(
        (stats.uploads, stats.bytes_reserved, stats.transfers),
        (0, 0, 0)
    );
}

#[test]
fn tus_expiration() {
    let mut world = world();
    let seconds = UploadsSettings::default().expire_seconds;
    let (open, whole) = (
        world.create("Upload-Length: 9\r\n", b"abc"),
        world.create("Upload-Length: 3\r\n", b"abc"),
    );
    world.tick(seconds - 1);
    assert_eq!(world.patch(&open, 3, "", b"d").status, 204);
    world.tick(1);
    assert_eq!(
        world.offset(&open),
        Some(4),
        "its last bytes are a second old"
    );
    assert_eq!(world.answer("HEAD", &whole, "", &[]).status, 410);
    assert_eq!(world.file(&whole), Some(&b"abc"[..]), "the file stays");
    world.now += seconds;
    assert_eq!(
        world.patch(&open, 4, "", b"d").status,
        410,
        "before anybody looked"
    );
    world.tick(0);
    assert_eq!(world.answer("HEAD", &open, "", &[]).status, 410);
    assert!(world.disk.is_empty());
    assert_eq!(world.uploads.stats().expired, 2);
}

#[test]
fn bad_requests_have_their_statuses() {
    let mut world = world();
    let url = world.create("Upload-Length: 10\r\n", b"abc");
    let unknown = format!("/uploads/{:032x}", 99);
    let ten = "0123456789";
    for (method, path, lines, body, status) in [
        ("PATCH", url.as_str(), "Upload-Offset: 2\r\n", "x", 409),
        ("PATCH", &url, "Upload-Offset: 4\r\n", "x", 409),
        (
            "PATCH",
            &url,
            "Upload-Offset: 9223372036854775808\r\n",
            "x",
            409,
        ),
        (
            "PATCH",
            &url,
            "Upload-Offset: 99999999999999999999\r\n",
            "x",
            409,
        ),
        ("PATCH", &url, "Upload-Offset: 3\r\n", ten, 413),
        (
            "PATCH",
            &url,
            "Upload-Offset: 3\r\nContent-Type: a/b\r\n",
            "",
            415,
        ),
        ("PATCH", &url, "", "x", 400),
        ("PATCH", &unknown, "Upload-Offset: 0\r\n", "x", 404),
        ("HEAD", "/uploads/x", "", "", 404),
        ("HEAD", "/uploads/", "", "", 405),
        ("GET", &url, "", "", 405),
        ("POST", &url, "Upload-Length: 1\r\n", "", 405),
        (
            "POST",
            "/uploads/",
            "Upload-Length: 9223372036854775808\r\n",
            "",
            413,
        ),
        (
            "POST",
            "/uploads/",
            "Upload-Length: 9223372036854775807\r\n",
            "",
            413,
        ),
        ("POST", "/uploads/", "Upload-Length: 2\r\n", "abc", 413),
        (
            "POST",
            "/uploads/",
            "Upload-Length: 2\r\nTus-Resumable: 2\r\n",
            "",
            412,
        ),
        (
            "POST",
            "/uploads/",
            "Upload-Length: 2\r\nUpload-Metadata: room AA==\r\n",
            "",
            400,
        ),
    ] {
        let answer = world.answer(method, path, lines, body.as_bytes());
        assert_eq!(answer.status, status, "{method} {path} {lines}");
        assert!(answer.refusal.is_some());
    }
    assert_eq!(world.offset(&url), Some(3));
    assert_eq!(world.answer("OPTIONS", "/uploads/", "", &[]).status, 204);
    assert_eq!(world.answer_of("bert", "HEAD", &url, "", &[]).status, 404);
    assert_eq!(world.answer_of("bert", "DELETE", &url, "", &[]).status, 404);
}

#[test]
fn one_request_writes_at_a_time() {
    let mut world = world();
    let url = world.create("Upload-Length: 10\r\n", b"");
    let first = world.begin_patch(&url, 5);
    assert_eq!(world.patch(&url, 0, "", b"x").status, 423);
    assert_eq!(world.answer("DELETE", &url, "", &[]).status, 423);
    let id = UploadId::of_url(&url).unwrap();
    assert_eq!(world.uploads.writer(id), Some(first));
    world.uploads.handle(world.now, Input::Cut(first));
    world.drain(&[]);
    assert_eq!(world.patch(&url, 0, "", b"x").status, 204);
}

/// Whoever was cut hears of all that came of it, and not of what had been recorded before.
#[test]
fn a_head_behind_a_cut_waits_for_what_came() {
    let mut world = world();
    let url = world.create("Upload-Length: 10\r\n", b"");
    let first = world.begin_patch(&url, 10);
    assert!(matches!(
        world.begin("anna", "HEAD", &url, ""),
        Begun::Answer(_)
    ));
    world.uploads.handle(world.now, Input::Body(first, b"abc"));
    world.uploads.handle(world.now, Input::Cut(first));
    let heads = [(); 3].map(|()| match world.begin("anna", "HEAD", &url, "") {
        Begun::Transfer(head) => head,
        Begun::Answer(answer) => panic!("{} before it is known", answer.status),
    });
    // One of those who ask goes away meanwhile.
    world.uploads.handle(world.now, Input::Cut(heads[1]));
    world.is_by_hand = true;
    world.answers.clear();
    world.drain(b"abc");
    let answers = core::mem::take(&mut world.answers);
    world.is_by_hand = false;
    let told: Vec<_> = answers
        .iter()
        .map(|(id, answer)| (*id, answer.status))
        .collect();
    assert_eq!(told, [(heads[0], 200), (heads[2], 200)]);
    for (_, answer) in answers {
        assert_eq!(answer.header("Upload-Offset"), Some("3"));
    }
    assert_eq!(world.uploads.stats().transfers, 0);
    assert_eq!(world.patch(&url, 3, "", b"defghij").status, 204);
}

/// All bytes of an upload came, its client is gone, and its name cannot be given: nobody hears of all bytes before it has it.
#[test]
fn heads_behind_a_name_that_failed_ask_for_it_again() {
    for (fails, status, offset) in [(1, 200, Some("3")), (2, 500, None)] {
        let mut world = world();
        let url = world.create("Upload-Length: 3\r\n", b"");
        let first = world.begin_patch(&url, 3);
        world.uploads.handle(world.now, Input::Body(first, b"abc"));
        world.uploads.handle(world.now, Input::BodyEnd(first));
        world.uploads.handle(world.now, Input::Cut(first));
        let heads = [(); 3].map(|()| match world.begin("anna", "HEAD", &url, "") {
            Begun::Transfer(head) => head,
            Begun::Answer(answer) => panic!("{} before it is known", answer.status),
        });
        // The first of those who ask goes away meanwhile.
        world.uploads.handle(world.now, Input::Cut(heads[0]));
        world.disk.names_to_fail = fails;
        world.is_by_hand = true;
        world.answers.clear();
        world.drain(b"abc");
        let answers = core::mem::take(&mut world.answers);
        let told: Vec<_> = answers
            .iter()
            .map(|(id, answer)| (*id, answer.status, answer.header("Upload-Offset")))
            .collect();
        assert_eq!(told, [1, 2].map(|head| (heads[head], status, offset)));
        assert_eq!(world.uploads.stats().transfers, 0);
        assert_eq!(world.offset(&url), Some(3), "asked once more");
        assert_eq!(world.file(&url), Some(&b"abc"[..]));
    }
}

/// What puts parts together writes to none of them: nobody waits for it who asks how far a part is.
#[test]
fn a_head_of_a_part_waits_for_no_whole() {
    let mut world = world();
    let partial = "Upload-Concat: partial\r\nUpload-Length: 3\r\n";
    let part = world.create(partial, b"abc");
    let together = format!("Upload-Concat: final;{part} {part}\r\n");
    let Begun::Transfer(whole) = world.begin("anna", "POST", "/uploads/", &together) else {
        panic!("they are whole");
    };
    world.uploads.handle(world.now, Input::Cut(whole));
    match world.begin("anna", "HEAD", &part, "") {
        Begun::Answer(head) => assert_eq!(head.header("Upload-Offset"), Some("3")),
        Begun::Transfer(_) => panic!("it waits"),
    }
}

/// Who deletes is gone, and others ask meanwhile: whether it could be removed or not, it is no more.
#[test]
fn a_head_behind_a_lost_delete_finds_nothing() {
    for fails in [0, 1] {
        let mut world = world();
        let url = world.create("Upload-Length: 3\r\n", b"");
        world.disk.names_to_fail = 1;
        assert_eq!(world.patch(&url, 0, "", b"abc").status, 500);
        let Begun::Transfer(delete) = world.begin("anna", "DELETE", &url, "") else {
            panic!("nobody writes to it");
        };
        world.uploads.handle(world.now, Input::Cut(delete));
        assert!(matches!(
            world.begin("anna", "HEAD", &url, ""),
            Begun::Transfer(_)
        ));
        world.disk.removals_to_fail = fails;
        world.events.clear();
        assert_eq!(world.drain(&[]).map(|answer| answer.status), Some(410));
        assert!(world.disk.finals.is_empty() && world.events.is_empty());
        world.tick(2);
        assert_eq!(world.answer("HEAD", &url, "", &[]).status, 410);
        assert_eq!(world.uploads.stats().bytes_reserved, 0);
    }
}

#[test]
fn bytes_beyond_the_end_of_a_chunked_body_are_not_taken() {
    let mut world = world();
    let url = world.create("Upload-Length: 4\r\n", b"");
    let lines = format!("Upload-Offset: 0\r\n{BYTES}Transfer-Encoding: chunked\r\n");
    let Begun::Transfer(_) = world.begin("anna", "PATCH", &url, &lines) else {
        panic!("it may write");
    };
    assert_eq!(world.drain(b"abcde").map(|answer| answer.status), Some(413));
    assert_eq!(world.offset(&url), Some(0));
}

#[test]
fn users_have_quotas() {
    let mut world = World::new(UploadsSettings {
        user_bytes_max: 100,
        user_uploads_max: 2,
        uploads_max: 3,
        ..UploadsSettings::default()
    });
    let post = |world: &mut World, who: &str, lines: &str| {
        let answer = world.answer_of(who, "POST", "/uploads/", lines, &[]);
        (answer.status, answer.refusal)
    };
    use crate::refusal::Refusal;
    let quota = (413, Some(Refusal::UploadQuota));
    let first = world.create("Upload-Length: 60\r\n", b"");
    assert_eq!(post(&mut world, "anna", "Upload-Length: 41\r\n"), quota);
    let deferred = world.create("Upload-Defer-Length: 1\r\n", b"");
    assert_eq!(
        post(&mut world, "anna", "Upload-Length: 1\r\n"),
        quota,
        "two are enough"
    );
    assert_eq!(world.patch(&deferred, 0, "", &[0; 41]).refusal, quota.1);
    assert_eq!(world.patch(&deferred, 0, "", &[0; 40]).status, 204);
    assert_eq!(world.patch(&deferred, 40, "", &[0; 1]).refusal, quota.1);
    assert_eq!(post(&mut world, "bert", "Upload-Length: 100\r\n").0, 201);
    let full = (503, Some(Refusal::UploadsFull));
    assert_eq!(post(&mut world, "carl", "Upload-Length: 1\r\n"), full);
    assert_eq!(world.answer("DELETE", &first, "", &[]).status, 204);
    assert_eq!(world.patch(&deferred, 40, "", &[0; 60]).status, 204);
    assert_eq!(world.uploads.stats().bytes_reserved, 200);
}

/// Each has a file open, and a shard may not have many.
#[test]
fn a_user_and_all_have_so_many_bodies_at_a_time() {
    use crate::refusal::Refusal;
    let mut world = World::new(UploadsSettings {
        user_bodies_max: 2,
        bodies_max: 3,
        ..UploadsSettings::default()
    });
    let urls = [(); 4].map(|()| world.create("Upload-Length: 10\r\n", b""));
    let first = world.begin_patch(&urls[0], 5);
    world.begin_patch(&urls[1], 5);
    let busy = (503, Some(Refusal::UploadsBusy));
    let answer = world.patch(&urls[2], 0, "", b"x");
    assert_eq!((answer.status, answer.refusal), busy);
    assert!(answer.header("Retry-After").is_some());
    let post = |world: &mut World, who: &str| {
        let lines = format!("Upload-Length: 3\r\n{BYTES}Content-Length: 3\r\n");
        world.begin(who, "POST", "/uploads/", &lines)
    };
    assert!(matches!(post(&mut world, "anna"), Begun::Answer(answer) if answer.status == 503));
    assert!(matches!(post(&mut world, "bert"), Begun::Transfer(_)));
    assert!(matches!(post(&mut world, "carl"), Begun::Answer(answer) if answer.status == 503));
    assert_eq!(
        world.offset(&urls[2]),
        Some(0),
        "who brings nothing is answered"
    );
    world.uploads.handle(world.now, Input::Cut(first));
    world.drain(&[]);
    assert_eq!(world.patch(&urls[2], 0, "", b"x").status, 204);
}

#[test]
fn tokens_permit_names_and_rooms() {
    let mut world = world();
    let patterns = |text: &str| vec![text.to_owned()];
    world.permits = FilePermits::new(Vec::new(), patterns("*.png"), patterns("r*"));
    for (metadata, status) in [
        ("filename YS5wbmc=", 201),
        ("name YS5wbmc=", 201),
        ("filename YS5leGU=", 403),
        ("", 403),
        ("filename YS5wbmc=,room cm9vbQ==", 201),
        ("filename YS5wbmc=,room b3RoZXI=", 403),
    ] {
        let lines = format!("Upload-Length: 1\r\nUpload-Metadata: {metadata}\r\n");
        let answer = world.answer("POST", "/uploads/", &lines, &[]);
        assert_eq!(answer.status, status, "{metadata}");
    }
}

#[test]
fn whoever_continues_needs_what_creating_took() {
    use crate::refusal::Refusal;

    let mut world = world();
    let patterns = |text: &str| vec![text.to_owned()];
    let permits = |names, rooms| FilePermits::new(Vec::new(), patterns(names), patterns(rooms));
    world.permits = permits("*.png", "r*");
    let lines = "Upload-Length: 9\r\nUpload-Metadata: filename YS5wbmc=,room cm9vbQ==\r\n";
    let url = world.create(lines, b"");
    for (names, rooms) in [("*.jpg", "r*"), ("*.png", "s*"), ("", "")] {
        world.permits = permits(names, rooms);
        let refused = (403, Some(Refusal::FileForbidden));
        for method in ["HEAD", "DELETE"] {
            let answer = world.answer(method, &url, "", &[]);
            assert_eq!((answer.status, answer.refusal), refused, "{method}");
        }
        let answer = world.patch(&url, 0, "", b"abc");
        assert_eq!((answer.status, answer.refusal), refused);
        // To others it is not there, whatever they may do.
        let answer = world.answer_of("bert", "HEAD", &url, "", &[]);
        assert_eq!(answer.status, 404);
    }
    world.permits = permits("a.*", "room");
    assert_eq!(world.offset(&url), Some(0));
    assert_eq!(world.patch(&url, 0, "", b"abc").status, 204);
    world.permits = None;
    assert_eq!(
        world.offset(&url),
        Some(3),
        "by a URL that was signed for it"
    );
    assert_eq!(world.answer("DELETE", &url, "", &[]).status, 204);
}

#[test]
fn what_is_gone_was_there_for_its_owner_alone() {
    let mut world = world();
    let expiring = world.create("Upload-Length: 9\r\n", b"");
    world.tick(UploadsSettings::default().expire_seconds);
    let ended = world.create("Upload-Length: 9\r\n", b"");
    assert_eq!(world.answer("DELETE", &ended, "", &[]).status, 204);
    for url in [ended, expiring] {
        for method in ["HEAD", "DELETE", "PATCH", "GET"] {
            let status = |who| world.answer_of(who, method, &url, "", &[]).status;
            assert_eq!(
                ["anna", "bert", ""].map(status),
                [410, 404, 404],
                "{method}"
            );
        }
    }
}

#[test]
fn nothing_is_done_for_anybody() {
    use crate::refusal::Refusal;

    let mut world = world();
    let url = world.create("Upload-Length: 9\r\n", b"");
    for (method, path) in [("POST", "/uploads/"), ("HEAD", &url), ("DELETE", &url)] {
        let request = request(method, path, "Tus-Resumable: 1.0.0\r\nUpload-Length: 1\r\n");
        let ask = Ask {
            request: &request,
            method: Method::of(&request).unwrap(),
            who: Who::Anybody,
            entropy: 1 << 60,
            bucket: 0,
        };
        let Begun::Answer(answer) = world.uploads.begin(world.now, &ask) else {
            panic!("{method} was begun for nobody");
        };
        assert_eq!(answer.refusal, Some(Refusal::TokenMissing));
    }
}

#[test]
fn a_full_disk_keeps_what_was_synced() {
    let mut world = world();
    let url = world.create("Upload-Length: 10\r\n", b"abc");
    let lines = format!("Upload-Offset: 3\r\n{BYTES}Content-Length: 4\r\n");
    let Begun::Transfer(transfer) = world.begin("anna", "PATCH", &url, &lines) else {
        panic!("it may write");
    };
    let mut tickets = Vec::new();
    for piece in [b"de", b"fg"] {
        world
            .uploads
            .handle(world.now, Input::Body(transfer, piece));
    }
    while let Some(output) = world.uploads.poll() {
        if let Output::Want(ticket, want) = output {
            tickets.push((ticket, want));
        }
    }
    // The second piece finds no room; the first is written afterwards, and counts.
    let now = world.now;
    world
        .uploads
        .handle(now, Input::Stored(tickets[1].0, Err(StorageError::Full)));
    let (ticket, want) = tickets[0].clone();
    world.disk.pending.push((ticket, want, b"de".to_vec()));
    let answer = world.drain(&[]).unwrap();
    assert_eq!(answer.status, 507);
    assert_eq!(world.offset(&url), Some(5));
    assert_eq!(world.patch(&url, 5, "", b"fghij").status, 204);
    assert_eq!(world.file(&url), Some(&b"abcdefghij"[..]));
}

#[test]
fn answers_are_http() {
    let answer = options(&UploadsSettings::default()).bytes(&[], false, true);
    let text = String::from_utf8(answer).unwrap();
    assert!(
        text.starts_with(
            "HTTP/1.1 204 No Content\r\nTus-Resumable: 1.0.0\r\nTus-Version: 1.0.0\r\n"
        )
    );
    assert!(text.contains("\r\nTus-Checksum-Algorithm: sha256,sha1\r\n"));
    let answer = world().answer("HEAD", "/uploads/x", "", &[]);
    let text = String::from_utf8(answer.bytes(&[], true, true)).unwrap();
    assert!(text.starts_with("HTTP/1.1 404 Not Found\r\n") && text.ends_with("\r\n\r\n"));
    assert!(text.contains("\r\nTus-Resumable: 1.0.0\r\n"));
}
