//! What people said of a daemon's events: what `/v1/reviews` gave, and the folder in which the daemon keeps its clips. Each reviewed
//! event's clip is a video of what is known to happen in it: that event as it was found right or corrected, and others of the same
//! stream that reach into the clip. What was told and did not happen is asked for as absent. What nobody reviewed is not known, so it
//! counts as nothing.

use std::fs;
use std::path::Path;

use avicuna_pipeline::clips::Kept;
use avicuna_pipeline::record::review::{Reviewed, Reviews};

use super::Names;
use super::videos::{Happening, Video, Videos};
use crate::{CorpusError, ReadOptions, Skipped, jsonl};

pub(super) fn read(
    list: &Path,
    folder: &Path,
    names: &Names,
    options: &ReadOptions,
) -> Result<Videos, CorpusError> {
    let text = fs::read_to_string(list).map_err(CorpusError::read(list))?;
    let Reviews { reviews } = jsonl::document(list, &text)?;
    let (mut videos, mut skipped) = (Vec::new(), Vec::new());
    for reviewed in &reviews {
        let event = &reviewed.event;
        let lasts = |clip: &Kept| clip.to > clip.from;
        let found = Kept::find(folder, &event.stream_id, &event.event_id);
        let clip = match found
            .and_then(|clip| lasts(&clip).then_some(clip).ok_or("its clip lasts no time".to_owned()))
        {
            Ok(clip) => clip,
            Err(reason) => {
                skipped.push(Skipped { id: event.event_id.clone(), reason });
                continue;
            }
        };
        let (events, absent) = known(&clip, &event.stream_id, &reviews, names);
        videos.push(Video {
            id: event.event_id.clone(),
            duration: clip.to - clip.from,
            media: clip.file,
            split: options.split,
            events,
            absent,
        });
    }
    videos.sort_by(|one, other| one.id.cmp(&other.id));
    if videos.is_empty() {
        return Err(CorpusError::nothing(list, &skipped));
    }
    Ok(Videos { videos, skipped })
}

/// What reviews say of the time of a clip: what happens in it, in seconds of the clip, and what does not.
fn known(clip: &Kept, stream: &str, reviews: &[Reviewed], names: &Names) -> (Vec<Happening>, Vec<String>) {
    let here = reviews.iter().filter(|reviewed| reviewed.event.stream_id == stream);
    let (mut events, mut told) = (Vec::new(), Vec::new());
    for reviewed in here {
        let event = &reviewed.event;
        if let Some((label, start, end)) = reviewed.truth() {
            let (start, end) = (start.max(clip.from), end.min(clip.to));
            if let (true, Some(label)) = (start < end, names.phrase(label)) {
                let (start, end) = (start - clip.from, end - clip.from);
                events.push(Happening { label, modality: event.modality, start, end });
            }
        }
        let reaches = event.start.stream < clip.to && event.end.stream > clip.from;
        if reaches && !reviewed.is_right() {
            told.extend(names.phrase(&event.label));
        }
    }
    told.sort();
    told.dedup();
    told.retain(|label| !events.iter().any(|event: &Happening| names.related(&event.label, label)));
    (events, told)
}

#[cfg(test)]
mod tests {
    use avicuna_pipeline::record::EventRecord;
    use avicuna_pipeline::record::review::{NewReview, Review, Verdict};
    use serde_json::json;

    use super::super::names::tests::few;
    use super::*;
    use crate::Modality;

    fn event(id: &str, label: &str, start: f64, end: f64) -> EventRecord {
        let at = |stream: f64| json!({"stream": stream, "utc": "2026-11-30T10:00:00.000Z"});
        let record = json!({
            "event_id": id, "stream_id": "yard", "phase": "ended", "revision": 1, "label": label, "text": "", "start": at(start),
            "end": at(end), "score": 0.5, "modality": "audio", "clock": "pts", "av_offset_ms": null,
            "window": {"id": "yard/0", "start": 0.0, "end": 20.0}, "model": "m",
            "latency_ms": {"decode": 0.0, "encode": 0.0, "llm": 0.0, "total": 0.0},
        });
        serde_json::from_value(record).expect("an event")
    }

