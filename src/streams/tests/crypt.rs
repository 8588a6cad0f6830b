//! What encryption promises: whoever moves, cuts, repeats or mixes segments is found out, ranges read what the whole says, keys come and go without the file.

mod support;

use proptest::prelude::*;
use ringway_streams::crypt::{
    Cipher, Envelope, FileKey, HEADER_BYTES, Header, Layout, MasterKey, Opener,
    PLAINTEXT_BYTES_MAX, RangeReader, SEGMENT_BYTES, Sealer, TAG_BYTES,
};
use ringway_streams::{Next, Stage, StreamError, run};
use support::{Random, header, key, made, text};

const SEALED: usize = SEGMENT_BYTES + TAG_BYTES;

fn sealed(plaintext: &[u8]) -> Vec<u8> {
    made(&mut Sealer::new(&key(), header()), plaintext)
}

fn opened(stream: &[u8]) -> Result<Vec<u8>, StreamError> {
    run(&mut Opener::new(&key()), stream, usize::MAX)
}

/// A stream's header and its segments.
fn parts(stream: &[u8]) -> (Vec<u8>, Vec<Vec<u8>>) {
    let (header, segments) = stream.split_at(HEADER_BYTES);
    let segments = segments.chunks(SEALED).map(<[u8]>::to_vec);
    (header.to_vec(), segments.collect())
}

fn joined(header: &[u8], segments: &[Vec<u8>]) -> Vec<u8> {
    [header, &segments.concat()].concat()
}

#[test]
fn segments_have_one_order_and_one_end() {
    let stream = sealed(&text(4 * SEGMENT_BYTES + 100));
    let (header, segments) = parts(&stream);
    let check = |order: &[usize], forged: u32| {
        let moved: Vec<_> = order.iter().map(|index| segments[*index].clone()).collect();
        let result = opened(&joined(&header, &moved));
        assert_eq!(
            result,
            Err(StreamError::Forged { segment: forged }),
            "{order:?}"
        );
    };
    check(&[1, 0, 2, 3, 4], 0);
    check(&[0, 2, 1, 3, 4], 1);
    check(&[0, 1, 2, 4, 3], 3);
    check(&[0, 1, 3, 4], 2);
    check(&[1, 2, 3, 4], 0);
    check(&[0, 0, 1, 2, 3, 4], 1);
    // Cut off at a border: what is last then was not sealed as the last.
    check(&[0, 1, 2, 3], 3);
    check(&[0], 0);
    // Something behind the end: the last is not the last any more.
    check(&[0, 1, 2, 3, 4, 4], 4);
}

#[test]
fn a_full_last_segment_cannot_be_followed() {
    let stream = sealed(&text(2 * SEGMENT_BYTES));
    let (header, segments) = parts(&stream);
    assert_eq!(segments.len(), 2);
    for behind in [
        segments[0].clone(),
        segments[1].clone(),
        vec![0; 16],
        vec![0; 17],
    ] {
        let longer = [segments.clone(), vec![behind]].concat();
        let result = opened(&joined(&header, &longer));
        assert_eq!(result, Err(StreamError::Forged { segment: 1 }));
    }
}

#[test]
fn segments_of_other_files_do_not_fit() {
    let plaintext = text(3 * SEGMENT_BYTES);
    let (header, segments) = parts(&sealed(&plaintext));
    let other_key = FileKey::new([0x43; 32]);
    let other_nonce = Header::new([7; 7], support::header().file());
    let other_file = Header::new([1, 2, 3, 4, 5, 6, 7], [8; 16]);
    let others = [
        (&other_key, support::header()),
        (&key(), other_nonce),
        (&key(), other_file),
    ];
    for (key, of) in others {
        let stream = made(&mut Sealer::new(key, of), &plaintext);
        let (_, theirs) = parts(&stream);
        let spliced = [segments[0].clone(), theirs[1].clone(), segments[2].clone()];
        let result = opened(&joined(&header, &spliced));
        assert_eq!(result, Err(StreamError::Forged { segment: 1 }));
    }
}

#[test]
fn nothing_of_a_forged_segment_is_given() {
    let plaintext = text(3 * SEGMENT_BYTES);
    let mut stream = sealed(&plaintext);
    stream[HEADER_BYTES + SEALED + 5] ^= 1;
    let (mut opener, mut given, mut at) = (Opener::new(&key()), vec![], 0);
    let mut out = vec![0; 100_000];
    let error = loop {
        let piece = &stream[at..stream.len().min(at + 30_000)];
        match opener.push(piece, &mut out) {
            Err(error) => break error,
            Ok(progress) => {
                at += progress.consumed;
                given.extend_from_slice(&out[..progress.written]);
            }
        }
    };
    assert_eq!(error, StreamError::Forged { segment: 1 });
    assert!(given == plaintext[..SEGMENT_BYTES]);
}

