//! A source's process, from the inside.

use std::process::ExitCode;
use std::time::Duration;

use rustix::process::{Resource, Rlimit, Signal, setrlimit};
use tokio::io::{AsyncRead, AsyncReadExt};
use tokio::net::unix::pipe;
use tokio::sync::mpsc;
use tokio::time::{MissedTickBehavior, interval};
use tokio_util::sync::CancellationToken;

use super::wire::{self, Message};
use crate::source::config::SourceConfig;
use crate::source::event::SourceEvent;
use crate::source::spawn;

/// Events of the source that wait to be written.
const QUEUE: usize = 16;
/// How often a process with nothing to say tells that it runs.
const ALIVE: Duration = Duration::from_secs(1);

/// Is the process of one source: reads the errand from standard input, watches, and writes messages to standard output until the source
/// ends or standard input is closed.
///
/// # Errors
/// When it is not started as a child of the daemon.
pub fn serve() -> std::io::Result<ExitCode> {
    harden()?;
    // What a plugin prints must not come between messages.
    let out = rustix::io::dup(rustix::stdio::stdout())?;
    rustix::stdio::dup2_stdout(rustix::stdio::stderr())?;
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
    let ended = runtime.block_on(async {
        let mut from = tokio::io::stdin();
        let length = from.read_u32_le().await?;
        let mut errand = vec![0; length as usize];
        from.read_exact(&mut errand).await?;
        let config: SourceConfig = serde_json::from_slice(&errand)?;
        watch(config, from, pipe::Sender::from_owned_fd(out)?).await
    });
    // A thread of GStreamer that does not end must not keep the process.
    runtime.shutdown_background();
    ended.map(|()| ExitCode::SUCCESS)
}

async fn watch(
    config: SourceConfig,
    mut from: impl AsyncRead + Unpin,
    mut out: pipe::Sender,
) -> std::io::Result<()> {
    let (sender, mut events) = mpsc::channel(QUEUE);
    let shutdown = CancellationToken::new();
    let source = spawn(config, sender, shutdown.clone());
    let mut alive = interval(ALIVE);
    alive.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut rest = [0; 64];
    let mut open = true;
    loop {
        let message = tokio::select! {
            biased;
            read = from.read(&mut rest), if open => {
                // Nothing more is ever said to it: this is the end.
                open = read.is_ok_and(|count| count > 0);
                if !open {
                    shutdown.cancel();
                }
                continue;
            }
            event = events.recv() => match event {
                Some(event) => Message::Event(event),
                None => break,
            },
            _ = alive.tick() => Message::Alive,
        };
        let last = matches!(message, Message::Event(SourceEvent::Ended(_)));
        if wire::write(&mut out, message).await.is_err() {
            // Nobody reads any more.
            shutdown.cancel();
            break;
        }
        if last {
            break;
        }
    }
    drop(events);
    let _taken_down = tokio::time::timeout(Duration::from_secs(10), source).await;
    Ok(())
}

/// Whatever a hostile stream makes of this process, it gains nothing by it: no new privileges, no core files, and no life after the
/// daemon's.
fn harden() -> std::io::Result<()> {
    rustix::process::set_parent_process_death_signal(Some(Signal::KILL))?;
    rustix::thread::set_no_new_privs(true)?;
    setrlimit(Resource::Core, Rlimit { current: Some(0), maximum: Some(0) })?;
    Ok(())
}
