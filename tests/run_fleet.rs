//! Daemons that share their streams: three brokers, three daemons, twelve cameras, and what may happen to them.

mod support;

use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::{Value, json};
use support::fleet::{FAR, Fleet, in_state, watched_by};
use support::{Published, check_coverage, check_lives};

const CAMERAS: usize = 12;

/// Cameras whose pictures and ticks the model says something of in every window. Windows of some overlap.
fn cameras(count: usize) -> String {
    let camera = |index: usize| {
        let hop = if index < 2 { 5 } else { 10 };
        format!(
            "[[stream]]\nid = \"cam-{index:02}\"\nlive = true\nhop = \"{hop}s\"\nmin_score = 0.0\n\
             uri = \"test://?width=64&height=64&fps=4&wave=ticks\"\n"
        )
    };
    (0..count).map(camera).collect()
}

fn seconds(count: u64) {
    std::thread::sleep(Duration::from_secs(count));
}

/// Nobody told anything twice: transactions make each record visible once.
fn check_once(records: &[Published]) {
    let mut seen = BTreeMap::new();
    for record in records {
        if let Some(before) = seen.insert((&record.key, &record.ce_id), &record.data) {
            panic!("{} came twice: {before} and {}", record.ce_id, record.data);
        }
    }
}

/// Longest and whole time of a stream that nobody watched while it had no daemon.
fn without_owner(records: &[Published], stream: &str) -> (f64, f64) {
    let reason = |record: &Published| record.data["reason"].as_str().unwrap_or_default().to_owned();
    let lost = records.iter().filter(|record| {
        record.key == stream && record.data["watched"] == false && reason(record).contains("took over")
    });
    let spans: Vec<f64> = lost
        .map(|record| {
            let at = |edge: &str| record.data[edge]["stream"].as_f64().expect("a number");
            at("end") - at("start")
        })
        .collect();
    (spans.iter().copied().fold(0.0, f64::max), spans.iter().sum())
}

/// How long streams had no daemon, as the fleet saw it, in seconds.
#[derive(Default)]
struct Away {
    killed: Vec<f64>,
    paused: Vec<f64>,
    cut: Vec<f64>,
    left: Vec<f64>,
}

fn is_shared(overview: &Value) -> bool {
    is_watched(overview) && (0..3).all(|index| watched_by(overview, &format!("daemon-{index}")) > 0)
}

fn is_watched(overview: &Value) -> bool {
    in_state(overview, "watching") == CAMERAS
}

/// Daemons and brokers die, are paused, come back; streams come, change and go.
fn disturb(fleet: &mut Fleet, round: usize, away: &mut Away) {
    let two_have_all =
        |gone: &'static str| move |overview: &Value| is_watched(overview) && watched_by(overview, gone) == 0;
    fleet.kill(1);
    away.killed.push(fleet.until(0, "two take over", two_have_all("daemon-1")).as_secs_f64());
    seconds(10);
    fleet.start(1);
    fleet.until(0, "three again", is_shared);
    seconds(10);

    // Paused for longer than its session: it wakes up and finds its streams gone.
    fleet.daemon(FAR).signal("STOP");
    away.paused.push(fleet.until(0, "two take over", two_have_all("daemon-2")).as_secs_f64());
    seconds(10);
    fleet.daemon(FAR).signal("CONT");
    fleet.until(0, "three again", is_shared);
    seconds(10);

    // Cut off from the brokers it watches on; what it says is not told once others have its streams.
    fleet.cluster.set_cut(true);
    away.cut.push(fleet.until(0, "two take over", two_have_all("daemon-2")).as_secs_f64());
    seconds(10);
    fleet.cluster.set_cut(false);
    fleet.until(0, "three again", is_shared);
    seconds(10);

    let broker = 1 + round % 2;
    fleet.cluster.node(broker).kill();
    seconds(15);
    fleet.until(0, "two brokers are enough", is_watched);
    fleet.cluster.start_node(broker);
    seconds(5);

    // By whichever daemon is asked.
    let (uri, id) = ("test://?width=64&height=64&fps=4&wave=ticks", format!("new-{round}"));
    let new = json!({ "id": id, "uri": uri, "live": true, "hop": "10s", "min_score": 0.0 });
    assert_eq!(fleet.call(1, "POST", "/v1/streams", Some(&new)).0, 201);
    fleet.until(2, "one more", |overview| in_state(overview, "watching") == CAMERAS + 1);
    assert_eq!(fleet.call(2, "POST", "/v1/streams", Some(&new)).0, 409, "it is there for all");
    let queries = json!({ "queries": [format!("bell number {round}")] });
    assert_eq!(fleet.call(0, "PATCH", "/v1/streams/cam-00", Some(&queries)).0, 200);
    seconds(25);
    assert_eq!(fleet.call(2, "DELETE", &format!("/v1/streams/{id}"), None).0, 204);
    fleet.until(1, "as before", is_watched);
    // Who dies while it leaves a stream of which nothing is committed leaves nothing of it.
    let began = std::time::Instant::now();
    while !fleet.published("coverage").iter().any(|record| record.key == id) {
        assert!(began.elapsed() < support::HANG, "nothing is told of {id}:\n{}", fleet.logs());
        seconds(1);
    }
}

