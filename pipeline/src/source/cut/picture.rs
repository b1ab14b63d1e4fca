//! The picture of an event: the frame at its surest moment, in full size, as JPEG. What is masked is black.

use std::path::Path;

use avicuna_models::sample::RgbFrame;
use gstreamer as gst;
use gstreamer_video as gst_video;
use gstreamer_video::prelude::*;

use super::Rectangle;
use super::decode::decode;
use super::mux::element;
use super::span::Strand;
use crate::picture::jpeg;
use crate::timeline::StreamTime;

/// Converting one frame takes some milliseconds.
const HANGS: gst::ClockTime = gst::ClockTime::from_seconds(10);

/// Takes the frame that is shown at `at`; returns when it was shown first.
pub(super) fn take(
    strand: &Strand,
    at: StreamTime,
    mask: &[Rectangle],
    path: &Path,
) -> Result<StreamTime, String> {
    let needed = needed(strand, at.0);
    let base = needed.first_dts();
    let wanted = at.0.saturating_sub(base);
    let mut shown: Option<(i64, gst::Sample)> = None;
    let raw = gst::Caps::new_empty_simple("video/x-raw");
    let flip = element("videoflip")?;
    flip.set_property_from_str("video-direction", "auto");
    decode(&needed, base, &[element("videoconvert")?, flip], &raw, |sample| {
        let stamp = sample.buffer().and_then(gst::BufferRef::pts).map_or(0, |pts| pts.nseconds() as i64);
        if shown.is_none() || stamp <= wanted {
            shown = Some((stamp, sample));
        }
    })?;
    let (stamp, sample) = shown.ok_or("no frame could be decoded")?;
    let mut frame = rgb(&sample)?;
    mask.iter().for_each(|rectangle| black(&mut frame, rectangle));
    super::write(path, &jpeg(&frame).map_err(|error| error.to_string())?)?;
    Ok(StreamTime(stamp + base))
}

/// What must be decoded for one frame: from the last key frame before it on.
fn needed(strand: &Strand, at: i64) -> Strand {
    let units = &strand.units;
    let first = units.iter().rposition(|unit| unit.is_key && unit.pts <= at).unwrap_or(0);
    let last = units.iter().rposition(|unit| unit.pts <= at).unwrap_or(first).max(first);
    Strand { encoding: strand.encoding.clone(), units: units[first..=last].to_vec() }
}

/// As it is to be shown: a JPEG says nothing of pixels that are not square.
fn rgb(sample: &gst::Sample) -> Result<RgbFrame, String> {
    let square = gst::Fraction::new(1, 1);
    let caps =
        gst::Caps::builder("video/x-raw").field("format", "RGB").field("pixel-aspect-ratio", square).build();
    let sample = gst_video::convert_sample(sample, &caps, Some(HANGS)).map_err(|error| error.to_string())?;
    let info = sample.caps().and_then(|caps| gst_video::VideoInfo::from_caps(caps).ok());
    let (info, buffer) = info.zip(sample.buffer()).ok_or("a frame without a format")?;
    let frame = gst_video::VideoFrameRef::from_buffer_ref_readable(buffer, &info);
    let frame = frame.map_err(|error| error.to_string())?;
    let (width, height) = (info.width() as usize, info.height() as usize);
    let stride = frame.plane_stride().first().and_then(|stride| usize::try_from(*stride).ok());
    let (stride, plane) = stride.zip(frame.plane_data(0).ok()).ok_or("a frame without a plane")?;
    let mut data = Vec::with_capacity(width * height * 3);
    for line in plane.chunks(stride.max(1)).take(height) {
        data.extend_from_slice(line.get(..width * 3).ok_or("a frame with short rows")?);
    }
    Ok(RgbFrame { width, height, aspect: width as f32 / height as f32, data })
}

/// Blackens a rectangle, to whole pixels outwards.
fn black(frame: &mut RgbFrame, Rectangle([left, top, w, h]): &Rectangle) {
    let range = |from: f64, length: f64, size: usize| {
        let size = size as f64;
        let begin = (from * size).floor().clamp(0.0, size) as usize;
        begin..((from + length) * size).ceil().clamp(0.0, size) as usize
    };
    let (columns, rows) = (range(*left, *w, frame.width), range(*top, *h, frame.height));
    for row in rows {
        let line = &mut frame.data[row * frame.width * 3..(row + 1) * frame.width * 3];
        line[columns.start * 3..columns.end * 3].fill(0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rectangle_is_blackened_to_whole_pixels_outwards() {
        let mut frame = RgbFrame { width: 4, height: 2, aspect: 2.0, data: vec![9; 4 * 2 * 3] };
        black(&mut frame, &Rectangle([0.3, 0.5, 0.3, 9.0]));
        let row = |from: usize| frame.data[from * 3..(from + 4) * 3].to_vec();
        assert_eq!(row(0), [9; 12]);
        assert_eq!(row(4), [9, 9, 9, 0, 0, 0, 0, 0, 0, 9, 9, 9]);
    }
}
