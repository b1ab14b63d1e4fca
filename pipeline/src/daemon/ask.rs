//! Questions that somebody asks while the daemon watches: about what a stream has just shown, or about a film. The same
//! model answers, behind the windows of the streams ([`Job::behind`]).

use std::collections::VecDeque;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use avicuna_models::localizer::{Localizer, Question, WindowAnswer};
use futures_util::{Stream, StreamExt, stream};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::reply::{Localized, Reply, joined};
use crate::answer::{self, Asked, Asking, Inquiry, Voices};
use crate::control::Control;
use crate::record::Latency;
use crate::schedule::{Job, ScheduleConfig};
use crate::source::{End, SourceEvent};
use crate::stream::{Instant, StreamId, WindowId};
use crate::timeline::{StreamTime, UtcTime};
use crate::track::WindowFacts;
use crate::watching::{Answered, Engine, Plan, Publisher, Respondent, Routes, cover, model_of};
use crate::window::{Assembler, Closed, Window};

/// How long the answer about one window may take.
const PATIENCE: Duration = Duration::from_secs(120);

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

/// Asks the model of a running daemon. Clones share it.
#[derive(Debug, Clone, Default)]
pub struct Asker {
    running: Arc<OnceLock<Running>>,
}

#[derive(Debug)]
struct Running {
    model: Respondent,
    asked: AtomicU64,
}

impl Asker {
    /// From now on there is a model to ask.
    pub(super) fn serve(&self, model: Respondent) {
        let running = Running { model, asked: AtomicU64::new(0) };
        // An engine is started once.
        let _first = self.running.set(running);
    }

    /// The model's name; `None` while it is being loaded.
    pub fn model(&self) -> Option<String> {
        self.running.get().map(|running| running.model.facts.name.to_string())
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
        let windows = running.model.recall.windows(&StreamId::from(id));
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

/// The windows of something that ends, as it is watched: none is read ahead but what the queues hold.
fn watch(plan: Plan) -> Result<impl Stream<Item = Result<Window, AskError>>, AskError> {
    let assembler = Assembler::new(plan.stream.clone(), plan.windows)
        .map_err(|error| AskError::Source(error.to_string()))?;
    let stop = CancellationToken::new();
    let stops = stop.clone().drop_guard();
    let (events, _task) = plan.open(stop, None);
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
        let asking = (self.model.facts.ask)(question);
        let inquiries = (self.model.facts.inquire)(std::slice::from_ref(&asking));
        let max_new_tokens = self.model.facts.max_new_tokens;
        let questions: Vec<Question> =
            inquiries.iter().map(|inquiry| inquiry.question(max_new_tokens)).collect();
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
        let _closes = Way { routes: &self.model.routes, stream: stream.clone() };
        self.model.routes.open(stream.clone(), way);
        let (mut answered, mut index) = (Vec::new(), 0);
        tokio::pin!(windows);
        while let Some(window) = windows.next().await {
            let mut window = window?;
            let facts = WindowFacts::of(&window, Latency::default(), self.model.facts.name.clone());
            window.id = WindowId { stream: stream.clone(), index };
            window.closed = std::time::Instant::now();
            index += 1;
            let job = Job { window, questions: questions.to_vec(), last: None, live: false, behind: true };
            let asked = async {
                let stopping = || AskError::Model("the daemon is stopping".to_owned());
                if !self.model.scheduler.submit(job).await.shed.is_empty() {
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
        let [least, least_query] = self.model.facts.least;
        let (mut found, mut said, mut tokens) = (Vec::<Localized>::new(), Vec::new(), 0);
        let watched = answered.first().zip(answered.last()).map(|((first, _), (last, _))| {
            (first.anchor.instant(first.start), last.anchor.instant(last.end))
        });
        for (facts, answer) in &answered {
            let seconds = facts.end.since(facts.start).as_secs_f64();
            tokens += answer.answers.iter().map(|answer| answer.tokens.len()).sum::<usize>();
            said.extend(answer.answers.iter().map(|answer| answer.text.clone()));
            for reading in self.model.facts.reader.read(inquiries, answer, seconds, Voices::Both) {
                let sure = |found: &answer::Localization| {
                    found.score >= if found.queried { least_query } else { least }
                };
                found.extend(reading.localizations.iter().filter(|found| sure(found)).map(|found| {
                    let at = |time: StreamTime| facts.anchor.instant(time);
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
        Reply { query, found: joined(found), said, watched, model: self.model.facts.name.to_string(), tokens }
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

/// Asks a model about something that ends, without a daemon: what `avicuna ask FILE` does.
///
/// # Errors
/// When it cannot be watched, or the model cannot answer.
pub async fn ask(
    plan: Plan,
    localizer: impl Into<Arc<Localizer>>,
    question: &str,
) -> Result<Reply, AskError> {
    let (publisher, _nobody) = Publisher::channel(None);
    let (asker, control) = (Asker::default(), Arc::new(Control::new()));
    // Nobody else asks: what waits is not waited for.
    let schedule = ScheduleConfig { linger: Duration::ZERO, ..ScheduleConfig::default() };
    let model = model_of(localizer.into());
    let engine = Engine::start(Vec::<Plan>::new(), model, schedule, control, publisher, None);
    asker.serve(engine.respondent());
    let reply = asker.film(plan, question).await;
    engine.stop(Duration::from_secs(1)).await;
    reply
}
