//! The plan of a gadget: everything that can be decided and checked without opening a descriptor.

mod hooks;
mod schedule;
mod sinks;
mod stacks;
mod stats;
mod variables;

use std::{collections::BTreeMap, fmt::Debug, sync::Arc};

use ig_config::{
    metadata::Metadata,
    runtime::{Gadget, Limits},
};
use ig_datasource::{DataSource, Discovered, Param, ParamDesc, discover};
use ig_image::{Digest, access::Acquired};
use ig_kernel::btf::Btf;
use ig_loader::Object;
use ig_model::Host;
use ig_operators::{
    Columns, Expression, Filter, FormatContext, Limit, MeasurePlan, Sink, Sort, SourceSchema, env, measure::TablePlace,
    spec::split_escaped, stack::StackSlot, stats::Statistics,
};

pub use hooks::Hook;
pub use variables::describe_params;

use crate::{
    reader::Schedule,
    status::{Reason, ReasonKind},
};

/// What the gadget runs for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// To feed exporters, for years.
    Collect,
    /// To be watched by somebody, as the image says: what is read once is read once.
    Watch,
}

/// Makes sinks beside metrics, such as rows on a terminal.
pub trait SinkFactory: Send + Sync + Debug {
    /// The sinks for the records of one data source.
    ///
    /// # Errors
    /// When what the user asked for does not fit the data source, in words.
    fn open(&self, gadget: &str, schema: &SourceSchema) -> Result<Vec<Box<dyn Sink>>, String>;
}

/// What the collector knows when it plans.
#[derive(Clone, Debug)]
pub struct PlanContext {
    /// The machine that is observed.
    pub host: Arc<Host>,
    /// For formatters.
    pub format: FormatContext,
    /// The kernel's types, whose enumerators win over the object's.
    pub kernel: Option<Arc<Btf>>,
    /// Limits of the configuration.
    pub limits: Limits,
    /// What the gadget runs for.
    pub purpose: Purpose,
}

/// The parts of an image a plan needs.
#[derive(Clone, Debug)]
pub struct ImageParts<'a> {
    /// Digest of the image.
    pub digest: Digest,
    /// The eBPF object; gadgets that operators alone feed have none.
    pub ebpf: Option<&'a [u8]>,
    /// gadget.yaml.
    pub metadata: &'a str,
    /// The kernel's types as BTF, where the kernel has none of its own and the image brings them.
    pub kernel_types: Option<&'a [u8]>,
}

/// A gadget that can be built.
#[derive(Debug)]
pub struct GadgetPlan {
    /// Name in the configuration.
    pub name: String,
    /// The parsed object.
    pub object: Option<Object>,
    /// The kernel's types, where the image brings them.
    pub kernel_types: Option<Arc<Btf>>,
    /// What decides whether a change needs new programs.
    pub programs: ProgramKey,
    /// Data sources with what happens to their records.
    pub sources: Vec<SourcePlan>,
    /// Parameters of the eBPF programs.
    pub params: Vec<Param>,
    /// What gadget.yaml says, with the user's annotations.
    pub metadata: Metadata,
    /// Things worth a warning that do not stop the gadget.
    pub warnings: Vec<String>,
}

/// Everything the loaded programs depend on: equal keys mean that nothing needs to be loaded again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProgramKey {
    /// Digest of the image.
    pub digest: Digest,
    /// Variables written before load, with their bytes.
    pub variables: BTreeMap<String, Vec<u8>>,
    /// Packet filters, by the name of their hook.
    pub packet_filters: BTreeMap<String, String>,
    /// Attach targets that replace those of the object.
    pub attach_to: BTreeMap<String, String>,
    /// What else attaching needs, per program.
    pub hooks: BTreeMap<String, Hook>,
    /// The one interface that traffic-control programs go to.
    pub interface: Option<String>,
    /// When maps and iterators are read, per data source.
    pub schedules: BTreeMap<String, Schedule>,
    /// What data sources are made of that no eBPF program feeds.
    pub statistics: BTreeMap<String, Statistics>,
}

/// A data source and its sinks.
#[derive(Debug)]
pub struct SourcePlan {
    /// Layout and origin, and everything of a record that has a name.
    pub schema: Arc<SourceSchema>,
    /// What its columns of stacks are bound to once the programs are loaded.
    pub stacks: Option<StackSlot>,
    /// Which records are kept.
    pub filter: Option<Filter>,
    /// What must be true of them besides.
    pub expression: Option<Expression>,
    /// In which order the records of a fetch go on.
    pub sort: Option<Sort>,
    /// How many of them.
    pub limit: Option<Limit>,
    /// What is measured.
    pub measures: Vec<MeasurePlan>,
    /// Where else its records go.
    pub sinks: Vec<Box<dyn Sink>>,
    /// Where the tables belong.
    pub place: TablePlace,
    /// When it is read, if it is a map or an iterator.
    pub schedule: Schedule,
    /// What it is made of, if no eBPF program feeds it.
    pub statistics: Option<Statistics>,
}

