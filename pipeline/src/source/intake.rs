//! Where the streaming threads of both tracks meet: one time line, one capture clock, one mailbox.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::clock::{CaptureClock, ClockChange};
use super::config::SourceConfig;
use super::event::SourceEvent;
use super::mailbox::{Activity, Closed, Mailbox, WhenFull};
use super::programs::Programs;
use super::ring::Ring;
use super::scheme::Scheme;
use crate::stream::Medium;
use crate::timeline::{
    ClockAnchor, ClockQuality, Hole, HoleCause, Placed, Rules, Stamp, StreamTime, Timeline, UtcTime,
};

/// One buffer as it comes out of the graph; nanoseconds.
#[derive(Debug, Clone, Copy)]
pub(super) struct Arrived {
    /// Running time; `None` when the source gave no time stamp.
    pub pts: Option<i64>,
    /// How far the source's own time stamp is ahead of the running time.
    pub ahead: i64,
    pub duration: i64,
    /// The source's wall clock at capture.
    pub ntp: Option<UtcTime>,
}

/// A buffer on the stream's time line.
#[derive(Debug)]
pub(super) struct Timed {
    pub stream: StreamTime,
    pub capture: UtcTime,
    pub restart: bool,
    /// Nothing before this instant may be delivered any more.
    pub floor: StreamTime,
    /// What the reader must know before this buffer.
    pub before: Vec<SourceEvent>,
}

/// Shared by a source's connections, one after the other.
#[derive(Debug)]
pub(super) struct Intake {
    pub mailbox: Mailbox,
    /// Where what comes is kept as it came, if it is.
    ring: Option<Arc<Ring>>,
    programs: Arc<Programs>,
    state: Mutex<State>,
    started: Instant,
    begun: UtcTime,
    realtime: bool,
    slack: Duration,
    wanted: [bool; 2],
}

#[derive(Debug)]
struct State {
    generation: u64,
    timeline: Timeline,
    clock: CaptureClock,
    /// Up to where each track was handed over; `None` before its first sample.
    handed: [Option<StreamTime>; 2],
    /// Tracks that will bring nothing more.
    over: [bool; 2],
    /// When which stream time is due, for files that play at their own speed.
    pace: Option<(Instant, StreamTime)>,
    outage: String,
    progress: StreamTime,
    /// How far this connection's running time came.
    reached: i64,
    /// How far its own time stamps are ahead of that, by its first sample.
    ahead: Option<i64>,
    /// When its first sample came, and where it is in stream time.
    first: Option<(i64, StreamTime)>,
    /// Nanoseconds of stream time less running time, of each track's last sample on this connection.
    offset: [Option<i64>; 2],
    /// UTC minus the wall when the clocks were last compared.
    utc: i64,
}

/// The system's clock was set if it and the wall part by more than this.
const SET: i64 = 1_000_000_000;
/// Why nothing is known since another has watched the stream.
const TAKEN_OVER: &str = "outage: nobody watched until another daemon took over";
/// How long the first burst of a playlist may take.
const BURST: i64 = 2_000_000_000;

impl Intake {
    /// `slack`: how far one track may trail the other before it counts as silent.
    pub fn new(config: &SourceConfig, slack: Duration, ring: Option<Arc<Ring>>) -> Self {
        let (rules, when_full) =
            if config.live { (Rules::LIVE, WhenFull::Shed) } else { (Rules::FILE, WhenFull::Wait) };
        let begun = UtcTime::now();
        let timeline = match config.resume.filter(|_| config.live) {
            Some(reached) => {
                Timeline::resumed(rules, reached.stream, reached.utc.0.saturating_sub(begun.0).min(0))
            }
            None => Timeline::new(rules),
        };
        let state = State {
            generation: 0,
            timeline,
            clock: CaptureClock::new(config.live),
            handed: [None; 2],
            over: [false; 2],
            pace: None,
            outage: config.resume.map(|_| TAKEN_OVER.to_owned()).unwrap_or_default(),
            progress: config
                .resume
                .filter(|_| config.live)
                .map_or(StreamTime::ZERO, |reached| reached.stream),
            reached: 0,
            ahead: None,
            first: None,
            offset: [None; 2],
            utc: begun.0,
        };
        Self {
            mailbox: Mailbox::new(when_full, config.grid),
            ring,
            programs: Arc::new(Programs::new(config)),
            state: Mutex::new(state),
            started: Instant::now(),
            begun,
            realtime: config.realtime && !config.live,
            slack,
            wanted: [config.sample_rate > 0, config.grid.is_some()],
        }
    }

