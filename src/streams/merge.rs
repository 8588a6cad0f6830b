//! Several inputs, one output: one behind the other, or a unit of each in turn.

use crate::StreamError;
use crate::tee::copy;
use std::collections::VecDeque;

/// What is not torn apart where inputs take turns.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unit {
    /// A line with its `\n`. A last one without gets one, so that it does not run into another input's.
    Line,
    /// So many bytes, the last of an input perhaps fewer.
    Bytes(usize),
}

/// Whose turn it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Order {
    /// All of the first input, then all of the second one, and so on.
    Sequence,
    /// A unit at a time, in such turns that inputs that have something get the same number of bytes, give or take a unit.
    Turns(Unit),
}

/// Merges inputs, each through a queue of its own: an input that is not heard yet waits when its queue is full.
#[derive(Debug)]
pub struct Merge {
    inputs: Vec<Input>,
    order: Order,
    queue_bytes_max: usize,
    /// The input that is giving, and how much of its unit is to come.
    giving: Option<(usize, usize)>,
    error: Option<StreamError>,
}

#[derive(Clone, Debug, Default)]
struct Input {
    queue: VecDeque<u8>,
    ended: bool,
    /// Bytes that it gave beyond what the least of those that waited beside it gave.
    ahead: u64,
    /// How much of the queue is known to have no `\n`.
    looked: usize,
}

impl Merge {
    /// Of so many inputs, each with a queue of so many bytes (at least 1, and at least a unit): a line may be no longer.
    #[must_use]
    pub fn new(inputs: usize, order: Order, queue_bytes_max: usize) -> Self {
        let unit = match order {
            Order::Turns(Unit::Bytes(bytes)) => bytes,
            _ => 1,
        };
        Self {
            inputs: vec![Input::default(); inputs],
            order,
            queue_bytes_max: queue_bytes_max.max(unit).max(1),
            giving: None,
            error: None,
        }
    }

    /// Takes from an input; how much of it.
    ///
    /// # Panics
    /// When that input has ended.
    pub fn push(&mut self, input: usize, bytes: &[u8]) -> usize {
        let input = &mut self.inputs[input];
        assert!(!input.ended, "an input was pushed after its end");
        let taken = bytes.len().min(self.queue_bytes_max - input.queue.len());
        input.queue.extend(&bytes[..taken]);
        taken
    }

    /// An input has no more.
    pub fn finish(&mut self, input: usize) {
        let input = &mut self.inputs[input];
        let torn = input.queue.back().is_some_and(|last| *last != b'\n');
        if !input.ended && torn && self.order == Order::Turns(Unit::Line) {
            // The one byte that a queue may hold beyond its bound.
            input.queue.push_back(b'\n');
        }
        input.ended = true;
    }

    /// Gives what is to come next; how much, 0 if that has to come first.
    ///
    /// # Errors
    /// [`StreamError::LineTooLong`]: a whole queue and no `\n`. It stays so.
    pub fn take(&mut self, out: &mut [u8]) -> Result<usize, StreamError> {
        if let Some(error) = &self.error {
            return Err(error.clone());
        }
        let mut written = 0;
        while written < out.len() {
            let Some((index, left)) = self.next_unit()? else {
                break;
            };
            let input = &mut self.inputs[index];
            let bytes = left.min(out.len() - written);
            copy(&input.queue, 0, &mut out[written..written + bytes]);
            input.queue.drain(..bytes);
            input.ahead += bytes as u64;
            input.looked = 0;
            written += bytes;
            self.giving = (bytes < left).then_some((index, left - bytes));
        }
        Ok(written)
    }

    /// Whether everything was given.
    #[must_use]
    pub fn is_done(&self) -> bool {
        let done = |input: &Input| input.ended && input.queue.is_empty();
        self.inputs.iter().all(done)
    }

    /// The most memory that it ever owns.
    #[must_use]
    pub const fn memory_bytes_max(&self) -> usize {
        // Rings that grow by doubling.
        self.inputs.len() * (2 * self.queue_bytes_max + 2 + size_of::<Input>())
    }

    fn next_unit(&mut self) -> Result<Option<(usize, usize)>, StreamError> {
        if self.giving.is_some() {
            return Ok(self.giving);
        }
        match self.order {
            Order::Sequence => Ok(self.next_in_sequence()),
            Order::Turns(unit) => self.next_in_turn(unit),
        }
    }

    fn next_in_sequence(&self) -> Option<(usize, usize)> {
        let current = |input: &Input| !input.ended || !input.queue.is_empty();
        let index = self.inputs.iter().position(current)?;
        let bytes = self.inputs[index].queue.len();
        (bytes > 0).then_some((index, bytes))
    }

