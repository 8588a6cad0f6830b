//! What a process and the kernel hold, read from /proc and, per socket, from `ss`.

use std::fmt;
use std::fs;
use std::process::Command;

const PAGE_BYTES: i64 = 4096;
pub(crate) const KIB: i64 = 1024;
pub(crate) const MIB: i64 = 1024 * KIB;

/// Bytes at one moment. The kernel's are those of the whole machine.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Memory {
    /// Resident pages of the process.
    pub(crate) resident: i64,
    /// The part of them that no file backs.
    pub(crate) anonymous: i64,
    /// Pages in TCP's queues, both ends of a connection.
    pub(crate) tcp: i64,
    /// Slab that cannot be reclaimed: sockets, both ends of a connection, and what the ring allocates.
    pub(crate) slab: i64,
}

impl Memory {
    pub(crate) fn of(pid: u32) -> Self {
        let status = fs::read_to_string(format!("/proc/{pid}/status")).expect("the daemon runs");
        let meminfo = fs::read_to_string("/proc/meminfo").unwrap();
        let sockstat = fs::read_to_string("/proc/net/sockstat").unwrap();
        let tcp_pages = word_after(&sockstat, "TCP:", "mem");
        Self {
            resident: word_after(&status, "VmRSS:", "VmRSS:") * KIB,
            anonymous: word_after(&status, "RssAnon:", "RssAnon:") * KIB,
            tcp: tcp_pages * PAGE_BYTES,
            slab: word_after(&meminfo, "SUnreclaim:", "SUnreclaim:") * KIB,
        }
    }

    /// What was added since `before`.
    pub(crate) const fn since(self, before: Self) -> Self {
        Self {
            resident: self.resident - before.resident,
            anonymous: self.anonymous - before.anonymous,
            tcp: self.tcp - before.tcp,
            slab: self.slab - before.slab,
        }
    }

    /// A share of it.
    pub(crate) const fn per(self, count: usize) -> Self {
        let count = count as i64;
        Self {
            resident: self.resident / count,
            anonymous: self.anonymous / count,
            tcp: self.tcp / count,
            slab: self.slab / count,
        }
    }
}

impl fmt::Display for Memory {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "resident {}, anonymous {}, kernel TCP queues {}, kernel slab {}",
            self.resident, self.anonymous, self.tcp, self.slab
        )
    }
}

/// The number after `word` in the line that starts with `line`.
fn word_after(text: &str, line: &str, word: &str) -> i64 {
    let line = text
        .lines()
        .find(|other| other.starts_with(line))
        .unwrap_or_else(|| panic!("no {line} in {text}"));
    let mut words = line.split_whitespace().skip_while(|other| *other != word);
    words.nth(1).and_then(|number| number.parse().ok()).unwrap()
}

/// Bytes that the kernel holds to send, on the sockets whose own port is `port`: all of them together, and the most on one.
/// `None` where iproute2 is not installed.
pub(crate) fn send_buffers(port: u16) -> Option<(i64, i64)> {
    let output = Command::new("ss")
        .args(["-tmnH", "sport", "=", &format!(":{port}")])
        .output()
        .ok()?;
    let text = String::from_utf8(output.stdout).expect("ss prints ASCII");
    let each: Vec<i64> = text.lines().filter_map(queued_to_send).collect();
    Some((each.iter().sum(), each.into_iter().max().unwrap_or(0)))
}

/// `w` of `skmem:(r0,rb131072,t0,tb87040,f0,w0,o0,bl0,d0)`: what is queued to send, with the kernel's overhead.
fn queued_to_send(line: &str) -> Option<i64> {
    let fields = line.split_once("skmem:(")?.1.split_once(')')?.0;
    let queued = fields
        .split(',')
        .find_map(|field| field.strip_prefix('w'))?;
    queued.parse().ok()
}
