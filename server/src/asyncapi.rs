//! The document of what is published: AsyncAPI 3 with the binding of Kafka, made from the record types. It is JSON, which is
//! YAML too.

use avicuna_pipeline::record::{
    COVERAGE_TYPE, CoverageRecord, ERROR_TYPE, EVENT_TYPE, ErrorRecord, EventRecord,
};
use avicuna_pipeline::sink::Topics;
use schemars::{JsonSchema, schema_for};
use serde_json::{Map, Value, json};

/// What is on one topic.
struct Channel<'a> {
    name: &'static str,
    topic: &'a str,
    ce_type: &'static str,
    summary: &'static str,
    payload: Value,
}

/// The document for these topics.
pub fn document(topics: &Topics) -> Value {
    let channels = [
        channel::<EventRecord>("events", &topics.events, EVENT_TYPE, "One state of one event"),
        channel::<CoverageRecord>("coverage", &topics.coverage, COVERAGE_TYPE, "Whether a span of a stream was watched"),
        channel::<ErrorRecord>("errors", &topics.errors, ERROR_TYPE, "Something went wrong"),
    ];
    let (mut by_name, mut operations) = (Map::new(), Map::new());
    for Channel { name, topic, ce_type, summary, payload } in channels {
        let headers = ["ce_specversion", "ce_id", "ce_source", "ce_type", "ce_time", "ce_subject"];
        let headers = headers.map(|name| (name.to_owned(), json!({ "type": "string" })));
        let message = json!({
            "name": ce_type,
            "summary": summary,
            "contentType": "application/json",
            "headers": { "type": "object", "properties": Map::from_iter(headers) },
            "payload": payload,
            "bindings": { "kafka": {
                "key": { "type": "string", "description": "The stream's id: the records of a stream are in order." },
                "bindingVersion": "0.5.0",
            } },
        });
        by_name.insert(name.to_owned(), json!({
            "address": topic,
            "messages": { ce_type: message },
            "bindings": { "kafka": { "topic": topic, "bindingVersion": "0.5.0" } },
        }));
        operations.insert(format!("publish-{name}"), json!({
            "action": "send",
            "channel": { "$ref": format!("#/channels/{name}") },
            "messages": [{ "$ref": format!("#/channels/{name}/messages/{ce_type}") }],
        }));
    }
    json!({
        "asyncapi": "3.0.0",
        "info": {
            "title": "AVicuna Stream",
            "version": env!("CARGO_PKG_VERSION"),
            "description": "What happens on live streams, as CloudEvents 1.0 in binary mode.",
        },
        "defaultContentType": "application/json",
        "channels": by_name,
        "operations": operations,
    })
}

fn channel<'a, T: JsonSchema>(
    name: &'static str,
    topic: &'a str,
    ce_type: &'static str,
    summary: &'static str,
) -> Channel<'a> {
    Channel { name, topic, ce_type, summary, payload: schema_for!(T).to_value() }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    #[test]
    fn the_document_in_the_repository_is_what_the_types_say() {
        let document = document(&Topics::default());
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../config/asyncapi.yaml");
        if std::env::var_os("UPDATE_SCHEMAS").is_some() {
            std::fs::write(&path, format!("{document:#}\n")).expect("it can be written");
        }
        let found = std::fs::read_to_string(&path).unwrap_or_default();
        let found: Value = serde_json::from_str(&found).unwrap_or_default();
        assert!(found == document, "{}: run this test once with UPDATE_SCHEMAS=1", path.display());
        for channel in ["events", "coverage", "errors"] {
            let reference = document["operations"][format!("publish-{channel}")]["messages"][0]["$ref"].clone();
            let pointer = reference.as_str().and_then(|reference| reference.strip_prefix('#')).expect("a reference");
            assert!(document.pointer(pointer).is_some(), "{pointer} leads nowhere");
        }
    }
}
