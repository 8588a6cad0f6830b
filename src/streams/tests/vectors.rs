//! Replays the wire vectors of encryption and multiplexing, which any implementation can read. They were made by another implementation over another library's AES.

use aws_lc_rs::digest::{SHA256, digest};
use ringway_streams::crypt::{
    Envelope, FileKey, Header, Layout, MasterKey, Opener, RangeReader, Sealer,
};
use ringway_streams::mux::{Agreement, Event, Receiver, Sender};
use ringway_streams::{StreamError, run};
use serde_json::{Value, json};

macro_rules! vectors {
    ($name:literal) => {
        include_str!(concat!("../../../tests/vectors/", $name, ".json"))
    };
}

/// Runs each vector of a file through `result`, which gives what `expect` must say.
#[track_caller]
fn replay(file: &str, result: impl Fn(&Value) -> Value) {
    let vectors: Vec<Value> = serde_json::from_str(file).unwrap();
    assert!(!vectors.is_empty(), "a file without vectors");
    for vector in &vectors {
        let name = vector["name"].as_str().unwrap();
        assert_eq!(result(vector), vector["expect"], "{name}");
    }
}

fn bytes(vector: &Value, field: &str) -> Vec<u8> {
    let hex = vector[field].as_str().unwrap();
    let pair = |at: usize| u8::from_str_radix(&hex[at..at + 2], 16).unwrap();
    (0..hex.len()).step_by(2).map(pair).collect()
}

fn fixed<const N: usize>(vector: &Value, field: &str) -> [u8; N] {
    bytes(vector, field).try_into().unwrap()
}

fn number(vector: &Value, field: &str) -> u64 {
    vector[field].as_u64().unwrap()
}

