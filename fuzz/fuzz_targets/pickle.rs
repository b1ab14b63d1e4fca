//! [`avicuna_fuzz::pickle`] under libFuzzer.
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| avicuna_fuzz::pickle(input));
