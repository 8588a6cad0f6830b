//! Memory that the kernel reads and writes while operations are in flight: from the kernel itself, so that it starts at a page.

use std::io;
use std::ptr::NonNull;

/// Anonymous memory that lives as long as the value.
pub(crate) struct Mapping {
    pub(crate) start: NonNull<u8>,
    bytes: usize,
}

impl Mapping {
    pub(crate) fn new(bytes: usize) -> io::Result<Self> {
        let (access, kind) = (
            libc::PROT_READ | libc::PROT_WRITE,
            libc::MAP_PRIVATE | libc::MAP_ANONYMOUS,
        );
        // SAFETY: a fresh anonymous mapping touches no existing memory.
        let start = unsafe { libc::mmap(core::ptr::null_mut(), bytes, access, kind, -1, 0) };
        if start == libc::MAP_FAILED {
            return Err(io::Error::last_os_error());
        }
        NonNull::new(start.cast())
            .map(|start| Self { start, bytes })
            .ok_or_else(io::Error::last_os_error)
    }
}

impl Drop for Mapping {
    fn drop(&mut self) {
        // SAFETY: mapped in `new` with this length; nothing is in flight when the driver drops its memory, so the kernel writes no more.
        unsafe { libc::munmap(self.start.as_ptr().cast(), self.bytes) };
    }
}
