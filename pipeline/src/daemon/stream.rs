//! One stream, from its source's events to its records. Its own task: no stream waits for another, but in the bounded
//! queues of the model and of the outbox.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Instant;

use avicuna_models::localizer::{Question, WindowAnswer};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::model::Answered;
use super::plan::{ModelFacts, Plan};
use super::publisher::{Parcel, Publisher};
use super::recall::Recall;
use super::record::Record;
use super::recorder::{Fate, Recorder, Settled, latency};
use crate::control::{Control, StreamBoard, StreamMetrics};
use crate::outbox::Whole;
use crate::record::{ErrorKind, Latency, StreamPhase, StreamRecord};
use crate::schedule::{Job, Scheduler};
use crate::source::failure::{Failure, Kind};
use crate::source::{End, SourceEvent};
use crate::stream::{Presence, StreamState};
use crate::timeline::{StreamTime, UtcTime};
use crate::track::{InOrder, WindowFacts};
use crate::window::{Assembler, Closed, SpecError, Window};

/// Why a window of a live stream was not watched.
const TOO_SLOW: &str = "the model could not keep up";
/// Why a window that waited at shutdown was not watched.
const STOPPING: &str = "the daemon was stopped before the model came to it";

/// What all streams share.
#[derive(Debug, Clone)]
pub(super) struct Shared {
    pub control: Arc<Control>,
    pub scheduler: Scheduler,
    pub publisher: Publisher,
    pub model: Arc<ModelFacts>,
    /// No window is waited for after this.
    pub deadline: CancellationToken,
    /// Takes what the model says, for those who measure it.
    pub heard: Option<mpsc::UnboundedSender<Heard>>,
    /// What was shown last, for those who ask.
    pub recall: Recall,
}

/// What the model said of one window, before anything was made of it.
#[derive(Debug, Clone, PartialEq)]
pub struct Heard {
    /// The window.
    pub window: WindowFacts,
    /// One answer for each question of the plan, in their order.
    pub answer: WindowAnswer,
}

/// A window that the model has not answered yet.
#[derive(Debug)]
struct Pending {
    facts: WindowFacts,
    until: StreamTime,
    missing: Option<String>,
    last_capture: UtcTime,
    closed: Instant,
}

/// A stream being watched.
#[derive(Debug)]
pub(super) struct Stream {
    shared: Shared,
    plan: Plan,
    questions: Vec<Question>,
    assembler: Assembler,
    order: InOrder<Settled>,
    pending: BTreeMap<u64, Pending>,
    recorder: Recorder,
    /// Where the stream's time has come to.
    end: StreamTime,
    /// Why the source is over.
    ended: Option<End>,
    /// The trouble that was reported last, not to be repeated with every try.
    trouble: Option<Failure>,
    /// The state that was told last, not to be told again with every try.
    told: Option<StreamPhase>,
    /// States to be told.
    states: Vec<StreamRecord>,
    /// Its recorder knows which run this is.
    has_begun: bool,
}

impl Stream {
    /// A stream that has not begun.
    pub fn new(plan: Plan, shared: Shared) -> Result<Self, SpecError> {
        let max_new_tokens = shared.model.max_new_tokens;
        let inquiries = (shared.model.inquire)(&plan.questions);
        let texts = inquiries.iter().map(|inquiry| inquiry.text.clone());
        let questions = texts.map(|text| Question { text, max_new_tokens }).collect();
        let reader = shared.model.reader.clone();
        let recorder = Recorder::new(plan.stream.clone(), inquiries, reader, plan.track, plan.live);
        Ok(Self {
            questions,
            assembler: Assembler::new(plan.stream.clone(), plan.windows)?,
            order: InOrder::default(),
            pending: BTreeMap::new(),
            recorder,
            end: StreamTime::ZERO,
            ended: None,
            trouble: None,
            told: None,
            states: Vec::new(),
            has_begun: false,
            shared,
            plan,
        })
    }

    /// Watches until the source is over and every window is settled; returns why it is over.
    pub async fn run(
        &mut self,
        mut events: mpsc::Receiver<SourceEvent>,
        mut answers: mpsc::UnboundedReceiver<Answered>,
    ) -> End {
        self.metrics().announce();
        self.state(StreamState::Connecting);
        let deadline = self.shared.deadline.clone();
        while self.ended.is_none() || self.order.outstanding() > 0 {
            let records = tokio::select! {
                biased;
                Some(answered) = answers.recv() => self.answered(answered),
                () = deadline.cancelled() => break,
                event = events.recv(), if self.ended.is_none() => match event {
                    Some(event) => self.heard(event).await,
                    // The source ended without a word.
                    None => self.heard(SourceEvent::Ended(End::Stopped)).await,
                },
            };
            self.publish(records).await;
        }
        let end = self.ended.clone().unwrap_or(End::Stopped);
        self.finish(STOPPING).await;
        self.state(StreamState::Ended { reason: end.to_string() });
        self.publish(Vec::new()).await;
        end
    }

