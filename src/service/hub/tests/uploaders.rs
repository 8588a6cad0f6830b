//! Who uploads: what is done for nobody, and what is verified where and how often. No request here reaches a disk.

use super::clients::check;
use super::world::{World, es256, key, settings, slow_token, token};
use crate::auth::Keys;
use crate::settings::{Settings, UploadsService};
use crate::time::ConnId;
use crate::uploads::{UploadId, UploadsSettings};

const SHARDS: u16 = 2;

pub(super) fn with_uploads() -> Settings {
    Settings {
        keys: Keys::new(&[key(), es256()], None, None, 0).unwrap(),
        uploads: Some(UploadsService {
            uploads: UploadsSettings::default(),
            buffers: 1,
            buffer_bytes: 4096,
            idle_timeout_ms: 60_000,
            namespace: "/".to_owned(),
            url_seconds: 60,
            whole_root: 0,
            whole_prefix: "/uploads/files/".to_owned(),
        }),
        ..settings(false)
    }
}

fn world() -> World {
    World::new(SHARDS, with_uploads())
}

/// The path of an upload that is not there, whose home is this shard.
fn upload_of(shard: u16) -> String {
    format!("/uploads/{}", UploadId::new(7 << 12, shard))
}

pub(super) fn request(method: &str, path: &str, lines: &str) -> String {
    format!("{method} {path} HTTP/1.1\r\nHost: a\r\nTus-Resumable: 1.0.0\r\n{lines}\r\n")
}

pub(super) fn bearer(token: &str) -> String {
    format!("Authorization: Bearer {token}\r\n")
}

impl World {
    fn request(&mut self, conn: ConnId, method: &str, path: &str, lines: &str) -> String {
        self.send(conn, request(method, path, lines).as_bytes());
        self.read(conn)
    }

    /// The shards whose verifications the pool has not begun.
    fn proving(&self) -> Vec<u16> {
        self.jobs.iter().map(|(shard, ..)| *shard).collect()
    }
}

#[test]
fn tus_core_whatever_is_sent_is_what_it_names_and_needs_a_token() {
    for sent in ["OPTIONS", "GET", "PUT", "DELETE"] {
        for named in ["PATCH", "DELETE", "POST"] {
            for (path, with_token) in [("/uploads/", false), (&*upload_of(0), true)] {
                let mut world = world();
                let conn = world.open(0);
                let lines = format!("X-HTTP-Method-Override: {named}\r\n");
                check(&world.request(conn, sent, path, &lines), "RW-2101");
                let conn = world.open(0);
                let lines = format!("{lines}{}", bearer(&token("anna", 60)));
                if with_token {
                    check(&world.request(conn, sent, path, &lines), "RW-2803");
                }
            }
        }
    }
    let mut world = world();
    for path in ["/uploads/", &upload_of(0)] {
        let conn = world.open(0);
        let lines = "X-HTTP-Method-Override: OPTIONS\r\n";
        let seen = world.request(conn, "POST", path, lines);
        check(&seen, "HTTP/1.1 204 ");
        check(&seen, "Tus-Extension: ");
    }
}

#[test]
fn a_post_that_stands_for_something_needs_a_token() {
    let mut world = world();
    for named in ["PATCH", "DELETE", "HEAD", "POST"] {
        let conn = world.open(0);
        let lines = format!("X-HTTP-Method-Override: {named}\r\n");
        check(
            &world.request(conn, "POST", &upload_of(0), &lines),
            "RW-2101",
        );
        let conn = world.open(0);
        let lines = format!("{lines}{}", bearer(&token("anna", 60)));
        let seen = world.request(conn, "POST", &upload_of(0), &lines);
        check(&seen, "RW-2803");
    }
}

