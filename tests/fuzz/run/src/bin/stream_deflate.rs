//! `make fuzz TARGET=stream_deflate`
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| ringway_fuzz_targets::stream_deflate(data));
