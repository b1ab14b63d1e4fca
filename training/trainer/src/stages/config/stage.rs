//! The settings of one stage: what it reads, what learns, and how fast.

use std::path::PathBuf;

use serde::Deserialize;

/// A part of the model that can learn.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Part {
    /// The adapter of the visual encoder.
    Vision,
    /// The adapter of the audio encoder.
    Audio,
    /// A fresh LoRA on all linear layers of the LLM.
    Lora,
}

/// One stage.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Stage {
    /// Corpus directories: each holds records.json or timelines.jsonl, and features/.
    pub data: Vec<PathBuf>,
    /// What the samples are.
    pub form: Form,
    /// What becomes of a sample whose features are not there.
    #[serde(default)]
    pub missing: Missing,
    /// How sub-videos of a virtual video are put on its time line.
    #[serde(default)]
    pub timing: Timing,
    /// For `form = "windows"`.
    pub windows: Option<Windows>,
    /// What learns; the rest is frozen.
    pub train: Vec<Part>,
    /// The highest learning rate.
    pub lr: f64,
    /// Other rates for single parts.
    #[serde(default)]
    pub lr_of: Rates,
    /// How often every sample is seen.
    pub epochs: u32,
    /// Samples that are computed together.
    pub batch: usize,
    /// Such batches for each step of the optimizer.
    #[serde(default = "one")]
    pub accumulation: usize,
    /// The gradient of a step is made shorter when its norm is above this; 0: never.
    #[serde(default = "one_f64")]
    pub clip: f64,
    /// Share of the steps over which the learning rate rises.
    #[serde(default)]
    pub warm_up: f64,
    /// What the learning rate does after that.
    #[serde(default)]
    pub schedule: Schedule,
    /// The share of the rate that is left at the end of a `cosine`.
    #[serde(default)]
    pub floor: f64,
    /// Of AdamW.
    #[serde(default)]
    pub weight_decay: f64,
    /// Of AdamW.
    #[serde(default = "betas")]
    pub betas: [f64; 2],
    /// Longer sequences are cut.
    pub max_length: usize,
    /// For `train = ["lora"]`.
    pub lora: Option<LoraSettings>,
    /// Steps from one checkpoint to the next.
    #[serde(default = "hundred")]
    pub checkpoint_every: u64,
}

/// What the samples of a stage are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Form {
    /// Records of one picture or clip and its caption, with the plain template.
    Captions,
    /// Records with conversations about whole videos, as the reference trains.
    Records,
    /// Windows as the daemon cuts them, out of the time lines, with the model's own questions.
    Windows,
}

/// What becomes of a sample whose features are not there.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Missing {
    /// Training stops and names the file.
    #[default]
    Error,
    /// The sample is left out and counted.
    Skip,
}

/// How sub-videos are put on the time line.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Timing {
    /// Pictures and sound where they happen.
    #[default]
    Scaled,
    /// Pictures scaled, sound spread evenly, as the reference does.
    Reference,
}

/// Windows out of longer videos.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Windows {
    /// Windows of one video in one epoch.
    #[serde(default = "two")]
    pub per_video: usize,
    /// Questions for events about each window, beside the one for everything.
    #[serde(default = "three")]
    pub grounding: usize,
    /// Share of windows that lack one of the senses.
    #[serde(default)]
    pub drop_sense: f64,
    /// Share of windows with the sound of another video: what is seen there is not heard, and what is heard is not seen.
    #[serde(default)]
    pub other_sound: f64,
    /// Standard deviation of what is added to every feature, as a share of the features' own.
    #[serde(default)]
    pub noise: f32,
}

impl Default for Windows {
    fn default() -> Self {
        Self { per_video: two(), grounding: three(), drop_sense: 0.0, other_sound: 0.0, noise: 0.0 }
    }
}

/// Learning rates of single parts.
#[derive(Debug, Clone, PartialEq, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Rates {
    /// Of the vision adapter.
    pub vision: Option<f64>,
    /// Of the vision adapter's first columns, where the rest keeps the other rate.
    pub vision_columns: Option<Columns>,
    /// Of the audio adapter.
    pub audio: Option<f64>,
    /// Of the LoRA.
    pub lora: Option<f64>,
}

/// A rate for some columns.
#[derive(Debug, Clone, Copy, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Columns {
    /// So many, from the first.
    pub first: usize,
    /// Their learning rate.
    pub lr: f64,
}

/// What the learning rate does after the warm-up.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Schedule {
    /// It falls to nothing along half a cosine.
    #[default]
    Cosine,
    /// It stays.
    Constant,
}

/// A LoRA to be trained.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LoraSettings {
    /// The rank.
    pub r: usize,
    /// The scale is `alpha / r`.
    pub alpha: f64,
    /// Share of its inputs that it does not see in a step.
    #[serde(default)]
    pub dropout: f32,
    /// A safetensors file of this rank to go on from, such as a model directory's; `None`: a fresh one.
    pub start: Option<PathBuf>,
}

fn one() -> usize {
    1
}
fn two() -> usize {
    2
}
fn three() -> usize {
    3
}
fn hundred() -> u64 {
    100
}
fn one_f64() -> f64 {
    1.0
}
fn betas() -> [f64; 2] {
    [0.9, 0.999]
}

impl Stage {
    /// The rate of a part.
    pub fn rate(&self, part: Part) -> f64 {
        let own = match part {
            Part::Vision => self.lr_of.vision,
            Part::Audio => self.lr_of.audio,
            Part::Lora => self.lr_of.lora,
        };
        own.unwrap_or(self.lr)
    }

    /// Whether `part` learns.
    pub fn trains(&self, part: Part) -> bool {
        self.train.contains(&part)
    }
}
