//! Whoever is told hears every alert at least once and in order, whatever becomes of him, of others and of the daemon.

mod delays;
mod mqtt;
#[path = "../support/mod.rs"]
mod support;
mod webhook;

use std::collections::BTreeMap;
use std::process::Command;

use serde_json::{Value, json};
use support::served::{Served, start};

/// A picture with sound of so many seconds, of which everything is told, however unsure.
fn film(id: &str, seconds: u32) -> Value {
    let uri = format!("test://?width=64&height=64&fps=5&wave=ticks&duration={seconds}");
    json!({"id": id, "uri": uri, "live": false, "hop": "2s", "window": "4s", "min_score": 0.0})
}

/// What the model finds in such a picture most often.
fn label(served: &mut Served) -> String {
    assert_eq!(served.call("POST", "/v1/streams", Some(&film("first", 16))).status, 201);
    ended(served, "first");
    let windows = served.get("/v1/windows?stream=first&limit=1000");
    let mut counts: BTreeMap<String, usize> = BTreeMap::new();
    for window in windows["windows"].as_array().expect("a list") {
        for found in window["answers"][0]["found"].as_array().into_iter().flatten() {
            *counts.entry(found["label"].as_str().expect("text").to_owned()).or_default() += 1;
        }
    }
    let most = counts.into_iter().max_by_key(|(_, count)| *count);
    most.expect("with a least score of 0 something is told").0
}

fn ended(served: &mut Served, id: &str) {
    let path = format!("/v1/streams/{id}");
    served.until("it has ended", |served| served.get(&path)["status"]["state"] == "ended");
    // Behind everything else of it.
    let is_last = |served: &Served| {
        let states = history(served, &format!("&stream={id}"));
        states.iter().rfind(|record| record["since"].is_string()).is_some_and(|last| last["state"] == "ended")
    };
    served.until("its end is kept", is_last);
}

/// Every record that the history remembers.
fn history(served: &Served, filter: &str) -> Vec<Value> {
    let url = format!("http://{}/v1/events/stream?after=0{filter}", served.address);
    let output = Command::new("curl").args(["-sSN", "--max-time", "2", &url]).output().expect("curl runs");
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let data = text.lines().filter_map(|line| line.strip_prefix("data: "));
    data.map(|data| serde_json::from_str(data).expect("JSON")).collect()
}

fn sink(served: &Served, name: &str) -> Value {
    let sinks = served.get("/v1/sinks");
    let sinks = sinks["sinks"].as_array().expect("a list");
    sinks.iter().find(|sink| sink["name"] == name).expect("it is configured").clone()
}

/// Ids of all alerts in the order of the history.
fn alerts(served: &Served) -> Vec<String> {
    history(served, "")
        .iter()
        .filter_map(|record| record["alert_id"].as_str().map(|id| format!("alerts/{id}")))
        .collect()
}

/// The same daemon again, after it has ended.
fn again(served: Served, rest: &str) -> Served {
    let Served { folder, daemon, .. } = served;
    drop(daemon);
    std::fs::remove_file(folder.path().join("log")).expect("it is there");
    start(folder, rest)
}

/// A list without what comes again.
fn once(ids: &[String]) -> Vec<String> {
    let mut seen = std::collections::BTreeSet::new();
    ids.iter().filter(|id| seen.insert(*id)).cloned().collect()
}
