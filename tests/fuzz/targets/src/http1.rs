//! HTTP/1: heads, bodies, and answers that nobody can split.

use crate::input::{Input, pieces};
use ringway_proto::http1::{
    BodyDecoder, BodyLength, Bounds, HttpError, Request, Response, parse_head,
};

const BODY_BYTES_MAX: u32 = 256;
const BOUNDS: Bounds = Bounds {
    head_bytes_max: 512,
    body_bytes_max: BODY_BYTES_MAX as u64,
};

type Parsed = Result<Option<(Request, usize)>, HttpError>;

/// A stream of a head and what follows it; the first byte says how it is cut.
pub fn http1(data: &[u8]) {
    let mut input = Input::new(data);
    let how = input.byte();
    let stream = input.rest();
    let whole = parse_head(stream, &BOUNDS);
    assert_eq!(in_pieces(stream, how), whole, "cut by {how}");
    if let Ok(Some((request, head_bytes))) = whole {
        check_request(&request, head_bytes);
        check_body(&request, &stream[head_bytes..], how);
        check_answer(&request);
    }
    chunks_round_trip(stream, how);
}

/// As a connection does it: all bytes so far, again and again until something comes of them.
fn in_pieces(stream: &[u8], how: u8) -> Parsed {
    let mut len = 0;
    for piece in pieces(stream, how) {
        len += piece.len();
        match parse_head(&stream[..len], &BOUNDS) {
            Ok(None) => {}
            decided => return decided,
        }
    }
    Ok(None)
}

fn check_request(request: &Request, head_bytes: usize) {
    assert!(head_bytes <= BOUNDS.head_bytes_max as usize);
    assert!(!request.method.is_empty() && !request.path.contains('?'));
    assert!(request.version <= 1 && request.headers("host").count() <= 1);
    let both =
        request.header("content-length").is_some() && request.header("transfer-encoding").is_some();
    assert!(!both, "RFC 9112 section 6.3: two framings");
    match request.body {
        BodyLength::Exact(bytes) => assert!(bytes <= BOUNDS.body_bytes_max),
        BodyLength::Chunked => assert_eq!(request.version, 1),
    }
}

fn check_body(request: &Request, stream: &[u8], how: u8) {
    let mut whole = BodyDecoder::new(request, BODY_BYTES_MAX);
    let taken = whole.push(stream);
    let mut cut = BodyDecoder::new(request, BODY_BYTES_MAX);
    let mut cut_taken = Ok(0);
    for piece in pieces(stream, how) {
        cut_taken = cut_taken.and_then(|before| Ok(before + cut.push(piece)?));
        if cut_taken.is_err() {
            break;
        }
    }
    assert_eq!(cut_taken, taken, "cut by {how}");
    if let Ok(taken) = taken {
        assert!(whole.is_done() || taken == stream.len());
        assert_eq!(whole.is_done(), cut.is_done());
        let body = whole.into_body();
        assert!(body.len() <= BODY_BYTES_MAX as usize);
        assert_eq!(body, cut.into_body());
    }
}

/// What an answer repeats of its request adds no line to it.
fn check_answer(request: &Request) {
    let origin = request.header("origin").unwrap_or_default();
    let answer = Response::new(200).header("A", origin).body(b"", true);
    let lines = answer.split(|byte| *byte == b'\n').count();
    assert_eq!(lines, 6, "status, three headers, the empty line, the end");
}

/// Any body in any chunks comes out as it went in.
fn chunks_round_trip(body: &[u8], how: u8) {
    let body = &body[..body.len().min(BODY_BYTES_MAX as usize)];
    let mut stream = Vec::new();
    for piece in pieces(body, how.max(1))
        .into_iter()
        .filter(|piece| !piece.is_empty())
    {
        stream.extend_from_slice(format!("{:x};x=y\r\n", piece.len()).as_bytes());
        stream.extend_from_slice(piece);
        stream.extend_from_slice(b"\r\n");
    }
    stream.extend_from_slice(b"0\r\nT: u\r\n\r\n");
    let head = b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n";
    let Ok(Some((request, _))) = parse_head(head, &BOUNDS) else {
        unreachable!("this head is well-formed")
    };
    let mut decoder = BodyDecoder::new(&request, BODY_BYTES_MAX);
    assert_eq!(decoder.push(&stream), Ok(stream.len()));
    assert!(decoder.is_done());
    assert_eq!(decoder.into_body(), body);
}
