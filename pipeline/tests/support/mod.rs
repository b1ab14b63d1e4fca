//! A real Kafka broker for tests, kcat as an independent consumer, and messages to send.
#![allow(dead_code, reason = "each test binary uses its part")]

pub mod cluster;
pub mod link;
pub mod ports;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use avicuna_pipeline::outbox::{Accounting, Message, Outbox, OutboxConfig, Topic, WhenFull};
use avicuna_pipeline::sink::{Delivery, KafkaConfig, KafkaSink, Sink, Topics};
pub use ports::Port;
use tempfile::TempDir;
use tokio_util::sync::CancellationToken;

/// Longest wait for anything; a loaded machine is slow.
pub const PATIENCE: Duration = Duration::from_secs(50);

/// A broker of its own, or its place. Gone with the test process, however that ends.
pub struct Broker {
    dir: PathBuf,
    port: Port,
    controller_port: Port,
    /// Wipes the broker when its standard input closes.
    _guard: Child,
}

impl Broker {
    /// A free port and an empty folder; nothing runs yet.
    pub fn place() -> Self {
        let cache = avicuna_models::manifest::cache_dir().expect("a cache");
        assert!(cache.join("kafka").is_dir(), "no Kafka in {}: run `make setup`", cache.display());
        let dir = tempfile::Builder::new().prefix("avicuna-kafka-").tempdir().expect("a folder").keep();
        let guard = Command::new("sh")
            .arg("-c")
            .arg("read nothing; \"$0\" wipe --dir \"$1\"; rmdir \"$1\" 2>/dev/null")
            .args([script(), dir.clone()])
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("a shell");
        Self { dir, port: Port::free(), controller_port: Port::free(), _guard: guard }
    }

    /// Starts it, or starts it again with what it had.
    pub fn start(&self) {
        self.start_with(&[]);
    }

    /// Starts it with more lines in its configuration.
    pub fn start_with(&self, settings: &[String]) {
        self.start_in(None, settings);
    }

    /// Starts it as one of a cluster.
    fn start_in(&self, cluster: Option<&str>, settings: &[String]) {
        let [port, controller] = [&self.port, &self.controller_port].map(|port| port.number().to_string());
        let output = Command::new(script())
            .arg("start")
            .arg("--dir")
            .arg(&self.dir)
            .args(["--port", &port, "--controller-port", &controller])
            .args(cluster.iter().flat_map(|id| ["--cluster-id", id]))
            .args(settings.iter().flat_map(|setting| ["--set", setting]))
            .output()
            .expect("kafka.sh runs");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    }

    /// As a power cut would.
    pub fn kill(&self) {
        let pid = self.signal("KILL");
        // Nobody may be there to reap it; its port is free before.
        while is_alive(&pid) {
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    /// Sends it a signal; returns its process id.
    pub fn signal(&self, signal: &str) -> String {
        let pid = std::fs::read_to_string(self.dir.join("pid")).expect("it runs").trim().to_owned();
        assert!(Command::new("kill").args(["-s", signal, &pid]).status().expect("kill runs").success());
        pid
    }

    /// Its listeners beside one more, which gets `port`.
    pub fn listeners_with(&self, protocol: &str, port: &Port) -> [String; 2] {
        let plain = format!("PLAINTEXT://{}", self.port.address());
        let (more, controller) = (format!("{protocol}://{}", port.address()), self.controller_port.address());
        [
            format!("listeners={plain},{more},CONTROLLER://{controller}"),
            format!("advertised.listeners={plain},{more}"),
        ]
    }

    pub fn brokers(&self) -> String {
        self.port.address()
    }

    /// The one of this test binary.
    pub fn shared() -> &'static Self {
        static SHARED: OnceLock<Broker> = OnceLock::new();
        SHARED.get_or_init(|| {
            let broker = Self::place();
            broker.start();
            broker
        })
    }
}

/// Where Kafka's jars are, its clients among them.
pub fn libs() -> PathBuf {
    let kafka = avicuna_models::manifest::cache_dir().expect("a cache").join("kafka");
    let versions = std::fs::read_dir(&kafka).expect("`make setup` was run").flatten();
    let newest = versions.map(|version| version.path().join("libs")).filter(|libs| libs.is_dir()).max();
    newest.expect("`make setup` fetched Kafka")
}

fn is_alive(pid: &str) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    !(stat.is_empty() || stat.contains(") Z "))
}

fn script() -> PathBuf {
    // Tests of the whole program use this module too, from the root.
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let scripts = [root.join("scripts"), root.join("../scripts")];
    scripts
        .map(|scripts| scripts.join("kafka.sh"))
        .into_iter()
        .find(|path| path.is_file())
        .expect("kafka.sh is there")
}

/// Topics that no other test uses.
pub fn kafka(brokers: &str, test: &str) -> KafkaConfig {
    let named = |word: &str| format!("{test}.{word}");
    let topics = Topics { events: named("events"), coverage: named("coverage"), errors: named("errors") };
    KafkaConfig { brokers: brokers.to_owned(), topics, ..KafkaConfig::default() }
}

