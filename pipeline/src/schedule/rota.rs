//! Queues that take turns.

use std::collections::{HashMap, VecDeque};

use crate::stream::StreamId;

/// A short queue for each stream that has something, and whose turn it is.
#[derive(Debug)]
pub(super) struct Rota<T> {
    limit: usize,
    /// None of them empty, so that streams that are gone leave nothing behind.
    queues: HashMap<StreamId, VecDeque<T>>,
    /// Each stream with a queue once, the next one first.
    turn: VecDeque<StreamId>,
    len: usize,
}

impl<T> Rota<T> {
    /// At most `limit` items of a stream wait; 0 counts as 1.
    pub fn new(limit: usize) -> Self {
        Self { limit: limit.max(1), queues: HashMap::new(), turn: VecDeque::new(), len: 0 }
    }

    /// Queues an item, or gives it back when its stream's queue is full.
    pub fn push(&mut self, stream: &StreamId, item: T) -> Result<(), T> {
        if let Some(queue) = self.queues.get_mut(stream) {
            if queue.len() >= self.limit {
                return Err(item);
            }
            queue.push_back(item);
        } else {
            self.queues.insert(stream.clone(), VecDeque::from([item]));
            self.turn.push_back(stream.clone());
        }
        self.len += 1;
        Ok(())
    }

    /// Queues an item in a queue that has one, whose oldest is returned. The stream keeps its turn.
    pub fn replace_oldest(&mut self, stream: &StreamId, item: T) -> Option<T> {
        let queue = self.queues.get_mut(stream)?;
        queue.push_back(item);
        queue.pop_front()
    }

    /// Up to `most` items: the oldest of each stream in turn, again and again.
    pub fn take(&mut self, most: usize) -> Vec<T> {
        let mut taken = Vec::with_capacity(most.min(self.len));
        while taken.len() < most {
            let Some(stream) = self.turn.pop_front() else { break };
            let Some(queue) = self.queues.get_mut(&stream) else { continue };
            taken.extend(queue.pop_front());
            if queue.is_empty() {
                self.queues.remove(&stream);
            } else {
                self.turn.push_back(stream);
            }
        }
        self.len -= taken.len();
        taken
    }

    /// The oldest item of each stream.
    pub fn fronts(&self) -> impl Iterator<Item = &T> {
        self.queues.values().filter_map(VecDeque::front)
    }

    /// Items of one stream.
    pub fn depth(&self, stream: &StreamId) -> usize {
        self.queues.get(stream).map_or(0, VecDeque::len)
    }

    /// Items of all streams.
    pub fn len(&self) -> usize {
        self.len
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;

    #[derive(Debug, Clone)]
    enum Step {
        Push(usize),
        Replace(usize),
        Take(usize),
    }

    fn step() -> impl Strategy<Value = Step> {
        prop_oneof![
            6 => (0usize..5).prop_map(Step::Push),
            1 => (0usize..5).prop_map(Step::Replace),
            2 => (0usize..8).prop_map(Step::Take),
        ]
    }

    fn stream(number: usize) -> StreamId {
        StreamId::from(format!("cam-{number}"))
    }

    #[test]
    fn streams_take_turns() {
        let mut rota = Rota::new(3);
        for (number, item) in [(0, "a1"), (0, "a2"), (0, "a3"), (1, "b1"), (2, "c1"), (2, "c2")] {
            rota.push(&stream(number), item).expect("room");
        }
        assert_eq!(rota.push(&stream(0), "a4"), Err("a4"));
        assert_eq!(rota.take(4), ["a1", "b1", "c1", "a2"]);
        rota.push(&stream(1), "b2").expect("room");
        assert_eq!(rota.take(9), ["c2", "a3", "b2"]);
        assert_eq!((rota.take(9).len(), rota.len(), rota.queues.len()), (0, 0, 0));
    }

    proptest! {
        #[test]
        fn nothing_is_lost_doubled_reordered_or_passed_over(
            steps in prop::collection::vec(step(), 1..200), limit in 0usize..4,
        ) {
            let mut rota = Rota::new(limit);
            let mut model: BTreeMap<usize, VecDeque<u32>> = BTreeMap::new();
            // How often others were served while a stream waited.
            let mut passed: BTreeMap<usize, BTreeMap<usize, u32>> = BTreeMap::new();
            for (item, step) in (0..).zip(steps) {
                match step {
                    Step::Push(number) => {
                        let queue = model.entry(number).or_default();
                        let full = queue.len() >= limit.max(1);
                        prop_assert_eq!(rota.push(&stream(number), (number, item)).is_err(), full);
                        if !full {
                            queue.push_back(item);
                        }
                    }
                    Step::Replace(number) => {
                        let replaced = rota.replace_oldest(&stream(number), (number, item));
                        let queue = model.entry(number).or_default();
                        if !queue.is_empty() {
                            queue.push_back(item);
                        }
                        prop_assert_eq!(replaced, queue.pop_front().map(|oldest| (number, oldest)));
                    }
                    Step::Take(most) => {
                        let held: usize = model.values().map(VecDeque::len).sum();
                        let taken = rota.take(most);
                        prop_assert_eq!(taken.len(), most.min(held));
                        for (number, item) in taken {
                            prop_assert_eq!(model.entry(number).or_default().pop_front(), Some(item));
                            passed.remove(&number);
                            for (&other, queue) in &model {
                                if other != number && !queue.is_empty() {
                                    let times = passed.entry(other).or_default().entry(number).or_default();
                                    *times += 1;
                                    prop_assert!(*times <= 1, "{other} waited while {number} was served twice");
                                }
                            }
                        }
                    }
                }
                prop_assert_eq!(rota.len(), model.values().map(VecDeque::len).sum::<usize>());
            }
        }
    }
}
