//! Assembles everything from the configuration, supervises it and shuts it down.
//!
//! ```text
//! one task a stream and one thread (`watching`)     one thread        three tasks
//! source -> records -> publisher -----------------> outbox ----> delivery -> sink
//! ```

mod ask;
mod in_fleet;
mod keeper;
mod probe;
mod reply;
mod store;
mod streams;
mod teller;

use std::sync::Arc;
use std::time::Duration;

use avicuna_models::localizer::{LoadOptions, Localizer, LocalizerError};
use avicuna_models::manifest::{Manifest, ManifestError};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

pub use ask::{AskError, Asker, ask};
pub use probe::{Probed, probe};
pub use reply::{Localized, Reply};
pub use store::Observer;
pub use streams::{Listed, Origin, Reloaded, Streams, StreamsError};

use self::in_fleet::InFleet;
use crate::clips::{ClipPlan, Clips, StoreError};
use crate::config::{Config, ConfigError, Loaded, SinkConfig, SinkKind};
use crate::control::{Control, ModelState, TracesError};
use crate::fleet::FleetError;
use crate::outbox::{Outbox, OutboxError};
use crate::sink::{Delivery, EmbeddedBroker, JsonlSink, KafkaConfig, KafkaSink, Sink, SinkError};
use crate::source::apart::Worker;
use crate::source::reach::Reach;
use crate::watching::{
    Command, Ended, Engine, Orders, Plan, Publisher, Record, Ways, ends, model_of, onset, plan,
};