    /// The input with a whole unit that had least.
    fn next_in_turn(&mut self, unit: Unit) -> Result<Option<(usize, usize)>, StreamError> {
        let mut least: Option<(u64, usize, usize)> = None;
        for (index, input) in self.inputs.iter_mut().enumerate() {
            let Some(bytes) = whole(input, unit) else {
                if input.queue.len() >= self.queue_bytes_max && unit == Unit::Line {
                    let bytes_max = self.queue_bytes_max;
                    self.error = Some(StreamError::LineTooLong { bytes_max });
                    return Err(StreamError::LineTooLong { bytes_max });
                }
                continue;
            };
            if least.is_none_or(|(ahead, ..)| input.ahead < ahead) {
                least = Some((input.ahead, index, bytes));
            }
        }
        let Some((ahead, index, bytes)) = least else {
            return Ok(None);
        };
        // Who had nothing to say for a while does not save that up: from here on all count from the least.
        for input in &mut self.inputs {
            input.ahead = input.ahead.saturating_sub(ahead);
        }
        Ok(Some((index, bytes)))
    }
}

/// How long an input's next unit is, if it is all there.
fn whole(input: &mut Input, unit: Unit) -> Option<usize> {
    let waiting = input.queue.len();
    match unit {
        Unit::Bytes(bytes) if waiting >= bytes.max(1) => Some(bytes.max(1)),
        Unit::Bytes(_) => (input.ended && waiting > 0).then_some(waiting),
        Unit::Line => {
            let unknown = input.queue.range(input.looked..);
            let found = unknown.enumerate().find(|(_, byte)| **byte == b'\n');
            let found = found.map(|(at, _)| input.looked + at);
            // Not looked through again when more has come.
            input.looked = found.unwrap_or(waiting);
            found.map(|at| at + 1)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Pushes all inputs in small pieces in turn, and takes in rooms of this size.
    fn merged(order: Order, queue: usize, inputs: &[&[u8]], room: usize) -> Vec<u8> {
        let mut merge = Merge::new(inputs.len(), order, queue);
        let (mut places, mut output) = (vec![0; inputs.len()], vec![]);
        while !merge.is_done() {
            for (index, input) in inputs.iter().enumerate() {
                if places[index] < input.len() {
                    let piece = &input[places[index]..input.len().min(places[index] + 7)];
                    places[index] += merge.push(index, piece);
                } else {
                    merge.finish(index);
                }
            }
            let mut out = vec![0; room];
            let bytes = merge.take(&mut out).unwrap();
            output.extend_from_slice(&out[..bytes]);
        }
        output
    }

    #[test]
    fn in_sequence_they_follow_one_another() {
        for room in [1, 3, 100] {
            let inputs = [&b"first input, "[..], b"", b"second"];
            assert_eq!(
                merged(Order::Sequence, 5, &inputs, room),
                b"first input, second"
            );
        }
    }

    #[test]
    fn lines_stay_whole() {
        let inputs = [&b"a1\na2\na3"[..], b"b1\nb2\n", b"", b"c1"];
        for room in [1, 2, 5, 100] {
            let output = merged(Order::Turns(Unit::Line), 16, &inputs, room);
            let text = String::from_utf8(output).unwrap();
            let mut lines: Vec<&str> = text.lines().collect();
            let of = |name: char| lines.iter().filter(move |line| line.starts_with(name));
            assert!(of('a').is_sorted() && of('b').is_sorted());
            lines.sort_unstable();
            assert_eq!(lines, ["a1", "a2", "a3", "b1", "b2", "c1"]);
        }
    }

    #[test]
    fn turns_are_fair_by_bytes() {
        let mut merge = Merge::new(2, Order::Turns(Unit::Line), 1000);
        merge.push(0, &b"a long line, nineteen\n".repeat(20));
        merge.push(1, &b"b\n".repeat(400));
        let mut out = [0; 400];
        assert_eq!(merge.take(&mut out), Ok(400));
        let short = out.iter().filter(|byte| **byte == b'b').count() * 2;
        assert!(
            (180..=220).contains(&short),
            "{short} of 400 bytes are the short lines'"
        );
    }

    #[test]
    fn who_was_silent_saves_nothing_up() {
        let mut merge = Merge::new(2, Order::Turns(Unit::Bytes(10)), 1000);
        merge.push(0, &[0; 1000]);
        let mut out = [0; 500];
        assert_eq!(merge.take(&mut out), Ok(500));
        merge.push(1, &[1; 1000]);
        assert_eq!(merge.take(&mut out), Ok(500));
        let late = out.iter().filter(|byte| **byte == 1).count();
        assert!((240..=260).contains(&late), "{late} of 500");
    }

    #[test]
    fn an_endless_line_is_refused() {
        let mut merge = Merge::new(2, Order::Turns(Unit::Line), 4);
        assert_eq!(merge.push(0, b"abcdef"), 4);
        let refused = Err(StreamError::LineTooLong { bytes_max: 4 });
        assert_eq!(merge.take(&mut [0; 9]), refused);
        assert_eq!(merge.take(&mut [0; 9]), refused);
    }
}
