//! What storage cannot, loses, and has from before; and what may be asked of it at a time.

use super::*;

#[test]
fn a_record_that_may_be_another_one_is_written_again_before_bytes_come() {
    let mut world = world();
    let url = world.create("Upload-Length: 10\r\n", b"");
    let lines = format!("Upload-Offset: 0\r\n{BYTES}Content-Length: 3\r\n");
    let Begun::Transfer(transfer) = world.begin("anna", "PATCH", &url, &lines) else {
        panic!("it may write");
    };
    world
        .uploads
        .handle(world.now, Input::Body(transfer, b"abc"));
    world.uploads.handle(world.now, Input::BodyEnd(transfer));
    // Everything works but the record, of which nobody knows then whether it is there.
    let mut answer = None;
    while let Some(output) = world.uploads.poll() {
        match output {
            Output::Want(ticket, Want::Record { .. }) => {
                let failed = Input::Stored(ticket, Err(StorageError::Failed));
                world.uploads.handle(world.now, failed);
            }
            Output::Want(ticket, _) => {
                world
                    .uploads
                    .handle(world.now, Input::Stored(ticket, Ok(())));
            }
            Output::Answer(_, it) => answer = Some(it.status),
            Output::Body(_) | Output::Event(_) | Output::Release(_) => {}
        }
    }
    assert_eq!((answer, world.offset(&url)), (Some(500), Some(0)));
    let Begun::Transfer(_) = world.begin("anna", "PATCH", &url, &lines) else {
        panic!("it may write");
    };
    let first = world.uploads.poll();
    let is_record = |output: &Output| matches!(output, Output::Want(_, Want::Record { .. }));
    assert!(first.as_ref().is_some_and(is_record), "{first:?}");
    assert_eq!(world.uploads.poll(), None, "no body before it is done");
}

/// An upload of three bytes that an earlier process left, with that record.
fn left_with(record: Vec<u8>) -> (World, Found) {
    let upload = UploadId::new(1 << 20, 0);
    let found = Found {
        upload,
        record: Some(record),
        part_bytes: Some(3),
        final_bytes: None,
    };
    let mut world = world();
    world.uploads.recover(world.now, &found);
    (world, found)
}

#[test]
fn what_has_an_unreadable_record_is_left_alone_and_counted() {
    let upload = UploadId::new(1 << 20, 0);
    let mut hostile = Record::new("anna".to_owned(), Some(3), "..".to_owned());
    hostile.offset = 3;
    for record in [b"".to_vec(), b"{\"version\":2}".to_vec(), hostile.encode()] {
        let (mut world, found) = left_with(record);
        assert_eq!(world.uploads.poll(), None, "nothing is removed, or renamed");
        assert!(found.is_unreadable(None));
        assert_eq!(world.uploads.stats().records_unreadable, 1);
        let url = format!("/uploads/{upload}");
        assert_eq!(world.answer("HEAD", &url, "", &[]).status, 404);
    }
    let (world, found) =
        left_with(Record::new("anna".to_owned(), Some(4), upload.to_string()).encode());
    assert!(!found.is_unreadable(None));
    assert_eq!(world.uploads.stats().records_unreadable, 0);
}

#[test]
fn whoever_ends_without_a_word_to_storage_lets_go_of_its_file() {
    let mut world = world();
    let url = world.create("Upload-Length: 10\r\n", b"");
    let upload = UploadId::of_url(&url).unwrap();
    let sum = "Upload-Checksum: sha1 Kq5sNclPz7QV2+lfQIuc6R7oRu0=\r\n";
    let lines = format!("Upload-Offset: 0\r\n{sum}{BYTES}Content-Length: 5\r\n");
    let Begun::Transfer(transfer) = world.begin("anna", "PATCH", &url, &lines) else {
        panic!("it may write");
    };
    world.released.clear();
    world.uploads.handle(world.now, Input::Cut(transfer));
    world.drain(&[]);
    assert_eq!(world.released, [upload]);
}

#[test]
fn what_storage_could_not_has_its_status() {
    use crate::refusal::Refusal;
    for (error, status, refusal) in [
        (StorageError::Full, 507, Refusal::StorageFull),
        (StorageError::Busy, 503, Refusal::Busy),
        (StorageError::ReadOnly, 503, Refusal::StorageReadOnly),
        (StorageError::TooLarge, 413, Refusal::UploadTooLarge),
        (StorageError::Failed, 500, Refusal::StorageFailed),
    ] {
        let mut world = world();
        let url = world.create("Upload-Length: 10\r\n", b"abc");
        world.disk.fault_odds = 1;
        world.disk.fault = Some(error);
        let answer = world.patch(&url, 3, "", b"d");
        assert_eq!((answer.status, answer.refusal), (status, Some(refusal)));
        assert_eq!(answer.header("Retry-After").is_some(), status == 503);
        world.disk.fault_odds = 0;
        assert_eq!(world.offset(&url), Some(3));
    }
}

