//! The Socket.IO dialect over socketioxide: hyper, tokio, one thread.
//!
//! Straight on hyper: a router would only be asked once per connection, at the handshake, and would cost its memory for ever.

use hyper::server::conn::http1;
use hyper_util::rt::TokioIo;
use serde::Serialize;
use serde_json::value::RawValue;
use socketioxide::SocketIo;
use socketioxide::extract::{AckSender, Data, SocketRef};
use std::future::{Future, Ready, ready};
use std::io;
use std::pin::pin;
use std::task::{Context, Poll, Waker};
use std::time::Duration;
use tokio::net::TcpListener;

const PAYLOAD_BYTES_MAX: usize = 1024 * 1024;
/// What may wait for one connection: socketioxide drops what is beyond. The channel takes memory only for what is in it, so this costs
/// nothing while idle, and the default of 128 loses messages as soon as a thousand publishes are under way.
const PENDING_PACKETS_MAX: usize = 16 * 1024;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Data as it came: it is passed on, so nothing needs its parts.
type Raw = Box<RawValue>;

#[derive(Serialize)]
struct Accepted {
    ok: bool,
}

#[derive(Serialize)]
struct Echoed {
    ok: bool,
    data: Raw,
}

fn main() -> io::Result<()> {
    let listener = peer_listen::bind(peer_listen::port())?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    runtime.block_on(async {
        let (service, io) = SocketIo::builder()
            .ping_interval(Duration::from_secs(25))
            .ping_timeout(Duration::from_secs(20))
            .max_payload(PAYLOAD_BYTES_MAX as u64)
            .ws_max_message_size(PAYLOAD_BYTES_MAX)
            .ws_max_frame_size(PAYLOAD_BYTES_MAX)
            .max_buffer_size(PENDING_PACKETS_MAX)
            .build_svc();
        io.ns("/", async |socket: SocketRef| {
            socket.on("join", join);
            socket.on("publish", publish);
            socket.on("echo", echo);
        });
        let listener = TcpListener::from_std(listener)?;
        peer_listen::ready();
        loop {
            let (stream, _) = listener.accept().await?;
            let service = service.clone();
            tokio::spawn(async move {
                let connection =
                    http1::Builder::new().serve_connection(TokioIo::new(stream), service);
                // An error is a client that went away.
                let _ = connection.with_upgrades().await;
            });
        }
    })
}

// The handlers do their work when they are called, not when the future is polled that they must return: so what socketioxide spawns
// for every event is empty, and events are answered in the order in which they came.

fn join(socket: SocketRef, Data((room,)): Data<(String,)>, ack: AckSender) -> Ready<()> {
    socket.join(room);
    let _ = ack.send(&Accepted { ok: true });
    ready(())
}

fn publish(io: SocketIo, Data((room, data)): Data<(String, Raw)>, ack: AckSender) -> Ready<()> {
    let message = (room, data);
    let mut emitted = pin!(io.to(message.0.clone()).emit("message", &message));
    // The local adapter never waits. An error is a member that does not read, and is that member's.
    let Poll::Ready(_) = emitted
        .as_mut()
        .poll(&mut Context::from_waker(Waker::noop()))
    else {
        unreachable!("the local adapter answers at once");
    };
    let _ = ack.send(&Accepted { ok: true });
    ready(())
}

fn echo(Data((data,)): Data<(Raw,)>, ack: AckSender) -> Ready<()> {
    let _ = ack.send(&Echoed { ok: true, data });
    ready(())
}