    /// The stream cannot go on: says so, settles what is outstanding and ends its events.
    pub async fn fail(&mut self, failure: &Failure) {
        let message = failure.to_string();
        tracing::error!(stream = %self.plan.stream, message, "a stream failed; others go on");
        let record = self.recorder.error(ErrorKind::Source, message.clone(), None, &self.metrics());
        self.ended = Some(End::Failed(failure.clone()));
        self.publish(vec![record]).await;
        self.finish("the stream failed").await;
        self.state(StreamState::Ended { reason: message });
        self.publish(Vec::new()).await;
    }

    async fn finish(&mut self, reason: &'static str) {
        let outstanding: Vec<u64> = self.pending.keys().copied().collect();
        let mut records: Vec<Record> = Vec::new();
        if self.ended != Some(End::OfFile) {
            self.recorder.disturb();
        }
        for index in outstanding {
            records.extend(self.settle(index, Fate::Shed(reason)));
        }
        let metrics = self.shared.control.metrics.stream(self.plan.stream.as_str());
        records.extend(self.recorder.finish(self.end, &metrics));
        metrics.up(false);
        self.send(records, self.recorder.whole()).await;
    }

    /// The source says something.
    async fn heard(&mut self, event: SourceEvent) -> Vec<Record> {
        let mut records = self.note(&event);
        for closed in self.assembler.push(event) {
            self.begin().await;
            records.extend(match closed {
                Closed::Window(window) => self.submit(window).await,
                blind @ Closed::Blind { .. } => self.blind(blind),
            });
        }
        records
    }

    /// Before the first window: nothing with an id is made before it is known which run this is.
    async fn begin(&mut self) {
        if !self.has_begun && !self.plan.live {
            let (run, repeats) = self.shared.publisher.begin(&self.plan.stream).await;
            self.recorder.begin(run, repeats);
        }
        self.has_begun = true;
    }

    /// What a source event means for the stream's state, beside its windows.
    fn note(&mut self, event: &SourceEvent) -> Vec<Record> {
        match event {
            SourceEvent::Connected { attempt, has_audio, has_video, length, .. } => {
                tracing::info!(stream = %self.plan.stream, attempt, has_audio, has_video, "connected");
                if *attempt > 0 && self.trouble.is_some() {
                    self.metrics().reconnect();
                    self.board().reconnected(self.plan.stream.as_str());
                }
                self.trouble = None;
                self.metrics().up(true);
                let length = length.map(|length| length.as_secs_f64());
                self.state(StreamState::Watching { audio: *has_audio, video: *has_video, length });
                Vec::new()
            }
            SourceEvent::Lost { failure, .. } => {
                self.metrics().up(false);
                self.recorder.disturb();
                self.state(StreamState::Lost { reason: failure.to_string() });
                self.report(failure)
            }
            SourceEvent::Ended(end) => {
                self.metrics().up(false);
                self.ended = Some(end.clone());
                if let End::Failed(failure) = end { self.report(failure) } else { Vec::new() }
            }
            SourceEvent::Frame(frame) => {
                self.board().frame(self.plan.stream.as_str(), frame.capture, &frame.frame);
                Vec::new()
            }
            SourceEvent::Audio(audio) => {
                let rate = f64::from(self.plan.source.sample_rate.max(1));
                let end = audio.capture.offset((audio.samples.len() as f64 / rate * 1e9) as i64);
                self.board().sample(self.plan.stream.as_str(), end);
                Vec::new()
            }
            SourceEvent::Clock { av_offset_ms, .. } => {
                self.board().av_offset(self.plan.stream.as_str(), *av_offset_ms);
                Vec::new()
            }
            SourceEvent::Losses(losses) => {
                self.metrics().losses(losses);
                Vec::new()
            }
            _ => Vec::new(),
        }
    }

    /// An error record of the source's trouble, once for each outage and reason.
    fn report(&mut self, failure: &Failure) -> Vec<Record> {
        if self.trouble.as_ref() == Some(failure) {
            return Vec::new();
        }
        self.trouble = Some(failure.clone());
        let kind = match failure.kind {
            Kind::Decode | Kind::Truncated => ErrorKind::Decode,
            _ => ErrorKind::Source,
        };
        vec![self.recorder.error(kind, failure.to_string(), None, &self.metrics())]
    }

