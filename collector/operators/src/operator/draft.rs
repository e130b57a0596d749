//! The plan of a data source while operators work on it.

use std::time::Duration;

use ig_config::{
    metadata::Metadata,
    runtime::{Gadget, Limits},
};
use ig_model::Host;

use super::{OperatorPlan, Params};
use crate::{
    feed::FeedPlan,
    measure::{MeasurePlan, TablePlace},
    schema::SourceSchema,
};

/// What operators know when they plan a data source.
#[derive(Clone, Copy)]
pub struct PlanContext<'a> {
    /// The gadget's section of the configuration.
    pub gadget: &'a Gadget,
    /// gadget.yaml, with what the user set over it.
    pub metadata: &'a Metadata,
    /// Limits of the configuration.
    pub limits: &'a Limits,
    /// The parameters of this operator.
    pub params: &'a Params,
    /// Names of all data sources of the gadget.
    pub names: &'a [&'a str],
    /// The machine.
    pub host: &'a Host,
    /// Whether the object has a map of this name.
    pub has_map: &'a dyn Fn(&str) -> bool,
}

/// The plan of a data source so far.
#[derive(Debug)]
pub struct Draft {
    /// Its fields and columns.
    pub schema: SourceSchema,
    /// When it is read, if it is read whole.
    pub timing: Timing,
    /// Where its records come from, if it is a data source of an operator.
    pub feed: Option<Feed>,
    /// Names of maps that operators read.
    pub maps: Vec<String>,
    /// What stands on the way of its records, in order.
    pub parts: Vec<Box<dyn OperatorPlan>>,
    /// What is measured.
    pub measures: Vec<PlannedMeasure>,
    /// Oddities that do not stop the gadget.
    pub warnings: Vec<String>,
}

/// Where the records of a data source come from that an operator brings.
#[derive(Debug)]
pub enum Feed {
    /// From readings at intervals.
    Gathered(Box<dyn FeedPlan>),
    /// From stages of other data sources of the gadget, which stand before it: they are stopped first.
    Emitted,
}

impl Feed {
    /// What makes one feed different from another: with equal keys nothing needs to be opened again.
    pub fn key(&self) -> String {
        match self {
            Self::Gathered(plan) => plan.key(),
            Self::Emitted => "emitted".to_owned(),
        }
    }
}

/// When a data source is read that is read whole; what is `None` is left to others.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Timing {
    /// Time between fetches; zero for a fetch at the end only.
    pub interval: Option<Duration>,
    /// Time until the first one, if it differs.
    pub first: Option<Duration>,
    /// Fetches after which there are no more; zero for no end.
    pub count: Option<u64>,
}

/// Series that are made of records, and where they belong.
#[derive(Clone, Debug)]
pub struct PlannedMeasure {
    /// Labels and instruments.
    pub plan: MeasurePlan,
    /// Where the table belongs.
    pub place: TablePlace,
}

impl Draft {
    /// The draft of a data source that nothing happens to yet.
    pub fn new(schema: SourceSchema) -> Self {
        Self {
            schema,
            timing: Timing::default(),
            feed: None,
            maps: Vec::new(),
            parts: Vec::new(),
            measures: Vec::new(),
            warnings: Vec::new(),
        }
    }
}
