//! What a process costs: time on CPUs and memory, from /proc.

use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fs;
use std::io;

/// What the scheduler has given a process so far, over all of its threads.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Cpu {
    /// Nanoseconds on a CPU.
    pub(crate) on_ns: u64,
    /// Nanoseconds that a thread could have run and another process did.
    pub(crate) waiting_ns: u64,
}

impl Cpu {
    /// # Errors
    /// The process is gone.
    pub(crate) fn of(pid: u32) -> io::Result<Self> {
        let mut total = Self::default();
        for task in fs::read_dir(format!("/proc/{pid}/task"))? {
            // A thread may end meanwhile.
            let text = fs::read_to_string(task?.path().join("schedstat")).unwrap_or_default();
            let mut fields = text
                .split_whitespace()
                .map(|field| field.parse().unwrap_or(0));
            total.on_ns += fields.next().unwrap_or(0);
            total.waiting_ns += fields.next().unwrap_or(0);
        }
        // Of threads that have ended the process knows as well, in ticks.
        let ticks = ticks_in(&fs::read_to_string(format!("/proc/{pid}/stat"))?);
        total.on_ns = total.on_ns.max(ticks * (1_000_000_000 / TICKS as u64));
        Ok(total)
    }

    /// Seconds on a CPU and seconds of waiting for one.
    pub(crate) fn since(self, before: Self) -> (f64, f64) {
        // What a thread waited goes with it.
        let seconds = |now: u64, before: u64| now.saturating_sub(before) as f64 / 1e9;
        (
            seconds(self.on_ns, before.on_ns),
            seconds(self.waiting_ns, before.waiting_ns),
        )
    }
}

/// What the scheduler has given each process of the machine so far, kernel threads included.
#[derive(Debug, Default)]
pub(crate) struct Everybody(BTreeMap<u32, u64>);

impl Everybody {
    /// # Errors
    /// There is no /proc.
    pub(crate) fn now() -> io::Result<Self> {
        let names = fs::read_dir("/proc")?.filter_map(Result::ok);
        let pids = names.filter_map(|entry| entry.file_name().to_str()?.parse().ok());
        // One that ends meanwhile says nothing any more.
        let on_ns = |pid| Some((pid, Cpu::of(pid).ok()?.on_ns));
        Ok(Self(pids.filter_map(on_ns).collect()))
    }

    /// Seconds on CPUs of all who are there still, those among them that have come since.
    pub(crate) fn since(&self, before: &Self) -> f64 {
        let grown = |(pid, on_ns): (&u32, &u64)| {
            on_ns.saturating_sub(before.0.get(pid).copied().unwrap_or(0)) as f64 / 1e9
        };
        self.0.iter().map(grown).sum()
    }
}

/// User and system time of a process, in ticks, from its /proc/PID/stat, where its name may have any characters.
fn ticks_in(stat: &str) -> u64 {
    // Behind the name the first field is the third of proc(5), where utime and stime are the 14th and the 15th.
    let rest = stat.rsplit_once(')').map_or("", |(_, rest)| rest);
    let fields = rest.split_whitespace().skip(14 - 3).take(2);
    fields.filter_map(|field| field.parse::<u64>().ok()).sum()
}

/// Ticks of /proc/stat in a second, on every architecture that this runs on (`USER_HZ`).
const TICKS: f64 = 100.0;

/// Time of some CPUs that the hypervisor took: one of them had something to do and did not run.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct CpuTime {
    /// Over all of them.
    pub(crate) seconds: f64,
    pub(crate) cpus: usize,
}

impl CpuTime {
    /// So far, of the CPUs named.
    ///
    /// # Errors
    /// There is no /proc.
    pub(crate) fn stolen(cpus: &[usize]) -> io::Result<Self> {
        Ok(Self::in_stat(&fs::read_to_string("/proc/stat")?, cpus))
    }

    fn in_stat(stat: &str, cpus: &[usize]) -> Self {
        // "cpu0 user nice system idle iowait irq softirq steal guest guest_nice"; the space tells cpu1 from cpu10.
        let of_cpu = |cpu: &usize| field(stat, &format!("cpu{cpu} "), 8);
        Self {
            seconds: cpus.iter().map(of_cpu).sum::<i64>() as f64 / TICKS,
            cpus: cpus.len(),
        }
    }

    pub(crate) const fn since(self, before: Self) -> Self {
        Self {
            seconds: self.seconds - before.seconds,
            cpus: self.cpus,
        }
    }
}

/// Memory at one moment, in bytes. The kernel's is that of the whole machine, both ends of each connection.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Memory {
    pub(crate) resident: i64,
    /// Resident, shared pages divided by those who share them.
    pub(crate) proportional: i64,
    /// Resident and backed by no file.
    pub(crate) anonymous: i64,
    /// Slab that cannot be reclaimed.
    pub(crate) kernel_slab: i64,
    /// Pages in TCP's queues.
    pub(crate) kernel_tcp: i64,
    /// What is alive in the heap, where the process tells.
    #[serde(default)]
    pub(crate) heap: i64,
}

