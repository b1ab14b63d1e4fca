//! What follows a decoder: a bounded queue, conversion, a sink.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use gstreamer as gst;
use gstreamer::glib;
use gstreamer::prelude::*;
use gstreamer_app as gst_app;

use super::audio::AudioTap;
use super::config::{Fit, SourceConfig};
use super::failure::{Failure, Kind};
use super::intake::Intake;
use super::ntp::NtpMap;
use super::ring::tap;
use super::scheme::Scheme;
use super::uri::Address;
use super::video::VideoTap;
use super::{SourceEvent, format};
use crate::stream::Medium;

/// Builds the branches as decoded pads appear.
pub(super) struct Branches {
    pipeline: glib::WeakRef<gst::Pipeline>,
    intake: Arc<Intake>,
    generation: u64,
    config: SourceConfig,
    /// What waits too long is dropped, as the network does not wait.
    leaks: bool,
    ntp: Arc<NtpMap>,
    video: Mutex<Option<gst::Element>>,
    audio: Mutex<Option<gst::Element>>,
    failed: AtomicBool,
}

/// An element, or a message that names the package to install.
pub(super) fn element(name: &str) -> Result<gst::Element, Failure> {
    gst::ElementFactory::make(name).build().map_err(|_| {
        let message =
            format!("GStreamer has no element {name}; install gstreamer1.0-plugins-base, -good and -bad");
        Failure::new(Kind::Internal, message)
    })
}

fn internal(error: impl std::fmt::Display) -> Failure {
    Failure::new(Kind::Internal, error.to_string())
}

impl Branches {
    pub fn new(
        pipeline: &gst::Pipeline,
        (address, config): (&Address, &SourceConfig),
        intake: &Arc<Intake>,
        generation: u64,
        ntp: &Arc<NtpMap>,
    ) -> Self {
        Self {
            pipeline: pipeline.downgrade(),
            intake: Arc::clone(intake),
            generation,
            config: config.clone(),
            leaks: config.live && address.scheme != Scheme::Http,
            ntp: Arc::clone(ntp),
            video: Mutex::default(),
            audio: Mutex::default(),
            failed: AtomicBool::new(false),
        }
    }

    /// Links a decoded pad to its branch. A source that changes its streams brings a new pad for the same track: the
    /// branch stays and is linked anew. Pads that are not wanted go nowhere, but not unlinked, which would be an error.
    pub fn link(&self, pad: &gst::Pad) {
        let caps = pad.current_caps().unwrap_or_else(|| pad.query_caps(None));
        let name = caps.structure(0).map(|structure| structure.name().to_string()).unwrap_or_default();
        let linked = if name.starts_with("video/x-raw") && self.config.grid.is_some() {
            self.link_to(&self.video, pad, Self::video)
        } else if name.starts_with("audio/x-raw") && self.config.sample_rate > 0 {
            if let Some(ring) = self.intake.ring() {
                tap::raw(pad, ring, self.generation);
            }
            self.link_to(&self.audio, pad, Self::audio)
        } else {
            self.nowhere(pad)
        };
        if let Err(failure) = linked {
            self.fail(&failure);
        }
    }

    fn link_to(
        &self,
        branch: &Mutex<Option<gst::Element>>,
        pad: &gst::Pad,
        build: impl Fn(&Self) -> Result<gst::Element, Failure>,
    ) -> Result<(), Failure> {
        let mut branch = branch.lock().unwrap_or_else(PoisonError::into_inner);
        let head = match &*branch {
            Some(head) => head.clone(),
            None => branch.insert(build(self)?).clone(),
        };
        let sink = head.static_pad("sink").ok_or_else(|| internal("a queue has no sink pad"))?;
        if sink.is_linked() {
            return self.nowhere(pad);
        }
        pad.link(&sink).map(|_| ()).map_err(internal)
    }

    fn nowhere(&self, pad: &gst::Pad) -> Result<(), Failure> {
        let sink = element("fakesink")?;
        sink.set_property("sync", false);
        sink.set_property("async", false);
        self.add(std::slice::from_ref(&sink))?;
        let target = sink.static_pad("sink").ok_or_else(|| internal("a fakesink has no sink pad"))?;
        pad.link(&target).map(|_| ()).map_err(internal)
    }

