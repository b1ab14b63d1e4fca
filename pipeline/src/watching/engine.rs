//! The running parts between the sources and the publisher: the streams' tasks, the schedule and the model's thread.

use std::collections::{BTreeMap, HashMap};
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_util::FutureExt;
use tokio::sync::{mpsc, oneshot};
use tokio::task::{JoinError, JoinHandle, JoinSet};
use tokio_util::sync::CancellationToken;

use super::model::{self, Answer, Answered, Routes};
use super::plan::{ModelFacts, Plan};
use super::publisher::Publisher;
use super::recall::Recall;
use super::spread::delay;
use super::stream::{Heard, Retune, Shared, Stream};
use crate::clips::Clips;
use crate::control::Control;
use crate::schedule::{ScheduleConfig, Scheduler};
use crate::source::End;
use crate::source::failure::{Failure, Kind};
use crate::stream::StreamId;

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

/// How a stream is left.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Leaving {
    /// At once: windows that wait for the model are settled as shed. Its events are ended.
    Now,
    /// When the model has answered what waits. Its events are ended.
    Drained,
    /// When the model has answered what waits. Another daemon goes on with it: its events stay open.
    HandedOver,
}

/// What an engine is told while it runs.
#[derive(Debug)]
pub(crate) enum Command {
    /// Watch another stream. One of this id must not run.
    Watch(Box<Plan>),
    /// Watch a stream by another plan, from one window to the next; `false` when it does not run, or cannot go on so.
    Retune(Retune),
    /// Watch a stream no longer.
    Leave {
        /// Which.
        stream: StreamId,
        /// What becomes of what is open.
        how: Leaving,
        /// Told when its events are ended and its last record is on its way.
        over: oneshot::Sender<()>,
    },
}

/// What an engine is to watch.
#[derive(Debug)]
pub(crate) struct Orders {
    /// From the start.
    pub plans: Vec<Plan>,
    /// And from then on.
    pub commands: mpsc::Receiver<Command>,
    /// Keeps what their events can be looked at in, if anything does.
    pub clips: Option<Clips>,
    /// Live streams begin apart, so that their windows do not close all at once.
    pub spread: bool,
}

impl From<Vec<Plan>> for Orders {
    /// Nothing but these.
    fn from(plans: Vec<Plan>) -> Self {
        Self { plans, commands: mpsc::channel(1).1, clips: None, spread: false }
    }
}

/// The model of a running engine, and what it has seen last.
#[derive(Debug, Clone)]
pub(crate) struct Respondent {
    /// Where windows wait for it.
    pub scheduler: Scheduler,
    /// Where its answers go.
    pub routes: Routes,
    /// What is known of it.
    pub facts: Arc<ModelFacts>,
    /// The windows of streams that are remembered.
    pub recall: Recall,
}

/// The reins of a running stream.
#[derive(Debug)]
struct Reins {
    /// Ends its source.
    source: CancellationToken,
    /// When it begins, if its windows close at times of their own: after the engine.
    begins: Option<Duration>,
    /// Ends its waiting for the model.
    deadline: CancellationToken,
    /// It is handed over.
    handover: CancellationToken,
    /// Gives it other plans.
    retunes: mpsc::UnboundedSender<Retune>,
    /// Who wants to know when it is over: it was told to leave.
    leaving: Vec<oneshot::Sender<()>>,
}

/// Everything that runs for the streams.
#[derive(Debug)]
pub(crate) struct Engine {
    shared: Shared,
    routes: Routes,
    commands: mpsc::Receiver<Command>,
    streams: JoinSet<Ended>,
    running: HashMap<StreamId, Reins>,
    /// Those that ended by themselves, by their id.
    ended: BTreeMap<StreamId, End>,
    model: JoinHandle<()>,
    /// Cancelled when the model's thread ends, by a panic too.
    model_gone: CancellationToken,
    /// Ends all sources.
    sources: CancellationToken,
    started: Instant,
    spread: bool,
}

