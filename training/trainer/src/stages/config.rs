//! The configuration of training: one TOML file for all four stages of a model.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use avicuna_models::tensors::Stored;
use avicuna_pipeline::config::{ConfigError, Places, parse};
use serde::Deserialize;

mod check;
mod stage;

pub use stage::{Columns, Form, LoraSettings, Missing, Part, Rates, Schedule, Stage, Timing, Windows};

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

fn half() -> f32 {
    0.5
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
