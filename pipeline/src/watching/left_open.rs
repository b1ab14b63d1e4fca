//! Events that an earlier run left open: it was killed, or could not write their end. They end when the next run starts,
//! for nobody watches them any more.

use super::record::Record;
use crate::outbox::{Message, Outbox, OutboxError};
use crate::record::{EventRecord, Phase};

/// An `ended` for each, with the times that consumers know. Blocks on the disk.
pub(crate) fn ends(outbox: &Outbox) -> Result<Vec<Record>, OutboxError> {
    let ends: Vec<Record> = outbox.left_open()?.iter().filter_map(end).map(Record::Event).collect();
    if !ends.is_empty() {
        tracing::info!(events = ends.len(), "an earlier run left events open; they are ended now");
    }
    Ok(ends)
}

fn end(last: &Message) -> Option<EventRecord> {
    let parsed: Result<EventRecord, _> = serde_json::from_slice(&last.payload);
    let event = parsed.inspect_err(|error| {
        tracing::error!(id = last.ce_id, %error, "an event of an earlier run cannot be read, and stays open");
    });
    let event = event.ok()?;
    Some(EventRecord { phase: Phase::Ended, revision: event.revision.saturating_add(1), ..event })
}
