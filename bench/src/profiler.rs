//! perf at the server while a load is measured, and what it has seen as text.
//!
//! Sampled by `cpu-clock`, which needs no counters of the processor: virtual machines mostly have none.

use rustix::process::{Pid, Signal, kill_process};
use std::io;
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Output, Stdio};

/// Not a divisor of anything that happens once in a millisecond.
const SAMPLES_PER_SECOND: &str = "1999";

/// perf, as it records; dropping it ends it.
pub(crate) struct Profiler {
    perf: Child,
}

impl Profiler {
    /// Records the stacks of a process into the file.
    ///
    /// # Errors
    /// perf cannot be started.
    pub(crate) fn attach(pid: u32, data: &Path) -> io::Result<Self> {
        let perf = Command::new("perf")
            .args(["record", "--quiet", "-e", "cpu-clock", "-g"])
            .args(["-F", SAMPLES_PER_SECOND, "-p", &pid.to_string(), "-o"])
            .arg(data)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .map_err(|error| io::Error::other(format!("perf: {error}")))?;
        Ok(Self { perf })
    }

    /// Ends the recording; the file is whole then.
    ///
    /// # Errors
    /// perf could not record: what it says.
    pub(crate) fn finish(mut self) -> io::Result<()> {
        // It may have ended by itself: then it says why.
        let _ = self.interrupt();
        let status = self.perf.wait()?;
        let mut words = String::new();
        if let Some(mut stderr) = self.perf.stderr.take() {
            io::Read::read_to_string(&mut stderr, &mut words)?;
        }
        match was_interrupted(status) {
            true => Ok(()),
            false => Err(io::Error::other(format!(
                "perf: {status}: {}",
                words.trim()
            ))),
        }
    }

    fn interrupt(&self) -> io::Result<()> {
        Ok(kill_process(Pid::from_child(&self.perf), Signal::INT)?)
    }
}

impl Drop for Profiler {
    fn drop(&mut self) {
        // What cannot be interrupted has ended.
        let _ = self.interrupt();
        let _ = self.perf.wait();
    }
}

/// perf writes its file at SIGINT, and then ends with status 0 or by the signal that it had.
fn was_interrupted(status: ExitStatus) -> bool {
    use std::os::unix::process::ExitStatusExt as _;
    status.success() || status.signal() == Some(Signal::INT.as_raw())
}

/// The samples of a recording as `perf script` prints them. Without inlined functions: finding them takes perf minutes.
///
/// # Errors
/// perf cannot read it: what it says.
pub(crate) fn script(data: &Path) -> io::Result<Vec<u8>> {
    let Output {
        status,
        stdout,
        stderr,
    } = Command::new("perf")
        .args(["script", "--no-inline", "-i"])
        .arg(data)
        .stdin(Stdio::null())
        .output()?;
    match status.success() {
        true => Ok(stdout),
        false => Err(io::Error::other(
            String::from_utf8_lossy(&stderr).trim().to_owned(),
        )),
    }
}
