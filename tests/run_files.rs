//! The daemon on files: nothing is lost, and a replay says the same.

mod support;

use serde_json::Value;
use support::kafka::Port;
use support::{
    Daemon, Published, avicuna, check_coverage, check_lives, config, lines, repository, without_repeats,
};

fn scene() -> String {
    repository("assets/demo/scene.mp4").display().to_string()
}

/// How many of the scene's events were localized: the right label, and at least half of both spans together shared.
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
        |truth: &&Value| ended().any(|event| event["label"] == truth["label"] && shared(event, truth) >= 0.5);
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
        assert!(found >= 5, "only {found} of the scene's 6 events were found: {events:?}");
        runs.push(events.into_iter().map(|event| event.ce_id).collect::<Vec<_>>());
    }
    assert_eq!(runs[0], runs[1]);
}

#[test]
fn one_file_is_localized_as_json_into_a_pipe_and_as_a_page() {
    let folder = tempfile::tempdir().expect("a folder");
    let page = folder.path().join("page.html");
    let mut localize = avicuna();
    let output = localize
        .args(["localize", "assets/demo/scene.mp4", "--report"])
        .arg(&page)
        .output()
        .expect("it runs");
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "{said}");
    let report: Value = serde_json::from_slice(&output.stdout).expect("one JSON object");
    assert_eq!(
        (&report["source"], &report["model"]),
        (&"assets/demo/scene.mp4".into(), &"avicuna-natural".into())
    );
    assert!((report["duration"].as_f64().expect("a number") - 60.0).abs() < 0.6, "{report}");
    for event in report["events"].as_array().expect("a list") {
        assert_eq!(event["phase"], "ended", "{event}");
    }
    let page = std::fs::read_to_string(page).expect("it is there");
    let events = report["events"].as_array().map_or(0, Vec::len);
    assert!(events >= 5 && page.matches("<li id=\"event-").count() == events, "{page}");
    assert_eq!(page.matches("src=\"data:image/jpeg;base64,/9j/").count(), events, "each has a picture");
    assert!(page.contains("<title>assets/demo/scene.mp4</title>") && !page.contains("<script"), "{page}");
}

/// A picture with sound that takes a moment, of which everything is told.
/// Has a dog.
const SCENE: &str = "assets/demo/scene.mp4";

fn localized(arguments: &[&str]) -> (bool, String) {
    let model = [
        "localize",
        SCENE,
        "--model",
        "assets/models/avicuna-small",
        "--query",
        "a <dog> & c",
        "--min-score",
        "0",
    ];
    let output = avicuna().args(model).args(arguments).output().expect("it runs");
    let said =
        String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
    (output.status.success(), said)
}

#[test]
fn what_is_localized_is_written_as_editors_and_annotators_read_it() {
    let folder = tempfile::tempdir().expect("a folder");
    let out = folder.path().join("film.vtt");
    let path = out.to_str().expect("UTF-8");
    let (good, said) = localized(&["--format", "vtt", "--out", path]);
    assert!(good && said.is_empty(), "{said}");
    let text = std::fs::read_to_string(&out).expect("it is there");
    assert!(text.starts_with("WEBVTT\n\n") && text.contains("a &lt;dog&gt; &amp; c ["), "{text}");
    for (format, begins, holds) in [
        ("srt", "1\n00:00:", "a ‹dog› & c ["),
        ("csv", "start,end,", ",a <dog> & c,"),
        ("eaf", "<?xml version=\"1.0\"", "<ANNOTATION_VALUE>a &lt;dog&gt; &amp; c</ANNOTATION_VALUE>"),
        ("table", "", "a <dog> & c"),
    ] {
        let (good, said) = localized(&["--format", format]);
        assert!(good && said.starts_with(begins) && said.contains(holds), "{format}: {said}");
        assert!(!said.contains('█'), "a bar is for terminals: {said}");
    }
    let (good, said) = localized(&["--out", "/nowhere/at/all.json"]);
    assert!(!good && said.contains("/nowhere/at/all.json") && said.contains("folder"), "{said}");
    let (good, said) = localized(&["--format", "doc"]);
    assert!(!good && said.contains("srt"), "{said}");
}

#[test]
fn a_terminal_shows_where_in_the_film_it_is() {
    let program = env!("CARGO_BIN_EXE_avicuna");
    let model = repository("assets/models/avicuna-small");
    let shown = |columns: u32| {
        let command = format!(
            "stty cols {columns}; '{program}' localize '{SCENE}' --model '{}' --query 'a dog' --min-score 0 2>/dev/null",
            model.display()
        );
        let output = std::process::Command::new("script").args(["-qec", &command, "/dev/null"]).output();
        String::from_utf8_lossy(&output.expect("script runs").stdout).into_owned()
    };
    let wide = shown(120);
    assert!(wide.contains("0 to 1:00.0") && wide.contains('█') && wide.contains(" watched by "), "{wide}");
    let longest = wide.lines().map(|line| line.trim_end().chars().count()).max();
    assert!(longest <= Some(120), "{longest:?}: {wide}");
    let narrow = shown(50);
    assert!(!narrow.contains('█') && narrow.contains("a dog"), "{narrow}");
}