#[test]
fn a_method_that_is_said_twice_or_is_none_is_refused() {
    let mut world = world();
    for lines in [
        "X-HTTP-Method-Override: PATCH\r\nX-HTTP-Method-Override: PATCH\r\n",
        "X-HTTP-Method-Override: \r\n",
        "X-HTTP-Method-Override: PATCH, HEAD\r\n",
    ] {
        for method in ["OPTIONS", "POST", "PATCH"] {
            let conn = world.open(0);
            let seen = world.request(conn, method, "/uploads/", lines);
            check(&seen, "HTTP/1.1 400 ");
            check(&seen, "RW-2802");
            assert!(world.wires[&conn].closed);
        }
    }
}

/// Wherever it comes in, and whether its path or its subject says where it belongs.
#[test]
fn a_signature_is_verified_once_at_home_and_beside_the_shard() {
    for from in 0..SHARDS {
        for home in 0..SHARDS {
            let mut world = world();
            let conn = world.open(from);
            let lines = bearer(&slow_token("anna"));
            assert_eq!(world.request(conn, "HEAD", &upload_of(home), &lines), "");
            assert_eq!(world.proving(), [home]);
            world.compute();
            check(&world.read(conn), "HTTP/1.1 404 ");
            assert!(world.jobs.is_empty());
        }
        let mut world = world();
        let conn = world.open(from);
        let lines = bearer(&slow_token("anna")) + "Upload-Length: 1\r\n";
        assert_eq!(world.request(conn, "POST", "/uploads/", &lines), "");
        assert_eq!(world.jobs.len(), 1);
        world.compute();
        check(&world.read(conn), "RW-2710");
    }
}

#[test]
fn who_shows_nothing_is_not_moved() {
    let mut world = world();
    for lines in [String::new(), "Authorization: Basic YTpi\r\n".to_owned()] {
        let conn = world.open(0);
        check(&world.request(conn, "HEAD", &upload_of(1), &lines), " 401 ");
    }
    let moved = world.hubs[0].stats().connections_migrated;
    assert_eq!(moved, 0);
}

#[test]
fn a_forged_signature_is_refused_when_it_is_known() {
    let mut world = world();
    let conn = world.open(0);
    let good = slow_token("anna");
    let (signed, signature) = good.rsplit_once('.').unwrap();
    let flipped = if signature.starts_with('A') { "B" } else { "A" };
    let forged = format!("{signed}.{flipped}{}", &signature[1..]);
    let lines = bearer(&forged) + "Content-Length: 5\r\nUpload-Offset: 0\r\n";
    let head = request("PATCH", &upload_of(0), &lines);
    // Nothing of the body is read, and nothing of it is taken for a request.
    world.send(conn, format!("{head}hello").as_bytes());
    assert!(world.wires[&conn].paused && world.read(conn).is_empty());
    world.compute();
    let seen = world.read(conn);
    check(&seen, "HTTP/1.1 401 ");
    check(&seen, "RW-2105");
    assert_eq!(seen.matches("HTTP/1.1 ").count(), 1, "{seen}");
    assert!(world.wires[&conn].closed);
}

#[test]
fn requests_behind_one_that_is_verified_wait_for_it() {
    let mut world = world();
    let conn = world.open(0);
    let lines = bearer(&slow_token("anna")) + "Connection: keep-alive\r\n";
    let two = request("HEAD", &upload_of(0), &lines).repeat(2);
    world.send(conn, two.as_bytes());
    for _ in 0..2 {
        assert_eq!((world.read(conn).as_str(), world.jobs.len()), ("", 1));
        world.compute();
        check(&world.read(conn), "HTTP/1.1 404 ");
    }
}

#[test]
fn a_client_that_has_said_all_is_answered_and_one_that_is_gone_leaves_nothing() {
    let mut world = world();
    let (waiting, gone) = (world.open(0), world.open(0));
    for conn in [waiting, gone] {
        world.request(conn, "HEAD", &upload_of(0), &bearer(&slow_token("anna")));
    }
    world.finish(waiting);
    assert!(world.hubs[0].is_answering(waiting) && !world.hubs[0].is_quiet());
    world.hang_up(gone);
    world.compute();
    check(&world.read(waiting), "HTTP/1.1 404 ");
    assert!(world.hubs[0].is_quiet() && !world.hubs[0].is_answering(waiting));
}
