//! Keys, and the tokens that they verify (RFC 7519, over the jsonwebtoken crate).

use super::identity::SUBJECT_BYTES_MAX;
use super::naming::{Name, Naming};
use super::{Claims, Identity};
use crate::refusal::Refusal;
use crate::time::Now;
use crate::uploads::FilePermits;
use aws_lc_rs::hmac;
use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use core::any::Any;
use jsonwebtoken::errors::ErrorKind;
use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey, Header, Validation};
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;
use std::sync::Arc;

/// Bytes of a token; checked before anything is decoded.
const TOKEN_BYTES_MAX: usize = 8192;

/// A key as configured: bytes, not files.
#[derive(Clone)]
pub struct KeyConfig {
    /// The `kid` that tokens name.
    pub id: String,
    /// HS256, RS256, ES256 or EdDSA.
    pub algorithm: String,
    /// The secret, or a public key as PEM.
    pub bytes: Vec<u8>,
    /// A private key as PEM, to mint tokens with.
    pub private: Option<Vec<u8>>,
}

impl KeyConfig {
    /// Whether [`mint`] can sign with it.
    #[must_use]
    pub fn signs(&self) -> bool {
        self.algorithm == "HS256" || self.private.is_some()
    }
}

/// Why a configured key cannot be used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyError(pub String);

/// A token cut into its parts (RFC 7515 §3.1), of which nothing is believed yet.
#[derive(Clone, Copy)]
struct Token<'a> {
    text: &'a str,
    /// What is signed: header and payload.
    message: &'a str,
    header: &'a str,
    payload: &'a str,
    signature: &'a str,
}

impl<'a> Token<'a> {
    fn cut(text: &'a str) -> Result<Self, Refusal> {
        let parts = || {
            let (message, signature) = text.rsplit_once('.')?;
            let (header, payload) = message.rsplit_once('.')?;
            Some(Self {
                text,
                message,
                header,
                payload,
                signature,
            })
        };
        let is_short = text.len() <= TOKEN_BYTES_MAX;
        is_short
            .then(parts)
            .flatten()
            .ok_or(Refusal::TokenMalformed)
    }
}

struct Key {
    algorithm: Algorithm,
    key: DecodingKey,
    /// The same of HS256, ready: the library makes it anew for each token, and hashes two blocks more for that.
    secret: Option<hmac::Key>,
    /// What a token must say of its issuer and its audience, where that is configured.
    validation: Option<Validation>,
}

struct Inner {
    keys: Vec<Key>,
    naming: Naming,
    leeway_seconds: u32,
}

/// All keys; shared by the shards, changed by none.
#[derive(Clone)]
pub struct Keys(Arc<Inner>);

/// The result of a verification.
pub type VerifyResult = Result<Identity, Refusal>;

/// Whom a token names, and what it permits with files and uploads.
pub type PermitResult = Result<(String, FilePermits), Refusal>;

/// A verification, done or to be done beside the shards.
pub enum Verdict<R = VerifyResult> {
    /// Done here.
    Done(R),
    /// A signature that takes long to check; the job gives the same.
    Job(Box<dyn FnOnce() -> Box<dyn Any + Send> + Send>),
}

fn algorithm_of(name: &str) -> Result<Algorithm, KeyError> {
    match name {
        "HS256" => Ok(Algorithm::HS256),
        "RS256" => Ok(Algorithm::RS256),
        "ES256" => Ok(Algorithm::ES256),
        "EdDSA" => Ok(Algorithm::EdDSA),
        other => Err(KeyError(format!(
            "the algorithm {other:?} is none of HS256, RS256, ES256, EdDSA"
        ))),
    }
}

