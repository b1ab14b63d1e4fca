//! A source in a process of its own. GStreamer and its plugins are C: an assertion or a bad access in one of them ends the
//! process it runs in, and no error handling catches it. Here that is a child of the daemon, which hands over what the source
//! says; its death is one more outage of one stream.
//!
//! The child is this program again, told by [`Worker`] to be [`serve`]d. It reads its [`SourceConfig`] from standard input, and ends when that
//! is closed; [`wire`] has the messages it writes to standard output.

mod child;
mod line;
mod wire;
mod worker;

use std::path::PathBuf;
use std::time::{Duration, Instant};

use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio::time::{interval, sleep_until, timeout};
use tokio_util::sync::CancellationToken;

use self::child::{Child, Died};
use self::line::Line;
use super::config::SourceConfig;
use super::event::{End, SourceEvent};
use super::failure::{Failure, Kind};
use super::policy::{Policy, Step, Terms};
use super::uri::Address;

pub use worker::serve;

/// How often an outage is said while no child runs.
const TICK: Duration = Duration::from_millis(250);
/// How long the reader may take for the last event before it is left alone.
const FAREWELL: Duration = Duration::from_secs(1);
/// A child that is told to end is killed when it still runs after this.
const LEAVE: Duration = Duration::from_secs(12);

/// How the child is started: this program with arguments that make it call [`serve`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Worker {
    /// The program.
    pub program: PathBuf,
    /// Its arguments.
    pub arguments: Vec<String>,
    /// A child that holds more bytes than this is ended.
    pub memory: u64,
    /// And one that says nothing for so long: it should once a second.
    pub silence: Duration,
}

/// As [`super::spawn`], with the source in a child process.
pub fn spawn(
    worker: Worker,
    config: SourceConfig,
    sender: mpsc::Sender<SourceEvent>,
    shutdown: CancellationToken,
) -> JoinHandle<()> {
    tokio::spawn(async move {
        let last = sender.clone();
        let shown = Address::parse(&config.uri).map_or_else(|_| "***".into(), |at| at.shown().to_owned());
        let terms =
            Terms { live: config.live, loops: config.loop_file, ends: false, reconnect: config.reconnect };
        let period = config.grid.map_or(Duration::from_nanos(1), |grid| grid.period());
        let mut keeper = Keeper {
            policy: Policy::new(terms),
            line: Line::new(period),
            started: Instant::now(),
            worker,
            config,
            shown,
            sender,
            shutdown,
        };
        let end = keeper.run().await.unwrap_or(End::Stopped);
        // A reader that is gone or asleep must not keep the source alive.
        let _unread = timeout(FAREWELL, last.send(SourceEvent::Ended(end))).await;
    })
}

/// The token was cancelled or the reader is gone.
struct Stopped;

struct Keeper {
    worker: Worker,
    config: SourceConfig,
    /// The address without secrets.
    shown: String,
    policy: Policy,
    line: Line,
    started: Instant,
    sender: mpsc::Sender<SourceEvent>,
    shutdown: CancellationToken,
}

impl Keeper {
    /// Runs one child after the other; returns how the source ended.
    async fn run(&mut self) -> Result<End, Stopped> {
        loop {
            self.policy.connecting();
            let died = match self.child().await? {
                Ok(end) => return Ok(end),
                Err(died) => died,
            };
            let failure = Failure::new(Kind::Crashed, format!("{}: {died}", self.shown));
            match self.policy.failed(self.started.elapsed(), failure, rand::random()) {
                Step::Retry { after, failure } => {
                    tracing::warn!(stream = self.config.stream_id, reason = %failure, retry_in = ?after, "source lost");
                    let events = self.line.lost(&failure);
                    self.send_all(events).await?;
                    self.send(SourceEvent::Lost { failure, retry_in: after }).await?;
                    self.away(after).await?;
                }
                Step::End(end) => return Ok(end),
                // Only a file whose graph never begins is tried otherwise.
                Step::Again | Step::Anew { .. } => {}
            }
        }
    }

    /// One child from its start to its end: what the source said last, or how the child died.
    async fn child(&mut self) -> Result<Result<End, Died>, Stopped> {
        let mut child = match Child::start(&self.worker, &self.config).await {
            Ok(child) => child,
            Err(died) => return Ok(Err(died)),
        };
        tracing::debug!(stream = self.config.stream_id, pid = child.pid(), "the source's process started");
        let mut ticks = interval(TICK);
        let shutdown = self.shutdown.clone();
        loop {
            let event = tokio::select! {
                biased;
                () = shutdown.cancelled() => break,
                () = self.sender.closed() => break,
                event = child.next() => event,
                // Until the new child says where it is, the outage goes on.
                _ = ticks.tick(), if self.line.is_away() => {
                    let events = self.line.away();
                    self.send_all(events).await?;
                    continue;
                }
            };
            match event {
                Ok(SourceEvent::Ended(end)) => {
                    let _code = timeout(LEAVE, child.leave()).await;
                    return Ok(Ok(end));
                }
                Ok(event) => {
                    if matches!(event, SourceEvent::Frame(_) | SourceEvent::Audio(_)) {
                        self.policy.sample(self.started.elapsed());
                    }
                    let events = self.line.place(event);
                    self.send_all(events).await?;
                }
                Err(died) => return Ok(Err(died)),
            }
        }
        // What it had decoded belongs to nobody any more.
        let _code = timeout(LEAVE, child.leave()).await;
        Err(Stopped)
    }

    /// Waits for the next attempt and meanwhile says that nothing is seen.
    async fn away(&mut self, wait: Duration) -> Result<(), Stopped> {
        let end = tokio::time::Instant::now() + wait;
        let mut ticks = interval(TICK);
        loop {
            let (shutdown, sender) = (self.shutdown.clone(), self.sender.clone());
            tokio::select! {
                biased;
                () = shutdown.cancelled() => return Err(Stopped),
                () = sender.closed() => return Err(Stopped),
                () = sleep_until(end) => return Ok(()),
                _ = ticks.tick() => {
                    let events = self.line.away();
                    self.send_all(events).await?;
                }
            }
        }
    }

    async fn send_all(&self, events: Vec<SourceEvent>) -> Result<(), Stopped> {
        for event in events {
            self.send(event).await?;
        }
        Ok(())
    }

    async fn send(&self, event: SourceEvent) -> Result<(), Stopped> {
        tokio::select! {
            biased;
            () = self.shutdown.cancelled() => Err(Stopped),
            sent = self.sender.send(event) => sent.map_err(|_| Stopped),
        }
    }
}
