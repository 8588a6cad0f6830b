//! A worker's packet with attachments until all of it has come: whoever reads the client's wire must not find another packet between its parts.
//!
//! Another worker's broadcast would come between, or another application's word. Deliberately absent: packets of an application with a parser of its own,
//! of which nobody here knows where they end.

use ringway_proto::link::Part;
use serde::{Deserialize, Serialize};

/// What is kept of a packet; of a larger one the parts go as they come.
const BYTES_MAX: usize = 4 << 20;
/// What a part costs beside its bytes: its place and its allocation.
const PART_COST_BYTES: usize = 64;
/// A packet of more attachments is never kept: nothing of it is.
const ATTACHMENTS_MAX: u32 = (BYTES_MAX / PART_COST_BYTES) as u32;

#[derive(Debug, Default, Serialize, Deserialize)]
pub(crate) struct Assembly {
    /// Whether it is binary, and the part.
    parts: Vec<(bool, Box<[u8]>)>,
    /// What these cost.
    bytes: usize,
    /// Attachments that are still to come.
    left: u32,
}

/// How many attachments a packet has: `5N-` and `6N-` say it. None that would be too many.
fn attachments(text: &str) -> u32 {
    let rest = text.strip_prefix(['5', '6']);
    let count = rest.and_then(|rest| rest.split_once('-'));
    let count = count.and_then(|(count, _)| count.parse().ok());
    count.filter(|count| *count <= ATTACHMENTS_MAX).unwrap_or(0)
}

impl Assembly {
    /// Takes a part of what the worker says. What is whole with it, in order; nothing while a packet is short of attachments.
    pub(crate) fn take(&mut self, part: Part<'_>) -> Vec<(bool, Box<[u8]>)> {
        let is_text = matches!(part, Part::Text(_));
        // A header between the attachments of another packet: the worker's fault, and as it says it.
        let mut whole = match is_text {
            true => core::mem::take(self).parts,
            false => Vec::new(),
        };
        match part {
            Part::Text(text) => self.left = attachments(text),
            Part::Binary(_) => self.left = self.left.saturating_sub(1),
        }
        self.bytes += part.bytes().len() + PART_COST_BYTES;
        self.parts.push((!is_text, part.bytes().into()));
        if self.left == 0 || self.bytes > BYTES_MAX {
            self.bytes = 0;
            whole.append(&mut self.parts);
        }
        whole
    }

    /// What is kept costs.
    pub(crate) const fn kept_bytes(&self) -> u64 {
        self.bytes as u64
    }

    /// Whether nothing waits, and the part is a whole packet.
    pub(crate) fn is_idle_for(&self, part: Part<'_>) -> bool {
        let is_whole = match part {
            Part::Text(text) => attachments(text) == 0,
            Part::Binary(_) => true,
        };
        is_whole && self.parts.is_empty() && self.left == 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(says: &[&str], expected: &[&str]) {
        let mut assembly = Assembly::default();
        let whole: Vec<String> = says
            .iter()
            .map(|part| match part.strip_prefix('#') {
                Some(bytes) => Part::Binary(bytes.as_bytes()),
                None => Part::Text(part),
            })
            .map(|part| {
                let parts = assembly.take(part);
                let parts = parts
                    .iter()
                    .map(|(_, bytes)| String::from_utf8_lossy(bytes).into_owned());
                parts.collect::<Vec<_>>().join(" ")
            })
            .collect();
        assert_eq!(whole, expected, "{says:?}");
    }

    #[test]
    fn a_packet_goes_whole() {
        check(&["2[]", "3[]"], &["2[]", "3[]"]);
        check(&["52-[]", "#a", "#b", "2[]"], &["", "", "52-[] a b", "2[]"]);
        check(&["61-/n,7[]", "#a"], &["", "61-/n,7[] a"]);
        check(&["50-[]"], &["50-[]"]);
    }

    #[test]
    fn what_is_out_of_place_goes_as_it_is_said() {
        check(&["51-[]", "2[]", "#a"], &["", "51-[] 2[]", "a"]);
        check(&["#a"], &["a"]);
        check(&["5x-[]", "59999999999-[]"], &["5x-[]", "59999999999-[]"]);
        check(&["5999999999-[]", "#", "#a"], &["5999999999-[]", "", "a"]);
    }

    #[test]
    fn what_is_kept_has_an_end() {
        let mut assembly = Assembly::default();
        let bytes = vec![0; BYTES_MAX / 2 + 1];
        assert!(assembly.take(Part::Text("59999-[]")).is_empty());
        assert!(assembly.take(Part::Binary(&bytes)).is_empty());
        assert_eq!(assembly.take(Part::Binary(&bytes)).len(), 3);
        assert!(assembly.take(Part::Binary(&[1])).is_empty());
    }

    #[test]
    fn parts_without_bytes_cost_something() {
        let mut assembly = Assembly::default();
        assert!(assembly.take(Part::Text("565536-[]")).is_empty());
        let whole = (0..65_536).map(|_| assembly.take(Part::Binary(&[])).len());
        assert_eq!(
            whole.max(),
            Some(65_536),
            "they go before the last has come"
        );
        assert!(assembly.kept_bytes() < 65_536 * 64);
    }
}
