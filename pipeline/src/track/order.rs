//! Windows are settled in any order: one is shed while an older one still is with the model. This puts them in order.

use std::collections::VecDeque;

/// Gives back what was settled, in the order in which it was expected. Holds as much as is expected and not given back,
/// which the schedule's queues bound.
#[derive(Debug)]
pub struct InOrder<T> {
    waiting: VecDeque<(u64, Option<T>)>,
}

impl<T> Default for InOrder<T> {
    fn default() -> Self {
        Self { waiting: VecDeque::new() }
    }
}

impl<T> InOrder<T> {
    /// The window `index` was closed: it will be settled, after all that are expected already.
    pub fn expect(&mut self, index: u64) {
        self.waiting.push_back((index, None));
    }

    /// The window `index` was answered, shed or given up. Returns what can now go on, in order: nothing while an older
    /// one is outstanding. What is settled a second time, or was never expected, is not given back.
    pub fn settle(&mut self, index: u64, settled: T) -> Vec<T> {
        if let Some((_, slot @ None)) = self.waiting.iter_mut().find(|(expected, _)| *expected == index) {
            *slot = Some(settled);
        }
        std::iter::from_fn(|| self.waiting.pop_front_if(|(_, settled)| settled.is_some()))
            .filter_map(|(_, settled)| settled)
            .collect()
    }

    /// How many windows are expected and not given back.
    pub fn outstanding(&self) -> usize {
        self.waiting.len()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn nothing_overtakes_an_older_window() {
        let mut order = InOrder::default();
        for index in [3, 4, 7] {
            order.expect(index);
        }
        assert!(order.settle(4, "b").is_empty());
        assert!(order.settle(4, "again").is_empty());
        assert!(order.settle(9, "never expected").is_empty());
        assert_eq!(order.settle(3, "a"), ["a", "b"]);
        assert_eq!(order.outstanding(), 1);
        assert_eq!(order.settle(7, "c"), ["c"]);
    }

    proptest! {
        #[test]
        fn everything_comes_once_and_in_order(indices in Just((0u64..20).collect::<Vec<_>>()).prop_shuffle()) {
            let mut order = InOrder::default();
            for index in 0..20 {
                order.expect(index);
            }
            let given: Vec<u64> = indices.into_iter().flat_map(|index| order.settle(index, index)).collect();
            prop_assert_eq!(given, (0..20).collect::<Vec<_>>());
            prop_assert_eq!(order.outstanding(), 0);
        }
    }
}
