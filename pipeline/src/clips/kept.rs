//! The folder of a store, seen from outside of a daemon.

use std::path::{Path, PathBuf};

use super::desk::{ABOUT, About, clip_name};
use super::store::encoded;

/// A clip that lies in a folder.
#[derive(Debug, Clone, PartialEq)]
pub struct Kept {
    /// Its file.
    pub file: PathBuf,
    /// Its first instant, in seconds of stream time.
    pub from: f64,
    /// Its end.
    pub to: f64,
}

impl Kept {
    /// The clip of an event in the store's `folder`.
    ///
    /// # Errors
    /// In words, why there is none.
    pub fn find(folder: &Path, stream: &str, event: &str) -> Result<Self, String> {
        let place = folder.join(encoded(stream)).join(encoded(event));
        let about = std::fs::read(place.join(ABOUT)).map_err(|error| match error.kind() {
            std::io::ErrorKind::NotFound => "nothing is kept of it".to_owned(),
            _ => error.to_string(),
        })?;
        let about: About =
            serde_json::from_slice(&about).map_err(|error| format!("{ABOUT} cannot be read: {error}"))?;
        let clip = about.made.clip.ok_or("it has no clip")?;
        let file = place.join(clip_name(clip.container));
        if !file.is_file() {
            return Err("its clip is gone".to_owned());
        }
        Ok(Self { file, from: clip.from, to: clip.to })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clip_is_found_by_what_lies_beside_it() {
        let folder = tempfile::tempdir().expect("a folder");
        let place = folder.path().join("yard%2F1/e1");
        std::fs::create_dir_all(&place).expect("a folder");
        let find = || Kept::find(folder.path(), "yard/1", "e1");
        assert_eq!(find(), Err("nothing is kept of it".to_owned()));
        let about = |clip: &str| {
            format!(
                r#"{{"stream_id":"yard/1","event_id":"e1","clip":{clip},"snapshot":null,"spectrogram":false,"remarks":[]}}"#
            )
        };
        std::fs::write(place.join(ABOUT), about("null")).expect("written");
        assert_eq!(find(), Err("it has no clip".to_owned()));
        let clip = r#"{"container":"matroska","video":"VP8","audio":null,"from":8.5,"to":20.0}"#;
        std::fs::write(place.join(ABOUT), about(clip)).expect("written");
        assert_eq!(find(), Err("its clip is gone".to_owned()));
        let file = place.join("clip.mkv");
        std::fs::write(&file, "x").expect("written");
        assert_eq!(find(), Ok(Kept { file, from: 8.5, to: 20.0 }));
    }
}
