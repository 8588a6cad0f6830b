//! What goes wrong, how often it may, and how often it did.

use crate::random::Random;

/// Everything that the kernel may do to a shard besides what it hoped for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// Fewer bytes are received than came.
    ShortReceive,
    /// A send goes only in part.
    ShortSend,
    /// Completions of one wait come in another order than the operations ended.
    Reordered,
    /// A completion is kept back (a late notice; a completion queue that overflowed and is flushed later).
    CompletionHeld,
    /// An operation reaches the ring only at a later wait (EINTR, EAGAIN or EBUSY on submit).
    SubmitDelayed,
    /// A wait ends although nothing happened.
    SpuriousReturn,
    /// A multishot receive ends without a reason.
    ReceiveEnded,
    /// The receive pool was empty (ENOBUFS).
    PoolEmpty,
    /// Bytes came between a cancel and the last completion of the receive.
    BytesAfterCancel,
    /// A cancel found its operation ended already.
    CancelTooLate,
    /// A cancelled send had moved a part of its bytes.
    CancelledSendMoved,
    /// An accept failed for lack of descriptors.
    AcceptFailed,
    /// A multishot accept ended without a reason.
    AcceptEnded,
    /// The descriptor table was full.
    TableFull,
    /// A completion of a connection that is closed.
    CompletionAfterClose,
    /// A peer reset its connection.
    PeerReset,
    /// A peer finished sending and still reads.
    HalfClose,
    /// A send found the peer's window full.
    SlowReader,
    /// The compute pool refused a job.
    ComputeRefused,
    /// A read gave fewer bytes than there were.
    ShortRead,
    /// A write took fewer bytes than it was given.
    ShortWrite,
    /// A read failed.
    ReadFailed,
    /// A write failed.
    WriteFailed,
    /// The disk was full.
    DiskFull,
    /// A sync failed.
    SyncFailed,
    /// A file could not be opened for lack of descriptors.
    OpenRefused,
    /// Bytes to be sent were not in memory.
    ColdPage,
    /// A send from a file was to be asked again.
    SendPutOff,
    /// A send from a file or a slot went only in part.
    ShortFileSend,
    /// No slot was free.
    SlotsOut,
    /// The kernel read a slot on beyond its send.
    NoticeLate,
    /// A file was cut short while it was in use.
    FileCut,
    /// A file was replaced by another one.
    FileReplaced,
    /// The power went.
    PowerLost,
}

impl Fault {
    /// All but those of files, in the order of their names in the report.
    pub const ALL: [Self; 19] = [
        Self::ShortReceive,
        Self::ShortSend,
        Self::Reordered,
        Self::CompletionHeld,
        Self::SubmitDelayed,
        Self::SpuriousReturn,
        Self::ReceiveEnded,
        Self::PoolEmpty,
        Self::BytesAfterCancel,
        Self::CancelTooLate,
        Self::CancelledSendMoved,
        Self::AcceptFailed,
        Self::AcceptEnded,
        Self::TableFull,
        Self::CompletionAfterClose,
        Self::PeerReset,
        Self::HalfClose,
        Self::SlowReader,
        Self::ComputeRefused,
    ];

    /// Those of files, which only a kernel that serves some has.
    pub const OF_FILES: [Self; 15] = [
        Self::ShortRead,
        Self::ShortWrite,
        Self::ReadFailed,
        Self::WriteFailed,
        Self::DiskFull,
        Self::SyncFailed,
        Self::OpenRefused,
        Self::ColdPage,
        Self::SendPutOff,
        Self::ShortFileSend,
        Self::SlotsOut,
        Self::NoticeLate,
        Self::FileCut,
        Self::FileReplaced,
        Self::PowerLost,
    ];

    const COUNT: usize = Self::ALL.len() + Self::OF_FILES.len();

    /// How many in a thousand chances are taken; 0 for what follows from other things.
    const fn permille(self) -> u16 {
        match self {
            Self::ShortReceive => 200,
            Self::ShortSend => 120,
            Self::CompletionHeld => 60,
            Self::SubmitDelayed => 50,
            Self::SpuriousReturn => 30,
            Self::ReceiveEnded => 30,
            Self::AcceptFailed => 20,
            Self::AcceptEnded => 50,
            Self::CompletionAfterClose => 400,
            Self::ComputeRefused => 20,
            Self::ShortRead | Self::ShortWrite => 150,
            Self::ReadFailed | Self::WriteFailed => 4,
            Self::DiskFull | Self::SyncFailed | Self::OpenRefused => 10,
            Self::ColdPage | Self::NoticeLate => 300,
            Self::SendPutOff => 50,
            Self::ShortFileSend => 150,
            Self::Reordered
            | Self::PoolEmpty
            | Self::BytesAfterCancel
            | Self::CancelTooLate
            | Self::CancelledSendMoved
            | Self::TableFull
            | Self::PeerReset
            | Self::HalfClose
            | Self::SlowReader
            | Self::SlotsOut
            | Self::FileCut
            | Self::FileReplaced
            | Self::PowerLost => 0,
        }
    }
}

/// The faults of one seed.
#[derive(Clone, Debug)]
pub struct Faults {
    /// No fault is injected any more: the seed comes to its end.
    quiet: bool,
    fired: [u64; Fault::COUNT],
}

impl Default for Faults {
    fn default() -> Self {
        Self {
            quiet: false,
            fired: [0; Fault::COUNT],
        }
    }
}

impl Faults {
    /// Whether a fault happens now; counted if so.
    pub(crate) fn roll(&mut self, random: &mut Random, fault: Fault) -> bool {
        let fires = !self.quiet && random.chance(fault.permille());
        if fires {
            self.note(fault);
        }
        fires
    }

    /// Counts a fault that followed from something else.
    pub fn note(&mut self, fault: Fault) {
        self.fired[fault as usize] += 1;
    }

    /// Injects nothing from now on.
    pub const fn be_quiet(&mut self) {
        self.quiet = true;
    }

    /// How often each fault fired.
    pub fn fired(&self) -> impl Iterator<Item = (Fault, u64)> + '_ {
        Fault::ALL.into_iter().zip(self.fired)
    }

    /// The same of the faults of files.
    pub fn fired_of_files(&self) -> impl Iterator<Item = (Fault, u64)> + '_ {
        let faults = Fault::OF_FILES.into_iter();
        faults.map(|fault| (fault, self.fired[fault as usize]))
    }
}
