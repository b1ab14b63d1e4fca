//! The configuration of training: one TOML file for all four stages of a model.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use avicuna_models::tensors::Stored;
use avicuna_pipeline::config::{ConfigError, Places, parse};
use serde::Deserialize;

mod check;

/// A configuration, checked. Paths in it are relative to the file.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// Of everything that is drawn: order of the samples, windows, dropout, where LoRAs and adapters start.
    pub seed: u64,
    /// How the linear layers of the base are held and multiplied.
    #[serde(default)]
    pub dtype: Dtype,
    /// Compute blocks again on the way back instead of keeping them: less memory, a third more time.
    #[serde(default)]
    pub gradient_checkpointing: bool,
    /// What is trained.
    pub model: Model,
    /// The stages, `1` to `4`; a run may leave some out.
    pub stage: BTreeMap<String, Stage>,
}

/// A type of numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Dtype {
    /// Single precision.
    #[default]
    F32,
    /// Products of bfloat16 numbers, added up in single precision. Slow on processors that have no instructions for them.
    Bf16,
}

/// What is trained.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Model {
    /// The `model.toml` that says what goes together: window, interleaver, encoders' widths, template, LLM. Its LoRA and
    /// adapters are not read.
    pub manifest: PathBuf,
    /// The LLM, where it is not the manifest's: a GGUF file, or a folder in Hugging Face's layout.
    pub base: Option<PathBuf>,
    /// Where adapters start that no stage has trained yet.
    pub adapters: Start,
    /// Words for the `words` start.
    pub words: Option<Words>,
    /// How the model directory that a stage leaves stores adapters and LoRA.
    #[serde(default)]
    pub save: Stored,
}

/// Where adapters start.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Start {
    /// Uniform within `1 / sqrt(dim)` of 0, as torch's linear layer.
    Random,
    /// At the LLM's own embeddings of the words that the data tells of the features: a ridge regression.
    Words,
    /// At the LLM's own embeddings of the phrases of the model's vocabulary, for encoders whose embeddings are the evidence for them.
    Vocabulary,
    /// At what a file holds: `vision.weight` and so on, or the reference's `mm_projector`.
    File(PathBuf),
}

/// Columns of the vision encoder's embedding that are probabilities of named classes.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Words {
    /// A text file with one name a line, for the last columns of the embedding.
    pub labels: PathBuf,
    /// How much of a token's start these columns give.
    #[serde(default = "half")]
    pub share: f32,
}

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
fn half() -> f32 {
    0.5
}
fn one_f64() -> f64 {
    1.0
}
fn betas() -> [f64; 2] {
    [0.9, 0.999]
}

impl Config {
    /// Reads and checks a file.
    ///
    /// # Errors
    /// Each problem with the line and the field.
    pub fn load(path: &Path) -> Result<Self, ConfigError> {
        let file = path.display().to_string();
        let text = std::fs::read_to_string(path).map_err(|e| {
            Places::default().problem("", format!("cannot read {file}: {e}; check the path of --config"))
        })?;
        let mut config = Self::read(&text, &file)?;
        config.place(path.parent().unwrap_or(Path::new(".")));
        Ok(config)
    }

    /// Reads and checks a text; `file` is where it came from, for messages. Paths stay as they are.
    pub fn read(text: &str, file: &str) -> Result<Self, ConfigError> {
        let (config, places): (Self, Places) = parse(text, file)?;
        let mut problems = Vec::new();
        let mut problem = |field: &str, message: String| problems.push(places.problem(field, message));
        if config.model.adapters != Start::Words && config.model.words.is_some() {
            problem("model.words", "belongs to adapters = \"words\" only".into());
        }
        for (name, stage) in &config.stage {
            if !matches!(name.as_str(), "1" | "2" | "3" | "4") {
                problem(&format!("stage.{name}"), "there are the stages 1, 2, 3 and 4".into());
            }
            stage.check(&mut |field: &str, message: String| {
                problem(&format!("stage.{name}.{field}"), message)
            });
        }
        if problems.is_empty() { Ok(config) } else { Err(ConfigError { problems }) }
    }

