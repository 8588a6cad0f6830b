//! The part of the contract that is the same for all stages: order of calls, errors that stay, rooms without room.

use crate::{Next, Progress, StreamError};

/// How far a stage is.
#[derive(Debug, Default)]
pub(crate) enum Life {
    #[default]
    Open,
    Finishing,
    Ended,
    Failed(StreamError),
}

impl Life {
    /// A push with this much room.
    pub(crate) fn push(
        &mut self,
        room: usize,
        work: impl FnOnce() -> Result<Progress, StreamError>,
    ) -> Result<Progress, StreamError> {
        match self {
            Self::Open if room == 0 => Ok(Progress::new(0, 0, Next::Room)),
            Self::Open => self.keep(work()),
            Self::Failed(error) => Err(error.clone()),
            Self::Finishing | Self::Ended => self.keep(Err(StreamError::PushAfterFinish)),
        }
    }

    /// A finish with this much room.
    pub(crate) fn finish(
        &mut self,
        room: usize,
        work: impl FnOnce() -> Result<Progress, StreamError>,
    ) -> Result<Progress, StreamError> {
        match self {
            Self::Failed(error) => return Err(error.clone()),
            Self::Ended => return Ok(Progress::new(0, 0, Next::End)),
            Self::Open => *self = Self::Finishing,
            Self::Finishing => {}
        }
        if room == 0 {
            return Ok(Progress::new(0, 0, Next::Room));
        }
        let progress = self.keep(work())?;
        if progress.next == Next::End {
            *self = Self::Ended;
        }
        Ok(progress)
    }

    fn keep(&mut self, result: Result<Progress, StreamError>) -> Result<Progress, StreamError> {
        if let Err(error) = &result {
            *self = Self::Failed(error.clone());
        }
        result
    }
}
