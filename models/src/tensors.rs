//! Named tensors from safetensors and torch pickles.

use std::collections::HashMap;
use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

use candle_core::{DType, Device, Tensor, pickle};
use half::f16;
use serde::Deserialize;

mod error;
mod guard;
mod pickle_size;

pub use error::FileError;
pub(crate) use guard::guarded;
use pickle_size::excess;

/// Reads all tensors of a `.safetensors` file, or of a torch `.bin`, `.pt` or `.pth` in zip format, to the CPU.
///
/// A pickle is only looked through for tensors: nothing that it names is imported or called. Values that are no finite numbers are
/// refused: a model with one of them answers every question with nonsense.
pub fn read_tensors(path: &Path) -> Result<HashMap<String, Tensor>, FileError> {
    let tensors = if path.extension().is_some_and(|e| e == "safetensors") {
        let bytes = std::fs::read(path).map_err(|e| FileError::read(path, e))?;
        candle_core::safetensors::load_buffer(&bytes, &Device::Cpu)
            .map_err(|e| FileError::malformed(path, e))?
    } else {
        let file = TorchFile::open(path)?;
        let named = file.names().map(|name| Ok((name.to_owned(), file.get(name)?)));
        named.collect::<Result<HashMap<_, _>, FileError>>()?
    };
    for (name, tensor) in &tensors {
        if !is_finite(tensor).map_err(|e| FileError::malformed(path, e))? {
            let reason = format!("`{name}` holds values that are no finite numbers");
            return Err(FileError::malformed(path, reason));
        }
    }
    Ok(tensors)
}

/// Are all values finite? Nothing times a finite number is nothing, and nothing else is.
fn is_finite(tensor: &Tensor) -> candle_core::Result<bool> {
    if tensor.dtype().is_int() || tensor.elem_count() == 0 {
        return Ok(true);
    }
    Ok((tensor.to_dtype(DType::F32)? * 0.0)?.sum_all()?.to_scalar::<f32>()? == 0.0)
}

/// A torch file in zip format, of which tensors are read one by one.
pub(crate) struct TorchFile {
    path: PathBuf,
    tensors: pickle::PthTensors,
    length: u64,
}

impl TorchFile {
    /// Reads the names and shapes.
    pub(crate) fn open(path: &Path) -> Result<Self, FileError> {
        let malformed = |reason: String| FileError::malformed(path, reason);
        let file = File::open(path).map_err(|e| FileError::read(path, e))?;
        let length = file.metadata().map_err(|e| FileError::read(path, e))?.len();
        let mut archive = zip::ZipArchive::new(std::io::BufReader::new(file))
            .map_err(|e| malformed(format!("it is no torch file in zip format: {e}")))?;
        // Torch stores everything as it is. What is packed could unpack to more than any memory.
        for index in 0..archive.len() {
            let entry = archive.by_index_raw(index).map_err(|e| malformed(e.to_string()))?;
            let stored = entry.compression() == zip::CompressionMethod::Stored;
            if !stored || entry.size() > length {
                return Err(malformed("a part of it is compressed or larger than the file".into()));
            }
            if entry.name().is_ok_and(|name| name.ends_with(".pkl")) {
                drop(entry);
                let mut pickle = Vec::new();
                let mut entry = archive.by_index(index).map_err(|e| malformed(e.to_string()))?;
                entry.read_to_end(&mut pickle).map_err(|e| malformed(e.to_string()))?;
                if let Some(what) = excess(&pickle) {
                    return Err(malformed(what.into()));
                }
            }
        }
        let tensors =
            guarded(path, || pickle::PthTensors::new(path, None).map_err(|e| malformed(e.to_string())))?;
        Ok(Self { path: path.to_owned(), tensors, length })
    }

    /// The names of its tensors.
    pub(crate) fn names(&self) -> impl Iterator<Item = &str> {
        self.tensors.tensor_infos().keys().map(String::as_str)
    }

