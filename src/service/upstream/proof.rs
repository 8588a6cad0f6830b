//! Who knows the secret: the proofs of docs/link.md "Handshake".
//!
//! Deliberately absent: where secrets come from, and the order of the handshake.

use aws_lc_rs::hmac;

/// What an application and the daemon both know. Its text is shown nowhere.
#[derive(Clone)]
pub struct Secret(hmac::Key);

/// Fewer are guessed.
const SECRET_BYTES_MIN: usize = 16;

impl core::fmt::Debug for Secret {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str("Secret")
    }
}

impl Secret {
    /// A secret of at least 16 bytes; `None` when it has fewer.
    #[must_use]
    pub fn new(bytes: &[u8]) -> Option<Self> {
        let is_long = bytes.len() >= SECRET_BYTES_MIN;
        is_long.then(|| Self(hmac::Key::new(hmac::HMAC_SHA256, bytes)))
    }
}

/// Whose proof it is. The labels differ, so that neither can send the other's proof back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Prover {
    /// The worker, in HELLO.
    Worker,
    /// The daemon, in WELCOME.
    Daemon,
}

impl Prover {
    const fn label(self) -> &'static [u8] {
        match self {
            Self::Worker => b"rwlink/1 worker",
            Self::Daemon => b"rwlink/1 daemon",
        }
    }
}

/// The label, then each body's JSON behind its length, so that no two conversations read the same.
fn transcript(prover: Prover, bodies: &[&str]) -> Vec<u8> {
    let mut bytes = prover.label().to_vec();
    for body in bodies {
        bytes.extend_from_slice(&(body.len() as u32).to_le_bytes());
        bytes.extend_from_slice(body.as_bytes());
    }
    bytes
}

fn hex_of(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn bytes_of(hex: &str) -> Option<Vec<u8>> {
    let digits: Option<Vec<u8>> = hex
        .chars()
        .map(|digit| digit.to_digit(16).map(|value| value as u8))
        .collect();
    let digits = digits.filter(|digits| digits.len() % 2 == 0)?;
    Some(
        digits
            .chunks(2)
            .map(|pair| pair[0] << 4 | pair[1])
            .collect(),
    )
}

/// The proof over what was said so far, the prover's own body included.
#[must_use]
pub fn prove(secret: &Secret, prover: Prover, bodies: &[&str]) -> String {
    hex_of(hmac::sign(&secret.0, &transcript(prover, bodies)).as_ref())
}

/// Whether `proof` is [`prove`]'s. Takes the same time wherever a wrong one differs.
#[must_use]
pub fn is_proof(secret: &Secret, prover: Prover, bodies: &[&str], proof: &str) -> bool {
    bytes_of(proof)
        .is_some_and(|proof| hmac::verify(&secret.0, &transcript(prover, bodies), &proof).is_ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    const BODIES: [&str; 2] = ["{\"nonce\":\"a\"}", "{\"nonce\":\"b\"}"];

    fn secret(byte: u8) -> Secret {
        Secret::new(&[byte; 32]).unwrap()
    }

    #[test]
    fn a_short_secret_is_none() {
        assert!(Secret::new(&[7; 15]).is_none() && Secret::new(&[7; 16]).is_some());
        assert_eq!(format!("{:?}", secret(7)), "Secret");
    }

    /// Computed by Python's hmac module: `hmac.new(b"\x07" * 32, transcript, "sha256").hexdigest()`.
    #[test]
    fn a_proof_is_what_others_compute() {
        assert_eq!(
            prove(&secret(7), Prover::Worker, &BODIES),
            "7252efad5d856aa1431c683107b871ceeda3c8e10b504cf2af878eaead96cff8"
        );
        assert_eq!(
            prove(&secret(7), Prover::Daemon, &BODIES),
            "e661f4bafa7c151dd5352fddcec17d94eb6ee09a224c6ebf6bc4e3dc2b8edab3"
        );
    }

    #[test]
    fn only_the_right_proof_is_one() {
        let proof = prove(&secret(7), Prover::Worker, &BODIES);
        assert!(is_proof(&secret(7), Prover::Worker, &BODIES, &proof));
        assert!(is_proof(
            &secret(7),
            Prover::Worker,
            &BODIES,
            &proof.to_uppercase()
        ));
        for (secret, prover, bodies) in [
            (secret(8), Prover::Worker, &BODIES[..]),
            (secret(7), Prover::Daemon, &BODIES[..]),
            (secret(7), Prover::Worker, &BODIES[..1]),
            (secret(7), Prover::Worker, &[BODIES[1], BODIES[0]]),
            (
                secret(7),
                Prover::Worker,
                &["{\"nonce\":\"a\"}{\"nonce\":\"b\"}"],
            ),
        ] {
            assert!(
                !is_proof(&secret, prover, bodies, &proof),
                "{prover:?} {bodies:?}"
            );
        }
        for wrong in [
            "",
            "00",
            &proof[1..],
            &proof[2..],
            &format!("{proof}00"),
            "zz",
            "é",
        ] {
            assert!(
                !is_proof(&secret(7), Prover::Worker, &BODIES, wrong),
                "{wrong}"
            );
        }
    }
}
