//! Where things are in an encrypted stream: arithmetic on lengths, and nothing of what is in it.

use super::{HEADER_BYTES, PLAINTEXT_BYTES_MAX, SEALED_BYTES, SEGMENT_BYTES, TAG_BYTES};
use crate::StreamError;
use core::ops::Range;

const HEADER: u64 = HEADER_BYTES as u64;
const SEALED: u64 = SEALED_BYTES as u64;
const SEGMENT: u64 = SEGMENT_BYTES as u64;
const TAG: u64 = TAG_BYTES as u64;

/// Where segments of one size are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Grid {
    segment_bytes: u64,
}

impl Default for Grid {
    fn default() -> Self {
        Self::FULL
    }
}

impl Grid {
    /// That of the format.
    const FULL: Self = Self {
        segment_bytes: SEGMENT,
    };

    /// Of smaller segments: a simulation has many of them in little.
    ///
    /// # Panics
    /// For none, or more than the format has.
    #[must_use]
    pub fn of_segments(bytes: usize) -> Self {
        assert!(
            (1..=SEGMENT_BYTES).contains(&bytes),
            "a segment is no longer"
        );
        Self {
            segment_bytes: bytes as u64,
        }
    }

    /// Plaintext of a full segment.
    #[must_use]
    pub const fn segment_bytes(self) -> u64 {
        self.segment_bytes
    }

    /// Bytes of a full one with its tag.
    #[must_use]
    pub const fn sealed_bytes(self) -> u64 {
        self.segment_bytes + TAG
    }

    /// Where a segment begins in the stream.
    #[must_use]
    pub const fn place_of(self, index: u32) -> u64 {
        HEADER + index as u64 * self.sealed_bytes()
    }

    /// The segment that a byte of the plaintext is in.
    #[must_use]
    pub const fn index_of(self, offset: u64) -> u32 {
        (offset / self.segment_bytes) as u32
    }

    /// How many bytes of its segment stand before a byte.
    #[must_use]
    pub const fn rest(self, offset: u64) -> u64 {
        offset % self.segment_bytes
    }

    /// Full segments of a stream of so many bytes.
    #[must_use]
    pub const fn full_segments_of(self, stream_bytes: u64) -> u64 {
        stream_bytes.saturating_sub(HEADER) / self.sealed_bytes()
    }

    /// How long the plaintext of a whole stream is; `None` for a length that no whole one has.
    #[must_use]
    pub const fn plain_bytes(self, stream_bytes: u64) -> Option<u64> {
        let Some(segments) = stream_bytes.checked_sub(HEADER) else {
            return None;
        };
        let full = segments / self.sealed_bytes() * self.segment_bytes;
        match (full, segments % self.sealed_bytes()) {
            (0, 0) => None,
            (_, 0) => Some(full),
            // The only segment may be empty, one behind others never is.
            (0, TAG) => Some(0),
            (_, 0..=TAG) => None,
            (_, rest) => Some(full + rest - TAG),
        }
    }
}

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
        match Grid::FULL.plain_bytes(bytes) {
            Some(plaintext_bytes) if plaintext_bytes <= PLAINTEXT_BYTES_MAX => {
                Ok(Self { plaintext_bytes })
            }
            _ => Err(StreamError::LengthImpossible { bytes }),
        }
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
