//! When somebody is to be told: a rule looks at every window's answer, also at what is too unsure for an event, and fires
//! when it has seen enough. Pure: reads no clock and does no I/O.

use std::collections::{HashMap, VecDeque};

use avicuna_pipeline::answer::label_key;
use avicuna_pipeline::record::{Found, WindowRecord};
use avicuna_pipeline::stream::{Instant, Modality};
use avicuna_pipeline::timeline::UtcTime;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::problem::FieldProblem;

/// The most windows that a rule remembers.
const MOST_WINDOWS: u32 = 1000;

/// When somebody is to be told.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Rule {
    /// Ids of the streams it looks at; by default all.
    #[serde(default)]
    pub streams: Vec<String>,
    /// A label that detection tells, whatever the case and a leading article.
    #[serde(default)]
    pub label: Option<String>,
    /// A query of the streams, word by word. A rule has this or `label`.
    #[serde(default)]
    pub query: Option<String>,
    /// Only what is seen, heard, or both.
    #[serde(default)]
    pub modality: Option<Modality>,
    /// At least so sure; by default as sure as the stream wants events.
    #[serde(default)]
    #[schemars(range(min = 0.0, max = 1.0))]
    pub min_score: Option<f64>,
    /// Only what lasts so many seconds.
    #[serde(default)]
    pub lasts: f64,
    /// In `n` of the last `m` windows; by default in one of one.
    #[serde(default = "one_of_one")]
    pub n_of_m: [u32; 2],
    /// After it fired, it is quiet for so many seconds on that stream.
    #[serde(default)]
    pub cooldown: f64,
    /// Names of the sinks that it tells; by default every one that sends alerts.
    #[serde(default)]
    pub targets: Vec<String>,
    /// Does it look?
    #[serde(default = "yes")]
    pub enabled: bool,
}

fn one_of_one() -> [u32; 2] {
    [1, 1]
}

fn yes() -> bool {
    true
}

/// A rule fired.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Alert {
    /// `RULE/WINDOW/START`, the window's start in milliseconds of capture time: windows of a live stream are counted anew in
    /// every run.
    pub alert_id: String,
    /// The rule.
    pub rule_id: String,
    /// The stream's id.
    pub stream_id: String,
    /// What happens.
    pub label: String,
    /// From when.
    pub start: Instant,
    /// Until when, as far as seen.
    pub end: Instant,
    /// 0 to 1: the surest of the windows that counted.
    pub score: f64,
    /// Seen or heard; null where the answer does not say.
    pub modality: Option<Modality>,
    /// The window that made it fire.
    pub window_id: String,
    /// Sinks that are told; every one that sends alerts when empty.
    #[serde(default)]
    pub targets: Vec<String>,
}

impl Rule {
    /// What is wrong with it.
    pub fn problems(&self) -> Vec<FieldProblem> {
        let mut problems = Vec::new();
        let mut ensure = |holds: bool, pointer: &str, message: &str| {
            if !holds {
                problems.push(FieldProblem { pointer: pointer.to_owned(), message: message.to_owned() });
            }
        };
        ensure(
            self.label.is_some() != self.query.is_some(),
            "/label",
            "name a label or a query, one of them",
        );
        let words = self.label.as_ref().or(self.query.as_ref());
        ensure(words.is_none_or(|words| !words.trim().is_empty()), "/label", "must not be empty");
        let score = self.min_score.is_none_or(|score| (0.0..=1.0).contains(&score));
        ensure(score, "/min_score", "must be from 0 to 1");
        let seconds = |seconds: f64| (0.0..=1e7).contains(&seconds);
        ensure(seconds(self.lasts), "/lasts", "must be from 0 to 10000000 seconds");
        ensure(seconds(self.cooldown), "/cooldown", "must be from 0 to 10000000 seconds");
        let [n, m] = self.n_of_m;
        let counts = 1 <= n && n <= m && m <= MOST_WINDOWS;
        ensure(counts, "/n_of_m", "must be [n, m] with 1 <= n <= m <= 1000");
        problems
    }

    /// The surest of what counts in a window.
    fn hit<'w>(&self, window: &'w WindowRecord) -> Option<&'w Found> {
        let answers = window.answers.iter().filter(|answer| answer.query == self.query);
        let counts = |found: &&Found| {
            self.label.as_ref().is_none_or(|label| label_key(label) == label_key(&found.label))
                && self.modality.is_none_or(|modality| found.modality == Some(modality))
                && self.min_score.map_or(found.is_told(), |least| found.score >= least)
        };
        let found = answers.flat_map(|answer| &answer.found).filter(counts);
        found.max_by(|one, other| one.score.total_cmp(&other.score))
    }
}

