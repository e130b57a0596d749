//! The words of the enums in runtime-config.yaml.

use ig_model::otlp::{Compression, OtlpProtocol, Signal};
use ig_model::{InstrumentKind, Temporality};

use super::{LogFormat, LogLevel, Pull};
use crate::table::Word;

impl Word for Pull {
    const WORDS: &'static [(&'static str, Self)] =
        &[("missing", Self::Missing), ("always", Self::Always), ("never", Self::Never)];
}

impl Word for LogLevel {
    const WORDS: &'static [(&'static str, Self)] = &[
        ("error", Self::Error),
        ("warn", Self::Warn),
        ("info", Self::Info),
        ("debug", Self::Debug),
        ("trace", Self::Trace),
    ];
}

impl Word for LogFormat {
    const WORDS: &'static [(&'static str, Self)] = &[("text", Self::Text), ("json", Self::Json)];
}

impl Word for OtlpProtocol {
    const WORDS: &'static [(&'static str, Self)] =
        &[("grpc", Self::Grpc), ("http/protobuf", Self::HttpProtobuf)];
}

impl Word for Signal {
    const WORDS: &'static [(&'static str, Self)] = &[("metrics", Self::Metrics)];
}

impl Word for Temporality {
    const WORDS: &'static [(&'static str, Self)] =
        &[("cumulative", Self::Cumulative), ("delta", Self::Delta)];
}

impl Word for Compression {
    const WORDS: &'static [(&'static str, Self)] = &[("none", Self::None), ("gzip", Self::Gzip)];
}

impl Word for InstrumentKind {
    const WORDS: &'static [(&'static str, Self)] =
        &[("counter", Self::Counter), ("gauge", Self::Gauge), ("histogram", Self::Histogram)];
}
