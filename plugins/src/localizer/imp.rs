//! The element's state: settings, pads, the running model.
//!
//! Threads: each sink pad's streaming thread locks `running` to put its samples into windows and hands closed windows to
//! the worker through a bounded channel, *after* it let the lock go, so that the other pad goes on while one waits for the
//! model. The worker pushes downstream and takes no lock of the element.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{SyncSender, sync_channel};
use std::sync::{Arc, LazyLock, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use avicuna_models::localizer::{LoadOptions, Localizer as Model};
use avicuna_models::sample::RgbFrame;
use avicuna_pipeline::answer::Reader;
use avicuna_pipeline::stream::{Medium, StreamId};
use avicuna_pipeline::timeline::StreamTime;
use avicuna_pipeline::watching::Recorder;
use avicuna_pipeline::window::Closed;
use gstreamer as gst;
use gstreamer::glib;
use gstreamer::prelude::*;
use gstreamer::subclass::prelude::*;

use super::intake::Intake;
use super::push::push;
use super::settings::Settings;
use super::worker::{Job, Worker};

/// Windows that may wait for the model before upstream waits too.
const WAITING: usize = 2;

static CAT: LazyLock<gst::DebugCategory> = LazyLock::new(|| {
    gst::DebugCategory::new("avicunalocalizer", gst::DebugColorFlags::empty(), Some("AVicuna localizer"))
});

/// What exists between READY and PAUSED.
struct Running {
    intake: Intake,
    jobs: SyncSender<Job>,
    stopping: Arc<AtomicBool>,
    worker: JoinHandle<()>,
}

/// See the module.
pub struct Localizer {
    video: gst::Pad,
    audio: gst::Pad,
    src: gst::Pad,
    settings: Mutex<Settings>,
    model: Mutex<Option<Arc<Model>>>,
    running: Mutex<Option<Running>>,
    segments: Mutex<[gst::FormattedSegment<gst::ClockTime>; 2]>,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[glib::object_subclass]
impl ObjectSubclass for Localizer {
    const NAME: &'static str = "AvicunaLocalizer";
    type Type = super::Localizer;
    type ParentType = gst::Element;

    fn with_class(class: &Self::Class) -> Self {
        let sink = |name: &str, side: Medium| {
            let template = class.pad_template(name).expect("the class has this template");
            gst::Pad::builder_from_template(&template)
                .chain_function(move |_, parent, buffer| {
                    Self::catch_panic_pad_function(
                        parent,
                        || Err(gst::FlowError::Error),
                        |this| this.chain(side, &buffer),
                    )
                })
                .event_function(move |pad, parent, event| {
                    Self::catch_panic_pad_function(parent, || false, |this| this.event(side, pad, event))
                })
                .query_function(move |pad, parent, query| {
                    Self::catch_panic_pad_function(parent, || false, |this| this.query(side, pad, query))
                })
                .build()
        };
        let (video, audio) = (sink("video", Medium::Video), sink("audio", Medium::Audio));
        let template = class.pad_template("src").expect("the class has this template");
        Self {
            video,
            audio,
            src: gst::Pad::from_template(&template),
            settings: Mutex::default(),
            model: Mutex::default(),
            running: Mutex::default(),
            segments: Mutex::new([gst::FormattedSegment::new(), gst::FormattedSegment::new()]),
        }
    }
}

impl ObjectImpl for Localizer {
    fn constructed(&self) {
        self.parent_constructed();
        for pad in [&self.video, &self.audio, &self.src] {
            self.obj().add_pad(pad).expect("the element has no other pad of this name");
        }
    }

    fn properties() -> &'static [glib::ParamSpec] {
        static PROPERTIES: LazyLock<Vec<glib::ParamSpec>> = LazyLock::new(|| {
            let defaults = Settings::default();
            let text = |name: &str, blurb: &str| {
                glib::ParamSpecString::builder(name).blurb(blurb).mutable_ready().build()
            };
            let nanos = |name: &str, blurb: &str| {
                glib::ParamSpecUInt64::builder(name).blurb(blurb).mutable_ready().build()
            };
            vec![
                text("model", "The model directory, with its model.toml"),
                text("stream-id", "The stream's id in the records"),
                nanos("window", "Length of a window in nanoseconds; 0: what the model was trained with"),
                nanos(
                    "hop",
                    "From the start of a window to the next one's, in nanoseconds; 0: half a window",
                ),
                glib::ParamSpecBoolean::builder("detect")
                    .blurb("Ask what happens")
                    .default_value(true)
                    .mutable_ready()
                    .build(),
                text("queries", "Ask when each of these happens, separated by semicolons"),
                glib::ParamSpecDouble::builder("min-score")
                    .blurb("Leave out localizations with a lower score; below 0: the model's own least score")
                    .minimum(-1.0)
                    .maximum(1.0)
                    .default_value(defaults.min_score)
                    .mutable_ready()
                    .build(),
                glib::ParamSpecDouble::builder("min-query-score")
                    .blurb("Leave out answers to queries with a lower score; below 0: the model's own least score")
                    .minimum(-1.0)
                    .maximum(1.0)
                    .default_value(defaults.min_query_score)
                    .mutable_ready()
                    .build(),
            ]
        });
        &PROPERTIES
    }

    fn set_property(&self, _id: usize, value: &glib::Value, spec: &glib::ParamSpec) {
        let mut settings = lock(&self.settings);
        let text = || value.get::<Option<String>>().ok().flatten().unwrap_or_default();
        match spec.name() {
            "model" => settings.model = text().into(),
            "stream-id" => settings.stream_id = text(),
            "window" => settings.window = Duration::from_nanos(value.get().unwrap_or(0)),
            "hop" => settings.hop = Duration::from_nanos(value.get().unwrap_or(0)),
            "detect" => settings.detect = value.get().unwrap_or(true),
            "queries" => {
                let parts = text();
                let parts = parts.split(';').map(str::trim).filter(|part| !part.is_empty());
                settings.queries = parts.map(str::to_owned).collect();
            }
            "min-score" => settings.min_score = value.get().unwrap_or(settings.min_score),
            "min-query-score" => {
                settings.min_query_score = value.get().unwrap_or(settings.min_query_score);
            }
            other => gst::error!(CAT, imp = self, "no property {other}"),
        }
    }

    fn property(&self, _id: usize, spec: &glib::ParamSpec) -> glib::Value {
        let settings = lock(&self.settings);
        let nanos = |duration: Duration| u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX);
        match spec.name() {
            "model" => settings.model.to_string_lossy().to_value(),
            "stream-id" => settings.stream_id.to_value(),
            "window" => nanos(settings.window).to_value(),
            "hop" => nanos(settings.hop).to_value(),
            "detect" => settings.detect.to_value(),
            "queries" => settings.queries.join(";").to_value(),
            "min-query-score" => settings.min_query_score.to_value(),
            _ => settings.min_score.to_value(),
        }
    }
}

