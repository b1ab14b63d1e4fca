//! The bounded queue between a graph's streaming threads and the async side.

use std::collections::VecDeque;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use tokio::sync::Notify;

use super::event::{Losses, SourceEvent, TimedAudio, TimedFrame};
use crate::timeline::{Grid, StreamTime, UtcTime};

/// What happens when the reader falls behind.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum WhenFull {
    /// The streaming thread waits: files lose nothing.
    Wait,
    /// What is queued is thrown away and becomes a gap: live sources are never held up.
    Shed,
}

/// The connection that pushed is over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Closed;

/// Bytes of frames and samples that may wait: about 20 s of four 224 x 224 frames a second and 48 kHz sound for a live
/// source, and enough to keep both sides of a file busy.
const SHED_BYTES: usize = 16 << 20;
const WAIT_BYTES: usize = 4 << 20;

/// Events in order, bounded by the bytes they hold. One mailbox serves a source for its life; every connection pushes
/// under its own generation, so that a graph that is being torn down cannot speak any more.
#[derive(Debug)]
pub(super) struct Mailbox {
    state: Mutex<State>,
    changed: Condvar,
    ready: Notify,
    when_full: WhenFull,
    grid: Option<Grid>,
}

#[derive(Debug)]
struct State {
    queue: VecDeque<SourceEvent>,
    bytes: usize,
    generation: u64,
    /// Nothing before this may be delivered any more.
    floor: StreamTime,
    waiting: usize,
    active: Instant,
    losses: Losses,
}

/// What was not delivered, and whether the graph is alive.
#[derive(Debug, Clone, Copy)]
pub(super) struct Activity {
    /// Since the source started.
    pub losses: Losses,
    /// When a streaming thread last did something; `None` while one waits for the reader or for its time.
    pub idle_since: Option<Instant>,
}

impl Mailbox {
    pub fn new(when_full: WhenFull, grid: Option<Grid>) -> Self {
        let state = State {
            queue: VecDeque::new(),
            bytes: 0,
            generation: 0,
            floor: StreamTime::ZERO,
            waiting: 0,
            active: Instant::now(),
            losses: Losses::default(),
        };
        Self { state: Mutex::new(state), changed: Condvar::new(), ready: Notify::new(), when_full, grid }
    }

    /// Starts a connection; whoever pushes for an earlier one is refused from now on.
    pub fn open(&self) -> u64 {
        let mut state = self.lock();
        state.generation += 1;
        state.active = Instant::now();
        self.changed.notify_all();
        state.generation
    }

    /// Ends the present connection and wakes its waiting threads. What is queued stays.
    pub fn close(&self) {
        self.lock().generation += 1;
        self.changed.notify_all();
    }

    /// Adds one event for the connection `generation`, waiting for space if this is a file.
    pub fn push(&self, generation: u64, event: SourceEvent) -> Result<(), Closed> {
        let size = size(&event);
        let mut state = self.lock();
        let limit = if self.when_full == WhenFull::Wait { WAIT_BYTES } else { SHED_BYTES };
        while size > 0 && state.bytes > 0 && state.bytes + size > limit && state.generation == generation {
            if self.when_full == WhenFull::Shed {
                state.shed();
                break;
            }
            state.waiting += 1;
            state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
            state.waiting -= 1;
        }
        if state.generation != generation {
            return Err(Closed);
        }
        state.active = Instant::now();
        if start(&event, self.grid).is_some_and(|start| start < state.floor) {
            state.losses.late += 1;
            return Ok(());
        }
        if let SourceEvent::Progress(until) = event {
            state.floor = state.floor.max(until);
        }
        state.bytes += size;
        state.queue.push_back(event);
        drop(state);
        self.ready.notify_one();
        Ok(())
    }

    /// Is half of the room taken?
    pub fn is_half_full(&self) -> bool {
        self.lock().bytes > SHED_BYTES / 2
    }