const HELLO_WORLD: &str = "Upload-Checksum: sha1 Kq5sNclPz7QV2+lfQIuc6R7oRu0=\r\n";

#[test]
fn nobody_has_more_on_the_disk_than_counts() {
    let mut world = world();
    let url = world.create("Upload-Length: 20\r\n", b"");
    assert_eq!(world.patch(&url, 0, "", b"abc").status, 204);
    assert_eq!(
        world.patch(&url, 3, HELLO_WORLD, b"hello WORLD").status,
        460
    );
    assert_eq!(world.disk.part_bytes(), 3);
    let deferred = world.create("Upload-Defer-Length: 1\r\n", b"");
    let answer = world.patch(&deferred, 0, HELLO_WORLD, b"something else");
    assert_eq!(answer.status, 460);
    assert_eq!(world.disk.part_bytes(), 3);
    assert_eq!(world.uploads.stats().bytes_reserved, 20);
}

/// Begins a PATCH, whose body comes in those pieces, each of them stored before the next comes.
fn in_pieces(world: &mut World, url: &str, lines: &str, pieces: &[&[u8]]) -> Option<Answer> {
    let lines = format!("{lines}{BYTES}Transfer-Encoding: chunked\r\n");
    let Begun::Transfer(transfer) = world.begin("anna", "PATCH", url, &lines) else {
        panic!("it may write");
    };
    let mut answer = None;
    for piece in pieces {
        while let Some(output) = world.uploads.poll() {
            assert_eq!(output, Output::Body(transfer));
        }
        world
            .uploads
            .handle(world.now, Input::Body(transfer, piece));
        answer = world.drain(piece).or(answer);
    }
    world.uploads.handle(world.now, Input::BodyEnd(transfer));
    world.drain(&[]).or(answer)
}

#[test]
fn what_is_refused_does_not_make_a_file_whole() {
    for checkpoint_bytes in [1, 2, 1 << 20] {
        let mut world = World::new(UploadsSettings {
            checkpoint_bytes,
            ..UploadsSettings::default()
        });
        let kept = if checkpoint_bytes == 1 << 20 { 0 } else { 2 };
        let url = world.create("Upload-Defer-Length: 1\r\n", b"");
        let lines = "Upload-Offset: 0\r\nUpload-Length: 4\r\n";
        let answer = in_pieces(&mut world, &url, lines, &[b"ab", b"cd", b"e"]);
        assert_eq!(answer.map(|answer| answer.status), Some(413));
        let head = world.answer("HEAD", &url, "", &[]);
        assert_eq!(head.header("Upload-Defer-Length"), Some("1"));
        assert_eq!((world.offset(&url), world.file(&url)), (Some(kept), None));
        let url = world.create("Upload-Length: 4\r\n", b"");
        let lines = "Upload-Offset: 0\r\n";
        let answer = in_pieces(&mut world, &url, lines, &[b"ab", b"cd", b"e"]);
        assert_eq!(answer.map(|answer| answer.status), Some(413));
        assert_eq!((world.offset(&url), world.file(&url)), (Some(kept), None));
    }
    // Nor does a wrong checksum say how long all is.
    let mut world = world();
    let url = world.create("Upload-Defer-Length: 1\r\n", b"");
    let lines = format!("Upload-Length: 11\r\n{HELLO_WORLD}");
    assert_eq!(world.patch(&url, 0, &lines, b"hello WORLD").status, 460);
    let head = world.answer("HEAD", &url, "", &[]);
    assert_eq!(head.header("Upload-Length"), None);
    assert_eq!(
        world.patch(&url, 0, "Upload-Length: 2\r\n", b"ab").status,
        204
    );
    assert_eq!(world.file(&url), Some(&b"ab"[..]));
}

#[test]
fn a_part_that_was_cut_is_synced_before_it_gets_its_name() {
    let record = || {
        let upload = UploadId::new(1 << 20, 0);
        let mut record = Record::new("anna".to_owned(), Some(2), upload.to_string());
        (record.offset, record.expires_unix_seconds) = (2, 1 << 33);
        record.encode()
    };
    // Three bytes are there of two: it is cut, and that cannot be synced.
    let (mut world, found) = left_with(record());
    let url = format!("/uploads/{}", found.upload);
    let mut wants = Vec::new();
    for round in 0..2 {
        while let Some(output) = world.uploads.poll() {
            let Output::Want(ticket, want) = output else {
                continue;
            };
            let fails = round == 0 && matches!(want, Want::Sync { .. });
            let result = if fails {
                Err(StorageError::Failed)
            } else {
                Ok(())
            };
            wants.push(want);
            world
                .uploads
                .handle(world.now, Input::Stored(ticket, result));
        }
        // The second time a client asks for it.
        let begun = world.begin("anna", "HEAD", &url, "");
        assert_eq!(matches!(begun, Begun::Transfer(_)), round == 0);
    }
    let upload = found.upload;
    let cut = Want::Truncate { upload, bytes: 2 };
    let name = upload.to_string();
    let bytes = 2;
    let finish = Want::Finish {
        upload,
        name,
        bytes,
    };
    let sync = Want::Sync { upload };
    assert_eq!(wants, [cut.clone(), sync.clone(), cut, sync, finish]);
}

