//! What is answered to somebody who asks.

use std::fmt;

use crate::answer;
use crate::stream::{Instant, Modality};
use crate::timeline::clock;

/// Occurrences of one label that are no farther apart are one.
const GAP: f64 = 1.0;

/// An answer.
#[derive(Debug, Clone, PartialEq)]
pub struct Reply {
    /// What was understood: `None` when it is what happens, else the query.
    pub query: Option<String>,
    /// What was found, sure enough to be told, in order of time.
    pub found: Vec<Localized>,
    /// What the LLM said, window by window.
    pub said: Vec<String>,
    /// Where the windows begin and end that were looked at.
    pub watched: Option<(Instant, Instant)>,
    /// The model's name.
    pub model: String,
    /// Tokens that were generated.
    pub tokens: usize,
}

/// Something that happens, with its times.
#[derive(Debug, Clone, PartialEq)]
pub struct Localized {
    /// What.
    pub label: String,
    /// From when.
    pub start: Instant,
    /// Until when.
    pub end: Instant,
    /// 0 to 1.
    pub score: f64,
    /// Seen or heard.
    pub modality: Option<Modality>,
}

impl fmt::Display for Reply {
    /// For a person: a line for each thing that happens, or that there is none.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.found.is_empty() {
            return match &self.query {
                Some(query) => write!(f, "No: \"{query}\" was neither seen nor heard."),
                None => f.write_str("Nothing that I know was seen or heard."),
            };
        }
        for (index, one) in self.found.iter().enumerate() {
            let how = one.modality.map(|modality| format!(", {}", modality.said())).unwrap_or_default();
            let (start, end) = (clock(one.start.stream), clock(one.end.stream));
            let line = if index > 0 { "\n" } else { "" };
            write!(f, "{line}{start} to {end}: {}{how} ({:.2})", one.label, one.score)?;
        }
        Ok(())
    }
}

/// What several windows found of one thing is one.
pub(super) fn joined(mut found: Vec<Localized>) -> Vec<Localized> {
    found.sort_by(|one, other| one.start.stream.total_cmp(&other.start.stream));
    let mut kept: Vec<Localized> = Vec::new();
    for next in found {
        let key = answer::label_key(&next.label);
        let before = kept
            .iter_mut()
            .find(|kept| answer::label_key(&kept.label) == key && next.start.stream <= kept.end.stream + GAP);
        match before {
            Some(before) => {
                if next.end.stream > before.end.stream {
                    before.end = next.end;
                }
                if before.modality != next.modality {
                    before.modality = Some(Modality::Both);
                }
                before.score = before.score.max(next.score);
            }
            None => kept.push(next),
        }
    }
    kept
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(stream: f64) -> Instant {
        Instant { stream, utc: "2026-11-29T14:00:00.000Z".to_owned() }
    }

    fn found(label: &str, start: f64, end: f64, modality: Modality) -> Localized {
        Localized {
            label: label.into(),
            start: at(start),
            end: at(end),
            score: 0.914,
            modality: Some(modality),
        }
    }

    #[test]
    fn an_answer_can_be_read() {
        let reply = |found: Vec<Localized>, query: Option<&str>| Reply {
            query: query.map(str::to_owned),
            found,
            said: Vec::new(),
            watched: None,
            model: "m".into(),
            tokens: 3,
        };
        let dog = found("a dog", 3.04, 3723.5, Modality::Both);
        assert_eq!(reply(vec![dog], None).to_string(), "0:03.0 to 1:02:03.5: a dog, seen and heard (0.91)");
        assert_eq!(reply(Vec::new(), Some("a cat")).to_string(), "No: \"a cat\" was neither seen nor heard.");
    }

    #[test]
    fn what_several_windows_found_is_one() {
        let parts = vec![
            found("A dog", 8.0, 12.0, Modality::Audio),
            found("a cat", 9.0, 10.0, Modality::Visual),
            found("a dog", 3.0, 8.5, Modality::Visual),
            found("a dog", 20.0, 22.0, Modality::Visual),
        ];
        let spans: Vec<_> = joined(parts)
            .into_iter()
            .map(|one| (one.label, one.start.stream, one.end.stream, one.modality))
            .collect();
        let expected = [
            ("a dog".to_owned(), 3.0, 12.0, Some(Modality::Both)),
            ("a cat".to_owned(), 9.0, 10.0, Some(Modality::Visual)),
            ("a dog".to_owned(), 20.0, 22.0, Some(Modality::Visual)),
        ];
        assert_eq!(spans, expected);
    }
}
