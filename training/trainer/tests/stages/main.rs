//! The four stages on the tiny model: what they learn, survive, refuse and leave behind.

mod data;
mod interrupted;
mod model_directory;
mod numbers;
mod presets;
#[path = "../tiny/mod.rs"]
mod tiny;

use std::path::Path;

use avicuna_models::tensors::read_tensors;
use avicuna_trainer::stages::config::Config;
use avicuna_trainer::stages::{Options, Signal, TrainError, Trained, train};

fn run(
    config: &Config,
    stage: u8,
    out: &Path,
    (resume, steps): (bool, Option<u64>),
) -> Result<Trained, TrainError> {
    let options = Options { stage, out: out.to_owned(), resume, steps };
    train(config, &options, &mut |_| Signal::Continue)
}

/// Step and loss of every line of a stage's log.
fn losses(out: &Path, stage: u8) -> Result<Vec<(u64, f64)>, Box<dyn std::error::Error>> {
    let text = std::fs::read_to_string(out.join(format!("stage{stage}/log.jsonl")))?;
    let read = |line: &str| -> Result<(u64, f64), Box<dyn std::error::Error>> {
        let line: serde_json::Value = serde_json::from_str(line)?;
        Ok((line["step"].as_u64().ok_or("no step")?, line["loss"].as_f64().ok_or("no loss")?))
    };
    text.lines().map(read).collect()
}

/// Names and values.
type Tensors = Vec<(String, Vec<f32>)>;

/// The tensors of a checkpoint, without the header, which knows how long the run took.
fn tensors(out: &Path, stage: u8) -> Result<Tensors, Box<dyn std::error::Error>> {
    let path = out.join(format!("stage{stage}/checkpoint.safetensors"));
    let mut tensors: Tensors = read_tensors(&path)?
        .into_iter()
        .map(|(name, tensor)| Ok((name, tensor.flatten_all()?.to_vec1()?)))
        .collect::<Result<_, candle_core::Error>>()?;
    tensors.sort_by(|a, b| a.0.cmp(&b.0));
    Ok(tensors)
}