fn median(values: &[f64]) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    sorted[sorted.len() / 2]
}

/// `FLEET_ROUNDS` makes it longer: `make chaos`.
#[test]
fn three_daemons_share_twelve_cameras_and_lose_nothing_whatever_happens() {
    let rounds =
        std::env::var("FLEET_ROUNDS").map_or(1, |rounds| rounds.parse().expect("FLEET_ROUNDS is a number"));
    let mut fleet = Fleet::new(3, 3, "cameras");
    (0..3).for_each(|index| fleet.start(index));
    let said = fleet.apply(&cameras(CAMERAS));
    assert_eq!(said.lines().filter(|line| line.ends_with(": added")).count(), CAMERAS, "{said}");
    fleet.until(0, "twelve are shared by three", is_shared);
    seconds(20);
    let mut away = Away::default();
    for round in 0..rounds {
        disturb(&mut fleet, round, &mut away);
    }
    // One leaves in order: its streams go on elsewhere, their events stay open.
    fleet.daemon(0).signal("TERM");
    let all = |overview: &Value| is_watched(overview) && watched_by(overview, "daemon-0") == 0;
    away.left.push(fleet.until(1, "two have all", all).as_secs_f64());
    let status = fleet.daemon(0).wait();
    assert!(status.success(), "{status}:\n{}", fleet.daemon(0).log());
    seconds(15);

    let cameras: Vec<String> = (0..CAMERAS).map(|index| format!("cam-{index:02}")).collect();
    let mut remove = vec!["remove"];
    remove.extend(cameras.iter().map(String::as_str));
    assert!(fleet.command(&remove).status.success());
    fleet.until(1, "nothing is left", |overview| overview["streams"].as_array().is_some_and(Vec::is_empty));
    // The last records are committed.
    seconds(8);
    for index in 1..3 {
        let status = fleet.daemon(index).terminate();
        assert!(status.success(), "{status}:\n{}", fleet.daemon(index).log());
    }

    let (events, coverage) = (fleet.published("events"), fleet.published("coverage"));
    check_once(&events);
    check_once(&coverage);
    let (mut longest, mut lost, mut whole, mut watched) = (0.0_f64, 0.0, 0.0, 0.0);
    let passing = (0..rounds).map(|round| format!("new-{round}"));
    for id in cameras.iter().cloned().chain(passing) {
        check_lives(&events, &id);
        let (end, seen) = check_coverage(&coverage, &id);
        assert!(end > 10.0, "{id} was known for {end} s\n{}", fleet.logs());
        let is_told = seen > 0.0 && events.iter().any(|event| event.key == id);
        // A busy machine may not come to a stream that is there for half a minute.
        assert!(is_told || !cameras.contains(&id), "{id}: {seen} of {end} s\n{}", fleet.logs());
        let (most, sum) = without_owner(&coverage, &id);
        (longest, lost, whole, watched) = (longest.max(most), lost + sum, whole + end, watched + seen);
    }
    println!(
        "{rounds} rounds, {} event and {} coverage records, none twice; {whole:.0} s of cameras, {watched:.0} s watched, \
         {lost:.0} s without a daemon, {longest:.1} s at a time at most",
        events.len(),
        coverage.len()
    );
    for (what, times) in
        [("killed", &away.killed), ("paused", &away.paused), ("cut", &away.cut), ("left", &away.left)]
    {
        let most = times.iter().copied().fold(0.0, f64::max);
        println!(
            "{what}: all streams watched by others after {:.1} s (median), {most:.1} s (longest)",
            median(times)
        );
    }
    assert!(lost < whole / 4.0, "{lost} of {whole} s\n{}", fleet.logs());
    assert!(!fleet.logs().contains("panicked"), "{}", fleet.logs());
}

/// The protocol in which the brokers decide: streams move to one that comes, and back when it leaves.
#[test]
fn brokers_that_decide_who_watches_what_are_obeyed() {
    let mut fleet = Fleet::new(1, 2, "decided");
    fleet.more = "protocol = \"consumer\"\n".to_owned();
    fleet.start(0);
    fleet.apply(&cameras(4));
    fleet.until(0, "one has all", |overview| watched_by(overview, "daemon-0") == 4);
    fleet.start(1);
    let all = |overview: &Value| in_state(overview, "watching") == 4;
    let both = |overview: &Value| (0..2).all(|index| watched_by(overview, &format!("daemon-{index}")) > 0);
    fleet.until(0, "two share them", |overview| all(overview) && both(overview));
    // How long a window takes depends on what else the machine does.
    let streams = ["cam-00", "cam-01", "cam-02", "cam-03"];
    fleet.until_watched(&streams, 0.0);
    let status = fleet.daemon(0).terminate();
    assert!(status.success(), "{status}:\n{}", fleet.daemon(0).log());
    fleet.until(1, "the other has all", |overview| all(overview) && watched_by(overview, "daemon-1") == 4);
    fleet.until_watched(&streams, 20.0);
    let status = fleet.daemon(1).terminate();
    assert!(status.success(), "{status}:\n{}", fleet.daemon(1).log());
    let (events, coverage) = (fleet.published("events"), fleet.published("coverage"));
    check_once(&events);
    check_once(&coverage);
    for id in streams {
        let (end, watched) = check_coverage(&coverage, id);
        assert!(watched > 20.0, "{id}: {watched} of {end} s\n{}", fleet.logs());
    }
}

