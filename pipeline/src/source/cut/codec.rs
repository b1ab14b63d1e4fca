//! Which codec goes into which container, and what it is called.

use gstreamer as gst;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The kind of a clip's file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Container {
    /// MP4, its index in front.
    Mp4,
    /// Matroska, for what does not go into MP4.
    Matroska,
}

impl Container {
    /// The type of its contents.
    pub fn media_type(self, is_video: bool) -> &'static str {
        match (self, is_video) {
            (Self::Mp4, true) => "video/mp4",
            (Self::Mp4, false) => "audio/mp4",
            (Self::Matroska, true) => "video/x-matroska",
            (Self::Matroska, false) => "audio/x-matroska",
        }
    }

    /// What its files' names end in.
    pub fn extension(self) -> &'static str {
        match self {
            Self::Mp4 => "mp4",
            Self::Matroska => "mkv",
        }
    }

    /// The element that writes it.
    pub(super) fn muxer(self) -> &'static str {
        match self {
            Self::Mp4 => "mp4mux",
            Self::Matroska => "matroskamux",
        }
    }
}

/// What a clip needs to know of a codec.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Codec {
    /// For people.
    pub name: String,
    /// Brings it into the form that a container wants.
    pub parser: Option<&'static str>,
    /// May it stand in an MP4 file?
    pub in_mp4: bool,
}

impl Codec {
    /// Of what a decoder takes.
    pub fn of(caps: &gst::CapsRef) -> Self {
        let Some(structure) = caps.structure(0) else { return Self::other("unknown") };
        let version = structure.get::<i32>("mpegversion").unwrap_or(0);
        let known = |name: &str, parser| Self { name: name.to_owned(), parser: Some(parser), in_mp4: true };
        match (structure.name().as_str(), version) {
            ("video/x-h264", _) => known("H.264", "h264parse"),
            ("video/x-h265", _) => known("H.265", "h265parse"),
            ("video/x-av1", _) => known("AV1", "av1parse"),
            ("video/x-vp9", _) => known("VP9", "vp9parse"),
            ("video/mpeg", 4) => known("MPEG-4 Part 2", "mpeg4videoparse"),
            ("video/mpeg", _) => Self { in_mp4: false, ..known("MPEG-2 video", "mpegvideoparse") },
            ("video/x-vp8", _) => Self::other("VP8"),
            ("image/jpeg", _) => Self::other("Motion JPEG"),
            ("audio/mpeg", 1) => known("MP3", "mpegaudioparse"),
            ("audio/mpeg", _) => known("AAC", "aacparse"),
            ("audio/x-opus", _) => known("Opus", "opusparse"),
            ("audio/x-ac3", _) => known("AC-3", "ac3parse"),
            ("audio/x-mulaw", _) => Self::other("G.711 mu-law"),
            ("audio/x-alaw", _) => Self::other("G.711 A-law"),
            ("audio/x-vorbis", _) => Self::other("Vorbis"),
            ("audio/x-flac", _) => Self::other("FLAC"),
            ("audio/x-raw", _) => Self::other("PCM"),
            (name, _) => Self::other(name),
        }
    }

    fn other(name: &str) -> Self {
        Self { name: name.to_owned(), parser: None, in_mp4: false }
    }
}
