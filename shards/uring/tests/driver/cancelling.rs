//! Ending a receive while bytes are on their way: nothing may be lost, doubled or moved.

use crate::bench::{Bench, SMALL, pattern, pattern_bytes, recv_key};
use ringway_io::{Driver as _, Outcome, RecvEnd};
use ringway_uring::UringConfig;
use std::io::Write as _;
use std::thread;

#[test]
fn a_receive_cancelled_over_and_over_loses_nothing() {
    const BYTES: usize = 8 << 20;
    // More buffers than one run of the kernel fills, or the pool's end would be the receive's, and no cancel would find it.
    let config = UringConfig {
        recv_buffers: 1024,
        recv_buffers_first: 1024,
        ..SMALL
    };
    let (mut bench, socket, mut client) = Bench::connected(&config);
    let writer = thread::spawn(move || {
        client.write_all(&pattern_bytes(BYTES)).expect("a reader");
        client
    });
    let (mut got, mut cancelled, mut late) = (0, 0, 0);
    let mut cancelling = false;
    bench.recv(0, socket);
    while got < BYTES {
        let one = bench.find(|one| one.key == recv_key(0));
        let more = matches!(one.outcome, Outcome::Received { more: true, .. });
        match one.outcome {
            Outcome::Received { mut lease, .. } => {
                let bytes = bench.driver.bytes(&mut lease);
                assert!(
                    bytes
                        .iter()
                        .enumerate()
                        .all(|(at, byte)| *byte == pattern(got + at))
                );
                got += bytes.len();
                late += usize::from(cancelling);
                bench.driver.recycle(lease);
            }
            Outcome::RecvEnded(RecvEnd::Cancelled) => cancelled += 1,
            // The pool was empty, or the driver renews a receive behind which much waited: whoever cancels hears of that end instead of his own.
            Outcome::RecvEnded(RecvEnd::NoBuffers | RecvEnd::Ended) => {}
            other => panic!("{other:?} after {got} bytes"),
        }
        if !more {
            cancelling = false;
            bench.recv(0, socket);
        } else if !cancelling {
            cancelling = true;
            bench.cancel(recv_key(0));
        }
    }
    assert!(cancelled > 0, "a cancel took effect");
    assert!(
        late > 0,
        "bytes came between a cancel and the end it asked for"
    );
    drop(writer.join().expect("the writer"));
}

#[test]
fn a_cancel_right_behind_its_receive_is_not_lost() {
    for _ in 0..200 {
        let (mut bench, socket, mut client) = Bench::connected(&SMALL);
        client.write_all(b"early").expect("room in the socket");
        bench.recv(0, socket);
        bench.cancel(recv_key(0));
        let mut got = Vec::new();
        let end = loop {
            match bench.received(0) {
                (Outcome::Received { more, .. }, bytes) => {
                    got.extend(bytes);
                    if !more {
                        break RecvEnd::Cancelled;
                    }
                }
                (Outcome::RecvEnded(end), _) => break end,
                (other, _) => panic!("{other:?} is no receive"),
            }
        };
        assert_eq!(end, RecvEnd::Cancelled);
        if got.is_empty() {
            bench.recv(0, socket);
            got = bench.receive_exactly(0, socket, 5);
        }
        assert_eq!(got, b"early");
    }
}

#[test]
fn cancelling_what_has_ended_is_seen_and_harms_nobody() {
    let (mut bench, _socket, _client) = Bench::connected(&SMALL);
    bench.cancel(recv_key(5));
    let one = bench.find(|one| one.key.slot() == 5);
    assert!(matches!(one.outcome, Outcome::CancelSeen));
}

/// Invariant 7: shut down, count the last completions, then close.
#[test]
fn a_shutdown_ends_the_receive_before_the_close() {
    let (mut bench, socket, _client) = Bench::connected(&SMALL);
    bench.recv(0, socket);
    let key = ringway_io::Key::new(ringway_io::OpKind::Shutdown, 0, 0);
    bench
        .driver
        .submit(key, ringway_io::Op::Shutdown { socket });
    let (outcome, _) = bench.received(0);
    assert!(matches!(outcome, Outcome::RecvEnded(RecvEnd::Eof)));
    bench.find(|one| one.key == key);
    bench.close(0, socket);
}
