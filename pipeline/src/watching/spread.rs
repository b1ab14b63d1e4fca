//! When live streams begin, so that their windows do not close all at once: the model would be idle for most of a hop, and late for the
//! rest of it. Pure.

use std::time::Duration;

/// How long a stream waits that could begin now, so that its windows close apart from those of streams that began at `others`; all are
/// times of one clock. From each it begins at least half as far as if all shared a hop evenly, and it waits for less than a hop.
pub(super) fn delay(now: Duration, hop: Duration, others: &[Duration]) -> Duration {
    let Ok(whole) = u64::try_from(hop.as_nanos()) else { return Duration::ZERO };
    if whole == 0 || others.is_empty() {
        return Duration::ZERO;
    }
    let phase = |time: Duration| (time.as_nanos() % u128::from(whole)) as u64;
    let (now, others) = (phase(now), others.iter().map(|other| phase(*other)).collect::<Vec<_>>());
    let apart = whole / (2 * (others.len() as u64 + 1));
    let after = |from: u64, to: u64| (to + whole - from) % whole;
    let is_free = |wait: &u64| {
        let begins = (now + wait) % whole;
        others.iter().all(|other| after(*other, begins).min(after(begins, *other)) >= apart)
    };
    let edges = others.iter().map(|other| after(now, (other + apart) % whole));
    std::iter::once(0).chain(edges).filter(is_free).min().map(Duration::from_nanos).unwrap_or_default()
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
        assert_eq!(millis, [0, 2500, 4166, 1250]);
        let mut many = begun(60);
        assert!(many.iter().all(|wait| *wait < HOP));
        many.sort();
        many.push(many[0] + HOP);
        let widest = many.windows(2).map(|pair| pair[1] - pair[0]).max().expect("some");
        assert!(widest < Duration::from_secs(1), "{widest:?}");
    }

    #[test]
    fn one_that_comes_between_others_begins_at_once() {
        let others = [Duration::from_secs(100), Duration::from_secs(103)];
        assert_eq!(delay(Duration::from_secs(215), HOP, &others), Duration::ZERO);
        assert!(delay(Duration::from_secs(213), HOP, &others) > Duration::ZERO);
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
                prop_assert!(apart + 1 >= hop.as_nanos() / (2 * (others.len() as u128 + 1)), "{apart}");
            }
        }
    }
}
