//! The annotations of VALOR-32K and VALOR-1M: a JSON list of `{"video_id", "desc"}`, and a folder with `VIDEO_ID.mp4`.

use std::fs;
use std::path::Path;

use serde::Deserialize;

use super::admit::{Record, admit};
use super::{Catalogue, CorpusError, ReadOptions, jsonl};

#[derive(Deserialize)]
struct Annotation {
    #[serde(alias = "id", alias = "clip_id")]
    video_id: String,
    #[serde(alias = "caption")]
    desc: Description,
}

/// VALOR has one caption for a clip; lists made over for other loaders have lists of them.
#[derive(Deserialize)]
#[serde(untagged, expecting = "expected a text, or a list of texts")]
enum Description {
    One(String),
    Many(Vec<String>),
}

impl Description {
    fn first(self) -> String {
        match self {
            Self::One(text) => text,
            Self::Many(texts) => texts.into_iter().find(|text| !text.trim().is_empty()).unwrap_or_default(),
        }
    }
}

/// Reads `desc_train.json`, `desc_val.json` or `desc_test.json` with the videos in `folder`.
///
/// # Errors
/// When the list is no such JSON, with line and field, or nothing of it can be used.
pub fn read(list: &Path, folder: &Path, options: &ReadOptions) -> Result<Catalogue, CorpusError> {
    let text = fs::read_to_string(list).map_err(CorpusError::read(list))?;
    let annotations: Vec<Annotation> = jsonl::document(list, &text)?;
    let records = (1..).zip(annotations).map(|(number, annotation)| Record {
        place: format!("record {number}"),
        id: annotation.video_id,
        caption: annotation.desc.first(),
        ..Record::default()
    });
    admit(list, records.collect(), folder, options)
}

#[cfg(test)]
mod tests {
    use super::super::MediaCheck;
    use super::*;

    fn write(folder: &Path, text: &str, media: &[&str]) -> std::path::PathBuf {
        let list = folder.join("desc_train.json");
        fs::write(&list, text).expect("written");
        for name in media {
            fs::write(folder.join(name), "x").expect("written");
        }
        list
    }

    #[test]
    fn clips_are_found_and_others_counted() {
        let folder = tempfile::tempdir().expect("a folder");
        let text = r#"[
            {"video_id": "a_1.0_11.0", "desc": "A dog  barks."},
            {"video_id": "b_0.0_10.0", "desc": ["", "A train passes."]},
            {"video_id": "c", "desc": " "},
            {"video_id": "d", "desc": "A bell rings."},
            {"video_id": "a_1.0_11.0", "desc": "A cat."},
            {"video_id": "e", "desc": "a dog barks."},
            {"video_id": "../f", "desc": "A bird."}
        ]"#;
        let media = ["a_1.0_11.0.mp4", "b_0.0_10.0.webm", "b_0.0_10.0.mkv", "c.mp4", "e.mp4"];
        let list = write(folder.path(), text, &media);
        let read = read(&list, folder.path(), &ReadOptions::default()).expect("read");
        let found: Vec<(&str, &str)> =
            read.clips.iter().map(|c| (c.id.as_str(), c.caption.as_str())).collect();
        assert_eq!(found, [("a_1.0_11.0", "A dog barks."), ("b_0.0_10.0", "A train passes.")]);
        assert_eq!(read.clips[1].media, folder.path().join("b_0.0_10.0.mkv"));
        let skipped: Vec<&str> =
            read.skipped.iter().map(|s| s.reason.split(':').next().unwrap_or("")).collect();
        let reasons = [
            "the caption is empty",
            "no media file",
            "the id stands there twice",
            "the caption stands there twice",
            "the id cannot name a file",
        ];
        assert_eq!(skipped, reasons);
    }

    #[test]
    fn errors_name_line_and_field() {
        let folder = tempfile::tempdir().expect("a folder");
        let complaint = |text: &str| {
            let list = write(folder.path(), text, &[]);
            let said = read(&list, folder.path(), &ReadOptions::default()).expect_err("no list").to_string();
            said.split_once(", ").map(|(_, said)| said.to_owned()).unwrap_or(said)
        };
        assert_eq!(
            complaint("[\n{\"video_id\": \"a\", \"desc\": \"x\"},\n{\"video_id\": \"b\", \"desc\": 7}]"),
            "line 3, field [1].desc: expected a text, or a list of texts"
        );
        assert_eq!(complaint("[\n{\"desc\": \"x\"}]"), "line 2, field [0]: missing field `video_id`");
        assert!(complaint("[{\"video_id\": \"a\",").starts_with("line 1, field [0]"));
        assert!(complaint("[]").contains("no usable clip: it is empty"));
    }

    #[test]
    fn media_may_be_elsewhere() {
        let folder = tempfile::tempdir().expect("a folder");
        let list = write(folder.path(), r#"[{"video_id": "a", "desc": "A dog."}]"#, &[]);
        let options = ReadOptions { media: MediaCheck::Nothing, ..ReadOptions::default() };
        let read = read(&list, Path::new("/nowhere"), &options).expect("read");
        assert_eq!(read.clips[0].media, Path::new("/nowhere/a.mp4"));
    }
}
