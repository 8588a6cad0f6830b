//! AES-256-GCM of three libraries side by side: GB/s of one core, sealing and opening in place, with the AAD that a segment has.
//!
//! `cargo run --release --locked -p peer-ciphers [ROUNDS]`. Rounds of the libraries alternate, so that a slow minute of the machine is everybody's;
//! a library's number is the median of its rounds, the range behind it the worst and the best.

use aes_gcm::aead::{AeadInOut, KeyInit};
use std::time::{Duration, Instant};

const KEY: [u8; 32] = [7; 32];
const NONCE: [u8; 12] = [9; 12];
/// As long as the header of `src/streams`.
const AAD: [u8; 32] = [3; 32];
const SIZES: [usize; 3] = [1024, 16 * 1024, 64 * 1024];
const ROUND: Duration = Duration::from_millis(100);

/// One library: what it does to a buffer, and back.
struct Library {
    name: &'static str,
    seal: Box<dyn Fn(&mut [u8]) -> [u8; 16]>,
    open: Box<dyn Fn(&mut [u8], &[u8; 16])>,
}

fn rust_crypto() -> Library {
    let key = aes_gcm::Aes256Gcm::new(&KEY.into());
    let other = key.clone();
    Library {
        name: "RustCrypto aes-gcm",
        seal: Box::new(move |text| {
            let tag = key.encrypt_inout_detached(&NONCE.into(), &AAD, text.into());
            tag.expect("it seals").into()
        }),
        open: Box::new(move |text, tag| {
            let tag = (*tag).into();
            let opened = other.decrypt_inout_detached(&NONCE.into(), &AAD, text.into(), &tag);
            opened.expect("it opens");
        }),
    }
}

macro_rules! ring_like {
    ($krate:ident, $name:literal, $open:expr) => {{
        use $krate::aead::{AES_256_GCM, Aad, LessSafeKey, Nonce, UnboundKey};
        let key = || LessSafeKey::new(UnboundKey::new(&AES_256_GCM, &KEY).expect("a key"));
        let (sealing, opening) = (key(), key());
        Library {
            name: $name,
            seal: Box::new(move |text| {
                let nonce = Nonce::assume_unique_for_key(NONCE);
                let tag = sealing.seal_in_place_separate_tag(nonce, Aad::from(&AAD), text);
                let tag = tag.expect("it seals");
                tag.as_ref().try_into().expect("16 bytes")
            }),
            open: Box::new(move |text, tag| {
                let nonce = Nonce::assume_unique_for_key(NONCE);
                ($open)(&opening, nonce, Aad::from(&AAD), text, tag);
            }),
        }
    }};
}

fn ring() -> Library {
    // ring wants the tag behind the text; a segment has it there.
    ring_like!(ring, "ring", |key: &LessSafeKey,
                              nonce,
                              aad,
                              text: &mut [u8],
                              tag: &[u8; 16]| {
        let tag = ring::aead::Tag::from(*tag);
        key.open_in_place_separate_tag(nonce, aad, tag, text, 0..)
            .expect("it opens");
    })
}

fn aws_lc() -> Library {
    ring_like!(
        aws_lc_rs,
        "aws-lc-rs",
        |key: &LessSafeKey, nonce, aad, text: &mut [u8], tag: &[u8; 16]| {
            key.open_in_place_separate_tag(nonce, aad, tag, text)
                .expect("it opens");
        }
    )
}

/// GB/s of sealing, and of opening.
fn round(library: &Library, bytes: usize) -> (f64, f64) {
    let (mut text, mut sealing, mut opening, mut done) =
        (vec![1; bytes], Duration::ZERO, Duration::ZERO, 0_usize);
    while sealing + opening < ROUND {
        let start = Instant::now();
        let tag = (library.seal)(&mut text);
        let between = Instant::now();
        (library.open)(&mut text, &tag);
        opening += between.elapsed();
        sealing += between - start;
        done += bytes;
    }
    let rate = |time: Duration| done as f64 / time.as_secs_f64() / 1e9;
    (rate(sealing), rate(opening))
}

fn summary(mut rates: Vec<f64>) -> String {
    rates.sort_by(f64::total_cmp);
    let (worst, best) = (rates[0], rates[rates.len() - 1]);
    format!("{:.2} ({worst:.2} to {best:.2})", rates[rates.len() / 2])
}

fn main() {
    let rounds = std::env::args()
        .nth(1)
        .map_or(11, |text| text.parse().expect("a number of rounds"));
    let libraries = [rust_crypto(), ring(), aws_lc()];
    for bytes in SIZES {
        let mut rates = vec![(Vec::new(), Vec::new()); libraries.len()];
        for _ in 0..rounds {
            for (library, (seal, open)) in libraries.iter().zip(&mut rates) {
                let (sealing, opening) = round(library, bytes);
                seal.push(sealing);
                open.push(opening);
            }
        }
        for (library, (seal, open)) in libraries.iter().zip(rates) {
            println!(
                "{bytes:>6} bytes  {:<20} seal {:<22} open {} GB/s",
                library.name,
                summary(seal),
                summary(open)
            );
        }
    }
}
