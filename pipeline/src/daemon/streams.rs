//! The streams of a running daemon: those of its file and those that were added since. They are added, changed and left
//! here, one at a time for each id; what runs of them is the engine's business.

mod of_fleet;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use avicuna_models::manifest::Manifest;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use tokio::sync::{mpsc, oneshot};

use crate::clips::ClipPlan;
use crate::config::{ClipsConfig, Config, Problem, StreamConfig};
use crate::fleet::{Desk, FleetError};
use crate::source::apart::Worker;
use crate::source::reach::Reach;
use crate::watching::{Command, Leaving, Plan, Retune};

/// Commands on their way to the engine.
const COMMANDS: usize = 64;

/// Where a stream was asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Origin {
    /// In the configuration file.
    File,
    /// By a call while the daemon ran.
    Api,
    /// In the settings that a fleet shares.
    Fleet,
}

/// A stream that is known.
#[derive(Debug, Clone, PartialEq)]
pub struct Listed {
    /// What was asked for.
    pub config: StreamConfig,
    /// Where.
    pub origin: Origin,
}

/// Why a stream could not be added, changed or left.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum StreamsError {
    /// There is one of this id.
    #[error("a stream \"{0}\" exists; change it, or take another id")]
    Exists(String),
    /// There is none of this id.
    #[error("there is no stream \"{0}\"")]
    Unknown(String),
    /// It stands in the file.
    #[error("the stream \"{0}\" stands in the configuration file; change it there and send SIGHUP")]
    OfFile(String),
    /// Another call changes it at this moment.
    #[error("the stream \"{0}\" is being changed by another call; try again")]
    Busy(String),
    /// It cannot be watched as it is.
    #[error("the stream cannot be watched as it is: {}", told(.0))]
    Invalid(Vec<Problem>),
    /// No stream is taken any more.
    #[error("the daemon is stopping")]
    Stopping,
    /// The brokers that keep the streams of a fleet do not do it.
    #[error("the fleet: {0}")]
    Fleet(String),
}

impl From<FleetError> for StreamsError {
    fn from(error: FleetError) -> Self {
        Self::Fleet(error.to_string())
    }
}

fn told(problems: &[Problem]) -> String {
    problems.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ")
}

/// What a new file changed.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Reloaded {
    /// Not there before.
    pub added: Vec<String>,
    /// Other settings than before.
    pub changed: Vec<String>,
    /// Not there any more.
    pub removed: Vec<String>,
}

/// The streams of a daemon. Clones share them.
#[derive(Debug, Clone)]
pub struct Streams {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    manifest: Manifest,
    worker: Worker,
    clips: ClipsConfig,
    /// Where streams that are added by a call may lead to.
    reach: Reach,
    roster: Mutex<Roster>,
    commands: mpsc::Sender<Command>,
    /// Where the streams are, if they are those of a fleet: unset until its brokers have answered.
    desk: Option<OnceLock<Desk>>,
}

#[derive(Debug, Default)]
struct Roster {
    listed: BTreeMap<String, Listed>,
    /// Ids that a call is changing.
    busy: BTreeSet<String>,
}

/// An id that nobody else changes meanwhile.
struct Hold<'a> {
    streams: &'a Streams,
    id: String,
}

impl Drop for Hold<'_> {
    fn drop(&mut self) {
        self.streams.lock().busy.remove(&self.id);
    }
}

impl Streams {
    /// Those of a file, and what the engine is to obey.
    pub(super) fn of_file(
        file: &[StreamConfig],
        manifest: Manifest,
        worker: Worker,
        (clips, is_fleet): (ClipsConfig, bool),
        reach: Reach,
    ) -> (Self, mpsc::Receiver<Command>) {
        let (commands, obeyed) = mpsc::channel(COMMANDS);
        let listed = |config: &StreamConfig| Listed { config: config.clone(), origin: Origin::File };
        let listed = file.iter().map(|config| (config.id.clone(), listed(config))).collect();
        let roster = Mutex::new(Roster { listed, busy: BTreeSet::new() });
        let desk = is_fleet.then(OnceLock::new);
        (Self { inner: Arc::new(Inner { manifest, worker, clips, reach, roster, commands, desk }) }, obeyed)
    }

