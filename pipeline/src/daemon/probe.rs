//! What there is at an address: it is connected to for a moment, and looked at.

use std::time::Duration;

use schemars::JsonSchema;
use serde::Serialize;
use tokio::time::{Instant, timeout_at};
use tokio_util::sync::CancellationToken;

use crate::source::format::{AudioFormat, Format, VideoFormat};
use crate::source::{End, SourceEvent};
use crate::timeline::ClockQuality;
use crate::watching::Plan;

/// How long an address may take to show something.
const PATIENCE: Duration = Duration::from_secs(15);
/// How long more is waited for the second of picture and sound, and for a clock.
const LOOK: Duration = Duration::from_secs(2);

/// What there is at an address.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
pub struct Probed {
    /// Can it be watched?
    pub works: bool,
    /// Why not; null when it can.
    pub reason: Option<String>,
    /// Is there sound that can be decoded?
    pub audio: bool,
    /// Is there a picture that can be decoded?
    pub video: bool,
    /// What the picture is made of; null where there is none, or it was not said in time.
    pub video_format: Option<VideoFormat>,
    /// What the sound is made of; null where there is none, or it was not said in time.
    pub audio_format: Option<AudioFormat>,
    /// Is it watched as live?
    pub live: bool,
    /// Seconds it lasts, where it says so.
    pub length: Option<f64>,
    /// Where its capture times come from; null before any came.
    pub clock: Option<ClockQuality>,
    /// Milliseconds until something came.
    pub took_ms: Option<u64>,
}

/// Connects, looks, and lets go.
pub async fn probe(plan: Plan) -> Probed {
    let (stop, started) = (CancellationToken::new(), Instant::now());
    let _stops = stop.clone().drop_guard();
    let live = plan.live;
    let (mut events, _task) = plan.open(stop, None);
    let mut probed = Probed {
        works: false,
        reason: None,
        audio: false,
        video: false,
        video_format: None,
        audio_format: None,
        live,
        length: None,
        clock: None,
        took_ms: None,
    };
    let mut until = started + PATIENCE;
    loop {
        let event = match timeout_at(until, events.recv()).await {
            Ok(Some(event)) => event,
            Ok(None) => break,
            Err(_) if probed.works => break,
            Err(_) => {
                let shown = format!("nothing came within {} s", PATIENCE.as_secs());
                probed.reason.get_or_insert(shown);
                break;
            }
        };
        match event {
            SourceEvent::Connected { has_audio, has_video, length, .. } => {
                (probed.audio, probed.video) = (has_audio, has_video);
                probed.length = length.map(|length| length.as_secs_f64());
            }
            SourceEvent::Format(Format::Video(video)) => probed.video_format = Some(video),
            SourceEvent::Format(Format::Audio(audio)) => probed.audio_format = Some(audio),
            SourceEvent::Clock { clock, .. } => probed.clock = Some(clock),
            SourceEvent::Frame(_) | SourceEvent::Audio(_) if !probed.works => {
                probed.works = true;
                probed.reason = None;
                probed.took_ms = u64::try_from(started.elapsed().as_millis()).ok();
                until = Instant::now() + LOOK;
            }
            SourceEvent::Lost { failure, .. } | SourceEvent::Ended(End::Failed(failure)) if !probed.works => {
                probed.reason = Some(failure.to_string());
                break;
            }
            SourceEvent::Ended(_) => break,
            _ => {}
        }
    }
    probed
}
