//! Files over a driver that does only what a test says: who has the slots, who has a turn, and what a dying connection leaves behind.

use crate::loop_tests::{Bench, CONN, SLOT_BYTES};
use crate::{
    CHUNK_BYTES_MAX, Cause, Command, Conn, FileHandle, FileOutcome, FilePiece, FileRequest,
    LAP_BYTES_MAX,
};
use ringway_io::{
    Errno, File, FileDone, FileKind, FileOp, FileSend, FileStat, Key, Op, OpKind, OpenHow, Opened,
    Outcome, RecvEnd, RelativePath, Root, SlotLease, Symlinks,
};

const STAT: FileStat = FileStat {
    kind: FileKind::Regular,
    size: 1 << 30,
    modified_ns: 0,
    changed_ns: 0,
    inode: 1,
    device: 1,
    links: 1,
    permissions: 0,
};
const EIO: Errno = Errno(5);

fn open_request() -> Box<FileRequest> {
    let path = RelativePath::new(b"file").expect("a path");
    let how = OpenHow::Read(Symlinks::Beneath);
    let root = Root(0);
    Box::new(FileRequest::Open { root, path, how })
}

/// What was submitted last.
fn last(bench: &mut Bench) -> (Key, Op) {
    let submitted = &mut bench.shard.driver.submitted;
    submitted.pop().expect("something was submitted")
}

fn last_file(bench: &mut Bench) -> (Key, FileOp) {
    match last(bench) {
        (key, Op::File(op)) => (key, *op),
        (_, other) => panic!("{other:?}"),
    }
}

fn answer(bench: &mut Bench, key: Key, done: FileDone) {
    bench.complete(key, [Outcome::File(Box::new(done))]);
}

/// Opens the file with that number.
fn open(bench: &mut Bench, number: u32) -> FileHandle {
    let request = open_request();
    bench.command(Command::File { token: 7, request });
    let (key, op) = last_file(bench);
    assert!(matches!(op, FileOp::Open { .. }));
    let opened = Opened {
        file: File(number),
        stat: STAT,
        named: false,
    };
    answer(bench, key, FileDone::Opened(Ok(opened)));
    match bench.shard.handler.answers.pop() {
        Some((7, FileOutcome::Opened(Ok(opened)))) => opened.file,
        other => panic!("{other:?}"),
    }
}

/// A connection to which a piece of file 3 is on its way, its handle dropped, with so many slots.
fn sending(slots: u16, range: core::ops::Range<u64>) -> Bench {
    let mut bench = Bench::connected();
    bench.shard.driver.slots = (0..slots).collect();
    let file = open(&mut bench, 3);
    bench
        .shard
        .handler
        .pieces
        .push_back(FilePiece { file, range });
    bench.command(Command::Dirty(CONN));
    bench
}

fn send_file(bench: &mut Bench, expected: (u64, u32)) {
    match last(bench) {
        (_, Op::SendFile { offset, count, .. }) => assert_eq!((offset, count), expected),
        (_, other) => panic!("{other:?}"),
    }
}

fn file_sent(bench: &mut Bench, end: FileSend) {
    bench.complete_conn(OpKind::Send, Outcome::FileSent(end));
}

/// The read into a slot that was submitted last.
fn slot_read(bench: &mut Bench, expected: u64) -> (Key, SlotLease) {
    let submitted = &mut bench.shard.driver.submitted;
    let is_read = |op: &Op| matches!(op, Op::File(op) if matches!(**op, FileOp::ReadSlot { .. }));
    let at = submitted.iter().rposition(|(_, op)| is_read(op));
    let (key, op) = submitted.remove(at.expect("a slot is read into"));
    match op {
        Op::File(op) => match *op {
            FileOp::ReadSlot { slot, offset, .. } if offset == expected => (key, slot),
            other => panic!("{other:?}"),
        },
        _ => unreachable!("what was just found"),
    }
}

