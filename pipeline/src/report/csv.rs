//! A table of values (RFC 4180), as spreadsheets and data frames read it.

use super::Report;

const COLUMNS: &str = "start,end,start_utc,end_utc,label,how,score,event_id";

/// A line for each event: seconds of stream time, capture times, label, `seen`, `heard` or `seen and heard`, score, id.
/// Lines end in CRLF.
pub fn csv(report: &Report) -> String {
    let mut text = format!("{COLUMNS}\r\n");
    for event in &report.events {
        let (start, end) = (&event.start, &event.end);
        let fields = [
            format!("{:.3}", start.stream),
            format!("{:.3}", end.stream),
            field(&start.utc),
            field(&end.utc),
            field(&event.label),
            event.modality.said().to_owned(),
            format!("{:.4}", event.score),
            field(&event.event_id),
        ];
        text.push_str(&fields.join(","));
        text.push_str("\r\n");
    }
    text
}

/// Between quotes where it needs them.
fn field(text: &str) -> String {
    if text.contains([',', '"', '\r', '\n']) || text.trim() != text {
        format!("\"{}\"", text.replace('"', "\"\""))
    } else {
        text.to_owned()
    }
}
