//! AVE (Tian et al., 2018): lines of `Category&VideoID&Quality&StartTime&EndTime`, with or without that header. Videos last 10 s.
//!
//! A clip shows its event from beginning to end, so videos whose event does not fill them are left out and counted. Its events were
//! seen and heard.

use std::path::Path;

use super::sheet::{Header, rows};
use super::{Names, sentence};
use crate::admit::{Candidates, Record};
use crate::{Catalogue, CorpusError, Modality, ReadOptions};

pub(super) fn read(
    list: &Path,
    folder: &Path,
    names: &Names,
    options: &ReadOptions,
) -> Result<Catalogue, CorpusError> {
    let mut candidates = Candidates::default();
    for row in rows(list, b'&', &["Category", "VideoID", "Quality", "StartTime", "EndTime"], Header::Known)? {
        let (id, category) = (row.filled("VideoID")?, row.filled("Category")?);
        let (start, end) = (row.seconds("StartTime")?, row.seconds("EndTime")?);
        let Some(label) = names.told(category, id, &mut candidates) else { continue };
        if start > 0.0 || end < options.duration {
            candidates.skip(id, format!("the event does not fill the clip: {start} to {end} s"));
            continue;
        }
        candidates.add(Record {
            place: format!("line {}", row.line),
            id: id.to_owned(),
            caption: sentence(&label),
            label: Some(label),
            modality: Some(Modality::Both),
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
        let list = folder.path().join("Annotations.txt");
        fs::write(&list, text).expect("written");
        for name in ["abc.mp4", "d-f.mp4"] {
            fs::write(folder.path().join(name), "x").expect("written");
        }
        read(&list, folder.path(), &few(), &ReadOptions::default())
    }

    #[test]
    fn clips_that_are_filled_are_taken() {
        let lines = "Church bell&abc&good&0&10\nBark&d-f&good&0&10\nBark&ghi&good&2&8\nBark&jkl&good&0&10\n";
        let header = "Category&VideoID&Quality&StartTime&EndTime\n";
        let read = imported(&format!("{header}{lines}")).expect("read");
        assert_eq!(read, {
            let mut bare = imported(lines).expect("read");
            for (one, other) in bare.clips.iter_mut().zip(&read.clips) {
                one.media.clone_from(&other.media);
            }
            bare
        });
        let [bell, dog] = &read.clips[..] else { panic!("{read:?}") };
        assert_eq!((bell.label.as_deref(), bell.caption.as_str()), (Some("a church bell"), "A church bell."));
        assert_eq!((dog.label.as_deref(), dog.modality), (Some("a dog"), Modality::Both));
        let reasons: Vec<&str> = read.skipped_by_reason().into_iter().map(|(reason, _)| reason).collect();
        assert_eq!(reasons, ["no media file", "the event does not fill the clip"]);
    }

    #[test]
    fn errors_name_line_and_field() {
        let error = imported("Bark&abc&good&0&ten\n").expect_err("wrong").to_string();
        assert!(error.ends_with("line 1, field EndTime: \"ten\" is not a number of seconds"), "{error}");
        let error = imported("Bark&abc&good&0&10\nBark&d-f&good\n").expect_err("wrong").to_string();
        assert!(error.ends_with("line 2, field StartTime: the line has 3 columns, not 5"), "{error}");
    }
}
