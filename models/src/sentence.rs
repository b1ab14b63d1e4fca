//! Sentences to vectors: a BERT reads the text, the mean over its tokens is the vector (all-MiniLM-L6-v2 and its kin).

use std::path::{Path, PathBuf};

use candle_core::{DType, Device, Tensor};
use candle_nn::VarBuilder;
use candle_transformers::models::bert::{BertModel, Config};
use tokenizers::{PaddingParams, Tokenizer, TruncationParams};

/// Tokens of a text that are read, as the makers of all-MiniLM-L6-v2 set it.
const MAX_TOKENS: usize = 256;

/// Texts that are read together: more does not help on a CPU.
const BATCH: usize = 32;

/// Texts that are sorted by length together, so that short ones are not filled up to long ones.
const SORTED: usize = 1024;

/// Why texts cannot be embedded.
#[derive(Debug, thiserror::Error)]
#[error("the sentence encoder cannot be used: {reason}")]
pub struct SentenceError {
    /// What is wrong, and with which file.
    pub reason: String,
}

/// The files of an encoder.
#[derive(Debug, Clone)]
pub struct SentenceFiles {
    /// `config.json`.
    pub config: PathBuf,
    /// `tokenizer.json`.
    pub tokenizer: PathBuf,
    /// `model.safetensors`.
    pub weights: PathBuf,
}

/// The encoder, in memory.
pub struct SentenceEncoder {
    model: BertModel,
    tokenizer: Tokenizer,
    dim: usize,
}

impl SentenceEncoder {
    /// Loads it; whether the files are the right ones is for the caller to know.
    pub fn open(files: &SentenceFiles) -> Result<Self, SentenceError> {
        let of = |path: &Path| {
            let path = path.display().to_string();
            move |reason: String| SentenceError { reason: format!("{path}: {reason}") }
        };
        let config = std::fs::read(&files.config).map_err(|e| of(&files.config)(e.to_string()))?;
        let config: Config = serde_json::from_slice(&config).map_err(|e| of(&files.config)(e.to_string()))?;
        let weights = candle_core::safetensors::load(&files.weights, &Device::Cpu)
            .map_err(|e| of(&files.weights)(e.to_string()))?;
        let weights = VarBuilder::from_tensors(weights, DType::F32, &Device::Cpu);
        let mut tokenizer =
            Tokenizer::from_file(&files.tokenizer).map_err(|e| of(&files.tokenizer)(e.to_string()))?;
        let truncation = TruncationParams { max_length: MAX_TOKENS, ..TruncationParams::default() };
        tokenizer.with_truncation(Some(truncation)).map_err(|e| of(&files.tokenizer)(e.to_string()))?;
        // Filled up to the longest of a batch; its own `[PAD]` is token 0 too.
        tokenizer.with_padding(Some(PaddingParams::default()));
        let model = BertModel::load(weights, &config).map_err(|e| of(&files.weights)(e.to_string()))?;
        Ok(Self { model, tokenizer, dim: config.hidden_size })
    }

    /// Values of a vector.
    pub fn dim(&self) -> usize {
        self.dim
    }

    /// The vectors of `texts`, `[texts, dim]`, of any length; `progress` gets the number of texts done since its last call.
    pub fn embed(&self, texts: &[&str], progress: &mut dyn FnMut(u64)) -> Result<Vec<f32>, SentenceError> {
        let mut values = vec![0f32; texts.len() * self.dim];
        for (start, part) in (0..).step_by(SORTED).zip(texts.chunks(SORTED)) {
            let mut order: Vec<usize> = (0..part.len()).collect();
            order.sort_by_key(|index| part[*index].len());
            for batch in order.chunks(BATCH) {
                let texts: Vec<&str> = batch.iter().map(|index| part[*index]).collect();
                let rows = self.means(&texts).map_err(|e| SentenceError { reason: e.to_string() })?;
                for (index, row) in batch.iter().zip(rows) {
                    let at = (start + index) * self.dim;
                    values[at..at + self.dim].copy_from_slice(&row);
                }
                progress(batch.len() as u64);
            }
        }
        Ok(values)
    }

    /// The mean over each text's tokens, without the fillers.
    fn means(&self, texts: &[&str]) -> Result<Vec<Vec<f32>>, Box<dyn std::error::Error + Send + Sync>> {
        let encoded = self.tokenizer.encode_batch(texts.to_vec(), true)?;
        let tokens = encoded.first().map_or(0, |text| text.get_ids().len());
        let shape = (texts.len(), tokens);
        let tensor = |of: fn(&tokenizers::Encoding) -> &[u32]| {
            let values: Vec<u32> = encoded.iter().flat_map(of).copied().collect();
            Tensor::from_vec(values, shape, &Device::Cpu)
        };
        let (ids, kinds) = (tensor(|text| text.get_ids())?, tensor(|text| text.get_type_ids())?);
        let mask = tensor(|text| text.get_attention_mask())?;
        // [texts, tokens, dim]
        let hidden = self.model.forward(&ids, &kinds, Some(&mask))?;
        let mask = mask.to_dtype(DType::F32)?.unsqueeze(2)?;
        let sum = hidden.broadcast_mul(&mask)?.sum(1)?;
        Ok(sum.broadcast_div(&mask.sum(1)?)?.to_vec2()?)
    }
}
