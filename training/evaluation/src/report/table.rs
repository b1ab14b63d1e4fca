//! A report as tables, for the terminal and for Markdown.

use std::fmt::Write;

use super::{GroundingReport, Report};
use crate::detection::MeanAveragePrecision;
use crate::events::Merging;
use crate::grounding::Grounding;
use crate::watch::Settings;

/// A table of text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Table {
    /// What it shows.
    pub title: String,
    /// Names of the columns.
    pub header: Vec<String>,
    /// As many cells in each as columns.
    pub rows: Vec<Vec<String>>,
}

impl Table {
    /// With these columns and no row.
    pub fn new(title: impl Into<String>, header: &[&str]) -> Self {
        let header = header.iter().map(|name| (*name).to_owned()).collect();
        Self { title: title.into(), header, rows: Vec::new() }
    }

    /// As Markdown.
    pub fn markdown(&self) -> String {
        let line = |cells: &[String]| format!("| {} |\n", cells.join(" | ").replace('\n', " "));
        let mut text = format!("**{}**\n\n{}", self.title, line(&self.header));
        text.push_str(&"|---".repeat(self.header.len()));
        text.push_str("|\n");
        self.rows.iter().for_each(|row| text.push_str(&line(row)));
        text
    }
}

/// `0.734`, or a dash for what was not measured.
pub fn figure(value: impl Into<Option<f64>>) -> String {
    value.into().map_or_else(|| "-".to_owned(), |value| format!("{value:.3}"))
}

/// The columns of [`grounding_cells`].
pub const GROUNDING: [&str; 10] = [
    "queries",
    "segments",
    "found",
    "union mIoU",
    "F1@.3",
    "F1@.5",
    "F1@.7",
    "count F1",
    "R@1 .5",
    "modality",
];

/// Figures of grounding, as cells.
pub fn grounding_cells(part: &Grounding) -> Vec<String> {
    let counts = [part.queries, part.segments, part.found].map(|count| count.to_string());
    let figures =
        [part.union_miou, part.f1.low, part.f1.middle, part.f1.high, part.count_f1, part.recall_at_1.middle];
    let modality = figure(part.modality_accuracy);
    counts.into_iter().chain(figures.map(figure)).chain([modality]).collect()
}

/// mAP at every threshold and its average.
pub fn detection_table(detection: &MeanAveragePrecision) -> Table {
    let at = detection.thresholds.iter().map(|threshold| format!("@{threshold:.1}"));
    let header: Vec<String> =
        std::iter::once(String::new()).chain(at).chain(["average".to_owned()]).collect();
    let mut table =
        Table { title: "What happens: mean average precision".to_owned(), header, rows: Vec::new() };
    let average = |figures: &[f64]| figures.iter().sum::<f64>() / figures.len().max(1) as f64;
    for (name, figures) in [("mAP", &detection.map), ("recall", &detection.recall)] {
        let cells = figures.iter().copied().chain([average(figures)]).map(figure);
        table.rows.push(std::iter::once(name.to_owned()).chain(cells).collect());
    }
    table.title += &format!(
        " over {} classes ({} true events, {} told, {} of other labels)",
        detection.classes.len(),
        detection.truths,
        detection.detections,
        detection.of_other_labels
    );
    table
}

/// `by`: who told it, where that is not the question alone.
fn grounding_tables(by: &str, grounding: &GroundingReport) -> [Table; 2] {
    let header: Vec<&str> = std::iter::once("").chain(GROUNDING).collect();
    let mut parts = Table::new(format!("When does it happen{by}?"), &header);
    for (name, part) in grounding.rows() {
        parts.rows.push(std::iter::once(name.to_owned()).chain(grounding_cells(part)).collect());
    }
    let mut absent = Table::new(format!("What does not happen{by}"), &["queries", "called absent"]);
    absent.rows.push(vec![grounding.absent.to_string(), figure(grounding.absence_accuracy)]);
    [parts, absent]
}

impl Report {
    /// Its tables.
    pub fn tables(&self) -> Vec<Table> {
        let alone = grounding_tables("", &self.grounding);
        let by = ", told by a stream that asks what happens, too";
        let together = self.together.iter().flat_map(|grounding| grounding_tables(by, grounding));
        alone.into_iter().chain(together).chain(self.detection.as_ref().map(detection_table)).collect()
    }

    /// What was measured, and on what, in a few lines.
    pub fn summary(&self) -> String {
        let mut text = format!("{} videos, {:.0} s", self.videos, self.seconds);
        if let (Some(model), Some(settings)) = (&self.model, self.settings) {
            let name = model.split_whitespace().next().unwrap_or_default();
            let senses = match (settings.audio, settings.video) {
                (true, false) => ", without video",
                (false, true) => ", without audio",
                _ => "",
            };
            let Settings { window, hop, .. } = settings;
            let _ = write!(text, "; {name}, windows of {window} s every {hop} s{senses}");
        }
        if let Some(merging) = self.merging {
            let Merging { merge_gap, min_score, min_query_score, .. } = merging;
            let least = format!("least score {min_score}, of queries {min_query_score}");
            let _ = write!(text, "; merge gap {merge_gap} s, {least}");
        }
        if let Some(watching) = &self.watching {
            let _ = write!(
                text,
                "\n{} windows, {:.1} times as fast as they play; {} parts of answers followed no rule; {:.1} s not watched",
                watching.windows, watching.speed, watching.unparsed, watching.unwatched
            );
            for (video, trouble) in &watching.trouble {
                let _ = write!(text, "\n{video}: {}", trouble.join("; "));
            }
        }
        text
    }

    /// As a Markdown page.
    pub fn markdown(&self) -> String {
        let tables: Vec<String> = self.tables().iter().map(Table::markdown).collect();
        format!("{}\n\n{}", self.summary(), tables.join("\n"))
    }
}
