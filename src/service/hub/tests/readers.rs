//! Readers of files that do not read, beside everybody else.

use super::clients::check;
use super::world::{World, settings};
use crate::files::{FilesSettings, Root};
use crate::settings::Settings;
use crate::time::ConnId;

const BYTES: usize = 60_000;
const GET: &[u8] = b"GET /files/a.txt HTTP/1.1\r\nHost: a\r\n\r\n";

fn world() -> World {
    let files = FilesSettings::new(vec![Root::default()]).unwrap();
    World::new(
        1,
        Settings {
            files: Some(files),
            ..settings(true)
        },
    )
}

/// Somebody asks for the file, and reads nothing or all of it.
fn reader(world: &mut World, stalled: bool) -> ConnId {
    let conn = world.open(0);
    world.wires.get_mut(&conn).unwrap().stalled = stalled;
    world.send(conn, GET);
    world.serve(&[b'f'; BYTES]);
    conn
}

/// They may have a quarter of what the shard queues. More of them are told to come again, and sessions come in as ever.
#[test]
fn slow_readers_of_small_files_keep_nobody_out() {
    let mut world = world();
    let budget = world.hubs[0].settings().shard_queue_bytes_max as usize;
    let readers: Vec<ConnId> = (0..budget / BYTES + 10)
        .map(|_| reader(&mut world, true))
        .collect();
    assert!(readers.iter().all(|conn| !world.wires[conn].closed));
    let refused = reader(&mut world, false);
    check(&world.read(refused), "HTTP/1.1 503");
    let conn = world.websocket(0, "40");
    assert!(world.read(conn).contains("40{"), "it is let in");
    for conn in &readers {
        world.wires.get_mut(conn).unwrap().stalled = false;
    }
    world.settle();
    let whole = readers
        .iter()
        .filter(|conn| world.wires[conn].received.len() > BYTES)
        .count();
    assert!(
        (budget / 4 / BYTES..budget / 2 / BYTES).contains(&whole),
        "{whole}"
    );
    let served = reader(&mut world, false);
    check(&world.read(served), "HTTP/1.1 200");
    world.hubs[0].audit();
}
