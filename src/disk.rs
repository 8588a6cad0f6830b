//! What the disk refuses to uploads and to the journal of used URLs, for the log: the first time at once, then once a minute with how often meanwhile.
//! A disk that is full refuses as often as clients try.
//!
//! Deliberately absent: what becomes of the request (`service/uploads`).

use core::time::Duration;
use ringway_io::{Errno, OpenError};
use ringway_runtime::FileOutcome;
use ringway_service::uploads::StoreError;
use std::io;

/// Time between two lines about the same.
const AGAIN: Duration = Duration::from_secs(60);

/// One kind of refusal.
#[derive(Clone, Copy, Debug, Default)]
struct Kind {
    /// When it was last told.
    told: Option<Duration>,
    /// How often it came since, untold.
    untold: u64,
}

/// What one shard's disk refused.
#[derive(Debug, Default)]
pub struct DiskLog([Kind; 4]);

/// A line for the log.
#[derive(Debug, PartialEq, Eq)]
pub struct Refused {
    /// The catalogue's.
    pub code: &'static str,
    /// What the system said.
    pub error: String,
    /// How often, with this time, since the last line.
    pub times: u64,
}

impl DiskLog {
    /// Looks at what came of an operation; there is a line when it is time for one. `in_directory`: nothing that it names can be absent but the directory.
    pub fn look(
        &mut self,
        outcome: &FileOutcome,
        in_directory: bool,
        now: Duration,
    ) -> Option<Refused> {
        let error = error_in(outcome)?;
        let (kind, code) = match crate::uploads::not_opened(error) {
            StoreError::Full => (0, "RW-2812"),
            StoreError::ReadOnly => (1, "RW-2816"),
            StoreError::Failed => (2, "RW-2813"),
            // The directory was removed, or another one is mounted over it: for whoever opened it at the start it stays away.
            StoreError::Absent if in_directory => (3, "RW-2813"),
            // These are the daemon's own business, or of limits that have their counts.
            StoreError::Absent | StoreError::Exists | StoreError::Busy | StoreError::TooLarge => {
                return None;
            }
        };
        let times = self.0[kind].count(now)?;
        let error = text_of(error);
        Some(Refused { code, error, times })
    }
}

impl Kind {
    fn count(&mut self, now: Duration) -> Option<u64> {
        self.untold += 1;
        if self.told.is_some_and(|told| now < told + AGAIN) {
            return None;
        }
        self.told = Some(now);
        Some(core::mem::take(&mut self.untold))
    }
}

const fn error_in(outcome: &FileOutcome) -> Option<OpenError> {
    match outcome {
        FileOutcome::Opened(Err(error)) => Some(*error),
        FileOutcome::Read(Err(errno))
        | FileOutcome::Wrote {
            result: Err(errno), ..
        }
        | FileOutcome::Done(Err(errno)) => Some(OpenError::of(*errno)),
        _ => None,
    }
}

fn text_of(error: OpenError) -> String {
    match error {
        OpenError::Failed(Errno(errno)) => io::Error::from_raw_os_error(errno).to_string(),
        OpenError::Absent => {
            "no such directory any more, or what stood there was taken away".to_owned()
        }
        OpenError::Full => "no space left, or none of this user's quota".to_owned(),
        other => format!("a file of its own was refused: {other:?}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ENOSPC: Errno = Errno(28);
    const EIO: Errno = Errno(5);

    fn times(log: &mut DiskLog, errno: Errno, second: u64) -> Option<(&'static str, u64)> {
        let outcome = FileOutcome::Done(Err(errno));
        let said = log.look(&outcome, false, Duration::from_secs(second));
        said.map(|said| (said.code, said.times))
    }

    #[test]
    fn what_comes_again_is_told_once_a_minute_with_its_count() {
        let mut log = DiskLog::default();
        for (errno, second, told) in [
            (ENOSPC, 5, Some(("RW-2812", 1))),
            (ENOSPC, 5, None),
            (EIO, 6, Some(("RW-2813", 1))),
            (Errno(30), 6, Some(("RW-2816", 1))),
            (ENOSPC, 64, None),
            (ENOSPC, 65, Some(("RW-2812", 3))),
            (EIO, 66, Some(("RW-2813", 1))),
            (ENOSPC, 66, None),
        ] {
            assert_eq!(times(&mut log, errno, second), told, "{errno:?} {second}");
        }
    }

    #[test]
    fn the_line_has_the_systems_words() {
        let mut log = DiskLog::default();
        let said = log.look(&FileOutcome::Read(Err(EIO)), false, Duration::ZERO);
        assert!(said.unwrap().error.contains("Input/output error"));
        let denied = FileOutcome::Opened(Err(OpenError::Denied));
        let said = log.look(&denied, false, Duration::from_secs(60)).unwrap();
        assert!(said.error.contains("Denied"), "{said:?}");
    }

    #[test]
    fn a_directory_that_is_gone_is_told() {
        let mut log = DiskLog::default();
        for outcome in [
            FileOutcome::Done(Err(Errno(2))),
            FileOutcome::Opened(Err(OpenError::Absent)),
        ] {
            let said = log.look(&outcome, true, Duration::ZERO);
            let text = said.map(|said| (said.code, said.error.contains("directory")));
            assert_eq!(text, Some(("RW-2813", true)), "{outcome:?}");
            assert_eq!(
                log.look(&outcome, true, AGAIN - Duration::from_secs(1)),
                None
            );
            log = DiskLog::default();
        }
    }

    #[test]
    fn what_is_no_trouble_of_the_disk_is_not_told() {
        let mut log = DiskLog::default();
        for outcome in [
            FileOutcome::Done(Ok(())),
            FileOutcome::Done(Err(Errno(2))),
            FileOutcome::Done(Err(Errno(11))),
            FileOutcome::Opened(Err(OpenError::Exhausted)),
        ] {
            assert_eq!(
                log.look(&outcome, false, Duration::ZERO),
                None,
                "{outcome:?}"
            );
        }
    }
}
