//! Encrypted streams whose segments were moved, cut, repeated, changed or mixed with another file's: what is given is a beginning of the plaintext, and `End` means all of it.

use crate::input::Input;
use ringway_streams::crypt::{
    FileKey, HEADER_BYTES, Header, Layout, Opener, RangeReader, SEGMENT_BYTES, Sealer, TAG_BYTES,
};
use ringway_streams::{Next, Stage, run};
use std::sync::LazyLock;

const SEALED_BYTES: usize = SEGMENT_BYTES + TAG_BYTES;
const FILE: Header = Header::new([1; 7], [2; 16]);
const OTHER: Header = Header::new([3; 7], [4; 16]);

fn key() -> FileKey {
    FileKey::new([5; 32])
}

static PLAINTEXT: LazyLock<Vec<u8>> = LazyLock::new(|| {
    let pattern = (0..3 * SEGMENT_BYTES).map(|index| (index % 251) as u8);
    pattern.collect()
});

fn sealed(header: Header, plaintext: &[u8]) -> Vec<u8> {
    run(&mut Sealer::new(&key(), header), plaintext, usize::MAX).expect("it is short enough")
}

/// How long the plaintext is, a range, changes of the stream; or, for a length of 0 in the first byte, raw bytes behind a header.
pub fn stream_segments(data: &[u8]) {
    let mut input = Input::new(data);
    let (whole, part) = (input.byte(), input.byte());
    let bytes = usize::from(whole % 4) * SEGMENT_BYTES + usize::from(part) * 7;
    let plaintext = &PLAINTEXT[..bytes.min(PLAINTEXT.len())];
    let sound = sealed(FILE, plaintext);
    let range = (input.byte(), input.byte());
    let stream = match whole {
        255 => [&FILE.to_bytes()[..], input.rest()].concat(),
        _ => changed(&sound, plaintext, &mut input),
    };
    check_whole(&stream, &sound, plaintext);
    check_range(&stream, plaintext, range);
    if let Some(header) = stream.first_chunk::<HEADER_BYTES>() {
        let read = Header::parse(header);
        assert!(read.is_err() || read.is_ok_and(|read| read.to_bytes() == *header));
    }
}

/// Up to sixteen changes, by what the input says.
fn changed(sound: &[u8], plaintext: &[u8], input: &mut Input<'_>) -> Vec<u8> {
    let header = sound[..HEADER_BYTES].to_vec();
    let cut = |stream: &[u8]| -> Vec<Vec<u8>> {
        let segments = stream[HEADER_BYTES..].chunks(SEALED_BYTES);
        segments.map(<[u8]>::to_vec).collect()
    };
    let (mut segments, others) = (cut(sound), cut(&sealed(OTHER, plaintext)));
    let mut changes = 0;
    while !input.is_empty() && changes < 16 && !segments.is_empty() {
        changes += 1;
        let (what, index) = (input.byte(), usize::from(input.byte()) % segments.len());
        match what % 6 {
            0 => drop(segments.remove(index)),
            1 => segments.insert(index, segments[index].clone()),
            2 => segments.swap(index, 0),
            3 => segments[index] = others[index % others.len()].clone(),
            4 => {
                let at = usize::from(input.byte()) * 257 % segments[index].len().max(1);
                segments[index].truncate(at);
            }
            _ => {
                let at = usize::from(input.byte()) * 257 % segments[index].len().max(1);
                if let Some(byte) = segments[index].get_mut(at) {
                    *byte ^= input.byte();
                }
            }
        }
    }
    [header, segments.concat()].concat()
}

/// All that a stage gives of the input, and whether it came to its end.
fn given(stage: &mut impl Stage, mut input: &[u8]) -> (Vec<u8>, bool) {
    let (mut output, mut out, mut pushing) = (Vec::new(), vec![0; 50_000], true);
    loop {
        let result = match pushing {
            true => stage.push(input, &mut out),
            false => stage.finish(&mut out),
        };
        let Ok(progress) = result else {
            return (output, false);
        };
        output.extend_from_slice(&out[..progress.written]);
        input = &input[progress.consumed..];
        match progress.next {
            Next::Input => pushing = false,
            Next::End => return (output, true),
            Next::Room | Next::Time(_) => {}
        }
    }
}

fn check_whole(stream: &[u8], sound: &[u8], plaintext: &[u8]) {
    let (output, ended) = given(&mut Opener::new(&key()), stream);
    assert!(
        plaintext.starts_with(&output),
        "something that was never sealed"
    );
    assert_eq!(ended, stream == sound, "only the sound stream has an end");
    assert!(!ended || output == plaintext);
}

/// A range of what the stream seems to be.
fn check_range(stream: &[u8], plaintext: &[u8], (a, b): (u8, u8)) {
    let Ok(layout) = Layout::of_ciphertext(stream.len() as u64) else {
        return;
    };
    assert_eq!(layout.ciphertext_bytes(), stream.len() as u64);
    let place = |byte: u8| layout.plaintext_bytes() * u64::from(byte) / 255;
    let range = place(a.min(b))..place(a.max(b));
    let span = layout.span(range.clone()).expect("it is within");
    let part = span.ciphertext.start as usize..span.ciphertext.end as usize;
    let mut reader = RangeReader::new(&key(), FILE, layout, &span);
    let (output, ended) = given(&mut reader, &stream[part]);
    let wanted = plaintext.get(range.start as usize..).unwrap_or_default();
    assert!(
        wanted.starts_with(&output),
        "something that was never sealed there"
    );
    assert!(!ended || output.len() as u64 == range.end - range.start);
}
