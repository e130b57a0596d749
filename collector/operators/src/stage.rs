//! Stages: what stands between a record and its outlets, one behind the other.
//!
//! Every packet that a stage is handed is passed on, lost under a name, or kept for later; what is kept goes on or is
//! lost by the end of its fetch, or when the run ends. So the ledger of a data source balances whatever its stages do.

use std::fmt::Debug;

use ig_model::{Loss, LossStage, Losses};

use crate::{filter::FilterStage, outlets::Outlets, packet::Packet};

/// A step on the way of the records of one data source.
///
/// All calls come from the thread that reads the data source, in order; none may block. What each method does concerns
/// this stage alone: [`Stages`] calls the next one after it.
pub trait Stage: Send + Debug {
    /// A fetch of a map or iterator begins.
    fn begin(&mut self, _next: &mut Next<'_>) {}
    /// Takes a packet.
    fn packet(&mut self, packet: &mut Packet<'_>, next: &mut Next<'_>);
    /// The fetch ends; what was kept of it goes on now.
    fn end(&mut self, _next: &mut Next<'_>) {}
    /// A drain ends: what has been worked out meanwhile can go on.
    fn flush(&mut self, _next: &mut Next<'_>) {}
    /// No record comes any more: what is still kept goes on, or is lost.
    fn finish(&mut self, _next: &mut Next<'_>) {}
}

/// A stage in its place.
///
/// The filter stands on the path of gadgets that feed only metrics, which makes no indirect call for a record; so it
/// is called by its type, and every other stage by the contract.
#[derive(Debug)]
pub enum Step {
    /// Keeps what the rules keep.
    Filter(FilterStage),
    /// Anything else.
    Stage(Box<dyn Stage>),
}

/// The stages of one data source, in the order in which a record meets them.
#[derive(Debug, Default)]
pub struct Stages {
    steps: Vec<Step>,
}

/// What follows a stage.
#[derive(Debug)]
pub struct Next<'a> {
    steps: &'a mut [Step],
    outlets: &'a mut Outlets,
    lost: &'a mut Losses,
}

impl Next<'_> {
    /// Passes a packet on.
    #[inline]
    pub fn pass(&mut self, packet: &mut Packet<'_>) {
        match self.steps.split_first_mut() {
            None => self.outlets.take(packet.bytes()),
            Some((step, steps)) => {
                step.packet(packet, &mut Next { steps, outlets: self.outlets, lost: self.lost });
            }
        }
    }

    /// Drops a packet under a reason of the pipeline.
    #[inline]
    pub fn lose(&mut self, loss: Loss) {
        self.lose_many(loss, 1);
    }

    /// Drops packets that were kept.
    #[inline]
    pub fn lose_many(&mut self, loss: Loss, count: u64) {
        debug_assert_eq!(loss.stage(), LossStage::Pipeline, "{loss:?} is not a reason of the pipeline");
        self.lost.add(loss, count);
    }
}

impl Step {
    #[inline]
    fn packet(&mut self, packet: &mut Packet<'_>, next: &mut Next<'_>) {
        match self {
            Self::Filter(filter) => filter.packet(packet, next),
            Self::Stage(stage) => stage.packet(packet, next),
        }
    }

    fn stage(&mut self) -> &mut dyn Stage {
        match self {
            Self::Filter(filter) => filter,
            Self::Stage(stage) => stage.as_mut(),
        }
    }
}

impl Stages {
    /// These stages, the first one first.
    pub fn new(steps: Vec<Step>) -> Self {
        Self { steps }
    }

    /// Brings a packet to the first of them.
    #[inline]
    pub fn packet(&mut self, packet: &mut Packet<'_>, outlets: &mut Outlets, lost: &mut Losses) {
        Next { steps: &mut self.steps, outlets, lost }.pass(packet);
    }

    /// Begins a fetch: each stage, then the outlets.
    pub fn begin(&mut self, outlets: &mut Outlets, lost: &mut Losses) {
        // First, lest a stage emit before the fetch began there.
        outlets.begin();
        self.each(outlets, lost, |stage, next| stage.begin(next));
    }

    /// Ends a fetch.
    pub fn end(&mut self, outlets: &mut Outlets, lost: &mut Losses) {
        self.each(outlets, lost, |stage, next| stage.end(next));
        outlets.end();
    }

    /// Ends a drain.
    pub fn flush(&mut self, outlets: &mut Outlets, lost: &mut Losses) {
        self.each(outlets, lost, |stage, next| stage.flush(next));
        outlets.flush();
    }

    /// Ends the run.
    pub fn finish(&mut self, outlets: &mut Outlets, lost: &mut Losses) {
        self.each(outlets, lost, |stage, next| stage.finish(next));
        outlets.flush();
        outlets.finish();
    }

    /// Calls each stage with what follows it, so that what one gives on has passed all others before they are called.
    fn each(
        &mut self,
        outlets: &mut Outlets,
        lost: &mut Losses,
        mut call: impl FnMut(&mut dyn Stage, &mut Next<'_>),
    ) {
        let mut rest = self.steps.as_mut_slice();
        while let Some((step, steps)) = rest.split_first_mut() {
            call(step.stage(), &mut Next { steps, outlets, lost });
            rest = steps;
        }
    }
}
