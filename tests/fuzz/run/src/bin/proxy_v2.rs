//! `make fuzz TARGET=proxy_v2`
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| ringway_fuzz_targets::proxy_v2(data));
