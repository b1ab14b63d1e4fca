//! One stream, from its source's events to its records. Its own task: no stream waits for another, but in the bounded
//! queues of the model and of the outbox.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Instant;

use avicuna_models::localizer::{LastWindow, Question, WindowAnswer};
use tokio::sync::{mpsc, oneshot};
use tokio_util::sync::CancellationToken;

use super::checkpoint::Shift;
use super::clipping::Clipping;
use super::model::Answered;
use super::muted::Muted;
use super::plan::{ModelFacts, Plan};
use super::publisher::{Known, Left, Parcel, Publisher};
use super::recall::Recall;
use super::record::Record;
use super::recorder::Recorder;
use super::settled::{Fate, Pending, Settled};
use super::standing::Standing;
use crate::answer::Inquiry;
use crate::clips::Clips;
use crate::control::{Control, WindowTrace};
use crate::outbox::Whole;
use crate::record::{ErrorKind, WindowRecord};
use crate::schedule::{Job, Scheduler};
use crate::source::cut::Recording;
use crate::source::failure::Failure;
use crate::source::{End, SourceEvent};
use crate::stream::StreamState;
use crate::timeline::{Ages, StreamTime, UtcTime};
use crate::track::{InOrder, WindowFacts};
use crate::window::{Assembler, Closed, SpecError, Window};

/// Why a window of a live stream was not watched.
const TOO_SLOW: &str = "the model could not keep up";
/// Why a window that waited at shutdown was not watched.
const STOPPING: &str = "the daemon was stopped before the model came to it";

/// What all streams share.
#[derive(Debug, Clone)]
pub(crate) struct Shared {
    pub control: Arc<Control>,
    pub scheduler: Scheduler,
    pub publisher: Publisher,
    pub model: Arc<ModelFacts>,
    /// No window is waited for after this.
    pub deadline: CancellationToken,
    /// The stream does not end when its source does: another daemon goes on with it.
    pub handover: CancellationToken,
    /// Takes what the model says, for those who measure it.
    pub heard: Option<mpsc::UnboundedSender<Heard>>,
    /// What was shown last, for those who ask.
    pub recall: Recall,
    /// Keeps what events can be looked at in, if anything does.
    pub clips: Option<Clips>,
}

/// What the model said of one window, before anything was made of it.
#[derive(Debug, Clone, PartialEq)]
pub struct Heard {
    /// The window.
    pub window: WindowFacts,
    /// One answer for each question of the plan, in their order.
    pub answer: WindowAnswer,
}

/// Another plan for a stream that goes on.
#[derive(Debug)]
pub(crate) struct Retune {
    /// It.
    pub plan: Box<Plan>,
    /// Told `true` when it holds for all windows to come, `false` when the stream cannot go on with it: it is as before then.
    pub over: oneshot::Sender<bool>,
}

/// A stream being watched.
#[derive(Debug)]
pub(crate) struct Stream {
    shared: Shared,
    plan: Plan,
    questions: Vec<Question>,
    last: Arc<LastWindow>,
    /// Senses that the source has and that are left out of windows.
    muted: Muted,
    /// Index of the next window.
    next: u64,
    assembler: Assembler,
    order: InOrder<Settled>,
    pending: BTreeMap<u64, Pending>,
    /// Of windows that are not settled in order yet, and of those whose records are to be sent.
    traces: BTreeMap<u64, WindowTrace>,
    traced: Vec<WindowTrace>,
    recorder: Recorder,
    /// Where the stream's time has come to.
    end: StreamTime,
    /// Why the source is over.
    ended: Option<End>,
    /// Its events are ended.
    is_finished: bool,
    standing: Standing,
    /// What became of windows, to be told.
    windows: Vec<WindowRecord>,
    /// Its recorder knows which run this is.
    has_begun: bool,
    /// Has clips of its events cut, if anything is kept of them.
    clipping: Option<Clipping>,
    ages: Ages,
}

