//! What waits for a client as the bytes of one send. Members of a room mostly have the same queue: it is joined once for all of them.
//!
//! Deliberately absent: queues and their bounds.

use crate::packet::{Encoding, Packet};
use std::rc::Rc;

/// Bytes that one send joins; what is larger by itself goes alone.
const SEND_BYTES_MAX: usize = 64 * 1024;

/// The packets that were joined last.
#[derive(Default)]
pub(crate) struct Joined {
    packets: Vec<Rc<Packet>>,
    encoding: Encoding,
    bytes: Option<Rc<[u8]>>,
}

impl Joined {
    /// The packets at the head of `queue` as bytes, and how many they are: none of none. One alone is not copied.
    // Each member's send comes here.
    #[inline(always)]
    pub(crate) fn head(
        &mut self,
        queue: &[Rc<Packet>],
        encoding: Encoding,
    ) -> Option<(usize, Rc<[u8]>)> {
        let (count, bytes) = extent(queue, encoding);
        match &queue[..count] {
            [] => None,
            [one] => Some((1, one.encoded(encoding).clone())),
            packets => Some((count, self.join(packets, encoding, bytes))),
        }
    }

    #[inline(always)]
    fn join(&mut self, packets: &[Rc<Packet>], encoding: Encoding, bytes: usize) -> Rc<[u8]> {
        let known = self.encoding == encoding && same(&self.packets, packets);
        if let Some(joined) = self.bytes.as_ref().filter(|_| known) {
            return joined.clone();
        }
        let mut joined = Vec::with_capacity(bytes);
        for packet in packets {
            joined.extend_from_slice(packet.encoded(encoding));
        }
        let joined: Rc<[u8]> = joined.into();
        self.packets.clear();
        self.packets.extend_from_slice(packets);
        (self.encoding, self.bytes) = (encoding, Some(joined.clone()));
        joined
    }

    /// Lets go of what was joined, which may be the last that keeps its packets.
    pub(crate) fn clear(&mut self) {
        self.packets.clear();
        self.bytes = None;
    }
}

/// How many packets go into one send, and their bytes.
#[inline(always)]
fn extent(queue: &[Rc<Packet>], encoding: Encoding) -> (usize, usize) {
    let (mut count, mut bytes) = (0, 0);
    for packet in queue {
        let more = packet.encoded(encoding).len();
        if count > 0 && bytes + more > SEND_BYTES_MAX {
            break;
        }
        count += 1;
        bytes += more;
    }
    (count, bytes)
}

fn same(a: &[Rc<Packet>], b: &[Rc<Packet>]) -> bool {
    a.len() == b.len() && a.iter().zip(b).all(|(a, b)| Rc::ptr_eq(a, b))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn packets(lengths: &[usize]) -> Vec<Rc<Packet>> {
        let packet = |length: &usize| Packet::new(&vec![b'x'; *length], &[], None);
        lengths
            .iter()
            .map(|length| Rc::new(packet(length)))
            .collect()
    }

    fn check(lengths: &[usize], count: usize) {
        let queue = packets(lengths);
        let head = Joined::default().head(&queue, Encoding::Plain);
        let expected: Vec<u8> = queue[..count]
            .iter()
            .flat_map(|packet| packet.encoded(Encoding::Plain).to_vec())
            .collect();
        assert_eq!(
            head.map(|(count, bytes)| (count, bytes.to_vec())),
            (count > 0).then_some((count, expected)),
            "{lengths:?}"
        );
    }

    #[test]
    fn a_send_takes_whole_packets_up_to_its_bound() {
        check(&[], 0);
        check(&[10], 1);
        check(&[10, 20, 30], 3);
        check(&[100_000], 1);
        check(&[100_000, 1], 1);
        check(&[1, 100_000], 1);
        check(&[30_000, 30_000, 30_000], 2);
    }

    #[test]
    fn members_with_the_same_queue_share_one_copy() {
        let (queue, mut joined) = (packets(&[5, 6, 7]), Joined::default());
        let mut head = |queue: &[Rc<Packet>]| joined.head(queue, Encoding::Plain).unwrap().1;
        let (first, second) = (head(&queue), head(&queue));
        assert!(Rc::ptr_eq(&first, &second));
        let shorter = head(&queue[..2]);
        assert_eq!(first[..shorter.len()], *shorter);
        let others = packets(&[5, 6, 7]);
        assert!(!Rc::ptr_eq(&first, &head(&others)));
        assert!(Rc::ptr_eq(
            &head(&queue[2..]),
            queue[2].encoded(Encoding::Plain)
        ));
    }

    #[test]
    fn an_encoding_is_not_taken_for_another() {
        let (queue, mut joined) = (packets(&[2_000, 2_000]), Joined::default());
        let queue: Vec<_> = queue
            .into_iter()
            .map(|packet| Rc::new(Rc::into_inner(packet).unwrap().for_deflate(true)))
            .collect();
        let plain = joined.head(&queue, Encoding::Plain).unwrap().1;
        let deflated = joined.head(&queue, Encoding::Deflated).unwrap().1;
        assert!(deflated.len() < plain.len() / 4);
    }

    #[test]
    fn cleared_it_keeps_nothing() {
        let (queue, mut joined) = (packets(&[5, 6]), Joined::default());
        drop(joined.head(&queue, Encoding::Plain));
        assert_eq!(Rc::strong_count(&queue[0]), 2);
        joined.clear();
        assert_eq!(Rc::strong_count(&queue[0]), 1);
    }
}
