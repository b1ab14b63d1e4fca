//! What a finished stage leaves, beside its checkpoint and log:
//!
//! ```text
//! RUN/stage1/mm_projector.safetensors      the adapters that the stage trained; with a LoRA, both that it was trained with
//! RUN/stage2/mm_projector_a.safetensors
//! RUN/stage3/adapter_config.json           the LoRA as PEFT reads it
//!            adapter_model.safetensors
//!            non_lora_trainables.safetensors   the adapters, where they learnt beside the LoRA
//! RUN/stageN/model/                        a model directory for the daemon, everything up to this stage in it
//! ```
//!
//! `avicuna models import` takes the first kind; `avicuna run` and `localize` take the last.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use avicuna_models::llm::{LlmError, LoraWeights};
use avicuna_models::manifest::{self, Manifest, sha256_of};
use avicuna_models::tensors::{Named, Stored, write_tensors};
use avicuna_pipeline::stream::Medium;
use toml::{Table, Value};

use super::TrainError;
use super::config::{Config, LoraSettings, Part};
use super::model::{Blueprint, Model, before, folder, projector_file};
use crate::lora::joined;
use crate::peft::{PeftConfig, write_lora, write_others};

/// Writes everything; returns the model directory.
pub(super) fn write(
    plan: &Blueprint,
    config: &Config,
    number: u8,
    out: &Path,
    model: &Model,
) -> Result<PathBuf, TrainError> {
    let stage = config.stage(number)?;
    let folder = folder(out, number);
    let header = || HashMap::from([("format".to_owned(), "pt".to_owned())]);
    let mut others = Vec::new();
    for (part, sense) in [(Part::Vision, Medium::Video), (Part::Audio, Medium::Audio)] {
        if stage.trains(part) || stage.trains(Part::Lora) {
            let tensors = model.adapters.projectors("model.", sense);
            if !tensors.is_empty() {
                write_tensors(&folder.join(projector_file(sense)), &tensors, Stored::F32, header())?;
            }
        }
        if stage.trains(part) {
            others.extend(model.adapters.projectors("base_model.model.model.", sense));
        }
    }
    if let Some(lora) = &stage.lora {
        write_peft(&folder, plan, lora, model)?;
        if !others.is_empty() {
            write_others(&folder, &others)?;
        }
    }
    model_dir(plan, config, number, out, model)
}

/// The LoRA as it is now, as PEFT reads it.
pub(super) fn write_peft(
    folder: &Path,
    plan: &Blueprint,
    lora: &LoraSettings,
    model: &Model,
) -> Result<(), TrainError> {
    let settings = PeftConfig {
        r: lora.r,
        alpha: lora.alpha,
        dropout: f64::from(lora.dropout),
        base: plan.base.display().to_string(),
    };
    let parameters = model.llm.parameters();
    let matrices: Vec<Named<'_>> = parameters
        .iter()
        .map(|p| Named { name: p.name.clone(), shape: p.shape.to_vec(), values: &p.values })
        .collect();
    Ok(write_lora(folder, &settings, &matrices)?)
}

/// A model directory with everything up to stage `number`: adapters, and all LoRAs as one.
fn model_dir(
    plan: &Blueprint,
    config: &Config,
    number: u8,
    out: &Path,
    model: &Model,
) -> Result<PathBuf, TrainError> {
    let dir = folder(out, number).join("model");
    std::fs::create_dir_all(&dir).map_err(|e| TrainError::write(&dir, e))?;
    let stored = config.model.save;
    write_tensors(&dir.join("adapters.safetensors"), &model.adapters.named(), stored, HashMap::new())?;
    let loras = before(out, number + 1)?;
    let lora = match loras.len() {
        0 => None,
        1 => loras.into_iter().next(),
        _ => Some(joined(&loras)?),
    };
    if let Some(lora) = &lora {
        write_matrices(&dir.join("lora.safetensors"), lora, stored)?;
    }
    let mut table = read(&config.model.manifest)?;
    place_parts(&plan.manifest, &dir)?;
    let file = |name: &str| -> Result<Table, TrainError> {
        let path = dir.join(name);
        let sum = sha256_of(&path).map_err(|e| TrainError::read(&path, e))?;
        Ok(Table::from_iter([("file".into(), name.into()), ("sha256".into(), sum.into())]))
    };
    table.insert("adapters".into(), file("adapters.safetensors")?.into());
    let llm = table.entry("llm").or_insert_with(|| Table::new().into());
    if let Value::Table(llm) = llm {
        llm.remove("lora");
        if let Some(lora) = &lora {
            let alpha = lora.scale() * lora.rank() as f64;
            let mut settings = Table::from_iter([
                ("r".into(), Value::Integer(lora.rank() as i64)),
                ("alpha".into(), Value::Float(alpha)),
            ]);
            settings.insert("file".into(), file("lora.safetensors")?.into());
            llm.insert("lora".into(), settings.into());
        }
        // A base that is not fetched into the cache stays where it is.
        if plan.base.starts_with(&plan.manifest.dir) || config.model.base.is_some() {
            let base = plan.base.canonicalize().map_err(|e| TrainError::read(&plan.base, e))?;
            let base = base.display().to_string();
            llm.insert("file".into(), Table::from_iter([("file".into(), base.into())]).into());
        }
    }
    let text = toml::to_string_pretty(&table).map_err(|e| TrainError::run(&dir, e.to_string()))?;
    let path = dir.join(manifest::FILE_NAME);
    std::fs::write(&path, text).map_err(|e| TrainError::write(&path, e))?;
    Ok(dir)
}

fn read(path: &Path) -> Result<Table, TrainError> {
    let text = std::fs::read_to_string(path).map_err(|e| TrainError::read(path, e))?;
    text.parse().map_err(|e: toml::de::Error| TrainError::malformed(path, e.to_string()))
}

/// Copies what lies beside the manifest and is not trained; what lies in the cache is found there by the new model too.
fn place_parts(manifest: &Manifest, dir: &Path) -> Result<(), TrainError> {
    for (part, file) in manifest.parts() {
        let (from, to) = (manifest.dir.join(&file.file), dir.join(&file.file));
        if !matches!(part, "vision" | "audio" | "vocabulary") || from == to || !from.is_file() {
            continue;
        }
        let folder = to.parent().unwrap_or(dir);
        std::fs::create_dir_all(folder).map_err(|e| TrainError::write(folder, e))?;
        std::fs::copy(&from, &to).map_err(|e| TrainError::write(&to, e))?;
    }
    Ok(())
}

fn write_matrices(path: &Path, lora: &LoraWeights, stored: Stored) -> Result<(), TrainError> {
    let mut values = Vec::new();
    for (name, tensor) in lora.matrices() {
        let own = tensor.flatten_all().and_then(|tensor| tensor.to_vec1::<f32>()).map_err(LlmError::from)?;
        values.push((name, tensor.dims().to_vec(), own));
    }
    let named: Vec<Named<'_>> = values
        .iter()
        .map(|(name, shape, values)| Named { name: name.clone(), shape: shape.clone(), values })
        .collect();
    Ok(write_tensors(path, &named, stored, HashMap::new())?)
}
