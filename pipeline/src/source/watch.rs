//! The supervisor: connects, hands events over, watches for silence, reconnects.

use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::mpsc::{self, UnboundedReceiver};
use tokio::time::{MissedTickBehavior, interval, sleep_until, timeout};
use tokio_util::sync::CancellationToken;

use super::announced::Announced;
use super::config::SourceConfig;
use super::event::{End, Losses, SourceEvent};
use super::failure::{Failure, Kind};
use super::generate::Wishes;
use super::graph::{Graph, Note, aside};
use super::intake::{Intake, slack};
use super::policy::{Policy, Step, Terms};
use super::reach;
use super::ring::Ring;
use super::scheme::Scheme;
use super::uri::Address;
use super::verdict;

/// How often silence is looked for, and progress and outages are said.
const TICK: Duration = Duration::from_millis(250);
/// How long the reader may take for the last event before it is left alone.
const FAREWELL: Duration = Duration::from_secs(1);
/// How long a pipeline may take to stop before it is left to finish on its own.
const STOP: Duration = Duration::from_secs(10);
/// The first sample of a file comes sooner, even on a busy machine; a graph that takes longer is replaced once.
const BEGIN: Duration = Duration::from_secs(10);
/// So many frames and pieces of sound that come too late are worth a word.
const MANY: u64 = 100;

/// The source is to be stopped: the token was cancelled or the reader is gone.
struct Stopped;

/// How a connection ended.
enum Outcome {
    /// `over`: nothing will follow.
    Eos {
        over: bool,
    },
    Failed(Failure),
    Silent(Failure),
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
    losses: Losses,
    said_late: bool,
    /// The source carries more than is decoded.
    unwanted: bool,
}

/// Runs a source to its end.
pub(super) async fn watch(
    config: SourceConfig,
    ring: Option<Arc<Ring>>,
    sender: mpsc::Sender<SourceEvent>,
    shutdown: CancellationToken,
) {
    let last = sender.clone();
    let end = match Watch::new(config, ring, sender, shutdown) {
        Ok(mut watch) => watch.run().await.unwrap_or(End::Stopped),
        Err(failure) => End::Failed(failure),
    };
    // A reader that is gone or asleep must not keep the source alive.
    let _unread = timeout(FAREWELL, last.send(SourceEvent::Ended(end))).await;
}

impl Watch {
    fn new(
        config: SourceConfig,
        ring: Option<Arc<Ring>>,
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
        super::complaints::hear();
        gstreamer::init()
            .map_err(|error| Failure::new(Kind::Internal, format!("GStreamer does not start: {error}")))?;
        let terms = Terms { live: config.live, loops: config.loop_file, ends, reconnect: config.reconnect };
        let intake = Arc::new(Intake::new(&config, slack(address.scheme, &config), ring));
        Ok(Self {
            config,
            address,
            intake,
            sender,
            shutdown,
            policy: Policy::new(terms),
            started: Instant::now(),
            attempt: 0,
            losses: Losses::default(),
            said_late: false,
            unwanted: false,
        })
    }

