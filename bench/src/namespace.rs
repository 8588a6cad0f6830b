//! A network of our own: this program again, under `unshare`.

use std::env;
use std::fs;
use std::io;
use std::process::{Command, ExitStatus};

/// Says to the program inside that it is inside. Not Ringway's prefix: those set things.
const INSIDE: &str = "BENCH_IS_INSIDE";
/// Names another congestion control than [`CUBIC`].
const ASKED: &str = "BENCH_CONGESTION_CONTROL";
/// What a kernel has unless somebody changed it. A namespace begins with what the machine was given: with BBR each sender of more than a segment waits for a timer of
/// half a microsecond on loopback, and who is slowed down by it depends on where segments end.
const CUBIC: &str = "cubic";
const CONGESTION_CONTROL: &str = "/proc/sys/net/ipv4/tcp_congestion_control";

/// Where this process stands.
pub(crate) enum Place {
    /// In a network of its own, and it is up.
    Inside,
    /// The program has run inside and ended so.
    Ended(ExitStatus),
}

/// Runs this program again in a network namespace of its own, unless it is there already.
///
/// # Errors
/// Why the machine does not let us.
pub(crate) fn enter() -> io::Result<Place> {
    if env::var_os(INSIDE).is_some() {
        // Nobody would reach anybody before.
        run_quietly("ip", &["link", "set", "lo", "up"])?;
        choose_congestion_control()?;
        return Ok(Place::Inside);
    }
    let root = rustix::process::geteuid().is_root();
    let flags: &[&str] = if root {
        &["--net"]
    } else {
        &["--net", "--map-root-user"]
    };
    run_quietly("unshare", &[flags, &["true"]].concat())?;
    let status = Command::new("unshare")
        .args(flags)
        .arg("--")
        .arg(env::current_exe()?)
        .args(env::args_os().skip(1))
        .env(INSIDE, "1")
        .status()?;
    Ok(Place::Ended(status))
}

/// # Errors
/// That the kernel has not what was asked for. Where nothing was, it stays at what the machine was given.
fn choose_congestion_control() -> io::Result<()> {
    match env::var(ASKED) {
        Ok(asked) => fs::write(CONGESTION_CONTROL, &asked)
            .map_err(|error| io::Error::other(format!("{ASKED}={asked}: {error}"))),
        Err(_) => {
            let _ = fs::write(CONGESTION_CONTROL, CUBIC);
            Ok(())
        }
    }
}

/// What connections begin with where this process is; empty where the kernel does not say.
pub(crate) fn congestion_control() -> String {
    let said = fs::read_to_string(CONGESTION_CONTROL).unwrap_or_default();
    said.trim().to_owned()
}

fn run_quietly(program: &str, arguments: &[&str]) -> io::Result<()> {
    let output = Command::new(program).args(arguments).output();
    let output = output.map_err(|error| io::Error::other(format!("{program}: {error}")))?;
    match output.status.success() {
        true => Ok(()),
        false => Err(io::Error::other(
            String::from_utf8_lossy(&output.stderr).trim().to_owned(),
        )),
    }
}
