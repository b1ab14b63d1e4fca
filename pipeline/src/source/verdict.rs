//! What it means that a connection ended, or brings nothing: the failures that no element of GStreamer reports. Pure.

use std::net::SocketAddr;
use std::time::Duration;

use tokio::sync::mpsc::UnboundedReceiver;

use super::failure::{Failure, Kind};
use super::graph::Note;

/// A file may end this long before its promised end: containers round, and tracks differ in length.
const TRUNCATED: Duration = Duration::from_secs(2);

/// A file without anything that is wanted.
pub(super) fn unwanted(shown: &str, audio: bool, video: bool) -> Failure {
    let message = match (audio, video) {
        (true, false) => "holds sound only, and only frames are asked for",
        (false, true) => "holds pictures only, and only samples are asked for",
        _ => "holds neither sound nor moving pictures",
    };
    Failure::new(Kind::NotMedia, format!("{shown} {message}"))
}

/// A file or playlist that ended at `reached`, if it promised a `duration` that is much longer.
pub(super) fn truncated(
    shown: &str,
    reached: Duration,
    duration: Duration,
    playlist: bool,
) -> Option<Failure> {
    if reached + TRUNCATED >= duration {
        return None;
    }
    let (reached, duration) = (reached.as_secs_f64(), duration.as_secs_f64());
    let message = if playlist {
        format!(
            "{shown} lists {duration:.1} s but its parts end at {reached:.1} s: the server refuses the rest or does not have it; \
             look at its last parts"
        )
    } else {
        format!(
            "{shown} says that it lasts {duration:.1} s but its data end at {reached:.1} s; fetch it again"
        )
    };
    Some(Failure::new(Kind::Truncated, message))
}

/// Nothing came for `idle`; `nothing_yet` of a file, which does not stall.
pub(super) fn silent(shown: &str, idle: Duration, nothing_yet: bool) -> Failure {
    let seconds = idle.as_secs_f64();
    if nothing_yet {
        return Failure::new(Kind::NotMedia, format!("{shown}: nothing could be decoded in {seconds:.0} s"));
    }
    Failure::new(Kind::Stalled, format!("{shown}: nothing arrived for {seconds:.0} s"))
}

/// A source that was not let through to where it leads.
pub(super) fn refused(shown: &str, to: SocketAddr) -> Failure {
    let message = format!("{shown} leads to {to}, which control.allow.hosts does not allow");
    Failure::new(Kind::NotAllowed, message)
}

/// The first failure, unless it is our own "could not be started" and the bus said why.
pub(super) fn better(first: Failure, heard: &mut UnboundedReceiver<Note>) -> Failure {
    if first.kind != Kind::Internal {
        return first;
    }
    while let Ok(note) = heard.try_recv() {
        if let Note::Failed(failure) = note {
            return failure;
        }
    }
    first
}
