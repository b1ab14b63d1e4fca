//! Where in a recording its sound really is.
//!
//! Blocks of 20 ms sound when their level is within 35 dB of the loudest and, as far as that still leaves what is within 20 dB of it,
//! 10 dB above the quietest tenth of the blocks: what hums on between two barks is no bark. A steady sound has no such floor. Holes
//! shorter than [`HOLE`] are closed; what is left shorter than 60 ms is a click and no event.

use std::ops::Range;

use crate::media::RATE;
use crate::packaged::rms;

/// Samples of a block.
const BLOCK: usize = RATE as usize / 50;
/// dB below the loudest block.
const BELOW: f32 = 35.0;
/// dB above the quietest tenth, but not above [`LOUD`] dB below the loudest.
const ABOVE: f32 = 10.0;
const LOUD: f32 = 20.0;
/// Digital silence is no floor.
const SILENT: f32 = -80.0;
/// Seconds: shorter silences belong to what is before and after.
pub(super) const HOLE: f64 = 1.0;
/// Blocks of the shortest event.
const SHORTEST: usize = 3;

/// The spans of `samples` (mono, 48 kHz) that sound, in samples, in order and apart.
pub(super) fn spans(samples: &[f32], steady: bool) -> Vec<Range<usize>> {
    let levels: Vec<f32> =
        samples.chunks_exact(BLOCK).map(|block| 20.0 * rms(block).max(1e-6).log10()).collect();
    let loudest = levels.iter().copied().fold(f32::MIN, f32::max);
    if levels.is_empty() || loudest <= SILENT {
        return Vec::new();
    }
    let mut threshold = (loudest - BELOW).max(SILENT);
    if !steady {
        let mut audible: Vec<f32> = levels.iter().copied().filter(|level| *level > SILENT).collect();
        audible.sort_by(f32::total_cmp);
        threshold = threshold.max((audible[audible.len() / 10] + ABOVE).min(loudest - LOUD));
    }
    let hole = (HOLE * 50.0) as usize;
    let mut spans: Vec<Range<usize>> = Vec::new();
    for block in (0..levels.len()).filter(|block| levels[*block] >= threshold) {
        match spans.last_mut() {
            Some(last) if block - last.end < hole => last.end = block + 1,
            _ => spans.push(block..block + 1),
        }
    }
    spans.retain(|span| span.len() >= SHORTEST);
    spans.into_iter().map(|span| span.start * BLOCK..span.end * BLOCK).collect()
}

/// The RMS of the blocks within [`LOUD`] dB of the loudest: silence between the ticks of a clock makes it no quieter.
pub(super) fn level(samples: &[f32]) -> f32 {
    let powers = samples.chunks_exact(BLOCK).map(|block| rms(block).powi(2));
    let powers: Vec<f32> = powers.collect();
    let least = powers.iter().copied().fold(0.0, f32::max) * 10f32.powf(-LOUD / 10.0);
    let loud: Vec<f32> = powers.into_iter().filter(|power| *power >= least).collect();
    (loud.iter().sum::<f32>() / loud.len().max(1) as f32).sqrt()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sound(parts: &[(f64, f32)]) -> Vec<f32> {
        let part = |(seconds, level): &(f64, f32)| {
            let count = (seconds * f64::from(RATE)).round() as usize;
            (0..count).map(|i| level * (i as f32 * 0.1).sin()).collect::<Vec<f32>>()
        };
        parts.iter().flat_map(part).collect()
    }

    fn seconds(parts: &[(f64, f32)], steady: bool) -> Vec<[f64; 2]> {
        let rate = f64::from(RATE);
        spans(&sound(parts), steady)
            .into_iter()
            .map(|s| [s.start as f64 / rate, s.end as f64 / rate])
            .collect()
    }

    #[test]
    fn two_barks_far_apart_are_two_and_near_ones_are_one() {
        let barks = |pause| [(0.4, 0.0), (0.3, 0.5), (pause, 0.001), (0.2, 0.4), (0.5, 0.0)];
        assert_eq!(seconds(&barks(2.0), false), [[0.4, 0.7], [2.7, 2.9]]);
        assert_eq!(seconds(&barks(0.9), false), [[0.4, 1.8]]);
    }

    #[test]
    fn what_hums_on_is_no_bark_but_a_steady_sound_is_all_of_it() {
        let parts = [(2.0, 0.02), (0.3, 0.5), (2.0, 0.02)];
        assert_eq!(seconds(&parts, false), [[2.0, 2.3]]);
        assert_eq!(seconds(&parts, true), [[0.0, 4.3]]);
        // Crying with short breaks in it is not cut by its own loudness.
        assert_eq!(seconds(&[(3.0, 0.5), (0.2, 0.1), (1.0, 0.4)], false), [[0.0, 4.2]]);
    }

    #[test]
    fn the_level_is_that_of_what_sounds() {
        let near = |parts: &[(f64, f32)], wanted: f32| {
            let found = level(&sound(parts));
            assert!((found / wanted - 1.0).abs() < 0.05, "{found}, not {wanted}");
        };
        near(&[(1.0, 0.5)], 0.5 / 2f32.sqrt());
        near(&[(0.2, 0.5), (2.0, 0.01), (0.2, 0.5), (1.0, 0.0)], 0.5 / 2f32.sqrt());
        assert_eq!(level(&[]), 0.0);
        assert_eq!(level(&sound(&[(1.0, 0.0)])), 0.0);
    }

    #[test]
    fn silence_and_clicks_are_nothing() {
        assert!(seconds(&[(2.0, 0.0)], true).is_empty());
        assert!(seconds(&[(0.01, 0.5)], true).is_empty());
        assert_eq!(seconds(&[(1.0, 0.5), (1.5, 0.0), (0.04, 0.4), (1.0, 0.0)], true), [[0.0, 1.0]]);
    }
}