impl GadgetPlan {
    /// Plans `gadget` from its image.
    ///
    /// # Errors
    /// Every reason found: a malformed object or gadget.yaml, parameters, filters and metrics that do not fit.
    /// Reasons from the configuration start with their place in the file.
    pub fn new(gadget: &Gadget, image: &ImageParts<'_>, context: &PlanContext) -> Result<Self, Vec<Reason>> {
        let object = image
            .ebpf
            .map(|ebpf| Object::parse(&gadget.name, ebpf))
            .transpose()
            .map_err(|error| vec![Reason::new(ReasonKind::Object, &error)])?;
        let kernel_types = image.kernel_types.map(|bytes| Btf::parse(bytes, None)).transpose();
        let kernel_types =
            kernel_types.map_err(|error| vec![Reason::new(ReasonKind::Object, &error)])?.map(Arc::new);
        let mut metadata =
            Metadata::parse(image.metadata).map_err(|error| vec![Reason::new(ReasonKind::Object, &error)])?;
        let mut reasons = annotate(gadget, &mut metadata);
        if let Err(error) = variables::customise(gadget, &mut metadata) {
            reasons.push(fault(gadget, &ig_model::chain(&error)));
        }
        let discovered = object
            .as_ref()
            .map(|object| discover(object, &metadata))
            .transpose()
            .map_err(|error| vec![Reason::new(ReasonKind::Object, &error)])?;
        let Discovered { mut sources, mut params, network, mut warnings } = discovered.unwrap_or_default();
        params.extend(network);
        let mut statistics = stats::find(&metadata);
        warnings.append(&mut statistics.warnings);
        reasons.extend(statistics.faults.iter().map(|text| fault(gadget, text)));
        statistics.join(&mut sources).map_err(|text| vec![Reason { kind: ReasonKind::Object, text }])?;
        for source in &mut sources {
            complete(source, &metadata, context.kernel.as_deref());
        }

        let settings = variables::resolve(gadget, &params, &metadata, &sources);
        warnings.extend(settings.warnings);
        reasons.extend(settings.faults.into_iter().map(|text| fault(gadget, &text)));
        for planned in &mut statistics.planned {
            planned.set(&settings.operators);
        }

        let planning = Planning {
            gadget,
            context,
            metadata: &metadata,
            object: object.as_ref(),
            operators: &settings.operators,
            statistics: &statistics,
        };
        let mut planned = Vec::new();
        for source in sources {
            planned.extend(planning.source(source, &mut reasons, &mut warnings));
        }
        let names: Vec<&str> = planned.iter().map(|plan| plan.schema.name()).collect();
        reasons.extend(sinks::unknown_sources(gadget, &names));
        let hooks =
            object.as_ref().map_or_else(|| Ok(BTreeMap::new()), |object| hooks::plan(object, &metadata));
        let hooks = hooks.unwrap_or_else(|faults| {
            reasons.extend(faults.into_iter().map(|text| Reason { kind: ReasonKind::Object, text }));
            BTreeMap::new()
        });
        if object.is_none() && planned.is_empty() {
            let text =
                "image has nothing to run: no eBPF program, and no operator that its gadget.yaml asks for";
            reasons.push(Reason { kind: ReasonKind::Image, text: text.to_owned() });
        }
        if !reasons.is_empty() {
            return Err(reasons);
        }
        let attach_to = object
            .iter()
            .flat_map(Object::programs)
            .filter_map(|program| {
                let target = metadata.get(&format!("programs.{}.attach_to", program.name))?;
                Some((program.name.clone(), target.to_owned()))
            })
            .collect();
        let programs = ProgramKey {
            digest: image.digest,
            variables: settings.variables,
            packet_filters: settings.packet_filters,
            attach_to,
            hooks,
            interface: settings.interface,
            schedules: planned.iter().map(|plan| (plan.schema.name().to_owned(), plan.schedule)).collect(),
            statistics: planned
                .iter()
                .filter_map(|plan| Some((plan.schema.name().to_owned(), plan.statistics.clone()?)))
                .collect(),
        };
        Ok(Self {
            name: gadget.name.clone(),
            object,
            kernel_types,
            programs,
            sources: planned,
            params,
            metadata,
            warnings,
        })
    }
}

/// What the plan of every data source is made from.
struct Planning<'a> {
    gadget: &'a Gadget,
    context: &'a PlanContext,
    metadata: &'a Metadata,
    object: Option<&'a Object>,
    operators: &'a variables::OperatorParams,
    statistics: &'a stats::Found,
}