/// What a rule has seen of a stream.
#[derive(Debug, Default)]
struct Seen {
    /// Which of the last windows counted.
    hits: VecDeque<bool>,
    /// What goes on since the last window that did not count.
    run: Option<Run>,
    /// When it fired last, capture time.
    fired: Option<UtcTime>,
}

#[derive(Debug, Clone)]
struct Run {
    label: String,
    start: Instant,
    end: Instant,
    score: f64,
    modality: Option<Modality>,
}

/// Rules at work.
#[derive(Debug, Default)]
pub struct Watchers {
    seen: HashMap<(String, String), Seen>,
}

impl Watchers {
    /// A rule is another one now, or gone: what it has seen does not count.
    pub fn forget(&mut self, rule_id: &str) {
        self.seen.retain(|(rule, _), _| rule != rule_id);
    }

    /// Takes the next window of a stream; `Some` when the rule fires.
    pub fn look(&mut self, rule_id: &str, rule: &Rule, window: &WindowRecord) -> Option<Alert> {
        let stream = &window.stream_id;
        if !rule.enabled || !(rule.streams.is_empty() || rule.streams.contains(stream)) {
            return None;
        }
        let seen = self.seen.entry((rule_id.to_owned(), stream.clone())).or_default();
        let hit = rule.hit(window);
        let [n, m] = rule.n_of_m;
        seen.hits.push_back(hit.is_some());
        while seen.hits.len() > m as usize {
            seen.hits.pop_front();
        }
        // With m windows of patience, one that does not count does not end what goes on.
        if !seen.hits.contains(&true) {
            seen.run = None;
        }
        let run = seen.goes_on(window, hit?);
        let enough = seen.hits.iter().filter(|hit| **hit).count() >= n as usize
            && run.end.stream - run.start.stream >= rule.lasts;
        let now = UtcTime::from_rfc3339(&run.end.utc)?;
        let quiet = seen.fired.is_some_and(|fired| now.seconds_since(fired) < rule.cooldown);
        if !enough || quiet {
            return None;
        }
        seen.fired = Some(now);
        // What fired has been told: it takes as much again.
        seen.hits.clear();
        seen.run = None;
        Some(Alert {
            alert_id: alert_id(rule_id, window),
            rule_id: rule_id.to_owned(),
            stream_id: stream.clone(),
            label: run.label,
            start: run.start,
            end: run.end,
            score: run.score,
            modality: run.modality,
            window_id: window.id.clone(),
            targets: rule.targets.clone(),
        })
    }
}

impl Seen {
    fn goes_on(&mut self, window: &WindowRecord, found: &Found) -> Run {
        let at = |seconds: f64| Instant { stream: seconds, utc: shifted(&window.start, seconds) };
        let run = self.run.get_or_insert_with(|| Run {
            label: found.label.clone(),
            start: at(found.start),
            end: at(found.end),
            score: found.score,
            modality: found.modality,
        });
        if found.end > run.end.stream {
            run.end = at(found.end);
        }
        if found.score > run.score {
            run.score = found.score;
            run.modality = found.modality;
        }
        run.clone()
    }
}

fn alert_id(rule_id: &str, window: &WindowRecord) -> String {
    let start = UtcTime::from_rfc3339(&window.start.utc).map_or(0, |start| start.0.div_euclid(1_000_000));
    format!("{rule_id}/{}/{start}", window.id)
}

/// Capture time of an instant of the window that starts at `start`.
fn shifted(start: &Instant, stream: f64) -> String {
    let nanos = ((stream - start.stream) * 1e9) as i64;
    UtcTime::from_rfc3339(&start.utc).map_or_else(|| start.utc.clone(), |utc| utc.offset(nanos).to_rfc3339())
}

#[cfg(test)]
mod tests {
    use avicuna_pipeline::record::{Answered, WindowFate};
    use avicuna_pipeline::stream::Presence;
    use serde_json::json;

    use super::*;

    fn rule(json: serde_json::Value) -> Rule {
        let rule: Rule = serde_json::from_value(json).expect("a rule");
        assert_eq!(rule.problems(), []);
        rule
    }

    /// The window of 10 s with this number, every 5 s; `found` are its seconds and scores.
    fn window(number: u32, query: Option<&str>, found: &[(f64, f64, f64)]) -> WindowRecord {
        let start = f64::from(number) * 5.0;
        let base = UtcTime::from_rfc3339("2026-11-29T14:00:00Z").expect("a time");
        let at = |stream: f64| Instant { stream, utc: base.offset((stream * 1e9) as i64).to_rfc3339() };
        let found = found.iter().map(|(from, to, score)| Found {
            label: "A dog".into(),
            start: *from,
            end: *to,
            score: *score,
            modality: Some(Modality::Audio),
            least: 0.5,
        });
        WindowRecord {
            id: format!("yard/{number}"),
            stream_id: "yard".into(),
            start: at(start),
            end: at(start + 10.0),
            fate: WindowFate::Answered,
            reason: None,
            audio: Presence::Present,
            video: Presence::Present,
            answers: vec![Answered {
                query: query.map(str::to_owned),
                text: String::new(),
                found: found.collect(),
            }],
        }
    }

