//! Several listeners of one ring, one of them a Unix socket: each has accepts, an end and clients of its own.

use crate::bench::{Bench, SMALL, accept_key, accept_key_of, address_of, pattern_bytes};
use crate::unix::Folder;
use ringway_io::{Driver as _, Errno, Frame, Listener, Outcome, Peer, RecvEnd, Socket};
use ringway_uring::{Pool, ProcessClock, UringBuilder, UringConfig, bind_shared, bind_unix};
use std::collections::HashSet;
use std::fs::Permissions;
use std::io::{ErrorKind, Read as _, Write as _};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::os::fd::OwnedFd;
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::time::Duration;

const TCP: u32 = 0;
const UNIX: u32 = 1;

/// A ring with a TCP listener and behind it a Unix one.
struct Both {
    bench: Bench,
    address: SocketAddr,
    path: PathBuf,
    folder: Folder,
}

fn rings(config: &UringConfig, sockets: Vec<Vec<OwnedFd>>) -> Vec<Bench> {
    let mut pool = Pool::new(0).expect("an eventfd");
    let made = UringBuilder::all(config, sockets, ProcessClock::start(), &mut pool);
    let made = made.expect("rings");
    for builder in &made {
        builder.listen(128).expect("listeners");
    }
    made.into_iter().map(Bench::new).collect()
}

fn tcp() -> (OwnedFd, SocketAddr) {
    let any = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
    let socket = bind_shared(any, 16 << 10).expect("a port");
    let address = address_of(&socket);
    (socket, address)
}

impl Both {
    fn new(config: &UringConfig) -> Self {
        let folder = Folder::new();
        let path = folder.path("link");
        let (tcp, address) = tcp();
        let unix = bind_unix(&path, 0o600).expect("a socket");
        let bench = rings(config, vec![vec![tcp, unix]]).remove(0);
        Self {
            bench,
            address,
            path,
            folder,
        }
    }

    /// With both accepts armed.
    fn accepting() -> Self {
        let mut both = Self::new(&SMALL);
        both.bench.accept_on(TCP);
        both.bench.accept_on(UNIX);
        both
    }

    fn by_tcp(&self) -> TcpStream {
        TcpStream::connect(self.address).expect("a listener")
    }

    fn by_unix(&self) -> UnixStream {
        UnixStream::connect(&self.path).expect("a listener")
    }

    /// A client that came by the Unix socket, and its place.
    fn linked(&mut self) -> (Socket, UnixStream) {
        let client = self.by_unix();
        let (socket, peer) = self.bench.accepted_on(UNIX);
        let uid = self.folder.uid();
        assert_eq!(peer, local(uid), "the test connects to itself");
        (socket, client)
    }
}

/// The end of a listener's accept, and how many clients came before it.
fn end_of_accept(bench: &mut Bench, listener: u32) -> usize {
    let mut clients = 0;
    loop {
        let one = bench.find(|one| one.key == accept_key_of(listener));
        match one.outcome {
            Outcome::Accepted {
                result: Ok(_),
                more: true,
            } => clients += 1,
            Outcome::Accepted {
                result: Err(Errno(libc::ECANCELED)),
                more: false,
            } => return clients,
            other => panic!("{other:?} is neither a client nor the end"),
        }
    }
}

fn is_at_its_end(client: &mut UnixStream) -> bool {
    let patience = Some(Duration::from_secs(30));
    client.set_read_timeout(patience).expect("a socket");
    // To the end, because that goes on when the end of a ring on this thread interrupts it.
    matches!(client.read_to_end(&mut Vec::new()), Ok(0))
}

#[test]
fn clients_come_by_their_own_listener() {
    let mut both = Both::accepting();
    let by_tcp: Vec<_> = (0..20).map(|_| both.by_tcp()).collect();
    let by_unix: Vec<_> = (0..20).map(|_| both.by_unix()).collect();
    let uid = both.folder.uid();
    let links: Vec<_> = by_unix
        .iter()
        .map(|_| both.bench.accepted_on(UNIX))
        .collect();
    assert!(links.iter().all(|(_, peer)| *peer == local(uid)));
    let clients: Vec<_> = by_tcp.iter().map(|_| both.bench.accepted()).collect();
    let addresses: HashSet<_> = clients.iter().map(|(_, address)| *address).collect();
    let locals = by_tcp.iter().map(|client| client.local_addr());
    assert_eq!(addresses, locals.map(|local| local.expect("it")).collect());
    let sockets: HashSet<u32> = links.iter().map(|(socket, _)| socket.0).collect();
    let others = clients.iter().map(|(socket, _)| socket.0);
    assert_eq!(sockets.into_iter().chain(others).count(), 40);
}

