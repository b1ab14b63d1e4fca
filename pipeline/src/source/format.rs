//! What a source's tracks are made of, before they are made what the model wants: read from what flows into the branches.

use std::sync::{Mutex, PoisonError};

use gstreamer as gst;
use gstreamer::prelude::*;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// A track that is watched.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub enum Format {
    /// Pictures.
    Video(VideoFormat),
    /// Sound.
    Audio(AudioFormat),
}

/// A track of pictures.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct VideoFormat {
    /// How it is encoded: `h264`, `h265`, `vp9` and so on; `raw` where it is not.
    pub codec: String,
    /// Pixels, as stored: a turned film is turned later.
    pub width: u32,
    /// Pixels, as stored.
    pub height: u32,
    /// Pictures a second; null where it varies or is not said.
    pub frame_rate: Option<f64>,
}

/// A track of sound.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct AudioFormat {
    /// How it is encoded: `aac`, `opus`, `mulaw` and so on; `raw` where it is not.
    pub codec: String,
    /// Samples a second of each channel.
    pub sample_rate: u32,
    /// How many.
    pub channels: u32,
}

/// Tells of the decoded track that goes through `pad`, and again when it changes.
pub(super) fn watch(pad: &gst::Pad, tell: impl Fn(Format) + Send + Sync + 'static) {
    // What is encoded is said where a stream begins, what comes of it after that.
    let encoded = Mutex::new(None);
    pad.add_probe(gst::PadProbeType::EVENT_DOWNSTREAM, move |_, info| {
        let mut encoded = encoded.lock().unwrap_or_else(PoisonError::into_inner);
        match info.event().map(|event| event.view()) {
            Some(gst::EventView::StreamStart(start)) => {
                *encoded = start.stream().and_then(|stream| stream.caps());
            }
            Some(gst::EventView::Caps(caps)) => {
                let codec =
                    encoded.as_ref().and_then(|caps| caps.structure(0)).map_or("raw".to_owned(), codec);
                if let Some(format) = caps.caps().structure(0).and_then(|raw| format(raw, codec)) {
                    tell(format);
                }
            }
            _ => {}
        }
        gst::PadProbeReturn::Ok
    });
}

fn format(raw: &gst::StructureRef, codec: String) -> Option<Format> {
    let number = |name: &str| raw.get::<i32>(name).ok().and_then(|number| u32::try_from(number).ok());
    if raw.name().starts_with("video/") {
        let rate =
            raw.get::<gst::Fraction>("framerate").ok().filter(|rate| rate.numer() > 0 && rate.denom() > 0);
        let frame_rate = rate.map(|rate| f64::from(rate.numer()) / f64::from(rate.denom()));
        Some(Format::Video(VideoFormat {
            codec,
            width: number("width")?,
            height: number("height")?,
            frame_rate,
        }))
    } else {
        Some(Format::Audio(AudioFormat {
            codec,
            sample_rate: number("rate")?,
            channels: number("channels")?,
        }))
    }
}

/// The usual name of what caps describe.
fn codec(caps: &gst::StructureRef) -> String {
    let number = |name: &str| caps.get::<i32>(name).ok();
    let name = caps.name().as_str();
    match name {
        "audio/mpeg" if number("mpegversion") == Some(1) => format!("mp{}", number("layer").unwrap_or(3)),
        "audio/mpeg" => "aac".to_owned(),
        "video/mpeg" => format!("mpeg{}", number("mpegversion").unwrap_or(2)),
        _ => {
            let kind = name.split_once('/').map_or(name, |(_, kind)| kind);
            kind.strip_prefix("x-").unwrap_or(kind).to_owned()
        }
    }
}

#[cfg(test)]
mod tests {
    use std::str::FromStr;

    use super::*;

    fn structure(text: &str) -> gst::Structure {
        gst::init().expect("GStreamer starts");
        gst::Structure::from_str(text).expect("a structure")
    }

    #[test]
    fn codecs_have_their_usual_names() {
        for (caps, name) in [
            ("video/x-h264, profile=(string)main", "h264"),
            ("video/mpeg, mpegversion=(int)4", "mpeg4"),
            ("audio/mpeg, mpegversion=(int)4", "aac"),
            ("audio/mpeg, mpegversion=(int)1, layer=(int)3", "mp3"),
            ("audio/x-opus", "opus"),
            ("image/jpeg", "jpeg"),
            ("audio/x-raw", "raw"),
        ] {
            assert_eq!(codec(&structure(caps)), name);
        }
    }

    #[test]
    fn sizes_and_rates_are_read_and_what_varies_is_no_rate() {
        let read = |text: &str| format(&structure(text), "c".to_owned());
        let video = |frame_rate| {
            Some(Format::Video(VideoFormat { codec: "c".to_owned(), width: 640, height: 360, frame_rate }))
        };
        let size = "video/x-raw, width=(int)640, height=(int)360, framerate=(fraction)";
        assert_eq!(read(&format!("{size}25/2")), video(Some(12.5)));
        assert_eq!(read(&format!("{size}0/1")), video(None));
        assert_eq!(
            read("audio/x-raw, rate=(int)8000, channels=(int)2"),
            Some(Format::Audio(AudioFormat { codec: "c".to_owned(), sample_rate: 8000, channels: 2 }))
        );
        assert_eq!(read("audio/x-raw, rate=(int)8000"), None);
    }
}
