//! The element's state: settings, pads, the running model.
//!
//! Threads: each sink pad's streaming thread locks `running` to put its samples into windows and hands closed windows to
//! the worker through a [`Line`], *after* it let the lock go, so that the other pad goes on while one waits for the
//! model. The worker pushes downstream and takes no lock of the element.

use std::sync::{Arc, LazyLock, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use avicuna_models::localizer::{LoadOptions, Localizer as Model};
use avicuna_pipeline::answer::Reader;
use avicuna_pipeline::stream::{Medium, StreamId};
use gstreamer as gst;
use gstreamer::glib;
use gstreamer::prelude::*;
use gstreamer::subclass::prelude::*;

use super::intake::Intake;
use super::line::Line;
use super::push::push;
use super::settings::Settings;
use super::worker::Worker;

pub(super) static CAT: LazyLock<gst::DebugCategory> = LazyLock::new(|| {
    gst::DebugCategory::new("avicunalocalizer", gst::DebugColorFlags::empty(), Some("AVicuna localizer"))
});

/// What exists between READY and PAUSED.
pub(super) struct Running {
    pub intake: Intake,
    pub line: Arc<Line>,
    /// Of the line, since the last flush.
    pub epoch: u64,
    /// The flush that has emptied it last.
    pub flush: Option<gst::Seqnum>,
    worker: JoinHandle<()>,
}

/// See the module.
pub struct Localizer {
    pub(super) video: gst::Pad,
    pub(super) audio: gst::Pad,
    pub(super) src: gst::Pad,
    settings: Mutex<Settings>,
    pub(super) model: Mutex<Option<Arc<Model>>>,
    pub(super) running: Mutex<Option<Running>>,
    /// Of the sink pads: audio and video.
    pub(super) segments: Mutex<[gst::FormattedSegment<gst::ClockTime>; 2]>,
    /// Sink pads between the begin and the end of a flush.
    pub(super) flushing: Mutex<[bool; 2]>,
}

pub(super) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
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
            flushing: Mutex::default(),
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
                glib::ParamSpecUInt64::builder("windows")
                    .blurb("How many windows were settled since it was started")
                    .read_only()
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
        if spec.name() == "windows" {
            return lock(&self.running).as_ref().map_or(0, |running| running.line.count()).to_value();
        }
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
                // A streaming thread that waits for the worker goes on.
                if let Some(running) = &*lock(&self.running) {
                    running.line.close();
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
        let track = settings.track(model.manifest(), &spec);
        let worker = Worker { model, stream, inquiries, reader, track };
        let line = Arc::new(Line::default());
        let (taken, element, src) = (line.clone(), self.obj().downgrade(), self.src.clone());
        let thread = std::thread::Builder::new().name("avicunalocalizer".into());
        let worker = thread.spawn(move || push(worker, &taken, &element, &src));
        let worker = worker.map_err(|error| format!("no thread for the model: {error}"))?;
        *lock(&self.flushing) = [false; 2];
        *lock(&self.running) = Some(Running { intake, line, epoch: 0, flush: None, worker });
        Ok(())
    }

    fn stop(&self) {
        let Some(Running { line, worker, .. }) = lock(&self.running).take() else { return };
        line.close();
        if worker.join().is_err() {
            gst::error!(CAT, imp = self, "the worker panicked");
        }
    }
}
