//! `make fuzz TARGET=path`
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| ringway_fuzz_targets::path(data));
