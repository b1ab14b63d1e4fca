//! What a stage would learn from, for trainers that run on many machines: sequences of tokens and features, epoch by epoch, in the order and
//! the steps in which `train` would take them.
//!
//! ```text
//! DIR/stage.json             the settings of the stage
//!     lora/                  where the LoRA starts, as PEFT reads it
//!     adapters.safetensors   visual.weight [hidden, dim], visual.bias [hidden], audio.weight, audio.bias; they do not learn
//!     epoch-E.jsonl          a line for each sequence: id, step, tokens, labels
//!     epoch-E.visual.npy     [n, dim], what the places of pictures hold, in the order of the lines; none where the model does not look
//!     epoch-E.audio.npy      the same of sound
//! ```
//!
//! Of `tokens`, -1 is the place of the next picture and -2 that of the next sound. `labels` lie under the tokens, as Hugging Face's models
//! want them: what is predicted by the place before, -100 where nothing is to be.

use std::collections::HashMap;
use std::fs::File;
use std::io::{BufWriter, Write as _};
use std::path::{Path, PathBuf};

use avicuna_corpus::features::{RowsFile, called};
use avicuna_models::tensors::{Named, Stored, write_tensors};
use avicuna_pipeline::stream::Medium;
use serde_json::json;

use super::TrainError;
use super::assemble::{Place, Sequence};
use super::config::{Config, Missing, Part, Schedule, Stage};
use super::order::of_epoch;
use super::output::write_peft;
use super::prepare::{Prepared, draw};
use super::run::Progress;
use super::source::{Sample, Source as _};

/// The file that says what the others are.
const SETTINGS: &str = "stage.json";
/// The place of a picture, of a sound, and of no label.
const VISUAL: i64 = -1;
const AUDIO: i64 = -2;
const NONE: i64 = -100;

/// What was written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Exported {
    /// Sequences of all epochs.
    pub sequences: u64,
    /// Steps of the optimizer.
    pub steps: u64,
    /// Samples that were left out for want of features.
    pub skipped: u64,
    /// Rows that were cut from sequences that were too long.
    pub cut: u64,
}

/// Writes what stage `number` of the run in `out` learns from into `dir`.
///
/// # Errors
/// Names the file or the sample. A stage whose adapters learn cannot be exported: other trainers have them frozen.
pub fn export(
    config: &Config,
    (number, out): (u8, &Path),
    dir: &Path,
    watch: &mut dyn FnMut(Progress<'_>),
) -> Result<Exported, TrainError> {
    let stage = config.stage(number)?;
    if stage.train != [Part::Lora] {
        let why = format!(
            "stage {number} trains adapters, and other trainers learn a LoRA alone: train it here, or leave them out of its `train`"
        );
        return Err(TrainError::run(dir, why));
    }
    let prepared = Prepared::load(config, number, out)?;
    std::fs::create_dir_all(dir).map_err(|error| TrainError::export(dir, error))?;
    // What was exported here before is none any more.
    let path = dir.join(SETTINGS);
    match std::fs::remove_file(&path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            return Err(TrainError::export(&path, error));
        }
        _ => {}
    }
    let mut exported = Exported::default();
    for epoch in 0..stage.epochs {
        Epoch::create(&prepared, dir, epoch)?.write((config, stage), &prepared, &mut exported, watch)?;
    }
    adapters(&prepared, dir)?;
    if let Some(lora) = &stage.lora {
        let folder = dir.join("lora");
        std::fs::create_dir_all(&folder).map_err(|error| TrainError::export(&folder, error))?;
        write_peft(&folder, &prepared.plan, lora, &prepared.model)?;
    }
    // Last: who finds it finds all.
    settings(&prepared, (config, stage), (number, exported.steps), dir)?;
    Ok(exported)
}

/// The files of one epoch.
struct Epoch {
    number: u32,
    path: PathBuf,
    lines: BufWriter<File>,
    visual: Option<(PathBuf, RowsFile)>,
    audio: Option<(PathBuf, RowsFile)>,
}

impl Epoch {
    fn create(prepared: &Prepared, dir: &Path, number: u32) -> Result<Self, TrainError> {
        let rows = |sense: Medium| {
            let dim = prepared.plan.dim(sense)?;
            let path = dir.join(format!("epoch-{number}.{}.npy", called(sense)));
            let file = RowsFile::create(&path, dim, false).map_err(|error| TrainError::export(&path, error));
            Some(file.map(|file| (path, file)))
        };
        let path = dir.join(format!("epoch-{number}.jsonl"));
        let lines = File::create(&path).map_err(|error| TrainError::export(&path, error))?;
        let (visual, audio) = (rows(Medium::Video).transpose()?, rows(Medium::Audio).transpose()?);
        Ok(Self { number, path, lines: BufWriter::new(lines), visual, audio })
    }