    /// Every stream that is known, by id.
    pub fn list(&self) -> Vec<Listed> {
        match self.fleet() {
            Some(desk) => desk.look(|table| table.streams().values().filter_map(of_fleet::listed).collect()),
            None => self.lock().listed.values().cloned().collect(),
        }
    }

    /// One stream.
    pub fn get(&self, id: &str) -> Option<Listed> {
        match self.fleet() {
            Some(desk) => desk.look(|table| table.streams().get(id).and_then(of_fleet::listed)),
            None => self.lock().listed.get(id).cloned(),
        }
    }

    /// How something that a caller asks for would be watched; nothing is done with it.
    ///
    /// # Errors
    /// When it cannot be watched.
    pub fn plan(&self, config: &StreamConfig) -> Result<Plan, StreamsError> {
        self.planned(config, Origin::Api).map_err(StreamsError::Invalid)
    }

    /// Adds a stream, and watches it if it is enabled.
    ///
    /// # Errors
    /// When it exists, cannot be watched, or the daemon is stopping.
    pub async fn add(&self, config: StreamConfig, origin: Origin) -> Result<(), StreamsError> {
        let plan = self.planned(&config, origin).map_err(StreamsError::Invalid)?;
        let hold = self.hold(&config.id)?;
        if let Some(desk) = self.desk()? {
            if desk.look(|table| table.streams().contains_key(&config.id)) {
                return Err(StreamsError::Exists(config.id));
            }
            return Ok(desk.put(&config).await?);
        }
        {
            let mut roster = self.lock();
            if roster.listed.contains_key(&config.id) {
                return Err(StreamsError::Exists(config.id));
            }
            roster.listed.insert(config.id.clone(), Listed { config: config.clone(), origin });
        }
        if config.enabled && self.watch(plan).await.is_err() {
            self.lock().listed.remove(&config.id);
            return Err(StreamsError::Stopping);
        }
        drop(hold);
        Ok(())
    }

    /// Gives a stream other settings. Where they need no other connection and no other windows, it goes on, from one window to
    /// the next, and its open events stay open; else it is left, its windows answered and its events ended, and then watched
    /// anew. What is as before is left alone.
    ///
    /// # Errors
    /// When there is none, it stands in the file, cannot be watched, is busy, or the daemon is stopping.
    pub async fn change(&self, config: StreamConfig) -> Result<(), StreamsError> {
        let plan = self.planned(&config, Origin::Api).map_err(StreamsError::Invalid)?;
        let _hold = self.hold(&config.id)?;
        let before = self.get(&config.id).ok_or_else(|| StreamsError::Unknown(config.id.clone()))?;
        if let Some(desk) = self.desk()? {
            return Ok(desk.put(&config).await?);
        }
        if before.origin == Origin::File {
            return Err(StreamsError::OfFile(config.id));
        }
        self.replace(before, config, plan).await
    }

    /// Leaves a stream; `drain` lets the model answer the windows that wait. Its events are ended either way. `false` when
    /// there is none.
    ///
    /// # Errors
    /// When it stands in the file, is busy, or the daemon is stopping.
    pub async fn remove(&self, id: &str, drain: bool) -> Result<bool, StreamsError> {
        let _hold = self.hold(id)?;
        if let Some(desk) = self.desk()? {
            if self.get(id).is_none() && desk.view(id).is_none() {
                return Ok(false);
            }
            desk.remove(id).await?;
            return Ok(true);
        }
        match self.get(id) {
            None => Ok(false),
            Some(Listed { origin: Origin::File, .. }) => Err(StreamsError::OfFile(id.to_owned())),
            Some(_) => {
                self.leave(id, if drain { Leaving::Drained } else { Leaving::Now }).await?;
                self.lock().listed.remove(id);
                Ok(true)
            }
        }
    }

