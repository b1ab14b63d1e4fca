//! The documents' examples of calls.

use std::process::Command;

use serde_json::json;

use super::support::repository;
use super::support::served::serve;

/// The `curl` commands of a document's shell blocks, each on one line.
fn commands(document: &str) -> Vec<String> {
    let text = std::fs::read_to_string(repository(document)).expect("it is there");
    let mut blocks = text.split("\n```");
    let mut found = Vec::new();
    while let (Some(_words), Some(block)) = (blocks.next(), blocks.next()) {
        let Some(shell) = block.strip_prefix("sh\n") else { continue };
        let mut command = String::new();
        for line in shell.lines() {
            command = format!("{command} {}", line.trim().trim_end_matches('\\'));
            let whole = command.matches('\'').count().is_multiple_of(2) && !line.ends_with('\\');
            if whole {
                found.push(std::mem::take(&mut command).trim().to_owned());
            }
        }
    }
    found.retain(|command| command.starts_with("curl "));
    found
}

#[test]
fn the_examples_of_the_documents_work_as_written() {
    let scene = repository("assets/demo/scene.mp4");
    let store = tempfile::tempdir().expect("a folder");
    let mut served =
        serve(&format!("[clips]\nstore = {:?}\n[[stream]]\nid = \"film\"\nuri = {scene:?}\n", store.path()));
    let yard = "test://?width=64&height=64&fps=5&wave=ticks";
    served
        .until("it tells something", |served| served.get("/v1/events")["events"][0]["event_id"].is_string());
    let event = served.get("/v1/events")["events"][0]["event_id"].as_str().expect("an id").to_owned();
    let mut tried = 0;
    for command in
        ["README.md", "docs/api.md", "docs/clips.md"].iter().flat_map(|document| commands(document))
    {
        // A daemon of another machine, with a token of its own; the test of tokens has one.
        if command.contains("avicuna.example.org") {
            continue;
        }
        let adds = command.contains("POST localhost:9464/v1/streams ");
        let is_there = served.call("GET", "/v1/streams/yard", None).status == 200;
        if adds && is_there {
            assert_eq!(served.call("DELETE", "/v1/streams/yard", None).status, 204);
        } else if !adds && !is_there {
            let again = json!({"id": "yard", "uri": yard});
            assert_eq!(served.call("POST", "/v1/streams", Some(&again)).status, 201);
        }
        let here = command
            .replace("localhost:9464", &served.address)
            .replace("EVENT_ID", &event)
            .replace("rtsp://camera.example.org/stream1", yard);
        let here = here.replacen("curl ", "curl -sS --max-time 5 -w '\n%{http_code}' ", 1);
        // A picture, and a window that can be asked about, take their time.
        served.until(&command, |served| {
            let mut shell = Command::new("sh");
            let output =
                shell.args(["-c", &here]).current_dir(served.folder.path()).output().expect("it runs");
            let said = String::from_utf8_lossy(&output.stdout);
            said.rsplit('\n').next().is_some_and(|status| status.starts_with('2'))
        });
        tried += 1;
    }
    assert!(tried >= 15, "only {tried} examples were found");
}
