//! `[[stream]]`: one thing to watch.

use std::collections::BTreeMap;
use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::durations;
use crate::source::Reconnect;
use crate::source::choice::TrackChoice;
use crate::source::cut::Rectangle;
use crate::source::failure::Failure;
use crate::source::uri::Address;

/// One `[[stream]]`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct StreamConfig {
    /// Names the stream in records, logs and metrics; also the Kafka key.
    pub id: String,
    /// Where it is; a path without a scheme is a file.
    pub uri: String,
    /// Watch it; a stream that is not enabled is known and left alone.
    #[serde(default = "yes")]
    pub enabled: bool,
    /// Whether it is live; by default what its scheme says: files and HTTP are not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub live: Option<bool>,
    /// Start a file again at its end.
    #[serde(default, rename = "loop")]
    pub looping: bool,
    /// Play a file at its own speed.
    #[serde(default)]
    pub realtime: bool,
    /// Listen.
    #[serde(default = "yes")]
    pub audio: bool,
    /// Look.
    #[serde(default = "yes")]
    pub video: bool,
    /// Length of a window; by default what the model was trained with.
    #[serde(default, with = "durations::optional", skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<String>")]
    pub window: Option<Duration>,
    /// From the start of one window to that of the next; by default half a window.
    #[serde(default, with = "durations::optional", skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<String>")]
    pub hop: Option<Duration>,
    /// How long after its end a window waits for late samples.
    #[serde(default = "patience", with = "durations")]
    #[schemars(with = "String")]
    pub patience: Duration,
    /// Ask the model what happens.
    #[serde(default = "yes")]
    pub detect: bool,
    /// Ask the model when each of these happens.
    #[serde(default)]
    pub queries: Vec<String>,
    /// Localizations of what happens that have a lower score are not published; by default the model's own, or else 0.2.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub min_score: Option<f64>,
    /// Answers to queries that have a lower score are not published; by default the model's own, or else `min_score`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub min_query_score: Option<f64>,
    /// What of these labels has a lower score than theirs is not published; for all others `min_score` and `min_query_score`
    /// count.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub min_label_scores: BTreeMap<String, f64>,
    /// An event is told once so many windows have seen it.
    #[serde(default = "min_windows")]
    pub min_windows: u32,
    /// Localizations of one label that are no farther apart than this are one event.
    #[serde(default = "merge_gap", with = "durations")]
    #[schemars(with = "String")]
    pub merge_gap: Duration,
    /// How much of it is remembered for those who ask about it, once the model has seen it.
    #[serde(default = "recall", with = "durations")]
    #[schemars(with = "String")]
    pub recall: Duration,
    /// Keep clips of its events, where `[clips]` says where.
    #[serde(default = "yes")]
    pub clips: bool,
    /// May they be heard?
    #[serde(default = "yes")]
    pub clip_audio: bool,
    /// Parts of the picture that nobody may see: left, top, width and height, as parts of the picture. With any, clips have sound only, and these
    /// parts of pictures are black.
    #[serde(default)]
    pub mask: Vec<Rectangle>,
    /// The encoders look at a picture again where the mean colour of a part of it (15 pixels of the model's picture on each side) differs by
    /// more than so much of 255; 0: they look at every picture.
    #[serde(default = "still")]
    pub still: u8,
    /// The language model reads a window again where the encoders are surer or less sure of anything, in any part of it, by more than so much
    /// (from 0 to 1) than in the stream's last window that it read; 0: where anything differs.
    #[serde(default = "unchanged")]
    pub unchanged: f32,
    /// Which programme of a transport stream that has several: its number. Without it the first that comes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub program: Option<u16>,
    /// Which audio track, where there are several: its number from 0, its language, or "default".
    #[serde(default)]
    pub audio_track: TrackChoice,
    /// Which video track, likewise.
    #[serde(default)]
    pub video_track: TrackChoice,
    /// How long a network source may hold packets back to put them in order.
    #[serde(default = "latency", with = "durations")]
    #[schemars(with = "String")]
    pub latency: Duration,
    /// A live source that delivers nothing for so long is lost.
    #[serde(default = "stall_timeout", with = "durations")]
    #[schemars(with = "String")]
    pub stall_timeout: Duration,
    /// Whether the source runs in a process of its own; by default what comes from a network does.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub isolation: Option<Isolation>,
    /// What to do when a live source is lost.
    #[serde(default)]
    pub reconnect: ReconnectConfig,
}

