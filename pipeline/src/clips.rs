//! What was seen and heard of an event, to be looked at: a clip, a picture, a spectrogram. They are cut by the source, kept in a store, and
//! deleted in time. Evidence is lost where something fails; events never are. `docs/clips.md` has the rules.

mod desk;
mod fate;
mod follow;
mod found;
mod index;
mod kept;
mod store;

pub use desk::Clips;
pub use fate::Absent;
pub(crate) use follow::{Following, Rolls};
pub use found::Found;
pub use kept::Kept;
pub use store::{Piece, StoreError};

use std::time::Duration;

use crate::source::RingConfig;
use crate::source::cut::{ClipRules, Rectangle};

/// What is kept of one stream's events.
#[derive(Debug, Clone, PartialEq)]
pub struct ClipPlan {
    /// What its source keeps and shows.
    pub rules: ClipRules,
    /// How much around an event.
    pub(crate) rolls: Rolls,
    /// What stands before the paths in records.
    pub(crate) public_url: String,
    /// Is there a picture at all?
    pub(crate) video: bool,
}

impl ClipPlan {
    /// Of a stream; `None` where nothing is kept of it. Generated pictures are never encoded, so there is nothing to keep.
    pub fn of(config: &crate::config::ClipsConfig, stream: &crate::config::StreamConfig) -> Option<Self> {
        let is_generated = stream.address().is_ok_and(|address| address.is_generated());
        if config.store.is_none() || !stream.clips || is_generated {
            return None;
        }
        let ring = RingConfig { time: config.ring_time, bytes: config.ring_bytes };
        let audio = stream.audio && stream.clip_audio;
        let mask: Vec<Rectangle> = stream.mask.clone();
        (stream.video || audio).then(|| Self {
            rules: ClipRules { ring, mask, audio },
            rolls: Rolls { pre: config.pre_roll, post: config.post_roll, longest: config.longest },
            public_url: config.public_url.clone(),
            video: stream.video,
        })
    }
}

/// How long one clip may take from its order to its place in the store, beside what it waits for its end.
const PATIENCE: Duration = Duration::from_secs(90);