#[test]
fn every_byte_counts() {
    let stream = sealed(b"a short secret");
    for at in 0..stream.len() {
        let mut changed = stream.clone();
        changed[at] ^= 0x10;
        assert!(opened(&changed).is_err(), "byte {at}");
        assert!(opened(&stream[..at]).is_err(), "cut at {at}");
    }
}

/// The range of the plaintext, from that part of the stream alone.
fn ranged(stream: &[u8], range: core::ops::Range<u64>) -> Result<Vec<u8>, StreamError> {
    let layout = Layout::of_ciphertext(stream.len() as u64)?;
    let span = layout.span(range).unwrap();
    let part = span.ciphertext.start as usize..span.ciphertext.end as usize;
    let mut reader = RangeReader::new(&key(), header(), layout, &span);
    run(&mut reader, &stream[part], usize::MAX)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 60, ..ProptestConfig::default() })]

    #[test]
    fn ranges_say_what_the_whole_says(bytes in 0..3 * SEGMENT_BYTES + 70, a: u64, b: u64) {
        let plaintext = text(bytes);
        let stream = sealed(&plaintext);
        let (a, b) = (a % (bytes as u64 + 1), b % (bytes as u64 + 1));
        let (start, end) = (a.min(b), a.max(b));
        let read = ranged(&stream, start..end);
        prop_assert!(read.as_deref() == Ok(&plaintext[start as usize..end as usize]));
    }

    #[test]
    fn any_plaintext_there_and_back(plaintext: Vec<u8>, key: [u8; 32], prefix: [u8; 7], file: [u8; 16]) {
        let (key, header) = (FileKey::new(key), Header::new(prefix, file));
        let stream = made(&mut Sealer::new(&key, header), &plaintext);
        let layout = Layout::of_plaintext(plaintext.len() as u64).unwrap();
        prop_assert_eq!(layout.ciphertext_bytes(), stream.len() as u64);
        prop_assert_eq!(Header::parse(stream.first_chunk().unwrap()), Ok(header));
        prop_assert_eq!(run(&mut Opener::new(&key), &stream, usize::MAX), Ok(plaintext));
    }

    #[test]
    fn any_bytes_are_a_header_or_a_named_error(bytes: [u8; HEADER_BYTES]) {
        if let Ok(header) = Header::parse(&bytes) {
            prop_assert_eq!(header.to_bytes(), bytes);
        }
    }
}

#[test]
fn a_range_reads_only_its_segments() {
    let stream = sealed(&text(5 * SEGMENT_BYTES));
    let layout = Layout::of_ciphertext(stream.len() as u64).unwrap();
    let span = layout
        .span(SEGMENT_BYTES as u64 + 5..SEGMENT_BYTES as u64 + 9)
        .unwrap();
    assert_eq!(span.ciphertext.end - span.ciphertext.start, SEALED as u64);
    // The others may be anything.
    let mut broken = vec![0; stream.len()];
    let part = span.ciphertext.start as usize..span.ciphertext.end as usize;
    broken[part.clone()].copy_from_slice(&stream[part]);
    let range = SEGMENT_BYTES as u64 + 5..SEGMENT_BYTES as u64 + 9;
    assert_eq!(ranged(&broken, range.clone()), ranged(&stream, range));
}

#[test]
fn a_length_that_lies_is_found_by_the_last_segment() {
    let stream = sealed(&text(3 * SEGMENT_BYTES + 10));
    let cut = &stream[..HEADER_BYTES + 2 * SEALED];
    let layout = Layout::of_ciphertext(cut.len() as u64).unwrap();
    // A range before it still reads.
    assert!(ranged(cut, 0..10).is_ok());
    let last = layout.last();
    let mut reader = RangeReader::new(&key(), header(), layout, &last);
    let part = last.ciphertext.start as usize..last.ciphertext.end as usize;
    let result = run(&mut reader, &cut[part], usize::MAX);
    assert_eq!(result, Err(StreamError::Forged { segment: 1 }));
}

#[test]
fn the_last_segment_proves_the_length() {
    for bytes in [0, 1, SEGMENT_BYTES, SEGMENT_BYTES + 1, 3 * SEGMENT_BYTES] {
        let stream = sealed(&text(bytes));
        let layout = Layout::of_ciphertext(stream.len() as u64).unwrap();
        let last = layout.last();
        let mut reader = RangeReader::new(&key(), header(), layout, &last);
        let part = last.ciphertext.start as usize..last.ciphertext.end as usize;
        let tail = run(&mut reader, &stream[part], usize::MAX).unwrap();
        assert!(text(bytes).ends_with(&tail), "{bytes}");
    }
}

