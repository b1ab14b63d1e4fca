//! Rules, tried on what was found and watching what comes.

use avicuna_pipeline::answer::label_key;
use serde_json::json;

use super::problems;
use super::support::served::{Ear, serve};

#[test]
fn a_rule_is_tried_on_what_was_and_fires_on_what_comes() {
    let mut served = serve("");
    assert_eq!(served.call("POST", "/v1/streams", Some(&json!({
        "id": "one", "uri": "test://?width=64&height=64&fps=5&wave=ticks&duration=40", "live": false,
        "hop": "5s", "window": "10s", "min_score": 0.0
    }))).status, 201);
    served.until("it has ended", |served| served.get("/v1/streams/one")["status"]["state"] == "ended");
    let windows = served.get("/v1/windows?stream=one&limit=1000");
    let found = windows["windows"].as_array().expect("a list").iter().flat_map(|window| {
        let answers = window["answers"].as_array().cloned().unwrap_or_default();
        answers
            .into_iter()
            .flat_map(|answer| answer["found"].as_array().cloned().unwrap_or_default())
            .collect::<Vec<_>>()
    });
    let labels: Vec<String> = found.map(|found| found["label"].as_str().expect("text").to_owned()).collect();
    let label = labels.first().expect("with a least score of 0 something is told");

    let rule = json!({"id": "r1", "label": label, "min_score": 0.0});
    assert_eq!(served.call("POST", "/v1/rules", Some(&rule)).status, 201);
    assert_eq!(served.call("POST", "/v1/rules", Some(&rule)).status, 409);
    let wrong = served.call("POST", "/v1/rules", Some(&json!({"id": "r2", "label": "x", "n_of_m": [2, 1]})));
    assert_eq!((wrong.status, problems(&wrong)[0].0.as_str()), (422, "/n_of_m"));
    let tried = served.call("POST", "/v1/rules/r1/test", Some(&json!({})));
    let alerts = tried.json()["alerts"].as_array().cloned().unwrap_or_default();
    let expected = labels.iter().filter(|other| label_key(other) == label_key(label)).count();
    assert!(!alerts.is_empty() && alerts.len() <= expected, "{tried:?}");
    let stricter = served.call(
        "POST",
        "/v1/rules/r1/test",
        Some(&json!({"rule": {"label": label, "min_score": 1.0, "cooldown": 1e6}})),
    );
    assert!(stricter.json()["alerts"].as_array().is_some_and(|some| some.len() <= 1), "{stricter:?}");

    let mut ear = Ear::new(&served, "", None);
    assert_eq!(served.call("POST", "/v1/streams", Some(&json!({
        "id": "two", "uri": "test://?width=64&height=64&fps=5&wave=ticks&duration=40", "live": false,
        "hop": "5s", "window": "10s", "min_score": 0.0
    }))).status, 201);
    let alert = loop {
        let (_, name, record) = ear.next();
        if name == "alert" {
            break record;
        }
    };
    assert_eq!((&alert["rule_id"], &alert["stream_id"]), (&json!("r1"), &json!("two")), "{alert}");
    assert_eq!(
        served.call("PATCH", "/v1/rules/r1", Some(&json!({"enabled": false}))).json()["enabled"],
        false
    );
    assert_eq!(served.call("DELETE", "/v1/rules/r1", None).status, 204);
    assert_eq!(served.call("GET", "/v1/rules/r1", None).status, 404);
}