    /// queue ! (choice of frames) [crop !] videoconvertscale ! RGB at the model's size ! videoflip ! sink. Returns its head. Both ways
    /// of scaling look at every pixel of the picture; the default one would leave some out. What a phone stored on its side is turned when
    /// it is small and square already.
    pub fn video(&self) -> Result<gst::Element, Failure> {
        let Some(grid) = self.config.grid else { return Err(internal("no grid for video")) };
        let queue = self.queue(3)?;
        self.tell_format(&queue)?;
        let convert = element("videoconvertscale")?;
        convert.set_property("add-borders", false);
        convert.set_property("qos", false);
        let size = i32::try_from(self.config.frame_size).map_err(internal)?;
        let caps = gst::Caps::builder("video/x-raw")
            .field("format", "RGB")
            .field("width", size)
            .field("height", size)
            .build();
        let tap = VideoTap::new(Arc::clone(&self.intake), self.generation, grid, Arc::clone(&self.ntp));
        let crop = match self.config.fit {
            Fit::Stretch => {
                convert.set_property_from_str("method", "bilinear2");
                None
            }
            Fit::Crop => {
                convert.set_property_from_str("method", "catrom");
                let crop = element("aspectratiocrop")?;
                crop.set_property("aspect-ratio", gst::Fraction::new(1, 1));
                Some(crop)
            }
        };
        let flip = element("videoflip")?;
        flip.set_property_from_str("video-direction", "auto");
        flip.set_property("qos", false);
        let first = crop.as_ref().unwrap_or(&convert);
        let input = first.static_pad("sink").ok_or_else(|| internal("the converter has no sink pad"))?;
        tap.attach(&input);
        let sink = self.sink(&caps, Medium::Video, move |sink| tap.sample(sink));
        let mut elements = vec![queue];
        elements.extend(crop);
        elements.extend([convert, flip, sink]);
        self.chain(&elements)
    }

    /// queue ! audioconvert ! audioresample ! f32 at the model's rate, of one channel or two ! sink. Returns its head.
    pub fn audio(&self) -> Result<gst::Element, Failure> {
        let queue = self.queue(50)?;
        self.tell_format(&queue)?;
        let rate = i32::try_from(self.config.sample_rate).map_err(internal)?;
        let caps = gst::Caps::builder("audio/x-raw")
            .field("format", "F32LE")
            .field("layout", "interleaved")
            .field("channels", gst::IntRange::new(1, 2))
            .field("rate", rate)
            .build();
        let tap = AudioTap::new(
            Arc::clone(&self.intake),
            self.generation,
            self.config.sample_rate,
            Arc::clone(&self.ntp),
        );
        let sink = self.sink(&caps, Medium::Audio, move |sink| tap.sample(sink));
        self.chain(&[queue, element("audioconvert")?, element("audioresample")?, sink])
    }

    /// Bounded in buffers, of which decoders make few and large ones. A live branch that cannot keep up loses the
    /// oldest rather than hold up the network; HTTP is fetched, and waits.
    fn queue(&self, buffers: u32) -> Result<gst::Element, Failure> {
        let queue = element("queue")?;
        queue.set_property("max-size-buffers", buffers);
        queue.set_property("max-size-bytes", 0u32);
        queue.set_property("max-size-time", 0u64);
        if self.leaks {
            queue.set_property_from_str("leaky", "downstream");
        }
        Ok(queue)
    }

    /// A sink that hands every buffer to `take` in the streaming thread. It does not wait for the clock: live sources
    /// come when they come, and files that play at their own speed are paced in stream time, which survives jumps.
    fn sink(
        &self,
        caps: &gst::Caps,
        track: Medium,
        take: impl Fn(&gst_app::AppSink) -> Result<gst::FlowSuccess, gst::FlowError> + Send + 'static,
    ) -> gst::Element {
        let intake = Arc::clone(&self.intake);
        let callbacks =
            gst_app::AppSinkCallbacks::builder().new_sample(take).eos(move |_| intake.over(track)).build();
        let sink = gst_app::AppSink::builder()
            .caps(caps)
            .sync(false)
            .async_(false)
            .qos(false)
            .enable_last_sample(false)
            .max_buffers(2)
            .callbacks(callbacks)
            .build();
        sink.upcast()
    }

    /// Says what the track is made of that comes into `queue`.
    fn tell_format(&self, queue: &gst::Element) -> Result<(), Failure> {
        let pad = queue.static_pad("sink").ok_or_else(|| internal("a queue has no sink pad"))?;
        let (intake, generation) = (Arc::clone(&self.intake), self.generation);
        format::watch(&pad, move |format| {
            // A connection that is over has nothing to say.
            let _over = intake.mailbox.push(generation, SourceEvent::Format(format));
        });
        Ok(())
    }

    fn chain(&self, elements: &[gst::Element]) -> Result<gst::Element, Failure> {
        self.add(elements)?;
        elements.first().cloned().ok_or_else(|| internal("an empty branch"))
    }

    fn add(&self, elements: &[gst::Element]) -> Result<(), Failure> {
        let pipeline = self.pipeline.upgrade().ok_or_else(|| internal("the pipeline is gone"))?;
        pipeline.add_many(elements).map_err(internal)?;
        for pair in elements.windows(2) {
            // Unchecked: before its input is linked a cropping element accepts nothing.
            let check = gst::PadLinkCheck::empty();
            pair[0].link_pads_full(Some("src"), &pair[1], Some("sink"), check).map_err(internal)?;
        }
        // From the sink upwards, so that no buffer finds its way blocked by an element that is not ready.
        for element in elements.iter().rev() {
            element.sync_state_with_parent().map_err(internal)?;
        }
        Ok(())
    }

    /// Reports the first trouble of building on the bus, where the supervisor looks.
    fn fail(&self, failure: &Failure) {
        if !self.failed.swap(true, Ordering::Relaxed)
            && let Some(pipeline) = self.pipeline.upgrade()
        {
            gst::element_error!(pipeline, gst::CoreError::Failed, ("{}", failure.message));
        }
    }
}
