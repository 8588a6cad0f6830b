//! One file that is served, `a.txt`, and is there at once.

use super::world::World;
use crate::files::Stat;
use crate::hub::{FileAnswer, FileAsk, NotOpened, OpenedFile, Seen};
use std::rc::Rc;

const fn stat(bytes: usize) -> Stat {
    Stat {
        bytes: bytes as u64,
        modified_unix_seconds: 1,
        modified_nanoseconds: 0,
        inode: 1,
        device: 1,
        changed_ns: 1,
        links: 1,
        permissions: 0o644,
    }
}

fn answer(ask: &FileAsk, text: &[u8]) -> FileAnswer {
    let stat = stat(text.len());
    match ask {
        FileAsk::Open { path, .. } if path == "a.txt" => FileAnswer::Opened(Ok(OpenedFile {
            file: Rc::new(()),
            stat,
        })),
        FileAsk::Open { .. } => FileAnswer::Opened(Err(NotOpened::Absent)),
        FileAsk::Read { .. } => FileAnswer::Read(Some(text.to_vec())),
        FileAsk::Stat(_) => FileAnswer::Stat(Some(Seen {
            stat,
            has_its_bytes: true,
        })),
    }
}

impl World {
    /// Answers what was asked of files.
    pub(super) fn serve(&mut self, text: &[u8]) {
        while !self.file_asks.is_empty() {
            for (shard, token, ask) in core::mem::take(&mut self.file_asks) {
                let (now, answer) = (self.now, answer(&ask, text));
                self.with(shard, |hub, post, entropy, out| {
                    hub.file(now, token, answer, post, entropy, out);
                });
            }
            self.settle();
        }
    }
}
