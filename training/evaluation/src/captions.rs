//! Dense captions: METEOR and CIDEr averaged over tIoU thresholds, and SODA_c, as VTimeLLM measures them.
//!
//! The rules:
//!
//! - An answer holds a JSON list `[{"event": "...", "timestamps": "from 00 to 46"}, ...]` in hundredths of the video. One
//!   that does not counts as no captions, and is counted. Neighbours that say the same (similarity above 0.98) and touch
//!   within a hundredth are one ([`similar`]). A caption ends at `(end + 1) / 100` of the video.
//! - **METEOR, CIDEr**: at each of 0.3, 0.5, 0.7 and 0.9, every pair of a caption and a true one with at least that tIoU is
//!   scored; a caption without such a pair is scored against a word that is in no caption. Scores are taken video by video
//!   (document frequencies too), then averaged over the videos and the thresholds. Videos without an answer are left out.
//! - **SODA_c**: captions and true ones are matched in order of time so that the sum of tIoU times METEOR is greatest; F1 of
//!   that sum, averaged over the videos. METEOR takes the true caption as the hypothesis there, as the reference does.
//!
//! METEOR 1.5 and the Penn Treebank tokenizer are the programs that everybody uses for these figures, in Java
//! ([`tools`]); the rest is here.

mod cider;
mod similar;
mod soda;
pub mod tools;

use std::collections::BTreeMap;
use std::path::Path;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use self::tools::Tools;
use super::segment::Segment;
use super::{EvaluationError, read_json, task_lines};

pub use similar::{Caption, merge_similar, ratio};

/// The tIoU thresholds of METEOR and CIDEr.
pub const THRESHOLDS: [f64; 4] = [0.3, 0.5, 0.7, 0.9];

/// A word that no caption holds: what a caption is compared with that meets no true one.
const NOWHERE: &str = "qzxjvkwqzxjvk";

/// A video's true captions.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct Reference {
    /// Seconds.
    pub duration: f64,
    /// When each holds.
    pub timestamps: Vec<Segment>,
    /// As many, in words.
    pub sentences: Vec<String>,
}

/// Reads true captions: `{"VIDEO": {"duration": s, "timestamps": [[s, e]], "sentences": ["..."]}}`.
///
/// # Errors
/// When the file cannot be read or a video has not as many sentences as time stamps.
pub fn read_references(path: &Path) -> Result<BTreeMap<String, Reference>, EvaluationError> {
    let references: BTreeMap<String, Reference> = read_json(path)?;
    let uneven = references
        .iter()
        .find(|(_, video)| video.timestamps.len() != video.sentences.len() || video.timestamps.is_empty());
    match uneven {
        Some((id, _)) => Err(EvaluationError::content(
            path,
            format!("{id} needs as many timestamps as sentences, at least one"),
        )),
        None => Ok(references),
    }
}

/// One answer of a log: `{"task": "captioning", "video_id": "...", "answer": "..."}`.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct Logged {
    /// The video.
    pub video_id: String,
    /// What the model said.
    pub answer: String,
}

/// The captioning lines of a log; lines of other tasks are left out.
///
/// # Errors
/// When the file cannot be read, or a line is no JSON or lacks a field.
pub fn read_log(path: &Path) -> Result<Vec<Logged>, EvaluationError> {
    task_lines(path, "captioning")
}

/// The captions of an answer in hundredths of the video, and whether it holds nothing but a list of them; what comes
/// before the first item that is none is kept.
pub fn parse(answer: &str) -> (Vec<Caption>, bool) {
    let span = answer.find('[').zip(answer.rfind(']'));
    let list = span.and_then(|(from, to)| answer.get(from..=to));
    let items: Option<Vec<Value>> = list.and_then(|list| serde_json::from_str(list).ok());
    let Some(items) = items else { return (Vec::new(), false) };
    let captions: Vec<Caption> = items.iter().map_while(caption).collect();
    let whole = captions.len() == items.len();
    (captions, whole)
}

/// Its time stamps read `from 12 to 34`, by their places.
fn caption(item: &Value) -> Option<Caption> {
    let (sentence, times) = (item["event"].as_str()?, item["timestamps"].as_str()?);
    let start = times.get(5..7)?.trim().parse().ok()?;
    let end = times.get(times.len().checked_sub(2)?..)?.trim().parse().ok()?;
    Some(Caption { sentence: sentence.to_owned(), start, end })
}

/// Figures in percent.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Captioning {
    /// Videos with an answer.
    pub videos: usize,
    /// Answers that are no list of captions, or only to a part.
    pub unparsed: usize,
    /// Mean over the videos.
    pub soda_c: f64,
    /// Mean over thresholds and videos.
    #[serde(rename = "METEOR")]
    pub meteor: f64,
    /// Mean over thresholds and videos.
    #[serde(rename = "CIDEr")]
    pub cider: f64,
}

/// Captions of one video, found and true, tokenized.
struct Pair {
    found: Vec<(Segment, String)>,
    truth: Vec<(Segment, String)>,
}

