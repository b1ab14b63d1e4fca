//! Length, hop and slots of a stream's windows, and what they may be.

use std::time::Duration;

use avicuna_models::manifest::Manifest;
use thiserror::Error;

use crate::timeline::Grid;

/// The shape of a stream's windows.
///
/// Window `k` covers `[k * hop, k * hop + length)`. It has `visual_slots` slots of `length / visual_slots` for frames,
/// and `audio_slots` slots of `length / audio_slots` for clips of `clip`, each centred on its slot. The hop is a
/// multiple of both slot periods, so that overlapping windows share their slots.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct WindowSpec {
    /// What a window covers.
    pub length: Duration,
    /// From one window's start to the next one's.
    pub hop: Duration,
    /// Frames in a window; 0 when the model does not see.
    pub visual_slots: usize,
    /// Clips in a window; 0 when the model does not hear.
    pub audio_slots: usize,
    /// Samples per second; not used when `audio_slots` is 0.
    pub sample_rate: u32,
    /// How long a clip is; longer than its slot or shorter. Not used when `audio_slots` is 0.
    pub clip: Duration,
    /// How much stream time a window waits for late data after the source said that none will come.
    pub patience: Duration,
}

impl WindowSpec {
    /// The windows a model wants, not checked yet: as long as it was trained with, and half a window from one to the next,
    /// where nothing else is said.
    pub fn of(
        manifest: &Manifest,
        length: Option<Duration>,
        hop: Option<Duration>,
        patience: Duration,
    ) -> Self {
        let length = length.unwrap_or_else(|| Duration::from_secs_f64(manifest.window.seconds));
        let audio = manifest.audio.as_ref();
        Self {
            length,
            hop: hop.unwrap_or(length / 2),
            visual_slots: manifest.window.visual_tokens,
            audio_slots: manifest.window.audio_tokens,
            sample_rate: audio.map_or(0, |audio| audio.sample_rate),
            clip: audio.map_or(Duration::ZERO, |audio| Duration::from_secs_f64(audio.clip_seconds)),
            patience,
        }
    }
}

/// The longest window, and the longest clip.
const LONGEST: Duration = Duration::from_secs(24 * 3600);

/// What is wrong with a [`WindowSpec`], and the nearest values that are right.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum SpecError {
    /// A window covers nothing, or too much.
    #[error("a window of {} s is not possible; the length must be above 0 and at most 86400 s", seconds(.0))]
    Length(Duration),
    /// The length is not a whole number of nanoseconds for each slot.
    #[error(
        "a window of {} s cannot be divided into {slots} equal slots; the nearest lengths that can: {}",
        seconds(length),
        list(nearest)
    )]
    Slots {
        /// As given.
        length: Duration,
        /// As the model wants them.
        slots: usize,
        /// Below and above.
        nearest: Vec<Duration>,
    },
    /// The model neither sees nor hears.
    #[error("windows need visual or audio slots; the model's manifest asks for none")]
    NoSlots,
    /// Windows would never move on.
    #[error("the hop is 0 s; the smallest hop of these windows is {} s", seconds(smallest))]
    NoHop {
        /// One slot of either modality, whichever both divide.
        smallest: Duration,
    },
    /// What lies between two windows would never be seen.
    #[error(
        "the hop of {} s is longer than the window of {} s and would leave time unwatched; it may be at most {} s",
        seconds(hop),
        seconds(length),
        seconds(length)
    )]
    HopTooLong {
        /// As given.
        hop: Duration,
        /// As given; also the longest hop.
        length: Duration,
    },
    /// Overlapping windows could not share their slots.
    #[error(
        "the hop of {} s is not a multiple of {} s, the step all slots of these windows share; the nearest valid hops: {}",
        seconds(hop),
        seconds(step),
        list(nearest)
    )]
    HopOffGrid {
        /// As given.
        hop: Duration,
        /// Every hop must be a multiple of this.
        step: Duration,
        /// Below and above.
        nearest: Vec<Duration>,
    },
    /// Clips without a sample.
    #[error(
        "clips of {} s at {rate} samples/s are not possible; they need at least one sample and at most 86400 s",
        seconds(clip)
    )]
    Clip {
        /// As given.
        clip: Duration,
        /// As given.
        rate: u32,
    },
}