pub fn sink(config: &KafkaConfig) -> Sink {
    KafkaSink::new(config).expect("a valid configuration").into()
}

pub fn outbox_config(folder: &TempDir) -> OutboxConfig {
    let path = folder.path().join("outbox.redb");
    OutboxConfig { path, max_bytes: 64 << 20, when_full: WhenFull::Block }
}

/// The `index`th message of a stream.
pub fn message(topic: Topic, key: &str, index: usize) -> Message {
    Message {
        topic,
        key: key.to_owned(),
        ce_type: format!("avicuna.{}.v1", topic.word()),
        ce_id: format!("{key}#{index}"),
        ce_time: "2026-11-24T02:45:39.120Z".to_owned(),
        payload: format!("{{\"stream_id\":\"{key}\",\"revision\":{index}}}").into_bytes(),
        subject: None,
    }
}

/// `rounds` messages of each of `keys` streams, in turns.
pub fn interleaved(keys: usize, rounds: std::ops::Range<usize>) -> Vec<Message> {
    rounds
        .flat_map(|round| (0..keys).map(move |key| message(Topic::Events, &format!("cam-{key}"), round)))
        .collect()
}

pub async fn append(outbox: &Outbox, messages: Vec<Message>) {
    let outbox = outbox.clone();
    let appended = tokio::task::spawn_blocking(move || outbox.append(&messages)).await.expect("no panic");
    assert_eq!(appended.expect("appends").dropped, 0);
}

/// Delivers everything and ends.
pub async fn deliver_all(outbox: &Outbox, sink: impl Into<Sink>) -> Accounting {
    let delivery = Delivery::start(outbox.clone(), sink, |_, _| {}, CancellationToken::new());
    assert!(delivery.flush(PATIENCE).await, "{:?} {:?}", outbox.accounting(), delivery.state());
    delivery.stop().await;
    outbox.accounting()
}

/// Waits until `condition`, checking that the books are balanced all the while.
pub async fn until(outbox: &Outbox, what: &str, mut condition: impl FnMut() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !condition() {
        let accounting = outbox.accounting();
        assert!(accounting.balanced(), "{accounting:?}");
        assert!(Instant::now() < deadline, "{what}: not within {PATIENCE:?}, {accounting:?}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

/// A message as kcat saw it.
#[derive(Debug, Clone, PartialEq)]
pub struct Consumed {
    pub partition: i64,
    pub key: String,
    pub headers: BTreeMap<String, String>,
    pub payload: String,
}

impl Consumed {
    pub fn id(&self) -> &str {
        &self.headers["ce_id"]
    }
}

/// Everything in a topic, each partition from its beginning.
pub fn consume(brokers: &str, topic: &str) -> Vec<Consumed> {
    let args = ["-C", "-b", brokers, "-t", topic, "-o", "beginning", "-e", "-q", "-J"];
    let Output { status, stdout, stderr } =
        Command::new("kcat").args(args).output().expect("kcat is installed");
    assert!(status.success(), "kcat: {}", String::from_utf8_lossy(&stderr));
    let lines = String::from_utf8(stdout).expect("UTF-8");
    lines.lines().map(parse).collect()
}

fn parse(line: &str) -> Consumed {
    let read: serde_json::Value = serde_json::from_str(line).expect("kcat prints JSON");
    let text = |value: &serde_json::Value| value.as_str().expect("a string").to_owned();
    let headers: Vec<_> = read["headers"].as_array().expect("headers").iter().map(text).collect();
    Consumed {
        partition: read["partition"].as_i64().expect("a number"),
        key: text(&read["key"]),
        headers: headers.chunks(2).map(|pair| (pair[0].clone(), pair[1].clone())).collect(),
        payload: text(&read["payload"]),
    }
}

/// Checks that each stream's messages 0, 1, 2, ... are all there, in this order when repeated ids are left out, and
/// returns how many were repeated.
pub fn check_order(consumed: &[Consumed], keys: usize, rounds: usize) -> usize {
    let mut next: BTreeMap<&str, usize> = BTreeMap::new();
    let mut partitions: BTreeMap<&str, i64> = BTreeMap::new();
    let mut repeated = 0;
    for Consumed { key, partition, .. } in consumed {
        assert_eq!(
            partitions.entry(key).or_insert(*partition),
            partition,
            "{key} moved to another partition"
        );
    }
    for message in consumed {
        let index: usize =
            message.id().rsplit('#').next().and_then(|index| index.parse().ok()).expect("our id");
        let next = next.entry(&message.key).or_default();
        assert!(index <= *next, "{}: {} came before #{next}", message.key, message.id());
        if index == *next {
            *next += 1;
        } else {
            repeated += 1;
        }
    }
    assert_eq!(next.len(), keys);
    assert!(next.values().all(|count| *count == rounds), "lost some of {rounds}: {next:?}");
    repeated
}