    /// Dates what is queued anew, `offset` nanoseconds of UTC after its stream time, and says `first` before it.
    pub fn redate(&self, offset: i64, first: SourceEvent) {
        let mut state = self.lock();
        for event in &mut state.queue {
            match event {
                SourceEvent::Frame(frame) => frame.capture = UtcTime(frame.stream.0.saturating_add(offset)),
                SourceEvent::Audio(audio) => audio.capture = UtcTime(audio.stream.0.saturating_add(offset)),
                _ => {}
            }
        }
        state.queue.push_front(first);
        drop(state);
        self.ready.notify_one();
    }

    /// Holds the calling streaming thread until `due`, or until the connection ends.
    pub fn wait_until(&self, generation: u64, due: Instant) -> Result<(), Closed> {
        let mut state = self.lock();
        state.waiting += 1;
        while state.generation == generation {
            let Some(left) = due.checked_duration_since(Instant::now()).filter(|left| !left.is_zero()) else {
                break;
            };
            let waited = self.changed.wait_timeout(state, left);
            state = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
        state.waiting -= 1;
        state.active = Instant::now();
        if state.generation == generation { Ok(()) } else { Err(Closed) }
    }

    /// The next event; cancel safe.
    pub async fn next(&self) -> SourceEvent {
        loop {
            let ready = self.ready.notified();
            if let Some(event) = self.try_next() {
                return event;
            }
            ready.await;
        }
    }

    /// The next event, if one is queued.
    pub fn try_next(&self) -> Option<SourceEvent> {
        let mut state = self.lock();
        let event = state.queue.pop_front()?;
        state.bytes -= size(&event);
        self.changed.notify_all();
        Some(event)
    }

    /// A buffer came too late to be used, but the source is alive.
    pub fn late(&self) {
        let mut state = self.lock();
        state.losses.late += 1;
        state.active = Instant::now();
    }

    /// Something of the source is damaged; returns how often that was so.
    pub fn damaged(&self) -> u64 {
        let mut state = self.lock();
        state.losses.damaged += 1;
        state.losses.damaged
    }

    /// Losses since the source started, and since when nothing moved.
    pub fn activity(&self) -> Activity {
        let state = self.lock();
        let idle_since = (state.waiting == 0).then_some(state.active);
        Activity { losses: state.losses, idle_since }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// Drops all frames and samples queued; one gap takes their place.
    fn shed(&mut self) {
        let (mut from, mut to) = (None::<StreamTime>, StreamTime::ZERO);
        let (mut position, mut kept) = (0, VecDeque::new());
        for event in self.queue.drain(..) {
            let span = match &event {
                SourceEvent::Frame(frame) => Some((frame.stream, frame.stream)),
                SourceEvent::Audio(audio) => Some((audio.stream, audio.stream)),
                _ => None,
            };
            let Some((start, end)) = span else {
                kept.push_back(event);
                continue;
            };
            self.losses.shed += 1;
            if from.is_none() {
                position = kept.len();
            }
            from = Some(from.unwrap_or(start).min(start));
            to = to.max(end);
        }
        if let Some(from) = from.filter(|from| *from < to) {
            let reason = "overrun: the reader fell behind this live source".to_owned();
            kept.insert(position, SourceEvent::Gap { from, to, reason });
        }
        self.queue = kept;
        self.bytes = 0;
    }
}

/// Bytes an event holds; 0 for what is never refused.
fn size(event: &SourceEvent) -> usize {
    match event {
        SourceEvent::Frame(TimedFrame { frame, .. }) => frame.data.len(),
        SourceEvent::Audio(TimedAudio { samples, .. }) => samples.len() * size_of::<f32>(),
        _ => 0,
    }
}

/// The instant an event speaks for, if it can be late.
fn start(event: &SourceEvent, grid: Option<Grid>) -> Option<StreamTime> {
    match event {
        SourceEvent::Frame(frame) => grid.map(|grid| grid.at(frame.at)),
        SourceEvent::Audio(audio) => Some(audio.stream),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::time::Duration;

    use super::*;

    fn audio(second: i64, bytes: usize) -> SourceEvent {
        let stream = StreamTime(second * 1_000_000_000);
        SourceEvent::Audio(TimedAudio { stream, capture: UtcTime(0), samples: vec![0.0; bytes / 4] })
    }

    #[test]
    fn a_file_waits_for_its_reader_and_closing_frees_it() {
        let mailbox = Arc::new(Mailbox::new(WhenFull::Wait, None));
        let generation = mailbox.open();
        mailbox.push(generation, audio(0, WAIT_BYTES)).expect("open");
        let pushing = Arc::clone(&mailbox);
        let (done, pushed) = std::sync::mpsc::channel();
        let thread = std::thread::spawn(move || {
            for second in [1, 2] {
                done.send(pushing.push(generation, audio(second, WAIT_BYTES))).expect("the test waits");
            }
        });
        while mailbox.activity().idle_since.is_some() {
            std::thread::yield_now();
        }
        assert!(pushed.try_recv().is_err(), "it waits");
        assert!(mailbox.try_next().is_some());
        assert_eq!(pushed.recv(), Ok(Ok(())));
        while mailbox.activity().idle_since.is_some() {
            std::thread::yield_now();
        }
        mailbox.close();
        assert_eq!(pushed.recv(), Ok(Err(Closed)));
        thread.join().expect("no panic");
        assert_eq!(mailbox.try_next(), Some(audio(1, WAIT_BYTES)), "what was queued is still delivered");
    }

    #[test]
    fn a_live_source_sheds_what_waits_and_says_so() {
        let mailbox = Mailbox::new(WhenFull::Shed, None);
        let generation = mailbox.open();
        for second in 0..5 {
            mailbox.push(generation, audio(second, SHED_BYTES / 4)).expect("open");
        }
        let gap = mailbox.try_next();
        let Some(SourceEvent::Gap { from, to, .. }) = gap else { panic!("{gap:?}") };
        assert_eq!((from.as_secs_f64(), to.as_secs_f64()), (0.0, 3.0));
        assert_eq!(mailbox.try_next(), Some(audio(4, SHED_BYTES / 4)));
        assert_eq!(mailbox.activity().losses.shed, 4);
    }

    #[test]
    fn what_is_queued_can_be_dated_anew() {
        let mailbox = Mailbox::new(WhenFull::Shed, None);
        let generation = mailbox.open();
        mailbox.push(generation, audio(1, 4)).expect("open");
        let first = SourceEvent::Progress(StreamTime::ZERO);
        mailbox.redate(7, first.clone());
        assert_eq!(mailbox.try_next(), Some(first));
        let next = mailbox.try_next();
        let Some(SourceEvent::Audio(audio)) = next else { panic!("{next:?}") };
        assert_eq!(audio.capture, UtcTime(1_000_000_007));
    }

    #[test]
    fn nothing_comes_after_its_time_was_declared_over() {
        let mailbox = Mailbox::new(WhenFull::Shed, None);
        let generation = mailbox.open();
        let over = SourceEvent::Progress(StreamTime(2_000_000_000));
        mailbox.push(generation, over.clone()).expect("open");
        mailbox.push(generation, audio(1, 4)).expect("open");
        mailbox.push(generation, audio(2, 4)).expect("open");
        assert_eq!((mailbox.try_next(), mailbox.try_next()), (Some(over), Some(audio(2, 4))));
        assert_eq!(mailbox.activity().losses.late, 1);
    }

    #[test]
    fn waiting_for_the_due_time_ends_with_the_connection() {
        let mailbox = Arc::new(Mailbox::new(WhenFull::Wait, None));
        let generation = mailbox.open();
        let waiting = Arc::clone(&mailbox);
        let due = Instant::now() + Duration::from_secs(3600);
        let thread = std::thread::spawn(move || waiting.wait_until(generation, due));
        while mailbox.activity().idle_since.is_some() {
            std::thread::yield_now();
        }
        mailbox.close();
        assert_eq!(thread.join().expect("no panic"), Err(Closed));
    }
}
