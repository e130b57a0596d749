//! Messages waiting for a receiver: bounded by bytes, the oldest makes room.

use std::collections::VecDeque;

use super::source::Message;

/// Where messages wait.
///
/// They are self-contained and leave one at a time: the next is taken when the one before has been settled. A queue on
/// disk can therefore keep what it handed out until it is asked again.
pub(super) trait Queue: Send {
    /// Adds a message; returns those that had to make room, oldest first. One that alone is larger than the queue
    /// comes straight back.
    fn push(&mut self, message: Message) -> Vec<Message>;

    /// Takes the oldest message.
    fn pop(&mut self) -> Option<Message>;

    /// Bytes waiting.
    fn bytes(&self) -> usize;

    /// Whether nothing waits.
    fn is_empty(&self) -> bool;
}

/// A queue in memory. When full, the oldest message is dropped: with cumulative values the newer one supersedes it.
#[derive(Debug)]
pub(super) struct MemoryQueue {
    messages: VecDeque<Message>,
    bytes: usize,
    most_bytes: usize,
}

impl MemoryQueue {
    pub(super) fn new(most_bytes: usize) -> Self {
        Self { messages: VecDeque::new(), bytes: 0, most_bytes }
    }
}

impl Queue for MemoryQueue {
    fn push(&mut self, message: Message) -> Vec<Message> {
        if message.bytes.len() > self.most_bytes {
            return vec![message];
        }
        let mut dropped = Vec::new();
        while self.bytes + message.bytes.len() > self.most_bytes
            && let Some(oldest) = self.pop()
        {
            dropped.push(oldest);
        }
        self.bytes += message.bytes.len();
        self.messages.push_back(message);
        dropped
    }

    fn pop(&mut self) -> Option<Message> {
        let message = self.messages.pop_front()?;
        self.bytes -= message.bytes.len();
        Some(message)
    }

    fn bytes(&self) -> usize {
        self.bytes
    }

    fn is_empty(&self) -> bool {
        self.messages.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use std::collections::VecDeque;

    use proptest::prelude::*;

    use super::*;

    fn message(len: usize, items: u64) -> Message {
        Message { bytes: vec![0; len].into(), items }
    }

    proptest! {
        /// Scenario: messages of any size come and go.
        /// Guarantees: the bound holds, order is kept, and every message is either waiting, taken or returned.
        #[test]
        fn behaves_as_a_bounded_fifo(steps in proptest::collection::vec((any::<bool>(), 1usize..60), 0..200)) {
            let mut queue = MemoryQueue::new(100);
            let mut model: VecDeque<(usize, u64)> = VecDeque::new();
            for (number, (push, len)) in steps.into_iter().enumerate() {
                if push {
                    let number = number as u64;
                    let dropped: Vec<u64> = queue.push(message(len, number)).iter().map(|m| m.items).collect();
                    model.push_back((len, number));
                    let mut expected = Vec::new();
                    while model.iter().map(|(len, _)| len).sum::<usize>() > 100 {
                        expected.extend(model.pop_front().map(|(_, number)| number));
                    }
                    prop_assert_eq!(dropped, expected);
                } else {
                    let taken = queue.pop().map(|m| m.items);
                    prop_assert_eq!(taken, model.pop_front().map(|(_, number)| number));
                }
                prop_assert_eq!(queue.bytes(), model.iter().map(|(len, _)| len).sum::<usize>());
                prop_assert_eq!(queue.is_empty(), model.is_empty());
            }
            prop_assert_eq!(queue.push(message(101, 7)).len(), 1);
        }
    }
}
