//! Daemons that share their streams over a cluster of brokers.

use std::time::{Duration, Instant};

use serde_json::Value;
use tempfile::TempDir;

use super::kafka::Port;
use super::kafka::cluster::Cluster;
use super::{Daemon, HANG, Published, avicuna, check_coverage, consume};

/// Whose way to the brokers can be cut.
pub const FAR: usize = 2;

/// A cluster, and daemons of one fleet.
pub struct Fleet {
    pub cluster: Cluster,
    group: String,
    /// More of `[fleet]`.
    pub more: String,
    members: Vec<Member>,
}

/// One daemon, or its place.
struct Member {
    folder: TempDir,
    port: Port,
    daemon: Option<Daemon>,
}

impl Fleet {
    /// Brokers, and places for daemons; none of these runs yet.
    pub fn new(brokers: usize, daemons: usize, group: &str) -> Self {
        let place =
            |_| Member { folder: tempfile::tempdir().expect("a folder"), port: Port::free(), daemon: None };
        let members = (0..daemons).map(place).collect();
        let (group, more) = (group.to_owned(), String::new());
        Self { cluster: Cluster::start(brokers), group, more, members }
    }

    fn text(&self, index: usize) -> String {
        let Member { folder, port, .. } = &self.members[index];
        let brokers = if index == FAR { self.cluster.far_brokers() } else { self.cluster.brokers() };
        format!(
            "model.path = \"assets/models/avicuna-small\"\nmodel.threads = 1\n\
             outbox.path = {:?}\ncontrol.listen = {:?}\ncontrol.allow.schemes = [\"test\"]\n\
             [sink.kafka]\nbrokers = {:?}\n\
             [fleet]\ngroup = {:?}\nmember = \"daemon-{index}\"\npartitions = 12\nsession_timeout = \"6s\"\nhand_over = \"4s\"\n{}",
            folder.path().join("outbox.redb"),
            port.address(),
            brokers,
            self.group,
            self.more,
        )
    }

    /// Starts a daemon, or starts it again.
    pub fn start(&mut self, index: usize) {
        let text = self.text(index);
        let member = &mut self.members[index];
        member.daemon = Some(Daemon::start(&member.folder, &text));
    }

    /// One that runs.
    pub fn daemon(&mut self, index: usize) -> &mut Daemon {
        self.members[index].daemon.as_mut().expect("it runs")
    }

    /// As a power cut would.
    pub fn kill(&mut self, index: usize) {
        self.daemon(index).kill();
    }

    /// What a call of `avicuna fleet` says, with the configuration of the first daemon.
    pub fn command(&self, arguments: &[&str]) -> std::process::Output {
        let config = self.members[0].folder.path().join("fleet.toml");
        std::fs::write(&config, self.text(0)).expect("writes");
        avicuna().arg("fleet").args(arguments).arg("--config").arg(config).output().expect("it runs")
    }

    /// Puts streams into the fleet.
    pub fn apply(&self, streams: &str) -> String {
        let file = self.members[0].folder.path().join("streams.toml");
        std::fs::write(&file, streams).expect("writes");
        let output = self.command(&["apply", file.to_str().expect("UTF-8")]);
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.success(), "{said}");
        String::from_utf8(output.stdout).expect("UTF-8")
    }

    /// What the interface of one answers, and its status.
    pub fn call(&self, index: usize, method: &str, path: &str, body: Option<&Value>) -> (u16, Value) {
        let url = format!("http://{}{path}", self.members[index].port.address());
        let mut curl = std::process::Command::new("curl");
        curl.args(["-s", "--max-time", "20", "-X", method, "-w", "\n%{http_code}", &url]);
        if let Some(body) = body {
            curl.args(["-H", "content-type: application/json", "-d", &body.to_string()]);
        }
        let output = curl.output().expect("curl runs");
        let text = String::from_utf8(output.stdout).expect("UTF-8");
        let (body, status) = text.rsplit_once('\n').expect("a status");
        (status.parse().expect("a number"), serde_json::from_str(body).unwrap_or(Value::Null))
    }

    /// Waits until the fleet, as one daemon sees it, is as wanted.
    pub fn until(&mut self, index: usize, what: &str, wanted: impl Fn(&Value) -> bool) -> Duration {
        let began = Instant::now();
        loop {
            let (status, overview) = self.call(index, "GET", "/v1/fleet", None);
            if status == 200 && wanted(&overview) {
                return began.elapsed();
            }
            let log = self.members[index].daemon.as_ref().map(Daemon::log).unwrap_or_default();
            assert!(began.elapsed() < HANG, "{what}: {status} {overview}\n{log}");
            std::thread::sleep(Duration::from_millis(300));
        }
    }

    /// What the daemons have published.
    pub fn published(&self, word: &str) -> Vec<Published> {
        consume(&self.cluster.brokers(), &format!("avicuna.{word}"))
    }

    /// Waits until more than so many seconds of each of these streams are told as watched.
    pub fn until_watched(&self, streams: &[&str], seconds: f64) {
        let began = Instant::now();
        loop {
            let coverage = self.published("coverage");
            if streams.iter().all(|stream| check_coverage(&coverage, stream).1 > seconds) {
                return;
            }
            assert!(began.elapsed() < HANG, "no {seconds} s of {streams:?} are watched:\n{}", self.logs());
            std::thread::sleep(Duration::from_secs(1));
        }
    }

    /// What all daemons have logged.
    pub fn logs(&self) -> String {
        let logs = self.members.iter().enumerate().filter_map(|(index, member)| {
            Some(format!("--- daemon {index}\n{}", member.daemon.as_ref()?.log()))
        });
        logs.collect()
    }
}

/// How many streams are in this state.
pub fn in_state(overview: &Value, state: &str) -> usize {
    let streams = overview["streams"].as_array();
    streams.map_or(0, |streams| streams.iter().filter(|stream| stream["state"] == state).count())
}

/// How many streams a daemon watches.
pub fn watched_by(overview: &Value, member: &str) -> usize {
    let streams = overview["streams"].as_array();
    streams.map_or(0, |streams| streams.iter().filter(|stream| stream["member"] == member).count())
}
