//! `make fuzz TARGET=http1`
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| ringway_fuzz_targets::http1(data));