fn decoding_key(config: &KeyConfig, algorithm: Algorithm) -> Result<DecodingKey, KeyError> {
    let key = match algorithm {
        Algorithm::HS256 if config.bytes.len() < 32 => {
            return Err(KeyError(
                "an HS256 secret has at least 32 bytes (RFC 7518 §3.2)".to_owned(),
            ));
        }
        // Whoever knows a public key could sign with it.
        Algorithm::HS256 if config.bytes.trim_ascii_start().starts_with(b"-----BEGIN ") => {
            return Err(KeyError("a PEM file is no HS256 secret".to_owned()));
        }
        Algorithm::HS256 => Ok(DecodingKey::from_secret(&config.bytes)),
        Algorithm::RS256 => DecodingKey::from_rsa_pem(&config.bytes),
        Algorithm::ES256 => DecodingKey::from_ec_pem(&config.bytes),
        _ => DecodingKey::from_ed_pem(&config.bytes),
    };
    key.map_err(|error| KeyError(error.to_string()))
}

/// `None`: a token may say what it likes of its issuer and its audience.
fn validation(
    algorithm: Algorithm,
    issuer: Option<&String>,
    audience: Option<&String>,
) -> Option<Validation> {
    let mut validation = Validation::new(algorithm);
    // Times are checked against the caller's clock.
    validation.validate_exp = false;
    validation.validate_nbf = false;
    validation.validate_aud = audience.is_some();
    validation.required_spec_claims.clear();
    if let Some(audience) = audience {
        validation.set_audience(&[audience]);
        validation.required_spec_claims.insert("aud".to_owned());
    }
    if let Some(issuer) = issuer {
        validation.set_issuer(&[issuer]);
        validation.required_spec_claims.insert("iss".to_owned());
    }
    (issuer.is_some() || audience.is_some()).then_some(validation)
}

impl Key {
    fn new(
        config: &KeyConfig,
        issuer: Option<&String>,
        audience: Option<&String>,
    ) -> Result<Self, KeyError> {
        let algorithm = algorithm_of(&config.algorithm)?;
        let is_secret = algorithm == Algorithm::HS256;
        Ok(Self {
            algorithm,
            key: decoding_key(config, algorithm)?,
            secret: is_secret.then(|| hmac::Key::new(hmac::HMAC_SHA256, &config.bytes)),
            validation: validation(algorithm, issuer, audience),
        })
    }

    /// Whether the token was signed by whoever has this key.
    fn has_signed(&self, token: Token<'_>) -> Result<bool, Refusal> {
        let (message, signature) = (token.message.as_bytes(), token.signature);
        let Some(secret) = &self.secret else {
            return jsonwebtoken::crypto::verify(signature, message, &self.key, self.algorithm)
                .map_err(|error| refusal_of(error.kind()));
        };
        Ok(hmac::verify(secret, message, &decoded(signature)?).is_ok())
    }
}

fn decoded(part: &str) -> Result<Vec<u8>, Refusal> {
    let decoded = BASE64_URL_SAFE_NO_PAD.decode(part);
    decoded.map_err(|_| Refusal::TokenMalformed)
}

/// What a token says whose header was read already: its claims once. The library's `decode` reads the header twice more, and the claims twice, which was half
/// of what a token costs in a storm of clients that come back.
fn signed_claims(key: &Key, token: Token<'_>) -> Result<Claims, Refusal> {
    if !key.has_signed(token)? {
        return Err(Refusal::TokenSignature);
    }
    serde_json::from_slice(&decoded(token.payload)?).map_err(|_| Refusal::TokenClaims)
}

impl Keys {
    /// Makes keys of their configuration.
    ///
    /// # Errors
    /// [`KeyError`] for an unknown algorithm or bytes that are no such key.
    pub fn new(
        configs: &[KeyConfig],
        issuer: Option<String>,
        audience: Option<String>,
        leeway_seconds: u32,
    ) -> Result<Self, KeyError> {
        let key = |config: &KeyConfig| Key::new(config, issuer.as_ref(), audience.as_ref());
        let names: BTreeSet<&str> = configs.iter().map(|config| config.id.as_str()).collect();
        if names.len() < configs.len() {
            return Err(KeyError("two keys have the same id".to_owned()));
        }
        let keys: Vec<Key> = configs.iter().map(key).collect::<Result<_, _>>()?;
        let names = configs.iter().zip(&keys).map(|(config, key)| Name {
            id: config.id.clone(),
            algorithm: key.algorithm,
        });
        let naming = Naming::new(names.collect());
        Ok(Self(Arc::new(Inner {
            keys,
            naming,
            leeway_seconds,
        })))
    }

