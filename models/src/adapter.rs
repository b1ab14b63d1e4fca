//! The adapters: one linear layer from an encoder's width to the LLM's, for each modality.

use std::path::{Path, PathBuf};

use candle_core::{DType, Device, Tensor};

use crate::checkpoint::Projector;
use crate::sample::Embedding;
use crate::tensors::{FileError, read_tensors};

/// Why the adapters could not be loaded or used.
#[derive(Debug, thiserror::Error)]
pub enum AdapterError {
    /// The file cannot be read.
    #[error("the adapters cannot be read: {0}")]
    File(#[from] FileError),
    /// A tensor is not in the file.
    #[error("the adapters {path} have no `{name}`; the file is of another model", path = path.display())]
    Missing {
        /// The file.
        path: PathBuf,
        /// `vision.weight` and the like.
        name: String,
    },
    /// A tensor does not fit encoder and LLM.
    #[error(
        "`{name}` of the adapters {path} has shape {found:?}; from an encoder of the manifest's dim to this LLM it must be {expected:?}",
        path = path.display()
    )]
    Shape {
        /// The file.
        path: PathBuf,
        /// `vision.weight` and the like.
        name: String,
        /// Its shape.
        found: Vec<usize>,
        /// `[hidden, dim]` or `[hidden]`.
        expected: Vec<usize>,
    },
    /// An embedding is of another encoder.
    #[error(
        "an embedding is {found} wide, the adapter takes {expected}; cached features are of another encoder"
    )]
    Width {
        /// The embedding's width.
        found: usize,
        /// The adapter's.
        expected: usize,
    },
    /// The tensor library failed.
    #[error("computing with the adapters failed: {0}")]
    Compute(#[from] candle_core::Error),
}

/// `x W^T + b`, f32.
#[derive(Debug, Clone)]
pub struct Adapter {
    /// `[dim, hidden]`
    weight: Tensor,
    /// `[hidden]`
    bias: Tensor,
    dim: usize,
}

impl Adapter {
    /// The adapter `name` (`vision`, `audio`) of the tensor file `path`, from `dim` to `hidden`.
    pub fn load(
        path: &Path,
        name: &str,
        dim: usize,
        hidden: usize,
        device: &Device,
    ) -> Result<Self, AdapterError> {
        let tensors = read_tensors(path)?;
        let get = |part: &str, expected: &[usize]| {
            let name = format!("{name}.{part}");
            let tensor = tensors
                .get(&name)
                .ok_or_else(|| AdapterError::Missing { path: path.to_owned(), name: name.clone() })?;
            if tensor.dims() != expected {
                let (found, expected) = (tensor.dims().to_vec(), expected.to_vec());
                return Err(AdapterError::Shape { path: path.to_owned(), name, found, expected });
            }
            Ok(tensor.clone())
        };
        let projector = Projector { weight: get("weight", &[hidden, dim])?, bias: get("bias", &[hidden])? };
        Ok(Self::new(&projector, device)?)
    }

    /// The adapter of a projector that is in memory.
    pub fn new(projector: &Projector, device: &Device) -> candle_core::Result<Self> {
        let place = |tensor: &Tensor| tensor.to_dtype(DType::F32)?.to_device(device);
        let weight = place(&projector.weight)?.t()?.contiguous()?;
        Ok(Self { dim: weight.dim(0)?, weight, bias: place(&projector.bias)? })
    }

    /// The LLM's embeddings of `n` encoder embeddings: `[n, hidden]`, f32, in their order.
    pub fn project(&self, embeddings: &[&Embedding]) -> Result<Tensor, AdapterError> {
        if let Some(wrong) = embeddings.iter().find(|e| e.len() != self.dim) {
            return Err(AdapterError::Width { found: wrong.len(), expected: self.dim });
        }
        let mut rows = Vec::with_capacity(embeddings.len() * self.dim);
        embeddings.iter().for_each(|embedding| rows.extend_from_slice(embedding));
        let rows = Tensor::from_vec(rows, (embeddings.len(), self.dim), self.weight.device())?;
        Ok(rows.matmul(&self.weight)?.broadcast_add(&self.bias)?)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use super::*;

    fn saved(names: &[(&str, Tensor)]) -> (tempfile::TempDir, PathBuf) {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("adapters.safetensors");
        let tensors: HashMap<String, Tensor> =
            names.iter().map(|(name, tensor)| ((*name).to_owned(), tensor.clone())).collect();
        candle_core::safetensors::save(&tensors, &path).expect("saved");
        (folder, path)
    }

    #[test]
    fn rows_are_projected_in_their_order_whatever_type_the_file_has() -> Result<(), AdapterError> {
        let cpu = &Device::Cpu;
        let weight = Tensor::new(&[[1f32, 0., 2.], [0., 1., 0.]], cpu)?.to_dtype(DType::F16)?;
        let bias = Tensor::new(&[0.5f32, -1.], cpu)?.to_dtype(DType::F16)?;
        let (_folder, path) = saved(&[("vision.weight", weight), ("vision.bias", bias)]);
        let adapter = Adapter::load(&path, "vision", 3, 2, cpu)?;
        let rows: Vec<Embedding> = vec![[1f32, 2., 3.].as_slice().into(), [0f32, 0., 1.].as_slice().into()];
        let projected = adapter.project(&[&rows[0], &rows[1], &rows[0]])?;
        assert_eq!(projected.to_vec2::<f32>()?, [[7.5, 1.], [2.5, -1.], [7.5, 1.]]);
        assert_eq!(adapter.project(&[])?.dims(), [0, 2]);
        let short: Embedding = [1f32].as_slice().into();
        assert!(adapter.project(&[&short]).is_err_and(|e| e.to_string().contains("1 wide")));
        Ok(())
    }

    #[test]
    fn what_does_not_fit_is_named() -> Result<(), AdapterError> {
        let cpu = &Device::Cpu;
        let (_folder, path) = saved(&[
            ("audio.weight", Tensor::zeros((2, 3), DType::F32, cpu)?),
            ("audio.bias", Tensor::zeros(4, DType::F32, cpu)?),
        ]);
        let message = |name, dim, hidden| {
            Adapter::load(&path, name, dim, hidden, cpu).map(|_| ()).expect_err("wrong").to_string()
        };
        assert!(message("vision", 3, 2).contains("`vision.weight`"));
        assert!(message("audio", 3, 8).contains("[8, 3]"));
        assert!(message("audio", 3, 2).contains("`audio.bias`"));
        Ok(())
    }
}
