//! Trouble of a source, in words a person understands.

use std::fmt;

use gstreamer as gst;
use gstreamer::glib;
use gstreamer::prelude::*;
use serde::{Deserialize, Serialize};

/// The stable first word of every reason.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Kind {
    /// The address itself is wrong.
    BadUri,
    /// There is nothing at the address.
    NotFound,
    /// The server or the disk refuses us.
    Unauthorised,
    /// The server does not answer.
    Unreachable,
    /// What is there is neither sound nor pictures.
    NotMedia,
    /// No decoder or demuxer is installed for it.
    NoDecoder,
    /// The media are damaged.
    Decode,
    /// The file ends before its own end.
    Truncated,
    /// Nothing arrived for too long.
    Stalled,
    /// A live source said that it ends.
    EndedBySource,
    /// It was tried for as long as the configuration allows.
    GaveUp,
    /// The process of the source died.
    Crashed,
    /// It leads to where it may not.
    NotAllowed,
    /// GStreamer itself lacks something or misbehaves.
    Internal,
}

impl Kind {
    /// As it stands in reasons and metrics.
    pub fn name(self) -> &'static str {
        match self {
            Self::BadUri => "bad-uri",
            Self::NotFound => "not-found",
            Self::Unauthorised => "unauthorised",
            Self::Unreachable => "unreachable",
            Self::NotMedia => "not-media",
            Self::NoDecoder => "no-decoder",
            Self::Decode => "decode",
            Self::Truncated => "truncated",
            Self::Stalled => "stalled",
            Self::EndedBySource => "ended-by-source",
            Self::GaveUp => "gave-up",
            Self::Crashed => "crashed",
            Self::NotAllowed => "not-allowed",
            Self::Internal => "internal",
        }
    }
}

/// Why a source does not deliver: `kind: words`.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error, Serialize, Deserialize)]
pub struct Failure {
    /// What kind of trouble.
    pub kind: Kind,
    /// What happened and what to do; names the address without its secrets.
    pub message: String,
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.kind.name(), self.message)
    }
}

impl Failure {
    /// Trouble of `kind`.
    pub fn new(kind: Kind, message: impl Into<String>) -> Self {
        Self { kind, message: message.into() }
    }

    /// From an error or warning on the bus. `uri` is what GStreamer was given and `shown` what may be shown for it.
    pub(super) fn from_bus(
        error: &glib::Error,
        debug: Option<&str>,
        element: Option<&gst::Object>,
        uri: &str,
        shown: &str,
    ) -> Self {
        let kind = classify(error, debug.unwrap_or_default());
        let is_file = uri.starts_with("file:");
        let said = match kind {
            Kind::Unreachable if error.matches(gst::StreamError::Failed) && !is_file => {
                "the server does not answer, or broke off".to_owned()
            }
            _ => clean(error.message(), uri, shown),
        };
        let detail = debug.and_then(|debug| detail(debug, &said)).map(|detail| clean(&detail, uri, shown));
        let by = element.map(|element| element.name().to_string()).unwrap_or_default();
        let mut message = format!("{shown}: {}", said.trim_end_matches('.'));
        if let Some(detail) = detail {
            message.push_str(&format!(" ({detail})"));
        }
        tracing::debug!(element = by, kind = kind.name(), message, "bus");
        let advice = match kind {
            Kind::Unreachable if is_file => {
                "its disk or network drive cannot read it; look into the system's log"
            }
            _ => advice(kind),
        };
        if !advice.is_empty() {
            message.push_str("; ");
            message.push_str(advice);
        }
        Self { kind, message }
    }

    /// The same where a server answered with a status of HTTP that is no success: it says what the trouble is.
    pub(super) fn with_status(self, status: Option<u32>, shown: &str) -> Self {
        let Some(status) = status.filter(|status| *status >= 400) else { return self };
        let (kind, said) = match status {
            401 | 403 => (Kind::Unauthorised, "refuses a part of it"),
            404 | 410 => (Kind::NotFound, "does not have a part of it"),
            _ => (Kind::Unreachable, "cannot deliver a part of it"),
        };
        let message = format!("{shown}: the server {said} (HTTP status {status}); {}", advice(kind));
        Self { kind, message }
    }
}

fn classify(error: &glib::Error, debug: &str) -> Kind {
    let text = format!("{} {debug}", error.message()).to_lowercase();
    let says = |words: &[&str]| words.iter().any(|word| text.contains(word));
    if says(&["unauthorized", "401", "forbidden", "403", "permission denied", "failed to authenticate"]) {
        return Kind::Unauthorised;
    }
    if let Some(resource) = error.kind::<gst::ResourceError>() {
        return match resource {
            gst::ResourceError::NotAuthorized => Kind::Unauthorised,
            gst::ResourceError::NotFound if says(&["not found", "404", "no such"]) => Kind::NotFound,
            _ if says(&["404", "no such file"]) => Kind::NotFound,
            _ => Kind::Unreachable,
        };
    }
    if let Some(stream) = error.kind::<gst::StreamError>() {
        return match stream {
            gst::StreamError::TypeNotFound | gst::StreamError::WrongType => Kind::NotMedia,
            gst::StreamError::CodecNotFound => Kind::NoDecoder,
            _ if says(&[
                "no known format",
                "could not determine type",
                "no valid streams",
                "without streams",
                "no playable streams",
            ]) =>
            {
                Kind::NotMedia
            }
            _ if says(&["not-linked", "not-negotiated"]) => Kind::Internal,
            // The source element itself stopped and has no better words for it.
            _ if says(&["gst_base_src_loop"]) => Kind::Unreachable,
            _ => Kind::Decode,
        };
    }
    match error.kind::<gst::CoreError>() {
        Some(gst::CoreError::MissingPlugin) => Kind::NoDecoder,
        _ => Kind::Internal,
    }
}

