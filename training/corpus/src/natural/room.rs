//! What is heard beneath everything: a quiet stretch of a natural recording in small pieces, at times with noise over it.
//!
//! Beds hold nothing that is told. So of generated noise only what no event sounds like is used: pink and brown noise and hum, not
//! white noise (rain), crackle (a fire), clicks (a clock) or wind.

use std::f32::consts::FRAC_PI_2;

use crate::media::RATE;
use crate::packaged::{Dice, Noise, noise, rms};

/// Samples that one piece overlaps the next by.
const OVERLAP: usize = RATE as usize / 12;

/// A bed of `count` samples and RMS 1, out of pieces of `stretch` (mono, 48 kHz).
pub(super) fn bed(stretch: &[f32], count: usize, dice: &mut Dice) -> Vec<f32> {
    let mut bed = levelled(pieces(stretch, count, dice), 1.0);
    if dice.chance(0.5) {
        let kind = *dice.pick(&[Noise::Pink, Noise::Brown, Noise::Hum]);
        let level = 10f64.powf(dice.uniform(-12.0, 0.0) / 20.0) as f32;
        // Half a minute of it, over and over: nobody hears that of noise.
        let over = levelled(noise(kind, count.min(30 * RATE as usize), dice), level);
        bed.iter_mut().zip(over.iter().cycle()).for_each(|(sample, noise)| *sample += noise);
    }
    levelled(bed, 1.0)
}

/// Pieces from anywhere in `stretch`, each running into the next at constant power.
fn pieces(stretch: &[f32], count: usize, dice: &mut Dice) -> Vec<f32> {
    let overlap = OVERLAP.min(stretch.len() / 3).max(1);
    let mut bed = vec![0.0; count];
    let mut at = 0;
    while at < count && stretch.len() > 2 * overlap {
        // From just over two overlaps to the whole stretch, so that no rhythm comes of it.
        let share = dice.uniform(0.5, 1.0);
        let length = ((stretch.len() as f64 * share) as usize).max(2 * overlap);
        let from = dice.index(stretch.len() - length + 1);
        for (i, sample) in stretch[from..from + length].iter().enumerate() {
            let edge = i.min(length - 1 - i) as f32 / overlap as f32;
            let fades = edge < 1.0 && !(at == 0 && i < overlap);
            let gain = if fades { (edge * FRAC_PI_2).sin() } else { 1.0 };
            if let Some(out) = bed.get_mut(at + i) {
                *out += gain * sample;
            }
        }
        at += length - overlap;
    }
    bed
}

fn levelled(mut samples: Vec<f32>, level: f32) -> Vec<f32> {
    let factor = level / rms(&samples).max(1e-9);
    samples.iter_mut().for_each(|sample| *sample *= factor);
    samples
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bed_is_as_loud_everywhere() {
        let stretch = noise(Noise::White, RATE as usize, &mut Dice::new(1, "stretch"));
        for seed in 0..4 {
            let bed = bed(&stretch, 10 * RATE as usize, &mut Dice::new(seed, "bed"));
            assert_eq!(bed.len(), 10 * RATE as usize);
            assert!((rms(&bed) - 1.0).abs() < 1e-3);
            for second in bed.chunks(RATE as usize) {
                let level = 20.0 * rms(second).log10();
                assert!(level.abs() < 3.0, "{level} dB");
            }
        }
    }

    #[test]
    fn nothing_gives_silence() {
        assert!(pieces(&[], 100, &mut Dice::new(1, "x")).iter().all(|sample| *sample == 0.0));
        assert_eq!(bed(&[0.5; 3], 10, &mut Dice::new(1, "x")).len(), 10);
    }
}
