//! The contract of `Stage`, held against every stage: the same output wherever the input is cut and however small the rooms are.
//!
//! Deliberately absent: whether what comes out is right, which `formats.rs` and `vectors.rs` say.

mod support;

use ringway_streams::{Chain, Next, Progress, Stage, StreamError, run};
use support::{Case, Random, cases, text};

const SEED: u64 = 0x5eed_0005;
const ROUNDS: u64 = 60;

/// What became of a stream: all output, and how it ended.
type Outcome = (Vec<u8>, Result<(), StreamError>);

/// Checks one call's answer against the contract.
fn judged(progress: Progress, input: usize, room: usize, pushing: bool) {
    let Progress {
        consumed,
        written,
        next,
    } = progress;
    assert!(consumed <= input && written <= room, "{progress:?}");
    match next {
        Next::Input => assert!(pushing && consumed == input, "{progress:?} of {input}"),
        Next::Room => assert_eq!(written, room, "{progress:?}"),
        Next::Time(_) => {}
        Next::End => assert!(!pushing),
    }
    if pushing && input > 0 && room > 0 && !matches!(next, Next::Time(_)) {
        assert!(consumed + written > 0, "a call that moves nothing");
    }
}

/// Drives a stage in random pieces; the output comes in rooms of up to `room_max`.
fn driven(stage: &mut dyn Stage, input: &[u8], random: &mut Random, room_max: usize) -> Outcome {
    let (mut at, mut offered, mut output, mut pushing) = (0, 0, vec![], true);
    loop {
        offered = offered.max(at);
        let mut out = vec![0xaa; random.below(room_max + 1)];
        let piece = &input[at..offered];
        let result = match pushing {
            true => stage.push(piece, &mut out),
            false => stage.finish(&mut out),
        };
        let progress = match result {
            Ok(progress) => progress,
            Err(error) => {
                assert_eq!(stage.push(b"more", &mut out), Err(error.clone()));
                assert_eq!(stage.finish(&mut out), Err(error.clone()));
                assert_eq!(stage.push(b"", &mut []), Err(error.clone()));
                return (output, Err(error));
            }
        };
        judged(
            progress,
            if pushing { piece.len() } else { 0 },
            out.len(),
            pushing,
        );
        at += progress.consumed;
        output.extend_from_slice(&out[..progress.written]);
        match progress.next {
            Next::Input if at == input.len() => pushing = false,
            Next::Input => {
                let bound = random.size();
                offered = input.len().min(at + 1 + random.below(bound));
            }
            Next::Room => {}
            Next::Time(at_us) => stage.tick(at_us),
            Next::End => break,
        }
    }
    let again = stage.finish(&mut [0; 9]);
    assert_eq!(
        again.map(|progress| (progress.written, progress.next)),
        Ok((0, Next::End))
    );
    let late = stage.push(b"", &mut [0]);
    assert_eq!(late, Err(StreamError::PushAfterFinish));
    (output, Ok(()))
}

fn whole(case: &Case, input: &[u8]) -> Outcome {
    let mut stage = (case.make)();
    let mut out = vec![0; 4 << 20];
    let mut output = vec![];
    let mut at = 0;
    let mut pushing = true;
    loop {
        let result = match pushing {
            true => stage.push(&input[at..], &mut out),
            false => stage.finish(&mut out),
        };
        match result {
            Err(error) => return (output, Err(error)),
            Ok(progress) => {
                output.extend_from_slice(&out[..progress.written]);
                at += progress.consumed;
                match progress.next {
                    Next::Input => pushing = false,
                    Next::Room => {}
                    Next::Time(at_us) => stage.tick(at_us),
                    Next::End => return (output, Ok(())),
                }
            }
        }
    }
}

/// Output is the same, or a compressor's that says the same.
fn assert_same(case: &Case, output: &[u8], expected: &[u8], what: &str) {
    let said = |output: &[u8]| match &case.back {
        Some(back) => support::made(&mut *back(), output),
        None => output.to_vec(),
    };
    assert!(
        said(output) == said(expected),
        "{} {what}: other output",
        case.name
    );
}

