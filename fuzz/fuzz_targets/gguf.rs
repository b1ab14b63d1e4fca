//! [`avicuna_fuzz::gguf`] under libFuzzer.
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| avicuna_fuzz::gguf(input));
