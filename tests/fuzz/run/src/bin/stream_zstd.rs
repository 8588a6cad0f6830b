//! `make fuzz TARGET=stream_zstd`
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| ringway_fuzz_targets::stream_zstd(data));
