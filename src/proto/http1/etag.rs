//! Entity tags and lists of them (RFC 9110 §8.8.3, §13.1).
//!
//! Deliberately absent: how a tag is made.

/// How two tags are compared (§8.8.3.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Comparison {
    /// Equal byte for byte: neither is weak.
    Strong,
    /// Equal in meaning.
    Weak,
}

/// A tag as it stands in a header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EntityTag<'a> {
    /// Whether it begins with `W/`.
    pub is_weak: bool,
    /// What stands between the quotes.
    pub opaque: &'a str,
}

impl<'a> EntityTag<'a> {
    /// Takes a tag off the front of `text`; gives it and what follows.
    fn take(text: &'a str) -> Option<(Self, &'a str)> {
        let (is_weak, quoted) = match text.strip_prefix("W/") {
            Some(rest) => (true, rest),
            None => (false, text),
        };
        let (opaque, rest) = quoted.strip_prefix('"')?.split_once('"')?;
        // §8.8.3: no white space, no control characters; commas are allowed.
        let is_clean = opaque.bytes().all(|byte| byte > b' ' && byte != 0x7f);
        is_clean.then_some((Self { is_weak, opaque }, rest))
    }

    /// The tag that `text` is, white space around it aside.
    #[must_use]
    pub fn parse(text: &'a str) -> Option<Self> {
        let (tag, rest) = Self::take(text.trim_matches([' ', '\t']))?;
        rest.is_empty().then_some(tag)
    }

    /// Whether both are the same.
    #[must_use]
    pub fn matches(&self, other: &EntityTag<'_>, comparison: Comparison) -> bool {
        let weak = self.is_weak || other.is_weak;
        self.opaque == other.opaque && (comparison == Comparison::Weak || !weak)
    }
}

impl core::fmt::Display for EntityTag<'_> {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str(if self.is_weak { "W/\"" } else { "\"" })?;
        f.write_str(self.opaque)?;
        f.write_str("\"")
    }
}

/// Whether a list (the value of If-Match or If-None-Match) has `own`, which exists. `*` has everything; what follows a malformed tag is not read.
#[must_use]
pub fn list_has(list: &str, own: &EntityTag<'_>, comparison: Comparison) -> bool {
    if list.trim_matches([' ', '\t']) == "*" {
        return true;
    }
    let mut rest = list;
    loop {
        rest = rest.trim_start_matches([' ', '\t', ',']);
        let Some((tag, after)) = EntityTag::take(rest) else {
            return false;
        };
        if tag.matches(own, comparison) {
            return true;
        }
        let after = after.trim_start_matches([' ', '\t']);
        if !after.starts_with(',') {
            return false;
        }
        rest = after;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rfc9110_8_8_3_2_comparison() {
        // The table of §8.8.3.2.
        for (one, other, strong, weak) in [
            ("W/\"1\"", "W/\"1\"", false, true),
            ("W/\"1\"", "W/\"2\"", false, false),
            ("W/\"1\"", "\"1\"", false, true),
            ("\"1\"", "\"1\"", true, true),
        ] {
            let tags = [one, other].map(|text| EntityTag::parse(text).unwrap());
            assert_eq!(tags[0].matches(&tags[1], Comparison::Strong), strong);
            assert_eq!(tags[0].matches(&tags[1], Comparison::Weak), weak);
            assert_eq!(tags[0].to_string(), one);
        }
    }

    #[test]
    fn what_is_no_tag_is_none() {
        for text in ["", "a", "\"a", "a\"", "w/\"a\"", "\"a\"b", "\"a b\"", "*"] {
            assert_eq!(EntityTag::parse(text), None, "{text}");
        }
    }
}
