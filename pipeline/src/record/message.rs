//! From records to messages: the CloudEvents attributes.

use uuid::Uuid;

use super::{COVERAGE_TYPE, CoverageRecord, ERROR_TYPE, EVENT_TYPE, ErrorRecord, EventRecord, Phase, Run};
use crate::outbox::{Message, Subject, Topic};

impl EventRecord {
    /// `ce_id` is `EVENT_ID/REVISION`, the same in a replay; `ce_time` is the start for `started`, else the end.
    pub fn message(&self) -> Message {
        let time = if self.phase == Phase::Started { &self.start } else { &self.end };
        Message {
            topic: Topic::Events,
            key: self.stream_id.clone(),
            ce_type: EVENT_TYPE.into(),
            ce_id: format!("{}/{}", self.event_id, self.revision),
            ce_time: time.utc.clone(),
            payload: json(self),
            subject: Some(Subject { id: self.event_id.clone(), is_over: self.phase == Phase::Ended }),
        }
    }
}

impl CoverageRecord {
    /// `ce_id` is `STREAM/START` in milliseconds of stream time, the same in a replay, and `STREAM/RUN/START` where runs
    /// must be told apart, as [`Run`] says. `ce_time` is the end.
    pub fn message(&self, run: Run) -> Message {
        let start = (self.start.stream * 1e3).round() as i64;
        let run = run.word().map(|run| format!("{run}/")).unwrap_or_default();
        Message {
            topic: Topic::Coverage,
            key: self.stream_id.clone(),
            ce_type: COVERAGE_TYPE.into(),
            ce_id: format!("{}/{run}{start}", self.stream_id),
            ce_time: self.end.utc.clone(),
            payload: json(self),
            subject: None,
        }
    }
}

impl ErrorRecord {
    /// `ce_id` is drawn anew by every call: an error that happens again is another one.
    pub fn message(&self) -> Message {
        Message {
            topic: Topic::Errors,
            key: self.stream_id.clone(),
            ce_type: ERROR_TYPE.into(),
            ce_id: Uuid::now_v7().to_string(),
            ce_time: self.time.clone(),
            payload: json(self),
            subject: None,
        }
    }
}

fn json(record: &impl serde::Serialize) -> Vec<u8> {
    serde_json::to_vec(record)
        .expect("a record holds nothing that JSON cannot: text keys, and NaN becomes null")
}