#[test]
fn a_record_of_bytes_that_are_lost_is_written_again_before_bytes_come() {
    let upload = UploadId::new(1 << 20, 0);
    let mut record = Record::new("anna".to_owned(), Some(9), upload.to_string());
    (record.offset, record.expires_unix_seconds) = (5, 1 << 33);
    let (mut world, _) = left_with(record.encode());
    let url = format!("/uploads/{upload}");
    assert_eq!(world.offset(&url), Some(3));
    let lines = format!("Upload-Offset: 3\r\n{BYTES}Content-Length: 3\r\n");
    let Begun::Transfer(_) = world.begin("anna", "PATCH", &url, &lines) else {
        panic!("it may write");
    };
    let first = world.uploads.poll();
    let is_record = |output: &Output| matches!(output, Output::Want(_, Want::Record { .. }));
    assert!(first.as_ref().is_some_and(is_record), "{first:?}");
}

#[test]
fn whoever_is_cut_while_parts_are_put_together_has_them_still() {
    // Creating, two appends, sync, record, name, answer.
    for wants_before_the_cut in 0..7 {
        let mut world = world();
        let partial = "Upload-Concat: partial\r\n";
        let first = world.create(&format!("{partial}Upload-Length: 6\r\n"), b"hello ");
        let second = world.create(&format!("{partial}Upload-Length: 5\r\n"), b"world");
        let together = format!("Upload-Concat: final;{first} {second}\r\n");
        let Begun::Transfer(transfer) = world.begin("anna", "POST", "/uploads/", &together) else {
            panic!("they may be put together");
        };
        let mut random = Random(1);
        let mut done = 0;
        while done < wants_before_the_cut {
            while let Some(output) = world.uploads.poll() {
                if let Output::Want(ticket, want) = output {
                    world.disk.pending.push((ticket, want, Vec::new()));
                }
            }
            let Some((ticket, result)) = world.disk.step(&mut random) else {
                break;
            };
            world
                .uploads
                .handle(world.now, Input::Stored(ticket, result));
            done += 1;
        }
        world.uploads.handle(world.now, Input::Cut(transfer));
        world.drain(&[]);
        world.tick(1);
        if done == 6 {
            // It was answered: whoever lost the answer has the whole.
            assert_eq!(world.disk.finals.len(), 1);
            continue;
        }
        assert!(world.disk.finals.is_empty(), "{done}");
        assert_eq!(
            (world.offset(&first), world.offset(&second)),
            (Some(6), Some(5))
        );
        let whole = world.create(&together, b"");
        assert_eq!(world.file(&whole), Some(&b"hello world"[..]));
    }
}

/// Wants that are polled now.
fn wants_of(world: &mut World) -> Vec<(Ticket, Want)> {
    let mut wants = Vec::new();
    while let Some(output) = world.uploads.poll() {
        if let Output::Want(ticket, want) = output {
            wants.push((ticket, want));
        }
    }
    wants
}

#[test]
fn a_start_asks_for_no_more_at_a_time_than_storage_does() {
    let mut world = world();
    for number in 1..=5000_u128 {
        let upload = UploadId::new(number << 20, 0);
        let mut record = Record::new("anna".to_owned(), Some(2), upload.to_string());
        (record.offset, record.expires_unix_seconds) = (2, 1 << 33);
        let found = Found {
            upload,
            record: (number % 2 == 0).then(|| record.encode()),
            part_bytes: Some(2),
            final_bytes: None,
        };
        world.uploads.recover(world.now, &found);
    }
    let (mut removed, mut named, mut is_first) = (0, 0, true);
    loop {
        let wants = wants_of(&mut world);
        if wants.is_empty() {
            break;
        }
        assert!(wants.len() <= 64, "{}", wants.len());
        for (ticket, want) in wants {
            // One is put off, and done later all the same.
            let is_put_off = core::mem::take(&mut is_first);
            let result = if is_put_off {
                Err(StorageError::Busy)
            } else {
                Ok(())
            };
            removed += u32::from(matches!(want, Want::Remove { .. }) && !is_put_off);
            named += u32::from(matches!(want, Want::Finish { .. }));
            world
                .uploads
                .handle(world.now, Input::Stored(ticket, result));
        }
    }
    assert_eq!((removed, named), (2500, 2500));
}

