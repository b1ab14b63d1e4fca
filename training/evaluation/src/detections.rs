//! Files of detections made elsewhere.
//!
//! Three forms of JSON are read:
//!
//! ```json
//! {"results": {"VIDEO": [{"segment": [1.5, 7.0], "label": "dog barking", "score": 0.9}]}}
//! [{"video-id": "VIDEO", "t-start": 1.5, "t-end": 7.0, "label": 3, "score": 0.9}]
//! {"video-id": ["VIDEO"], "t-start": [1.5], "t-end": [7.0], "label": [3], "score": [0.9]}
//! ```
//!
//! A label is text, or the number that the annotations call `label_id`; one file uses one of the two.

use std::collections::BTreeMap;
use std::path::Path;

use serde::Deserialize;

use super::detection::Detection;
use super::segment::Segment;
use super::truth::Naming;
use super::{EvaluationError, read_json};

/// The detections of a file, and how it names classes; a file without detections names them by label.
///
/// # Errors
/// When the file cannot be read, has another form, mixes texts and numbers, or a detection is no span of time or has a
/// score that is no number.
pub fn read(path: &Path) -> Result<(Vec<Detection>, Naming), EvaluationError> {
    let rows = match read_json(path)? {
        File::Results { results } => by_video(results),
        File::Rows(rows) => rows,
        File::Columns(columns) => columns.rows().map_err(|what| EvaluationError::content(path, what))?,
    };
    let mut naming = None;
    let mut detections = Vec::with_capacity(rows.len());
    for (index, row) in rows.into_iter().enumerate() {
        let wrong = |what: &str| EvaluationError::content(path, format!("detection {}: {what}", index + 1));
        let (label, named) = match row.label {
            Label::Text(text) => (text, Naming::Label),
            Label::Number(number) => (number.to_string(), Naming::Number),
        };
        if *naming.get_or_insert(named) != named {
            return Err(wrong("its label is a number and others are texts, or the other way round"));
        }
        let segment = Segment::new(row.start, row.end);
        if !segment.is_sound() {
            return Err(wrong("it is no span of time"));
        }
        if !row.score.is_finite() {
            return Err(wrong("its score is no number"));
        }
        detections.push(Detection { video: row.video, label, segment, score: row.score });
    }
    Ok((detections, naming.unwrap_or(Naming::Label)))
}

#[derive(Deserialize)]
#[serde(untagged)]
enum File {
    Results { results: BTreeMap<String, Vec<Scored>> },
    Rows(Vec<Row>),
    Columns(Columns),
}

#[derive(Deserialize)]
struct Scored {
    segment: Segment,
    label: Label,
    score: f64,
}

#[derive(Deserialize)]
struct Row {
    #[serde(rename = "video-id")]
    video: String,
    #[serde(rename = "t-start")]
    start: f64,
    #[serde(rename = "t-end")]
    end: f64,
    label: Label,
    score: f64,
}

#[derive(Deserialize)]
struct Columns {
    #[serde(rename = "video-id")]
    video: Vec<String>,
    #[serde(rename = "t-start")]
    start: Vec<f64>,
    #[serde(rename = "t-end")]
    end: Vec<f64>,
    label: Vec<Label>,
    score: Vec<f64>,
}

#[derive(Clone, Deserialize)]
#[serde(untagged)]
enum Label {
    Number(i64),
    Text(String),
}

fn by_video(results: BTreeMap<String, Vec<Scored>>) -> Vec<Row> {
    let rows = results.into_iter().flat_map(|(video, results)| {
        results.into_iter().map(move |Scored { segment, label, score }| Row {
            video: video.clone(),
            start: segment.start,
            end: segment.end,
            label,
            score,
        })
    });
    rows.collect()
}

impl Columns {
    fn rows(self) -> Result<Vec<Row>, String> {
        let Self { video, start, end, label, score } = self;
        let lengths = [video.len(), start.len(), end.len(), label.len(), score.len()];
        if lengths.iter().any(|length| *length != video.len()) {
            return Err(format!("its columns have different lengths: {lengths:?}"));
        }
        let times = start.into_iter().zip(end);
        let said = label.into_iter().zip(score);
        let rows = video.into_iter().zip(times).zip(said);
        Ok(rows
            .map(|((video, (start, end)), (label, score))| Row { video, start, end, label, score })
            .collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(text: &str) -> Result<(Vec<Detection>, Naming), EvaluationError> {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("found.json");
        std::fs::write(&path, text).expect("writes");
        read(&path)
    }

    #[test]
    fn the_three_forms_say_the_same() {
        let forms = [
            r#"{"version": "1", "results": {"v": [{"segment": [1.5, 7.0], "label": 3, "score": 0.9}]}}"#,
            r#"[{"video-id": "v", "t-start": 1.5, "t-end": 7, "label": 3, "score": 0.9}]"#,
            r#"{"video-id": ["v"], "t-start": [1.5], "t-end": [7.0], "label": [3], "score": [0.9]}"#,
        ];
        for form in forms {
            let (found, naming) = parsed(form).expect("it is read");
            assert_eq!(naming, Naming::Number);
            assert_eq!((found[0].label.as_str(), found[0].segment), ("3", Segment::new(1.5, 7.0)), "{form}");
        }
    }

    #[test]
    fn what_cannot_be_counted_is_refused_with_its_place() {
        let cases = [
            (r#"[{"video-id": "v", "t-start": 9, "t-end": 7, "label": 3, "score": 1}]"#, "detection 1"),
            (r#"{"video-id": ["v"], "t-start": [], "t-end": [7], "label": [3], "score": [1]}"#, "columns"),
            (
                r#"{"results": {"v": [{"segment": [1, 2], "label": 3, "score": 1},
                                     {"segment": [1, 2], "label": "dog", "score": 1}]}}"#,
                "detection 2",
            ),
            (r#"{"results": 3}"#, "found.json"),
        ];
        for (text, place) in cases {
            let error = parsed(text).expect_err("it is refused").to_string();
            assert!(error.contains(place), "{error}");
        }
    }
}
