//! From what became of a stream's windows, in their order, to its records.

use std::sync::Arc;

use avicuna_models::localizer::{LocalizerError, WindowAnswer};

use super::record::Record;
use crate::answer::{self, Asked, Inquiry, Reader, Voices};
use crate::control::StreamMetrics;
use crate::coverage::{Coverage, Held, Ledger, LedgerConfig, Span};
use crate::outbox::Whole;
use crate::record::{
    Answered, CoverageRecord, ErrorKind, ErrorRecord, EventRecord, Found, Latency, Phase, Run, WindowFate,
    WindowRecord,
};
use crate::stream::StreamId;
use crate::timeline::{StreamTime, UtcTime};
use crate::track::{Seen, TrackConfig, Tracker, WindowFacts};

/// What became of one window, or of several that held nothing.
#[derive(Debug)]
pub(super) enum Fate {
    /// The model answered.
    Answered(WindowAnswer),
    /// The model could not.
    Failed(LocalizerError),
    /// It was given up for lack of time.
    Shed(&'static str),
    /// There was nothing in it.
    Blind {
        /// How many windows.
        windows: u64,
        /// Why.
        reason: String,
    },
}

/// A window and what became of it.
#[derive(Debug)]
pub(super) struct Settled {
    /// Which; of several blind ones `end` is the end of the last.
    pub facts: WindowFacts,
    /// Where it really ends: before `facts.end` when the stream ended inside it.
    pub until: StreamTime,
    /// Why something was missing in it.
    pub missing: Option<String>,
    /// What became of it.
    pub fate: Fate,
}

/// Makes a stream's records.
#[derive(Debug)]
pub(super) struct Recorder {
    stream: StreamId,
    inquiries: Vec<Inquiry>,
    reader: Arc<Reader>,
    live: bool,
    track: TrackConfig,
    /// Known with the first window.
    run: Option<Run>,
    /// Another run has told all of the recording under the same ids.
    repeats: bool,
    /// It does not see all of the recording: another run would tell something else.
    is_disturbed: bool,
    /// Made with the first window.
    tracker: Option<Tracker>,
    ledger: Ledger,
    /// What became of windows, until it is taken.
    windows: Vec<WindowRecord>,
}

impl Recorder {
    /// A stream's beginning. `inquiries` are the questions of every window, in order.
    pub fn new(
        stream: StreamId,
        inquiries: Vec<Inquiry>,
        reader: Arc<Reader>,
        track: TrackConfig,
        live: bool,
    ) -> Self {
        let ledger = Ledger::new(stream.clone(), LedgerConfig::new(track.length, track.hop));
        Self {
            stream,
            inquiries,
            reader,
            live,
            track,
            run: None,
            repeats: false,
            is_disturbed: false,
            tracker: None,
            ledger,
            windows: Vec::new(),
        }
    }

    /// Which run of a recording it is, and whether it `repeats` another that told all; said before the first window, or it
    /// is the first.
    pub fn begin(&mut self, run: Run, repeats: bool) {
        (self.run, self.repeats) = (Some(run), repeats);
    }

    /// Does it repeat what was told?
    pub fn repeats(&self) -> bool {
        self.repeats
    }

    /// From here on it does not see what another run sees of the recording: it is interrupted, or a window is lost.
    pub fn disturb(&mut self) {
        if self.repeats && !self.is_disturbed {
            tracing::warn!(stream = %self.stream, "a repetition is interrupted: the rest, told before, is not told again");
        }
        self.is_disturbed = true;
    }

    /// The run, if it has told all of a recording for the first time.
    pub fn whole(&self) -> Option<Whole> {
        match self.run {
            Some(Run::Replay { interruptions }) if !self.live && !self.repeats && !self.is_disturbed => {
                Some(Whole { recording: self.stream.to_string(), interruptions })
            }
            _ => None,
        }
    }

    /// What another run has told under the same ids must not be contradicted.
    fn tells(&self) -> bool {
        !(self.repeats && self.is_disturbed)
    }

