//! From what became of a stream's windows, in their order, to its records.

use std::collections::VecDeque;
use std::sync::Arc;

use avicuna_models::localizer::{LocalizerError, WindowAnswer};

use super::checkpoint::Checkpoint;
use super::record::Record;
use super::settled::{Fate, Settled};
use crate::answer::{self, Asked, Inquiry, Reader, Voices};
use crate::coverage::{Coverage, Held, Ledger, LedgerConfig, Span};
use crate::outbox::Whole;
use crate::record::{
    Answered, CoverageRecord, ErrorKind, ErrorRecord, EventRecord, Found, Run, WindowFate, WindowRecord,
};
use crate::stream::StreamId;
use crate::timeline::{ClockAnchor, StreamTime, UtcTime};
use crate::track::{Seen, TrackConfig, Tracker, WindowFacts};

/// Makes a stream's records.
#[derive(Debug)]
pub struct Recorder {
    stream: StreamId,
    inquiries: Vec<Inquiry>,
    reader: Arc<Reader>,
    live: bool,
    track: TrackConfig,
    /// Other questions and rules, and the windows from which on they hold, in order.
    changes: VecDeque<(u64, Vec<Inquiry>, TrackConfig)>,
    /// Known with the first window.
    run: Option<Run>,
    /// Another run has told all of the recording under the same ids.
    repeats: bool,
    /// It does not see all of the recording: another run would tell something else.
    is_disturbed: bool,
    /// Made with the first window.
    tracker: Option<Tracker>,
    ledger: Ledger,
    /// The first window that is not settled, and where the last one ended.
    reached: Option<(u64, ClockAnchor)>,
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
            changes: VecDeque::new(),
            run: None,
            repeats: false,
            is_disturbed: false,
            tracker: None,
            ledger,
            reached: None,
        }
    }

    /// Goes on with a stream of which another recorder knew this; said before the first window.
    pub(crate) fn resume(&mut self, checkpoint: Checkpoint) {
        let Checkpoint { run, next, reached, tracked, books } = checkpoint;
        let config = TrackConfig { run, ..self.track.clone() };
        self.run = Some(run);
        self.tracker = Some(Tracker::resumed(self.stream.clone(), config, tracked));
        self.ledger = Ledger::resumed(self.stream.clone(), self.ledger.config(), books);
        self.reached = Some((next, reached));
    }

    /// What another recorder goes on from; `None` before the first window.
    pub(crate) fn checkpoint(&self) -> Option<Checkpoint> {
        let (run, tracker) = self.run.zip(self.tracker.as_ref())?;
        let (next, reached) = self.reached?;
        Some(Checkpoint {
            run,
            next,
            reached,
            tracked: tracker.tracked(),
            books: self.ledger.books().clone(),
        })
    }

    /// Which run of a recording it is, and whether it `repeats` another that told all; said before the first window, or it
    /// is the first.
    pub fn begin(&mut self, run: Run, repeats: bool) {
        (self.run, self.repeats) = (Some(run), repeats);
    }

    /// Windows from this index on are asked other questions, and read by other rules. Open events stay open. None of them must
    /// be settled yet.
    pub(crate) fn retune(&mut self, first: u64, inquiries: Vec<Inquiry>, track: TrackConfig) {
        // Another run of the recording would tell something else.
        self.disturb();
        self.changes.push_back((first, inquiries, track));
    }

    /// Which run it is, once that is known.
    pub(crate) fn run(&self) -> Option<Run> {
        self.run
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
    pub(crate) fn whole(&self) -> Option<Whole> {
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

    /// Takes the next window: what is told of it, and all that became of it. Windows come in the order of their index.
    pub fn settle(&mut self, settled: Settled) -> (Vec<Record>, WindowRecord) {
        let Settled { facts, until, missing, fate } = settled;
        while let Some((_, inquiries, track)) =
            self.changes.pop_front_if(|(first, ..)| *first <= facts.id.index)
        {
            (self.inquiries, self.track) = (inquiries, track);
        }
        let windows = fate.counted().1;
        let stops = ClockAnchor { stream: until, utc: facts.anchor.utc_at(until) };
        self.reached = Some((facts.id.index.saturating_add(windows), stops));
        let span = Span { start: facts.start, end: facts.end, until, anchor: facts.anchor };
        let held = Held { audio: facts.audio, video: facts.visual, missing };
        let mut records = Vec::new();
        let (told, reason) = fate.told(held.missing.as_deref());
        let mut window = window_record(&facts, told, reason);
        let (outcome, events) = match fate {
            Fate::Answered(answer) => {
                let localizations = self.read(&answer, &facts, &mut records, &mut window.answers);
                let tracker = self.tracker(&facts);
                (Coverage::Watched(held), tracker.observe(&Seen { window: facts, localizations }))
            }
            Fate::Failed(error) => {
                self.disturb();
                let message = format!("window {}: {error}", facts.id);
                records.push(self.error(kind(&error), message, None));
                let reason = format!("failed: {error}");
                (Coverage::NotWatched { held, reason }, self.tracker(&facts).blind(facts.start, facts.end))
            }
            Fate::Shed(reason) => {
                self.disturb();
                let reason = format!("shed: {reason}");
                (Coverage::NotWatched { held, reason }, self.tracker(&facts).blind(facts.start, facts.end))
            }
            Fate::Blind { windows: _, reason } => {
                let held = Held::nothing(reason.clone());
                let reason = format!("blind: {reason}");
                (Coverage::NotWatched { held, reason }, self.tracker(&facts).blind(facts.start, facts.end))
            }
        };
        self.add_events(events, &mut records);
        let spans = self.ledger.settle(span, outcome);
        self.add_coverage(spans, &mut records);
        (records, window)
    }

    /// The stream is over at `end`.
    pub fn finish(&mut self, end: StreamTime) -> Vec<Record> {
        let mut records = Vec::new();
        let events = self.tracker.as_mut().map(|tracker| tracker.finish(end)).unwrap_or_default();
        self.add_events(events, &mut records);
        let spans = self.ledger.finish(end);
        self.add_coverage(spans, &mut records);
        records
    }

    fn add_events(&self, events: Vec<EventRecord>, records: &mut Vec<Record>) {
        records.extend(events.into_iter().filter(|_| self.tells()).map(Record::Event));
    }

    fn add_coverage(&self, spans: Vec<CoverageRecord>, records: &mut Vec<Record>) {
        let run = self.run.unwrap_or_default();
        let spans = spans.into_iter().filter(|_| self.tells());
        records.extend(spans.map(|record| Record::Coverage { record, run }));
    }

    /// An error record of this stream.
    pub fn error(&self, kind: ErrorKind, message: impl Into<String>, detail: Option<String>) -> Record {
        Record::Error(ErrorRecord::new(&self.stream, UtcTime::now(), kind, message, detail))
    }

    fn read(
        &self,
        answer: &WindowAnswer,
        facts: &WindowFacts,
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
                let message = format!(
                    "window {}: a part of the answer to {} follows no rule",
                    facts.id,
                    shown(&inquiry.asked)
                );
                records.push(self.error(ErrorKind::Parse, message, Some(reading.unparsed.join("\n"))));
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
            least: self.track.least(found),
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
        let config = TrackConfig { run, ..self.track.clone() };
        let tracker = self.tracker.get_or_insert_with(|| Tracker::new(self.stream.clone(), config.clone()));
        tracker.retune(&config);
        tracker
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