fn was_read(bench: &mut Bench, (key, slot): (Key, SlotLease), result: Result<u32, Errno>) {
    answer(bench, key, FileDone::SlotRead { slot, result });
}

/// The file that is being closed.
fn closing(bench: &Bench) -> Option<u32> {
    let submitted = &bench.shard.driver.submitted;
    submitted.iter().find_map(|(_, op)| match op {
        Op::File(op) => match **op {
            FileOp::Close { file } => Some(file.0),
            _ => None,
        },
        _ => None,
    })
}

/// What is sent next, and whether it is known to be in memory.
fn asked(bench: &mut Bench) -> (u64, u32, bool) {
    match last(bench) {
        (
            _,
            Op::SendFile {
                offset,
                count,
                is_known,
                ..
            },
        ) => (offset, count, is_known),
        (_, other) => panic!("{other:?}"),
    }
}

/// The socket takes so many, is full, and takes something again after a while.
fn took(bench: &mut Bench, count: u32, pause: core::time::Duration) {
    file_sent(bench, FileSend::Went(count));
    assert!(matches!(last(bench), (_, Op::AwaitWritable { .. })));
    bench.shard.driver.now += pause;
    bench.complete_conn(OpKind::Writable, Outcome::Writable);
}

#[test]
fn what_was_in_memory_a_moment_ago_is_not_looked_at_again() {
    let moment = core::time::Duration::from_millis(1);
    let mut bench = sending(0, 0..1 << 30);
    assert_eq!(asked(&mut bench), (0, CHUNK_BYTES_MAX, false));
    took(&mut bench, 1000, moment);
    let rest = CHUNK_BYTES_MAX - 1000;
    assert_eq!(asked(&mut bench), (1000, rest, true));
    took(&mut bench, rest - 10, moment);
    let at = u64::from(CHUNK_BYTES_MAX - 10);
    assert_eq!(
        asked(&mut bench),
        (at, CHUNK_BYTES_MAX, false),
        "ten by themselves would be few"
    );
    took(&mut bench, 1000, 100 * moment);
    assert_eq!(
        asked(&mut bench),
        (at + 1000, CHUNK_BYTES_MAX, false),
        "long ago"
    );
}

#[test]
fn what_one_client_was_sent_a_moment_ago_is_not_looked_at_for_the_next() {
    let mut bench = Bench::connected();
    let file = open(&mut bench, 3);
    let mut ask = |range: core::ops::Range<u64>, pause_ms| {
        bench.shard.driver.now += core::time::Duration::from_millis(pause_ms);
        let file = file.clone();
        file.look(&STAT, bench.shard.driver.now);
        let pieces = &mut bench.shard.handler.pieces;
        pieces.push_back(FilePiece { file, range });
        bench.command(Command::Dirty(CONN));
        let (offset, count, is_known) = asked(&mut bench);
        file_sent(&mut bench, FileSend::Went(count));
        (offset, count, is_known)
    };
    assert_eq!(ask(1000..2000, 0), (1000, 1000, false));
    assert_eq!(ask(1000..2000, 20), (1000, 1000, true));
    assert_eq!(ask(1500..2500, 20), (1500, 1000, false), "half of it");
    assert_eq!(ask(1000..2500, 9), (1000, 1500, true), "both together");
    assert_eq!(ask(1000..2000, 1), (1000, 1000, false), "long ago");
    assert_eq!(ask(0..2000, 1), (0, 2000, false), "before it");
}

#[test]
fn what_is_not_in_memory_is_not_known_to_be() {
    let mut bench = sending(0, 0..1 << 30);
    assert_eq!(asked(&mut bench), (0, CHUNK_BYTES_MAX, false));
    file_sent(&mut bench, FileSend::Blocked);
    bench.complete_conn(OpKind::Writable, Outcome::Writable);
    assert_eq!(asked(&mut bench), (0, CHUNK_BYTES_MAX, false));
}