    fn write(
        mut self,
        (config, stage): (&Config, &Stage),
        prepared: &Prepared,
        exported: &mut Exported,
        watch: &mut dyn FnMut(Progress<'_>),
    ) -> Result<(), TrainError> {
        let order = of_epoch(config.seed, self.number, prepared.source.len());
        let reader = (&prepared.source, &prepared.assembler);
        for indices in order.chunks(stage.batch * stage.accumulation) {
            let before = exported.sequences;
            for index in indices {
                match draw(reader, (config.seed, self.number), *index) {
                    Ok((sample, sequence)) => {
                        exported.cut += sequence.cut as u64;
                        exported.sequences += self.put(&sample, &sequence, exported.steps)?;
                    }
                    Err(error) if error.is_of_one_sample() && stage.missing == Missing::Skip => {
                        exported.skipped += 1;
                        watch(Progress::Skipped(&error));
                    }
                    Err(error) => return Err(error),
                }
            }
            // A step without samples is none.
            exported.steps += u64::from(exported.sequences > before);
        }
        let written = self.lines.flush();
        written.map_err(|error| TrainError::export(&self.path, error))?;
        for (path, rows) in [self.visual, self.audio].into_iter().flatten() {
            rows.close().map_err(|error| TrainError::export(&path, error))?;
        }
        Ok(())
    }

    /// Writes a sample's sequences; how many it has.
    fn put(&mut self, sample: &Sample, sequence: &Sequence, step: u64) -> Result<u64, TrainError> {
        let mut count = 0;
        for places in sequence.conversations() {
            let (mut tokens, mut labels) =
                (Vec::with_capacity(places.len()), Vec::with_capacity(places.len()));
            for (place, label) in places {
                tokens.push(match place {
                    Place::Text(id) => i64::from(id),
                    Place::Visual(slot) => row(&mut self.visual, &sample.visual[slot], VISUAL)?,
                    Place::Audio(slot) => row(&mut self.audio, &sample.audio[slot], AUDIO)?,
                });
                labels.push(label.map_or(NONE, i64::from));
            }
            if labels.iter().all(|label| *label == NONE) {
                continue;
            }
            let line = json!({ "id": sample.id, "step": step, "tokens": tokens, "labels": labels });
            writeln!(self.lines, "{line}").map_err(|error| TrainError::export(&self.path, error))?;
            count += 1;
        }
        Ok(count)
    }
}

/// Adds the features of a place.
fn row(
    file: &mut Option<(PathBuf, RowsFile)>,
    features: &Option<Vec<f32>>,
    place: i64,
) -> Result<i64, TrainError> {
    if let (Some((path, file)), Some(features)) = (file, features) {
        file.push(features).map_err(|error| TrainError::export(path, error))?;
    }
    Ok(place)
}

fn adapters(prepared: &Prepared, dir: &Path) -> Result<(), TrainError> {
    let tensors = prepared.model.adapters.named().into_iter();
    let tensors: Vec<Named<'_>> =
        tensors.map(|tensor| Named { name: tensor.name.replace("vision.", "visual."), ..tensor }).collect();
    write_tensors(&dir.join("adapters.safetensors"), &tensors, Stored::F32, HashMap::new())?;
    Ok(())
}

fn settings(
    prepared: &Prepared,
    (config, stage): (&Config, &Stage),
    (number, steps): (u8, u64),
    dir: &Path,
) -> Result<(), TrainError> {
    let llm = prepared.model.llm.config();
    let settings = json!({
        "stage": number,
        "seed": config.seed,
        "epochs": stage.epochs,
        "steps": steps,
        "batch": stage.batch,
        "accumulation": stage.accumulation,
        "lr": stage.rate(Part::Lora),
        "schedule": match stage.schedule { Schedule::Cosine => "cosine", Schedule::Constant => "constant" },
        "warm_up": stage.warm_up,
        "floor": stage.floor,
        "clip": (stage.clip > 0.0).then_some(stage.clip),
        "weight_decay": stage.weight_decay,
        "betas": stage.betas,
        "lora": stage.lora.as_ref().map(|lora| json!({ "r": lora.r, "alpha": lora.alpha, "dropout": short(lora.dropout) })),
        "hidden": llm.hidden,
        "layers": llm.layers,
        "vocabulary": llm.vocab,
        "merged": prepared.model.merged,
        "visual": prepared.plan.dim(Medium::Video),
        "audio": prepared.plan.dim(Medium::Audio),
        "adapters": "adapters.safetensors",
    });
    let path = dir.join(SETTINGS);
    let text = format!("{settings:#}\n");
    std::fs::write(&path, text).map_err(|error| TrainError::export(&path, error))
}

/// As it is written, and not with the digits that a longer number makes of it.
fn short(value: f32) -> f64 {
    value.to_string().parse().unwrap_or_else(|_| f64::from(value))
}