    /// Whether there is any.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.keys.is_empty()
    }

    /// Verifies a token: a shared secret here (some microseconds), a signature beside the shards.
    #[must_use]
    pub fn verify(&self, token: &str, now: Now) -> Verdict {
        let (token, index) = match self.0.key_of(token) {
            Ok(found) => found,
            Err(refusal) => return Verdict::Done(Err(refusal)),
        };
        if self.0.keys[index].algorithm == Algorithm::HS256 {
            return Verdict::Done(self.0.check(index, token, now));
        }
        let (inner, text) = (self.0.clone(), token.text.to_owned());
        Verdict::Job(Box::new(move || {
            let checked = Token::cut(&text).and_then(|token| inner.check(index, token, now));
            Box::new(checked) as Box<dyn Any + Send>
        }))
    }
}

impl Keys {
    /// Whom a token says that it names, by which requests find the shard that verifies it. Nobody may be believed for that.
    ///
    /// # Errors
    /// [`Refusal::TokenMalformed`] for what is no token, [`Refusal::TokenClaims`] for one that names nobody.
    pub fn claimed_subject(token: &str) -> Result<String, Refusal> {
        #[derive(Deserialize)]
        struct Named {
            sub: String,
        }
        let payload = token.rsplit('.').nth(1);
        let payload = payload.filter(|_| token.len() <= TOKEN_BYTES_MAX);
        let payload = payload.and_then(|it| BASE64_URL_SAFE_NO_PAD.decode(it).ok());
        let payload = payload.ok_or(Refusal::TokenMalformed)?;
        let named = serde_json::from_slice::<Named>(&payload);
        named.map(|it| it.sub).map_err(|_| Refusal::TokenClaims)
    }

    /// Whom a token names, and what it permits with files and uploads. Any signature is verified here and now.
    ///
    /// # Errors
    /// What is wrong with the token.
    pub fn permits(&self, token: &str, now: Now) -> Result<(String, FilePermits), Refusal> {
        let (token, index) = self.0.key_of(token)?;
        let claims = self.0.claims(index, token, now)?;
        let is_named = (1..=SUBJECT_BYTES_MAX).contains(&claims.sub.len());
        let rw = claims.rw;
        let permits = FilePermits::new(rw.files, rw.uploads, rw.publish);
        let permits = permits.filter(|_| is_named).ok_or(Refusal::TokenClaims)?;
        Ok((claims.sub, permits))
    }
}

impl Inner {
    /// A token's parts, and the key that it names.
    fn key_of<'a>(&self, text: &'a str) -> Result<(Token<'a>, usize), Refusal> {
        let token = Token::cut(text)?;
        Ok((token, self.naming.key_of(token.header)?))
    }

    fn check(&self, index: usize, token: Token<'_>, now: Now) -> VerifyResult {
        let claims = self.claims(index, token, now)?;
        Identity::new(claims, self.leeway_seconds).ok_or(Refusal::TokenClaims)
    }

    fn claims(&self, index: usize, token: Token<'_>, now: Now) -> Result<Claims, Refusal> {
        let key = &self.keys[index];
        let claims = match &key.validation {
            Some(validation) => jsonwebtoken::decode(token.text, &key.key, validation)
                .map(|token| token.claims)
                .map_err(|error| refusal_of(error.kind())),
            None => signed_claims(key, token),
        }?;
        self.check_times(&claims, now)?;
        Ok(claims)
    }

    fn check_times(&self, claims: &Claims, now: Now) -> Result<(), Refusal> {
        let leeway_ms = u64::from(self.leeway_seconds) * 1000;
        if claims.exp.saturating_mul(1000).saturating_add(leeway_ms) <= now.unix_ms {
            return Err(Refusal::TokenExpired);
        }
        if claims
            .nbf
            .is_some_and(|nbf| nbf.saturating_mul(1000) > now.unix_ms.saturating_add(leeway_ms))
        {
            return Err(Refusal::TokenNotYetValid);
        }
        Ok(())
    }
}

