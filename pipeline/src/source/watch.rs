//! The supervisor: connects, hands events over, watches for silence, reconnects.

use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::mpsc::{self, UnboundedReceiver};
use tokio::time::{MissedTickBehavior, interval, sleep_until, timeout};
use tokio_util::sync::CancellationToken;

use super::failure::{Failure, Kind};
use super::generate::Wishes;
use super::graph::{Graph, Note};
use super::intake::Intake;
use super::policy::{Policy, Step, Terms};
use super::uri::{Address, Scheme};
use super::{STOPPED, SourceConfig, SourceEvent};

/// How often silence is looked for and progress is said.
const TICK: Duration = Duration::from_millis(250);
/// An outage is said in pieces of this length.
const AWAY: Duration = Duration::from_secs(1);
/// How long the reader may take for the last event before it is left alone.
const FAREWELL: Duration = Duration::from_secs(1);
/// How long a pipeline may take to stop before it is left to finish on its own.
const STOP: Duration = Duration::from_secs(10);
/// Samples of a track that the source has not announced yet are waited for this long.
const ANNOUNCE: Duration = Duration::from_secs(2);

/// The source is to be stopped: the token was cancelled or the reader is gone.
struct Stopped;

/// How a connection ended.
enum Outcome {
    Eos,
    Failed(Failure),
}

struct Watch {
    config: SourceConfig,
    address: Address,
    intake: Arc<Intake>,
    sender: mpsc::Sender<SourceEvent>,
    shutdown: CancellationToken,
    policy: Policy,
    started: Instant,
    attempt: u32,
    warned: u32,
    dropped: (u64, u64),
}

/// Runs a source to its end.
pub(super) async fn watch(
    config: SourceConfig,
    sender: mpsc::Sender<SourceEvent>,
    shutdown: CancellationToken,
) {
    let last = sender.clone();
    let reason = match Watch::new(config, sender, shutdown) {
        Ok(mut watch) => watch.run().await.unwrap_or_else(|Stopped| STOPPED.to_owned()),
        Err(failure) => failure.to_string(),
    };
    // A reader that is gone or asleep must not keep the source alive.
    let _unread = timeout(FAREWELL, last.send(SourceEvent::Ended { reason })).await;
}

impl Watch {
    fn new(
        config: SourceConfig,
        sender: mpsc::Sender<SourceEvent>,
        shutdown: CancellationToken,
    ) -> Result<Self, Failure> {
        let address = Address::parse(&config.uri)?;
        let ends = match address.scheme {
            Scheme::Test => Wishes::parse(&address)?.duration.is_some(),
            _ => false,
        };
        if config.grid.is_none() && config.sample_rate == 0 {
            let message = format!("{}: neither frames nor samples are asked for", address.shown());
            return Err(Failure::new(Kind::BadUri, message));
        }
        if config.frame_size == 0 || i32::try_from(config.frame_size).is_err() {
            return Err(Failure::new(
                Kind::BadUri,
                format!("frames cannot be {} pixels wide", config.frame_size),
            ));
        }
        gstreamer::init()
            .map_err(|error| Failure::new(Kind::Internal, format!("GStreamer does not start: {error}")))?;
        let terms = Terms { live: config.live, loops: config.loop_file, ends, reconnect: config.reconnect };
        let intake = Arc::new(Intake::new(&config, slack(address.scheme, &config)));
        Ok(Self {
            config,
            address,
            intake,
            sender,
            shutdown,
            policy: Policy::new(terms),
            started: Instant::now(),
            attempt: 0,
            warned: 0,
            dropped: (0, 0),
        })
    }

