//! One trial: a daemon that watches a source so many times over for a while.

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use avicuna_models::manifest::Manifest;
use avicuna_pipeline::timeline::UtcTime;
use avicuna_pipeline::window::WindowSpec;
use rustix::process::{Pid, Signal, kill_process};
use serde::{Deserialize, Serialize};

use super::load::{self, Load};

/// Loading the model, and the first window of each stream.
const BEGIN: Duration = Duration::from_secs(180);
/// How long a daemon may take to leave.
const LEAVE: Duration = Duration::from_secs(20);

/// What is the same in all trials.
pub(super) struct Rules {
    pub source: String,
    pub model: PathBuf,
    pub queries: Vec<String>,
    pub window: Option<Duration>,
    pub hop: Option<Duration>,
    /// How long it is measured.
    pub measure: Duration,
    /// What may lie between the end of a window and its records.
    pub late: Duration,
}

/// How it went.
#[derive(Debug, Clone, Serialize)]
pub(super) struct Trial {
    pub streams: usize,
    /// All windows were answered, and 99 of 100 in time.
    pub holds: bool,
    /// Seconds from a window's end to when its records were published: of half of them, of 95 in 100, of 99 in 100.
    pub delays: [f64; 3],
    /// Windows that were answered, and that were not.
    pub answered: u64,
    pub shed: u64,
    /// Processor seconds a second: of the daemon with the processes of its sources, and of these.
    pub cores: f64,
    pub source_cores: f64,
    /// Memory at the end: of the daemon, and of the processes of its sources.
    pub mebibytes: u64,
    pub source_mebibytes: u64,
    /// Seconds a second that were spent inside calls of the encoders and of the LLM.
    pub encoding: f64,
    pub answering: f64,
}

/// A record on the daemon's standard output.
#[derive(Deserialize)]
struct Line {
    #[serde(rename = "type")]
    kind: String,
    data: serde_json::Value,
}

#[derive(Deserialize)]
struct Coverage {
    end: At,
}

#[derive(Deserialize)]
struct At {
    utc: String,
}

/// A window's records were published.
struct Told {
    at: Instant,
    /// Seconds since what no other window tells of was over, a hop after the window's start.
    since: f64,
}

/// A daemon that is ended with this.
struct Daemon {
    child: Child,
    told: Arc<Mutex<Vec<Told>>>,
    metrics: String,
    _folder: tempfile::TempDir,
}

/// Watches the source `streams` times with `program`.
pub(super) fn run_trial(program: &Path, rules: &Rules, streams: usize) -> anyhow::Result<Trial> {
    let manifest = Manifest::load(&rules.model)?;
    let spec = WindowSpec::of(&manifest, rules.window, rules.hop, Duration::ZERO).validated()?;
    let mut daemon = Daemon::start(program, rules, streams)?;
    daemon.settle(streams)?;
    let (begun, before) = (Instant::now(), daemon.measured()?);
    std::thread::sleep(rules.measure);
    let (took, after) = (begun.elapsed().as_secs_f64(), daemon.measured()?);
    let rest = (spec.length - spec.hop).as_secs_f64();
    let mut delays: Vec<f64> = {
        let told = daemon.told.lock().unwrap_or_else(PoisonError::into_inner);
        told.iter().filter(|told| told.at >= begun).map(|told| told.since - rest).collect()
    };
    delays.sort_by(f64::total_cmp);
    let of = |share: f64| {
        let rank = (share * delays.len() as f64).ceil() as usize;
        delays.get(rank.saturating_sub(1)).copied().unwrap_or(f64::INFINITY)
    };
    let delays = [of(0.5), of(0.95), of(0.99)];
    let (answered, shed) = (after.answered - before.answered, after.shed - before.shed);
    let source_cores = (after.sources.seconds - before.sources.seconds) / took;
    // A window that waits at the end was not shed yet.
    let due = streams as f64 * (took / spec.hop.as_secs_f64() - 1.0).floor();
    Ok(Trial {
        streams,
        holds: shed == 0.0 && answered >= due && delays[2] <= rules.late.as_secs_f64(),
        delays,
        answered: answered as u64,
        shed: shed as u64,
        cores: (after.daemon.seconds - before.daemon.seconds) / took + source_cores,
        source_cores,
        mebibytes: after.daemon.bytes >> 20,
        source_mebibytes: after.sources.bytes >> 20,
        encoding: (after.encoding - before.encoding) / took,
        answering: (after.answering - before.answering) / took,
    })
}

