//! A source in a process of its own. GStreamer and its plugins are C: an assertion or a bad access in one of them ends the
//! process it runs in, and no error handling catches it. Here that is a child of the daemon, which hands over what the source
//! says; its death is one more outage of one stream.
//!
//! The child is this program again, told by [`Worker`] to be [`serve`]d. It reads its [`SourceConfig`] from standard input, and ends when that
//! is closed; [`wire`] has the messages it writes to standard output.

mod child;
mod cuts;
mod guard;
pub mod line;
mod room;
pub mod wire;
mod worker;

use std::path::PathBuf;
use std::sync::Once;
use std::time::{Duration, Instant};

use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio::time::{interval, sleep_until, timeout};
use tokio_util::sync::CancellationToken;

use self::child::{Child, Died, Said};
use self::cuts::Cuts;
use self::line::Line;
use self::wire::{Errand, Order};
use super::config::SourceConfig;
use super::cut::{CutOrder, Recording};
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

/// As [`super::spawn`], with the source in a child process; with a `recording` as [`super::spawn_recorded`]. What is kept for clips lies in the
/// child, so that media never reach the daemon but as frames and samples: what writes containers is C, too. It is gone with the child.
pub fn spawn(
    worker: Worker,
    config: SourceConfig,
    recording: Option<Recording>,
    sender: mpsc::Sender<SourceEvent>,
    shutdown: CancellationToken,
) -> JoinHandle<()> {
    tokio::spawn(async move {
        let (rules, writable, orders) = match recording {
            Some(Recording { rules, folder, orders }) => (Some(rules), Some(folder), Some(orders)),
            None => (None, None, None),
        };
        let last = sender.clone();
        let shown = Address::parse(&config.uri).map_or_else(|_| "***".into(), |at| at.shown().to_owned());
        let terms =
            Terms { live: config.live, loops: config.loop_file, ends: false, reconnect: config.reconnect };
        let period = config.grid.map_or(Duration::from_nanos(1), |grid| grid.period());
        let mut readable = tokio::task::spawn_blocking(room::found).await.unwrap_or_default();
        readable.extend(Address::parse(&config.uri).ok().and_then(|at| at.file().map(Into::into)));
        let mut keeper = Keeper {
            policy: Policy::new(terms),
            line: Line::new(period),
            started: Instant::now(),
            worker,
            errand: Errand { config, rules, readable, writable },
            cuts: Cuts::new(orders),
            present: None,
            shown,
            sender,
            shutdown,
        };
        let end = keeper.run().await.unwrap_or(End::Stopped);
        // A reader that is gone or asleep must not keep the source alive.
        let _unread = timeout(FAREWELL, last.send(SourceEvent::Ended(end))).await;
        drop(last);
        keeper.linger().await;
    })
}

/// Clips that were wanted last may take so long once the source is over and nothing more can be wanted.
const LINGER: Duration = Duration::from_secs(8);

/// The token was cancelled or the reader is gone.
struct Stopped;

/// What a child says next; never, where there is none.
async fn next(child: &mut Option<Child>) -> Result<Said, Died> {
    match child {
        Some(child) => child.next().await,
        None => std::future::pending().await,
    }
}

