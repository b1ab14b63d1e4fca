//! One connection: a GStreamer pipeline from the address to the two taps, and its bus.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use gstreamer as gst;
use gstreamer::glib;
use gstreamer::prelude::*;
use tokio::sync::mpsc::UnboundedSender;
use tokio::sync::oneshot;

use super::branch::{Branches, element};
use super::chooser::Chooser;
use super::config::SourceConfig;
use super::failure::{Failure, Kind};
use super::gate::Gate;
use super::intake::Intake;
use super::ntp::NtpMap;
use super::ring::tap;
use super::scheme::Scheme;
use super::uri::Address;
use super::{end, generate, moov, program, stamps, threads, unseen};

/// What the pipeline says besides samples.
#[derive(Debug)]
pub(super) enum Note {
    /// What the source carries. May come again with more.
    Streams { audio: bool, video: bool },
    /// Everything was delivered.
    Eos,
    /// Nothing more will come.
    Failed(Failure),
}

/// Warnings can come with every packet: the first few of a source are said, the rest only when debugging.
const SAID: u64 = 5;

/// Runs `work` in a thread of its own. GStreamer may need long, and should it ever hang, that must cost one thread: a tokio
/// runtime could not end before its blocking tasks do.
pub(super) fn aside<T: Send + 'static>(
    work: impl FnOnce() -> T + Send + 'static,
) -> std::io::Result<oneshot::Receiver<T>> {
    let (done, result) = oneshot::channel();
    std::thread::Builder::new().name("source-graph".to_owned()).spawn(move || {
        // A result nobody waits for any more is dropped here, not in an async thread.
        let _unwanted = done.send(work());
    })?;
    Ok(result)
}

/// A running pipeline. [`Graph::stop`] must be called off the async threads: it waits for the streaming threads.
pub(super) struct Graph {
    pipeline: gst::Pipeline,
    /// The demuxer counts the duration from time stamp zero, not from the first one.
    from_zero: Arc<AtomicBool>,
    /// It reads a playlist.
    playlist: Arc<AtomicBool>,
    gate: Arc<Gate>,
    chooser: Arc<Chooser>,
}

impl Graph {
    /// Builds and starts the pipeline. May block for a while (name lookup, opening a file).
    pub fn start(
        address: &Address,
        config: &SourceConfig,
        intake: &Arc<Intake>,
        generation: u64,
        notes: &UnboundedSender<Note>,
    ) -> Result<Self, Failure> {
        address.check()?;
        let pipeline = gst::Pipeline::new();
        let chooser = Arc::new(Chooser::new(config));
        let gate = Gate::new(&chooser, config.live);
        let graph = Self { pipeline, from_zero: Arc::default(), playlist: Arc::default(), gate, chooser };
        let ntp = Arc::new(NtpMap::default());
        let branches = Branches::new(&graph.pipeline, (address, config), intake, generation, &ntp);
        graph.listen(address, config, intake, notes);
        if address.scheme == Scheme::Test {
            let (audio, video) = generate::build(address, config, &graph.pipeline, &branches)?;
            // The other side is gone only when the source is being stopped.
            let _stopping = notes.send(Note::Streams { audio, video });
        } else {
            graph.autoplug(address, config, (intake, generation), branches, ntp)?;
        }
        if graph.pipeline.set_state(gst::State::Playing).is_err() {
            // The bus knows why, and its message is better than ours; this one is used only if there is none.
            let message = format!("{}: the graph could not be started", address.shown());
            let _stopping = notes.send(Note::Failed(Failure::new(Kind::Internal, message)));
        }
        Ok(graph)
    }

    /// How long the source says it lasts, from its first sample on, whose own time stamp was `ahead` of the running time.
    pub fn duration(&self, ahead: Duration) -> Option<Duration> {
        let duration: Duration = self.pipeline.query_duration::<gst::ClockTime>()?.into();
        let before = if self.from_zero.load(Ordering::Relaxed) { ahead } else { Duration::ZERO };
        Some(duration.saturating_sub(before))
    }

    /// Does it read a playlist, whose end is said and not only seen?
    pub fn is_playlist(&self) -> bool {
        self.playlist.load(Ordering::Relaxed)
    }

    /// Ends the pipeline and waits for its threads. The intake's connection must be closed before, or a thread that
    /// waits for the reader would never return.
    pub fn stop(self) {
        drop(self);
    }

