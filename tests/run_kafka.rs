//! The daemon against a real broker and a real RTSP server, read by an independent consumer.

mod support;

use std::time::Duration;

use support::kafka::{Broker, Port};
use support::rtsp::Camera;
use support::{Daemon, Published, check_coverage, check_lives, check_schema, config, consume, repository};

fn sink(broker: &Broker, name: &str) -> String {
    format!(
        "sink.kafka.brokers = \"{}\"\n\
         sink.kafka.topics = {{ events = \"{name}.events\", coverage = \"{name}.coverage\", errors = \"{name}.errors\" }}\n",
        broker.brokers()
    )
}

fn scene() -> std::path::PathBuf {
    repository("assets/demo/scene.mp4")
}

/// What is in a topic; nothing before its first record, with which it is made.
fn read(broker: &Broker, topic: &str) -> Vec<Published> {
    let listed = std::process::Command::new("kcat").args(["-L", "-b", &broker.brokers()]).output();
    let listed = String::from_utf8(listed.expect("kcat runs").stdout).expect("UTF-8");
    let there = listed.contains(&format!("topic \"{topic}\" with"));
    if there { consume(&broker.brokers(), topic) } else { Vec::new() }
}

fn end(records: &[Published], stream: &str) -> f64 {
    let mut of_stream = records.iter().filter(|record| record.key == stream);
    of_stream.next_back().and_then(|record| record.data["end"]["stream"].as_f64()).unwrap_or(0.0)
}

#[test]
fn a_live_stream_reaches_kafka_and_a_signal_ends_it_in_order() {
    let (folder, broker) = (tempfile::tempdir().expect("a folder"), Broker::shared());
    let control = Port::free();
    let camera = Camera::start(&scene());
    let text = format!(
        "control.listen = {:?}\noutbox.path = {:?}\n{}\
         [[stream]]\nid = \"gate\"\nuri = \"{}\"\nhop = \"5s\"\nmin_score = 0.0\n",
        control.address(),
        folder.path().join("outbox.redb"),
        sink(broker, "live"),
        camera.uri()
    );
    let mut daemon = Daemon::start(&folder, &text);
    daemon.until("30 s are accounted for", || end(&read(broker, "live.coverage"), "gate") >= 30.0);
    let get = |path: &str| {
        let url = format!("http://{}{path}", control.address());
        let output = std::process::Command::new("curl").args(["-s", "-w", "%{http_code}", &url]).output();
        String::from_utf8(output.expect("curl runs").stdout).expect("UTF-8")
    };
    let ready = get("/readyz");
    assert!(ready.ends_with("200") && ready.contains("\"gate\":{\"state\":\"watching\""), "{ready}");
    assert!(get("/healthz").ends_with("200"));
    let metrics = get("/metrics");
    for name in [
        "avicuna_windows_total{stream=\"gate\",outcome=\"answered\"}",
        "avicuna_stream_up{stream=\"gate\"} 1",
        "avicuna_outbox_acknowledged_total",
        "process_resident_memory_bytes",
    ] {
        assert!(metrics.contains(name), "no {name} in\n{metrics}");
    }
    let status = daemon.terminate();
    assert!(status.success(), "{status}:\n{}", daemon.log());
    let coverage = read(broker, "live.coverage");
    let (end, watched) = check_coverage(&coverage, "gate");
    assert!(end >= 30.0 && watched > 0.0, "{watched} of {end} s watched");
    check_lives(&read(broker, "live.events"), "gate");
    assert!(daemon.log().contains("spooled=0 dropped=0"), "{}", daemon.log());
}

