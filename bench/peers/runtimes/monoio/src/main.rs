//! A bare echo over monoio: one task per connection, one thread, io_uring.
//!
//! The kernel fills a buffer that it was lent, so each connection owns one, which goes back and forth for as long as it lives.

use monoio::io::{AsyncReadRent, AsyncWriteRentExt};
use monoio::net::{TcpListener, TcpStream};
use std::io;

const READ_BYTES_MAX: usize = 4096;
/// Operations that one submission carries: as many as there may be connections with something to do.
const RING_ENTRIES: u32 = 4096;

fn main() -> io::Result<()> {
    let listener = peer_listen::bind(peer_listen::port())?;
    // io_uring waits for a blocking socket; of one that does not block it hands back EAGAIN.
    listener.set_nonblocking(false)?;
    let mut runtime = monoio::RuntimeBuilder::<monoio::IoUringDriver>::new()
        .with_entries(RING_ENTRIES)
        .build()?;
    runtime.block_on(async {
        let listener = TcpListener::from_std(listener)?;
        peer_listen::ready();
        loop {
            let (stream, _) = listener.accept().await?;
            monoio::spawn(echo(stream));
        }
    })
}

async fn echo(mut stream: TcpStream) -> io::Result<()> {
    let mut buffer = Vec::with_capacity(READ_BYTES_MAX);
    loop {
        let (read, filled) = stream.read(buffer).await;
        if read? == 0 {
            return Ok(());
        }
        let (written, returned) = stream.write_all(filled).await;
        written?;
        buffer = returned;
    }
}
