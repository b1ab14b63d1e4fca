//! The thread that asks the model about each window and says what it answered.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::Receiver;

use avicuna_models::localizer::{Localizer, Question, WindowInput};
use avicuna_pipeline::record::{ErrorRecord, EventRecord};
use avicuna_pipeline::stream::StreamId;
use avicuna_pipeline::timeline::StreamTime;
use avicuna_pipeline::watching::{Fate, Pending, Record, Recorder, Settled};
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
    /// Makes records of what became of windows.
    pub recorder: Recorder,
    /// What is asked of every window.
    pub questions: Vec<Question>,
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
                Job::Window(closed) => {
                    let Some(settled) = self.settled(*closed) else { continue };
                    last = settled.until;
                    publish(self.recorder.settle(settled).0, last, &mut say);
                }
                Job::End => {
                    publish(self.recorder.finish(last), last, &mut say);
                    say(Said::End);
                }
            }
        }
    }

    /// What becomes of a window.
    fn settled(&self, closed: Closed) -> Option<Settled> {
        let name = self.model.manifest().name.as_str().into();
        match closed {
            Closed::Window(window) => {
                let pending = Pending::new(&window, name);
                let answered = self.model.answer(std::slice::from_ref(&self.input(window))).pop()?;
                Some(pending.settled(answered.map_or_else(Fate::Failed, Fate::Answered)))
            }
            blind @ Closed::Blind { .. } => Settled::blind(blind, name),
        }
    }

    fn input(&self, window: Window) -> WindowInput {
        WindowInput {
            visual: window.visual.slots,
            audio: window.audio.slots,
            questions: self.questions.clone(),
        }
    }
}

fn publish(records: Vec<Record>, until: StreamTime, say: &mut impl FnMut(Said)) {
    for record in records {
        match record {
            Record::Event(event) => say(Said::Event(Box::new(event), until)),
            Record::Error(error) => say(Said::Trouble(error)),
            // Whoever builds the pipeline knows what it was given.
            Record::Coverage { .. } => {}
        }
    }
}
