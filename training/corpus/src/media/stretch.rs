//! Sound made longer or shorter with its pitch kept: overlapping pieces of the source are laid at another distance, each
//! taken from where it continues the last one best (WSOLA: Verhelst and Roelands, 1993).

/// Samples a piece overlaps the next by, and the distance of pieces in the result: 20 ms.
const HOP: usize = 960;
/// A piece.
const PIECE: usize = 2 * HOP;
/// How far a piece may be moved for a better fit, either way: 12 ms, a period of 42 Hz in all.
const REACH: isize = 576;
/// The first search looks at every so many places and samples.
const COARSE: usize = 6;

/// `samples` stretched to `length` samples.
pub(crate) fn stretch(samples: &[f32], length: usize) -> Vec<f32> {
    if samples.len() == length {
        return samples.to_vec();
    }
    if samples.len() < 2 * PIECE || length < 2 * PIECE {
        return repeated(samples, length);
    }
    let window: Vec<f32> =
        (0..PIECE).map(|i| (std::f32::consts::PI * (i as f32 + 0.5) / PIECE as f32).sin().powi(2)).collect();
    // Half a piece lies before the beginning, so that every sample of the result lies under two pieces.
    let pieces = length.div_ceil(HOP) + 1;
    let mut out = vec![0.0; pieces * HOP + HOP];
    let ratio = (samples.len() - HOP) as f64 / (pieces - 1).max(1) as f64;
    let last = samples.len() as isize - HOP as isize;
    let mut natural: Option<isize> = None;
    for number in 0..pieces {
        let ideal = ((number as f64 * ratio).round() as isize - HOP as isize).min(last - HOP as isize);
        let at = natural.map_or(ideal, |natural| best(samples, natural, ideal));
        for (i, weight) in window.iter().enumerate() {
            let sample = usize::try_from(at + i as isize).ok().and_then(|i| samples.get(i));
            out[number * HOP + i] += weight * sample.copied().unwrap_or(0.0);
        }
        natural = Some(at + HOP as isize);
    }
    out.drain(..HOP);
    out.truncate(length);
    out
}

/// `samples` over and over, or only their beginning, to `length` samples.
pub(crate) fn repeated(samples: &[f32], length: usize) -> Vec<f32> {
    if samples.is_empty() {
        return vec![0.0; length];
    }
    samples.iter().copied().cycle().take(length).collect()
}

/// Where around `ideal` the source is most like what would come at `natural`.
fn best(samples: &[f32], natural: isize, ideal: isize) -> isize {
    let likeness = |at: isize, step: usize| -> f32 {
        let (mut product, mut energy) = (0.0, 1e-9);
        let value =
            |at: isize| usize::try_from(at).ok().and_then(|at| samples.get(at)).copied().unwrap_or(0.0);
        for i in (0..HOP as isize).step_by(step) {
            let sample = value(at + i);
            product += value(natural + i) * sample;
            energy += sample * sample;
        }
        product / energy.sqrt()
    };
    let pick = |candidates: &mut dyn Iterator<Item = isize>, step: usize| {
        let scored = candidates.map(|at| (likeness(at, step), at));
        // On a tie the first one: silence is not moved to the far end.
        scored.fold((f32::NEG_INFINITY, ideal), |best, new| if new.0 > best.0 { new } else { best }).1
    };
    // The middle first, for ties.
    let mut rough = std::iter::once(ideal).chain((ideal - REACH..=ideal + REACH).step_by(COARSE));
    let near = pick(&mut rough, COARSE);
    let reach = COARSE as isize - 1;
    pick(&mut std::iter::once(near).chain(near - reach..=near + reach), 1)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::RATE;
    use super::*;

    fn tone(hertz: f32, count: usize) -> Vec<f32> {
        (0..count).map(|i| 0.5 * (std::f32::consts::TAU * hertz * i as f32 / RATE as f32).sin()).collect()
    }

    fn rms(samples: &[f32]) -> f32 {
        (samples.iter().map(|s| s * s).sum::<f32>() / samples.len() as f32).sqrt()
    }

    /// Upward zero crossings per second.
    fn pitch(samples: &[f32]) -> f32 {
        let crossings = samples.windows(2).filter(|pair| pair[0] < 0.0 && pair[1] >= 0.0).count();
        crossings as f32 * RATE as f32 / samples.len() as f32
    }

    #[test]
    fn pitch_and_level_stay() {
        for hertz in [110.0, 440.0, 1500.0] {
            let source = tone(hertz, 3 * RATE as usize);
            for scale in [0.5, 0.8, 1.3, 2.0] {
                let out = stretch(&source, (source.len() as f64 * scale) as usize);
                let middle = &out[4800..out.len() - 4800];
                assert!(
                    (pitch(middle) / hertz - 1.0).abs() < 0.01,
                    "{hertz} Hz x {scale}: {}",
                    pitch(middle)
                );
                let level = rms(middle) / rms(&source);
                assert!((0.93..1.07).contains(&level), "{hertz} Hz x {scale}: level {level}");
            }
        }
    }

    #[test]
    fn what_happens_in_the_middle_stays_there() {
        let mut source = vec![0.0; 4 * RATE as usize];
        let burst = tone(700.0, RATE as usize / 2);
        source[2 * RATE as usize..][..burst.len()].copy_from_slice(&burst);
        for scale in [0.5, 1.7] {
            let out = stretch(&source, (source.len() as f64 * scale) as usize);
            let loud: Vec<usize> = (0..out.len()).filter(|i| out[*i].abs() > 0.1).collect();
            let seconds = |i: Option<&usize>| i.map_or(f64::NAN, |i| *i as f64 / f64::from(RATE));
            assert!((seconds(loud.first()) - 2.0 * scale).abs() < 0.04, "{:?}", seconds(loud.first()));
            assert!((seconds(loud.last()) - 2.5 * scale).abs() < 0.04, "{:?}", seconds(loud.last()));
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(48))]
        #[test]
        fn any_length_is_reached_and_nothing_is_louder(count in 0usize..30_000, length in 0usize..60_000, seed in 1u32..1000) {
            let mut state = seed;
            let source: Vec<f32> = (0..count).map(|_| {
                state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                (state >> 16) as f32 / 32_768.0 - 1.0
            }).collect();
            let out = stretch(&source, length);
            prop_assert_eq!(out.len(), length);
            prop_assert!(out.iter().all(|sample| sample.is_finite() && sample.abs() <= 1.001));
        }
    }
}
