//! The tiny AVicuna, learning from batches of the reference.

use std::collections::HashMap;
use std::path::Path;

use avicuna_models::checkpoint::read_projector;
use avicuna_models::interleave::{Interleaver, Item, Strategy};
use avicuna_models::llm::{Config, LoraWeights, Weights};
use avicuna_models::tensors::read_tensors;
use avicuna_trainer::decoder::{
    Batch, Layout, Learned, Parameter, Passing, Products, Projection, Target, Trainable,
};
use candle_core::Tensor;

use super::golden::{golden, json};
use super::{integers, values};

type Tensors = HashMap<String, Tensor>;

/// The projector `name` of a file.
fn adapter(file: &Path, name: &str) -> Result<Projection, Box<dyn std::error::Error>> {
    let projector = read_projector(file, name)?;
    let parameter = |tensor: &Tensor| -> candle_core::Result<Parameter> {
        let shape = [tensor.dims()[0], tensor.dims().get(1).copied().unwrap_or(1)];
        Ok(Parameter::new(name, shape, tensor.flatten_all()?.to_vec1()?))
    };
    Ok(Projection { weight: parameter(&projector.weight)?, bias: parameter(&projector.bias)? })
}

/// One audio-visual token of a sequence.
#[derive(Clone, Copy)]
pub enum Place {
    Visual(usize),
    Audio(usize),
}

/// The audio-visual part of a sequence: features of both senses, and the order of their tokens.
pub struct Video {
    pub visual: Vec<f32>,
    pub audio: Vec<f32>,
    pub order: Vec<Place>,
}

pub struct Model {
    pub llm: Trainable,
    pub visual: Projection,
    pub audio: Projection,
}

/// The base with the stages before `trained` merged, and the stage `trained` as variables.
pub fn model(merged: &[&str], trained: Option<&str>) -> Result<Model, Box<dyn std::error::Error>> {
    model_with(merged, trained, Products::Single)
}

pub fn model_with(
    merged: &[&str],
    trained: Option<&str>,
    products: Products,
) -> Result<Model, Box<dyn std::error::Error>> {
    let tiny = golden("tiny_avicuna");
    let config = Config::from_json(&tiny.join("base/config.json"))?;
    let lora = |stage: &str| -> Result<LoraWeights, Box<dyn std::error::Error>> {
        let adapter = json(&format!("tiny_avicuna/{stage}/adapter_config.json"));
        let (r, alpha) = (adapter["r"].as_u64().expect("r"), adapter["lora_alpha"].as_f64().expect("alpha"));
        let file = tiny.join(stage).join("adapter_model.safetensors");
        Ok(LoraWeights::new(&file, r as usize, alpha, read_tensors(&file)?)?)
    };
    let mut weights = Weights::from_dir(&tiny.join("base"), &config)?;
    for stage in merged {
        weights = weights.with_lora(lora(stage)?);
    }
    let trained = trained.map(lora).transpose()?;
    let llm = Trainable::load(&weights, config, trained.as_ref(), products)?;
    // A stage may bring its own projectors; the last one counts.
    let own = |name: &str, file: &str| -> Result<Projection, Box<dyn std::error::Error>> {
        for stage in merged.iter().rev() {
            let others = tiny.join(stage).join("non_lora_trainables.bin");
            if read_tensors(&others)?.keys().any(|key| key.ends_with(&format!("{name}.weight"))) {
                return adapter(&others, name);
            }
        }
        adapter(&tiny.join(file), name)
    };
    Ok(Model {
        llm,
        visual: own("mm_projector", "mm_projector.bin")?,
        audio: own("mm_projector_a", "mm_projector_a.bin")?,
    })
}