impl GstObjectImpl for Localizer {}

impl ElementImpl for Localizer {
    fn metadata() -> Option<&'static gst::subclass::ElementMetadata> {
        static METADATA: LazyLock<gst::subclass::ElementMetadata> = LazyLock::new(|| {
            gst::subclass::ElementMetadata::new(
                "AVicuna localizer",
                "Analyzer/Video/Audio",
                "Says what happened, when, seen or heard",
                "AVicuna Stream",
            )
        });
        Some(&METADATA)
    }

    fn pad_templates() -> &'static [gst::PadTemplate] {
        static TEMPLATES: LazyLock<Vec<gst::PadTemplate>> = LazyLock::new(|| {
            let video = gst::Caps::builder("video/x-raw").field("format", "RGB").build();
            let audio = gst::Caps::builder("audio/x-raw")
                .field("format", "F32LE")
                .field("channels", 1i32)
                .field("layout", "interleaved")
                .build();
            let json = gst::Caps::builder("application/x-json").build();
            let template = |name: &str, direction, caps: &gst::Caps| {
                gst::PadTemplate::new(name, direction, gst::PadPresence::Always, caps)
                    .expect("the name has no placeholder")
            };
            vec![
                template("video", gst::PadDirection::Sink, &video),
                template("audio", gst::PadDirection::Sink, &audio),
                template("src", gst::PadDirection::Src, &json),
            ]
        });
        &TEMPLATES
    }

    fn change_state(
        &self,
        transition: gst::StateChange,
    ) -> Result<gst::StateChangeSuccess, gst::StateChangeError> {
        match transition {
            gst::StateChange::NullToReady => self.load().map_err(|message| self.refuse(message))?,
            gst::StateChange::ReadyToPaused => self.start().map_err(|message| self.refuse(message))?,
            gst::StateChange::PausedToReady => {
                // The worker leaves the windows that wait out, so that a waiting streaming thread goes on.
                if let Some(running) = &*lock(&self.running) {
                    running.stopping.store(true, Ordering::Release);
                }
            }
            _ => {}
        }
        let success = self.parent_change_state(transition)?;
        match transition {
            gst::StateChange::PausedToReady => self.stop(),
            gst::StateChange::ReadyToNull => drop(lock(&self.model).take()),
            _ => {}
        }
        Ok(success)
    }
}

