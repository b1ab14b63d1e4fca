//! Videos watched as `avicuna localize` watches them: decoded, cut into windows, encoded and asked, by the daemon's own
//! code. Kept is what the model said of every window, so that one run answers what happens, answers every query, and can
//! be merged into events in more than one way.

use std::ops::Range;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use avicuna_models::answer::Answer;
use avicuna_models::evidence::Evidence;
use avicuna_models::localizer::{LoadOptions, Localizer};
use avicuna_models::manifest::{FILE_NAME, Manifest, sha256_of};
use avicuna_pipeline::answer::{self, Asked, Inquiry, Reader, Reading, Voices};
use avicuna_pipeline::config::StreamConfig;
use avicuna_pipeline::control::Control;
use avicuna_pipeline::record::ErrorKind;
use avicuna_pipeline::source::End;
use avicuna_pipeline::stream::{Modality, Presence};
use avicuna_pipeline::timeline::StreamTime;
use avicuna_pipeline::watching::{self, Heard, Plan, Record};
use serde::{Deserialize, Serialize};
use tokio_util::sync::CancellationToken;

use super::EvaluationError;

/// How videos are watched.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Settings {
    /// Seconds of a window.
    pub window: f64,
    /// Seconds from one window's start to the next one's.
    pub hop: f64,
    /// Listen.
    pub audio: bool,
    /// Look.
    pub video: bool,
}

impl Settings {
    /// As the daemon watches by default: the model's windows, each half over the next.
    pub fn of(manifest: &Manifest) -> Self {
        let window = manifest.window.seconds;
        Self { window, hop: window / 2.0, audio: true, video: true }
    }
}

/// One video, watched.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Watched {
    /// Its id.
    pub video: String,
    /// Checksum of its media file.
    pub media: String,
    /// Whether the model was asked what happens; that is then the first question of every window.
    pub detect: bool,
    /// The events it was asked for, in the order of the questions.
    pub asked: Vec<String>,
    /// Seconds that were accounted for.
    pub seconds: f64,
    /// Seconds that no window watched.
    pub unwatched: f64,
    /// Parts of answers that followed no rule.
    pub unparsed: usize,
    /// What else went wrong; empty when all went well.
    pub trouble: Vec<String>,
    /// Seconds it took.
    pub took: f64,
    /// In order of time.
    pub windows: Vec<Window>,
}

/// What the model said of one window.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Window {
    /// Counts from 0.
    pub index: u64,
    /// First instant in seconds.
    pub start: f64,
    /// Last instant in seconds, also where the video ends earlier.
    pub end: f64,
    /// How much audio it held.
    pub audio: Presence,
    /// How much video it held.
    pub visual: Presence,
    /// Where it held either, in seconds.
    pub held: Vec<[f64; 2]>,
    /// One for each question.
    pub answers: Vec<Said>,
    /// What the encoders' own classes say, where they have any.
    pub evidence: Option<Evidence>,
}

/// One answer.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct Said {
    /// Word by word.
    pub text: String,
    /// What a stream tells of it.
    pub found: Vec<Found>,
    /// What the LLM alone says.
    pub llm: Vec<Found>,
    /// What the encoders' own classes alone say.
    pub taggers: Vec<Found>,
}

/// One localization of an answer.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Found {
    /// What.
    pub label: String,
    /// First and last slot, 0..=99.
    pub slots: [u8; 2],
    /// 0..=1.
    pub score: f64,
    /// How it was noticed, where the answer says so.
    pub modality: Option<Modality>,
}

/// Watches videos with one model, one after the other.
pub struct Watcher {
    localizer: Arc<Localizer>,
    settings: Settings,
    reader: Reader,
    runtime: tokio::runtime::Runtime,
    model: String,
}

impl Watcher {
    /// Loads the model in `dir`. `settings` gets its manifest and says how its videos are watched.
    ///
    /// # Errors
    /// When the model cannot be loaded.
    pub fn load(
        dir: &Path,
        options: &LoadOptions,
        settings: impl FnOnce(&Manifest) -> Result<Settings, EvaluationError>,
    ) -> Result<Self, EvaluationError> {
        let localizer = Localizer::load(dir, options)?;
        let manifest = localizer.manifest();
        let settings = settings(manifest)?;
        let file = dir.join(FILE_NAME);
        let checksum = sha256_of(&file).map_err(|source| EvaluationError::io(&file, source))?;
        let model = format!("{} {}", manifest.id(), checksum);
        let reader = Reader::of(&localizer);
        let runtime = tokio::runtime::Runtime::new().map_err(|source| EvaluationError::io(dir, source))?;
        Ok(Self { settings, reader, runtime, model, localizer: Arc::new(localizer) })
    }

    /// The model directory's manifest.
    pub fn manifest(&self) -> &Manifest {
        self.localizer.manifest()
    }

    /// The model's name, version and the checksum of its manifest, which holds those of its parts.
    pub fn model(&self) -> &str {
        &self.model
    }