/// The broker inside the daemon, read by the example.
#[test]
fn a_day_is_drawn_by_the_example() {
    let folder = tempfile::tempdir().expect("a folder");
    // A label that would be an end of a tag, if anybody forgot.
    let scene = repository("assets/demo/scene.mp4");
    let text = format!(
        "daemon.exit_when_done = false\nsink.kind = \"embedded\"\nmodel.path = \"assets/models/avicuna-small\"\n\
                [[stream]]\nid = \"film<1>\"\nuri = {scene:?}\n\
                detect = false\nqueries = [\"a dog </title><script>\"]\nmin_query_score = 0.0\nwindow = \"10s\"\n\
                [[stream]]\nid = \"gone\"\nuri = \"/nowhere/film.mp4\"\n"
    );
    let mut daemon = Daemon::start(&folder, &config(&folder, &text));
    let log = folder.path().join("log");
    let read = || std::fs::read_to_string(&log).unwrap_or_default();
    daemon.until("it is told", || read().contains("waiting to be stopped"));
    let log = read();
    let broker = log.split("embedded Kafka broker").nth(1).and_then(|rest| rest.split("brokers=").nth(1));
    let broker = broker.and_then(|rest| rest.split_whitespace().next()).expect("its address");
    let broker = broker.trim_matches('"');
    let records = consume(broker, "avicuna.events");
    assert!(!records.is_empty(), "the dog is told");
    let day = records[0].data["start"]["utc"].as_str().expect("a time").split('T').next().expect("a day");

    let draw = |out: &std::path::Path, more: &[&str]| {
        let mut draw = std::process::Command::new("python3");
        draw.arg(repository("examples/draw_day.py")).args(["--broker", broker, "--out"]).arg(out).args(more);
        let output = draw.output().expect("python3 runs");
        (output.status.success(), String::from_utf8_lossy(&output.stderr).into_owned())
    };
    let picture = folder.path().join("day.svg");
    let (good, said) = draw(&picture, &["--day", day]);
    assert!(good, "{said}");
    let text = std::fs::read_to_string(&picture).expect("it is there");
    let drawn = roxmltree::Document::parse(&text).expect("well formed");
    let boxes =
        |class: &str| drawn.descendants().filter(|node| node.attribute("class") == Some(class)).count();
    let ids: std::collections::BTreeSet<_> =
        records.iter().map(|record| record.data["event_id"].to_string()).collect();
    assert!(said.starts_with(&format!("{} events of 1 streams", ids.len())), "{said}");
    assert!(boxes("seen") + boxes("heard") >= ids.len(), "{text}");
    let titles: Vec<&str> = drawn
        .descendants()
        .filter(|node| node.has_tag_name("title"))
        .filter_map(|node| node.text())
        .collect();
    assert!(titles.iter().any(|title| title.starts_with("a dog </title><script>, ")), "{titles:?}");
    assert!(titles.contains(&"film<1>"), "{titles:?}");

    let page = folder.path().join("day.html");
    let (good, said) = draw(&page, &["--day", "2001-01-01", "--zone", "Europe/Berlin"]);
    assert!(good && said.starts_with("0 events of 0 streams"), "{said}");
    assert!(std::fs::read_to_string(&page).expect("it is there").contains("nothing happened"));
    let (good, said) = draw(&page, &["--events", "no.such.topic"]);
    assert!(!good && said.contains("no.such.topic"), "{said}");
    assert!(!daemon.terminate().success(), "one of the streams failed");
}

/// The same lines from consumers in other languages as from what was published.
#[test]
fn consumers_in_java_and_rust_read_the_same() {
    let (folder, broker) = (tempfile::tempdir().expect("a folder"), Broker::shared());
    let text = format!(
        "{}model.path = \"assets/models/avicuna-small\"\n\
         [[stream]]\nid = \"scene\"\nuri = {:?}\nhop = \"5s\"\nmin_score = 0.0\n\
         [[stream]]\nid = \"again\"\nuri = {:?}\nmin_score = 0.0\nqueries = [\"a dog\"]\n",
        sink(broker, "followed"),
        scene(),
        scene()
    );
    let mut daemon = Daemon::start(&folder, &config(&folder, &text));
    assert!(daemon.wait().success(), "{}", daemon.log());
    let records = read(broker, "followed.events");
    assert!(records.iter().any(|record| record.data["phase"] == "updated"), "{records:?}");
    let ended = records.iter().filter(|record| record.data["phase"] == "ended");
    let word = |record: &Published, at: &str| {
        record.data.pointer(at).and_then(|word| word.as_str()).unwrap_or("-").to_owned()
    };
    let fields = ["/stream_id", "/start/utc", "/end/utc", "/modality", "/label"];
    let line = |record| fields.map(|at| word(record, at)).join("\t");
    let mut expected: Vec<String> = ended.map(line).collect();
    assert!(expected.len() > 3, "{expected:?}");
    expected.sort();

    let lines = |command: &mut std::process::Command| {
        command.args([broker.brokers().as_str(), "followed.events", "--until-end"]);
        let output = command.output().expect("it runs");
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{command:?}: {said}");
        let mut lines: Vec<String> =
            String::from_utf8(output.stdout).expect("UTF-8").lines().map(str::to_owned).collect();
        lines.sort();
        lines
    };
    let program = std::path::Path::new(env!("CARGO_BIN_EXE_avicuna"));
    let built = program.with_file_name("examples").join("follow_events");
    assert_eq!(lines(&mut std::process::Command::new(built)), expected);
    let jars = support::kafka::libs().join("*");
    let mut java = std::process::Command::new("java");
    java.arg("-cp").arg(jars).arg(repository("examples/FollowEvents.java"));
    assert_eq!(lines(&mut java), expected);
}

