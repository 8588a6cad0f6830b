//! What rooms and namespaces may be called, by clients and by operators.

use crate::native::NAMESPACE_BYTES_MAX;

/// The longest name of a room.
const ROOM_BYTES_MAX: usize = 256;

/// Whether a room may be called that: 1 to [`ROOM_BYTES_MAX`] bytes without control characters.
#[must_use]
pub fn is_room_name(name: &str) -> bool {
    (1..=ROOM_BYTES_MAX).contains(&name.len()) && !name.chars().any(char::is_control)
}

/// Whether a client could join a namespace of that name: a slash first, and nothing that ends a name in a packet.
#[must_use]
pub fn is_namespace_name(name: &str) -> bool {
    let ends_early = |character: char| character.is_control() || matches!(character, ',' | '?');
    name.starts_with('/')
        && name.len() <= usize::from(NAMESPACE_BYTES_MAX)
        && !name.chars().any(ends_early)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rooms_are_named() {
        let (longest, longer) = ("x".repeat(ROOM_BYTES_MAX), "x".repeat(ROOM_BYTES_MAX + 1));
        for (name, expected) in [
            ("a", true),
            (" ", true),
            ("löbby ✓", true),
            (longest.as_str(), true),
            (longer.as_str(), false),
            ("", false),
            ("a\0b", false),
            ("a\u{85}", false),
        ] {
            assert_eq!(is_room_name(name), expected, "{name:?}");
        }
    }

    #[test]
    fn namespaces_are_named() {
        let longer = format!("/{}", "x".repeat(usize::from(NAMESPACE_BYTES_MAX)));
        for (name, expected) in [
            ("/", true),
            ("/orders", true),
            ("", false),
            ("orders", false),
            ("/a,b", false),
            ("/a?b", false),
            ("/a\nb", false),
            (longer.as_str(), false),
        ] {
            assert_eq!(is_namespace_name(name), expected, "{name:?}");
        }
    }
}
