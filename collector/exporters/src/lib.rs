//! What leaves the process: the Prometheus endpoint and OTLP.
//!
//! Gadgets write numbers into the tables of an [`ig_series::Registry`]; exporters read them from there, so that one set
//! of series serves `/metrics` ([`prometheus`], [`scrape`]) and any number of push receivers ([`otlp`]) at once.
//!
//! Nothing here knows a gadget, a kernel or a configuration file: the runtime describes each receiver by
//! [`OtlpSettings`](ig_model::otlp::OtlpSettings).

pub mod otlp;
pub mod prometheus;
pub mod scrape;
