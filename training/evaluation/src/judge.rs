//! Open-ended questions about videos, answered freely and judged by another model: the Video-ChatGPT protocol.
//!
//! The judge is asked over any OpenAI-compatible endpoint (`POST BASE/chat/completions`) whether the prediction means the
//! same as the right answer, and says `{"pred": "yes" | "no", "score": 0..5}`. **Accuracy** is the share of `yes`, and the
//! **score** the mean, over the judged pairs. A judgement that does not say so in JSON is asked for again; when all tries
//! are spent it counts as malformed, is in neither figure and is told. So is a pair that the endpoint did not judge.

use std::io::Read;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

/// A question with its right answer and the prediction to be judged.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pair {
    /// Its name.
    pub id: String,
    /// What was asked.
    pub question: String,
    /// The right answer.
    pub answer: String,
    /// What the model said.
    #[serde(alias = "pred")]
    pub prediction: String,
}

/// What the judge says of a pair.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Judgement {
    /// Does the prediction mean the same as the answer?
    pub right: bool,
    /// 0..=5: how well.
    pub score: f64,
}

/// What became of a pair.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Verdict {
    /// It was judged.
    Judged(Judgement),
    /// The judge did not say what it was asked for; its last words.
    Malformed(String),
    /// The endpoint did not answer; why.
    Failed(String),
}

/// How the endpoint is asked.
#[derive(Clone)]
pub struct Endpoint {
    /// Its address up to and with the version, such as `http://127.0.0.1:8000/v1`.
    pub base: String,
    /// Which of its models judges.
    pub model: String,
    /// The key, where it wants one. It is sent and never shown.
    pub key: Option<String>,
    /// Tries for each pair, at least 1.
    pub tries: u32,
    /// From the first try to the second; doubles with each.
    pub pause: Duration,
    /// The longest that one try may take.
    pub timeout: Duration,
}

impl std::fmt::Debug for Endpoint {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let key = self.key.as_ref().map(|_| "***");
        f.debug_struct("Endpoint")
            .field("base", &self.base)
            .field("model", &self.model)
            .field("key", &key)
            .field("tries", &self.tries)
            .field("pause", &self.pause)
            .field("timeout", &self.timeout)
            .finish()
    }
}

/// Figures over all pairs.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Summary {
    /// Pairs.
    pub pairs: usize,
    /// Of them judged.
    pub judged: usize,
    /// Without a usable judgement.
    pub malformed: usize,
    /// That the endpoint did not answer.
    pub failed: usize,
    /// Share of `yes` among the judged; `None` without any.
    pub accuracy: Option<f64>,
    /// Mean score of the judged, 0..=5.
    pub score: Option<f64>,
}

/// Sums up verdicts.
pub fn summarize<'a>(verdicts: impl Iterator<Item = &'a Verdict>) -> Summary {
    let (mut malformed, mut failed, mut judged) = (0, 0, Vec::new());
    for verdict in verdicts {
        match verdict {
            Verdict::Judged(judgement) => judged.push(*judgement),
            Verdict::Malformed(_) => malformed += 1,
            Verdict::Failed(_) => failed += 1,
        }
    }
    let mean = |figure: fn(&Judgement) -> f64| {
        (!judged.is_empty()).then(|| judged.iter().map(figure).sum::<f64>() / judged.len() as f64)
    };
    Summary {
        pairs: judged.len() + malformed + failed,
        judged: judged.len(),
        malformed,
        failed,
        accuracy: mean(|judgement| f64::from(u8::from(judgement.right))),
        score: mean(|judgement| judgement.score),
    }
}

/// A judgement in the words of the judge: the first JSON object that says `pred` and `score`.
///
/// `pred` is yes or no in any case, or a truth value; `score` is a number of 0..=5, or text that spells one.
pub fn parse(said: &str) -> Option<Judgement> {
    let starts = said.char_indices().filter(|(_, sign)| *sign == '{').map(|(at, _)| at);
    let objects = starts
        .filter_map(|at| serde_json::Deserializer::from_str(&said[at..]).into_iter::<Value>().next()?.ok());
    objects.filter_map(|object| judgement(&object)).next()
}

fn judgement(object: &Value) -> Option<Judgement> {
    let right = match &object["pred"] {
        Value::Bool(right) => *right,
        Value::String(word) if word.trim().eq_ignore_ascii_case("yes") => true,
        Value::String(word) if word.trim().eq_ignore_ascii_case("no") => false,
        _ => return None,
    };
    let score = match &object["score"] {
        Value::Number(number) => number.as_f64()?,
        Value::String(word) => word.trim().parse().ok()?,
        _ => return None,
    };
    (0.0..=5.0).contains(&score).then_some(Judgement { right, score })
}

/// Why one try gave nothing.
enum Trouble {
    /// Worth another try.
    Passing(Verdict),
    /// Another try would give the same.
    Lasting(Verdict),
}

/// Asks a judge.
pub struct Judge {
    endpoint: Endpoint,
    agent: ureq::Agent,
}

