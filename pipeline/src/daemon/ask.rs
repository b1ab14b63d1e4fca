//! Questions that somebody asks while the daemon watches: about what a stream has just shown, or about a film. The same
//! model answers, behind the windows of the streams ([`Job::behind`]).

use std::collections::{HashMap, VecDeque};
use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

use avicuna_models::localizer::{Localizer, Question, WindowAnswer};
use futures_util::{Stream, StreamExt, stream};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::engine::{Engine, SOURCE_QUEUE};
use super::model::{self, Answered, Routes};
use super::plan::{ModelFacts, Plan};
use super::publisher::Publisher;
use crate::answer::{self, Asked, Asking, Inquiry, Voices};
use crate::control::Control;
use crate::record::{Instant, Latency, Modality};
use crate::schedule::{Job, ScheduleConfig, Scheduler};
use crate::source::{self, End, SourceEvent};
use crate::timeline::{StreamTime, UtcTime};
use crate::track::WindowFacts;
use crate::window::{Assembler, Closed, StreamId, Window, WindowId};

/// How long the answer about one window may take.
const PATIENCE: Duration = Duration::from_secs(120);
/// Occurrences of one label that are no farther apart are one.
const GAP: f64 = 1.0;

/// Why a question was not answered.
#[derive(Debug, thiserror::Error)]
pub enum AskError {
    /// It is too early.
    #[error("the model is being loaded; ask again in a moment")]
    Loading,
    /// What was asked about is not remembered.
    #[error("nothing of \"{stream}\" is remembered of that time: {reason}")]
    Forgotten {
        /// Which stream.
        stream: String,
        /// What is.
        reason: String,
    },
    /// Streams left no room for it.
    #[error("no answer about a window within {} s: those of the streams leave no room", PATIENCE.as_secs())]
    Busy,
    /// The model cannot.
    #[error("the model cannot answer: {0}")]
    Model(String),
    /// The film cannot be watched.
    #[error("{0}")]
    Source(String),
}

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
            let how = match one.modality {
                Some(Modality::Audio) => ", heard",
                Some(Modality::Visual) => ", seen",
                Some(Modality::Both) => ", seen and heard",
                None => "",
            };
            let (start, end) = (clock(one.start.stream), clock(one.end.stream));
            let line = if index > 0 { "\n" } else { "" };
            write!(f, "{line}{start} to {end}: {}{how} ({:.2})", one.label, one.score)?;
        }
        Ok(())
    }
}

/// Seconds as `1:02:03.4`.
fn clock(seconds: f64) -> String {
    let tenths = (seconds * 10.0).round() as i64;
    let (whole, tenth) = (tenths / 10, tenths % 10);
    let (hours, minutes, seconds) = (whole / 3600, whole / 60 % 60, whole % 60);
    let hours = if hours > 0 { format!("{hours}:") } else { String::new() };
    format!("{hours}{minutes:02}:{seconds:02}.{tenth}")
}

/// The windows that streams have shown last.
#[derive(Debug, Clone, Default)]
pub(super) struct Recall(Arc<Mutex<HashMap<StreamId, VecDeque<Window>>>>);

impl Recall {
    /// Remembers a window, and those no older than `long` before it. Their samples are encoded by then or never: what is
    /// held are embeddings.
    pub fn remember(&self, window: &Window, long: Duration) {
        if long.is_zero() {
            return;
        }
        let mut streams = self.lock();
        let windows = streams.entry(window.id.stream.clone()).or_default();
        let oldest = window.end.minus(long);
        windows.push_back(window.clone());
        while windows.front().is_some_and(|window| window.end < oldest) {
            windows.pop_front();
        }
    }

