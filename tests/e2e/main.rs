//! End to end: the `ig` binary on the real kernel, Prometheus and OTLP receivers beside it.
//!
//! The tests count events of the whole machine and are run one at a time (`--test-threads=1`). They need root, the
//! gadgets' build tools and Prometheus; `tests/tools.sh test` installs what is missing.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::float_cmp,
    reason = "tests; the floats are whole numbers"
)]

mod bad_input;
mod cli;
mod clocks;
mod counts;
mod gadgets;
mod images;
mod interactive;
mod lifecycle;
mod mounts;
mod otlp;
mod reload;
mod soak;
mod statistics;
mod top_tcp;
