//! The language model: a LLaMA decoder that reads embeddings and answers in tokens.
//!
//! One window's way: its prefix `[p, hidden]` (prompt head and audio-visual tokens) is read once; each question's ids
//! are embedded and read after it, sharing the prefix's keys and values; then every question of every window
//! generates one token a step, all in one `[questions, hidden]` batch.

use std::fs::File;
use std::path::Path;

use candle_core::quantized::gguf_file::Content;
use candle_core::{Device, Tensor};
use rayon::{ThreadPool, ThreadPoolBuilder};

use crate::tensors::guarded;
use crate::tokenizer::Tokenizer;

mod candle_engine;
pub mod config;
mod decoder;
mod draft;
mod error;
mod generate;
mod host;
mod lora;
mod prefill;
mod sampling;
mod table;
mod times;
mod weights;

pub use candle_engine::rotations;
pub use config::Config;
pub use error::LlmError;
pub use generate::Generated;
pub use lora::{Lora, LoraWeights};
pub use sampling::Sampling;
pub use weights::Weights;
pub(crate) use weights::{gguf_name, pairs};

use candle_engine::CandleEngine;
use decoder::{Decoder, Output, Segment};
use generate::Rules;
use host::Host;

/// How the weights are held.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Precision {
    /// [`Precision::Blocks`] on a CPU for weights that are stored with less than f32, [`Precision::Exact`] otherwise.
    #[default]
    Auto,
    /// f32 on a CPU, bf16 elsewhere.
    Exact,
    /// 7-bit blocks with fast integer products; CPU only.
    Blocks,
}

/// A language model with its tokenizer.
pub struct Llm {
    engine: Engine,
    tokenizer: Tokenizer,
    /// Its own threads; `None`: those of the process.
    threads: Option<ThreadPool>,
    readable_times: bool,
}

enum Engine {
    Candle(CandleEngine),
    Host(Host),
}

/// Evaluates an expression with the decoder inside an [`Engine`].
macro_rules! with_decoder {
    ($engine:expr, $decoder:ident => $value:expr) => {
        match $engine {
            Engine::Candle($decoder) => $value,
            Engine::Host($decoder) => $value,
        }
    };
}

impl Llm {
    /// Loads a `.gguf` file, or a folder with `config.json`, `model*.safetensors` and a tokenizer, and merges `lora`.
    pub fn load(path: &Path, lora: Option<&Lora>, device: &Device) -> Result<Self, LlmError> {
        Self::load_as(path, lora, device, Precision::Auto)
    }

    /// [`Self::load`] with a choice of how the weights are held.
    pub fn load_as(
        path: &Path,
        lora: Option<&Lora>,
        device: &Device,
        precision: Precision,
    ) -> Result<Self, LlmError> {
        let (config, weights, tokenizer) = open(path)?;
        let weights = match lora {
            Some(lora) => weights.with_lora(LoraWeights::load(lora)?),
            None => weights,
        };
        Self::assemble(&weights, config, tokenizer, device, precision)
    }

    /// Builds the model from `weights` that are opened already.
    pub fn assemble(
        weights: &Weights,
        config: Config,
        tokenizer: Tokenizer,
        device: &Device,
        precision: Precision,
    ) -> Result<Self, LlmError> {
        let fits = device.is_cpu() && Host::fits(&config);
        let blocks = match precision {
            Precision::Exact => false,
            Precision::Auto => fits && weights.is_compact(),
            Precision::Blocks if fits => true,
            Precision::Blocks => {
                let message = "blocks need a CPU, layer widths that are multiples of 32 and heads whose width is one of 16";
                return Err(LlmError::Input(message.into()));
            }
        };
        let engine = if blocks {
            Engine::Host(Host::load(weights, config)?)
        } else {
            Engine::Candle(CandleEngine::load(weights, config, device)?)
        };
        weights.finish()?;
        Ok(Self { engine, tokenizer, threads: None, readable_times: false })
    }

    /// Gives it `threads` threads of its own, at least one. Without, it shares one per core (or `RAYON_NUM_THREADS`) with
    /// the rest of the process.
    pub fn with_threads(mut self, threads: usize) -> Result<Self, LlmError> {
        let pool = ThreadPoolBuilder::new().num_threads(threads.max(1)).thread_name(|n| format!("llm-{n}"));
        let failed = |e| LlmError::Input(format!("cannot start {threads} threads for the LLM: {e}"));
        self.threads = Some(pool.build().map_err(failed)?);
        Ok(self)
    }

    /// Makes every answer that begins an interval go on with one that can be read: `From 20 to 55`, two digits each, the end
    /// not before the start. Other text is left alone, and probabilities stay the model's own.
    pub fn with_readable_times(mut self) -> Self {
        self.readable_times = true;
        self
    }

    /// Whether [`Self::with_readable_times`] was asked for.
    pub fn keeps_times_readable(&self) -> bool {
        self.readable_times
    }

    /// How many threads it computes with.
    pub fn threads(&self) -> usize {
        self.threads.as_ref().map_or_else(rayon::current_num_threads, ThreadPool::current_num_threads)
    }