impl Stream {
    /// A stream that has not begun.
    pub fn new(plan: Plan, shared: Shared) -> Result<Self, SpecError> {
        let (inquiries, questions) = asked(&plan, &shared.model);
        let reader = shared.model.reader.clone();
        let mut recorder =
            Recorder::new(plan.stream.clone(), inquiries, reader, plan.track.clone(), plan.live);
        let Shift { run, resume, .. } = plan.shift.clone().unwrap_or_default();
        let (next, reached) =
            resume.as_ref().map_or_else(Default::default, |known| (known.next, Some(known.reached)));
        let assembler = Assembler::resumed(plan.stream.clone(), plan.windows, next, reached)?;
        let assembler = assembler.with_stills(plan.still);
        let has_begun = run.is_some() || resume.is_some();
        if let Some(run) = run {
            recorder.begin(run, false);
        }
        if let Some(checkpoint) = resume {
            recorder.resume(*checkpoint);
        }
        Ok(Self {
            questions,
            last: Arc::new(LastWindow::new(plan.unchanged)),
            muted: Muted::default(),
            next,
            assembler,
            order: InOrder::default(),
            pending: BTreeMap::new(),
            traces: BTreeMap::new(),
            traced: Vec::new(),
            recorder,
            end: reached.map_or(StreamTime::ZERO, |reached| reached.stream),
            ended: None,
            is_finished: false,
            standing: Standing::new(plan.stream.clone(), plan.source.sample_rate, shared.control.clone()),
            windows: Vec::new(),
            has_begun,
            clipping: None,
            ages: Ages::new(Instant::now(), UtcTime::now()),
            shared,
            plan,
        })
    }

    /// How its source is to be recorded, if anything is kept of its events.
    pub fn recording(&mut self) -> Option<Recording> {
        let (plan, clips) = self.plan.clips.clone().zip(self.shared.clips.clone())?;
        let (clipping, recording) = Clipping::begin(plan, clips, &self.plan.stream);
        self.clipping = Some(clipping);
        Some(recording)
    }

    /// Watches until the source is over and every window is settled; returns why it is over.
    pub async fn run(
        &mut self,
        mut events: mpsc::Receiver<SourceEvent>,
        mut answers: mpsc::UnboundedReceiver<Answered>,
        mut retunes: mpsc::UnboundedReceiver<Retune>,
    ) -> End {
        self.standing.metrics().announce();
        self.standing.state(StreamState::Connecting);
        let deadline = self.shared.deadline.clone();
        while self.ended.is_none() || self.order.outstanding() > 0 {
            let records = tokio::select! {
                biased;
                Some(answered) = answers.recv() => self.answered(answered),
                () = deadline.cancelled() => break,
                Some(retune) = retunes.recv(), if self.ended.is_none() => self.retune(retune),
                event = events.recv(), if self.ended.is_none() => match event {
                    Some(event) => self.heard(event).await,
                    // The source ended without a word.
                    None => self.heard(SourceEvent::Ended(End::Stopped)).await,
                },
            };
            self.publish(records).await;
        }
        let end = self.ended.clone().unwrap_or(End::Stopped);
        if self.shared.handover.is_cancelled() {
            // Whoever takes over tells the rest.
            return end;
        }
        self.finish(STOPPING).await;
        self.standing.state(StreamState::Ended { reason: end.to_string() });
        self.publish(Vec::new()).await;
        end
    }

    /// The stream cannot go on: says so, settles what is outstanding and ends its events.
    pub async fn fail(&mut self, failure: &Failure) {
        let message = failure.to_string();
        tracing::error!(stream = %self.plan.stream, message, "a stream failed; others go on");
        let record = self.recorder.error(ErrorKind::Source, message.clone(), None);
        self.ended = Some(End::Failed(failure.clone()));
        self.publish(vec![record]).await;
        self.finish("the stream failed").await;
        self.standing.state(StreamState::Ended { reason: message });
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
        records.extend(self.recorder.finish(self.end));
        self.is_finished = true;
        self.standing.metrics().up(false);
        self.send(records, self.recorder.whole()).await;
    }

