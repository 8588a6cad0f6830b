//! The framing of a chunked body, as much as is needed to find its end (RFC 9112, section 7.1).

/// Bytes of a chunk's line.
const LINE_BYTES_MAX: usize = 64;

/// What is expected next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Next {
    /// The line with a chunk's size.
    Size,
    /// So many bytes of a chunk and its end of line.
    Data(u64),
    /// The empty line behind the last chunk. Trailers are not looked for.
    End,
}

/// A body that is under way.
#[derive(Debug)]
pub(super) struct Chunks {
    next: Next,
    line: Vec<u8>,
}

/// What bytes of it were.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Taken {
    /// Bytes of the body.
    pub(super) body_bytes: usize,
    pub(super) is_whole: bool,
}

impl Chunks {
    pub(super) const fn new() -> Self {
        Self {
            next: Next::Size,
            line: Vec::new(),
        }
    }

    /// Takes what came.
    ///
    /// # Errors
    /// It is no chunked body, or goes on behind its end.
    pub(super) fn take(&mut self, mut bytes: &[u8]) -> Result<Taken, String> {
        let mut body_bytes = 0;
        while !bytes.is_empty() {
            if let Next::Data(left) = self.next {
                let count = bytes.len().min(usize::try_from(left).unwrap_or(usize::MAX));
                // The last two are the end of line.
                body_bytes += count.min(left.saturating_sub(2) as usize);
                bytes = &bytes[count..];
                self.next = match left - count as u64 {
                    0 => Next::Size,
                    left => Next::Data(left),
                };
                continue;
            }
            self.line.push(bytes[0]);
            bytes = &bytes[1..];
            if !self.line.ends_with(b"\r\n") {
                self.has_room()?;
                continue;
            }
            if self.next == Next::End {
                let is_end = bytes.is_empty() && self.line == b"\r\n";
                return is_end
                    .then_some(Taken {
                        body_bytes,
                        is_whole: true,
                    })
                    .ok_or_else(|| "bytes behind the last chunk".to_owned());
            }
            self.begin_chunk()?;
        }
        Ok(Taken {
            body_bytes,
            is_whole: false,
        })
    }

    fn has_room(&self) -> Result<(), String> {
        let is_short = self.line.len() < LINE_BYTES_MAX;
        is_short
            .then_some(())
            .ok_or_else(|| "a chunk's line without an end".to_owned())
    }

    fn begin_chunk(&mut self) -> Result<(), String> {
        let line = core::str::from_utf8(&self.line).unwrap_or_default();
        let size = u64::from_str_radix(line.trim_end(), 16);
        let size = size.map_err(|_| format!("no size of a chunk: {line:?}"))?;
        self.line.clear();
        self.next = match size {
            0 => Next::End,
            size => Next::Data(size.saturating_add(2)),
        };
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BODY: &[u8] = b"5\r\nhello\r\n1a\r\nabcdefghijklmnopqrstuvwxyz\r\n0\r\n\r\n";

    #[test]
    fn a_body_is_counted_however_it_comes() {
        for piece in 1..=BODY.len() {
            let mut chunks = Chunks::new();
            let taken = BODY.chunks(piece).map(|bytes| chunks.take(bytes).unwrap());
            let taken: Vec<Taken> = taken.collect();
            let (last, others) = taken.split_last().unwrap();
            assert!(last.is_whole && others.iter().all(|one| !one.is_whole));
            let bytes = taken.iter().map(|one| one.body_bytes);
            assert_eq!(bytes.sum::<usize>(), 31, "{piece}");
        }
    }

    #[test]
    fn what_is_no_chunked_body_is_an_error() {
        let long = vec![b'1'; LINE_BYTES_MAX + 1];
        let bad: [&[u8]; 4] = [b"x\r\n", b"\r\n", b"0\r\n\r\nmore", &long];
        for bytes in bad {
            assert!(Chunks::new().take(bytes).is_err(), "{bytes:?}");
        }
    }
}
