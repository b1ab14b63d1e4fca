//! A source's process, seen from the daemon.

use std::fmt;
use std::os::unix::process::ExitStatusExt;
use std::process::{ExitStatus, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use tokio::io::BufReader;
use tokio::process::{ChildStdin, ChildStdout, Command};
use tokio::task::JoinHandle;
use tokio::time::{Interval, MissedTickBehavior, interval, timeout};

use super::Worker;
use super::wire::{self, Errand, Message, Order};
use crate::source::cut::Made;
use crate::source::event::SourceEvent;

/// How often its memory is looked at, and whether it still speaks.
const LOOK: Duration = Duration::from_secs(1);
/// How long a child whose output is closed may take to be gone.
const GONE: Duration = Duration::from_secs(5);

/// What of the environment a child gets: how libraries, media and the network are to be used, and none of the daemon's own settings, in
/// which credentials may stand.
const ENVIRONMENT: [&str; 8] =
    ["PATH", "HOME", "TMPDIR", "LANG", "TZ", "LD_LIBRARY_PATH", "RUST_LOG", "RUST_BACKTRACE"];
/// And everything that begins so.
const FAMILIES: [&str; 7] = ["GST_", "LC_", "XDG_", "SSL_CERT_", "GIO_", "LIBVA_", "CUDA_"];

/// Each connection has threads of its own. glibc gives them eight arenas for each core in turn, and each arena keeps what was freed in it.
const ARENAS: &str = "1";

/// How a child died.
#[derive(Debug)]
pub(super) enum Died {
    /// It could not be started.
    NotStarted(std::io::Error),
    /// It is gone.
    Gone(Option<ExitStatus>),
    /// It was ended, as it said what cannot be.
    Nonsense(String),
    /// It was ended, as it said nothing for so long.
    Stuck(Duration),
    /// It was ended, as it held so many bytes.
    Grown(u64),
}

impl fmt::Display for Died {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotStarted(error) => write!(f, "the source's process does not start: {error}"),
            Self::Gone(Some(status)) => match (status.signal(), status.code()) {
                (Some(signal), _) => write!(f, "the source's process was ended by {}", name(signal)),
                (_, Some(code)) => write!(f, "the source's process ended with exit code {code}"),
                _ => write!(f, "the source's process ended"),
            },
            Self::Gone(None) => write!(f, "the source's process broke off and had to be ended"),
            Self::Nonsense(said) => write!(f, "the source's process said {said}, and was ended"),
            Self::Stuck(silent) => {
                write!(f, "the source's process said nothing for {} s and was ended", silent.as_secs())
            }
            Self::Grown(bytes) => {
                write!(f, "the source's process grew to {} MiB and was ended", bytes >> 20)
            }
        }
    }
}

fn name(signal: i32) -> String {
    let name = match signal {
        4 => "SIGILL",
        6 => "SIGABRT: an assertion in GStreamer or a plugin, which the log has",
        7 => "SIGBUS",
        8 => "SIGFPE",
        9 => "SIGKILL",
        11 => "SIGSEGV: a fault in GStreamer or a plugin",
        15 => "SIGTERM",
        other => return format!("signal {other}"),
    };
    name.to_owned()
}

/// What a child says.
#[derive(Debug)]
pub(super) enum Said {
    /// Of its source.
    Event(SourceEvent),
    /// What became of a clip.
    Cut(u64, Result<Made, String>),
}

/// A child reads its orders as they come; one that does not is stuck.
const READS: Duration = Duration::from_secs(1);

/// A running child. It is killed when this is dropped.
#[derive(Debug)]
pub(super) struct Child {
    process: tokio::process::Child,
    /// Closed to tell it to end.
    stdin: Option<ChildStdin>,
    messages: tokio::sync::mpsc::Receiver<std::io::Result<Message>>,
    /// When it last said something.
    heard: Instant,
    look: Interval,
    silence: Duration,
    /// Weighs it, whether anybody listens to it or not.
    weigher: Option<JoinHandle<()>>,
    /// How much it held when it was ended for that; 0 before.
    grown: Arc<AtomicU64>,
}

