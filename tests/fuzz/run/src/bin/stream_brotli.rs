//! `make fuzz TARGET=stream_brotli`
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| ringway_fuzz_targets::stream_brotli(data));