impl Keys {
    /// Those of [`Self::permits`], beside the shards if the signature takes long.
    #[must_use]
    pub fn permits_or_job(&self, token: &str, now: Now) -> Verdict<PermitResult> {
        let key = self.0.key_of(token).map(|(_, index)| &self.0.keys[index]);
        if key.is_ok_and(|key| key.algorithm != Algorithm::HS256) {
            let (keys, token) = (self.clone(), token.to_owned());
            return Verdict::Job(Box::new(move || Box::new(keys.permits(&token, now))));
        }
        Verdict::Done(self.permits(token, now))
    }
}

const fn refusal_of(error: &ErrorKind) -> Refusal {
    match error {
        ErrorKind::InvalidSignature => Refusal::TokenSignature,
        ErrorKind::InvalidAlgorithm => Refusal::TokenAlgorithm,
        ErrorKind::Json(_)
        | ErrorKind::MissingRequiredClaim(_)
        | ErrorKind::InvalidAudience
        | ErrorKind::InvalidIssuer => Refusal::TokenClaims,
        _ => Refusal::TokenMalformed,
    }
}

/// Signs claims (see [`Claims`]), for tests and operators.
///
/// # Errors
/// [`KeyError`] when the key cannot sign: all but HS256 need their private half.
pub fn mint(config: &KeyConfig, claims: &impl Serialize) -> Result<String, KeyError> {
    let algorithm = algorithm_of(&config.algorithm)?;
    let private = || {
        config
            .private
            .as_deref()
            .ok_or_else(|| KeyError("the key has no private_file".to_owned()))
    };
    let key = match algorithm {
        Algorithm::HS256 => Ok(EncodingKey::from_secret(&config.bytes)),
        Algorithm::RS256 => EncodingKey::from_rsa_pem(private()?),
        Algorithm::ES256 => EncodingKey::from_ec_pem(private()?),
        _ => EncodingKey::from_ed_pem(private()?),
    };
    let key = key.map_err(|error| KeyError(error.to_string()))?;
    let header = Header {
        kid: Some(config.id.clone()),
        ..Header::new(algorithm)
    };
    jsonwebtoken::encode(&header, claims, &key).map_err(|error| KeyError(error.to_string()))
}

#[cfg(test)]
mod tests {
    use super::super::RoomClaims;
    use super::*;

    const NOW: Now = Now {
        monotonic_us: 0,
        unix_ms: 1_000_000_000,
    };

    fn config(id: &str, secret: u8) -> KeyConfig {
        KeyConfig {
            id: id.to_owned(),
            algorithm: "HS256".to_owned(),
            bytes: vec![secret; 32],
            private: None,
        }
    }

    fn claims(exp: u64, nbf: Option<u64>) -> Claims {
        let rw = RoomClaims {
            join: vec!["order:*".to_owned()],
            publish: vec!["order:7".to_owned()],
            ..RoomClaims::default()
        };
        Claims {
            sub: "anna".to_owned(),
            exp,
            nbf,
            rw,
        }
    }

    fn verify(token: &str) -> VerifyResult {
        match Keys::new(&[config("a", 1)], None, None, 5)
            .unwrap()
            .verify(token, NOW)
        {
            Verdict::Done(result) => result,
            Verdict::Job(job) => *job().downcast().unwrap(),
        }
    }

