//! The samples of a batch of windows that are not encoded yet, each taken and encoded once, by the parts whose turn it is.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::{AudioEncoder, Encoder, EncoderError, Runtime, VisionEncoder};
use crate::manifest::{Located, Manifest};
use crate::sample::{AudioClip, Embedding, EncodeOnce, Encoding, RgbFrame};
use crate::vocabulary::{Vocabulary, VocabularyError};

/// How long a batch waits for a sample that another thread is encoding. A call into an encoder takes far less; who
/// took a sample and never finished must not hold up others for good.
const PATIENCE: Duration = Duration::from_secs(60);

/// Both encoders, as far as the model has them.
pub struct Encoders {
    vision: Option<VisionEncoder>,
    audio: Option<AudioEncoder>,
    vocabulary: Option<Arc<Vocabulary>>,
}

/// Why encoders could not be loaded.
#[derive(Debug, thiserror::Error)]
pub enum EncodersError {
    /// An encoder.
    #[error(transparent)]
    Encoder(#[from] EncoderError),
    /// What their classes are called.
    #[error(transparent)]
    Vocabulary(#[from] VocabularyError),
}

/// The cells of one modality of a window.
pub type Slots<'a, I> = &'a [Option<Arc<EncodeOnce<I>>>];

/// The cells of a window.
#[derive(Debug, Clone, Copy)]
pub struct Cells<'a> {
    /// Frames by slot.
    pub visual: Slots<'a, RgbFrame>,
    /// Clips by slot.
    pub audio: Slots<'a, AudioClip>,
}

/// The embeddings of a window by slot; `None`: there was no sample.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Rows {
    /// Of frames.
    pub visual: Vec<Option<Embedding>>,
    /// Of clips.
    pub audio: Vec<Option<Embedding>>,
}

/// What became of the samples of a batch.
#[derive(Debug)]
pub struct Encoded {
    /// For each window: what keeps it from having embeddings.
    pub troubles: Vec<Option<Trouble>>,
    /// Frames that were encoded here.
    pub frames: usize,
    /// Clips that were encoded here.
    pub clips: usize,
}

/// A sample that has no embedding.
#[derive(Debug, Clone)]
pub struct Trouble {
    /// `visual` or `audio`.
    pub modality: &'static str,
    /// Its place in the window.
    pub slot: usize,
    /// Why.
    pub error: EncoderError,
}

impl Encoders {
    /// Loads the encoders of the model that `manifest` describes, and what their classes are called; `located` are its parts, at least
    /// `vision`, `audio` and `vocabulary`.
    ///
    /// # Errors
    /// Names the part, the file and what to do.
    pub fn load(manifest: &Manifest, located: &Located, runtime: &Runtime) -> Result<Self, EncodersError> {
        let vocabulary = manifest.vocabulary.as_ref();
        let vocabulary = vocabulary.map(|file| Vocabulary::load(located.path(file))).transpose()?;
        let path = |file| located.path(file).to_owned();
        let vision = manifest.vision.as_ref().map(|spec| {
            let paths: Vec<_> = spec.parts.iter().map(|part| path(&part.file)).collect();
            VisionEncoder::load(spec, &paths, vocabulary.as_ref(), runtime)
        });
        let audio = manifest.audio.as_ref().map(|spec| {
            let paths: Vec<_> = spec.parts.iter().map(|part| path(&part.file)).collect();
            AudioEncoder::load(spec, &paths, vocabulary.as_ref(), runtime)
        });
        let (vision, audio) = (vision.transpose()?, audio.transpose()?);
        Ok(Self { vision, audio, vocabulary: vocabulary.map(Arc::new) })
    }

    /// What their classes are called; `None`: they have none.
    pub fn vocabulary(&self) -> Option<&Arc<Vocabulary>> {
        self.vocabulary.as_ref()
    }