    /// Connects again and again; returns why it ended.
    async fn run(&mut self) -> Result<End, Stopped> {
        loop {
            self.policy.connecting();
            let outcome = self.connect().await?;
            let (now, random) = (self.started.elapsed(), rand::random());
            let step = match outcome {
                Outcome::Eos { over } => self.policy.end_of_stream(now, self.address.shown(), over, random),
                Outcome::Failed(failure) => self.policy.failed(now, failure, random),
                Outcome::Silent(failure) => self.policy.silent(now, failure, random),
            };
            match step {
                Step::End(end) => {
                    tracing::info!(stream = self.config.stream_id, reason = %end, "source ended");
                    return Ok(end);
                }
                Step::Again => self.intake.looped(),
                Step::Anew { failure } => {
                    tracing::warn!(
                        stream = self.config.stream_id,
                        reason = %failure,
                        "a graph did not begin; trying another"
                    );
                }
                Step::Retry { after, failure } => {
                    tracing::warn!(stream = self.config.stream_id, reason = %failure, retry_in = ?after, "source lost");
                    if let Some(clock) = self.intake.lost(&failure.to_string()) {
                        self.send(clock).await?;
                    }
                    self.send(SourceEvent::Lost { failure, retry_in: after }).await?;
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
        let internal = |error: &dyn std::fmt::Display| {
            let message = format!("{}: building the graph failed: {error}", self.address.shown());
            Outcome::Failed(Failure::new(Kind::Internal, message))
        };
        let start = match aside(move || Graph::start(&address, &config, &intake, generation, &notes)) {
            Ok(start) => start,
            Err(error) => return Ok(internal(&error)),
        };
        let shutdown = self.shutdown.clone();
        let started = tokio::select! {
            biased;
            // A graph that is still being built is torn down by the thread that builds it.
            () = shutdown.cancelled() => {
                self.intake.mailbox.close();
                return Err(Stopped);
            }
            started = start => started,
        };
        let graph = match started {
            Ok(Ok(graph)) => graph,
            Ok(Err(failure)) => return Ok(Outcome::Failed(failure)),
            Err(error) => return Ok(internal(&error)),
        };
        let outcome = self.stream(&graph, generation, &mut heard).await;
        self.intake.mailbox.close();
        let (ahead, playlist) = (self.intake.ahead(), graph.is_playlist());
        let stop = aside(move || {
            let duration = graph.duration(ahead);
            graph.stop();
            duration
        });
        let stopped = match stop {
            Ok(stop) => timeout(STOP, stop).await,
            Err(_) => Ok(Ok(None)),
        };
        let duration = stopped.unwrap_or_else(|_| {
            let stream = &self.config.stream_id;
            tracing::warn!(stream, "a pipeline takes long to stop; leaving it to finish");
            Ok(None)
        });
        let duration = duration.ok().flatten();
        let mut outcome = outcome?;
        if matches!(outcome, Outcome::Eos { .. })
            && let Some(failure) = duration.and_then(|duration| self.short_of(duration, playlist))
        {
            outcome = Outcome::Failed(failure);
        }
        outcome = self.refused(outcome);
        // What was decoded before the end belongs to the reader.
        while let Some(event) = self.intake.mailbox.try_next() {
            self.send(event).await?;
        }
        Ok(outcome)
    }

    /// A source that failed after it was not let through somewhere failed for that.
    fn refused(&self, outcome: Outcome) -> Outcome {
        match (reach::refused(), outcome) {
            (Some(to), Outcome::Failed(_) | Outcome::Silent(_)) => {
                Outcome::Failed(verdict::refused(self.address.shown(), to))
            }
            (_, outcome) => outcome,
        }
    }

    /// Hands events over until the pipeline ends, fails or falls silent.
    async fn stream(
        &mut self,
        graph: &Graph,
        generation: u64,
        heard: &mut UnboundedReceiver<Note>,
    ) -> Result<Outcome, Stopped> {
        let mut announced = Announced::default();
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
                        if let Some(failure) = self.streams(audio, video, &mut announced) {
                            return Ok(Outcome::Failed(failure));
                        }
                    }
                    Some(Note::Failed(failure)) => {
                        self.hand_over_rest(&mut announced, graph).await?;
                        return Ok(Outcome::Failed(verdict::better(failure, heard)));
                    }
                    Some(Note::Eos) | None => {
                        // The streams pushed everything before the end was posted.
                        self.hand_over_rest(&mut announced, graph).await?;
                        return Ok(Outcome::Eos { over: graph.is_playlist() });
                    }
                },
                _ = ticks.tick() => {
                    if let Some(failure) = self.silent() {
                        return Ok(Outcome::Silent(failure));
                    }
                    if announced.settled(self.config.live) {
                        self.intake.carries(announced.audio, announced.video);
                    }
                    // Until the first sample comes the source is still away.
                    if !self.tell_away().await? {
                        // A closed mailbox is noticed through what closed it.
                        let _closed = self.intake.progress(generation);
                    }
                    self.report_losses().await?;
                }
                event = self.intake.mailbox.next(), if announced.ready() && self.intake.is_dated() => {
                    self.hand_over(event, &mut announced, graph).await?;
                }
            }
        }
    }

    /// Hands over what was decoded before the end.
    async fn hand_over_rest(&mut self, announced: &mut Announced, graph: &Graph) -> Result<(), Stopped> {
        self.intake.date();
        while let Some(event) = self.intake.mailbox.try_next() {
            self.hand_over(event, announced, graph).await?;
        }
        Ok(())
    }

    /// Hands one event over, saying before what the source carries.
    async fn hand_over(
        &mut self,
        event: SourceEvent,
        announced: &mut Announced,
        graph: &Graph,
    ) -> Result<(), Stopped> {
        let Some(event) = announced.pass(event) else { return Ok(()) };
        if matches!(event, SourceEvent::Audio(_) | SourceEvent::Frame(_)) {
            self.policy.sample(self.started.elapsed());
        }
        if let Some((has_audio, has_video)) = announced.news() {
            let connected = SourceEvent::Connected {
                attempt: self.attempt,
                has_audio,
                has_video,
                live: self.config.live,
                length: if self.config.live { None } else { graph.duration(self.intake.ahead()) },
            };
            self.send(connected).await?;
            for held in announced.held() {
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
        let mut ticks = interval(TICK);
        loop {
            tokio::select! {
                biased;
                () = self.shutdown.cancelled() => return Err(Stopped),
                () = self.sender.closed() => return Err(Stopped),
                () = sleep_until(end) => return Ok(()),
                _ = ticks.tick() => {
                    self.tell_away().await?;
                }
            }
        }
    }

    /// Says the part of an outage that has passed; `false` when there is none.
    async fn tell_away(&self) -> Result<bool, Stopped> {
        let Some(events) = self.intake.away() else { return Ok(false) };
        for event in events {
            self.send(event).await?;
        }
        Ok(true)
    }

    /// Notes what the source carries. A file that has nothing of what is wanted will never have it.
    fn streams(&mut self, audio: bool, video: bool, announced: &mut Announced) -> Option<Failure> {
        let (heard, seen) = (audio && self.config.sample_rate > 0, video && self.config.grid.is_some());
        announced.carries(heard, seen);
        self.unwanted = (audio && !heard) || (video && !seen);
        let nothing = !self.config.live && announced.has_nothing();
        nothing.then(|| verdict::unwanted(self.address.shown(), audio, video))
    }

    /// A file that ended long before the end it promised.
    fn short_of(&self, duration: Duration, playlist: bool) -> Option<Failure> {
        let reached = self.intake.reached();
        // A track that is not decoded may be the longest one.
        if self.config.live || self.unwanted || reached.is_zero() {
            return None;
        }
        verdict::truncated(self.address.shown(), reached, duration, playlist)
    }

    /// Nothing for too long, though nothing waits for the reader?
    fn silent(&self) -> Option<Failure> {
        let idle = self.intake.activity().idle_since?.elapsed();
        // A disk does not stall.
        let nothing_yet = self.address.scheme == Scheme::File && self.intake.reached().is_zero();
        let stall = self.config.stall_timeout;
        let patience = if nothing_yet && self.policy.may_begin_anew() { stall.min(BEGIN) } else { stall };
        (idle >= patience).then(|| verdict::silent(self.address.shown(), idle, nothing_yet))
    }

    async fn report_losses(&mut self) -> Result<(), Stopped> {
        let losses = self.intake.activity().losses;
        if losses == self.losses {
            return Ok(());
        }
        self.losses = losses;
        let Losses { late, shed, damaged } = losses;
        // A few samples of a live source may come late; a file has no reason to.
        if late >= MANY && !std::mem::replace(&mut self.said_late, true) {
            let stream = &self.config.stream_id;
            tracing::warn!(
                stream,
                late,
                "parts of the source come after their time was over and are not used"
            );
        }
        tracing::debug!(stream = self.config.stream_id, late, shed, damaged, "lost since the start");
        self.send(SourceEvent::Losses(losses)).await
    }
}
