//! Every way in which a record can end before its sink, by name.
//!
//! One list: counters, metric labels, help texts, documentation and the test of the ledger are made from it. A record
//! that is lost is lost under exactly one of these reasons.
//!
//! # The ledger
//! ```text
//! produced  = received  + lost in the kernel
//! received  = delivered + lost in the pipeline
//! delivered = taken     + lost by the sink        for each sink
//! ```

use std::{
    array,
    ops::{Index, IndexMut},
    sync::atomic::{AtomicU64, Ordering},
};

/// Where on its way a record is lost; decides which line of the ledger counts it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum LossStage {
    /// Before its data source received it.
    Kernel,
    /// Between the reader and the sinks.
    Pipeline,
    /// In a sink that was handed the record.
    Sink,
}

macro_rules! losses {
    ($($(#[doc = $doc:literal])+ $name:ident = $label:literal, $stage:ident, $help:literal;)+) => {
        /// Why a record did not reach a sink.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub enum Loss {
            $($(#[doc = $doc])+ $name,)+
        }

        impl Loss {
            /// Every reason, in the order of a record's way.
            pub const ALL: [Self; [$($label),+].len()] = [$(Self::$name),+];

            /// The value of the label `reason`.
            pub const fn label(self) -> &'static str {
                match self { $(Self::$name => $label,)+ }
            }

            /// Where it happens.
            pub const fn stage(self) -> LossStage {
                match self { $(Self::$name => LossStage::$stage,)+ }
            }

            /// Half a sentence for people: what became of the record.
            pub const fn help(self) -> &'static str {
                match self { $(Self::$name => $help,)+ }
            }
        }
    };
}

losses! {
    /// The program found no room in the ring buffer or perf event array.
    Ringbuf = "ringbuf", Kernel, "did not fit the buffer to user space, never received";
    /// The queue from the stages that feed a derived data source was full.
    Queue = "queue", Kernel, "did not fit the queue into a derived data source, never received";
    /// Another instance of the gadget delivers it.
    Handover = "handover", Pipeline, "the other instance delivered it during a replacement";
    /// Its bytes do not have the layout that the gadget states.
    Decode = "decode", Pipeline, "made no sense";
    /// The configured filter says no.
    Filter = "filter", Pipeline, "configured";
    /// The configured expression has no verdict on it.
    Expression = "expression", Pipeline, "the filter expression has no verdict";
    /// Beyond the configured number of records of a fetch.
    Limit = "limit", Pipeline, "beyond the configured number of a fetch";
    /// The sink's reader was too slow or is gone.
    Output = "output", Sink, "whoever reads the output was too slow or has gone";
}

impl Loss {
    /// Reasons of one stage, in order.
    pub fn of(stage: LossStage) -> impl Iterator<Item = Self> {
        Self::ALL.into_iter().filter(move |loss| loss.stage() == stage)
    }
}

/// A number for each reason: what one thread counts before it shares it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Losses([u64; Loss::ALL.len()]);

impl Losses {
    /// Counts `n` records under `loss`.
    pub fn add(&mut self, loss: Loss, n: u64) {
        self[loss] = self[loss].saturating_add(n);
    }

    /// All reasons together.
    pub fn total(&self) -> u64 {
        self.0.iter().fold(0, |sum, count| sum.saturating_add(*count))
    }

    /// The reasons that lost something, with their numbers.
    pub fn iter(&self) -> impl Iterator<Item = (Loss, u64)> {
        Loss::ALL.into_iter().map(|loss| (loss, self[loss])).filter(|(_, count)| *count > 0)
    }
}

impl Index<Loss> for Losses {
    type Output = u64;

    #[expect(clippy::indexing_slicing, reason = "there is a number for each variant")]
    fn index(&self, loss: Loss) -> &u64 {
        &self.0[loss as usize]
    }
}

impl IndexMut<Loss> for Losses {
    #[expect(clippy::indexing_slicing, reason = "there is a number for each variant")]
    fn index_mut(&mut self, loss: Loss) -> &mut u64 {
        &mut self.0[loss as usize]
    }
}

/// [`Losses`] that several threads add to and read; they only grow.
#[derive(Debug)]
pub struct LossCounters([AtomicU64; Loss::ALL.len()]);

impl Default for LossCounters {
    fn default() -> Self {
        Self(array::from_fn(|_| AtomicU64::new(0)))
    }
}

impl LossCounters {
    /// Counts `n` records under `loss`.
    #[expect(clippy::indexing_slicing, reason = "there is a number for each variant")]
    pub fn add(&self, loss: Loss, n: u64) {
        // Relaxed: the numbers are independent of each other and of everything else.
        self.0[loss as usize].fetch_add(n, Ordering::Relaxed);
    }

    /// Adds what was counted in private, and empties it.
    pub fn absorb(&self, losses: &mut Losses) {
        for (loss, count) in losses.iter() {
            self.add(loss, count);
        }
        *losses = Losses::default();
    }

    /// The present number.
    #[expect(clippy::indexing_slicing, reason = "there is a number for each variant")]
    pub fn load(&self, loss: Loss) -> u64 {
        self.0[loss as usize].load(Ordering::Relaxed)
    }

    /// The present numbers of all reasons.
    pub fn snapshot(&self) -> Losses {
        Losses(array::from_fn(|index| self.0.get(index).map_or(0, |count| count.load(Ordering::Relaxed))))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Scenario: every reason is counted a different number of times, in private and then in public.
    /// Guarantees: no two reasons share a number or a label, and what is absorbed is counted once.
    #[test]
    fn reasons_do_not_mix() {
        let counters = LossCounters::default();
        let mut losses = Losses::default();
        for (times, loss) in (1..).zip(Loss::ALL) {
            losses.add(loss, times);
        }
        let expected = losses.clone();
        counters.absorb(&mut losses);
        counters.absorb(&mut losses);
        assert_eq!(counters.snapshot(), expected);
        assert_eq!(losses.total(), 0);
        let mut labels: Vec<&str> = Loss::ALL.into_iter().map(Loss::label).collect();
        labels.sort_unstable();
        labels.dedup();
        assert_eq!(labels.len(), Loss::ALL.len());
    }
}
