//! How each stream is: its state and since when, what arrived last, and how it looks.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use avicuna_models::sample::RgbFrame;
use schemars::JsonSchema;
use serde::Serialize;

use crate::source::TimedFrame;
use crate::stream::StreamState;
use crate::timeline::{StreamTime, UtcTime};

/// How a stream is, for those who ask.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
pub struct StreamStatus {
    /// What it does.
    #[serde(flatten)]
    pub state: StreamState,
    /// Since when, RFC 3339.
    #[schemars(extend("format" = "date-time"))]
    pub since: String,
    /// How often it was connected again.
    pub reconnects: u64,
    /// Capture time of the newest frame.
    #[schemars(extend("format" = "date-time"))]
    pub last_frame: Option<String>,
    /// Capture time of the newest audio sample.
    #[schemars(extend("format" = "date-time"))]
    pub last_sample: Option<String>,
    /// Audio time minus video time of what was captured together, in milliseconds; null when it cannot be measured.
    pub av_offset_ms: Option<f64>,
}

/// How all streams are; shared. Each has a lock of its own: that a frame of one is copied holds up no other.
#[derive(Default)]
pub struct StreamBoard {
    streams: Mutex<BTreeMap<String, Arc<Mutex<Entry>>>>,
    onlooker: OnceLock<Onlooker>,
}

/// Is shown every frame, at its stream time.
type Onlooker = Box<dyn Fn(StreamTime, &RgbFrame) + Send + Sync>;

impl fmt::Debug for StreamBoard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StreamBoard").field("streams", &self.streams).finish_non_exhaustive()
    }
}

#[derive(Debug, Default)]
struct Entry {
    state: Option<(StreamState, UtcTime)>,
    reconnects: u64,
    last_frame: Option<UtcTime>,
    last_sample: Option<UtcTime>,
    av_offset_ms: Option<f64>,
    picture: Option<RgbFrame>,
}

impl StreamBoard {
    /// What a stream does now.
    pub fn state(&self, id: &str, state: StreamState) {
        self.change(id, |entry| {
            if entry.state.as_ref().is_none_or(|(before, _)| *before != state) {
                entry.state = Some((state, UtcTime::now()));
            }
        });
    }

    /// It was connected again.
    pub fn reconnected(&self, id: &str) {
        self.change(id, |entry| entry.reconnects += 1);
    }

    /// From now on `look` is shown every frame of every stream; the first who wants to is.
    pub fn on_frame(&self, look: impl Fn(StreamTime, &RgbFrame) + Send + Sync + 'static) {
        let _first = self.onlooker.set(Box::new(look));
    }

    /// A frame came.
    pub fn frame(&self, id: &str, TimedFrame { stream, capture, frame, .. }: &TimedFrame) {
        if let Some(look) = self.onlooker.get() {
            look(*stream, frame);
        }
        self.change(id, |entry| {
            entry.last_frame = Some(*capture);
            match &mut entry.picture {
                Some(picture) => picture.clone_from(frame),
                None => entry.picture = Some(frame.clone()),
            }
        });
    }

    /// Samples came; the newest was captured at `capture`.
    pub fn sample(&self, id: &str, capture: UtcTime) {
        self.change(id, |entry| entry.last_sample = Some(capture));
    }

    /// How far sound and picture are apart.
    pub fn av_offset(&self, id: &str, milliseconds: Option<f64>) {
        self.change(id, |entry| entry.av_offset_ms = milliseconds);
    }

    /// It is not watched any more, and nobody asks for it.
    pub fn forget(&self, id: &str) {
        locked(&self.streams).remove(id);
    }

    /// How a stream is; `None` before it began.
    pub fn status(&self, id: &str) -> Option<StreamStatus> {
        locked(&*self.entry(id)?).status()
    }

    /// The states of all streams.
    pub fn states(&self) -> BTreeMap<String, StreamState> {
        let entries = locked(&self.streams).clone();
        entries.into_iter().filter_map(|(id, entry)| Some((id, locked(&entry).state.clone()?.0))).collect()
    }

    /// How it looks: the newest frame, square as the model sees it, and when it was captured.
    pub fn picture(&self, id: &str) -> Option<(RgbFrame, UtcTime)> {
        let entry = self.entry(id)?;
        let entry = locked(&entry);
        Some((entry.picture.clone()?, entry.last_frame?))
    }

    fn entry(&self, id: &str) -> Option<Arc<Mutex<Entry>>> {
        locked(&self.streams).get(id).cloned()
    }

    fn change(&self, id: &str, change: impl FnOnce(&mut Entry)) {
        let entry = match self.entry(id) {
            Some(entry) => entry,
            None => locked(&self.streams).entry(id.to_owned()).or_default().clone(),
        };
        change(&mut locked(&entry));
    }
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Entry {
    fn status(&self) -> Option<StreamStatus> {
        let (state, since) = self.state.clone()?;
        Some(StreamStatus {
            state,
            since: since.to_rfc3339(),
            reconnects: self.reconnects,
            last_frame: self.last_frame.map(UtcTime::to_rfc3339),
            last_sample: self.last_sample.map(UtcTime::to_rfc3339),
            av_offset_ms: self.av_offset_ms,
        })
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;
    use crate::timeline::GridIndex;

    fn frame(second: i64) -> TimedFrame {
        let frame = RgbFrame { width: 1, height: 1, aspect: 1.0, data: vec![second as u8; 3] };
        let stream = StreamTime(second * 1_000_000_000);
        TimedFrame { at: GridIndex(second), stream, capture: UtcTime(stream.0), frame }
    }

    #[test]
    fn the_newest_frame_is_kept_and_every_one_is_shown() {
        let board = StreamBoard::default();
        let seen = Arc::new(AtomicUsize::new(0));
        let counted = seen.clone();
        board.on_frame(move |_, _| {
            counted.fetch_add(1, Ordering::Relaxed);
        });
        board.on_frame(|_, _| panic!("only the first is shown them"));
        for second in [1, 2, 3] {
            board.frame("cam", &frame(second));
        }
        assert_eq!(seen.load(Ordering::Relaxed), 3);
        let (picture, captured) = board.picture("cam").expect("it was shown");
        assert_eq!((picture.data[0], captured), (3, UtcTime(3_000_000_000)));
        assert_eq!((board.picture("other"), board.status("cam")), (None, None));
        board.forget("cam");
        assert_eq!(board.picture("cam"), None);
    }

    #[test]
    fn one_stream_whose_picture_is_read_holds_up_no_other() {
        let board = StreamBoard::default();
        board.frame("one", &frame(1));
        let entry = board.entry("one").expect("it is there");
        let _held = locked(&entry);
        board.frame("two", &frame(2));
        board.state("two", StreamState::Connecting);
        assert!(board.picture("two").is_some() && board.status("two").is_some());
    }
}
