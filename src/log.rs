//! Log lines, as text or JSON. Shards count; what they log is rare, and bounded where peers could have it said.

use crate::config::{Log, LogFormat};
use crate::start::StartError;
use std::io::IsTerminal as _;
use tracing_subscriber::EnvFilter;

/// Starts logging to standard error.
///
/// # Errors
/// RW-1009 when the level is none.
pub fn start(log: &Log) -> Result<(), StartError> {
    let filter = EnvFilter::try_new(&log.level)
        .map_err(|error| StartError::invalid_value("log.level", &error.to_string()))?;
    let lines = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        // A log file or a journal is no place for colours.
        .with_ansi(std::io::stderr().is_terminal())
        .with_target(false);
    match log.format {
        LogFormat::Text => lines.init(),
        LogFormat::Json => lines.json().flatten_event(true).init(),
    }
    Ok(())
}
