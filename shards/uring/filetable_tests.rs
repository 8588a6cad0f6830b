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
    let mut before = SLOW_NOTSENT_BYTES;
    let mut went = 0;
    for pace in &PACES {
        installed.went(7, pace.after_bytes - 1 - went);
        assert_eq!(held(&stream), before);
        installed.went(7, 1);
        assert_eq!(held(&stream), pace.notsent_bytes);
        (before, went) = (pace.notsent_bytes, pace.after_bytes);
    }
    installed.retire(7);
    assert_eq!(held(&stream), SLOW_NOTSENT_BYTES);
    assert_eq!(installed.readers, [0, 0, 0]);
}

#[test]
fn so_many_fast_readers_and_no_more() {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let mut installed = installed();
    let fastest = |number: u32, installed: &mut Installed| {
        let (stream, fd) = socket(&listener);
        installed.insert(number, fd);
        installed.went(number, PACES[2].after_bytes);
        held(&stream)
    };
    let [third, second, first] = PACES;
    for number in 0..(first.readers_max + second.readers_max) as u32 {
        let held = fastest(number, &mut installed);
        let is_first = number < first.readers_max as u32;
        let pace = if is_first { &first } else { &second };
        assert_eq!(held, pace.notsent_bytes, "{number}");
    }
    assert_eq!(fastest(1000, &mut installed), third.notsent_bytes);
    installed.remove(1000);
    installed.remove(3);
    assert_eq!(fastest(1001, &mut installed), first.notsent_bytes);
    assert_eq!(fastest(1001, &mut installed), first.notsent_bytes, "anew");
    installed.remove(50);
    assert_eq!(fastest(1002, &mut installed), second.notsent_bytes);
    assert_eq!(fastest(1003, &mut installed), third.notsent_bytes);
}

/// A host that lets the kernel hold much for everybody is not overruled.
#[test]
fn where_the_kernel_held_as_much_from_the_start_it_goes_on_so() {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let mut installed = installed();
    let (stream, fd) = socket(&listener);
    let much = 2 * PACES[1].notsent_bytes;
    set_tcp_option(fd.as_raw_fd(), libc::TCP_NOTSENT_LOWAT, much);
    installed.insert(7, fd);
    installed.went(7, PACES[1].after_bytes);
    assert_eq!(held(&stream), much);
}
