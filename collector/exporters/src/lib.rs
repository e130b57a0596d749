//! The series store and what leaves the process: the Prometheus endpoint and OTLP.
//!
//! Gadgets write numbers into [`series`] tables; exporters read them from there. The store sits between the two
//! so that an event costs a hash and an addition, never a formatted string, and so that one set of series serves
//! `/metrics` ([`prometheus`], [`scrape`]) and any number of push receivers ([`otlp`]) at once.
//!
//! Nothing here knows a gadget, a kernel or a configuration file: the runtime describes each table by a
//! [`series::TableSpec`] and each receiver by an [`otlp::OtlpSettings`].

pub mod clock;
pub mod otlp;
pub mod prometheus;
pub mod scrape;
pub mod series;
