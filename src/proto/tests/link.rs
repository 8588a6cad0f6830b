//! Replays the link's wire vectors, and holds the codec to its word with frames that a seed makes up.

use ringway_proto::link::{
    ConnError, FRAME_BODY_BYTES_MAX, Flags, Frame, HEADER_BYTES, Json, Kind, LinkError, Long, Open,
    Part, Payload, Raw, Resume, ResumedSocket, Session, Side, split,
};
use serde::Serialize;
use serde_json::{Value, json};
use std::borrow::Cow;

macro_rules! vectors {
    ($name:literal) => {
        include_str!(concat!("../../../tests/vectors/", $name, ".json"))
    };
}

/// Runs each vector of a file through `result`, which gives what `expect` must say.
#[track_caller]
fn replay(file: &str, result: impl Fn(&[u8], Side) -> Value) {
    let vectors: Vec<Value> = serde_json::from_str(file).unwrap();
    assert!(!vectors.is_empty(), "a file without vectors");
    for vector in &vectors {
        let from = side_of(vector);
        let input = bytes_of(vector["input_hex"].as_str().unwrap());
        let name = vector["name"].as_str().unwrap();
        assert_eq!(result(&input, from), vector["expect"], "{name}");
    }
}

fn side_of(vector: &Value) -> Side {
    match vector["from"].as_str().unwrap() {
        "daemon" => Side::Daemon,
        "worker" => Side::Worker,
        other => panic!("{other} is no side"),
    }
}

fn bytes_of(hex: &str) -> Vec<u8> {
    let pair = |at: usize| u8::from_str_radix(&hex[at..at + 2], 16).unwrap();
    (0..hex.len()).step_by(2).map(pair).collect()
}

fn hex_of(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

// What the vectors say of a frame.

const FLAGS: [(Flags, &str); 8] = [
    (Flags::BINARY, "BINARY"),
    (Flags::VOLATILE, "VOLATILE"),
    (Flags::NO_COMPRESS, "NO_COMPRESS"),
    (Flags::LOCAL, "LOCAL"),
    (Flags::RECOVER, "RECOVER"),
    (Flags::DISCARD, "DISCARD"),
    (Flags::ASCII, "ASCII"),
    (Flags::REMOVED, "REMOVED"),
];

fn flags_of(kind: Kind, flags: Flags) -> Vec<&'static str> {
    let set = FLAGS.iter().filter(|(flag, _)| flags.contains(*flag));
    let name = |(_, name): &(Flags, &'static str)| match *name {
        // One bit, which two types know by two names.
        "REMOVED" if kind == Kind::Send => "REST",
        name => name,
    };
    set.map(name).collect()
}

fn part_of(part: &Part<'_>) -> Value {
    match part {
        Part::Text(text) => json!({ "text": text }),
        Part::Binary(bytes) => json!({ "binary_hex": hex_of(bytes) }),
    }
}

