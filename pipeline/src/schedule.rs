//! From the windows of many streams to batches for the localizer: every stream has its own short queue, batches take
//! from the queues in turn, and what a live stream has too much of is shed window by window. `docs/windows.md` states
//! the rules.

mod rota;
#[cfg(test)]
mod tests;

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use avicuna_models::localizer::{LastWindow, Question};
use serde::{Deserialize, Serialize};
use tokio::sync::Notify;
use tokio::time::{Instant, sleep_until};

use self::rota::Rota;
use crate::durations;
use crate::stream::StreamId;
use crate::window::{Ahead, Window};

/// Which window of a live stream is given up when its queue is full: `[schedule] shed` of the configuration.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Shed {
    /// The one that has waited longest: what comes out is recent.
    #[default]
    Oldest,
    /// The one that came last: what comes out is contiguous.
    Newest,
}

/// How windows wait and are joined: `[schedule]` of the configuration.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ScheduleConfig {
    /// The most windows in a batch; 0 counts as 1.
    pub max_batch: usize,
    /// A batch is given out when it is full, or when its oldest window has waited so long.
    #[serde(with = "durations")]
    pub linger: Duration,
    /// The most windows of one stream that wait; 0 counts as 1.
    pub queue_per_stream: usize,
    /// What happens to a live stream that has more.
    pub shed: Shed,
    /// A question that waits gets one place in a batch before windows once in so long, however much they fill; zero: in
    /// every batch.
    #[serde(with = "durations")]
    pub question_every: Duration,
    /// While no window waits, what is there of live streams' next ones is encoded.
    pub ahead: bool,
}

impl Default for ScheduleConfig {
    fn default() -> Self {
        let linger = Duration::from_millis(20);
        let question_every = Duration::from_secs(5);
        Self { max_batch: 4, linger, queue_per_stream: 2, shed: Shed::default(), question_every, ahead: true }
    }
}

/// A window and what is asked about it.
#[derive(Debug)]
pub struct Job {
    /// The window.
    pub window: Window,
    /// At least one.
    pub questions: Vec<Question>,
    /// What was said about its stream's last window.
    pub last: Option<Arc<LastWindow>>,
    /// Must its stream never be held up?
    pub live: bool,
    /// Somebody asks, and nothing else waits for the answer: it takes the room that windows of streams leave, and one place
    /// of theirs each [`ScheduleConfig::question_every`].
    pub behind: bool,
}

/// What there is to do.
#[derive(Debug)]
pub enum Work {
    /// Windows to be answered.
    Windows(Vec<Job>),
    /// Nothing that anybody waits for: what is there of a window can be encoded.
    Ahead(Ahead),
}

/// What became of a [`Scheduler::submit`].
#[derive(Debug, Default)]
#[must_use = "windows that were shed are to be reported"]
pub struct Submitted {
    /// Windows of the same stream that were given up: an older one that waited, or the submitted one itself.
    pub shed: Vec<Window>,
}

/// A queue for each stream, emptied in turn. Clones share it.
///
/// A submitted job is returned by [`Scheduler::next`] once, or its window by [`Scheduler::submit`] as shed.
#[derive(Debug, Clone)]
pub struct Scheduler {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    config: ScheduleConfig,
    state: Mutex<State>,
    /// A job came, or the scheduler was closed.
    arrived: Notify,
    /// Jobs went, or the scheduler was closed.
    left: Notify,
}

#[derive(Debug)]
struct State {
    rota: Rota<Box<Waiting>>,
    /// Jobs that are [`Job::behind`] the others.
    behind: Rota<Box<Waiting>>,
    /// When one of them was given out last.
    asked: Option<Instant>,
    /// What can be encoded ahead, of each stream the newest, in turn.
    ahead: VecDeque<(StreamId, Ahead)>,
    closed: bool,
}

#[derive(Debug)]
struct Waiting {
    job: Job,
    since: Instant,
}

/// What [`Scheduler::next`] finds.
enum Found {
    Work(Work),
    /// Nothing before this instant, unless something arrives.
    Until(Option<Instant>),
    Over,
}

impl Scheduler {
    /// Empty and open.
    pub fn new(config: ScheduleConfig) -> Self {
        let [rota, behind] = [config.queue_per_stream; 2].map(Rota::new);
        let shared = Shared {
            config,
            state: Mutex::new(State { rota, behind, asked: None, ahead: VecDeque::new(), closed: false }),
            arrived: Notify::new(),
            left: Notify::new(),
        };
        Self { shared: Arc::new(shared) }
    }

    /// Queues a job. A live one at once, with what was shed to make room; any other waits for room in its own stream's
    /// queue. After [`Scheduler::close`], also for those that wait then, the window itself comes back as shed.
    ///
    /// Cancelled while it waits, the job is not queued and gone with the future. Submit the windows of one stream one
    /// after the other to keep their order.
    pub async fn submit(&self, job: Job) -> Submitted {
        let mut waiting = Box::new(Waiting { job, since: Instant::now() });
        loop {
            // Registered before looking, so that room made in between is not missed.
            let left = self.shared.left.notified();
            match self.offer(waiting) {
                Ok(submitted) => return submitted,
                Err(refused) => waiting = refused,
            }
            left.await;
            waiting.since = Instant::now();
        }
    }

