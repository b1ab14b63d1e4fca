//! The samples that windows still need, by number: sample `n` sounds at `n / rate` of stream time.

use std::collections::VecDeque;

use crate::source::TimedAudio;
use crate::timeline::UtcTime;

/// Chunks up to this many samples are joined with the one before, so that many small ones cost no more than few.
const JOIN: usize = 1024;

/// Samples with holes, in order. What is known of an instant first stays.
#[derive(Debug)]
pub(super) struct Sound {
    rate: i64,
    chunks: VecDeque<Chunk>,
    /// Samples before this are not needed any more.
    floor: i64,
}

#[derive(Debug)]
struct Chunk {
    start: i64,
    samples: Vec<f32>,
    /// Capture time minus stream time, in nanoseconds.
    offset: i64,
}

impl Chunk {
    fn end(&self) -> i64 {
        self.start.saturating_add(self.samples.len() as i64)
    }
}

/// Samples of one [`Sound::insert`] that were not taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Refused {
    /// No clip needs them any more.
    pub late: u64,
    /// Others were there already.
    pub repeated: u64,
}

/// `a / b`, rounded to the nearest; halves up.
fn round_div(a: i128, b: i128) -> i64 {
    clamp((2 * a + b).div_euclid(2 * b))
}

fn clamp(value: i128) -> i64 {
    value.clamp(i64::MIN.into(), i64::MAX.into()) as i64
}

impl Sound {
    pub fn new(rate: u32, floor: i64) -> Self {
        Self { rate: i64::from(rate.max(1)), chunks: VecDeque::new(), floor }
    }

    /// The sample that sounds at `nanos` of stream time.
    pub fn number(&self, nanos: i64) -> i64 {
        self.half_number(i128::from(nanos) * 2)
    }

    /// The same for half nanoseconds, for what is centred on a slot.
    pub fn half_number(&self, half_nanos: i128) -> i64 {
        round_div(half_nanos * i128::from(self.rate), 2_000_000_000)
    }

    /// When sample `number` sounds, in nanoseconds of stream time, rounded down.
    pub fn nanos(&self, number: i64) -> i64 {
        clamp((i128::from(number) * 1_000_000_000).div_euclid(self.rate.into()))
    }

    /// The last nanosecond whose sample lies before `number` or is `number` itself.
    pub fn reaches(&self, number: i64) -> i64 {
        let (half, rate) = (2 * i128::from(number) + 1, 2 * i128::from(self.rate));
        clamp((half * 1_000_000_000 + rate - 1).div_euclid(rate) - 1)
    }

    /// The number after the newest sample; `None` when none is held.
    pub fn end(&self) -> Option<i64> {
        self.chunks.back().map(Chunk::end)
    }

    /// The first held sample at or after `from`.
    pub fn first_after(&self, from: i64) -> Option<i64> {
        let chunk = self.chunks.get(self.chunks.partition_point(|chunk| chunk.end() <= from))?;
        Some(chunk.start.max(from))
    }

    /// Samples held.
    pub fn len(&self) -> usize {
        self.chunks.iter().map(|chunk| chunk.samples.len()).sum()
    }

    /// Takes what is neither late nor known. Returns the number after the last sample as well.
    pub fn insert(&mut self, audio: TimedAudio) -> (i64, Refused) {
        let offset = audio.capture.0.saturating_sub(audio.stream.0);
        let (mut start, mut samples) = (self.number(audio.stream.0), audio.samples);
        let newest = self.end();
        // Time stamps are whole nanoseconds, so a sample may seem off by one without anything being missing.
        if let Some(newest) = newest.filter(|newest| start.abs_diff(*newest) == 1) {
            start = newest;
        }
        let end = start.saturating_add(samples.len() as i64);
        let mut refused = Refused::default();
        let late = usize::try_from(self.floor.saturating_sub(start)).unwrap_or(0).min(samples.len());
        if late > 0 {
            samples.drain(..late);
            start += late as i64;
            refused.late = late as u64;
        }
        if newest.is_none_or(|newest| start >= newest) {
            self.append(Chunk { start, samples, offset });
        } else {
            refused.repeated = self.fill(&Chunk { start, samples, offset });
        }
        (end, refused)
    }

    fn append(&mut self, chunk: Chunk) {
        if chunk.samples.is_empty() {
            return;
        }
        if let Some(last) = self.chunks.back_mut()
            && last.end() == chunk.start
            && last.offset == chunk.offset
            && chunk.samples.len() < JOIN
            && last.samples.len() < JOIN
        {
            last.samples.extend_from_slice(&chunk.samples);
            return;
        }
        self.chunks.push_back(chunk);
    }

    /// Takes the parts of `chunk` that fall into holes; returns how many samples did not.
    fn fill(&mut self, chunk: &Chunk) -> u64 {
        let (mut at, mut taken, mut pieces) = (chunk.start, 0, Vec::new());
        let first = self.chunks.partition_point(|held| held.end() <= chunk.start);
        let known: Vec<(i64, i64)> = self.chunks.range(first..).map(|c| (c.start, c.end())).collect();
        for (start, end) in known.into_iter().chain([(i64::MAX, i64::MAX)]) {
            let until = start.min(chunk.end());
            if at < until {
                let part = (at - chunk.start) as usize..(until - chunk.start) as usize;
                taken += part.len();
                let samples = chunk.samples[part].to_vec();
                pieces.push(Chunk { start: at, samples, offset: chunk.offset });
            }
            if start >= chunk.end() {
                break;
            }
            at = at.max(end);
        }
        if !pieces.is_empty() {
            self.chunks.extend(pieces);
            self.chunks.make_contiguous().sort_by_key(|chunk| chunk.start);
        }
        (chunk.samples.len() - taken) as u64
    }

