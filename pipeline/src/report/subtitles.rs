//! Subtitles: SubRip (`.srt`) and WebVTT (`.vtt`), a cue for each event.

use super::markup::one_line;
use super::{Report, milliseconds};
use crate::record::EventRecord;

/// SubRip. It knows no escapes, but players take `<b>` and `{\an8}` for orders: such brackets are written as others that
/// look alike.
pub fn srt(report: &Report) -> String {
    let mut text = String::new();
    for (number, event) in (1..).zip(&report.events) {
        let (start, end) = span(event);
        let (start, end) = (time(start, ','), time(end, ','));
        let words: String = words(event).chars().map(harmless).collect();
        text.push_str(&format!("{number}\n{start} --> {end}\n{words}\n\n"));
    }
    text
}

/// WebVTT. A cue's identifier is that of its event.
pub fn vtt(report: &Report) -> String {
    let mut text = "WEBVTT\n\n".to_owned();
    for event in &report.events {
        let (start, end) = span(event);
        let (start, end) = (time(start, '.'), time(end, '.'));
        let id = one_line(&event.event_id).replace("-->", "");
        let words = words(event).replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;");
        text.push_str(&format!("{id}\n{start} --> {end}\n{words}\n\n"));
    }
    text
}

fn words(event: &EventRecord) -> String {
    format!("{} [{}]", one_line(&event.label), event.modality.said())
}

/// Milliseconds. No cue may be empty.
fn span(event: &EventRecord) -> (u64, u64) {
    let (start, end) = (milliseconds(event.start.stream), milliseconds(event.end.stream));
    (start, end.max(start + 1))
}

/// `HH:MM:SS,mmm`
fn time(milliseconds: u64, point: char) -> String {
    let (seconds, rest) = (milliseconds / 1000, milliseconds % 1000);
    format!("{:02}:{:02}:{:02}{point}{rest:03}", seconds / 3600, seconds / 60 % 60, seconds % 60)
}

fn harmless(letter: char) -> char {
    match letter {
        '<' => '‹',
        '>' => '›',
        '{' => '(',
        '}' => ')',
        _ => letter,
    }
}
