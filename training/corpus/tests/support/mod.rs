//! Small clips, and what the daemon's source sees and hears in a file.

use std::path::Path;
use std::time::Duration;

use avicuna_pipeline::source::{self, End, SourceConfig, SourceEvent};
use avicuna_pipeline::timeline::Grid;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

#[path = "../../../../pipeline/tests/common/media.rs"]
#[allow(dead_code, reason = "made for the tests of sources; here a part is used")]
mod media;

pub use media::make;

const RATE: u32 = 16_000;
/// Samples judged together: 20 ms.
const BLOCK: usize = RATE as usize / 50;

/// What a file shows and plays, in order of time.
pub struct Watched {
    /// Seconds and what is to be seen: a colour, or `LEFT|RIGHT`.
    pub shown: Vec<(f64, String)>,
    /// The middle of 20 ms, and whether they are loud.
    pub heard: Vec<(f64, bool)>,
}

impl Watched {
    /// How long it lasts.
    pub fn seconds(&self) -> f64 {
        let sight = self.shown.last().map_or(0.0, |(time, _)| time + 0.05);
        sight.max(self.heard.last().map_or(0.0, |(time, _)| time + 0.01))
    }
}

/// Reads a file to its end, a picture each 50 ms.
pub fn watch(path: &Path) -> Watched {
    let config = SourceConfig {
        grid: Grid::new(Duration::from_millis(50)),
        frame_size: 32,
        sample_rate: RATE,
        stall_timeout: Duration::from_secs(120),
        ..SourceConfig::new("test", path.to_string_lossy())
    };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    runtime.block_on(async {
        let (sender, mut events) = mpsc::channel(64);
        let task = source::spawn(config, sender, CancellationToken::new());
        let (mut shown, mut samples) = (Vec::new(), Vec::new());
        while let Some(event) = events.recv().await {
            match event {
                SourceEvent::Frame(frame) => {
                    shown.push((frame.at.0 as f64 * 0.05, picture(&frame.frame.data)))
                }
                SourceEvent::Audio(audio) => {
                    let start = (audio.stream.as_secs_f64() * f64::from(RATE)).round() as usize;
                    assert!(
                        start.abs_diff(samples.len()) < 16,
                        "sound has a hole at {start}, {}",
                        samples.len()
                    );
                    samples.extend(audio.samples);
                }
                SourceEvent::Ended(end) => assert_eq!(end, End::OfFile),
                _ => {}
            }
        }
        task.await.expect("no panic");
        let loud = |(i, block): (usize, &[f32])| {
            let power = block.iter().map(|s| s * s).sum::<f32>() / BLOCK as f32;
            ((i as f64 + 0.5) * 0.02, power.sqrt() > 0.02)
        };
        let heard = samples.chunks_exact(BLOCK).enumerate().map(loud).collect();
        Watched { shown, heard }
    })
}

/// The colours of the left and the right half, in the middle row of a 32 x 32 picture.
fn picture(rgb: &[u8]) -> String {
    let colour = |x: usize| {
        let at = (16 * 32 + x) * 3;
        match [rgb[at] > 120, rgb[at + 1] > 120, rgb[at + 2] > 120] {
            [false, false, false] => "black",
            [true, false, false] => "red",
            [false, false, true] => "blue",
            _ => "mixed",
        }
    };
    let (left, right) = (colour(8), colour(24));
    if left == right { left.to_owned() } else { format!("{left}|{right}") }
}

/// A clip whose first half is red and sounds, and whose second half is blue and silent. `seconds` are even.
pub fn clip_of_halves(path: &Path, seconds: f64) {
    let (frames, blocks) = ((seconds * 12.5) as u32, (seconds * 25.0) as u32);
    let pictures = |colour: &str| {
        format!(
            "videotestsrc num-buffers={frames} pattern={colour} ! video/x-raw,format=I420,width=320,height=180,framerate=25/1 ! v."
        )
    };
    let sound = |wave: &str| {
        format!(
            "audiotestsrc num-buffers={blocks} samplesperbuffer=960 wave={wave} volume=0.4 ! audio/x-raw,rate=48000,channels=2 ! a."
        )
    };
    make(&format!(
        "mp4mux name=mux ! filesink location={} concat name=v ! x264enc speed-preset=ultrafast ! mux. \
         concat name=a ! audioconvert ! avenc_aac ! mux. {} {} {} {}",
        path.display(),
        pictures("red"),
        pictures("blue"),
        sound("sine"),
        sound("silence"),
    ));
}
