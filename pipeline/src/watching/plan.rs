//! What to do with each stream: the configuration and the model's manifest together.

use std::sync::Arc;
use std::time::Duration;

use avicuna_models::localizer::Localizer;
use avicuna_models::manifest::{self, Manifest};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use super::checkpoint::Shift;
use crate::answer::{Asking, Inquiry, Reader, label_key};
use crate::clips::ClipPlan;
use crate::config::{ConfigError, Loaded, Places, Problem, StreamConfig};
use crate::source::apart::Worker;
use crate::source::cut::Recording;
use crate::source::{self, Fit, SourceConfig, SourceEvent};
use crate::stream::StreamId;
use crate::track::TrackConfig;
use crate::window::{Ahead, SpecError, WindowSpec};

/// Events of one source that wait for its stream's task.
const SOURCE_QUEUE: usize = 64;

/// What to do with one stream.
#[derive(Debug, Clone, PartialEq)]
pub struct Plan {
    /// Whose.
    pub stream: StreamId,
    /// Never slowed down, but shed?
    pub live: bool,
    /// The shape of its windows.
    pub windows: WindowSpec,
    /// Where it is and how it is sampled.
    pub source: SourceConfig,
    /// By how much of 255 pictures may differ that are encoded as one; see [`Assembler::with_stills`](crate::window::Assembler::with_stills).
    pub still: u8,
    /// By how much evidence may differ in windows that are answered as one; see [`LastWindow`](avicuna_models::localizer::LastWindow).
    pub unchanged: f32,
    /// How its process is started; `None` runs it in this one.
    pub apart: Option<Worker>,
    /// What is kept of its events to be looked at, if anything.
    pub clips: Option<ClipPlan>,
    /// What is asked of every window, in this order.
    pub questions: Vec<Asking>,
    /// How localizations become events.
    pub track: TrackConfig,
    /// How much of it is remembered for those who ask.
    pub recall: Duration,
    /// Where any daemon of a fleet may watch it: what is known of it goes along with its records then.
    pub shift: Option<Shift>,
}

impl Plan {
    /// May a stream that is watched by this plan go on by `next`, from one window to the next? What needs another connection
    /// or other windows may not. A sense that was watched and is not wanted any more stays in the graph and is left out of
    /// the windows.
    pub(super) fn goes_on_as(&self, next: &Self) -> bool {
        let wanted = SourceConfig {
            grid: next.source.grid.or(self.source.grid),
            sample_rate: match next.source.sample_rate {
                0 => self.source.sample_rate,
                rate => rate,
            },
            resume: self.source.resume,
            ..next.source.clone()
        };
        wanted == self.source
            && (&next.stream, next.live, next.windows, next.still, &next.apart)
                == (&self.stream, self.live, self.windows, self.still, &self.apart)
    }

    /// The same, for a daemon of a fleet that is given it.
    pub(crate) fn on_shift(mut self, shift: Shift) -> Self {
        self.source.resume = shift.resume.as_ref().map(|checkpoint| checkpoint.reached);
        self.shift = Some(shift);
        self
    }

    /// Is it to be listened to?
    pub(super) fn listens(&self) -> bool {
        self.source.sample_rate > 0
    }

    /// Is it to be looked at?
    pub(super) fn looks(&self) -> bool {
        self.source.grid.is_some()
    }

    /// For a stream that stands in no file, in the caller's own process.
    ///
    /// # Errors
    /// What of it does not fit the model.
    pub fn of(stream: &StreamConfig, manifest: &Manifest) -> Result<Self, ConfigError> {
        let problem = |(field, message)| Places::default().problem(field, message);
        fit(stream, manifest)
            .map_err(|wrong| ConfigError { problems: wrong.into_iter().map(problem).collect() })
    }

