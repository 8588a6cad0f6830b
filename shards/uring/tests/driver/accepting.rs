//! Clients come, give up, and find the table full.

use crate::bench::{Bench, SMALL, accept_key, address_of, builders};
use ringway_io::{Driver as _, Errno, Listener, Outcome};
use ringway_uring::{UringConfig, bind_alone, bind_shared};
use std::collections::HashSet;
use std::io::ErrorKind;
use std::net::{Ipv4Addr, SocketAddr, TcpStream};

fn end_of_accept(bench: &mut Bench) -> Errno {
    let one = bench.find(|one| matches!(one.outcome, Outcome::Accepted { more: false, .. }));
    match one.outcome {
        Outcome::Accepted {
            result: Err(errno), ..
        } => errno,
        other => panic!("{other:?} carries a client"),
    }
}

#[test]
fn a_burst_of_a_thousand_is_accepted_with_addresses() {
    let config = UringConfig {
        sockets_max: 1100,
        ..SMALL
    };
    let (mut bench, address) = Bench::single(&config);
    let clients: Vec<TcpStream> = (0..1000)
        .map(|_| TcpStream::connect(address).expect("a listener with room"))
        .collect();
    bench.accept();
    let accepted: Vec<_> = clients.iter().map(|_| bench.accepted()).collect();
    let sockets: HashSet<u32> = accepted.iter().map(|(socket, _)| socket.0).collect();
    assert_eq!(sockets.len(), 1000, "each has a place of its own");
    let peers: HashSet<_> = accepted.iter().map(|(_, peer)| *peer).collect();
    let locals = clients
        .iter()
        .map(|client| client.local_addr().expect("a connected socket"));
    assert_eq!(
        peers,
        locals.collect(),
        "addresses belong to those who came"
    );
}

#[test]
fn clients_that_reset_before_they_are_accepted_stop_nobody() {
    let (mut bench, address) = Bench::single(&SMALL);
    for _ in 0..40 {
        drop(socket_that_resets(address));
    }
    let honest = TcpStream::connect(address).expect("a listener");
    let local = honest.local_addr().expect("a connected socket");
    bench.accept();
    while bench.accepted().1 != local {}
}

fn socket_that_resets(address: SocketAddr) -> TcpStream {
    use std::os::fd::AsRawFd as _;
    let client = TcpStream::connect(address).expect("a listener");
    let linger = libc::linger {
        l_onoff: 1,
        l_linger: 0,
    };
    // SAFETY: one linger on the stack, read during the call.
    let result = unsafe {
        libc::setsockopt(
            client.as_raw_fd(),
            libc::SOL_SOCKET,
            libc::SO_LINGER,
            (&raw const linger).cast(),
            size_of::<libc::linger>() as u32,
        )
    };
    assert_eq!(result, 0, "SO_LINGER is always allowed");
    client
}

#[test]
fn a_full_table_ends_the_accept_and_a_close_makes_room() {
    let config = UringConfig {
        sockets_max: 4,
        ..SMALL
    };
    let (mut bench, address) = Bench::single(&config);
    let clients: Vec<_> = (0..5)
        .map(|_| TcpStream::connect(address).expect("a listener"))
        .collect();
    bench.accept();
    let sockets: Vec<_> = clients[..4].iter().map(|_| bench.accepted().0).collect();
    let full = Outcome::Accepted {
        result: Err(Errno(libc::ENFILE)),
        more: true,
    };
    let told = format!("{full:?}");
    bench.find(|one| format!("{:?}", one.outcome) == told);
    assert_eq!(end_of_accept(&mut bench), Errno(libc::ECANCELED));
    bench.close(0, sockets[0]);
    let late = TcpStream::connect(address).expect("a listener");
    bench.accept();
    assert_eq!(
        bench.accepted().1,
        late.local_addr().expect("a connected socket")
    );
}

#[test]
fn a_listener_closes_after_its_accept_has_ended() {
    let (mut bench, address) = Bench::single(&SMALL);
    bench.accept();
    bench.cancel(accept_key());
    assert_eq!(end_of_accept(&mut bench), Errno(libc::ECANCELED));
    bench.driver.stop_listening(Listener(0));
    let error = TcpStream::connect(address).expect_err("nobody listens");
    assert_eq!(error.kind(), ErrorKind::ConnectionRefused);
}

#[test]
fn nobody_connects_to_a_socket_that_is_only_bound() {
    let any = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
    let shared = bind_shared(any, 16 << 10).expect("a port");
    let alone = bind_alone(any).expect("a port");
    for socket in [&shared, &alone] {
        let error = TcpStream::connect(address_of(socket)).expect_err("nobody listens");
        assert_eq!(error.kind(), ErrorKind::ConnectionRefused);
    }
}

#[test]
fn a_port_with_a_listener_is_not_bound_alone() {
    let (_builders, address) = builders(&SMALL, 1);
    let error = bind_alone(address).expect_err("somebody listens");
    assert_eq!(error.kind(), ErrorKind::AddrInUse);
    bind_shared(address, 16 << 10).expect("shards share it");
}
