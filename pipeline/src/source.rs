//! From a URI to timed frames and samples: one GStreamer graph per connection, decoded, dropped to the sampling grid,
//! scaled and resampled inside the graph, with one clock over reconnects, loops and jumps. `docs/ingest.md` states
//! every rule.

pub mod apart;
mod audio;
mod boxes;
mod branch;
pub mod choice;
mod chooser;
mod clock;
mod complaints;
mod config;
mod downmix;
mod end;
mod event;
pub mod failure;
mod generate;
mod graph;
mod intake;
mod mailbox;
mod moov;
mod ntp;
pub mod pick;
mod policy;
mod program;
mod redact;
pub mod rtcp;
mod scheme;
mod stamps;
mod steady;
pub mod uri;
mod video;
mod watch;

use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

pub use self::config::{Fit, Reconnect, SourceConfig};
pub use self::event::{End, Losses, SourceEvent, TimedAudio, TimedFrame};

/// Watches one stream until it ends or `shutdown` is cancelled; the last event is [`SourceEvent::Ended`]. Needs a tokio
/// runtime. Dropping the receiver stops the source as well.
pub fn spawn(
    config: SourceConfig,
    sender: mpsc::Sender<SourceEvent>,
    shutdown: CancellationToken,
) -> JoinHandle<()> {
    tokio::spawn(watch::watch(config, sender, shutdown))
}
