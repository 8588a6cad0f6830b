//! `make fuzz TARGET=range`
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| ringway_fuzz_targets::range(data));
