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
    ///
    /// Of a modality that the model has no encoder for, nothing is encoded.
    pub(super) fn encode(&self, windows: &[&WindowInput]) -> Encoded {
        let mut encoded = Encoded { troubles: windows.iter().map(|_| None).collect(), frames: 0, clips: 0 };
        if let Some(vision) = &self.vision {
            let slots = windows.iter().map(|window| window.visual.as_slice());
            let (count, troubles) = run(slots, &|frames: &[&RgbFrame]| vision.encode(frames));
            encoded.frames = count;
            encoded.add("visual", troubles);
        }
        if let Some(audio) = &self.audio {
            let slots = windows.iter().map(|window| window.audio.as_slice());
            let (count, troubles) = run(slots, &|clips: &[&AudioClip]| audio.encode(clips));
            encoded.clips = count;
            encoded.add("audio", troubles);
        }
        encoded
    }
}

impl Encoded {
    /// Notes the troubles of a modality; a window's first one counts.
    fn add(&mut self, modality: &'static str, troubles: Vec<Trouble>) {
        for (known, new) in self.troubles.iter_mut().zip(troubles) {
            let name = |(slot, source)| LocalizerError::Sample { modality, slot, source };
            *known = known.take().or_else(|| new.map(name));
        }
    }
}

type Slots<'a, I> = &'a [Option<Arc<EncodeOnce<I>>>];
/// The slot that has no embedding, and why.
type Trouble = Option<(usize, EncoderError)>;

/// Encodes the samples of one modality; how many were new, and for each window its trouble.
fn run<'a, I: 'a>(
    windows: impl Iterator<Item = Slots<'a, I>> + Clone,
    encode: &impl Fn(&[&I]) -> Vec<Result<Embedding, EncoderError>>,
) -> (usize, Vec<Trouble>) {
    let mut seen = HashSet::new();
    let mut taken = Vec::new();
    for sample in windows.clone().flatten().flatten() {
        if sample.embedding().is_none() && seen.insert(Arc::as_ptr(sample)) {
            taken.extend(Taken::of(sample));
        }
    }
    let mut failed = Vec::new();
    let count = finish(taken, encode, &mut failed);
    let mut total = count;
    let troubles = windows
        .map(|slots| {
            slots.iter().enumerate().find_map(|(slot, sample)| {
                let sample = sample.as_ref()?;
                let known = failed.iter().find(|(cell, _)| *cell == Arc::as_ptr(sample));
                if let Some((_, error)) = known {
                    return Some((slot, error.clone()));
                }
                match wait(sample, encode) {
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
    encode: &impl Fn(&[&I]) -> Vec<Result<Embedding, EncoderError>>,
    failed: &mut Vec<(*const EncodeOnce<I>, EncoderError)>,
) -> usize {
    if taken.is_empty() {
        return 0;
    }
    let inputs: Vec<&I> = taken.iter().filter_map(|taken| taken.input.as_ref()).collect();
    let embeddings = encode(&inputs);
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
    encode: &impl Fn(&[&I]) -> Vec<Result<Embedding, EncoderError>>,
) -> Result<usize, EncoderError> {
    let start = Instant::now();
    while sample.embedding().is_none() {
        if let Some(taken) = Taken::of(sample) {
            let mut failed = Vec::new();
            let count = finish(vec![taken], encode, &mut failed);
            return failed.pop().map_or(Ok(count), |(_, error)| Err(error));
        }
        if start.elapsed() > PATIENCE {
            return Err(EncoderError::Busy { seconds: PATIENCE.as_secs() });
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
