//! Embeddings on disk, so that a million captions need not be read again after a stop.

use std::collections::HashMap;
use std::path::Path;

use avicuna_models::whole;
use safetensors::tensor::{Dtype, SafeTensors, TensorView, serialize};
use sha2::{Digest, Sha256};

use super::minilm::{CaptionEncoder, DIM, NAME};
use super::{ClusterError, Embeddings};

/// Captions of one file.
const CHUNK: usize = 8192;

/// The tensor's name.
const TENSOR: &str = "embeddings";

/// Embeds texts, a chunk at a time; chunks that `dir` holds are read from there, the others are left there. `open` loads the
/// encoder when the first one is needed; `progress` gets the number of texts done since its last call.
///
/// A chunk's file is named by the checksum of its texts, so no other texts ever get its embeddings.
pub fn embed(
    dir: &Path,
    texts: &[&str],
    open: &dyn Fn() -> Result<CaptionEncoder, ClusterError>,
    progress: &mut dyn FnMut(u64),
) -> Result<Embeddings, ClusterError> {
    std::fs::create_dir_all(dir).map_err(|source| io("write", dir, source))?;
    let mut encoder = None;
    let mut values = Vec::with_capacity(texts.len() * DIM);
    for chunk in texts.chunks(CHUNK) {
        let path = dir.join(format!("{}.safetensors", checksum(chunk)));
        if path.exists() {
            values.extend(read(&path, chunk.len())?);
            progress(chunk.len() as u64);
            continue;
        }
        let encoder = match &mut encoder {
            Some(encoder) => encoder,
            none => none.insert(open()?),
        };
        let embedded = encoder.embed(chunk, progress)?;
        write(&path, embedded.values())?;
        values.extend_from_slice(embedded.values());
    }
    Embeddings::new(values, DIM)
}

fn checksum(texts: &[&str]) -> String {
    let mut hasher = Sha256::new_with_prefix(NAME);
    for text in texts {
        hasher.update((text.len() as u64).to_le_bytes());
        hasher.update(text);
    }
    hex::encode(&hasher.finalize()[..16])
}

fn read(path: &Path, rows: usize) -> Result<Vec<f32>, ClusterError> {
    let bytes = std::fs::read(path).map_err(|source| io("read", path, source))?;
    let content = |reason: String| ClusterError::Content { path: path.to_owned(), reason };
    let tensors = SafeTensors::deserialize(&bytes).map_err(|e| content(e.to_string()))?;
    let tensor = tensors.tensor(TENSOR).map_err(|e| content(e.to_string()))?;
    if tensor.dtype() != Dtype::F32 || tensor.shape() != [rows, DIM] {
        return Err(content(format!("`{TENSOR}` is not f32 [{rows}, {DIM}]")));
    }
    let value = |bytes: &[u8]| f32::from_le_bytes(bytes.try_into().unwrap_or_default());
    Ok(tensor.data().chunks_exact(size_of::<f32>()).map(value).collect())
}

fn write(path: &Path, values: &[f32]) -> Result<(), ClusterError> {
    let bytes: Vec<u8> = values.iter().flat_map(|value| value.to_le_bytes()).collect();
    let content = |e: safetensors::SafeTensorError| ClusterError::Content {
        path: path.to_owned(),
        reason: e.to_string(),
    };
    let tensor = TensorView::new(Dtype::F32, vec![values.len() / DIM, DIM], &bytes).map_err(content)?;
    let bytes = serialize(HashMap::from([(TENSOR, tensor)]), None).map_err(content)?;
    whole::write(path, bytes).map_err(|source| io("write", path, source))
}

fn io(action: &'static str, path: &Path, source: std::io::Error) -> ClusterError {
    ClusterError::Io { action, path: path.to_owned(), source }
}
