//! Frames stay alive until the kernel has let go of them.

use crate::bench::{Bench, SMALL, pattern_bytes, send_key};
use ringway_io::{Driver as _, Errno, Frame, Key, Op, OpKind};
use std::io::Read as _;
use std::net::Shutdown;
use std::rc::{Rc, Weak};
use std::thread;

/// More than both sockets' buffers take while nobody reads.
const LARGE: usize = 64 << 20;

fn watched(count: usize) -> (Frame, Weak<[u8]>) {
    let bytes: Rc<[u8]> = pattern_bytes(count).into();
    let watch = Rc::downgrade(&bytes);
    (Frame::from(bytes), watch)
}

#[test]
fn a_large_frame_goes_whole_and_is_held_until_it_went() {
    let (mut bench, socket, mut client) = Bench::connected(&SMALL);
    let (frame, watch) = watched(LARGE);
    bench.send(0, socket, frame);
    let mut batch = Vec::new();
    let now = bench.driver.now();
    bench.driver.wait(Some(now), &mut batch);
    assert!(watch.upgrade().is_some(), "nobody else holds the frame");
    let reader = thread::spawn(move || {
        let mut all = Vec::new();
        client.read_to_end(&mut all).expect("an orderly end");
        all
    });
    assert_eq!(bench.sent(0), Ok(LARGE as u32));
    assert!(
        watch.upgrade().is_none(),
        "its last completion freed the frame"
    );
    bench.close(0, socket);
    assert!(reader.join().expect("the reader") == pattern_bytes(LARGE));
}

/// Invariant 11: the cancel frees nothing; the send's own completion does, and says how much of it went.
#[test]
fn a_cancelled_send_reports_exactly_what_went() {
    let (mut bench, socket, mut client) = Bench::connected(&SMALL);
    let (frame, watch) = watched(LARGE);
    bench.send(0, socket, frame);
    // A second operation behind the send has completed: the send has moved what it could and is stuck.
    bench.cancel(Key::new(OpKind::Recv, 0, 7));
    bench.find(|one| one.key.kind() == OpKind::Cancel && one.key.slot() == 7);
    bench.cancel(send_key(0));
    assert!(watch.upgrade().is_some(), "a cancel retires nothing");
    let went = bench.sent(0).expect("a part went") as usize;
    assert!(watch.upgrade().is_none());
    assert!(0 < went && went < LARGE, "{went} of {LARGE} bytes");
    bench.close(0, socket);
    let mut all = Vec::new();
    client.read_to_end(&mut all).expect("an orderly end");
    assert!(all == pattern_bytes(went), "the peer got {}", all.len());
}

/// The kernel does not find a send that it is about to try again: it answers ENOENT, and the send would go on for ever.
#[test]
fn a_cancel_right_behind_its_send_is_not_lost() {
    for _ in 0..20 {
        let (mut bench, socket, _client) = Bench::connected(&SMALL);
        bench.send(0, socket, watched(LARGE).0);
        bench.cancel(send_key(0));
        let ended = bench.sent(0);
        assert!(
            ended == Err(Errno(libc::ECANCELED)) || ended.is_ok_and(|went| (went as usize) < LARGE),
            "{ended:?}"
        );
    }
}

#[test]
fn a_peer_that_is_gone_fails_the_send() {
    let (mut bench, socket, client) = Bench::connected(&SMALL);
    let (frame, watch) = watched(LARGE);
    bench.send(0, socket, frame);
    let mut batch = Vec::new();
    let now = bench.driver.now();
    bench.driver.wait(Some(now), &mut batch);
    drop(client);
    let ended = bench.sent(0);
    assert!(
        matches!(ended, Err(Errno(libc::ECONNRESET | libc::EPIPE)))
            || ended.is_ok_and(|went| (went as usize) < LARGE),
        "{ended:?}"
    );
    assert!(watch.upgrade().is_none());
}

#[test]
#[should_panic(expected = "two sends in flight")]
fn two_sends_in_flight_are_a_bug() {
    let (mut bench, socket, _client) = Bench::connected(&SMALL);
    bench.send(0, socket, watched(LARGE).0);
    bench.send(0, socket, watched(1).0);
}

#[test]
fn a_half_close_lets_the_peer_read_to_the_end_and_answer() {
    let (mut bench, socket, mut client) = Bench::connected(&SMALL);
    bench.send(0, socket, watched(1000).0);
    assert_eq!(bench.sent(0), Ok(1000));
    let key = Key::new(OpKind::Shutdown, 0, 0);
    bench.driver.submit(key, Op::ShutdownWrite { socket });
    bench.find(|one| one.key == key);
    let mut all = Vec::new();
    client.read_to_end(&mut all).expect("an orderly end");
    assert!(all == pattern_bytes(1000));
    std::io::Write::write_all(&mut client, b"thanks").expect("the other half is open");
    bench.recv(0, socket);
    assert_eq!(bench.receive_exactly(0, socket, 6), b"thanks");
}

/// Dropping the driver cancels what is in flight and frees it afterwards.
#[test]
fn dropping_the_driver_ends_everything_in_flight() {
    let (mut bench, socket, mut client) = Bench::connected(&SMALL);
    let (frame, watch) = watched(LARGE);
    bench.recv(0, socket);
    bench.send(0, socket, frame);
    drop(bench);
    assert!(
        watch.upgrade().is_none(),
        "the frame was freed with the driver"
    );
    let mut all = Vec::new();
    // The socket went with the ring: either an orderly end or a reset, but an end.
    let _ = client.read_to_end(&mut all);
    assert!(all == pattern_bytes(all.len()) && all.len() < LARGE);
    let _ = client.shutdown(Shutdown::Both);
}
