//! What was measured on a corpus: one report, as JSON, as Markdown and as plots.

pub mod plot;
pub mod table;

use std::collections::BTreeMap;

use serde::Serialize;

use super::EvaluationError;
use super::detection::{MeanAveragePrecision, mean_average_precision};
use super::events::Merging;
use super::grounding::{Answered, Grounding, absence_accuracy, measure};
use super::predictions::Predictions;
use super::truth::{Corpus, Kind, QueryModality};
use super::watch::{Settings, Watched};

/// Everything that was measured.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Report {
    /// The model's name, version and checksum; `None`: the predictions came from a file.
    pub model: Option<String>,
    /// How it watched.
    pub settings: Option<Settings>,
    /// How windows became events.
    pub merging: Option<Merging>,
    /// Videos.
    pub videos: usize,
    /// Seconds of them.
    pub seconds: f64,
    /// What watching them was like.
    pub watching: Option<Watching>,
    /// When does it happen?
    pub grounding: GroundingReport,
    /// The same, told by a stream that asks what happens, too; `None` where that was not asked.
    pub together: Option<GroundingReport>,
    /// What happens? `None` where that was not asked.
    pub detection: Option<MeanAveragePrecision>,
}

/// What watching was like.
#[derive(Debug, Clone, PartialEq, Default, Serialize)]
pub struct Watching {
    /// Windows that were answered.
    pub windows: usize,
    /// Seconds that no window watched.
    pub unwatched: f64,
    /// Parts of answers that followed no rule.
    pub unparsed: usize,
    /// Seconds of video watched in a second, without loading the model.
    pub speed: f64,
    /// What went wrong, by video.
    pub trouble: BTreeMap<String, Vec<String>>,
}

/// Grounding of all queries and of parts of them.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct GroundingReport {
    /// Every query whose event happens.
    pub all: Grounding,
    /// Those whose event happens once, and several times.
    pub by_kind: BTreeMap<Kind, Grounding>,
    /// By how the event can be noticed.
    pub by_modality: BTreeMap<QueryModality, Grounding>,
    /// Queries whose event does not happen.
    pub absent: usize,
    /// The share of them with nothing found.
    pub absence_accuracy: Option<f64>,
}

impl Report {
    /// Measures predictions.
    ///
    /// # Errors
    /// When an event of the truth has no label.
    pub fn new(corpus: &Corpus, predictions: &Predictions) -> Result<Self, EvaluationError> {
        let truth = corpus.occurrences()?;
        let detections = predictions.detections(&truth);
        let grounding = |found| GroundingReport::new(corpus, &Predictions::answered(corpus, found));
        Ok(Self {
            model: None,
            settings: None,
            merging: None,
            videos: corpus.videos.len(),
            seconds: corpus.videos.values().map(|video| video.duration).sum(),
            watching: None,
            grounding: grounding(&predictions.grounding),
            together: predictions.together.as_ref().map(grounding),
            detection: detections.map(|found| mean_average_precision(&truth, &found)),
        })
    }

    /// Says who watched, how, and what that was like.
    pub fn of_model(self, model: &str, settings: Settings, merging: Merging, watched: &[Watched]) -> Self {
        let took: f64 = watched.iter().map(|watched| watched.took).sum();
        let seconds: f64 = watched.iter().map(|watched| watched.seconds).sum();
        let troubled = watched.iter().filter(|watched| !watched.trouble.is_empty());
        let watching = Watching {
            windows: watched.iter().map(|watched| watched.windows.len()).sum(),
            unwatched: watched.iter().map(|watched| watched.unwatched).sum(),
            unparsed: watched.iter().map(|watched| watched.unparsed).sum(),
            speed: if took > 0.0 { seconds / took } else { 0.0 },
            trouble: troubled.map(|watched| (watched.video.clone(), watched.trouble.clone())).collect(),
        };
        let model = Some(model.to_owned());
        Self { model, settings: Some(settings), merging: Some(merging), watching: Some(watching), ..self }
    }
}

impl GroundingReport {
    fn new(corpus: &Corpus, answered: &[Answered]) -> Self {
        let pairs = || corpus.queries.iter().zip(answered);
        let kinds = [Kind::Single, Kind::Multi].map(|kind| {
            let of = pairs().filter(|(query, _)| query.kind == kind).map(|(_, answered)| answered);
            (kind, measure(of))
        });
        let senses = [QueryModality::Both, QueryModality::Audio, QueryModality::Visual, QueryModality::Mixed]
            .map(|senses| {
                let of = pairs().filter(|(query, _)| query.modality == senses).map(|(_, answered)| answered);
                (senses, measure(of))
            });
        Self {
            all: measure(answered.iter()),
            by_kind: kinds.into_iter().filter(|(_, part)| part.queries > 0).collect(),
            by_modality: senses.into_iter().filter(|(_, part)| part.queries > 0).collect(),
            absent: answered.iter().filter(|answered| answered.truth.is_empty()).count(),
            absence_accuracy: absence_accuracy(answered.iter()),
        }
    }

    /// Its parts with their names, all of it first.
    pub fn rows(&self) -> Vec<(&'static str, &Grounding)> {
        let kinds = self.by_kind.iter().map(|(kind, part)| {
            (if *kind == Kind::Multi { "several segments" } else { "one segment" }, part)
        });
        let senses = self.by_modality.iter().map(|(senses, part)| {
            let name = match senses {
                QueryModality::Both => "seen and heard",
                QueryModality::Audio => "only heard",
                QueryModality::Visual => "only seen",
                QueryModality::Mixed => "now so, now otherwise",
            };
            (name, part)
        });
        std::iter::once(("all", &self.all)).chain(kinds).chain(senses).collect()
    }
}