impl Localizer {
    fn refuse(&self, message: String) -> gst::StateChangeError {
        gst::element_imp_error!(self, gst::ResourceError::Settings, ["{message}"]);
        gst::StateChangeError
    }

    fn load(&self) -> Result<(), String> {
        let settings = lock(&self.settings).clone();
        if settings.model.as_os_str().is_empty() {
            return Err("set the property \"model\" to a model directory".into());
        }
        let model =
            Model::load(&settings.model, &LoadOptions::default()).map_err(|error| error.to_string())?;
        *lock(&self.model) = Some(Arc::new(model));
        Ok(())
    }

    /// Makes windows and worker from the settings and the model.
    fn start(&self) -> Result<(), String> {
        let settings = lock(&self.settings).clone();
        let model = lock(&self.model).clone().ok_or("the model is not loaded")?;
        let spec = settings.window_spec(model.manifest());
        let stream = StreamId::from(settings.stream_id.as_str());
        let (has_video, has_audio) = (self.video.is_linked(), self.audio.is_linked());
        let intake =
            Intake::new(spec, stream.clone(), has_video, has_audio).map_err(|error| error.to_string())?;
        let reader = Arc::new(Reader::of(&model));
        let inquiries = reader.inquiries(&settings.questions(model.manifest())?, &model);
        let max_new_tokens = model.manifest().prompt.max_new_tokens;
        let questions = inquiries.iter().map(|inquiry| inquiry.question(max_new_tokens)).collect();
        let track = settings.track(model.manifest(), &spec);
        let recorder = Recorder::new(stream.clone(), inquiries, reader, track, false);
        let stopping = Arc::new(AtomicBool::new(false));
        let worker = Worker { model, stream, recorder, questions, stopping: stopping.clone() };
        let (jobs, received) = sync_channel(WAITING);
        let (element, src) = (self.obj().downgrade(), self.src.clone());
        let thread = std::thread::Builder::new().name("avicunalocalizer".into());
        let worker = thread.spawn(move || push(worker, &received, &element, &src));
        let worker = worker.map_err(|error| format!("no thread for the model: {error}"))?;
        *lock(&self.running) = Some(Running { intake, jobs, stopping, worker });
        Ok(())
    }

    fn stop(&self) {
        let Some(Running { jobs, worker, .. }) = lock(&self.running).take() else { return };
        drop(jobs);
        if worker.join().is_err() {
            gst::error!(CAT, imp = self, "the worker panicked");
        }
    }

    fn chain(&self, side: Medium, buffer: &gst::Buffer) -> Result<gst::FlowSuccess, gst::FlowError> {
        let pts = buffer.pts().ok_or_else(|| self.flow_error("a buffer has no time stamp"))?;
        let Some(running) = lock(&self.segments)[side as usize].to_running_time(pts) else {
            // Outside of the segment: not to be shown, so not to be seen.
            return Ok(gst::FlowSuccess::Ok);
        };
        let at = StreamTime(i64::try_from(running.nseconds()).unwrap_or(i64::MAX));
        let map = buffer.map_readable().map_err(|_| self.flow_error("a buffer cannot be read"))?;
        let (closed, jobs) = {
            let mut guard = lock(&self.running);
            let running = guard.as_mut().ok_or(gst::FlowError::Flushing)?;
            let closed = match side {
                Medium::Video => {
                    let frame = self
                        .rgb(&map)
                        .ok_or_else(|| self.flow_error("a picture has another size than its caps"))?;
                    running.intake.frame(frame, at, buffer.duration().map(Into::into))
                }
                Medium::Audio => {
                    let (samples, duration) =
                        self.mono(&map).ok_or_else(|| self.flow_error("sound came without caps"))?;
                    running.intake.samples(samples, at, duration)
                }
            };
            (closed, running.jobs.clone())
        };
        hand_over(&jobs, closed)?;
        Ok(gst::FlowSuccess::Ok)
    }

