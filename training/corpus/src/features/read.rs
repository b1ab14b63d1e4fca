//! The files that rows of features are in.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use avicuna_pipeline::stream::Medium;
use safetensors::{Dtype, SafeTensors};

use super::npy;
use super::rows::{Rows, halves, singles};

/// As the folders and tensors of an encoder's features are called.
pub fn called(medium: Medium) -> &'static str {
    match medium {
        Medium::Video => "visual",
        Medium::Audio => "audio",
    }
}

impl Rows {
    /// Of a folder that [`extract`](super::extract) filled, in either format; `None`: there is no file for `id`, or nothing of the
    /// modality in it.
    ///
    /// # Errors
    /// When a file is there and cannot be read, or holds no rows of f32 or f16.
    pub fn read(folder: &Path, medium: Medium, id: &str) -> Result<Option<Self>, RowsError> {
        let path = Self::path(folder, medium, id);
        let bytes = match fs::read(&path) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(source) => return Err(RowsError::Read { path, source }),
        };
        let rows = match path.extension() {
            Some(extension) if extension == "npy" => npy::parse(&bytes).map(Some),
            _ => of_safetensors(&bytes, medium),
        };
        rows.map_err(|reason| RowsError::Malformed { path, reason })
    }

    /// The file in which [`Rows::read`] looks.
    pub fn path(folder: &Path, medium: Medium, id: &str) -> PathBuf {
        let both = folder.join(format!("{id}.safetensors"));
        let own = folder.join(called(medium)).join(format!("{id}.npy"));
        if both.exists() && !own.exists() { both } else { own }
    }
}

fn of_safetensors(bytes: &[u8], medium: Medium) -> Result<Option<Rows>, String> {
    let bad = |error| format!("it is no safetensors file of features: {error}");
    let tensors = SafeTensors::deserialize(bytes).map_err(|error| bad(error.to_string()))?;
    if !tensors.names().contains(&called(medium)) {
        return Ok(None);
    }
    let tensor = tensors.tensor(called(medium)).map_err(|error| bad(error.to_string()))?;
    let &[_, dim] = tensor.shape() else {
        return Err(format!(
            "the shape of \"{}\" is {:?}; features are [rows, dim]",
            called(medium),
            tensor.shape()
        ));
    };
    let values = match tensor.dtype() {
        Dtype::F32 => singles(tensor.data()),
        Dtype::F16 => halves(tensor.data()),
        other => return Err(bad(format!("\"{}\" has numbers of type {other:?}", called(medium)))),
    };
    Ok(Some(Rows { values, dim }))
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
