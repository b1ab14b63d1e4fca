//! Puts the units of a clip into a container, as they came.

use std::path::Path;

use gstreamer as gst;
use gstreamer::prelude::*;
use gstreamer_app as gst_app;

use super::MadeClip;
use super::codec::{Codec, Container};
use super::span::{Span, Strand};
use crate::source::branch;

/// Writing a clip takes a moment; what takes so long hangs.
const HANGS: gst::ClockTime = gst::ClockTime::from_seconds(30);

/// Writes a clip; returns what it is, and what of it had to be left out.
pub(super) fn write(span: &Span, path: &Path) -> Result<(MadeClip, Vec<String>), String> {
    let codec = |strand: &Option<Strand>| strand.as_ref().map(|strand| Codec::of(&strand.encoding.caps));
    let (video, audio) = (codec(&span.video), codec(&span.audio));
    let fits = |codec: &Option<Codec>| codec.as_ref().is_none_or(|codec| codec.in_mp4);
    let container = if fits(&video) && fits(&audio) { Container::Mp4 } else { Container::Matroska };
    let mut remarks = Vec::new();
    if container == Container::Matroska {
        let unfit = [&video, &audio].into_iter().flatten().filter(|codec| !codec.in_mp4);
        let names: Vec<&str> = unfit.map(|codec| codec.name.as_str()).collect();
        remarks.push(format!("Matroska, as {} does not go into MP4", names.join(" and ")));
    }
    let strands = || [&span.video, &span.audio].into_iter().flatten();
    if strands().any(|strand| strand.encoding.orientation.is_some()) {
        remarks.push(
            "its picture lies as it was recorded: the muxers of GStreamer 1.22 cannot say that it is turned"
                .to_owned(),
        );
    }
    let base = strands().map(Strand::first_dts).min().unwrap_or(0);
    let graph = Graph::new(container, path)?;
    for (strand, codec, pad) in [(&span.video, &video, "video_%u"), (&span.audio, &audio, "audio_%u")] {
        if let (Some(strand), Some(codec)) = (strand, codec) {
            graph.feed(strand, codec, pad, base)?;
        }
    }
    graph.run()?;
    let seconds = |nanos: i64| nanos as f64 / 1e9;
    let clip = MadeClip {
        container,
        video: video.map(|codec| codec.name),
        audio: audio.map(|codec| codec.name),
        from: seconds(strands().map(Strand::start).min().unwrap_or(0)),
        to: seconds(strands().map(Strand::end).max().unwrap_or(0)),
    };
    Ok((clip, remarks))
}

/// A pipeline that is taken down with this.
struct Graph {
    pipeline: gst::Pipeline,
    muxer: gst::Element,
}

impl Graph {
    fn new(container: Container, path: &Path) -> Result<Self, String> {
        let location = path.to_str().ok_or("the path of the clip is no UTF-8")?;
        let pipeline = gst::Pipeline::new();
        let muxer = element(container.muxer())?;
        if container == Container::Mp4 {
            // The index in front, so that a browser can begin before it has all. It is put there by way of a second file.
            muxer.set_property("faststart", true);
            muxer.set_property("faststart-file", format!("{location}.moov"));
        }
        let sink = element("filesink")?;
        sink.set_property("location", location);
        sink.set_property("sync", false);
        pipeline.add_many([&muxer, &sink]).map_err(|error| error.to_string())?;
        muxer.link(&sink).map_err(|error| error.to_string())?;
        Ok(Self { pipeline, muxer })
    }

    /// One track, moved so that `base` is at zero.
    fn feed(&self, strand: &Strand, codec: &Codec, pad: &str, base: i64) -> Result<(), String> {
        let mut elements = source(strand, base)?;
        if let Some(parser) = codec.parser {
            elements.push(element(parser)?);
        }
        self.pipeline.add_many(&elements).map_err(|error| error.to_string())?;
        gst::Element::link_many(&elements).map_err(|error| error.to_string())?;
        let last = elements.last().expect("there is a source");
        // What it is, a source says only when it runs, so the muxer could not tell which of its pads is meant.
        let refused = || format!("{} does not go into {}", codec.name, self.muxer.name());
        let pad = self.muxer.request_pad_simple(pad).ok_or_else(refused)?;
        let linked = last.static_pad("src").map(|src| src.link(&pad));
        linked.and_then(Result::ok).map(|_| ()).ok_or_else(refused)
    }

    /// Writes until all is written.
    fn run(&self) -> Result<(), String> {
        let bus = self.pipeline.bus().ok_or("a pipeline has no bus")?;
        let started = self.pipeline.set_state(gst::State::Playing);
        let ends = [gst::MessageType::Eos, gst::MessageType::Error];
        let message = bus.timed_pop_filtered(HANGS, &ends);
        match message.as_ref().map(|message| message.view()) {
            Some(gst::MessageView::Eos(_)) => Ok(()),
            Some(gst::MessageView::Error(error)) => Err(error.error().to_string()),
            _ if started.is_err() => Err("the writer could not be started".to_owned()),
            _ => Err("the writer hangs".to_owned()),
        }
    }
}

impl Drop for Graph {
    fn drop(&mut self) {
        // Nothing is left to be told.
        let _stopped = self.pipeline.set_state(gst::State::Null);
    }
}

pub(super) fn element(name: &str) -> Result<gst::Element, String> {
    branch::element(name).map_err(|failure| failure.message)
}

/// `mp4mux` of GStreamer 1.22 crashes on VP9 that does not say where its colours lie; most lie as those of H.264.
fn whole(caps: &gst::Caps) -> gst::Caps {
    let mut caps = caps.clone();
    let lacks = |structure: &gst::StructureRef| {
        structure.name() == "video/x-vp9" && !structure.has_field("chroma-site")
    };
    if caps.structure(0).is_some_and(lacks)
        && let Some(structure) = caps.make_mut().structure_mut(0)
    {
        structure.set("chroma-site", "mpeg2");
    }
    caps
}

/// Says the units of a strand, moved so that `base` is at zero, how they are to be turned, and that this is all. To be linked in this order.
pub(super) fn source(strand: &Strand, base: i64) -> Result<Vec<gst::Element>, String> {
    let source = gst_app::AppSrc::builder()
        .caps(&whole(&strand.encoding.caps))
        .format(gst::Format::Time)
        .is_live(false)
        .max_bytes(0)
        .build();
    let time = |nanos: i64| gst::ClockTime::from_nseconds(nanos.saturating_sub(base).max(0) as u64);
    for unit in &strand.units {
        let mut buffer = unit.buffer.clone();
        let own = buffer.make_mut();
        own.set_pts(time(unit.pts));
        own.set_dts(time(unit.dts));
        if unit.duration > 0 {
            own.set_duration(gst::ClockTime::from_nseconds(unit.duration as u64));
        }
        source.push_buffer(buffer).map_err(|error| error.to_string())?;
    }
    source.end_of_stream().map_err(|error| error.to_string())?;
    let mut elements = vec![source.upcast()];
    if let Some(orientation) = &strand.encoding.orientation {
        let turn = element("taginject")?;
        turn.set_property("tags", format!("image-orientation={orientation}"));
        elements.push(turn);
    }
    Ok(elements)
}