#[test]
fn what_cannot_be_localized_is_said() {
    for (source, expected) in [
        ("/nowhere/a.mp4", "/nowhere/a.mp4 cannot be read"),
        ("gopher://host/a", "\"gopher\" is not known"),
        ("Cargo.toml", "not-media"),
    ] {
        let output = avicuna().args(["localize", source]).output().expect("it runs");
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(1), "{said}");
        assert!(said.contains(expected), "{said}");
    }
}

#[test]
fn events_that_a_killed_daemon_left_open_end_with_the_next_start() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("out.jsonl");
    let text = |stream: &str| {
        let sink = format!("sink.kind = \"jsonl\"\nsink.jsonl.path = {path:?}\n");
        config(&folder, &format!("{sink}[[stream]]\n{stream}"))
    };
    let scene =
        format!("id = \"scene\"\nuri = {:?}\nrealtime = true\nhop = \"5s\"\nmin_score = 0.0\n", scene());
    let mut daemon = Daemon::start(&folder, &text(&scene));
    let phases =
        |wanted: &str| lines(&path, "events").iter().filter(|event| event.text("phase") == wanted).count();
    daemon.until("an event is open", || phases("started") > phases("ended"));
    daemon.kill();
    let ended_before = phases("ended");

    let mut daemon = Daemon::start(&folder, &text("id = \"next\"\nuri = \"test://?duration=1\"\n"));
    assert!(daemon.wait().success(), "{}", daemon.log());
    // The kill may have come between a record's delivery and the outbox's word that it was.
    check_lives(&without_repeats(lines(&path, "events")), "scene");
    assert!(phases("ended") > ended_before, "nothing was open when it was killed: {}", daemon.log());
}

#[test]
fn a_file_that_is_interrupted_twice_and_then_watched_is_told_without_contradiction() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("out.jsonl");
    let text = |realtime: bool| {
        let text = format!(
            "model.path = {:?}\nsink.kind = \"jsonl\"\nsink.jsonl.path = {path:?}\n\
             [[stream]]\nid = \"scene\"\nuri = {:?}\nhop = \"5s\"\nmin_score = 0.0\nrealtime = {realtime}\n",
            repository("assets/models/avicuna-small"),
            scene()
        );
        config(&folder, &text)
    };
    let stops: [fn(&mut Daemon); 2] = [Daemon::kill, |daemon| assert!(daemon.terminate().success())];
    for stop in stops {
        let before = lines(&path, "coverage").len();
        let mut daemon = Daemon::start(&folder, &text(true));
        daemon.until("spans are told", || lines(&path, "coverage").len() >= before + 3);
        stop(&mut daemon);
    }
    let mut daemon = Daemon::start(&folder, &text(false));
    assert!(daemon.wait().success(), "{}", daemon.log());

    let events = without_repeats(lines(&path, "events"));
    check_lives(&events, "scene");
    let mut coverage = without_repeats(lines(&path, "coverage"));
    for (run, is_whole) in [("scene/after-2/", true), ("scene/after-1/", false), ("scene/", false)] {
        let (of_run, others): (Vec<_>, Vec<_>) =
            coverage.into_iter().partition(|span| span.ce_id.starts_with(run));
        coverage = others;
        let (end, watched) = check_coverage(&of_run, "scene");
        assert!(end > 5.0 && (end == watched || !is_whole), "{run}: {watched} of {end} s watched");
        assert_eq!((end - 60.0).abs() < 0.6, is_whole, "{run}: {end}");
    }
    assert!(coverage.is_empty(), "{coverage:?}");
}

#[test]
fn a_daemon_whose_streams_are_over_waits_when_told_to() {
    let folder = tempfile::tempdir().expect("a folder");
    let text = format!(
        "daemon.exit_when_done = false\nsink.kind = \"jsonl\"\nsink.jsonl.path = {:?}\n\
         [[stream]]\nid = \"short\"\nuri = \"test://?duration=1\"\n",
        folder.path().join("out.jsonl")
    );
    let mut daemon = Daemon::start(&folder, &config(&folder, &text));
    let log = folder.path().join("log");
    daemon.until("it says that it waits", || {
        std::fs::read_to_string(&log).is_ok_and(|log| log.contains("waiting to be stopped"))
    });
    std::thread::sleep(std::time::Duration::from_secs(1));
    daemon.until("it still runs", || true);
    assert!(daemon.terminate().success(), "{}", daemon.log());
}

#[test]
fn a_second_signal_ends_it_at_once() {
    let folder = tempfile::tempdir().expect("a folder");
    let nobody = Port::free();
    let text = format!(
        "daemon.flush = \"1h\"\nsink.kafka.brokers = {:?}\n\
         [[stream]]\nid = \"short\"\nuri = \"test://?duration=1\"\n",
        nobody.address()
    );
    let mut daemon = Daemon::start(&folder, &config(&folder, &text));
    let log = folder.path().join("log");
    let said = |daemon: &mut Daemon, words: &str| {
        daemon.until(words, || std::fs::read_to_string(&log).is_ok_and(|log| log.contains(words)));
    };
    said(&mut daemon, "stream ended");
    daemon.signal("TERM");
    said(&mut daemon, "a second signal ends at once");
    // Sent twice it is one wish.
    daemon.signal("TERM");
    std::thread::sleep(std::time::Duration::from_millis(1500));
    daemon.until("it is still about to end in order", || true);
    daemon.signal("TERM");
    assert_eq!(daemon.wait().code(), Some(128 + 15), "{}", daemon.log());
}