    /// Takes the next window. Windows come in the order of their index.
    pub fn settle(&mut self, settled: Settled, metrics: &StreamMetrics<'_>) -> Vec<Record> {
        let Settled { facts, until, missing, fate } = settled;
        let span = Span { start: facts.start, end: facts.end, until, anchor: facts.anchor };
        let held = Held { audio: facts.audio, video: facts.visual, missing };
        let mut records = Vec::new();
        let (told, reason) = fate.told(held.missing.as_deref());
        let mut window = window_record(&facts, told, reason);
        let (outcome, events) = match fate {
            Fate::Answered(answer) => {
                metrics.windows(WindowFate::Answered, 1);
                let localizations = self.read(&answer, &facts, metrics, &mut records, &mut window.answers);
                let tracker = self.tracker(&facts);
                (Coverage::Watched(held), tracker.observe(&Seen { window: facts, localizations }))
            }
            Fate::Failed(error) => {
                metrics.windows(WindowFate::Failed, 1);
                self.disturb();
                let message = format!("window {}: {error}", facts.id);
                records.push(self.error(kind(&error), message, None, metrics));
                let reason = format!("failed: {error}");
                (Coverage::NotWatched { held, reason }, self.tracker(&facts).blind(facts.start, facts.end))
            }
            Fate::Shed(reason) => {
                metrics.windows(WindowFate::Shed, 1);
                self.disturb();
                let reason = format!("shed: {reason}");
                (Coverage::NotWatched { held, reason }, self.tracker(&facts).blind(facts.start, facts.end))
            }
            Fate::Blind { windows, reason } => {
                metrics.windows(WindowFate::Blind, windows);
                let held = Held::nothing(reason.clone());
                let reason = format!("blind: {reason}");
                (Coverage::NotWatched { held, reason }, self.tracker(&facts).blind(facts.start, facts.end))
            }
        };
        self.windows.push(window);
        self.add_events(events, metrics, &mut records);
        let spans = self.ledger.settle(span, outcome);
        self.add_coverage(spans, &mut records);
        records
    }

    /// What became of the windows since the last call.
    pub fn take_windows(&mut self) -> Vec<WindowRecord> {
        std::mem::take(&mut self.windows)
    }

    /// The stream is over at `end`.
    pub fn finish(&mut self, end: StreamTime, metrics: &StreamMetrics<'_>) -> Vec<Record> {
        let mut records = Vec::new();
        let events = self.tracker.as_mut().map(|tracker| tracker.finish(end)).unwrap_or_default();
        self.add_events(events, metrics, &mut records);
        let spans = self.ledger.finish(end);
        self.add_coverage(spans, &mut records);
        records
    }

    fn add_events(&self, events: Vec<EventRecord>, metrics: &StreamMetrics<'_>, records: &mut Vec<Record>) {
        for event in events.into_iter().filter(|_| self.tells()) {
            metrics.event(event.phase);
            records.push(Record::Event(event));
        }
    }

    fn add_coverage(&self, spans: Vec<CoverageRecord>, records: &mut Vec<Record>) {
        let run = self.run.unwrap_or_default();
        let spans = spans.into_iter().filter(|_| self.tells());
        records.extend(spans.map(|record| Record::Coverage { record, run }));
    }

    /// An error record of this stream.
    pub fn error(
        &self,
        kind: ErrorKind,
        message: impl Into<String>,
        detail: Option<String>,
        metrics: &StreamMetrics<'_>,
    ) -> Record {
        metrics.error(kind);
        Record::Error(ErrorRecord::new(&self.stream, UtcTime::now(), kind, message, detail))
    }