    /// The numbers of the windows at which it fires, of windows that find the dog for their first 4 s so surely.
    fn fires(rule: &Rule, scores: &[f64]) -> Vec<usize> {
        let mut watchers = Watchers::default();
        let windows = scores.iter().enumerate().map(|(number, score)| {
            let start = number as f64 * 5.0;
            let number = u32::try_from(number).expect("few");
            if *score > 0.0 {
                window(number, None, &[(start, start + 4.0, *score)])
            } else {
                window(number, None, &[])
            }
        });
        let told = windows.enumerate().filter_map(|(number, window)| {
            watchers.look("r", rule, &window).map(|alert| (number, alert.window_id))
        });
        told.map(|(number, id)| {
            assert_eq!(id, format!("yard/{number}"));
            number
        })
        .collect()
    }

    #[test]
    fn it_fires_when_it_is_sure_enough_and_keeps_quiet_then() {
        let dog = |more: serde_json::Value| {
            let mut rule = json!({"label": "a DOG"});
            rule.as_object_mut().expect("an object").extend(more.as_object().expect("an object").clone());
            self::rule(rule)
        };
        let scores = [0.0, 0.6, 0.3, 0.9, 0.9, 0.0, 0.7];
        assert_eq!(fires(&dog(json!({})), &scores), [1, 3, 4, 6], "as sure as events must be");
        assert_eq!(fires(&dog(json!({"min_score": 0.25})), &scores), [1, 2, 3, 4, 6]);
        assert_eq!(fires(&dog(json!({"min_score": 0.8})), &scores), [3, 4]);
        assert_eq!(fires(&dog(json!({"cooldown": 12.0})), &scores), [1, 4], "5 s a window");
        assert_eq!(fires(&dog(json!({"n_of_m": [2, 3]})), &scores), [3, 6]);
        assert_eq!(fires(&dog(json!({"n_of_m": [2, 2]})), &scores), [4]);
        assert_eq!(fires(&dog(json!({"lasts": 8.0, "n_of_m": [2, 2]})), &scores), [4], "from 15 to 24 s");
        assert_eq!(
            fires(&dog(json!({"lasts": 18.0, "n_of_m": [2, 2]})), &scores),
            [4],
            "one window may miss it"
        );
        assert_eq!(fires(&dog(json!({"lasts": 20.0, "n_of_m": [2, 2]})), &scores), [0; 0], "from 5 to 24 s");
        assert_eq!(fires(&dog(json!({"modality": "visual"})), &scores), [0; 0]);
        assert_eq!(fires(&dog(json!({"streams": ["gate"]})), &scores), [0; 0]);
        assert_eq!(fires(&dog(json!({"enabled": false})), &scores), [0; 0]);
    }

    #[test]
    fn a_query_is_not_a_label_and_an_alert_says_what_it_saw() {
        let asked = rule(json!({"query": "a dog barks"}));
        let mut watchers = Watchers::default();
        assert_eq!(watchers.look("r", &asked, &window(0, None, &[(0.0, 1.0, 0.9)])), None);
        let alert =
            watchers.look("r", &asked, &window(1, Some("a dog barks"), &[(6.0, 7.5, 0.6), (8.0, 9.0, 0.9)]));
        let alert = alert.expect("it fires");
        assert_eq!((alert.start.stream, alert.end.stream, alert.score), (8.0, 9.0, 0.9));
        assert_eq!(alert.start.utc, "2026-11-29T14:00:08.000Z");
        assert_eq!(
            (alert.alert_id.as_str(), alert.modality),
            ("r/yard/1/1795960805000", Some(Modality::Audio))
        );
    }

    #[test]
    fn what_cannot_be_is_said() {
        for (body, pointer) in [
            (json!({}), "/label"),
            (json!({"label": "a", "query": "b"}), "/label"),
            (json!({"label": " "}), "/label"),
            (json!({"label": "a", "min_score": 1.5}), "/min_score"),
            (json!({"label": "a", "n_of_m": [3, 2]}), "/n_of_m"),
            (json!({"label": "a", "n_of_m": [0, 2]}), "/n_of_m"),
            (json!({"label": "a", "cooldown": -1.0}), "/cooldown"),
        ] {
            let rule: Rule = serde_json::from_value(body).expect("a rule");
            assert_eq!(rule.problems()[0].pointer, pointer);
        }
    }
}
