//! From a URI to timed frames and samples: one GStreamer graph per connection, decoded, dropped to the sampling grid,
//! scaled and resampled inside the graph, with one clock over reconnects, loops and jumps. `docs/ingest.md` states
//! every rule.

mod announced;
pub mod apart;
mod audio;
mod boxes;
mod branch;
pub mod choice;
mod chooser;
mod clock;
mod complaints;
mod config;
pub mod cut;
mod downmix;
mod end;
mod event;
pub mod failure;
pub mod format;
mod gate;
mod generate;
mod graph;
mod intake;
mod mailbox;
mod moov;
pub mod nal;
mod ntp;
pub mod pat;
pub mod pick;
mod policy;
mod program;
mod programs;
pub mod reach;
mod redact;
mod ring;
pub mod rtcp;
mod scheme;
mod stamps;
mod steady;
mod threads;
mod unseen;
pub mod uri;
mod verdict;
mod video;
mod watch;

use std::sync::Arc;

use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

pub use self::config::{Fit, Reconnect, SourceConfig};
use self::cut::Recording;
pub use self::event::{End, Losses, SourceEvent, TimedAudio, TimedFrame};
use self::ring::Ring;
pub use self::ring::RingConfig;

/// Watches one stream until it ends or `shutdown` is cancelled; the last event is [`SourceEvent::Ended`]. Needs a tokio
/// runtime. Dropping the receiver stops the source as well.
pub fn spawn(
    config: SourceConfig,
    sender: mpsc::Sender<SourceEvent>,
    shutdown: CancellationToken,
) -> JoinHandle<()> {
    tokio::spawn(watch::watch(config, None, sender, shutdown))
}

/// As [`spawn`], keeping what comes as it came, and cutting clips from it.
pub fn spawn_recorded(
    config: SourceConfig,
    recording: Recording,
    sender: mpsc::Sender<SourceEvent>,
    shutdown: CancellationToken,
) -> JoinHandle<()> {
    tokio::spawn(async move {
        let Recording { rules, orders, .. } = recording;
        let ring = Arc::new(Ring::new(rules.ring));
        let watched = async {
            watch::watch(config, Some(ring.clone()), sender, shutdown).await;
            ring.end();
        };
        tokio::join!(watched, cut::serve(ring.clone(), rules, orders));
    })
}