    /// A packed copy of a picture; GStreamer's rows are padded to four bytes.
    fn rgb(&self, data: &[u8]) -> Option<RgbFrame> {
        let caps = self.video.current_caps()?;
        let structure = caps.structure(0)?;
        let side =
            |name| structure.get::<i32>(name).ok().and_then(|n| usize::try_from(n).ok()).filter(|n| *n > 0);
        let (width, height) = (side("width")?, side("height")?);
        let stride = (width * 3).next_multiple_of(4);
        if data.len() < stride * height {
            return None;
        }
        let data =
            data.chunks_exact(stride).take(height).flat_map(|row| &row[..width * 3]).copied().collect();
        // Where a pixel is no square, the picture was stretched.
        let pixel = structure.get::<gst::Fraction>("pixel-aspect-ratio").ok();
        let pixel = pixel.map_or(1.0, |pixel| pixel.numer().max(1) as f32 / pixel.denom().max(1) as f32);
        let aspect = width as f32 / height as f32 * pixel;
        Some(RgbFrame { width, height, aspect, data })
    }

    /// Samples, and how long they last.
    fn mono(&self, data: &[u8]) -> Option<(Vec<f32>, Duration)> {
        let rate: i32 = self.audio.current_caps()?.structure(0)?.get("rate").ok()?;
        let samples: Vec<f32> =
            data.chunks_exact(4).map(|b| f32::from_le_bytes([b[0], b[1], b[2], b[3]])).collect();
        let duration = Duration::from_secs_f64(samples.len() as f64 / f64::from(rate.max(1)));
        Some((samples, duration))
    }

    fn flow_error(&self, message: &str) -> gst::FlowError {
        gst::element_imp_error!(self, gst::StreamError::Format, ["{message}"]);
        gst::FlowError::Error
    }

    fn event(&self, side: Medium, pad: &gst::Pad, event: gst::Event) -> bool {
        match event.view() {
            gst::EventView::Segment(segment) => {
                let Ok(segment) = segment.segment().clone().downcast::<gst::ClockTime>() else {
                    gst::error!(CAT, obj = pad, "only segments in time are understood");
                    return false;
                };
                lock(&self.segments)[side as usize] = segment;
                true
            }
            gst::EventView::Eos(_) => {
                let ended = lock(&self.running).as_mut().map(|running| {
                    let (closed, over) = running.intake.end(side);
                    (closed, over, running.jobs.clone())
                });
                ended.is_some_and(|(closed, over, jobs)| {
                    hand_over(&jobs, closed).is_ok() && (!over || jobs.send(Job::End).is_ok())
                })
            }
            // The source pad has caps and segments of its own.
            gst::EventView::Caps(_) | gst::EventView::StreamStart(_) | gst::EventView::Tag(_) => true,
            gst::EventView::Gap(_) => true,
            _ => gst::Pad::event_default(pad, Some(&*self.obj()), event),
        }
    }

    fn query(&self, side: Medium, pad: &gst::Pad, query: &mut gst::QueryRef) -> bool {
        let gst::QueryViewMut::Caps(caps) = query.view_mut() else {
            return gst::Pad::query_default(pad, Some(&*self.obj()), query);
        };
        let wanted = self.wanted(side, pad);
        let answer = caps.filter().map_or(wanted.clone(), |filter| {
            filter.intersect_with_mode(&wanted, gst::CapsIntersectMode::First)
        });
        caps.set_result(&answer);
        true
    }

    /// What the loaded model takes; the template's caps before it is loaded.
    fn wanted(&self, side: Medium, pad: &gst::Pad) -> gst::Caps {
        let mut caps = pad.pad_template_caps();
        let Some(model) = lock(&self.model).clone() else { return caps };
        let manifest = model.manifest();
        let fields = match side {
            Medium::Video => manifest
                .vision
                .as_ref()
                .map(|vision| vec![("width", vision.input_size), ("height", vision.input_size)]),
            Medium::Audio => manifest.audio.as_ref().map(|audio| vec![("rate", audio.sample_rate)]),
        };
        for (name, value) in fields.into_iter().flatten() {
            caps.make_mut().set(name, i32::try_from(value).unwrap_or(i32::MAX));
        }
        caps
    }
}

/// Blocks while the model is busy and enough windows wait.
fn hand_over(jobs: &SyncSender<Job>, closed: Vec<Closed>) -> Result<(), gst::FlowError> {
    closed
        .into_iter()
        .try_for_each(|closed| jobs.send(Job::Window(Box::new(closed))))
        .map_err(|_| gst::FlowError::Flushing)
}