    fn read(
        &self,
        answer: &WindowAnswer,
        facts: &WindowFacts,
        metrics: &StreamMetrics<'_>,
        records: &mut Vec<Record>,
        told: &mut Vec<Answered>,
    ) -> Vec<answer::Localization> {
        let mut localizations = Vec::new();
        let seconds = facts.end.since(facts.start).as_secs_f64();
        let readings = self.reader.read(&self.inquiries, answer, seconds, Voices::Both);
        for ((inquiry, reading), said) in self.inquiries.iter().zip(readings).zip(&answer.answers) {
            told.push(Answered {
                query: match &inquiry.asked {
                    Asked::Detect => None,
                    Asked::Ground { label } => Some(label.clone()),
                },
                text: said.text.clone(),
                found: reading.localizations.iter().map(|found| self.found(found, facts)).collect(),
            });
            localizations.extend(reading.localizations);
            if !reading.unparsed.is_empty() {
                metrics.unparsed();
                let message = format!(
                    "window {}: a part of the answer to {} follows no rule",
                    facts.id,
                    shown(&inquiry.asked)
                );
                records.push(self.error(
                    ErrorKind::Parse,
                    message,
                    Some(reading.unparsed.join("\n")),
                    metrics,
                ));
            }
        }
        localizations
    }

    fn found(&self, found: &answer::Localization, facts: &WindowFacts) -> Found {
        Found {
            label: found.label.clone(),
            start: facts.at(found.start.fraction()).as_secs_f64(),
            end: facts.at(found.end.end_fraction()).as_secs_f64(),
            score: found.score,
            modality: found.modality,
            least: if found.queried { self.track.min_query_score } else { self.track.min_score },
        }
    }

    fn tracker(&mut self, facts: &WindowFacts) -> &mut Tracker {
        let run = *self.run.get_or_insert_with(|| {
            if self.live {
                Run::Once { began: facts.anchor.utc_at(StreamTime::ZERO) }
            } else {
                Run::default()
            }
        });
        let config = TrackConfig { run, ..self.track };
        self.tracker.get_or_insert_with(|| Tracker::new(self.stream.clone(), config))
    }
}

impl Fate {
    /// In the words of a window's record; `missing` is what an answered one lacked.
    fn told(&self, missing: Option<&str>) -> (WindowFate, Option<String>) {
        match self {
            Self::Answered(_) => (WindowFate::Answered, missing.map(str::to_owned)),
            Self::Failed(error) => (WindowFate::Failed, Some(error.to_string())),
            Self::Shed(reason) => (WindowFate::Shed, Some((*reason).to_owned())),
            Self::Blind { reason, .. } => (WindowFate::Blind, Some(reason.clone())),
        }
    }
}

fn window_record(facts: &WindowFacts, fate: WindowFate, reason: Option<String>) -> WindowRecord {
    WindowRecord {
        id: facts.id.to_string(),
        stream_id: facts.id.stream.to_string(),
        start: facts.anchor.instant(facts.start),
        end: facts.anchor.instant(facts.end),
        fate,
        reason,
        audio: facts.audio,
        video: facts.visual,
        answers: Vec::new(),
    }
}

fn shown(asked: &Asked) -> String {
    match asked {
        Asked::Detect => "what happens".to_owned(),
        Asked::Ground { label } => format!("\"{label}\""),
    }
}

/// What kind of trouble a failure of the model is.
fn kind(error: &LocalizerError) -> ErrorKind {
    if matches!(error, LocalizerError::Encoder(_) | LocalizerError::Sample { .. }) {
        ErrorKind::Encode
    } else {
        ErrorKind::Llm
    }
}

/// The times of a window's record: `decode` before it was closed, the model's, and everything since.
pub(super) fn latency(decode: f64, answer: Option<&WindowAnswer>, closed: std::time::Instant) -> Latency {
    let ms = |duration: std::time::Duration| duration.as_secs_f64() * 1e3;
    let timing = answer.map(|answer| &answer.timing);
    Latency {
        decode,
        encode: timing.map_or(0.0, |timing| ms(timing.encode)),
        llm: timing.map_or(0.0, |timing| ms(timing.llm)),
        total: ms(closed.elapsed()),
    }
}