fn parts_of(parts: &[Part<'_>]) -> Vec<Value> {
    parts.iter().map(part_of).collect()
}

/// The known keys, which is less than the text says when there are others; a body of our own says as much.
fn json_of<T: Serialize>(body: &Json<'_, T>) -> Value {
    let known = serde_json::to_string(body.value()).unwrap();
    serde_json::from_str(&known).unwrap()
}

fn fields_of(frame: &Frame<'_>) -> Value {
    match frame {
        Frame::Challenge { json } => json!({ "json": json_of(json) }),
        Frame::Hello { json, mac } => json!({ "json": json_of(json), "mac": mac }),
        Frame::Welcome { json, mac } => json!({ "json": json_of(json), "mac": mac }),
        Frame::Bind { json } => json!({ "json": json_of(json) }),
        Frame::GoAway { json } => json!({ "json": json_of(json) }),
        Frame::Ping { number } | Frame::Pong { number } => json!({ "number": number.to_string() }),
        Frame::Credit { frames, bytes } => {
            json!({ "frames": frames.to_string(), "bytes": bytes.to_string() })
        }
        Frame::Peers { nsp, instances } => json!({ "nsp": nsp, "instances": instances }),
        Frame::Error { code, message } => json!({ "code": code, "message": message }),
        Frame::Open { json } => json!({ "json": json_of(json) }),
        Frame::Data { payload } | Frame::Send { payload } => {
            json!({ "payload": part_of(&payload.0) })
        }
        Frame::Close { reason, code, text } => {
            json!({ "reason": *reason as u8, "code": code, "text": text })
        }
        Frame::Transport { phase, transport } => {
            json!({ "phase": *phase as u8, "transport": *transport as u8 })
        }
        Frame::Resume { json } => json!({ "json": json_of(json) }),
        Frame::CloseConn {} | Frame::MigrateOut {} => json!({}),
        Frame::HsReq { request, json } => json!({ "request": request, "json": json_of(json) }),
        Frame::HsRes { request, json } => json!({ "request": request, "json": json_of(json) }),
        Frame::Pressure { on, waiting } => json!({ "on": u8::from(*on), "waiting": waiting }),
        Frame::Hold { on } => json!({ "on": u8::from(*on) }),
        Frame::ConnError { json } => json!({ "json": json_of(json) }),
        other => namespace_fields_of(other),
    }
}

fn namespace_fields_of(frame: &Frame<'_>) -> Value {
    match frame {
        Frame::Nsp { name } => json!({ "name": name }),
        Frame::Member {
            nsp,
            sid,
            pid,
            rooms,
            auth,
            data,
        } => {
            json!({ "nsp": nsp, "sid": sid, "pid": pid, "rooms": rooms, "auth": auth.0, "data": data.0 })
        }
        Frame::Join { nsp, rooms } | Frame::Leave { nsp, rooms } => {
            json!({ "nsp": nsp, "rooms": rooms })
        }
        Frame::LeaveAll { nsp } => json!({ "nsp": nsp }),
        Frame::Bcast {
            nsp,
            rooms,
            except,
            parts,
        } => json!({ "nsp": nsp, "rooms": rooms, "except": except, "parts": parts_of(parts) }),
        Frame::BcastAck {
            request,
            timeout_ms,
            nsp,
            rooms,
            except,
            parts,
        } => json!({
            "request": request, "timeout_ms": timeout_ms, "nsp": nsp, "rooms": rooms, "except": except, "parts": parts_of(parts),
        }),
        Frame::BcastCount { request, clients } => json!({ "request": request, "clients": clients }),
        Frame::BcastReply { request, parts } => {
            json!({ "request": request, "parts": parts_of(parts) })
        }
        Frame::Bus {
            nsp,
            to,
            from,
            opaque,
        } => json!({ "nsp": nsp, "to": to, "from": from, "opaque_hex": hex_of(opaque) }),
        Frame::SetData { nsp, data } => json!({ "nsp": nsp, "data": data.0 }),
        other => session_fields_of(other),
    }
}

fn session_fields_of(frame: &Frame<'_>) -> Value {
    match frame {
        Frame::SessionSave {
            nsp,
            pid,
            rooms,
            sid,
            data,
        } => json!({ "nsp": nsp, "pid": pid, "rooms": rooms, "sid": sid, "data": data.0 }),
        Frame::SessionGet {
            request,
            nsp,
            pid,
            offset,
        } => json!({ "request": request, "nsp": nsp, "pid": pid, "offset": offset }),
        Frame::SessionRes { request, session } => match session {
            None => json!({ "request": request, "found": false }),
            Some(session) => json!({
                "request": request, "found": true, "sid": session.sid, "rooms": session.rooms, "data": session.data.0,
                "parts": parts_of(&session.parts),
            }),
        },
        other => move_fields_of(other),
    }
}

fn move_fields_of(frame: &Frame<'_>) -> Value {
    match frame {
        Frame::Move {
            nsp,
            what,
            rooms,
            except,
            places,
        } => {
            json!({ "nsp": nsp, "what": *what as u8, "rooms": rooms, "except": except, "places": places })
        }
        Frame::Moved {
            nsp,
            sid,
            known,
            what,
            places,
        } => {
            json!({ "nsp": nsp, "sid": sid, "known": known, "what": *what as u8, "places": places })
        }
        other => panic!("{} is in no vector", other.kind()),
    }
}

/// What comes of a frame, which must encode to its bytes again.
fn judge(raw: &Raw<'_>, from: Side) -> Result<Value, LinkError> {
    let frame = Frame::parse(raw, from)?;
    let (mut original, mut again) = (Vec::new(), Vec::new());
    raw.encode_into(&mut original);
    frame.encode_into(raw.conn, raw.flags, &mut again);
    assert_eq!(hex_of(&again), hex_of(&original), "{frame:?}");
    assert_eq!(frame.kind(), raw.kind);
    if let Frame::Later { byte, .. } = frame {
        return Ok(json!({ "ignored": byte }));
    }
    Ok(json!({
        "type": raw.kind.name(), "conn": raw.conn.to_string(), "flags": flags_of(raw.kind, raw.flags), "fields": fields_of(&frame),
    }))
}

#[test]
fn link_frames() {
    replay(vectors!("link-frames"), |input, from| {
        let judged = match split(input, FRAME_BODY_BYTES_MAX) {
            Ok(None) => return json!({ "need_more": true }),
            Ok(Some((raw, bytes))) => {
                assert_eq!(bytes, input.len());
                judge(&raw, from)
            }
            Err(error) => Err(error),
        };
        judged.unwrap_or_else(|error| {
            assert!(!error.to_string().is_empty());
            json!({ "error": error.code() })
        })
    });
}

#[test]
fn every_type_has_a_vector() {
    let vectors: Vec<Value> = serde_json::from_str(vectors!("link-frames")).unwrap();
    let has = |kind: &Kind| vectors.iter().any(|v| v["expect"]["type"] == kind.name());
    let without: Vec<_> = Kind::ALL.iter().filter(|kind| !has(kind)).collect();
    assert!(without.is_empty(), "{without:?}");
}

/// Reads a stream as a link does: what is not a whole frame waits for the next piece.
fn stream(pieces: &[&[u8]], from: Side) -> Value {
    let (mut buffer, mut frames) = (Vec::new(), Vec::new());
    for piece in pieces {
        buffer.extend_from_slice(piece);
        loop {
            let judged = match split(&buffer, FRAME_BODY_BYTES_MAX) {
                Ok(None) => break,
                Ok(Some((raw, bytes))) => judge(&raw, from).map(|frame| (frame, bytes)),
                Err(error) => Err(error),
            };
            match judged {
                Ok((frame, bytes)) => {
                    frames.push(frame);
                    buffer.drain(..bytes);
                }
                Err(error) => return json!({ "frames": frames, "error": error.code() }),
            }
        }
    }
    json!({ "frames": frames, "error": null, "rest_bytes": buffer.len() })
}

#[test]
fn link_streams() {
    replay(vectors!("link-streams"), |input, from| {
        let whole = stream(&[input], from);
        for cut in 0..=input.len() {
            let (head, rest) = input.split_at(cut);
            assert_eq!(stream(&[head, rest], from), whole, "cut at {cut}");
        }
        let bytes: Vec<&[u8]> = input.chunks(1).collect();
        assert_eq!(stream(&bytes, from), whole, "byte by byte");
        whole
    });
}

// What no list of vectors says for all frames.

/// The good frames of the vectors, each with who sent it.
fn good_frames() -> Vec<(Vec<u8>, Side)> {
    let vectors: Vec<Value> = serde_json::from_str(vectors!("link-frames")).unwrap();
    let good = vectors.iter().filter(|v| !v["expect"]["type"].is_null());
    let frame = |vector: &Value| {
        let input = bytes_of(vector["input_hex"].as_str().unwrap());
        (input, side_of(vector))
    };
    good.map(frame).collect()
}

#[test]
fn a_body_with_less_is_truncated_and_with_more_has_trailing_bytes() {
    for (bytes, from) in good_frames() {
        let (raw, _) = split(&bytes, FRAME_BODY_BYTES_MAX).unwrap().unwrap();
        if matches!(raw.kind, Kind::Data | Kind::Send | Kind::Bus) {
            continue; // Their last field takes whatever there is.
        }
        for len in 0..raw.body.len() {
            let body = &raw.body[..len];
            let error = Frame::parse(&Raw { body, ..raw }, from).unwrap_err();
            assert_eq!(error, LinkError::Truncated(raw.kind), "{len} bytes");
        }
        let body = &[raw.body, &[0]].concat();
        let error = Frame::parse(&Raw { body, ..raw }, from).unwrap_err();
        assert_eq!(error, LinkError::TrailingBytes(raw.kind));
    }
}

#[test]
fn the_bound_is_the_readers() {
    for (bytes, _) in good_frames() {
        let body_bytes = (bytes.len() - HEADER_BYTES) as u32;
        assert!(split(&bytes, body_bytes).unwrap().is_some());
        let Some(less) = body_bytes.checked_sub(1) else {
            continue;
        };
        let error = LinkError::Length(body_bytes + 10);
        assert_eq!(split(&bytes[..4], less), Err(error));
    }
}

/// A small generator (xorshift64*): a seed always makes the same frames.
struct Random(u64);

impl Random {
    fn below(&mut self, bound: usize) -> usize {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        let mixed = self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 32;
        mixed as usize % bound
    }

    fn text(&mut self) -> &'static str {
        ["", "a", "/chat", "Räume", "2[\"a\"]", "\0", "😀"][self.below(7)]
    }

    fn texts(&mut self) -> Vec<&'static str> {
        (0..self.below(5)).map(|_| self.text()).collect()
    }

    fn part(&mut self) -> Part<'static> {
        match self.below(2) {
            0 => Part::Text(self.text()),
            _ => Part::Binary(&[[0xff; 9], [0; 9]][self.below(2)][self.below(9)..]),
        }
    }

    fn parts(&mut self) -> Vec<Part<'static>> {
        (0..self.below(5)).map(|_| self.part()).collect()
    }

    fn session(&mut self) -> Option<Session<'static>> {
        let session = Session {
            sid: self.text(),
            rooms: self.texts(),
            data: Long(self.text()),
            parts: self.parts(),
        };
        (self.below(3) > 0).then_some(session)
    }

    fn frame(&mut self) -> Frame<'static> {
        let (request, nsp) = (self.below(1 << 32) as u32, self.below(1 << 16) as u16);
        match self.below(6) {
            0 => Frame::Member {
                nsp,
                sid: self.text(),
                pid: self.text(),
                rooms: self.texts(),
                auth: Long(self.text()),
                data: Long(self.text()),
            },
            1 => Frame::BcastAck {
                request,
                timeout_ms: self.below(1 << 32) as u32,
                nsp,
                rooms: self.texts(),
                except: self.texts(),
                parts: self.parts(),
            },
            2 => Frame::SessionRes {
                request,
                session: self.session(),
            },
            3 => Frame::Bus {
                nsp: self.text(),
                to: self.text(),
                from: self.text(),
                opaque: self.text().as_bytes(),
            },
            4 => Frame::Peers {
                nsp: self.text(),
                instances: self.texts(),
            },
            _ => Frame::Send {
                payload: Payload(self.part()),
            },
        }
    }
}

