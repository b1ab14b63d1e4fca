//! Which number of streams to try next. Pure.

/// What the trials so far say.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Found {
    /// Try this number.
    Try(usize),
    /// So many are watched in time, and one more is not.
    Most(usize),
    /// The most that may be tried are watched in time.
    AtLeast(usize),
}

impl Found {
    pub(super) fn told(self) -> String {
        match self {
            Self::Try(streams) => format!("{streams} streams are to be tried"),
            Self::Most(0) => "not one stream is watched in time".to_owned(),
            Self::Most(streams) => format!("{streams} streams are watched in time, {} are not", streams + 1),
            Self::AtLeast(streams) => format!("{streams} streams are watched in time; more were not tried"),
        }
    }
}

/// Looks for the largest number that holds, between the largest that did and the smallest that did not. `share` is the part of the machine
/// that each stream of the first trial took; with it the first guess is a good one.
pub(super) fn most(tried: &[(usize, bool)], share: Option<f64>, limit: usize) -> Found {
    let good = tried.iter().filter(|(_, holds)| *holds).map(|(streams, _)| *streams).max().unwrap_or(0);
    let bad = tried.iter().filter(|(_, holds)| !*holds).map(|(streams, _)| *streams).min();
    match bad {
        // One that did not hold where a larger one did was disturbed.
        Some(bad) if bad <= good + 1 => Found::Most(good),
        Some(bad) => Found::Try((good + bad) / 2),
        None if good >= limit => Found::AtLeast(good),
        None if tried.is_empty() => Found::Try(4.min(limit)),
        None => {
            let guess =
                share.filter(|_| tried.len() == 1).map_or(good * 3 / 2, |share| (0.9 / share) as usize);
            Found::Try(guess.max(good + 1).min(limit))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// How many trials it takes where so many hold.
    fn looked_for(holds: usize, share: f64, limit: usize) -> (Found, usize) {
        let mut tried = Vec::new();
        loop {
            match most(&tried, Some(share), limit) {
                Found::Try(streams) => {
                    assert!((1..=limit).contains(&streams) && !tried.contains(&(streams, streams <= holds)));
                    tried.push((streams, streams <= holds));
                }
                found => return (found, tried.len()),
            }
        }
    }

    #[test]
    fn a_good_guess_is_soon_known_to_be_right() {
        assert_eq!(looked_for(15, 0.06, 64), (Found::Most(15), 5));
        assert_eq!(looked_for(0, 2.0, 64), (Found::Most(0), 3));
        assert_eq!(looked_for(64, 0.01, 64), (Found::AtLeast(64), 2));
    }

    #[test]
    fn what_holds_is_found() {
        for holds in 0..80 {
            for (share, limit) in [(0.005, 79), (0.03, 64), (0.2, 5), (3.0, 1), (1.0, 40)] {
                let (found, trials) = looked_for(holds, share, limit);
                let expected = if holds >= limit { Found::AtLeast(limit) } else { Found::Most(holds) };
                assert_eq!(found, expected, "share {share}");
                assert!(trials <= 14, "{trials} for {holds}");
            }
        }
    }
}
