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
pub struct DiskLog([Kind; 3]);

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
    /// Looks at what came of an operation; there is a line when it is time for one.
    pub fn look(&mut self, outcome: &FileOutcome, now: Duration) -> Option<Refused> {
        let error = error_in(outcome)?;
        let (kind, code) = match crate::uploads::not_opened(error) {
            StoreError::Full => (0, "RW-2812"),
            StoreError::ReadOnly => (1, "RW-2816"),
            StoreError::Failed => (2, "RW-2813"),
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
        let said = log.look(&FileOutcome::Done(Err(errno)), Duration::from_secs(second));
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
        let said = log.look(&FileOutcome::Read(Err(EIO)), Duration::ZERO);
        assert!(said.unwrap().error.contains("Input/output error"));
        let denied = FileOutcome::Opened(Err(OpenError::Denied));
        let said = log.look(&denied, Duration::from_secs(60)).unwrap();
        assert!(said.error.contains("Denied"), "{said:?}");
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
            assert_eq!(log.look(&outcome, Duration::ZERO), None, "{outcome:?}");
        }
    }
}
