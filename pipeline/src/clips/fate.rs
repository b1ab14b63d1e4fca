//! What became of evidence that is not in the store, for those who ask for it.

use std::collections::{HashMap, VecDeque};

/// Fates that are remembered; the newest.
const REMEMBERED: usize = 10_000;

/// Why there is no evidence where a record names one.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Absent {
    /// It is on its way.
    #[error("it is not there yet: a clip is cut when its event is over")]
    NotYet,
    /// It could not be made or kept.
    #[error("it was dropped: {0}")]
    Dropped(String),
    /// It was there, and was deleted to make room, or for its age.
    #[error("it was deleted: {0}")]
    Deleted(String),
    /// Nothing is known of it.
    #[error(
        "nothing of it is kept: it was deleted (clips.max_age, clips.max_bytes), or the daemon ended before it was cut"
    )]
    Unknown,
    /// The store does not answer.
    #[error("the store of clips does not answer: {0}")]
    Store(String),
}

/// The fates of events' evidence, the oldest forgotten first.
#[derive(Debug, Default)]
pub(super) struct Fates {
    known: HashMap<String, Absent>,
    order: VecDeque<String>,
}

impl Fates {
    pub fn set(&mut self, event: &str, fate: Absent) {
        if self.known.insert(event.to_owned(), fate).is_none() {
            self.order.push_back(event.to_owned());
        }
        while self.order.len() > REMEMBERED {
            let Some(oldest) = self.order.pop_front() else { return };
            self.known.remove(&oldest);
        }
    }

    pub fn get(&self, event: &str) -> Option<Absent> {
        self.known.get(event).cloned()
    }

    /// It is there.
    pub fn clear(&mut self, event: &str) {
        if self.known.remove(event).is_some() {
            self.order.retain(|known| known != event);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_oldest_fates_are_forgotten() {
        let mut fates = Fates::default();
        for number in 0..REMEMBERED + 2 {
            fates.set(&number.to_string(), Absent::NotYet);
        }
        fates.set("5", Absent::Dropped("x".to_owned()));
        assert_eq!((fates.get("1"), fates.get("2")), (None, Some(Absent::NotYet)));
        assert_eq!(fates.get("5"), Some(Absent::Dropped("x".to_owned())));
        fates.clear("5");
        assert_eq!(fates.get("5"), None);
    }
}
