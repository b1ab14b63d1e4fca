//! One page of a file, for a browser: nothing of it is fetched from elsewhere, and nothing in it runs.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use super::lanes::{Lane, rows};
use super::markup::{escaped, one_line};
use super::{Pictures, Report};
use crate::record::{CoverageRecord, EventRecord};
use crate::timeline::clock;

const STYLE: &str = include_str!("page.css");
/// The page holds all that it shows; a browser is told so, lest a name in it say otherwise.
const POLICY: &str = "default-src 'none'; img-src data:; style-src 'unsafe-inline'";
/// A time line is wider than the window where a second would have fewer pixels.
const PIXELS_A_SECOND: f64 = 4.0;
/// No browser draws wider ones well.
const WIDEST: f64 = 30_000.0;
/// Distances between the marks of the axis, in seconds.
const STEPS: [f64; 12] = [1.0, 2.0, 5.0, 10.0, 15.0, 30.0, 60.0, 120.0, 300.0, 600.0, 1800.0, 3600.0];
/// More marks than so would be in each other's way.
const MARKS: f64 = 24.0;

/// The page, as HTML.
pub fn page(report: &Report, pictures: &Pictures) -> String {
    let (title, model) = (escaped(&one_line(&report.source)), escaped(&report.model));
    let (length, unwatched) = (report.length(), report.unwatched());
    let watched = format!(
        "{} of {} watched by {model}, {}",
        clock((report.duration - unwatched).max(0.0)),
        clock(report.duration),
        escaped(&report.ended)
    );
    let width = (length * PIXELS_A_SECOND).min(WIDEST);
    let lanes: String = Lane::ALL.into_iter().map(|lane| drawn(report, lane, length)).collect();
    format!(
        "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\"/>\n\
         <meta http-equiv=\"Content-Security-Policy\" content=\"{POLICY}\"/>\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\"/>\n\
         <title>{title}</title>\n<style>\n{STYLE}</style>\n</head>\n<body>\n<main>\n\
         <h1>{title}</h1>\n<p class=\"soft\">{watched}</p>\n\
         <div class=\"scroll\" tabindex=\"0\" role=\"region\" aria-label=\"Time line\">\
         <div class=\"line\" style=\"min-width:{width:.0}px\">\n\
         {axis}{lanes}{coverage}</div></div>\n{events}{spans}{errors}</main>\n</body>\n</html>\n",
        axis = axis(length),
        coverage = coverage(report, length),
        events = events(report, pictures),
        spans = spans(report),
        errors = errors(report),
    )
}

/// Percent of a time line of this length.
fn share(seconds: f64, length: f64) -> f64 {
    (seconds / length * 100.0).clamp(0.0, 100.0)
}

fn axis(length: f64) -> String {
    let step = STEPS.into_iter().find(|step| length / step <= MARKS).unwrap_or(length / MARKS);
    let marks = (0..=(length / step) as usize).map(|mark| mark as f64 * step);
    let mark = |at: f64| {
        let shown = clock(at);
        let shown = shown.strip_suffix(".0").unwrap_or(&shown);
        format!("<span style=\"left:{:.3}%\">{shown}</span>", share(at, length))
    };
    let marks: String = marks.filter(|at| *at < length).map(mark).collect();
    format!("<div class=\"axis\" aria-hidden=\"true\">{marks}</div>\n")
}

fn drawn(report: &Report, lane: Lane, length: f64) -> String {
    let name = lane.name();
    let bar = |&index: &usize| {
        let event = &report.events[index];
        let (start, end) = (event.start.stream, event.end.stream);
        let (left, right) = (share(start, length), share(end, length));
        let (label, title) = (escaped(&event.label), escaped(&words(event)));
        format!(
            "<a href=\"#event-{index}\" title=\"{title}\" style=\"left:{left:.3}%;width:{:.3}%\">{label}</a>",
            right - left
        )
    };
    let row =
        |row: Vec<usize>| format!("<div class=\"row\">{}</div>\n", row.iter().map(bar).collect::<String>());
    let rows: String = rows(&report.events, lane).into_iter().map(row).collect();
    format!("<div class=\"lane {name}\" role=\"group\" aria-label=\"{name}\"><b>{name}</b>\n{rows}</div>\n")
}

fn coverage(report: &Report, length: f64) -> String {
    let span = |span: &CoverageRecord| {
        let (left, right) = (share(span.start.stream, length), share(span.end.stream, length));
        let title = escaped(&not_watched(span));
        format!("<i title=\"{title}\" style=\"left:{left:.3}%;width:{:.3}%\"></i>", right - left)
    };
    let spans: String = report.coverage.iter().filter(|span| !span.watched).map(span).collect();
    format!(
        "<div class=\"coverage\" role=\"img\" aria-label=\"What was not watched is listed below\">{spans}</div>\n"
    )
}

fn events(report: &Report, pictures: &Pictures) -> String {
    if report.events.is_empty() {
        return "<p>Nothing was seen or heard.</p>\n".to_owned();
    }
    let card = |(index, event): (usize, &EventRecord)| {
        let picture = pictures.of(&event.event_id).map_or_else(String::new, |picture| {
            format!(
                "<img alt=\"at {}\" style=\"aspect-ratio:{:.4}\" src=\"data:image/jpeg;base64,{}\"/>",
                clock(picture.at),
                picture.aspect,
                STANDARD.encode(&picture.jpeg)
            )
        });
        let (start, end) = (clock(event.start.stream), clock(event.end.stream));
        let (label, score) = (escaped(&event.label), event.score);
        format!(
            "<li id=\"event-{index}\">{picture}<div><h3>{label}</h3>\
             <p>{start} to {end}, {}</p>\
             <p class=\"soft\"><meter min=\"0\" max=\"1\" value=\"{score:.3}\" aria-label=\"score\"></meter> {score:.2}</p></div></li>\n",
            event.modality.said()
        )
    };
    let cards: String = report.events.iter().enumerate().map(card).collect();
    format!("<h2>Events</h2>\n<ol class=\"events\">\n{cards}</ol>\n")
}

fn spans(report: &Report) -> String {
    let line = |span: &CoverageRecord| format!("<li>{}</li>\n", escaped(&not_watched(span)));
    let lines: String = report.coverage.iter().filter(|span| !span.watched).map(line).collect();
    if lines.is_empty() { lines } else { format!("<h2>Not watched</h2>\n<ul>\n{lines}</ul>\n") }
}

fn errors(report: &Report) -> String {
    let lines = report
        .errors
        .iter()
        .map(|error| format!("<li>{}: {}</li>\n", error.kind.name(), escaped(&error.message)));
    let lines: String = lines.collect();
    if lines.is_empty() { lines } else { format!("<h2>Trouble</h2>\n<ul>\n{lines}</ul>\n") }
}

fn words(event: &EventRecord) -> String {
    let (start, end) = (clock(event.start.stream), clock(event.end.stream));
    format!("{start} to {end}: {}, {} ({:.2})", event.label, event.modality.said(), event.score)
}

fn not_watched(span: &CoverageRecord) -> String {
    let (start, end) = (clock(span.start.stream), clock(span.end.stream));
    format!("{start} to {end} was not watched: {}", span.reason.as_deref().unwrap_or("no reason is known"))
}
