//! One stream without a daemon: what `localize` and `ask` have in common.

use std::path::Path;

use anyhow::Context;
use avicuna_models::localizer::{LoadOptions, Localizer};
use avicuna_pipeline::config::{Config, LogConfig, LogLevel, StreamConfig};
use avicuna_pipeline::watching::Plan;

/// A model, and how it is to watch the stream.
pub(super) struct Alone {
    pub localizer: Localizer,
    pub plan: Plan,
}

/// Only what is wrong is logged: what is printed is the answer.
pub(super) fn log() -> LogConfig {
    LogConfig { level: LogLevel::Error, ..LogConfig::default() }
}

/// Loads the model, and plans the stream with it. What cannot be watched is refused before the model is loaded.
pub(super) fn prepare(stream: StreamConfig, model: &Path, device: &str) -> anyhow::Result<Alone> {
    stream.address()?.check()?;
    let problems = Config::stream_problems(&stream);
    if let Some(problem) = problems.iter().find(|problem| problem.field.starts_with("queries")) {
        anyhow::bail!("{}", problem.message);
    }
    let device = device.parse().map_err(anyhow::Error::msg)?;
    let localizer = Localizer::load(model, &LoadOptions { device, ..LoadOptions::default() })
        .with_context(|| format!("the model in {} cannot be loaded", model.display()))?;
    let worker = stream.is_apart().then(|| super::source::worker(&log())).transpose()?;
    let plan = Plan::of(&stream, localizer.manifest())?;
    Ok(Alone { localizer, plan: Plan { apart: worker, ..plan } })
}
