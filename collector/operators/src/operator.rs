//! The contract of operators: everything that may happen to the records of a gadget is one of these.
//!
//! An operator is a folder of this crate, and a line in [`Operators::standard`]. It describes the parameters it takes,
//! may bring data sources of its own, extends and narrows the plan of each data source, and builds what runs. The
//! runtime walks the list and knows none of them; none knows another.
//!
//! # Phases
//! [`Operator`] only decides: it opens nothing, and what it plans can be thrown away. [`OperatorPlan`] opens what it
//! needs of a gadget that is loaded; nobody sees records yet. Only [`Stage`](crate::Stage) sees records, and nothing it
//! does can fail the gadget.

mod draft;
mod params;
mod registry;

use std::{error::Error, fmt::Debug, sync::Arc, sync::atomic::AtomicU64};

use ig_config::{Position, metadata::Metadata, runtime::Gadget};
use ig_datasource::{DataSource, ParamDesc};
use ig_kernel::map::Map;
use ig_model::Host;

pub use draft::{Draft, Feed, PlanContext, PlannedMeasure, Timing};
pub use params::{ParamValues, Params};
pub use registry::Operators;

use crate::stage::Step;

/// Where an operator stands: earlier ones see a record first, and are planned first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Phase {
    /// Adds fields and columns. After these the layout is settled.
    Extend,
    /// Lets records pass or not.
    Select,
    /// Keeps the records of a fetch back, to put them in order.
    Arrange,
    /// Says where they go in the end.
    Outlet,
}

/// A kind of thing that may happen to the records of a gadget.
///
/// Every method has a default that does nothing: an operator that has nothing to do with a gadget adds nothing to it.
pub trait Operator: Debug + Send + Sync {
    /// Its name, unique among operators.
    fn name(&self) -> &'static str;

    /// Where it stands.
    fn phase(&self) -> Phase;

    /// The parameters it takes for one run of a gadget with these data sources, as clients see them.
    fn params(&self, _sources: &[&DataSource]) -> Vec<ParamDesc> {
        Vec::new()
    }

    /// Full names of parameters that only whoever runs the gadget may set, never an image; described nowhere.
    fn private_params(&self) -> &'static [&'static str] {
        &[]
    }

    /// Full names of parameters that are accepted, with a warning, and change nothing.
    fn ignored_params(&self) -> &'static [&'static str] {
        &[]
    }

    /// The data sources that gadget.yaml turns on, without what gadget.yaml says of their fields.
    fn sources(&self, _metadata: &Metadata) -> Brought {
        Brought::default()
    }

    /// Checks what is for the gadget as a whole; its parameters count as unset after a fault.
    ///
    /// # Errors
    /// Everything that is wrong.
    fn check(&self, _gadget: &GadgetContext<'_>) -> Result<(), Vec<Fault>> {
        Ok(())
    }

    /// Plans what happens to the records of one data source.
    ///
    /// # Errors
    /// Everything that does not fit the data source.
    fn plan(&self, _context: &PlanContext<'_>, _draft: &mut Draft) -> Result<(), Vec<Fault>> {
        Ok(())
    }
}

/// What an operator does with the records of one data source, decided.
pub trait OperatorPlan: Debug + Send {
    /// Opens what it needs.
    ///
    /// # Errors
    /// The gadget or the machine has not what it needs; the gadget does not start.
    fn build(self: Box<Self>, gadget: &dyn LoadedGadget, host: &Host) -> Result<Ready, BuildError>;
}

/// A loaded gadget: the maps that operators asked for, and the ways into its derived data sources, by name.
pub trait LoadedGadget {
    /// One of them; `None` if the object has none of this name.
    fn map(&self, name: &str) -> Option<&Map>;

    /// The way into a data source whose feed is [`Feed::Emitted`]; `None` if it is none.
    fn emitter(&self, source: &str) -> Option<Arc<dyn Emit>>;
}

/// The way into a derived data source, for stages of other ones; any number of them may share it.
pub trait Emit: Debug + Send + Sync {
    /// Gives it a record, on any thread, without waiting. `false` if there is no room: it is counted as lost on the way.
    fn emit(&self, record: &[u8]) -> bool;
}

/// What an operator puts on the way of records.
#[derive(Debug, Default)]
pub struct Ready {
    /// What sees them, if anything does.
    pub step: Option<Step>,
    /// What it counts beside losses.
    pub counters: Vec<StageCounter>,
}

/// A number that an operator exports about itself for each data source.
#[derive(Clone, Debug)]
pub struct StageCounter {
    /// A metric of the collector's inventory, with the labels `gadget`, `datasource` and `reason`.
    pub metric: &'static str,
    /// The value of `reason`.
    pub reason: &'static str,
    /// The number; it only grows.
    pub count: Arc<AtomicU64>,
}

/// An operator cannot be built.
#[derive(Debug, thiserror::Error)]
#[error("operator `{operator}` cannot be set up")]
pub struct BuildError {
    /// Its name.
    pub operator: &'static str,
    /// Why not.
    #[source]
    pub cause: Box<dyn Error + Send + Sync>,
}

/// A gadget, for operators that look at it as a whole.
#[derive(Clone, Copy, Debug)]
pub struct GadgetContext<'a> {
    /// Its section of the configuration.
    pub gadget: &'a Gadget,
    /// What it has.
    pub sources: &'a [&'a DataSource],
    /// The parameters of this operator.
    pub params: &'a Params,
}

impl GadgetContext<'_> {
    /// Names of the data sources.
    pub fn names(&self) -> Vec<&str> {
        self.sources.iter().map(|source| source.name.as_str()).collect()
    }
}

/// Data sources of an operator, and what was odd about asking for them.
#[derive(Debug, Default)]
pub struct Brought {
    /// The data sources.
    pub sources: Vec<DataSource>,
    /// What does not stop the gadget.
    pub warnings: Vec<String>,
    /// What does.
    pub faults: Vec<Fault>,
}

/// Something that keeps a gadget from being planned.
#[derive(Clone, Debug)]
pub struct Fault {
    /// Whose it is.
    pub kind: FaultKind,
    /// Where it stands; the gadget's own place without one.
    pub at: Option<Position>,
    /// What is wrong, and what would be right.
    pub text: String,
}

/// Whose fault it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FaultKind {
    /// Of what the user wrote.
    Config,
    /// Of the image.
    Image,
}

impl Fault {
    /// A fault of what the user wrote for the gadget.
    pub fn config(text: impl Into<String>) -> Self {
        Self { kind: FaultKind::Config, at: None, text: text.into() }
    }

    /// A fault of the image.
    pub fn image(text: impl Into<String>) -> Self {
        Self { kind: FaultKind::Image, at: None, text: text.into() }
    }

    /// A fault of the value of a parameter.
    pub fn param(full_key: &str, problem: impl std::fmt::Display) -> Self {
        Self::config(format!("parameter `{full_key}`: {problem}"))
    }
}
