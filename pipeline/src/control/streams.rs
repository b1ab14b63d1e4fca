//! How each stream is: its state and since when, what arrived last, and how it looks.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use avicuna_models::sample::RgbFrame;
use schemars::JsonSchema;
use serde::Serialize;

use crate::stream::StreamState;
use crate::timeline::UtcTime;

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

/// How all streams are; shared.
#[derive(Debug, Default)]
pub struct StreamBoard {
    streams: Mutex<BTreeMap<String, Entry>>,
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

    /// A frame came.
    pub fn frame(&self, id: &str, capture: UtcTime, frame: &RgbFrame) {
        self.change(id, |entry| {
            entry.last_frame = Some(capture);
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
        self.lock().remove(id);
    }

    /// How a stream is; `None` before it began.
    pub fn status(&self, id: &str) -> Option<StreamStatus> {
        self.lock().get(id).and_then(Entry::status)
    }

    /// The states of all streams.
    pub fn states(&self) -> BTreeMap<String, StreamState> {
        let state = |(id, entry): (&String, &Entry)| Some((id.clone(), entry.state.clone()?.0));
        self.lock().iter().filter_map(state).collect()
    }

    /// How it looks: the newest frame, square as the model sees it, and when it was captured.
    pub fn picture(&self, id: &str) -> Option<(RgbFrame, UtcTime)> {
        let streams = self.lock();
        let entry = streams.get(id)?;
        Some((entry.picture.clone()?, entry.last_frame?))
    }

    fn change(&self, id: &str, change: impl FnOnce(&mut Entry)) {
        let mut streams = self.lock();
        match streams.get_mut(id) {
            Some(entry) => change(entry),
            None => change(streams.entry(id.to_owned()).or_default()),
        }
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<String, Entry>> {
        self.streams.lock().unwrap_or_else(PoisonError::into_inner)
    }
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
