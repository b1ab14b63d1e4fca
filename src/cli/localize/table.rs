//! A report as a table for a terminal.

use avicuna_pipeline::record::EventRecord;
use avicuna_pipeline::report::Report;
use avicuna_pipeline::timeline::clock;
use comfy_table::{ContentArrangement, Table, presets};

/// The least cells that show anything.
const NARROWEST: usize = 12;
/// More do not show more.
const WIDEST: usize = 60;
/// Lines between cells, and the spaces beside them, of one column.
const EDGE: usize = 3;

/// As wide as the terminal; where there is room, a bar says of each event where in the film it is.
pub(super) fn table(report: &Report, width: Option<u16>) -> String {
    let mut table = Table::new();
    table.load_style(presets::UTF8_HORIZONTAL_ONLY);
    let rows: Vec<[String; 5]> = report.events.iter().map(cells).collect();
    let header = ["start", "end", "what", "how", "score"];
    let needed: usize = (0..header.len())
        .map(|column| {
            let cells = rows.iter().map(|row| row[column].chars().count());
            cells.max().unwrap_or(0).max(header[column].len()) + EDGE
        })
        .sum();
    let room = width.map_or(0, |width| usize::from(width).saturating_sub(needed + EDGE)).min(WIDEST);
    if let Some(width) = width {
        table.set_width(width).set_content_arrangement(ContentArrangement::Dynamic);
    }
    let bars = room >= NARROWEST && report.duration > 0.0;
    let mut header: Vec<String> = header.map(str::to_owned).into();
    if bars {
        header.push(format!("0 to {}", clock(report.duration)));
    }
    table.set_header(header);
    for (event, cells) in report.events.iter().zip(rows) {
        let mut row: Vec<String> = cells.into();
        if bars {
            row.push(bar(event.start.stream / report.duration, event.end.stream / report.duration, room));
        }
        table.add_row(row);
    }
    let mut text = format!(
        "{table}\n{} of {} watched by {}",
        clock(report.duration - report.unwatched()),
        clock(report.duration),
        report.model
    );
    for error in &report.errors {
        text.push_str(&format!("\n{}: {}", error.kind.name(), error.message));
    }
    text
}

fn cells(event: &EventRecord) -> [String; 5] {
    let (start, end) = (clock(event.start.stream), clock(event.end.stream));
    [start, end, event.label.clone(), event.modality.said().to_owned(), format!("{:.2}", event.score)]
}

/// Filled from one share of the film to another: at least one cell, so that nothing short is lost.
fn bar(from: f64, to: f64, cells: usize) -> String {
    let from = ((from * cells as f64).floor() as usize).min(cells - 1);
    let to = ((to * cells as f64).ceil() as usize).clamp(from + 1, cells);
    format!("{}{}{}", "·".repeat(from), "█".repeat(to - from), "·".repeat(cells - to))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bar_shows_where_in_the_film_it_is() {
        assert_eq!(bar(0.0, 0.5, 4), "██··");
        assert_eq!(bar(0.5, 0.5, 4), "··█·", "nothing short is lost");
        assert_eq!(bar(1.0, 1.0, 4), "···█");
        assert_eq!(bar(0.9, 1.3, 4), "···█", "an event may reach beyond what is accounted for");
        assert_eq!(bar(0.0, 1.0, 4), "████");
    }

    #[test]
    fn the_bar_is_there_where_there_is_room() {
        let report = Report {
            source: "a".into(),
            model: "m".into(),
            duration: 60.0,
            events: vec![serde_json::from_str(EVENT).expect("an event")],
            coverage: Vec::new(),
            errors: Vec::new(),
            ended: "end of file".into(),
        };
        for (width, cells) in [(None, 0), (Some(40), 0), (Some(80), 35), (Some(500), 60)] {
            let text = table(&report, width);
            let drawn = text.chars().filter(|letter| "·█".contains(*letter)).count();
            assert_eq!(drawn, cells, "{width:?}\n{text}");
            let longest = text.lines().map(|line| line.chars().count()).max().unwrap_or(0);
            assert!(width.is_none_or(|width| longest <= usize::from(width)), "{width:?}\n{text}");
            assert_eq!(text.contains("0 to 1:00.0"), cells > 0);
            assert!(text.contains("0:15.0") && text.contains("a dog"), "{text}");
        }
    }

    const EVENT: &str = r#"{"event_id": "e", "stream_id": "s", "phase": "ended", "revision": 1, "label": "a dog", "text": "",
        "start": {"stream": 15.0, "utc": "2026-11-29T14:00:00.000Z"}, "end": {"stream": 30.0, "utc": "2026-11-29T14:00:00.000Z"},
        "score": 0.9, "modality": "audio", "clock": "ntp", "av_offset_ms": null, "window": {"id": "s/0", "start": 0.0, "end": 20.0},
        "model": "m", "latency_ms": {"decode": 0.0, "encode": 0.0, "llm": 0.0, "total": 0.0}}"#;
}