impl Memory {
    /// # Errors
    /// The process is gone.
    pub(crate) fn of(pid: u32) -> io::Result<Self> {
        let rollup = fs::read_to_string(format!("/proc/{pid}/smaps_rollup"))?;
        let meminfo = fs::read_to_string("/proc/meminfo")?;
        let sockstat = fs::read_to_string("/proc/net/sockstat")?;
        let kib = |text: &str, name: &str| field(text, name, 1) * 1024;
        Ok(Self {
            resident: kib(&rollup, "Rss:"),
            proportional: kib(&rollup, "Pss:"),
            anonymous: kib(&rollup, "Anonymous:"),
            kernel_slab: kib(&meminfo, "SUnreclaim:"),
            // "TCP: inuse 5 orphan 0 tw 0 alloc 7 mem 1"
            kernel_tcp: field(&sockstat, "TCP:", 10) * 4096,
            heap: 0,
        })
    }

    pub(crate) const fn since(self, before: Self) -> Self {
        Self {
            resident: self.resident - before.resident,
            proportional: self.proportional - before.proportional,
            anonymous: self.anonymous - before.anonymous,
            kernel_slab: self.kernel_slab - before.kernel_slab,
            kernel_tcp: self.kernel_tcp - before.kernel_tcp,
            heap: self.heap - before.heap,
        }
    }
}

/// What a number grew by per second, by least squares over samples of a time in seconds and the number.
pub(crate) fn slope(samples: &[(f64, f64)]) -> Option<f64> {
    let count = samples.len() as f64;
    let mean_x = samples.iter().map(|(x, _)| x).sum::<f64>() / count;
    let mean_y = samples.iter().map(|(_, y)| y).sum::<f64>() / count;
    let products = samples.iter().map(|(x, y)| (x - mean_x) * (y - mean_y));
    let squares = samples.iter().map(|(x, _)| (x - mean_x) * (x - mean_x));
    let (products, squares) = (products.sum::<f64>(), squares.sum::<f64>());
    (squares > 0.0).then(|| products / squares)
}

/// The number at that place of the line that starts with `name`; 0 where the kernel has no such line.
fn field(text: &str, name: &str, place: usize) -> i64 {
    let line = text.lines().find(|line| line.starts_with(name));
    let word = line.and_then(|line| line.split_whitespace().nth(place));
    word.and_then(|word| word.parse().ok()).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slopes() {
        assert_eq!(slope(&[]), None);
        assert_eq!(slope(&[(1.0, 5.0)]), None);
        assert_eq!(slope(&[(0.0, 5.0), (1.0, 7.0), (2.0, 9.0)]), Some(2.0));
        assert_eq!(slope(&[(0.0, 1.0), (1.0, 3.0), (2.0, 1.0)]), Some(0.0));
    }

    #[test]
    fn what_was_stolen_is_that_of_the_cpus_named() {
        let stat = "cpu  9 9 9 9 9 9 9 999 0 0\ncpu0 1 2 3 4 5 6 7 150 0 0\ncpu1 1 2 3 4 5 6 7 50 0 0\n\
                    cpu10 1 2 3 4 5 6 7 7000 0 0\n";
        let seconds = |cpus: &[usize]| CpuTime::in_stat(stat, cpus).seconds;
        assert_eq!(seconds(&[0]), 1.5);
        assert_eq!(seconds(&[0, 1]), 2.0);
        assert_eq!(seconds(&[3]), 0.0);
        let (before, after) = (CpuTime::in_stat(stat, &[1]), CpuTime::in_stat(stat, &[1]));
        assert_eq!(
            after.since(before),
            CpuTime {
                seconds: 0.0,
                cpus: 1
            }
        );
    }

    #[test]
    fn everybody_is_counted_who_was_there_or_came() {
        let at = |counts: &[(u32, u64)]| Everybody(counts.iter().copied().collect());
        let before = at(&[(1, 5_000_000_000), (2, 1_000_000_000), (3, 9)]);
        let after = at(&[(1, 5_500_000_000), (2, 1_000_000_000), (4, 250_000_000)]);
        assert_eq!(after.since(&before), 0.75);
        let own = std::process::id();
        let (before, cpu) = (Everybody::now().unwrap(), Cpu::of(own).unwrap());
        while Cpu::of(own).unwrap().since(cpu).0 < 0.02 {}
        assert!(Everybody::now().unwrap().since(&before) >= 0.02);
    }

    #[test]
    fn ticks_stand_behind_any_name() {
        let stat = "12 (a b) 3 (c) R 1 2 3 4 5 6 7 8 9 10 150 27 0 0 20 0 9";
        assert_eq!(ticks_in(stat), 177);
        assert_eq!(ticks_in("nothing"), 0);
    }

    /// A thread that ends takes its own count with it.
    #[test]
    fn threads_that_ended_count() {
        let pid = std::process::id();
        let before = Cpu::of(pid).unwrap();
        let spin = |_| {
            std::thread::spawn(|| {
                let start = std::time::Instant::now();
                while start.elapsed().as_millis() < 60 {}
            })
        };
        (0..4).map(spin).for_each(|thread| thread.join().unwrap());
        let (seconds, _) = Cpu::of(pid).unwrap().since(before);
        assert!(seconds > 0.05, "{seconds}");
    }

    #[test]
    fn this_process_costs_something() {
        let pid = std::process::id();
        let before = Cpu::of(pid).unwrap();
        let memory = Memory::of(pid).unwrap();
        assert!(
            memory.resident > 100_000 && memory.anonymous > 10_000,
            "{memory:?}"
        );
        assert!(memory.proportional <= memory.resident);
        assert!(memory.kernel_slab > 0, "{memory:?}");
        let mut sum = 0_u64;
        while Cpu::of(pid).unwrap().on_ns == before.on_ns {
            sum = std::hint::black_box(sum).wrapping_add(1);
        }
        assert!(Cpu::of(pid).unwrap().since(before).0 > 0.0);
    }
}
