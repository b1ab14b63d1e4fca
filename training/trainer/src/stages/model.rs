//! The model that a stage trains: the base, what the stages before left, and where new parts start.

use std::path::{Path, PathBuf};

use avicuna_corpus::features::called;
use avicuna_models::checkpoint::read_lora;
use avicuna_models::interleave::Interleaver;
use avicuna_models::llm::{Config as LlmConfig, Lora, LoraWeights, open};
use avicuna_models::manifest::{Manifest, cache_dir};
use avicuna_models::tokenizer::Tokenizer;
use avicuna_models::vocabulary::{Vocabulary, VocabularyError};
use avicuna_pipeline::stream::Medium;

use super::TrainError;
use super::adapters::{self, Adapters};
use super::checkpoint;
use super::config::{Config, Dtype, Form, LoraSettings, Part, Stage, Start};
use super::optimizer::Share;
use super::source::Source;
use super::words::{self, Directions, Named};
use crate::decoder::{Parameter, Products, Trainable};
use crate::lora::fresh;

/// Everything that learns, or that is learned with.
pub(super) struct Model {
    pub(super) llm: Trainable,
    pub(super) adapters: Adapters,
    /// LoRAs of the stages before, which are in the LLM.
    pub(super) merged: usize,
}

/// What is known before the weights are read.
pub(super) struct Blueprint {
    pub(super) manifest: Manifest,
    /// The LLM's file or folder.
    pub(super) base: PathBuf,
}

impl Blueprint {
    /// Reads the manifest of `config` and finds the LLM.
    pub(super) fn new(config: &Config) -> Result<Self, TrainError> {
        let path = &config.model.manifest;
        let text = std::fs::read_to_string(path).map_err(|e| TrainError::read(path, e))?;
        let mut manifest = Manifest::parse(&text, path)?;
        manifest.dir = path.parent().unwrap_or(Path::new(".")).to_owned();
        let base = match &config.model.base {
            Some(base) => base.clone(),
            None => manifest.locate("llm", &manifest.llm.file, &cache_dir()?)?,
        };
        Ok(Self { manifest, base })
    }

    /// The width of an encoder's embeddings; `None`: the model lacks the sense.
    pub(super) fn dim(&self, sense: Medium) -> Option<usize> {
        match sense {
            Medium::Video => self.manifest.vision.as_ref().map(|vision| vision.dim),
            Medium::Audio => self.manifest.audio.as_ref().map(|audio| audio.dim),
        }
    }

    /// The order of a window's tokens; `None` where captions are learned from.
    pub(super) fn interleaver(&self, form: Form) -> Result<Option<Interleaver>, TrainError> {
        if form == Form::Captions {
            return Ok(None);
        }
        let window = self.manifest.window;
        let strategy = self.manifest.interleave.strategy();
        Ok(Some(Interleaver::new(strategy, window.visual_tokens, window.audio_tokens)?))
    }

    /// Loads what stage `number` of the run in `out` trains.
    pub(super) fn load(
        &self,
        config: &Config,
        number: u8,
        out: &Path,
        source: &dyn Source,
    ) -> Result<(Model, Tokenizer), TrainError> {
        let stage = config.stage(number)?;
        let (llm_config, mut weights, tokenizer) = open(&self.base)?;
        let loras = before(out, number)?;
        let merged = loras.len();
        for lora in loras {
            weights = weights.with_lora(lora);
        }
        let start = |lora: &LoraSettings| match &lora.start {
            None => fresh(&llm_config, lora.r, lora.alpha, config.seed ^ u64::from(number)),
            Some(path) => LoraWeights::load(&Lora { path: path.clone(), r: lora.r, alpha: lora.alpha }),
        };
        let lora = stage.lora.as_ref().map(start);
        let lora = lora.transpose()?;
        let products = match config.dtype {
            Dtype::F32 => Products::Single,
            Dtype::Bf16 => Products::Bf16,
        };
        let llm = Trainable::load(&weights, llm_config, lora.as_ref(), products)?;
        let adapters = self.adapters(config, number, out, (&llm, &tokenizer), source)?;
        Ok((Model { llm, adapters, merged }, tokenizer))
    }

