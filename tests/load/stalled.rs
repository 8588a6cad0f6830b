//! Members that stop reading cost their queue and a bounded send buffer, and nobody else's time.

use crate::client::{Client, Frame};
use crate::crowd;
use crate::memory::{KIB, MIB, Memory, send_buffers};
use crate::scene::{
    Latency, QUEUE_BYTES, QUEUE_PACKETS, READERS, RECEIVE_BYTES, STALLED, Scene, offset_of,
};
use std::time::{Duration, Instant};

/// What one send joins at most (`SEND_BYTES_MAX` of the hub), and the packet that crosses it.
const IN_FLIGHT_BYTES: i64 = 64 * KIB + 2 * KIB;
/// Per member in the daemon: the queue's own slots, allocator headers, table growth.
const OVERHEAD_BYTES: i64 = 4 * KIB;
/// Per member in the kernel: TCP_NOTSENT_LOWAT of 16 KiB, the segments that pass it at a time, and their headers.
const SEND_BUFFER_BYTES: i64 = 64 * KIB;
/// What the allocator and the rest of the machine may move meanwhile.
const NOISE_BYTES: i64 = 8 * MIB;
/// No message may be later; medians are printed, for a person to compare.
const LATE: Duration = Duration::from_secs(2);
/// A peer that starts to read within this time hears why it was closed (`LINGER` of the daemon).
const LINGER: Duration = Duration::from_secs(2);
/// Pings that a stalled member would get, and fail to answer, are not what most of these tests are about.
const NO_PINGS: &str = "engine.ping_interval_ms=600000";

fn check_latency(before: Latency, during: Latency) {
    for (when, latency) in [("before", before), ("during", during)] {
        let Latency { median, maximum } = latency;
        println!("  latency {when} the stall: median {median:?}, maximum {maximum:?}");
    }
    assert!(before.maximum < LATE && during.maximum < LATE);
}

/// The sum that the stalled members may cost, in user and in kernel memory.
fn check_sum(port: u16, growth: Memory) {
    let members = STALLED as i64;
    println!("  per stalled member: {}", growth.per(STALLED));
    let user_max = members * (QUEUE_BYTES + IN_FLIGHT_BYTES + OVERHEAD_BYTES);
    assert!(growth.anonymous < user_max + NOISE_BYTES, "{growth}");
    // The kernel counts both ends of a connection; the members' own receive buffers are twice what they asked for.
    let kernel_max = members * (SEND_BUFFER_BYTES + 2 * RECEIVE_BYTES as i64);
    assert!(growth.tcp < kernel_max + NOISE_BYTES, "{growth}");
    if let Some((all, most)) = send_buffers(port) {
        println!(
            "  send buffers: {} per member, at most {most}",
            all / members
        );
        assert!(most <= SEND_BUFFER_BYTES, "{most}");
    }
}

fn check_stalled(policy: &str) {
    println!("{STALLED} members that stop reading, {policy}:");
    let mut scene = Scene::open(STALLED, policy, &[NO_PINGS]);
    let empty = scene.daemon.memory();
    let before = scene.latency();
    scene.fill_queues();
    let full = scene.daemon.memory();
    check_sum(scene.daemon.port, full.since(empty));
    check_latency(before, scene.latency());
    let (published, dropped) = (scene.published, scene.dropped());
    scene.publish_many(published * 10);
    let more = scene.daemon.memory().since(full);
    println!(
        "  after {published} messages and {} more: {more}",
        published * 10
    );
    assert!(more.anonymous < NOISE_BYTES && more.tcp < NOISE_BYTES);
    check_sum(scene.daemon.port, scene.daemon.memory().since(empty));
    let expected = dropped + published * 10 * STALLED as u64;
    assert_eq!(scene.dropped(), expected, "the queues stayed full");
}

#[test]
fn drop_oldest_keeps_the_sum() {
    check_stalled("drop-oldest");
}

#[test]
fn conflate_keeps_the_sum() {
    check_stalled("conflate");
}

#[test]
fn disconnect_says_why_and_gives_the_memory_back() {
    println!("{STALLED} members that stop reading, disconnect:");
    let mut scene = Scene::open(STALLED, "disconnect", &[NO_PINGS]);
    let empty = scene.daemon.memory();
    let before = scene.latency();
    let first_closed = overflow(&mut scene);
    let slow = Frame::Close(1008, "RW-2401".to_owned());
    let mut told = 0;
    for client in scene.stalled.drain(..) {
        let last = last_words(client);
        // Who reads in time hears why; who comes too late is cut off.
        let cut_off = last == Frame::End && first_closed.elapsed() > LINGER;
        assert!(last == slow || cut_off, "{last:?}");
        told += usize::from(last == slow);
    }
    println!("  {told} were told 1008 RW-2401");
    scene.daemon.wait_until("they are gone", || {
        scene.daemon.metrics().sum("ringway_connections") == READERS as u64 + 1
    });
    check_latency(before, scene.latency());
    let after = scene.daemon.memory().since(empty);
    println!("  once they were gone: {after}");
    assert!(after.anonymous < NOISE_BYTES && after.tcp < NOISE_BYTES);
}

/// Publishes until all stalled members were closed as too slow; gives a moment before the first of them was.
fn overflow(scene: &mut Scene) -> Instant {
    let mut first_closed = Instant::now();
    loop {
        let started = Instant::now();
        let (before, after) = (refused(scene), {
            scene.publish(8);
            refused(scene)
        });
        if before == 0 {
            first_closed = started;
        }
        if after == STALLED as u64 {
            return first_closed;
        }
        assert!(scene.published < 5000, "{after} were too slow");
    }
}

fn refused(scene: &Scene) -> u64 {
    scene.daemon.metrics().refusals("RW-2401")
}

/// Reads to the end: the close frame, or the end of the stream without one.
fn last_words(mut client: Client) -> Frame {
    loop {
        match client.frame() {
            Frame::Text(_) => {}
            last => return last,
        }
    }
}

#[test]
fn a_ping_goes_ahead_of_the_queue() {
    let mut scene = Scene::open(1, "drop-oldest", &["engine.ping_interval_ms=1000"]);
    scene.fill_queues();
    // Its ping was due within a second of its arrival, and timers of a shard fire in order: once somebody who came later has had two
    // pings, the stalled member's first one waits for it.
    let room = |_| Vec::new();
    let mut witness = crowd::open(&scene.daemon, 90..91, None, room).remove(0);
    for _ in 0..2 {
        assert_eq!(witness.frame(), Frame::Text("2".to_owned()));
        witness.send("3");
    }
    scene.publish_many(QUEUE_PACKETS as u64);
    let queued_from = scene.published - QUEUE_PACKETS as u64 + 1;
    let mut stalled = scene.stalled.remove(0);
    let (mut before_ping, mut after_ping, mut pinged) = (Vec::new(), Vec::new(), false);
    while after_ping.last() != Some(&scene.published) {
        match stalled.frame() {
            Frame::Text(text) if text == "2" => pinged = true,
            Frame::Text(text) if pinged => after_ping.extend(offset_of(&text)),
            Frame::Text(text) => before_ping.extend(offset_of(&text)),
            other => panic!("{other:?}"),
        }
    }
    println!(
        "a ping after {} messages that were in flight, before all {} that were queued",
        before_ping.len(),
        after_ping.len()
    );
    let queue: Vec<u64> = (queued_from..=scene.published).collect();
    assert_eq!(after_ping, queue);
}
