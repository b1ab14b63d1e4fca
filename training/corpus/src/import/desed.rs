//! DESED with strong labels (Turpault et al., 2019): a TSV of `filename`, `onset`, `offset` and `event_label`. A recording in which
//! nothing happens has a line without times. Recordings last 10 s; their events were heard.

use std::path::Path;

use super::Names;
use super::sheet::{Header, rows};
use super::videos::{Collector, Videos};
use crate::{CorpusError, Modality, ReadOptions};

pub(super) fn read(
    list: &Path,
    folder: &Path,
    names: &Names,
    options: &ReadOptions,
) -> Result<Videos, CorpusError> {
    let mut videos = Collector::new(names, folder, options);
    for row in rows(list, b'\t', &["filename", "onset", "offset", "event_label"], Header::Named)? {
        let file = row.filled("filename")?;
        let id = file.rsplit_once('.').map_or(file, |(stem, _)| stem);
        videos.video(id, vec![id.to_owned()], options.duration, options.split);
        let nothing = ["onset", "offset", "event_label"].iter().all(|field| row.text(field).is_empty());
        if !nothing {
            let (start, end) = (row.seconds("onset")?, row.seconds("offset")?);
            videos.event(id, row.filled("event_label")?, Modality::Audio, start, end);
        }
    }
    videos.finish(list)
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::super::names::tests::few;
    use super::*;

    fn imported(text: &str) -> Result<Videos, CorpusError> {
        let folder = tempfile::tempdir().expect("a folder");
        let list = folder.path().join("validation.tsv");
        fs::write(&list, text).expect("written");
        for name in ["Yx_30.000_40.000.wav", "quiet.wav"] {
            fs::write(folder.path().join(name), "x").expect("written");
        }
        read(&list, folder.path(), &few(), &ReadOptions::default())
    }

    #[test]
    fn recordings_have_events_or_none() {
        let text = "filename\tonset\toffset\tevent_label\n\
                    Yx_30.000_40.000.wav\t0.5\t2.25\tDog\n\
                    Yx_30.000_40.000.wav\t3\t10.02\tAlarm_bell_ringing\n\
                    quiet.wav\t\t\t\n\
                    gone.wav\t0\t1\tDog\n";
        let read = imported(text).expect("read");
        let [loud, quiet] = &read.videos[..] else { panic!("{read:?}") };
        assert_eq!((loud.id.as_str(), loud.duration), ("Yx_30.000_40.000", 10.02));
        let labels: Vec<&str> = loud.events.iter().map(|event| event.label.as_str()).collect();
        assert_eq!(labels, ["a dog", "alarm bell ringing"]);
        assert!(quiet.events.is_empty() && quiet.duration == 10.0);
        assert_eq!(read.skipped.len(), 1);
    }

    #[test]
    fn errors_name_line_and_field() {
        let complaint = |text: &str| {
            let said = imported(text).expect_err("no list").to_string();
            said.split_once(".tsv, ").map(|(_, said)| said.to_owned()).unwrap_or(said)
        };
        let weak = complaint("filename\tevent_labels\nx.wav\tDog\n");
        assert!(weak.starts_with("line 1, field onset: the header has no such column"), "{weak}");
        let half = complaint("filename\tonset\toffset\tevent_label\nx.wav\t1\t\tDog\n");
        assert_eq!(half, "line 2, field offset: it is empty");
    }
}
