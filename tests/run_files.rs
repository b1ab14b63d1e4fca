//! The daemon on files: nothing is lost, and a replay says the same.

mod support;

use serde_json::Value;
use support::{Daemon, Published, avicuna, check_coverage, check_lives, config, lines, repository};

fn scene() -> String {
    repository("assets/demo/scene.mp4").display().to_string()
}

/// How many of the scene's events were localized: the right label, and at least 0.3 of both spans together shared.
fn found(events: &[Published]) -> usize {
    let text = std::fs::read_to_string(repository("assets/demo/scene.json")).expect("the truth");
    let truth: Value = serde_json::from_str(&text).expect("JSON");
    let span = |value: &Value, at: &str| value.pointer(at).and_then(Value::as_f64).expect("a number");
    let shared = |event: &Value, truth: &Value| {
        let (start, end) = (span(event, "/start/stream"), span(event, "/end/stream"));
        let (from, to) = (span(truth, "/start"), span(truth, "/end"));
        (end.min(to) - start.max(from)) / (end.max(to) - start.min(from))
    };
    let ended = || events.iter().map(|event| &event.data).filter(|event| event["phase"] == "ended");
    let hit =
        |truth: &&Value| ended().any(|event| event["label"] == truth["label"] && shared(event, truth) >= 0.3);
    truth["events"].as_array().expect("a list").iter().filter(hit).count()
}

#[test]
fn a_file_is_watched_to_its_end_and_a_replay_repeats_the_ids() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut runs = Vec::new();
    for run in ["first.jsonl", "second.jsonl"] {
        let path = folder.path().join(run);
        let text = format!(
            "sink.kind = \"jsonl\"\nsink.jsonl.path = {path:?}\n\
             [[stream]]\nid = \"scene\"\nuri = {:?}\nmin_score = 0.0\nqueries = [\"a dog\"]\n",
            scene()
        );
        let mut daemon = Daemon::start(&folder, &config(&folder, &text));
        assert!(daemon.wait().success(), "{}", daemon.log());
        let (end, watched) = check_coverage(&lines(&path, "coverage"), "scene");
        assert!((end - 60.0).abs() < 0.6 && end == watched, "{watched} of {end} s watched");
        let events = lines(&path, "events");
        check_lives(&events, "scene");
        let found = found(&events);
        assert!(found >= 3, "only {found} of the scene's 6 events were found: {events:?}");
        runs.push(events.into_iter().map(|event| event.ce_id).collect::<Vec<_>>());
    }
    assert_eq!(runs[0], runs[1]);
}

#[test]
fn one_file_is_localized_as_json_into_a_pipe() {
    let output = avicuna().args(["localize", "assets/demo/scene.mp4"]).output().expect("it runs");
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "{said}");
    let report: Value = serde_json::from_slice(&output.stdout).expect("one JSON object");
    assert_eq!(
        (&report["source"], &report["model"]),
        (&"assets/demo/scene.mp4".into(), &"avicuna-small".into())
    );
    assert!((report["duration"].as_f64().expect("a number") - 60.0).abs() < 0.6, "{report}");
    for event in report["events"].as_array().expect("a list") {
        assert_eq!(event["phase"], "ended", "{event}");
    }
}

#[test]
fn what_cannot_be_localized_is_said() {
    for (source, expected) in [
        ("/nowhere/a.mp4", "not-found: /nowhere/a.mp4 cannot be read"),
        ("gopher://host/a", "\"gopher\" is not known"),
        ("Cargo.toml", "not-media"),
    ] {
        let output = avicuna().args(["localize", source]).output().expect("it runs");
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(1), "{said}");
        assert!(said.contains(expected), "{said}");
    }
}