    /// Its dimensions.
    pub fn config(&self) -> &Config {
        with_decoder!(&self.engine, decoder => decoder.config())
    }

    /// Bytes that its weights take in memory.
    pub fn weight_bytes(&self) -> usize {
        with_decoder!(&self.engine, decoder => decoder.weight_bytes())
    }

    /// Width of its embeddings.
    pub fn hidden_size(&self) -> usize {
        self.config().hidden
    }

    /// Its tokenizer.
    pub fn tokenizer(&self) -> &Tokenizer {
        &self.tokenizer
    }

    /// The embeddings of `ids`: `[ids, hidden]`, f32.
    pub fn embed(&self, ids: &[u32]) -> Result<Tensor, LlmError> {
        if let Some(id) = ids.iter().find(|&&id| id as usize >= self.config().vocab) {
            return Err(LlmError::Input(format!("{id} is no token id")));
        }
        with_decoder!(&self.engine, decoder => decoder.embed(ids))
    }

    /// Answers the questions of several windows, greedily.
    ///
    /// `prefixes[w]` is `[length, hidden]`, f32: the embeddings of window `w` up to the questions. `questions[w]` are its
    /// questions: the ids after the prefix, at least one, and the most tokens of the answer. Returns the answers in the
    /// same order. An answer is the same, up to rounding, whatever else is in the batch.
    pub fn generate(
        &self,
        prefixes: &[Tensor],
        questions: &[Vec<(Vec<u32>, usize)>],
    ) -> Result<Vec<Vec<Generated>>, LlmError> {
        self.generate_with(prefixes, questions, &Sampling::Greedy)
    }

    /// [`Self::generate`], where answers are `expected` to be made of some sentences, by window and question: the same answers, sooner
    /// where they are.
    pub fn generate_expecting(
        &self,
        prefixes: &[Tensor],
        questions: &[Vec<(Vec<u32>, usize)>],
        expected: &[Vec<Vec<String>>],
    ) -> Result<Vec<Vec<Generated>>, LlmError> {
        self.run(prefixes, questions, Rules { expected, ..self.rules(&Sampling::Greedy) })
    }

    /// [`Self::generate`] with a rule for choosing tokens.
    pub fn generate_with(
        &self,
        prefixes: &[Tensor],
        questions: &[Vec<(Vec<u32>, usize)>],
        sampling: &Sampling,
    ) -> Result<Vec<Vec<Generated>>, LlmError> {
        self.run(prefixes, questions, self.rules(sampling))
    }

    fn rules<'a>(&'a self, sampling: &'a Sampling) -> Rules<'a> {
        Rules { sampling, tokenizer: &self.tokenizer, readable_times: self.readable_times, expected: &[] }
    }

    fn run(
        &self,
        prefixes: &[Tensor],
        questions: &[Vec<(Vec<u32>, usize)>],
        rules: Rules<'_>,
    ) -> Result<Vec<Vec<Generated>>, LlmError> {
        self.inside(
            || with_decoder!(&self.engine, decoder => generate::generate(decoder, prefixes, questions, rules)),
        )
    }

    /// Runs `work` inside the thread pool: from there, handing work to it costs least.
    fn inside<T: Send>(&self, work: impl FnOnce() -> T + Send) -> T {
        match &self.threads {
            Some(pool) => pool.install(work),
            None => rayon::scope(|_| work()),
        }
    }

    /// The logits after every row of `rows [n, hidden]`: `[n, vocab]`, f32.
    pub fn logits(&self, rows: &Tensor) -> Result<Tensor, LlmError> {
        let count = rows.dims2()?.0;
        let logits = self.inside(|| {
            with_decoder!(&self.engine, decoder => {
                let mut cache = decoder.cache(None);
                let mut segments = [Segment { cache: &mut cache, rows: count }];
                decoder.forward(rows, &mut segments, Output::All)
            })
        })?;
        logits.ok_or_else(|| LlmError::Input("no rows".into()))
    }
}

/// What a model is made of: its dimensions, its weights, which are read when they are asked for, and its tokenizer.
type Parts = (Config, Weights, Tokenizer);

/// Opens a `.gguf` file, or a folder with `config.json`, weights and a tokenizer.
pub fn open(path: &Path) -> Result<Parts, LlmError> {
    if path.is_dir() { open_dir(path) } else { open_gguf(path) }
}

fn open_gguf(path: &Path) -> Result<Parts, LlmError> {
    let mut file = File::open(path).map_err(|e| LlmError::read(path, e))?;
    let content = guarded(path, || {
        Content::read(&mut std::io::BufReader::new(&mut file)).map_err(|e| LlmError::malformed(path, e))
    })?;
    let config = Config::from_gguf(&content, path)?;
    let tokenizer = Tokenizer::from_gguf(&content, path)?;
    let weights = Weights::from_gguf(path, content, file, &config);
    Ok((config, weights, tokenizer))
}

fn open_dir(dir: &Path) -> Result<Parts, LlmError> {
    let config = Config::from_json(&dir.join("config.json"))?;
    let tokenizer = Tokenizer::from_dir(dir)?;
    let weights = Weights::from_dir(dir, &config)?;
    Ok((config, weights, tokenizer))
}
