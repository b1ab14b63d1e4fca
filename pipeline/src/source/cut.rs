//! Clips, pictures and spectrograms of a source, cut from its [`Ring`]. Pictures and sound are put into a container as they came; only the
//! frames from one key frame to the picture, and the sound of the spectrogram, are decoded.

mod codec;
mod decode;
mod mux;
mod picture;
mod span;
mod spectrogram;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use tokio::sync::{Semaphore, mpsc, oneshot};

pub use codec::Container;

use self::span::Span;
use super::graph::aside;
use super::ring::{Ring, RingConfig};
use crate::timeline::StreamTime;

/// A ring that stands still for so long will not come as far as a clip wants.
const STANDS: Duration = Duration::from_secs(10);
/// How often it is looked at.
const LOOK: Duration = Duration::from_millis(200);
/// Making one clip takes a second or two; what takes so long hangs.
const HANGS: Duration = Duration::from_secs(60);

/// What of a source is kept for clips, and what of it may be shown.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ClipRules {
    /// How much is kept.
    pub ring: RingConfig,
    /// Parts of the picture that nobody may see. With any of them clips have no picture, as it could only be masked by encoding it anew.
    pub mask: Vec<Rectangle>,
    /// May it be heard?
    pub audio: bool,
}

/// A part of a picture: left, top, width and height, each from 0 to 1 of the picture's.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(transparent)]
pub struct Rectangle(pub [f64; 4]);

/// A clip that is wanted.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Cut {
    /// It begins with the last key frame at or before this.
    pub from: StreamTime,
    /// And ends here.
    pub to: StreamTime,
    /// When the picture is taken.
    pub surest: StreamTime,
    /// A folder that is there: [`CLIP`], [`SNAPSHOT`] and [`SPECTROGRAM`] are written into it.
    pub folder: PathBuf,
}

/// Name of the clip's file, whatever its container.
pub const CLIP: &str = "clip";
/// Name of the picture's file.
pub const SNAPSHOT: &str = "snapshot.jpg";
/// Name of the spectrogram's file.
pub const SPECTROGRAM: &str = "spectrogram.png";

/// What was made of a [`Cut`].
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize, JsonSchema)]
pub struct Made {
    /// The clip; `None` where nothing may be shown of it.
    pub clip: Option<MadeClip>,
    /// Stream time of the picture, in seconds; `None` where there is none.
    pub snapshot: Option<f64>,
    /// Is there a spectrogram?
    pub spectrogram: bool,
    /// What could not be made, or not as it was wanted, in words.
    pub remarks: Vec<String>,
}

/// A clip.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct MadeClip {
    /// Of which kind the file is.
    pub container: Container,
    /// The codec of its picture, as `H.264`.
    pub video: Option<String>,
    /// The codec of its sound.
    pub audio: Option<String>,
    /// Its first instant, in seconds of stream time.
    pub from: f64,
    /// Its end.
    pub to: f64,
}

/// A [`Cut`], and who waits for it. The reason of a failure is in words.
pub type CutOrder = (Cut, oneshot::Sender<Result<Made, String>>);

/// How a source is recorded for clips.
#[derive(Debug)]
pub struct Recording {
    /// What is kept and shown.
    pub rules: ClipRules,
    /// Where the folders of cuts are: the only place that a source may write to.
    pub folder: PathBuf,
    /// Clips that are wanted. After its end a source still cuts them, until every sender is gone.
    pub orders: mpsc::Receiver<CutOrder>,
}

/// Cuts what is ordered from a ring, one clip at a time, until nobody orders any more.
pub(super) async fn serve(ring: Arc<Ring>, rules: ClipRules, mut orders: mpsc::Receiver<CutOrder>) {
    let (rules, turn) = (Arc::new(rules), Arc::new(Semaphore::new(1)));
    while let Some((cut, reply)) = orders.recv().await {
        let (ring, rules, turn) = (ring.clone(), rules.clone(), turn.clone());
        tokio::spawn(async move {
            ready(&ring, cut.to).await;
            let _turn = turn.acquire().await;
            // Who gave up waiting needs no answer.
            let _gone = reply.send(make(ring, rules, cut).await);
        });
    }
}

/// Comes back when all that will come of what is before `to` has come.
async fn ready(ring: &Ring, to: StreamTime) {
    loop {
        let (reached, since) = ring.reached();
        if reached >= to || ring.is_over() || since >= STANDS {
            return;
        }
        tokio::time::sleep(LOOK).await;
    }
}

async fn make(ring: Arc<Ring>, rules: Arc<ClipRules>, cut: Cut) -> Result<Made, String> {
    let task = aside(move || all(&ring, &rules, &cut)).map_err(|error| error.to_string())?;
    match tokio::time::timeout(HANGS, task).await {
        Ok(made) => made.map_err(|_| "cutting broke off".to_owned())?,
        Err(_) => Err(format!("cutting takes more than {} s", HANGS.as_secs())),
    }
}

/// Makes all that may be made.
fn all(ring: &Ring, rules: &ClipRules, cut: &Cut) -> Result<Made, String> {
    let span = span::choose(ring, cut);
    if span.video.is_none() && span.audio.is_none() {
        return Err(span.remarks.into_iter().next().unwrap_or_else(|| {
            "nothing of its time is kept: it is older than the ring, or the source sends nothing encoded"
                .to_owned()
        }));
    }
    let mut made = Made { remarks: span.remarks.clone(), ..Made::default() };
    let shown = Span {
        video: span.video.clone().filter(|_| rules.mask.is_empty()),
        audio: span.audio.clone().filter(|_| rules.audio),
        ..span.clone()
    };
    if shown.video.is_some() || shown.audio.is_some() {
        match mux::write(&shown, &cut.folder.join(CLIP)) {
            Ok((clip, remarks)) => {
                made.clip = Some(clip);
                made.remarks.extend(remarks);
            }
            Err(reason) => made.remarks.push(format!("no clip: {reason}")),
        }
    }
    if let Some(video) = &span.video {
        match picture::take(video, cut.surest, &rules.mask, &cut.folder.join(SNAPSHOT)) {
            Ok(at) => made.snapshot = Some(at.as_secs_f64()),
            Err(reason) => made.remarks.push(format!("no picture: {reason}")),
        }
    }
    if let Some(audio) = &shown.audio {
        match spectrogram::draw(audio, &cut.folder.join(SPECTROGRAM)) {
            Ok(()) => made.spectrogram = true,
            Err(reason) => made.remarks.push(format!("no spectrogram: {reason}")),
        }
    }
    if made.clip.is_none() && made.snapshot.is_none() && !made.spectrogram {
        return Err(made.remarks.join("; "));
    }
    Ok(made)
}

/// Writes a file of a folder that others may read only when it is whole.
fn write(path: &Path, bytes: &[u8]) -> Result<(), String> {
    std::fs::write(path, bytes).map_err(|error| format!("{}: {error}", path.display()))
}
