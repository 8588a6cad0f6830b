//! Session ids: 128 random bits, the host, and the bucket that says which shard owns the session.
//!
//! Deliberately absent: the table of sessions, and any secrecy beyond the 128 bits.

use serde::{Deserialize, Serialize};

/// Buckets that sessions are spread over; more than shards, so that the number of shards may change.
pub(crate) const BUCKETS: u16 = 4096;
const BYTES: usize = 20;
const TEXT_BYTES: usize = 27;
const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

/// A session's id.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
pub(crate) struct Sid {
    bytes: [u8; BYTES],
}

impl Sid {
    /// A fresh id of `bucket` on `host` from 128 unpredictable bits.
    #[must_use]
    pub(crate) fn new(random: [u64; 2], host: u16, bucket: u16) -> Self {
        assert!(bucket < BUCKETS, "a bucket has 12 bits");
        let mut bytes = [0; BYTES];
        bytes[..8].copy_from_slice(&random[0].to_be_bytes());
        bytes[8..16].copy_from_slice(&random[1].to_be_bytes());
        bytes[16..18].copy_from_slice(&host.to_be_bytes());
        bytes[18..].copy_from_slice(&bucket.to_be_bytes());
        Self { bytes }
    }

    /// Reads what [`Self::text`] wrote; `None` for anything else.
    #[must_use]
    pub(crate) fn parse(text: &str) -> Option<Self> {
        if text.len() != TEXT_BYTES {
            return None;
        }
        let mut bytes = [0; BYTES];
        let (mut bits, mut held, mut at) = (0_u32, 0, 0);
        for symbol in text.bytes() {
            bits = bits << 6 | value_of(symbol)?;
            held += 6;
            if held >= 8 {
                held -= 8;
                bytes[at] = (bits >> held) as u8;
                at += 1;
                bits &= (1 << held) - 1;
            }
        }
        let sid = Self { bytes };
        (bits == 0 && sid.bucket() < BUCKETS).then_some(sid)
    }

    /// base64url without padding.
    #[must_use]
    pub(crate) fn text(&self) -> String {
        let symbols: [u8; TEXT_BYTES] =
            core::array::from_fn(|at| ALPHABET[usize::from(self.six_bits(at))]);
        core::str::from_utf8(&symbols).expect("ASCII").to_owned()
    }

    /// The bits of one symbol; behind the last byte there are zeros.
    const fn six_bits(&self, at: usize) -> u8 {
        let (byte, shift) = (at * 6 / 8, at * 6 % 8);
        let next = if byte + 1 < BYTES {
            self.bytes[byte + 1]
        } else {
            0
        };
        let pair = u16::from_be_bytes([self.bytes[byte], next]);
        (pair >> (10 - shift)) as u8 & 63
    }

    /// Which bucket owns the session.
    #[must_use]
    pub(crate) const fn bucket(&self) -> u16 {
        u16::from_be_bytes([self.bytes[18], self.bytes[19]])
    }

    /// The shard that owns the session when there are `shards`.
    #[must_use]
    pub(crate) const fn shard(&self, shards: u16) -> u16 {
        self.bucket() % shards
    }
}

/// What a client sees as its id in one namespace: 128 random bits. It says nothing about the session's id.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub(crate) struct SocketId([u8; 16]);

impl SocketId {
    /// A fresh one from 128 unpredictable bits.
    pub(crate) fn new(random: [u64; 2]) -> Self {
        let [high, low] = random.map(u128::from);
        Self((high << 64 | low).to_be_bytes())
    }

    /// base64url without padding, with the host that gave it.
    pub(crate) fn text(self, host: u16) -> String {
        let all = u128::from_be_bytes(self.0);
        Sid::new([(all >> 64) as u64, all as u64], host, 0).text()
    }
}

/// A bucket of `shard`, chosen by `random`.
#[must_use]
pub(crate) fn bucket_of(shard: u16, shards: u16, random: u64) -> u16 {
    let owned = (BUCKETS - shard).div_ceil(shards);
    shard + (random % u64::from(owned)) as u16 * shards
}

fn value_of(symbol: u8) -> Option<u32> {
    match symbol {
        b'A'..=b'Z' => Some(u32::from(symbol - b'A')),
        b'a'..=b'z' => Some(u32::from(symbol - b'a') + 26),
        b'0'..=b'9' => Some(u32::from(symbol - b'0') + 52),
        b'-' => Some(62),
        b'_' => Some(63),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_and_back() {
        for random in [[0, 0], [u64::MAX, u64::MAX], [0x0123_4567_89ab_cdef, 42]] {
            let sid = Sid::new(random, 7, 4095);
            assert_eq!(sid.text().len(), TEXT_BYTES);
            assert_eq!(Sid::parse(&sid.text()), Some(sid));
        }
    }

    #[test]
    fn vectors() {
        let file = include_str!("../../../tests/vectors/session-ids.json");
        let vectors: Vec<serde_json::Value> = serde_json::from_str(file).unwrap();
        assert!(!vectors.is_empty());
        for vector in &vectors {
            let (name, text) = (&vector["name"], vector["input"].as_str().unwrap());
            let read = Sid::parse(text).map_or_else(
                || serde_json::json!({ "none": true }),
                |sid| {
                    assert_eq!(sid.text(), text, "{name}");
                    let host = u16::from_be_bytes([sid.bytes[16], sid.bytes[17]]);
                    serde_json::json!({ "host": host, "bucket": sid.bucket() })
                },
            );
            assert_eq!(read, vector["expect"], "{name}");
        }
    }

    #[test]
    fn strangers_are_none() {
        let long = "A".repeat(28);
        for text in [
            "",
            "x",
            &long,
            "AAAAAAAAAAAAAAAAAAAAAAAAAA!",
            "AAAAAAAAAAAAAAAAAAAAAAAAAAB",
            "_________________________-8",
        ] {
            assert_eq!(Sid::parse(text), None, "{text}");
        }
    }

    #[test]
    fn every_bucket_of_a_shard_belongs_to_it() {
        for shards in [1, 3, 4, 64] {
            for shard in 0..shards {
                for random in [0, 1, 999, u64::MAX] {
                    let bucket = bucket_of(shard, shards, random);
                    assert!(bucket < BUCKETS);
                    assert_eq!(Sid::new([0, 0], 0, bucket).shard(shards), shard);
                }
            }
        }
    }
}