impl Planning<'_> {
    /// Plans what happens to the records of `source`; `None` with reasons if that cannot be.
    fn source(
        &self,
        source: DataSource,
        reasons: &mut Vec<Reason>,
        warnings: &mut Vec<String>,
    ) -> Option<SourcePlan> {
        let Self { gadget, context, metadata, object, operators, statistics } = *self;
        let mut schema = SourceSchema::new(source, &context.format);
        let (source, columns) = schema.parts_mut();
        let of_operator = statistics.of(&source.name);
        if let Err(error) = add_columns(source, of_operator, operators, context, columns) {
            reasons.push(fault(gadget, &error));
        }
        let stacks = stacks::add(source, object, operators, &context.host.root, columns, warnings);
        let stacks = stacks.unwrap_or_else(|error| {
            reasons.push(fault(gadget, &error));
            None
        });
        let planned_sinks = sinks::plan(gadget, source, columns, metadata, operators, &context.limits);
        let planned_sinks = match planned_sinks {
            Ok(planned_sinks) => planned_sinks,
            Err(faults) => {
                reasons.extend(faults);
                return None;
            }
        };
        let wishes = schedule::Wishes {
            interval: gadget.interval,
            map_interval: operators.map_interval(&source.name),
            map_count: operators.map_count(&source.name),
            statistics: of_operator.map(|planned| planned.timing),
        };
        let schedule = schedule::plan(source, wishes, context.purpose);
        schema.seal();
        Some(SourcePlan {
            stacks,
            filter: planned_sinks.filter,
            expression: planned_sinks.expression,
            sort: planned_sinks.sort,
            limit: planned_sinks.limit,
            measures: planned_sinks.measures,
            place: planned_sinks.place,
            sinks: Vec::new(),
            schedule,
            statistics: of_operator.map(|planned| planned.statistics.clone()),
            schema: Arc::new(schema),
        })
    }
}

impl<'a> From<&'a Acquired> for ImageParts<'a> {
    fn from(acquired: &'a Acquired) -> Self {
        let Acquired { gadget, kernel_types, .. } = acquired;
        Self {
            digest: gadget.digest,
            ebpf: gadget.ebpf.as_deref(),
            metadata: gadget.metadata.as_deref().unwrap_or_default(),
            kernel_types: kernel_types.as_deref(),
        }
    }
}

impl GadgetPlan {
    /// Gives every data source the sinks that `factory` makes for it.
    ///
    /// # Errors
    /// What does not fit the data sources, in words.
    pub fn open_sinks(&mut self, factory: &dyn SinkFactory) -> Result<(), Vec<String>> {
        let mut problems = Vec::new();
        for plan in &mut self.sources {
            match factory.open(&self.name, &plan.schema) {
                Ok(sinks) => plan.sinks.extend(sinks),
                Err(problem) => problems.push(problem),
            }
        }
        if problems.is_empty() { Ok(()) } else { Err(problems) }
    }

    /// Every parameter that the gadget takes.
    pub fn describe_params(&self) -> Vec<ParamDesc> {
        let sources: Vec<&DataSource> = self.sources.iter().map(|plan| plan.schema.source()).collect();
        describe_params(&self.params, &self.metadata, &sources)
    }
}

impl Reason {
    /// A reason from an error, with its chain of causes.
    pub fn new(kind: ReasonKind, error: &dyn std::error::Error) -> Self {
        Self { kind, text: ig_model::chain(error) }
    }
}

/// A fault of the configuration, with the place of the gadget's section.
fn fault(gadget: &Gadget, text: &str) -> Reason {
    // A gadget that was asked for on the command line stands in no file.
    let text = if gadget.at.line == 0 {
        text.to_owned()
    } else {
        format!("{}: gadget `{}`: {text}", gadget.at, gadget.name)
    };
    Reason { kind: ReasonKind::Config, text }
}

/// Brings the user's `annotate` entries into the metadata.
fn annotate(gadget: &Gadget, metadata: &mut Metadata) -> Vec<Reason> {
    let entries = gadget
        .annotate
        .iter()
        .cloned()
        .chain(gadget.params.get("operator.oci.annotate").into_iter().flat_map(|list| split_escaped(list)))
        .filter(|entry| !entry.is_empty());
    entries
        .filter_map(|entry| metadata.annotate(&entry).err())
        .map(|error| fault(gadget, &error.to_string()))
        .collect()
}

/// Adds the columns that come from neither fields nor formatters.
fn add_columns(
    source: &DataSource,
    of_operator: Option<&stats::Planned>,
    operators: &variables::OperatorParams,
    context: &PlanContext,
    columns: &mut Columns,
) -> Result<(), String> {
    if let Some(planned) = of_operator {
        let machine = stats::machine(&context.host);
        planned.statistics.complete(source, &machine, columns).map_err(|error| error.to_string())?;
    }
    let read = |variable: &str| context.host.variable(variable).map(str::to_owned);
    env::add(source, operators.env_vars(), read, columns).map_err(|error| error.to_string())
}

/// Adds annotations from gadget.yaml and enumerators from the kernel.
fn complete(source: &mut DataSource, metadata: &Metadata, kernel: Option<&Btf>) {
    source.annotations.extend(metadata.datasource_annotations(&source.name));
    for field in &mut source.fields {
        field.annotations.extend(metadata.field_annotations(&source.name, &field.full_name));
        if let (Some(known), Some(kernel)) = (&field.enumerators, kernel)
            && let Some(found) = ig_datasource::layout::enumerators(kernel, &known.name)
        {
            field.enumerators = Some(Arc::new(found));
        }
    }
}
