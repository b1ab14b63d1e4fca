//! From RTP time to running time, steadily. A jitter buffer reckons with packets that are sent in the order of their time stamps; with B-frames
//! they are not, and what it makes of them is off by as much as frames are reordered, now more, now less. The sender's own stamps are
//! exact, so they are kept, and only where they lie follows the jitter buffer. Pure.

use super::rtcp::between;

/// Its own stamps and the jitter buffer's part by more than this only if either was reset.
const RESET: i64 = 1_000_000_000;
/// How far two tracks may have to be moved to be together; more is no delay but a wrong clock.
const APART: i64 = 3_000_000_000;
/// How slowly what the jitter buffer says is followed.
const FOLLOW: i64 = 10_000_000_000;

/// One track of one connection. All times are nanoseconds.
#[derive(Debug, Default)]
pub(super) struct Steady {
    /// The newest RTP time and how long after the first one it is.
    newest: Option<(u32, i64)>,
    /// Running time minus time since the first RTP time.
    offset: Option<i64>,
    /// Where the other track is, was known.
    is_aligned: bool,
}

impl Steady {
    /// The running time of a packet. `said`: as the jitter buffer has it; `aim`: as it must be to be together with the other track, once
    /// that is known.
    pub fn place(&mut self, rtp: u32, rate: i64, said: i64, aim: Option<i64>) -> i64 {
        let (at, advance) = self.unwrap(rtp, rate);
        let said = said - at;
        let aim = aim.map(|aim| aim - at).filter(|aim| (aim - said).abs() <= APART);
        let aligns = aim.is_some() && !self.is_aligned;
        let kept = self.offset.filter(|offset| (offset - said).abs() <= RESET && !aligns);
        let wanted = aim.unwrap_or(said);
        let offset = match kept {
            Some(offset) => {
                let part = i128::from(wanted - offset) * i128::from(advance.min(FOLLOW)) / i128::from(FOLLOW);
                offset + part as i64
            }
            None => wanted,
        };
        self.is_aligned |= aim.is_some();
        self.offset = Some(offset);
        at + offset
    }

    /// Time since the first packet, and by how much it is more than ever.
    fn unwrap(&mut self, rtp: u32, rate: i64) -> (i64, i64) {
        let Some((newest, at)) = self.newest else {
            self.newest = Some((rtp, 0));
            return (0, 0);
        };
        let step = between(newest, rtp, rate);
        if step > 0 {
            self.newest = Some((rtp, at + step));
        }
        (at + step, step.max(0))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const MS: i64 = 1_000_000;
    const RATE: i64 = 90_000;

    /// RTP time of a millisecond, near its wrap.
    fn rtp(ms: i64) -> u32 {
        (u32::MAX - 45_000).wrapping_add((ms * 90) as u32)
    }

    #[test]
    fn frames_keep_the_distances_that_the_sender_gave_them() {
        let mut steady = Steady::default();
        // I, P, B, B, P, B, B: as a jitter buffer has them, that believes every packet to be sent at its time.
        let frames = [(0, 0), (120, 144), (40, 53), (80, 5), (240, 267), (160, 183), (200, 132)];
        for (at, said) in frames {
            let placed = steady.place(rtp(at), RATE, (500 + said) * MS, None);
            assert!((placed - (500 + at) * MS).abs() < 3 * MS, "{at}: {placed}");
        }
    }

    #[test]
    fn a_sender_whose_clock_is_slow_is_followed() {
        let mut steady = Steady::default();
        let placed = (0..6000).map(|frame| steady.place(rtp(frame * 40), RATE, frame * 40_040_000, None));
        let last = placed.last().expect("some");
        assert!((last - 5999 * 40_040_000).abs() < 20 * MS, "{last}");
    }

    #[test]
    fn a_track_moves_at_once_where_the_other_is_and_stays_there() {
        let mut steady = Steady::default();
        assert_eq!(steady.place(rtp(0), RATE, 100 * MS, None), 100 * MS);
        for at in [40, 80, 120, 160, 9000] {
            assert_eq!(steady.place(rtp(at), RATE, (100 + at) * MS, Some((220 + at) * MS)), (220 + at) * MS);
        }
        let mut wrong = Steady::default();
        assert_eq!(wrong.place(rtp(0), RATE, 0, Some(3_600_000 * MS)), 0, "an hour is a wrong clock");
    }

    #[test]
    fn a_jump_is_taken_over() {
        let mut steady = Steady::default();
        steady.place(rtp(0), RATE, 0, None);
        assert_eq!(steady.place(rtp(40), RATE, 5000 * MS, None), 5000 * MS);
        assert_eq!(steady.place(rtp(80), RATE, 5040 * MS, None), 5040 * MS);
        assert_eq!(
            steady.place(rtp(80 - 900_000), RATE, 5080 * MS, None),
            5080 * MS,
            "the sender began anew"
        );
    }

    proptest! {
        #[test]
        fn it_is_never_far_from_what_the_jitter_buffer_says(
            steps in proptest::collection::vec((any::<u32>(), -5_000_000_000i64..5_000_000_000, any::<bool>()), 1..50),
        ) {
            let (mut steady, mut said) = (Steady::default(), 0);
            for (rtp, step, aims) in steps {
                said += step;
                let placed = steady.place(rtp, RATE, said, aims.then_some(said + APART));
                prop_assert!((placed - said).abs() <= APART + RESET);
            }
        }
    }
}