#[test]
fn a_file_in_memory_goes_in_chunks_and_is_closed_behind_the_last() {
    let chunk = u64::from(CHUNK_BYTES_MAX);
    let mut bench = sending(0, 10..10 + chunk + 5);
    send_file(&mut bench, (10, CHUNK_BYTES_MAX));
    file_sent(&mut bench, FileSend::Again);
    send_file(&mut bench, (10, CHUNK_BYTES_MAX));
    file_sent(&mut bench, FileSend::Went(1000));
    assert!(matches!(last(&mut bench), (_, Op::AwaitWritable { .. })));
    bench.complete_conn(OpKind::Writable, Outcome::Writable);
    send_file(&mut bench, (1010, CHUNK_BYTES_MAX - 995));
    bench.kinds();
    file_sent(&mut bench, FileSend::Went(CHUNK_BYTES_MAX - 995));
    assert_eq!(bench.shard.handler.sent, 1);
    assert_eq!(closing(&bench), Some(3));
    assert_eq!(bench.shard.stats.bytes_out, chunk + 5);
    assert_eq!(bench.shard.stats.transfers_live, 0);
}

#[test]
fn a_full_socket_is_waited_for_without_a_slot() {
    let mut bench = sending(4, 0..1000);
    file_sent(&mut bench, FileSend::Blocked);
    assert!(matches!(last(&mut bench), (_, Op::AwaitWritable { .. })));
    assert_eq!(bench.shard.driver.slots.len(), 4);
    let sweep = core::time::Duration::from_secs(30);
    assert_eq!(bench.shard.park(), Some(sweep), "it may sleep meanwhile");
    bench.complete_conn(OpKind::Writable, Outcome::Writable);
    send_file(&mut bench, (0, 1000));
}

#[test]
fn a_cold_file_is_read_into_a_slot_and_one_ahead() {
    let slot = u64::from(SLOT_BYTES);
    let mut bench = sending(4, 0..3 * slot);
    file_sent(&mut bench, FileSend::Cold);
    let first = slot_read(&mut bench, 0);
    was_read(&mut bench, first, Ok(SLOT_BYTES));
    let second = slot_read(&mut bench, slot);
    let Op::SendSlot {
        slot: lease, piece, ..
    } = last(&mut bench).1
    else {
        panic!("it is sent")
    };
    assert_eq!((piece, bench.shard.driver.slots.len()), (0..SLOT_BYTES, 2));
    bench.kinds();
    was_read(&mut bench, second, Ok(SLOT_BYTES));
    assert_eq!(bench.kinds(), [], "one send in flight");
    let sent = Outcome::SlotSent {
        slot: lease,
        result: Ok(SLOT_BYTES),
    };
    bench.complete_conn(OpKind::Send, sent);
    let (_, _third) = slot_read(&mut bench, 2 * slot);
    assert!(matches!(last(&mut bench).1, Op::SendSlot { .. }));
    assert_eq!(bench.shard.stats.file_bytes_copied, slot);
}

/// The rest of a slot that the socket did not take is not kept for it, nor what was read ahead.
#[test]
fn a_slow_reader_has_no_slot() {
    let mut bench = sending(2, 0..2 << 20);
    file_sent(&mut bench, FileSend::Cold);
    let first = slot_read(&mut bench, 0);
    was_read(&mut bench, first, Ok(SLOT_BYTES));
    let second = slot_read(&mut bench, u64::from(SLOT_BYTES));
    let Op::SendSlot { slot, .. } = last(&mut bench).1 else {
        panic!("it is sent")
    };
    was_read(&mut bench, second, Ok(SLOT_BYTES));
    let result = Ok(100);
    bench.complete_conn(OpKind::Send, Outcome::SlotSent { slot, result });
    assert_eq!(bench.shard.driver.slots.len(), 2);
    send_file(&mut bench, (100, CHUNK_BYTES_MAX));
}

