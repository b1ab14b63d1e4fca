//! The wall clock of a playlist: `EXT-X-PROGRAM-DATE-TIME`. The demuxer of GStreamer 1.22 reads it and tells nobody, so it is read in the
//! playlist's text on its way to the demuxer, which counts stream time from the playlist's first part.

use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use gstreamer as gst;
use gstreamer::prelude::*;

use super::ntp::NtpMap;
use crate::stream::Medium;
use crate::timeline::UtcTime;

/// A playlist is shorter; what is longer is not read.
const LONGEST: usize = 4 << 20;

/// Watches a demuxer of playlists; other elements are left alone. Of a playlist of playlists it sees no dates.
pub(super) fn watch(element: &gst::Element, ntp: &Arc<NtpMap>) {
    if element.factory().is_none_or(|factory| factory.name() != "hlsdemux2") {
        return;
    }
    let first = Arc::new(OnceLock::new());
    if let Some(pad) = element.static_pad("sink") {
        read(&pad, Arc::clone(&first));
    }
    let ntp = Arc::clone(ntp);
    element.connect_pad_added(move |_, pad| date(pad, Arc::clone(&first), Arc::clone(&ntp)));
}

/// Reads the text that goes through `pad` up to its end: when the first part begins.
fn read(pad: &gst::Pad, first: Arc<OnceLock<UtcTime>>) {
    let text = Mutex::new(Vec::new());
    let mask = gst::PadProbeType::BUFFER | gst::PadProbeType::EVENT_DOWNSTREAM;
    pad.add_probe(mask, move |_, info| {
        let mut text = text.lock().unwrap_or_else(PoisonError::into_inner);
        match &info.data {
            Some(gst::PadProbeData::Buffer(buffer)) if text.len() <= LONGEST => {
                if let Ok(piece) = buffer.map_readable() {
                    text.extend_from_slice(&piece);
                }
            }
            Some(gst::PadProbeData::Event(event)) if event.type_() == gst::EventType::Eos => {
                if let Some(begins) = begins(&String::from_utf8_lossy(&text)) {
                    // The text comes once.
                    let _known = first.set(begins);
                }
            }
            _ => {}
        }
        gst::PadProbeReturn::Ok
    });
}

/// Takes the date of the first buffer that comes through `pad`.
fn date(pad: &gst::Pad, first: Arc<OnceLock<UtcTime>>, ntp: Arc<NtpMap>) {
    pad.add_probe(gst::PadProbeType::BUFFER, move |pad, info| {
        if let (Some(gst::PadProbeData::Buffer(buffer)), Some(first)) = (&info.data, first.get())
            && let Some((track, stream, running)) = times(pad, buffer)
        {
            ntp.set_once(track, first.0 + stream - running);
        }
        gst::PadProbeReturn::Remove
    });
}

/// Track, stream time and running time of a buffer.
fn times(pad: &gst::Pad, buffer: &gst::Buffer) -> Option<(Medium, i64, i64)> {
    let caps = pad.current_caps()?;
    let track = if caps.structure(0)?.name().starts_with("video/") { Medium::Video } else { Medium::Audio };
    let segment = pad.sticky_event::<gst::event::Segment>(0)?;
    let segment = segment.segment().downcast_ref::<gst::ClockTime>()?.clone();
    let (stream, running) = (segment.to_stream_time(buffer.pts()?)?, segment.to_running_time(buffer.pts()?)?);
    Some((track, stream.nseconds() as i64, running.nseconds() as i64))
}

/// When the first part of a playlist was captured, by the first date in it.
fn begins(playlist: &str) -> Option<UtcTime> {
    let mut before = 0.0;
    for line in playlist.lines() {
        if let Some(date) = line.strip_prefix("#EXT-X-PROGRAM-DATE-TIME:") {
            return Some(utc(date.trim())?.offset(-(before * 1e9) as i64));
        }
        if let Some(duration) = line.strip_prefix("#EXTINF:") {
            before += duration.split(',').next()?.trim().parse::<f64>().ok()?;
        }
    }
    None
}

/// RFC 3339, also with an offset as ffmpeg writes it, without a colon.
fn utc(date: &str) -> Option<UtcTime> {
    let colon = date.len().checked_sub(2).filter(|at| date.is_char_boundary(*at));
    let with_colon = || colon.map(|at| format!("{}:{}", &date[..at], &date[at..]));
    UtcTime::from_rfc3339(date).or_else(|| UtcTime::from_rfc3339(&with_colon()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_date_says_when_the_playlist_begins() {
        let at = |text: &str| begins(text).map(UtcTime::to_rfc3339);
        let plain = "#EXTM3U\n#EXTINF:2.5,\na.ts\n#EXT-X-PROGRAM-DATE-TIME:2026-11-29T12:00:02.500Z\n#EXTINF:2,\nb.ts\n";
        assert_eq!(at(plain).as_deref(), Some("2026-11-29T12:00:00.000Z"));
        for date in
            ["2026-11-29T13:00:00.250+0100", "2026-11-29T13:00:00.250+01:00", "2026-11-29T12:00:00.250Z"]
        {
            let text = format!("#EXTM3U\r\n#EXT-X-PROGRAM-DATE-TIME:{date}\r\n#EXTINF:2,\r\na.ts\r\n");
            assert_eq!(at(&text).as_deref(), Some("2026-11-29T12:00:00.250Z"), "{date}");
        }
        for none in [
            "",
            "#EXTM3U\n#EXTINF:2,\na.ts",
            "#EXT-X-PROGRAM-DATE-TIME:today",
            "#EXTINF:x,\n#EXT-X-PROGRAM-DATE-TIME:\n",
        ] {
            assert_eq!(at(none), None);
        }
    }
}
