//! Between what makes messages and what delivers them: the contract of one signal.

use bytes::Bytes;

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

/// Where the messages of one signal come from.
///
/// A [`Deliverer`](super::deliver::Deliverer) asks for messages one at a time and says what became of each.
pub(super) trait Source: Send {
    /// What the source has to remember until a message has been settled. Stays in memory while the message travels.
    type Receipt: Send;

    /// The service that takes the messages.
    const SERVICE: Service;

    /// Begins another round over what there is to send now; what is left of the round before is forgotten.
    fn begin(&mut self);

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

    /// The message has been given up.
    fn dropped(&mut self, receipt: Self::Receipt, reason: DropReason);
}
