//! The header lines of one head, in one piece: two allocations for all of them, and not two for each.

use super::HttpError;
use serde::{Deserialize, Serialize};

/// Names in lower case, and values, in the order in which they came.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Headers {
    /// Each name with its value right behind it.
    text: String,
    lines: Vec<Line>,
}

/// Where a line stands in the text. A head has no more bytes than a `u32` counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Line {
    start: u32,
    name_end: u32,
    end: u32,
}

impl Headers {
    pub(super) fn from_parsed(parsed: &[httparse::Header<'_>]) -> Result<Self, HttpError> {
        let bytes = |header: &httparse::Header<'_>| header.name.len() + header.value.len();
        let mut headers = Self {
            text: String::with_capacity(parsed.iter().map(bytes).sum()),
            lines: Vec::with_capacity(parsed.len()),
        };
        for header in parsed {
            headers.push(header)?;
        }
        Ok(headers)
    }

    fn push(&mut self, header: &httparse::Header<'_>) -> Result<(), HttpError> {
        let value = core::str::from_utf8(header.value).map_err(|_| HttpError::BadRequest)?;
        let start = self.text.len();
        self.text.push_str(header.name);
        self.text[start..].make_ascii_lowercase();
        let name_end = self.text.len();
        // RFC 9110 §5.5: spaces and tabs only; other white space is part of the value, as it is for whoever reads it before us.
        self.text.push_str(value.trim_matches([' ', '\t']));
        self.lines.push(Line {
            start: start as u32,
            name_end: name_end as u32,
            end: self.text.len() as u32,
        });
        Ok(())
    }

    /// All names and values.
    pub(super) fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        let line = |line: &Line| (self.name(*line), self.value(*line));
        self.lines.iter().map(line)
    }

    /// The values of that name.
    pub(super) fn named(&self, name: &str) -> impl Iterator<Item = &str> {
        // Nearly all lines have names of another length: their text is not looked at.
        let is_named =
            move |line: &&Line| line.name_bytes() == name.len() && self.name(**line) == name;
        let lines = self.lines.iter().filter(is_named);
        lines.map(|line| self.value(*line))
    }

    fn name(&self, line: Line) -> &str {
        &self.text[line.start as usize..line.name_end as usize]
    }

    fn value(&self, line: Line) -> &str {
        &self.text[line.name_end as usize..line.end as usize]
    }
}

impl Line {
    const fn name_bytes(self) -> usize {
        (self.name_end - self.start) as usize
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(lines: &[(&str, &[u8])]) -> Result<Vec<(String, String)>, HttpError> {
        let parsed = lines
            .iter()
            .map(|&(name, value)| httparse::Header { name, value });
        let headers = Headers::from_parsed(&parsed.collect::<Vec<_>>())?;
        let owned = |(name, value): (&str, &str)| (name.to_owned(), value.to_owned());
        for (name, _) in headers.iter() {
            let all = headers.iter().filter(|(other, _)| *other == name);
            assert!(
                headers.named(name).eq(all.map(|(_, value)| value)),
                "{name}"
            );
        }
        assert_eq!(headers.named("absent").next(), None);
        Ok(headers.iter().map(owned).collect())
    }

    #[track_caller]
    fn check(lines: &[(&str, &[u8])], expected: &[(&str, &str)]) {
        let parsed = parse(lines).unwrap();
        let parsed = parsed.iter().map(|(name, value)| (&**name, &**value));
        assert!(parsed.eq(expected.iter().copied()));
    }

    #[test]
    fn lines_stay_apart_and_in_order() {
        check(&[], &[]);
        check(
            &[
                ("Host", b"x"),
                ("A", b""),
                ("Hos", b"tx"),
                ("a", "\u{e9}".as_bytes()),
                ("B", b"\t y z "),
            ],
            &[
                ("host", "x"),
                ("a", ""),
                ("hos", "tx"),
                ("a", "\u{e9}"),
                ("b", "y z"),
            ],
        );
    }

    #[test]
    fn rfc9110_5_5_other_white_space_is_part_of_the_value() {
        check(&[("A", " \u{a0}x ".as_bytes())], &[("a", "\u{a0}x")]);
    }

    #[test]
    fn values_are_text() {
        assert_eq!(parse(&[("A", b"\xff")]), Err(HttpError::BadRequest));
    }
}