#[test]
fn what_is_wrong_with_a_fleet_is_said_with_what_mends_it() {
    let mut fleet = Fleet::new(1, 1, "wrong");
    let brokers = fleet.cluster.brokers();
    fleet.start(0);
    fleet.until(0, "it is alone", |overview| overview["unassigned"].as_array().is_some_and(Vec::is_empty));

    // Settings that nobody can use are told, and harm nobody.
    let produce = |key: &str, value: &str| {
        let mut kcat = std::process::Command::new("kcat")
            .args(["-P", "-b", &brokers, "-t", "avicuna.streams", "-k", key])
            .stdin(std::process::Stdio::piped())
            .spawn()
            .expect("kcat runs");
        std::io::Write::write_all(kcat.stdin.as_mut().expect("a pipe"), value.as_bytes())
            .expect("it is read");
        assert!(kcat.wait().expect("it ends").success());
    };
    produce("broken", "{ this is no JSON");
    produce("door", r#"{"id":"gate","uri":"test://"}"#);
    fleet.apply(&cameras(1));
    let overview = |fleet: &mut Fleet| {
        fleet.until(0, "one is watched", |overview| in_state(overview, "watching") == 1);
        fleet.call(0, "GET", "/v1/fleet", None).1
    };
    let told = overview(&mut fleet);
    assert_eq!(in_state(&told, "invalid"), 2, "{told}");
    let reason = |id: &str| {
        let streams = told["streams"].as_array().expect("streams");
        streams.iter().find(|stream| stream["id"] == id).expect("it is there")["reason"].to_string()
    };
    assert!(reason("door").contains("the key is"), "{}", reason("door"));
    let status = fleet.daemon(0).terminate();
    assert!(status.success(), "{status}");

    // A topic that somebody made, and that forgets; and one that the brokers do not have.
    let status = |more: &str| {
        let folder = tempfile::tempdir().expect("a folder");
        let text = format!("[sink.kafka]\nbrokers = {brokers:?}\n[fleet]\ngroup = \"other\"\n{more}");
        let file = folder.path().join("fleet.toml");
        std::fs::write(&file, text).expect("writes");
        let mut command = support::avicuna();
        let output = command.args(["fleet", "status", "--config"]).arg(&file).output().expect("it runs");
        (output.status.success(), String::from_utf8(output.stderr).expect("UTF-8"))
    };
    let mut kcat = std::process::Command::new("kcat");
    kcat.args(["-P", "-b", &brokers, "-t", "forgets", "-k", "key", "-l", "/etc/hostname"]);
    assert!(kcat.status().expect("kcat runs").success());
    let (good, said) = status("topics.streams = \"forgets\"\n");
    assert!(!good && said.contains("cleanup.policy=delete") && said.contains("--add-config"), "{said}");
    let (good, said) = status("partitions = 4\ntopics.streams = \"four\"\n");
    assert!(!good && said.contains("--alter --topic avicuna.state"), "{said}");
}

#[test]
fn a_configuration_that_no_fleet_can_have_is_refused() {
    let refused = |text: &str| {
        let folder = tempfile::tempdir().expect("a folder");
        let file = folder.path().join("avicuna.toml");
        std::fs::write(&file, text).expect("writes");
        let output = support::avicuna().args(["config", "check"]).arg(&file).output().expect("it runs");
        assert_eq!(output.status.code(), Some(2), "{text}");
        String::from_utf8(output.stderr).expect("UTF-8")
    };
    let fleet = "model.path = \"assets/models/avicuna-small\"\nfleet.group = \"a\"\n";
    let with = |more: &str| refused(&format!("{fleet}{more}"));
    assert!(with("sink.kind = \"jsonl\"\nsink.jsonl.path = \"-\"\n").contains("sink.kind = \"kafka\""));
    assert!(with("[[stream]]\nid = \"a\"\nuri = \"test://\"\n").contains("avicuna fleet apply"));
    assert!(with("fleet.topics.state = \"avicuna.events\"\n").contains("another topic already"));
    assert!(with("fleet.session_timeout = \"1s\"\n").contains("from 2s to 5m"));
}