impl Engine {
    /// Starts watching, and obeys from then on. `answer` is the model: it blocks, and gets one batch after the
    /// other. What it says goes to `heard` too.
    pub fn start(
        orders: impl Into<Orders>,
        (facts, answer): (ModelFacts, impl Answer),
        schedule: ScheduleConfig,
        control: Arc<Control>,
        publisher: Publisher,
        heard: Option<mpsc::UnboundedSender<Heard>>,
    ) -> Self {
        let Orders { plans, commands, clips, spread } = orders.into();
        let (scheduler, routes) = (Scheduler::new(schedule), Routes::default());
        let shared = Shared {
            control: control.clone(),
            scheduler: scheduler.clone(),
            publisher,
            model: Arc::new(facts),
            deadline: CancellationToken::new(),
            handover: CancellationToken::new(),
            heard,
            recall: Recall::default(),
            clips,
        };
        let (ways, runtime) = (routes.clone(), tokio::runtime::Handle::current());
        let answer = (answer, shared.model.look_ahead.clone());
        let model_gone = CancellationToken::new();
        let gone = model_gone.clone().drop_guard();
        let model = tokio::task::spawn_blocking(move || {
            let _gone = gone;
            model::serve(answer, &scheduler, &ways, &control, &runtime);
        });
        let mut engine = Self {
            shared,
            routes,
            commands,
            streams: JoinSet::new(),
            running: HashMap::new(),
            ended: BTreeMap::new(),
            model,
            model_gone,
            sources: CancellationToken::new(),
            started: Instant::now(),
            spread,
        };
        plans.into_iter().for_each(|plan| engine.watch(plan));
        engine
    }

    /// Obeys until the last stream has ended by itself: not because it was told to leave. Without streams and anybody to
    /// command it, at once.
    pub async fn all_ended(&mut self) {
        loop {
            tokio::select! {
                Some(ended) = self.streams.join_next() => {
                    let by_itself = self.note(ended);
                    if by_itself && self.streams.is_empty() && self.commands.is_empty() {
                        return;
                    }
                }
                Some(command) = self.commands.recv() => self.obey(command),
                else => return,
            }
        }
    }

    /// Obeys for ever.
    pub async fn obey_on(&mut self) {
        loop {
            self.all_ended().await;
            if self.commands.is_closed() && self.streams.is_empty() {
                std::future::pending::<()>().await;
            }
        }
    }

    /// Its model, for questions beside those of the streams.
    pub fn respondent(&self) -> Respondent {
        let Shared { scheduler, model, recall, .. } = self.shared.clone();
        Respondent { scheduler, routes: self.routes.clone(), facts: model, recall }
    }

    /// Comes back when the model's thread is gone though nobody told it to end.
    pub fn model_gone(&self) -> impl Future<Output = ()> + use<> {
        self.model_gone.clone().cancelled_owned()
    }

    /// Stops the sources, lets the model work for `grace` on what waits, and settles the rest as shed.
    pub async fn stop(mut self, grace: Duration) -> Vec<Ended> {
        self.commands.close();
        self.sources.cancel();
        if tokio::time::timeout(grace, self.join_all()).await.is_err() {
            tracing::warn!("the time to finish is over; windows that wait for the model are given up");
        }
        self.shared.deadline.cancel();
        self.join_all().await;
        self.shared.scheduler.close();
        if tokio::time::timeout(LAST_CALL, &mut self.model).await.is_err() {
            tracing::warn!("the model still works; it is left behind");
        }
        std::mem::take(&mut self.ended).into_iter().map(|(stream, end)| Ended { stream, end }).collect()
    }

    async fn join_all(&mut self) {
        while let Some(ended) = self.streams.join_next().await {
            self.note(ended);
        }
    }

    fn obey(&mut self, command: Command) {
        match command {
            Command::Watch(plan) => self.watch(*plan),
            // Where it cannot be sent, who waits for `over` is told by its end.
            Command::Retune(retune) => match self.running.get(&retune.plan.stream) {
                Some(reins) if reins.leaving.is_empty() => drop(reins.retunes.send(retune)),
                _ => drop(retune.over.send(false)),
            },
            Command::Leave { stream, how, over } => match self.running.get_mut(&stream) {
                Some(reins) => {
                    tracing::info!(%stream, ?how, "the stream is left");
                    reins.leaving.push(over);
                    match how {
                        Leaving::Now => reins.deadline.cancel(),
                        Leaving::HandedOver => reins.handover.cancel(),
                        Leaving::Drained => {}
                    }
                    reins.source.cancel();
                }
                // It has ended by itself.
                None => {
                    self.forget(&stream);
                    let _gone = over.send(());
                }
            },
        }
    }