#[test]
fn more_than_the_range_needs_is_refused() {
    let stream = sealed(&text(3 * SEGMENT_BYTES));
    let layout = Layout::of_ciphertext(stream.len() as u64).unwrap();
    let span = layout.span(0..10).unwrap();
    let mut reader = RangeReader::new(&key(), header(), layout, &span);
    let result = run(
        &mut reader,
        &stream[HEADER_BYTES..HEADER_BYTES + SEALED + 1],
        1000,
    );
    assert!(
        matches!(result, Err(StreamError::TrailingBytes { .. })),
        "{result:?}"
    );
}

#[test]
fn a_new_master_key_wants_new_envelopes_only() {
    let (old, new) = (
        MasterKey::new([1; 8], [1; 32]),
        MasterKey::new([2; 8], [2; 32]),
    );
    let stream = sealed(b"some text");
    let before = Envelope::seal(&old, [3; 12], &header(), &key());
    let after = before.seal_anew(&old, &new, [4; 12], &header()).unwrap();
    assert_eq!((before.master(), after.master()), ([1; 8], new.id()));
    assert_eq!(
        after.open(&old, &header()).unwrap_err(),
        StreamError::KeyRefused
    );
    let key = after.open(&new, &header()).unwrap();
    let result = run(&mut Opener::new(&key), &stream, 1000);
    assert_eq!(result.as_deref(), Ok(&b"some text"[..]));
}

#[test]
fn keys_stay_out_of_logs() {
    let master = MasterKey::new([1; 8], [0x77; 32]);
    let said = format!("{:?} {master:?} {:?}", key(), Sealer::new(&key(), header()));
    assert_eq!(
        said,
        "FileKey(…) MasterKey(…) Sealer(segment Some(0), Open)"
    );
}

/// A cipher that only counts: another library behind the same stages.
struct Plain;

impl Cipher for Plain {
    fn new(_: &[u8; 32]) -> Self {
        Self
    }

    fn seal(&self, nonce: [u8; 12], _: &[u8], _: &mut [u8]) -> [u8; 16] {
        let mut tag = [0; 16];
        tag[..12].copy_from_slice(&nonce);
        tag
    }

    fn open(&self, nonce: [u8; 12], aad: &[u8], text: &mut [u8], tag: &[u8; 16]) -> bool {
        self.seal(nonce, aad, text) == *tag
    }
}

#[test]
fn nonces_count_and_say_the_end() {
    let stream = made(
        &mut Sealer::with_cipher(Plain, header()),
        &[0; 2 * SEGMENT_BYTES + 1],
    );
    let (_, segments) = parts(&stream);
    let nonce = |segment: &Vec<u8>| segment[segment.len() - TAG_BYTES..][..12].to_vec();
    let nonces: Vec<_> = segments.iter().map(nonce).collect();
    assert_eq!(nonces[0], [1, 2, 3, 4, 5, 6, 7, 0, 0, 0, 0, 0]);
    assert_eq!(nonces[1], [1, 2, 3, 4, 5, 6, 7, 0, 0, 0, 1, 0]);
    assert_eq!(nonces[2], [1, 2, 3, 4, 5, 6, 7, 0, 0, 0, 2, 1]);
    let mut opener = Opener::with_cipher(Plain);
    assert_eq!(
        run(&mut opener, &stream, usize::MAX).unwrap().len(),
        2 * SEGMENT_BYTES + 1
    );
}

#[test]
fn the_end_of_the_nonces_is_far() {
    assert_eq!(PLAINTEXT_BYTES_MAX, 256 << 40);
    let too_long = Layout::of_plaintext(PLAINTEXT_BYTES_MAX + 1);
    assert_eq!(
        too_long,
        Err(StreamError::TooLong {
            bytes_max: 256 << 40
        })
    );
    let layout = Layout::of_plaintext(PLAINTEXT_BYTES_MAX).unwrap();
    assert_eq!(layout.last_index(), u32::MAX);
}

#[test]
fn a_sealer_gives_full_segments_as_they_fill() {
    let mut sealer = Sealer::new(&key(), header());
    let mut random = Random::new(1);
    let mut out = vec![0; 2 * SEALED];
    let first = sealer.push(&random.bytes(SEGMENT_BYTES), &mut out).unwrap();
    assert_eq!((first.written, first.next), (HEADER_BYTES, Next::Input));
    let second = sealer.push(&[1], &mut out).unwrap();
    assert_eq!((second.written, second.next), (SEALED, Next::Input));
}
