//! `make fuzz TARGET=stream_segments`
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| ringway_fuzz_targets::stream_segments(data));
