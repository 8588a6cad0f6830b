//! `make fuzz TARGET=tus`
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| ringway_fuzz_targets::tus(data));
