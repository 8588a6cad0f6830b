use super::*;
use ringway_io::OpKind;

const NONE: (bool, bool) = (false, false);
const MORE: (bool, bool) = (false, true);
const NOTICE: (bool, bool) = (true, false);

fn key() -> Key {
    Key::new(OpKind::Send, 0, 7)
}

/// Sends from slot 0, which is exchanged for slot 1; a notice follows.
fn send(sends: &mut ZeroCopy, notice: u32) {
    assert!(sends.wants(BYTES_MIN));
    sends.begin(key(), SlotLease::grant(0), SlotLease::grant(1));
    let Ended::Sent {
        slot, free, result, ..
    } = sends.ended(0, 20_000, MORE)
    else {
        panic!("no send ended")
    };
    assert_eq!((slot.id(), result), (1, Ok(20_000)));
    assert!(free.is_none(), "the kernel reads it");
    let Ended::Free(slot) = sends.ended(0, notice as i32, NOTICE) else {
        panic!("no slot came back")
    };
    assert_eq!(slot.id(), 0);
}

/// Sends that go with a copy before the next one that is tried without.
fn pause(sends: &mut ZeroCopy) -> u32 {
    (0..).find(|_| sends.wants(BYTES_MIN)).expect("a try")
}

#[test]
fn what_is_not_avoided_is_tried_ever_more_rarely() {
    let mut sends = ZeroCopy::new(8);
    let mut pauses = Vec::new();
    for _ in 0..4 {
        send(&mut sends, COPIED);
        // The try that ends the pause is not made here: the next `send` makes it.
        sends.pause += 1;
        pauses.push(pause(&mut sends) - 1);
        sends.pause = 0;
    }
    assert_eq!(pauses, [16, 32, 64, 128]);
    assert_eq!(
        sends.notices(),
        Notices {
            avoided: 0,
            copied: 4
        }
    );
    for _ in 0..20 {
        sends.give_up_for_now();
    }
    assert_eq!(sends.pause, PAUSE_MAX);
}

#[test]
fn what_is_avoided_goes_on_up_to_a_share_of_the_slots() {
    let mut sends = ZeroCopy::new(8);
    assert!(sends.wants(BYTES_MIN), "the first is tried");
    send(&mut sends, 0);
    for slot in 0..2 {
        assert!(sends.wants(BYTES_MIN));
        sends.begin(key(), SlotLease::grant(slot), SlotLease::grant(slot + 4));
        assert!(matches!(
            sends.ended(slot, 20_000, MORE),
            Ended::Sent { .. }
        ));
    }
    assert!(!sends.wants(BYTES_MIN), "a quarter is with the kernel");
    assert!(matches!(sends.ended(1, 0, NOTICE), Ended::Free(slot) if slot.id() == 1));
    assert!(sends.wants(BYTES_MIN));
    assert!(!sends.wants(BYTES_MIN - 1), "a small one is copied");
    assert_eq!(sends.notices().avoided, 2);
}

#[test]
fn one_is_tried_at_a_time() {
    let mut sends = ZeroCopy::new(16);
    assert!(sends.wants(BYTES_MIN));
    sends.begin(key(), SlotLease::grant(0), SlotLease::grant(1));
    assert!(!sends.wants(BYTES_MIN), "nobody knows yet whether it pays");
}

#[test]
fn a_kernel_or_a_socket_that_cannot_is_asked_with_a_copy_the_next_time() {
    for errno in [libc::EINVAL, libc::EOPNOTSUPP] {
        let mut sends = ZeroCopy::new(8);
        sends.begin(key(), SlotLease::grant(0), SlotLease::grant(1));
        let Ended::Sent { free, result, .. } = sends.ended(0, -errno, NONE) else {
            panic!("no send ended")
        };
        assert_eq!(free.map(|slot| slot.id()), Some(0), "no notice comes");
        assert_eq!(result, Err(Errno(libc::EAGAIN)));
        assert!(!sends.wants(BYTES_MIN));
    }
}

#[test]
fn a_notice_of_a_send_that_moved_nothing_says_nothing() {
    let mut sends = ZeroCopy::new(8);
    sends.begin(key(), SlotLease::grant(0), SlotLease::grant(1));
    let ended = sends.ended(0, -libc::EAGAIN, MORE);
    assert!(matches!(
        ended,
        Ended::Sent {
            result: Err(Errno(libc::EAGAIN)),
            free: None,
            ..
        }
    ));
    assert!(matches!(
        sends.ended(0, COPIED as i32, NOTICE),
        Ended::Free(_)
    ));
    assert_eq!(sends.notices(), Notices::default());
    assert!(sends.wants(BYTES_MIN));
}

#[test]
fn without_slots_everything_is_copied() {
    assert!(!ZeroCopy::default().wants(1 << 20));
    assert!(!ZeroCopy::new(3).wants(1 << 20));
}

#[test]
#[should_panic(expected = "the kernel has this slot")]
fn a_slot_has_one_send() {
    let mut sends = ZeroCopy::new(8);
    sends.begin(key(), SlotLease::grant(0), SlotLease::grant(1));
    sends.begin(key(), SlotLease::grant(0), SlotLease::grant(2));
}
