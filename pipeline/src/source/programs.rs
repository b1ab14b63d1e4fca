//! Which of several programmes of a transport stream is watched. GStreamer's demuxer takes the first whose map comes, another one after
//! each connection to a stream that runs, and says nothing of the others.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use gstreamer as gst;
use gstreamer::prelude::*;

use super::config::SourceConfig;
use super::pat::{Table, Tables};

/// Shared by a source's connections, which keep to one programme.
#[derive(Debug)]
pub(super) struct Programs {
    stream: String,
    /// The number that is asked for.
    wanted: Option<u16>,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    /// All programmes of the table that came last.
    offered: Vec<u16>,
    taken: Option<u16>,
    /// The map of the one that is taken came on this connection.
    came: bool,
    /// What was said last: what was offered and taken.
    said: Option<(Vec<u16>, u16)>,
}

/// What a table means for the demuxer that is about to read it.
#[derive(Debug, PartialEq, Eq)]
enum Step {
    /// It is not known yet what is taken, or whether it comes.
    Wait,
    /// It is to be asked for this one. One that was asked before is not asked for another: decoders are linked to its tracks.
    Ask(u16),
    /// Nothing more is to be done.
    Done,
}

impl Programs {
    pub fn new(config: &SourceConfig) -> Self {
        Self { stream: config.stream_id.clone(), wanted: config.program, state: Mutex::default() }
    }

    /// A connection begins. What did not come on the one before is not waited for again.
    pub fn open(&self) {
        let mut state = self.lock();
        if !std::mem::take(&mut state.came) {
            state.taken = None;
        }
    }

    /// Watches a demuxer of transport streams until it is known what it takes; other elements are left alone.
    pub fn watch(self: &Arc<Self>, element: &gst::Element) {
        if element.factory().is_none_or(|factory| factory.name() != "tsdemux") {
            return;
        }
        let Some(pad) = element.static_pad("sink") else { return };
        let (programs, demuxer) = (Arc::clone(self), element.downgrade());
        let state = Mutex::new((Tables::default(), false));
        let mask = gst::PadProbeType::BUFFER | gst::PadProbeType::BUFFER_LIST;
        pad.add_probe(mask, move |_, info| {
            let mut state = state.lock().unwrap_or_else(PoisonError::into_inner);
            let (tables, is_done) = &mut *state;
            let mut read = |buffer: &gst::BufferRef| {
                let Ok(bytes) = buffer.map_readable() else { return };
                tables.read(&bytes, |table| {
                    if *is_done {
                        return;
                    }
                    match (programs.came(table), demuxer.upgrade()) {
                        (Step::Ask(number), Some(demuxer)) => {
                            demuxer.set_property("program-number", i32::from(number));
                        }
                        (Step::Done, _) => *is_done = true,
                        _ => {}
                    }
                });
            };
            match &info.data {
                Some(gst::PadProbeData::Buffer(buffer)) => read(buffer),
                Some(gst::PadProbeData::BufferList(list)) => list.iter().for_each(read),
                _ => {}
            }
            if *is_done { gst::PadProbeReturn::Remove } else { gst::PadProbeReturn::Ok }
        });
    }

    fn came(&self, table: Table) -> Step {
        let mut state = self.lock();
        let step = match table {
            Table::Association(offered) => {
                let known = |number: &u16| offered.contains(number);
                let (wanted, last) = (self.wanted.filter(known), state.taken.filter(known));
                state.taken = wanted.or(last);
                state.offered = offered;
                match (state.taken, state.offered.as_slice()) {
                    (_, [only]) => {
                        state.taken = Some(*only);
                        Step::Done
                    }
                    (Some(number), _) => Step::Ask(number),
                    (None, _) => Step::Wait,
                }
            }
            Table::Map(number) if state.taken.is_none() => {
                (state.taken, state.came) = (Some(number), true);
                Step::Ask(number)
            }
            Table::Map(number) if state.taken == Some(number) => {
                state.came = true;
                Step::Done
            }
            Table::Map(_) => Step::Wait,
        };
        self.say(&mut state);
        step
    }

    fn say(&self, state: &mut State) {
        let Some(taken) = state.taken else { return };
        let news = (state.offered.clone(), taken);
        if state.said.as_ref() == Some(&news) {
            return;
        }
        let others: Vec<String> =
            state.offered.iter().filter(|number| **number != taken).map(u16::to_string).collect();
        let (stream, left_out) = (&self.stream, others.join(", "));
        match self.wanted {
            Some(asked) if asked != taken => {
                tracing::warn!(
                    stream,
                    asked,
                    taken,
                    left_out,
                    "there is no such programme; another was chosen"
                );
            }
            _ if others.is_empty() => {}
            _ => tracing::info!(stream, taken, left_out, "a programme was chosen"),
        }
        state.said = Some(news);
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn programs(wanted: Option<u16>) -> Programs {
        Programs { stream: "a".to_owned(), wanted, state: Mutex::default() }
    }

    fn offered(programs: &Programs, numbers: &[u16]) -> Step {
        programs.came(Table::Association(numbers.to_vec()))
    }

    #[test]
    fn the_first_that_comes_is_kept_over_connections() {
        let programs = programs(None);
        assert_eq!(offered(&programs, &[1, 2, 3]), Step::Wait, "the first may never come");
        assert_eq!(programs.came(Table::Map(2)), Step::Ask(2));
        assert_eq!(programs.came(Table::Map(1)), Step::Wait);
        assert_eq!(programs.came(Table::Map(2)), Step::Done);
        programs.open();
        assert_eq!(offered(&programs, &[1, 2, 3]), Step::Ask(2), "before any map");
        programs.open();
        assert_eq!(offered(&programs, &[1, 2, 3]), Step::Wait, "it did not come");
        assert_eq!(programs.came(Table::Map(3)), Step::Ask(3));
        assert_eq!(offered(&programs, &[4, 5]), Step::Wait, "all are others now");
    }

    #[test]
    fn what_is_asked_for_is_taken_where_it_is_there() {
        let programs = programs(Some(2));
        assert_eq!(offered(&programs, &[1, 2]), Step::Ask(2));
        assert_eq!(programs.came(Table::Map(1)), Step::Wait);
        assert_eq!(programs.came(Table::Map(2)), Step::Done);
        programs.open();
        assert_eq!(offered(&programs, &[3, 4]), Step::Wait);
        assert_eq!(programs.came(Table::Map(3)), Step::Ask(3));
        programs.open();
        assert_eq!(offered(&programs, &[2, 3]), Step::Ask(2), "it is there again");
    }

    #[test]
    fn a_stream_of_one_programme_is_left_to_the_demuxer() {
        for wanted in [None, Some(7)] {
            let programs = programs(wanted);
            assert_eq!(offered(&programs, &[]), Step::Wait, "none yet");
            assert_eq!(offered(&programs, &[1]), Step::Done);
        }
    }
}
