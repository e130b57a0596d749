//! Where metrics go: scraped by Prometheus, pushed by OTLP.

use std::{
    collections::BTreeMap,
    net::{Ipv4Addr, SocketAddr},
};

use ig_model::otlp::OtlpSettings;

use crate::{NotCompared, Position};

/// Where metrics go.
#[derive(Clone, Debug, PartialEq)]
pub struct Exporters {
    /// The scrape endpoint, if any.
    pub prometheus: Option<Prometheus>,
    /// OTLP receivers by name.
    pub otlp: BTreeMap<String, OtlpSettings>,
}

impl Default for Exporters {
    /// The scrape endpoint on loopback and nothing else: what runs when a document says nothing of exporters.
    fn default() -> Self {
        Self { prometheus: Some(Prometheus::default()), otlp: BTreeMap::new() }
    }
}

impl Exporters {
    /// The name by which gadgets refer to the scrape endpoint.
    pub const PROMETHEUS: &'static str = "prometheus";

    /// The names gadgets may refer to.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        let scrape = self.prometheus.as_ref().map(|_| Self::PROMETHEUS);
        scrape.into_iter().chain(self.otlp.keys().map(String::as_str))
    }
}

/// The endpoint that Prometheus scrapes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Prometheus {
    /// Address and port to listen on; port 0 lets the kernel choose.
    pub listen: SocketAddr,
    /// Where it is written.
    pub at: NotCompared<Position>,
}

impl Default for Prometheus {
    fn default() -> Self {
        Self { listen: SocketAddr::from((Ipv4Addr::LOCALHOST, 2224)), at: NotCompared::default() }
    }
}