    fn said(event: EventRecord, verdict: Verdict, label: Option<&str>, start: Option<f64>) -> Reviewed {
        let said = NewReview { verdict, label: label.map(str::to_owned), start, end: None };
        Reviewed { event, review: Review { said, reviewed: "2026-11-30T11:00:00.000Z".to_owned() } }
    }

    fn keep(folder: &Path, event: &str, from: f64, to: f64) {
        let place = folder.join("yard").join(event);
        fs::create_dir_all(&place).expect("a folder");
        let clip = json!({"container": "mp4", "video": "H.264", "audio": "AAC", "from": from, "to": to});
        let about = json!({
            "stream_id": "yard", "event_id": event, "clip": clip, "snapshot": null, "spectrogram": false, "remarks": [],
        });
        fs::write(place.join("about.json"), about.to_string()).expect("written");
        fs::write(place.join("clip.mp4"), "x").expect("written");
    }

    fn imported(reviews: Vec<Reviewed>, clips: &[(&str, f64, f64)]) -> Result<Videos, CorpusError> {
        let folder = tempfile::tempdir().expect("a folder");
        for (event, from, to) in clips {
            keep(folder.path(), event, *from, *to);
        }
        let list = folder.path().join("reviews.json");
        fs::write(&list, serde_json::to_string(&Reviews { reviews }).expect("JSON")).expect("written");
        read(&list, folder.path(), &few(), &ReadOptions::default())
    }

    #[test]
    fn a_clip_holds_what_was_found_right_and_asks_for_what_was_not_there() {
        let reviews = vec![
            said(event("a", "Dog", 105.0, 108.0), Verdict::Right, None, None),
            said(
                event("b", "a drawer slides", 111.0, 130.0),
                Verdict::Corrected,
                Some("a lamp falls"),
                Some(112.0),
            ),
            said(event("c", "a kite", 106.0, 107.0), Verdict::Wrong, None, None),
            said(event("d", "a kite", 300.0, 301.0), Verdict::Wrong, None, None),
        ];
        let read = imported(reviews, &[("a", 100.0, 118.0), ("d", 295.0, 306.0)]).expect("read");
        let [dog, kite] = &read.videos[..] else { panic!("{read:?}") };
        let times = |label: &str, start: f64, end: f64| Happening {
            label: label.to_owned(),
            modality: Modality::Audio,
            start,
            end,
        };
        assert_eq!((dog.id.as_str(), dog.duration), ("a", 18.0));
        assert_eq!(dog.events, [times("a dog", 5.0, 8.0), times("a lamp falls", 12.0, 18.0)]);
        assert_eq!(dog.absent, ["a drawer slides", "a kite"]);
        assert_eq!((kite.events.len(), &kite.absent[..]), (0, &["a kite".to_owned()][..]));
        let reasons: Vec<&str> = read.skipped.iter().map(|skipped| skipped.reason.as_str()).collect();
        assert_eq!(reasons, ["nothing is kept of it"; 2]);
    }

    #[test]
    fn what_is_right_once_in_a_clip_is_not_absent_from_it() {
        let reviews = vec![
            said(event("a", "a dog", 2.0, 3.0), Verdict::Wrong, None, None),
            said(event("b", "a dog", 6.0, 7.0), Verdict::Right, None, None),
        ];
        let read = imported(reviews, &[("a", 0.0, 10.0)]).expect("read");
        assert_eq!((read.videos[0].events.len(), read.videos[0].absent.len()), (1, 0));
    }

    #[test]
    fn a_list_without_clips_says_so() {
        let complaint = imported(vec![said(event("a", "a dog", 2.0, 3.0), Verdict::Right, None, None)], &[]);
        let complaint = complaint.expect_err("nothing to use").to_string();
        assert!(complaint.ends_with("has no usable clip: 1 x nothing is kept of it"), "{complaint}");
    }
}
