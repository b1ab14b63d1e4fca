//! Samples to log-mel, as CLAP's front end and torchaudio's `MelSpectrogram` do it.

use std::sync::Arc;

use realfft::num_complex::Complex;
use realfft::{RealFftPlanner, RealToComplex};

/// The constants of a front end. Window and Fourier transform have the same length.
#[derive(Debug, Clone, PartialEq)]
pub struct MelSpec {
    /// Samples per second.
    pub sample_rate: u32,
    /// Samples of the (periodic Hann) window and of the Fourier transform; even.
    pub fft: usize,
    /// Samples from one frame to the next.
    pub hop: usize,
    /// Mel bins.
    pub mels: usize,
    /// The lowest bin begins here, in Hz.
    pub low: f64,
    /// The highest bin ends here, in Hz.
    pub high: f64,
    /// The mel scale.
    pub scale: MelScale,
    /// Whether the samples go through 16-bit integers first ([`int16_round_trip`]).
    pub int16: bool,
}

/// How frequencies are spaced, and how the triangles of the bins are weighted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MelScale {
    /// `2595 log10(1 + f / 700)`, triangles of height 1: CLAP with fusion.
    Htk,
    /// Linear up to 1 kHz and logarithmic above, triangles of area 1: what Hugging Face takes for CLAP without fusion.
    Slaney,
}

/// Why a front end cannot be made.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum MelError {
    /// A constant is out of its range.
    #[error("the mel front end's {field} is {value}; it must be {must}")]
    Spec {
        /// The constant's name.
        field: &'static str,
        /// What it is.
        value: f64,
        /// What it should be.
        must: &'static str,
    },
}

impl MelSpec {
    /// CLAP's with fusion: 48 kHz through 16 bits, windows of 1024 every 480, 64 HTK bins from 50 to 14,000 Hz.
    pub fn clap() -> Self {
        Self {
            sample_rate: 48_000,
            fft: 1024,
            hop: 480,
            mels: 64,
            low: 50.0,
            high: 14_000.0,
            scale: MelScale::Htk,
            int16: true,
        }
    }

    fn check(&self) -> Result<(), MelError> {
        let (nyquist, fft) = (f64::from(self.sample_rate) / 2.0, self.fft as f64);
        let wrong = |field, value, must| Err(MelError::Spec { field, value, must });
        if self.fft < 2 || !self.fft.is_multiple_of(2) {
            return wrong("fft", fft, "an even number of samples");
        }
        if self.hop == 0 {
            return wrong("hop", 0.0, "at least 1");
        }
        if self.mels == 0 {
            return wrong("mels", 0.0, "at least 1");
        }
        if !(0.0..nyquist).contains(&self.low) {
            return wrong("low", self.low, "from 0 to below half the sample rate");
        }
        if !(self.high > self.low && self.high <= nyquist) {
            return wrong("high", self.high, "above `low` and at most half the sample rate");
        }
        Ok(())
    }
}

/// A ready front end: window, filter bank and Fourier plan are made once. `&self` only, so threads may share one.
pub struct LogMel {
    spec: MelSpec,
    window: Vec<f64>,
    filters: Vec<Filter>,
    /// The frequency bins that some filter takes.
    bins: std::ops::Range<usize>,
    plan: Arc<dyn RealToComplex<f64>>,
}

/// One mel bin: the weights of the frequency bins from `first` on; outside of them they are 0.
#[derive(Debug)]
struct Filter {
    first: usize,
    weights: Vec<f64>,
}

impl LogMel {
    /// [`MelSpec::clap`].
    pub fn clap() -> Self {
        Self::prepared(MelSpec::clap())
    }

    /// A front end with other constants.
    ///
    /// # Errors
    /// When a constant is out of its range.
    pub fn new(spec: MelSpec) -> Result<Self, MelError> {
        spec.check()?;
        Ok(Self::prepared(spec))
    }

    fn prepared(spec: MelSpec) -> Self {
        let filters = filter_bank(&spec);
        let used = filters.iter().filter(|filter| !filter.weights.is_empty());
        let first = used.clone().map(|filter| filter.first).min().unwrap_or(0);
        let end = used.map(|filter| filter.first + filter.weights.len()).max().unwrap_or(0);
        let phase = |i: usize| std::f64::consts::TAU * i as f64 / spec.fft as f64;
        let window = (0..spec.fft).map(|i| 0.5 - 0.5 * phase(i).cos()).collect();
        let plan = RealFftPlanner::new().plan_fft_forward(spec.fft);
        Self { spec, window, filters, bins: first..end, plan }
    }

    /// The constants.
    pub fn spec(&self) -> &MelSpec {
        &self.spec
    }

    /// The window's weights, `[fft]`.
    pub fn window(&self) -> Vec<f32> {
        self.window.iter().map(|weight| *weight as f32).collect()
    }

    /// The filter bank written out, `[fft / 2 + 1, mels]`.
    pub fn filters(&self) -> Vec<f32> {
        let mels = self.spec.mels;
        let mut filters = vec![0.0; (self.spec.fft / 2 + 1) * mels];
        for (mel, filter) in self.filters.iter().enumerate() {
            for (i, weight) in filter.weights.iter().enumerate() {
                filters[(filter.first + i) * mels + mel] = *weight as f32;
            }
        }
        filters
    }

