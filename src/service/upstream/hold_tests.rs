//! A client whose worker wants no more of it, for now, and its neighbour.

use super::stage::Stage;
use super::window::Window;
use crate::time::ConnId;
use ringway_proto::link::Frame;

/// What a worker hears of its clients.
fn heard(stage: &mut Stage, conn: ConnId) -> Vec<String> {
    let mut all = stage.heard_all(conn);
    all.retain(|frame| !frame.starts_with("CREDIT"));
    all
}

#[test]
fn a_held_client_waits_alone_and_hears_no_less_behind_it() {
    let mut stage = Stage::new(Window::default());
    let conn = stage.worker("one");
    (1..=2).for_each(|number| stage.open(number, &[]));
    heard(&mut stage, conn);
    stage.say(conn, super::stage::client(1).0, &Frame::Hold { on: true });
    stage.data(1, "2[\"a\"]");
    stage.data(2, "2[\"b\"]");
    let all = heard(&mut stage, conn);
    assert_eq!(all.len(), 1, "{all:?}");
    assert!(all[0].contains("[\"b\"]"), "{all:?}");
    stage.pressure(1, true);
    let all = heard(&mut stage, conn);
    assert_eq!(all.len(), 1, "what is no word of it comes: {all:?}");
    stage.say(conn, super::stage::client(1).0, &Frame::Hold { on: false });
    let all = heard(&mut stage, conn);
    assert!(all.len() == 1 && all[0].contains("[\"a\"]"), "{all:?}");
}

#[test]
fn of_a_client_that_is_gone_the_rest_comes() {
    let mut stage = Stage::new(Window::default());
    let conn = stage.worker("one");
    stage.open(1, &[]);
    heard(&mut stage, conn);
    stage.say(conn, super::stage::client(1).0, &Frame::Hold { on: true });
    stage.data(1, "2[\"a\"]");
    assert!(heard(&mut stage, conn).is_empty());
    stage.close(1);
    assert_eq!(heard(&mut stage, conn).len(), 2);
}

#[test]
fn a_client_that_was_taken_over_waits_until_it_is_back() {
    for says_taken in [true, false] {
        let mut stage = Stage::new(Window::default());
        stage.says_taken = says_taken;
        let conn = stage.worker("one");
        stage.resume(1);
        stage.data(1, "2[\"a\"]");
        let taken = |frames: &[String]| frames.iter().any(|frame| frame.contains("[\"a\"]"));
        assert_eq!(taken(&heard(&mut stage, conn)), !says_taken);
        // It ends before it has said it.
        stage.kill(conn);
        let next = stage.worker("two");
        stage.resume(1);
        let all = heard(&mut stage, next);
        assert!(!taken(&all) && all[0].starts_with("RESUME"), "{all:?}");
        stage.say(next, super::stage::client(1).0, &Frame::Hold { on: false });
        assert_eq!(taken(&heard(&mut stage, next)), says_taken);
    }
}
