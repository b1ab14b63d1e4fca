//! What is in the store, and what has to go. Pure.

use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

use crate::timeline::UtcTime;

/// The evidence of one event: its stream and its id, as they stand in the store's paths.
pub(super) type Key = (String, String);

/// What is kept, by age.
#[derive(Debug, Default)]
pub(super) struct Index {
    by_key: HashMap<Key, (UtcTime, u64)>,
    by_age: BTreeMap<(UtcTime, Key), u64>,
    bytes: u64,
}

impl Index {
    /// Bytes of everything.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// How many events have evidence.
    pub fn len(&self) -> usize {
        self.by_key.len()
    }

    /// So many bytes more belong to an event. It is as old as its newest piece.
    pub fn add(&mut self, key: Key, at: UtcTime, bytes: u64) {
        let (before, old) = self.remove(&key).unwrap_or((at, 0));
        let (at, bytes) = (at.max(before), bytes + old);
        self.by_key.insert(key.clone(), (at, bytes));
        self.by_age.insert((at, key), bytes);
        self.bytes += bytes;
    }

    /// An event has no evidence any more.
    pub fn remove(&mut self, key: &Key) -> Option<(UtcTime, u64)> {
        let (at, bytes) = self.by_key.remove(key)?;
        self.by_age.remove(&(at, key.clone()));
        self.bytes -= bytes;
        Some((at, bytes))
    }

    /// The oldest event whose evidence has to go: it is older than `max_age`, or all together has more than `max_bytes`.
    pub fn surplus(&self, now: UtcTime, max_age: Duration, max_bytes: u64) -> Option<Key> {
        let ((at, key), _) = self.by_age.first_key_value()?;
        let is_old = now.seconds_since(*at) > max_age.as_secs_f64();
        (is_old || self.bytes > max_bytes).then(|| key.clone())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(event: &str) -> Key {
        ("cam".to_owned(), event.to_owned())
    }

    #[test]
    fn the_oldest_goes_first_by_bytes_and_by_age() {
        let (mut index, hour) = (Index::default(), Duration::from_secs(3600));
        let at = |seconds: i64| UtcTime(seconds * 1_000_000_000);
        index.add(key("b"), at(20), 30);
        index.add(key("a"), at(10), 30);
        index.add(key("a"), at(11), 10);
        index.add(key("c"), at(30), 30);
        assert_eq!((index.bytes(), index.len()), (100, 3));
        assert_eq!(index.surplus(at(40), hour, 100), None);
        assert_eq!(index.surplus(at(40), hour, 99), Some(key("a")));
        assert_eq!(index.surplus(at(3612), hour, 100), Some(key("a")));
        assert_eq!(index.remove(&key("a")), Some((at(11), 40)));
        assert_eq!(index.surplus(at(3612), hour, 100), None);
        assert_eq!((index.bytes(), index.remove(&key("a"))), (60, None));
    }
}
