//! `make fuzz TARGET=stream_lz4`
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| ringway_fuzz_targets::stream_lz4(data));
