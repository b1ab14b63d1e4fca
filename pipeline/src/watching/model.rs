//! The model's thread: batches in, answers back to the streams they belong to.

use std::collections::HashMap;
use std::ops::Range;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use avicuna_models::localizer::{Localizer, LocalizerError, WindowAnswer, WindowInput};
use tokio::runtime::Handle;
use tokio::sync::mpsc;

use super::plan::{LookAhead, ModelFacts};
use crate::answer::Reader;
use crate::control::{Control, ModelState, Stage};
use crate::schedule::{Job, Scheduler, Work};
use crate::stream::StreamId;

/// What became of one window.
#[derive(Debug)]
pub(crate) struct Answered {
    /// The window's index.
    pub index: u64,
    /// When the model took it, and when it was done.
    pub worked: Range<Instant>,
    /// What the model says, or why it does not.
    pub result: Result<WindowAnswer, LocalizerError>,
}

/// Where the answers of each stream go; clones share it. The ways are unbounded, but no more can be in one than the
/// schedule's queue of the stream and one batch hold.
#[derive(Debug, Clone, Default)]
pub(crate) struct Routes(Arc<Mutex<HashMap<StreamId, mpsc::UnboundedSender<Answered>>>>);

impl Routes {
    /// Answers of `stream` go this way from now on.
    pub fn open(&self, stream: StreamId, way: mpsc::UnboundedSender<Answered>) {
        self.lock().insert(stream, way);
    }

    /// Nobody waits for answers of `stream` any more.
    pub fn close(&self, stream: &StreamId) {
        self.lock().remove(stream);
    }

    fn send(&self, stream: &StreamId, answered: Answered) {
        if let Some(way) = self.lock().get(stream) {
            // A stream that is over does not wait for it any more.
            let _over = way.send(answered);
        }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<StreamId, mpsc::UnboundedSender<Answered>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What answers a batch of windows, one result for each, in order.
pub(crate) trait Answer: Fn(&[WindowInput]) -> Results + Send + 'static {}

impl<F: Fn(&[WindowInput]) -> Results + Send + 'static> Answer for F {}

type Results = Vec<Result<WindowAnswer, LocalizerError>>;

/// The real model: what streams need to know of it, and how it is asked.
pub(crate) fn of(localizer: Arc<Localizer>) -> (ModelFacts, impl Answer) {
    let (reader, seconds) = (Reader::of(&localizer), localizer.manifest().window.seconds);
    let facts = ModelFacts::new(&localizer);
    (facts, move |windows: &[WindowInput]| {
        localizer.answer_expecting(windows, &|evidence| reader.expected(evidence, seconds))
    })
}

/// Answers batches until the schedule is closed and empty, and looks ahead while there are none. Blocks; `answer` is called with one batch
/// after the other.
pub(crate) fn serve(
    (answer, look_ahead): (impl Answer, Arc<LookAhead>),
    scheduler: &Scheduler,
    routes: &Routes,
    control: &Control,
    runtime: &Handle,
) {
    while let Some(work) = runtime.block_on(scheduler.next()) {
        let taken = Instant::now();
        let jobs = match work {
            Work::Windows(jobs) => jobs,
            Work::Ahead(ahead) => {
                control.status.model(ModelState::Working { since: taken });
                let (frames, clips) = look_ahead(&ahead);
                drop(ahead);
                control.pace.answered(0, taken.elapsed(), Instant::now());
                control.metrics.stage(Stage::Encode, taken.elapsed());
                control.metrics.encoded(frames, clips);
                control.status.model(ModelState::Idle);
                continue;
            }
        };
        control.status.model(ModelState::Working { since: taken });
        let (ids, inputs): (Vec<_>, Vec<_>) = jobs.into_iter().map(|job| unpack(job, taken, control)).unzip();
        let results = answer(&inputs);
        drop(inputs);
        let worked = taken..Instant::now();
        control.pace.answered(results.len(), worked.end - taken, worked.end);
        measure(&results, control);
        for ((stream, index), result) in ids.into_iter().zip(results) {
            routes.send(&stream, Answered { index, worked: worked.clone(), result });
        }
        control.status.model(ModelState::Idle);
    }
}

fn unpack(job: Job, taken: Instant, control: &Control) -> ((StreamId, u64), WindowInput) {
    let Job { window, questions, last, .. } = job;
    control.metrics.stage(Stage::Queue, taken.duration_since(window.closed));
    let input = WindowInput { visual: window.visual.slots, audio: window.audio.slots, questions, last };
    ((window.id.stream, window.id.index), input)
}

/// The windows of a batch share its times.
fn measure(results: &[Result<WindowAnswer, LocalizerError>], control: &Control) {
    let Some(first) = results.iter().flatten().next() else { return };
    control.metrics.stage(Stage::Encode, first.timing.encode);
    control.metrics.stage(Stage::Llm, first.timing.llm);
    let timings = || results.iter().flatten().map(|answer| &answer.timing);
    let frames = timings().map(|timing| timing.frames_encoded).max().unwrap_or_default();
    let clips = timings().map(|timing| timing.clips_encoded).max().unwrap_or_default();
    control.metrics.batch(results.len());
    control.metrics.encoded(frames, clips);
}
