//! The servers: how each is started, on which CPUs, and what it has cost so far.

use crate::dialect::Dialect;
use crate::fetch::Files;
use crate::process::{Cpu, Memory};
use crate::scenario::{Kind, Scenario};
use core::ops::Range;
use serde::{Deserialize, Serialize};
use std::fs;
use std::io;
use std::net::{Ipv4Addr, SocketAddrV4, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// A server listens within this time, or has failed.
const START_PATIENCE: Duration = Duration::from_secs(10);
/// It has gone within this time after SIGTERM, or is killed.
const STOP_PATIENCE: Duration = Duration::from_secs(10);
/// It says within this time how large its heap is.
const HEAP_PATIENCE: Duration = Duration::from_secs(10);
const PORTS: Range<u16> = 20_000..32_000;
/// Of the files that are fetched, in the run's folder.
const FILES: &str = "files";
const LOOK: Duration = Duration::from_millis(10);
/// Of what a server that failed has said.
const WORDS_MAX: usize = 2000;
/// Of the tokens. It protects nothing: the server that believes in it ends with the run.
pub(crate) const SECRET: &[u8; 32] = b"thirty-two bytes for the bench..";

/// A server of `bench/servers.toml`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Server {
    pub(crate) name: String,
    pub(crate) dialect: Dialect,
    /// Words; `{port}`, `{admin}`, `{secret}`, `{shards}`, `{root}`, the tree's folder, and `{folder}`, one for this run, are filled in.
    pub(crate) command: Vec<String>,
    /// An application behind it, which is what is measured then. It writes `{folder}/ready` when it is.
    #[serde(default)]
    pub(crate) worker: Vec<String>,
    /// What is measured writes the bytes that are alive in its heap to `{folder}/heap` when it gets SIGUSR2.
    #[serde(default)]
    pub(crate) tells_heap: bool,
    /// Only scenarios that name it are done to it.
    #[serde(default)]
    pub(crate) by_name: bool,
    /// Words more where rates must not refuse anything.
    #[serde(default)]
    pub(crate) without_rates: Vec<String>,
    /// The only loads in which it differs from another server; all of them when there are none.
    #[serde(default)]
    pub(crate) loads: Vec<Kind>,
}

impl Server {
    /// Whether a scenario is done to it. What only echoes bytes is asked to by name.
    pub(crate) fn takes(&self, scenario: &Scenario) -> bool {
        let is_named = scenario.servers.contains(&self.name);
        let is_everybodys = !self.by_name && self.dialect != Dialect::Bytes;
        let is_meant = scenario.servers.is_empty() && is_everybodys;
        let differs = self.loads.is_empty() || self.loads.contains(&scenario.load);
        (is_named || is_meant) && differs && self.dialect.can(scenario.load)
    }
}

/// All servers of `bench/servers.toml`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Servers {
    pub(crate) server: Vec<Server>,
}

impl Servers {
    /// # Errors
    /// What is wrong with the file.
    pub(crate) fn read(path: &Path) -> Result<Self, String> {
        let wrong = |error: &dyn core::fmt::Display| format!("{}: {error}", path.display());
        let text = fs::read_to_string(path).map_err(|error| wrong(&error))?;
        toml::from_str(&text).map_err(|error| wrong(&error))
    }
}

/// A server that runs; dropping it ends it.
pub(crate) struct Running {
    /// What is measured.
    child: Child,
    /// What clients connect to, where that is another process.
    door: Option<Child>,
    tells_heap: bool,
    pub(crate) address: SocketAddrV4,
    /// Holds its secret and what it says; goes with it.
    folder: PathBuf,
    /// Words of its command, for the result: without where the tree and the secret are on this machine.
    pub(crate) command: Vec<String>,
}

impl Running {
    /// Starts the server and waits until it takes connections.
    ///
    /// # Errors
    /// It cannot be started, ends, or does not listen.
    pub(crate) fn start(server: &Server, scenario: &Scenario, root: &Path) -> io::Result<Self> {
        let (port, admin) = free_ports()?;
        let folder = std::env::temp_dir().join(format!("ringway-bench-{}", std::process::id()));
        fs::create_dir_all(&folder)?;
        // A server of files has them, whether somebody asks for one or not.
        fs::create_dir_all(folder.join(FILES))?;
        if let Some(wanted) = scenario.files() {
            Files::make(&folder.join(FILES), wanted)?;
        }
        let secret = folder.join("secret");
        fs::write(&secret, SECRET)?;
        let without_rates = server
            .without_rates
            .iter()
            .filter(|_| !scenario.default_rates);
        let filled = |word: &String| {
            word.replace("{port}", &port.to_string())
                .replace("{admin}", &admin.to_string())
                .replace("{shards}", &scenario.shards.to_string())
        };
        let words = server.command.iter().chain(without_rates).map(filled);
        let words: Vec<String> = words.collect();
        let worker: Vec<String> = server.worker.iter().map(filled).collect();
        let (root, secret) = (root.display().to_string(), secret.display().to_string());
        let here = folder.display().to_string();
        let placed = |word: &String| {
            word.replace("{root}", &root)
                .replace("{secret}", &secret)
                .replace("{folder}", &here)
        };
        // What is measured has its CPU for itself.
        let (door_cpus, cpus) = (&scenario.load_cpus, &scenario.server_cpus);
        let placed_words: Vec<String> = words.iter().map(placed).collect();
        let mut running = if worker.is_empty() {
            let child = spawn(&placed_words, cpus, &folder.join("stderr"))?;
            Self::new(child, None, port, folder)
        } else {
            let door = spawn(&placed_words, door_cpus, &folder.join("stderr-door"))?;
            let placed_worker: Vec<String> = worker.iter().map(placed).collect();
            // Whatever fails from here on, the door is closed with the rest.
            let child = spawn(&placed_worker, cpus, &folder.join("stderr"))?;
            Self::new(child, Some(door), port, folder)
        };
        running.tells_heap = server.tells_heap;
        running.command = words.into_iter().chain(worker).collect();
        running.wait_until_it_listens(&server.name)?;
        Ok(running)
    }

