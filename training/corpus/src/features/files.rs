//! Feature files, and the note beside them that says what made them.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use candle_core::{DType, Device, Tensor};
use serde::{Deserialize, Serialize};

use super::read::called;
use super::rows::Rows;
use super::{FeaturesError, npy};
use crate::Skipped;
use avicuna_models::whole;
use avicuna_pipeline::stream::Medium;

/// What files are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Format {
    /// One NumPy file for each modality.
    #[default]
    Npy,
    /// One safetensors file for both.
    Safetensors,
}

impl FromStr for Format {
    type Err = String;

    fn from_str(word: &str) -> Result<Self, String> {
        match word {
            "npy" => Ok(Self::Npy),
            "safetensors" => Ok(Self::Safetensors),
            _ => Err(format!("\"{word}\" is no format; use npy or safetensors")),
        }
    }
}

/// What features were made with.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct Description {
    /// Name and version of the model.
    pub model: String,
    /// The visual encoder, where there is one.
    pub vision: Option<EncoderDescription>,
    /// The audio encoder, where there is one.
    pub audio: Option<EncoderDescription>,
}

/// One encoder.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct EncoderDescription {
    /// Of its file.
    pub sha256: String,
    /// Columns.
    pub dim: usize,
    /// Seconds from one row to the next.
    pub step_seconds: f64,
}

/// `features.json`.
#[derive(Debug, Serialize, Deserialize)]
struct Note {
    #[serde(flatten)]
    description: Description,
    #[serde(default)]
    skipped: Vec<Skipped>,
}

/// By their place in [`Store::write`]'s tables.
const MEDIA: [Medium; 2] = [Medium::Video, Medium::Audio];

const NOTE: &str = "features.json";

/// A folder of features.
pub(crate) struct Store {
    folder: PathBuf,
    format: Format,
    /// The modality that is written last: a file that has it has all.
    last: usize,
    /// Of the numbers that are written.
    numbers: DType,
}

impl Store {
    /// Makes the folder, or goes on with one of the same description.
    pub fn open(folder: &Path, description: &Description, format: Format) -> Result<Self, FeaturesError> {
        let file = |path: &Path| {
            let path = path.to_owned();
            |source| FeaturesError::File { path, source }
        };
        for medium in MEDIA {
            let folder = if format == Format::Npy { folder.join(called(medium)) } else { folder.to_owned() };
            fs::create_dir_all(&folder).map_err(file(&folder))?;
        }
        let note = folder.join(NOTE);
        let last = usize::from(description.vision.is_none());
        let store = Self { folder: folder.to_owned(), format, last, numbers: DType::F32 };
        if note.is_file() {
            let text = fs::read(&note).map_err(file(&note))?;
            let found: Note = serde_json::from_slice(&text)
                .map_err(|error| file(&note)(io::Error::new(io::ErrorKind::InvalidData, error)))?;
            // A newer version of a model with the same encoders makes the same features.
            let Description { vision, audio, .. } = &found.description;
            if (vision, audio) != (&description.vision, &description.audio) {
                let (found, wanted) = (found.description.model, description.model.clone());
                return Err(FeaturesError::Other { folder: folder.to_owned(), found, wanted });
            }
        } else {
            store.close(description, &[])?;
        }
        Ok(store)
    }

    /// Writes numbers of 16 bits from now on.
    pub fn in_halves(self) -> Self {
        Self { numbers: DType::F16, ..self }
    }

    /// Whether all of a file's features are there.
    pub fn has(&self, id: &str) -> bool {
        self.path(id, self.last).is_file()
    }

    fn path(&self, id: &str, modality: usize) -> PathBuf {
        match self.format {
            Format::Npy => self.folder.join(called(MEDIA[modality])).join(format!("{id}.npy")),
            Format::Safetensors => self.folder.join(format!("{id}.safetensors")),
        }
    }

    /// Writes the visual and the audio table of a file.
    pub fn write(&self, id: &str, tables: &[Option<Rows>; 2]) -> Result<(), FeaturesError> {
        let tensor = |table: &Rows| {
            Tensor::from_slice(&table.values, (table.len(), table.dim), &Device::Cpu)?.to_dtype(self.numbers)
        };
        if self.format == Format::Safetensors {
            return self.finished(self.path(id, 0), |part| {
                let named = MEDIA
                    .into_iter()
                    .zip(tables)
                    .filter_map(|(medium, table)| Some((called(medium).to_owned(), table.as_ref()?)));
                let tensors = named.map(|(name, table)| Ok((name, tensor(table)?)));
                let tensors = tensors.collect::<candle_core::Result<std::collections::HashMap<_, _>>>()?;
                candle_core::safetensors::save(&tensors, part)
            });
        }
        // Sight last: where it is, sound is.
        for modality in [1, 0] {
            if let Some(table) = &tables[modality] {
                self.finished(self.path(id, modality), |part| {
                    Ok(npy::write(&mut fs::File::create(part)?, table, self.numbers == DType::F16)?)
                })?;
            }
        }
        Ok(())
    }