    /// Takes the streams of a changed file: what is new is watched, what is gone left, what changed goes on or is watched anew,
    /// and what is as before not touched.
    ///
    /// # Errors
    /// When one cannot be watched, has the id of a stream that was added by a call, is busy, or the daemon is stopping.
    /// What was done until then stays.
    pub async fn reload(&self, streams: &[StreamConfig]) -> Result<Reloaded, StreamsError> {
        let mut plans = Vec::new();
        for config in streams {
            plans.push(self.planned(config, Origin::File).map_err(StreamsError::Invalid)?);
            if self.get(&config.id).is_some_and(|listed| listed.origin == Origin::Api) {
                return Err(StreamsError::Exists(config.id.clone()));
            }
        }
        let mut reloaded = Reloaded::default();
        let kept: BTreeSet<&str> = streams.iter().map(|stream| stream.id.as_str()).collect();
        for Listed { config, origin } in self.list() {
            if origin == Origin::File && !kept.contains(config.id.as_str()) {
                let _hold = self.hold(&config.id)?;
                self.leave(&config.id, Leaving::Drained).await?;
                self.lock().listed.remove(&config.id);
                reloaded.removed.push(config.id);
            }
        }
        for (config, plan) in streams.iter().zip(plans) {
            match self.get(&config.id) {
                None => {
                    self.add(config.clone(), Origin::File).await?;
                    reloaded.added.push(config.id.clone());
                }
                Some(before) if before.config != *config => {
                    let _hold = self.hold(&config.id)?;
                    self.replace(before, config.clone(), plan).await?;
                    reloaded.changed.push(config.id.clone());
                }
                Some(_) => {}
            }
        }
        Ok(reloaded)
    }

    async fn replace(&self, before: Listed, config: StreamConfig, plan: Plan) -> Result<(), StreamsError> {
        if before.config == config {
            return Ok(());
        }
        let (id, enabled) = (config.id.clone(), config.enabled);
        if before.config.enabled && enabled && self.retune(&plan).await? {
            self.lock().listed.insert(id, Listed { config, origin: before.origin });
            return Ok(());
        }
        if before.config.enabled {
            self.leave(&config.id, Leaving::Drained).await?;
        }
        self.lock().listed.insert(id, Listed { config, origin: before.origin });
        if enabled { self.watch(plan).await } else { Ok(()) }
    }

    /// `false` when the stream does not run, or needs to be watched anew for it.
    async fn retune(&self, plan: &Plan) -> Result<bool, StreamsError> {
        let (over, retuned) = oneshot::channel();
        self.tell(Command::Retune(Retune { plan: Box::new(plan.clone()), over })).await?;
        // One that ended meanwhile says nothing.
        Ok(retuned.await.unwrap_or(false))
    }

    async fn watch(&self, plan: Plan) -> Result<(), StreamsError> {
        self.tell(Command::Watch(Box::new(plan))).await
    }

    async fn leave(&self, id: &str, how: Leaving) -> Result<(), StreamsError> {
        let (over, left) = oneshot::channel();
        self.tell(Command::Leave { stream: id.into(), how, over }).await?;
        left.await.map_err(|_| StreamsError::Stopping)
    }

    async fn tell(&self, command: Command) -> Result<(), StreamsError> {
        self.inner.commands.send(command).await.map_err(|_| StreamsError::Stopping)
    }

    fn planned(&self, config: &StreamConfig, origin: Origin) -> Result<Plan, Vec<Problem>> {
        let problems = Config::stream_problems(config);
        if !problems.is_empty() {
            return Err(problems);
        }
        let mut plan = Plan::of(config, &self.inner.manifest).map_err(|error| error.problems)?;
        // What a caller adds is held to where it may lead, which only a process of its own can be.
        let is_held = origin != Origin::File && config.address().is_ok_and(|at| at.scheme_name() != "test");
        plan.source.reach = is_held.then(|| self.inner.reach.clone());
        plan.apart = (is_held || config.is_apart()).then(|| self.inner.worker.clone());
        plan.clips = ClipPlan::of(&self.inner.clips, config);
        Ok(plan)
    }

    fn hold(&self, id: &str) -> Result<Hold<'_>, StreamsError> {
        if !self.lock().busy.insert(id.to_owned()) {
            return Err(StreamsError::Busy(id.to_owned()));
        }
        Ok(Hold { streams: self, id: id.to_owned() })
    }

    fn lock(&self) -> MutexGuard<'_, Roster> {
        self.inner.roster.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
