//! What Home Assistant is told, so that it finds streams and rules by itself: retained messages under `homeassistant/`. Pure.

use std::collections::BTreeMap;

use avicuna_pipeline::config::RecordKind;
use serde_json::{Value, json};

use super::{OFFLINE, ONLINE, level};

/// Topic and message of every entity: for a stream whether it is watched and what happens in it, for a rule that it fired; each only where
/// what it follows is among what is sent.
pub(super) fn entities(
    prefix: &str,
    sent: &[RecordKind],
    streams: impl Iterator<Item = String>,
    rules: impl Iterator<Item = String>,
) -> BTreeMap<String, String> {
    let mut entities = BTreeMap::new();
    let mut add = |kind: RecordKind, (topic, entity): (String, Value)| {
        if sent.contains(&kind) {
            entities.insert(topic, entity.to_string());
        }
    };
    for id in streams {
        add(RecordKind::Streams, watched(prefix, &id));
        add(RecordKind::Events, happening(prefix, &id));
    }
    for id in rules {
        add(RecordKind::Alerts, rule(prefix, &id));
    }
    entities
}

fn watched(prefix: &str, id: &str) -> (String, Value) {
    let name = name(prefix, id);
    let status = format!("{prefix}/{}/status", level(id));
    let entity = json!({
        "name": "Watched",
        "unique_id": format!("{name}_watched"),
        "device_class": "connectivity",
        "state_topic": status,
        "value_template": "{{ 'ON' if value_json.state == 'watching' else 'OFF' }}",
        "json_attributes_topic": status,
        // An attribute called `state` is left out there.
        "json_attributes_template": "{{ dict(value_json, stream_state=value_json.state) | tojson }}",
        "availability": availability(prefix),
        "device": stream(&name, id),
        "origin": origin(),
    });
    (format!("homeassistant/binary_sensor/{name}/watched/config"), entity)
}

fn happening(prefix: &str, id: &str) -> (String, Value) {
    let name = name(prefix, id);
    let entity = json!({
        "name": "Events",
        "unique_id": format!("{name}_events"),
        "event_types": ["started", "updated", "ended"],
        "state_topic": format!("{prefix}/{}/events", level(id)),
        "value_template": "{{ dict(value_json, event_type=value_json.phase) | tojson }}",
        "availability": availability(prefix),
        "device": stream(&name, id),
        "origin": origin(),
    });
    (format!("homeassistant/event/{name}/events/config"), entity)
}

fn rule(prefix: &str, id: &str) -> (String, Value) {
    let node = format!("{}_rules", slug(prefix));
    // Of alerts of other rules nothing is left, which an event entity leaves alone. An id has no quotes.
    let value = format!(
        "{{% if value_json.rule_id == '{id}' %}}{{{{ dict(value_json, event_type='alert') | tojson }}}}{{% endif %}}"
    );
    let entity = json!({
        "name": id,
        "unique_id": format!("{node}_{}", slug(id)),
        "event_types": ["alert"],
        "state_topic": format!("{prefix}/+/alerts"),
        "value_template": value,
        "availability": availability(prefix),
        "device": {"identifiers": [node], "name": "AVicuna rules", "manufacturer": "AVicuna", "model": "Rules"},
        "origin": origin(),
    });
    (format!("homeassistant/event/{node}/{}/config", slug(id)), entity)
}

/// What names a stream's things among those of others.
fn name(prefix: &str, id: &str) -> String {
    format!("{}_{}", slug(prefix), slug(id))
}

fn stream(name: &str, id: &str) -> Value {
    json!({"identifiers": [name], "name": id, "manufacturer": "AVicuna", "model": "Stream"})
}

fn availability(prefix: &str) -> Value {
    json!([{"topic": format!("{prefix}/available"), "payload_available": ONLINE, "payload_not_available": OFFLINE}])
}

fn origin() -> Value {
    json!({"name": "AVicuna Stream", "sw_version": env!("CARGO_PKG_VERSION")})
}

/// An id of letters, digits, `_` and `-`, as Home Assistant wants them; others by their number.
fn slug(id: &str) -> String {
    let one = |c: char| match c {
        c if c.is_ascii_alphanumeric() || c == '-' || c == '_' => c.to_string(),
        c => format!("_{:x}", u32::from(c)),
    };
    id.chars().map(one).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn streams_and_rules_become_entities() {
        let of = |sent: &[RecordKind]| {
            entities("home/av", sent, ["front.door".to_owned()].into_iter(), ["r1".to_owned()].into_iter())
        };
        let entities = of(&[RecordKind::Alerts, RecordKind::Events, RecordKind::Streams]);
        let topics: Vec<&str> = entities.keys().map(String::as_str).collect();
        let expected = [
            "homeassistant/binary_sensor/home_2fav_front_2edoor/watched/config",
            "homeassistant/event/home_2fav_front_2edoor/events/config",
            "homeassistant/event/home_2fav_rules/r1/config",
        ];
        assert_eq!(topics, expected);
        let only_alerts: Vec<String> = of(&[RecordKind::Alerts]).into_keys().collect();
        assert_eq!(only_alerts, expected[2..], "what is never sent would stay unknown for ever");
        let sensor: Value = serde_json::from_str(&entities[expected[0]]).expect("JSON");
        assert_eq!(sensor["state_topic"], "home/av/front.door/status");
        assert!(
            sensor["json_attributes_template"].as_str().is_some_and(|text| text.contains("stream_state"))
        );
        assert_eq!(sensor["availability"][0]["topic"], "home/av/available");
        let happening: Value = serde_json::from_str(&entities[expected[1]]).expect("JSON");
        assert_eq!(happening["state_topic"], "home/av/front.door/events");
        let event: Value = serde_json::from_str(&entities[expected[2]]).expect("JSON");
        let template = "{% if value_json.rule_id == 'r1' %}{{ dict(value_json, event_type='alert') | tojson }}{% endif %}";
        assert_eq!(event["value_template"], template);
    }
}