    fn adapters(
        &self,
        config: &Config,
        number: u8,
        out: &Path,
        (llm, tokenizer): (&Trainable, &Tokenizer),
        source: &dyn Source,
    ) -> Result<Adapters, TrainError> {
        let LlmConfig { hidden, .. } = *llm.config();
        let stage = config.stage(number)?;
        let mut directions = None;
        let mut of = |sense: Medium| -> Result<Option<_>, TrainError> {
            let Some(dim) = self.dim(sense) else { return Ok(None) };
            let shape = [hidden, dim];
            // The latest stage that trained it.
            for earlier in (1..number).rev() {
                let path = folder(out, earlier).join(projector_file(sense));
                if path.exists() {
                    return adapters::read(sense, &path, shape);
                }
            }
            let part = if sense == Medium::Video { Part::Vision } else { Part::Audio };
            match &config.model.adapters {
                Start::File(path) => {
                    let missing = || TrainError::run(path, format!("it has no {} adapter", called(sense)));
                    adapters::read(sense, path, shape)?.ok_or_else(missing).map(Some)
                }
                Start::Vocabulary => {
                    if directions.is_none() {
                        directions = Some(Directions::new(llm, tokenizer)?);
                    }
                    let directions = directions.as_mut().expect("it was just made");
                    let vocabulary = vocabulary(&self.manifest)?.ok_or_else(|| {
                        TrainError::run(
                            &config.model.manifest,
                            "it has no [vocabulary] for adapters to start at",
                        )
                    })?;
                    words::phrases(sense, shape, &vocabulary, directions).map(Some)
                }
                // Windows hold both senses; of captions, what is not in the samples neither has words nor needs any.
                Start::Words
                    if stage.form == Form::Windows
                        || (stage.form == Form::Captions && stage.trains(part)) =>
                {
                    if directions.is_none() {
                        directions = Some(Directions::new(llm, tokenizer)?);
                    }
                    let directions = directions.as_mut().expect("it was just made");
                    let named = config.model.words.as_ref().filter(|_| sense == Medium::Video);
                    let named = named.map(|words| Named::read(&words.labels, words.share)).transpose()?;
                    words::start(sense, shape, source, directions, named.as_ref(), config.seed).map(Some)
                }
                _ if number > 2 && !stage.trains(part) => Err(TrainError::run(
                    &folder(out, number),
                    format!(
                        "stage {number} does not train the {} adapter, and no stage before it did; train stage {} first, or name a file in `model.adapters`",
                        called(sense),
                        if sense == Medium::Video { 1 } else { 2 }
                    ),
                )),
                _ => Ok(Some(adapters::drawn(sense, shape, config.seed))),
            }
        };
        Ok(Adapters { vision: of(Medium::Video)?, audio: of(Medium::Audio)? })
    }
}

/// What the encoders' classes are called, where the model has such.
pub(super) fn vocabulary(manifest: &Manifest) -> Result<Option<Vocabulary>, TrainError> {
    let Some(file) = &manifest.vocabulary else { return Ok(None) };
    let path = manifest.locate("vocabulary", file, &cache_dir()?)?;
    let read = |error: VocabularyError| TrainError::malformed(&path, error.to_string());
    Vocabulary::load(&path).map(Some).map_err(read)
}

/// The folder of a stage.
pub(super) fn folder(out: &Path, stage: u8) -> PathBuf {
    out.join(format!("stage{stage}"))
}

/// The file of an adapter in a stage's folder, named as the reference names it.
pub(super) fn projector_file(sense: Medium) -> &'static str {
    match sense {
        Medium::Video => "mm_projector.safetensors",
        Medium::Audio => "mm_projector_a.safetensors",
    }
}

/// The LoRAs of the stages before `number`, in their order.
pub(super) fn before(out: &Path, number: u8) -> Result<Vec<LoraWeights>, TrainError> {
    let mut loras = Vec::new();
    for stage in 1..number {
        let folder = folder(out, stage);
        let has = |name: &str| folder.join(name).exists();
        if has("adapter_config.json") {
            loras.push(read_lora(&folder)?);
            continue;
        }
        let is_over = [Medium::Video, Medium::Audio].map(projector_file).into_iter().any(has);
        if !is_over && [checkpoint::FILE, checkpoint::PARALLEL].into_iter().any(has) {
            let why = format!(
                "stage {stage} has begun and not ended: go on with it by --resume, or delete the folder"
            );
            return Err(TrainError::run(&folder, why));
        }
    }
    Ok(loras)
}

impl Model {
    /// What learns in `stage`, in an order that does not change.
    pub(super) fn learning(&self, stage: &Stage) -> Vec<&Parameter> {
        let mut all = self.llm.parameters();
        for (part, adapter) in [(Part::Vision, &self.adapters.vision), (Part::Audio, &self.adapters.audio)] {
            if stage.trains(part) {
                all.extend(adapter.iter().flat_map(|adapter| [&adapter.weight, &adapter.bias]));
            }
        }
        all
    }

    /// [`Self::learning`], to be changed.
    pub(super) fn learning_mut(&mut self, stage: &Stage) -> Vec<&mut Parameter> {
        let mut all = self.llm.parameters_mut();
        let adapters = [(Part::Vision, &mut self.adapters.vision), (Part::Audio, &mut self.adapters.audio)];
        for (part, adapter) in adapters {
            if stage.trains(part) {
                all.extend(adapter.iter_mut().flat_map(|adapter| [&mut adapter.weight, &mut adapter.bias]));
            }
        }
        all
    }

    /// How fast each of [`Self::learning`] learns.
    pub(super) fn shares(&self, stage: &Stage) -> Vec<Share> {
        let share = |parameter: &&Parameter| {
            let part = match parameter.name.as_str() {
                "vision.weight" | "vision.bias" => Part::Vision,
                "audio.weight" | "audio.bias" => Part::Audio,
                _ => Part::Lora,
            };
            let columns = stage.lr_of.vision_columns.filter(|_| parameter.name == "vision.weight");
            Share {
                share: stage.rate(part) / stage.lr,
                first: columns.map(|columns| (columns.first, columns.lr / stage.lr)),
            }
        };
        self.learning(stage).iter().map(share).collect()
    }
}
