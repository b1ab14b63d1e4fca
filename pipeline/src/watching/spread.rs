//! When live streams begin, so that their windows do not close all at once: the model would be idle for most of a hop, and late for the
//! rest of it. Pure.

use std::time::Duration;

/// How long a stream waits that could begin now, so that its windows close apart from those of streams that began at `others`; all are
/// times of one clock. It begins in the middle of the widest gap between them, or at once where it is half as far from the nearest.
pub(super) fn delay(now: Duration, hop: Duration, others: &[Duration]) -> Duration {
    let whole = hop.as_nanos();
    if whole == 0 {
        return Duration::ZERO;
    }
    let after = |from: u128, to: u128| (to + whole - from) % whole;
    let now = now.as_nanos() % whole;
    let mut others: Vec<u128> = others.iter().map(|other| other.as_nanos() % whole).collect();
    others.sort_unstable();
    others.dedup();
    let nexts = others.iter().cycle().skip(1);
    // One alone has the whole hop before it.
    let gaps = others.iter().zip(nexts).map(|(from, to)| (*from, after(*from, to + whole - 1) + 1));
    let gaps: Vec<(u128, u128)> = gaps.collect();
    let Some(widest) = gaps.iter().map(|(_, width)| *width).max() else { return Duration::ZERO };
    let nearest =
        others.iter().map(|other| after(*other, now).min(after(now, *other))).min().unwrap_or(whole);
    if nearest >= widest / 4 {
        return Duration::ZERO;
    }
    let middles =
        gaps.iter().filter(|(_, width)| *width == widest).map(|(from, _)| after(now, from + widest / 2));
    Duration::from_nanos(middles.min().and_then(|wait| u64::try_from(wait).ok()).unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const HOP: Duration = Duration::from_secs(10);

    /// When so many streams begin that are there at once.
    fn begun(count: usize) -> Vec<Duration> {
        let mut begun = Vec::new();
        for _ in 0..count {
            begun.push(delay(Duration::ZERO, HOP, &begun));
        }
        begun
    }

    #[test]
    fn the_first_begins_at_once_and_all_within_a_hop() {
        let millis: Vec<u128> = begun(4).iter().map(Duration::as_millis).collect();
        assert_eq!(millis, [0, 5000, 2500, 7500]);
        let mut many = begun(60);
        assert!(many.iter().all(|wait| *wait < HOP));
        many.sort();
        many.push(many[0] + HOP);
        let widest = many.windows(2).map(|pair| pair[1] - pair[0]).max().expect("some");
        assert!(widest < HOP / 30, "{widest:?}");
    }

    #[test]
    fn one_that_comes_between_others_begins_at_once() {
        let others = [Duration::from_secs(100), Duration::from_secs(103)];
        assert_eq!(delay(Duration::from_secs(215), HOP, &others), Duration::ZERO);
        assert_eq!(delay(Duration::from_secs(213), HOP, &others), Duration::from_millis(3500));
        assert_eq!(delay(Duration::from_secs(213), HOP, &[]), Duration::ZERO);
        assert_eq!(delay(Duration::from_secs(213), Duration::ZERO, &others), Duration::ZERO);
    }

    proptest! {
        #[test]
        fn none_waits_for_a_hop_or_begins_with_another(
            now in 0u64..100_000, hop in 100u64..20_000, others in prop::collection::vec(0u64..100_000, 0..70),
        ) {
            let (now, hop) = (Duration::from_millis(now), Duration::from_millis(hop));
            let others: Vec<Duration> = others.into_iter().map(Duration::from_millis).collect();
            let begins = now + delay(now, hop, &others);
            prop_assert!(begins - now < hop);
            let phase = |time: Duration| time.as_nanos() % hop.as_nanos();
            for other in &others {
                let apart = phase(begins).abs_diff(phase(*other));
                let apart = apart.min(hop.as_nanos() - apart);
                prop_assert!(apart >= hop.as_nanos() / (4 * others.len() as u128) - 1, "{apart}");
            }
        }
    }
}
