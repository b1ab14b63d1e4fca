//! The schemas that are published, and that records keep to them.

use std::path::PathBuf;

use schemars::generate::SchemaSettings;
use serde_json::{Value, json};

use super::*;
use crate::outbox::Topic;
use crate::timeline::{ClockAnchor, StreamTime};

fn instant(seconds: f64) -> Instant {
    let anchor = ClockAnchor { stream: StreamTime(0), utc: UtcTime(1_800_000_000_000_000_000) };
    anchor.instant(StreamTime::from_secs_f64(seconds))
}

fn event() -> EventRecord {
    EventRecord {
        event_id: "9f86d081884c7d659a2feaa0c55ad015".into(),
        stream_id: "gate".into(),
        phase: Phase::Started,
        revision: 0,
        label: "a dog".into(),
        text: "From 20 to 55, a dog, seen and heard.".into(),
        start: instant(4.0),
        end: instant(11.0),
        score: 0.8,
        modality: Modality::Both,
        clock: ClockQuality::Ntp,
        av_offset_ms: None,
        window: WindowRef { id: "gate/0".into(), start: 0.0, end: 20.0 },
        model: "small".into(),
        latency_ms: Latency::default(),
        evidence: None,
    }
}

fn coverage() -> CoverageRecord {
    CoverageRecord {
        stream_id: "gate".into(),
        start: instant(10.0),
        end: instant(12.0),
        watched: false,
        audio: Presence::Present,
        video: Presence::Partial,
        reason: Some("shed: the model is busy".into()),
    }
}

fn error() -> ErrorRecord {
    let detail = Some("From 1 to 20, a dog.".to_owned());
    ErrorRecord::new(
        &"gate".into(),
        UtcTime(0),
        ErrorKind::Parse,
        "an answer does not follow the grammar",
        detail,
    )
}

/// The schema of `T`, as it is published.
fn schema<T: JsonSchema>(name: &str) -> Value {
    let generator = SchemaSettings::draft2020_12().into_generator();
    let mut schema = generator.into_root_schema_for::<T>();
    schema.insert("$id".into(), json!(format!("urn:avicuna:{name}")));
    schema.to_value()
}

/// Compares the schema with the file under `config/schemas`, or writes it there when `UPDATE_SCHEMAS` is set.
fn checked_in<T: JsonSchema>(name: &str) -> Value {
    let schema = schema::<T>(name);
    let path =
        PathBuf::from(env!("CARGO_MANIFEST_DIR")).join(format!("../config/schemas/{name}.schema.json"));
    if std::env::var_os("UPDATE_SCHEMAS").is_some() {
        std::fs::create_dir_all(path.parent().expect("it has a folder")).expect("config/schemas can be made");
        std::fs::write(&path, format!("{schema:#}\n")).expect("config/schemas can be written");
    }
    let found = std::fs::read_to_string(&path).unwrap_or_default();
    let found: Value = serde_json::from_str(&found).unwrap_or_default();
    assert!(
        found == schema,
        "{} is not what the record types say; a change of meaning needs a new version, any other: run the tests of \
         `record` once with UPDATE_SCHEMAS=1",
        path.display()
    );
    schema
}

#[track_caller]
fn keeps_to(schema: &Value, record: &impl Serialize) {
    let validator =
        jsonschema::options().should_validate_formats(true).build(schema).expect("the schema is one");
    let record = serde_json::to_value(record).expect("a record is JSON");
    let errors: Vec<String> = validator.iter_errors(&record).map(|error| error.to_string()).collect();
    assert_eq!(errors, Vec::<String>::new(), "{record:#}");
    let fields: Vec<String> = record.as_object().expect("a record is an object").keys().cloned().collect();
    for field in fields {
        let mut torn = record.clone();
        torn.as_object_mut().expect("a record is an object").remove(&field);
        let optional =
            record[&field].is_null() || ["reason", "detail", "av_offset_ms"].contains(&field.as_str());
        assert_eq!(validator.is_valid(&torn), optional, "without {field}");
    }
}

#[test]
fn events_keep_to_their_published_schema() {
    let schema = checked_in::<EventRecord>("event.v1");
    keeps_to(&schema, &event());
    keeps_to(&schema, &EventRecord { av_offset_ms: Some(-3.5), phase: Phase::Ended, ..event() });
    let valid = |change: Value| {
        let mut record = serde_json::to_value(event()).expect("a record is JSON");
        for (key, value) in change.as_object().expect("a change names fields") {
            record[key] = value.clone();
        }
        let validator = jsonschema::options().should_validate_formats(true).build(&schema);
        validator.expect("the schema is one").is_valid(&record)
    };
    assert!(valid(json!({ "added_later": 1 })), "consumers must bear new fields");
    for wrong in [
        json!({ "score": 1.5 }),
        json!({ "phase": "begun" }),
        json!({ "revision": -1 }),
        json!({ "start": { "stream": 4.0, "utc": "yesterday" } }),
        json!({ "modality": null }),
    ] {
        assert!(!valid(wrong.clone()), "{wrong}");
    }
}

#[test]
fn coverage_keeps_to_its_published_schema() {
    let schema = checked_in::<CoverageRecord>("coverage.v1");
    keeps_to(&schema, &coverage());
    keeps_to(&schema, &CoverageRecord { watched: true, reason: None, ..coverage() });
}

#[test]
fn errors_keep_to_their_published_schema() {
    let schema = checked_in::<ErrorRecord>("error.v1");
    keeps_to(&schema, &error());
}

#[test]
fn an_event_is_named_by_its_id_and_revision() {
    let started = event().message();
    assert_eq!(
        (started.topic, started.key.as_str(), started.ce_type.as_str()),
        (Topic::Events, "gate", EVENT_TYPE)
    );
    assert_eq!(started.ce_id, "9f86d081884c7d659a2feaa0c55ad015/0");
    assert_eq!(started.ce_time, event().start.utc);
    let ended = EventRecord { phase: Phase::Ended, revision: 3, ..event() };
    assert_eq!(ended.message().ce_id, "9f86d081884c7d659a2feaa0c55ad015/3");
    assert_eq!(ended.message().ce_time, event().end.utc);
    let read: EventRecord =
        serde_json::from_slice(&ended.message().payload).expect("the payload is the record");
    assert_eq!(read, ended);
}

#[test]
fn coverage_is_named_by_stream_and_start() {
    let message = coverage().message(Run::default());
    assert_eq!(
        (message.topic, message.key.as_str(), message.ce_type.as_str()),
        (Topic::Coverage, "gate", COVERAGE_TYPE)
    );
    assert_eq!((message.ce_id.as_str(), message.ce_time), ("gate/10000", coverage().end.utc));
    let named = |run| coverage().message(run).ce_id;
    assert_eq!(named(Run::Replay { interruptions: 2 }), "gate/after-2/10000");
    let began = UtcTime(1_700_000_000_123_456_789);
    assert_eq!(named(Run::Once { began }), "gate/1700000000123/10000");
}

#[test]
fn an_error_has_a_name_of_its_own() {
    let (one, other) = (error().message(), error().message());
    assert_eq!(
        (one.topic, one.ce_type.as_str(), one.ce_time.as_str()),
        (Topic::Errors, ERROR_TYPE, "1970-01-01T00:00:00.000Z")
    );
    assert_ne!(one.ce_id, other.ce_id);
    assert_eq!(one.payload, other.payload);
}
