//! AVicuna's released layout: a base LLaMA, two projectors and two LoRA stages, merged into one folder.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use super::export::{Format, SHARD, write_gguf, write_safetensors};
use super::peft::{others, read_lora};
use crate::llm::{Config, LlmError, Weights};
use crate::manifest;
use crate::tensors::read_tensors;
use crate::tokenizer::Tokenizer;
use candle_core::{DType, Tensor};

/// The parts of a released AVicuna.
#[derive(Debug, Clone)]
pub struct Released {
    /// The base LLaMA: `config.json`, weights (safetensors or `pytorch_model*.bin`), tokenizer.
    pub base: PathBuf,
    /// `mm_projector.bin`, the visual projector.
    pub visual: PathBuf,
    /// `mm_projector_a.bin`, the audio projector.
    pub audio: PathBuf,
    /// LoRA folders in the order in which they are merged: `stage3`, `stage4`; with their non_lora_trainables, if any.
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

/// An opened checkpoint. Weights are read, and the stages merged into them, one by one when they are asked for.
pub struct Imported {
    /// The dimensions of the LLM.
    pub config: Config,
    /// The weights of the LLM by their Hugging Face names, f32, every stage merged.
    pub weights: Weights,
    /// From the visual encoder.
    pub visual: Projector,
    /// From the audio encoder.
    pub audio: Projector,
    base: PathBuf,
}

/// Opens `released`: its stages are merged one after the other, in the order in which they were trained.
pub fn import(released: &Released) -> Result<Imported, LlmError> {
    let config = Config::from_json(&released.base.join("config.json"))?;
    let mut weights = Weights::from_dir(&released.base, &config)?;
    let mut visual = read_projector(&released.visual, "mm_projector")?;
    let mut audio = read_projector(&released.audio, "mm_projector_a")?;
    for stage in &released.stages {
        weights = weights.with_lora(read_lora(stage)?);
        let Some(path) = others(stage) else { continue };
        // With the flags of the training scripts this file is empty; what is in it replaces what was there before.
        let others = read_tensors(&path)?;
        for (name, target) in [("mm_projector", &mut visual), ("mm_projector_a", &mut audio)] {
            if others.keys().any(|key| key.ends_with(&format!("{name}.weight"))) {
                *target = projector(&path, &others, name)?;
            }
        }
    }
    Ok(Imported { config, weights, visual, audio, base: released.base.clone() })
}

impl Imported {
    /// Every weight of the LLM, merged, in memory at once.
    pub fn all(&self) -> Result<HashMap<String, Tensor>, LlmError> {
        let get = |(name, shape): (String, Vec<usize>)| {
            let tensor = self.weights.get(&name, &shape)?;
            Ok((name, tensor))
        };
        let all = self.config.weights().into_iter().map(get).collect::<Result<_, LlmError>>()?;
        self.weights.finish()?;
        Ok(all)
    }

    /// Writes a model directory: `llm/` or `llm.gguf`, `adapters.safetensors` and, where there is none, a `model.toml`
    /// that describes AVicuna as it was released. Returns the LLM's path.
    ///
    /// What is written is complete: an error leaves no `model.toml` behind.
    pub fn write(&self, out: &Path, name: &str, format: Format) -> Result<PathBuf, LlmError> {
        self.write_in_shards(out, name, format, SHARD)
    }

    pub(super) fn write_in_shards(
        &self,
        out: &Path,
        name: &str,
        format: Format,
        shard: usize,
    ) -> Result<PathBuf, LlmError> {
        std::fs::create_dir_all(out).map_err(|e| LlmError::write(out, e))?;
        let llm = match format {
            Format::Safetensors(dtype) => {
                let folder = out.join("llm");
                std::fs::create_dir_all(&folder).map_err(|e| LlmError::write(&folder, e))?;
                write_safetensors(&self.weights, &self.config, dtype, &folder, shard)?;
                self.copy_rest(&folder)?;
                folder
            }
            Format::Gguf(dtype) => {
                let tokenizer = Tokenizer::from_dir(&self.base)?;
                let path = out.join("llm.gguf");
                write_gguf(&self.weights, &self.config, &tokenizer, name, dtype, &path)?;
                path
            }
        };
        self.weights.finish()?;
        self.write_adapters(&out.join("adapters.safetensors"))?;
        let manifest = out.join(manifest::FILE_NAME);
        if !manifest.exists() {
            std::fs::write(&manifest, self.manifest(name, &llm))
                .map_err(|e| LlmError::write(&manifest, e))?;
        }
        Ok(llm)
    }

    /// Configuration and tokenizer, which stay as they are.
    fn copy_rest(&self, folder: &Path) -> Result<(), LlmError> {
        for name in ["config.json", "tokenizer.model", "tokenizer.json", "tokenizer_config.json"] {
            let from = self.base.join(name);
            if from.exists() {
                let to = folder.join(name);
                std::fs::copy(&from, &to).map_err(|e| LlmError::write(&to, e))?;
            }
        }
        Ok(())
    }

    fn write_adapters(&self, path: &Path) -> Result<(), LlmError> {
        let adapters = [
            ("vision.weight", &self.visual.weight),
            ("vision.bias", &self.visual.bias),
            ("audio.weight", &self.audio.weight),
            ("audio.bias", &self.audio.bias),
        ];
        let adapters: HashMap<_, _> = adapters.into_iter().map(|(name, t)| (name, t.clone())).collect();
        candle_core::safetensors::save(&adapters, path).map_err(|e| LlmError::malformed(path, e))
    }

    fn manifest(&self, name: &str, llm: &Path) -> String {
        let width = |projector: &Projector| projector.weight.dims().get(1).copied().unwrap_or(0).to_string();
        let llm = llm.file_name().and_then(|n| n.to_str()).unwrap_or("llm");
        include_str!("released.toml")
            .replace("NAME", &toml::Value::String(name.to_owned()).to_string())
            .replace("VISION_DIM", &width(&self.visual))
            .replace("AUDIO_DIM", &width(&self.audio))
            .replace("LLM_FILE", llm)
    }
}

/// The projector `name`, `mm_projector` or `mm_projector_a`, of a file of tensors.
pub fn read_projector(path: &Path, name: &str) -> Result<Projector, LlmError> {
    projector(path, &read_tensors(path)?, name)
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
