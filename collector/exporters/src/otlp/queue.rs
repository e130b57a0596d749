//! Messages waiting for a receiver: bounded by bytes, the oldest makes room.

use std::collections::VecDeque;

use super::collect::Batch;

/// A bounded queue. When full, the oldest message is dropped: with cumulative values the newer one supersedes it.
#[derive(Debug)]
pub(super) struct Queue {
    batches: VecDeque<Batch>,
    bytes: usize,
    most_bytes: usize,
}

impl Queue {
    pub(super) fn new(most_bytes: usize) -> Self {
        Self { batches: VecDeque::new(), bytes: 0, most_bytes }
    }

    /// Adds a message; returns those that had to make room, oldest first. One that alone is larger than the queue
    /// comes straight back.
    pub(super) fn push(&mut self, batch: Batch) -> Vec<Batch> {
        if batch.bytes.len() > self.most_bytes {
            return vec![batch];
        }
        let mut dropped = Vec::new();
        while self.bytes + batch.bytes.len() > self.most_bytes
            && let Some(oldest) = self.pop()
        {
            dropped.push(oldest);
        }
        self.bytes += batch.bytes.len();
        self.batches.push_back(batch);
        dropped
    }

    /// Takes the oldest message.
    pub(super) fn pop(&mut self) -> Option<Batch> {
        let batch = self.batches.pop_front()?;
        self.bytes -= batch.bytes.len();
        Some(batch)
    }

    /// Bytes waiting.
    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    /// Whether nothing waits.
    pub(super) fn is_empty(&self) -> bool {
        self.batches.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use std::collections::VecDeque;

    use proptest::prelude::*;

    use super::*;

    fn batch(len: usize, points: u64) -> Batch {
        Batch { bytes: vec![0; len].into(), points, commit: super::super::delta::Commit::default() }
    }

    proptest! {
        /// Scenario: messages of any size come and go.
        /// Guarantees: the bound holds, order is kept, and every message is either waiting, taken or returned.
        #[test]
        fn behaves_as_a_bounded_fifo(steps in proptest::collection::vec((any::<bool>(), 1usize..60), 0..200)) {
            let mut queue = Queue::new(100);
            let mut model: VecDeque<(usize, u64)> = VecDeque::new();
            for (number, (push, len)) in steps.into_iter().enumerate() {
                if push {
                    let number = number as u64;
                    let dropped: Vec<u64> = queue.push(batch(len, number)).iter().map(|b| b.points).collect();
                    model.push_back((len, number));
                    let mut expected = Vec::new();
                    while model.iter().map(|(len, _)| len).sum::<usize>() > 100 {
                        expected.extend(model.pop_front().map(|(_, number)| number));
                    }
                    prop_assert_eq!(dropped, expected);
                } else {
                    let taken = queue.pop().map(|b| b.points);
                    prop_assert_eq!(taken, model.pop_front().map(|(_, number)| number));
                }
                prop_assert_eq!(queue.bytes(), model.iter().map(|(len, _)| len).sum::<usize>());
                prop_assert_eq!(queue.is_empty(), model.is_empty());
            }
            prop_assert_eq!(queue.push(batch(101, 7)).len(), 1);
        }
    }
}