    fn autoplug(
        &self,
        address: &Address,
        config: &SourceConfig,
        (intake, generation): (&Arc<Intake>, u64),
        branches: Branches,
        ntp: Arc<NtpMap>,
    ) -> Result<(), Failure> {
        let source = element("uridecodebin3")?;
        source.set_property("uri", &address.uri);
        let (address, config) = (address.clone(), config.clone());
        let chooser = Arc::clone(&self.chooser);
        let latency = u32::try_from(config.latency.as_millis()).unwrap_or(u32::MAX);
        let (grid, is_paced) = (config.grid, config.live || config.realtime);
        source.connect("source-setup", false, move |args| {
            let source = args.get(1)?.get::<gst::Element>().ok()?;
            tune(&source, &address, latency, &config);
            None
        });
        source.connect("select-stream", false, move |args| {
            let collection = args.get(1).and_then(|arg| arg.get::<gst::StreamCollection>().ok());
            let stream = args.get(2).and_then(|arg| arg.get::<gst::Stream>().ok());
            let taken =
                collection.zip(stream).map(|(collection, stream)| chooser.takes(&collection, &stream));
            Some(taken.map_or(-1, i32::from).to_value())
        });
        let (from_zero, playlist) = (Arc::clone(&self.from_zero), Arc::clone(&self.playlist));
        let (intake, gate) = (Arc::clone(intake), Arc::clone(&self.gate));
        self.pipeline.connect_deep_element_added(move |_, bin, element| {
            match element.factory().map(|factory| factory.name()).as_deref() {
                Some("matroskademux") => from_zero.store(true, Ordering::Relaxed),
                Some("hlsdemux2" | "dashdemux2" | "mssdemux2") => {
                    playlist.store(true, Ordering::Relaxed);
                    intake.bursts();
                }
                _ => {}
            }
            gate.watch(bin, element);
            program::watch(element, &ntp);
            intake.programs().watch(element);
            ntp.watch(element);
            end::lead_round(element);
            moov::mend(element);
            stamps::mend(element);
            if let Some(ring) = intake.ring() {
                tap::watch(element, ring, generation);
            }
            // Behind the ring, whose clips have every picture.
            unseen::watch(element, grid, &intake);
            if is_paced {
                threads::limit(element);
            }
        });
        let gate = Arc::clone(&self.gate);
        source.connect_pad_added(move |_, pad| {
            branches.link(pad);
            gate.linked();
        });
        self.pipeline.add(&source).map_err(|error| Failure::new(Kind::Internal, error.to_string()))
    }

    /// Passes on what the bus says. The handler runs in the thread that posts, so nothing queues up on the bus.
    fn listen(
        &self,
        address: &Address,
        config: &SourceConfig,
        intake: &Arc<Intake>,
        notes: &UnboundedSender<Note>,
    ) {
        let Some(bus) = self.pipeline.bus() else { return };
        let (stream, intake) = (config.stream_id.clone(), Arc::clone(intake));
        let gate = Arc::clone(&self.gate);
        let (uri, shown, notes) = (address.uri.clone(), address.shown().to_owned(), notes.clone());
        let failed = AtomicBool::new(false);
        bus.set_sync_handler(move |_, message| {
            let failure = |error: &glib::Error, debug: Option<glib::GString>| {
                Failure::from_bus(error, debug.as_deref(), message.src(), &uri, &shown)
            };
            let note = match message.view() {
                gst::MessageView::Eos(_) => Some(Note::Eos),
                gst::MessageView::StateChanged(changed) => {
                    gate.state_changed(message.src(), changed.current());
                    None
                }
                // Later errors are only the first one's consequences.
                gst::MessageView::Error(error) if !failed.swap(true, Ordering::Relaxed) => {
                    let failure = failure(&error.error(), error.debug());
                    Some(Note::Failed(failure.with_status(http_status(error.details()), &shown)))
                }
                gst::MessageView::Warning(warning) => {
                    let warning = failure(&warning.error(), warning.debug());
                    if intake.mailbox.damaged() <= SAID {
                        tracing::warn!(stream, %warning, "source");
                    } else {
                        tracing::debug!(stream, %warning, "source");
                    }
                    None
                }
                gst::MessageView::StreamCollection(message) => {
                    let has =
                        |kind| message.stream_collection().iter().any(|s| s.stream_type().contains(kind));
                    Some(Note::Streams {
                        audio: has(gst::StreamType::AUDIO),
                        video: has(gst::StreamType::VIDEO),
                    })
                }
                _ => None,
            };
            if let Some(note) = note {
                let _stopping = notes.send(note);
            }
            gst::BusSyncReply::Drop
        });
    }
}

/// What a server answered, where a plugin says so.
fn http_status(details: Option<&gst::StructureRef>) -> Option<u32> {
    details?.get("http-status-code").ok()
}

impl Drop for Graph {
    fn drop(&mut self) {
        self.gate.open();
        if let Err(error) = self.pipeline.set_state(gst::State::Null) {
            tracing::warn!(%error, "a pipeline did not stop");
        }
    }
}

/// Settings of the source element, where it has them.
fn tune(source: &gst::Element, address: &Address, latency: u32, config: &SourceConfig) {
    let has = |name| source.find_property(name).is_some();
    let stall = config.stall_timeout;
    match address.scheme {
        Scheme::Rtsp => {
            let tcp = !address.uri.starts_with("rtspu:");
            source.set_property("latency", latency);
            // The jitter buffer is bounded by its latency, whatever the sender does.
            source.set_property("drop-on-latency", true);
            source.set_property("tcp-timeout", u64::try_from(stall.as_micros()).unwrap_or(0));
            source.set_property_from_str("protocols", if tcp { "tcp" } else { "udp+udp-mcast" });
        }
        Scheme::Srt if has("latency") => {
            source.set_property("latency", i32::try_from(latency).unwrap_or(i32::MAX));
            // It would call a server that refuses it again at once, and say nothing of it.
            let listens = address.uri.contains("mode=listener") || address.uri.starts_with("srt://:");
            if has("auto-reconnect") && !listens {
                source.set_property("auto-reconnect", false);
            }
        }
        // Room for a burst of a high-rate stream while this process is not scheduled.
        Scheme::Udp if has("buffer-size") => source.set_property("buffer-size", 4i32 << 20),
        Scheme::Http if has("timeout") => {
            source.set_property("timeout", u32::try_from(stall.as_secs().max(1)).unwrap_or(u32::MAX));
        }
        _ => {}
    }
}
