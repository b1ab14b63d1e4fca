//! The configurations that packages, the image and the chart bring are good, as they are.

mod support;

use avicuna_pipeline::config::{Config, Loaded, SinkKind};
use support::repository;

fn read(path: &str) -> String {
    std::fs::read_to_string(repository(path)).expect("UTF-8")
}

fn parse(text: &str, name: &str, variables: &[(String, String)]) -> Loaded {
    Config::parse(text, name, variables.iter().cloned()).unwrap_or_else(|error| panic!("{error}"))
}

/// The variables that a file of YAML sets for the daemon, each on a line of its own.
fn variables(yaml: &str) -> Vec<(String, String)> {
    let lines = yaml.lines().filter_map(|line| line.trim().split_once(": "));
    let own = lines.filter(|(name, _)| name.starts_with("AVICUNA__"));
    own.map(|(name, value)| (name.to_owned(), value.to_owned())).collect()
}

#[test]
fn the_service_waits_for_streams_where_others_cannot_reach_it() {
    let config = parse(&read("deploy/deb/avicuna.toml"), "deploy/deb/avicuna.toml", &[]).config;
    assert!(config.stream.is_empty() && !config.daemon.exit_when_done);
    assert!(config.control.is_private());
    let unit = read("deploy/deb/debian/avicuna.service");
    let seconds = config.daemon.grace.as_secs() + config.daemon.flush.as_secs() + 10;
    assert!(
        unit.contains(&format!("TimeoutStopSec={seconds}s\n")),
        "the daemon may take {seconds} s to stop"
    );
}

#[test]
fn the_container_watches_what_its_environment_names() {
    let (text, compose) = (read("deploy/container/avicuna.toml"), read("deploy/compose.yaml"));
    let alone = parse(&text, "deploy/container/avicuna.toml", &[]).config;
    assert!(alone.control.token_file.is_some() && alone.stream.is_empty());
    let variables = variables(&compose);
    let composed = parse(&text, "deploy/container/avicuna.toml", &variables).config;
    assert_eq!((composed.stream.len(), composed.sink.kind), (1, SinkKind::Kafka), "of {variables:?}");
    assert!(
        composed.stream[0].uri.ends_with("/scene")
            && read("deploy/compose/mediamtx.yml").contains("\n  scene:\n")
    );
}

#[test]
fn the_chart_s_configuration_is_good() {
    let made = read("deploy/helm/golden/default.yaml");
    let block = made.split_once("avicuna.toml: |\n").expect("the configuration").1;
    let lines = block.lines().take_while(|line| line.is_empty() || line.starts_with("    "));
    let text: String = lines.flat_map(|line| [line.trim(), "\n"]).collect();
    let config = parse(&text, "deploy/helm/golden/default.yaml", &[]).config;
    assert_eq!(config.control.listen, "0.0.0.0:9464", "{text}");
    assert!(made.contains("containerPort: 9464") && made.contains("mountPath: /run/secrets/avicuna"));
}

/// What lintian complains of, which is not run with every change: lines of a description that a terminal breaks.
#[test]
fn descriptions_of_packages_fit_a_terminal() {
    let control = read("deploy/deb/debian/control");
    let texts = control.split("\n\n").filter_map(|package| package.split_once("\nDescription:"));
    let described = texts.flat_map(|(_, text)| text.lines());
    let long: Vec<&str> = described.clone().filter(|line| line.chars().count() > 80).collect();
    assert!(described.count() > 10 && long.is_empty(), "{long:?}");
}
