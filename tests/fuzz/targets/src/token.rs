//! Tokens: hostile text proves nothing, and one changed byte takes a good token's proof away.

use crate::input::{Input, text_of};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ringway_service::auth::{
    Claims, Identity, KeyConfig, Keys, RoomClaims, Verdict, VerifyResult, mint,
};
use ringway_service::time::Now;
use std::sync::LazyLock;

const NOW: Now = Now {
    monotonic_us: 0,
    unix_ms: 1_700_000_000_000,
};
const LEEWAY_SECONDS: u32 = 5;

struct Issuer {
    configs: Vec<KeyConfig>,
    keys: Keys,
}

static ISSUER: LazyLock<Issuer> = LazyLock::new(|| {
    let pem = |id: &str, algorithm: &str, public: &[u8], private: &[u8]| KeyConfig {
        id: id.to_owned(),
        algorithm: algorithm.to_owned(),
        bytes: public.to_vec(),
        private: Some(private.to_vec()),
    };
    let configs = vec![
        KeyConfig {
            id: "h".to_owned(),
            algorithm: "HS256".to_owned(),
            bytes: vec![7; 32],
            private: None,
        },
        pem(
            "ed",
            "EdDSA",
            include_bytes!("../../../../src/service/auth/testdata/eddsa.pub.pem"),
            include_bytes!("../../../../src/service/auth/testdata/eddsa.pem"),
        ),
        pem(
            "es",
            "ES256",
            include_bytes!("../../../../src/service/auth/testdata/es256.pub.pem"),
            include_bytes!("../../../../src/service/auth/testdata/es256.pem"),
        ),
        pem(
            "rs",
            "RS256",
            include_bytes!("../../../../src/service/auth/testdata/rs256.pub.pem"),
            include_bytes!("../../../../src/service/auth/testdata/rs256.pem"),
        ),
    ];
    let keys = Keys::new(&configs, None, None, LEEWAY_SECONDS).expect("keys of the test data");
    Issuer { configs, keys }
});

/// A byte that chooses, then a token as text, or what to mint and where to change it.
pub fn token(data: &[u8]) {
    let mut input = Input::new(data);
    match input.byte() % 3 {
        0 => stranger(text_of(input.rest())),
        1 => forged(&mut input),
        _ => minted(&mut input),
    }
}

fn verify(token: &str) -> VerifyResult {
    match ISSUER.keys.verify(token, NOW) {
        Verdict::Done(result) => result,
        Verdict::Job(job) => *job().downcast().expect("a job gives a result"),
    }
}

fn stranger(token: &str) {
    if let Ok(identity) = verify(token) {
        check_identity(token, &identity);
    }
}

/// Header, payload and signature from the input, each in base64: past the first look of any decoder.
fn forged(input: &mut Input<'_>) {
    let header = input.block();
    let payload = input.block();
    let parts = [header, payload, input.rest()].map(|part| URL_SAFE_NO_PAD.encode(part));
    let token = parts.join(".");
    stranger(&token);
}

fn minted(input: &mut Input<'_>) {
    // Public keys sign slowly, and only the crate below knows how: a few inputs are enough for them.
    let key = match input.byte() {
        0xfd => 1,
        0xfe => 2,
        0xff => 3,
        _ => 0,
    };
    let claims = claims(input);
    let token = mint(&ISSUER.configs[key], &claims).expect("the key signs");
    let result = verify(&token);
    assert_eq!(
        result.is_ok(),
        should_pass(&claims, &token),
        "{claims:?}: {result:?}"
    );
    if let Ok(identity) = &result {
        check_identity(&token, identity);
    }
    let at = usize::from(u16::from_be_bytes([input.byte(), input.byte()])) % token.len();
    let mut changed = token.clone().into_bytes();
    changed[at] ^= 1 << (input.byte() % 7);
    if let Ok(changed) = String::from_utf8(changed) {
        assert!(verify(&changed).is_err(), "{changed} for {token}");
    }
}

fn claims(input: &mut Input<'_>) -> Claims {
    let start = NOW.unix_ms / 1000;
    let offset = u64::from(u16::from_be_bytes([input.byte(), input.byte()]));
    let exp = match input.byte() % 4 {
        0 => u64::MAX - offset,
        1 => start.saturating_sub(offset),
        _ => start + offset,
    };
    let nbf = (input.byte() & 1 == 1).then(|| start + u64::from(input.byte()));
    let sub = text_of(input.block()).to_owned();
    let pattern = text_of(input.block()).to_owned();
    let join = vec![pattern; usize::from(input.byte() % 80)];
    let rw = RoomClaims {
        join,
        publish: Vec::new(),
        ..RoomClaims::default()
    };
    Claims { sub, exp, nbf, rw }
}

fn should_pass(claims: &Claims, token: &str) -> bool {
    let (start, leeway) = (NOW.unix_ms / 1000, u64::from(LEEWAY_SECONDS));
    let fits =
        claims.rw.join.len() <= 64 && claims.rw.join.iter().all(|pattern| pattern.len() <= 256);
    claims.exp.saturating_add(leeway) > start
        && claims.nbf.is_none_or(|nbf| nbf <= start + leeway)
        && (1..=256).contains(&claims.sub.len())
        && fits
        && token.len() <= 8192
}

/// What was verified is what the token says.
fn check_identity(token: &str, identity: &Identity) {
    assert!(token.len() <= 8192);
    let payload = token.split('.').nth(1).unwrap_or_default();
    let payload = URL_SAFE_NO_PAD.decode(payload).expect("base64url");
    let claims: Claims = serde_json::from_slice(&payload).expect("claims");
    assert_eq!(identity.subject(), claims.sub);
    let leeway_ms = u64::from(LEEWAY_SECONDS) * 1000;
    let Some(expires) = identity.expires_unix_ms() else {
        assert!(claims.exp.saturating_add(LEEWAY_SECONDS.into()) >= u64::from(u32::MAX));
        return;
    };
    assert!(expires > NOW.unix_ms);
    assert!(expires <= claims.exp.saturating_mul(1000).saturating_add(leeway_ms));
}
