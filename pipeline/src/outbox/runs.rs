//! Runs of recordings, remembered so that no id is used for two contents.
//!
//! Before the first message of a run its row is on disk, `told` only in the transaction with its last ones. So a run whose
//! row is not told when the next one begins was interrupted, whenever it was killed.

use redb::{ReadableTable, Table, TableDefinition};

/// A message in the file: key, type, id, time, payload.
pub(super) type Value = (&'static str, &'static str, &'static str, &'static str, &'static [u8]);

/// Recording to how many of its runs were interrupted before the last one, and whether that has told all of it.
pub(super) const RUNS: TableDefinition<&str, (u64, bool)> = TableDefinition::new("runs");

/// What is known when a run begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Begun {
    /// Runs of the recording that were interrupted before.
    pub interruptions: u64,
    /// Since the last of them another run has told all of it: this one repeats that.
    pub told: bool,
}

/// A run of a recording that has told all of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Whole {
    /// The key of its messages.
    pub recording: String,
    /// What it began with.
    pub interruptions: u64,
}

/// The tables that a run concerns.
pub(super) struct Runs<'t> {
    pub runs: Table<'t, &'static str, (u64, bool)>,
    /// A row was written.
    pub is_changed: bool,
}

impl Runs<'_> {
    /// A run begins.
    pub fn begin(&mut self, recording: &str) -> Result<Begun, redb::Error> {
        let interruptions = match self.runs.get(recording)?.map(|row| row.value()) {
            // Whatever becomes of a repetition, it tells nothing else.
            Some((interruptions, true)) => return Ok(Begun { interruptions, told: true }),
            Some((interruptions, false)) => interruptions + 1,
            None => 0,
        };
        self.write(recording, interruptions, false)?;
        Ok(Begun { interruptions, told: false })
    }

    /// A run has told all, if it is the last one that began and nothing in `open` waits for a last message: that will be
    /// another than the run told.
    pub fn end(
        &mut self,
        whole: &Whole,
        open: &impl ReadableTable<(u8, &'static str), Value>,
    ) -> Result<(), redb::Error> {
        let Whole { recording, interruptions } = whole;
        for row in open.iter()? {
            if row?.1.value().0 == recording {
                return Ok(());
            }
        }
        let row = self.runs.get(recording.as_str())?.map(|row| row.value());
        if row == Some((*interruptions, false)) {
            self.write(recording, *interruptions, true)?;
        }
        Ok(())
    }

    fn write(&mut self, recording: &str, interruptions: u64, told: bool) -> Result<(), redb::Error> {
        self.runs.insert(recording, (interruptions, told))?;
        self.is_changed = true;
        Ok(())
    }
}