    /// Starts a connection.
    pub fn open(&self) -> u64 {
        self.programs.open();
        let mut state = self.lock();
        state.over = [false; 2];
        state.reached = 0;
        state.ahead = None;
        state.first = None;
        state.offset = [None; 2];
        state.clock.restart();
        state.generation = self.mailbox.open();
        state.generation
    }

    /// Where what comes is kept as it came, if it is.
    pub fn ring(&self) -> Option<&Arc<Ring>> {
        self.ring.as_ref()
    }

    /// Which of several programmes is watched.
    pub fn programs(&self) -> &Arc<Programs> {
        &self.programs
    }

    /// The connection failed; the time until the next sample is an outage. When nothing ever came, the stream begins with
    /// it, and the reader must know when that was.
    pub fn lost(&self, reason: &str) -> Option<SourceEvent> {
        let mut state = self.lock();
        state.outage = format!("outage: {reason}");
        let anchor = ClockAnchor { stream: StreamTime::ZERO, utc: self.begun };
        let begins = SourceEvent::Clock { clock: ClockQuality::Arrival, av_offset_ms: None, anchor };
        state.timeline.lost().then_some(begins)
    }

    /// The file starts again.
    pub fn looped(&self) {
        self.lock().timeline.looped();
    }

    /// The present connection reads a playlist, whose first samples come in a burst.
    pub fn bursts(&self) {
        self.lock().clock.bursts();
    }

    /// May what came be handed over? Not before the first burst of a playlist is over, for only then it can be dated.
    pub fn is_dated(&self) -> bool {
        let state = self.lock();
        if !state.clock.is_settling() {
            return true;
        }
        let is_over = state.first.is_some_and(|(wall, _)| self.wall() - wall >= BURST);
        drop(state);
        let is_over = is_over || self.mailbox.is_half_full();
        if is_over {
            self.date();
        }
        is_over
    }

    /// Dates what came of the first burst of a playlist.
    pub fn date(&self) {
        let mut state = self.lock();
        let Some((_, from)) = state.first.filter(|_| state.clock.is_settling()) else { return };
        if let Some((offset, change)) = state.clock.settle(from) {
            self.mailbox.redate(offset, change.into());
        }
    }

    /// Puts a buffer on the time line; `None` when it comes too late to be used.
    pub fn place(&self, track: Medium, arrived: &Arrived) -> Option<Timed> {
        let mut state = self.lock();
        let (arrival, wall) = (UtcTime::now(), self.wall());
        state.compare(arrival, wall);
        let pts = arrived.pts.unwrap_or(wall);
        let ntp = arrived.ntp.map(|ntp| ntp.0);
        let stamp = Stamp { pts, duration: arrived.duration, wall, ntp };
        let Placed::At { stream, restart, hole } = state.timeline.place(track, &stamp) else {
            self.mailbox.late();
            return None;
        };
        if let (Some(ring), Some(pts)) = (&self.ring, arrived.pts) {
            ring.placed(track, state.generation, pts, stream);
        }
        state.reached = state.reached.max(pts.saturating_add(arrived.duration.max(0)));
        state.offset[track as usize] = arrived.pts.map(|pts| stream.0.saturating_sub(pts));
        state.ahead.get_or_insert(arrived.ahead);
        state.first.get_or_insert((wall, stream));
        let mut before = Vec::new();
        if let Some(hole) = hole {
            before.push(state.gap(hole));
        }
        if restart && hole.is_none_or(|hole| hole.cause != HoleCause::Pause) && arrived.pts.is_some() {
            tracing::debug!(?track, stream = stream.as_secs_f64(), "time stamps restarted");
        }
        let (capture, change) =
            state.clock.capture(track, stream, arrival, arrived.ntp, arrived.pts.is_some());
        before.extend(change.map(SourceEvent::from));
        let floor = state.progress.max(state.timeline.reported());
        Some(Timed { stream, capture, restart, floor, before })
    }

    /// Where what comes at this running time will be placed, if nothing jumps; `None` where nothing was placed yet.
    pub fn foresee(&self, track: Medium, pts: i64) -> Option<StreamTime> {
        let offset = self.lock().offset[track as usize]?;
        Some(StreamTime(pts.saturating_add(offset)))
    }

