//! Ids of events: a function of stream, label and first start, so that a replay repeats them, and of the run where that
//! must be told.

use std::collections::BTreeSet;

use sha2::{Digest, Sha256};

use crate::record::Run;
use crate::stream::StreamId;
use crate::timeline::StreamTime;

/// Bytes of the hash that make the id: 128 bits, 32 hex digits.
const BYTES: usize = 16;

/// Gives ids, each once.
#[derive(Debug)]
pub(super) struct Identities {
    stream: StreamId,
    run: Run,
    /// First starts in milliseconds, with their labels, that a window still to come could name again.
    used: BTreeSet<(i64, String)>,
}

impl Identities {
    pub fn new(stream: StreamId, run: Run) -> Self {
        Self { stream, run, used: BTreeSet::new() }
    }

    /// Those that are given, and could be named again.
    pub fn used(&self) -> &BTreeSet<(i64, String)> {
        &self.used
    }

    /// Goes on after these.
    pub fn resume(&mut self, used: BTreeSet<(i64, String)>) {
        self.used = used;
    }

    /// The id of the event that is first seen to start at `start`. When windows contradict each other so much that a
    /// second event of this label starts in the same millisecond, it takes the next free one.
    pub fn name(&mut self, key: &str, start: StreamTime) -> String {
        let mut millisecond = start.0.div_euclid(1_000_000);
        while !self.used.insert((millisecond, key.to_owned())) {
            millisecond += 1;
        }
        self.id(key, millisecond)
    }

    /// No event will be named that starts before `watermark`.
    pub fn forget_before(&mut self, watermark: StreamTime) {
        let first = watermark.0.div_euclid(1_000_000);
        while self.used.first().is_some_and(|(millisecond, _)| *millisecond < first) {
            self.used.pop_first();
        }
    }

    fn id(&self, key: &str, millisecond: i64) -> String {
        let mut hash = Sha256::new();
        for part in [self.stream.as_str().as_bytes(), key.as_bytes()] {
            // With its length before it, no two pairs of names spell the same bytes.
            hash.update((part.len() as u64).to_be_bytes());
            hash.update(part);
        }
        hash.update(millisecond.to_be_bytes());
        if let Some(run) = self.run.word() {
            hash.update(run);
        }
        hex::encode(&hash.finalize()[..BYTES])
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::timeline::UtcTime;

    fn ids(stream: &str, run: Run) -> Identities {
        Identities::new(stream.into(), run)
    }

    #[test]
    fn an_id_depends_on_stream_label_start_and_run_only() {
        let at = StreamTime(1_234_567_890);
        let first = Run::default();
        let id = ids("gate", first).name("dog", at);
        assert_eq!(id, ids("gate", first).name("dog", StreamTime(1_234_000_000)));
        assert_eq!(id.len(), 32);
        let others = [
            ids("door", first).name("dog", at),
            ids("gate", first).name("cat", at),
            ids("gate", first).name("dog", StreamTime(1_235_000_000)),
            ids("gate", Run::Once { began: UtcTime(0) }).name("dog", at),
            ids("gate", Run::Replay { interruptions: 1 }).name("dog", at),
            ids("gate", Run::Replay { interruptions: 2 }).name("dog", at),
            ids("gated", first).name("og", at),
        ];
        let different: BTreeSet<&String> = others.iter().chain([&id]).collect();
        assert_eq!(different.len(), others.len() + 1);
    }

    #[test]
    fn an_id_is_given_once() {
        let mut ids = ids("gate", Run::default());
        let first = ids.name("dog", StreamTime(5_000_000));
        let second = ids.name("dog", StreamTime(5_000_000));
        assert_ne!(first, second);
        ids.forget_before(StreamTime(5_000_000));
        assert_eq!(ids.used.len(), 2);
        ids.forget_before(StreamTime(7_000_000));
        assert_eq!(ids.used.len(), 0);
    }
}
