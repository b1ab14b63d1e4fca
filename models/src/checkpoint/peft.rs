//! A trained stage on disk, as PEFT and the reference lay it out.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use serde::Deserialize;

use crate::llm::{LlmError, LoraWeights};
use crate::tensors::{Named, Stored, read_tensors, write_tensors};

/// The file of a LoRA's settings.
const CONFIG: &str = "adapter_config.json";
/// The file of its matrices.
const MATRICES: &str = "adapter_model.safetensors";

/// `adapter_config.json`, as far as merging needs it.
#[derive(Deserialize)]
struct AdapterConfig {
    r: usize,
    lora_alpha: f64,
    #[serde(default)]
    fan_in_fan_out: bool,
}

/// The settings of a LoRA, for PEFT.
#[derive(Debug, Clone, PartialEq)]
pub struct PeftConfig {
    /// The rank.
    pub r: usize,
    /// The scale is `alpha / r`.
    pub alpha: f64,
    /// The share of inputs left out in training.
    pub dropout: f64,
    /// The base model that it belongs to.
    pub base: String,
}

/// The LoRA in a stage's folder.
pub fn read_lora(stage: &Path) -> Result<LoraWeights, LlmError> {
    let path = stage.join(CONFIG);
    let text = std::fs::read(&path).map_err(|e| LlmError::read(&path, e))?;
    let config: AdapterConfig = serde_json::from_slice(&text).map_err(|e| LlmError::malformed(&path, e))?;
    if config.fan_in_fan_out {
        return Err(LlmError::Unsupported { path, what: "fan_in_fan_out".into() });
    }
    let safetensors = stage.join(MATRICES);
    let file = if safetensors.exists() { safetensors } else { stage.join("adapter_model.bin") };
    LoraWeights::new(&file, config.r, config.lora_alpha, read_tensors(&file)?)
}

/// Writes a LoRA that `peft` loads: `adapter_config.json` and `adapter_model.safetensors`, f32.
///
/// `matrices` are named as [`crate::llm::Trainable::parameters`] names them.
pub fn write_lora(stage: &Path, config: &PeftConfig, matrices: &[Named<'_>]) -> Result<(), LlmError> {
    write_tensors(&stage.join(MATRICES), matrices, Stored::F32, pt())?;
    let json = serde_json::json!({
        "auto_mapping": null,
        "base_model_name_or_path": config.base,
        "bias": "none",
        "fan_in_fan_out": false,
        "inference_mode": true,
        "init_lora_weights": true,
        "layers_pattern": null,
        "layers_to_transform": null,
        "lora_alpha": whole(config.alpha),
        "lora_dropout": config.dropout,
        "modules_to_save": null,
        "peft_type": "LORA",
        "r": config.r,
        "revision": null,
        "target_modules": ["down_proj", "gate_proj", "k_proj", "o_proj", "q_proj", "up_proj", "v_proj"],
        "task_type": "CAUSAL_LM",
    });
    let path = stage.join(CONFIG);
    let text = format!("{json:#}\n");
    std::fs::write(&path, text).map_err(|e| LlmError::write(&path, e))
}

/// PEFT writes `16`, not `16.0`.
fn whole(value: f64) -> serde_json::Value {
    if value.fract() == 0.0 && value.abs() < 1e15 { (value as i64).into() } else { value.into() }
}

/// The file of a stage's trained parts that are no LoRA: the projectors. `None` when there is none.
pub(super) fn others(stage: &Path) -> Option<PathBuf> {
    let file = |end: &str| stage.join(format!("non_lora_trainables.{end}"));
    [file("safetensors"), file("bin")].into_iter().find(|path| path.exists())
}

/// Writes the trained projectors beside a LoRA, `non_lora_trainables.safetensors`.
pub fn write_others(stage: &Path, tensors: &[Named<'_>]) -> Result<(), LlmError> {
    Ok(write_tensors(&stage.join("non_lora_trainables.safetensors"), tensors, Stored::F32, pt())?)
}

/// What transformers wants to read in a safetensors file's header.
fn pt() -> HashMap<String, String> {
    HashMap::from([("format".to_owned(), "pt".to_owned())])
}