    /// Starts its source, in a process of its own where the plan says so, until it ends or `stop` is cancelled.
    /// With a `recording`, clips can be cut from it.
    pub(crate) fn open(
        self,
        stop: CancellationToken,
        recording: Option<Recording>,
    ) -> (mpsc::Receiver<SourceEvent>, JoinHandle<()>) {
        let (sender, events) = mpsc::channel(SOURCE_QUEUE);
        let task = match (self.apart, recording) {
            (Some(worker), recording) => source::apart::spawn(worker, self.source, recording, sender, stop),
            (None, Some(recording)) => source::spawn_recorded(self.source, recording, sender, stop),
            (None, None) => source::spawn(self.source, sender, stop),
        };
        (events, task)
    }
}

/// Puts the questions of a stream to a model.
pub(crate) type Inquire = dyn Fn(&[Asking]) -> Vec<Inquiry> + Send + Sync;

/// Understands a question in free words.
pub(crate) type Ask = dyn Fn(&str) -> Asking + Send + Sync;

/// Encodes what is there of a window; how many frames and clips.
pub(crate) type LookAhead = dyn Fn(&Ahead) -> (usize, usize) + Send + Sync;

/// What the streams need to know of the model.
#[derive(Clone)]
pub(crate) struct ModelFacts {
    /// Its name, for records.
    pub name: Arc<str>,
    /// How its answers are read.
    pub reader: Arc<Reader>,
    /// How questions are put to it.
    pub inquire: Arc<Inquire>,
    /// What a question in free words asks.
    pub ask: Arc<Ask>,
    /// Encodes what is there of a window.
    pub look_ahead: Arc<LookAhead>,
    /// The longest answer, in tokens.
    pub max_new_tokens: usize,
    /// The least scores of what happens and of what is asked for, where a stream sets none.
    pub least: [f64; 2],
}

impl std::fmt::Debug for ModelFacts {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ModelFacts").field("name", &self.name).finish_non_exhaustive()
    }
}

impl ModelFacts {
    /// Of the model that is loaded.
    pub fn new(localizer: &Arc<Localizer>) -> Self {
        let manifest = localizer.manifest();
        let reader = Arc::new(Reader::of(localizer));
        let (own, asked, looking) = (reader.clone(), localizer.clone(), localizer.clone());
        let (prompt, localizes) = (manifest.prompt.clone(), localizer.vocabulary().is_some());
        let least = manifest.prompt.least_score(None);
        Self {
            name: manifest.name.as_str().into(),
            ask: Arc::new(move |question| Asking::free(&prompt, question, localizes)),
            least: [least, manifest.prompt.least_query_score(None, least)],
            inquire: Arc::new(move |asking| own.inquiries(asking, &asked)),
            reader,
            look_ahead: Arc::new(move |ahead| looking.look_ahead(&ahead.visual, &ahead.audio)),
            max_new_tokens: manifest.prompt.max_new_tokens,
        }
    }
}

/// Puts configuration and manifest together.
///
/// # Errors
/// What does not fit, with its places in the configuration.
pub fn plan(loaded: &Loaded, manifest: &Manifest) -> Result<Vec<Plan>, ConfigError> {
    let mut problems = Vec::new();
    let mut plans = Vec::new();
    for (index, stream) in loaded.config.stream.iter().enumerate() {
        match fit(stream, manifest) {
            Ok(plan) => plans.push(plan),
            Err(wrong) => problems.extend(wrong.into_iter().map(|(field, message)| -> Problem {
                loaded.places.problem(&format!("stream[{index}].{field}"), message)
            })),
        }
    }
    if problems.is_empty() { Ok(plans) } else { Err(ConfigError { problems }) }
}

