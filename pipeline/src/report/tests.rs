//! Reports as other programs read them.

use std::path::Path;

use roxmltree::{Document, Node};

use super::*;
use crate::record::{ErrorKind, Latency, Phase, WindowRef};
use crate::stream::{Instant, Modality, Presence};
use crate::timeline::{ClockAnchor, ClockQuality, StreamTime, UtcTime, clock};

/// Names that mean something in every format.
const HOSTILE: &str =
    "</style><script>alert(\"1\")</script> & 'x' --> {\\an8}\r\n\n2, \u{0}\"=1+1\" ]]> ü\u{202e}";

pub(super) fn instant(seconds: f64) -> Instant {
    let anchor = ClockAnchor { stream: StreamTime(0), utc: UtcTime(1_800_000_000_000_000_000) };
    anchor.instant(StreamTime::from_secs_f64(seconds))
}

/// Named by its label.
pub(super) fn event(label: &str, start: f64, end: f64, modality: Modality) -> EventRecord {
    EventRecord {
        event_id: label.to_owned(),
        stream_id: "file".into(),
        phase: Phase::Ended,
        revision: 1,
        label: label.to_owned(),
        text: String::new(),
        start: instant(start),
        end: instant(end),
        score: 0.875,
        modality,
        clock: ClockQuality::Ntp,
        av_offset_ms: None,
        window: WindowRef { id: "file/0".into(), start: 0.0, end: 20.0 },
        model: "m".into(),
        latency_ms: Latency::default(),
        evidence: None,
    }
}

fn report() -> Report {
    let span = |start, end, watched, reason: Option<&str>| CoverageRecord {
        stream_id: "file".into(),
        start: instant(start),
        end: instant(end),
        watched,
        audio: Presence::Present,
        video: Presence::Present,
        reason: reason.map(str::to_owned),
    };
    Report {
        source: format!("/tmp/{HOSTILE}.mp4"),
        model: "m<1>".into(),
        duration: 4000.0,
        events: vec![
            event(HOSTILE, 1.0, 3.25, Modality::Both),
            event("a dog", 2.0, 2.0, Modality::Audio),
            event("a door", 3725.5, 3999.999, Modality::Visual),
        ],
        coverage: vec![span(0.0, 3000.0, true, None), span(3000.0, 4000.0, false, Some(HOSTILE))],
        errors: vec![ErrorRecord::new(&"file".into(), UtcTime(0), ErrorKind::Decode, HOSTILE, None)],
        ended: "end of file".into(),
    }
}

/// Milliseconds of `HH:MM:SS,mmm`.
fn read_time(text: &str) -> u64 {
    let numbers: Vec<u64> =
        text.split([':', ',', '.']).map(|number| number.parse().expect("a number")).collect();
    assert_eq!(numbers.len(), 4, "{text}");
    ((numbers[0] * 60 + numbers[1]) * 60 + numbers[2]) * 1000 + numbers[3]
}

/// Identifier, start, end and words of each cue: blocks between empty lines.
fn cues(text: &str) -> Vec<(String, u64, u64, String)> {
    let blocks = text.split("\n\n").filter(|block| !block.is_empty());
    let cue = |block: &str| {
        let lines: Vec<&str> = block.lines().collect();
        let [id, times, words] = lines[..] else { panic!("{block:?} has {} lines", lines.len()) };
        let (start, end) = times.split_once(" --> ").expect("an arrow");
        (id.to_owned(), read_time(start), read_time(end), words.to_owned())
    };
    blocks.map(cue).collect()
}

#[test]
fn subrip_has_a_numbered_cue_for_each_event() {
    let text = srt(&report());
    assert!(text.starts_with("1\n00:00:01,000 --> 00:00:03,250\n"), "{text}");
    let read = cues(&text);
    let spans: Vec<_> = read.iter().map(|(id, start, end, _)| (id.as_str(), *start, *end)).collect();
    assert_eq!(spans, [("1", 1000, 3250), ("2", 2000, 2001), ("3", 3_725_500, 3_999_999)]);
    assert_eq!(read[1].3, "a dog [heard]");
    assert!(!read[0].3.contains(['<', '>', '{', '}']), "players take it for orders: {}", read[0].3);
    assert_eq!(srt(&Report { events: Vec::new(), ..report() }), "");
}

#[test]
fn web_vtt_has_a_named_cue_for_each_event() {
    let text = vtt(&report());
    let body = text.strip_prefix("WEBVTT\n\n").expect("its first line says what it is");
    let read = cues(body);
    let spans: Vec<_> = read.iter().map(|(_, start, end, _)| (*start, *end)).collect();
    assert_eq!(spans, [(1000, 3250), (2000, 2001), (3_725_500, 3_999_999)]);
    assert_eq!((read[2].0.as_str(), read[2].3.as_str()), ("a door", "a door [seen]"));
    let words = read[0].3.replace("&lt;", "<").replace("&gt;", ">").replace("&amp;", "&");
    assert!(words.starts_with("</style><script>alert(\"1\")</script> & 'x' --> {\\an8} 2, "), "{words}");
    assert!(!read[0].3.contains(['<', '>']) && !read[0].0.contains("-->"), "{:?}", read[0]);
}

