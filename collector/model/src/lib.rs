//! Identifiers, units, clocks and field kinds shared by every crate of the collector.
//!
//! This crate depends on nothing of ours, does no I/O but reading clocks and the environment and looking where the host is,
//! and holds only what at least two other crates must agree on.

pub mod chain;
pub mod clock;
pub mod environment;
pub mod hint;
pub mod host;
pub mod insn;
pub mod instrument;
pub mod kind;
pub mod loss;
pub mod names;
pub mod nearest;
pub mod otlp;
pub mod position;
pub mod proxy;
pub mod reason;
pub mod retry;
pub mod secret;
pub mod shortage;
pub mod text;

pub use chain::{causes, chain};
pub use clock::{BootClock, KtimeNs, UnixNs};
pub use hint::Hint;
pub use host::{Host, HostError};
pub use insn::Insn;
pub use instrument::{InstrumentKind, Temporality};
pub use kind::FieldKind;
pub use loss::{Loss, LossCounters, LossStage, Losses};
pub use nearest::nearest;
pub use position::Position;
pub use proxy::Proxies;
pub use reason::{Reason, ReasonKind};
pub use retry::{Backoff, RetryPolicy};
pub use secret::Secret;
pub use shortage::Shortage;
