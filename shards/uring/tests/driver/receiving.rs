//! The shared receive pool: order, exhaustion, ends.

use crate::bench::{Bench, SMALL, pattern_bytes, recv_key};
use ringway_io::{Driver as _, Outcome, RecvEnd, Socket};
use ringway_uring::UringConfig;
use std::io::Write as _;
use std::net::{Shutdown, TcpStream};
use std::thread;

#[test]
fn bytes_arrive_in_order_and_then_the_end() {
    let (mut bench, socket, mut client) = Bench::connected(&SMALL);
    let sent = pattern_bytes(1 << 20);
    let expected = sent.clone();
    let writer = thread::spawn(move || {
        client.write_all(&sent).expect("a reader");
        client.shutdown(Shutdown::Write).expect("a connection");
        client
    });
    bench.recv(0, socket);
    assert!(bench.receive_exactly(0, socket, expected.len()) == expected);
    assert_eq!(bench.end(0, socket), RecvEnd::Eof);
    bench.close(0, socket);
    drop(writer.join().expect("the writer"));
}

/// Bytes of which the kernel leaves some to a poll when a receive is armed, for whose end it would not look.
#[test]
fn a_reset_behind_what_was_not_received_yet_is_heard_of() {
    let config = UringConfig {
        recv_buffers: 128,
        recv_buffers_first: 128,
        recv_buffer_bytes: 512,
        ..SMALL
    };
    for buffers in [0, 1, 31, 32, 33, 40, 64, 80] {
        let (mut bench, socket, mut client) = Bench::connected(&config);
        let sent = pattern_bytes(buffers * 512);
        client.write_all(&sent).expect("room in the socket");
        // A client that leaves what it was sent unread resets the connection.
        bench.send(0, socket, b"unread".to_vec().into());
        assert_eq!(bench.sent(0), Ok(6));
        client.peek(&mut [0]).expect("what was sent");
        drop(client);
        bench.recv(0, socket);
        assert!(bench.receive_exactly(0, socket, sent.len()) == sent);
        let end = bench.end(0, socket);
        assert!(matches!(end, RecvEnd::Failed(_)), "{end:?}: {buffers}");
        bench.close(0, socket);
    }
}

/// Of a client that sends more than somebody could take, who therefore ended the receive, what comes fills large buffers, each of which is a receive's end: there is nothing
/// to be ended the next time. With little that comes it is over.
#[test]
fn much_comes_in_large_buffers_until_little_does() {
    let config = UringConfig {
        recv_buffers: 128,
        recv_buffers_first: 128,
        recv_buffer_bytes: 512,
        ..SMALL
    };
    let (mut bench, socket, mut client) = Bench::connected(&config);
    let sent = pattern_bytes(600_000);
    client.write_all(&sent).expect("room in the socket");
    bench.recv(0, socket);
    let (mut got, mut large) = (Vec::<u8>::new(), 0);
    bench.cancel(recv_key(0));
    while got.len() < sent.len() {
        let (outcome, bytes) = bench.received(0);
        got.extend(&bytes);
        match outcome {
            Outcome::Received { more: true, .. } => assert!(bytes.len() <= 512),
            Outcome::Received { .. } => {
                large += u32::from(bytes.len() > 512);
                bench.recv(0, socket);
            }
            Outcome::RecvEnded(RecvEnd::Cancelled | RecvEnd::NoBuffers | RecvEnd::Ended) => {
                bench.recv(0, socket);
            }
            other => panic!("{other:?} after {} bytes", got.len()),
        }
    }
    assert!(got == sent);
    assert!(large >= 3, "{large} large buffers");
    // What is in flight by now may be one of a large buffer; the next is not.
    client.write_all(b"little").expect("a reader");
    assert!(bench.receive_exactly(0, socket, 6) == b"little");
    bench.cancel(recv_key(0));
    while bench.end(0, socket) != RecvEnd::Cancelled {}
    bench.recv(0, socket);
    client.write_all(b"less").expect("a reader");
    let (outcome, bytes) = bench.received(0);
    let goes_on = matches!(outcome, Outcome::Received { more: true, .. });
    assert!(goes_on && bytes == b"less", "{outcome:?}");
}

#[test]
fn an_empty_pool_ends_the_receive_and_a_recycled_buffer_lets_it_go_on() {
    let config = UringConfig {
        recv_buffers: 2,
        ..SMALL
    };
    let (mut bench, socket, mut client) = Bench::connected(&config);
    let sent = pattern_bytes(3 * 4096);
    client.write_all(&sent).expect("room in the socket");
    bench.recv(0, socket);
    let mut leases = Vec::new();
    loop {
        match bench.find(|one| one.key == recv_key(0)).outcome {
            Outcome::Received { lease, .. } => leases.push(lease),
            Outcome::RecvEnded(RecvEnd::NoBuffers) => break,
            other => panic!("{other:?} with {} leases out", leases.len()),
        }
    }
    assert_eq!(leases.len(), 2, "the pool was used up first");
    assert!(bench.driver.has_left_some(), "the third was not read");
    let mut got = Vec::new();
    for mut lease in leases {
        got.extend_from_slice(bench.driver.bytes(&mut lease));
        bench.driver.recycle(lease);
    }
    bench.recv(0, socket);
    got.extend(bench.receive_exactly(0, socket, sent.len() - got.len()));
    assert!(got == sent);
    while bench.lap().is_some() {}
    assert!(!bench.driver.has_left_some());
}