    /// Queues a job or says that it has to wait.
    fn offer(&self, waiting: Box<Waiting>) -> Result<Submitted, Box<Waiting>> {
        let mut state = self.shared.lock();
        if state.closed {
            return Ok(Submitted { shed: vec![waiting.job.window] });
        }
        let stream = waiting.job.window.id.stream.clone();
        // It was of this window, or of one before.
        state.ahead.retain(|(of, _)| *of != stream);
        let mut shed = Vec::new();
        let queues = if waiting.job.behind { &mut state.behind } else { &mut state.rota };
        if let Err(refused) = queues.push(&stream, waiting) {
            if !refused.job.live || refused.job.behind {
                return Err(refused);
            }
            match self.shared.config.shed {
                Shed::Newest => shed.push(refused.job.window),
                Shed::Oldest => {
                    let oldest = state.rota.replace_oldest(&stream, refused);
                    shed.extend(oldest.map(|oldest| oldest.job.window));
                }
            }
        }
        drop(state);
        self.shared.arrived.notify_waiters();
        Ok(Submitted { shed })
    }

    /// This is there of the next window of a live stream. It takes the place of what was there of it before, and is forgotten when the window itself
    /// is submitted.
    pub fn look_ahead(&self, stream: &StreamId, ahead: Ahead) {
        let mut state = self.shared.lock();
        if state.closed || !self.shared.config.ahead {
            return;
        }
        match state.ahead.iter_mut().find(|(of, _)| of == stream) {
            Some((_, before)) => *before = ahead,
            None => state.ahead.push_back((stream.clone(), ahead)),
        }
        drop(state);
        self.shared.arrived.notify_waiters();
    }

    /// Nothing of a stream can be encoded ahead any more.
    pub fn forget(&self, stream: &StreamId) {
        self.shared.lock().ahead.retain(|(of, _)| of != stream);
    }

    /// The next windows, at most `max_batch`: one of each stream that has any, in turn, then a second of each, and so
    /// on; within a stream the oldest first. Jobs that are [`Job::behind`] fill what is left of a batch; when nothing else
    /// waits, one at a time, so that what comes then does not wait for long. Where windows fill every batch, one of them goes
    /// with the first batch after [`ScheduleConfig::question_every`], counted from its coming and from the last that was given
    /// out. Where nothing waits at all, what can be encoded ahead, of one stream. `None` once the scheduler is closed and empty. Cancel safe.
    pub async fn next(&self) -> Option<Work> {
        loop {
            let arrived = self.shared.arrived.notified();
            match self.find() {
                Found::Work(work) => {
                    self.shared.left.notify_waiters();
                    return Some(work);
                }
                Found::Over => return None,
                Found::Until(None) => arrived.await,
                Found::Until(Some(due)) => tokio::select! {
                    () = arrived => {}
                    () = sleep_until(due) => {}
                },
            }
        }
    }

    fn find(&self) -> Found {
        let most = self.shared.config.max_batch.max(1);
        let mut state = self.shared.lock();
        let Some(oldest) = state.rota.fronts().map(|waiting| waiting.since).min() else {
            let behind: Vec<Job> = state.take_behind(1).map(|waiting| waiting.job).collect();
            if !behind.is_empty() {
                return Found::Work(Work::Windows(behind));
            }
            // Nothing is, once it is closed.
            if let Some((_, ahead)) = state.ahead.pop_front() {
                return Found::Work(Work::Ahead(ahead));
            }
            return if state.closed { Found::Over } else { Found::Until(None) };
        };
        // What overflows the clock waits for a full batch.
        let due = oldest.checked_add(self.shared.config.linger);
        if state.rota.len() < most && !state.closed && due.is_none_or(|due| due > Instant::now()) {
            return Found::Until(due);
        }
        let reserved = usize::from(state.is_question_due(self.shared.config.question_every));
        let mut taken = state.rota.take(most - reserved);
        let room = most - taken.len();
        taken.extend(state.take_behind(room));
        Found::Work(Work::Windows(taken.into_iter().map(|waiting| waiting.job).collect()))
    }

    /// Takes no more jobs; those queued are still given out, without lingering.
    pub fn close(&self) {
        let mut state = self.shared.lock();
        state.closed = true;
        state.ahead.clear();
        drop(state);
        self.shared.arrived.notify_waiters();
        self.shared.left.notify_waiters();
    }

    /// How many windows of a stream wait.
    pub fn depth(&self, stream: &StreamId) -> usize {
        self.shared.lock().rota.depth(stream)
    }

    /// How many windows wait in all.
    pub fn waiting(&self) -> usize {
        let state = self.shared.lock();
        state.rota.len() + state.behind.len()
    }
}

impl State {
    /// Has something asked waited for its share?
    fn is_question_due(&self, every: Duration) -> bool {
        let Some(came) = self.behind.fronts().map(|waiting| waiting.since).min() else { return false };
        // What overflows the clock is never due.
        self.asked
            .max(Some(came))
            .and_then(|last| last.checked_add(every))
            .is_some_and(|due| due <= Instant::now())
    }

    fn take_behind(&mut self, most: usize) -> impl Iterator<Item = Box<Waiting>> + use<> {
        let taken = self.behind.take(most);
        if !taken.is_empty() {
            self.asked = Some(Instant::now());
        }
        taken.into_iter()
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
