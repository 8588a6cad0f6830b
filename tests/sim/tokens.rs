//! The one token of all seeds, and the key that verifies it.

use ringway_service::auth::{Claims, KeyConfig, Keys, RoomClaims, mint};
use std::sync::LazyLock;

fn key() -> KeyConfig {
    KeyConfig {
        id: "sim".to_owned(),
        algorithm: "EdDSA".to_owned(),
        bytes: include_bytes!("../../src/service/auth/testdata/eddsa.pub.pem").to_vec(),
        private: Some(include_bytes!("../../src/service/auth/testdata/eddsa.pem").to_vec()),
    }
}

/// It permits everything, for ever.
pub(crate) static TOKEN: LazyLock<String> = LazyLock::new(|| {
    let all = || vec!["*".to_owned()];
    let rw = RoomClaims {
        join: all(),
        publish: all(),
        ..RoomClaims::default()
    };
    let claims = Claims {
        sub: "anna".to_owned(),
        exp: 1 << 40,
        nbf: None,
        rw,
    };
    mint(&key(), &claims).expect("the key signs")
});

static KEYS: LazyLock<Keys> =
    LazyLock::new(|| Keys::new(&[key()], None, None, 0).expect("the key is one"));

pub(crate) fn keys() -> Keys {
    KEYS.clone()
}
