//! Our own catalogue: a JSON object a line, one for each [`Clip`].

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use avicuna_models::whole;
use serde::de::DeserializeOwned;

use super::{Catalogue, Clip, CorpusError};

/// See [`Catalogue::read`].
pub(super) fn read(path: &Path) -> Result<Catalogue, CorpusError> {
    let folder = path.parent().unwrap_or(Path::new(""));
    let (mut clips, mut ids) = (Vec::new(), BTreeSet::new());
    for (number, line) in lines(path)? {
        let mut clip: Clip = object(path, number, &line)?;
        let bad = |field: &str, reason: &str| Err(CorpusError::record(path, number, field, reason));
        if clip.id.is_empty() {
            return bad("id", "it is empty");
        }
        if clip.caption.trim().is_empty() {
            return bad("caption", "it is empty");
        }
        if !clip.duration.is_finite() || clip.duration <= 0.0 {
            return bad("duration", "it is not above 0");
        }
        if !ids.insert(clip.id.clone()) {
            return bad("id", &format!("\"{}\" stands there twice", clip.id));
        }
        clip.media = folder.join(&clip.media);
        clips.push(clip);
    }
    Ok(Catalogue { clips, skipped: Vec::new() })
}

/// The lines of a file that are not empty, with their numbers from 1.
pub(super) fn lines(path: &Path) -> Result<Vec<(usize, String)>, CorpusError> {
    let text = fs::read_to_string(path).map_err(CorpusError::read(path))?;
    let lines = (1..).zip(text.lines()).filter(|(_, line)| !line.trim().is_empty());
    Ok(lines.map(|(number, line)| (number, line.to_owned())).collect())
}

/// One line's object; the error names line and field.
pub(super) fn object<T: DeserializeOwned>(path: &Path, number: usize, line: &str) -> Result<T, CorpusError> {
    document(path, line).map_err(|error| match error {
        CorpusError::Record { field, reason, .. } => CorpusError::record(path, number, field, reason),
        other => other,
    })
}

/// A whole JSON text; the error names line and field.
pub(super) fn document<T: DeserializeOwned>(path: &Path, text: &str) -> Result<T, CorpusError> {
    let mut json = serde_json::Deserializer::from_str(text);
    let read = serde_path_to_error::deserialize(&mut json).map_err(|error| {
        let (field, error) = (error.path().to_string(), error.into_inner());
        let field = if field == "." { "-".to_owned() } else { field };
        // The line is said in its own place; the column helps nobody with a long record.
        let reason = error.to_string();
        let reason = reason.split(" at line ").next().unwrap_or_default();
        CorpusError::record(path, error.line(), field, reason)
    })?;
    json.end()
        .map_err(|error| CorpusError::record(path, error.line(), "-", "something follows after its end"))?;
    Ok(read)
}

/// See [`Catalogue::write`].
pub(super) fn write(clips: &[Clip], path: &Path) -> Result<(), CorpusError> {
    let absolute = |path: &Path| std::path::absolute(path).map_err(CorpusError::write(path));
    let whole_path = absolute(path)?;
    let folder = whole_path.parent().unwrap_or(Path::new("/"));
    let mut text = Vec::new();
    for clip in clips {
        let media = absolute(&clip.media)?;
        let media = media.strip_prefix(folder).map(Path::to_owned).unwrap_or(media.clone());
        let clip = Clip { media, ..clip.clone() };
        serde_json::to_writer(&mut text, &clip).map_err(|e| CorpusError::write(path)(e.into()))?;
        text.push(b'\n');
    }
    whole::write(path, &text).map_err(CorpusError::write(path))
}

#[cfg(test)]
mod tests {
    use super::super::{Modality, Split};
    use super::*;

    fn clip(id: &str, media: &Path) -> Clip {
        Clip {
            id: id.to_owned(),
            media: media.to_owned(),
            duration: 10.0,
            caption: "A dog barks.".to_owned(),
            label: Some("a dog".to_owned()),
            modality: Modality::Both,
            split: Split::Test,
            tags: Vec::new(),
        }
    }

    #[test]
    fn what_is_written_is_read_back_wherever_the_folder_goes() {
        let folder = tempfile::tempdir().expect("a folder");
        let (here, there) = (folder.path().join("here"), folder.path().join("there"));
        fs::create_dir(&here).expect("a folder");
        let clips = vec![clip("a", &here.join("clips/a.mp4")), clip("b", Path::new("/media/b.mkv"))];
        Catalogue { clips, skipped: Vec::new() }.write(&here.join("catalogue.jsonl")).expect("written");
        fs::rename(&here, &there).expect("moved");
        let read = Catalogue::read(&there).expect("read");
        assert_eq!(read.clips, [clip("a", &there.join("clips/a.mp4")), clip("b", Path::new("/media/b.mkv"))]);
    }

    #[test]
    fn errors_name_line_and_field() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("catalogue.jsonl");
        let good =
            r#"{"id":"a","media":"a.mp4","duration":10,"caption":"A dog.","modality":"both","split":"test"}"#;
        let complaint = |second: &str| {
            fs::write(&path, format!("{good}\n\n{second}\n")).expect("written");
            let said = Catalogue::read(&path).expect_err("not valid").to_string();
            said.strip_prefix(&format!("{}, ", path.display())).expect("names the file").to_owned()
        };
        assert_eq!(complaint(good), "line 3, field id: \"a\" stands there twice");
        assert_eq!(
            complaint(&good.replace("10", "\"x\"")),
            "line 3, field duration: invalid type: string \"x\", expected f64"
        );
        assert_eq!(complaint(&good.replace("A dog.", " ")), "line 3, field caption: it is empty");
        assert!(
            complaint(&good.replace("\"both\"", "\"smell\""))
                .starts_with("line 3, field modality: unknown variant")
        );
        assert!(complaint("{\"id\":").starts_with("line 3, field id: EOF"));
        assert_eq!(complaint(&format!("{good} {good}")), "line 3, field -: something follows after its end");
    }
}