    /// Encodes what is new in `windows`. A sample in several windows is encoded once by each part that sees it.
    ///
    /// Of a modality that the model has no encoder for, nothing is encoded.
    pub fn encode(&self, windows: &[Cells<'_>]) -> Encoded {
        let mut encoded = Encoded { troubles: windows.iter().map(|_| None).collect(), frames: 0, clips: 0 };
        if let Some(vision) = &self.vision {
            let slots: Vec<_> = windows.iter().map(|window| window.visual).collect();
            let (count, troubles) = run(&slots, vision);
            encoded.frames = count;
            encoded.add("visual", troubles);
        }
        if let Some(audio) = &self.audio {
            let slots: Vec<_> = windows.iter().map(|window| window.audio).collect();
            let (count, troubles) = run(&slots, audio);
            encoded.clips = count;
            encoded.add("audio", troubles);
        }
        encoded
    }

    /// The embeddings of a window whose samples are all encoded.
    ///
    /// # Errors
    /// The modality and the slot of a sample that is not.
    pub fn rows(&self, window: Cells<'_>) -> Result<Rows, (&'static str, usize)> {
        Ok(Rows {
            visual: rows(self.vision.as_ref(), window.visual).map_err(|slot| ("visual", slot))?,
            audio: rows(self.audio.as_ref(), window.audio).map_err(|slot| ("audio", slot))?,
        })
    }
}

fn rows<I: Sync>(encoder: Option<&Encoder<I>>, slots: Slots<'_, I>) -> Result<Vec<Option<Embedding>>, usize> {
    let mut encodings = Vec::with_capacity(slots.len());
    for (slot, sample) in slots.iter().enumerate() {
        encodings.push(match sample {
            Some(sample) => Some(sample.encoding().ok_or(slot)?),
            None => None,
        });
    }
    Ok(match encoder {
        Some(encoder) => encoder.rows(&encodings),
        None => encodings.into_iter().map(|encoding| encoding.map(|e| e.row.clone())).collect(),
    })
}

impl Encoded {
    /// Notes the troubles of a modality; a window's first one counts.
    fn add(&mut self, modality: &'static str, troubles: Vec<Option<(usize, EncoderError)>>) {
        for (known, new) in self.troubles.iter_mut().zip(troubles) {
            let name = |(slot, error)| Trouble { modality, slot, error };
            *known = known.take().or_else(|| new.map(name));
        }
    }
}

/// Encodes the samples of one modality; how many were new, and for each window its trouble.
fn run<I: Sync>(
    windows: &[Slots<'_, I>],
    encoder: &Encoder<I>,
) -> (usize, Vec<Option<(usize, EncoderError)>>) {
    let wanted = turns(windows, &encoder.rates().collect::<Vec<_>>());
    let mut taken = Vec::new();
    for sample in windows.iter().copied().flatten().flatten() {
        // Another thread may have it, or another window of this batch had it taken already.
        if let Some(parts) = wanted.get(&Arc::as_ptr(sample)) {
            taken.extend(Taken::of(sample, *parts));
        }
    }
    let mut failed = Vec::new();
    let mut total = finish(taken, encoder, &mut failed);
    let troubles = windows
        .iter()
        .map(|slots| {
            slots.iter().enumerate().find_map(|(slot, sample)| {
                let sample = sample.as_ref()?;
                let known = failed.iter().find(|(cell, _)| *cell == Arc::as_ptr(sample));
                if let Some((_, error)) = known {
                    return Some((slot, error.clone()));
                }
                match wait(sample, encoder) {
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

/// Which parts are to run on each sample that is not encoded. Of every so many slots of a window a part sees the first that is new,
/// unless it has seen one of them before.
fn turns<I>(windows: &[Slots<'_, I>], rates: &[usize]) -> HashMap<*const EncodeOnce<I>, u32> {
    let mut wanted: HashMap<_, u32> = HashMap::new();
    for slots in windows {
        for sample in slots.iter().flatten().filter(|sample| sample.encoding().is_none()) {
            let parts = if sample.is_whole() { (1 << rates.len()) - 1 } else { 0 };
            wanted.entry(Arc::as_ptr(sample)).or_insert(parts);
        }
        for (part, every) in rates.iter().enumerate() {
            let bit = 1 << part;
            for group in slots.chunks((*every).max(1)) {
                let samples = group.iter().flatten();
                let seen = samples.clone().any(|sample| {
                    sample.encoding().is_some_and(|encoding| encoding.ran & bit != 0)
                        || wanted.get(&Arc::as_ptr(sample)).is_some_and(|parts| parts & bit != 0)
                });
                if seen {
                    continue;
                }
                let first = samples.map(Arc::as_ptr).find(|sample| wanted.contains_key(sample));
                if let Some(first) = first {
                    wanted.entry(first).and_modify(|parts| *parts |= bit);
                }
            }
        }
    }
    wanted
}

/// Encodes what was taken; how many, and those that failed with the reason.
fn finish<I: Sync>(
    taken: Vec<Taken<'_, I>>,
    encoder: &Encoder<I>,
    failed: &mut Vec<(*const EncodeOnce<I>, EncoderError)>,
) -> usize {
    if taken.is_empty() {
        return 0;
    }
    let inputs: Vec<(&I, u32)> =
        taken.iter().filter_map(|taken| Some((taken.input.as_ref()?, taken.parts))).collect();
    let encodings = encoder.encode_parts(&inputs);
    let mut count = 0;
    for (taken, encoding) in taken.into_iter().zip(encodings) {
        match encoding {
            Ok(encoding) => {
                taken.fill(encoding);
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
fn wait<I: Sync>(sample: &Arc<EncodeOnce<I>>, encoder: &Encoder<I>) -> Result<usize, EncoderError> {
    let deadline = Instant::now() + PATIENCE;
    while sample.encoding().is_none() {
        if let Some(taken) = Taken::of(sample, u32::MAX) {
            let mut failed = Vec::new();
            let count = finish(vec![taken], encoder, &mut failed);
            return failed.pop().map_or(Ok(count), |(_, error)| Err(error));
        }
        if !sample.wait_until(deadline) {
            return Err(EncoderError::Busy { seconds: PATIENCE.as_secs() });
        }
    }
    Ok(0)
}

/// A sample's input on its way through an encoder; it goes back where it came from unless an encoding takes its place.
struct Taken<'a, I> {
    sample: &'a Arc<EncodeOnce<I>>,
    /// The parts that are to run on it, a bit each.
    parts: u32,
    input: Option<I>,
}

impl<'a, I> Taken<'a, I> {
    fn of(sample: &'a Arc<EncodeOnce<I>>, parts: u32) -> Option<Self> {
        sample.take_input().map(|input| Self { sample, parts, input: Some(input) })
    }

    fn fill(mut self, encoding: Encoding) {
        self.input = None;
        self.sample.fill(encoding);
    }
}

impl<I> Drop for Taken<'_, I> {
    fn drop(&mut self) {
        if let Some(input) = self.input.take() {
            self.sample.put_back(input);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cells(count: usize) -> Vec<Option<Arc<EncodeOnce<u8>>>> {
        (0..count).map(|index| Some(Arc::new(EncodeOnce::new(index as u8)))).collect()
    }

    fn parts(
        wanted: &HashMap<*const EncodeOnce<u8>, u32>,
        cells: &[Option<Arc<EncodeOnce<u8>>>],
    ) -> Vec<u32> {
        cells.iter().flatten().map(|cell| wanted.get(&Arc::as_ptr(cell)).copied().unwrap_or(99)).collect()
    }

    #[test]
    fn a_slow_part_sees_one_of_so_many_slots() {
        let mut window = cells(6);
        assert_eq!(parts(&turns(&[&window], &[1, 2]), &window), [3, 1, 3, 1, 3, 1]);
        // A frame that is missing has its turn taken by the next one.
        window[2] = None;
        assert_eq!(parts(&turns(&[&window], &[1, 2]), &window), [3, 1, 3, 3, 1]);
    }

    #[test]
    fn windows_that_overlap_share_what_was_seen() {
        let all = cells(6);
        let encoded = |ran| Encoding { row: Arc::from([0.0f32].as_slice()), ran };
        for (index, cell) in all.iter().flatten().take(4).enumerate() {
            cell.fill(encoded(if index % 2 == 0 { 3 } else { 1 }));
        }
        assert_eq!(parts(&turns(&[&all[2..]], &[1, 2]), &all), [99, 99, 99, 99, 3, 1]);
        // A hop that is no multiple of the rate: the group's other cell was seen already.
        assert_eq!(parts(&turns(&[&all[3..]], &[1, 2]), &all), [99, 99, 99, 99, 3, 3]);
        // Two windows of one batch.
        let fresh = cells(4);
        assert_eq!(parts(&turns(&[&fresh[..4], &fresh[2..]], &[1, 2]), &fresh), [3, 1, 3, 1]);
    }

    #[test]
    fn a_sample_that_speaks_for_others_is_seen_by_all_parts() {
        let mut window = cells(4);
        window[1] = Some(Arc::new(EncodeOnce::whole(9)));
        assert_eq!(parts(&turns(&[&window], &[1, 2]), &window), [1, 3, 3, 1]);
    }

    #[test]
    fn one_cell_in_several_slots_is_seen_once() {
        let cell = cells(1).remove(0);
        let window = [cell.clone(), cell.clone(), cell.clone(), cell.clone()];
        assert_eq!(turns(&[&window], &[1, 2]).values().copied().collect::<Vec<_>>(), [3]);
    }
}