/// What a fault of GStreamer or a plugin can end.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Isolation {
    /// The process of this source only.
    Process,
    /// The daemon.
    None,
}

fn yes() -> bool {
    true
}

fn patience() -> Duration {
    Duration::from_secs(2)
}

fn min_windows() -> u32 {
    1
}

fn merge_gap() -> Duration {
    Duration::from_secs(1)
}

fn still() -> u8 {
    3
}

fn unchanged() -> f32 {
    0.1
}

fn recall() -> Duration {
    Duration::from_secs(120)
}

fn latency() -> Duration {
    Duration::from_millis(200)
}

fn stall_timeout() -> Duration {
    Duration::from_secs(10)
}

/// `[stream.reconnect]`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct ReconnectConfig {
    /// Delay before the first retry; doubles with each.
    #[serde(with = "durations")]
    #[schemars(with = "String")]
    pub initial: Duration,
    /// The longest delay.
    #[serde(with = "durations")]
    #[schemars(with = "String")]
    pub max: Duration,
    /// 0..=1: the part of each delay that is drawn at random, so that many streams do not return at once.
    pub jitter: f64,
    /// End the stream after so long without a sample; never by default.
    #[serde(with = "durations::optional", skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<String>")]
    pub give_up_after: Option<Duration>,
}

impl Default for ReconnectConfig {
    fn default() -> Self {
        let Reconnect { initial, max, jitter, give_up_after } = Reconnect::default();
        Self { initial, max, jitter, give_up_after }
    }
}

impl From<&ReconnectConfig> for Reconnect {
    fn from(config: &ReconnectConfig) -> Self {
        let ReconnectConfig { initial, max, jitter, give_up_after } = *config;
        Self { initial, max, jitter, give_up_after }
    }
}

impl StreamConfig {
    /// A stream with every default.
    pub fn new(id: impl Into<String>, uri: impl Into<String>) -> Self {
        Self {
            id: id.into(),
            uri: uri.into(),
            enabled: true,
            live: None,
            looping: false,
            realtime: false,
            audio: true,
            video: true,
            window: None,
            hop: None,
            patience: patience(),
            detect: true,
            queries: Vec::new(),
            min_score: None,
            min_query_score: None,
            min_label_scores: BTreeMap::new(),
            min_windows: min_windows(),
            merge_gap: merge_gap(),
            recall: recall(),
            clips: true,
            clip_audio: true,
            mask: Vec::new(),
            still: still(),
            unchanged: unchanged(),
            program: None,
            audio_track: TrackChoice::Default,
            video_track: TrackChoice::Default,
            latency: latency(),
            stall_timeout: stall_timeout(),
            isolation: None,
            reconnect: ReconnectConfig::default(),
        }
    }

    /// Its address, understood.
    ///
    /// # Errors
    /// When there is no such kind of address.
    pub fn address(&self) -> Result<Address, Failure> {
        Address::parse(&self.uri)
    }

    /// Live by its scheme, unless it says itself.
    pub fn is_live(&self) -> bool {
        self.live.unwrap_or_else(|| self.address().is_ok_and(|address| address.is_live()))
    }

    /// Does the source run in a process of its own?
    pub fn is_apart(&self) -> bool {
        match self.isolation {
            Some(isolation) => isolation == Isolation::Process,
            None => self.address().is_ok_and(|address| address.is_network()),
        }
    }

    /// The address without user, password and tokens.
    pub fn shown_uri(&self) -> String {
        self.address().map_or_else(|_| "***".to_owned(), |address| address.shown().to_owned())
    }
}
