//! One stream's way from its source to its records, and the model that all streams share: what the daemon runs, and
//! whatever watches a film without one. The element of GStreamer, which has no source of its own, begins at [`Recorder`].
//!
//! ```text
//! one task a stream                     one thread
//! source -> windows -> schedule ------> model -+
//!    ^                                         |
//!    +-- events, coverage, errors <- answers <-+   -> publisher
//! ```

mod checkpoint;
mod clipping;
mod engine;
mod left_open;
mod model;
mod muted;
mod plan;
mod publisher;
mod recall;
mod record;
mod recorder;
mod settled;
mod spread;
mod standing;
mod stream;
#[cfg(test)]
mod tests;
mod watch;

pub use self::checkpoint::{Checkpoint, Shift};
pub use self::engine::Ended;
pub(crate) use self::engine::{Command, Engine, Leaving, Orders, Respondent};
pub(crate) use self::left_open::ends;
pub(crate) use self::model::{Answered, Routes, of as model_of};
pub use self::plan::{Plan, plan};
pub(crate) use self::publisher::{Known, Left, Parcel, Publisher, Ways};
pub(crate) use self::recall::cover;
pub use self::record::Record;
pub(crate) use self::record::onset;
pub use self::recorder::Recorder;
pub use self::settled::{Fate, Pending, Settled};
pub use self::stream::Heard;
pub(crate) use self::stream::Retune;
pub use self::watch::{Watched, watch};
