//! Frames in, messages out, wherever the stream is cut.

use super::utf8::Utf8Check;
use super::{Opcode, WsError, deflate, unmask};
use serde::{Deserialize, Serialize};

/// What a peer may send at most.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bounds {
    /// Payload bytes of one message, inflated.
    pub message_bytes_max: u32,
    /// Frames of one message.
    pub fragments_max: u32,
    /// permessage-deflate was agreed: messages may be compressed.
    pub deflate: bool,
}

/// What came in.
#[derive(Debug, PartialEq, Eq)]
pub enum Event<'a> {
    /// A whole text message.
    Text(&'a str),
    /// A whole binary message.
    Binary(&'a [u8]),
    /// To be answered by a pong with the same bytes.
    Ping(&'a [u8]),
    /// An answer, or unsolicited.
    Pong(&'a [u8]),
    /// To be answered by a close; nothing follows.
    Close {
        /// The peer's code, if any.
        code: Option<u16>,
    },
}

/// A frame header that was read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Frame {
    opcode: u8,
    fin: bool,
    rsv1: bool,
    mask: [u8; 4],
    payload_len: u64,
    payload_seen: u64,
}

/// What is kept between pieces of the stream; absent while the connection idles.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
struct Partial {
    header: Vec<u8>,
    frame: Option<Frame>,
    control: Vec<u8>,
    message: Vec<u8>,
    message_opcode: u8,
    compressed: bool,
    fragments: u32,
    utf8: Utf8Check,
}

impl Partial {
    const fn is_idle(&self) -> bool {
        self.header.is_empty() && self.frame.is_none() && self.message_opcode == 0
    }
}

/// Turns a client's byte stream into events. After an error, or a close, nothing more may be pushed.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Decoder {
    partial: Option<Box<Partial>>,
}

impl Decoder {
    /// A decoder at the beginning of a stream. What it may take is said with each piece: an idle one is a pointer.
    #[must_use]
    pub const fn new() -> Self {
        Self { partial: None }
    }

    /// Whether nothing is kept: it is between two messages.
    #[must_use]
    pub const fn is_idle(&self) -> bool {
        self.partial.is_none()
    }

    /// Bytes of an unfinished message that are kept.
    #[must_use]
    pub fn kept_bytes(&self) -> usize {
        let kept = self.partial.as_ref();
        kept.map_or(0, |partial| partial.message.len() + partial.control.len())
    }

    /// Takes the next bytes, unmasks them in place, and calls `sink` for each event in order. `sink` gives `false` to stop: the rest is
    /// ignored.
    ///
    /// # Errors
    /// [`WsError`]: the peer misbehaved; events before it have been given.
    pub fn push(
        &mut self,
        mut bytes: &mut [u8],
        bounds: &Bounds,
        sink: &mut impl FnMut(Event<'_>) -> bool,
    ) -> Result<(), WsError> {
        let kept = self.partial.take();
        // Most receives bring whole messages: nothing of them is ever kept, and nothing is allocated.
        let mut partial = kept.map_or_else(Partial::default, |partial| *partial);
        while !bytes.is_empty() {
            if partial.frame.is_none() {
                let taken = partial.take_header(bytes, bounds)?;
                bytes = &mut bytes[taken..];
                if partial.frame.is_some_and(|frame| frame.payload_len == 0)
                    && !partial.finish_frame(&[], bounds, sink)?
                {
                    return Ok(());
                }
                continue;
            }
            let taken = partial.payload_len_within(bytes);
            let (payload, rest) = bytes.split_at_mut(taken);
            if !partial.take_payload(payload, bounds, sink)? {
                return Ok(());
            }
            bytes = rest;
        }
        if !partial.is_idle() {
            self.partial = Some(Box::new(partial));
        }
        Ok(())
    }
}

/// How long the header is that starts with these two bytes (RFC 6455 §5.2).
const fn header_len(second: u8) -> usize {
    let length = match second & 0x7f {
        126 => 4,
        127 => 10,
        _ => 2,
    };
    length + 4
}

/// The header at the beginning, if it is whole, as it nearly always is.
fn whole_header(bytes: &[u8]) -> Option<&[u8]> {
    bytes.get(..header_len(*bytes.get(1)?))
}

impl Partial {
    /// Takes header bytes; the frame is set when the header is whole. Faults are found at the earliest byte.
    fn take_header(&mut self, bytes: &[u8], bounds: &Bounds) -> Result<usize, WsError> {
        if self.header.is_empty()
            && let Some(header) = whole_header(bytes)
        {
            self.check_start(header, bounds.deflate)?;
            self.start_frame(header, bounds)?;
            return Ok(header.len());
        }
        self.take_header_in_pieces(bytes, bounds)
    }

    #[cold]
    fn take_header_in_pieces(&mut self, bytes: &[u8], bounds: &Bounds) -> Result<usize, WsError> {
        let mut taken = 0;
        loop {
            let needed = self.header.get(1).map_or(2, |second| header_len(*second));
            let missing = needed - self.header.len();
            let piece = &bytes[taken..bytes.len().min(taken + missing)];
            self.header.extend_from_slice(piece);
            taken += piece.len();
            self.check_start(&self.header, bounds.deflate)?;
            if piece.len() < missing {
                return Ok(taken);
            }
            if needed > 2 {
                let header = core::mem::take(&mut self.header);
                self.start_frame(&header, bounds)?;
                return Ok(taken);
            }
        }
    }

    /// The faults of a header of which this much is there.
    fn check_start(&self, header: &[u8], deflate: bool) -> Result<(), WsError> {
        let Some(&first) = header.first() else {
            return Ok(());
        };
        let opcode = Opcode::from_bits(first & 0xf).ok_or(WsError::ReservedOpcode)?;
        // RFC 7692 §6.1: only the first frame of a message carries the bit.
        let rsv1_allowed = deflate && matches!(opcode, Opcode::Text | Opcode::Binary);
        if first & 0x30 != 0 || (first & 0x40 != 0 && !rsv1_allowed) {
            return Err(WsError::ReservedBits);
        }
        let Some(&second) = header.get(1) else {
            return Ok(());
        };
        // RFC 6455 §5.1: a server closes the connection on an unmasked frame.
        if second & 0x80 == 0 {
            return Err(WsError::Unmasked);
        }
        // RFC 6455 §5.5.
        if opcode.is_control() && (first & 0x80 == 0 || second & 0x7f > 125) {
            return Err(WsError::ControlFrame);
        }
        // RFC 6455 §5.4.
        let within = self.message_opcode != 0;
        if !opcode.is_control() && within != (opcode == Opcode::Continuation) {
            return Err(WsError::Fragmentation);
        }
        Ok(())
    }

    fn start_frame(&mut self, header: &[u8], bounds: &Bounds) -> Result<(), WsError> {
        let (first, second) = (header[0], header[1] & 0x7f);
        let payload_len = match second {
            126 => u64::from(u16::from_be_bytes([header[2], header[3]])),
            127 => header[2..10]
                .iter()
                .fold(0, |length, byte| length << 8 | u64::from(*byte)),
            short => u64::from(short),
        };
        // RFC 6455 §5.2: the minimal number of bytes, and the highest bit is zero.
        let minimal = match second {
            126 => payload_len > 125,
            127 => payload_len > 0xffff && payload_len >> 63 == 0,
            _ => true,
        };
        if !minimal {
            return Err(WsError::Length);
        }
        let mut mask = [0; 4];
        mask.copy_from_slice(&header[header.len() - 4..]);
        let opcode = first & 0xf;
        if opcode < 8 {
            if self.message.len() as u64 + payload_len > u64::from(bounds.message_bytes_max) {
                return Err(WsError::MessageTooLarge);
            }
            self.fragments += 1;
            if self.fragments > bounds.fragments_max {
                return Err(WsError::TooManyFragments);
            }
            if opcode != 0 {
                self.message_opcode = opcode;
                self.compressed = first & 0x40 != 0;
            }
        }
        self.frame = Some(Frame {
            opcode,
            fin: first & 0x80 != 0,
            rsv1: first & 0x40 != 0,
            mask,
            payload_len,
            payload_seen: 0,
        });
        Ok(())
    }

    fn payload_len_within(&self, bytes: &[u8]) -> usize {
        let missing = self
            .frame
            .map_or(0, |frame| frame.payload_len - frame.payload_seen);
        bytes
            .len()
            .min(usize::try_from(missing).unwrap_or(usize::MAX))
    }

    fn take_payload(
        &mut self,
        payload: &mut [u8],
        bounds: &Bounds,
        sink: &mut impl FnMut(Event<'_>) -> bool,
    ) -> Result<bool, WsError> {
        let Some(frame) = &mut self.frame else {
            return Ok(true);
        };
        unmask(payload, frame.mask, frame.payload_seen as usize);
        frame.payload_seen += payload.len() as u64;
        let (opcode, done) = (frame.opcode, frame.payload_seen == frame.payload_len);
        // RFC 6455 §8.1: fail as early as the first wrong byte.
        if opcode < 8
            && self.message_opcode == Opcode::Text as u8
            && !self.compressed
            && !self.utf8.push(payload)
        {
            return Err(WsError::Utf8);
        }
        if done {
            return self.finish_frame(payload, bounds, sink);
        }
        if opcode >= 8 {
            self.control.extend_from_slice(payload)
        } else {
            self.message.extend_from_slice(payload)
        }
        Ok(true)
    }

    /// The frame is whole; its last bytes are `payload`, what came before was kept.
    fn finish_frame(
        &mut self,
        payload: &[u8],
        bounds: &Bounds,
        sink: &mut impl FnMut(Event<'_>) -> bool,
    ) -> Result<bool, WsError> {
        let Some(frame) = self.frame.take() else {
            return Ok(true);
        };
        if frame.opcode >= 8 {
            let kept = core::mem::take(&mut self.control);
            let joined = if kept.is_empty() {
                None
            } else {
                Some([&kept[..], payload].concat())
            };
            return finish_control(frame.opcode, joined.as_deref().unwrap_or(payload), sink);
        }
        if !frame.fin {
            self.message.extend_from_slice(payload);
            return Ok(true);
        }
        let kept = core::mem::take(&mut self.message);
        let joined = if kept.is_empty() {
            None
        } else {
            Some([kept.as_slice(), payload].concat())
        };
        self.finish_message(joined.as_deref().unwrap_or(payload), bounds, sink)
    }

    fn finish_message(
        &mut self,
        message: &[u8],
        bounds: &Bounds,
        sink: &mut impl FnMut(Event<'_>) -> bool,
    ) -> Result<bool, WsError> {
        let text = core::mem::take(&mut self.message_opcode) == Opcode::Text as u8;
        let utf8 = core::mem::take(&mut self.utf8);
        self.fragments = 0;
        let inflated;
        let message = if core::mem::take(&mut self.compressed) {
            inflated = deflate::inflate(message, bounds.message_bytes_max as usize)?;
            &inflated
        } else {
            message
        };
        if !text {
            return Ok(sink(Event::Binary(message)));
        }
        if !utf8.is_complete() {
            return Err(WsError::Utf8);
        }
        simdutf8::basic::from_utf8(message)
            .map_or(Err(WsError::Utf8), |text| Ok(sink(Event::Text(text))))
    }
}

fn finish_control(
    opcode: u8,
    payload: &[u8],
    sink: &mut impl FnMut(Event<'_>) -> bool,
) -> Result<bool, WsError> {
    match opcode {
        9 => Ok(sink(Event::Ping(payload))),
        10 => Ok(sink(Event::Pong(payload))),
        _ => {
            let code = close_code(payload)?;
            sink(Event::Close { code });
            Ok(false)
        }
    }
}

/// RFC 6455 §5.5.1 and §7.4.
fn close_code(payload: &[u8]) -> Result<Option<u16>, WsError> {
    match payload {
        [] => Ok(None),
        [_] => Err(WsError::CloseCode),
        [high, low, reason @ ..] => {
            let code = u16::from_be_bytes([*high, *low]);
            if !matches!(code, 1000..=1003 | 1007..=1014 | 3000..=4999) {
                return Err(WsError::CloseCode);
            }
            simdutf8::basic::from_utf8(reason).map_or(Err(WsError::Utf8), |_| Ok(Some(code)))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BOUNDS: Bounds = Bounds {
        message_bytes_max: 1000,
        fragments_max: 8,
        deflate: false,
    };

    fn masked(first: u8, payload: &[u8]) -> Vec<u8> {
        let mut out = Vec::new();
        super::super::encode_header(Opcode::Text, true, false, payload.len() as u64, &mut out);
        out[0] = first;
        out[1] |= 0x80;
        out.extend_from_slice(&[1, 2, 3, 4]);
        let mut payload = payload.to_vec();
        unmask(&mut payload, [1, 2, 3, 4], 0);
        out.extend_from_slice(&payload);
        out
    }

    fn run(pieces: &[&[u8]], deflate: bool) -> (Vec<String>, Option<WsError>) {
        let (mut decoder, mut events) = (Decoder::new(), Vec::new());
        let bounds = Bounds { deflate, ..BOUNDS };
        for piece in pieces {
            let mut closed = false;
            let result = decoder.push(&mut piece.to_vec(), &bounds, &mut |event| {
                closed = matches!(event, Event::Close { .. });
                events.push(format!("{event:?}"));
                true
            });
            if result.is_err() || closed {
                return (events, result.err());
            }
        }
        (events, None)
    }

    /// The same result wherever the stream is cut in two, and byte by byte.
    #[track_caller]
    fn check(stream: &[u8], deflate: bool, events: &[&str], error: Option<WsError>) {
        let expected = (
            events
                .iter()
                .map(|event| (*event).to_owned())
                .collect::<Vec<_>>(),
            error,
        );
        assert_eq!(run(&[stream], deflate), expected);
        for cut in 0..=stream.len() {
            assert_eq!(
                run(&[&stream[..cut], &stream[cut..]], deflate),
                expected,
                "cut at {cut}"
            );
        }
        assert_eq!(
            run(&stream.chunks(1).collect::<Vec<_>>(), deflate),
            expected
        );
    }

    #[test]
    fn rfc6455_5_4_fragments_join_around_control_frames() {
        let stream = [
            masked(0x01, b"Hel"),
            masked(0x89, b"?"),
            masked(0x80, b"lo"),
            masked(0x82, &[7]),
        ]
        .concat();
        check(
            &stream,
            false,
            &["Ping([63])", "Text(\"Hello\")", "Binary([7])"],
            None,
        );
    }

    #[test]
    fn rfc6455_5_1_unmasked_frame_closes() {
        check(&[0x81, 0x01, b'x'], false, &[], Some(WsError::Unmasked));
    }

    #[test]
    fn rfc6455_5_2_reserved_bits_and_opcodes_close() {
        for first in [0xc1, 0xa1, 0x91] {
            check(
                &masked(first, b"x"),
                false,
                &[],
                Some(WsError::ReservedBits),
            );
        }
        for first in [0x83, 0x8b, 0x87, 0x8f] {
            check(
                &masked(first, b""),
                false,
                &[],
                Some(WsError::ReservedOpcode),
            );
        }
    }

    #[test]
    fn rfc6455_5_2_lengths_are_minimal() {
        check(
            &[0x81, 0xfe, 0, 5, 0, 0, 0, 0],
            false,
            &[],
            Some(WsError::Length),
        );
        check(
            &[0x81, 0xff, 0x80, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0],
            false,
            &[],
            Some(WsError::Length),
        );
    }

    #[test]
    fn rfc6455_5_4_continuation_of_nothing_and_message_within_message() {
        check(
            &masked(0x80, b"x"),
            false,
            &[],
            Some(WsError::Fragmentation),
        );
        check(
            &[masked(0x01, b"x"), masked(0x81, b"y")].concat(),
            false,
            &[],
            Some(WsError::Fragmentation),
        );
    }

    #[test]
    fn rfc6455_5_5_control_frames_are_short_and_whole() {
        check(&masked(0x09, b"x"), false, &[], Some(WsError::ControlFrame));
        check(
            &masked(0x89, &[0; 126]),
            false,
            &[],
            Some(WsError::ControlFrame),
        );
    }

    #[test]
    fn rfc6455_7_4_close_codes() {
        check(&masked(0x88, b""), false, &["Close { code: None }"], None);
        check(
            &masked(0x88, &[3, 232]),
            false,
            &["Close { code: Some(1000) }"],
            None,
        );
        for code in [0_u16, 999, 1004, 1005, 1006, 1015, 2999, 5000] {
            check(
                &masked(0x88, &code.to_be_bytes()),
                false,
                &[],
                Some(WsError::CloseCode),
            );
        }
        check(&masked(0x88, &[3]), false, &[], Some(WsError::CloseCode));
        check(
            &masked(0x88, &[3, 232, 0xff]),
            false,
            &[],
            Some(WsError::Utf8),
        );
    }

    #[test]
    fn rfc6455_8_1_text_is_utf8_across_fragments() {
        let text = "κόσμε".as_bytes();
        check(
            &[masked(0x01, &text[..3]), masked(0x80, &text[3..])].concat(),
            false,
            &["Text(\"κόσμε\")"],
            None,
        );
        check(
            &[masked(0x01, &[0xce]), masked(0x80, b"")].concat(),
            false,
            &[],
            Some(WsError::Utf8),
        );
        check(
            &masked(0x01, &[0xf4, 0x90]),
            false,
            &[],
            Some(WsError::Utf8),
        );
    }

    #[test]
    fn bounds_hold_before_the_payload_arrives() {
        check(
            &masked(0x81, &[b'x'; 1001])[..8],
            false,
            &[],
            Some(WsError::MessageTooLarge),
        );
        let many: Vec<u8> = (0..9)
            .flat_map(|i| masked(u8::from(i == 0), b"x"))
            .collect();
        check(&many, false, &[], Some(WsError::TooManyFragments));
    }

    #[test]
    fn rfc7692_6_2_deflated_messages_inflate_fragmented_or_not() {
        let small = deflate::compress(b"hello hello hello");
        check(
            &masked(0xc1, &small),
            true,
            &["Text(\"hello hello hello\")"],
            None,
        );
        let (head, tail) = small.split_at(4);
        check(
            &[masked(0x41, head), masked(0x80, tail)].concat(),
            true,
            &["Text(\"hello hello hello\")"],
            None,
        );
        check(
            &masked(0xc2, &deflate::compress(&[0; 2000])),
            true,
            &[],
            Some(WsError::MessageTooLarge),
        );
        check(
            &masked(0xc2, &[0xff, 0xff]),
            true,
            &[],
            Some(WsError::Deflate),
        );
    }
}
