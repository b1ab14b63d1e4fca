//! One stream watched to its end without outbox and sink: what `avicuna localize` and the evaluation do.

use std::sync::Arc;
use std::time::Duration;

use avicuna_models::localizer::Localizer;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::engine::Engine;
use super::model;
use super::plan::Plan;
use super::publisher::Publisher;
use super::record::Record;
use super::stream::Heard;
use crate::control::Control;
use crate::schedule::ScheduleConfig;
use crate::source::End;

/// Windows that wait for the model: there is one stream, and a batch is full with them.
const QUEUE: usize = 4;

/// What was seen and heard.
#[derive(Debug, Clone, PartialEq)]
pub struct Watched {
    /// Every record, in the order of the stream.
    pub records: Vec<Record>,
    /// What the model said, in the order in which it did.
    pub heard: Vec<Heard>,
    /// Why the stream ended.
    pub end: End,
}

/// Watches one stream until it ends or `stop` is cancelled. `control` knows how it goes, `on_record` sees each record as
/// it is made. The model can go on to other streams, when the caller keeps it.
pub async fn watch(
    plan: Plan,
    localizer: impl Into<Arc<Localizer>>,
    control: Arc<Control>,
    mut on_record: impl FnMut(&Record),
    stop: CancellationToken,
) -> Watched {
    let (publisher, mut published) = Publisher::channel(None);
    let (said, mut saying) = mpsc::unbounded_channel();
    let mut engine = Engine::start(
        vec![plan],
        model::of(localizer.into()),
        ScheduleConfig { queue_per_stream: QUEUE, ..ScheduleConfig::default() },
        control,
        publisher,
        Some(said),
    );
    let mut records = Vec::new();
    let collect = async {
        while let Some(parcel) = published.recv().await {
            parcel.records.iter().for_each(&mut on_record);
            records.extend(parcel.records);
        }
    };
    let gone = engine.model_gone();
    let run = async {
        tokio::select! {
            () = engine.all_ended() => {}
            () = stop.cancelled() => {}
            () = gone => tracing::error!("the model's thread ended"),
        }
        // Nothing waits any more but what an early end has left.
        engine.stop(Duration::from_secs(1)).await
    };
    let (ended, ()) = tokio::join!(run, collect);
    let end = ended.into_iter().next().map_or(End::Stopped, |ended| ended.end);
    let heard = std::iter::from_fn(|| saying.try_recv().ok()).collect();
    Watched { records, heard, end }
}
