//! Session ids: any text is either nobody's, or belongs to the shard that an independent reading of it names.

use crate::client::{Seen, get};
use crate::input::{Input, text_of};
use crate::world::{World, settings};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

const SHARDS: u16 = 3;
const UNKNOWN: &[u8] = br#"{"code":1,"message":"Session ID unknown"}"#;

/// A byte that chooses, then an id as text, or the bytes of one.
pub fn sid(data: &[u8]) {
    let mut input = Input::new(data);
    let text = if input.byte() & 1 == 0 {
        text_of(input.rest()).to_owned()
    } else {
        URL_SAFE_NO_PAD.encode(input.rest())
    };
    if text.is_empty() || text.len() > 256 {
        return;
    }
    let mut world = World::new(SHARDS, settings(true));
    let here = world.open(0);
    world.send(
        here,
        &get(&format!("transport=polling&sid={}", escaped(&text)), ""),
    );
    assert_eq!(
        world.read(here),
        [Seen::Answer(400, UNKNOWN.to_vec())],
        "{text}"
    );
    let owner = owner_of(&text).unwrap_or(0);
    assert_eq!(world.shard_of(here), Some(owner), "{text}");
    only_its_own_text_finds_a_session(&mut world, &text);
}

fn escaped(text: &str) -> String {
    text.bytes().map(|byte| format!("%{byte:02x}")).collect()
}

/// 20 bytes in base64url without padding; the last two are a bucket below 4096.
fn owner_of(text: &str) -> Option<u16> {
    let bytes: [u8; 20] = URL_SAFE_NO_PAD.decode(text).ok()?.try_into().ok()?;
    let bucket = u16::from_be_bytes([bytes[18], bytes[19]]);
    (bucket < 4096).then_some(bucket % SHARDS)
}

fn only_its_own_text_finds_a_session(world: &mut World, stranger: &str) {
    let conn = world.open(1);
    world.send(conn, &get("transport=polling", ""));
    let Some(Seen::Answer(200, body)) = world.read(conn).pop() else {
        unreachable!("a handshake")
    };
    let open: serde_json::Value = serde_json::from_slice(&body[1..]).expect("an open packet");
    let own = open["sid"].as_str().expect("an id");
    assert_eq!(owner_of(own), Some(1), "{own}");
    // The stranger's text laid over the session's own: one symbol is enough to make it nobody's.
    for (at, symbol) in stranger.chars().enumerate().take(own.len()) {
        let changed: String = own[..at]
            .chars()
            .chain([symbol])
            .chain(own[at + 1..].chars())
            .collect();
        if symbol.is_ascii() && changed != own {
            let probe = world.open(0);
            world.send(
                probe,
                &get(&format!("transport=polling&sid={}", escaped(&changed)), ""),
            );
            assert_eq!(
                world.read(probe),
                [Seen::Answer(400, UNKNOWN.to_vec())],
                "{changed}"
            );
            return;
        }
    }
}
