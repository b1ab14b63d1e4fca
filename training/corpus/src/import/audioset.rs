//! AudioSet with temporally strong labels (Hershey et al., 2021): a TSV of `segment_id`, `start_time_seconds`, `end_time_seconds` and
//! `label`, an id of the ontology, whose names are in `mid_to_display_name.tsv`. Segments last 10 s; their labels were heard.

use std::collections::HashMap;
use std::path::Path;

use super::Names;
use super::sheet::{Header, rows};
use super::videos::{Collector, Videos};
use crate::{CorpusError, Modality, ReadOptions};

/// Seconds of a segment.
const SECONDS: f64 = 10.0;

pub(super) fn read(
    list: &Path,
    display: &Path,
    folder: &Path,
    names: &Names,
    options: &ReadOptions,
) -> Result<Videos, CorpusError> {
    let display = rows(display, b'\t', &["mid", "display_name"], Header::Known)?;
    let display: HashMap<&str, &str> =
        display.iter().map(|row| (row.text("mid"), row.text("display_name"))).collect();
    let mut videos = Collector::new(names, folder, options);
    let fields = &["segment_id", "start_time_seconds", "end_time_seconds", "label"];
    for row in rows(list, b'\t', fields, Header::Named)? {
        let (id, mid) = (row.filled("segment_id")?, row.filled("label")?);
        let (start, end) = (row.seconds("start_time_seconds")?, row.seconds("end_time_seconds")?);
        let name =
            display.get(mid).ok_or_else(|| row.wrong("label", format!("\"{mid}\" has no display name")))?;
        let stems = stems(id).ok_or_else(|| {
            row.wrong("segment_id", format!("\"{id}\" is not a video's id, `_` and milliseconds"))
        })?;
        videos.video(id, stems, SECONDS, options.split);
        videos.event(id, name, Modality::Audio, start, end);
    }
    videos.finish(list)
}

/// How tools that fetch AudioSet call the file of a segment: by its id, or by the video's with times in seconds.
fn stems(id: &str) -> Option<Vec<String>> {
    let (video, start) = id.rsplit_once('_')?;
    let start = start.parse::<u64>().ok()? as f64 / 1000.0;
    let end = start + SECONDS;
    Some(vec![
        id.to_owned(),
        format!("{video}_{start:.0}"),
        format!("{video}_{start:.3}"),
        format!("{video}_{start:.0}_{end:.0}"),
        format!("{video}_{start:.3}_{end:.3}"),
        format!("Y{video}_{start:.3}_{end:.3}"),
        video.to_owned(),
        format!("Y{video}"),
    ])
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::super::names::tests::few;
    use super::*;

    fn files(strong: &str, media: &[&str]) -> tempfile::TempDir {
        let folder = tempfile::tempdir().expect("a folder");
        fs::write(folder.path().join("strong.tsv"), strong).expect("written");
        let names = "/m/0bt9lr\tDog\n/m/09x0r\tSpeech\n/m/05zppz\tMale speech, man speaking\n/t/x1\tKazoo band\n\
                     /m/0cj0r\tWhite noise\n";
        fs::write(folder.path().join("names.tsv"), names).expect("written");
        for name in media {
            fs::write(folder.path().join(name), "x").expect("written");
        }
        folder
    }

    fn imported(folder: &Path) -> Result<Videos, CorpusError> {
        let (list, display) = (folder.join("strong.tsv"), folder.join("names.tsv"));
        read(&list, &display, folder, &few(), &ReadOptions::default())
    }

    #[test]
    fn segments_become_videos_with_what_is_heard() {
        let strong = "segment_id\tstart_time_seconds\tend_time_seconds\tlabel\n\
                      aB-_9cdEfGh_30000\t0.000\t2.500\t/m/0bt9lr\n\
                      aB-_9cdEfGh_30000\t2.000\t4.000\t/m/0cj0r\n\
                      aB-_9cdEfGh_30000\t5.000\t5.000\t/m/0bt9lr\n\
                      zz345678901_0\t1.250\t10.000\t/t/x1\n\
                      gone5678901_10000\t1.000\t2.000\t/m/09x0r\n";
        let folder = files(strong, &["YaB-_9cdEfGh_30.000_40.000.wav", "zz345678901_0.mp4"]);
        let read = imported(folder.path()).expect("read");
        let [first, second] = &read.videos[..] else { panic!("{read:?}") };
        assert_eq!((first.id.as_str(), first.duration), ("aB-_9cdEfGh_30000", 10.0));
        assert_eq!(first.media, folder.path().join("YaB-_9cdEfGh_30.000_40.000.wav"));
        let [dog] = &first.events[..] else { panic!("{first:?}") };
        assert_eq!(
            (dog.label.as_str(), dog.modality, dog.start, dog.end),
            ("a dog", Modality::Audio, 0.0, 2.5)
        );
        assert_eq!(second.events[0].label, "kazoo band");
        let reasons: Vec<&str> = read.skipped.iter().map(|skipped| skipped.reason.as_str()).collect();
        assert_eq!(reasons[..2], ["never told: White noise", "no span of time: Dog from 5 to 5 s"]);
        assert!(read.skipped[2].id == "gone5678901_10000" && reasons[2].starts_with("no media file: "));
    }

    #[test]
    fn errors_name_line_and_field() {
        let complaint = |strong: &str| {
            let said = imported(files(strong, &[]).path()).expect_err("no list").to_string();
            said.split_once("strong.tsv, ").map(|(_, said)| said.to_owned()).unwrap_or(said)
        };
        let header = "segment_id\tstart_time_seconds\tend_time_seconds\tlabel\n";
        let line = |line: &str| complaint(&format!("{header}{line}\n"));
        assert!(
            complaint("id\tlabel\n").starts_with("line 1, field segment_id: the header has no such column")
        );
        assert_eq!(
            line("a_0\t0\tx\t/m/0bt9lr"),
            "line 2, field end_time_seconds: \"x\" is not a number of seconds"
        );
        assert_eq!(line("a_0\t0\t1\t/m/unknown"), "line 2, field label: \"/m/unknown\" has no display name");
        assert!(line("a\t0\t1\t/m/0bt9lr").starts_with("line 2, field segment_id: \"a\" is not"));
        assert_eq!(line("a_0\t0\t1"), "line 2, field label: the line has 3 columns, not 4");
        assert!(line("a_0\t0\t1\t/m/0bt9lr").contains("no usable"));
    }
}