#[test]
fn bytes_go_both_ways_over_a_unix_socket() {
    const BYTES: usize = 1 << 20;
    let mut both = Both::accepting();
    let (socket, mut client) = both.linked();
    let mut writer = client.try_clone().expect("a descriptor");
    let writing = std::thread::spawn(move || writer.write_all(&pattern_bytes(BYTES)));
    both.bench.recv(0, socket);
    let got = both.bench.receive_exactly(0, socket, BYTES);
    assert!(got == pattern_bytes(BYTES), "as it was sent");
    writing.join().expect("the writer").expect("a reader");
    let frame = Frame::from(pattern_bytes(BYTES));
    both.bench.send(0, socket, frame);
    let reading = std::thread::spawn(move || {
        let mut answer = vec![0; BYTES];
        client.read_exact(&mut answer).expect("an answer");
        answer
    });
    assert_eq!(both.bench.sent(0), Ok(BYTES as u32));
    let answer = reading.join().expect("the reader, which hangs up");
    assert!(answer == pattern_bytes(BYTES), "as it was sent");
    assert_eq!(both.bench.end(0, socket), RecvEnd::Eof);
    both.bench.close(0, socket);
}

#[test]
fn the_unix_listener_goes_on_when_the_other_has_stopped() {
    let mut both = Both::accepting();
    both.bench.cancel(accept_key());
    assert_eq!(end_of_accept(&mut both.bench, TCP), 0);
    both.bench.driver.stop_listening(Listener(TCP));
    let error = TcpStream::connect(both.address).expect_err("nobody listens");
    assert_eq!(error.kind(), ErrorKind::ConnectionRefused);
    both.linked();
}

#[test]
fn the_others_go_on_when_the_unix_listener_has_stopped() {
    let mut both = Both::accepting();
    both.bench.cancel(accept_key_of(UNIX));
    assert_eq!(end_of_accept(&mut both.bench, UNIX), 0);
    both.bench.driver.stop_listening(Listener(UNIX));
    let error = UnixStream::connect(&both.path).expect_err("nobody listens");
    assert_eq!(error.kind(), ErrorKind::ConnectionRefused);
    let client = both.by_tcp();
    let local = client.local_addr().expect("a connected socket");
    assert_eq!(both.bench.accepted().1, local);
}

/// Each round is cancelled at a moment when a client may be accepted, in the middle of it, or still waiting. None is lost, and the other listener's
/// accept is the same from the first round to the last.
#[test]
fn cancels_end_one_accept_and_lose_no_client() {
    const ROUNDS: usize = 300;
    let config = UringConfig {
        sockets_max: 2 * ROUNDS as u32,
        ..SMALL
    };
    let mut both = Both::new(&config);
    both.bench.accept_on(TCP);
    let (mut clients, mut accepted) = (Vec::new(), 0);
    for round in 0..ROUNDS {
        clients.push(both.by_unix());
        both.bench.accept_on(UNIX);
        if round % 3 == 1 {
            // What comes of it is the first client or nothing.
            accepted += usize::from(both.bench.lap().is_some());
        }
        if round % 3 == 2 {
            clients.push(both.by_unix());
        }
        both.bench.cancel(accept_key_of(UNIX));
        accepted += end_of_accept(&mut both.bench, UNIX);
    }
    both.bench.accept_on(UNIX);
    for _ in accepted..clients.len() {
        both.bench.accepted_on(UNIX);
    }
    both.by_tcp();
    both.bench.accepted();
}

