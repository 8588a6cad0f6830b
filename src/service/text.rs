//! Text that stays the same, as it is kept for each client.

use core::fmt;
use core::ops::Deref;
use serde::{Deserialize, Serialize};

/// As much as stands where a pointer to it would, with what tells both apart.
const SHORT_BYTES: usize = 22;

/// A string in 24 bytes. A short one owns no memory: the allocator takes at least 32 bytes for each.
#[derive(Clone, Serialize, Deserialize)]
#[serde(from = "Box<str>", into = "Box<str>")]
pub(crate) struct Text(Form);

#[derive(Clone)]
enum Form {
    Short(u8, [u8; SHORT_BYTES]),
    Long(Box<str>),
}

const _: () = assert!(size_of::<Option<Text>>() <= 24, "each identity has one");

impl From<&str> for Text {
    fn from(text: &str) -> Self {
        let mut bytes = [0; SHORT_BYTES];
        match bytes.get_mut(..text.len()) {
            Some(place) => {
                place.copy_from_slice(text.as_bytes());
                Self(Form::Short(text.len() as u8, bytes))
            }
            None => Self(Form::Long(text.into())),
        }
    }
}

impl From<Box<str>> for Text {
    fn from(text: Box<str>) -> Self {
        Self::from(&*text)
    }
}

impl From<Text> for Box<str> {
    fn from(text: Text) -> Self {
        (*text).into()
    }
}

impl Deref for Text {
    type Target = str;

    fn deref(&self) -> &str {
        match &self.0 {
            Form::Short(length, bytes) => {
                let text = core::str::from_utf8(&bytes[..usize::from(*length)]);
                text.expect("it was text")
            }
            Form::Long(text) => text,
        }
    }
}

impl PartialEq for Text {
    fn eq(&self, other: &Self) -> bool {
        **self == **other
    }
}

impl Eq for Text {}

impl fmt::Debug for Text {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&**self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_kept_is_what_was_given() {
        for length in 0..2 * SHORT_BYTES {
            let text = "é".repeat(length / 2) + if length % 2 == 1 { "x" } else { "" };
            let kept = Text::from(&*text);
            assert_eq!((&*kept, kept.len()), (&*text, length));
            let bytes = postcard::to_stdvec(&kept).unwrap();
            assert_eq!(postcard::from_bytes::<Text>(&bytes), Ok(kept));
        }
    }
}
