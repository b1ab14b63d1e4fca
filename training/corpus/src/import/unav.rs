//! UnAV-100 (Geng et al., 2023): `{"database": {ID: {"duration", "subset", "annotations": [{"segment": [start, end], "label"}]}}}`.
//! Its events were seen and heard.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use serde::Deserialize;

use super::Names;
use super::videos::{Collector, Videos};
use crate::{CorpusError, Modality, ReadOptions, Split, jsonl};

#[derive(Deserialize)]
struct Document {
    database: BTreeMap<String, Video>,
}

#[derive(Deserialize)]
struct Video {
    duration: f64,
    subset: Subset,
    annotations: Vec<Annotation>,
}

#[derive(Clone, Copy, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Subset {
    #[serde(alias = "training")]
    Train,
    #[serde(alias = "val")]
    Validation,
    #[serde(alias = "testing")]
    Test,
}

#[derive(Deserialize)]
struct Annotation {
    segment: [f64; 2],
    label: String,
}

pub(super) fn read(
    list: &Path,
    folder: &Path,
    names: &Names,
    options: &ReadOptions,
) -> Result<Videos, CorpusError> {
    let text = fs::read_to_string(list).map_err(CorpusError::read(list))?;
    let document: Document = jsonl::document(list, &text)?;
    let mut videos = Collector::new(names, folder, options);
    for (id, video) in document.database {
        let split = match video.subset {
            Subset::Train => Split::Train,
            Subset::Validation => Split::Validation,
            Subset::Test => Split::Test,
        };
        videos.video(&id, vec![id.clone()], video.duration, split);
        for Annotation { segment: [start, end], label } in video.annotations {
            videos.event(&id, &label, Modality::Both, start.max(0.0), end);
        }
    }
    videos.finish(list)
}

#[cfg(test)]
mod tests {
    use super::super::names::tests::few;
    use super::*;

    fn imported(text: &str) -> Result<Videos, CorpusError> {
        let folder = tempfile::tempdir().expect("a folder");
        let list = folder.path().join("unav.json");
        fs::write(&list, text).expect("written");
        for name in ["abc.mp4", "def.mkv"] {
            fs::write(folder.path().join(name), "x").expect("written");
        }
        read(&list, folder.path(), &few(), &ReadOptions::default())
    }

    #[test]
    fn every_subset_is_a_split() {
        let text = r#"{"version": "1", "database": {
            "abc": {"duration": 41.5, "subset": "train", "annotations": [
                {"segment": [0.0, 3.5], "label": "dog", "label_id": 4},
                {"segment": [10.0, 12.0], "label": "playing darts", "label_id": 9}]},
            "def": {"duration": 20.0, "subset": "validation", "annotations": []},
            "ghi": {"duration": 20.0, "subset": "test", "annotations": []}}}"#;
        let read = imported(text).expect("read");
        let [abc, def] = &read.videos[..] else { panic!("{read:?}") };
        assert_eq!((abc.split, abc.duration, def.split), (Split::Train, 41.5, Split::Validation));
        let events: Vec<_> =
            abc.events.iter().map(|e| (e.label.as_str(), e.modality, e.start, e.end)).collect();
        assert_eq!(
            events,
            [("a dog", Modality::Both, 0.0, 3.5), ("playing darts", Modality::Both, 10.0, 12.0)]
        );
        assert!(read.skipped[0].id == "ghi" && read.skipped[0].reason.starts_with("no media file"));
    }

    #[test]
    fn errors_name_line_and_field() {
        let complaint = |text: &str| {
            let said = imported(text).expect_err("no list").to_string();
            said.split_once(".json, ").map(|(_, said)| said.to_owned()).unwrap_or(said)
        };
        let wrong = "{\"database\": {\"abc\": {\"duration\": 4, \"subset\": \"train\",\n\"annotations\": [{\"segment\": [1], \"label\": \"x\"}]}}}";
        assert!(
            complaint(wrong).starts_with("line 2, field database.abc.annotations[0].segment"),
            "{}",
            complaint(wrong)
        );
        assert!(complaint("{\"videos\": {}}").contains("missing field `database`"));
        assert!(
            complaint(
                "{\"database\": {\"abc\": {\"duration\": 4, \"subset\": \"exam\", \"annotations\": []}}}"
            )
            .contains("database.abc.subset")
        );
    }
}
