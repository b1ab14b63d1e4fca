//! The worker's thread: what it says becomes buffers and messages.

use avicuna_pipeline::record::ErrorRecord;
use gstreamer as gst;
use gstreamer::glib;
use gstreamer::prelude::*;

use super::line::Line;
use super::worker::{Said, Worker};

/// Runs `worker` to its end and pushes what it says out of `src`; what downstream answers is left in `line` for upstream.
pub fn push(worker: Worker, line: &Line, element: &glib::WeakRef<super::Localizer>, src: &gst::Pad) {
    let mut begun = false;
    let stream_id = format!("avicuna/{}", worker.stream);
    worker.run(line, |epoch, said| {
        // A flush stops downstream from taking anything, and then takes this lock before it lets downstream take more.
        let _no_flush_ends = src.stream_lock();
        if !line.is_current(epoch) {
            return;
        }
        begun &= !matches!(said, Said::Afresh);
        if !std::mem::replace(&mut begun, true) {
            src.push_event(gst::event::StreamStart::new(&stream_id));
            src.push_event(gst::event::Caps::new(&gst::Caps::builder("application/x-json").build()));
            src.push_event(gst::event::Segment::new(&gst::FormattedSegment::<gst::ClockTime>::new()));
        }
        match said {
            Said::Afresh => {}
            Said::Event(record, until) => {
                let Ok(mut json) = serde_json::to_vec(&record) else { return };
                json.push(b'\n');
                let mut buffer = gst::Buffer::from_mut_slice(json);
                if let Some(buffer) = buffer.get_mut() {
                    buffer.set_pts(gst::ClockTime::from_nseconds(u64::try_from(until.0).unwrap_or(0)));
                }
                if let Err(error) = src.push(buffer) {
                    line.refuse(epoch, error);
                }
            }
            Said::Trouble(ErrorRecord { message, detail: None, .. }) => warn(element, &message),
            Said::Trouble(ErrorRecord { message, detail: Some(detail), .. }) => {
                warn(element, &format!("{message}: {detail}"));
            }
            Said::End => {
                src.push_event(gst::event::Eos::new());
            }
        }
    });
}

fn warn(element: &glib::WeakRef<super::Localizer>, message: &str) {
    if let Some(element) = element.upgrade() {
        gst::element_warning!(element, gst::StreamError::Failed, ["{message}"]);
    }
}
