//! A bare echo over glommio: one task per connection, one thread, io_uring.
//!
//! Glommio polls a socket through the ring and then reads it with a system call, so no connection needs a buffer while it waits:
//! the read happens into the thread's.

use futures_lite::{AsyncRead, AsyncWrite, AsyncWriteExt};
use glommio::net::{TcpListener, TcpStream};
use glommio::{GlommioError, LocalExecutorBuilder, Placement};
use std::cell::RefCell;
use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

const READ_BYTES_MAX: usize = 4096;
const RING_ENTRIES: usize = 4096;
/// For storage, which is not used here: the least that glommio takes.
const STORAGE_BYTES: usize = 64 * 1024;

thread_local! {
    static BUFFER: RefCell<[u8; READ_BYTES_MAX]> = const { RefCell::new([0; READ_BYTES_MAX]) };
}

/// What one read and its answer left to do.
enum Turn {
    Closed,
    Answered,
    /// The kernel took only part of the answer; this is the rest.
    Short(Vec<u8>),
}

fn main() -> Result<(), GlommioError<()>> {
    peer_listen::raise_descriptors()?;
    let executor = LocalExecutorBuilder::new(Placement::Unbound)
        .ring_depth(RING_ENTRIES)
        .io_memory(STORAGE_BYTES)
        .make()?;
    executor.run(async {
        let listener = TcpListener::bind(("127.0.0.1", peer_listen::port()))?;
        peer_listen::ready();
        loop {
            let stream = listener.accept().await?;
            stream.set_nodelay(true)?;
            glommio::spawn_local(echo(stream)).detach();
        }
    })
}

async fn echo(mut stream: TcpStream) -> io::Result<()> {
    loop {
        match poll_fn(|context| turn(&mut stream, context)).await? {
            Turn::Closed => return Ok(()),
            Turn::Answered => {}
            Turn::Short(rest) => stream.write_all(&rest).await?,
        }
    }
}

fn turn(stream: &mut TcpStream, context: &mut Context<'_>) -> Poll<io::Result<Turn>> {
    BUFFER.with_borrow_mut(|buffer| {
        let read = ready!(Pin::new(&mut *stream).poll_read(context, buffer))?;
        if read == 0 {
            return Poll::Ready(Ok(Turn::Closed));
        }
        let written = match Pin::new(stream).poll_write(context, &buffer[..read]) {
            Poll::Pending => 0,
            Poll::Ready(written) => written?,
        };
        Poll::Ready(Ok(match &buffer[written..read] {
            [] => Turn::Answered,
            rest => Turn::Short(rest.to_vec()),
        }))
    })
}