    /// Hands a window to the model; of a live stream, windows may be shed to make room, of others it waits for room.
    async fn submit(&mut self, window: Window) -> Vec<Record> {
        let index = window.id.index;
        self.end = self.end.max(window.until);
        self.order.expect(index);
        self.pending.insert(index, self.pending(&window));
        self.shared.recall.remember(&window, self.plan.recall);
        let job = Job { window, questions: self.questions.clone(), live: self.plan.live, behind: false };
        let submitted = tokio::select! {
            submitted = self.shared.scheduler.submit(job) => submitted,
            // It stays pending and is settled with the rest.
            () = self.shared.deadline.cancelled() => return Vec::new(),
        };
        let mut records = Vec::new();
        for window in submitted.shed {
            tracing::warn!(window = %window.id, "shed: the model cannot keep up");
            records.extend(self.settle(window.id.index, Fate::Shed(TOO_SLOW)));
        }
        records
    }

    fn answered(&mut self, answered: Answered) -> Vec<Record> {
        let Answered { index, result } = answered;
        tracing::debug!(window = %format_args!("{}/{index}", self.plan.stream), "answered");
        self.settle(index, result.map_or_else(Fate::Failed, Fate::Answered))
    }

    /// Something became of a window; the records of all that can be settled now, in order.
    fn settle(&mut self, index: u64, fate: Fate) -> Vec<Record> {
        let Some(pending) = self.pending.remove(&index) else { return Vec::new() };
        let Pending { mut facts, until, missing, last_capture, closed } = pending;
        let answer = if let Fate::Answered(answer) = &fate { Some(answer) } else { None };
        facts.latency = latency(facts.latency.decode, answer, closed);
        if let (Some(heard), Some(answer)) = (&self.shared.heard, answer) {
            // Who does not listen any more wants no more.
            let _over = heard.send(Heard { window: facts.clone(), answer: answer.clone() });
        }
        // A file read faster than it plays has capture times to come.
        self.metrics().lag(UtcTime::now().seconds_since(last_capture).max(0.0));
        self.in_order(index, Settled { facts, until, missing, fate })
    }

    fn blind(&mut self, closed: Closed) -> Vec<Record> {
        let Closed::Blind { id, windows, start, end, anchor, clock, reason, closed } = closed else {
            return Vec::new();
        };
        let index = id.index;
        self.end = self.end.max(end);
        let facts = WindowFacts {
            id,
            start,
            end,
            anchor,
            clock,
            av_offset_ms: None,
            audio: Presence::Missing,
            visual: Presence::Missing,
            held: Vec::new(),
            latency: latency(0.0, None, closed),
            model: self.shared.model.name.clone(),
        };
        self.order.expect(index);
        self.in_order(
            index,
            Settled { facts, until: end, missing: None, fate: Fate::Blind { windows, reason } },
        )
    }

    fn in_order(&mut self, index: u64, settled: Settled) -> Vec<Record> {
        let metrics = self.shared.control.metrics.stream(self.plan.stream.as_str());
        let settled = self.order.settle(index, settled);
        settled.into_iter().flat_map(|settled| self.recorder.settle(settled, &metrics)).collect()
    }

    fn pending(&self, window: &Window) -> Pending {
        let mut reasons: Vec<&str> =
            [&window.visual.reason, &window.audio.reason].into_iter().flatten().map(String::as_str).collect();
        reasons.dedup();
        let decode = (UtcTime::now().seconds_since(window.last_capture) * 1e3).max(0.0);
        let latency = Latency { decode, ..Latency::default() };
        Pending {
            facts: WindowFacts::of(window, latency, self.shared.model.name.clone()),
            until: window.until,
            missing: (!reasons.is_empty()).then(|| reasons.join("; ")),
            last_capture: window.last_capture,
            closed: window.closed,
        }
    }

    async fn publish(&mut self, records: Vec<Record>) {
        self.send(records, None).await;
    }

    async fn send(&mut self, records: Vec<Record>, whole: Option<Whole>) {
        let windows = self.recorder.take_windows();
        let streams = std::mem::take(&mut self.states);
        let parcel = Parcel { records, repeats: self.recorder.repeats(), whole, windows, streams };
        if !self.shared.publisher.send(parcel).await {
            // The daemon ends for the same reason and says why.
            tracing::debug!(stream = %self.plan.stream, "nobody takes records any more");
        }
    }

    fn metrics(&self) -> StreamMetrics<'_> {
        self.shared.control.metrics.stream(self.plan.stream.as_str())
    }

    fn board(&self) -> &StreamBoard {
        &self.shared.control.status.streams
    }

    fn state(&mut self, state: StreamState) {
        let record = StreamRecord::new(&self.plan.stream, &state, UtcTime::now());
        if let Some(record) = record.filter(|record| self.told != Some(record.state)) {
            self.told = Some(record.state);
            self.states.push(record);
        }
        self.board().state(self.plan.stream.as_str(), state);
    }
}
