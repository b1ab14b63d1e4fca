//! Two channels become one. Their mean is silent where one is the other inverted, as a balanced microphone on a stereo input
//! is; then the louder one is heard alone. Pure.

/// The mean is given up when this part of the louder channel's energy is left of it: a voice on one channel alone leaves 1/4.
const LOST: f64 = 1.0 / 16.0;
/// And taken again when this much is.
const BACK: f64 = 1.0 / 8.0;
/// How long energies are remembered, in seconds.
const MEMORY: f64 = 0.25;
/// How long a change takes, in seconds.
const FADE: f64 = 0.01;
/// Mean square below which nothing is decided: -80 dB.
const SILENCE: f64 = 1e-8;

/// Goes on from buffer to buffer.
#[derive(Debug)]
pub(super) struct Downmix {
    rate: f64,
    /// Sums of squares of the mean and of both channels, and of how many samples; older ones weigh less.
    mean: f64,
    channels: [f64; 2],
    weight: f64,
    /// The channel that is heard alone.
    alone: Option<usize>,
    gains: [f32; 2],
}

impl Downmix {
    /// For samples of this rate.
    pub fn new(rate: u32) -> Self {
        let (channels, gains) = ([0.0; 2], [0.5; 2]);
        Self { rate: f64::from(rate.max(1)), mean: 0.0, channels, weight: 0.0, alone: None, gains }
    }

    /// One channel of interleaved pairs.
    pub fn mix(&mut self, pairs: &[f32]) -> Vec<f32> {
        let (pairs, _) = pairs.as_chunks::<2>();
        self.measure(pairs);
        self.decide();
        let from = self.gains;
        let to = self.alone.map_or([0.5; 2], |channel| if channel == 0 { [1.0, 0.0] } else { [0.0, 1.0] });
        self.gains = to;
        let fade = if from == to { 0 } else { (self.rate * FADE) as usize };
        let mixed = pairs.iter().enumerate().map(|(at, [left, right])| {
            let part = if at < fade { (at + 1) as f32 / fade as f32 } else { 1.0 };
            let gain = |channel: usize| from[channel] + (to[channel] - from[channel]) * part;
            left * gain(0) + right * gain(1)
        });
        mixed.collect()
    }

    fn measure(&mut self, pairs: &[[f32; 2]]) {
        let forget = (-(pairs.len() as f64) / (self.rate * MEMORY)).exp();
        let [left, right] = &mut self.channels;
        for sum in [&mut self.mean, left, right, &mut self.weight] {
            *sum *= forget;
        }
        for [left, right] in pairs {
            let (left, right) = (f64::from(*left), f64::from(*right));
            self.mean += ((left + right) / 2.0).powi(2);
            self.channels[0] += left * left;
            self.channels[1] += right * right;
        }
        self.weight += pairs.len() as f64;
    }

    fn decide(&mut self) {
        let [left, right] = self.channels;
        let (louder, most) = if right > left { (1, right) } else { (0, left) };
        if most < SILENCE * self.weight {
            return;
        }
        match self.alone {
            None if self.mean < LOST * most => self.alone = Some(louder),
            Some(_) if self.mean > BACK * most => self.alone = None,
            // The other one has become much louder.
            Some(alone) if most > 4.0 * self.channels[alone] => self.alone = Some(louder),
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RATE: u32 = 16_000;

    fn tone(at: usize, hertz: f32) -> f32 {
        (at as f32 * hertz * std::f32::consts::TAU / RATE as f32).sin()
    }

    /// Root mean square of the last half of a second of `pairs`, given in buffers of 20 ms.
    fn level(mut pair: impl FnMut(usize) -> [f32; 2]) -> f32 {
        let mut downmix = Downmix::new(RATE);
        let mut mixed = Vec::new();
        for start in (0..RATE as usize).step_by(320) {
            let pairs: Vec<f32> = (start..start + 320).flat_map(&mut pair).collect();
            mixed.extend(downmix.mix(&pairs));
        }
        let last = &mixed[mixed.len() / 2..];
        (last.iter().map(|sample| sample * sample).sum::<f32>() / last.len() as f32).sqrt()
    }

    #[test]
    fn an_inverted_channel_does_not_silence_the_other() {
        let full = 0.5f32.sqrt();
        assert!((level(|at| [tone(at, 440.0), -tone(at, 440.0)]) - full).abs() < 0.01);
        assert!((level(|at| [0.3 * tone(at, 440.0), -0.4 * tone(at, 440.0)]) - 0.4 * full).abs() < 0.01);
    }

    #[test]
    fn whatever_else_is_heard_is_the_mean() {
        let full = 0.5f32.sqrt();
        assert!((level(|at| [tone(at, 440.0); 2]) - full).abs() < 0.01);
        assert!((level(|at| [tone(at, 440.0), 0.0]) - full / 2.0).abs() < 0.01);
        assert!((level(|at| [tone(at, 440.0), tone(at, 550.0)]) - 0.5).abs() < 0.01);
        assert_eq!(Downmix::new(RATE).mix(&[0.5, 0.25, -1.0, 0.0]), [0.375, -0.5]);
    }

    #[test]
    fn the_mean_is_heard_again_when_the_channels_agree() {
        let half = RATE as usize / 4;
        let level = level(|at| {
            let left = tone(at, 440.0);
            [left, if at < half { -left } else { left }]
        });
        assert!((level - 0.5f32.sqrt()).abs() < 0.01, "{level}");
    }
}
