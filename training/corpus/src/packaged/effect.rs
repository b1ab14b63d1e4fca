//! What a class sounds like while its event lasts. Mono at 48 kHz; levels are RMS.

use realfft::RealFftPlanner;

use super::dice::Dice;
use crate::media::RATE;

/// The level of every effect before a performance changes it.
pub(super) const LEVEL: f32 = 0.1;

/// Blocks of 20 ms are loud or silent as a whole.
const BLOCK: usize = RATE as usize / 50;

/// The root of the mean square.
pub(crate) fn rms(samples: &[f32]) -> f32 {
    (samples.iter().map(|sample| f64::from(sample * sample)).sum::<f64>() / samples.len().max(1) as f64)
        .sqrt() as f32
}

/// `samples` at another level; silence stays silence.
pub(super) fn levelled(mut samples: Vec<f32>, level: f32) -> Vec<f32> {
    let factor = level / rms(&samples).max(1e-6);
    samples.iter_mut().for_each(|sample| *sample *= factor);
    samples
}

/// A recording without its silences, at [`LEVEL`]: pauses in a recording would be no evidence while the event lasts.
pub(super) fn dense(recording: &[f32]) -> Vec<f32> {
    let blocks: Vec<&[f32]> = recording.chunks_exact(BLOCK).collect();
    let power = |block: &&[f32]| 10.0 * (rms(block).powi(2) + 1e-10).log10();
    let levels: Vec<f32> = blocks.iter().map(power).collect();
    let loudest = levels.iter().copied().fold(f32::MIN, f32::max);
    // 32 dB below the loudest is silence, unless it is within 80 ms of what is not.
    let loud =
        |i: usize| levels[i.saturating_sub(4)..(i + 5).min(levels.len())].iter().any(|l| *l > loudest - 32.0);
    let kept: Vec<f32> = (0..blocks.len()).filter(|i| loud(*i)).flat_map(|i| blocks[i]).copied().collect();
    levelled(if kept.is_empty() { recording.to_vec() } else { kept }, LEVEL)
}

/// An effect over and over for `count` samples: random speed (with pitch), tone, starting point, level and short pauses.
pub(super) fn performance(effect: &[f32], count: usize, dice: &mut Dice) -> Vec<f32> {
    let speed = dice.uniform(-0.13, 0.13).exp();
    let mut looped = equalised(faster(effect, speed), dice);
    if dice.chance(0.5) {
        let pause = (f64::from(RATE) * dice.uniform(0.02, 0.2)) as usize;
        looped.resize(looped.len() + pause, 0.0);
    }
    let start = dice.index(looped.len());
    let mut out: Vec<f32> = looped.iter().copied().cycle().skip(start).take(count).collect();
    let fade = (count / 2).min(480);
    for i in 0..fade {
        let share = i as f32 / (fade - 1).max(1) as f32;
        out[i] *= share;
        out[count - 1 - i] *= share;
    }
    let gain = 10f64.powf(dice.uniform(-7.0, 5.0) / 20.0) as f32;
    out.iter_mut().for_each(|sample| *sample *= gain);
    out
}

/// `speed` times as fast, and as high.
fn faster(samples: &[f32], speed: f64) -> Vec<f32> {
    if samples.len() < 2 {
        return samples.to_vec();
    }
    let count = ((samples.len() - 1) as f64 / speed).ceil() as usize;
    let value = |i: usize| {
        let place = (i as f64 * speed).min((samples.len() - 1) as f64);
        let (left, share) = (place as usize, place.fract() as f32);
        let right = samples.get(left + 1).copied().unwrap_or_default();
        samples[left] * (1.0 - share) + right * share
    };
    (0..count.max(1)).map(value).collect()
}

