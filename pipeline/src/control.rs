//! What the daemon tells of itself: counters, and how its parts and streams are. `docs/operations.md` explains each.

mod books;
mod metrics;
mod pace;
mod process;
mod status;
mod streams;
mod traces;

pub use metrics::{Metrics, Stage, StreamMetrics};
pub use pace::Pace;
pub use process::descriptors;
pub use status::{Health, ModelState, Phase, Readiness, Status};
pub use streams::{StreamBoard, StreamStatus};
pub(crate) use traces::WindowTrace;
pub use traces::{Traces, TracesError};

/// What there is to tell; shared by everything that runs.
#[derive(Debug)]
pub struct Control {
    /// Counters and histograms.
    pub metrics: Metrics,
    /// What works and what does not.
    pub status: Status,
    /// How fast the model answers.
    pub pace: Pace,
    /// Where the time of windows goes.
    pub traces: Traces,
}

impl Control {
    /// Nothing runs yet.
    #[expect(clippy::new_without_default, reason = "it is no value, it is made once")]
    pub fn new() -> Self {
        Self {
            metrics: Metrics::new(),
            status: Status::default(),
            pace: Pace::default(),
            traces: Traces::default(),
        }
    }

    /// A stream is not known any more: what was told of it goes.
    pub(crate) fn forget(&self, stream: &str) {
        self.status.streams.forget(stream);
        self.metrics.forget(stream);
    }
}
