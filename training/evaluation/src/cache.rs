//! What was watched, as JSON lines on disk, so that a run that was stopped goes on where it was.
//!
//! The first line says of which model and settings the others are; a file of another model or other settings is begun
//! anew. Each other line is a [`Watched`]. A line that was cut is watched again.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::EvaluationError;
use super::watch::{Settings, Watched};

/// The first line.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Head {
    /// Of this form.
    pub format: u32,
    /// Which model watched, see [`Watcher::model`](super::watch::Watcher::model).
    pub model: String,
    /// How.
    pub settings: Settings,
}

impl Head {
    /// For this model and these settings.
    pub fn new(model: &str, settings: Settings) -> Self {
        Self { format: 3, model: model.to_owned(), settings }
    }
}

/// The file and what is in it.
#[derive(Debug)]
pub struct Cache {
    path: PathBuf,
    file: File,
    known: BTreeMap<String, Watched>,
}

impl Cache {
    /// Opens or begins `path`, and keeps of it what `head` says.
    ///
    /// # Errors
    /// When the file cannot be read or written.
    pub fn open(path: &Path, head: &Head) -> Result<Self, EvaluationError> {
        let text = match std::fs::read_to_string(path) {
            Ok(text) => text,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => String::new(),
            Err(source) => return Err(EvaluationError::io(path, source)),
        };
        let known = read(&text, head);
        let write = || -> std::io::Result<File> {
            // Written beside and renamed, so that a stop here loses nothing.
            let beside = path.with_added_extension("part");
            let mut file = File::create(&beside)?;
            writeln!(file, "{}", serde_json::to_string(head)?)?;
            for watched in known.values() {
                writeln!(file, "{}", serde_json::to_string(watched)?)?;
            }
            file.sync_all()?;
            std::fs::rename(&beside, path)?;
            Ok(file)
        };
        let file = write().map_err(|source| EvaluationError::io(path, source))?;
        Ok(Self { path: path.to_owned(), file, known })
    }

    /// What is known of a video: the same media file (by checksum) asked for the same events, without trouble.
    pub fn get(&self, video: &str, media: &str, asked: &[String]) -> Option<&Watched> {
        let fits = |watched: &&Watched| {
            watched.media == media && watched.asked == asked && watched.trouble.is_empty()
        };
        self.known.get(video).filter(fits)
    }

    /// Keeps what was watched.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn add(&mut self, watched: &Watched) -> Result<(), EvaluationError> {
        let line = serde_json::to_string(watched).map_err(std::io::Error::from);
        let written = line.and_then(|line| writeln!(self.file, "{line}"));
        written.map_err(|source| EvaluationError::io(&self.path, source))
    }
}

/// The videos of a file with this head; of a video that was watched twice the last counts.
fn read(text: &str, head: &Head) -> BTreeMap<String, Watched> {
    let mut lines = text.lines();
    let same = lines.next().and_then(|line| serde_json::from_str::<Head>(line).ok()).as_ref() == Some(head);
    let videos = lines.filter(|_| same).filter_map(|line| serde_json::from_str::<Watched>(line).ok());
    videos.map(|watched| (watched.video.clone(), watched)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn watched(video: &str) -> Watched {
        Watched {
            video: video.into(),
            media: "sum".into(),
            detect: true,
            asked: vec!["a dog".into()],
            seconds: 60.0,
            unwatched: 0.0,
            unparsed: 0,
            trouble: Vec::new(),
            took: 1.5,
            windows: Vec::new(),
        }
    }

    #[test]
    fn what_was_watched_is_known_again_until_model_media_or_questions_change() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("out.windows.jsonl");
        let settings = Settings { window: 20.0, hop: 10.0, audio: true, video: true };
        let head = Head::new("small/1 abc", settings);
        let mut cache = Cache::open(&path, &head).expect("it opens");
        let asked = ["a dog".to_owned()];
        assert_eq!(cache.get("v", "sum", &asked), None);
        cache.add(&watched("v")).expect("it is kept");
        let troubled = Watched { trouble: vec!["decode: no".into()], ..watched("w") };
        cache.add(&troubled).expect("it is kept");
        drop(cache);
        // The machine stopped while a line was written.
        let mut text = std::fs::read_to_string(&path).expect("text");
        text.push_str("{\"video\": \"x\", \"med");
        std::fs::write(&path, text).expect("writes");

        let cache = Cache::open(&path, &head).expect("it opens");
        assert_eq!(cache.get("v", "sum", &asked), Some(&watched("v")));
        assert_eq!(cache.get("w", "sum", &asked), None, "what had trouble is watched again");
        assert_eq!(cache.get("v", "another", &asked), None);
        assert_eq!(cache.get("v", "sum", &[]), None);
        let deaf = Head::new("small/1 abc", Settings { audio: false, ..settings });
        assert_eq!(Cache::open(&path, &deaf).expect("it opens").get("v", "sum", &asked), None);
    }
}