    /// Connects again and again; returns why it ended.
    async fn run(&mut self) -> Result<String, Stopped> {
        loop {
            self.policy.connecting();
            let outcome = self.connect().await?;
            let (now, random) = (self.started.elapsed(), rand::random());
            let step = match outcome {
                Outcome::Eos => self.policy.end_of_stream(now, self.address.shown(), random),
                Outcome::Failed(failure) => self.policy.failed(now, failure, random),
            };
            match step {
                Step::End { reason } => {
                    tracing::info!(stream = self.config.stream_id, reason, "source ended");
                    return Ok(reason);
                }
                Step::Again => self.intake.looped(),
                Step::Retry { after, reason } => {
                    tracing::warn!(stream = self.config.stream_id, reason, retry_in = ?after, "source lost");
                    self.intake.lost(&reason);
                    self.send(SourceEvent::Lost { reason, retry_in: after }).await?;
                    self.away(after).await?;
                }
            }
            self.attempt += 1;
        }
    }

    /// One connection, from building the graph to its end; the graph is gone when this returns.
    async fn connect(&mut self) -> Result<Outcome, Stopped> {
        let (notes, mut heard) = mpsc::unbounded_channel();
        let generation = self.intake.open();
        let (address, config, intake) = (self.address.clone(), self.config.clone(), Arc::clone(&self.intake));
        let start =
            tokio::task::spawn_blocking(move || Graph::start(&address, &config, &intake, generation, &notes));
        let graph = match start.await {
            Ok(Ok(graph)) => graph,
            Ok(Err(failure)) => return Ok(Outcome::Failed(failure)),
            Err(error) => {
                let message = format!("{}: building the graph failed: {error}", self.address.shown());
                return Ok(Outcome::Failed(Failure::new(Kind::Internal, message)));
            }
        };
        let outcome = self.stream(generation, &mut heard).await;
        self.intake.mailbox.close();
        let stop = tokio::task::spawn_blocking(move || graph.stop());
        if timeout(STOP, stop).await.is_err() {
            tracing::warn!(
                stream = self.config.stream_id,
                "a pipeline takes long to stop; leaving it to finish"
            );
        }
        let outcome = outcome?;
        // What was decoded before the end belongs to the reader.
        while let Some(event) = self.intake.mailbox.try_next() {
            self.send(event).await?;
        }
        Ok(outcome)
    }

    /// Hands events over until the pipeline ends, fails or falls silent.
    async fn stream(
        &mut self,
        generation: u64,
        heard: &mut UnboundedReceiver<Note>,
    ) -> Result<Outcome, Stopped> {
        let mut announced = Announced { attempt: self.attempt, ..Announced::default() };
        let mut ticks = interval(TICK);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let shutdown = self.shutdown.clone();
        loop {
            // In this order, so that what was heard before a sample is known when the sample is handed over.
            tokio::select! {
                biased;
                () = shutdown.cancelled() => return Err(Stopped),
                () = self.sender.closed() => return Err(Stopped),
                note = heard.recv() => match note {
                    Some(Note::Streams { audio, video }) => {
                        announced.audio |= audio && self.config.sample_rate > 0;
                        announced.video |= video && self.config.grid.is_some();
                        announced.known = true;
                    }
                    Some(Note::Warned(failure)) => self.warn(&failure),
                    Some(Note::Failed(failure)) => return Ok(Outcome::Failed(self.better(failure, heard))),
                    Some(Note::Eos) | None => {
                        // The streams pushed everything before the end was posted.
                        while let Some(event) = self.intake.mailbox.try_next() {
                            self.hand_over(event, &mut announced).await?;
                        }
                        return Ok(Outcome::Eos);
                    }
                },
                _ = ticks.tick() => {
                    if let Some(failure) = self.silent() {
                        return Ok(Outcome::Failed(failure));
                    }
                    // A closed mailbox is noticed through what closed it.
                    let _closed = self.intake.progress(generation);
                    self.report_drops();
                }
                event = self.intake.mailbox.next(), if announced.ready() => {
                    self.hand_over(event, &mut announced).await?;
                }
            }
        }
    }