/// Without trailing zeros: `0.5`, `20`.
fn seconds(span: &Duration) -> String {
    let text = format!("{}.{:09}", span.as_secs(), span.subsec_nanos());
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

fn list(spans: &[Duration]) -> String {
    let spans: Vec<String> = spans.iter().map(|span| format!("{} s", seconds(span))).collect();
    spans.join(" and ")
}

impl WindowSpec {
    /// The spec itself, if windows can be made by it.
    pub fn validated(self) -> Result<Self, SpecError> {
        if self.length.is_zero() || self.length > LONGEST {
            return Err(SpecError::Length(self.length));
        }
        let length = self.length.as_nanos();
        let counts: Vec<usize> =
            [self.visual_slots, self.audio_slots].into_iter().filter(|slots| *slots > 0).collect();
        if counts.is_empty() {
            return Err(SpecError::NoSlots);
        }
        let all = counts.iter().fold(1, |all, slots| lcm(all, *slots as u128));
        if let Some(&slots) = counts.iter().find(|slots| !length.is_multiple_of(**slots as u128)) {
            // In whole milliseconds for each slot, which reads better than nanoseconds.
            let nearest = nearest(self.length, all.saturating_mul(1_000_000), LONGEST);
            return Err(SpecError::Slots { length: self.length, slots, nearest });
        }
        // The length is a multiple of every period, hence of the step.
        let step = counts.iter().fold(1, |step, slots| lcm(step, length / *slots as u128));
        let step_span = span(step);
        if self.hop.is_zero() {
            return Err(SpecError::NoHop { smallest: step_span });
        }
        if self.hop > self.length {
            return Err(SpecError::HopTooLong { hop: self.hop, length: self.length });
        }
        if !self.hop.as_nanos().is_multiple_of(step) {
            let nearest = nearest(self.hop, step, self.length);
            return Err(SpecError::HopOffGrid { hop: self.hop, step: step_span, nearest });
        }
        if self.audio_slots > 0 && (self.clip > LONGEST || self.clip_samples() == 0) {
            return Err(SpecError::Clip { clip: self.clip, rate: self.sample_rate });
        }
        Ok(self)
    }

    /// When frames are taken: the grid the source samples by. `None` when the model does not see.
    pub fn visual_grid(&self) -> Option<Grid> {
        slot_grid(self.length, self.visual_slots)
    }

    /// When audio slots start; `None` when the model does not hear.
    pub fn audio_grid(&self) -> Option<Grid> {
        slot_grid(self.length, self.audio_slots)
    }

    /// Samples in one clip.
    pub fn clip_samples(&self) -> usize {
        let samples = (self.clip.as_nanos() * u128::from(self.sample_rate) + 500_000_000) / 1_000_000_000;
        usize::try_from(samples).unwrap_or(usize::MAX)
    }
}

fn slot_grid(length: Duration, slots: usize) -> Option<Grid> {
    let period = length.as_nanos().checked_div(slots as u128)?;
    Grid::new(span(period))
}

/// The multiples of `step` around `value` that are above 0 and at most `most`.
fn nearest(value: Duration, step: u128, most: Duration) -> Vec<Duration> {
    let below = value.as_nanos() / step * step;
    [below, below.saturating_add(step)]
        .into_iter()
        .filter(|nanos| (1..=most.as_nanos()).contains(nanos))
        .map(span)
        .collect()
}

fn span(nanos: u128) -> Duration {
    Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX))
}

