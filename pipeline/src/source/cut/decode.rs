//! Decodes the units of a strand once more, for a picture or a spectrogram.

use std::time::{Duration, Instant};

use gstreamer as gst;
use gstreamer::prelude::*;
use gstreamer_app as gst_app;

use super::mux::{element, source};
use super::span::Strand;

/// Decoding a piece takes a moment; what brings nothing for so long hangs.
const HANGS: Duration = Duration::from_secs(20);
/// How often trouble is looked for.
const LOOK: gst::ClockTime = gst::ClockTime::from_mseconds(200);

/// Decodes to `caps` by way of `converters`, and hands each sample to `take`.
pub(super) fn decode(
    strand: &Strand,
    base: i64,
    converters: &[gst::Element],
    caps: &gst::Caps,
    mut take: impl FnMut(gst::Sample),
) -> Result<(), String> {
    let failed = |error: gst::glib::BoolError| error.to_string();
    let pipeline = gst::Pipeline::new();
    let (mut head, decoder) = (source(strand, base)?, element("decodebin")?);
    head.push(decoder.clone());
    let sink = gst_app::AppSink::builder().caps(caps).sync(false).max_buffers(4).build();
    let mut chain = converters.to_vec();
    chain.push(sink.clone().upcast());
    pipeline.add_many(&head).map_err(failed)?;
    pipeline.add_many(&chain).map_err(failed)?;
    gst::Element::link_many(&head).map_err(failed)?;
    gst::Element::link_many(&chain).map_err(failed)?;
    let entry = chain[0].static_pad("sink").ok_or("a converter has no sink pad")?;
    decoder.connect_pad_added(move |_, pad| {
        if !entry.is_linked() && pad.link(&entry).is_err() {
            tracing::debug!("what was decoded for a clip could not be linked");
        }
    });
    let _stops = Stops(pipeline.clone());
    pipeline.set_state(gst::State::Playing).map_err(|error| error.to_string())?;
    let mut heard = Instant::now();
    loop {
        match sink.try_pull_sample(LOOK) {
            Some(sample) => {
                heard = Instant::now();
                take(sample);
            }
            None if sink.is_eos() => return Ok(()),
            None => {
                let error = pipeline.bus().and_then(|bus| bus.pop_filtered(&[gst::MessageType::Error]));
                if let Some(gst::MessageView::Error(error)) = error.as_ref().map(|message| message.view()) {
                    return Err(error.error().to_string());
                }
                if heard.elapsed() >= HANGS {
                    return Err("the decoder hangs".to_owned());
                }
            }
        }
    }
}

/// Takes a pipeline down.
struct Stops(gst::Pipeline);

impl Drop for Stops {
    fn drop(&mut self) {
        // Nothing is left to be told.
        let _stopped = self.0.set_state(gst::State::Null);
    }
}
