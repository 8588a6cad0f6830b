//! Is this host fit? One table at start and for `ringway check`, with the remedy where it is not.

use crate::cli::ConfigArgs;
use crate::config::Config;
use crate::files;
use crate::settings::{admin_token, settings};
use crate::start::StartError;
use ringway_uring::{ProbeError, UringConfig, limits, memlock_bytes, probe};
use std::process::ExitCode;

/// One line of the table.
pub struct Row {
    what: &'static str,
    outcome: Result<String, StartError>,
}

/// The sizes of one shard's ring, of the configuration.
#[must_use]
pub fn ring_config(config: &Config) -> UringConfig {
    UringConfig {
        // Room beyond the connections that are let in: arrivals from other shards, closes that take their time, and the accepts that were in
        // flight when the bound was reached.
        sockets_max: config.shards.connections_max + config.shards.connections_max / 25 + 64,
        recv_buffers: config
            .shards
            .receive_buffers
            .clamp(1, RECEIVE_BUFFERS_MAX)
            .next_power_of_two(),
        recv_buffer_bytes: config.shards.receive_buffer_bytes,
        ..UringConfig::default()
    }
}

/// How many shards the configuration means.
#[must_use]
pub fn shard_count(config: &Config) -> u16 {
    let allowed = ringway_runtime::allowed_cpus().len().clamp(1, 64) as u16;
    if config.shards.count == 0 {
        allowed
    } else {
        config.shards.count
    }
}

fn refuse(error: &ProbeError) -> StartError {
    let (code, remedy) = match error {
        ProbeError::KernelTooOld { .. } => ("RW-1001", "run a kernel of 6.1 or later"),
        ProbeError::Seccomp => (
            "RW-1002",
            "allow io_uring_setup, io_uring_enter and io_uring_register in the container's seccomp profile",
        ),
        ProbeError::Sysctl => ("RW-1003", "set kernel.io_uring_disabled=0"),
        ProbeError::Memlock { .. } => (
            "RW-1004",
            "raise LimitMEMLOCK (ulimit -l), or run fewer shards",
        ),
        ProbeError::Nofile { .. } => (
            "RW-1005",
            "raise LimitNOFILE (ulimit -n), or lower shards.connections_max",
        ),
        ProbeError::Other(_) => ("RW-1012", "see the cause"),
    };
    StartError::new(code, error.to_string(), remedy)
}

fn memlock(config: &Config) -> Result<String, ProbeError> {
    let ring = ring_config(config);
    let each = memlock_bytes(ring.sq_entries, ring.cq_entries, ring.recv_buffers);
    let arena = files::ring_files(config).map_or(0, |files| files.memlock_bytes());
    let wanted = (each + arena) * u64::from(shard_count(config));
    match limits().memlock_bytes {
        Some(allowed) if allowed < wanted => Err(ProbeError::Memlock { wanted, allowed }),
        Some(allowed) => Ok(format!("{wanted} of {allowed} bytes")),
        None => Ok(format!("{wanted} bytes, unlimited")),
    }
}

/// Of the daemon itself: rings, listeners, the admin port, and what libraries have open.
const DESCRIPTORS_OWN: u64 = 256;

fn nofile(config: &Config) -> Result<String, ProbeError> {
    let table = u64::from(ring_config(config).sockets_max);
    // Sockets stand in a table for each ring, files in the process's own.
    let files = files::ring_files(config).map_or(0, |files| files.descriptors());
    let open = files * u64::from(shard_count(config)) + DESCRIPTORS_OWN;
    let (wanted, allowed) = (table.max(open), limits().nofile);
    if allowed < wanted {
        Err(ProbeError::Nofile { wanted, allowed })
    } else {
        Ok(format!("{wanted} of {allowed} per shard"))
    }
}

/// The kernel's bound for a ring of provided buffers.
const RECEIVE_BUFFERS_MAX: u16 = 32_768;

fn shards(config: &Config) -> Result<String, StartError> {
    if !(1..=RECEIVE_BUFFERS_MAX).contains(&config.shards.receive_buffers) {
        return Err(StartError::invalid_value(
            "shards.receive_buffers",
            "there are 1 to 32,768 of them",
        ));
    }
    let count = shard_count(config);
    if count > 64 {
        return Err(StartError::invalid_value(
            "shards.count",
            "there are at most 64 shards",
        ));
    }
    Ok(format!(
        "{count} on {} CPUs",
        ringway_runtime::allowed_cpus().len()
    ))
}

/// The table.
#[must_use]
pub fn rows(config: &Config) -> Vec<Row> {
    let row = |what, outcome: Result<String, ProbeError>| Row {
        what,
        outcome: outcome.map_err(|error| refuse(&error)),
    };
    vec![
        Row {
            what: "shards",
            outcome: shards(config),
        },
        row("io_uring", probe().map(|()| "available".to_owned())),
        row("memlock", memlock(config)),
        row("descriptors", nofile(config)),
        Row {
            what: "settings",
            outcome: settings(config)
                .and_then(|_| admin_token(config))
                .map(|_| "usable".to_owned()),
        },
    ]
}

/// The first refusal, if there is one.
///
/// # Errors
/// That one.
pub fn demand(config: &Config) -> Result<(), StartError> {
    rows(config)
        .into_iter()
        .try_for_each(|row| row.outcome.map(drop))
}

/// `ringway check`.
///
/// # Errors
/// A configuration that cannot be read.
#[expect(clippy::print_stdout, reason = "the answer of a command line tool")]
pub fn check(args: &ConfigArgs) -> Result<ExitCode, StartError> {
    let config = Config::load(args.config.as_deref(), std::env::vars(), &args.set)?;
    let mut fit = true;
    for Row { what, outcome } in rows(&config) {
        fit &= outcome.is_ok();
        match outcome {
            Ok(figure) => println!("ok    {what:<12} {figure}"),
            Err(error) => println!("FAIL  {what:<12} {error}"),
        }
    }
    Ok(if fit {
        ExitCode::SUCCESS
    } else {
        ExitCode::from(1)
    })
}