/// A field of `[[stream]]`, and what is wrong with it.
type Wrong = (&'static str, String);

/// What to do with one stream, in the daemon's own process.
fn fit(stream: &StreamConfig, manifest: &Manifest) -> Result<Plan, Vec<Wrong>> {
    match (window_spec(stream, manifest), questions(stream, manifest)) {
        (Ok(windows), Ok(questions)) => Ok(one(stream, manifest, windows, questions)),
        (windows, questions) => Err(windows.err().into_iter().chain(questions.err()).collect()),
    }
}

fn one(stream: &StreamConfig, manifest: &Manifest, windows: WindowSpec, questions: Vec<Asking>) -> Plan {
    let source = SourceConfig {
        live: stream.is_live(),
        loop_file: stream.looping,
        realtime: stream.realtime,
        grid: windows.visual_grid().filter(|_| stream.video),
        frame_size: manifest.vision.as_ref().map_or(1, |vision| vision.input_size),
        fit: match manifest.vision.as_ref().map(|vision| vision.fit) {
            Some(manifest::Fit::Crop) => Fit::Crop,
            Some(manifest::Fit::Stretch) | None => Fit::Stretch,
        },
        sample_rate: if stream.audio { windows.sample_rate } else { 0 },
        program: stream.program,
        audio_track: stream.audio_track.clone(),
        video_track: stream.video_track.clone(),
        latency: stream.latency,
        reconnect: (&stream.reconnect).into(),
        stall_timeout: stream.stall_timeout,
        ..SourceConfig::new(stream.id.as_str(), stream.uri.as_str())
    };
    let min_score = manifest.prompt.least_score(stream.min_score);
    let track = TrackConfig {
        merge_gap: stream.merge_gap,
        min_windows: stream.min_windows,
        min_score,
        min_query_score: manifest.prompt.least_query_score(stream.min_query_score, min_score),
        min_label_scores: Arc::new(
            stream.min_label_scores.iter().map(|(label, score)| (label_key(label), *score)).collect(),
        ),
        ..TrackConfig::new(windows.length, windows.hop)
    };
    let (id, live) = (stream.id.as_str().into(), source.live);
    Plan {
        stream: id,
        live,
        windows,
        source,
        still: stream.still,
        unchanged: stream.unchanged,
        apart: None,
        clips: None,
        questions,
        track,
        recall: stream.recall,
        shift: None,
    }
}

fn window_spec(stream: &StreamConfig, manifest: &Manifest) -> Result<WindowSpec, Wrong> {
    if manifest.audio.is_none() && !stream.video {
        return Err((
            "video",
            format!("the model {} does not hear; without video nothing is left", manifest.name),
        ));
    }
    if manifest.vision.is_none() && !stream.audio {
        return Err((
            "audio",
            format!("the model {} does not see; without audio nothing is left", manifest.name),
        ));
    }
    let windows = WindowSpec::of(manifest, stream.window, stream.hop, stream.patience);
    windows.validated().map_err(|error| {
        let field = match error {
            SpecError::NoHop { .. } | SpecError::HopTooLong { .. } | SpecError::HopOffGrid { .. } => "hop",
            SpecError::Length(_) | SpecError::Slots { .. } => "window",
            SpecError::NoSlots | SpecError::Clip { .. } => "id",
        };
        (field, error.to_string())
    })
}

fn questions(stream: &StreamConfig, manifest: &Manifest) -> Result<Vec<Asking>, Wrong> {
    Asking::all(&manifest.prompt, stream.detect, &stream.queries).ok_or_else(|| {
        let message = format!(
            "the model {} cannot be asked what happens; set detect = false and name some queries",
            manifest.name
        );
        ("detect", message)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Config, Places};

    #[test]
    fn what_a_stream_says_of_its_events_reaches_its_tracker() {
        let model = concat!(env!("CARGO_MANIFEST_DIR"), "/../assets/models/avicuna-small");
        let manifest = Manifest::load(model.as_ref()).expect("the manifest is there");
        let stream = StreamConfig {
            min_windows: 3,
            min_score: Some(0.7),
            min_label_scores: [("A dog.".to_owned(), 0.9)].into(),
            merge_gap: std::time::Duration::from_secs(4),
            ..StreamConfig::new("cam", "test://")
        };
        let config = Config { stream: vec![stream], ..Config::default() };
        let plans = plan(&Loaded { config, places: Places::default() }, &manifest).expect("they fit");
        let track = &plans[0].track;
        assert_eq!((track.min_windows, track.min_score, track.merge_gap.as_secs()), (3, 0.7, 4));
        assert_eq!(*track.min_label_scores, [("dog".to_owned(), 0.9)].into());
    }
}