/// The table has no place for a descriptor that the process has: whoever came with it is told by a close.
#[test]
fn a_full_table_ends_the_accept_of_the_listener_that_met_it() {
    let config = UringConfig {
        sockets_max: 2,
        ..SMALL
    };
    let mut both = Both::new(&config);
    let mut clients: Vec<_> = (0..3).map(|_| both.by_unix()).collect();
    both.bench.accept_on(TCP);
    both.bench.accept_on(UNIX);
    let (first, _) = both.bench.accepted_on(UNIX);
    both.bench.accepted_on(UNIX);
    let full = both.bench.find(|one| one.key == accept_key_of(UNIX));
    let told = Outcome::Accepted {
        result: Err(Errno(libc::ENFILE)),
        more: true,
    };
    assert_eq!(format!("{:?}", full.outcome), format!("{told:?}"));
    assert_eq!(end_of_accept(&mut both.bench, UNIX), 0);
    assert!(is_at_its_end(&mut clients[2]), "there is no place for it");
    both.bench.close(0, first);
    let _late = both.by_tcp();
    both.bench.accepted();
}

/// A Unix socket has one queue, from which each shard takes what it can; rings have as many listeners as they are given.
#[test]
fn shards_share_a_unix_socket_by_clones() {
    let folder = Folder::new();
    let path = folder.path("link");
    let unix = bind_unix(&path, 0o600).expect("a socket");
    let clone = unix.try_clone().expect("a descriptor");
    let mut benches = rings(&SMALL, vec![vec![tcp().0, unix], vec![clone], vec![]]);
    let counts = benches.iter().map(|bench| bench.driver.listeners());
    assert_eq!(counts.collect::<Vec<_>>(), [2, 1, 0]);
    benches[0].accept_on(1);
    benches[1].accept_on(0);
    for _ in 0..40 {
        let _client = UnixStream::connect(&path).expect("a listener");
        let accepted = |bench: &mut Bench| bench.lap().map(|one| one.outcome);
        let outcome = loop {
            if let Some(outcome) = benches.iter_mut().find_map(accepted) {
                break outcome;
            }
        };
        assert!(matches!(outcome, Outcome::Accepted { result: Ok(_), .. }));
    }
    benches[1].cancel(accept_key());
    end_of_accept(&mut benches[1], 0);
    benches[1].driver.stop_listening(Listener(0));
    let _client = UnixStream::connect(&path).expect("the other shard");
    benches[0].accepted_on(1);
}

/// The file's mode keeps others out, and of those whom it lets in the kernel tells who they are. Only root can be somebody else; for anybody else
/// there is nothing to see here.
#[test]
fn another_user_is_kept_out_by_the_mode_or_told_by_name() {
    const NOBODY: u32 = 65_534;
    let mut both = Both::accepting();
    if both.folder.uid() != 0 {
        return;
    }
    both.folder.open_to_others();
    let path = both.path.clone();
    let error = connect_as(NOBODY, path.clone()).expect_err("0600");
    assert_eq!(error.kind(), ErrorKind::PermissionDenied);
    std::fs::set_permissions(&path, Permissions::from_mode(0o666)).expect("root may");
    let _client = connect_as(NOBODY, path).expect("a listener");
    assert_eq!(both.bench.accepted_on(UNIX).1, local(NOBODY));
}

/// This process, as a user.
fn local(uid: u32) -> Peer {
    let pid = std::process::id();
    Peer::Unix { uid, pid }
}

/// On a thread of its own, which alone becomes that user and ends with it: libc's function would make all threads of the process that user.
fn connect_as(uid: u32, path: PathBuf) -> std::io::Result<UnixStream> {
    let connecting = std::thread::spawn(move || {
        // SAFETY: no memory is involved; the result is checked.
        let result = unsafe { libc::syscall(libc::SYS_setresuid, -1, uid, -1) };
        assert_eq!(result, 0, "root becomes anybody");
        UnixStream::connect(path)
    });
    connecting.join().expect("the thread")
}

/// Between the completion of an accept and its place in the table a client is a descriptor of the process, which nobody else would close.
#[test]
fn a_dropped_driver_closes_clients_on_their_way_into_the_table() {
    for laps in [0, 1] {
        let mut both = Both::new(&SMALL);
        let mut client = both.by_unix();
        both.bench.accept_on(UNIX);
        (0..laps).for_each(|_| assert!(both.bench.lap().is_none()));
        drop(both.bench);
        assert!(is_at_its_end(&mut client), "after {laps} laps");
    }
}
