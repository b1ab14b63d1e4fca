//! The daemon's interface: streams come, change and go while it runs; events are read, heard live and reviewed.

mod ask;
mod events;
mod examples;
mod refused;
mod rules;
mod streams;
#[path = "../support/mod.rs"]
mod support;

use serde_json::Value;
use support::served::Reply;

fn problems(reply: &Reply) -> Vec<(String, String)> {
    let text = |value: &Value| value.as_str().expect("text").to_owned();
    let errors = reply.json()["errors"].as_array().cloned().unwrap_or_default();
    errors.iter().map(|error| (text(&error["pointer"]), text(&error["message"]))).collect()
}