/// The same in random pieces as in one; of a broken stream, how much came before the error may differ.
fn check(case: &Case, input: &[u8], random: &mut Random, what: &str) {
    let expected = whole(case, input);
    for room_max in [1, 3, 1000, 200_000] {
        // Rooms of a few bytes are for short streams.
        if room_max < 100 && expected.0.len() + input.len() > 100_000 {
            continue;
        }
        let mut stage = (case.make)();
        let (output, result) = driven(&mut *stage, input, random, room_max);
        assert_eq!(result, expected.1, "{} {what}", case.name);
        match result {
            Ok(()) => assert_same(case, &output, &expected.0, what),
            Err(_) => assert!(
                output.starts_with(&expected.0) || expected.0.starts_with(&output),
                "{} {what}: other output before the error",
                case.name
            ),
        }
    }
}

#[test]
fn every_stage_keeps_the_contract_on_what_it_wants() {
    for case in cases() {
        let mut random = Random::new(SEED);
        for input in &case.inputs {
            check(&case, input, &mut random, "on a sound input");
        }
    }
}

#[test]
fn every_stage_keeps_the_contract_on_what_is_broken() {
    for case in cases() {
        for round in 0..ROUNDS {
            let mut random = Random::new(SEED + round);
            let short: Vec<_> = case
                .inputs
                .iter()
                .filter(|input| input.len() < 20_000)
                .collect();
            let mut input = short[random.below(short.len())].clone();
            random.damage(&mut input);
            check(&case, &input, &mut random, &format!("in round {round}"));
        }
    }
}

#[test]
fn an_empty_stream_is_an_empty_stream_or_a_named_error() {
    for case in cases() {
        let mut stage = (case.make)();
        let result = stage.finish(&mut vec![0; 1000]);
        match case.empty {
            None => assert!(
                matches!(
                    result,
                    Ok(Progress {
                        next: Next::End,
                        ..
                    })
                ),
                "{}",
                case.name
            ),
            Some(error) => assert_eq!(result, Err(error), "{}", case.name),
        }
    }
}

#[test]
fn a_finish_without_room_ends_pushing_all_the_same() {
    for case in cases() {
        let mut stage = (case.make)();
        assert_eq!(
            stage.finish(&mut []).map(|progress| progress.next),
            Ok(Next::Room)
        );
        assert_eq!(
            stage.push(b"x", &mut [0; 9]),
            Err(StreamError::PushAfterFinish),
            "{}",
            case.name
        );
    }
}

#[test]
fn chains_of_any_two_that_fit_are_stages() {
    let input = text(30_000);
    let all = cases();
    let of = |name: &str| all.iter().find(|case| case.name == name).unwrap();
    let there = ["gzip", "brotli", "lz4", "zstd", "seal", "throttle"];
    let back = [
        "un-gzip",
        "un-brotli",
        "un-lz4",
        "un-zstd",
        "open",
        "throttle",
    ];
    for (seed, (first, last)) in (0..).zip(there.iter().zip(back)) {
        for (second, third) in there.iter().zip(back) {
            for buffer_bytes in [1, 100, 70_000] {
                let make = |name: &str| (of(name).make)();
                let inner = Chain::with_buffer(make(second), make(third), buffer_bytes);
                let inner: Box<dyn Stage> = Box::new(inner);
                let outer = Chain::with_buffer(inner, make(last), 1000);
                let mut chain = Chain::with_buffer(make(first), outer, buffer_bytes);
                let mut random = Random::new(SEED + seed);
                let (output, result) = driven(&mut chain, &input, &mut random, 5000);
                assert_eq!(result, Ok(()), "{first} {second} {third} {last}");
                assert!(output == input, "{first} {second} {third} {last}");
            }
        }
    }
}

#[test]
fn an_error_within_a_chain_is_the_chain_s() {
    let all = cases();
    let of = |name: &str| (all.iter().find(|case| case.name == name).unwrap().make)();
    let mut chain = Chain::new(of("gzip"), of("un-zstd"));
    let error = run(&mut chain, b"nothing that zstd would know", 1000).unwrap_err();
    assert!(matches!(error, StreamError::Malformed { .. }), "{error}");
    assert_eq!(chain.push(b"", &mut [0; 9]), Err(error));
}