fn hex_of(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn pattern(bytes: u64) -> Vec<u8> {
    (0..bytes).map(|index| (index % 251) as u8).collect()
}

/// The word for an error in these files.
fn error_of(error: &StreamError) -> Value {
    let word = match error {
        StreamError::Malformed { .. } => "malformed",
        StreamError::Unsupported { .. } => "unsupported",
        StreamError::Truncated { .. } => "truncated",
        StreamError::KeyRefused => "refused",
        StreamError::ChannelUnknown { .. } => "unknown channel",
        StreamError::ChannelsTooMany { .. } => "too many channels",
        StreamError::CreditExceeded { .. } => "credit exceeded",
        StreamError::Forged { segment } => return json!({"error": "forged", "segment": segment}),
        other => panic!("{other}"),
    };
    json!({ "error": word })
}

#[test]
fn encrypted_streams() {
    replay(vectors!("encrypted-streams"), |vector| {
        let header = Header::parse(&fixed(vector, "header_hex")).unwrap();
        let key = FileKey::new(fixed(vector, "key_hex"));
        let plaintext = pattern(number(vector, "plaintext_bytes"));
        let sealed = run(&mut Sealer::new(&key, header), &plaintext, usize::MAX).unwrap();
        let opened = run(&mut Opener::new(&key), &sealed, usize::MAX).unwrap();
        assert!(opened == plaintext);
        let mut result = json!({
            "ciphertext_bytes": sealed.len(),
            "ciphertext_sha256_hex": hex_of(digest(&SHA256, &sealed).as_ref()),
        });
        if sealed.len() < 1000 {
            result["ciphertext_hex"] = hex_of(&sealed).into();
        }
        result
    });
}

#[test]
fn encrypted_openings() {
    replay(vectors!("encrypted-openings"), |vector| {
        let key = FileKey::new(fixed(vector, "key_hex"));
        match run(&mut Opener::new(&key), &bytes(vector, "input_hex"), 1000) {
            Ok(plaintext) => json!({ "plaintext_hex": hex_of(&plaintext) }),
            Err(error) => error_of(&error),
        }
    });
}

#[test]
fn encrypted_envelopes() {
    replay(vectors!("encrypted-envelopes"), |vector| {
        let master = MasterKey::new(fixed(vector, "master_id_hex"), fixed(vector, "master_hex"));
        let header = Header::parse(&fixed(vector, "header_hex")).unwrap();
        let envelope = Envelope::parse(&fixed(vector, "envelope_hex"));
        let opened = envelope.and_then(|envelope| envelope.open(&master, &header));
        if let Err(error) = opened {
            return error_of(&error);
        }
        let expect = &vector["expect"];
        let key = FileKey::new(fixed(expect, "key_hex"));
        let sealed = Envelope::seal(&master, fixed(expect, "nonce_hex"), &header, &key);
        assert_eq!(sealed.as_bytes()[..], bytes(vector, "envelope_hex"));
        // That the opened key is that key is seen by what it opens.
        let stream = run(&mut Sealer::new(&key, header), b"some text", 1000).unwrap();
        let again = run(&mut Opener::new(&opened.unwrap()), &stream, 1000);
        assert_eq!(again.as_deref(), Ok(&b"some text"[..]));
        expect.clone()
    });
}

#[test]
fn encrypted_ranges() {
    replay(vectors!("encrypted-ranges"), |vector| {
        let layout = Layout::of_plaintext(number(vector, "plaintext_bytes")).unwrap();
        let range = number(vector, "start")..number(vector, "end");
        let Some(span) = layout.span(range.clone()) else {
            return json!({ "error": "no such range" });
        };
        let (key, header) = (FileKey::new([1; 32]), Header::new([2; 7], [3; 16]));
        let plaintext = pattern(layout.plaintext_bytes());
        let sealed = run(&mut Sealer::new(&key, header), &plaintext, usize::MAX).unwrap();
        let part = &sealed[span.ciphertext.start as usize..span.ciphertext.end as usize];
        let mut reader = RangeReader::new(&key, header, layout, &span);
        let read = run(&mut reader, part, usize::MAX).unwrap();
        assert!(read == plaintext[range.start as usize..range.end as usize]);
        json!({ "ciphertext_start": span.ciphertext.start, "ciphertext_end": span.ciphertext.end })
    });
}

/// The events of a stream in pieces; bytes of one channel that follow one another are one event.
fn received(agreement: Agreement, pieces: &[&[u8]]) -> Value {
    let mut receiver = Receiver::new(agreement);
    let mut events: Vec<Value> = vec![];
    let result = pieces.iter().copied().try_for_each(|mut piece| {
        while let Some(event) = receiver.next(&mut piece)? {
            match event {
                Event::Open { channel } => events.push(json!({ "open": channel })),
                Event::Data { channel, bytes } => join(&mut events, channel, bytes),
                Event::End { channel } => events.push(json!({ "end": channel })),
                Event::Reset { channel, code } => {
                    events.push(json!({ "reset": channel, "code": code }));
                }
            }
        }
        Ok(())
    });
    let result: Result<(), StreamError> = result.and_then(|()| receiver.finish());
    let error = result.map_or_else(|error| error_of(&error)["error"].clone(), |()| Value::Null);
    json!({ "events": events, "error": error })
}

fn join(events: &mut Vec<Value>, channel: u32, bytes: &[u8]) {
    if let Some(last) = events.last_mut()
        && last["data"] == channel
    {
        last["bytes_hex"] =
            (last["bytes_hex"].as_str().unwrap().to_owned() + &hex_of(bytes)).into();
        return;
    }
    events.push(json!({ "data": channel, "bytes_hex": hex_of(bytes) }));
}

#[test]
fn mux_streams() {
    replay(vectors!("mux-streams"), |vector| {
        let agreement = Agreement {
            window_bytes: number(vector, "window_bytes") as u32,
            channels_max: number(vector, "channels_max") as u32,
        };
        let stream = bytes(vector, "input_hex");
        let whole = received(agreement, &[&stream]);
        for cut in 0..=stream.len() {
            let (head, rest) = stream.split_at(cut);
            assert_eq!(received(agreement, &[head, rest]), whole, "cut at {cut}");
        }
        let single: Vec<&[u8]> = stream.chunks(1).collect();
        assert_eq!(received(agreement, &single), whole, "byte by byte");
        whole
    });
}

/// A sender with channels that spent all their credit hears an answer; how much credit each has then, null for one that is closed.
fn answered(vector: &Value, pieces: &[&[u8]]) -> Value {
    let window_bytes = number(vector, "window_bytes") as u32;
    let channels_max = number(vector, "channels") as u32;
    let mut sender = Sender::new(Agreement {
        window_bytes,
        channels_max,
    });
    let queue = vec![0; window_bytes as usize];
    let channels: Vec<u32> = (0..channels_max).map(|_| sender.open().unwrap()).collect();
    for channel in &channels {
        assert_eq!(sender.push(*channel, &queue), queue.len());
    }
    let mut stream = vec![];
    drain(&mut sender, &mut stream);
    let result = pieces.iter().try_for_each(|piece| sender.back(piece));
    if let Err(error) = result {
        assert_eq!(sender.back(b""), Err(error.clone()));
        return error_of(&error);
    }
    let open = |channel: &u32| sender.is_open(*channel).then_some(*channel);
    let open: Vec<Option<u32>> = channels.iter().map(open).collect();
    for channel in open.iter().flatten() {
        sender.push(*channel, &queue);
    }
    let mut more = vec![];
    drain(&mut sender, &mut more);
    let sent = |channel: u32| data_bytes(&more, channel);
    let credits = open.iter().map(|channel| channel.map(sent));
    json!({ "credits": credits.collect::<Vec<_>>() })
}

/// All that a sender has to say.
fn drain(sender: &mut Sender, stream: &mut Vec<u8>) {
    let mut out = [0; 100];
    loop {
        match sender.take(&mut out) {
            0 => return,
            bytes => stream.extend_from_slice(&out[..bytes]),
        }
    }
}

/// How many bytes the DATA frames of a channel have, read by the table in the format's description.
fn data_bytes(mut frames: &[u8], wanted: u32) -> usize {
    let mut total = 0;
    while let Some((header, rest)) = frames.split_first_chunk::<8>() {
        let channel = u32::from_le_bytes(header[..4].try_into().unwrap());
        let bytes = u32::from_le_bytes([header[5], header[6], header[7], 0]) as usize;
        if (channel, header[4]) == (wanted, 2) {
            total += bytes;
        }
        frames = &rest[bytes..];
    }
    total
}

#[test]
fn mux_replies() {
    replay(vectors!("mux-replies"), |vector| {
        let reply = bytes(vector, "input_hex");
        let whole = answered(vector, &[&reply]);
        let single: Vec<&[u8]> = reply.chunks(1).collect();
        assert_eq!(answered(vector, &single), whole, "byte by byte");
        whole
    });
}
