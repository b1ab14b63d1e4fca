//! What is known of a stream between two windows, so that another daemon can go on with it.

use serde::{Deserialize, Serialize};

use super::record::Record;
use crate::coverage::{Books, Ledger, LedgerConfig};
use crate::record::Run;
use crate::stream::StreamId;
use crate::timeline::ClockAnchor;
use crate::track::{TrackConfig, Tracked, Tracker};

/// A stream after the window before `next`: all that it was told until then follows from this, and what will be told too.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Checkpoint {
    /// The run whose ids it uses.
    pub run: Run,
    /// Index of the first window that is not settled.
    pub next: u64,
    /// Where the last settled window ended, on both clocks.
    pub reached: ClockAnchor,
    /// Its events that are not over.
    pub tracked: Tracked,
    /// What was said of its coverage.
    pub books: Books,
}

/// How a stream that any daemon of a fleet may watch is watched by this one.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Shift {
    /// Of its settings: the same for the same ones only.
    pub settings: String,
    /// Which run it is, where no other has begun it.
    pub run: Option<Run>,
    /// What another knew of it when it left off.
    pub resume: Option<Box<Checkpoint>>,
}

impl Checkpoint {
    /// What ends the stream here: its open events, and its coverage up to where it came. Nobody goes on with it.
    pub(crate) fn end(self, stream: &StreamId, config: &TrackConfig) -> Vec<Record> {
        let Self { run, next: _, reached, tracked, books } = self;
        let ledger = LedgerConfig::new(config.length, config.hop);
        let config = TrackConfig { run, ..config.clone() };
        let events = Tracker::resumed(stream.clone(), config, tracked).finish(reached.stream);
        let spans = Ledger::resumed(stream.clone(), ledger, books).finish(reached.stream);
        let spans = spans.into_iter().map(|record| Record::Coverage { record, run });
        events.into_iter().map(Record::Event).chain(spans).collect()
    }
}
