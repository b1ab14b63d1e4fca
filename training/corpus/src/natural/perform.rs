//! How a recording is played as an event: as it is, looped while it lasts, or again and again.

use std::ops::Range;
use std::sync::Arc;

use super::sounding;
use crate::media::{RATE, repeated};
use crate::packaged::Dice;

/// A recording, mono at 48 kHz, and the spans of it that sound.
#[derive(Debug)]
pub(super) struct Recording {
    /// What time lines call it.
    pub id: String,
    pub samples: Vec<f32>,
    /// In order and apart; at least one.
    pub spans: Vec<Range<usize>>,
}

impl Recording {
    /// From the first sound to the last.
    fn hull(&self) -> Range<usize> {
        let first = self.spans.first().map_or(0, |span| span.start);
        first..self.spans.last().map_or(first, |span| span.end)
    }

    fn longest(&self) -> Range<usize> {
        self.spans.iter().max_by_key(|span| span.len()).cloned().unwrap_or_default()
    }
}

#[derive(Debug)]
enum Play {
    /// From its first sound to its last.
    Once,
    /// Its longest span over and over, so many samples.
    Looped(usize),
    /// From its first sound to its last, beginning at each of these samples.
    Repeated(Vec<usize>),
}

/// A recording as it is played.
#[derive(Debug)]
pub(super) struct Performance {
    pub recording: Arc<Recording>,
    play: Play,
}

/// Samples of a fade at either end, against clicks.
const FADE: usize = RATE as usize / 200;
/// Samples in which a loop runs into its beginning.
const CROSS: usize = RATE as usize / 10;
/// Seconds.
const LOOPED: (f64, f64) = (5.0, 15.0);
const REPEATED: (f64, f64) = (2.5, 7.0);
/// Seconds between repetitions: too few to make two events of one.
const PAUSE: (f64, f64) = (0.2, 0.7);

fn samples(seconds: f64) -> usize {
    (seconds * f64::from(RATE)) as usize
}

impl Performance {
    /// A steady sound is looped in six of ten cases, a short one that comes and goes repeated in half of them.
    pub fn draw(recording: Arc<Recording>, steady: bool, dice: &mut Dice) -> Self {
        let (longest, hull) = (recording.longest(), recording.hull());
        let play = if steady {
            let looped = dice.chance(0.6) && longest.len() > samples(1.0);
            let count = samples(dice.uniform(LOOPED.0, LOOPED.1));
            if looped { Play::Looped(count) } else { Play::Once }
        } else {
            let again = dice.chance(0.5) && recording.spans.len() == 1 && hull.len() < samples(REPEATED.0);
            let least = samples(dice.uniform(REPEATED.0, REPEATED.1));
            let mut starts = vec![0];
            let mut next = hull.len() + samples(dice.uniform(PAUSE.0, PAUSE.1));
            while again && next + hull.len() <= least {
                starts.push(next);
                next += hull.len() + samples(dice.uniform(PAUSE.0, PAUSE.1));
            }
            if again { Play::Repeated(starts) } else { Play::Once }
        };
        Self { recording, play }
    }

    /// As it is.
    pub fn once(recording: Arc<Recording>) -> Self {
        Self { recording, play: Play::Once }
    }

    /// Its longest span over and over.
    pub fn looped(recording: Arc<Recording>, seconds: f64) -> Self {
        Self { recording, play: Play::Looped(samples(seconds)) }
    }

    /// Samples.
    pub fn len(&self) -> usize {
        match &self.play {
            Play::Once => self.recording.hull().len(),
            Play::Looped(count) => *count,
            Play::Repeated(starts) => {
                starts.last().copied().unwrap_or_default() + self.recording.hull().len()
            }
        }
    }

    /// Where it sounds, in samples from its beginning.
    pub fn spans(&self) -> Vec<Range<usize>> {
        match &self.play {
            Play::Once => {
                let start = self.recording.hull().start;
                self.recording.spans.iter().map(|span| span.start - start..span.end - start).collect()
            }
            // One span: the whole of it.
            Play::Looped(_) | Play::Repeated(_) => std::iter::once(0..self.len()).collect(),
        }
    }

