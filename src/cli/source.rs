//! `avicuna source`: the process of one source. The daemon starts it; it is of no use by itself.

use std::process::ExitCode;
use std::time::Duration;

use anyhow::Context;
use avicuna_pipeline::config::LogConfig;
use avicuna_pipeline::source::apart::{self, Worker};
use clap::Args;

/// A source holds some dozens of MiB; one that holds so much leaks.
const MEMORY: u64 = 2 << 30;
/// It tells each second that it runs; one that does not for so long is stuck.
const SILENCE: Duration = Duration::from_secs(20);

#[derive(Debug, Args)]
pub(super) struct Arguments {
    /// How to log, as JSON.
    log: String,
}

/// This program as the process of a source.
pub(super) fn worker(log: &LogConfig) -> anyhow::Result<Worker> {
    let program = std::env::current_exe().context("this program does not know where it is")?;
    let log = serde_json::to_string(log).context("the log's settings")?;
    let arguments = vec!["source".into(), log];
    Ok(Worker { program, arguments, memory: MEMORY, silence: SILENCE })
}

pub(super) fn run(arguments: Arguments) -> anyhow::Result<ExitCode> {
    let log: LogConfig = serde_json::from_str(&arguments.log).context("the log's settings")?;
    super::start_log(&log);
    Ok(apart::serve()?)
}