    fn new(child: Child, door: Option<Child>, port: u16, folder: PathBuf) -> Self {
        Self {
            child,
            door,
            tells_heap: false,
            address: SocketAddrV4::new(Ipv4Addr::LOCALHOST, port),
            folder,
            command: Vec::new(),
        }
    }

    /// The end of what it said on its standard error.
    pub(crate) fn last_words(&self) -> String {
        let words = fs::read(self.folder.join("stderr")).unwrap_or_default();
        let end = &words[words.len().saturating_sub(WORDS_MAX)..];
        String::from_utf8_lossy(end).trim().to_owned()
    }

    fn wait_until_it_listens(&mut self, name: &str) -> io::Result<()> {
        let until = Instant::now() + START_PATIENCE;
        while !self.is_ready() {
            if let Some(status) = self.child.try_wait()? {
                let words = self.last_words();
                return Err(io::Error::other(format!(
                    "{name} ended with {status}: {words}"
                )));
            }
            if Instant::now() > until {
                let problem = format!("{name} does not listen: {}", self.last_words());
                return Err(io::Error::new(io::ErrorKind::TimedOut, problem));
            }
            std::thread::sleep(LOOK);
        }
        Ok(())
    }

    fn is_ready(&self) -> bool {
        let is_joined = self.door.is_none() || self.folder.join("ready").exists();
        is_joined && TcpStream::connect(self.address).is_ok()
    }

    /// Where the files are that are fetched.
    pub(crate) fn files(&self) -> PathBuf {
        self.folder.join(FILES)
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// # Errors
    /// It is gone.
    pub(crate) fn cpu(&self) -> io::Result<Cpu> {
        Cpu::of(self.pid())
    }

    /// # Errors
    /// It is gone.
    pub(crate) fn memory(&self) -> io::Result<Memory> {
        let mut memory = Memory::of(self.pid())?;
        if self.tells_heap {
            memory.heap = self.heap()?;
        }
        Ok(memory)
    }

    /// What is alive in its heap, by its own word.
    fn heap(&self) -> io::Result<i64> {
        let file = self.folder.join("heap");
        let _ = fs::remove_file(&file);
        let pid = rustix::process::Pid::from_child(&self.child);
        rustix::process::kill_process(pid, rustix::process::Signal::USR2)?;
        let until = Instant::now() + HEAP_PATIENCE;
        loop {
            if let Ok(text) = fs::read_to_string(&file) {
                return text.trim().parse().map_err(io::Error::other);
            }
            if Instant::now() > until {
                return Err(io::Error::new(
                    io::ErrorKind::TimedOut,
                    "its heap was not told",
                ));
            }
            std::thread::sleep(LOOK);
        }
    }
}

/// Starts a process on its CPUs. Whatever becomes of us, it does not outlive us.
fn spawn(words: &[String], cpus: &[usize], stderr: &Path) -> io::Result<Child> {
    let cpus: Vec<String> = cpus.iter().map(usize::to_string).collect();
    let mut command = Command::new("setpriv");
    // What is measured is the default configuration, not what this shell happens to set.
    let settings = std::env::vars_os().map(|(name, _)| name);
    for name in settings.filter(|name| name.as_encoded_bytes().starts_with(b"RINGWAY_")) {
        command.env_remove(name);
    }
    command
        .args(["--pdeathsig", "KILL", "taskset", "--cpu-list"])
        .arg(cpus.join(","))
        .args(words)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(fs::File::create(stderr)?)
        .spawn()
}

fn stop(child: &mut Child) -> io::Result<()> {
    let pid = rustix::process::Pid::from_child(child);
    rustix::process::kill_process(pid, rustix::process::Signal::TERM)?;
    let until = Instant::now() + STOP_PATIENCE;
    while child.try_wait()?.is_none() {
        if Instant::now() > until {
            child.kill()?;
        }
        std::thread::sleep(LOOK);
    }
    Ok(())
}

impl Drop for Running {
    fn drop(&mut self) {
        // What cannot be stopped has ended.
        let _ = stop(&mut self.child);
        let _ = self.door.as_mut().map(stop);
        let _ = fs::remove_dir_all(&self.folder);
    }
}

/// Two ports that nobody has. Below those that the kernel gives to clients: who knocks at one of its ports before the server listens may
/// be given that very port to knock from, is connected to itself, and keeps the server from it.
fn free_ports() -> io::Result<(u16, u16)> {
    let start = PORTS.start + (std::process::id() % 4000) as u16 * 2;
    let pairs = (start..PORTS.end).chain(PORTS.start..start).step_by(2);
    let is_free = |port: u16| TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok();
    let mut pairs = pairs.map(|port| (port, port + 1));
    let free = pairs.find(|(port, next)| is_free(*port) && is_free(*next));
    free.ok_or_else(|| {
        io::Error::new(
            io::ErrorKind::AddrInUse,
            format!("no two free ports in {PORTS:?}"),
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ports_are_free_and_none_of_the_kernels_choice() {
        let (port, next) = free_ports().unwrap();
        assert!(PORTS.contains(&port) && next == port + 1);
        let _taken = TcpListener::bind((Ipv4Addr::LOCALHOST, next)).unwrap();
        assert_ne!(free_ports().unwrap().0, port);
    }
}