/// What of the configuration is not as usual: another version of the program may not know every key that this one does.
fn settings(rules: &Rules, streams: usize, folder: &Path, listen: &str) -> Result<String, toml::ser::Error> {
    // A film has no clock of its own: it is played at its own speed.
    let is_film = !rules.source.contains("://") || rules.source.starts_with("file://");
    let is_made = rules.source.starts_with("test://");
    let stream = |index: usize| {
        let mut stream = toml::toml! { detect = true };
        let mut set = |key: &str, value: toml::Value| stream.insert(key.to_owned(), value);
        set("id", format!("stream-{index}").into());
        set("uri", rules.source.clone().into());
        set("queries", rules.queries.clone().into());
        for (key, span) in [("window", rules.window), ("hop", rules.hop)] {
            if let Some(span) = span {
                set(key, format!("{}ns", span.as_nanos()).into());
            }
        }
        if is_film {
            set("loop", true.into());
            set("realtime", true.into());
        }
        if is_made {
            set("live", true.into());
        }
        toml::Value::Table(stream)
    };
    let path = |path: &Path| toml::Value::String(path.display().to_string());
    let mut settings = toml::toml! {
        [model]
        [outbox]
        [control]
        [sink]
        kind = "jsonl"
        [sink.jsonl]
        path = "-"
        [log]
        level = "warn"
    };
    let values = [
        ("model", "path", path(&rules.model)),
        ("outbox", "path", path(&folder.join("outbox.redb"))),
        ("control", "listen", listen.into()),
    ];
    for (section, key, value) in values {
        if let Some(section) = settings.get_mut(section).and_then(toml::Value::as_table_mut) {
            section.insert(key.to_owned(), value);
        }
    }
    settings.insert("stream".to_owned(), toml::Value::Array((0..streams).map(stream).collect()));
    toml::to_string(&settings)
}

impl Daemon {
    fn start(program: &Path, rules: &Rules, streams: usize) -> anyhow::Result<Self> {
        let folder = tempfile::Builder::new().prefix("avicuna-bench-").tempdir()?;
        let port = std::net::TcpListener::bind("127.0.0.1:0")?.local_addr()?.port();
        let file = folder.path().join("avicuna.toml");
        std::fs::write(&file, settings(rules, streams, folder.path(), &format!("127.0.0.1:{port}"))?)?;
        let mut child = Command::new(program)
            .args(["run", "--config"])
            .arg(&file)
            .stdout(Stdio::piped())
            .spawn()
            .context("it does not start")?;
        let told: Arc<Mutex<Vec<Told>>> = Arc::default();
        let (into, output) = (Arc::clone(&told), child.stdout.take().context("it has no output")?);
        std::thread::spawn(move || listen(BufReader::new(output), &into));
        Ok(Self { child, told, metrics: format!("http://127.0.0.1:{port}/metrics"), _folder: folder })
    }

    /// Waits until a window of each stream was answered.
    fn settle(&mut self, streams: usize) -> anyhow::Result<()> {
        let begun = Instant::now();
        loop {
            if let Some(status) = self.child.try_wait()? {
                bail!("it ended with {status}; its log says why");
            }
            let begins = "avicuna_windows_total";
            let answered = |line: &&str| line.contains("outcome=\"answered\"") && !line.ends_with(" 0");
            // Nobody listens before the model is loaded.
            let text = scrape(&self.metrics).unwrap_or_default();
            let begun_to = text.lines().filter(|line| line.starts_with(begins)).filter(answered).count();
            if begun_to >= streams {
                return Ok(());
            }
            if begun.elapsed() > BEGIN {
                bail!("after {} s a window was answered of {begun_to} of them only", BEGIN.as_secs());
            }
            std::thread::sleep(Duration::from_millis(200));
        }
    }

