//! permessage-deflate: what is compressed inflates to itself, nothing inflates beyond the bound, offers are judged one by one.

use crate::input::{Input, text_of};
use ringway_proto::ws::WsError;
use ringway_proto::ws::deflate::{compress, inflate, negotiate};

/// A byte that chooses the bound, then the message.
pub fn deflate(data: &[u8]) {
    let mut input = Input::new(data);
    let bytes_max = usize::from(input.byte()) * 64;
    let message = input.rest();
    round_trip(message);
    bounded(message, bytes_max);
    offers(text_of(message));
}

fn round_trip(message: &[u8]) {
    let squeezed = compress(message);
    assert_eq!(inflate(&squeezed, message.len()).as_deref(), Ok(message));
    if let Some(less) = message.len().checked_sub(1) {
        assert_eq!(inflate(&squeezed, less), Err(WsError::MessageTooLarge));
    }
}

fn bounded(message: &[u8], bytes_max: usize) {
    match inflate(message, bytes_max) {
        Ok(out) => {
            assert!(out.len() <= bytes_max, "{} of {bytes_max}", out.len());
            assert!(out.capacity() <= 2 * bytes_max.max(1024) + 1024);
            assert_eq!(inflate(message, out.len()).as_ref(), Ok(&out));
            if let Some(less) = out.len().checked_sub(1) {
                assert_eq!(inflate(message, less), Err(WsError::MessageTooLarge));
            }
        }
        Err(error) => assert!(matches!(error, WsError::Deflate | WsError::MessageTooLarge)),
    }
}

/// RFC 7692 section 5.1: the offers of a list are alternatives.
fn offers(text: &str) {
    let alone: Vec<_> = text.split(',').filter_map(negotiate).collect();
    let agreed = negotiate(text);
    assert_eq!(agreed.is_some(), !alone.is_empty(), "{text}");
    assert!(
        agreed.is_none_or(|agreed| alone.contains(&agreed)),
        "{text}"
    );
    let with_ours = format!("{text}, permessage-deflate; client_max_window_bits");
    let with_ours = negotiate(&with_ours);
    assert!(
        with_ours.is_some_and(|agreed| agreed.compresses()),
        "{text}"
    );
}