    /// How many of the samples `[from, to)` are there.
    pub fn count(&self, from: i64, to: i64) -> i64 {
        let first = self.chunks.partition_point(|chunk| chunk.end() <= from);
        let within = self.chunks.range(first..).take_while(|chunk| chunk.start < to);
        within.map(|chunk| chunk.end().min(to) - chunk.start.max(from)).sum()
    }

    /// `length` samples from `from` on, silence where there are none, and the capture time of the last one there is.
    pub fn cut(&self, from: i64, length: usize) -> (Vec<f32>, Option<UtcTime>) {
        let (mut samples, mut newest) = (vec![0.0; length], None);
        let to = from.saturating_add(length as i64);
        let first = self.chunks.partition_point(|chunk| chunk.end() <= from);
        for chunk in self.chunks.range(first..).take_while(|chunk| chunk.start < to) {
            let (start, end) = (chunk.start.max(from), chunk.end().min(to));
            let source = (start - chunk.start) as usize..(end - chunk.start) as usize;
            let target = (start - from) as usize..(end - from) as usize;
            samples[target].copy_from_slice(&chunk.samples[source]);
            newest = Some(UtcTime(self.nanos(end - 1)).offset(chunk.offset));
        }
        (samples, newest)
    }

    /// Forgets what lies before `floor`.
    pub fn prune(&mut self, floor: i64) {
        self.floor = self.floor.max(floor);
        while self.chunks.front().is_some_and(|chunk| chunk.end() <= self.floor) {
            self.chunks.pop_front();
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::timeline::StreamTime;

    fn chunk(nanos: i64, samples: Vec<f32>) -> TimedAudio {
        TimedAudio { stream: StreamTime(nanos), capture: UtcTime(nanos + 7), samples }
    }

    #[test]
    fn time_stamps_rounded_to_nanoseconds_leave_no_holes() {
        let mut sound = Sound::new(44_100, 0);
        // A run that starts between two samples: where rounding is least sure.
        let start = 11_338_i64;
        for piece in 0..1000_i64 {
            let at = start + piece * 1023 * 1_000_000_000 / 44_100;
            let (_, refused) = sound.insert(chunk(at, vec![1.0; 1023]));
            assert_eq!(refused, Refused::default());
        }
        let first = sound.first_after(i64::MIN).expect("samples");
        let end = sound.end().expect("samples");
        assert_eq!(end - first, 1_023_000);
        assert_eq!(sound.count(first, end), 1_023_000);
    }

    #[test]
    fn what_is_known_first_stays_and_holes_are_filled() {
        let mut sound = Sound::new(1_000, 0);
        let at = |ms: i64| ms * 1_000_000;
        sound.insert(chunk(at(10), vec![1.0; 10]));
        sound.insert(chunk(at(30), vec![2.0; 10]));
        let (_, refused) = sound.insert(chunk(at(5), vec![3.0; 40]));
        assert_eq!(refused, Refused { late: 0, repeated: 20 });
        let (samples, newest) = sound.cut(5, 42);
        let expected =
            [vec![3.0; 5], vec![1.0; 10], vec![3.0; 10], vec![2.0; 10], vec![3.0; 5], vec![0.0; 2]];
        assert_eq!(samples, expected.concat());
        assert_eq!(newest, Some(UtcTime(at(44) + 7)));
        sound.prune(40);
        let (end, refused) = sound.insert(chunk(at(35), vec![4.0; 20]));
        assert_eq!((end, refused), (55, Refused { late: 5, repeated: 5 }));
    }

    proptest! {
        #[test]
        fn a_sample_is_found_where_its_time_says(rate in 1u32..200_000, number in -1_000_000_000i64..1_000_000_000) {
            let sound = Sound::new(rate, 0);
            prop_assert_eq!(sound.number(sound.nanos(number)), number);
            prop_assert_eq!(sound.number(sound.reaches(number)), number);
            prop_assert_eq!(sound.number(sound.reaches(number) + 1), number + 1);
        }

        #[test]
        fn any_order_of_chunks_gives_the_first_word_on_every_sample(
            chunks in prop::collection::vec((0i64..300, 0usize..40), 1..40), floor in 0i64..100,
        ) {
            let mut sound = Sound::new(1_000, floor);
            let mut truth = vec![None; 400];
            let mut refused = Refused::default();
            let mut end = None::<i64>;
            for (value, (start, length)) in (1..).zip(&chunks) {
                // The off-by-one rule moves a chunk; state it here too.
                let start = match end { Some(end) if (start - end).abs() == 1 => end, _ => *start };
                for number in start..start + *length as i64 {
                    let known = &mut truth[number as usize];
                    if number < floor {
                        refused.late += 1;
                    } else if known.is_some() {
                        refused.repeated += 1;
                    } else {
                        *known = Some(value as f32);
                        end = end.max(Some(number + 1));
                    }
                }
                let (_, now) = sound.insert(chunk(start * 1_000_000, vec![value as f32; *length]));
                refused.late -= now.late;
                refused.repeated -= now.repeated;
            }
            prop_assert_eq!(refused, Refused::default());
            let (samples, _) = sound.cut(0, truth.len());
            let expected: Vec<f32> = truth.iter().map(|known| known.unwrap_or(0.0)).collect();
            prop_assert_eq!(samples, expected);
            prop_assert_eq!(sound.count(0, 400), truth.iter().flatten().count() as i64);
            prop_assert_eq!(sound.len(), truth.iter().flatten().count());
        }
    }
}
