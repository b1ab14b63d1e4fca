//! A whole file's samples to the 10 s segments that CLAP takes, every 4 s.

use std::borrow::Cow;

/// Samples per second that the segments are counted in.
pub const SAMPLE_RATE: usize = 48_000;
/// Samples of one segment: 10 s.
pub const LENGTH: usize = 10 * SAMPLE_RATE;
/// Samples from the start of one segment to the next: 4 s.
pub const STRIDE: usize = 4 * SAMPLE_RATE;

/// What happens at the end of a file. Both rules agree on files of 10 s, 14 s, 18 s, ...
///
/// ```text
/// 25 s        |0---------:---------:-----25|
/// Reference    0--------10                       padded to 30 s
///                  4--------14
///                      8--------18
///                          12-------22
///                              16-------26
///                                  20-------30
/// Cover        the first five: 16..26 holds the end
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Rule {
    /// The released rule. What is over after the last full 10 s is dropped when it is 1 s or less, and else filled up
    /// with silence to 10 s; then every segment that fits. A file of at most 1 s has none; 11 s have one, 11.01 s
    /// three; a file just over 20 s ends in segments that are nearly all silence.
    Reference,
    /// As few segments as hold every sample, the last one filled up with silence. Any file that is not empty has one.
    #[default]
    Cover,
}

/// Where the segments of a file begin, in samples. Segment `i` stands for the time from `i * 4 s` to `i * 4 s + 10 s`.
pub fn starts(samples: usize, rule: Rule) -> impl ExactSizeIterator<Item = usize> {
    let count = match rule {
        Rule::Reference => {
            let over = samples % LENGTH;
            let filled = if over > SAMPLE_RATE { samples - over + LENGTH } else { samples - over };
            if filled == 0 { 0 } else { (filled - LENGTH) / STRIDE + 1 }
        }
        Rule::Cover if samples == 0 => 0,
        Rule::Cover => samples.saturating_sub(LENGTH).div_ceil(STRIDE) + 1,
    };
    (0..count).map(|i| i * STRIDE)
}

/// The segment that begins at `start`, [`LENGTH`] samples; silence after the file's end.
pub fn segment(samples: &[f32], start: usize) -> Cow<'_, [f32]> {
    let rest = samples.get(start..).unwrap_or_default();
    if rest.len() >= LENGTH {
        return Cow::Borrowed(&rest[..LENGTH]);
    }
    let mut filled = rest.to_vec();
    filled.resize(LENGTH, 0.0);
    Cow::Owned(filled)
}
