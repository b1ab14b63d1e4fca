//! Where the reference's numbers are: `AVICUNA_GOLDEN`, or the fixtures.

#![allow(dead_code, reason = "each test binary uses a part")]

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use candle_core::{Device, Tensor};
use serde_json::Value;

/// A file of the golden data.
pub fn golden(path: &str) -> PathBuf {
    let folder = std::env::var_os("AVICUNA_GOLDEN").map(PathBuf::from);
    folder.unwrap_or_else(fixtures).join(path)
}

fn fixtures() -> PathBuf {
    // The trainer's tests use this module as well, one folder further down.
    let folders = Path::new(env!("CARGO_MANIFEST_DIR")).ancestors();
    let mut folders = folders.map(|folder| folder.join("tests/fixtures/golden"));
    folders.find(|folder| folder.is_dir()).expect("the fixtures are in the repository")
}

/// The same, read.
pub fn read(path: &str) -> Vec<u8> {
    std::fs::read(golden(path)).unwrap_or_else(|error| panic!("{}: {error}", golden(path).display()))
}

/// The same, as JSON.
pub fn json(path: &str) -> Value {
    serde_json::from_slice(&read(path)).unwrap_or_else(|error| panic!("{}: {error}", golden(path).display()))
}

/// The tiny AVicuna's tensors, but for the boolean masks, which candle does not know.
pub fn tensors() -> Result<HashMap<String, Tensor>, Box<dyn std::error::Error>> {
    let bytes = read("tiny_avicuna/golden.safetensors");
    let file = safetensors::SafeTensors::deserialize(&bytes)?;
    let mut tensors = HashMap::new();
    for (name, view) in file.tensors() {
        if view.dtype() != safetensors::Dtype::BOOL {
            tensors.insert(name, candle_core::safetensors::Load::load(&view, &Device::Cpu)?);
        }
    }
    Ok(tensors)
}
