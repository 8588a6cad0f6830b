//! A bare echo over Ringway's own loop: one shard, one thread, io_uring. No task: a connection is a record of the loop and one word here.
//!
//! Bytes come in buffers of the shard's pool, so no connection owns one while it waits. Ring and pool have the sizes that Ringway ships with.

mod echo;

use ringway_runtime::{Bounds, Mesh, MeshBounds, Shard};
use ringway_uring::{Pool, ProcessClock, UringBuilder, UringConfig};
use std::error::Error;
use std::time::Duration;

/// Descriptors that the ring's table has beyond: for clients that come while the last one is refused.
const SOCKETS_RESERVE: u32 = 256;
const LINGER: Duration = Duration::from_secs(2);

fn main() -> Result<(), Box<dyn Error>> {
    let listener = peer_listen::bind(peer_listen::port())?;
    // io_uring waits for a blocking socket; of one that does not block it hands back EAGAIN.
    listener.set_nonblocking(false)?;
    let config = UringConfig::default();
    let bounds = Bounds {
        connections_max: config.sockets_max - SOCKETS_RESERVE,
        linger: LINGER,
    };
    // No threads beside the shard, and no other shard: what is made for them stays empty.
    let mut pool = Pool::new(0)?;
    let clock = ProcessClock::start();
    let mut builders = UringBuilder::all(&config, vec![vec![listener.into()]], clock, &mut pool)?;
    let mut meshes = Mesh::build(1, &MeshBounds::within(0, 1));
    let (_control, messages) = rtrb::RingBuffer::new(1);
    let (Some(builder), Some(mesh)) = (builders.pop(), meshes.pop()) else {
        unreachable!("one list of listeners makes one shard")
    };
    let handler = echo::Echo::default();
    let mut shard = Shard::new(builder.start()?, handler, mesh, messages, bounds);
    peer_listen::ready();
    shard.run(|_, _, _| {});
    Ok(())
}