impl Judge {
    /// Of this endpoint. Nothing is sent yet.
    pub fn new(endpoint: Endpoint) -> Self {
        let config = ureq::Agent::config_builder()
            .timeout_global(Some(endpoint.timeout))
            .http_status_as_error(false)
            .build();
        Self { endpoint, agent: config.into() }
    }

    /// Judges a pair; blocks, at most for all tries and the pauses between them.
    pub fn judge(&self, pair: &Pair) -> Verdict {
        let mut pause = self.endpoint.pause;
        let mut last = Verdict::Failed("it was not asked".to_owned());
        for attempt in 0..self.endpoint.tries.max(1) {
            if attempt > 0 {
                std::thread::sleep(pause);
                pause *= 2;
            }
            last = match self.ask(pair) {
                Ok(judgement) => return Verdict::Judged(judgement),
                Err(Trouble::Lasting(verdict)) => return verdict,
                Err(Trouble::Passing(verdict)) => verdict,
            };
        }
        last
    }

    fn ask(&self, pair: &Pair) -> Result<Judgement, Trouble> {
        let passing = |reason: String| Trouble::Passing(Verdict::Failed(reason));
        let address = format!("{}/chat/completions", self.endpoint.base.trim_end_matches('/'));
        let mut request = self.agent.post(&address);
        if let Some(key) = &self.endpoint.key {
            request = request.header("authorization", format!("Bearer {key}"));
        }
        let mut response = request.send_json(self.body(pair)).map_err(|error| passing(error.to_string()))?;
        let status = response.status();
        let mut text = String::new();
        let reader = response.body_mut().as_reader().take(LONGEST_RESPONSE);
        std::io::BufReader::new(reader)
            .read_to_string(&mut text)
            .map_err(|error| passing(error.to_string()))?;
        if !status.is_success() {
            let verdict = Verdict::Failed(format!("{status}: {}", beginning(&text)));
            let passes = status.is_server_error() || matches!(status.as_u16(), 408 | 409 | 429);
            return Err(if passes { Trouble::Passing(verdict) } else { Trouble::Lasting(verdict) });
        }
        let malformed = |said: &str| Trouble::Passing(Verdict::Malformed(beginning(said)));
        let response: Value = serde_json::from_str(&text).map_err(|_| malformed(&text))?;
        let said = response.pointer("/choices/0/message/content").and_then(Value::as_str);
        let said = said.ok_or_else(|| malformed(&text))?;
        parse(said).ok_or_else(|| malformed(said))
    }

    fn body(&self, pair: &Pair) -> Value {
        let Pair { question, answer, prediction, .. } = pair;
        let task = format!(
            "Question about a video: {question}\nRight answer: {answer}\nPredicted answer: {prediction}\n\n\
             Does the predicted answer mean the same as the right one? Reply with one JSON object and nothing else: \
             {{\"pred\": \"yes\" or \"no\", \"score\": a whole number from 0 to 5, where 5 is a full match}}."
        );
        json!({
            "model": self.endpoint.model,
            "temperature": 0,
            "messages": [{"role": "system", "content": ROLE}, {"role": "user", "content": task}],
        })
    }
}

/// What the judge is told of its task.
const ROLE: &str = "You compare answers to questions about videos. Only the meaning counts: other words for the same \
                    thing are right, details that are missing or false lower the score.";

/// Bytes of a response that are read.
const LONGEST_RESPONSE: u64 = 1 << 20;

/// Enough to see what it was.
fn beginning(text: &str) -> String {
    let end = text.floor_char_boundary(300);
    text[..end].trim().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_judgement_is_found_among_other_words() {
        let yes = Some(Judgement { right: true, score: 4.0 });
        for said in [
            r#"{"pred": "yes", "score": 4}"#,
            "Sure: {\"pred\": \"Yes\", \"score\": \"4\"} as asked",
            "{it is {\"score\": 4.0, \"pred\": true}}",
        ] {
            assert_eq!(parse(said), yes, "{said}");
        }
        for unusable in [
            "yes",
            "{'pred': 'yes', 'score': 4}",
            r#"{"pred": "maybe", "score": 4}"#,
            r#"{"pred": "no", "score": 6}"#,
        ] {
            assert_eq!(parse(unusable), None, "{unusable}");
        }
    }

    #[test]
    fn what_was_not_judged_is_in_no_figure() {
        let verdicts = [
            Verdict::Judged(Judgement { right: true, score: 5.0 }),
            Verdict::Judged(Judgement { right: false, score: 2.0 }),
            Verdict::Malformed("hm".into()),
            Verdict::Failed("500".into()),
        ];
        let summary = summarize(verdicts.iter());
        assert_eq!((summary.pairs, summary.judged, summary.malformed, summary.failed), (4, 2, 1, 1));
        assert_eq!((summary.accuracy, summary.score), (Some(0.5), Some(3.5)));
        assert_eq!(summarize([].iter()).accuracy, None);
    }

    #[test]
    fn the_key_is_never_shown() {
        let endpoint = Endpoint {
            base: "http://127.0.0.1:1/v1".into(),
            model: "judge".into(),
            key: Some("sesame".into()),
            tries: 1,
            pause: Duration::ZERO,
            timeout: Duration::from_secs(1),
        };
        assert!(!format!("{endpoint:?}").contains("sesame"));
    }
}
