//! What the dashboard and the alert rules ask Prometheus for is what a running daemon tells.

mod support;

use std::collections::BTreeSet;

use serde_json::Value;
use support::repository;
use support::served::{Served, serve};

/// What has no series before a source has lost something.
const ONLY_IN_TROUBLE: [&str; 1] = ["avicuna_source_losses_total"];
/// Of what the outbox has given up, once it has.
const REASON: &str = "reason";

/// Names and labels of the series that a text in the OpenMetrics format gives.
#[derive(Debug, Default)]
struct Told {
    names: BTreeSet<String>,
    labels: BTreeSet<String>,
}

impl Told {
    fn of(text: &str) -> Self {
        let mut told = Self::default();
        for line in text.lines() {
            // Of the outbox's losses there is a declaration before there is a series.
            if let Some((name, kind)) = line.strip_prefix("# TYPE ").and_then(|rest| rest.split_once(' ')) {
                let endings: &[&str] = match kind {
                    "counter" => &["_total"],
                    "histogram" => &["_bucket", "_sum", "_count"],
                    _ => &[""],
                };
                told.names.extend(endings.iter().map(|ending| format!("{name}{ending}")));
            } else if let Some((_, rest)) = line.split_once('{') {
                let parts = rest.split('"').step_by(2);
                let labels = parts.filter_map(|part| part.trim_matches([',', '{']).strip_suffix('='));
                told.labels.extend(labels.map(str::to_owned));
            }
        }
        told
    }
}

/// A daemon of which everything is told that can be: a stream that is watched and one that is away, clips, and who is told.
fn told() -> Told {
    let scene = repository("assets/demo/scene.mp4");
    let store = tempfile::tempdir().expect("a folder");
    let mut served = serve(&format!(
        "[clips]\nstore = {:?}\n[[webhook]]\nname = \"nobody\"\nurl = \"http://127.0.0.1:9/\"\nsend = [\"events\"]\n\
         [[stream]]\nid = \"scene\"\nuri = {scene:?}\n[[stream]]\nid = \"away\"\nuri = \"rtsp://127.0.0.1:9/\"\n",
        store.path()
    ));
    let metrics = |served: &Served| served.call("GET", "/metrics", None).body;
    served.until("events are told, with clips, and errors", |served| {
        let text = metrics(served);
        let begins = [
            "avicuna_onset_to_publish_seconds_bucket{",
            "avicuna_event_clips_total{",
            "avicuna_errors_total{",
            "avicuna_stream_lag_seconds{",
        ];
        begins.iter().all(|begin| text.lines().any(|line| line.starts_with(begin)))
    });
    Told::of(&metrics(&served))
}

/// The queries of the dashboard and the expressions of the rules.
fn queries() -> Vec<String> {
    let read = |path| std::fs::read_to_string(repository(path)).expect("UTF-8");
    let dashboard: Value = serde_json::from_str(&read("config/grafana/avicuna.json")).expect("JSON");
    let panels = dashboard["panels"].as_array().expect("panels").iter();
    let targets = panels.flat_map(|panel| panel["targets"].as_array().cloned().unwrap_or_default());
    let text = |value: &Value| value.as_str().expect("a query").to_owned();
    let mut queries: Vec<String> = targets.map(|target| text(&target["expr"])).collect();
    let variables = dashboard["templating"]["list"].as_array().expect("variables").iter();
    queries.extend(variables.filter_map(|variable| variable["definition"].as_str()).map(str::to_owned));
    // All but expressions names no metric.
    queries.push(read("config/prometheus/alerts.yml"));
    queries
}

fn words(text: &str) -> impl Iterator<Item = &str> {
    text.split(|c: char| !(c.is_ascii_alphanumeric() || c == '_'))
}

#[test]
fn every_metric_and_label_is_one_that_a_daemon_tells() {
    let told = told();
    let of_prometheus = ["job", "instance", "le"];
    let (mut metrics, mut labels) = (BTreeSet::new(), BTreeSet::new());
    for query in queries() {
        let named = words(&query).filter(|word| word.starts_with("avicuna_") || word.starts_with("process_"));
        metrics.extend(named.map(str::to_owned));
        for (at, _) in query.match_indices('=') {
            let before = query[..at].trim_end_matches(['!', '=', ' ']);
            let is_matcher = query[at..].trim_start_matches(['=', '~']).starts_with('"');
            labels.extend(before.rsplit(['{', ',', ' ']).next().filter(|_| is_matcher).map(str::to_owned));
        }
        for grouped in [" by (", " on ("].into_iter().flat_map(|begins| query.split(begins).skip(1)) {
            let list = grouped.split(')').next().unwrap_or_default();
            labels.extend(list.split(',').map(|label| label.trim().to_owned()));
        }
    }
    assert!(metrics.len() >= 25 && labels.len() >= 8, "only {metrics:?} and {labels:?} were found");
    // Descriptions name a histogram as a whole.
    let is_told = |name: &str| told.names.contains(name) || told.names.contains(&format!("{name}_bucket"));
    let unknown: Vec<&String> =
        metrics.iter().filter(|name| !is_told(name) && !ONLY_IN_TROUBLE.contains(&name.as_str())).collect();
    assert!(unknown.is_empty(), "no daemon tells {unknown:?}, only {:?}", told.names);
    let known = |label: &&String| {
        told.labels.contains(*label) || of_prometheus.contains(&label.as_str()) || *label == REASON
    };
    let unknown: Vec<&String> = labels.iter().filter(|label| !known(label)).collect();
    assert!(unknown.is_empty(), "no daemon tells the labels {unknown:?}, only {:?}", told.labels);
    // And what it tells of itself is on the dashboard.
    let dashboard = queries().join("\n");
    let has = |name: &String| {
        let family = ["_total", "_bucket", "_sum", "_count"].iter().find_map(|end| name.strip_suffix(end));
        dashboard.contains(family.unwrap_or(name))
    };
    let missing: Vec<&String> = told.names.iter().filter(|name| !has(name)).collect();
    assert!(missing.is_empty(), "{missing:?} are on no panel");
}
