//! [`avicuna_fuzz::mp4`] under libFuzzer.
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| avicuna_fuzz::mp4(input));
