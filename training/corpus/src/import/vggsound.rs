//! VGGSound (Chen et al., 2020): `vggsound.csv` without header, `YouTube id, start seconds, label, train or test`. A clip is 10 s from
//! there, named `ID_START` with six digits. What it shows is seen and heard.

use std::path::Path;

use super::sheet::{Header, rows};
use super::{Names, sentence};
use crate::admit::{Candidates, Record};
use crate::{Catalogue, CorpusError, Modality, ReadOptions, Split};

pub(super) fn read(
    list: &Path,
    folder: &Path,
    names: &Names,
    options: &ReadOptions,
) -> Result<Catalogue, CorpusError> {
    let mut candidates = Candidates::default();
    for row in rows(list, b',', &["youtube_id", "start_seconds", "label", "split"], Header::Known)? {
        let (video, start) = (row.filled("youtube_id")?, row.seconds("start_seconds")?);
        let (name, split) = (row.filled("label")?, row.filled("split")?);
        let split: Split = split.parse().map_err(|said: String| row.wrong("split", said))?;
        let id = format!("{video}_{start:06.0}");
        let Some(label) = names.told(name, &id, &mut candidates) else { continue };
        candidates.add(Record {
            place: format!("line {}", row.line),
            stems: vec![format!("{video}_{start:.0}"), video.to_owned()],
            id,
            caption: sentence(&label),
            label: Some(label),
            modality: Some(Modality::Both),
            split: Some(split),
            ..Record::default()
        });
    }
    candidates.admit(list, folder, options)
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::super::names::tests::few;
    use super::*;

    fn imported(text: &str) -> Result<Catalogue, CorpusError> {
        let folder = tempfile::tempdir().expect("a folder");
        let list = folder.path().join("vggsound.csv");
        fs::write(&list, text).expect("written");
        for name in ["--abc_x_000030.mp4", "def_7.mp4"] {
            fs::write(folder.path().join(name), "x").expect("written");
        }
        read(&list, folder.path(), &few(), &ReadOptions::default())
    }

    #[test]
    fn clips_are_found_by_their_start() {
        let text = "--abc_x,30,\"dog bow-wow, far\",train\ndef,7,Dog,test\nghi,0,people marching,test\n";
        let read = imported(text).expect("read");
        let [first, second] = &read.clips[..] else { panic!("{read:?}") };
        assert_eq!((first.id.as_str(), first.split), ("--abc_x_000030", Split::Train));
        assert_eq!(first.label.as_deref(), Some("dog bow-wow, far"));
        assert_eq!((second.id.as_str(), second.label.as_deref()), ("def_000007", Some("a dog")));
        assert!(second.media.ends_with("def_7.mp4") && second.split == Split::Test);
        assert_eq!(read.skipped_by_reason(), [("no media file", 1)]);
    }

    #[test]
    fn errors_name_line_and_field() {
        let error = imported("abc,30,dog,train\ndef,x,dog,test\n").expect_err("wrong").to_string();
        assert!(error.ends_with("line 2, field start_seconds: \"x\" is not a number of seconds"), "{error}");
        let error = imported("abc,30,dog,exam\n").expect_err("wrong").to_string();
        assert!(error.contains("line 1, field split: \"exam\" is no split"), "{error}");
    }
}
