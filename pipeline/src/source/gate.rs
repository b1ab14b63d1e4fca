//! Holds tracks back before `decodebin3` while it could not take them. In GStreamer 1.22 they reach it in threads of their own, and two
//! things go wrong on a busy machine.
//!
//! `uridecodebin3` starts its source before its decoders: what comes between is refused as if the graph were being stopped, and nothing
//! follows. So a track begins when `decodebin3` is ready for data.
//!
//! And it forgets a track that ended before another began, so that its end never comes, and tells the end of those that have a decoder
//! while the others have none yet. A short film was lost in one of ten runs so. So a track ends when all have begun.

use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::ThreadId;
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
    /// Starts the graph, and must not wait for what it starts itself.
    starter: ThreadId,
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    inputs: Vec<Input>,
    /// Decoded tracks.
    linked: usize,
    /// `decodebin3` takes data.
    takes: bool,
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
    /// Of a graph that this thread is about to start.
    pub fn new(chooser: &Arc<Chooser>, live: bool) -> Arc<Self> {
        let patience = if live { LIVE } else { FILE };
        let (state, changed) = (Mutex::default(), Condvar::new());
        let starter = std::thread::current().id();
        Arc::new(Self { chooser: Arc::clone(chooser), patience, starter, state, changed })
    }

    /// Watches where tracks come from, and what `decodebin3` puts around them; other elements are left alone.
    pub fn watch(self: &Arc<Self>, bin: &gst::Bin, element: &gst::Element) {
        if is(bin, "uridecodebin3") && is(element, "urisourcebin") {
            let gate = Arc::clone(self);
            element.connect_pad_added(move |_, pad| gate.watch_begin(pad));
        } else if is(bin, "decodebin3") && is(element, "identity") {
            self.watch_end(element);
        }
    }

    /// An element changed its state.
    pub fn state_changed(&self, element: Option<&gst::Object>, to: gst::State) {
        let element = element.and_then(|object| object.downcast_ref::<gst::Element>());
        if to >= gst::State::Paused && element.is_some_and(|element| is(element, "decodebin3")) {
            self.lock().takes = true;
            self.changed.notify_all();
        }
    }

    fn watch_begin(self: &Arc<Self>, pad: &gst::Pad) {
        let mask =
            gst::PadProbeType::EVENT_DOWNSTREAM | gst::PadProbeType::BUFFER | gst::PadProbeType::BUFFER_LIST;
        let gate = Arc::clone(self);
        pad.add_probe(mask, move |_, _| {
            if std::thread::current().id() != gate.starter {
                gate.wait(|state| state.is_open || state.takes);
            }
            gst::PadProbeReturn::Remove
        });
    }

    fn watch_end(self: &Arc<Self>, element: &gst::Element) {
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
        let chosen = self.chooser.chosen();
        {
            let mut state = self.lock();
            if state.inputs[index] == Input::New {
                state.inputs[index] = Input::Empty;
                self.changed.notify_all();
            }
        }
        self.wait(|state| state.lets_through(chosen));
    }

    /// Waits until `may` says so, or patience is at its end.
    fn wait(&self, may: impl Fn(&State) -> bool) {
        let deadline = Instant::now() + self.patience;
        let mut state = self.lock();
        while !may(&state) {
            let Some(left) = deadline.checked_duration_since(Instant::now()) else {
                tracing::debug!(inputs = ?state.inputs, takes = state.takes, "a track is held back no longer");
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

fn is(element: &impl IsA<gst::Element>, name: &str) -> bool {
    element.upcast_ref::<gst::Element>().factory().is_some_and(|made| made.name() == name)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::source::SourceConfig;

    #[test]
    fn a_track_ends_when_all_have_begun_and_those_that_are_chosen_are_decoded() {
        let state =
            |inputs: &[Input], linked: usize| State { inputs: inputs.to_vec(), linked, ..State::default() };
        use Input::{Begun, Empty, New};
        assert!(!state(&[Begun, New], 2).lets_through(2), "the other has not begun");
        assert!(!state(&[Begun, Begun], 1).lets_through(2), "the other has no decoder yet");
        assert!(state(&[Begun, Begun], 2).lets_through(2));
        assert!(state(&[Begun, Begun, Begun], 1).lets_through(1), "two are left out");
        assert!(state(&[Begun, Empty], 1).lets_through(2), "the other will never have one");
        assert!(!state(&[New, Empty], 0).lets_through(2), "the other may begin");
        assert!(State { is_open: true, ..state(&[New], 0) }.lets_through(2));
    }

    /// Half a second of silence as RIFF WAVE: 16 bits, mono, 16 kHz.
    fn wav() -> Vec<u8> {
        let mut bytes =
            b"RIFF\xa4\x3e\0\0WAVEfmt \x10\0\0\0\x01\0\x01\0\x80\x3e\0\0\0\x7d\0\0\x02\0\x10\0data".to_vec();
        bytes.extend(16_000u32.to_le_bytes());
        bytes.extend([0; 16_000]);
        bytes
    }

    /// The decoders are started a while after the source, as where the thread that starts both is held up between them.
    #[test]
    fn a_track_waits_until_the_decoders_are_ready() {
        gst::init().expect("GStreamer");
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("silence.wav");
        std::fs::write(&path, wav()).expect("written");
        let pipeline = gst::Pipeline::new();
        let source = gst::ElementFactory::make("uridecodebin3")
            .property("uri", format!("file://{}", path.display()))
            .build()
            .expect("uridecodebin3");
        let sink = gst::ElementFactory::make("fakesink").property("async", false).build().expect("fakesink");
        pipeline.add_many([&source, &sink]).expect("room for two");
        let gate = Gate::new(&Arc::new(Chooser::new(&SourceConfig::new("test", "test://"))), false);
        let watching = Arc::clone(&gate);
        pipeline.connect_deep_element_added(move |_, bin, element| watching.watch(bin, element));
        let (to, linked) = (sink.static_pad("sink").expect("its pad"), Arc::clone(&gate));
        source.connect_pad_added(move |_, pad| {
            pad.link(&to).expect("it fits");
            linked.linked();
        });
        let (ended, end) = std::sync::mpsc::channel();
        let told = Arc::clone(&gate);
        pipeline.bus().expect("a bus").set_sync_handler(move |_, message| {
            match message.view() {
                gst::MessageView::StateChanged(changed) => {
                    told.state_changed(message.src(), changed.current());
                }
                gst::MessageView::Eos(_) => ended.send(()).unwrap_or_default(),
                _ => {}
            }
            gst::BusSyncReply::Drop
        });
        let inside = source.downcast_ref::<gst::Bin>().expect("a bin").iterate_elements();
        let decoders = inside.into_iter().flatten().find(|element| is(element, "decodebin3"));
        let decoders = decoders.expect("it has decoders from the start");
        decoders.set_locked_state(true);
        decoders.set_state(gst::State::Ready).expect("it is ready");
        pipeline.set_state(gst::State::Playing).expect("it starts");
        std::thread::sleep(Duration::from_millis(300));
        decoders.set_locked_state(false);
        decoders.sync_state_with_parent().expect("it starts, too");
        let came = end.recv_timeout(Duration::from_secs(20));
        gate.open();
        pipeline.set_state(gst::State::Null).expect("it stops");
        came.expect("the film comes to its end");
    }
}
