//! The line of windows before the worker: bounded, emptied by a flush, and with downstream's last word for upstream.

use std::collections::VecDeque;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

use avicuna_pipeline::window::Closed;
use gstreamer::FlowError;

/// Windows that may wait for the model before upstream waits too.
const WAITING: usize = 2;

/// What the worker is told.
pub enum Job {
    /// The next window.
    Window(Box<Closed>),
    /// No window follows.
    End,
}

/// Between the pads' threads and the worker's.
#[derive(Default)]
pub struct Line {
    state: Mutex<State>,
    /// Something came, went, or is over.
    changed: Condvar,
}

#[derive(Default)]
struct State {
    jobs: VecDeque<Job>,
    /// Rises with each flush: what was made before one is not wanted after it.
    epoch: u64,
    /// Why downstream takes nothing of this epoch any more.
    refused: Option<FlowError>,
    over: bool,
    done: u64,
}

impl Line {
    /// Waits for room.
    ///
    /// # Errors
    /// What upstream is to be told: downstream takes nothing any more, or `epoch` is over.
    pub fn give(&self, epoch: u64, job: Job) -> Result<(), FlowError> {
        let waits = |state: &mut State| state.check(epoch).is_ok() && state.jobs.len() >= WAITING;
        let state = self.changed.wait_while(self.lock(), waits);
        let mut state = state.unwrap_or_else(PoisonError::into_inner);
        match (state.check(epoch), &job) {
            // Downstream hears of the end all the same.
            (Err(_), Job::End) if state.is_current(epoch) => {}
            (checked, _) => checked?,
        }
        state.jobs.push_back(job);
        self.changed.notify_all();
        Ok(())
    }

    /// Waits for the next job, of which epoch it says too; `None` when it is over.
    pub fn take(&self) -> Option<(u64, Job)> {
        let state = self.changed.wait_while(self.lock(), |state| !state.over && state.jobs.is_empty());
        let mut state = state.unwrap_or_else(PoisonError::into_inner);
        if state.over {
            return None;
        }
        let job = state.jobs.pop_front()?;
        self.changed.notify_all();
        Some((state.epoch, job))
    }

    /// A window was settled.
    pub fn done(&self) {
        self.lock().done += 1;
    }

    /// How many windows were.
    pub fn count(&self) -> u64 {
        self.lock().done
    }

    /// Is this epoch the present one?
    pub fn is_current(&self, epoch: u64) -> bool {
        self.lock().is_current(epoch)
    }

    /// What upstream is to be told before anything is made of a buffer.
    ///
    /// # Errors
    /// As [`Line::give`].
    pub fn check(&self, epoch: u64) -> Result<(), FlowError> {
        self.lock().check(epoch)
    }

    /// Downstream takes nothing more of `epoch`.
    pub fn refuse(&self, epoch: u64, error: FlowError) {
        let mut state = self.lock();
        if state.is_current(epoch) && state.refused.is_none() {
            state.refused = Some(error);
            state.jobs.retain(|job| matches!(job, Job::End));
            self.changed.notify_all();
        }
    }

    /// Empties it; returns the new epoch.
    pub fn flush(&self) -> u64 {
        let mut state = self.lock();
        state.jobs.clear();
        state.refused = None;
        state.epoch += 1;
        self.changed.notify_all();
        state.epoch
    }

    /// Nothing is given or taken any more.
    pub fn close(&self) {
        let mut state = self.lock();
        state.over = true;
        state.jobs.clear();
        self.changed.notify_all();
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn is_current(&self, epoch: u64) -> bool {
        !self.over && self.epoch == epoch
    }

    fn check(&self, epoch: u64) -> Result<(), FlowError> {
        if !self.is_current(epoch) {
            return Err(FlowError::Flushing);
        }
        self.refused.map_or(Ok(()), Err)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::time::{Duration, Instant};

    use avicuna_pipeline::stream::WindowId;
    use avicuna_pipeline::timeline::{ClockAnchor, ClockQuality, StreamTime, UtcTime};

    use super::*;

    fn window(index: u64) -> Job {
        let id = WindowId { stream: "s".into(), index };
        let anchor = ClockAnchor { stream: StreamTime::ZERO, utc: UtcTime(0) };
        let (start, end, clock) = (StreamTime(0), StreamTime(1), ClockQuality::Pts);
        let (reason, closed) = ("black".to_owned(), Instant::now());
        Job::Window(Box::new(Closed::Blind { id, windows: 1, start, end, anchor, clock, reason, closed }))
    }

    fn index(job: Option<(u64, Job)>) -> Option<(u64, u64)> {
        match job? {
            (epoch, Job::Window(closed)) => Some((epoch, closed.id().index)),
            (_, Job::End) => None,
        }
    }

    #[test]
    fn windows_pass_in_order_and_upstream_waits_for_room() {
        let line = Arc::new(Line::default());
        let given = line.clone();
        let giver = std::thread::spawn(move || (0..5).try_for_each(|index| given.give(0, window(index))));
        let taken: Vec<_> = (0..5).map(|_| index(line.take())).collect();
        assert_eq!(taken, (0..5).map(|index| Some((0, index))).collect::<Vec<_>>());
        assert_eq!(giver.join().expect("no panic"), Ok(()));
    }

    #[test]
    fn a_flush_empties_it_and_lets_nobody_wait() {
        let line = Arc::new(Line::default());
        for index in 0..2 {
            assert_eq!(line.give(0, window(index)), Ok(()));
        }
        let waiting = line.clone();
        let waiter = std::thread::spawn(move || waiting.give(0, window(2)));
        std::thread::sleep(Duration::from_millis(20));
        assert_eq!(line.flush(), 1);
        assert_eq!(waiter.join().expect("no panic"), Err(FlowError::Flushing));
        assert_eq!(line.give(0, window(3)), Err(FlowError::Flushing));
        assert_eq!(line.give(1, window(4)), Ok(()));
        assert_eq!(index(line.take()), Some((1, 4)));
    }

    #[test]
    fn what_downstream_says_is_told_upstream_until_a_flush() {
        for error in [FlowError::Eos, FlowError::Error, FlowError::Flushing] {
            let line = Line::default();
            assert_eq!(line.give(0, window(0)), Ok(()));
            line.refuse(0, error);
            assert_eq!((line.check(0), line.give(0, window(1))), (Err(error), Err(error)));
            assert_eq!(line.give(0, Job::End), Ok(()), "the end is told all the same");
            assert!(matches!(line.take(), Some((0, Job::End))));
            let epoch = line.flush();
            line.refuse(0, error);
            assert_eq!(line.check(epoch), Ok(()), "what an epoch before was refused means nothing");
        }
    }

    #[test]
    fn nothing_waits_once_it_is_closed() {
        let line = Arc::new(Line::default());
        let waiting = line.clone();
        let taker = std::thread::spawn(move || waiting.take().is_none());
        line.close();
        assert!(taker.join().expect("no panic"));
        assert_eq!(line.give(0, window(0)), Err(FlowError::Flushing));
    }
}