#[test]
fn a_dead_stream_is_reported_and_holds_up_nobody() {
    let (folder, broker) = (tempfile::tempdir().expect("a folder"), Broker::shared());
    let nobody = Port::free();
    let text = format!(
        "{}[[stream]]\nid = \"dead\"\nuri = \"rtsp://{}/cam\"\n\
         [[stream]]\nid = \"scene\"\nuri = {:?}\n",
        sink(broker, "dead"),
        nobody.address(),
        scene()
    );
    let mut daemon = Daemon::start(&folder, &config(&folder, &text));
    daemon.until("the file is watched", || end(&read(broker, "dead.coverage"), "scene") >= 59.0);
    assert!(daemon.terminate().success(), "{}", daemon.log());
    let (end, watched) = check_coverage(&read(broker, "dead.coverage"), "scene");
    assert_eq!(end, watched);
    let dead = read(broker, "dead.coverage");
    let (end, watched) = check_coverage(&dead, "dead");
    assert!(end > 0.0 && watched == 0.0, "a stream that never came was not watched: {watched} of {end} s");
    let reasons = dead.iter().filter(|span| span.key == "dead").map(|span| span.text("reason"));
    assert!(reasons.clone().all(|reason| reason.starts_with("blind: outage: unreachable")), "{reasons:?}");
    let errors = read(broker, "dead.errors");
    check_schema(&errors, "error.v1.schema.json");
    let said: Vec<&str> = errors.iter().filter(|e| e.key == "dead").map(|e| e.text("message")).collect();
    assert!(said.iter().any(|message| message.starts_with("unreachable")), "{said:?}");
}

#[test]
fn a_broker_that_comes_late_gets_everything_though_the_outbox_is_small() {
    let (folder, broker) = (tempfile::tempdir().expect("a folder"), Broker::place());
    // Far less than the scene's records need: the file has to wait for the broker.
    let text = format!(
        "daemon.flush = \"10m\"\noutbox.max_bytes = 3000\noutbox.when_full = \"block\"\n{}[[stream]]\nid = \"scene\"\nuri = {:?}\n",
        sink(&broker, "late"),
        scene()
    );
    let mut daemon = Daemon::start(&folder, &config(&folder, &text));
    let log = folder.path().join("log");
    daemon.until("the outage is told", || {
        std::fs::read_to_string(&log).is_ok_and(|log| log.contains("messages wait in the outbox"))
    });
    std::thread::sleep(Duration::from_secs(2));
    broker.start();
    assert!(daemon.wait().success(), "{}", daemon.log());
    let coverage = read(&broker, "late.coverage");
    let (end, watched) = check_coverage(&coverage, "scene");
    assert!(end == watched && (end - 60.0).abs() < 0.6, "{watched} of {end} s watched");
    let events = read(&broker, "late.events");
    check_lives(&events, "scene");
    let bytes =
        |records: &[Published]| records.iter().map(|record| record.data.to_string().len()).sum::<usize>();
    assert!(bytes(&coverage) + bytes(&events) > 6000, "the outbox was large enough for all");
    assert!(daemon.log().contains("dropped=0"), "{}", daemon.log());
}

#[test]
fn what_was_not_delivered_is_delivered_by_the_next_start() {
    let (folder, broker) = (tempfile::tempdir().expect("a folder"), Broker::place());
    let text = |flush: &str| {
        format!(
            "daemon.flush = \"{flush}\"\n{}[[stream]]\nid = \"scene\"\nuri = {:?}\n",
            sink(&broker, "next"),
            scene()
        )
    };
    let mut daemon = Daemon::start(&folder, &config(&folder, &text("0s")));
    assert!(daemon.wait().success(), "{}", daemon.log());
    assert!(daemon.log().contains("records stay in the outbox"), "{}", daemon.log());
    broker.start();
    let mut daemon = Daemon::start(&folder, &config(&folder, &text("10m")));
    assert!(daemon.wait().success(), "{}", daemon.log());
    let mut coverage = read(&broker, "next.coverage");
    let half = coverage.len() / 2;
    let second = coverage.split_off(half);
    for run in [coverage, second] {
        let (end, watched) = check_coverage(&run, "scene");
        assert!(end == watched && (end - 60.0).abs() < 0.6, "{watched} of {end} s watched");
    }
}