/// A gentle random tone control: gains of up to 5 dB at six frequencies, straight lines between on a logarithmic axis.
fn equalised(samples: Vec<f32>, dice: &mut Dice) -> Vec<f32> {
    let (low, high) = (60f64.ln(), 20_000f64.ln());
    let gains: Vec<f64> = (0..6).map(|_| dice.uniform(-5.0, 5.0)).collect();
    filtered(samples, |hertz| {
        let place = (((hertz + 1.0).ln() - low) / (high - low) * 5.0).clamp(0.0, 5.0);
        let (left, share) = (place as usize, place.fract());
        let right = gains.get(left + 1).copied().unwrap_or_default();
        10f64.powf((gains[left] * (1.0 - share) + right * share) / 20.0)
    })
}

/// `samples` with every frequency (Hz) made `gain` times as strong.
pub(super) fn filtered(mut samples: Vec<f32>, gain: impl Fn(f64) -> f64) -> Vec<f32> {
    let count = samples.len();
    if count < 2 {
        return samples;
    }
    let mut planner = RealFftPlanner::<f32>::new();
    let (forward, inverse) = (planner.plan_fft_forward(count), planner.plan_fft_inverse(count));
    let mut spectrum = forward.make_output_vec();
    forward.process(&mut samples, &mut spectrum).expect("the buffers are the plan's");
    for (i, value) in spectrum.iter_mut().enumerate() {
        let hertz = i as f64 * f64::from(RATE) / count as f64;
        *value *= gain(hertz) as f32 / count as f32;
    }
    inverse.process(&mut spectrum, &mut samples).expect("ends of the spectrum stay real");
    samples
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn tone(hertz: f32, level: f32, seconds: f32) -> Vec<f32> {
        let count = (seconds * RATE as f32) as usize;
        let value = |i: usize| (std::f32::consts::TAU * hertz * i as f32 / RATE as f32).sin();
        levelled((0..count).map(value).collect(), level)
    }

    #[test]
    fn silences_go_and_the_level_is_set() {
        let recording = [tone(500.0, 0.3, 0.5), vec![0.0; RATE as usize], tone(500.0, 0.02, 0.25)].concat();
        let effect = dense(&recording);
        let seconds = effect.len() as f32 / RATE as f32;
        // Half a second, a quarter, and 80 ms of tail at two edges.
        assert!((0.85..0.95).contains(&seconds), "{seconds}");
        assert!((rms(&effect) - LEVEL).abs() < 1e-4);
        assert_eq!(dense(&[]), Vec::<f32>::new());
        assert!(dense(&vec![0.0; 5000]).iter().all(|sample| *sample == 0.0));
    }

    #[test]
    fn filters_touch_only_what_they_should() {
        let both = tone(300.0, 0.1, 1.0).iter().zip(tone(6000.0, 0.1, 1.0)).map(|(a, b)| a + b).collect();
        let low = filtered(both, |hertz| if hertz < 1000.0 { 1.0 } else { 0.0 });
        let error: f32 =
            low.iter().zip(tone(300.0, 0.1, 1.0)).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
        assert!(error < 1e-3, "{error}");
    }

    #[test]
    fn faster_is_shorter_and_higher() {
        let fast = faster(&tone(400.0, 0.1, 1.0), 1.25);
        assert!(fast.len().abs_diff(RATE as usize * 4 / 5) <= 1);
        let crossings = fast.windows(2).filter(|pair| pair[0] < 0.0 && pair[1] >= 0.0).count();
        assert!((398..=402).contains(&crossings), "400 periods in 0.8 s: {crossings}");
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(24))]
        #[test]
        fn performances_have_their_length_and_levels(seed in 0u64..10_000, count in 1usize..60_000) {
            let effect = tone(700.0, LEVEL, 0.3);
            let sound = performance(&effect, count, &mut Dice::new(seed, "x"));
            prop_assert_eq!(sound.len(), count);
            // -7..5 dB, and the tone control's 5 dB; pauses and fades only lower it.
            let most = LEVEL * 10f32.powf(10.5 / 20.0);
            prop_assert!(rms(&sound) <= most * 1.5, "{}", rms(&sound));
            if count > 30_000 {
                prop_assert!(rms(&sound) >= LEVEL * 10f32.powf(-12.5 / 20.0) * 0.5);
            }
        }
    }
}
