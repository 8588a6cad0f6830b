//! JSON values, written without a library's detours.

/// A JSON string with its quotes.
#[must_use]
pub fn quoted(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 2);
    push_quoted(&mut out, text);
    out
}

/// Appends a JSON string with its quotes.
///
/// # Panics
/// Never: strings always serialise.
pub(crate) fn push_quoted(out: &mut String, text: &str) {
    // Ids and codes stand there as they are, and so does nearly everything else.
    if text.bytes().any(is_escaped) {
        out.push_str(&serde_json::to_string(text).expect("strings serialise"));
    } else {
        out.push('"');
        out.push_str(text);
        out.push('"');
    }
}

/// Appends a number's digits.
pub(crate) fn push_number(out: &mut String, number: u32) {
    if number >= 10 {
        push_number(out, number / 10);
    }
    out.push(char::from(b'0' + (number % 10) as u8));
}

/// RFC 8259 §7.
const fn is_escaped(byte: u8) -> bool {
    matches!(byte, 0..=0x1f | b'"' | b'\\')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_have_all_their_digits() {
        for number in [0, 1, 9, 10, 99, 100, 25_000, 1_000_000, u32::MAX] {
            let mut out = "x".to_owned();
            push_number(&mut out, number);
            assert_eq!(out, format!("x{number}"));
        }
    }

    #[test]
    fn every_character_is_written_as_the_library_writes_it() {
        for character in ('\0'..='\u{fff}').chain(['\u{2028}', '\u{ffff}', '\u{1f600}']) {
            for text in [character.to_string(), format!("a{character}b")] {
                assert_eq!(quoted(&text), serde_json::to_string(&text).unwrap());
            }
        }
        assert_eq!(quoted(""), r#""""#);
    }
}
