//! Frames that the kernel reads: each is held until the terminal completion of its send (invariant 1).

use ringway_io::{Frame, Key};

/// One place per connection slot, because there is one send in flight per socket (invariant 2).
#[derive(Default)]
pub(crate) struct Sends(Vec<Option<(Key, Frame)>>);

impl Sends {
    /// Holds a frame from its submission on.
    pub(crate) fn hold(&mut self, key: Key, frame: Frame) -> &Frame {
        let slot = key.slot() as usize;
        if self.0.len() <= slot {
            self.0.resize_with(slot + 1, || None);
        }
        let place = &mut self.0[slot];
        assert!(
            place.is_none(),
            "two sends in flight on connection slot {slot}"
        );
        &place.insert((key, frame)).1
    }

    /// The terminal completion came.
    pub(crate) fn release(&mut self, key: Key) {
        let held = self.0[key.slot() as usize].take();
        assert!(
            held.is_some_and(|(holder, _)| holder == key),
            "a send completes once, under its own key"
        );
    }
}
