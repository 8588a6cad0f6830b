//! Samples as a flame graph, and as two short tables: whose the time was, and which functions had it themselves.
//!
//! Deliberately absent: how samples are taken.

use core::fmt::Write as _;
use inferno::collapse::Collapse as _;
use inferno::collapse::perf::{Folder, Options as FoldOptions};
use inferno::flamegraph::color::{MultiPalette, Palette};
use inferno::flamegraph::{self, Options as GraphOptions};
use std::collections::BTreeMap;
use std::io;
use std::path::Path;

/// Lines of the table of functions.
const TOP: usize = 15;

/// Writes the graph of what `perf script` printed.
///
/// # Errors
/// It is not what perf prints, or the graph cannot be written.
pub(crate) fn draw(script: &[u8], title: &str, out: impl io::Write) -> io::Result<()> {
    let mut fold = FoldOptions::default();
    fold.annotate_kernel = true;
    let mut stacks = Vec::new();
    Folder::from(fold).collapse(script, &mut stacks)?;
    let mut options = GraphOptions::default();
    options.title = title.to_owned();
    // What perf says of each sample of `cpu-clock`: the time since the one before.
    options.count_name = "ns".to_owned();
    options.colors = Palette::Multi(MultiPalette::Rust);
    // The same name has the same colour in every graph.
    options.hash = true;
    flamegraph::from_reader(&mut options, &stacks[..], out)
}

/// Whose code it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Owner {
    Kernel,
    Server,
    Libc,
    Other,
}

impl Owner {
    const ALL: [Self; 4] = [Self::Kernel, Self::Server, Self::Libc, Self::Other];

    /// By the file that perf names beside a function.
    fn of(file: &str, server: &str) -> Self {
        const NOT_KERNEL: [&str; 5] = ["[vdso]", "[unknown]", "[heap]", "[stack]", "[vsyscall]"];
        let name = Path::new(file).file_name();
        let name = name.and_then(|name| name.to_str()).unwrap_or(file);
        match name {
            name if NOT_KERNEL.contains(&name) => Self::Other,
            name if file.starts_with('[') || name.ends_with(".ko") => Self::Kernel,
            name if name == server => Self::Server,
            name if name.starts_with("libc.so") || name.starts_with("libc-") => Self::Libc,
            _ => Self::Other,
        }
    }

    const fn name(self, server: &str) -> &str {
        match self {
            Self::Kernel => "kernel",
            Self::Server => server,
            Self::Libc => "libc",
            Self::Other => "other",
        }
    }
}

/// The innermost frames of all samples, and how often each was it.
pub(crate) struct Shares<'a> {
    server: &'a str,
    samples: usize,
    frames: BTreeMap<(Owner, &'a str), usize>,
}

impl<'a> Shares<'a> {
    /// Counts. `server` is the name of the server's binary.
    pub(crate) fn of(script: &'a str, server: &'a str) -> Self {
        let mut shares = Self {
            server,
            samples: 0,
            frames: BTreeMap::new(),
        };
        // A sample is a line that says what it is, and then its frames, the innermost first and each after white space.
        let mut is_innermost = false;
        for line in script.lines().filter(|line| !line.trim().is_empty()) {
            if !line.starts_with(char::is_whitespace) {
                is_innermost = true;
            } else if core::mem::take(&mut is_innermost)
                && let Some((function, file)) = frame(line)
            {
                shares.samples += 1;
                let key = (Owner::of(file, server), function);
                *shares.frames.entry(key).or_default() += 1;
            }
        }
        shares
    }

    /// For people.
    pub(crate) fn render(&self) -> String {
        let percent = |count: usize| count as f64 * 100.0 / self.samples.max(1) as f64;
        let mut text = format!("{} samples:", self.samples);
        for owner in Owner::ALL {
            let frames = self.frames.iter().filter(|((of, _), _)| *of == owner);
            let count = frames.map(|(_, count)| count).sum();
            let name = owner.name(self.server);
            let _ = write!(text, " {name} {:.1} %", percent(count));
        }
        text.push_str("\n\nself time\n");
        let mut frames: Vec<_> = self.frames.iter().collect();
        frames.sort_by_key(|(_, count)| core::cmp::Reverse(**count));
        for ((owner, function), count) in frames.into_iter().take(TOP) {
            let (share, name) = (percent(*count), owner.name(self.server));
            let _ = writeln!(text, "{share:>6.1} %  {name:<8} {function}");
        }
        text
    }
}

/// The function and the file of `  ffffffff81 tcp_sendmsg+0x1a ([kernel.kallsyms])`.
fn frame(line: &str) -> Option<(&str, &str)> {
    let (_address, rest) = line.trim().split_once(' ')?;
    let (function, file) = rest.rsplit_once(" (")?;
    let function = function
        .rsplit_once("+0x")
        .map_or(function, |(name, _)| name);
    Some((function, file.trim_end_matches(')')))
}

#[cfg(test)]
mod tests {
    use super::*;

    const SCRIPT: &str = "\
shard-0  4711 1000.100000:     500250 cpu-clock:ppp: 
\tffffffff81a tcp_sendmsg+0x1a ([kernel.kallsyms])
\t     55e1 ringway_runtime::send::flush+0x20 (/tmp/a/ringway)

shard-0  4711 1000.200000:     500250 cpu-clock:ppp: 
\t     55e2 <alloc::rc::Rc<T,A> as core::ops::drop::Drop>::drop+0x1 (/tmp/a/ringway)
\t     55e1 ringway_runtime::send::flush+0x20 (/tmp/a/ringway)

shard-0  4711 1000.300000:     500250 cpu-clock:ppp: 
\t     7f01 [unknown] (/usr/lib/x86_64-linux-gnu/libc.so.6)
\t     55e1 ringway_runtime::send::flush+0x20 (/tmp/a/ringway)

shard-0  4711 1000.400000:     500250 cpu-clock:ppp: 
\tffffffff81b tcp_sendmsg+0x99 ([kernel.kallsyms])

";

    #[test]
    fn self_time_is_the_innermost_frames() {
        let text = Shares::of(SCRIPT, "ringway").render();
        assert_eq!(
            text,
            "4 samples: kernel 50.0 % ringway 25.0 % libc 25.0 % other 0.0 %\n\nself time\n  50.0 %  kernel   tcp_sendmsg\n  \
             25.0 %  ringway  <alloc::rc::Rc<T,A> as core::ops::drop::Drop>::drop\n  25.0 %  libc     [unknown]\n"
        );
    }

    #[test]
    fn owners_by_file() {
        for (file, owner) in [
            ("[kernel.kallsyms]", Owner::Kernel),
            ("[nf_conntrack]", Owner::Kernel),
            ("/lib/modules/6.1/kernel/net/x.ko", Owner::Kernel),
            ("[vdso]", Owner::Other),
            ("[unknown]", Owner::Other),
            ("/usr/lib/libm.so.6", Owner::Other),
            ("libc-2.31.so", Owner::Libc),
            ("ringway", Owner::Server),
        ] {
            assert_eq!(Owner::of(file, "ringway"), owner, "{file}");
        }
    }

    #[test]
    fn a_graph_has_the_frames() {
        let mut svg = Vec::new();
        draw(SCRIPT.as_bytes(), "a title", &mut svg).unwrap();
        let svg = String::from_utf8(svg).unwrap();
        for part in [
            "<svg",
            "a title",
            "tcp_sendmsg",
            "ringway_runtime::send::flush",
        ] {
            assert!(svg.contains(part), "{part}");
        }
    }
}