    /// Frames of a clip of this many samples: one for every begun hop and one more; 0 of nothing.
    pub fn frames(&self, samples: usize) -> usize {
        if samples == 0 { 0 } else { samples / self.spec.hop + 1 }
    }

    /// The log-mel of a clip in decibels, `[frames, mels]`: `10 log10(max(power, 1e-10))`.
    ///
    /// Frame `i` is centred on sample `i * hop`; the clip is mirrored at its ends.
    pub fn run(&self, samples: &[f32]) -> Vec<f32> {
        let frames = self.frames(samples.len());
        let padded = self.padded(samples);
        let (fft, mels) = (self.spec.fft, self.spec.mels);
        let mut input = vec![0.0; fft];
        let mut spectrum = vec![Complex::default(); fft / 2 + 1];
        let mut scratch = self.plan.make_scratch_vec();
        let mut power = vec![0.0; fft / 2 + 1];
        let mut out = Vec::with_capacity(frames * mels);
        for frame in 0..frames {
            let at = &padded[frame * self.spec.hop..][..fft];
            for ((x, sample), weight) in input.iter_mut().zip(at).zip(&self.window) {
                *x = f64::from(*sample) * weight;
            }
            let done = self.plan.process_with_scratch(&mut input, &mut spectrum, &mut scratch);
            done.expect("the buffers have the plan's lengths");
            for bin in self.bins.clone() {
                power[bin] = spectrum[bin].norm_sqr();
            }
            out.extend(self.filters.iter().map(|filter| {
                let taken = power[filter.first..].iter().zip(&filter.weights);
                10.0 * (taken.map(|(x, weight)| x * weight).sum::<f64>() as f32).max(1e-10).log10()
            }));
        }
        out
    }

    /// The samples between half a window of mirrored ones at each end.
    fn padded(&self, samples: &[f32]) -> Vec<f32> {
        let half = self.spec.fft / 2;
        let Some(last) = samples.len().checked_sub(1) else { return Vec::new() };
        let mut padded = Vec::with_capacity(samples.len() + 2 * half);
        padded.extend((1..=half).rev().map(|i| samples[mirrored(i, last)]));
        padded.extend_from_slice(samples);
        padded.extend((1..=half).map(|i| samples[last - mirrored(i, last)]));
        if self.spec.int16 {
            int16_round_trip(&mut padded);
        }
        padded
    }
}

/// The index that `distance` steps reach in a clip whose last index is `last`, turning at both ends.
fn mirrored(distance: usize, last: usize) -> usize {
    if last == 0 {
        return 0;
    }
    let along = distance % (2 * last);
    along.min(2 * last - along)
}

/// What the samples become when they are stored as 16-bit integers and read back, CLAP's way: clipped to `[-1, 1]`,
/// times 32,767, cut toward zero, divided by 32,767. What is not a number becomes 0.
pub fn int16_round_trip(samples: &mut [f32]) {
    for sample in samples {
        *sample = f32::from((sample.clamp(-1.0, 1.0) * 32_767.0) as i16) / 32_767.0;
    }
}

/// One filter for every mel bin: a triangle over three neighbouring points of the mel scale.
fn filter_bank(spec: &MelSpec) -> Vec<Filter> {
    let (low, high) = (to_mel(spec.scale, spec.low), to_mel(spec.scale, spec.high));
    let point = |i: usize| to_hertz(spec.scale, low + (high - low) * i as f64 / (spec.mels + 1) as f64);
    let bin_width = f64::from(spec.sample_rate) / spec.fft as f64;
    let filter = |mel: usize| {
        let (left, peak, right) = (point(mel), point(mel + 1), point(mel + 2));
        let height = if spec.scale == MelScale::Slaney { 2.0 / (right - left) } else { 1.0 };
        let weight = |bin: usize| {
            let frequency = bin as f64 * bin_width;
            height * ((frequency - left) / (peak - left)).min((right - frequency) / (right - peak))
        };
        let first = (left / bin_width) as usize + 1;
        let end = ((right / bin_width).ceil() as usize).clamp(first, spec.fft / 2 + 1);
        Filter { first, weights: (first..end).map(weight).collect() }
    };
    (0..spec.mels).map(filter).collect()
}

/// Slaney's scale has 3 mels for 200 Hz up to 15 mels, and 27 mels for a factor of 6.4 above.
const SLANEY_KNEE: (f64, f64) = (1000.0, 15.0);

fn slaney_step() -> f64 {
    6.4f64.ln() / 27.0
}

fn to_mel(scale: MelScale, hertz: f64) -> f64 {
    let (knee_hertz, knee_mel) = SLANEY_KNEE;
    match scale {
        MelScale::Htk => 2595.0 * (1.0 + hertz / 700.0).log10(),
        MelScale::Slaney if hertz < knee_hertz => hertz * 3.0 / 200.0,
        MelScale::Slaney => knee_mel + (hertz / knee_hertz).ln() / slaney_step(),
    }
}

fn to_hertz(scale: MelScale, mel: f64) -> f64 {
    let (knee_hertz, knee_mel) = SLANEY_KNEE;
    match scale {
        MelScale::Htk => 700.0 * (10f64.powf(mel / 2595.0) - 1.0),
        MelScale::Slaney if mel < knee_mel => mel * 200.0 / 3.0,
        MelScale::Slaney => knee_hertz * ((mel - knee_mel) * slaney_step()).exp(),
    }
}
