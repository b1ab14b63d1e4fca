//! What was seen and heard of one file, as people read it and as editors and annotators do: a page, subtitles, a table of
//! values, ELAN's annotations. Each format is a function from a [`Report`] to text.

mod csv;
mod eaf;
mod lanes;
mod markup;
mod page;
mod pictures;
mod subtitles;
#[cfg(test)]
mod tests;

use std::path::{Path, PathBuf};

use serde::Serialize;

pub use csv::csv;
pub use eaf::eaf;
pub use lanes::Lane;
pub use page::page;
pub use pictures::{Picture, Pictures};
pub use subtitles::{srt, vtt};

use crate::percent;
use crate::record::{CoverageRecord, ErrorRecord, EventRecord};

/// What was seen and heard.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Report {
    /// The file's address, without secrets.
    pub source: String,
    /// The model's name.
    pub model: String,
    /// Seconds of stream time that were accounted for.
    pub duration: f64,
    /// Each event in its last state, in order of start.
    pub events: Vec<EventRecord>,
    /// What was watched.
    pub coverage: Vec<CoverageRecord>,
    /// What went wrong.
    pub errors: Vec<ErrorRecord>,
    /// Why it ended.
    pub ended: String,
}

impl Report {
    /// Seconds that were not watched.
    pub fn unwatched(&self) -> f64 {
        let spans = self.coverage.iter().filter(|span| !span.watched);
        spans.map(|span| span.end.stream - span.start.stream).sum()
    }

    /// How long time lines are drawn: also what an event says of a time that is not accounted for is on them.
    fn length(&self) -> f64 {
        self.events.iter().map(|event| event.end.stream).fold(self.duration, f64::max).max(1e-3)
    }
}

/// A file on this machine, as other programs find it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Media {
    path: PathBuf,
}

impl Media {
    /// The file at `path`, which is made absolute.
    pub fn at(path: &Path) -> std::io::Result<Self> {
        Ok(Self { path: path.canonicalize()? })
    }

    /// `file:///...`
    fn url(&self) -> String {
        format!("file://{}", percent::path(&self.path.to_string_lossy()))
    }

    /// Its name alone.
    fn name(&self) -> String {
        self.path.file_name().unwrap_or_default().to_string_lossy().into_owned()
    }

    /// What kind of media its name says it is.
    fn kind(&self) -> &'static str {
        let ending = self.path.extension().unwrap_or_default().to_string_lossy().to_lowercase();
        match ending.as_str() {
            "mp4" | "m4v" => "video/mp4",
            "mov" => "video/quicktime",
            "mpg" | "mpeg" => "video/mpeg",
            "wav" => "audio/x-wav",
            _ => "unknown",
        }
    }
}

/// Whole milliseconds from the start of the stream.
fn milliseconds(seconds: f64) -> u64 {
    (seconds.max(0.0) * 1e3).round() as u64
}