    #[test]
    fn a_good_token_makes_an_identity() {
        let identity = verify(&mint(&config("a", 1), &claims(1_000_001, None)).unwrap()).unwrap();
        assert_eq!(
            (identity.subject(), identity.expires_unix_ms()),
            ("anna", Some(1_000_006_000))
        );
        assert!(identity.may_join("order:9") && !identity.may_join("x"));
        assert!(identity.may_publish("order:7") && !identity.may_publish("order:8"));
    }

    #[test]
    fn what_a_token_claims_is_what_it_names() {
        let good = mint(&config("a", 1), &claims(1_000_001, None)).unwrap();
        assert_eq!(Keys::claimed_subject(&good).as_deref(), Ok("anna"));
        for wrong in ["", "a.b.c", "anna", &format!("{good}{}", "a".repeat(9000))] {
            let refused = Keys::claimed_subject(wrong);
            assert_eq!(refused, Err(Refusal::TokenMalformed), "{wrong:.20}");
        }
        // {}, and what is no object.
        for nobody in ["a.e30.c", "a.AAAA.c"] {
            let refused = Keys::claimed_subject(nobody);
            assert_eq!(refused, Err(Refusal::TokenClaims), "{nobody}");
        }
    }

    #[test]
    fn hostile_tokens_are_refused_by_name() {
        let good = mint(&config("a", 1), &claims(1_000_001, None)).unwrap();
        let none = "eyJhbGciOiJub25lIn0.eyJzdWIiOiJhIiwiZXhwIjo5OTk5OTk5OTk5fQ.";
        for (token, refusal) in [
            (String::new(), Refusal::TokenMalformed),
            ("x.y.z".to_owned(), Refusal::TokenMalformed),
            (format!("x.{good}"), Refusal::TokenMalformed),
            (format!("{good}.x"), Refusal::TokenMalformed),
            (good.replacen('.', "..", 1), Refusal::TokenMalformed),
            (none.to_owned(), Refusal::TokenMalformed),
            (good[..good.len() - 4].to_owned(), Refusal::TokenMalformed),
            ("a".repeat(9000), Refusal::TokenMalformed),
            (
                mint(&config("a", 2), &claims(1_000_001, None)).unwrap(),
                Refusal::TokenSignature,
            ),
            (
                mint(&config("b", 1), &claims(1_000_001, None)).unwrap(),
                Refusal::TokenUnknownKey,
            ),
            (
                mint(&config(&"k".repeat(129), 1), &claims(1_000_001, None)).unwrap(),
                Refusal::TokenMalformed,
            ),
            (
                mint(&config("a", 1), &claims(999_995, None)).unwrap(),
                Refusal::TokenExpired,
            ),
            (
                mint(&config("a", 1), &claims(1_000_001, Some(1_000_006))).unwrap(),
                Refusal::TokenNotYetValid,
            ),
            (
                mint(
                    &config("a", 1),
                    &Claims {
                        sub: String::new(),
                        ..claims(1_000_001, None)
                    },
                )
                .unwrap(),
                Refusal::TokenClaims,
            ),
            (
                mint(
                    &config("a", 1),
                    &Claims {
                        sub: "x".repeat(257),
                        ..claims(1_000_001, None)
                    },
                )
                .unwrap(),
                Refusal::TokenClaims,
            ),
        ] {
            assert_eq!(
                verify(&token),
                Err(refusal),
                "{}",
                &token[..token.len().min(40)]
            );
        }
    }

    /// Fresh keys of nobody, for these tests.
    fn asymmetric(algorithm: &str) -> KeyConfig {
        let (private, public): (&[u8], &[u8]) = match algorithm {
            "RS256" => (
                include_bytes!("testdata/rs256.pem"),
                include_bytes!("testdata/rs256.pub.pem"),
            ),
            "ES256" => (
                include_bytes!("testdata/es256.pem"),
                include_bytes!("testdata/es256.pub.pem"),
            ),
            _ => (
                include_bytes!("testdata/eddsa.pem"),
                include_bytes!("testdata/eddsa.pub.pem"),
            ),
        };
        KeyConfig {
            id: "p".to_owned(),
            algorithm: algorithm.to_owned(),
            bytes: public.to_vec(),
            private: Some(private.to_vec()),
        }
    }

