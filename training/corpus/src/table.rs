//! A plain table of clips: CSV with a header, or a JSON object a line, and a folder with their media.
//!
//! `id` and `caption` must be there. `media` (a path below the folder; without it `ID` and a usual ending), `duration` (seconds),
//! `label`, `modality` (`both`, `audio`, `visual`), `split` and `tags` (in CSV separated by `;`) may be. Other columns are ignored.

use std::path::{Path, PathBuf};

use serde::Deserialize;

use super::admit::{Record, admit};
use super::{Catalogue, CorpusError, Modality, ReadOptions, Split, jsonl};

/// Reads a table; its ending, `.csv` or anything else for JSON lines, says which kind it is.
///
/// # Errors
/// When it cannot be read, with line and field, or nothing of it can be used.
pub fn read(list: &Path, folder: &Path, options: &ReadOptions) -> Result<Catalogue, CorpusError> {
    let is_csv = list.extension().is_some_and(|ending| ending.eq_ignore_ascii_case("csv"));
    let records = if is_csv { from_csv(list)? } else { from_lines(list)? };
    admit(list, records, folder, options)
}

#[derive(Deserialize)]
struct Line {
    #[serde(default, alias = "video_id")]
    id: String,
    #[serde(default, alias = "desc")]
    caption: String,
    media: Option<PathBuf>,
    duration: Option<f64>,
    label: Option<String>,
    modality: Option<Modality>,
    split: Option<Split>,
    #[serde(default)]
    tags: Vec<String>,
}

fn from_lines(list: &Path) -> Result<Vec<Record>, CorpusError> {
    let record = |(number, line): (usize, String)| {
        let Line { id, caption, media, duration, label, modality, split, tags } =
            jsonl::object(list, number, &line)?;
        let place = format!("line {number}");
        Ok(Record { place, id, caption, media, duration, label, modality, split, tags, ..Record::default() })
    };
    jsonl::lines(list)?.into_iter().map(record).collect()
}

fn from_csv(list: &Path) -> Result<Vec<Record>, CorpusError> {
    let file = std::fs::File::open(list).map_err(CorpusError::read(list))?;
    let mut reader = csv::ReaderBuilder::new().trim(csv::Trim::All).from_reader(file);
    let bad = |error: csv::Error| {
        let line = error.position().map_or(1, |position| position.line() as usize);
        CorpusError::record(list, line, "-", error.to_string())
    };
    let header = reader.headers().map_err(bad)?.clone();
    let column = |names: &[&str]| header.iter().position(|name| names.contains(&name));
    let must = |names: &[&str]| {
        let reason = || {
            format!("the header has no such column; it has {}", header.iter().collect::<Vec<_>>().join(", "))
        };
        column(names).ok_or_else(|| CorpusError::record(list, 1, names[0], reason()))
    };
    let (id, caption) = (must(&["id", "video_id"])?, must(&["caption", "desc"])?);
    let (media, duration, label) = (column(&["media"]), column(&["duration"]), column(&["label"]));
    let (modality, split, tags) = (column(&["modality"]), column(&["split"]), column(&["tags"]));
    let mut records = Vec::new();
    for row in reader.records() {
        let row = row.map_err(bad)?;
        let line = row.position().map_or(0, |position| position.line() as usize);
        let text =
            |column: Option<usize>| column.and_then(|column| row.get(column)).filter(|text| !text.is_empty());
        let wrong = |field: &str, text: &str, wanted: &str| {
            CorpusError::record(list, line, field, format!("\"{text}\" is not {wanted}"))
        };
        let word = |text: &str| serde_json::Value::String(text.to_owned());
        records.push(Record {
            place: format!("line {line}"),
            id: text(Some(id)).unwrap_or_default().to_owned(),
            caption: text(Some(caption)).unwrap_or_default().to_owned(),
            media: text(media).map(PathBuf::from),
            duration: text(duration)
                .map(|text| text.parse().map_err(|_| wrong("duration", text, "a number of seconds")))
                .transpose()?,
            label: text(label).map(str::to_owned),
            modality: text(modality)
                .map(|text| {
                    serde_json::from_value(word(text))
                        .map_err(|_| wrong("modality", text, "both, audio or visual"))
                })
                .transpose()?,
            split: text(split)
                .map(|text| text.parse().map_err(|_| wrong("split", text, "train, validation or test")))
                .transpose()?,
            tags: text(tags)
                .map(|text| text.split(';').map(|tag| tag.trim().to_owned()).collect())
                .unwrap_or_default(),
            ..Record::default()
        });
    }
    Ok(records)
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    fn folder(name: &str, text: &str) -> (tempfile::TempDir, PathBuf) {
        let folder = tempfile::tempdir().expect("a folder");
        let list = folder.path().join(name);
        fs::write(&list, text).expect("written");
        for name in ["a.mp4", "b.wav"] {
            fs::write(folder.path().join(name), "x").expect("written");
        }
        (folder, list)
    }

    #[test]
    fn both_kinds_say_the_same() {
        let csv = "id,caption,media,modality,tags,duration\n\
                   a,\"A dog, barking\",,,x;y,\n\
                   c,A drum,b.wav,audio,,4.5\n\
                   d,A blink,b.wav,,,0.4\n";
        let lines = "{\"id\":\"a\",\"caption\":\"A dog, barking\",\"tags\":[\"x\",\"y\"]}\n\n\
                     {\"id\":\"c\",\"caption\":\"A drum\",\"media\":\"b.wav\",\"modality\":\"audio\",\"duration\":4.5}\n\
                     {\"id\":\"d\",\"caption\":\"A blink\",\"media\":\"b.wav\",\"duration\":0.4}\n";
        for (name, text) in [("clips.csv", csv), ("clips.jsonl", lines)] {
            let (folder, list) = folder(name, text);
            let read = read(&list, folder.path(), &ReadOptions::default()).expect("read");
            let [first, second] = &read.clips[..] else { panic!("{name}: {read:?}") };
            assert_eq!(
                (first.caption.as_str(), first.tags.len(), first.duration),
                ("A dog, barking", 2, 10.0)
            );
            assert_eq!(second.media, folder.path().join("b.wav"));
            assert_eq!((second.modality, second.duration), (Modality::Audio, 4.5));
            assert_eq!(read.skipped.len(), 1);
            assert_eq!(read.skipped[0].reason, "shorter than 1 s: 0.4 s");
        }
    }

    #[test]
    fn errors_name_line_and_field() {
        let complaint = |name: &str, text: &str| {
            let (folder, list) = folder(name, text);
            let said = read(&list, folder.path(), &ReadOptions::default()).expect_err("no table").to_string();
            said.split_once(", ").map(|(_, said)| said.to_owned()).unwrap_or(said)
        };
        let csv = |text: &str| complaint("clips.csv", text);
        assert_eq!(
            csv("name,caption\na,b\n"),
            "line 1, field id: the header has no such column; it has name, caption"
        );
        assert_eq!(
            csv("id,caption,split\na,b,train\nc,d,exam\n"),
            "line 3, field split: \"exam\" is not train, validation or test"
        );
        assert_eq!(
            csv("id,caption,duration\na,b,long\n"),
            "line 2, field duration: \"long\" is not a number of seconds"
        );
        assert!(csv("id,caption\na,b,c\n").starts_with("line 2"));
        assert!(complaint("clips.jsonl", "{}\n{\"id\":3}\n").starts_with("line 2, field id: invalid type"));
    }
}
