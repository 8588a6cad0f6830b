//! A stream divided into lines of a bounded length.

use crate::StreamError;

/// Divides by line feeds. A line that came in one chunk is lent from it, others are put together first.
///
/// A line ends with `\n`, or with `\r\n`; neither is part of it. What stands behind the last `\n` is a line if it is not empty. Any bytes are a line: who wants text checks it.
#[derive(Debug)]
pub struct Lines {
    line_bytes_max: usize,
    /// The beginning of a line, or the line that was lent last.
    held: Vec<u8>,
    lent: bool,
    failed: bool,
}

impl Lines {
    /// Of at most so many bytes, with what ends them not counted.
    #[must_use]
    pub const fn new(line_bytes_max: usize) -> Self {
        Self {
            line_bytes_max,
            held: Vec::new(),
            lent: false,
            failed: false,
        }
    }

    /// The next line of the input, which is shortened by it; `None` when all of it is used up.
    ///
    /// # Errors
    /// [`StreamError::LineTooLong`], from then on for ever.
    pub fn next<'line, 'input: 'line>(
        &'line mut self,
        input: &mut &'input [u8],
    ) -> Result<Option<&'line [u8]>, StreamError> {
        self.begin()?;
        let Some(end) = input.iter().position(|byte| *byte == b'\n') else {
            // The `\r` of an ending may stand behind the longest line.
            self.hold(input)?;
            *input = &[];
            return Ok(None);
        };
        let (line, rest) = (&input[..end], &input[end + 1..]);
        *input = rest;
        if self.held.is_empty() {
            return self.judged(line).map(Some);
        }
        self.hold(line)?;
        self.lent = true;
        self.judge(trimmed(&self.held).len())?;
        Ok(Some(trimmed(&self.held)))
    }

    /// The last line, if the stream does not end with a line feed.
    ///
    /// # Errors
    /// As [`Lines::next`].
    pub fn finish(&mut self) -> Result<Option<&[u8]>, StreamError> {
        self.begin()?;
        self.judge(self.held.len())?;
        self.lent = true;
        Ok((!self.held.is_empty()).then_some(&self.held))
    }

    /// The most memory that it ever owns.
    #[must_use]
    pub const fn memory_bytes_max(&self) -> usize {
        2 * self.line_bytes_max + 16
    }

    fn begin(&mut self) -> Result<(), StreamError> {
        if core::mem::take(&mut self.lent) {
            self.held.clear();
        }
        match self.failed {
            true => Err(self.too_long()),
            false => Ok(()),
        }
    }

    const fn too_long(&self) -> StreamError {
        StreamError::LineTooLong {
            bytes_max: self.line_bytes_max,
        }
    }

    fn judge(&mut self, bytes: usize) -> Result<(), StreamError> {
        self.failed |= bytes > self.line_bytes_max;
        match self.failed {
            true => Err(self.too_long()),
            false => Ok(()),
        }
    }

    fn judged<'a>(&mut self, line: &'a [u8]) -> Result<&'a [u8], StreamError> {
        let line = trimmed(line);
        self.judge(line.len())?;
        Ok(line)
    }

    /// Puts bytes to the beginning that is held, of which one may be a `\r` that does not count.
    fn hold(&mut self, bytes: &[u8]) -> Result<(), StreamError> {
        let total = self.held.len() + bytes.len();
        let ending = bytes.last().or_else(|| self.held.last()) == Some(&b'\r');
        self.judge(total - usize::from(ending && total > 0))?;
        self.held.extend_from_slice(bytes);
        Ok(())
    }
}

/// Without the `\r` of its ending.
fn trimmed(line: &[u8]) -> &[u8] {
    line.strip_suffix(b"\r").unwrap_or(line)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(max: usize, chunks: &[&[u8]]) -> Result<Vec<Vec<u8>>, StreamError> {
        let (mut lines, mut found) = (Lines::new(max), vec![]);
        for mut chunk in chunks.iter().copied() {
            while let Some(line) = lines.next(&mut chunk)? {
                found.push(line.to_vec());
            }
            assert!(lines.held.capacity() <= lines.memory_bytes_max());
        }
        found.extend(lines.finish()?.map(<[u8]>::to_vec));
        Ok(found)
    }

    /// The same whole, byte by byte, and at each cut in two.
    #[track_caller]
    fn check(max: usize, input: &[u8], expected: &Result<Vec<Vec<u8>>, StreamError>) {
        assert_eq!(lines(max, &[input]), *expected);
        assert_eq!(lines(max, &input.chunks(1).collect::<Vec<_>>()), *expected);
        for cut in 0..=input.len() {
            let (head, tail) = input.split_at(cut);
            assert_eq!(lines(max, &[head, tail]), *expected, "cut at {cut}");
        }
    }

    #[test]
    fn lines_are_the_same_wherever_chunks_end() {
        let said = |lines: &[&str]| Ok(lines.iter().map(|line| line.as_bytes().to_vec()).collect());
        check(9, b"", &said(&[]));
        check(9, b"a\nbc\r\n\n\r\nd", &said(&["a", "bc", "", "", "d"]));
        check(3, b"abc\r\nabc", &said(&["abc", "abc"]));
        check(9, b"a\rb\n", &said(&["a\rb"]));
        check(0, b"\n\r\n", &said(&["", ""]));
    }

    #[test]
    fn a_line_too_long_is_refused() {
        let refused = Err(StreamError::LineTooLong { bytes_max: 3 });
        check(3, b"abcd\n", &refused);
        check(3, b"abcd", &refused);
        check(3, b"ab\n\nabcd\r\nx\n", &refused);
        let mut lines = Lines::new(3);
        assert!(lines.next(&mut &b"abcdef"[..]).is_err());
        assert!(lines.next(&mut &b"\nab\n"[..]).is_err(), "it stays so");
        assert!(lines.finish().is_err());
    }
}