impl Child {
    /// Starts one and gives it its errand.
    pub async fn start(worker: &Worker, errand: &Errand) -> Result<Self, Died> {
        let environment = std::env::vars_os().filter(|(name, _)| {
            let name = name.to_string_lossy();
            ENVIRONMENT.contains(&&*name)
                || FAMILIES.iter().any(|family| name.starts_with(family))
                || name.to_lowercase().ends_with("_proxy")
        });
        let mut process = Command::new(&worker.program)
            .args(&worker.arguments)
            .env_clear()
            .envs(environment)
            // The settings of a desktop are neither needed nor can they be read.
            .env("GSETTINGS_BACKEND", "memory")
            .env("MALLOC_ARENA_MAX", ARENAS)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::inherit())
            .kill_on_drop(true)
            // An interrupt from the terminal is for the daemon, which tells its sources to end.
            .process_group(0)
            .spawn()
            .map_err(Died::NotStarted)?;
        let (stdin, stdout) = (process.stdin.take(), process.stdout.take());
        let (Some(mut stdin), Some(stdout)) = (stdin, stdout) else {
            return Err(Died::NotStarted(std::io::Error::other("it has no pipes")));
        };
        // Who does not read its errand is gone, which is noticed below.
        let _told = wire::tell(&mut stdin, errand).await;
        let (heard, messages) = tokio::sync::mpsc::channel(1);
        tokio::spawn(listen(stdout, errand.config.frame_size as usize, heard));
        let mut look = interval(LOOK);
        look.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let Worker { memory, silence, .. } = *worker;
        let grown = Arc::new(AtomicU64::new(0));
        let weigher = process.id().map(|pid| tokio::spawn(weigh(pid, memory, Arc::clone(&grown))));
        Ok(Self {
            process,
            stdin: Some(stdin),
            messages,
            heard: Instant::now(),
            look,
            silence,
            weigher,
            grown,
        })
    }

    /// Its process id, while it runs.
    pub fn pid(&self) -> Option<u32> {
        self.process.id()
    }

    /// What the source says next. Nothing is lost when this is cancelled.
    pub async fn next(&mut self) -> Result<Said, Died> {
        loop {
            tokio::select! {
                biased;
                _ = self.look.tick() => {
                    // What it started may hold its output open after it was ended.
                    let grown = self.grown.load(Ordering::Relaxed);
                    if grown > 0 && self.messages.is_empty() {
                        self.kill().await;
                        return Err(Died::Grown(grown));
                    }
                    let silent = self.heard.elapsed();
                    // What it said while nobody asked is not silence.
                    if silent >= self.silence && self.messages.is_empty() {
                        self.kill().await;
                        return Err(Died::Stuck(silent));
                    }
                }
                message = self.messages.recv() => {
                    self.heard = Instant::now();
                    match message {
                        Some(Ok(Message::Event(event))) => return Ok(Said::Event(event)),
                        Some(Ok(Message::Cut { id, result })) => return Ok(Said::Cut(id, result)),
                        Some(Ok(Message::Alive)) => {}
                        Some(Err(said)) => {
                            self.kill().await;
                            return Err(Died::Nonsense(said.to_string()));
                        }
                        None => {
                            self.stop_weighing();
                            let status = timeout(GONE, self.process.wait()).await.ok().and_then(Result::ok);
                            self.kill().await;
                            let grown = self.grown.load(Ordering::Relaxed);
                            return Err(if grown > 0 { Died::Grown(grown) } else { Died::Gone(status) });
                        }
                    }
                }
            }
        }
    }

    /// Gives it an order; `false` where it does not take it. One that was cut off in the middle is the last.
    pub async fn order(&mut self, order: &Order) -> bool {
        let Some(stdin) = &mut self.stdin else { return false };
        let taken = timeout(READS, wire::tell(stdin, order)).await.is_ok_and(|told| told.is_ok());
        if !taken {
            self.stdin = None;
        }
        taken
    }

    /// Tells it to end and waits until it has.
    pub async fn leave(mut self) {
        drop(self.stdin.take());
        self.messages.close();
        self.stop_weighing();
        let _status = self.process.wait().await;
    }

    fn stop_weighing(&mut self) {
        if let Some(weigher) = self.weigher.take() {
            weigher.abort();
        }
    }

    async fn kill(&mut self) {
        self.stop_weighing();
        if let Err(error) = self.process.kill().await {
            tracing::debug!(%error, "a source's process was gone already");
        }
    }
}

impl Drop for Child {
    fn drop(&mut self) {
        self.stop_weighing();
    }
}

/// Ends the process `pid` once it holds more than `limit` bytes.
async fn weigh(pid: u32, limit: u64, grown: Arc<AtomicU64>) {
    let mut look = interval(LOOK);
    look.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        look.tick().await;
        // Nobody waits for it while it is weighed, so its number is not another's yet.
        let Some(bytes) = resident(pid) else { return };
        if bytes > limit {
            grown.store(bytes, Ordering::Relaxed);
            let killed =
                i32::try_from(pid).ok().and_then(Pid::from_raw).map(|pid| kill_process(pid, Signal::KILL));
            tracing::debug!(pid, bytes, ?killed, "a source's process grew");
            return;
        }
    }
}

/// Bytes of memory that a process holds.
fn resident(pid: u32) -> Option<u64> {
    let statm = std::fs::read_to_string(format!("/proc/{pid}/statm")).ok()?;
    let pages: u64 = statm.split(' ').nth(1)?.parse().ok()?;
    Some(pages * rustix::param::page_size() as u64)
}

/// Reads messages until there are none; the last may be what was none.
async fn listen(
    stdout: ChildStdout,
    side: usize,
    heard: tokio::sync::mpsc::Sender<std::io::Result<Message>>,
) {
    let mut from = BufReader::with_capacity(1 << 16, stdout);
    loop {
        let message = wire::read(&mut from, side).await;
        let is_last = match &message {
            Ok(_) => false,
            Err(error) if error.kind() == std::io::ErrorKind::InvalidData => true,
            Err(error) => {
                tracing::debug!(%error, "a source's process says no more");
                return;
            }
        };
        if heard.send(message).await.is_err() || is_last {
            return;
        }
    }
}