    /// The shape of a tensor, if it has one of that name.
    pub(crate) fn shape(&self, name: &str) -> Option<&[usize]> {
        self.tensors.tensor_infos().get(name).map(|info| info.layout.shape().dims())
    }

    /// The type of its values.
    pub(crate) fn dtype(&self, name: &str) -> Option<DType> {
        self.tensors.tensor_infos().get(name).map(|info| info.dtype)
    }

    /// One tensor.
    pub(crate) fn get(&self, name: &str) -> Result<Tensor, FileError> {
        let malformed = |reason: String| FileError::malformed(&self.path, format!("`{name}`: {reason}"));
        // Sizes come from the pickle, which may be damaged: they are checked before memory is asked for.
        if let Some(info) = self.tensors.tensor_infos().get(name) {
            let dims = info.layout.shape().dims();
            let elements = dims.iter().try_fold(1usize, |product, dim| product.checked_mul(*dim));
            let bytes = elements.and_then(|n| n.checked_mul(info.dtype.size_in_bytes()));
            let fits = bytes.is_some_and(|bytes| bytes as u64 <= self.length);
            if !fits || info.layout.start_offset() as u64 > self.length {
                return Err(malformed("it is larger than the file".into()));
            }
        }
        let tensor = guarded(&self.path, || self.tensors.get(name).map_err(|e| malformed(e.to_string())))?;
        tensor.ok_or_else(|| malformed("it has no data".into()))
    }
}

/// A tensor to be written.
#[derive(Debug, Clone)]
pub struct Named<'a> {
    /// Its name in the file.
    pub name: String,
    /// Its dimensions.
    pub shape: Vec<usize>,
    /// Row by row.
    pub values: &'a [f32],
}

/// How numbers are stored in a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Stored {
    /// As they are.
    #[default]
    F32,
    /// Rounded to half precision: half the size.
    F16,
}

struct View<'a>(&'a Named<'a>, Stored);

impl safetensors::View for View<'_> {
    fn dtype(&self) -> safetensors::Dtype {
        match self.1 {
            Stored::F32 => safetensors::Dtype::F32,
            Stored::F16 => safetensors::Dtype::F16,
        }
    }

    fn shape(&self) -> &[usize] {
        &self.0.shape
    }

    fn data(&self) -> std::borrow::Cow<'_, [u8]> {
        let values = self.0.values.iter();
        match self.1 {
            Stored::F32 => values.flat_map(|value| value.to_le_bytes()).collect::<Vec<u8>>().into(),
            Stored::F16 => {
                values.flat_map(|value| f16::from_f32(*value).to_le_bytes()).collect::<Vec<u8>>().into()
            }
        }
    }

    fn data_len(&self) -> usize {
        self.dtype().bitsize() / 8 * self.0.values.len()
    }
}

/// Writes a safetensors file with `metadata` in its header. Its place holds the old file or the whole new one, never a
/// part: also when the disk is full or the power fails.
pub fn write_tensors(
    path: &Path,
    tensors: &[Named<'_>],
    stored: Stored,
    metadata: HashMap<String, String>,
) -> Result<(), FileError> {
    let tensors = tensors.iter().map(|tensor| (tensor.name.as_str(), View(tensor, stored)));
    let bytes = safetensors::serialize(tensors, Some(metadata)).map_err(|e| FileError::malformed(path, e))?;
    crate::whole::write(path, &bytes).map_err(|e| FileError::write(path, e))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_that_are_no_numbers_are_refused_by_name() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("adapters.safetensors");
        let written = |stored, values: &[f32]| {
            let named = Named { name: "vision.weight".into(), shape: vec![values.len()], values };
            write_tensors(&path, &[named], stored, HashMap::new()).expect("written");
            read_tensors(&path)
        };
        for stored in [Stored::F32, Stored::F16] {
            assert!(written(stored, &[0.0, -1.5, 6e4]).is_ok());
            for wrong in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
                let said = written(stored, &[0.0, wrong, 1.0]).expect_err("no number").to_string();
                assert!(said.contains("adapters.safetensors") && said.contains("`vision.weight`"), "{said}");
            }
        }
    }
}
