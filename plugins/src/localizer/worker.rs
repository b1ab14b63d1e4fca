//! The thread that asks the model about each window and says what it answered.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::Receiver;

use avicuna_models::localizer::{Localizer, LocalizerError, Question, WindowInput};
use avicuna_pipeline::answer::{Inquiry, Reader, Voices};
use avicuna_pipeline::record::{EventRecord, Latency};
use avicuna_pipeline::stream::StreamId;
use avicuna_pipeline::timeline::StreamTime;
use avicuna_pipeline::track::{Seen, Tracker, WindowFacts};
use avicuna_pipeline::window::{Closed, Window};

/// What the thread is told.
pub enum Job {
    /// The next window.
    Window(Box<Closed>),
    /// No window follows.
    End,
}

/// What the thread says.
pub enum Said {
    /// Something about an event, and the running time of the end of the window it rests on.
    Record(Box<EventRecord>, StreamTime),
    /// A window could not be answered.
    Failed(LocalizerError),
    /// A part of an answer that follows no rule.
    Unparsed(String),
    /// Everything was said.
    End,
}

/// Asks about one window after the other.
pub struct Worker {
    /// The model.
    pub model: Arc<Localizer>,
    /// Whose windows they are.
    pub stream: StreamId,
    /// Joins what overlapping windows say.
    pub tracker: Tracker,
    /// What is asked of every window.
    pub inquiries: Vec<Inquiry>,
    /// Reads the answers.
    pub reader: Reader,
    /// The element is being stopped: windows are left out.
    pub stopping: Arc<AtomicBool>,
}

impl Worker {
    /// Works until `jobs` ends.
    pub fn run(mut self, jobs: &Receiver<Job>, mut say: impl FnMut(Said)) {
        let mut last = StreamTime::ZERO;
        for job in jobs {
            if self.stopping.load(Ordering::Acquire) {
                continue;
            }
            match job {
                Job::Window(closed) => match *closed {
                    Closed::Window(window) => {
                        last = window.until;
                        self.ask(window, &mut say);
                    }
                    Closed::Blind { start, end, .. } => {
                        last = end;
                        publish(self.tracker.blind(start, end), end, &mut say);
                    }
                },
                Job::End => {
                    publish(self.tracker.finish(last), last, &mut say);
                    say(Said::End);
                }
            }
        }
    }

    fn question(&self, inquiry: &Inquiry) -> Question {
        let max_new_tokens = self.model.manifest().prompt.max_new_tokens;
        Question { text: inquiry.text.clone(), max_new_tokens }
    }

    fn ask(&mut self, window: Window, say: &mut impl FnMut(Said)) {
        let until = window.until;
        let input = WindowInput {
            visual: window.visual.slots.clone(),
            audio: window.audio.slots.clone(),
            questions: self.inquiries.iter().map(|inquiry| self.question(inquiry)).collect(),
        };
        let answered = match self.model.answer(std::slice::from_ref(&input)).pop() {
            Some(Ok(answered)) => answered,
            Some(Err(error)) => {
                say(Said::Failed(error));
                publish(self.tracker.blind(window.start, window.end), until, say);
                return;
            }
            None => return,
        };
        let seconds = window.end.since(window.start).as_secs_f64();
        let mut localizations = Vec::new();
        for reading in self.reader.read(&self.inquiries, &answered, seconds, Voices::Both) {
            localizations.extend(reading.localizations);
            reading.unparsed.into_iter().for_each(|part| say(Said::Unparsed(part)));
        }
        let (encode, llm) = (millis(answered.timing.encode), millis(answered.timing.llm));
        let latency = Latency { decode: 0.0, encode, llm, total: millis(window.closed.elapsed()) };
        let seen = Seen {
            window: WindowFacts::of(&window, latency, self.model.manifest().name.as_str().into()),
            localizations,
        };
        publish(self.tracker.observe(&seen), until, say);
    }
}

fn publish(records: Vec<EventRecord>, until: StreamTime, say: &mut impl FnMut(Said)) {
    records.into_iter().for_each(|record| say(Said::Record(Box::new(record), until)));
}

fn millis(duration: std::time::Duration) -> f64 {
    duration.as_secs_f64() * 1e3
}