/// The only slot is being read into for `CONN`, and two others wait for one, which read from their first and from their second byte on.
fn two_wait() -> (Bench, [Conn; 2], (Key, SlotLease)) {
    let mut bench = sending(1, 0..100);
    bench.accept(1);
    bench.accept(2);
    bench.kinds();
    let file = open(&mut bench, 4);
    let conns = [1, 2].map(|slot| Conn {
        slot,
        generation: 0,
    });
    file_sent(&mut bench, FileSend::Cold);
    let first = slot_read(&mut bench, 0);
    for (conn, start) in conns.into_iter().zip([1, 2]) {
        let (file, range) = (file.clone(), start..100);
        bench
            .shard
            .handler
            .pieces
            .push_back(FilePiece { file, range });
        bench.command(Command::Dirty(conn));
        let key = crate::table::key(OpKind::Send, conn);
        bench.complete(key, [Outcome::FileSent(FileSend::Cold)]);
    }
    assert_eq!(bench.shard.stats.slot_waits, 2);
    bench.kinds();
    (bench, conns, first)
}

#[test]
fn who_finds_no_slot_waits_in_its_order() {
    let (mut bench, conns, first) = two_wait();
    // The first is gone while its read is under way, and so is the second.
    bench.command(Command::Close(CONN));
    bench.command(Command::Close(conns[0]));
    was_read(&mut bench, first, Ok(100));
    let (_, _second) = slot_read(&mut bench, 2);
    assert!(bench.shard.driver.slots.is_empty());
}

/// The driver has got another slot back of the kernel, which nobody was told.
#[test]
fn a_slot_that_comes_back_brings_those_along_that_the_driver_has() {
    let (mut bench, _, first) = two_wait();
    bench.command(Command::Close(CONN));
    bench.shard.driver.slots.extend([7, 8]);
    bench.kinds();
    was_read(&mut bench, first, Ok(100));
    let both_read_and_a_file_closes = [OpKind::File; 3];
    assert_eq!(bench.kinds(), both_read_and_a_file_closes);
    assert_eq!(bench.shard.driver.slots, [7], "and no more are taken");
}

#[test]
fn a_file_that_became_short_closes_the_connection() {
    let mut bench = sending(1, 0..1000);
    file_sent(&mut bench, FileSend::Went(10));
    file_sent(&mut bench, FileSend::Cold);
    let read = slot_read(&mut bench, 10);
    bench.kinds();
    was_read(&mut bench, read, Ok(0));
    assert_eq!(bench.shard.handler.closed, [Cause::FileShort]);
    assert_eq!(bench.shard.driver.slots, [0]);
    assert_eq!(closing(&bench), Some(3));
    assert_eq!(bench.shard.stats.transfers_cut, 1);
    assert_eq!(bench.kinds()[0], OpKind::Cancel, "nothing is left to shut");
}

#[test]
fn a_read_that_fails_closes_the_connection() {
    let mut bench = sending(1, 0..1000);
    file_sent(&mut bench, FileSend::Cold);
    let read = slot_read(&mut bench, 0);
    was_read(&mut bench, read, Err(EIO));
    assert_eq!(bench.shard.handler.closed, [Cause::FileFailed]);
    assert_eq!(bench.shard.driver.slots, [0]);
}

