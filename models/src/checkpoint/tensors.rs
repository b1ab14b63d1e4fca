//! Named tensors from safetensors and torch pickles.

use std::collections::HashMap;
use std::path::Path;

use candle_core::{Device, Tensor, pickle};

use crate::llm::LlmError;

/// Reads all tensors of a `.safetensors` file, or of a torch `.bin`, `.pt` or `.pth` in zip format, to the CPU.
///
/// A pickle is only looked through for tensors: nothing that it names is imported or called.
pub fn read_tensors(path: &Path) -> Result<HashMap<String, Tensor>, LlmError> {
    let file = std::fs::File::open(path).map_err(|e| LlmError::read(path, e))?;
    let length = file.metadata().map_err(|e| LlmError::read(path, e))?.len();
    let malformed = |e: candle_core::Error| LlmError::malformed(path, e);
    if path.extension().is_some_and(|e| e == "safetensors") {
        let bytes = std::fs::read(path).map_err(|e| LlmError::read(path, e))?;
        return candle_core::safetensors::load_buffer(&bytes, &Device::Cpu).map_err(malformed);
    }
    let pickled = pickle::PthTensors::new(path, None).map_err(malformed)?;
    let mut tensors = HashMap::new();
    // Sizes come from the pickle, which may be damaged: they are checked before memory is asked for.
    for (name, info) in pickled.tensor_infos() {
        let elements =
            info.layout.shape().dims().iter().try_fold(1usize, |product, dim| product.checked_mul(*dim));
        let bytes = elements.and_then(|n| n.checked_mul(info.dtype.size_in_bytes()));
        let fits = bytes.is_some_and(|bytes| bytes as u64 <= length && info.storage_size as u64 <= length);
        if !fits {
            return Err(LlmError::malformed(path, format!("`{name}` is larger than the file")));
        }
        let tensor = pickled.get(name).map_err(malformed)?;
        let tensor = tensor.ok_or_else(|| LlmError::malformed(path, format!("`{name}` has no data")))?;
        tensors.insert(name.clone(), tensor);
    }
    Ok(tensors)
}