    /// Hands one event over, saying before what the source carries.
    async fn hand_over(&mut self, event: SourceEvent, announced: &mut Announced) -> Result<(), Stopped> {
        match &event {
            SourceEvent::Audio(_) => announced.audio = true,
            SourceEvent::Frame(_) => announced.video = true,
            // What is said of the first sample comes before it, but after `Connected`.
            _ if !announced.known && announced.said.is_none() => {
                announced.held.push(event);
                return Ok(());
            }
            _ => {}
        }
        if matches!(event, SourceEvent::Audio(_) | SourceEvent::Frame(_)) {
            self.policy.sample(self.started.elapsed());
        }
        if announced.said != Some((announced.audio, announced.video)) {
            let (has_audio, has_video) = (announced.audio, announced.video);
            announced.said = Some((has_audio, has_video));
            let connected = SourceEvent::Connected {
                attempt: announced.attempt,
                has_audio,
                has_video,
                live: self.config.live,
            };
            self.send(connected).await?;
            for held in announced.held.drain(..) {
                self.send(held).await?;
            }
        }
        self.send(event).await
    }

    async fn send(&self, event: SourceEvent) -> Result<(), Stopped> {
        tokio::select! {
            biased;
            () = self.shutdown.cancelled() => Err(Stopped),
            sent = self.sender.send(event) => sent.map_err(|_| Stopped),
        }
    }

    /// Waits for the next attempt and meanwhile says that nothing is seen.
    async fn away(&self, wait: Duration) -> Result<(), Stopped> {
        let end = tokio::time::Instant::now() + wait;
        let generation = self.intake.mailbox.open();
        let mut ticks = interval(AWAY);
        loop {
            tokio::select! {
                biased;
                () = self.shutdown.cancelled() => return Err(Stopped),
                () = self.sender.closed() => return Err(Stopped),
                () = sleep_until(end) => return Ok(()),
                event = self.intake.mailbox.next() => self.send(event).await?,
                _ = ticks.tick() => {
                    let _closed = self.intake.away(generation);
                }
            }
        }
    }

    /// Nothing for too long, though nothing waits for the reader?
    fn silent(&self) -> Option<Failure> {
        let idle = self.intake.activity().idle_since?.elapsed();
        (idle >= self.config.stall_timeout).then(|| {
            let message =
                format!("{}: nothing arrived for {:.0} s", self.address.shown(), idle.as_secs_f64());
            Failure::new(Kind::Stalled, message)
        })
    }

    /// The first failure, unless it is our own "could not be started" and the bus said why.
    fn better(&self, first: Failure, heard: &mut UnboundedReceiver<Note>) -> Failure {
        if first.kind != Kind::Internal {
            return first;
        }
        while let Ok(note) = heard.try_recv() {
            if let Note::Failed(failure) = note {
                return failure;
            }
        }
        first
    }

    /// Warnings can come with every packet: the first few of a source are said, the rest only when debugging.
    fn warn(&mut self, failure: &Failure) {
        self.warned += 1;
        if self.warned <= 5 {
            tracing::warn!(stream = self.config.stream_id, warning = %failure, "source");
        } else {
            tracing::debug!(stream = self.config.stream_id, warning = %failure, "source");
        }
    }

    fn report_drops(&mut self) {
        let activity = self.intake.activity();
        let (late, shed) = (activity.late, activity.shed);
        if (late, shed) != self.dropped {
            tracing::warn!(stream = self.config.stream_id, late, shed, "samples dropped since the start");
            self.dropped = (late, shed);
        }
    }
}

/// What was said of the connection.
#[derive(Debug, Default)]
struct Announced {
    attempt: u32,
    audio: bool,
    video: bool,
    known: bool,
    said: Option<(bool, bool)>,
    held: Vec<SourceEvent>,
    since: Option<Instant>,
}

impl Announced {
    /// May samples be handed over? Not before the source said what it carries, unless it takes too long.
    fn ready(&mut self) -> bool {
        let since = *self.since.get_or_insert_with(Instant::now);
        self.known || since.elapsed() >= ANNOUNCE
    }
}

/// How far one track of a source may trail the other before it counts as silent: the network's latency and the
/// interleaving of the container; HTTP playlists may fetch the tracks in turns.
fn slack(scheme: Scheme, config: &SourceConfig) -> Duration {
    config.latency
        + match scheme {
            Scheme::Http | Scheme::File => Duration::from_secs(10),
            _ => Duration::from_millis(1500),
        }
}