/// Wherever it stands: the send comes back before the close, the slot once, and the descriptor closes.
#[test]
fn a_connection_that_dies_leaves_nothing() {
    for stands in ["sending", "waiting", "reading", "slot"] {
        let mut bench = sending(1, 0..1000);
        match stands {
            "waiting" => file_sent(&mut bench, FileSend::Blocked),
            "reading" | "slot" => file_sent(&mut bench, FileSend::Cold),
            _ => {}
        }
        let read = (stands == "reading" || stands == "slot").then(|| slot_read(&mut bench, 0));
        let (mut read, mut lease) = (read, None);
        if stands == "slot" {
            was_read(&mut bench, read.take().expect("it is read"), Ok(1000));
            let Op::SendSlot { slot, .. } = last(&mut bench).1 else {
                panic!("it is sent")
            };
            lease = Some(slot);
        }
        bench.kinds();
        bench.complete_conn(OpKind::Recv, Outcome::RecvEnded(RecvEnd::Failed(EIO)));
        let shuts = bench.kinds().contains(&OpKind::Shutdown);
        assert_eq!(shuts, stands != "reading", "{stands}");
        match (stands, lease) {
            ("sending", _) => file_sent(&mut bench, FileSend::Failed(EIO)),
            ("waiting", _) => bench.complete_conn(OpKind::Writable, Outcome::Writable),
            (_, Some(slot)) => {
                let result = Err(EIO);
                bench.complete_conn(OpKind::Send, Outcome::SlotSent { slot, result });
            }
            _ => {}
        }
        if let Some(read) = read {
            was_read(&mut bench, read, Ok(1000));
        }
        assert_eq!(closing(&bench), Some(3), "{stands}");
        assert_eq!(bench.shard.driver.slots, [0], "{stands}");
        if shuts {
            bench.complete_conn(OpKind::Shutdown, Outcome::ShutDown);
        }
        bench.complete_conn(OpKind::Close, Outcome::Closed);
        assert_eq!(bench.shard.table.live(), 0, "{stands}");
        assert_eq!(bench.shard.stats.transfers_live, 0, "{stands}");
    }
}

/// So many bytes of files in a lap, one chunk of each connection; frames go before them.
#[test]
fn a_lap_has_a_share_for_files() {
    let turns = (LAP_BYTES_MAX / CHUNK_BYTES_MAX) as usize;
    let mut bench = Bench::connected();
    let file = open(&mut bench, 3);
    (1..10).for_each(|socket| bench.accept(socket));
    bench.kinds();
    for slot in 0..10 {
        let (file, range) = (file.clone(), 0..1 << 30);
        bench
            .shard
            .handler
            .pieces
            .push_back(FilePiece { file, range });
        let conn = Conn {
            slot,
            generation: 0,
        };
        bench.shard.mark_dirty(conn);
    }
    bench.shard.work();
    assert_eq!(bench.kinds().len(), turns);
    assert!(bench.shard.park().is_some(), "the others want their turn");
    bench.accept(10);
    let conn = Conn {
        slot: 10,
        generation: 0,
    };
    bench.shard.handler.outgoing.push_back(b"news".to_vec());
    bench.kinds();
    bench.command(Command::Dirty(conn));
    let submitted = &bench.shard.driver.submitted;
    assert!(matches!(submitted[0].1, Op::Send { .. }), "a message first");
    assert!(submitted.len() <= 1 + turns);
}

#[test]
fn a_move_waits_for_the_transfer() {
    let mut bench = sending(0, 0..10);
    bench.command(Command::Migrate {
        conn: CONN,
        to: ringway_io::ShardId(1),
    });
    bench.complete_conn(OpKind::Cancel, Outcome::CancelSeen);
    bench.complete_conn(OpKind::Recv, Outcome::RecvEnded(RecvEnd::Cancelled));
    bench.kinds();
    file_sent(&mut bench, FileSend::Went(10));
    assert!(bench.kinds().contains(&OpKind::SendSocket));
}

#[test]
fn nobody_is_cut_off_while_its_bytes_wait_for_the_disk() {
    let mut bench = sending(1, 0..1000);
    file_sent(&mut bench, FileSend::Cold);
    bench.command(Command::CloseAfterFlush(CONN));
    for second in [2, 4, 6] {
        bench.shard.driver.now = core::time::Duration::from_secs(second);
        bench.shard.work();
    }
    assert_eq!(bench.shard.handler.closed, []);
    let read = slot_read(&mut bench, 0);
    was_read(&mut bench, read, Ok(1000));
    let key = stat_asked(&mut bench);
    answer(&mut bench, key, FileDone::Stat(Ok(STAT)));
    for second in [31, 62, 93, 124] {
        assert_eq!(bench.shard.handler.closed, []);
        bench.shard.driver.now = core::time::Duration::from_secs(second);
        bench.shard.work();
    }
    assert_eq!(bench.shard.handler.closed, [Cause::Failed], "by its client");
}