#[test]
fn all_that_has_expired_goes_as_fast_as_storage_can() {
    let mut world = World::new(UploadsSettings {
        user_uploads_max: 1000,
        ..UploadsSettings::default()
    });
    for _ in 0..500 {
        world.create("Upload-Length: 9\r\n", b"abc");
    }
    world.now += UploadsSettings::default().expire_seconds;
    world.uploads.handle(world.now, Input::Tick);
    let first = wants_of(&mut world);
    assert_eq!(first.len(), 64, "so many at a time");
    for (ticket, want) in first {
        world.disk.pending.push((ticket, want, Vec::new()));
    }
    world.drain(&[]);
    assert_eq!(
        (world.uploads.stats().expired, world.disk.is_empty()),
        (500, true)
    );
}

#[test]
fn what_storage_cannot_remove_is_not_tried_without_a_pause() {
    let mut world = world();
    world.create("Upload-Length: 9\r\n", b"abc");
    world.now += UploadsSettings::default().expire_seconds;
    world.disk.fault_odds = 1;
    world.tick(0);
    assert_eq!(world.disk.failures, 1);
    world.disk.fault_odds = 0;
    world.tick(1);
    assert!(world.disk.is_empty());
}

#[test]
fn a_body_of_unknown_length_counts_as_it_comes() {
    use crate::refusal::Refusal;
    let mut world = World::new(UploadsSettings {
        user_bytes_max: 100,
        ..UploadsSettings::default()
    });
    let url = world.create("Upload-Defer-Length: 1\r\n", b"");
    world.patch(&url, 0, "", &[0; 30]);
    world.is_by_hand = true;
    let lines = format!("Upload-Defer-Length: 1\r\n{BYTES}Transfer-Encoding: chunked\r\n");
    let Begun::Transfer(first) = world.begin("anna", "POST", "/uploads/", &lines) else {
        panic!("it may write");
    };
    world.drain(&[]);
    // What the first does not use others may have.
    let patch = format!("Upload-Offset: 30\r\n{BYTES}Transfer-Encoding: chunked\r\n");
    let Begun::Transfer(second) = world.begin("anna", "PATCH", &url, &patch) else {
        panic!("it may write");
    };
    let reserved = |world: &World| world.uploads.stats().bytes_reserved;
    for (transfer, bytes, count) in [(first, 20, 50), (second, 30, 80), (second, 20, 100)] {
        let piece = vec![0; bytes];
        world
            .uploads
            .handle(world.now, Input::Body(transfer, &piece));
        world.drain(&piece);
        assert_eq!(reserved(&world), count);
    }
    world.uploads.handle(world.now, Input::Body(first, b"x"));
    let answer = world.drain(&[]).unwrap();
    assert_eq!(
        (answer.status, answer.refusal),
        (413, Some(Refusal::UploadQuota))
    );
    world.uploads.handle(world.now, Input::BodyEnd(second));
    assert_eq!(world.drain(&[]).map(|answer| answer.status), Some(204));
    assert_eq!((reserved(&world), world.offset(&url)), (80, Some(80)));
}

#[test]
fn so_many_are_put_together_at_a_time() {
    let mut world = world();
    let lines = "Upload-Concat: partial\r\nUpload-Length: 1\r\n";
    let parts: Vec<String> = (0..17).map(|_| world.create(lines, b"x")).collect();
    let final_of = |part: &str| format!("Upload-Concat: final;{part}\r\n");
    for part in &parts[..16] {
        let begun = world.begin("anna", "POST", "/uploads/", &final_of(part));
        assert!(matches!(begun, Begun::Transfer(_)));
    }
    let begun = world.begin("anna", "POST", "/uploads/", &final_of(&parts[16]));
    let Begun::Answer(answer) = begun else {
        panic!("sixteen are enough");
    };
    assert_eq!(
        (answer.status, answer.header("Retry-After")),
        (503, Some("5"))
    );
    world.drain(&[]);
    world.create(&final_of(&parts[16]), b"");
}

#[test]
fn what_is_remembered_of_parts_has_a_bound() {
    let mut world = world();
    let part = world.create("Upload-Concat: partial\r\nUpload-Length: 1\r\n", b"x");
    world.uploads.concat_bytes += (16 << 20) - 10;
    let lines = format!("Upload-Concat: final;{part}\r\n");
    let answer = world.answer("POST", "/uploads/", &lines, &[]);
    let full = Some(crate::refusal::Refusal::UploadsFull);
    assert_eq!((answer.status, answer.refusal), (503, full));
    world.uploads.concat_bytes -= (16 << 20) - 10;
    world.create(&lines, b"");
    world.tick(1);
    assert_eq!(
        world.uploads.concat_bytes,
        lines.len() - "Upload-Concat: \r\n".len()
    );
}
