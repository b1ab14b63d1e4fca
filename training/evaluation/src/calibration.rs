//! The least scores of a stream, from what people said of its events: as low as lets the wished share of what is told be
//! right.
//!
//! An event is right when nobody corrected its label; other times make it no other event. What nobody reviewed does not
//! count, and of what was too unsure to be told nothing is known: a least score that is chosen here is never lower than the
//! least that was reviewed.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use avicuna_pipeline::answer::label_key;
use avicuna_pipeline::record::review::{self, Reviews};
use serde::Serialize;

use super::{EvaluationError, read_json};

/// What somebody said of an event.
#[derive(Debug, Clone, PartialEq)]
pub struct Reviewed {
    /// What was told.
    pub label: String,
    /// How sure it was.
    pub score: f64,
    /// Was it right?
    pub right: bool,
}

impl From<review::Reviewed> for Reviewed {
    fn from(reviewed: review::Reviewed) -> Self {
        let right = reviewed.is_right();
        Self { right, label: reviewed.event.label, score: reviewed.event.score }
    }
}

/// Reads what `/v1/reviews` gave.
///
/// # Errors
/// When the file cannot be read, or is something else.
pub fn read(path: &Path) -> Result<Vec<Reviewed>, EvaluationError> {
    let Reviews { reviews } = read_json(path)?;
    Ok(reviews.into_iter().map(Reviewed::from).collect())
}

/// What is wanted.
#[derive(Debug, Clone, PartialEq)]
pub struct Wish {
    /// The share of what is told that is to be right, 0 to 1.
    pub precision: f64,
    /// A choice rests on at least so many events.
    pub least: usize,
    /// Labels that are queries of the streams: their scores are compared with each other only.
    pub queries: Vec<String>,
}

/// A least score, and what it would have made of the reviewed events.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Choice {
    /// From this score on, events are told.
    pub score: f64,
    /// Reviewed events that are as sure.
    pub told: usize,
    /// Of these, the right ones.
    pub right: usize,
    /// Right ones that would not be told any more.
    pub lost: usize,
}

impl Choice {
    /// The share of what is told that is right.
    pub fn precision(&self) -> f64 {
        self.right as f64 / self.told as f64
    }
}

/// What became of one kind of events.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Chosen {
    /// How many were reviewed.
    pub reviewed: usize,
    /// How many of them were right.
    pub right: usize,
    /// The least score; none where too few were reviewed, or no score is enough.
    pub choice: Option<Choice>,
}

/// The least scores of a stream.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Calibration {
    /// Of what happens, unasked.
    pub detected: Chosen,
    /// Of answers to queries.
    pub queried: Chosen,
    /// Of each label, as it was told first.
    pub labels: BTreeMap<String, Chosen>,
}

/// Chooses the least scores.
pub fn calibrate(reviews: &[Reviewed], wish: &Wish) -> Calibration {
    let queries: BTreeSet<String> = wish.queries.iter().map(|query| label_key(query)).collect();
    let (queried, detected): (Vec<&Reviewed>, Vec<&Reviewed>) =
        reviews.iter().partition(|review| queries.contains(&label_key(&review.label)));
    let mut labels: BTreeMap<String, (String, Vec<&Reviewed>)> = BTreeMap::new();
    for review in reviews {
        let of_label = labels.entry(label_key(&review.label));
        of_label.or_insert_with(|| (review.label.clone(), Vec::new())).1.push(review);
    }
    let labels = labels.into_values().map(|(label, reviews)| (label, chosen(&reviews, wish))).collect();
    Calibration { detected: chosen(&detected, wish), queried: chosen(&queried, wish), labels }
}

