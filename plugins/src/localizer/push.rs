//! The worker's thread: what it says becomes buffers and messages.

use std::sync::mpsc::Receiver;

use avicuna_pipeline::record::ErrorRecord;
use gstreamer as gst;
use gstreamer::glib;
use gstreamer::prelude::*;

use super::worker::{Job, Said, Worker};

/// Runs `worker` to its end and pushes what it says out of `src`.
pub fn push(worker: Worker, jobs: &Receiver<Job>, element: &glib::WeakRef<super::Localizer>, src: &gst::Pad) {
    let mut begun = false;
    let stream_id = format!("avicuna/{}", worker.stream);
    worker.run(jobs, |said| {
        if !std::mem::replace(&mut begun, true) {
            src.push_event(gst::event::StreamStart::new(&stream_id));
            src.push_event(gst::event::Caps::new(&gst::Caps::builder("application/x-json").build()));
            src.push_event(gst::event::Segment::new(&gst::FormattedSegment::<gst::ClockTime>::new()));
        }
        match said {
            Said::Event(record, until) => {
                let Ok(mut json) = serde_json::to_vec(&record) else { return };
                json.push(b'\n');
                let mut buffer = gst::Buffer::from_mut_slice(json);
                if let Some(buffer) = buffer.get_mut() {
                    buffer.set_pts(gst::ClockTime::from_nseconds(u64::try_from(until.0).unwrap_or(0)));
                }
                // Downstream that is gone or flushing is told about by its own means.
                let _unwanted = src.push(buffer);
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
