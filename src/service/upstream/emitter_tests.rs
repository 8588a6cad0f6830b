//! What emitters may say, and what they are to others.

use super::stage::Stage;
use super::window::Window;
use crate::time::ConnId;
use ringway_proto::link::{Flags, Frame, Long, Part};

fn stage() -> Stage {
    let mut stage = Stage::new(Window::default());
    stage.exchange.keep_native(["/live".to_owned()].into());
    stage
}

fn emitter(stage: &mut Stage, instance: &str) -> ConnId {
    let conn = stage.accept();
    stage.hello_as("emitter", conn, instance, None);
    assert_eq!(stage.heard(conn), ["CHALLENGE 0", "WELCOME 0"]);
    conn
}

const fn bcast(nsp: u16) -> Frame<'static> {
    Frame::Bcast {
        nsp,
        rooms: Vec::new(),
        except: Vec::new(),
        parts: Vec::new(),
    }
}

const fn bus(from: &'static str, nsp: &'static str) -> Frame<'static> {
    Frame::Bus {
        nsp,
        to: "",
        from,
        opaque: b"x",
    }
}

#[test]
fn it_has_no_clients_and_no_peers_and_keeps_no_namespace() {
    let mut stage = stage();
    let conn = emitter(&mut stage, "e");
    stage.open(1, &[]);
    stage.say(conn, 5, &Frame::Nsp { name: "/news" });
    stage.say(conn, 0, &bcast(5));
    assert_eq!(stage.take_told(), Vec::<String>::new(), "nobody is there");
    let worker = stage.worker("w");
    assert_eq!(stage.take_told(), ["again 1"]);
    stage.open(1, &[]);
    stage.say(worker, 1, &Frame::Nsp { name: "/news" });
    let heard = stage.heard(worker);
    assert!(heard.contains(&"PEERS /news w".to_owned()), "{heard:?}");
    stage.take_told();
    stage.say(conn, 0, &bcast(5));
    assert_eq!(stage.take_told(), ["BCAST"]);
    let stats = stage.exchange.stats();
    assert_eq!((stats.workers, stats.emitters), (1, 1));
    stage.kill(worker);
    let heard = stage.heard(conn);
    let is_of_link = |frame: &String| frame.starts_with("CREDIT") || frame.starts_with("PING");
    assert!(heard.iter().all(is_of_link), "{heard:?}");
    stage.kill(conn);
    let stats = stage.exchange.stats();
    assert_eq!((stats.emitters, stats.workers_lost), (0, 1));
}

#[test]
fn workers_hear_it_and_other_emitters_do_not() {
    let mut stage = stage();
    let worker = stage.worker("w");
    let conn = emitter(&mut stage, "e");
    let other = emitter(&mut stage, "f");
    stage.say(conn, 0, &bus("e", "/"));
    assert_eq!(stage.heard(worker), ["BUS 0"]);
    stage.say(worker, 0, &bus("w", "/"));
    for conn in [conn, other] {
        let heard = stage.heard(conn);
        assert!(!heard.contains(&"BUS 0".to_owned()), "{heard:?}");
    }
}

#[test]
fn what_only_a_worker_may_say_is_refused() {
    let (sid, auth, data) = ("s", Long("{}"), Long("{}"));
    let member = Frame::Member {
        nsp: 0,
        sid,
        pid: "",
        rooms: Vec::new(),
        auth,
        data,
    };
    let send = Frame::Send {
        payload: ringway_proto::link::Payload(Part::Text("2")),
    };
    let leave_all = Frame::LeaveAll { nsp: 0 };
    let native = Frame::Nsp { name: "/live" };
    let strange = bcast(9);
    let frames = [
        member,
        send,
        leave_all,
        Frame::CloseConn {},
        native,
        strange,
        bus("e", "/live"),
        bus("another", "/"),
    ];
    for frame in frames {
        let mut stage = stage();
        let worker = stage.worker("w");
        let conn = emitter(&mut stage, "e");
        stage.say(conn, 1, &frame);
        let heard = stage.read(conn);
        assert_eq!(heard.last().unwrap(), "ERROR not-allowed", "{frame:?}");
        assert!(!stage.peer(worker).is_closed);
    }
}

#[test]
fn there_are_so_many_and_workers_find_a_place() {
    let mut stage = stage();
    for number in 0..32 {
        emitter(&mut stage, &format!("e{number}"));
    }
    let conn = stage.accept();
    stage.hello_as("emitter", conn, "one more", None);
    assert_eq!(stage.read(conn).last().unwrap(), "ERROR too-many");
    stage.worker("w");
}

#[test]
fn its_namespaces_are_bounded() {
    let mut stage = stage();
    let conn = emitter(&mut stage, "e");
    for number in 0..1024 {
        let name = format!("/{number}");
        stage.say(conn, number, &Frame::Nsp { name: &name });
    }
    stage.say_with(conn, 7, Flags::REMOVED, &Frame::Nsp { name: "/7" });
    stage.say(conn, 7, &Frame::Nsp { name: "/again" });
    assert!(!stage.read(conn).contains(&"ERROR too-many".to_owned()));
    stage.say(conn, 1024, &Frame::Nsp { name: "/more" });
    assert_eq!(stage.read(conn).last().unwrap(), "ERROR too-many");
}

#[test]
fn nobody_takes_anothers_place_by_its_name_in_another_role() {
    for (first, second) in [("worker", "emitter"), ("emitter", "worker")] {
        for received in [None, Some(0)] {
            let mut stage = stage();
            let conn = stage.accept();
            stage.hello_as(first, conn, "a", None);
            let other = stage.accept();
            stage.hello_as(second, other, "a", received);
            assert_eq!(stage.read(other).last().unwrap(), "ERROR not-allowed");
            assert!(!stage.peer(conn).is_closed);
        }
    }
}

#[test]
fn it_comes_back_and_goes_on() {
    let mut stage = stage();
    let worker = stage.worker("w");
    stage.say(worker, 1, &Frame::Nsp { name: "/" });
    let conn = emitter(&mut stage, "e");
    stage.say(conn, 5, &Frame::Nsp { name: "/" });
    stage.cut(conn);
    let again = stage.accept();
    stage.hello_as("emitter", again, "e", Some(0));
    let heard = stage.read(again);
    assert!(heard.contains(&"WELCOME back".to_owned()), "{heard:?}");
    stage.take_told();
    stage.say(again, 0, &bcast(5));
    assert_eq!(stage.take_told(), ["BCAST"]);
}
