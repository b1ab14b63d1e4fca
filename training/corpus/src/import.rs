//! Annotations of public datasets, from their own files, and what people said of a daemon's events.
//!
//! Datasets of trimmed clips become a [`Catalogue`], those of videos with times become [`Videos`], which [`write()`] makes a corpus
//! directory of. Media that are not there are counted by reason; a list of another layout is an error with file, line and field.
//! Labels are the vocabulary's phrases where a class has the same name ([`Names`]), else the dataset's own in small letters.
//!
//! No dataset is part of this repository; layouts are those of the published files as of 2026.

mod audioset;
mod ave;
mod desed;
mod esc50;
mod llp;
mod names;
mod reviews;
mod sheet;
mod unav;
mod vggsound;
mod videos;
mod write;

use std::fmt;
use std::path::{Path, PathBuf};
use std::str::FromStr;

pub use self::names::Names;
pub use self::videos::{Happening, Video, Videos};
pub use self::write::{Settings, write};
use super::{Catalogue, CorpusError, ReadOptions, valor};

/// A dataset by the layout of its annotations.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Dataset {
    /// AudioSet, temporally strong labels: `audioset_train_strong.tsv` with `mid_to_display_name.tsv`.
    AudiosetStrong,
    /// DESED, strong labels: a TSV of `filename`, `onset`, `offset`, `event_label`.
    Desed,
    /// UnAV-100: `unav100_annotations.json`.
    Unav100,
    /// LLP: `AVVP_eval_audio.csv` with `AVVP_eval_visual.csv`.
    Llp,
    /// AVE: `Annotations.txt`, or one of the lists of its splits.
    Ave,
    /// VGGSound: `vggsound.csv`.
    Vggsound,
    /// ESC-50: `esc50.csv`.
    Esc50,
    /// VALOR-32K or VALOR-1M: a JSON list.
    Valor,
    /// What people said of a daemon's events: what `/v1/reviews` gave, with the folder of its clips.
    Reviews,
}

impl Dataset {
    /// All of them.
    pub const ALL: [Self; 9] = [
        Self::AudiosetStrong,
        Self::Desed,
        Self::Unav100,
        Self::Llp,
        Self::Ave,
        Self::Vggsound,
        Self::Esc50,
        Self::Valor,
        Self::Reviews,
    ];

    /// As it is written in arguments and files.
    pub fn word(self) -> &'static str {
        match self {
            Self::AudiosetStrong => "audioset-strong",
            Self::Desed => "desed",
            Self::Unav100 => "unav100",
            Self::Llp => "llp",
            Self::Ave => "ave",
            Self::Vggsound => "vggsound",
            Self::Esc50 => "esc50",
            Self::Valor => "valor",
            Self::Reviews => "reviews",
        }
    }

    /// Whether its events have times; such videos are no clips to make other videos of.
    pub fn is_untrimmed(self) -> bool {
        matches!(self, Self::AudiosetStrong | Self::Desed | Self::Unav100 | Self::Llp | Self::Reviews)
    }

    /// The name of the second file that it is read from, beside its list.
    fn second(self) -> Option<&'static str> {
        match self {
            Self::AudiosetStrong => Some("mid_to_display_name.tsv"),
            Self::Llp => Some("AVVP_eval_visual.csv"),
            _ => None,
        }
    }
}

impl fmt::Display for Dataset {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.word())
    }
}

impl FromStr for Dataset {
    type Err = String;

    fn from_str(word: &str) -> Result<Self, String> {
        let words = || Self::ALL.map(Self::word).join(", ");
        let found = Self::ALL.into_iter().find(|dataset| dataset.word() == word);
        found.ok_or_else(|| format!("\"{word}\" is no dataset; use one of {}", words()))
    }
}

/// The files of a dataset.
#[derive(Debug, Clone, Copy)]
pub struct Files<'a> {
    /// Its annotations.
    pub list: &'a Path,
    /// The second file of AudioSet and LLP; `None`: it lies beside the list under its usual name.
    pub second: Option<&'a Path>,
    /// The folder with its media.
    pub media: &'a Path,
}

impl Files<'_> {
    fn second(&self, dataset: Dataset) -> PathBuf {
        let usual = || self.list.with_file_name(dataset.second().unwrap_or_default());
        self.second.map_or_else(usual, Path::to_owned)
    }
}

/// What a dataset holds.
#[derive(Debug, Clone, PartialEq)]
pub enum Imported {
    /// Trimmed clips.
    Clips(Catalogue),
    /// Videos with times.
    Videos(Videos),
}

/// Reads a dataset of any layout.
///
/// # Errors
/// When a list cannot be read or has another layout, with line and field; when nothing of it can be used.
pub fn read(
    dataset: Dataset,
    files: Files<'_>,
    names: &Names,
    options: &ReadOptions,
) -> Result<Imported, CorpusError> {
    let Files { list, media, .. } = files;
    let second = files.second(dataset);
    Ok(match dataset {
        Dataset::AudiosetStrong => Imported::Videos(audioset::read(list, &second, media, names, options)?),
        Dataset::Desed => Imported::Videos(desed::read(list, media, names, options)?),
        Dataset::Unav100 => Imported::Videos(unav::read(list, media, names, options)?),
        Dataset::Llp => Imported::Videos(llp::read(list, &second, media, names, options)?),
        Dataset::Ave => Imported::Clips(ave::read(list, media, names, options)?),
        Dataset::Vggsound => Imported::Clips(vggsound::read(list, media, names, options)?),
        Dataset::Esc50 => Imported::Clips(esc50::read(list, media, names, options)?),
        Dataset::Valor => Imported::Clips(valor(list, media, options)?),
        Dataset::Reviews => Imported::Videos(reviews::read(list, media, names, options)?),
    })
}

/// A label as a sentence: `a dog` becomes `A dog.`
fn sentence(label: &str) -> String {
    let mut letters = label.chars();
    let first = letters.next().map(|first| first.to_uppercase().to_string()).unwrap_or_default();
    format!("{first}{}.", letters.as_str())
}
