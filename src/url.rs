//! `ringway url`: a signed URL of a file, by a configured key.

use crate::cli::UrlArgs;
use crate::config::Config;
use crate::files::url_keys;
use crate::start::StartError;
use ringway_service::files::{Grant, UrlClass};
use std::process::ExitCode;
use std::time::{SystemTime, UNIX_EPOCH};

/// Mints and prints a URL, without scheme and host.
///
/// # Errors
/// A configuration that cannot be used, or has no key.
#[expect(clippy::print_stdout, reason = "the answer of a command line tool")]
pub fn url(args: &UrlArgs) -> Result<ExitCode, StartError> {
    let config = Config::load(
        args.config.config.as_deref(),
        std::env::vars(),
        &args.config.set,
    )?;
    let none = || StartError::invalid_value("files.url_keys", "no key is configured");
    let keys = url_keys(&config)?.ok_or_else(none)?;
    let now = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0, |since| since.as_secs());
    let mut random = ringway_uring::Entropy::of_kernel();
    let mut draw = || u128::from(ringway_io::Entropy::draw(&mut random));
    let grant = Grant {
        class: match args.write {
            true => UrlClass::Write,
            false => UrlClass::Read,
        },
        path: &args.path,
        expires_unix_seconds: now.saturating_add(args.expires_in),
        download: args.download.as_deref(),
        subject: args.subject.as_deref(),
        rooms: args.room.as_deref(),
        once: args.once.then(|| draw() << 64 | draw()),
    };
    println!("{}", keys.mint(&grant));
    Ok(ExitCode::SUCCESS)
}