#[test]
fn a_write_goes_on_until_all_is_written() {
    let mut bench = Bench::connected();
    let file = open(&mut bench, 3);
    let request = |file| {
        Box::new(FileRequest::Write {
            file,
            bytes: b"hello".to_vec(),
            offset: 100,
        })
    };
    for (results, expected) in [
        (&[Ok(2), Ok(3)][..], (5, Ok(()))),
        (&[Ok(2), Err(Errno(28))], (2, Err(Errno(28)))),
        (&[Ok(0)], (0, Err(EIO))),
    ] {
        let request = request(file.clone());
        bench.command(Command::File { token: 1, request });
        for result in results {
            let (key, op) = last_file(&mut bench);
            let FileOp::Write {
                bytes,
                from,
                offset,
                ..
            } = op
            else {
                panic!("{op:?}")
            };
            assert_eq!(u64::from(from) + 100, offset);
            let result = *result;
            answer(&mut bench, key, FileDone::Wrote { bytes, result });
        }
        let Some((1, FileOutcome::Wrote { count, result, .. })) = bench.shard.handler.answers.pop()
        else {
            panic!("it is answered")
        };
        assert_eq!((count, result), expected);
    }
}

#[test]
fn a_read_goes_on_until_all_is_read_or_there_is_no_more() {
    let mut bench = Bench::connected();
    let file = open(&mut bench, 3);
    for (parts, expected) in [
        (&[3, 2][..], b"hello"[..].to_vec()),
        (&[3, 0], b"hel".to_vec()),
    ] {
        let request = Box::new(FileRequest::Read {
            file: file.clone(),
            count: 5,
            offset: 9,
        });
        bench.command(Command::File { token: 1, request });
        let mut at = 0;
        for part in parts {
            let (key, op) = last_file(&mut bench);
            let FileOp::Read {
                mut bytes, offset, ..
            } = op
            else {
                panic!("{op:?}")
            };
            assert_eq!((offset, bytes.len()), (9 + at as u64, 5 - at));
            bytes[..*part].copy_from_slice(&b"hello"[at..at + part]);
            at += part;
            let result = Ok(*part as u32);
            answer(&mut bench, key, FileDone::Read { bytes, result });
        }
        let Some((1, FileOutcome::Read(Ok(read)))) = bench.shard.handler.answers.pop() else {
            panic!("it is answered")
        };
        assert_eq!(read, expected);
    }
}

#[test]
fn a_file_that_nobody_wants_any_more_is_closed() {
    let mut bench = Bench::connected();
    drop(open(&mut bench, 3));
    bench.shard.work();
    let (key, op) = last_file(&mut bench);
    assert!(matches!(op, FileOp::Close { file: File(3) }));
    assert_eq!(bench.shard.stats.files_open, 1);
    answer(&mut bench, key, FileDone::Closed);
    assert_eq!(bench.shard.stats.files_open, 0);
}

#[test]
fn a_client_that_takes_next_to_nothing_for_two_minutes_is_cut_off() {
    let mut bench = sending(4, 0..1 << 19);
    file_sent(&mut bench, FileSend::Blocked);
    let at = |bench: &mut Bench, second: u64| {
        bench.shard.driver.now = core::time::Duration::from_secs(second);
        bench.shard.work();
    };
    let takes = |bench: &mut Bench, count: u32| {
        bench.complete_conn(OpKind::Writable, Outcome::Writable);
        file_sent(bench, FileSend::Went(count));
    };
    // A socket that was full takes much at once: a thousand bytes a second in the mean are enough.
    for second in [31, 62, 93] {
        at(&mut bench, second);
    }
    takes(&mut bench, 120_000);
    for second in [124, 155, 186] {
        at(&mut bench, second);
        takes(&mut bench, 1);
    }
    at(&mut bench, 217);
    assert_eq!(bench.shard.stats.transfers_stalled, 0);
    takes(&mut bench, 1);
    at(&mut bench, 248);
    assert_eq!(bench.shard.stats.transfers_stalled, 1);
    assert!(bench.kinds().contains(&OpKind::Shutdown));
}