/// Why the daemon cannot start, or had to end.
#[derive(Debug, thiserror::Error)]
pub enum DaemonError {
    /// The configuration does not fit the model.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// The model directory cannot be used.
    #[error("model.path: {0}")]
    Manifest(#[from] ManifestError),
    /// The model cannot be loaded.
    #[error("the model cannot be loaded: {0}")]
    Model(#[from] LocalizerError),
    /// The model's thread ended.
    #[error(
        "the model's thread ended: {0}; restart the daemon, and report it with the log if it happens again"
    )]
    ModelGone(String),
    /// The outbox cannot be opened, or its writer ended.
    #[error(transparent)]
    Outbox(#[from] OutboxError),
    /// Traces cannot be exported.
    #[error(transparent)]
    Traces(#[from] TracesError),
    /// Nothing can be kept of events.
    #[error("clips.store: {0}")]
    Clips(#[from] StoreError),
    /// The sink cannot be set up.
    #[error(transparent)]
    Sink(#[from] SinkError),
    /// It cannot be of its fleet.
    #[error("fleet: {0}")]
    Fleet(#[from] FleetError),
    /// A part ended that never ends.
    #[error("{part} ended: {reason}")]
    Part {
        /// Which.
        part: &'static str,
        /// Why.
        reason: String,
    },
}

/// A daemon that has opened what it needs, and does not watch yet.
#[derive(Debug)]
pub struct Daemon {
    loaded: Loaded,
    plans: Vec<Plan>,
    control: Arc<Control>,
    streams: Streams,
    commands: mpsc::Receiver<Command>,
    asker: Asker,
    clips: Option<Clips>,
}

impl Daemon {
    /// Puts the configuration and the model's manifest together. `worker` is how sources get processes of their own,
    /// where their streams want it.
    ///
    /// # Errors
    /// When they do not fit.
    pub fn new(loaded: Loaded, worker: Worker) -> Result<Self, DaemonError> {
        let config = &loaded.config;
        let manifest = Manifest::load(&config.model.path)?;
        let mut plans = plan(&loaded, &manifest)?;
        for (plan, stream) in plans.iter_mut().zip(&config.stream) {
            plan.apart = stream.is_apart().then(|| worker.clone());
            plan.clips = ClipPlan::of(&config.clips, stream);
        }
        let enabled = |plan: &Plan| {
            config.stream.iter().any(|stream| stream.enabled && stream.id == plan.stream.as_str())
        };
        plans.retain(enabled);
        let reach = Reach::new(config.control.allow.hosts.clone());
        let kept = (config.clips.clone(), config.fleet.group.is_some());
        let (streams, commands) = Streams::of_file(&config.stream, manifest, worker, kept, reach);
        let control = Arc::new(Control::new());
        control.traces.start(&config.traces)?;
        let clips = Clips::open(&config.clips, &config.outbox.path, control.clone())?;
        Ok(Self { loaded, plans, control, streams, commands, asker: Asker::default(), clips })
    }

    /// What it tells of itself.
    pub fn control(&self) -> Arc<Control> {
        self.control.clone()
    }

    /// Its streams; what is asked of them before it runs is done when it does.
    pub fn streams(&self) -> Streams {
        self.streams.clone()
    }

    /// Asks its model.
    pub fn asker(&self) -> Asker {
        self.asker.clone()
    }

    /// What its events can be looked at in, if anything is kept.
    pub fn clips(&self) -> Option<Clips> {
        self.clips.clone()
    }

    /// Runs until every stream has ended or `stop` is cancelled; then finishes or spools what it holds. Returns why each
    /// stream ended. `observer` sees every record.
    ///
    /// # Errors
    /// When it cannot start, or a part ends that the others cannot do without.
    pub async fn run(
        self,
        observer: Option<Arc<dyn Observer>>,
        stop: CancellationToken,
    ) -> Result<Vec<Ended>, DaemonError> {
        let Self { loaded, plans, control, streams, commands, asker, clips } = self;
        let config = &loaded.config;
        let (sink, _broker) = open_sink(&config.sink)?;
        let (outbox, left_open) = open_outbox(config, &control, observer.clone()).await?;
        let delivery = deliver(&outbox, sink, &control);
        let (publisher, records) = Publisher::channel(Some(outbox.clone()));
        let stored = store::store(records, outbox.clone(), control.clone(), observer.clone());
        let ways = Ways::default();
        let publisher = publisher.beside(ways.clone());
        // Before anything new; should the outbox be gone already, `stored` says why.
        let _taken = publisher.publish(left_open).await;

        let localizer = tokio::select! {
            loaded = load(config) => loaded?,
            () = stop.cancelled() => {
                delivery.stop().await;
                return Ok(Vec::new());
            }
        };
        control.status.model(ModelState::Idle);
        let tidying = CancellationToken::new();
        let _tidied = tidying.clone().drop_guard();
        if let Some(clips) = clips.clone() {
            tokio::spawn(async move { clips.tidy(tidying).await });
        }
        let engine = Engine::start(
            Orders { plans, commands, clips: clips.clone(), spread: config.daemon.spread },
            model_of(Arc::new(localizer)),
            config.schedule,
            control.clone(),
            publisher,
            None,
        );
        asker.serve(engine.respondent());
        let fleet =
            streams.are_shared().then(|| InFleet { streams, ways, control: control.clone(), observer });
        let (ended, leave_by) = supervise(engine, stored, config, &outbox, (stop, fleet), &control).await;
        if let Some(clips) = clips {
            clips.settle(LAST_CLIPS).await;
        }
        let left = leave_by.saturating_duration_since(Instant::now());
        leave(delivery, &outbox, left.min(config.daemon.flush)).await;
        let _flushed = tokio::task::spawn_blocking(move || control.traces.flush()).await;
        ended
    }
}

/// How long clips that are under way at the end may take.
const LAST_CLIPS: Duration = Duration::from_secs(5);

type Over = Result<Vec<Ended>, DaemonError>;

/// Waits for the streams, or for the word to stop, or for a failure. Says with how it ended until when all
/// must be over.
async fn supervise(
    mut engine: Engine,
    mut stored: JoinHandle<Result<(), OutboxError>>,
    config: &Config,
    outbox: &Outbox,
    (stop, fleet): (CancellationToken, Option<InFleet>),
    control: &Control,
) -> (Over, Instant) {
    let gone = engine.model_gone();
    let mut stored_early = None;
    let exits = config.daemon.exit_when_done && fleet.is_none();
    let watched = async {
        match fleet {
            // What it has is given away before the engine ends.
            Some(fleet) => fleet.run(config, stop).await,
            None => {
                stop.cancelled().await;
                Ok(())
            }
        }
    };
    let failure = tokio::select! {
        over = watched => over.err().map(DaemonError::from),
        () = obey(&mut engine, exits) => None,
        () = gone => Some(DaemonError::ModelGone("it failed; the log says why".to_owned())),
        ended = &mut stored => {
            stored_early = Some(ended);
            None
        }
    };
    control.status.stopping();
    if let Some(DaemonError::ModelGone(reason)) = &failure {
        control.status.model(ModelState::Failed(reason.clone()));
    }
    let hopeless = failure.is_some() || stored_early.is_some();
    let grace = if hopeless { Duration::ZERO } else { config.daemon.grace };
    let leave_by = Instant::now() + grace + config.daemon.flush;
    let finish = async {
        let ended = engine.stop(grace).await;
        // The streams are gone, and with them every publisher.
        let stored = match stored_early {
            Some(ended) => ended,
            None => stored.await,
        };
        (ended, stored)
    };
    tokio::pin!(finish);
    // Until then records may wait for room in a full outbox, as they may while the daemon runs.
    let patience = if hopeless { Instant::now() } else { leave_by };
    let (ended, stored) = tokio::select! {
        finished = &mut finish => finished,
        () = tokio::time::sleep_until(patience) => {
            outbox.stop_waiting();
            finish.await
        }
    };
    let ended = match (failure, stored) {
        (Some(failure), _) => Err(failure),
        (None, Ok(Ok(()))) => Ok(ended),
        (None, Ok(Err(error))) => Err(error.into()),
        (None, Err(error)) => Err(DaemonError::Part { part: "the publisher", reason: error.to_string() }),
    };
    (ended, leave_by)
}

/// Comes back when every stream has ended, if that is to end the daemon.
async fn obey(engine: &mut Engine, exit_when_done: bool) {
    engine.all_ended().await;
    if !exit_when_done {
        tracing::info!("every stream has ended; waiting to be stopped, as daemon.exit_when_done is false");
        engine.obey_on().await;
    }
}

/// The outbox, and the ends of events that an earlier run left open.
async fn open_outbox(
    config: &Config,
    control: &Control,
    observer: Option<Arc<dyn Observer>>,
) -> Result<(Outbox, Vec<Record>), DaemonError> {
    let settings = config.outbox.clone();
    let open = move || {
        let outbox = Outbox::open(&settings)?;
        if let Some(observer) = observer {
            store::show_waiting(&outbox, observer.as_ref())?;
        }
        let left_open = ends(&outbox)?;
        Ok::<_, OutboxError>((outbox, left_open))
    };
    let opened = tokio::task::spawn_blocking(open).await;
    let (outbox, ends) =
        opened.map_err(|error| DaemonError::Part { part: "the outbox", reason: error.to_string() })??;
    control.metrics.watch_outbox(&outbox);
    control.status.outbox(outbox.watch_trouble());
    Ok((outbox, ends))
}

fn open_sink(config: &SinkConfig) -> Result<(Sink, Option<EmbeddedBroker>), SinkError> {
    Ok(match config.kind {
        SinkKind::Kafka => (KafkaSink::new(&config.kafka)?.into(), None),
        SinkKind::Jsonl => (JsonlSink::new(&config.jsonl.path)?.into(), None),
        SinkKind::Embedded => {
            let broker = EmbeddedBroker::start(&config.kafka)?;
            let brokers = broker.bootstrap_servers();
            tracing::info!(
                brokers,
                "an embedded Kafka broker listens; it forgets everything when the daemon ends"
            );
            let kafka = KafkaConfig { brokers, properties: Default::default(), ..config.kafka.clone() };
            (KafkaSink::new(&kafka)?.into(), Some(broker))
        }
    })
}

fn deliver(outbox: &Outbox, sink: Sink, control: &Arc<Control>) -> Delivery {
    let observed = control.clone();
    let on_ack = move |message: &crate::outbox::Message, at| {
        observed.traces.acknowledged(message);
        if let Some((stream, seconds)) = onset(message, at) {
            observed.metrics.stream(&stream).onset(seconds);
        }
    };
    let delivery = Delivery::start(outbox.clone(), sink, on_ack, CancellationToken::new());
    control.status.delivery(delivery.watch());
    delivery
}

async fn load(config: &Config) -> Result<Localizer, DaemonError> {
    let path = config.model.path.clone();
    let threads = (config.model.threads > 0).then_some(config.model.threads);
    let device = config.model.device.parse().unwrap_or_default();
    let options = LoadOptions { device, threads, cache: None };
    let started = std::time::Instant::now();
    let loaded = tokio::task::spawn_blocking(move || Localizer::load(&path, &options)).await;
    let localizer = loaded.map_err(|error| DaemonError::ModelGone(error.to_string()))??;
    let took_s = started.elapsed().as_secs_f64();
    tracing::info!(model = localizer.manifest().name, device = %device, took_s, "the model is loaded");
    Ok(localizer)
}

/// Delivers what can be delivered.
async fn leave(delivery: Delivery, outbox: &Outbox, patience: Duration) {
    if !delivery.flush(patience).await {
        let left = outbox.accounting().spooled;
        tracing::warn!(left, "records stay in the outbox; the next start delivers them");
    }
    delivery.stop().await;
    let books = outbox.accounting();
    tracing::info!(
        produced = books.produced,
        acknowledged = books.acknowledged,
        spooled = books.spooled,
        dropped = books.dropped.values().sum::<u64>(),
        "the outbox is closed"
    );
}
