//! Sources in processes of their own, without a daemon.

use std::time::Duration;

use avicuna_pipeline::source::apart::{Worker, spawn};
use avicuna_pipeline::source::{End, SourceConfig, SourceEvent};
use avicuna_pipeline::timeline::Grid;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

/// Only a source that never ends takes so long, even on a busy machine.
const HANG: Duration = Duration::from_secs(240);

/// What is not live, in small frames.
pub fn config(uri: String) -> SourceConfig {
    SourceConfig {
        grid: Grid::new(Duration::from_millis(250)),
        frame_size: 32,
        sample_rate: 16_000,
        ..SourceConfig::new("test", uri)
    }
}

/// Watches to the end: how it came, and how many frames and pieces of sound before.
pub async fn watch(config: SourceConfig) -> (End, usize) {
    let level = if std::env::var_os("RUST_LOG").is_some() { "info" } else { "error" };
    let worker = Worker {
        program: env!("CARGO_BIN_EXE_avicuna").into(),
        arguments: vec!["source".to_owned(), format!(r#"{{"level":"{level}","format":"text"}}"#)],
        memory: 1 << 30,
        silence: Duration::from_secs(60),
    };
    let (sender, mut events) = mpsc::channel(16);
    let uri = config.uri.clone();
    let _task = spawn(worker, config, None, sender, CancellationToken::new());
    let mut count = 0;
    let last = async {
        loop {
            match events.recv().await.expect("the last event is `Ended`") {
                SourceEvent::Frame(_) | SourceEvent::Audio(_) => count += 1,
                SourceEvent::Ended(end) => break end,
                _ => {}
            }
        }
    };
    let end = tokio::time::timeout(HANG, last).await.unwrap_or_else(|_| panic!("{uri} never ends"));
    (end, count)
}