/// The look at the file that was submitted last.
fn stat_asked(bench: &mut Bench) -> Key {
    match last_file(bench) {
        (key, FileOp::Stat { file: File(3) }) => key,
        (_, other) => panic!("{other:?}"),
    }
}

#[test]
fn what_was_written_to_meanwhile_has_no_end() {
    let (file_bytes, tail) = (STAT.size, 64 * 1024);
    // A long piece, and one that has the end of its file.
    for (range, first) in [
        (0..(2 << 20) + 5, CHUNK_BYTES_MAX),
        (file_bytes - tail - 9..file_bytes, 9),
    ] {
        for (now, expected) in [
            (
                FileStat {
                    changed_ns: 7,
                    links: 0,
                    ..STAT
                },
                None,
            ),
            (
                FileStat {
                    modified_ns: 7,
                    ..STAT
                },
                Some(Cause::FileChanged),
            ),
            // Written to, and said to be as old as it was.
            (
                FileStat {
                    changed_ns: 7,
                    ..STAT
                },
                Some(Cause::FileChanged),
            ),
            (
                FileStat {
                    changed_ns: 7,
                    permissions: 1,
                    ..STAT
                },
                None,
            ),
            (
                FileStat {
                    size: 1 << 31,
                    modified_ns: 7,
                    ..STAT
                },
                None,
            ),
            (
                FileStat {
                    size: 1 << 29,
                    ..STAT
                },
                Some(Cause::FileChanged),
            ),
        ] {
            let mut bench = sending(0, range.clone());
            let mut at = range.start;
            let mut count = first;
            while at < range.end - tail {
                send_file(&mut bench, (at, count));
                file_sent(&mut bench, FileSend::Went(count));
                at += u64::from(count);
                count = (range.end - tail - at).min(CHUNK_BYTES_MAX.into()) as u32;
            }
            let key = stat_asked(&mut bench);
            answer(&mut bench, key, FileDone::Stat(Ok(now)));
            match expected {
                None => send_file(&mut bench, (at, tail as u32)),
                Some(cause) => assert_eq!(bench.shard.handler.closed, [cause]),
            }
        }
    }
}

#[test]
fn a_short_piece_is_not_looked_at_again() {
    let mut bench = sending(0, 5..500_005);
    send_file(&mut bench, (5, 500_000));
    file_sent(&mut bench, FileSend::Went(500_000));
    assert_eq!(bench.shard.handler.sent, 1);
}

/// A short piece that its socket did not take at once.
fn waited(pause: core::time::Duration) -> Bench {
    let mut bench = sending(2, 0..1000);
    send_file(&mut bench, (0, 1000));
    took(&mut bench, 400, pause);
    bench
}

#[test]
fn a_short_piece_that_waited_is_looked_at_before_its_end() {
    let moment = core::time::Duration::from_millis(1);
    send_file(&mut waited(moment), (400, 600));
    for (modified_ns, expected) in [(0, None), (7, Some(Cause::FileChanged))] {
        let mut bench = waited(50 * moment);
        let key = stat_asked(&mut bench);
        let now = FileStat {
            modified_ns,
            ..STAT
        };
        answer(&mut bench, key, FileDone::Stat(Ok(now)));
        assert_eq!(bench.shard.handler.closed.last().copied(), expected);
        if expected.is_none() {
            send_file(&mut bench, (400, 600));
            // And once more, if it waits once more.
            took(&mut bench, 100, 50 * moment);
            stat_asked(&mut bench);
        }
    }
}