struct Keeper {
    worker: Worker,
    errand: Errand,
    cuts: Cuts,
    /// The child whose source is over, which may still cut clips.
    present: Option<Child>,
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
        say_what_is_missing();
        if self.errand.config.reach.is_some() && !guard::can_judge() {
            let message = format!(
                "{}: this kernel cannot hold a source to control.allow.hosts (Linux 5.5 with seccomp can); name the stream \
                 in the configuration file",
                self.shown
            );
            return Ok(End::Failed(Failure::new(Kind::Internal, message)));
        }
        loop {
            self.policy.connecting();
            let died = match self.child().await? {
                Ok(end) => return Ok(end),
                Err(died) => died,
            };
            let failure = Failure::new(Kind::Crashed, format!("{}: {died}", self.shown));
            match self.policy.failed(self.started.elapsed(), failure, rand::random()) {
                Step::Retry { after, failure } => {
                    tracing::warn!(stream = self.errand.config.stream_id, reason = %failure, retry_in = ?after, "source lost");
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

    /// One child from its start to its end: what the source said last, or how the child died. One that did not die may still cut clips.
    async fn child(&mut self) -> Result<Result<End, Died>, Stopped> {
        let mut child = match Child::start(&self.worker, &self.errand).await {
            Ok(child) => child,
            Err(died) => return Ok(Err(died)),
        };
        tracing::debug!(
            stream = self.errand.config.stream_id,
            pid = child.pid(),
            "the source's process started"
        );
        let heard = self.hear(&mut child).await;
        match &heard {
            Ok(Ok(_)) => self.present = Some(child),
            Ok(Err(_)) => self.cuts.lost(),
            // What it had decoded belongs to nobody any more.
            Err(Stopped) => {
                child.order(&Order::Stop).await;
                self.present = Some(child);
            }
        }
        heard
    }

    /// Passes on what a child says, and to it which clips are wanted.
    async fn hear(&mut self, child: &mut Child) -> Result<Result<End, Died>, Stopped> {
        let mut ticks = interval(TICK);
        let shutdown = self.shutdown.clone();
        loop {
            let said = tokio::select! {
                biased;
                () = shutdown.cancelled() => return Err(Stopped),
                () = self.sender.closed() => return Err(Stopped),
                // Before what is said: of a file that never pauses.
                order = self.cuts.next() => {
                    self.cut(child, order).await;
                    continue;
                }
                said = child.next() => said,
                // Until the new child says where it is, the outage goes on.
                _ = ticks.tick(), if self.line.is_away() => {
                    let events = self.line.away();
                    self.send_all(events).await?;
                    continue;
                }
            };
            match said {
                Ok(Said::Cut(id, result)) => self.cuts.made(id, result),
                Ok(Said::Event(SourceEvent::Ended(end))) => return Ok(Ok(end)),
                Ok(Said::Event(event)) => {
                    if matches!(event, SourceEvent::Frame(_) | SourceEvent::Audio(_)) {
                        self.policy.sample(self.started.elapsed());
                    }
                    match self.line.place(event) {
                        Ok(events) => self.send_all(events).await?,
                        Err(said) => return Ok(Err(Died::Nonsense(said))),
                    }
                }
                Err(died) => return Ok(Err(died)),
            }
        }
    }

    /// Passes an order for a clip on.
    async fn cut(&mut self, child: &mut Child, order: CutOrder) {
        let Some(offset) = self.line.offset() else { return Cuts::refuse(order) };
        let order = self.cuts.order(order, offset);
        if !child.order(&order).await {
            self.cuts.lost();
        }
    }

    /// The source is over: lets its last child cut clips for as long as any may be wanted, and ends it.
    async fn linger(&mut self) {
        let mut child = self.present.take();
        let mut patience = LINGER;
        while !(self.cuts.is_over() && (self.cuts.is_idle() || child.is_none())) {
            let over = self.cuts.is_over();
            let said = tokio::select! {
                biased;
                order = self.cuts.next() => {
                    match &mut child {
                        Some(child) => self.cut(child, order).await,
                        None => Cuts::refuse(order),
                    }
                    continue;
                }
                said = next(&mut child) => said,
                () = tokio::time::sleep(TICK) => {
                    patience = if over { patience.saturating_sub(TICK) } else { LINGER };
                    if patience.is_zero() {
                        break;
                    }
                    continue;
                }
            };
            match said {
                Ok(Said::Cut(id, result)) => self.cuts.made(id, result),
                Ok(Said::Event(_)) => {}
                Err(died) => {
                    tracing::debug!(stream = self.errand.config.stream_id, %died, "the last clips are lost");
                    self.cuts.lost();
                    child = None;
                }
            }
        }
        if let Some(child) = child {
            let _code = timeout(LEAVE, child.leave()).await;
        }
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
                order = self.cuts.next() => Cuts::refuse(order),
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

/// Says once what this kernel cannot do for us.
fn say_what_is_missing() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        if !room::is_possible() {
            tracing::warn!("this kernel has no landlock (Linux 5.13): processes of sources can read files");
        }
        if !guard::can_judge() {
            tracing::warn!("this kernel has no filters of system calls (seccomp) that ask: processes of sources can connect everywhere");
        }
    });
}
