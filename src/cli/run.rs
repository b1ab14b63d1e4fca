//! `avicuna run`: the daemon.

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use anyhow::Context;
use avicuna_pipeline::config::{Config, Loaded};
use avicuna_pipeline::daemon::{Daemon, Streams};
use avicuna_server::{HistoryConfig, Parts, Reload, Server, TellConfig};
use clap::Args;
use tokio::runtime::Builder;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio_util::sync::CancellationToken;

use super::notify::Notifier;

#[derive(Debug, Args)]
pub(super) struct Arguments {
    /// The configuration.
    #[arg(long, default_value = "config/avicuna.toml")]
    config: PathBuf,
}

/// A signal that follows the first one sooner is the same wish: `timeout` of GNU signals the process and then its group.
const AGAIN: Duration = Duration::from_secs(1);

/// How long what still blocks at the end may take: a model that is being loaded, say.
const LEAVE: Duration = Duration::from_secs(1);

pub(super) fn run(arguments: &Arguments) -> anyhow::Result<ExitCode> {
    let loaded = Config::load(&arguments.config, std::env::vars())?;
    super::start_log(&loaded.config.log);
    for problem in loaded.missing_files() {
        tracing::warn!("{problem}");
    }
    let runtime = Builder::new_multi_thread().enable_all().build().context("the runtime does not start")?;
    let ended = runtime.block_on(watch(loaded, arguments.config.clone()));
    runtime.shutdown_timeout(LEAVE);
    ended
}

async fn watch(loaded: Loaded, file: PathBuf) -> anyhow::Result<ExitCode> {
    let stop = CancellationToken::new();
    let worker = super::source::worker(&loaded.config.log)?;
    let heard = "signals cannot be heard";
    let signals = [SignalKind::terminate(), SignalKind::interrupt(), SignalKind::hangup()].map(signal);
    let [terminate, interrupt, hangup] = signals;
    tokio::spawn(obey(terminate.context(heard)?, interrupt.context(heard)?, stop.clone()));

    let config = loaded.config.clone();
    let daemon = Daemon::new(loaded, worker)?;
    let reload = Reload::new(move || Ok(Config::load(&file, std::env::vars())?.config.stream));
    tokio::spawn(read_again(hangup.context(heard)?, reload.clone(), daemon.streams()));
    let parts = Parts {
        control: daemon.control(),
        streams: daemon.streams(),
        asker: daemon.asker(),
        clips: daemon.clips(),
        history: HistoryConfig {
            path: config.history.path(&config.outbox.path),
            keep: config.history.keep,
            keep_windows: config.history.keep_windows,
            max_bytes: config.history.max_bytes,
        },
        topics: config.sink.kafka.topics,
        config: config.control,
        tell: TellConfig { webhooks: config.webhook, mqtt: config.mqtt },
        reload,
    };
    let serving = CancellationToken::new();
    let (observer, served) = match Server::bind(parts).await? {
        None => (None, None),
        Some(server) => {
            tracing::info!(address = %server.address()?, "the interface, probes and metrics are served");
            (Some(server.observer()), Some(tokio::spawn(server.serve(serving.clone()))))
        }
    };
    let notified = notifier().map(|notifier| tokio::spawn(notifier.run(daemon.control(), serving.clone())));
    let ended = daemon.run(observer, stop).await;
    serving.cancel();
    if let Some(notified) = notified {
        notified.await.context("the service manager is not told any more")?;
    }
    if let Some(served) = served {
        served.await.context("the interface failed")?;
    }
    let troubled = ended?.iter().filter(|ended| ended.end.is_trouble()).count();
    Ok(if troubled > 0 { ExitCode::from(super::TROUBLE) } else { ExitCode::SUCCESS })
}

/// Who tells the service manager, if one listens. That it cannot be told ends nothing: it has its own limits.
fn notifier() -> Option<Notifier> {
    Notifier::from_environment().unwrap_or_else(|error| {
        tracing::warn!(
            "{error:#}: the service manager is told nothing; unset it, or start the daemon as a service"
        );
        None
    })
}

/// SIGHUP: the streams of the file are read again.
async fn read_again(mut hangup: Signal, reload: Reload, streams: Streams) {
    while hangup.recv().await.is_some() {
        if let Err(error) = reload.again(&streams).await {
            tracing::error!(%error, "the configuration file was read again, and nothing of it is taken");
        }
    }
}

/// The first signal asks for an orderly end, one that comes [`AGAIN`] later ends at once; what is in the outbox stays there.
async fn obey(mut terminate: Signal, mut interrupt: Signal, stop: CancellationToken) {
    let mut asked: Option<Instant> = None;
    loop {
        let number = tokio::select! {
            _ = terminate.recv() => 15,
            _ = interrupt.recv() => 2,
        };
        match asked {
            None => {
                tracing::info!(signal = number, "stopping; a second signal ends at once");
                asked = Some(Instant::now());
                stop.cancel();
            }
            Some(asked) if asked.elapsed() < AGAIN => {
                tracing::debug!(signal = number, "the same wish, said twice");
            }
            Some(_) => {
                tracing::warn!(signal = number, "ending at once");
                std::process::exit(128 + number);
            }
        }
    }
}