fn lcm(a: u128, b: u128) -> u128 {
    let (mut x, mut y) = (a, b);
    while y != 0 {
        (x, y) = (y, x % y);
    }
    (a / x.max(1)).saturating_mul(b)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn spec(length: u64, hop: u64) -> WindowSpec {
        WindowSpec {
            length: Duration::from_millis(length),
            hop: Duration::from_millis(hop),
            visual_slots: 40,
            audio_slots: 40,
            sample_rate: 48_000,
            clip: Duration::from_secs(1),
            patience: Duration::ZERO,
        }
    }

    fn complaint(spec: WindowSpec) -> String {
        spec.validated().expect_err("not valid").to_string()
    }

    #[test]
    fn the_default_models_windows_are_valid() {
        let spec = spec(20_000, 10_000).validated().expect("valid");
        assert_eq!(spec.visual_grid().map(Grid::period), Some(Duration::from_millis(500)));
        assert_eq!(spec.clip_samples(), 48_000);
        let blind = WindowSpec { visual_slots: 0, ..spec }.validated().expect("a model may only hear");
        assert_eq!(blind.visual_grid(), None);
        let deaf = WindowSpec { audio_slots: 0, sample_rate: 0, ..spec };
        assert_eq!(deaf.validated(), Ok(deaf), "a model may only see");
    }

    #[test]
    fn errors_name_what_would_be_valid() {
        assert_eq!(
            complaint(spec(0, 1)),
            "a window of 0 s is not possible; the length must be above 0 and at most 86400 s"
        );
        assert_eq!(complaint(spec(20_000, 0)), "the hop is 0 s; the smallest hop of these windows is 0.5 s");
        let long = complaint(spec(20_000, 30_000));
        assert!(
            long.contains("30 s is longer than the window of 20 s") && long.ends_with("at most 20 s"),
            "{long}"
        );
        let off = complaint(spec(20_000, 10_250));
        assert!(off.contains("multiple of 0.5 s") && off.ends_with("hops: 10 s and 10.5 s"), "{off}");
        let small = complaint(spec(20_000, 250));
        assert!(small.ends_with("hops: 0.5 s"), "{small}");
        let odd = complaint(WindowSpec { visual_slots: 3, audio_slots: 3, ..spec(10_000, 10_000) });
        assert!(odd.contains("3 equal slots") && odd.ends_with("9.999 s and 10.002 s"), "{odd}");
        let none = complaint(WindowSpec { visual_slots: 0, audio_slots: 0, ..spec(10_000, 10_000) });
        assert!(none.contains("need visual or audio slots"), "{none}");
        let clip = complaint(WindowSpec { clip: Duration::from_micros(1), ..spec(20_000, 10_000) });
        assert!(clip.contains("at least one sample"), "{clip}");
    }

    #[test]
    fn different_periods_need_a_hop_both_divide() {
        let spec = WindowSpec { visual_slots: 40, audio_slots: 25, ..spec(20_000, 1_000) };
        let off = complaint(spec);
        assert!(off.contains("multiple of 4 s") && off.ends_with("hops: 4 s"), "{off}");
    }

    proptest! {
        #[test]
        fn what_an_error_proposes_is_valid(
            length in 1u64..100_000_000_000, hop in 0u64..100_000_000_000, visual in 0usize..120, audio in 0usize..120,
        ) {
            let spec = WindowSpec {
                length: Duration::from_nanos(length),
                hop: Duration::from_nanos(hop),
                visual_slots: visual,
                audio_slots: audio,
                ..spec(1, 1)
            };
            let proposals: Vec<WindowSpec> = match spec.validated() {
                Ok(_) | Err(SpecError::NoSlots) => Vec::new(),
                Err(SpecError::Slots { nearest, .. }) => {
                    prop_assert!(!nearest.is_empty());
                    nearest.into_iter().map(|length| WindowSpec { length, hop: length, ..spec }).collect()
                }
                Err(SpecError::NoHop { smallest }) => vec![WindowSpec { hop: smallest, ..spec }],
                Err(SpecError::HopTooLong { length, .. }) => vec![WindowSpec { hop: length, ..spec }],
                Err(SpecError::HopOffGrid { nearest, .. }) => {
                    prop_assert!(!nearest.is_empty());
                    nearest.into_iter().map(|hop| WindowSpec { hop, ..spec }).collect()
                }
                Err(error) => return Err(TestCaseError::fail(error.to_string())),
            };
            for proposal in proposals {
                prop_assert_eq!(proposal.validated(), Ok(proposal));
            }
        }
    }
}
