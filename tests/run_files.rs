//! The daemon on files: nothing is lost, and a replay says the same.

mod support;

use serde_json::Value;
use support::{Daemon, avicuna, check_coverage, check_lives, config, lines, repository};

fn scene() -> String {
    repository("assets/demo/scene.mp4").display().to_string()
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
