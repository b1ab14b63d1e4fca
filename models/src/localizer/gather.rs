//! The samples of a batch that are not encoded yet, each taken and encoded once.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::{LocalizerError, WindowInput};
use crate::encoder::{AudioEncoder, EncoderError, VisionEncoder};
use crate::sample::{AudioClip, Embedding, EncodeOnce, RgbFrame};

/// How long a batch waits for a sample that another thread is encoding. A call into an encoder takes far less; who
/// took a sample and never finished must not hold up others for good.
const PATIENCE: Duration = Duration::from_secs(60);

/// Both encoders, as far as the model has them.
pub(super) struct Encoders {
    pub vision: Option<VisionEncoder>,
    pub audio: Option<AudioEncoder>,
}

/// What became of the samples of a batch.
pub(super) struct Encoded {
    /// For each window: what keeps it from being answered.
    pub troubles: Vec<Option<LocalizerError>>,
    /// Frames that were encoded here.
    pub frames: usize,
    /// Clips that were encoded here.
    pub clips: usize,
}

impl Encoders {
    /// Encodes what is new in `windows`. A sample in several windows is encoded once.
    pub(super) fn encode(&self, windows: &[WindowInput]) -> Encoded {
        let visual = windows.iter().map(|window| window.visual.as_slice());
        let (frames, no_frames) =
            run(visual, |frames: &[&RgbFrame]| self.vision.as_ref().map(|vision| vision.encode(frames)));
        let audio = windows.iter().map(|window| window.audio.as_slice());
        let (clips, no_clips) =
            run(audio, |clips: &[&AudioClip]| self.audio.as_ref().map(|audio| audio.encode(clips)));
        let name = |modality| move |(slot, source)| LocalizerError::Sample { modality, slot, source };
        let troubles = no_frames
            .into_iter()
            .zip(no_clips)
            .map(|(frame, clip)| frame.map(name("visual")).or_else(|| clip.map(name("audio"))))
            .collect();
        Encoded { troubles, frames, clips }
    }
}

type Slots<'a, I> = &'a [Option<Arc<EncodeOnce<I>>>];
/// The slot that has no embedding, and why.
type Trouble = Option<(usize, EncoderError)>;

/// Encodes the samples of one modality; how many were new, and for each window its trouble.
fn run<'a, I: 'a>(
    windows: impl Iterator<Item = Slots<'a, I>> + Clone,
    encode: impl Fn(&[&I]) -> Option<Vec<Result<Embedding, EncoderError>>>,
) -> (usize, Vec<Trouble>) {
    let mut seen = HashSet::new();
    let mut taken = Vec::new();
    for sample in windows.clone().flatten().flatten() {
        if sample.embedding().is_none() && seen.insert(Arc::as_ptr(sample)) {
            taken.extend(Taken::of(sample));
        }
    }
    let mut failed = Vec::new();
    let count = finish(taken, &encode, &mut failed);
    let mut total = count;
    let troubles = windows
        .map(|slots| {
            slots.iter().enumerate().find_map(|(slot, sample)| {
                let sample = sample.as_ref()?;
                let known = failed.iter().find(|(cell, _)| *cell == Arc::as_ptr(sample));
                if let Some((_, error)) = known {
                    return Some((slot, error.clone()));
                }
                match wait(sample, &encode) {
                    Ok(here) => {
                        total += here;
                        None
                    }
                    Err(error) => Some((slot, error)),
                }
            })
        })
        .collect();
    (total, troubles)
}

/// Encodes what was taken; how many, and those that failed with the reason.
fn finish<I>(
    taken: Vec<Taken<'_, I>>,
    encode: &impl Fn(&[&I]) -> Option<Vec<Result<Embedding, EncoderError>>>,
    failed: &mut Vec<(*const EncodeOnce<I>, EncoderError)>,
) -> usize {
    if taken.is_empty() {
        return 0;
    }
    let inputs: Vec<&I> = taken.iter().filter_map(|taken| taken.input.as_ref()).collect();
    let Some(embeddings) = encode(&inputs) else {
        let reason = "the model has no encoder for it".to_owned();
        let error = EncoderError::Input { part: "missing", reason };
        failed.extend(taken.iter().map(|taken| (Arc::as_ptr(taken.sample), error.clone())));
        return 0;
    };
    let mut count = 0;
    for (taken, embedding) in taken.into_iter().zip(embeddings) {
        match embedding {
            Ok(embedding) => {
                taken.fill(embedding);
                count += 1;
            }
            Err(error) => failed.push((Arc::as_ptr(taken.sample), error)),
        }
    }
    count
}

/// Waits until `sample`, which another thread took, is encoded; takes it over when that thread gave it back.
///
/// Nothing is held while waiting, so two batches that wait for each other's samples both go on.
fn wait<I>(
    sample: &Arc<EncodeOnce<I>>,
    encode: &impl Fn(&[&I]) -> Option<Vec<Result<Embedding, EncoderError>>>,
) -> Result<usize, EncoderError> {
    let start = Instant::now();
    while sample.embedding().is_none() {
        if let Some(taken) = Taken::of(sample) {
            let mut failed = Vec::new();
            let count = finish(vec![taken], encode, &mut failed);
            return failed.pop().map_or(Ok(count), |(_, error)| Err(error));
        }
        if start.elapsed() > PATIENCE {
            let reason = format!("another batch has been encoding this sample for {PATIENCE:?}");
            return Err(EncoderError::Run { part: "other", reason });
        }
        std::thread::sleep(Duration::from_millis(1));
    }
    Ok(0)
}

/// A sample's input on its way through an encoder; it goes back where it came from unless an embedding takes its place.
struct Taken<'a, I> {
    sample: &'a Arc<EncodeOnce<I>>,
    input: Option<I>,
}

impl<'a, I> Taken<'a, I> {
    fn of(sample: &'a Arc<EncodeOnce<I>>) -> Option<Self> {
        sample.take_input().map(|input| Self { sample, input: Some(input) })
    }

    fn fill(mut self, embedding: Embedding) {
        self.input = None;
        self.sample.fill(embedding);
    }
}

impl<I> Drop for Taken<'_, I> {
    fn drop(&mut self) {
        if let Some(input) = self.input.take() {
            self.sample.put_back(input);
        }
    }
}