    /// Gives a file its name when it is whole.
    fn finished(
        &self,
        path: PathBuf,
        write: impl FnOnce(&Path) -> candle_core::Result<()>,
    ) -> Result<(), FeaturesError> {
        let written = whole::write_with(&path, write);
        written.map_err(|error| FeaturesError::Write { reason: error.to_string(), path })
    }

    /// Writes the note.
    pub fn close(&self, description: &Description, skipped: &[Skipped]) -> Result<(), FeaturesError> {
        let path = self.folder.join(NOTE);
        let note = Note { description: description.clone(), skipped: skipped.to_vec() };
        let text = serde_json::to_vec_pretty(&note).map_err(io::Error::from);
        let written = text.and_then(|mut text| {
            text.push(b'\n');
            whole::write(&path, &text)
        });
        written.map_err(|source| FeaturesError::File { path, source })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn description(hash: &str) -> Description {
        let encoder = |dim| Some(EncoderDescription { sha256: hash.to_owned(), dim, step_seconds: 0.5 });
        Description { model: "small-1".to_owned(), vision: encoder(3), audio: encoder(2) }
    }

    fn table(dim: usize) -> Option<Rows> {
        let values = (0..4 * dim).map(|i| i as f32).collect();
        Some(Rows { values, dim })
    }

    #[test]
    fn what_is_written_is_there_and_is_read_back() {
        let folder = tempfile::tempdir().expect("a folder");
        let store = Store::open(folder.path(), &description("a"), Format::Npy).expect("opens");
        assert!(!store.has("x"));
        store.write("x", &[table(3), table(2)]).expect("written");
        store.write("deaf", &[table(3), None]).expect("written");
        assert!(store.has("x") && store.has("deaf"));
        assert!(!folder.path().join("audio/deaf.npy").exists());
        let read = Tensor::read_npy(folder.path().join("audio/x.npy")).expect("read");
        assert_eq!(read.to_vec2::<f32>().expect("f32")[3], [6.0, 7.0]);
        let again = Store::open(folder.path(), &description("a"), Format::Npy).expect("goes on");
        assert!(again.has("x"));
        let error =
            Store::open(folder.path(), &description("b"), Format::Npy).err().expect("another encoder");
        assert!(error.to_string().contains("has features of small-1"), "{error}");
    }

    #[test]
    fn a_file_that_was_cut_off_is_made_again() {
        let folder = tempfile::tempdir().expect("a folder");
        let store = Store::open(folder.path(), &description("a"), Format::Npy).expect("opens");
        fs::write(folder.path().join("visual/x.npy.part"), "half").expect("written");
        store.write("y", &[None, table(2)]).expect("written");
        assert!(!store.has("x") && !store.has("y"), "sight is written last");
    }

    #[test]
    fn both_formats_are_read_back_in_both_types_of_numbers() {
        for (format, halves) in [
            (Format::Npy, false),
            (Format::Npy, true),
            (Format::Safetensors, false),
            (Format::Safetensors, true),
        ] {
            let folder = tempfile::tempdir().expect("a folder");
            let store = Store::open(folder.path(), &description("a"), format).expect("opens");
            let store = if halves { store.in_halves() } else { store };
            store.write("x", &[table(3), table(2)]).expect("written");
            store.write("deaf", &[table(3), None]).expect("written");
            assert!(store.has("x") && !store.has("y"));
            let read = |modality, id| Rows::read(folder.path(), modality, id).expect("right");
            assert_eq!(read(Medium::Video, "x"), table(3), "{format:?}");
            assert_eq!(read(Medium::Audio, "x"), table(2), "{format:?}");
            assert_eq!(read(Medium::Video, "deaf"), table(3), "{format:?}");
            assert_eq!((read(Medium::Audio, "deaf"), read(Medium::Audio, "y")), (None, None), "{format:?}");
        }
    }

    #[test]
    fn a_damaged_file_is_named() {
        let folder = tempfile::tempdir().expect("a folder");
        let store = Store::open(folder.path(), &description("a"), Format::Safetensors).expect("opens");
        store.write("x", &[table(3), table(2)]).expect("written");
        let path = folder.path().join("x.safetensors");
        let bytes = fs::read(&path).expect("read");
        fs::write(&path, &bytes[..bytes.len() - 1]).expect("written");
        let error = Rows::read(folder.path(), Medium::Audio, "x").expect_err("it is cut off").to_string();
        assert!(error.contains("x.safetensors: it is no safetensors file of features"), "{error}");
    }
}
