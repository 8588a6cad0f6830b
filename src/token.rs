//! `ringway token`: a token for tests, signed by a configured key.

use crate::cli::TokenArgs;
use crate::config::Config;
use crate::settings::key_configs;
use crate::start::StartError;
use ringway_service::auth::{Claims, RoomClaims, mint};
use std::process::ExitCode;
use std::time::{SystemTime, UNIX_EPOCH};

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
    let wanted = |id: &String| args.key.as_ref().is_none_or(|key| key == id);
    let key = keys
        .iter()
        .find(|key| wanted(&key.id))
        .ok_or_else(|| StartError::invalid_value("auth.keys", "no such key is configured"))?;
    let now = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0, |since| since.as_secs());
    let rw = RoomClaims {
        join: args.join.clone(),
        publish: args.publish.clone(),
    };
    let claims = Claims {
        sub: args.subject.clone(),
        exp: now + args.expires_in,
        nbf: None,
        rw,
    };
    let token =
        mint(key, &claims).map_err(|error| StartError::invalid_value("auth.keys", &error.0))?;
    println!("{token}");
    Ok(ExitCode::SUCCESS)
}
