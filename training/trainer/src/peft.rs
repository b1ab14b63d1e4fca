//! A trained stage on disk, as PEFT and the reference lay it out; `avicuna_models::checkpoint` reads it.

use std::collections::HashMap;
use std::path::Path;

use avicuna_models::checkpoint::{LORA_MATRICES, LORA_SETTINGS};
use avicuna_models::tensors::{FileError, Named, Stored, write_tensors};

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

/// Writes a LoRA that `peft` loads: `adapter_config.json` and `adapter_model.safetensors`, f32.
///
/// `matrices` are named as [`Trainable::parameters`](crate::decoder::Trainable::parameters) names them.
pub fn write_lora(stage: &Path, config: &PeftConfig, matrices: &[Named<'_>]) -> Result<(), FileError> {
    write_tensors(&stage.join(LORA_MATRICES), matrices, Stored::F32, pt())?;
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
    let path = stage.join(LORA_SETTINGS);
    let text = format!("{json:#}\n");
    std::fs::write(&path, text).map_err(|source| FileError::Write { path, source })
}

/// PEFT writes `16`, not `16.0`.
fn whole(value: f64) -> serde_json::Value {
    if value.fract() == 0.0 && value.abs() < 1e15 { (value as i64).into() } else { value.into() }
}

/// Writes the trained projectors beside a LoRA, `non_lora_trainables.safetensors`.
pub fn write_others(stage: &Path, tensors: &[Named<'_>]) -> Result<(), FileError> {
    write_tensors(&stage.join("non_lora_trainables.safetensors"), tensors, Stored::F32, pt())
}

/// What transformers wants to read in a safetensors file's header.
fn pt() -> HashMap<String, String> {
    HashMap::from([("format".to_owned(), "pt".to_owned())])
}
