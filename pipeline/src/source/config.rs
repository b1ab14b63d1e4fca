//! What is to be watched, and how.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::choice::TrackChoice;
use super::reach::Reach;
use crate::timeline::{ClockAnchor, Grid};

/// How a picture that is not square becomes one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub enum Fit {
    /// The whole picture; its aspect ratio is not kept.
    #[default]
    Stretch,
    /// The shorter side fills the square and the middle is kept, as CLIP models want it.
    Crop,
}

/// How a lost live source is tried again: after `initial`, then twice as long each time up to `max`.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Reconnect {
    /// Delay before the first retry.
    pub initial: Duration,
    /// The longest delay.
    pub max: Duration,
    /// 0..=1: the part of each delay that is drawn at random, so that many streams do not return at once.
    pub jitter: f64,
    /// End the stream after so long without a sample; `None` tries for ever.
    pub give_up_after: Option<Duration>,
}

impl Default for Reconnect {
    fn default() -> Self {
        Self {
            initial: Duration::from_millis(500),
            max: Duration::from_secs(30),
            jitter: 0.3,
            give_up_after: None,
        }
    }
}

/// One stream to watch.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SourceConfig {
    /// The stream's id, for logs.
    pub stream_id: String,
    /// Where it is; a path without a scheme is a file.
    pub uri: String,
    /// Live sources are never slowed down and are reconnected; others wait for the reader and end.
    pub live: bool,
    /// Start a file again at its end; stream time goes on.
    pub loop_file: bool,
    /// Play a file at its own speed instead of as fast as the reader takes it.
    pub realtime: bool,
    /// When to take frames; `None` decodes no video.
    pub grid: Option<Grid>,
    /// Width and height of the frames, in pixels.
    pub frame_size: u32,
    /// How the picture is made square.
    pub fit: Fit,
    /// Samples per second of the audio; 0 decodes no audio.
    pub sample_rate: u32,
    /// The number of the programme, of a transport stream that has several; `None`: the first that comes.
    pub program: Option<u16>,
    /// Which of several audio tracks.
    pub audio_track: TrackChoice,
    /// Which of several video tracks.
    pub video_track: TrackChoice,
    /// How long a network source may hold packets back to reorder them.
    pub latency: Duration,
    /// What to do when a live source is lost.
    pub reconnect: Reconnect,
    /// A source that delivers nothing for so long is lost.
    pub stall_timeout: Duration,
    /// Where the source may lead to; `None`: everywhere. Holds in a process of its own only.
    pub reach: Option<Reach>,
    /// Another has watched the stream up to here: what comes before is not known, what follows goes on in stream time as long
    /// after it as it is captured later. `None`: the stream begins.
    pub resume: Option<ClockAnchor>,
}

impl SourceConfig {
    /// A file, read as fast as it is taken, of which nothing is decoded yet: it wants a grid, a rate, or both.
    pub fn new(stream_id: impl Into<String>, uri: impl Into<String>) -> Self {
        Self {
            stream_id: stream_id.into(),
            uri: uri.into(),
            live: false,
            loop_file: false,
            realtime: false,
            grid: None,
            frame_size: 224,
            fit: Fit::default(),
            sample_rate: 0,
            program: None,
            audio_track: TrackChoice::default(),
            video_track: TrackChoice::default(),
            latency: Duration::from_millis(200),
            reconnect: Reconnect::default(),
            stall_timeout: Duration::from_secs(10),
            reach: None,
            resume: None,
        }
    }
}
