//! A whole stream through a stage at once, for what is small and for tests.

use crate::{Next, Stage, StreamError};

/// Memory for one portion of output.
const PORTION_BYTES: usize = 16 * 1024;

/// All that the stage makes of `input`, if it is no more than `bytes_max`.
///
/// A stage that waits for time is told at once that it has come.
///
/// # Errors
/// Those of the stage, and [`StreamError::OutputTooLong`].
pub fn run(
    stage: &mut (impl Stage + ?Sized),
    mut input: &[u8],
    bytes_max: usize,
) -> Result<Vec<u8>, StreamError> {
    let (mut output, mut portion, mut pushed) = (Vec::new(), vec![0; PORTION_BYTES], false);
    loop {
        let progress = match pushed {
            false => stage.push(input, &mut portion)?,
            true => stage.finish(&mut portion)?,
        };
        input = &input[progress.consumed..];
        if output.len() + progress.written > bytes_max {
            let bytes_max = bytes_max as u64;
            return Err(StreamError::OutputTooLong { bytes_max });
        }
        output.extend_from_slice(&portion[..progress.written]);
        match progress.next {
            Next::Input => pushed = true,
            Next::Room => {}
            Next::Time(at_us) => stage.tick(at_us),
            Next::End => return Ok(output),
        }
    }
}