    /// Nothing of a stream is remembered any more.
    pub fn forget(&self, stream: &StreamId) {
        self.lock().remove(stream);
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<StreamId, VecDeque<Window>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Asks the model of a running daemon. Clones share it.
#[derive(Debug, Clone, Default)]
pub struct Asker {
    running: Arc<OnceLock<Running>>,
}

#[derive(Debug)]
struct Running {
    scheduler: Scheduler,
    routes: Routes,
    facts: Arc<ModelFacts>,
    recall: Recall,
    asked: AtomicU64,
}

impl Asker {
    /// From now on there is a model to ask.
    pub(super) fn serve(&self, scheduler: Scheduler, routes: Routes, facts: Arc<ModelFacts>, recall: Recall) {
        let running = Running { scheduler, routes, facts, recall, asked: AtomicU64::new(0) };
        // An engine is started once.
        let _first = self.running.set(running);
    }

    /// The model's name; `None` while it is being loaded.
    pub fn model(&self) -> Option<String> {
        self.running.get().map(|running| running.facts.name.to_string())
    }

    /// Asks about what a stream has shown from `from` to `to`; by default all that is remembered.
    ///
    /// # Errors
    /// When nothing of it is remembered, or the model has no time or cannot.
    pub async fn stream(
        &self,
        id: &str,
        from: Option<UtcTime>,
        to: Option<UtcTime>,
        question: &str,
    ) -> Result<Reply, AskError> {
        let running = self.running.get().ok_or(AskError::Loading)?;
        let forgotten = |reason: String| AskError::Forgotten { stream: id.to_owned(), reason };
        let windows: Vec<Window> =
            running.recall.lock().get(&StreamId::from(id)).into_iter().flatten().cloned().collect();
        let (Some(first), Some(last)) = (windows.first(), windows.last()) else {
            return Err(forgotten("no window of it has closed yet, or its `recall` is 0".to_owned()));
        };
        let (begins, ends) = (first.anchor.utc_at(first.start), last.anchor.utc_at(last.until));
        let chosen = cover(&windows, from.unwrap_or(begins), to.unwrap_or(ends));
        if chosen.is_empty() {
            let [begins, ends] = [begins, ends].map(UtcTime::to_rfc3339);
            return Err(forgotten(format!("it is from {begins} to {ends}")));
        }
        running.answer(stream::iter(chosen.into_iter().map(Ok)), question, (from, to)).await
    }

    /// Asks about a film or whatever else ends, by a plan of its own.
    ///
    /// # Errors
    /// When it cannot be watched, or the model has no time or cannot.
    pub async fn film(&self, plan: Plan, question: &str) -> Result<Reply, AskError> {
        let running = self.running.get().ok_or(AskError::Loading)?;
        running.answer(watch(plan)?, question, (None, None)).await
    }
}

/// As few of the windows as cover the span; they overlap.
fn cover(windows: &[Window], from: UtcTime, to: UtcTime) -> Vec<Window> {
    let mut chosen: Vec<Window> = Vec::new();
    let mut at = from;
    let span = |window: &Window| (window.anchor.utc_at(window.start), window.anchor.utc_at(window.until));
    while at < to {
        let reaches = |window: &&Window| span(window).0 <= at && span(window).1 > at;
        let farthest = windows.iter().filter(reaches).max_by_key(|window| span(window).1);
        match farthest {
            Some(window) => {
                at = span(window).1;
                chosen.push(window.clone());
            }
            // A hole: on to what comes behind it.
            None => match windows.iter().map(|window| span(window).0).filter(|start| *start > at).min() {
                Some(start) => at = start,
                None => break,
            },
        }
    }
    chosen
}

/// The windows of something that ends, as it is watched: none is read ahead but what the queues hold.
fn watch(plan: Plan) -> Result<impl Stream<Item = Result<Window, AskError>>, AskError> {
    let assembler = Assembler::new(plan.stream.clone(), plan.windows)
        .map_err(|error| AskError::Source(error.to_string()))?;
    let stop = CancellationToken::new();
    let stops = stop.clone().drop_guard();
    let (sender, events) = mpsc::channel(SOURCE_QUEUE);
    let _task = match plan.apart {
        Some(worker) => source::apart::spawn(worker, plan.source, sender, stop),
        None => source::spawn(plan.source, sender, stop),
    };
    let state = (events, assembler, VecDeque::new(), stops);
    Ok(stream::unfold(state, |(mut events, mut assembler, mut closed, stops)| async move {
        loop {
            match closed.pop_front() {
                Some(Closed::Window(window)) => {
                    return Some((Ok(window), (events, assembler, closed, stops)));
                }
                Some(Closed::Blind { .. }) => continue,
                None => {}
            }
            let event = events.recv().await?;
            if let SourceEvent::Ended(End::Failed(failure)) = &event {
                let failed = AskError::Source(failure.to_string());
                return Some((Err(failed), (events, assembler, closed, stops)));
            }
            closed.extend(assembler.push(event));
        }
    }))
}

impl Running {
    async fn answer(
        &self,
        windows: impl Stream<Item = Result<Window, AskError>>,
        question: &str,
        within: (Option<UtcTime>, Option<UtcTime>),
    ) -> Result<Reply, AskError> {
        let asking = (self.facts.ask)(question);
        let inquiries = (self.facts.inquire)(std::slice::from_ref(&asking));
        let texts = inquiries.iter().map(|inquiry| inquiry.text.clone());
        let max_new_tokens = self.facts.max_new_tokens;
        let questions: Vec<Question> = texts.map(|text| Question { text, max_new_tokens }).collect();
        let answered = self.all(windows, &questions).await?;
        Ok(self.reply(&asking, &inquiries, answered, within))
    }

    /// The answers about all windows, one asked about after the other.
    async fn all(
        &self,
        windows: impl Stream<Item = Result<Window, AskError>>,
        questions: &[Question],
    ) -> Result<Vec<(WindowFacts, WindowAnswer)>, AskError> {
        let number = self.asked.fetch_add(1, Ordering::Relaxed);
        // No stream has a blank in its id.
        let stream = StreamId::from(format!("question {number}"));
        let (way, mut answers) = mpsc::unbounded_channel();
        let _closes = Way { routes: &self.routes, stream: stream.clone() };
        self.routes.open(stream.clone(), way);
        let (mut answered, mut index) = (Vec::new(), 0);
        tokio::pin!(windows);
        while let Some(window) = windows.next().await {
            let mut window = window?;
            let facts = WindowFacts::of(&window, Latency::default(), self.facts.name.clone());
            window.id = WindowId { stream: stream.clone(), index };
            window.closed = std::time::Instant::now();
            index += 1;
            let job = Job { window, questions: questions.to_vec(), live: false, behind: true };
            let asked = async {
                let stopping = || AskError::Model("the daemon is stopping".to_owned());
                if !self.scheduler.submit(job).await.shed.is_empty() {
                    return Err(stopping());
                }
                let Answered { result, .. } = answers.recv().await.ok_or_else(stopping)?;
                result.map_err(|error| AskError::Model(error.to_string()))
            };
            let answer = tokio::time::timeout(PATIENCE, asked).await.map_err(|_| AskError::Busy)??;
            answered.push((facts, answer));
        }
        if answered.is_empty() {
            return Err(AskError::Source("nothing of it can be seen or heard".to_owned()));
        }
        Ok(answered)
    }

    fn reply(
        &self,
        asking: &Asking,
        inquiries: &[Inquiry],
        answered: Vec<(WindowFacts, WindowAnswer)>,
        (from, to): (Option<UtcTime>, Option<UtcTime>),
    ) -> Reply {
        let [least, least_query] = self.facts.least;
        let (mut found, mut said, mut tokens) = (Vec::<Localized>::new(), Vec::new(), 0);
        let watched = answered.first().zip(answered.last()).map(|((first, _), (last, _))| {
            (Instant::new(first.start, first.anchor), Instant::new(last.end, last.anchor))
        });
        for (facts, answer) in &answered {
            let seconds = facts.end.since(facts.start).as_secs_f64();
            tokens += answer.answers.iter().map(|answer| answer.tokens.len()).sum::<usize>();
            said.extend(answer.answers.iter().map(|answer| answer.text.clone()));
            for reading in self.facts.reader.read(inquiries, answer, seconds, Voices::Both) {
                let sure = |found: &answer::Localization| {
                    found.score >= if found.queried { least_query } else { least }
                };
                found.extend(reading.localizations.iter().filter(|found| sure(found)).map(|found| {
                    let at = |time: StreamTime| Instant::new(time, facts.anchor);
                    Localized {
                        label: found.label.clone(),
                        start: at(facts.at(found.start.fraction())),
                        end: at(facts.at(found.end.end_fraction())),
                        score: found.score,
                        modality: found.modality,
                    }
                }));
            }
        }
        let outside = |one: &Localized| {
            let utc = |instant: &Instant| UtcTime::from_rfc3339(&instant.utc);
            from.is_some_and(|from| utc(&one.end).is_some_and(|end| end < from))
                || to.is_some_and(|to| utc(&one.start).is_some_and(|start| start > to))
        };
        found.retain(|one| !outside(one));
        let query = match &asking.asked {
            Asked::Detect => None,
            Asked::Ground { label } => Some(label.clone()),
        };
        Reply { query, found: joined(found), said, watched, model: self.facts.name.to_string(), tokens }
    }
}

/// Takes the way of the answers away again, however the asking ends.
struct Way<'a> {
    routes: &'a Routes,
    stream: StreamId,
}

impl Drop for Way<'_> {
    fn drop(&mut self) {
        self.routes.close(&self.stream);
    }
}

/// What several windows found of one thing is one.
fn joined(mut found: Vec<Localized>) -> Vec<Localized> {
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

/// Asks a model about something that ends, without a daemon: what `avicuna ask FILE` does.
///
/// # Errors
/// When it cannot be watched, or the model cannot answer.
pub async fn ask(
    plan: Plan,
    localizer: impl Into<Arc<Localizer>>,
    schedule: ScheduleConfig,
    question: &str,
) -> Result<Reply, AskError> {
    let (publisher, _nobody) = Publisher::channel(None);
    let (asker, control) = (Asker::default(), Arc::new(Control::new()));
    let model = model::of(localizer.into());
    let engine =
        Engine::start(Vec::new(), Engine::no_commands(), model, schedule, control, publisher, None, &asker);
    let reply = asker.film(plan, question).await;
    engine.stop(Duration::from_secs(1)).await;
    reply
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
        assert_eq!(reply(vec![dog], None).to_string(), "00:03.0 to 1:02:03.5: a dog, seen and heard (0.91)");
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