fn chosen(reviews: &[&Reviewed], wish: &Wish) -> Chosen {
    let right = reviews.iter().filter(|review| review.right).count();
    let mut sorted = reviews.to_vec();
    sorted.sort_by(|one, other| other.score.total_cmp(&one.score));
    let (mut choice, mut right_so_far) = (None, 0);
    for (index, review) in sorted.iter().enumerate() {
        right_so_far += usize::from(review.right);
        // Events that are as sure are told or not told together.
        let is_last_of_score = sorted.get(index + 1).is_none_or(|next| next.score < review.score);
        let told = index + 1;
        if is_last_of_score && told >= wish.least && right_so_far as f64 >= wish.precision * told as f64 {
            let lost = right - right_so_far;
            choice = Some(Choice { score: review.score, told, right: right_so_far, lost });
        }
    }
    Chosen { reviewed: reviews.len(), right, choice }
}

impl Calibration {
    /// The lines of a stream's configuration that these choices are. A label has one of its own where it needs another than
    /// all others have, or where no score is enough for it: then it is not told at all.
    pub fn config(&self, wish: &Wish) -> String {
        let mut text = String::new();
        for (key, chosen) in [("min_score", &self.detected), ("min_query_score", &self.queried)] {
            match chosen.choice {
                Some(choice) => text.push_str(&format!("{key} = {}\n", choice.score)),
                None if chosen.reviewed > 0 => {
                    let (reviewed, right, wanted) = (chosen.reviewed, chosen.right, wish.precision);
                    text.push_str(&format!(
                        "# {key}: no score gives {wanted} on at least {} of {reviewed} reviewed events ({right} right)\n",
                        wish.least
                    ));
                }
                None => {}
            }
        }
        let queries: BTreeSet<String> = wish.queries.iter().map(|query| label_key(query)).collect();
        let mut of_labels = Vec::new();
        for (label, chosen) in self.labels.iter().filter(|(_, chosen)| chosen.reviewed >= wish.least) {
            let all = if queries.contains(&label_key(label)) { &self.queried } else { &self.detected };
            let of_label = chosen.choice.map_or(1.0, |choice| choice.score);
            if Some(of_label) != all.choice.map(|choice| choice.score) {
                // JSON's strings are TOML's too.
                of_labels.push(format!("{} = {of_label}", serde_json::Value::from(label.as_str())));
            }
        }
        if !of_labels.is_empty() {
            text.push_str(&format!("min_label_scores = {{ {} }}\n", of_labels.join(", ")));
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn reviewed(label: &str, of: &[(f64, bool)]) -> Vec<Reviewed> {
        of.iter().map(|&(score, right)| Reviewed { label: label.to_owned(), score, right }).collect()
    }

    fn wish(precision: f64, least: usize) -> Wish {
        Wish { precision, least, queries: Vec::new() }
    }

    #[test]
    fn the_lowest_score_that_is_enough_is_chosen() {
        let dogs =
            [(0.9, true), (0.8, true), (0.7, false), (0.6, true), (0.5, true), (0.4, false), (0.3, false)];
        let reviews = reviewed("a dog", &dogs);
        let at = |precision, least| calibrate(&reviews, &wish(precision, least)).detected.choice;
        assert_eq!(at(0.8, 1), Some(Choice { score: 0.5, told: 5, right: 4, lost: 0 }));
        assert_eq!(at(1.0, 1), Some(Choice { score: 0.8, told: 2, right: 2, lost: 2 }));
        assert_eq!(at(1.0, 3), None, "it would rest on two events");
        assert_eq!(at(0.0, 1).map(|choice| choice.score), Some(0.3), "never below what was reviewed");
    }

    #[test]
    fn events_that_are_as_sure_are_told_together() {
        let reviews = reviewed("a dog", &[(0.9, true), (0.5, true), (0.5, false)]);
        let choice = calibrate(&reviews, &wish(1.0, 1)).detected.choice.expect("one is enough");
        assert_eq!((choice.score, choice.told), (0.9, 1));
    }

    #[test]
    fn labels_that_differ_from_the_others_get_lines_of_their_own() {
        let mut reviews = reviewed("a dog", &[(0.9, true), (0.6, true), (0.5, true)]);
        reviews.extend(reviewed("The siren", &[(0.9, true), (0.8, true), (0.7, false)]));
        reviews.extend(reviewed("siren", &[(0.3, false)]));
        reviews.extend(reviewed("a \"ghost\"", &[(0.9, false), (0.2, false)]));
        reviews.extend(reviewed("someone at the door", &[(0.4, true), (0.3, false)]));
        let wish = Wish { queries: vec!["Someone at the door".into()], ..wish(0.75, 2) };
        let chosen = calibrate(&reviews, &wish);
        assert_eq!(chosen.labels.len(), 4, "articles make no label: {:?}", chosen.labels);
        assert_eq!(chosen.detected.choice.map(|choice| choice.score), Some(0.8));
        let text = chosen.config(&wish);
        let expected = "min_score = 0.8\n\
                        # min_query_score: no score gives 0.75 on at least 2 of 2 reviewed events (1 right)\n\
                        min_label_scores = { \"a \\\"ghost\\\"\" = 1, \"a dog\" = 0.5, \"someone at the door\" = 1 }\n";
        assert_eq!(text, expected);
    }

    #[test]
    fn a_file_of_reviews_is_read_by_what_was_said() {
        let event = |label: &str| {
            serde_json::json!({"event_id": "e", "stream_id": "s", "phase": "ended", "revision": 1, "label": label, "text": "",
                "start": {"stream": 1.0, "utc": "2026-11-29T14:00:00.000Z"}, "end": {"stream": 2.0, "utc": "2026-11-29T14:00:00.000Z"},
                "score": 0.5, "modality": "audio", "clock": "ntp", "av_offset_ms": null,
                "window": {"id": "s/0", "start": 0.0, "end": 20.0}, "model": "m",
                "latency_ms": {"decode": 0.0, "encode": 0.0, "llm": 0.0, "total": 0.0}})
        };
        let said = |verdict: &str, label: Option<&str>, start: Option<f64>| {
            serde_json::json!({"event": event("a dog"), "review": {"verdict": verdict, "label": label, "start": start, "end": null,
                "reviewed": "2026-11-29T14:00:00.000Z"}})
        };
        let file = serde_json::json!({"reviews": [
            said("right", None, None), said("wrong", None, None), said("corrected", Some("a cat"), None),
            said("corrected", None, Some(1.5)), said("corrected", Some("The dog"), Some(1.5)),
        ]});
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("reviews.json");
        std::fs::write(&path, file.to_string()).expect("written");
        let right: Vec<bool> = read(&path).expect("read").into_iter().map(|review| review.right).collect();
        assert_eq!(right, [true, false, false, true, true]);
        std::fs::write(&path, "{}").expect("written");
        assert!(
            read(&path)
                .expect_err("no reviews")
                .to_string()
                .contains("reviews.json: missing field `reviews`")
        );
    }

    proptest! {
        #[test]
        fn what_is_chosen_is_as_right_as_wished_and_nothing_lower_is(
            scores in prop::collection::vec((0u8..20, any::<bool>()), 0..60), precision in 0.0..1.0f64, least in 1usize..8,
        ) {
            let scores: Vec<(f64, bool)> =
                scores.into_iter().map(|(score, right)| (f64::from(score) / 20.0, right)).collect();
            let choice = calibrate(&reviewed("a dog", &scores), &wish(precision, least)).detected.choice;
            let enough = |score: f64| {
                let told: Vec<_> = scores.iter().filter(|(other, _)| *other >= score).collect();
                let right = told.iter().filter(|(_, right)| *right).count();
                told.len() >= least && right as f64 >= precision * told.len() as f64
            };
            match choice {
                Some(choice) => prop_assert!(enough(choice.score)),
                None => prop_assert!(!scores.iter().any(|(score, _)| enough(*score))),
            }
            let lower = |score: f64| choice.is_none_or(|choice| score < choice.score);
            prop_assert!(!scores.iter().any(|(score, _)| lower(*score) && enough(*score)));
        }
    }
}
