//! ESC-50 (Piczak, 2015): `esc50.csv` with `filename`, `fold` and `category` among its columns. Clips last 5 s and are heard. Of its five
//! folds the first three are for training, the fourth for validation, the fifth for testing.

use std::path::Path;

use super::sheet::{Header, rows};
use super::{Names, sentence};
use crate::admit::{Candidates, Record};
use crate::{Catalogue, CorpusError, Modality, ReadOptions, Split};

/// Seconds of a clip.
const SECONDS: f64 = 5.0;

pub(super) fn read(
    list: &Path,
    folder: &Path,
    names: &Names,
    options: &ReadOptions,
) -> Result<Catalogue, CorpusError> {
    let mut candidates = Candidates::default();
    for row in rows(list, b',', &["filename", "fold", "category"], Header::Named)? {
        let (file, category) = (row.filled("filename")?, row.filled("category")?);
        let split = match row.filled("fold")? {
            "1" | "2" | "3" => Split::Train,
            "4" => Split::Validation,
            "5" => Split::Test,
            other => return Err(row.wrong("fold", format!("\"{other}\" is not 1 to 5"))),
        };
        let id = file.rsplit_once('.').map_or(file, |(stem, _)| stem);
        let Some(label) = names.told(category, id, &mut candidates) else { continue };
        candidates.add(Record {
            place: format!("line {}", row.line),
            id: id.to_owned(),
            caption: sentence(&label),
            duration: Some(SECONDS),
            label: Some(label),
            modality: Some(Modality::Audio),
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
        let list = folder.path().join("esc50.csv");
        fs::write(&list, text).expect("written");
        for name in ["1-1-A-0.wav", "5-2-B-0.wav", "4-3-A-1.ogg"] {
            fs::write(folder.path().join(name), "x").expect("written");
        }
        read(&list, folder.path(), &few(), &ReadOptions::default())
    }

    const HEADER: &str = "filename,fold,target,category,esc10,src_file,take\n";

    #[test]
    fn folds_are_splits() {
        let lines = "1-1-A-0.wav,1,0,dog,True,1,A\n5-2-B-0.wav,5,0,dog,True,2,B\n4-3-A-1.wav,4,1,pouring_water,False,3,A\n2-9-A-0.wav,2,0,dog,True,9,A\n";
        let read = imported(&format!("{HEADER}{lines}")).expect("read");
        let found: Vec<_> = read
            .clips
            .iter()
            .map(|c| (c.label.as_deref().unwrap_or(""), c.split, c.duration, c.modality))
            .collect();
        let expected = [
            ("a dog", Split::Train, 5.0, Modality::Audio),
            ("a dog", Split::Test, 5.0, Modality::Audio),
            ("pouring water", Split::Validation, 5.0, Modality::Audio),
        ];
        assert_eq!(found, expected);
        assert_eq!(read.skipped_by_reason(), [("no media file", 1)]);
    }

    #[test]
    fn errors_name_line_and_field() {
        let error =
            imported(&format!("{HEADER}1-1-A-0.wav,9,0,dog,True,1,A\n")).expect_err("wrong").to_string();
        assert!(error.ends_with("line 2, field fold: \"9\" is not 1 to 5"), "{error}");
        let error = imported("filename,target\nx.wav,0\n").expect_err("wrong").to_string();
        assert!(error.contains("line 1, field fold: the header has no such column"), "{error}");
    }
}
