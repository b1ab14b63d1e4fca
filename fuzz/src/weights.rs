//! Weights that others made: an error names the file.

use avicuna_models::llm::{Llm, Precision};
use avicuna_models::tensors::read_tensors;
use candle_core::Device;

/// An LLM in GGUF.
pub fn gguf(input: &[u8]) {
    crate::as_file(input, ".gguf", |path| {
        if let Err(error) = Llm::load_as(path, None, &Device::Cpu, Precision::Exact) {
            assert!(error.to_string().contains("hurt"), "{error}");
        }
    });
}

/// Tensors as torch pickles them.
pub fn pickle(input: &[u8]) {
    crate::as_file(input, ".bin", |path| {
        if let Err(error) = read_tensors(path) {
            assert!(error.to_string().contains("hurt"), "{error}");
        }
    });
}
