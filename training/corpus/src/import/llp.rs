//! LLP (Tian et al., 2020): two files of `filename`, `onset`, `offset` and `event_labels`, separated by tabs, one of what was heard and
//! one of what was seen. Videos last 10 s. What is in both at the same time is seen and heard; its list for training has no times.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use super::Names;
use super::sheet::{Header, rows};
use super::videos::{Collector, Videos};
use crate::{CorpusError, Modality, ReadOptions};

/// Letters of a video's id; a file name goes on with its first and last second.
const ID: usize = 11;

/// Spans of one event in seconds, of one video by label.
type Marked = BTreeMap<(String, String), Vec<[f64; 2]>>;

pub(super) fn read(
    audio: &Path,
    visual: &Path,
    folder: &Path,
    names: &Names,
    options: &ReadOptions,
) -> Result<Videos, CorpusError> {
    let (heard, seen) = (marked(audio)?, marked(visual)?);
    let mut videos = Collector::new(names, folder, options);
    let none = Vec::new();
    let keys: BTreeSet<_> = heard.keys().chain(seen.keys()).collect();
    for key in keys {
        let (file, label) = key;
        let mut stems = vec![file.clone()];
        stems.extend(file.get(..ID).map(str::to_owned));
        videos.video(file, stems, options.duration, options.split);
        let (by_ear, by_eye) = (heard.get(key).unwrap_or(&none), seen.get(key).unwrap_or(&none));
        for (sense, [start, end]) in senses(by_ear, by_eye) {
            videos.event(file, label, sense, start, end);
        }
    }
    videos.finish(audio)
}

fn marked(list: &Path) -> Result<Marked, CorpusError> {
    let mut marked = Marked::new();
    for row in rows(list, b'\t', &["filename", "onset", "offset", "event_labels"], Header::Named)? {
        let (start, end) = (row.seconds("onset")?, row.seconds("offset")?);
        let key = (row.filled("filename")?.to_owned(), row.filled("event_labels")?.to_owned());
        marked.entry(key).or_default().push([start, end]);
    }
    Ok(marked)
}

/// What is heard and seen, only heard, and only seen, piece by piece in the order of time.
fn senses(heard: &[[f64; 2]], seen: &[[f64; 2]]) -> Vec<(Modality, [f64; 2])> {
    let mut cuts: Vec<f64> = heard.iter().chain(seen).flatten().copied().collect();
    cuts.sort_by(f64::total_cmp);
    cuts.dedup();
    let inside =
        |spans: &[[f64; 2]], middle: f64| spans.iter().any(|[start, end]| *start < middle && middle < *end);
    let mut pieces: Vec<(Modality, [f64; 2])> = Vec::new();
    for cut in cuts.windows(2) {
        let middle = (cut[0] + cut[1]) / 2.0;
        let sense = match (inside(heard, middle), inside(seen, middle)) {
            (true, true) => Modality::Both,
            (true, false) => Modality::Audio,
            (false, true) => Modality::Visual,
            (false, false) => continue,
        };
        match pieces.last_mut() {
            Some((last, span)) if *last == sense && span[1] == cut[0] => span[1] = cut[1],
            _ => pieces.push((sense, [cut[0], cut[1]])),
        }
    }
    pieces
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::super::names::tests::few;
    use super::*;

    fn imported(audio: &str, visual: &str) -> Result<Videos, CorpusError> {
        let folder = tempfile::tempdir().expect("a folder");
        let paths = ["audio", "visual"].map(|name| folder.path().join(format!("AVVP_eval_{name}.csv")));
        fs::write(&paths[0], audio).expect("written");
        fs::write(&paths[1], visual).expect("written");
        for name in ["0123456789a_30_40.mp4", "bcdefghijkl.mp4"] {
            fs::write(folder.path().join(name), "x").expect("written");
        }
        read(&paths[0], &paths[1], folder.path(), &few(), &ReadOptions::default())
    }

    const HEADER: &str = "filename\tonset\toffset\tevent_labels\n";

    #[test]
    fn both_lists_say_what_is_seen_and_heard() {
        let audio = format!("{HEADER}0123456789a_30_40\t0\t6\tDog\n0123456789a_30_40\t1\t3\tSpeech\n");
        let visual = format!(
            "{HEADER}0123456789a_30_40\t4\t9\tDog\nbcdefghijkl_0_10\t0\t10\tSpeech\nmnopqrstuvw_0_10\t0\t1\tDog\n"
        );
        let read = imported(&audio, &visual).expect("read");
        let [first, second] = &read.videos[..] else { panic!("{read:?}") };
        let events: Vec<_> =
            first.events.iter().map(|e| (e.label.as_str(), e.modality, e.start, e.end)).collect();
        let expected = [
            ("a dog", Modality::Audio, 0.0, 4.0),
            ("a dog", Modality::Both, 4.0, 6.0),
            ("a dog", Modality::Visual, 6.0, 9.0),
            ("a person speaks", Modality::Audio, 1.0, 3.0),
        ];
        assert_eq!(events, expected);
        assert!(second.media.ends_with("bcdefghijkl.mp4") && second.events[0].modality == Modality::Visual);
        assert_eq!(read.skipped.len(), 1);
    }

    #[test]
    fn lists_without_times_are_refused() {
        let error =
            imported("filename\tevent_labels\nx\tDog,Speech\n", HEADER).expect_err("weak").to_string();
        assert!(
            error.contains("AVVP_eval_audio.csv, line 1, field onset: the header has no such"),
            "{error}"
        );
        let error = imported(HEADER, &format!("{HEADER}x\t0\t-1\tDog\n")).expect_err("wrong").to_string();
        assert!(error.contains("AVVP_eval_visual.csv, line 2, field offset: \"-1\" is not"), "{error}");
    }
}
