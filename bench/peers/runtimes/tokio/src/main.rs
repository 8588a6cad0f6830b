//! A bare echo over tokio: one task per connection, one thread.
//!
//! Tokio tells of readiness, so a connection needs no buffer of its own while it waits: the read happens into the thread's.

use std::cell::RefCell;
use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use tokio::io::{AsyncRead, AsyncWriteExt, ReadBuf};
use tokio::net::{TcpListener, TcpStream};

const READ_BYTES_MAX: usize = 4096;

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

fn main() -> io::Result<()> {
    let listener = peer_listen::bind(peer_listen::port())?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_io()
        .build()?;
    runtime.block_on(async {
        let listener = TcpListener::from_std(listener)?;
        peer_listen::ready();
        loop {
            let (stream, _) = listener.accept().await?;
            tokio::spawn(echo(stream));
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
        let mut buffer = ReadBuf::new(buffer);
        // A poll, not `try_read`: after a read that did not fill the buffer it waits at once, without a read that finds nothing.
        ready!(Pin::new(&mut *stream).poll_read(context, &mut buffer))?;
        let message = buffer.filled();
        if message.is_empty() {
            return Poll::Ready(Ok(Turn::Closed));
        }
        let written = match stream.try_write(message) {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => 0,
            outcome => outcome?,
        };
        Poll::Ready(Ok(match &message[written..] {
            [] => Turn::Answered,
            rest => Turn::Short(rest.to_vec()),
        }))
    })
}