/// The last line of GStreamer's debug text, where it says more than the message: demuxers and servers speak there.
fn detail(debug: &str, said: &str) -> Option<String> {
    let line = debug.lines().map(str::trim).rfind(|line| !line.is_empty())?;
    // "gstfoo.c(123): function (): /GstPipeline:..." names code, not trouble.
    (!line.contains(".c(") && !line.contains(".rs:") && !said.contains(line) && line.len() < 300)
        .then(|| line.trim_end_matches(['.', ':']).to_owned())
}

fn clean(text: &str, uri: &str, shown: &str) -> String {
    let text = super::redact::without_secrets(&text.replace(uri, shown), uri);
    text.split(' ').map(super::redact::redact).collect::<Vec<_>>().join(" ")
}

fn advice(kind: Kind) -> &'static str {
    match kind {
        Kind::NotFound => "check the address",
        Kind::Unauthorised => "check user name, password and permissions",
        Kind::Unreachable => "check that the server runs and that the network lets it through",
        Kind::NotMedia => "check that it is an audio or video file or stream",
        Kind::NoDecoder => "install the GStreamer plugin named here (gstreamer1.0-libav has most codecs)",
        Kind::Decode => "the file or stream is damaged, or of a kind the decoder does not know",
        _ => "",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn failure(error: glib::Error, debug: &str) -> String {
        let uri = "rtsp://me:secret@cam/1";
        Failure::from_bus(&error, Some(debug), None, uri, "rtsp://***@cam/1").to_string()
    }

    #[test]
    fn bus_errors_name_kind_address_and_advice_but_no_secret() {
        let error = glib::Error::new(gst::ResourceError::OpenRead, "Could not open rtsp://me:secret@cam/1.");
        let said =
            failure(error, "gstrtspsrc.c(1): f (): /GstPipeline:p\nFailed to connect. (Connection refused)");
        assert_eq!(
            said,
            "unreachable: rtsp://***@cam/1: Could not open rtsp://***@cam/1 (Failed to connect. (Connection refused)); \
             check that the server runs and that the network lets it through"
        );
    }

    #[test]
    fn a_file_that_cannot_be_read_has_no_server() {
        let error = glib::Error::new(gst::ResourceError::Read, "Could not read from resource.");
        let debug = "gstfilesrc.c(1): f (): /GstPipeline:p\nSystem error: Input/output error";
        let said =
            Failure::from_bus(&error, Some(debug), None, "file:///mnt/a.mp4", "/mnt/a.mp4").to_string();
        assert_eq!(
            said,
            "unreachable: /mnt/a.mp4: Could not read from resource (System error: Input/output error); \
             its disk or network drive cannot read it; look into the system's log"
        );
    }

    #[test]
    fn the_status_of_a_server_says_what_is_wrong() {
        let damaged = || Failure::new(Kind::Decode, "Couldn't download fragments");
        let kind = |status| damaged().with_status(status, "http://host/a.m3u8").kind;
        assert_eq!((kind(None), kind(Some(200))), (Kind::Decode, Kind::Decode));
        assert_eq!((kind(Some(403)), kind(Some(404))), (Kind::Unauthorised, Kind::NotFound));
        assert_eq!(kind(Some(503)), Kind::Unreachable);
        let said = damaged().with_status(Some(403), "http://host/a.m3u8").to_string();
        assert!(said.contains("HTTP status 403") && !said.contains("damaged"), "{said}");
    }

    #[test]
    fn kinds_are_told_apart() {
        let kind = |said: String| said.split(':').next().map(str::to_owned).unwrap_or_default();
        let stream = |error: gst::StreamError| kind(failure(glib::Error::new(error, "x"), ""));
        assert_eq!(stream(gst::StreamError::TypeNotFound), "not-media");
        assert_eq!(stream(gst::StreamError::CodecNotFound), "no-decoder");
        assert_eq!(stream(gst::StreamError::Decode), "decode");
        let resource =
            |error: gst::ResourceError, text: &str| kind(failure(glib::Error::new(error, text), ""));
        assert_eq!(resource(gst::ResourceError::NotFound, "Not Found"), "not-found");
        assert_eq!(resource(gst::ResourceError::NotFound, "Could not connect"), "unreachable");
        assert_eq!(resource(gst::ResourceError::OpenRead, "Unauthorized"), "unauthorised");
        assert_eq!(kind(failure(glib::Error::new(gst::CoreError::MissingPlugin, "x"), "")), "no-decoder");
    }
}