#[test]
fn what_a_disk_took_its_time_for_is_looked_at_before_it_is_sent() {
    let mut bench = sending(2, 0..1000);
    file_sent(&mut bench, FileSend::Cold);
    let read = slot_read(&mut bench, 0);
    bench.shard.driver.now += core::time::Duration::from_millis(50);
    was_read(&mut bench, read, Ok(1000));
    let key = stat_asked(&mut bench);
    answer(&mut bench, key, FileDone::Stat(Ok(STAT)));
    assert!(matches!(last(&mut bench).1, Op::SendSlot { .. }));
}

#[test]
fn what_somebody_looked_at_is_seen_by_all() {
    let moment = core::time::Duration::from_millis(50);
    let mut bench = Bench::connected();
    let file = open(&mut bench, 4);
    bench.shard.driver.now += moment;
    let request = Box::new(FileRequest::Stat(file.clone()));
    bench.command(Command::File { token: 9, request });
    let (key, _) = last_file(&mut bench);
    answer(&mut bench, key, FileDone::Stat(Ok(STAT)));
    assert_eq!(file.seen_at(), moment);
    let Some((9, FileOutcome::Stat(Ok(looked)))) = bench.shard.handler.answers.pop() else {
        panic!("it was looked at")
    };
    assert!(looked.has_its_bytes);
    for (now, has_its_bytes) in [
        (
            FileStat {
                size: STAT.size + 1,
                modified_ns: 7,
                ..STAT
            },
            true,
        ),
        (
            FileStat {
                modified_ns: 7,
                ..STAT
            },
            false,
        ),
    ] {
        assert_eq!(file.look(&now, 2 * moment), has_its_bytes, "{now:?}");
    }
}

/// The linger time is for those that take nothing of what is short.
#[test]
fn who_has_said_all_and_reads_a_file_slowly_gets_it_whole() {
    let mut bench = sending(0, 0..1000);
    file_sent(&mut bench, FileSend::Went(400));
    let key = crate::table::key(OpKind::Recv, CONN);
    bench.complete(key, [Outcome::RecvEnded(RecvEnd::Eof)]);
    for _ in 0..20 {
        bench.shard.driver.now += core::time::Duration::from_secs(2);
        bench.shard.work();
    }
    assert_eq!(bench.shard.handler.closed, []);
    bench.complete_conn(OpKind::Writable, Outcome::Writable);
    let key = stat_asked(&mut bench);
    answer(&mut bench, key, FileDone::Stat(Ok(STAT)));
    file_sent(&mut bench, FileSend::Went(600));
    assert_eq!(bench.shard.handler.closed, [Cause::Peer]);
}

/// It would be told at once, again and again.
#[test]
fn a_socket_that_cannot_say_when_it_takes_something_is_asked_now_and_then() {
    let moment = core::time::Duration::from_millis(1);
    let mut bench = sending(0, 0..1 << 20);
    let mut asked = 0;
    file_sent(&mut bench, FileSend::Went(400));
    bench.complete_conn(OpKind::Writable, Outcome::HalfClosed);
    bench.kinds();
    for _ in 0..1000 {
        bench.shard.driver.now += moment;
        bench.shard.work();
        if bench.kinds().contains(&OpKind::Send) {
            asked += 1;
            file_sent(&mut bench, FileSend::Blocked);
            bench.complete_conn(OpKind::Writable, Outcome::HalfClosed);
            bench.kinds();
        }
    }
    assert!((5..=12).contains(&asked), "{asked} times in a second");
    bench.command(Command::Close(CONN));
    let kinds = bench.kinds();
    assert!(!kinds.contains(&OpKind::Shutdown), "the socket has nothing");
    assert_eq!(bench.shard.stats.transfers_live, 0);
}
