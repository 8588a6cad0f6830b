//! The receive pool with a guard: whoever touches a buffer that is not his is found.

use ringway_io::{LeaseId, RecvLease};

/// What fills a buffer while the kernel owns it.
const PATTERN: u8 = 0xa5;

struct Buffer {
    bytes: Vec<u8>,
    leased: bool,
}

/// Receive buffers of one ring.
pub(crate) struct Pool {
    buffers: Vec<Buffer>,
    free: Vec<u32>,
    buffer_bytes: usize,
}

impl Pool {
    pub(crate) fn new(buffers: u32, buffer_bytes: usize) -> Self {
        let buffer = || Buffer {
            bytes: vec![PATTERN; buffer_bytes],
            leased: false,
        };
        Self {
            buffers: (0..buffers).map(|_| buffer()).collect(),
            free: (0..buffers).collect(),
            buffer_bytes,
        }
    }

    pub(crate) const fn buffer_bytes(&self) -> usize {
        self.buffer_bytes
    }

    pub(crate) const fn is_empty(&self) -> bool {
        self.free.is_empty()
    }

    /// Buffers that are out.
    pub(crate) fn leased(&self) -> usize {
        self.buffers.len() - self.free.len()
    }

    /// Fills a free buffer.
    ///
    /// # Panics
    /// When none is free, or when somebody wrote to one that the kernel owned.
    pub(crate) fn fill(&mut self, bytes: &[u8]) -> RecvLease {
        let id = self.free.pop().expect("the caller looked for a buffer");
        let buffer = &mut self.buffers[id as usize];
        assert!(
            buffer.bytes.iter().all(|byte| *byte == PATTERN),
            "buffer {id} was written to while the kernel owned it"
        );
        buffer.bytes[..bytes.len()].copy_from_slice(bytes);
        buffer.leased = true;
        RecvLease::grant(LeaseId(id), bytes.len() as u32)
    }

    /// The bytes of a lease.
    pub(crate) fn bytes(&mut self, lease: &RecvLease) -> &mut [u8] {
        let buffer = &mut self.buffers[lease.id().0 as usize];
        assert!(buffer.leased, "a lease that was given back is read");
        &mut buffer.bytes[..lease.len()]
    }

    /// Takes a buffer back.
    pub(crate) fn recycle(&mut self, lease: &RecvLease) {
        let id = lease.id().0;
        let buffer = &mut self.buffers[id as usize];
        assert!(buffer.leased, "lease {id} is returned twice");
        buffer.leased = false;
        buffer.bytes.fill(PATTERN);
        // The kernel takes buffers in the order in which they came back.
        self.free.insert(0, id);
    }
}

/// A sum over bytes that the kernel reads, taken at submit and at the end.
pub(crate) fn checksum(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, |sum, byte| {
        (sum ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3)
    })
}
