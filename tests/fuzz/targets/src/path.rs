//! Paths of targets: what is taken stays below its root, and is the same file to whoever reads it again.

use crate::input::{Input, text_of};
use ringway_proto::http1::{PathFault, RelativePath, escape_path, escape_query};

/// A path behind a root's prefix.
pub fn path(data: &[u8]) {
    let text = text_of(Input::new(data).rest());
    match RelativePath::parse(text) {
        Ok(path) => check_taken(text, &path),
        Err(PathFault::TooLong) => assert!(text.len() > 4096),
        Err(PathFault::Malformed) => assert!(
            is_suspicious(text),
            "{text:?} is refused and nothing is wrong with it"
        ),
        Err(PathFault::Hidden) => {
            let is_hidden = |name: &str| {
                let name = name.to_ascii_lowercase();
                name.starts_with('.') || name.starts_with("%2e") || name.len() > 255
            };
            assert!(text.split('/').any(is_hidden), "{text:?}");
        }
    }
    round_trip(text);
}

fn check_taken(text: &str, path: &RelativePath) {
    let joined = path.as_str();
    assert!(joined.len() <= text.len() && !joined.starts_with('/') && !joined.ends_with('/'));
    for name in joined.split('/').filter(|_| !joined.is_empty()) {
        assert!((1..=255).contains(&name.len()), "{text:?}");
        assert!(!name.starts_with('.') && !name.contains('\\'), "{text:?}");
        assert!(!name.bytes().any(|byte| byte < b' ' || byte == 0x7f));
    }
    let slashes = |text: &str| text.bytes().filter(|byte| *byte == b'/').count();
    let last = usize::from(text.ends_with('/'));
    assert_eq!(slashes(joined), slashes(text) - last, "no escape makes one");
    assert_eq!(path.is_directory, text.is_empty() || last == 1);
    // Whoever escapes the names again asks for the same file.
    let slash = if last == 1 { "/" } else { "" };
    let again = RelativePath::parse(&format!("{}{slash}", escape_path(joined)));
    if let Ok(again) = again {
        assert_eq!(&again, path);
    }
}

/// Whether the text has anything at all that may be refused.
fn is_suspicious(text: &str) -> bool {
    let odd = |byte: u8| matches!(byte, b'%' | b'\\' | b'#' | b'?' | 0x7f) || byte < b' ';
    text.bytes().any(odd)
        || text.starts_with('/')
        || text.contains("//")
        || text.split('/').any(|name| matches!(name, "." | ".."))
}

/// Any names that are escaped are read as they were, if they may be.
fn round_trip(text: &str) {
    let names: String = text
        .chars()
        .filter(|it| !it.is_control())
        .take(100)
        .collect();
    let names = names.replace('\\', "");
    let is_plain = names.is_empty()
        || names
            .split('/')
            .all(|name| !name.is_empty() && !name.starts_with('.') && name.len() <= 255);
    let parsed = RelativePath::parse(&escape_path(&names));
    assert_eq!(
        parsed.is_ok_and(|path| path.as_str() == names),
        is_plain,
        "{names:?}"
    );
    assert!(
        escape_query(&names)
            .bytes()
            .all(|byte| byte.is_ascii_graphic() && byte != b'&')
    );
}