    /// The stage `number`.
    pub fn stage(&self, number: u8) -> Result<&Stage, ConfigError> {
        self.stage.get(&number.to_string()).ok_or_else(|| self.lacks(number))
    }

    /// Gives the stage `number` other corpora.
    ///
    /// # Errors
    /// When there is no such stage.
    pub fn learn_from(&mut self, number: u8, data: &[PathBuf]) -> Result<(), ConfigError> {
        match self.stage.get_mut(&number.to_string()) {
            Some(stage) => stage.data = data.to_vec(),
            None => return Err(self.lacks(number)),
        }
        Ok(())
    }

    fn lacks(&self, number: u8) -> ConfigError {
        let there: Vec<&str> = self.stage.keys().map(String::as_str).collect();
        let message = format!("the configuration has no [stage.{number}]; it has {}", there.join(", "));
        Places::default().problem("", message).into()
    }

    /// Makes paths relative to `folder`.
    fn place(&mut self, folder: &Path) {
        let place = |path: &mut PathBuf| *path = folder.join(&*path);
        place(&mut self.model.manifest);
        self.model.base.iter_mut().for_each(place);
        self.model.words.iter_mut().for_each(|words| place(&mut words.labels));
        if let Start::File(path) = &mut self.model.adapters {
            place(path);
        }
        for stage in self.stage.values_mut() {
            stage.data.iter_mut().for_each(place);
            stage.lora.iter_mut().filter_map(|lora| lora.start.as_mut()).for_each(place);
        }
    }
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

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str = r#"seed = 1
[model]
manifest = "model.toml"
adapters = "random"
[stage.3]
data = ["pu-valor"]
form = "records"
train = ["lora"]
lr = 1e-4
epochs = 2
batch = 8
max_length = 2048
lora = { r = 64, alpha = 128.0, dropout = 0.05 }
"#;

    fn problem(from: &str, to: &str) -> String {
        assert!(GOOD.contains(from), "{from}");
        Config::read(&GOOD.replacen(from, to, 1), "t.toml").expect_err("a problem").to_string()
    }

    #[test]
    fn what_is_left_out_has_the_papers_values() {
        let config = Config::read(GOOD, "t.toml").expect("it is right");
        let stage = config.stage(3).expect("stage 3");
        assert_eq!((stage.schedule, stage.betas, stage.weight_decay), (Schedule::Cosine, [0.9, 0.999], 0.0));
        assert_eq!((stage.accumulation, stage.clip, stage.timing), (1, 1.0, Timing::Scaled));
        assert!(config.stage(4).expect_err("none").to_string().contains("[stage.4]"));
    }

    #[test]
    fn problems_name_the_line_and_the_field() {
        let found = problem("lr = 1e-4", "lr = 3.0");
        assert!(found.starts_with("t.toml:9:") && found.contains("stage.3.lr: 3"), "{found}");
        let found = problem("epochs = 2", "epoch = 2");
        assert!(found.starts_with("t.toml:10:1") && found.contains("epoch"), "{found}");
        let found = problem("[\"lora\"]", "[\"vision\"]");
        assert!(found.starts_with("t.toml:13:") && found.contains("stage.3.lora"), "{found}");
        let found = problem("[stage.3]", "[stage.5]");
        assert!(found.starts_with("t.toml:5:") && found.contains("stage.5: there are"), "{found}");
        assert!(problem("\"records\"", "\"video\"").contains("t.toml:7:"));
        assert!(problem("batch = 8", "batch = \"many\"").contains("t.toml:11:"));
    }

    #[test]
    fn several_problems_are_told_at_once() {
        let text = GOOD.replace("batch = 8", "batch = 0\nwarm_up = 2.0");
        let error = Config::read(&text, "t.toml").expect_err("two problems");
        assert_eq!(error.problems.len(), 2, "{error}");
    }
}