    fn watch(&mut self, plan: Plan) {
        let id = plan.stream.clone();
        let (retunes, retuned) = mpsc::unbounded_channel();
        let (begins, wait) = self.begins(&plan);
        let reins = Reins {
            source: self.sources.child_token(),
            begins,
            deadline: self.shared.deadline.child_token(),
            handover: CancellationToken::new(),
            retunes,
            leaving: Vec::new(),
        };
        let (deadline, handover) = (reins.deadline.clone(), reins.handover.clone());
        let shared = Shared { deadline, handover, ..self.shared.clone() };
        let (route, answers) = mpsc::unbounded_channel();
        self.routes.open(id.clone(), route);
        self.streams.spawn(watch(plan, wait, shared, (answers, retuned), reins.source.clone()));
        self.running.insert(id, reins);
    }

    /// When a stream begins, if it is one of those that are spread, and how long it waits for that. One that another daemon watched before
    /// has windows already.
    fn begins(&self, plan: &Plan) -> (Option<Duration>, Duration) {
        let is_paced = plan.live || plan.source.realtime;
        if !(self.spread && is_paced && plan.source.resume.is_none()) {
            return (None, Duration::ZERO);
        }
        let now = self.started.elapsed();
        let others: Vec<Duration> = self.running.values().filter_map(|reins| reins.begins).collect();
        let wait = delay(now, plan.windows.hop, &others);
        (Some(now + wait), wait)
    }

    /// Takes a stream that is over out; `false` when it was told to leave.
    fn note(&mut self, ended: Result<Ended, JoinError>) -> bool {
        let Ended { stream, end } = match ended {
            Ok(ended) => ended,
            Err(error) => {
                tracing::error!(%error, "a stream's task ended");
                return true;
            }
        };
        self.routes.close(&stream);
        self.shared.scheduler.forget(&stream);
        let leaving = self.running.remove(&stream).map(|reins| reins.leaving).unwrap_or_default();
        if leaving.is_empty() {
            self.ended.insert(stream, end);
            return true;
        }
        self.forget(&stream);
        for over in leaving {
            let _gone = over.send(());
        }
        false
    }

    fn forget(&mut self, stream: &StreamId) {
        self.ended.remove(stream);
        self.shared.recall.forget(stream);
        self.shared.control.forget(stream.as_str());
    }
}

/// Watches one stream to its end, after it has waited so long. A panic in it is its own: the others go on.
async fn watch(
    plan: Plan,
    wait: Duration,
    shared: Shared,
    (answers, retunes): (mpsc::UnboundedReceiver<Answered>, mpsc::UnboundedReceiver<Retune>),
    stop: CancellationToken,
) -> Ended {
    let id = plan.stream.clone();
    let mut stream = match Stream::new(plan.clone(), shared) {
        Ok(stream) => stream,
        Err(error) => {
            let failure = Failure::new(Kind::Internal, error.to_string());
            return Ended { stream: id, end: End::Failed(failure) };
        }
    };
    let _told_to_leave = tokio::time::timeout(wait, stop.cancelled()).await.is_ok();
    let (events, source) = plan.open(stop, stream.recording());
    let end = match AssertUnwindSafe(stream.run(events, answers, retunes)).catch_unwind().await {
        Ok(end) => end,
        Err(_panic) => {
            let failure = Failure::new(Kind::Internal, "the stream's task panicked; the log says where");
            if AssertUnwindSafe(stream.fail(&failure)).catch_unwind().await.is_err() {
                tracing::error!(stream = %id, "its open events could not be ended");
            }
            End::Failed(failure)
        }
    };
    // Its receiver is gone, which ends it, and it orders no more clips.
    drop(stream);
    if let Err(error) = source.await {
        tracing::error!(stream = %id, %error, "the source's task ended");
    }
    tracing::info!(stream = %id, reason = %end, "stream ended");
    Ended { stream: id, end }
}
