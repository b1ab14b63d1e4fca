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
use crate::source::failure::{Failure, Kind};
use crate::source::{self, End};
use crate::window::StreamId;

/// Events of one source that wait for its stream's task.
const SOURCE_QUEUE: usize = 64;
/// How long the model's last call may take once nobody waits for it.
const LAST_CALL: Duration = Duration::from_secs(5);

/// A stream that is not watched any more.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ended {
    /// Which.
    pub stream: StreamId,
    /// Why.
    pub end: End,
}

/// Everything that runs for the streams.
#[derive(Debug)]
pub(super) struct Engine {
    scheduler: Scheduler,
    streams: JoinSet<Ended>,
    ended: Vec<Ended>,
    model: JoinHandle<()>,
    /// Cancelled when the model's thread ends, by a panic too.
    model_gone: CancellationToken,
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
        let model_gone = CancellationToken::new();
        let gone = model_gone.clone().drop_guard();
        let model = tokio::task::spawn_blocking(move || {
            let _gone = gone;
            model::serve(answer, &queue, &routes, &control, &runtime);
        });
        Self { scheduler, streams, ended: Vec::new(), model, model_gone, sources, deadline }
    }

    /// Comes back when every stream has ended.
    pub async fn all_ended(&mut self) {
        while let Some(ended) = self.streams.join_next().await {
            self.ended
                .extend(ended.inspect_err(|error| tracing::error!(%error, "a stream's task ended")).ok());
        }
    }

    /// Comes back when the model's thread is gone though nobody told it to end.
    pub fn model_gone(&self) -> impl Future<Output = ()> + use<> {
        self.model_gone.clone().cancelled_owned()
    }

    /// Stops the sources, lets the model work for `grace` on what waits, and settles the rest as shed.
    pub async fn stop(mut self, grace: Duration) -> Vec<Ended> {
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
        std::mem::take(&mut self.ended)
    }
}

/// Watches one stream to its end. A panic in it is its own: the others go on.
async fn watch(
    plan: Plan,
    shared: Shared,
    answers: mpsc::UnboundedReceiver<Answered>,
    stop: CancellationToken,
) -> Ended {
    let (id, config, apart) = (plan.stream.clone(), plan.source.clone(), plan.apart.clone());
    let mut stream = match Stream::new(plan, shared) {
        Ok(stream) => stream,
        Err(error) => {
            let failure = Failure::new(Kind::Internal, error.to_string());
            return Ended { stream: id, end: End::Failed(failure) };
        }
    };
    let (sender, events) = mpsc::channel(SOURCE_QUEUE);
    let source = match apart {
        Some(worker) => source::apart::spawn(worker, config, sender, stop),
        None => source::spawn(config, sender, stop),
    };
    let end = match AssertUnwindSafe(stream.run(events, answers)).catch_unwind().await {
        Ok(end) => end,
        Err(_panic) => {
            let failure = Failure::new(Kind::Internal, "the stream's task panicked; the log says where");
            if AssertUnwindSafe(stream.fail(&failure)).catch_unwind().await.is_err() {
                tracing::error!(stream = %id, "its open events could not be ended");
            }
            End::Failed(failure)
        }
    };
    // Its receiver is gone, which ends it.
    if let Err(error) = source.await {
        tracing::error!(stream = %id, %error, "the source's task ended");
    }
    tracing::info!(stream = %id, reason = %end, "stream ended");
    Ended { stream: id, end }
}