/// Fields of each record of RFC 4180.
fn read_csv(text: &str) -> Vec<Vec<String>> {
    let (mut records, mut record, mut field, mut quoted) = (Vec::new(), Vec::new(), String::new(), false);
    let mut letters = text.chars().peekable();
    while let Some(letter) = letters.next() {
        match letter {
            '"' if quoted && letters.peek() == Some(&'"') => field.extend(letters.next()),
            '"' => quoted = !quoted,
            ',' if !quoted => record.push(std::mem::take(&mut field)),
            '\r' if !quoted => assert_eq!(letters.peek(), Some(&'\n')),
            '\n' if !quoted => {
                record.push(std::mem::take(&mut field));
                records.push(std::mem::take(&mut record));
            }
            letter => field.push(letter),
        }
    }
    assert!(!quoted && field.is_empty() && record.is_empty(), "it ends with a whole line");
    records
}

#[test]
fn a_table_of_values_is_read_back_as_it_was() {
    let records = read_csv(&csv(&report()));
    assert!(records.iter().all(|record| record.len() == 8), "{records:?}");
    assert_eq!(records[0][..4], ["start", "end", "start_utc", "end_utc"]);
    assert_eq!(records[1][4], HOSTILE);
    let utc = instant(3725.5).utc;
    assert_eq!(records[3][..3], ["3725.500", "3999.999", utc.as_str()]);
    assert_eq!(records[3][4..7], ["a door", "seen", "0.8750"]);
}

fn children<'a>(node: Node<'a, 'a>, name: &'a str) -> Vec<Node<'a, 'a>> {
    node.children().filter(|node| node.has_tag_name(name)).collect()
}

#[test]
fn elan_finds_tiers_whose_annotations_do_not_overlap() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("a & b.MP4");
    std::fs::write(&path, "").expect("written");
    let media = Media::at(&path).expect("it is there");
    let text = eaf(&report(), Some(&media), UtcTime(0));
    let document = Document::parse(&text).expect("XML");
    let root = document.root_element();
    assert_eq!((root.tag_name().name(), root.attribute("FORMAT")), ("ANNOTATION_DOCUMENT", Some("3.0")));
    assert_eq!(root.attribute("DATE"), Some("1970-01-01T00:00:00.000Z"));
    let order: Vec<&str> =
        root.children().filter(Node::is_element).map(|node| node.tag_name().name()).collect();
    assert_eq!(order, ["HEADER", "TIME_ORDER", "TIER", "TIER", "TIER", "LINGUISTIC_TYPE"]);
    let described = root.descendants().find(|node| node.has_tag_name("MEDIA_DESCRIPTOR")).expect("the file");
    let url = described.attribute("MEDIA_URL").expect("an address");
    assert!(url.starts_with("file:///") && url.ends_with("/a%20%26%20b.MP4"), "{url}");
    assert_eq!(described.attribute("MIME_TYPE"), Some("video/mp4"));

    let slots = root.descendants().filter(|node| node.has_tag_name("TIME_SLOT"));
    let slots: Vec<(&str, u64)> = slots
        .map(|slot| {
            let time = slot.attribute("TIME_VALUE").expect("a time").parse().expect("a number");
            (slot.attribute("TIME_SLOT_ID").expect("a name"), time)
        })
        .collect();
    assert!(slots.is_sorted_by_key(|slot| slot.1), "{slots:?}");
    let at = |name: Option<&str>| {
        slots.iter().find(|slot| Some(slot.0) == name).map(|slot| slot.1).expect("a slot of this name")
    };
    let mut told = Vec::new();
    let mut ids = std::collections::BTreeSet::new();
    for tier in children(root, "TIER") {
        assert_eq!(tier.attribute("LINGUISTIC_TYPE_REF"), Some("event"));
        let mut last = 0;
        for annotation in tier.descendants().filter(|node| node.has_tag_name("ALIGNABLE_ANNOTATION")) {
            let (start, end) =
                (at(annotation.attribute("TIME_SLOT_REF1")), at(annotation.attribute("TIME_SLOT_REF2")));
            assert!(last <= start && start < end, "annotations of a tier must not overlap");
            last = end;
            assert!(ids.insert(annotation.attribute("ANNOTATION_ID").expect("a name")));
            let value = annotation.descendants().find(|node| node.has_tag_name("ANNOTATION_VALUE"));
            let value = value.and_then(|value| value.text());
            let tier = tier.attribute("TIER_ID").expect("a name");
            told.push((tier.to_owned(), start, end, value.unwrap_or_default().to_owned()));
        }
    }
    let hostile = HOSTILE.replace('\u{0}', "\u{fffd}");
    let expected = [
        ("seen", 1000, 3250, hostile.as_str()),
        ("seen", 3_725_500, 3_999_999, "a door"),
        ("heard", 1000, 3250, &hostile),
        ("heard 2", 2000, 2001, "a dog"),
    ];
    let told: Vec<_> =
        told.iter().map(|(tier, start, end, value)| (tier.as_str(), *start, *end, value.as_str())).collect();
    assert_eq!(told, expected);
    let last = root.descendants().find(|node| node.attribute("NAME") == Some("lastUsedAnnotationId"));
    assert_eq!(last.and_then(|node| node.text()), Some("4"));
}

