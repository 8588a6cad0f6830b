//! Content-Disposition for files that are to be saved, not shown (RFC 6266, RFC 8187).
//!
//! Deliberately absent: `inline`, which is what no header says.

use ringway_proto::http1::escape_query;

/// Bytes of a name; longer ones lose their beginning, so that what they end in stays.
const NAME_BYTES_MAX: usize = 200;

/// The header's value: the name twice when it is not plain, for clients that know RFC 8187 and for those that do not.
///
/// Whatever `name` is, the value is visible ASCII without a line break, and the name has no folder in it.
pub(super) fn attachment(name: &str) -> String {
    let name = tamed(name);
    if name.is_empty() {
        return "attachment".to_owned();
    }
    let fallback: String = name.chars().map(plain).collect();
    if fallback == name {
        return format!("attachment; filename=\"{name}\"");
    }
    let extended = escape_query(&name);
    format!("attachment; filename=\"{fallback}\"; filename*=UTF-8''{extended}")
}

/// RFC 6266 §4.3: no path, nothing that ends the header, and no dot in front, which hides a file.
fn tamed(name: &str) -> String {
    let last = name.rsplit(['/', '\\']).next().unwrap_or_default();
    let shown = last.chars().filter(|character| !is_unseen(*character));
    let shown: String = shown.collect();
    let shown = shown.trim().trim_start_matches('.');
    let mut start = shown.len().saturating_sub(NAME_BYTES_MAX);
    while !shown.is_char_boundary(start) {
        start += 1;
    }
    shown[start..].to_owned()
}

/// Control characters, and those that turn the direction of text: `gpj.exe` is not to look like `exe.jpg`.
fn is_unseen(character: char) -> bool {
    character.is_control()
        || matches!(character, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

/// Quotes, backslashes and percent signs are read differently by everybody (RFC 6266 appendix D).
const fn plain(character: char) -> char {
    match character {
        '"' | '\\' | '%' => '_',
        ' '..='~' => character,
        _ => '_',
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(name: &str, value: &str) {
        assert_eq!(attachment(name), value);
    }

    #[test]
    fn rfc6266_4_3_names() {
        check("a.txt", "attachment; filename=\"a.txt\"");
        check("", "attachment");
        check("../../etc/passwd", "attachment; filename=\"passwd\"");
        check("C:\\a\\b.txt", "attachment; filename=\"b.txt\"");
        check(".bashrc", "attachment; filename=\"bashrc\"");
        check("a/", "attachment");
    }

    #[test]
    fn rfc8187_names_beyond_ascii_come_twice() {
        check(
            "naïve € rates.txt",
            "attachment; filename=\"na_ve _ rates.txt\"; filename*=UTF-8''na%C3%AFve%20%E2%82%AC%20rates.txt",
        );
        check(
            "100%.txt",
            "attachment; filename=\"100_.txt\"; filename*=UTF-8''100%25.txt",
        );
    }

    #[test]
    fn a_name_ends_no_header() {
        check(
            "a\r\nSet-Cookie: b",
            "attachment; filename=\"aSet-Cookie: b\"",
        );
        check(
            "a\"; filename=\"b",
            "attachment; filename=\"a_; filename=_b\"; filename*=UTF-8''a%22%3B%20filename%3D%22b",
        );
        check("a\u{202e}gpj.exe", "attachment; filename=\"agpj.exe\"");
    }

    #[test]
    fn a_long_name_keeps_its_end() {
        let value = attachment(&format!("{}.txt", "é".repeat(300)));
        assert!(value.ends_with("%A9.txt") && value.len() < 1000, "{value}");
    }
}
