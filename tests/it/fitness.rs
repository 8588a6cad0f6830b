//! Hosts that are not fit: io_uring denied, limits too small, files that cannot be read, ports that others have.
//!
//! Each refusal has its code, its cause and its remedy, ends with 2, and leaves no process. What is not needed is tested, too: a folder to start in.

use crate::tree;
use std::fs;
use std::io::{self, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::process::CommandExt as _;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

const RINGWAY: &str = env!("CARGO_BIN_EXE_ringway");
/// Root holds CAP_IPC_LOCK, which lifts RLIMIT_MEMLOCK: without both sets it is gone after exec.
const NO_IPC_LOCK: [&str; 3] = [
    "setpriv",
    "--bounding-set=-ipc_lock",
    "--inh-caps=-ipc_lock",
];
/// io_uring's three calls, by number.
const ALL_CALLS: &str = "425,426,427";
const SETUP: &str = "425";
const REGISTER: &str = "427";
/// Runs its arguments under a seccomp filter that answers some calls with an errno.
const DENY: &str = r#"
import ctypes, os, struct, sys
calls = [int(call) for call in sys.argv[2].split(",")]
def op(code, k, jump=0): return struct.pack("HBBI", code, jump, 0, k)
program = op(0x20, 0) + b"".join(op(0x15, call, len(calls) - at) for at, call in enumerate(calls))
program += op(0x06, 0x7FFF0000) + op(0x06, 0x50000 | int(sys.argv[1]))
class Program(ctypes.Structure): _fields_ = [("length", ctypes.c_ushort), ("filter", ctypes.c_char_p)]
libc, filter = ctypes.CDLL(None), Program(len(program) // 8, program)
assert libc.prctl(38, 1, 0, 0, 0) == 0 and libc.prctl(22, 2, ctypes.byref(filter), 0, 0) == 0
os.execv(sys.argv[3], sys.argv[3:])
"#;
const PATIENCE: Duration = Duration::from_secs(20);

/// `ringway serve --dev` on ports that the kernel chooses, unless `args` say otherwise.
fn serve(wrapper: &[&str], args: &[&str]) -> Command {
    let base = [
        RINGWAY,
        "serve",
        "--dev",
        "--set",
        "listen.address=127.0.0.1:0",
        "--set",
        "admin.address=127.0.0.1:0",
    ];
    let line = [wrapper, &base, args].concat();
    let mut command = Command::new(line[0]);
    command
        .args(&line[1..])
        .env_remove("RINGWAY_DEV")
        .process_group(0)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::piped());
    command
}

/// The process ends with 2, says this, and nothing of its group is left.
#[track_caller]
fn check_refused(mut command: Command, code: &str, says: &[&str]) {
    let mut child = command.spawn().unwrap();
    let (status, text) = ended(&mut child);
    assert_eq!(status, Some(2), "{text}");
    let refusal = format!("ringway: {code}: ");
    for part in [
        refusal.as_str(),
        "Remedy: ",
        &format!("`ringway explain {code}`"),
    ]
    .iter()
    .chain(says)
    {
        assert!(text.contains(part), "{part:?} is not in {text}");
    }
    let group = format!("-{}", child.id());
    let left = Command::new("kill")
        .args(["-0", "--", &group])
        .output()
        .unwrap();
    assert!(!left.status.success(), "a process is left");
}

/// The exit status and what was said; a process that does not end in time is killed and fails the test.
fn ended(child: &mut Child) -> (Option<i32>, String) {
    let started = Instant::now();
    while child.try_wait().unwrap().is_none() {
        if started.elapsed() > PATIENCE {
            child.kill().unwrap();
            child.wait().unwrap();
            panic!("it went on running");
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    let mut text = String::new();
    let mut stderr = child.stderr.take().unwrap();
    stderr.read_to_string(&mut text).unwrap();
    (child.wait().unwrap().code(), text)
}

/// The whole answer to a request.
fn get(address: &str, path: &str) -> io::Result<String> {
    let mut stream = TcpStream::connect(address)?;
    let request = format!("GET {path} HTTP/1.1\r\nHost: it\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes())?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    Ok(answer)
}

fn free_address() -> String {
    let holder = TcpListener::bind("127.0.0.1:0").unwrap();
    holder.local_addr().unwrap().to_string()
}

/// A daemon that serves; it is killed if a test does not stop it.
struct Daemon {
    child: Child,
    admin: String,
}

impl Daemon {
    /// Waits until it is ready.
    fn start(wrapper: &[&str], args: &[&str]) -> Self {
        let admin = free_address();
        let args = [args, &["--admin", &admin, "--set", "drain.deadline_ms=500"]].concat();
        let mut daemon = Self {
            child: serve(wrapper, &args).spawn().unwrap(),
            admin,
        };
        let started = Instant::now();
        while !daemon.is_ready() {
            if daemon.child.try_wait().unwrap().is_some() || started.elapsed() > PATIENCE {
                panic!("it does not serve: {}", ended(&mut daemon.child).1);
            }
            std::thread::sleep(Duration::from_millis(5));
        }
        daemon
    }

    fn is_ready(&self) -> bool {
        get(&self.admin, "/ready").is_ok_and(|answer| answer.starts_with("HTTP/1.1 200"))
    }

    fn stop(mut self) {
        let pid = self.child.id().to_string();
        assert!(Command::new("kill").arg(&pid).status().unwrap().success());
        let (status, text) = ended(&mut self.child);
        assert_eq!(status, Some(0), "{text}");
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        // It may have ended already: then there is nothing to do.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn file(name: &str, content: &str) -> PathBuf {
    let folder = std::env::temp_dir().join(format!("ringway-it-{}", std::process::id()));
    fs::create_dir_all(&folder).unwrap();
    let path = folder.join(name);
    fs::write(&path, content).unwrap();
    path
}

#[test]
fn io_uring_denied_by_seccomp() {
    let (eperm, enosys) = ("1", "38");
    for errno in [eperm, enosys] {
        let says = ["seccomp", "io_uring_setup", "profile"];
        check_refused(
            serve(&["python3", "-c", DENY, errno, ALL_CALLS], &[]),
            "RW-1002",
            &says,
        );
    }
}

/// What an older kernel answers: it does not know the flags of a ring (before 6.1), or how to list its operations (before 5.6).
#[test]
fn a_kernel_that_is_too_old() {
    let einval = "22";
    for (call, missing) in [
        (SETUP, "rings with SINGLE_ISSUER and DEFER_TASKRUN"),
        (REGISTER, "a list of io_uring's operations"),
    ] {
        let lacks = format!("the kernel lacks {missing}; Linux 6.1 or later is needed");
        let says = [lacks.as_str(), "run a kernel of 6.1 or later"];
        let wrapper = ["python3", "-c", DENY, einval, call];
        check_refused(serve(&wrapper, &[]), "RW-1001", &says);
    }
}

// One test: locked memory is counted per user, so that two of these at a time would take it from each other.
#[test]
fn locked_memory() {
    let limited = |bytes: &'static str| [&NO_IPC_LOCK[..], &["prlimit", bytes]].concat();
    let says = [
        "RLIMIT_MEMLOCK allows 65536 bytes",
        "LimitMEMLOCK",
        "fewer shards",
    ];
    check_refused(serve(&limited("--memlock=65536"), &[]), "RW-1004", &says);
    let eight_mebibytes = limited("--memlock=8388608");
    Daemon::start(&eight_mebibytes, &[]).stop();
    // The kernel gives the memory of rings back some time after their process: a restart does not suffer from it.
    for _ in 0..3 {
        Daemon::start(&eight_mebibytes, &["--shards", "54"]).stop();
    }
    // The first number of shards that the kernel would refuse is found before it does.
    let says = ["RLIMIT_MEMLOCK allows 8388608 bytes"];
    check_refused(
        serve(&eight_mebibytes, &["--shards", "57"]),
        "RW-1004",
        &says,
    );
    Daemon::start(&eight_mebibytes, &["--shards", "56"]).stop();
    let more_buffers = ["--shards", "54", "--set", "shards.receive_buffers=4096"];
    check_refused(serve(&eight_mebibytes, &more_buffers), "RW-1004", &says);
}

#[test]
fn descriptors() {
    let says = [
        "RLIMIT_NOFILE allows 1000 descriptors",
        "needs 19824",
        "LimitNOFILE",
        "shards.connections_max",
    ];
    check_refused(serve(&["prlimit", "--nofile=1000"], &[]), "RW-1005", &says);
    let fewer = ["--set", "shards.connections_max=900"];
    Daemon::start(&["prlimit", "--nofile=1000"], &fewer).stop();
}

#[test]
fn key_files() {
    let secret = file("secret", "thirty-two bytes are a good secret");
    fs::set_permissions(&secret, fs::Permissions::from_mode(0o0)).unwrap();
    let short = file("short", "thirty-one bytes are too little");
    let text = file(
        "text",
        "-----BEGIN PUBLIC KEY-----\nbm8ga2V5\n-----END PUBLIC KEY-----\n",
    );
    let folder = secret.parent().unwrap().to_path_buf();
    // Root reads whatever it likes, unless it may not override permissions.
    let bound = [
        "setpriv",
        "--bounding-set=-dac_override,-dac_read_search",
        "--inh-caps=-dac_override,-dac_read_search",
    ];
    for (wrapper, algorithm, path, says) in [
        (&bound[..], "HS256", &secret, "ermission denied"),
        (&[], "HS256", &folder, "directory"),
        (&[], "HS256", &short, "32 bytes"),
        (&[], "HS256", &text, "PEM"),
        (&[], "RS256", &text, "RW-1007"),
        (&[], "ES256", &text, "RW-1007"),
        (&[], "EdDSA", &text, "RW-1007"),
        (&[], "none", &text, "none of HS256"),
    ] {
        let path = path.to_str().unwrap();
        let key = format!(r#"auth.keys=[{{id="a",algorithm="{algorithm}",file="{path}"}}]"#);
        check_refused(serve(wrapper, &["--set", &key]), "RW-1007", &[path, says]);
    }
}

#[test]
fn ports_of_another_daemon() {
    let listen = free_address();
    let first = Daemon::start(&[], &["--shards", "4", "--listen", &listen]);
    let admin = first.admin.clone();
    for (flag, address) in [
        ("--listen", &listen),
        ("--admin", &admin),
        ("--listen", &admin),
        ("--admin", &listen),
    ] {
        check_refused(
            serve(&[], &[flag, address]),
            "RW-1006",
            &[address, "--listen or --admin"],
        );
    }
    assert!(first.is_ready(), "the first one has noticed nothing");
    first.stop();
}

#[test]
fn unknown_keys() {
    let config = file("unknown.toml", "[engine]\nping_intervall_ms = 1\n");
    let config = config.to_str().unwrap();
    check_refused(
        serve(&[], &["--config", config]),
        "RW-1008",
        &["ping_intervall_ms"],
    );
    check_refused(
        serve(&[], &["--set", "engin.path=x"]),
        "RW-1008",
        &["engin"],
    );
    let mut command = serve(&[], &[]);
    command.env("RINGWAY_ENGINE__PING_INTERVALL_MS", "1");
    check_refused(command, "RW-1008", &["ping_intervall_ms"]);
}

#[test]
fn the_demo_page_from_another_folder() {
    let listen = free_address();
    let daemon = Daemon::start(&["env", "--chdir=/"], &["--listen", &listen]);
    for (path, file) in [
        ("/", "src/dev/page.html"),
        ("/page.js", "src/dev/page.js"),
        ("/socket.io/socket.io.js", "src/dev/socket.io.min.js"),
    ] {
        let answer = get(&listen, path).unwrap();
        assert!(answer.starts_with("HTTP/1.1 200 "), "{path}: {answer}");
        let (_, body) = answer.split_once("\r\n\r\n").unwrap();
        assert!(body == tree::read(file), "{path} is not {file}");
    }
    daemon.stop();
}