#[test]
fn elan_is_not_told_of_a_file_that_is_none() {
    let text = eaf(&Report { events: Vec::new(), ..report() }, None, UtcTime(0));
    let document = Document::parse(&text).expect("XML");
    assert_eq!(document.descendants().filter(|node| node.has_tag_name("TIER")).count(), 2);
    assert!(!text.contains("MEDIA_DESCRIPTOR"));
    assert!(Media::at(Path::new("/nowhere/a.mp4")).is_err());
}

#[test]
fn a_page_shows_everything_and_fetches_nothing() {
    let mut pictures = Pictures::new(std::time::Duration::from_secs(10));
    let frame = avicuna_models::sample::RgbFrame { width: 4, height: 4, aspect: 1.7778, data: vec![90; 48] };
    pictures.frame(StreamTime::from_secs_f64(2.0), &frame);
    let report = report();
    report.events.iter().take(2).for_each(|event| pictures.event(event));
    let text = page(&report, &pictures);

    // It is written so that it is XML too: that every name stays in its place can be read by a parser.
    let body = text.strip_prefix("<!doctype html>\n").expect("it says that it is HTML");
    let document = Document::parse(body).expect("well formed");
    let allowed = [
        "html", "head", "meta", "title", "style", "body", "main", "h1", "h2", "h3", "p", "div", "span", "b",
        "i", "a", "ol", "ul", "li", "img", "meter",
    ];
    for node in document.descendants().filter(Node::is_element) {
        let name = node.tag_name().name();
        assert!(allowed.contains(&name), "<{name}>");
        for attribute in node.attributes() {
            let (name, value) = (attribute.name(), attribute.value());
            assert!(!name.starts_with("on"), "{name}");
            match name {
                "src" => assert!(value.starts_with("data:image/jpeg;base64,/9j/"), "{value}"),
                "href" => assert!(value.starts_with("#event-"), "{value}"),
                "style" => assert!(!value.contains("url"), "{value}"),
                _ => {}
            }
        }
    }
    assert!(!text.contains("<script") && !text.contains("@import"), "{text}");
    let policy =
        document.descendants().find(|node| node.attribute("http-equiv") == Some("Content-Security-Policy"));
    assert_eq!(
        policy.and_then(|node| node.attribute("content")).map(|policy| &policy[..18]),
        Some("default-src 'none'")
    );

    let all = |name: &str| document.descendants().filter(|node| node.has_tag_name(name)).collect::<Vec<_>>();
    let lanes = document
        .descendants()
        .filter(|node| node.attribute("class").is_some_and(|class| class.starts_with("lane ")));
    let bars: Vec<(usize, usize)> = lanes
        .map(|lane| {
            let rows = children(lane, "div");
            (rows.len(), rows.iter().map(|row| children(*row, "a").len()).sum())
        })
        .collect();
    assert_eq!(bars, [(1, 2), (2, 2)], "seen and heard");
    let styles: Vec<_> = all("a").iter().filter_map(|bar| bar.attribute("style")).collect();
    assert_eq!(styles[1], "left:93.137%;width:6.862%");
    let pictures = all("img");
    assert_eq!(pictures.len(), 2, "the door has none");
    assert_eq!(pictures[0].attribute("style"), Some("aspect-ratio:1.7778"));
    let words: String = document.root_element().descendants().filter_map(|node| node.text()).collect();
    let hostile = HOSTILE.replace('\u{0}', "\u{fffd}");
    assert!(words.contains(&hostile), "{words}");
    for said in [
        "50:00.0 of 1:06:40.0 watched by m<1>, end of file",
        "50:00.0 to 1:06:40.0 was not watched: ",
        "decode: ",
        "a door",
    ] {
        assert!(words.contains(said), "{said} is not in {words}");
    }
}

#[test]
fn a_page_of_nothing_says_so() {
    let nothing =
        Report { duration: 0.0, events: Vec::new(), coverage: Vec::new(), errors: Vec::new(), ..report() };
    let text = page(&nothing, &Pictures::new(std::time::Duration::from_secs(10)));
    assert!(text.contains("Nothing was seen or heard."), "{text}");
    assert!(!text.contains("NaN") && !text.contains("inf"), "{text}");
}

#[test]
fn times_are_written_for_people() {
    assert_eq!(
        [0.0, -1.0, 3.04, 59.96, 3723.44].map(clock),
        ["0:00.0", "0:00.0", "0:03.0", "1:00.0", "1:02:03.4"]
    );
}