    fn verify_with(configs: &[KeyConfig], token: &str) -> VerifyResult {
        match Keys::new(configs, None, None, 5)
            .unwrap()
            .verify(token, NOW)
        {
            Verdict::Done(result) => result,
            Verdict::Job(job) => *job().downcast().unwrap(),
        }
    }

    fn with_header(header: &str, token: &str) -> String {
        use base64::Engine as _;
        let header = BASE64_URL_SAFE_NO_PAD.encode(header);
        let (_, rest) = token.split_once('.').unwrap();
        format!("{header}.{rest}")
    }

    #[test]
    fn signatures_are_checked_beside_the_shards() {
        for algorithm in ["RS256", "ES256", "EdDSA"] {
            let config = asymmetric(algorithm);
            let keys = Keys::new(core::slice::from_ref(&config), None, None, 5).unwrap();
            let token = mint(&config, &claims(1_000_001, None)).unwrap();
            let Verdict::Job(job) = keys.verify(&token, NOW) else {
                panic!("{algorithm} was checked on the shard");
            };
            let result: VerifyResult = *job().downcast().unwrap();
            assert_eq!(result.unwrap().subject(), "anna", "{algorithm}");
            let (signed, signature) = token.rsplit_once('.').unwrap();
            let flipped = if signature.starts_with('A') { "B" } else { "A" };
            let forged = format!("{signed}.{flipped}{}", &signature[1..]);
            let refused = verify_with(&[config], &forged);
            assert_eq!(refused, Err(Refusal::TokenSignature), "{algorithm}");
        }
    }

    #[test]
    fn a_public_key_is_no_shared_secret() {
        for algorithm in ["RS256", "ES256", "EdDSA"] {
            let public = asymmetric(algorithm);
            let confused = KeyConfig {
                algorithm: "HS256".to_owned(),
                ..public.clone()
            };
            // What an attacker signs, who knows the public key as everybody does.
            let secret = EncodingKey::from_secret(&public.bytes);
            for (kid, refusal) in [
                (Some("p"), Refusal::TokenAlgorithm),
                (None, Refusal::TokenUnknownKey),
            ] {
                let header = Header {
                    kid: kid.map(str::to_owned),
                    ..Header::new(Algorithm::HS256)
                };
                let token =
                    jsonwebtoken::encode(&header, &claims(1_000_001, None), &secret).unwrap();
                let refused = verify_with(core::slice::from_ref(&public), &token);
                assert_eq!(refused, Err(refusal), "{algorithm} {kid:?}");
            }
            let error = Keys::new(&[confused], None, None, 5).err();
            assert!(error.is_some(), "a PEM is not a secret: {algorithm}");
        }
    }

    #[test]
    fn rfc7515_4_1_11_critical_extensions_are_refused() {
        let mut header = Header::new(Algorithm::HS256);
        header.crit = Some(vec!["b64".to_owned()]);
        let secret = EncodingKey::from_secret(&[1; 32]);
        let token = jsonwebtoken::encode(&header, &claims(1_000_001, None), &secret).unwrap();
        assert_eq!(verify(&token), Err(Refusal::TokenMalformed));
    }

