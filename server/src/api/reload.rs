//! `/v1/reload`: the configuration file is read again, as on SIGHUP.

use std::fmt;
use std::sync::Arc;

use aide::transform::TransformOperation;
use avicuna_pipeline::config::{ConfigError, StreamConfig};
use avicuna_pipeline::daemon::{Reloaded, Streams, StreamsError};
use axum::Json;
use axum::extract::State;
use schemars::JsonSchema;
use serde::Serialize;

use super::Shared;
use crate::problem::Problem;

/// Reads the streams of the file again.
#[derive(Clone)]
pub struct Reload {
    read: Arc<dyn Fn() -> Result<Vec<StreamConfig>, ConfigError> + Send + Sync>,
}

impl fmt::Debug for Reload {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Reload")
    }
}

/// Why the file was not taken.
#[derive(Debug, thiserror::Error)]
pub enum ReloadError {
    /// It cannot be used; nothing has changed.
    #[error("{0}")]
    Config(#[from] ConfigError),
    /// Its streams cannot be watched.
    #[error("{0}")]
    Streams(#[from] StreamsError),
}

impl Reload {
    /// `read` reads the file.
    pub fn new(read: impl Fn() -> Result<Vec<StreamConfig>, ConfigError> + Send + Sync + 'static) -> Self {
        Self { read: Arc::new(read) }
    }

    /// Reads it, and watches what it says now. Streams that are as before are not touched.
    ///
    /// # Errors
    /// When the file is wrong: then nothing has changed.
    pub async fn again(&self, streams: &Streams) -> Result<Reloaded, ReloadError> {
        let wanted = (self.read)()?;
        let reloaded = streams.reload(&wanted).await?;
        tracing::info!(
            added = reloaded.added.len(),
            changed = reloaded.changed.len(),
            removed = reloaded.removed.len(),
            "the configuration file was read again; only its streams can change while the daemon runs"
        );
        Ok(reloaded)
    }
}

/// What changed.
#[derive(Debug, Serialize, JsonSchema)]
pub struct Changes {
    /// Ids of streams that were not there before.
    added: Vec<String>,
    /// Ids of streams with other settings than before.
    changed: Vec<String>,
    /// Ids of streams that are not there any more.
    removed: Vec<String>,
}

pub async fn reload(State(app): Shared) -> Result<Json<Changes>, Problem> {
    match app.reload.again(&app.streams).await {
        Ok(Reloaded { added, changed, removed }) => Ok(Json(Changes { added, changed, removed })),
        Err(ReloadError::Streams(error)) => Err(error.into()),
        Err(ReloadError::Config(error)) => Err(Problem::conflict(error.to_string())),
    }
}

pub fn reload_docs(operation: TransformOperation<'_>) -> TransformOperation<'_> {
    operation
        .id("reload")
        .tag("streams")
        .summary("Read the configuration file again")
        .description("As SIGHUP does. Its streams are added, changed and left; those that are as before are not touched.")
        .response::<409, Problem>()
}
