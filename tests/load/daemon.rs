//! The real binary on ports of its own, and what its operator's port says.

use crate::memory::Memory;
use ringway_service::auth::{Claims, KeyConfig, RoomClaims, mint};
use serde_json::Value;
use std::fs;
use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::path::PathBuf;
use std::process::{Child, Command};
use std::sync::atomic::{AtomicU16, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// Everything that is waited for comes within this time, or the test fails.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);
/// Time between two looks at a condition.
const LOOK: Duration = Duration::from_millis(20);
/// The kernel's memory is counted for the whole machine: one daemon at a time.
static ALONE: Mutex<()> = Mutex::new(());
const SECRET: [u8; 32] = *b"a secret of thirty-two bytes....";

/// A running daemon; dropping it ends it.
pub(crate) struct Daemon {
    child: Child,
    pub(crate) port: u16,
    admin_port: u16,
    secret_file: PathBuf,
    _alone: MutexGuard<'static, ()>,
}

impl Daemon {
    /// Starts one that checks tokens, with limits on and the default configuration but for `settings` (`key=value`).
    pub(crate) fn start(shards: u16, settings: &[&str]) -> Self {
        let alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
        let (port, admin_port) = (free_port(), free_port());
        let secret_file = std::env::temp_dir().join(format!("ringway-load-{port}"));
        fs::write(&secret_file, SECRET).unwrap();
        let key = format!(
            "auth.keys=[{{id=\"main\",algorithm=\"HS256\",file={:?}}}]",
            secret_file.display().to_string()
        );
        let mut command = Command::new(env!("CARGO_BIN_EXE_ringway"));
        command.args(["serve", "--listen", &format!("127.0.0.1:{port}")]);
        command.args(["--admin", &format!("127.0.0.1:{admin_port}")]);
        command.args(["--shards", &shards.to_string(), "--set", "log.level=error"]);
        for setting in settings.iter().copied().chain([&*key]) {
            command.args(["--set", setting]);
        }
        let daemon = Self {
            child: command.env_remove("RINGWAY_DEV").spawn().unwrap(),
            port,
            admin_port,
            secret_file,
            _alone: alone,
        };
        daemon.wait_until("the daemon is ready", || daemon.get("/ready").is_some());
        daemon
    }

    pub(crate) fn memory(&self) -> Memory {
        Memory::of(self.child.id())
    }

    /// The body of a successful answer of the operator's port.
    fn get(&self, path: &str) -> Option<String> {
        let mut stream = TcpStream::connect(("127.0.0.1", self.admin_port)).ok()?;
        stream.set_read_timeout(Some(PATIENCE)).ok()?;
        let head = format!("GET {path} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n");
        stream.write_all(head.as_bytes()).ok()?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).ok()?;
        let body = answer.split_once("\r\n\r\n")?.1.to_owned();
        answer.starts_with("HTTP/1.1 200").then_some(body)
    }

    /// Rows of `/api/v1/…`, such as `connections`.
    pub(crate) fn rows(&self, what: &str) -> Vec<Value> {
        let body = self.get(&format!("/api/v1/{what}")).expect("an answer");
        let mut answer: Value = serde_json::from_str(&body).unwrap();
        serde_json::from_value(answer[what].take()).unwrap()
    }

    /// The metrics page of this moment.
    pub(crate) fn metrics(&self) -> Metrics {
        Metrics(self.get("/metrics").expect("a metrics page"))
    }

    /// Looks again and again; fails loudly when it takes too long.
    #[track_caller]
    pub(crate) fn wait_until(&self, what: &str, condition: impl FnMut() -> bool) {
        self.wait_within(PATIENCE, what, condition);
    }

    /// [`Self::wait_until`] with a bound of its own.
    #[track_caller]
    pub(crate) fn wait_within(
        &self,
        bound: Duration,
        what: &str,
        mut condition: impl FnMut() -> bool,
    ) {
        let over = Instant::now() + bound;
        while !condition() {
            let page = self.get("/metrics").unwrap_or_default();
            assert!(
                Instant::now() < over,
                "not within {bound:?}: {what}\n{page}"
            );
            std::thread::sleep(LOOK);
        }
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        let _ = fs::remove_file(&self.secret_file);
    }
}

/// A page of `/metrics`.
pub(crate) struct Metrics(String);

impl Metrics {
    /// The sum over all shards.
    pub(crate) fn sum(&self, name: &str) -> u64 {
        self.sum_of(|series| series.split('{').next() == Some(name))
    }

    /// Refusals with that code.
    pub(crate) fn refusals(&self, code: &str) -> u64 {
        let label = format!("code=\"{code}\"");
        self.sum_of(|series| {
            series.starts_with("ringway_refusals_total") && series.contains(&label)
        })
    }

    fn sum_of(&self, matches: impl Fn(&str) -> bool) -> u64 {
        let samples = self.0.lines().filter(|line| !line.starts_with('#'));
        samples
            .filter_map(|line| line.rsplit_once(' '))
            .filter(|(series, _)| matches(series))
            .map(|(_, value)| value.parse::<f64>().unwrap() as u64)
            .sum()
    }
}

/// Ports that were given out are not looked at again: who asked for one does not hold it yet.
static NEXT_PORT: AtomicU16 = AtomicU16::new(0);

/// Below the ports that the kernel chooses by itself: a probe of such a port may get it for its own end, and connect to itself.
fn free_port() -> u16 {
    let start = 20_000 + (std::process::id() % 10_000) as u16;
    let is_free = |port: &u16| TcpListener::bind(("127.0.0.1", *port)).is_ok();
    let taken = NEXT_PORT.fetch_add(1, Ordering::Relaxed);
    (start + taken..32_000)
        .find(is_free)
        .expect("one of thousands is free")
}

/// A token for `subject` that opens every room.
pub(crate) fn token(subject: &str) -> String {
    let key = KeyConfig {
        id: "main".to_owned(),
        algorithm: "HS256".to_owned(),
        bytes: SECRET.to_vec(),
        private: None,
    };
    let all = vec!["*".to_owned()];
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    let claims = Claims {
        sub: subject.to_owned(),
        exp: now.as_secs() + 3600,
        nbf: None,
        rw: RoomClaims {
            join: all.clone(),
            publish: all,
            ..RoomClaims::default()
        },
    };
    mint(&key, &claims).unwrap()
}
