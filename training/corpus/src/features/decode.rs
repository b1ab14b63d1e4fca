//! A file's samples in the model's slots, as the daemon would see them.

use std::sync::Arc;
use std::time::Duration;

use avicuna_models::manifest::Manifest;
use avicuna_models::sample::{AudioClip, EncodeOnce, RgbFrame};
use avicuna_pipeline::config::StreamConfig;
use avicuna_pipeline::source::{self, End, SourceEvent};
use avicuna_pipeline::watching::Plan;
use avicuna_pipeline::window::{Assembler, Closed};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::Media;

/// What comes of a file: windows, then its end.
pub(super) enum Decoded {
    /// Samples.
    Window(Window),
    /// No more, and what was wrong with the file.
    End(Option<String>),
}

/// The samples of a window by slot, and the row that its first slot is.
pub(super) struct Window {
    pub visual: (usize, Vec<Option<Arc<EncodeOnce<RgbFrame>>>>),
    pub audio: (usize, Vec<Option<Arc<EncodeOnce<AudioClip>>>>),
}

/// A decoder that delivers nothing for so long is stuck; a loaded machine is slow.
const STUCK: Duration = Duration::from_secs(60);

/// Events between source and assembler.
const AHEAD: usize = 64;

/// Gives all of a file, until `give` says that nobody wants more.
pub(super) fn decode(media: &Media, manifest: &Manifest, mut give: impl FnMut(Decoded) -> bool) {
    let end = match run(media, manifest, &mut |window| give(Decoded::Window(window))) {
        Ok(End::OfFile) => None,
        Ok(end) => Some(end.to_string()),
        Err(reason) => Some(reason),
    };
    let _nobody_wants_more = give(Decoded::End(end));
}

/// Why the file ended, or could not begin.
fn run(media: &Media, manifest: &Manifest, give: &mut dyn FnMut(Window) -> bool) -> Result<End, String> {
    let Plan { windows, source: config, stream, .. } = plan(media, manifest)?;
    let mut assembler = Assembler::new(stream, windows).map_err(|error| error.to_string())?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(|error| format!("no runtime: {error}"))?;
    let (sender, mut events) = mpsc::channel(AHEAD);
    let slots = (windows.visual_slots, windows.audio_slots);
    runtime.block_on(async {
        let watching = source::spawn(config, sender, CancellationToken::new());
        let mut ended = End::Stopped;
        while let Some(event) = events.recv().await {
            if let SourceEvent::Ended(end) = &event {
                ended.clone_from(end);
            }
            for closed in assembler.push(event) {
                if let Some(window) = samples(closed, slots)
                    && !give(window)
                {
                    return Ok(End::Stopped);
                }
            }
        }
        // It has said its last word; what is left is to take the graph down.
        let _ended = watching.await;
        Ok(ended)
    })
}

/// As for a stream of the daemon, in windows that do not overlap.
fn plan(media: &Media, manifest: &Manifest) -> Result<Plan, String> {
    let path = std::path::absolute(&media.path).map_err(|error| error.to_string())?;
    let mut stream = StreamConfig::new(media.id.as_str(), path.to_string_lossy());
    stream.hop = Some(Duration::from_secs_f64(manifest.window.seconds));
    stream.audio = manifest.audio.is_some();
    stream.video = manifest.vision.is_some();
    // Nothing is asked; a model that cannot be asked everything is fine too.
    stream.detect = false;
    stream.stall_timeout = STUCK;
    Plan::of(&stream, manifest).map_err(|error| error.to_string())
}

/// The samples of a window with their rows in the whole file.
fn samples(closed: Closed, (visual, audio): (usize, usize)) -> Option<Window> {
    let Closed::Window(window) = closed else { return None };
    let index = usize::try_from(window.id.index).ok()?;
    Some(Window { visual: (index * visual, window.visual.slots), audio: (index * audio, window.audio.slots) })
}
