//! The running parts between the sources and the publisher: the streams' tasks, the schedule and the model's thread.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt;
use tokio::sync::mpsc;
use tokio::task::{JoinHandle, JoinSet};
use tokio_util::sync::CancellationToken;

use super::model::{self, Answer, Answered, Routes};
use super::plan::{ModelFacts, Plan};
use super::publisher::Publisher;
use super::stream::{Heard, Shared, Stream};
use crate::control::Control;
use crate::schedule::{ScheduleConfig, Scheduler};
use crate::source;
use crate::window::StreamId;

/// Events of one source that wait for its stream's task.
const SOURCE_QUEUE: usize = 64;
/// How often it is looked whether the model's thread is there.
const LOOK: Duration = Duration::from_millis(200);
/// How long the model's last call may take once nobody waits for it.
const LAST_CALL: Duration = Duration::from_secs(5);

/// Why a stream ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outcome {
    /// Which.
    pub stream: StreamId,
    /// [`source::END_OF_FILE`], [`source::STOPPED`], or its trouble.
    pub reason: String,
}

impl Outcome {
    /// Did it end for another reason than its own end or the word to stop?
    pub fn is_trouble(&self) -> bool {
        self.reason != source::END_OF_FILE && self.reason != source::STOPPED
    }
}

/// Everything that runs for the streams.
#[derive(Debug)]
pub(super) struct Engine {
    scheduler: Scheduler,
    streams: JoinSet<Outcome>,
    outcomes: Vec<Outcome>,
    model: JoinHandle<()>,
    /// Ends the sources.
    sources: CancellationToken,
    /// Ends the waiting for the model.
    deadline: CancellationToken,
}

impl Engine {
    /// Starts watching. `answer` is the model: it blocks, and gets one batch after the other. What it says goes to
    /// `heard` too.
    pub fn start(
        plans: Vec<Plan>,
        (facts, answer): (ModelFacts, impl Answer),
        schedule: ScheduleConfig,
        control: Arc<Control>,
        publisher: Publisher,
        heard: Option<mpsc::UnboundedSender<Heard>>,
    ) -> Self {
        let (scheduler, deadline) = (Scheduler::new(schedule), CancellationToken::new());
        let shared = Shared {
            control: control.clone(),
            scheduler: scheduler.clone(),
            publisher,
            model: Arc::new(facts),
            deadline: deadline.clone(),
            heard,
        };
        let sources = CancellationToken::new();
        let (mut streams, mut routes) = (JoinSet::new(), Routes::new());
        for plan in plans {
            let (route, answers) = mpsc::unbounded_channel();
            routes.insert(plan.stream.clone(), route);
            streams.spawn(watch(plan, shared.clone(), answers, sources.clone()));
        }
        let (queue, runtime) = (scheduler.clone(), tokio::runtime::Handle::current());
        let model = tokio::task::spawn_blocking(move || {
            model::serve(answer, &queue, &routes, &control, &runtime);
        });
        Self { scheduler, streams, outcomes: Vec::new(), model, sources, deadline }
    }

    /// Comes back when every stream has ended.
    pub async fn all_ended(&mut self) {
        while let Some(ended) = self.streams.join_next().await {
            self.outcomes
                .extend(ended.inspect_err(|error| tracing::error!(%error, "a stream's task ended")).ok());
        }
    }

    /// Comes back when the model's thread is gone though nobody told it to end.
    pub fn model_gone(&self) -> impl Future<Output = ()> + use<> {
        let model = self.model.abort_handle();
        async move {
            while !model.is_finished() {
                tokio::time::sleep(LOOK).await;
            }
        }
    }

    /// Stops the sources, lets the model work for `grace` on what waits, and settles the rest as shed.
    pub async fn stop(mut self, grace: Duration) -> Vec<Outcome> {
        self.sources.cancel();
        if tokio::time::timeout(grace, self.all_ended()).await.is_err() {
            tracing::warn!("the time to finish is over; windows that wait for the model are given up");
        }
        self.deadline.cancel();
        self.all_ended().await;
        self.scheduler.close();
        if tokio::time::timeout(LAST_CALL, &mut self.model).await.is_err() {
            tracing::warn!("the model still works; it is left behind");
        }
        std::mem::take(&mut self.outcomes)
    }
}

/// Watches one stream to its end. A panic in it is its own: the others go on.
async fn watch(
    plan: Plan,
    shared: Shared,
    answers: mpsc::UnboundedReceiver<Answered>,
    stop: CancellationToken,
) -> Outcome {
    let (id, config) = (plan.stream.clone(), plan.source.clone());
    let mut stream = match Stream::new(plan, shared) {
        Ok(stream) => stream,
        Err(error) => return Outcome { stream: id, reason: error.to_string() },
    };
    let (sender, events) = mpsc::channel(SOURCE_QUEUE);
    let source = source::spawn(config, sender, stop);
    let reason = match AssertUnwindSafe(stream.run(events, answers)).catch_unwind().await {
        Ok(reason) => reason,
        Err(_panic) => {
            let reason = "internal: the stream's task panicked; the log says where".to_owned();
            if AssertUnwindSafe(stream.fail(reason.clone())).catch_unwind().await.is_err() {
                tracing::error!(stream = %id, "its open events could not be ended");
            }
            reason
        }
    };
    // Its receiver is gone, which ends it.
    if let Err(error) = source.await {
        tracing::error!(stream = %id, %error, "the source's task ended");
    }
    tracing::info!(stream = %id, reason, "stream ended");
    Outcome { stream: id, reason }
}