    /// The source says something.
    async fn heard(&mut self, event: SourceEvent) -> Vec<Record> {
        if let SourceEvent::Ended(end) = &event
            && self.shared.handover.is_cancelled()
        {
            // The window that has begun is not over: another daemon goes on with it.
            self.ended = Some(end.clone());
            return Vec::new();
        }
        let mut records = self.note(&event);
        let closed = self.assembler.push(event);
        if closed.is_empty() {
            self.look_ahead();
        }
        for closed in closed {
            self.begin().await;
            self.next = closed.id().index + closed.windows();
            records.extend(match self.muted.applied(closed) {
                Closed::Window(window) => self.submit(window).await,
                blind @ Closed::Blind { .. } => self.blind(blind),
            });
        }
        records
    }

    /// Goes on by another plan, if that is possible: from the next window on. Those that wait are answered and read as they were
    /// asked about.
    fn retune(&mut self, Retune { plan, over }: Retune) -> Vec<Record> {
        let goes_on = self.plan.goes_on_as(&plan);
        if goes_on {
            tracing::info!(stream = %self.plan.stream, "the stream goes on with other settings");
            let (inquiries, questions) = asked(&plan, &self.shared.model);
            self.questions = questions;
            self.muted = Muted { audio: !plan.listens(), video: !plan.looks() };
            self.recorder.retune(self.next, inquiries, plan.track.clone());
            if plan.recall.is_zero() {
                self.shared.recall.forget(&plan.stream);
            }
            let Plan { questions, track, recall, shift, unchanged, .. } = *plan;
            self.last = Arc::new(LastWindow::new(unchanged));
            let shift = shift.or(self.plan.shift.take());
            self.plan = Plan { questions, track, recall, shift, unchanged, ..self.plan.clone() };
        }
        // Who asked for it may be gone.
        let _gone = over.send(goes_on);
        Vec::new()
    }

    /// Before the first window: nothing with an id is made before it is known which run this is.
    async fn begin(&mut self) {
        if !self.has_begun && !self.plan.live {
            let (run, repeats) = self.shared.publisher.begin(&self.plan.stream).await;
            self.recorder.begin(run, repeats);
        }
        self.has_begun = true;
    }

    /// What a source event means beside its windows.
    fn note(&mut self, event: &SourceEvent) -> Vec<Record> {
        match event {
            SourceEvent::Lost { .. } => self.recorder.disturb(),
            SourceEvent::Ended(end) => self.ended = Some(end.clone()),
            _ => {}
        }
        let trouble = self.standing.note(event);
        trouble.map(|(kind, message)| self.recorder.error(kind, message, None)).into_iter().collect()
    }