#[test]
fn frames_come_back_as_they_were_made() {
    let mut random = Random(0x5eed_0003);
    for _ in 0..2_000 {
        let (frame, conn) = (random.frame(), random.below(1 << 32) as u64);
        let from = frame.kind().sender().unwrap_or(Side::Worker);
        let mut bytes = vec![7];
        frame.encode_into(conn, Flags::NONE, &mut bytes);
        let (raw, taken) = split(&bytes[1..], FRAME_BODY_BYTES_MAX).unwrap().unwrap();
        assert_eq!((raw.conn, taken), (conn, bytes.len() - 1));
        assert_eq!(Frame::parse(&raw, from), Ok(frame));
    }
}

#[test]
fn json_of_our_own_says_the_known_keys_in_their_order() {
    let texts = |name: &'static str| Cow::Borrowed(name);
    let context = serde_json::from_str(r#"{"sid":"x"}"#).unwrap();
    let refused = Json::new(ConnError {
        code: 1,
        message: texts("no"),
        context,
        method: texts("GET"),
        url: texts("/"),
        headers: vec![(texts("Host"), texts("a"))],
    });
    assert_eq!(
        refused.text(),
        r#"{"code":1,"message":"no","context":{"sid":"x"},"method":"GET","url":"/","headers":[["Host","a"]]}"#
    );
    let resume = Json::new(Resume {
        open: Open {
            sid: texts("s"),
            proto: 4,
            transport: texts("polling"),
            address: texts("::1"),
            secure: false,
            method: texts("GET"),
            url: texts("/"),
            headers: Vec::new(),
        },
        sockets: vec![ResumedSocket {
            nsp: texts("/"),
            sid: texts("a"),
            pid: None,
            rooms: Vec::new(),
            auth: Some(context),
            data: None,
        }],
    });
    assert_eq!(
        resume.text(),
        r#"{"sid":"s","proto":4,"transport":"polling","address":"::1","secure":false,"method":"GET","url":"/","headers":[],"sockets":[{"nsp":"/","sid":"a","rooms":[],"auth":{"sid":"x"}}]}"#
    );
    let mut bytes = Vec::new();
    Frame::Resume { json: resume }.encode_into(1, Flags::NONE, &mut bytes);
    let (raw, _) = split(&bytes, FRAME_BODY_BYTES_MAX).unwrap().unwrap();
    assert!(Frame::parse(&raw, Side::Daemon).is_ok());
}

/// What a peer wrote must not fill a log.
#[test]
fn a_complaint_about_json_is_short() {
    let mut bytes = Vec::new();
    let text = format!("{:?}", "é".repeat(10_000));
    bytes.extend_from_slice(&(text.len() as u32).to_le_bytes());
    bytes.extend_from_slice(text.as_bytes());
    let raw = Raw {
        kind: Kind::Bind,
        flags: Flags::NONE,
        conn: 0,
        body: &bytes,
    };
    let error = Frame::parse(&raw, Side::Worker).unwrap_err();
    assert_eq!(error.code(), "bad-json");
    assert!(error.to_string().len() < 300, "{error}");
}

#[test]
fn binary_is_the_payloads_to_say() {
    let flags_of = |part, flags| {
        let mut bytes = Vec::new();
        let payload = Payload(part);
        Frame::Send { payload }.encode_into(1, flags, &mut bytes);
        Flags::from_bits(bytes[5])
    };
    let both = Flags::BINARY | Flags::VOLATILE;
    assert_eq!(flags_of(Part::Binary(&[]), Flags::VOLATILE), both);
    assert_eq!(flags_of(Part::Text(""), both), Flags::VOLATILE);
}

#[test]
#[should_panic(expected = "65536 is no length of an s16 or a list")]
fn a_long_list_is_our_bug() {
    let rooms = vec![""; 65_536];
    Frame::Join { nsp: 0, rooms }.encode_into(1, Flags::NONE, &mut Vec::new());
}

#[test]
#[should_panic(expected = "65536 is no length of an s16 or a list")]
fn a_long_text_is_our_bug() {
    let name = &"a".repeat(65_536);
    Frame::Nsp { name }.encode_into(1, Flags::NONE, &mut Vec::new());
}

#[test]
#[should_panic(expected = "SET_DATA with 16777217 bytes")]
fn a_long_body_is_our_bug() {
    let text = "a".repeat(FRAME_BODY_BYTES_MAX as usize - 5);
    let data = Long(&text);
    Frame::SetData { nsp: 0, data }.encode_into(1, Flags::NONE, &mut Vec::new());
}

#[test]
#[should_panic(expected = "PING with Flags(64)")]
fn an_unknown_flag_is_our_bug() {
    Frame::Ping { number: 0 }.encode_into(0, Flags::ASCII, &mut Vec::new());
}
