//! AVicuna's released layout: a base LLaMA, two projectors and two LoRA stages, merged into one folder.

use std::collections::{BTreeMap, HashMap};
use std::path::{Path, PathBuf};

use candle_core::{DType, Tensor};
use serde::Deserialize;

use super::tensors::read_tensors;
use crate::llm::{Config, LlmError, LoraWeights, Weights};

/// The parts of a released AVicuna.
#[derive(Debug, Clone)]
pub struct Released {
    /// The base LLaMA: `config.json`, weights (safetensors or `pytorch_model*.bin`), tokenizer.
    pub base: PathBuf,
    /// `mm_projector.bin`, the visual projector.
    pub visual: PathBuf,
    /// `mm_projector_a.bin`, the audio projector.
    pub audio: PathBuf,
    /// LoRA folders in the order in which they are merged: `stage3`, `stage4`.
    pub stages: Vec<PathBuf>,
}

/// A linear projection from an encoder's width to the LLM's.
#[derive(Debug, Clone)]
pub struct Projector {
    /// `[hidden, dim]`
    pub weight: Tensor,
    /// `[hidden]`
    pub bias: Tensor,
}

/// A merged checkpoint.
pub struct Imported {
    /// The dimensions of the LLM.
    pub config: Config,
    /// All weights of the LLM by their Hugging Face names, f32, every stage merged.
    pub weights: BTreeMap<String, Tensor>,
    /// From the visual encoder.
    pub visual: Projector,
    /// From the audio encoder.
    pub audio: Projector,
}

/// `adapter_config.json`, as far as merging needs it.
#[derive(Deserialize)]
struct AdapterConfig {
    r: usize,
    lora_alpha: f64,
    #[serde(default)]
    fan_in_fan_out: bool,
}

/// Reads `released` and merges its stages one after the other.
pub fn import(released: &Released) -> Result<Imported, LlmError> {
    let config = Config::from_json(&released.base.join("config.json"))?;
    let mut weights = Weights::from_dir(&released.base, &config)?;
    let mut visual = projector(&released.visual, &read_tensors(&released.visual)?, "mm_projector")?;
    let mut audio = projector(&released.audio, &read_tensors(&released.audio)?, "mm_projector_a")?;
    for stage in &released.stages {
        weights = weights.with_lora(lora(stage)?);
        let path = stage.join("non_lora_trainables.bin");
        if !path.exists() {
            continue;
        }
        // With the flags of the training scripts this file is empty; what is in it replaces what was there before.
        let others = read_tensors(&path)?;
        for (name, target) in [("mm_projector", &mut visual), ("mm_projector_a", &mut audio)] {
            if others.keys().any(|key| key.ends_with(&format!("{name}.weight"))) {
                *target = projector(&path, &others, name)?;
            }
        }
    }
    let mut merged = BTreeMap::new();
    for (name, shape) in config.weights() {
        merged.insert(name.clone(), weights.get(&name, &shape)?);
    }
    weights.finish()?;
    Ok(Imported { config, weights: merged, visual, audio })
}

impl Imported {
    /// Writes `model.safetensors` and `adapters.safetensors` to `out` and copies configuration and tokenizer from `base`.
    pub fn write(&self, base: &Path, out: &Path) -> Result<(), LlmError> {
        std::fs::create_dir_all(out).map_err(|e| LlmError::read(out, e))?;
        let save = |tensors: &HashMap<String, Tensor>, name: &str| -> Result<(), LlmError> {
            let path = out.join(name);
            candle_core::safetensors::save(tensors, &path).map_err(|e| LlmError::malformed(&path, e))
        };
        save(&self.weights.clone().into_iter().collect(), "model.safetensors")?;
        let adapters = [
            ("vision.weight", &self.visual.weight),
            ("vision.bias", &self.visual.bias),
            ("audio.weight", &self.audio.weight),
            ("audio.bias", &self.audio.bias),
        ];
        save(
            &adapters.map(|(name, tensor)| (name.to_owned(), tensor.clone())).into(),
            "adapters.safetensors",
        )?;
        let files = ["config.json", "tokenizer.model", "tokenizer.json", "tokenizer_config.json"];
        for name in files {
            let from = base.join(name);
            if from.exists() {
                std::fs::copy(&from, out.join(name)).map_err(|e| LlmError::read(&from, e))?;
            }
        }
        Ok(())
    }
}

/// The LoRA of a stage's folder.
fn lora(stage: &Path) -> Result<LoraWeights, LlmError> {
    let path = stage.join("adapter_config.json");
    let text = std::fs::read(&path).map_err(|e| LlmError::read(&path, e))?;
    let config: AdapterConfig = serde_json::from_slice(&text).map_err(|e| LlmError::malformed(&path, e))?;
    if config.fan_in_fan_out {
        return Err(LlmError::Unsupported { path, what: "fan_in_fan_out".into() });
    }
    let safetensors = stage.join("adapter_model.safetensors");
    let file = if safetensors.exists() { safetensors } else { stage.join("adapter_model.bin") };
    LoraWeights::new(&file, config.r, config.lora_alpha, read_tensors(&file)?)
}

/// The projector `name` among `tensors`, whatever stands before its name.
///
/// The reference's stage 1 writes the untrained audio projector into the visual one's file, and then cannot read that
/// file again. Names are compared as a whole here, so both layouts are read and neither projector is taken for the other.
fn projector(path: &Path, tensors: &HashMap<String, Tensor>, name: &str) -> Result<Projector, LlmError> {
    let find = |part: &str| -> Result<Tensor, LlmError> {
        let full = format!("{name}.{part}");
        let is_it = |key: &str| key == full || key.ends_with(&format!(".{full}"));
        let found = tensors.iter().find(|(key, _)| is_it(key));
        let (_, tensor) =
            found.ok_or_else(|| LlmError::MissingWeight { path: path.to_owned(), name: full.clone() })?;
        Ok(tensor.to_dtype(DType::F32)?)
    };
    Ok(Projector { weight: find("weight")?, bias: find("bias")? })
}
