//! Has clips cut of one stream's events, and says in their records where they will be.

use tokio::sync::mpsc;

use super::record::Record;
use crate::clips::{ClipPlan, Clips, Following};
use crate::record::Phase;
use crate::source::cut::{CutOrder, Recording};
use crate::stream::StreamId;
use crate::timeline::StreamTime;

/// Clips that may be ordered of a source at once.
const CUTS: usize = 64;

/// What has clips of a stream's events cut.
#[derive(Debug)]
pub(super) struct Clipping {
    following: Following,
    clips: Clips,
    cuts: mpsc::Sender<CutOrder>,
}

impl Clipping {
    /// Of a stream that has not begun, and how its source is to be recorded.
    pub fn begin(plan: ClipPlan, clips: Clips, stream: &StreamId) -> (Self, Recording) {
        let (cuts, orders) = mpsc::channel(CUTS);
        let recording = Recording { rules: plan.rules.clone(), folder: clips.work(stream), orders };
        (Self { following: Following::new(plan), clips, cuts }, recording)
    }

    /// Says in the records of events where they can be looked at, and has clips cut; the stream's time has come to `reached`.
    pub fn take(&mut self, stream: &StreamId, records: &mut [Record], reached: StreamTime) {
        let mut wanted = Vec::new();
        for record in records {
            let Record::Event(event) = record else { continue };
            event.evidence = Some(Box::new(self.following.evidence(&event.event_id)));
            if event.phase == Phase::Started {
                self.clips.expect(&event.event_id);
            }
            wanted.extend(self.following.note(event));
        }
        wanted.extend(self.following.due(reached));
        for wanted in wanted {
            self.clips.order(stream, wanted, &self.cuts);
        }
    }
}
