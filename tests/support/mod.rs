//! Runs the built program, and reads what it published.
#![allow(dead_code, reason = "each test binary uses its part")]

pub mod films;
pub mod fleet;
#[path = "../../pipeline/tests/support/mod.rs"]
pub mod kafka;
pub mod mosquitto;
pub mod receiver;
pub mod rtsp;
pub mod s3;
pub mod served;

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;
use tempfile::TempDir;

/// Only a hang waits so long.
pub const HANG: Duration = Duration::from_secs(600);

/// A file of this repository.
pub fn repository(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}

/// The program, without whatever configures it from outside.
pub fn avicuna() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_avicuna"));
    command.current_dir(env!("CARGO_MANIFEST_DIR")).env_remove("RUST_LOG");
    for (name, _) in std::env::vars().filter(|(name, _)| name.starts_with("AVICUNA__")) {
        command.env_remove(name);
    }
    command
}

/// The sections that tests do not care about: no control server, everything in `folder`.
pub fn config(folder: &TempDir, rest: &str) -> String {
    let path = folder.path().join("outbox.redb");
    format!("outbox.path = {path:?}\ncontrol.listen = \"off\"\n{rest}")
}

/// A running daemon; killed when dropped.
pub struct Daemon {
    child: Child,
    log: PathBuf,
}

impl Daemon {
    /// Starts it with a configuration.
    pub fn start(folder: &TempDir, text: &str) -> Self {
        Self::start_with(folder, text, &[])
    }

    /// Starts it with a configuration and more in its environment.
    pub fn start_with(folder: &TempDir, text: &str, environment: &[(&str, &str)]) -> Self {
        let (config, log) = (folder.path().join("avicuna.toml"), folder.path().join("log"));
        std::fs::write(&config, text).expect("writes");
        let stderr = File::options().create(true).append(true).open(&log).expect("a log");
        let child = avicuna()
            .args(["run", "--config"])
            .arg(&config)
            .envs(environment.iter().copied())
            .stdout(Stdio::null())
            .stderr(stderr)
            .spawn()
            .expect("it starts");
        Self { child, log }
    }

    /// Its process id.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// What it has logged.
    pub fn log(&self) -> String {
        std::fs::read_to_string(&self.log).expect("a log")
    }

