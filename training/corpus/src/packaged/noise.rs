//! What is heard beneath a scene: a noise bed, at times with talk in it. Mono at 48 kHz.

use std::f64::consts::TAU;
use std::path::PathBuf;

use super::PackagedError;
use super::dice::Dice;
use super::effect::{LEVEL, filtered, rms};
use super::stamps::Stamps;
use crate::Split;
use crate::media::RATE;

/// What a bed is made of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Noise {
    White,
    Pink,
    Brown,
    Hum,
    Crackle,
    Wind,
    Clicks,
}

use Noise::{Brown, Clicks, Crackle, Hum, Pink, White, Wind};

/// Those of every split.
const COMMON: [Noise; 5] = [White, Pink, Brown, Hum, Crackle];
/// Those of test clips only.
const HELD_OUT: [Noise; 2] = [Wind, Clicks];

impl Noise {
    /// Those of a split; one that stands there twice is drawn twice as often.
    pub fn of(split: Split) -> Vec<Self> {
        let mut noises = COMMON.to_vec();
        if split == Split::Test {
            noises.extend([HELD_OUT; 2].concat());
        }
        noises
    }
}

/// A noise bed.
pub(super) struct Bed {
    pub samples: Vec<f32>,
    /// Whether somebody talks in it.
    #[cfg_attr(not(test), expect(dead_code, reason = "tests judge levels by it"))]
    pub talk: bool,
}

/// A bed of `count` samples, from nearly silent (-80 dB) to as loud as a quiet event (-34 dB); one of five has talk in it.
pub(super) fn bed(
    count: usize,
    dice: &mut Dice,
    stamps: &Stamps,
    split: Split,
) -> Result<Bed, PackagedError> {
    let kind = *dice.pick(&Noise::of(split));
    let mut samples = raw(kind, count, dice);
    let level = LEVEL * decibels(dice.uniform(-60.0, -14.0));
    let factor = level / rms(&samples).max(1e-9);
    samples.iter_mut().for_each(|sample| *sample *= factor);
    let talk = dice.chance(0.2);
    if talk {
        let file: &PathBuf = dice.pick(stamps.talk(split));
        let voice = stamps.sound(file)?;
        let gain = LEVEL * decibels(dice.uniform(-16.0, -2.0)) / rms(&voice).max(1e-6);
        let at = dice.index(count.saturating_sub(voice.len()).max(1));
        for (sample, voice) in samples[at.min(count)..].iter_mut().zip(voice.iter()) {
            *sample += gain * voice;
        }
    }
    Ok(Bed { samples, talk })
}

fn decibels(db: f64) -> f32 {
    10f64.powf(db / 20.0) as f32
}

/// A noise of any level.
pub(crate) fn raw(kind: Noise, count: usize, dice: &mut Dice) -> Vec<f32> {
    let white = dice.normals(count);
    match kind {
        White => white,
        Pink => coloured(white, 0.5),
        Brown => coloured(white, 1.0),
        Wind => {
            let mut blown = coloured(white, 1.3);
            // A gust about every second.
            let gusts: Vec<f32> =
                (0..count / RATE as usize + 2).map(|_| dice.uniform(0.1, 1.0) as f32).collect();
            for (i, sample) in blown.iter_mut().enumerate() {
                let place = i as f32 * (gusts.len() - 1) as f32 / (count - 1).max(1) as f32;
                let (left, share) = (place as usize, place.fract());
                let right = gusts.get(left + 1).copied().unwrap_or_default();
                *sample *= gusts[left] * (1.0 - share) + right * share;
            }
            blown
        }
        Hum => {
            let base = dice.uniform(45.0, 130.0);
            let phases: Vec<f64> = (0..6).map(|_| dice.uniform(0.0, 6.0)).collect();
            let hum = |i: usize| {
                let time = i as f64 / f64::from(RATE);
                let part = |(k, phase): (f64, &f64)| (TAU * base * k * time + phase).sin() / k;
                (1..=6).map(f64::from).zip(&phases).map(part).sum::<f64>() as f32
            };
            white.iter().enumerate().map(|(i, noise)| hum(i) + 0.1 * noise).collect()
        }
        Crackle => struck(white, (5.0, 60.0), dice),
        Clicks => struck(white, (1.0, 4.0), dice),
    }
}

/// Weaker towards high frequencies.
fn coloured(white: Vec<f32>, exponent: f64) -> Vec<f32> {
    filtered(white, |hertz| (hertz + 20.0).powf(-exponent))
}

/// Hits at random times, so many a second, that die away, over a little noise.
fn struck(white: Vec<f32>, (least, most): (f64, f64), dice: &mut Dice) -> Vec<f32> {
    let share = dice.uniform(least, most) / f64::from(RATE);
    let fading = dice.uniform(5.0, 60.0);
    let tail: Vec<f32> = (0..200).map(|i| (-f64::from(i) / fading).exp() as f32).collect();
    let mut out: Vec<f32> = white.iter().map(|noise| 0.2 * noise).collect();
    let strengths = dice.normals(white.len());
    for (at, strength) in strengths.iter().enumerate() {
        if dice.chance(share) {
            for (sample, fading) in out[at..].iter_mut().zip(&tail) {
                *sample += 30.0 * strength * fading;
            }
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_has_its_length_and_sounds() {
        for kind in Noise::of(Split::Test) {
            for count in [1, 999, 48_000] {
                let samples = raw(kind, count, &mut Dice::new(3, "noise"));
                assert_eq!(samples.len(), count);
                assert!(samples.iter().all(|sample| sample.is_finite()), "{kind:?}");
            }
            assert!(rms(&raw(kind, 48_000, &mut Dice::new(3, "noise"))) > 0.0);
        }
    }

    #[test]
    fn held_out_noises_are_in_test_clips_only() {
        for split in [Split::Train, Split::Validation] {
            assert!(!Noise::of(split).iter().any(|noise| HELD_OUT.contains(noise)));
        }
        assert_eq!(Noise::of(Split::Test).iter().filter(|noise| HELD_OUT.contains(noise)).count(), 4);
    }

    #[test]
    fn beds_keep_their_levels() {
        let stamps = Stamps::open(std::path::Path::new(super::super::stamps::FOLDER)).expect("installed");
        for seed in 0..12 {
            let mut dice = Dice::new(seed, "bed");
            let bed = bed(24_000, &mut dice, &stamps, Split::Train).expect("made");
            let level = 20.0 * rms(&bed.samples).log10();
            let most = if bed.talk { -12.0 } else { -33.9 };
            assert!((-80.1..most).contains(&level), "{seed}: {level} dB");
        }
    }
}
