//! What a connection carries, as far as it is known, and what of it was said. Pure but for the clock.

use std::time::{Duration, Instant};

use super::event::SourceEvent;

/// Samples of a track that the source has not announced yet are waited for this long.
const ANNOUNCE: Duration = Duration::from_secs(2);

/// What was said of a connection.
#[derive(Debug, Default)]
pub(super) struct Announced {
    pub audio: bool,
    pub video: bool,
    known: bool,
    said: Option<(bool, bool)>,
    held: Vec<SourceEvent>,
    since: Option<Instant>,
}

impl Announced {
    /// The source says what it carries of what is wanted.
    pub fn carries(&mut self, audio: bool, video: bool) {
        self.audio |= audio;
        self.video |= video;
        self.known = true;
    }

    /// Nothing of what is wanted, as far as is known.
    pub fn has_nothing(&self) -> bool {
        !self.audio && !self.video
    }

    /// Is it known what the source carries? Live ones may announce one track after the other.
    pub fn settled(&self, live: bool) -> bool {
        self.known && (!live || self.since.is_some_and(|since| since.elapsed() >= ANNOUNCE))
    }

    /// May samples be handed over? Not before the source said what it carries, unless it takes too long.
    pub fn ready(&mut self) -> bool {
        let since = *self.since.get_or_insert_with(Instant::now);
        self.known || since.elapsed() >= ANNOUNCE
    }

    /// An event that may be handed over now; what is said of the first sample is held: it comes before it, but after `Connected`, which knows
    /// where the first sample is.
    pub fn pass(&mut self, event: SourceEvent) -> Option<SourceEvent> {
        match &event {
            SourceEvent::Audio(_) => self.audio = true,
            SourceEvent::Frame(_) => self.video = true,
            other => {
                let waits = !self.known || matches!(other, SourceEvent::Format(_));
                if self.said.is_none() && waits {
                    self.held.push(event);
                    return None;
                }
            }
        }
        Some(event)
    }

    /// Sound and pictures, where that was not said so yet.
    pub fn news(&mut self) -> Option<(bool, bool)> {
        let carries = (self.audio, self.video);
        (self.said.replace(carries) != Some(carries)).then_some(carries)
    }

    /// What was held.
    pub fn held(&mut self) -> Vec<SourceEvent> {
        std::mem::take(&mut self.held)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::source::event::TimedAudio;
    use crate::timeline::{StreamTime, UtcTime};

    fn sound() -> SourceEvent {
        SourceEvent::Audio(TimedAudio { stream: StreamTime::ZERO, capture: UtcTime(0), samples: Vec::new() })
    }

    #[test]
    fn what_is_said_of_the_first_sample_waits_for_it() {
        let mut announced = Announced::default();
        let progress = || SourceEvent::Progress(StreamTime(1));
        assert!(announced.pass(progress()).is_none());
        assert!(announced.pass(sound()).is_some());
        assert_eq!((announced.news(), announced.held().len()), (Some((true, false)), 1));
        assert!(announced.pass(progress()).is_some());
        assert_eq!(announced.news(), None);
        announced.carries(true, true);
        assert_eq!(announced.news(), Some((true, true)), "a second track");
    }
}