    /// Waits until it has ended by itself.
    pub fn wait(&mut self) -> ExitStatus {
        let started = Instant::now();
        loop {
            if let Some(status) = self.child.try_wait().expect("it is our child") {
                return status;
            }
            assert!(started.elapsed() < HANG, "the daemon hangs:\n{}", self.log());
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    /// Waits until `condition`, while it runs.
    pub fn until(&mut self, what: &str, mut condition: impl FnMut() -> bool) {
        let started = Instant::now();
        while !condition() {
            let ended = self.child.try_wait().expect("it is our child");
            assert!(ended.is_none(), "{what}: it ended with {ended:?}:\n{}", self.log());
            assert!(started.elapsed() < HANG, "{what}: not in time:\n{}", self.log());
            std::thread::sleep(Duration::from_millis(200));
        }
    }

    /// Sends it a signal.
    pub fn signal(&self, name: &str) {
        let pid = self.child.id().to_string();
        assert!(Command::new("kill").args(["-s", name, &pid]).status().expect("kill runs").success());
    }

    /// Asks it to end, as an init system does.
    pub fn terminate(&mut self) -> ExitStatus {
        self.signal("TERM");
        self.wait()
    }

    /// Ends it as a power cut would.
    pub fn kill(&mut self) {
        self.signal("KILL");
        let _killed = self.wait();
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        let _ended_already = self.child.kill();
        let _status = self.child.wait();
    }
}

/// A published record, whatever the sink.
#[derive(Debug, Clone)]
pub struct Published {
    pub key: String,
    pub ce_type: String,
    pub ce_id: String,
    pub data: Value,
}

impl Published {
    fn number(&self, pointer: &str) -> f64 {
        self.data
            .pointer(pointer)
            .and_then(Value::as_f64)
            .unwrap_or_else(|| panic!("no {pointer}: {}", self.data))
    }

    pub fn text(&self, field: &str) -> &str {
        self.data[field].as_str().unwrap_or_else(|| panic!("no {field}: {}", self.data))
    }
}

/// Everything in a topic, by kcat.
pub fn consume(brokers: &str, topic: &str) -> Vec<Published> {
    let published = |message: kafka::Consumed| {
        assert_eq!(message.headers["ce_specversion"], "1.0");
        assert_eq!(message.headers["ce_subject"], message.key);
        Published {
            ce_type: message.headers["ce_type"].clone(),
            ce_id: message.headers["ce_id"].clone(),
            data: serde_json::from_str(&message.payload).expect("JSON"),
            key: message.key,
        }
    };
    kafka::consume(brokers, topic).into_iter().map(published).collect()
}

/// The records of one topic in a file of JSON lines; none while the file is not there.
pub fn lines(path: &Path, topic: &str) -> Vec<Published> {
    let text = std::fs::read_to_string(path).unwrap_or_default();
    let parsed = text.lines().map_while(|line| serde_json::from_str::<Value>(line).ok());
    let wanted = parsed.filter(|line| line["topic"] == topic);
    let word = |line: &Value, field: &str| line[field].as_str().expect("text").to_owned();
    let published = wanted.map(|line| Published {
        key: word(&line["data"], "stream_id"),
        ce_type: word(&line, "type"),
        ce_id: word(&line, "id"),
        data: line["data"].clone(),
    });
    published.collect()
}

/// Checks each record against the published schema, and its key.
pub fn check_schema(records: &[Published], schema: &str) {
    let text = std::fs::read_to_string(repository("config/schemas").join(schema)).expect("a schema");
    let schema: Value = serde_json::from_str(&text).expect("JSON");
    let validator = jsonschema::validator_for(&schema).expect("a valid schema");
    for record in records {
        let errors: Vec<String> =
            validator.iter_errors(&record.data).map(|error| error.to_string()).collect();
        assert!(errors.is_empty(), "{errors:?}: {}", record.data);
        assert_eq!(record.key, record.text("stream_id"));
    }
}

/// Checks that the coverage of a stream begins at 0 and has no hole and no overlap; returns where it ends, and how much
/// of it was watched.
pub fn check_coverage(records: &[Published], stream: &str) -> (f64, f64) {
    check_schema(records, "coverage.v1.schema.json");
    let (mut at, mut watched) = (0.0, 0.0);
    for record in records.iter().filter(|record| record.key == stream) {
        let (start, end) = (record.number("/start/stream"), record.number("/end/stream"));
        assert!((start - at).abs() < 1e-6 && end > start, "{stream}: {start}..{end} after {at}");
        if record.data["watched"] == true {
            watched += end - start;
        } else {
            assert!(record.data["reason"].is_string(), "why not? {}", record.data);
        }
        at = end;
    }
    (at, watched)
}

/// What a consumer keeps of records that may have come more than once: of those with one `ce_id`, which must be equal, the first.
pub fn without_repeats(records: Vec<Published>) -> Vec<Published> {
    let mut known: BTreeMap<(String, String), Value> = BTreeMap::new();
    let mut kept = Vec::new();
    for record in records {
        match known.entry((record.key.clone(), record.ce_id.clone())) {
            Entry::Occupied(first) => assert_eq!(first.get(), &record.data, "{}", record.ce_id),
            Entry::Vacant(new) => {
                new.insert(record.data.clone());
                kept.push(record);
            }
        }
    }
    kept
}

/// Checks the lives of a stream's events: started once, revisions that rise by one, ended once.
pub fn check_lives(records: &[Published], stream: &str) {
    check_schema(records, "event.v1.schema.json");
    let mut lives: BTreeMap<&str, Vec<&Published>> = BTreeMap::new();
    for record in records.iter().filter(|record| record.key == stream) {
        assert_eq!(record.ce_id, format!("{}/{}", record.text("event_id"), record.data["revision"]));
        lives.entry(record.text("event_id")).or_default().push(record);
    }
    for (id, life) in lives {
        let phases: Vec<&str> = life.iter().map(|record| record.text("phase")).collect();
        let middle = &phases[1..phases.len().max(2) - 1];
        assert!(phases.len() >= 2, "{id} was only {phases:?}");
        assert_eq!((phases[0], phases[phases.len() - 1]), ("started", "ended"), "{id}: {phases:?}");
        assert!(middle.iter().all(|phase| *phase == "updated"), "{id}: {phases:?}");
        for (revision, record) in life.iter().enumerate() {
            assert_eq!(record.data["revision"], revision, "{id}");
        }
    }
}

/// The children of the daemon with this process id, all of which are sources.
pub fn sources(pid: u32) -> Vec<u32> {
    let tasks = std::fs::read_dir(format!("/proc/{pid}/task")).into_iter().flatten().flatten();
    let children = tasks.filter_map(|task| std::fs::read_to_string(task.path().join("children")).ok());
    let pids = children.flat_map(|pids| pids.split_whitespace().map(str::to_owned).collect::<Vec<_>>());
    pids.filter_map(|pid| pid.parse().ok()).collect()
}
