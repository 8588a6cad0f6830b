//! Neighbours of those whose latency is measured: clients of another process that fetch large files of the same server.
//!
//! They read when the measured clients have nothing to do (`SCHED_IDLE`): they share the CPU of the load, and what they take of it is not what is measured.

use crate::fetch::{Fetching, Files, Wanted};
use crate::load::Drive;
use serde::{Deserialize, Serialize};
use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::SocketAddrV4;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

/// What neighbours do.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Bulk {
    pub(crate) connections: usize,
    pub(crate) fetch: Wanted,
}

impl Bulk {
    /// The same with a handful of clients and small files.
    pub(crate) fn quick(self) -> Self {
        Self {
            connections: self.connections.min(4),
            fetch: self.fetch.quick(),
        }
    }
}

/// What they fetched.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Fetched {
    /// Of bodies.
    pub(crate) bytes: u64,
    pub(crate) seconds: f64,
    /// Answers that were something else.
    pub(crate) refused: u64,
}

/// What the process of the neighbours is told.
#[derive(Serialize, Deserialize)]
pub(crate) struct Task {
    bulk: Bulk,
    server: SocketAddrV4,
    folder: PathBuf,
}

/// The process; dropping it ends it.
pub(crate) struct Neighbours {
    child: Child,
}

impl Neighbours {
    /// Starts them; they are fetching when this returns.
    ///
    /// # Errors
    /// The machine's.
    pub(crate) fn start(bulk: &Bulk, server: SocketAddrV4, folder: &Path) -> io::Result<Self> {
        let task = Task {
            bulk: bulk.clone(),
            server,
            folder: folder.to_owned(),
        };
        let child = Command::new("chrt")
            .args(["--idle", "0"])
            .arg(std::env::current_exe()?)
            .arg("bulk")
            .arg(serde_json::to_string(&task)?)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()?;
        let mut neighbours = Self { child };
        let mut ready = String::new();
        let output = neighbours.child.stdout.as_mut();
        let mut output = BufReader::with_capacity(1, output.expect("it is piped"));
        output.read_line(&mut ready)?;
        if ready.is_empty() {
            return Err(io::Error::other("the neighbours did not begin"));
        }
        Ok(neighbours)
    }

    /// Ends them.
    ///
    /// # Errors
    /// They failed before.
    pub(crate) fn finish(mut self) -> io::Result<Fetched> {
        drop(self.child.stdin.take());
        let mut said = String::new();
        let output = self.child.stdout.as_mut().expect("it is piped");
        output.read_to_string(&mut said)?;
        let fetched = serde_json::from_str(&said);
        fetched.map_err(|error| io::Error::other(format!("the neighbours failed: {error}")))
    }
}

impl Drop for Neighbours {
    fn drop(&mut self) {
        // It may have ended by itself, which is what both ask for.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The neighbours themselves: they fetch until their standard input ends.
///
/// # Errors
/// The machine's, and what the server did wrong.
pub(crate) fn serve(task: Task, mut out: impl Write) -> io::Result<()> {
    let Task {
        bulk,
        server,
        folder,
    } = task;
    let files = Files::in_folder(&folder, &bulk.fetch);
    let mut fetching = Fetching::open(server, bulk.fetch, files, bulk.connections)?;
    fetching.start();
    let is_over = ends_with_input();
    let start = Instant::now();
    writeln!(out, "ready")?;
    out.flush()?;
    while !is_over.load(Ordering::Relaxed) {
        let most = fetching.due();
        fetching.turn(most)?;
    }
    let tally = fetching.tally();
    let fetched = Fetched {
        bytes: tally.bytes,
        refused: tally.refused,
        seconds: start.elapsed().as_secs_f64(),
    };
    writeln!(out, "{}", serde_json::to_string(&fetched)?)
}

/// Set when standard input has ended.
fn ends_with_input() -> Arc<AtomicBool> {
    let is_over = Arc::new(AtomicBool::new(false));
    let flag = Arc::clone(&is_over);
    std::thread::spawn(move || {
        let mut rest = Vec::new();
        // A pipe that fails has ended too.
        let _ = io::stdin().read_to_end(&mut rest);
        flag.store(true, Ordering::Relaxed);
    });
    is_over
}
