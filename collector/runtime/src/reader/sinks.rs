//! Sinks that come and go while a data source is read.

use ig_operators::{Sink, SinkId, SourceSchema};
use thiserror::Error;
use tokio::sync::oneshot;

use crate::pipeline::Pipeline;

/// Makes a sink for packets of this schema; called on the reader thread, between two drains or fetches.
pub(super) type Opener = Box<dyn FnOnce(&SourceSchema) -> Result<Box<dyn Sink>, String> + Send>;

/// What is told a source about its sinks.
pub(super) enum SinkOrder {
    /// Add one.
    Attach(SinkId, Opener, oneshot::Sender<Result<(), String>>),
    /// Take one away.
    Detach(SinkId, oneshot::Sender<bool>),
}

/// A sink that was not added.
#[derive(Debug, Error)]
pub enum AttachError {
    /// What it wants does not fit the data source.
    #[error("{0}")]
    Refused(String),
    /// The data source is not read any more.
    #[error("the data source has ended")]
    Ended,
}

impl SinkOrder {
    /// Does it, between two drains or fetches.
    pub(super) fn carry_out(self, pipeline: &mut Pipeline) {
        match self {
            Self::Attach(id, open, done) => {
                let opened = open(pipeline.schema()).map(|sink| pipeline.attach(id, sink));
                if done.send(opened).is_err() {
                    // Whoever asked has gone and will never take it away.
                    pipeline.detach(id);
                }
            }
            // Nobody may have waited.
            Self::Detach(id, done) => drop(done.send(pipeline.detach(id))),
        }
    }
}
