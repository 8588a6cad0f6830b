//! A stream divided into parts of one size. Nothing is copied or held: the pieces are the input's own bytes.

/// Bytes of one part, as far as they came at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Piece<'a> {
    /// The number of the part, from 0.
    pub part: u64,
    /// The next of its bytes.
    pub bytes: &'a [u8],
    /// Whether the part ends with them. The stream's last part may be shorter, and ends with the stream.
    pub ends: bool,
}

/// Divides by size.
#[derive(Clone, Debug)]
pub struct Slices {
    part_bytes: u64,
    part: u64,
    missing: u64,
}

impl Slices {
    /// Into parts of this many bytes, at least 1.
    #[must_use]
    pub fn new(part_bytes: u64) -> Self {
        let part_bytes = part_bytes.max(1);
        Self {
            part_bytes,
            part: 0,
            missing: part_bytes,
        }
    }

    /// The next piece of the input, which is shortened by it; `None` when the input is empty.
    pub fn next<'a>(&mut self, input: &mut &'a [u8]) -> Option<Piece<'a>> {
        if input.is_empty() {
            return None;
        }
        let bytes = self.missing.min(input.len() as u64) as usize;
        let (bytes, rest) = input.split_at(bytes);
        *input = rest;
        self.missing -= bytes.len() as u64;
        let (part, ends) = (self.part, self.missing == 0);
        if ends {
            self.part += 1;
            self.missing = self.part_bytes;
        }
        Some(Piece { part, bytes, ends })
    }

    /// Whether a part has begun that is not full: the stream's last one, if it ends here.
    #[must_use]
    pub const fn is_within(&self) -> bool {
        self.missing < self.part_bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parts(part_bytes: u64, chunks: &[&[u8]]) -> Vec<Vec<u8>> {
        let (mut slices, mut parts) = (Slices::new(part_bytes), vec![]);
        let part_bytes = part_bytes.max(1);
        for mut chunk in chunks.iter().copied() {
            while let Some(piece) = slices.next(&mut chunk) {
                parts.resize(piece.part as usize + 1, Vec::new());
                parts[piece.part as usize].extend_from_slice(piece.bytes);
                assert_eq!(
                    piece.ends,
                    parts[piece.part as usize].len() as u64 == part_bytes
                );
            }
        }
        let full = parts.iter().all(|part| part.len() as u64 == part_bytes);
        assert_eq!(slices.is_within(), !full);
        parts
    }

    #[test]
    fn parts_have_their_size_wherever_chunks_end() {
        let whole = parts(4, &[b"abcdefghij"]);
        assert_eq!(whole, [&b"abcd"[..], b"efgh", b"ij"]);
        assert_eq!(parts(4, &[b"a", b"bcde", b"", b"fghij"]), whole);
        assert_eq!(parts(4, &[b"abcd"]), [b"abcd"]);
        assert_eq!(parts(0, &[b"ab"]).len(), 2);
    }
}
