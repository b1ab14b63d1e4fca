//! JSON with places that a record fills. Pure.

use serde_json::Value;

/// Fills every `{{field}}` and `{{field.inner}}` of `template` from the CloudEvent's `data`, or from the event itself. In a
/// string a place takes text, escaped; elsewhere it takes the value as JSON, `null` where there is none. The result is JSON
/// where the template is.
pub(super) fn fill(template: &str, event: &Value) -> String {
    let mut filled = String::with_capacity(template.len() + 256);
    let mut rest = template;
    let mut in_string = false;
    while let Some((before, place)) = rest.split_once("{{") {
        let Some((name, after)) = place.split_once("}}") else { break };
        in_string = ends_in_string(before, in_string);
        filled.push_str(before);
        filled.push_str(&value(name.trim(), event, in_string));
        rest = after;
    }
    filled + rest
}

fn value(name: &str, event: &Value, in_string: bool) -> String {
    let pointer = format!("/{}", name.replace('.', "/"));
    let found = event["data"].pointer(&pointer).or_else(|| event.pointer(&pointer)).unwrap_or(&Value::Null);
    if !in_string {
        return found.to_string();
    }
    let text = match found {
        Value::Null => String::new(),
        Value::String(text) => text.clone(),
        other => other.to_string(),
    };
    let quoted = Value::String(text).to_string();
    quoted[1..quoted.len() - 1].to_owned()
}

/// Is one inside a JSON string after `text`, which begins inside one or not?
fn ends_in_string(text: &str, mut inside: bool) -> bool {
    let mut escaped = false;
    for c in text.chars() {
        match c {
            _ if escaped => escaped = false,
            '\\' if inside => escaped = true,
            '"' => inside = !inside,
            _ => {}
        }
    }
    inside
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn places_are_filled_and_stay_json() {
        let event = json!({"id": "e/1", "subject": "yard", "data":
            {"label": "a \"dog\"\n", "score": 0.5, "start": {"utc": "2026-11-29T14:00:00Z"}, "modality": null}});
        let template = r#"{"text": "\"{{label}}\" from {{ start.utc }} ({{modality}})", "score": {{score}}, "label": {{label}},
                           "none": {{nothing.here}}, "id": "{{id}}", "start": {{start}}, "open": "{{"}"#;
        let filled: Value = serde_json::from_str(&fill(template, &event)).expect("JSON");
        let expected = json!({"text": "\"a \"dog\"\n\" from 2026-11-29T14:00:00Z ()", "score": 0.5, "label": "a \"dog\"\n",
            "none": null, "id": "e/1", "start": {"utc": "2026-11-29T14:00:00Z"}, "open": "{{"});
        assert_eq!(filled, expected);
    }
}
