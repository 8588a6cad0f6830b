//! Text cut at a byte.

use memchr::memchr;

/// What stands between the separators, as `str::split` gives it: heads are cut often, and their pieces are short.
pub(super) fn pieces(text: &str, separator: u8) -> impl Iterator<Item = &str> {
    debug_assert!(separator.is_ascii(), "no part of a character");
    let mut rest = Some(text);
    core::iter::from_fn(move || {
        let (piece, behind) = cut(rest?, separator);
        rest = behind;
        Some(piece)
    })
}

/// What stands before the first separator, and what behind it.
pub(super) fn cut(text: &str, separator: u8) -> (&str, Option<&str>) {
    match memchr(separator, text.as_bytes()) {
        Some(at) => (&text[..at], Some(&text[at + 1..])),
        None => (text, None),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pieces_are_those_of_split() {
        for text in ["", "&", "a", "a&", "&a", "a&b&&c", "\u{e9}&\u{1f600}&"] {
            assert!(pieces(text, b'&').eq(text.split('&')), "{text}");
            assert_eq!(cut(text, b'&').1, text.split_once('&').map(|it| it.1));
        }
    }
}
