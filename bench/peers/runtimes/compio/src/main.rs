//! A bare echo over compio: one task per connection, one thread, io_uring.
//!
//! Reads take a buffer from the ring's pool when the bytes are there, so no connection owns one while it waits.

use compio::driver::ProactorBuilder;
use compio::io::{AsyncReadManaged, AsyncWriteExt};
use compio::net::{TcpListener, TcpStream};
use compio::runtime::{RuntimeBuilder, spawn};
use std::io;
use std::num::NonZero;

const READ_BYTES_MAX: usize = 4096;
const RING_ENTRIES: u32 = 4096;
/// How many connections may be answered at once; more wait until a buffer is back.
const POOL_BUFFERS: NonZero<u16> = NonZero::new(1024).expect("not zero");

fn main() -> io::Result<()> {
    let listener = peer_listen::bind(peer_listen::port())?;
    // io_uring waits for a blocking socket; of one that does not block it hands back EAGAIN.
    listener.set_nonblocking(false)?;
    let mut proactor = ProactorBuilder::new();
    proactor
        .capacity(RING_ENTRIES)
        .single_issuer(true)
        .defer_taskrun(true)
        .buffer_pool_size(POOL_BUFFERS)
        .buffer_pool_buffer_len(READ_BYTES_MAX);
    let runtime = RuntimeBuilder::new().with_proactor(proactor).build()?;
    runtime.block_on(async {
        let listener = TcpListener::from_std(listener)?;
        peer_listen::ready();
        loop {
            let (stream, _) = listener.accept().await?;
            spawn(echo(stream)).detach();
        }
    })
}

async fn echo(mut stream: TcpStream) -> io::Result<()> {
    loop {
        let buffer = match stream.read_managed(0).await {
            Ok(Some(buffer)) => buffer,
            Ok(None) => return Ok(()),
            // The pool is empty: what the other connections hold comes back with their writes.
            Err(error) if error.kind() == io::ErrorKind::ResourceBusy => continue,
            Err(error) => return Err(error),
        };
        stream.write_all(buffer).await.0?;
    }
}
