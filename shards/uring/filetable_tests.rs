use super::*;
use std::net::{TcpListener, TcpStream};

const SLOW_NOTSENT_BYTES: libc::c_int = 16 * 1024;

fn installed() -> Installed {
    let mut files = Files::none();
    files.installed.max = 1024;
    files.installed
}

/// A socket, and one more descriptor of it.
fn socket(listener: &TcpListener) -> (TcpStream, OwnedFd) {
    let stream = TcpStream::connect(listener.local_addr().expect("bound")).expect("a listener");
    let fd = OwnedFd::from(stream.try_clone().expect("a descriptor"));
    set_tcp_option(fd.as_raw_fd(), libc::TCP_NOTSENT_LOWAT, SLOW_NOTSENT_BYTES);
    (stream, fd)
}

fn held(stream: &TcpStream) -> libc::c_int {
    tcp_option(stream.as_raw_fd(), libc::TCP_NOTSENT_LOWAT).expect("it is TCP")
}

#[test]
fn the_kernel_holds_more_for_whom_much_went_and_what_it_did_when_they_retire() {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let mut installed = installed();
    let (stream, fd) = socket(&listener);
    installed.insert(7, fd);
    installed.went(7, FAST_AFTER_BYTES - 1);
    assert_eq!(held(&stream), SLOW_NOTSENT_BYTES);
    installed.went(7, 1);
    assert_eq!(held(&stream), FAST_NOTSENT_BYTES);
    installed.went(7, BULK_AFTER_BYTES);
    assert_eq!(held(&stream), BULK_NOTSENT_BYTES);
    installed.retire(7);
    assert_eq!(held(&stream), SLOW_NOTSENT_BYTES);
}

#[test]
fn so_many_readers_of_bulk_and_no_more() {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let mut installed = installed();
    let bulk = |number: u32, installed: &mut Installed| {
        let (stream, fd) = socket(&listener);
        installed.insert(number, fd);
        installed.went(number, BULK_AFTER_BYTES);
        held(&stream)
    };
    for number in 0..BULK_MAX as u32 {
        assert_eq!(bulk(number, &mut installed), BULK_NOTSENT_BYTES);
    }
    assert_eq!(bulk(1000, &mut installed), FAST_NOTSENT_BYTES);
    installed.remove(1000);
    installed.remove(3);
    assert_eq!(bulk(1001, &mut installed), BULK_NOTSENT_BYTES);
    assert_eq!(
        bulk(1001, &mut installed),
        BULK_NOTSENT_BYTES,
        "in its place"
    );
    assert_eq!(bulk(1002, &mut installed), FAST_NOTSENT_BYTES);
}