/// More clients than one wait listens to speak at once: it says that it has not heard all of them, until it has.
#[test]
fn a_wait_that_has_not_heard_all_says_so() {
    const CLIENTS: u32 = 400;
    let config = UringConfig {
        sockets_max: CLIENTS,
        recv_buffers: 512,
        recv_buffers_first: 512,
        ..SMALL
    };
    let (mut bench, address) = Bench::single(&config);
    bench.accept();
    let mut clients: Vec<TcpStream> = (0..CLIENTS)
        .map(|slot| {
            let client = TcpStream::connect(address).expect("a listener");
            let (socket, _) = bench.accepted();
            bench.recv(slot, socket);
            client
        })
        .collect();
    while bench.lap().is_some() {}
    assert!(!bench.driver.has_left_some(), "nobody has spoken");
    for client in &mut clients {
        client.write_all(b"a").expect("a reader");
    }
    let (mut heard, mut partial) = (0, 0);
    while heard < CLIENTS {
        let before = heard;
        let mut next = bench.lap();
        while let Some(one) = next {
            let Outcome::Received { lease, .. } = one.outcome else {
                panic!("{one:?}");
            };
            bench.driver.recycle(lease);
            heard += 1;
            next = bench.waiting();
        }
        assert!(heard > before, "it has heard {heard}");
        partial += u32::from(bench.driver.has_left_some());
        assert_eq!(bench.driver.has_left_some(), heard < CLIENTS);
    }
    assert!(partial > 0, "it heard all at once");
}

/// A pool starts with 64 buffers of those that it may have; shortages double them.
#[test]
fn a_pool_that_was_short_grows_to_its_end() {
    let config = UringConfig {
        recv_buffers: 256,
        recv_buffers_first: 64,
        ..SMALL
    };
    let (mut bench, socket, mut client) = Bench::connected(&config);
    client
        .write_all(&pattern_bytes(300 * 4096))
        .expect("room in the socket");
    let (mut leases, mut shortages) = (Vec::new(), 0);
    while leases.len() < 256 {
        bench.recv(0, socket);
        loop {
            match bench.find(|one| one.key == recv_key(0)).outcome {
                Outcome::Received { lease, more } => {
                    leases.push(lease);
                    if !more {
                        break;
                    }
                }
                Outcome::RecvEnded(RecvEnd::NoBuffers) => {
                    shortages += 1;
                    break;
                }
                other => panic!("{other:?} with {} leases out", leases.len()),
            }
        }
        assert!(shortages <= 1000, "{} leases are out", leases.len());
    }
    assert!(
        shortages >= 500,
        "64 buffers are not 256, and grow when that lasts"
    );
    leases
        .into_iter()
        .for_each(|lease| bench.driver.recycle(lease));
}

#[test]
#[should_panic(expected = "given back twice")]
fn a_buffer_given_back_twice_is_a_bug() {
    let (mut bench, socket, mut client) = Bench::connected(&SMALL);
    client.write_all(b"once").expect("room in the socket");
    bench.recv(0, socket);
    let one = bench.find(|one| one.key == recv_key(0));
    let Outcome::Received { lease, .. } = one.outcome else {
        panic!("{one:?} has no bytes")
    };
    let forged = ringway_io::RecvLease::grant(lease.id(), 4);
    bench.driver.recycle(lease);
    bench.driver.recycle(forged);
}

#[test]
#[should_panic(expected = "two receives in flight")]
fn two_receives_in_flight_are_a_bug() {
    let (mut bench, socket, _client) = Bench::connected(&SMALL);
    bench.recv(0, socket);
    bench.recv(0, socket);
}

/// A submission queue of eight fills while completions are handled; the order of each stream must not notice.
#[test]
fn a_tiny_submission_queue_keeps_every_stream_in_order() {
    const CLIENTS: usize = 40;
    let config = UringConfig {
        sq_entries: 8,
        cq_entries: 4096,
        ..SMALL
    };
    let (mut bench, address) = Bench::single(&config);
    bench.accept();
    let sent = pattern_bytes(64 << 10);
    let expected = sent.clone();
    let writer = thread::spawn(move || {
        let mut clients: Vec<_> = (0..CLIENTS)
            .map(|_| TcpStream::connect(address).expect("a listener"))
            .collect();
        for piece in sent.chunks(1000) {
            clients
                .iter_mut()
                .for_each(|client| client.write_all(piece).expect("a reader"));
        }
        clients
    });
    let mut streams: Vec<(Socket, Vec<u8>)> = Vec::new();
    while streams.len() < CLIENTS
        || streams
            .iter()
            .any(|(_, bytes)| bytes.len() < expected.len())
    {
        let one = bench.next();
        let slot = one.key.slot();
        match one.outcome {
            Outcome::Accepted { result, .. } => {
                let (socket, _) = result.expect("a client");
                bench.recv(streams.len() as u32, socket);
                streams.push((socket, Vec::new()));
            }
            Outcome::Received { mut lease, more } => {
                let (socket, bytes) = &mut streams[slot as usize];
                bytes.extend_from_slice(bench.driver.bytes(&mut lease));
                bench.driver.recycle(lease);
                if !more {
                    bench.recv(slot, *socket);
                }
            }
            Outcome::RecvEnded(RecvEnd::NoBuffers) => bench.recv(slot, streams[slot as usize].0),
            other => panic!("{other:?} is not expected here"),
        }
    }
    assert!(streams.iter().all(|(_, bytes)| *bytes == expected));
    drop(writer.join().expect("the writer"));
}
