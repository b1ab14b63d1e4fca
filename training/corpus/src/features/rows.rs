//! Rows of features in memory, and the files they are in.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use half::f16;
use safetensors::{Dtype, SafeTensors};

use super::npy;

/// Whose features.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Modality {
    /// The visual encoder's.
    Visual,
    /// The audio encoder's.
    Audio,
}

impl Modality {
    /// As folders and tensors are called.
    pub fn name(self) -> &'static str {
        match self {
            Self::Visual => "visual",
            Self::Audio => "audio",
        }
    }
}

/// Features of one modality of one file, one row for each slot.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Rows {
    /// Row by row.
    pub values: Vec<f32>,
    /// Values of one row.
    pub dim: usize,
}

impl Rows {
    /// How many there are.
    pub fn len(&self) -> usize {
        self.values.len().checked_div(self.dim).unwrap_or(0)
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// One of them. Panics where there is none at `index`.
    pub fn row(&self, index: usize) -> &[f32] {
        &self.values[index * self.dim..][..self.dim]
    }

    /// Of a folder that [`extract`](super::extract) filled, in either format; `None`: there is no file for `id`, or nothing of the
    /// modality in it.
    ///
    /// # Errors
    /// When a file is there and cannot be read, or holds no rows of f32 or f16.
    pub fn read(folder: &Path, modality: Modality, id: &str) -> Result<Option<Self>, RowsError> {
        let path = Self::path(folder, modality, id);
        let bytes = match fs::read(&path) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(source) => return Err(RowsError::Read { path, source }),
        };
        let rows = match path.extension() {
            Some(extension) if extension == "npy" => npy::parse(&bytes).map(Some),
            _ => of_safetensors(&bytes, modality),
        };
        rows.map_err(|reason| RowsError::Malformed { path, reason })
    }

    /// The file in which [`Rows::read`] looks.
    pub fn path(folder: &Path, modality: Modality, id: &str) -> PathBuf {
        let both = folder.join(format!("{id}.safetensors"));
        let own = folder.join(modality.name()).join(format!("{id}.npy"));
        if both.exists() && !own.exists() { both } else { own }
    }
}

fn of_safetensors(bytes: &[u8], modality: Modality) -> Result<Option<Rows>, String> {
    let bad = |error| format!("it is no safetensors file of features: {error}");
    let tensors = SafeTensors::deserialize(bytes).map_err(|error| bad(error.to_string()))?;
    if !tensors.names().contains(&modality.name()) {
        return Ok(None);
    }
    let tensor = tensors.tensor(modality.name()).map_err(|error| bad(error.to_string()))?;
    let &[_, dim] = tensor.shape() else {
        return Err(format!(
            "the shape of \"{}\" is {:?}; features are [rows, dim]",
            modality.name(),
            tensor.shape()
        ));
    };
    let values = match tensor.dtype() {
        Dtype::F32 => singles(tensor.data()),
        Dtype::F16 => halves(tensor.data()),
        other => return Err(bad(format!("\"{}\" has numbers of type {other:?}", modality.name()))),
    };
    Ok(Some(Rows { values, dim }))
}

/// Little-endian numbers of 32 bits.
pub(super) fn singles(bytes: &[u8]) -> Vec<f32> {
    bytes.as_chunks::<4>().0.iter().map(|bytes| f32::from_le_bytes(*bytes)).collect()
}

/// Little-endian numbers of 16 bits.
pub(super) fn halves(bytes: &[u8]) -> Vec<f32> {
    bytes.as_chunks::<2>().0.iter().map(|bytes| f16::from_le_bytes(*bytes).to_f32()).collect()
}

/// Why features cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum RowsError {
    /// A file cannot be read.
    #[error("cannot read {path}: {source}; check its permissions", path = path.display())]
    Read {
        /// Which.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// A file holds something else.
    #[error("{path}: {reason}", path = path.display())]
    Malformed {
        /// Which.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
}
