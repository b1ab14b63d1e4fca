//! [`avicuna_fuzz::message`] under libFuzzer.
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| avicuna_fuzz::message(input));
