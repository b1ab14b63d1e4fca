//! A daemon whose interface is called.

use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tempfile::TempDir;

use super::{Daemon, HANG, config};

/// A daemon that listens.
pub struct Served {
    pub daemon: Daemon,
    pub folder: TempDir,
    pub address: String,
}

/// What a call gave.
#[derive(Debug)]
pub struct Reply {
    pub status: u16,
    pub body: String,
}

impl Reply {
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_else(|error| panic!("{error}: {}", self.body))
    }
}

/// Starts a daemon whose sink is `out.jsonl` in its folder; `rest` are further sections.
pub fn serve(rest: &str) -> Served {
    let folder = tempfile::tempdir().expect("a folder");
    start(folder, rest)
}

pub fn start(folder: TempDir, rest: &str) -> Served {
    start_with(folder, rest, &[])
}

/// With more in its environment.
pub fn start_with(folder: TempDir, rest: &str, environment: &[(&str, &str)]) -> Served {
    let output = folder.path().join("out.jsonl");
    let sink = format!("sink.kind = \"jsonl\"\nsink.jsonl.path = {output:?}\n");
    let model =
        if rest.contains("model.path") { "" } else { "model.path = \"assets/models/avicuna-small\"\n" };
    let head = format!("{model}daemon.exit_when_done = false\n{sink}");
    let text = config(&folder, &format!("{head}{rest}"))
        .replace("control.listen = \"off\"", "control.listen = \"127.0.0.1:0\"");
    let mut daemon = Daemon::start_with(&folder, &text, environment);
    let mut address = None;
    let log = folder.path().join("log");
    daemon.until("it listens", || {
        let log = std::fs::read_to_string(&log).unwrap_or_default();
        let told = log.lines().rfind(|line| line.contains("the interface, probes and metrics are served"));
        address =
            told.and_then(|line| line.split("address=").nth(1)).map(|address| address.trim().to_owned());
        address.is_some()
    });
    Served { daemon, folder, address: address.expect("it listens") }
}

impl Served {
    pub fn call(&self, method: &str, path: &str, body: Option<&Value>) -> Reply {
        self.call_as(None, method, path, body)
    }

    pub fn call_as(&self, token: Option<&str>, method: &str, path: &str, body: Option<&Value>) -> Reply {
        let url = format!("http://{}{path}", self.address);
        let mut curl = Command::new("curl");
        curl.args(["-sS", "--max-time", "60", "-X", method, "-w", "\n%{http_code}", &url]);
        if let Some(token) = token {
            curl.args(["-H", &format!("Authorization: Bearer {token}")]);
        }
        if let Some(body) = body {
            curl.args(["-H", "Content-Type: application/json", "--data-binary", &body.to_string()]);
        }
        let output = curl.output().expect("curl runs");
        assert!(output.status.success(), "{method} {path}: {}", String::from_utf8_lossy(&output.stderr));
        let text = String::from_utf8_lossy(&output.stdout);
        let (body, status) = text.rsplit_once('\n').expect("a status");
        Reply { status: status.parse().expect("a status"), body: body.to_owned() }
    }

    pub fn get(&self, path: &str) -> Value {
        let reply = self.call("GET", path, None);
        assert_eq!(reply.status, 200, "{path}: {}", reply.body);
        reply.json()
    }

    pub fn until(&mut self, what: &str, condition: impl Fn(&Self) -> bool) {
        let started = Instant::now();
        while !condition(self) {
            assert!(started.elapsed() < HANG, "{what}: not in time:\n{}", self.daemon.log());
            std::thread::sleep(Duration::from_millis(100));
        }
    }

    pub fn output(&self) -> std::path::PathBuf {
        self.folder.path().join("out.jsonl")
    }
}

/// A picture with sound that never ends, quick to look at.
pub fn stream(id: &str) -> Value {
    json!({"id": id, "uri": "test://?width=64&height=64&fps=5&wave=ticks", "hop": "5s", "window": "10s"})
}

/// Hears server-sent events.
pub struct Ear {
    curl: Child,
    lines: std::io::Lines<BufReader<std::process::ChildStdout>>,
}

impl Ear {
    pub fn new(served: &Served, query: &str, last: Option<&str>) -> Self {
        let mut curl = Command::new("curl");
        curl.args(["-sSN", &format!("http://{}/v1/events/stream{query}", served.address)])
            .stdout(Stdio::piped());
        if let Some(last) = last {
            curl.args(["-H", &format!("Last-Event-ID: {last}")]);
        }
        let mut curl = curl.spawn().expect("curl runs");
        let lines = BufReader::new(curl.stdout.take().expect("it is piped")).lines();
        Self { curl, lines }
    }

    /// The next event: its number, name and record.
    pub fn next(&mut self) -> (String, String, Value) {
        let (mut id, mut name) = (String::new(), String::new());
        loop {
            let line = self.lines.next().expect("it goes on").expect("it reads");
            if let Some(value) = line.strip_prefix("id: ") {
                value.clone_into(&mut id);
            } else if let Some(value) = line.strip_prefix("event: ") {
                value.clone_into(&mut name);
            } else if let Some(value) = line.strip_prefix("data: ")
                && name != "keepalive"
            {
                return (id, name, serde_json::from_str(value).expect("JSON"));
            }
        }
    }
}

impl Drop for Ear {
    fn drop(&mut self) {
        let _ended = self.curl.kill();
        let _status = self.curl.wait();
    }
}
