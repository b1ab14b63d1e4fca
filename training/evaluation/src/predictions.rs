//! What a model told of a corpus, as a file: detections in the form of UnAV-100, and segments for each query.
//!
//! ```json
//! {"results": {"VIDEO": [{"segment": [1.5, 7.0], "label": "a dog", "score": 0.9, "modality": "both"}]},
//!  "grounding": {"QUERY": [{"segment": [1.5, 7.0], "label": "a dog", "score": 0.9, "modality": null}]},
//!  "together": {"QUERY": [{"segment": [1.5, 7.0], "label": "a dog", "score": 0.9, "modality": "both"}]}}
//! ```

use std::collections::BTreeMap;
use std::path::Path;

use avicuna_pipeline::answer::label_key;
use serde::{Deserialize, Serialize};

use super::detection::{Detection, Occurrence};
use super::events::{Event, Merging, events, events_of_stream};
use super::grounding::{Answered, Located};
use super::truth::Corpus;
use super::watch::{Settings, Watched};
use super::{EvaluationError, read_json};

/// What was told of a corpus.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct Predictions {
    /// What happens, by video; `None` where that was not asked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub results: Option<BTreeMap<String, Vec<Event>>>,
    /// When it happens, by query; a query that is not here found nothing.
    #[serde(default)]
    pub grounding: BTreeMap<String, Vec<Event>>,
    /// The same of a stream that asks what happens, too; `None` where that was not asked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub together: Option<BTreeMap<String, Vec<Event>>>,
}

impl Predictions {
    /// Of a corpus that was watched.
    pub fn new(corpus: &Corpus, watched: &[Watched], settings: Settings, merging: Merging) -> Self {
        let mut predictions = Self::default();
        for watched in watched {
            let told = |question: usize| events(watched, question, settings, merging);
            if let Some(question) = watched.question(None) {
                let results = predictions.results.get_or_insert_default();
                results.insert(watched.video.clone(), told(question));
            }
            for query in corpus.of(&watched.video) {
                let found = watched.question(Some(&query.label)).map(told).unwrap_or_default();
                predictions.grounding.insert(query.id.clone(), found);
                if let Some(found) = events_of_stream(watched, &query.label, settings, merging) {
                    predictions.together.get_or_insert_default().insert(query.id.clone(), found);
                }
            }
        }
        predictions
    }

    /// Reads a file.
    ///
    /// # Errors
    /// When it cannot be read, has another form, or an event of it is no span of time.
    pub fn read(path: &Path) -> Result<Self, EvaluationError> {
        let predictions: Self = read_json(path)?;
        let told =
            predictions.results.iter().chain([&predictions.grounding]).chain(&predictions.together).flatten();
        for (name, events) in told {
            let unsound =
                events.iter().position(|event| !event.segment.is_sound() || !event.score.is_finite());
            if let Some(index) = unsound {
                return Err(EvaluationError::content(
                    path,
                    format!("{name}[{index}] has no sound times or score"),
                ));
            }
        }
        Ok(predictions)
    }

    /// The detections, with labels that mean the same as one of the truth's written as there.
    pub fn detections(&self, truth: &[Occurrence]) -> Option<Vec<Detection>> {
        let names: BTreeMap<String, &str> =
            truth.iter().map(|truth| (label_key(&truth.label), truth.label.as_str())).collect();
        let detections = self.results.as_ref()?.iter().flat_map(|(video, events)| {
            events.iter().map(|event| Detection {
                video: video.clone(),
                label: names.get(&label_key(&event.label)).map_or(&*event.label, |name| name).to_owned(),
                segment: event.segment,
                score: event.score,
            })
        });
        Some(detections.collect())
    }

    /// The queries of a corpus in their order, with their truth and what was `found`.
    pub fn answered(corpus: &Corpus, found: &BTreeMap<String, Vec<Event>>) -> Vec<Answered> {
        let answered = |query: &super::truth::Query| Answered {
            truth: query
                .segments
                .iter()
                .map(|segment| (*segment, corpus.modality(query, *segment)))
                .collect(),
            found: found.get(&query.id).into_iter().flatten().map(located).collect(),
        };
        corpus.queries.iter().map(answered).collect()
    }
}

fn located(event: &Event) -> Located {
    Located { segment: event.segment, score: event.score, modality: event.modality }
}
