//! Holds the end of each track back until all tracks have begun. In GStreamer 1.22 the tracks of a film reach `decodebin3` in threads of
//! their own. It forgets one that ended before another began, so that its end never comes, and it tells the end of those that have a
//! decoder while the others have none yet. On a busy machine a short film was lost in one of ten runs so.

use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use gstreamer as gst;
use gstreamer::prelude::*;

use super::chooser::Chooser;

/// A track that never begins holds the others' ends for so long at most: a live source is to be connected again soon.
const LIVE: Duration = Duration::from_secs(2);
const FILE: Duration = Duration::from_secs(30);

/// One graph's.
pub(super) struct Gate {
    chooser: Arc<Chooser>,
    patience: Duration,
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    inputs: Vec<Input>,
    /// Decoded tracks.
    linked: usize,
    /// The graph is being stopped.
    is_open: bool,
}

/// A track on its way into the decoders.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Input {
    New,
    /// Its data came through.
    Begun,
    /// It ended without any.
    Empty,
}

impl State {
    /// May a track end?
    fn lets_through(&self, chosen: usize) -> bool {
        let began = !self.inputs.contains(&Input::New);
        // One that is empty may be one of the chosen, and gets no decoder.
        let decoded = self.linked >= chosen || self.inputs.contains(&Input::Empty);
        self.is_open || (began && decoded)
    }
}

impl Gate {
    pub fn new(chooser: &Arc<Chooser>, live: bool) -> Arc<Self> {
        let patience = if live { LIVE } else { FILE };
        let (state, changed) = (Mutex::default(), Condvar::new());
        Arc::new(Self { chooser: Arc::clone(chooser), patience, state, changed })
    }

    /// Watches what `decodebin3` puts around a track; other elements are left alone.
    pub fn watch(self: &Arc<Self>, bin: &gst::Bin, element: &gst::Element) {
        let is =
            |element: &gst::Element, name: &str| element.factory().is_some_and(|made| made.name() == name);
        if !is(bin.upcast_ref(), "decodebin3") || !is(element, "identity") {
            return;
        }
        let (Some(sink), Some(src)) = (element.static_pad("sink"), element.static_pad("src")) else { return };
        let index = {
            let mut state = self.lock();
            state.inputs.push(Input::New);
            state.inputs.len() - 1
        };
        let gate = Arc::clone(self);
        // After the block that the first buffer lifts for all tracks.
        src.add_probe(gst::PadProbeType::BUFFER | gst::PadProbeType::BUFFER_LIST, move |_, _| {
            gate.lock().inputs[index] = Input::Begun;
            gate.changed.notify_all();
            gst::PadProbeReturn::Remove
        });
        let gate = Arc::clone(self);
        sink.add_probe(gst::PadProbeType::EVENT_DOWNSTREAM, move |_, info| {
            if let Some(gst::PadProbeData::Event(event)) = &info.data
                && event.type_() == gst::EventType::Eos
            {
                gate.hold(index);
            }
            gst::PadProbeReturn::Ok
        });
    }

    /// A decoded track came.
    pub fn linked(&self) {
        self.lock().linked += 1;
        self.changed.notify_all();
    }

    /// Lets all through from now on: threads that wait here would hold up the end of the graph.
    pub fn open(&self) {
        self.lock().is_open = true;
        self.changed.notify_all();
    }

    fn hold(&self, index: usize) {
        let deadline = Instant::now() + self.patience;
        let chosen = self.chooser.chosen();
        let mut state = self.lock();
        if state.inputs[index] == Input::New {
            state.inputs[index] = Input::Empty;
            self.changed.notify_all();
        }
        while !state.lets_through(chosen) {
            let Some(left) = deadline.checked_duration_since(Instant::now()) else {
                tracing::debug!(inputs = ?state.inputs, "a track did not begin before another ended");
                return;
            };
            let waited = self.changed.wait_timeout(state, left);
            state = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_track_ends_when_all_have_begun_and_those_that_are_chosen_are_decoded() {
        let state =
            |inputs: &[Input], linked: usize| State { inputs: inputs.to_vec(), linked, is_open: false };
        use Input::{Begun, Empty, New};
        assert!(!state(&[Begun, New], 2).lets_through(2), "the other has not begun");
        assert!(!state(&[Begun, Begun], 1).lets_through(2), "the other has no decoder yet");
        assert!(state(&[Begun, Begun], 2).lets_through(2));
        assert!(state(&[Begun, Begun, Begun], 1).lets_through(1), "two are left out");
        assert!(state(&[Begun, Empty], 1).lets_through(2), "the other will never have one");
        assert!(!state(&[New, Empty], 0).lets_through(2), "the other may begin");
        assert!(State { is_open: true, ..state(&[New], 0) }.lets_through(2));
    }
}
