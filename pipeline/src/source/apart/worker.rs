//! A source's process, from the inside.

use std::io::Read;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use rustix::process::{Resource, Rlimit, Signal, setrlimit};
use tokio::io::AsyncRead;
use tokio::net::unix::pipe;
use tokio::sync::{mpsc, oneshot};
use tokio::time::{MissedTickBehavior, interval};
use tokio_util::sync::CancellationToken;

use super::guard::{self, Judge};
use super::room;
use super::wire::{self, Errand, Message, Order};
use crate::source::config::SourceConfig;
use crate::source::cut::{ClipRules, CutOrder, Recording};
use crate::source::event::SourceEvent;
use crate::source::uri::Address;
use crate::source::{spawn, spawn_recorded};

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
    let Errand { config, rules, readable, writable } = errand(std::io::stdin().lock())?;
    // Before any library starts a thread, which would be free of them.
    let own = Address::parse(&config.uri).ok().and_then(|address| address.host().map(str::to_owned));
    let judge = config.reach.clone().map(|reach| Judge { reach, own });
    let must_judge = judge.is_some();
    match guard::install(judge) {
        Err(error) if must_judge => return Err(error),
        Err(error) => tracing::debug!(%error, "no filter of system calls"),
        Ok(()) => {}
    }
    if let Err(error) = room::enter(&readable, writable.as_deref()) {
        tracing::debug!(%error, "no landlock");
    }
    // What a plugin prints must not come between messages.
    let out = rustix::io::dup(rustix::stdio::stdout())?;
    rustix::stdio::dup2_stdout(rustix::stdio::stderr())?;
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
    let recorded = rules.zip(writable);
    let ended = runtime.block_on(async {
        watch(config, recorded, tokio::io::stdin(), pipe::Sender::from_owned_fd(out)?).await
    });
    // A thread of GStreamer that does not end must not keep the process.
    runtime.shutdown_background();
    ended.map(|()| ExitCode::SUCCESS)
}

fn errand(mut from: impl Read) -> std::io::Result<Errand> {
    let mut length = [0; 4];
    from.read_exact(&mut length)?;
    let mut errand = vec![0; u32::from_le_bytes(length) as usize];
    from.read_exact(&mut errand)?;
    Ok(serde_json::from_slice(&errand)?)
}

async fn watch(
    config: SourceConfig,
    recorded: Option<(ClipRules, PathBuf)>,
    from: impl AsyncRead + Unpin + Send + 'static,
    mut out: pipe::Sender,
) -> std::io::Result<()> {
    let (sender, mut events) = mpsc::channel(QUEUE);
    let (cutting, orders) = mpsc::channel(QUEUE);
    let (cut, mut made) = mpsc::channel(QUEUE);
    let (shutdown, leave) = (CancellationToken::new(), CancellationToken::new());
    let is_recorded = recorded.is_some();
    let source = match recorded {
        None => spawn(config, sender, shutdown.clone()),
        Some((rules, folder)) => {
            spawn_recorded(config, Recording { rules, folder, orders }, sender, shutdown.clone())
        }
    };
    tokio::spawn(obey(from, cutting, cut, shutdown.clone(), leave.clone()));
    let mut alive = interval(ALIVE);
    alive.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut is_over = false;
    loop {
        let message = tokio::select! {
            biased;
            // Nothing more is ever said to it: this is the end, when the source's last word is said.
            () = leave.cancelled(), if is_over => break,
            Some(made) = made.recv() => made,
            event = events.recv(), if !is_over => match event {
                Some(event) => Message::Event(event),
                None => break,
            },
            _ = alive.tick() => Message::Alive,
        };
        let must_leave = matches!(message, Message::Event(SourceEvent::Lost { .. })) && cannot_resolve();
        is_over |= matches!(message, Message::Event(SourceEvent::Ended(_)));
        if wire::write(&mut out, message).await.is_err() {
            // Nobody reads any more.
            shutdown.cancel();
            break;
        }
        if must_leave || is_over && !is_recorded {
            break;
        }
    }
    drop(events);
    let _taken_down = tokio::time::timeout(Duration::from_secs(10), source).await;
    Ok(())
}

/// Takes orders until standard input is closed; what became of clips goes to `done`.
async fn obey(
    mut from: impl AsyncRead + Unpin,
    cutting: mpsc::Sender<CutOrder>,
    done: mpsc::Sender<Message>,
    shutdown: CancellationToken,
    leave: CancellationToken,
) {
    while let Ok(order) = wire::told::<Order>(&mut from).await {
        match order {
            Order::Stop => shutdown.cancel(),
            Order::Cut { id, cut } => {
                let (cutting, done) = (cutting.clone(), done.clone());
                tokio::spawn(async move {
                    let (reply, answer) = oneshot::channel();
                    let result = match cutting.send((cut, reply)).await {
                        Ok(()) => answer.await.unwrap_or_else(|_| Err("cutting broke off".to_owned())),
                        Err(_) => Err("nothing of it is kept".to_owned()),
                    };
                    let _gone = done.send(Message::Cut { id, result }).await;
                });
            }
        }
    }
    shutdown.cancel();
    leave.cancel();
}

/// Was the table of name servers replaced by another file? A new process may read it.
fn cannot_resolve() -> bool {
    let table = std::fs::File::open("/etc/resolv.conf");
    let gone = table.is_err_and(|error| error.kind() == std::io::ErrorKind::PermissionDenied);
    if gone {
        tracing::info!("name servers were set anew; a new process takes over");
    }
    gone
}

/// Whatever a hostile stream makes of this process, it gains nothing by it: no new privileges, no core files, and no life after the
/// daemon's.
fn harden() -> std::io::Result<()> {
    rustix::process::set_parent_process_death_signal(Some(Signal::KILL))?;
    rustix::thread::set_no_new_privs(true)?;
    setrlimit(Resource::Core, Rlimit { current: Some(0), maximum: Some(0) })?;
    Ok(())
}