    fn measured(&self) -> anyhow::Result<Measured> {
        let text = scrape(&self.metrics).context("the daemon does not say what it did")?;
        let (daemon, sources) = load::of(self.child.id()).context("the system does not say what it took")?;
        let sum = |begins: &str, has: &str| {
            let lines = text.lines().filter(|line| line.starts_with(begins) && line.contains(has));
            lines.filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok()).sum()
        };
        Ok(Measured {
            daemon,
            sources,
            answered: sum("avicuna_windows_total", "outcome=\"answered\""),
            shed: sum("avicuna_windows_total", "outcome=\"shed\""),
            encoding: sum("avicuna_stage_seconds_sum", "stage=\"encode\""),
            answering: sum("avicuna_stage_seconds_sum", "stage=\"llm\""),
        })
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        let pid = i32::try_from(self.child.id()).ok().and_then(Pid::from_raw);
        let asked = pid.is_some_and(|pid| kill_process(pid, Signal::TERM).is_ok());
        let deadline = Instant::now() + LEAVE;
        while asked && Instant::now() < deadline {
            if matches!(self.child.try_wait(), Ok(Some(_))) {
                return;
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        // It is gone already, or goes now.
        let _gone = self.child.kill().and_then(|()| self.child.wait());
    }
}

/// What the daemon and its sources came to.
struct Measured {
    daemon: Load,
    sources: Load,
    answered: f64,
    shed: f64,
    encoding: f64,
    answering: f64,
}

fn scrape(address: &str) -> anyhow::Result<String> {
    Ok(ureq::get(address).call()?.body_mut().read_to_string()?)
}

/// Notes when records of coverage come, one for each window.
fn listen(output: impl BufRead, told: &Mutex<Vec<Told>>) {
    for line in output.lines().map_while(Result::ok) {
        let Ok(Line { kind, data }) = serde_json::from_str::<Line>(&line) else { continue };
        if !kind.contains("coverage") {
            continue;
        }
        let end = serde_json::from_value::<Coverage>(data).ok();
        if let Some(end) = end.and_then(|coverage| UtcTime::from_rfc3339(&coverage.end.utc)) {
            let since = UtcTime::now().seconds_since(end);
            told.lock().unwrap_or_else(PoisonError::into_inner).push(Told { at: Instant::now(), since });
        }
    }
}

impl Trial {
    /// The part of the machine that each stream takes.
    pub fn share(&self) -> f64 {
        self.cores / self.streams as f64 / cores()
    }

    /// In a line.
    pub fn told(&self) -> String {
        format!(
            "{} streams {}: {:.1} s after a window's end, {:.1} s for one in a hundred; {} shed; {:.2} cores",
            self.streams,
            if self.holds { "in time" } else { "not in time" },
            self.delays[0],
            self.delays[2],
            self.shed,
            self.cores,
        )
    }

    /// Where the time goes, and how many streams there would be if no core ever waited.
    pub fn roofline(&self) -> String {
        let each = |cores: f64| 1000.0 * cores / self.streams as f64;
        let (all, source) = (each(self.cores), each(self.source_cores));
        format!(
            "with {} streams each takes {all:.0} ms of a core a second: its source {source:.0}, the daemon {:.0}; the encoders' calls last {:.0} ms a second and \
             stream, the language model's {:.0}. {:.0} cores that never wait would hold {:.0} streams",
            self.streams,
            all - source,
            each(self.encoding),
            each(self.answering),
            cores(),
            (1000.0 * cores() / all).floor(),
        )
    }
}

fn cores() -> f64 {
    std::thread::available_parallelism().map_or(1.0, |cores| cores.get() as f64)
}

#[cfg(test)]
mod tests {
    use avicuna_pipeline::config::Config;

    use super::*;

    #[test]
    fn the_daemon_is_told_what_is_not_as_usual() {
        let rules = Rules {
            source: "a \"film\".mp4".to_owned(),
            model: "model".into(),
            queries: vec!["a dog".to_owned(), "a \\ cat".to_owned()],
            window: Some(Duration::from_secs(4)),
            hop: None,
            measure: Duration::ZERO,
            late: Duration::ZERO,
        };
        let text = settings(&rules, 2, Path::new("/tmp/it"), "127.0.0.1:9").expect("TOML");
        let config = Config::parse(&text, "a.toml", std::iter::empty()).expect("valid").config;
        assert_eq!(
            (config.control.listen.as_str(), config.outbox.path.to_str()),
            ("127.0.0.1:9", Some("/tmp/it/outbox.redb"))
        );
        let [first, second] = config.stream.as_slice() else { panic!("{text}") };
        assert_eq!((first.id.as_str(), second.id.as_str()), ("stream-0", "stream-1"));
        assert_eq!((&first.uri, &first.queries), (&rules.source, &rules.queries));
        assert_eq!(
            (first.window, first.hop, first.looping, first.realtime),
            (rules.window, None, true, true)
        );
    }

    #[test]
    fn records_of_coverage_are_timed_and_others_are_not() {
        let ago = |seconds: i64| UtcTime::now().offset(-seconds * 1_000_000_000).to_rfc3339();
        let line = |kind: &str, seconds| {
            let end = ago(seconds);
            format!(
                "{{\"topic\":\"t\",\"type\":\"{kind}\",\"id\":\"1\",\"time\":\"{end}\",\"data\":{{\"end\":{{\"utc\":\"{end}\"}}}}}}\n"
            )
        };
        let output =
            [line("coverage.v1", 3), "half a li\n".to_owned(), line("event.v1", 9), line("coverage.v1", 5)]
                .concat();
        let told = Mutex::default();
        listen(output.as_bytes(), &told);
        let since: Vec<f64> =
            told.lock().expect("no panic").iter().map(|told: &Told| told.since.round()).collect();
        assert_eq!(since, [3.0, 5.0]);
    }
}
