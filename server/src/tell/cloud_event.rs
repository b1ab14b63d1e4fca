//! A record as a CloudEvent 1.0 in structured JSON.

use avicuna_pipeline::record::{COVERAGE_TYPE, ERROR_TYPE, EVENT_TYPE, Phase};
use avicuna_pipeline::sink::source;
use serde_json::{Value, json};

use crate::history::{Told, What};

/// CloudEvents type of alerts.
const ALERT_TYPE: &str = "avicuna.alert.v1";
/// CloudEvents type of states of streams.
const STREAM_TYPE: &str = "avicuna.stream.v1";

/// The record as a CloudEvent: the attributes that it has in Kafka, and the record as `data`.
pub(super) fn of(told: &Told) -> Result<Value, serde_json::Error> {
    let data: Value = serde_json::from_str(&told.payload)?;
    let (kind, time) = match told.what {
        What::Event(Phase::Started) => (EVENT_TYPE, "/start/utc"),
        What::Event(_) => (EVENT_TYPE, "/end/utc"),
        What::Coverage => (COVERAGE_TYPE, "/end/utc"),
        What::Error => (ERROR_TYPE, "/time"),
        What::Alert => (ALERT_TYPE, "/end/utc"),
        What::Stream => (STREAM_TYPE, "/since"),
    };
    Ok(json!({
        "specversion": "1.0",
        "type": kind,
        "source": source(&told.stream),
        "id": told.id,
        "subject": told.stream,
        "time": data.pointer(time),
        "datacontenttype": "application/json",
        "data": data,
    }))
}