impl Model {
    /// The reference's sequence of all visual and audio tokens.
    pub fn interleaved(&self, visual: &Tensor, audio: &Tensor) -> Result<Video, Box<dyn std::error::Error>> {
        let interleaver = Interleaver::new(Strategy::Reference, visual.dim(0)?, audio.dim(0)?)?;
        let place = |item: &Item| match item {
            Item::Visual(token) => Place::Visual(*token),
            Item::Audio(token) => Place::Audio(*token),
            Item::Text(text) => panic!("the reference has no text between its tokens: {text:?}"),
        };
        let order = interleaver.full().iter().map(place).collect();
        Ok(Video { visual: values(visual)?, audio: values(audio)?, order })
    }

    /// The rows of a batch `NAME.input_ids`, -200 replaced by its video; padding at the end is left out.
    pub fn batch(
        &self,
        tensors: &Tensors,
        name: &str,
        videos: &[Video],
    ) -> Result<Batch, Box<dyn std::error::Error>> {
        let hidden = self.llm.config().hidden;
        let mut batch = Batch::default();
        for (row, video) in videos.iter().enumerate() {
            let part = |part: &str| integers(&tensors[&format!("{name}.{part}")].get(row)?);
            let (ids, labels) = (part("input_ids")?, part("labels")?);
            let length = ids.iter().rposition(|id| *id != 0).map_or(0, |last| last + 1);
            let (visual, audio) = (self.visual.project(&video.visual), self.audio.project(&video.audio));
            let start = batch.rows.len() / hidden;
            for (id, label) in ids.iter().zip(&labels).take(length) {
                if let Ok(id) = u32::try_from(*label) {
                    batch.targets.push(Target { row: batch.rows.len() / hidden - 1, id });
                }
                if *id != -200 {
                    batch.rows.extend(self.llm.embedding(*id as u32)?);
                    continue;
                }
                for place in &video.order {
                    batch.rows.extend(match place {
                        Place::Visual(token) => &visual[token * hidden..][..hidden],
                        Place::Audio(token) => &audio[token * hidden..][..hidden],
                    });
                }
            }
            batch.sequences.push(Layout::plain(batch.rows.len() / hidden - start));
        }
        Ok(batch)
    }

    /// Goes through the batch and hands the gradients of the videos' rows to the projectors; everything is the gradient
    /// of the mean loss then. Returns that loss.
    pub fn learn(
        &mut self,
        tensors: &Tensors,
        name: &str,
        videos: &[Video],
        passing: Passing,
    ) -> Result<f64, Box<dyn std::error::Error>> {
        let hidden = self.llm.config().hidden;
        let batch = self.batch(tensors, name, videos)?;
        let Learned { loss, rows } = self.llm.learn(&batch, passing)?;
        let mut start = 0;
        for (row, video) in videos.iter().enumerate() {
            let ids = integers(&tensors[&format!("{name}.input_ids")].get(row)?)?;
            let first = start + ids.iter().position(|id| *id == -200).expect("a <video> mark");
            let (mut visual, mut audio) = (
                vec![0.0; video.visual.len() / self.visual.inputs() * hidden],
                vec![0.0; video.audio.len() / self.audio.inputs() * hidden],
            );
            for (index, place) in video.order.iter().enumerate() {
                let (into, token) = match place {
                    Place::Visual(token) => (&mut visual, token),
                    Place::Audio(token) => (&mut audio, token),
                };
                into[token * hidden..][..hidden].copy_from_slice(&rows[(first + index) * hidden..][..hidden]);
            }
            self.visual.learn(&video.visual, &visual);
            self.audio.learn(&video.audio, &audio);
            start += batch.sequences[row].rows();
        }
        let count = batch.targets.len() as f32;
        let adapters =
            [&mut self.visual.weight, &mut self.visual.bias, &mut self.audio.weight, &mut self.audio.bias];
        for parameter in self.llm.parameters_mut().into_iter().chain(adapters) {
            parameter.gradient.iter_mut().for_each(|g| *g /= count);
        }
        let again = self.llm.loss(&batch)? / f64::from(count);
        assert!(passing.dropout > 0.0 || (again - loss / f64::from(count)).abs() < 1e-6);
        Ok(loss / f64::from(count))
    }
}
