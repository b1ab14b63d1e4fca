//! What Home Assistant is told, so that it finds streams and rules by itself: retained messages under `homeassistant/`. Pure.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::{OFFLINE, ONLINE, level};

/// Topic and message of every entity: for a stream whether it is watched, for a rule that it fired.
pub(super) fn entities(
    prefix: &str,
    streams: impl Iterator<Item = String>,
    rules: impl Iterator<Item = String>,
) -> BTreeMap<String, String> {
    let streams = streams.map(|id| stream(prefix, &id));
    let rules = rules.map(|id| rule(prefix, &id));
    streams.chain(rules).map(|(topic, entity)| (topic, entity.to_string())).collect()
}

fn stream(prefix: &str, id: &str) -> (String, Value) {
    let name = format!("{}_{}", slug(prefix), slug(id));
    let status = format!("{prefix}/{}/status", level(id));
    let entity = json!({
        "name": "Watched",
        "unique_id": format!("{name}_watched"),
        "device_class": "connectivity",
        "state_topic": status,
        "value_template": "{{ 'ON' if value_json.state == 'watching' else 'OFF' }}",
        "json_attributes_topic": status,
        "availability": availability(prefix),
        "device": {"identifiers": [name], "name": id, "manufacturer": "AVicuna", "model": "Stream"},
        "origin": origin(),
    });
    (format!("homeassistant/binary_sensor/{name}/watched/config"), entity)
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
        let entities =
            entities("home/av", ["front.door".to_owned()].into_iter(), ["r1".to_owned()].into_iter());
        let topics: Vec<&str> = entities.keys().map(String::as_str).collect();
        let expected = [
            "homeassistant/binary_sensor/home_2fav_front_2edoor/watched/config",
            "homeassistant/event/home_2fav_rules/r1/config",
        ];
        assert_eq!(topics, expected);
        let sensor: Value = serde_json::from_str(&entities[expected[0]]).expect("JSON");
        assert_eq!(sensor["state_topic"], "home/av/front.door/status");
        assert_eq!(sensor["availability"][0]["topic"], "home/av/available");
        let event: Value = serde_json::from_str(&entities[expected[1]]).expect("JSON");
        let template = "{% if value_json.rule_id == 'r1' %}{{ dict(value_json, event_type='alert') | tojson }}{% endif %}";
        assert_eq!(event["value_template"], template);
    }
}