    /// How it watches.
    pub fn settings(&self) -> Settings {
        self.settings
    }

    /// Watches a media file to its end and asks of every window what happens, where the model can be asked that, and when
    /// each of `labels` happens. `at` gets the stream time as it is accounted for. A file that cannot be decoded to its end is no error: [`Watched::trouble`] tells.
    ///
    /// # Errors
    /// When the file cannot be read, or its windows do not fit the model.
    pub fn watch(
        &self,
        video: &str,
        media: &Path,
        labels: &[String],
        mut at: impl FnMut(f64),
    ) -> Result<Watched, EvaluationError> {
        let checksum = sha256_of(media).map_err(|source| EvaluationError::io(media, source))?;
        let plan = self.plan(video, media, labels)?;
        let inquiries = self.reader.inquiries(&plan.questions, &self.localizer);
        let started = Instant::now();
        let show = |record: &Record| {
            if let Record::Coverage { record, .. } = record {
                at(record.end.stream);
            }
        };
        let (localizer, control) = (self.localizer.clone(), Arc::new(Control::new()));
        let watching = watching::watch(plan, localizer, control, show, CancellationToken::new());
        let watching::Watched { records, heard, end } = self.runtime.block_on(watching);
        let mut watched = Watched {
            video: video.to_owned(),
            media: checksum,
            detect: inquiries.first().is_some_and(|inquiry| inquiry.asked == Asked::Detect),
            asked: labels.to_vec(),
            seconds: 0.0,
            unwatched: 0.0,
            unparsed: 0,
            trouble: Vec::new(),
            took: started.elapsed().as_secs_f64(),
            windows: heard.iter().map(|heard| self.window(&inquiries, heard)).collect(),
        };
        watched.windows.sort_by_key(|window| window.index);
        records.iter().for_each(|record| watched.account(record));
        if end != End::OfFile {
            watched.trouble.push(end.to_string());
        }
        Ok(watched)
    }

    fn plan(&self, video: &str, media: &Path, labels: &[String]) -> Result<Plan, EvaluationError> {
        let uri = media.to_str().ok_or_else(|| EvaluationError::content(media, "its name is no UTF-8"))?;
        let seconds = |seconds: f64| Some(Duration::from_nanos((seconds * 1e9).round() as u64));
        let stream = StreamConfig {
            detect: self.manifest().prompt.detect.is_some(),
            queries: labels.to_vec(),
            window: seconds(self.settings.window),
            hop: seconds(self.settings.hop),
            audio: self.settings.audio,
            video: self.settings.video,
            ..StreamConfig::new(video, uri)
        };
        Ok(Plan::of(&stream, self.manifest())?)
    }

    fn window(&self, inquiries: &[Inquiry], heard: &Heard) -> Window {
        let (facts, answers) = (&heard.window, &heard.answer.answers);
        let seconds = facts.end.since(facts.start).as_secs_f64();
        let read = |voices| self.reader.read(inquiries, &heard.answer, seconds, voices).into_iter();
        let all = |reading: Reading| reading.localizations.into_iter().map(found).collect();
        let voices = read(Voices::Both).zip(read(Voices::Llm)).zip(read(Voices::Taggers));
        let said = |(((both, llm), taggers), answer): (_, &Answer)| Said {
            text: answer.text.clone(),
            found: all(both),
            llm: all(llm),
            taggers: all(taggers),
        };
        let seconds = |span: &Range<StreamTime>| [span.start.as_secs_f64(), span.end.as_secs_f64()];
        Window {
            index: facts.id.index,
            start: facts.start.as_secs_f64(),
            end: facts.end.as_secs_f64(),
            audio: facts.audio,
            visual: facts.visual,
            held: facts.held.iter().map(seconds).collect(),
            answers: voices.zip(answers).map(said).collect(),
            evidence: heard.answer.evidence.clone(),
        }
    }
}

fn found(localization: answer::Localization) -> Found {
    let answer::Localization { label, start, end, score, modality, .. } = localization;
    Found { label, slots: [start.get(), end.get()], score, modality }
}

impl Watched {
    fn account(&mut self, record: &Record) {
        match record {
            Record::Coverage { record, .. } => {
                let length = record.end.stream - record.start.stream;
                self.seconds += length;
                self.unwatched += if record.watched { 0.0 } else { length };
            }
            Record::Error(error) if error.kind == ErrorKind::Parse => self.unparsed += 1,
            Record::Error(error) => self.trouble.push(format!("{}: {}", error.kind.name(), error.message)),
            Record::Event(_) => {}
        }
    }

    /// The place of a question among the answers of a window; `None`: what happens.
    pub fn question(&self, label: Option<&str>) -> Option<usize> {
        match label {
            None => self.detect.then_some(0),
            Some(label) => {
                let place = self.asked.iter().position(|asked| asked == label)?;
                Some(place + usize::from(self.detect))
            }
        }
    }
}