    /// For a file that plays at its own speed: holds the calling thread until `stream` is due.
    pub fn pace(&self, generation: u64, stream: StreamTime) -> Result<(), Closed> {
        if !self.realtime {
            return Ok(());
        }
        let (start, zero) = *self.lock().pace.get_or_insert((Instant::now(), stream));
        self.mailbox.wait_until(generation, start + stream.since(zero))
    }

    /// The track brings nothing before `until` any more.
    pub fn handed(&self, track: Medium, until: StreamTime) {
        let mut state = self.lock();
        state.over[track as usize] = false;
        let handed = &mut state.handed[track as usize];
        *handed = Some(handed.unwrap_or_default().max(until));
    }

    /// This track has ended.
    pub fn over(&self, track: Medium) {
        self.lock().over[track as usize] = true;
    }

    /// The source has these tracks. A track that appears nevertheless is waited for from then on.
    pub fn carries(&self, audio: bool, video: bool) {
        let mut state = self.lock();
        state.over[Medium::Audio as usize] |= !audio;
        state.over[Medium::Video as usize] |= !video;
    }

    /// How far the present connection's running time came.
    pub fn reached(&self) -> Duration {
        Duration::from_nanos(self.lock().reached.max(0) as u64)
    }

    /// How far its own time stamps are ahead of that: those of a part of a recording may go on from the part before.
    pub fn ahead(&self) -> Duration {
        Duration::from_nanos(self.lock().ahead.unwrap_or(0).max(0) as u64)
    }

    /// Declares over what no track will bring any more: before the slower track's end, or further back than the slack
    /// before the faster one's.
    pub fn progress(&self, generation: u64) -> Result<(), Closed> {
        let mut state = self.lock();
        let Some(newest) = state.handed.iter().flatten().max().copied() else { return Ok(()) };
        let active = (0..2).filter(|&track| self.wanted[track] && !state.over[track]);
        let slowest = active.map(|track| state.handed[track].unwrap_or_default()).min().unwrap_or(newest);
        let until = slowest.max(newest.minus(self.slack)).max(StreamTime::ZERO);
        if until <= state.progress {
            return Ok(());
        }
        state.progress = until;
        drop(state);
        self.mailbox.push(generation, SourceEvent::Progress(until))
    }

    /// While the source is away: the part of the outage that has passed and was not said yet, and that it is over.
    pub fn away(&self) -> Option<[SourceEvent; 2]> {
        let mut state = self.lock();
        let wall = self.wall();
        let hole = state.timeline.outage_until(wall)?;
        state.progress = state.progress.max(hole.to);
        Some([state.gap(hole), SourceEvent::Progress(hole.to)])
    }

    /// What was dropped, and since when nothing moved.
    pub fn activity(&self) -> Activity {
        self.mailbox.activity()
    }

    /// Nanoseconds since the source was started, never running back.
    fn wall(&self) -> i64 {
        i64::try_from(self.started.elapsed().as_nanos()).unwrap_or(i64::MAX)
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl From<ClockChange> for SourceEvent {
    fn from(ClockChange { clock, av_offset_ms, anchor }: ClockChange) -> Self {
        Self::Clock { clock, av_offset_ms, anchor }
    }
}

impl State {
    /// Notices when the system's clock was set.
    fn compare(&mut self, now: UtcTime, wall: i64) {
        let step = now.0 - wall - self.utc;
        if step.abs() > SET {
            tracing::warn!(seconds = step as f64 / 1e9, "the system's clock was set");
            self.clock.stepped(step);
            self.utc += step;
        }
    }

    fn gap(&self, hole: Hole) -> SourceEvent {
        let reason = match hole.cause {
            HoleCause::Outage if self.outage.is_empty() => "outage: the source was away".to_owned(),
            HoleCause::Outage => self.outage.clone(),
            HoleCause::Pause => "pause: the source delivered nothing".to_owned(),
            HoleCause::Forward => "jump: the source's time stamps jumped forward".to_owned(),
            HoleCause::Backward => "jump: the source's time stamps went back".to_owned(),
        };
        SourceEvent::Gap { from: hole.from, to: hole.to, reason }
    }
}

/// How far one track of a source may trail the other before it counts as silent: the network's latency and the
/// interleaving of the container; HTTP playlists may fetch the tracks in turns.
pub(super) fn slack(scheme: Scheme, config: &SourceConfig) -> Duration {
    config.latency
        + match scheme {
            Scheme::Http | Scheme::File => Duration::from_secs(10),
            _ => Duration::from_millis(1500),
        }
}
