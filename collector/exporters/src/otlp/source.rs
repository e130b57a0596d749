//! Between what makes messages and what delivers them: the contract of one signal.

use bytes::Bytes;

use super::split::split_metrics;
use super::stats::DropReason;

/// The service of a receiver that takes one signal.
///
/// # Source
/// opentelemetry-proto, `collector/*/v1/*_service.proto`. Every service answers with the same shape, so what a receiver
/// rejected is read the same way for all of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Service {
    /// The signal's name, in logs.
    pub(super) signal: &'static str,
    /// Path of the method over gRPC.
    pub(super) grpc_path: &'static str,
    /// What is appended to the endpoint over HTTP.
    pub(super) http_path: &'static str,
}

impl Service {
    /// Takes metrics.
    pub(super) const METRICS: Self = Self {
        signal: "metrics",
        grpc_path: "/opentelemetry.proto.collector.metrics.v1.MetricsService/Export",
        http_path: "/v1/metrics",
    };
}

/// A request that says all by itself, so that it may wait anywhere: nothing but its bytes is needed to send it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Message {
    /// The encoded `Export…ServiceRequest`.
    pub(super) bytes: Bytes,
    /// Data points, spans or log records in it.
    pub(super) items: u64,
}

impl Message {
    /// A message of metrics in two, the first with so many points; the receipt goes with the second.
    pub(super) fn split<R>(&self, first: u64, receipt: Option<R>) -> [(Self, Option<R>); 2] {
        let [before, after] = split_metrics(&self.bytes, first);
        [
            (Self { bytes: before.into(), items: first }, None),
            (Self { bytes: after.into(), items: self.items.saturating_sub(first) }, receipt),
        ]
    }
}

/// Whether more rounds follow.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Round {
    /// They do, of this source or of one that takes its place.
    Next,
    /// It is the last one: nobody will tell of the series any more.
    Last,
}

/// What is sent instead of a message that is too large.
#[derive(Debug)]
pub(super) enum Smaller<R> {
    /// These, which say the same.
    Parts([(Message, Option<R>); 2]),
    /// The round from its beginning, in smaller messages.
    Round,
    /// Nothing: it is as small as it can be.
    Nothing(Option<R>),
}

/// Where the messages of one signal come from.
///
/// A [`Deliverer`](super::deliver::Deliverer) asks for messages one at a time and says what became of each.
pub(super) trait Source: Send {
    /// What the source has to remember until a message has been settled. Stays in memory while the message travels.
    type Receipt: Send;

    /// The service that takes the messages.
    const SERVICE: Service;

    /// Begins another round over what there is to send now; what is left of the round before is forgotten.
    fn begin(&mut self, round: Round);

    /// The next message of the round under way; `None` at its end, and when there is none.
    fn next(&mut self) -> Option<(Message, Self::Receipt)>;

    /// Whether messages may wait in a queue while further rounds are made.
    ///
    /// If not, a round is left out as long as a message is unsettled, because the next one depends on what becomes of it.
    fn may_queue(&self) -> bool;

    /// The receiver has taken the message.
    fn accepted(&mut self, receipt: Self::Receipt);

    /// A queue has taken the message and answers for it; whether it arrives is not told.
    fn queued(&mut self, receipt: Self::Receipt) {
        self.accepted(receipt);
    }

    /// The receiver finds the message too large; `receipt` is absent if the source has no part in it any more. What is
    /// made from now on is smaller.
    fn too_large(&mut self, message: &Message, receipt: Option<Self::Receipt>) -> Smaller<Self::Receipt>;

    /// The message has been given up.
    fn dropped(&mut self, receipt: Self::Receipt, reason: DropReason);
}
