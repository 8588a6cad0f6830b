//! `make fuzz TARGET=stream_mux`
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| ringway_fuzz_targets::stream_mux(data));
