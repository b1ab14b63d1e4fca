//! What streams have shown last, for those who ask.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::stream::StreamId;
use crate::timeline::UtcTime;
use crate::window::Window;

/// The windows that streams have shown last.
#[derive(Debug, Clone, Default)]
pub(crate) struct Recall(Arc<Mutex<HashMap<StreamId, VecDeque<Window>>>>);

impl Recall {
    /// Remembers a window, and those no older than `long` before it. Their samples are encoded by then or never: what is
    /// held are embeddings.
    pub fn remember(&self, window: &Window, long: Duration) {
        if long.is_zero() {
            return;
        }
        let mut streams = self.lock();
        let windows = streams.entry(window.id.stream.clone()).or_default();
        let oldest = window.end.minus(long);
        windows.push_back(window.clone());
        while windows.front().is_some_and(|window| window.end < oldest) {
            windows.pop_front();
        }
    }

    /// Nothing of a stream is remembered any more.
    pub fn forget(&self, stream: &StreamId) {
        self.lock().remove(stream);
    }

    /// What is remembered of a stream, in order.
    pub fn windows(&self, stream: &StreamId) -> Vec<Window> {
        self.lock().get(stream).into_iter().flatten().cloned().collect()
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<StreamId, VecDeque<Window>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// As few of the windows as cover the span; they overlap.
pub(crate) fn cover(windows: &[Window], from: UtcTime, to: UtcTime) -> Vec<Window> {
    let mut chosen: Vec<Window> = Vec::new();
    let mut at = from;
    let span = |window: &Window| (window.anchor.utc_at(window.start), window.anchor.utc_at(window.until));
    while at < to {
        let reaches = |window: &&Window| span(window).0 <= at && span(window).1 > at;
        let farthest = windows.iter().filter(reaches).max_by_key(|window| span(window).1);
        match farthest {
            Some(window) => {
                at = span(window).1;
                chosen.push(window.clone());
            }
            // A hole: on to what comes behind it.
            None => match windows.iter().map(|window| span(window).0).filter(|start| *start > at).min() {
                Some(start) => at = start,
                None => break,
            },
        }
    }
    chosen
}