    /// Hands a window to the model; of a live stream, windows may be shed to make room, of others it waits for room.
    async fn submit(&mut self, window: Window) -> Vec<Record> {
        let index = window.id.index;
        self.end = self.end.max(window.until);
        self.order.expect(index);
        let decode = self.ages.since(window.last_capture, Instant::now(), UtcTime::now()) * 1e3;
        self.pending.insert(index, Pending::new(&window, decode, self.shared.model.name.clone()));
        self.trace(&window);
        self.shared.recall.remember(&window, self.plan.recall);
        let (questions, last) = (self.questions.clone(), Some(self.last.clone()));
        let job = Job { window, questions, last, live: self.plan.live, behind: false };
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

    /// Has what is there of the next window encoded while the model rests. Of what is read faster than it plays, it has none.
    fn look_ahead(&mut self) {
        if !(self.plan.live || self.plan.source.realtime) {
            return;
        }
        if let Some(ahead) = self.assembler.ahead() {
            self.shared.scheduler.look_ahead(&self.plan.stream, self.muted.seen(ahead));
        }
    }

    /// Begins to note where the time of a window goes, if anybody wants to see it.
    fn trace(&mut self, window: &Window) {
        let captured = self.plan.live.then(|| window.anchor.utc_at(window.start));
        let (stream, index) = (self.plan.stream.as_str(), window.id.index);
        if let Some(trace) = self.shared.control.traces.begin((stream, index), captured, window.closed) {
            self.traces.insert(index, trace);
        }
    }

    fn answered(&mut self, answered: Answered) -> Vec<Record> {
        let Answered { index, worked, result } = answered;
        tracing::debug!(window = %format_args!("{}/{index}", self.plan.stream), "answered");
        if let Some(trace) = self.traces.get(&index) {
            let timing = result.as_ref().map(|answer| answer.timing).unwrap_or_default();
            trace.answered(worked, timing.encode, timing.llm);
        }
        self.settle(index, result.map_or_else(Fate::Failed, Fate::Answered))
    }

    /// Something became of a window; the records of all that can be settled now, in order.
    fn settle(&mut self, index: u64, fate: Fate) -> Vec<Record> {
        let Some(pending) = self.pending.remove(&index) else { return Vec::new() };
        // A file read faster than it plays has capture times to come.
        let lag = self.ages.since(pending.last_capture(), Instant::now(), UtcTime::now());
        self.standing.metrics().lag(lag);
        let settled = pending.settled(fate);
        if let (Some(heard), Fate::Answered(answer)) = (&self.shared.heard, &settled.fate) {
            // Who does not listen any more wants no more.
            let _over = heard.send(Heard { window: settled.facts.clone(), answer: answer.clone() });
        }
        self.in_order(index, settled)
    }

    fn blind(&mut self, closed: Closed) -> Vec<Record> {
        let Some(settled) = Settled::blind(closed, self.shared.model.name.clone()) else { return Vec::new() };
        let index = settled.facts.id.index;
        self.end = self.end.max(settled.until);
        self.order.expect(index);
        self.in_order(index, settled)
    }

    fn in_order(&mut self, index: u64, settled: Settled) -> Vec<Record> {
        let mut records = Vec::new();
        for settled in self.order.settle(index, settled) {
            let (fate, windows) = settled.fate.counted();
            self.standing.metrics().windows(fate, windows);
            if matches!(&settled.fate, Fate::Answered(answer) if answer.unchanged) {
                self.standing.metrics().unchanged();
            }
            if let Some(trace) = self.traces.remove(&settled.facts.id.index) {
                trace.became(fate, settled.fate.told(None).1);
                self.traced.push(trace);
            }
            let (told, window) = self.recorder.settle(settled);
            records.extend(told);
            self.windows.push(window);
        }
        records
    }

    /// What another daemon needs to know of it.
    fn left(&self) -> Left {
        let run = self.recorder.run();
        match &self.ended {
            Some(end) if self.is_finished => {
                let over = (*end != End::Stopped).then(|| end.to_string());
                Left { run, checkpoint: None, over }
            }
            _ => Left { run, checkpoint: self.recorder.checkpoint().map(Box::new), over: None },
        }
    }

    async fn publish(&mut self, records: Vec<Record>) {
        self.send(records, None).await;
    }

    async fn send(&mut self, mut records: Vec<Record>, whole: Option<Whole>) {
        if let Some(clipping) = &mut self.clipping {
            clipping.take(&self.plan.stream, &mut records, self.end);
        }
        self.standing.count(&records);
        let windows = std::mem::take(&mut self.windows);
        let streams = self.standing.take();
        let known = self.plan.shift.as_ref().map(|shift| Known {
            stream: self.plan.stream.clone(),
            settings: shift.settings.clone(),
            left: Some(self.left()),
        });
        let traces = std::mem::take(&mut self.traced);
        let parcel =
            Parcel { records, repeats: self.recorder.repeats(), whole, windows, streams, known, traces };
        if !self.shared.publisher.send(&self.plan.stream, parcel).await {
            // The daemon ends for the same reason and says why.
            tracing::debug!(stream = %self.plan.stream, "nobody takes records any more");
        }
    }
}

/// What is asked of every window of a plan, and in the model's words.
fn asked(plan: &Plan, model: &ModelFacts) -> (Vec<Inquiry>, Vec<Question>) {
    let inquiries = (model.inquire)(&plan.questions);
    let questions = inquiries.iter().map(|inquiry| inquiry.question(model.max_new_tokens)).collect();
    (inquiries, questions)
}
