//! One gadget of the running set, and the metrics made of its data.

use std::{collections::BTreeMap, time::Duration};

use ig_model::InstrumentKind;

use crate::{NotCompared, Position};

/// One gadget to keep running.
///
/// Two gadgets are equal when nothing that matters to their running differs; see [`NotCompared`].
#[derive(Clone, Debug, PartialEq)]
pub struct Gadget {
    /// Its name, unique in the running set.
    pub name: String,
    /// The image as written: short name, or registry, repository, tag and digest.
    pub image: String,
    /// Parameters by short or fully qualified name; values as written.
    pub params: BTreeMap<String, String>,
    /// Records that do not match are dropped.
    pub filter: Option<String>,
    /// Records for which it is not true are dropped.
    pub filter_expr: Option<String>,
    /// Metrics made of its records, besides those that the image's annotations ask for.
    pub metrics: Vec<Metric>,
    /// Whether the metrics that the image's annotations ask for are made as well.
    pub image_metrics: bool,
    /// How often maps and iterators are read; `None` leaves it to the image.
    pub interval: Option<Duration>,
    /// Annotations set over the image's: `data-source:key=value` or `data-source.field:key=value`.
    pub annotate: Vec<String>,
    /// The exporters its metrics go to; `None` is all of them.
    pub exporters: Option<Vec<String>>,
    /// Most series of this gadget; `None` is [`super::Limits::series_per_gadget`].
    pub series_limit: Option<usize>,
    /// What a `kind: instance-spec` manifest says beside the above; `None` for gadgets of a runtime-config.
    pub manifest: Option<InstanceSpec>,
    /// Where it is written.
    pub at: NotCompared<Position>,
}

impl Default for Gadget {
    /// What a document means that says nothing: no name, no image, and the image's own metrics.
    fn default() -> Self {
        Self {
            name: String::new(),
            image: String::new(),
            params: BTreeMap::new(),
            filter: None,
            filter_expr: None,
            metrics: Vec::new(),
            image_metrics: true,
            interval: None,
            annotate: Vec::new(),
            exporters: None,
            series_limit: None,
            manifest: None,
            at: NotCompared::default(),
        }
    }
}

/// The part of a `kind: instance-spec` manifest that names and places the instance.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct InstanceSpec {
    /// 32 hexadecimal digits.
    pub id: Option<String>,
    /// Labels for listing.
    pub tags: Vec<String>,
    /// The Kubernetes nodes it is for; empty means all.
    pub nodes: Vec<String>,
}

/// A metric made of a gadget's records.
#[derive(Clone, Debug, PartialEq)]
pub struct Metric {
    /// Name of the instrument.
    pub name: String,
    /// What it measures.
    pub kind: InstrumentKind,
    /// The data source to take records from; `None` where the gadget has just one.
    pub datasource: Option<String>,
    /// The field that is added, set or observed. `None` counts records: all of them for a counter, those of the last
    /// fetch for a gauge. A histogram always has one.
    pub field: Option<String>,
    /// What distinguishes its series.
    pub labels: Vec<Label>,
    /// Unit after scaling, in UCUM.
    pub unit: Option<String>,
    /// One sentence for the help text.
    pub description: Option<String>,
    /// What each value is multiplied with.
    pub scale: Option<f64>,
    /// The buckets of a histogram; `None` leaves them to the default.
    pub buckets: Option<Buckets>,
    /// Where it is written.
    pub at: NotCompared<Position>,
}

/// A label of a metric's series.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Label {
    /// The label's name.
    pub name: String,
    /// The field it is read from.
    pub field: String,
    /// Where it is written.
    pub at: NotCompared<Position>,
}

/// The upper bounds of a histogram's buckets; the one without bound is not written.
#[derive(Clone, Debug, PartialEq)]
pub enum Buckets {
    /// Each bound written out: finite and strictly increasing.
    Explicit(Vec<f64>),
    /// `start * factor^i` for `i` below `count`.
    Exponential {
        /// The first bound.
        start: f64,
        /// How many times the bound before each is.
        factor: f64,
        /// How many bounds.
        count: u32,
    },
    /// `start + width * i` for `i` below `count`.
    Linear {
        /// The first bound.
        start: f64,
        /// The distance from one to the next.
        width: f64,
        /// How many bounds.
        count: u32,
    },
}

impl Buckets {
    /// Most bounds of one histogram.
    pub const MOST: u32 = 160;

    /// Every upper bound, in order.
    ///
    /// Bounds made by a rule are rounded to twelve digits, so that they read `0.00001` and not
    /// `0.000009999999999999999` wherever they become text.
    pub fn bounds(&self) -> Vec<f64> {
        match self {
            Self::Explicit(bounds) => bounds.clone(),
            Self::Exponential { start, factor, count } => {
                (0..*count).map(|i| round(start * factor.powf(f64::from(i)))).collect()
            }
            Self::Linear { start, width, count } => {
                (0..*count).map(|i| round(start + width * f64::from(i))).collect()
            }
        }
    }
}

/// Rounds to twelve significant digits, in decimal because decimal is what people read.
fn round(bound: f64) -> f64 {
    format!("{bound:.11e}").parse().unwrap_or(bound)
}
