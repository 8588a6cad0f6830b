//! Where things are in an encrypted stream: arithmetic on lengths, and nothing of what is in it.

use super::{HEADER_BYTES, PLAINTEXT_BYTES_MAX, SEALED_BYTES, SEGMENT_BYTES, TAG_BYTES};
use crate::StreamError;
use core::ops::Range;

const HEADER: u64 = HEADER_BYTES as u64;
const SEALED: u64 = SEALED_BYTES as u64;
const SEGMENT: u64 = SEGMENT_BYTES as u64;
const TAG: u64 = TAG_BYTES as u64;

/// The lengths of one stream.
///
/// They are as true as the length of the file that they came from: only the last segment proves them. Who keeps files where others may cut them reads
/// [`Layout::last`] once before trusting them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Layout {
    plaintext_bytes: u64,
}

/// What to read for a range of the plaintext.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Span {
    /// The part of the ciphertext, from the beginning of its header.
    pub ciphertext: Range<u64>,
    /// The segment that it begins with.
    pub(super) first: u32,
    /// How much of the first segment's plaintext stands before the range.
    pub(super) skip: usize,
    /// How long the range is.
    pub(super) take: u64,
}

impl Layout {
    /// Of a stream that is to be made.
    ///
    /// # Errors
    /// [`StreamError::TooLong`].
    pub const fn of_plaintext(bytes: u64) -> Result<Self, StreamError> {
        if bytes > PLAINTEXT_BYTES_MAX {
            return Err(StreamError::TooLong {
                bytes_max: PLAINTEXT_BYTES_MAX,
            });
        }
        Ok(Self {
            plaintext_bytes: bytes,
        })
    }

    /// Of a stream of this length, header included.
    ///
    /// # Errors
    /// [`StreamError::LengthImpossible`].
    pub const fn of_ciphertext(bytes: u64) -> Result<Self, StreamError> {
        let impossible = StreamError::LengthImpossible { bytes };
        let Some(segments) = bytes.checked_sub(HEADER) else {
            return Err(impossible);
        };
        let (full, rest) = (segments / SEALED, segments % SEALED);
        let plaintext_bytes = match (full, rest) {
            (0, 0) => return Err(impossible),
            (_, 0) => full * SEGMENT,
            // The only segment may be empty, one behind others never is.
            (0, TAG) => 0,
            (_, 0..=TAG) => return Err(impossible),
            (_, rest) => full * SEGMENT + rest - TAG,
        };
        if plaintext_bytes > PLAINTEXT_BYTES_MAX {
            return Err(impossible);
        }
        Ok(Self { plaintext_bytes })
    }

    /// How long the plaintext is.
    #[must_use]
    pub const fn plaintext_bytes(self) -> u64 {
        self.plaintext_bytes
    }

    /// How long the stream is, header included.
    #[must_use]
    pub const fn ciphertext_bytes(self) -> u64 {
        HEADER + self.plaintext_bytes + (self.last_index() as u64 + 1) * TAG
    }

    /// The number of the last segment.
    #[must_use]
    pub const fn last_index(self) -> u32 {
        (self.plaintext_bytes.saturating_sub(1) / SEGMENT) as u32
    }

    /// What to read for this range of the plaintext; `None` if it has no such range. An empty range needs nothing.
    #[must_use]
    pub fn span(self, range: Range<u64>) -> Option<Span> {
        if range.start > range.end || range.end > self.plaintext_bytes {
            return None;
        }
        let first = range.start / SEGMENT;
        let start = HEADER + first * SEALED;
        let end = match range.is_empty() {
            true => start,
            false => HEADER + ((range.end - 1) / SEGMENT + 1) * SEALED,
        };
        Some(Span {
            ciphertext: start..end.min(self.ciphertext_bytes()).max(start),
            first: first as u32,
            skip: (range.start % SEGMENT) as usize,
            take: range.end - range.start,
        })
    }

    /// The last segment, which proves the length: what to read for it.
    #[must_use]
    pub fn last(self) -> Span {
        let first = self.last_index();
        let start = u64::from(first) * SEGMENT;
        Span {
            ciphertext: HEADER + u64::from(first) * SEALED..self.ciphertext_bytes(),
            first,
            skip: 0,
            take: self.plaintext_bytes - start,
        }
    }

    /// How long a segment is with its tag.
    pub(super) fn sealed_bytes(self, segment: u32) -> usize {
        let start = u64::from(segment) * SEGMENT;
        let plaintext = (self.plaintext_bytes - start).min(SEGMENT);
        plaintext as usize + TAG_BYTES
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_say_each_other() {
        let around = |edge: u64| edge.saturating_sub(20)..=edge + 20;
        let edges = [
            0,
            SEGMENT,
            2 * SEGMENT,
            1000 * SEGMENT,
            PLAINTEXT_BYTES_MAX - 20,
        ];
        for bytes in edges.into_iter().flat_map(around) {
            let layout = Layout::of_plaintext(bytes).unwrap();
            assert_eq!(Layout::of_ciphertext(layout.ciphertext_bytes()), Ok(layout));
        }
        assert!(Layout::of_plaintext(PLAINTEXT_BYTES_MAX + 1).is_err());
    }

    #[test]
    fn impossible_lengths_are_refused() {
        let full = HEADER + SEALED;
        let refused = [
            0,
            31,
            HEADER,
            HEADER + 1,
            HEADER + 15,
            full + 1,
            full + 16,
            u64::MAX,
        ];
        for bytes in refused {
            let impossible = Err(StreamError::LengthImpossible { bytes });
            assert_eq!(Layout::of_ciphertext(bytes), impossible);
        }
        for (bytes, plaintext) in [(HEADER + 16, 0), (HEADER + 17, 1), (full, SEGMENT)] {
            let layout = Layout::of_ciphertext(bytes).unwrap();
            assert_eq!(layout.plaintext_bytes(), plaintext);
        }
    }

    #[test]
    fn a_range_needs_its_segments_and_no_more() {
        let layout = Layout::of_plaintext(3 * SEGMENT + 5).unwrap();
        let needs = |range| layout.span(range).unwrap().ciphertext;
        assert_eq!(needs(0..1), HEADER..HEADER + SEALED);
        assert_eq!(
            needs(SEGMENT..SEGMENT + 1),
            HEADER + SEALED..HEADER + 2 * SEALED
        );
        assert_eq!(needs(SEGMENT - 1..SEGMENT + 1), HEADER..HEADER + 2 * SEALED);
        assert_eq!(
            needs(3 * SEGMENT..3 * SEGMENT + 5),
            layout.last().ciphertext
        );
        assert!(needs(7..7).is_empty());
        assert_eq!(layout.span(0..3 * SEGMENT + 6), None);
        let end = 3 * SEGMENT;
        let empty_end = Layout::of_plaintext(end).unwrap();
        assert!(empty_end.span(end..end).unwrap().ciphertext.is_empty());
    }
}
