//! `ringway token`: a token for tests, signed by a configured key.

use crate::cli::TokenArgs;
use crate::config::Config;
use crate::settings::key_configs;
use crate::start::StartError;
use ringway_service::auth::{Claims, KeyConfig, RoomClaims, mint};
use serde::Serialize;
use std::process::ExitCode;
use std::time::{SystemTime, UNIX_EPOCH};

/// What stands in the token: also what the daemon is configured to ask for.
#[derive(Serialize)]
struct Minted<'a> {
    #[serde(flatten)]
    claims: Claims,
    #[serde(skip_serializing_if = "Option::is_none")]
    iss: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    aud: Option<&'a str>,
}

/// Mints and prints a token.
///
/// # Errors
/// A configuration that cannot be used, or has no such key.
#[expect(clippy::print_stdout, reason = "the answer of a command line tool")]
pub fn token(args: &TokenArgs) -> Result<ExitCode, StartError> {
    let config = Config::load(
        args.config.config.as_deref(),
        std::env::vars(),
        &args.config.set,
    )?;
    let keys = key_configs(&config)?;
    let wanted = |key: &&KeyConfig| match &args.key {
        Some(id) => *id == key.id,
        None => key.signs(),
    };
    let key = keys
        .iter()
        .find(wanted)
        .ok_or_else(|| StartError::invalid_value("auth.keys", "no such key is configured"))?;
    let now = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0, |since| since.as_secs());
    let rw = RoomClaims {
        join: args.join.clone(),
        publish: args.publish.clone(),
        files: args.files.clone(),
        uploads: args.uploads.clone(),
    };
    let claims = Claims {
        sub: args.subject.clone(),
        exp: now + args.expires_in,
        nbf: None,
        rw,
    };
    let minted = Minted {
        claims,
        iss: config.auth.issuer.as_deref(),
        aud: config.auth.audience.as_deref(),
    };
    let token =
        mint(key, &minted).map_err(|error| StartError::invalid_value("auth.keys", &error.0))?;
    println!("{token}");
    Ok(ExitCode::SUCCESS)
}