    /// Its samples, at a [`level`](sounding::level) of 1.
    pub fn sound(&self) -> Vec<f32> {
        let recorded = |range: Range<usize>| &self.recording.samples[range];
        let mut sound = match &self.play {
            Play::Once => faded(recorded(self.recording.hull()).to_vec()),
            Play::Looped(count) => faded(repeated(&seamless(recorded(self.recording.longest())), *count)),
            Play::Repeated(starts) => {
                let one = faded(recorded(self.recording.hull()).to_vec());
                let mut sound = vec![0.0; self.len()];
                for start in starts {
                    sound[*start..*start + one.len()].copy_from_slice(&one);
                }
                sound
            }
        };
        let level = sounding::level(&sound).max(1e-9);
        sound.iter_mut().for_each(|sample| *sample /= level);
        sound
    }
}

fn faded(mut samples: Vec<f32>) -> Vec<f32> {
    let (count, fade) = (samples.len(), FADE.min(samples.len() / 2));
    for i in 0..fade {
        let gain = i as f32 / fade as f32;
        samples[i] *= gain;
        samples[count - 1 - i] *= gain;
    }
    samples
}

/// A loop whose end runs into its beginning at constant power.
fn seamless(span: &[f32]) -> Vec<f32> {
    let cross = CROSS.min(span.len() / 4);
    let (head, tail) = (&span[..cross], &span[span.len() - cross..]);
    let mut out = span[..span.len() - cross].to_vec();
    for (i, sample) in out[..cross].iter_mut().enumerate() {
        let share = i as f32 / cross as f32;
        *sample = head[i] * share.sqrt() + tail[i] * (1.0 - share).sqrt();
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::packaged::rms;

    fn recording(spans: &[Range<usize>]) -> Arc<Recording> {
        let mut samples = vec![0.0; 5 * RATE as usize];
        for span in spans {
            for i in span.clone() {
                samples[i] = 0.3 * (i as f32 * 0.2).sin();
            }
        }
        Arc::new(Recording { id: "x".into(), samples, spans: spans.to_vec() })
    }

    #[test]
    fn spans_are_where_it_sounds_whatever_is_drawn() {
        let rate = RATE as usize;
        let (short, all) = (rate..rate + rate / 2, 0..5 * rate);
        let apart = [rate / 2..rate, 3 * rate..4 * rate];
        let cases = [std::slice::from_ref(&short), &apart, std::slice::from_ref(&all)];
        for (case, seed) in cases.iter().flat_map(|case| (0..8).map(move |seed| (*case, seed))) {
            for steady in [true, false] {
                let mut dice = Dice::new(seed, "play");
                let performance = Performance::draw(recording(case), steady, &mut dice);
                let (sound, spans) = (performance.sound(), performance.spans());
                assert_eq!(sound.len(), performance.len());
                assert_eq!((spans[0].start, spans.last().expect("one").end), (0, sound.len()));
                assert!((sounding::level(&sound) - 1.0).abs() < 1e-3, "{performance:?}");
                assert!(spans.iter().all(|span| rms(&sound[span.clone()]) > 0.3));
                assert!(spans.windows(2).all(|pair| rms(&sound[pair[0].end..pair[1].start]) < 1e-3));
            }
        }
    }

    #[test]
    fn a_loop_has_no_seam() {
        let whole = 0..2 * RATE as usize;
        let performance = Performance::looped(recording(std::slice::from_ref(&whole)), 9.0);
        let sound = performance.sound();
        assert_eq!(sound.len(), 9 * RATE as usize);
        for tenth in sound[480..sound.len() - 480].chunks(RATE as usize / 10) {
            assert!(rms(tenth) > 0.5, "{}", rms(tenth));
        }
        let most = sound.windows(2).map(|pair| (pair[1] - pair[0]).abs()).fold(0.0, f32::max);
        assert!(most < 0.6, "{most}");
    }
}
