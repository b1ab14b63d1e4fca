//! The thread that asks the model about each window and says what it answered.

use std::sync::Arc;

use avicuna_models::localizer::{Localizer, Question, WindowInput};
use avicuna_pipeline::answer::{Inquiry, Reader};
use avicuna_pipeline::record::{ErrorRecord, EventRecord};
use avicuna_pipeline::stream::StreamId;
use avicuna_pipeline::timeline::{StreamTime, UtcTime};
use avicuna_pipeline::track::TrackConfig;
use avicuna_pipeline::watching::{Fate, Pending, Record, Recorder, Settled};
use avicuna_pipeline::window::{Closed, Window};

use super::line::{Job, Line};

/// What the thread says.
pub enum Said {
    /// Time begins anew.
    Afresh,
    /// Something about an event, and the running time of the end of the window it rests on.
    Event(Box<EventRecord>, StreamTime),
    /// A window could not be answered, or a part of an answer follows no rule.
    Trouble(ErrorRecord),
    /// Everything was said.
    End,
}

/// Asks about one window after the other.
pub struct Worker {
    /// The model.
    pub model: Arc<Localizer>,
    /// Whose windows they are.
    pub stream: StreamId,
    /// What is asked of every window.
    pub inquiries: Vec<Inquiry>,
    /// Reads the answers.
    pub reader: Arc<Reader>,
    /// How they become events.
    pub track: TrackConfig,
}

impl Worker {
    /// Works until `line` is closed. What it says is of the epoch that is said with it.
    pub fn run(self, line: &Line, mut say: impl FnMut(u64, Said)) {
        let (mut recorder, mut epoch, mut last) = (self.recorder(), 0, StreamTime::ZERO);
        while let Some((current, job)) = line.take() {
            if current != epoch {
                epoch = current;
                say(epoch, Said::Afresh);
                // Downstream knows of events that nobody watches any more.
                let ended = std::mem::replace(&mut recorder, self.recorder()).finish(last);
                last = StreamTime::ZERO;
                publish(ended, last, |said| say(epoch, said));
            }
            match job {
                Job::Window(closed) => {
                    let settled = self.settled(*closed);
                    if let Some(settled) = settled.filter(|_| line.is_current(epoch)) {
                        last = settled.until;
                        publish(recorder.settle(settled).0, last, |said| say(epoch, said));
                    }
                    line.done();
                }
                Job::End => {
                    publish(recorder.finish(last), last, |said| say(epoch, said));
                    say(epoch, Said::End);
                }
            }
        }
    }

    fn recorder(&self) -> Recorder {
        Recorder::new(
            self.stream.clone(),
            self.inquiries.clone(),
            self.reader.clone(),
            self.track.clone(),
            false,
        )
    }

    /// What becomes of a window.
    fn settled(&self, closed: Closed) -> Option<Settled> {
        let name = self.model.manifest().name.as_str().into();
        match closed {
            Closed::Window(window) => {
                let age = UtcTime::now().seconds_since(window.last_capture) * 1e3;
                let pending = Pending::new(&window, age.max(0.0), name);
                let answered = self.model.answer(std::slice::from_ref(&self.input(window))).pop()?;
                Some(pending.settled(answered.map_or_else(Fate::Failed, Fate::Answered)))
            }
            blind @ Closed::Blind { .. } => Settled::blind(blind, name),
        }
    }

    fn input(&self, window: Window) -> WindowInput {
        let max_new_tokens = self.model.manifest().prompt.max_new_tokens;
        let questions: Vec<Question> =
            self.inquiries.iter().map(|inquiry| inquiry.question(max_new_tokens)).collect();
        WindowInput { visual: window.visual.slots, audio: window.audio.slots, questions, last: None }
    }
}

fn publish(records: Vec<Record>, until: StreamTime, mut say: impl FnMut(Said)) {
    for record in records {
        match record {
            Record::Event(event) => say(Said::Event(Box::new(event), until)),
            Record::Error(error) => say(Said::Trouble(error)),
            // Whoever builds the pipeline knows what it was given.
            Record::Coverage { .. } => {}
        }
    }
}