    #[test]
    fn hostile_headers_are_refused() {
        let good = mint(&config("a", 1), &claims(1_000_001, None)).unwrap();
        let deep = format!(
            r#"{{"alg":"HS256","x":{}{}}}"#,
            "[".repeat(2000),
            "]".repeat(2000)
        );
        for header in [
            r#"{"alg":"none"}"#,
            r#"{"alg":"None"}"#,
            r#"{"alg":["HS256"]}"#,
            r#"{"alg":"HS256","kid":7}"#,
            r#"{"kid":"a"}"#,
            "[]",
            "",
            "{",
            &deep,
        ] {
            let refused = verify(&with_header(header, &good));
            assert_eq!(refused, Err(Refusal::TokenMalformed), "{header:.60}");
        }
    }

    #[test]
    fn without_a_kid_the_only_key_of_the_algorithm_is_meant() {
        let secret = EncodingKey::from_secret(&[1; 32]);
        let header = Header::new(Algorithm::HS256);
        let token = jsonwebtoken::encode(&header, &claims(1_000_001, None), &secret).unwrap();
        assert!(verify_with(&[config("a", 1), asymmetric("ES256")], &token).is_ok());
        for order in [[1, 2], [2, 1]] {
            let two = order.map(|secret| config(&format!("k{secret}"), secret));
            assert_eq!(verify_with(&two, &token), Err(Refusal::TokenUnknownKey));
        }
    }

    #[test]
    fn two_keys_of_one_name_are_refused() {
        assert!(Keys::new(&[config("a", 1), config("a", 2)], None, None, 5).is_err());
    }

    #[test]
    fn issuer_and_audience_are_checked_when_configured() {
        let keys = |issuer: &str, audience: &str| {
            let owned = |text: &str| (!text.is_empty()).then(|| text.to_owned());
            Keys::new(&[config("a", 1)], owned(issuer), owned(audience), 5).unwrap()
        };
        let secret = EncodingKey::from_secret(&[1; 32]);
        for (issuer, audience, claims, permitted) in [
            ("", "", r#"{"iss":"x","aud":"y"}"#, true),
            ("me", "", r#"{"iss":"me"}"#, true),
            ("me", "", r#"{"iss":"you"}"#, false),
            ("me", "", "{}", false),
            ("", "us", r#"{"aud":"us"}"#, true),
            ("", "us", r#"{"aud":["them","us"]}"#, true),
            ("", "us", r#"{"aud":["them"]}"#, false),
            ("", "us", r#"{"aud":[]}"#, false),
            ("", "us", "{}", false),
        ] {
            let mut claims: serde_json::Value = serde_json::from_str(claims).unwrap();
            claims["sub"] = "anna".into();
            claims["exp"] = 1_000_001.into();
            let token =
                jsonwebtoken::encode(&Header::new(Algorithm::HS256), &claims, &secret).unwrap();
            let Verdict::Done(result) = keys(issuer, audience).verify(&token, NOW) else {
                panic!("a shared secret is checked at once");
            };
            let expected = if permitted {
                None
            } else {
                Some(Refusal::TokenClaims)
            };
            assert_eq!(result.err(), expected, "{issuer:?} {audience:?} {claims}");
        }
    }

    #[test]
    fn rfc7518_3_2_short_secrets_are_no_keys() {
        let short = KeyConfig {
            bytes: vec![1; 31],
            ..config("a", 1)
        };
        assert!(Keys::new(&[short], None, None, 5).is_err());
    }

    proptest::proptest! {
        #[test]
        fn wild_tokens_are_refused(token in r#"[A-Za-z0-9_.\-="{}]{0,200}"#, text in ".{0,60}") {
            proptest::prop_assert!(verify(&token).is_err());
            proptest::prop_assert!(verify(&text).is_err());
        }

        #[test]
        fn a_token_with_another_byte_is_refused(at in 0usize..400, byte in 0x21u8..0x7f) {
            let good = mint(&config("a", 1), &claims(1_000_001, None)).unwrap();
            let mut bad = good.clone().into_bytes();
            let at = at % bad.len();
            bad[at] = byte;
            let bad = String::from_utf8(bad).unwrap();
            proptest::prop_assert!(bad == good || verify(&bad).is_err(), "{}", at);
        }
    }
}
