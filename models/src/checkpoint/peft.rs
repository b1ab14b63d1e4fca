//! A trained stage on disk, as PEFT and the reference lay it out.

use std::path::{Path, PathBuf};

use serde::Deserialize;

use crate::llm::{LlmError, LoraWeights};
use crate::tensors::read_tensors;

/// The file of a LoRA's settings in a stage's folder.
pub const LORA_SETTINGS: &str = "adapter_config.json";
/// The file of its matrices.
pub const LORA_MATRICES: &str = "adapter_model.safetensors";

/// `adapter_config.json`, as far as merging needs it.
#[derive(Deserialize)]
struct AdapterConfig {
    r: usize,
    lora_alpha: f64,
    #[serde(default)]
    fan_in_fan_out: bool,
}

/// The LoRA in a stage's folder.
pub fn read_lora(stage: &Path) -> Result<LoraWeights, LlmError> {
    let path = stage.join(LORA_SETTINGS);
    let text = std::fs::read(&path).map_err(|e| LlmError::read(&path, e))?;
    let config: AdapterConfig = serde_json::from_slice(&text).map_err(|e| LlmError::malformed(&path, e))?;
    if config.fan_in_fan_out {
        return Err(LlmError::Unsupported { path, what: "fan_in_fan_out".into() });
    }
    let safetensors = stage.join(LORA_MATRICES);
    let file = if safetensors.exists() { safetensors } else { stage.join("adapter_model.bin") };
    LoraWeights::new(&file, config.r, config.lora_alpha, read_tensors(&file)?)
}

/// The file of a stage's trained parts that are no LoRA: the projectors. `None` when there is none.
pub(super) fn others(stage: &Path) -> Option<PathBuf> {
    let file = |end: &str| stage.join(format!("non_lora_trainables.{end}"));
    [file("safetensors"), file("bin")].into_iter().find(|path| path.exists())
}
