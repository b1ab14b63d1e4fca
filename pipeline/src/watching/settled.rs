//! A window from its closing to what became of it.

use std::sync::Arc;
use std::time::{Duration, Instant};

use avicuna_models::localizer::{LocalizerError, WindowAnswer};

use crate::record::{Latency, WindowFate};
use crate::stream::Presence;
use crate::timeline::{StreamTime, UtcTime};
use crate::track::WindowFacts;
use crate::window::{Closed, Window};

/// What became of one window, or of several that held nothing.
#[derive(Debug)]
pub enum Fate {
    /// The model answered.
    Answered(WindowAnswer),
    /// The model could not.
    Failed(LocalizerError),
    /// It was given up for lack of time.
    Shed(&'static str),
    /// There was nothing in it.
    Blind {
        /// How many windows.
        windows: u64,
        /// Why.
        reason: String,
    },
}

/// A window and what became of it.
#[derive(Debug)]
pub struct Settled {
    /// Which; of several blind ones `end` is the end of the last.
    pub facts: WindowFacts,
    /// Where it really ends: before `facts.end` when the stream ended inside it.
    pub until: StreamTime,
    /// Why something was missing in it.
    pub missing: Option<String>,
    /// What became of it.
    pub fate: Fate,
}

/// A window that the model has not answered yet.
#[derive(Debug)]
pub struct Pending {
    facts: WindowFacts,
    until: StreamTime,
    missing: Option<String>,
    last_capture: UtcTime,
    closed: Instant,
}

impl Pending {
    /// Of a window that was closed `decode` milliseconds after its last sample was captured, for the model of this name.
    pub fn new(window: &Window, decode: f64, model: Arc<str>) -> Self {
        let mut reasons: Vec<&str> =
            [&window.visual.reason, &window.audio.reason].into_iter().flatten().map(String::as_str).collect();
        reasons.dedup();
        let latency = Latency { decode, ..Latency::default() };
        Self {
            facts: WindowFacts::of(window, latency, model),
            until: window.until,
            missing: (!reasons.is_empty()).then(|| reasons.join("; ")),
            last_capture: window.last_capture,
            closed: window.closed,
        }
    }

    /// When its last sample was captured.
    pub fn last_capture(&self) -> UtcTime {
        self.last_capture
    }

    /// What became of it, now.
    pub fn settled(self, fate: Fate) -> Settled {
        let Self { mut facts, until, missing, last_capture: _, closed } = self;
        let answer = if let Fate::Answered(answer) = &fate { Some(answer) } else { None };
        facts.latency = latency(facts.latency.decode, answer, closed);
        Settled { facts, until, missing, fate }
    }
}

impl Settled {
    /// Of windows that hold nothing and are not for the model of this name; `None` of one that is.
    pub fn blind(closed: Closed, model: Arc<str>) -> Option<Self> {
        let Closed::Blind { id, windows, start, end, anchor, clock, reason, closed } = closed else {
            return None;
        };
        let facts = WindowFacts {
            id,
            start,
            end,
            anchor,
            clock,
            av_offset_ms: None,
            audio: Presence::Missing,
            visual: Presence::Missing,
            held: Vec::new(),
            latency: latency(0.0, None, closed),
            model,
        };
        Some(Self { facts, until: end, missing: None, fate: Fate::Blind { windows, reason } })
    }
}

impl Fate {
    /// As metrics and records call it, and how many windows it is about.
    pub fn counted(&self) -> (WindowFate, u64) {
        match self {
            Self::Blind { windows, .. } => (WindowFate::Blind, *windows),
            _ => (self.told(None).0, 1),
        }
    }

    /// In the words of a window's record; `missing` is what an answered one lacked.
    pub(super) fn told(&self, missing: Option<&str>) -> (WindowFate, Option<String>) {
        match self {
            Self::Answered(_) => (WindowFate::Answered, missing.map(str::to_owned)),
            Self::Failed(error) => (WindowFate::Failed, Some(error.to_string())),
            Self::Shed(reason) => (WindowFate::Shed, Some((*reason).to_owned())),
            Self::Blind { reason, .. } => (WindowFate::Blind, Some(reason.clone())),
        }
    }
}

/// The times of a window's record: `decode` before it was closed, the model's, and everything since.
fn latency(decode: f64, answer: Option<&WindowAnswer>, closed: Instant) -> Latency {
    let ms = |duration: Duration| duration.as_secs_f64() * 1e3;
    let timing = answer.map(|answer| &answer.timing);
    Latency {
        decode,
        encode: timing.map_or(0.0, |timing| ms(timing.encode)),
        llm: timing.map_or(0.0, |timing| ms(timing.llm)),
        total: ms(closed.elapsed()),
    }
}