/// Measures answers against true captions. Of several answers to one video the last counts.
///
/// # Errors
/// When an answer is about a video without truth, or the Java programs fail.
pub fn measure(
    answers: &[Logged],
    references: &BTreeMap<String, Reference>,
    tools: &Tools,
) -> Result<Captioning, EvaluationError> {
    let mut unparsed = 0;
    let mut videos: BTreeMap<&str, Pair> = BTreeMap::new();
    for logged in answers {
        let id = logged.video_id.as_str();
        let Some(reference) = references.get(id) else {
            return Err(EvaluationError::UnknownVideo { video: id.to_owned() });
        };
        let (captions, whole) = parse(&logged.answer);
        unparsed += usize::from(!whole);
        videos.insert(id, pair(merge_similar(captions), reference));
    }
    tokenize(videos.values_mut(), tools)?;
    let mut meteor = tools.meteor()?;
    let (mut soda_c, mut meteors, mut ciders) = (0.0, 0.0, 0.0);
    for pair in videos.values() {
        soda_c += soda::f1(&pair.found, &pair.truth, &mut meteor)?;
        for threshold in THRESHOLDS {
            let pairs = pairs_at(pair, threshold);
            if !pairs.is_empty() {
                meteors += meteor.corpus(&pairs)?;
                ciders += cider::score(&pairs);
            }
        }
    }
    let percent = 100.0 / videos.len().max(1) as f64;
    let at_all = percent / THRESHOLDS.len() as f64;
    Ok(Captioning {
        videos: videos.len(),
        unparsed,
        soda_c: soda_c * percent,
        meteor: meteors * at_all,
        cider: ciders * at_all,
    })
}

fn pair(captions: Vec<Caption>, reference: &Reference) -> Pair {
    let hundredth = reference.duration / 100.0;
    let seconds = |caption: Caption| {
        let start = f64::from(caption.start) * hundredth;
        (Segment::new(start, f64::from(caption.end + 1) * hundredth), caption.sentence)
    };
    let mut found: Vec<(Segment, String)> = captions.into_iter().map(seconds).collect();
    let truth = reference.timestamps.iter().copied().zip(reference.sentences.iter().cloned());
    let mut truth: Vec<(Segment, String)> = truth.collect();
    found.sort_by(|one, other| one.0.start.total_cmp(&other.0.start));
    truth.sort_by(|one, other| one.0.start.total_cmp(&other.0.start));
    Pair { found, truth }
}

fn tokenize<'a>(pairs: impl Iterator<Item = &'a mut Pair>, tools: &Tools) -> Result<(), EvaluationError> {
    let mut sentences: Vec<&mut String> = pairs
        .flat_map(|pair| pair.found.iter_mut().chain(&mut pair.truth))
        .map(|(_, sentence)| sentence)
        .collect();
    let texts: Vec<&str> = sentences.iter().map(|sentence| sentence.as_str()).collect();
    let tokenized = tools.tokenize(&texts)?;
    for (sentence, tokens) in sentences.iter_mut().zip(tokenized) {
        **sentence = tokens;
    }
    Ok(())
}

/// `(found, true)` captions that meet at a threshold.
fn pairs_at(pair: &Pair, threshold: f64) -> Vec<(&str, &str)> {
    let mut pairs = Vec::new();
    for (segment, found) in &pair.found {
        let met = pair.truth.iter().filter(|(truth, _)| hull_iou(*segment, *truth) >= threshold);
        let before = pairs.len();
        pairs.extend(met.map(|(_, truth)| (found.as_str(), truth.as_str())));
        if pairs.len() == before {
            pairs.push((found, NOWHERE));
        }
    }
    pairs
}

/// tIoU as these figures take it: a little less than the quotient, so that no time at all is no division by zero.
fn hull_iou(one: Segment, other: Segment) -> f64 {
    let hull = one.end.max(other.end) - one.start.min(other.start);
    let sum = (one.end - one.start) + (other.end - other.start);
    one.shared(other) / (hull.min(sum) + 1e-8)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answers_list_is_found_among_other_words() {
        let answer = r#"Here: [{"event": "a dog barks", "timestamps": "from 00 to 46"}] and no more"#;
        let dog = Caption { sentence: "a dog barks".into(), start: 0, end: 46 };
        assert_eq!(parse(answer), (vec![dog.clone()], true));
        let cut = r#"[{"event": "a dog barks", "timestamps": "from 00 to 46"}, {"event": "a cat"}]"#;
        assert_eq!(parse(cut), (vec![dog], false));
        for unusable in
            ["a dog", "]x[", "[]]", r#"[{"event": "a"}]"#, r#"[{"event": "a", "timestamps": "é"}]"#]
        {
            assert_eq!(parse(unusable), (Vec::new(), false), "{unusable}");
        }
        assert_eq!(parse("nothing: []"), (Vec::new(), true));
    }

    #[test]
    fn a_caption_that_meets_no_truth_is_compared_with_a_word_from_nowhere() {
        let at = |start, end, text: &str| (Segment::new(start, end), text.to_owned());
        let pair =
            Pair { found: vec![at(0.0, 5.0, "x"), at(50.0, 60.0, "y")], truth: vec![at(0.0, 6.0, "z")] };
        assert_eq!(pairs_at(&pair, 0.5), [("x", "z"), ("y", NOWHERE)]);
        assert_eq!(pairs_at(&pair, 0.9), [("x", NOWHERE), ("y", NOWHERE)]);
    }
}
