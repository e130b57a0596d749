//! The plan of a gadget: everything that can be decided and checked without opening a descriptor.

mod draft;
mod hooks;
mod names;
mod schedule;
#[cfg(test)]
mod tests;
mod variables;

use std::{collections::BTreeMap, fmt::Debug, sync::Arc};

use ig_config::{
    metadata::Metadata,
    runtime::{Gadget, Limits},
};
use ig_datasource::{DataSource, Discovered, ParamDesc, discover};
use ig_image::{Digest, access::Acquired};
use ig_kernel::btf::Btf;
use ig_loader::{Object, ProgramSpec};
use ig_model::Host;
use ig_operators::{
    FormatContext, OperatorPlan, Operators, Sink, SourceSchema,
    ignored::ANNOTATE,
    operator::{Feed, PlannedMeasure},
    spec::split_escaped,
};

pub use hooks::Hook;

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
    /// Every parameter that the gadget takes.
    pub params: Vec<ParamDesc>,
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
    /// What data sources of operators are made of.
    pub feeds: BTreeMap<String, String>,
}

/// A data source and its sinks.
#[derive(Debug)]
pub struct SourcePlan {
    /// Layout and origin, and everything of a record that has a name.
    pub schema: Arc<SourceSchema>,
    /// What stands on the way of its records, in order.
    pub parts: Vec<Box<dyn OperatorPlan>>,
    /// Maps of the gadget that these read.
    pub maps: Vec<String>,
    /// What is measured.
    pub measures: Vec<PlannedMeasure>,
    /// Where else its records go.
    pub sinks: Vec<Box<dyn Sink>>,
    /// When it is read, if it is read whole.
    pub schedule: Schedule,
    /// Where its records come from, if no eBPF program feeds it.
    pub feed: Option<Feed>,
}

impl GadgetPlan {
    /// Plans `gadget` from its image.
    ///
    /// # Errors
    /// Every reason found: a malformed object or gadget.yaml, parameters, filters and metrics that do not fit.
    /// Reasons from the configuration start with their place in the file.
    pub fn new(gadget: &Gadget, image: &ImageParts<'_>, context: &PlanContext) -> Result<Self, Vec<Reason>> {
        Self::with_operators(&Operators::standard(), gadget, image, context)
    }

    /// The same with other operators.
    ///
    /// # Errors
    /// As [`GadgetPlan::new`].
    pub fn with_operators(
        operators: &Operators,
        gadget: &Gadget,
        image: &ImageParts<'_>,
        context: &PlanContext,
    ) -> Result<Self, Vec<Reason>> {
        let object = image
            .ebpf
            .map(|ebpf| Object::parse(&gadget.name, ebpf))
            .transpose()
            .map_err(|error| vec![Reason::hinted(ReasonKind::Object, error)])?;
        let kernel_types = image.kernel_types.map(|bytes| Btf::parse(bytes, None)).transpose();
        let kernel_types =
            kernel_types.map_err(|error| vec![Reason::new(ReasonKind::Object, error)])?.map(Arc::new);
        let mut metadata =
            Metadata::parse(image.metadata).map_err(|error| vec![Reason::new(ReasonKind::Object, error)])?;
        let mut reasons = annotate(gadget, &mut metadata);
        if let Err(error) = variables::customise(gadget, &mut metadata) {
            reasons.push(fault(gadget, error));
        }
        let discovered = object
            .as_ref()
            .map(|object| discover(object, &metadata))
            .transpose()
            .map_err(|error| vec![Reason::new(ReasonKind::Object, error)])?;
        let Discovered { mut sources, mut params, network, mut warnings } = discovered.unwrap_or_default();
        params.extend(network);
        reasons.extend(draft::brought(operators, gadget, &metadata, &mut sources, &mut warnings));
        for source in &mut sources {
            complete(source, &metadata, context.kernel.as_deref());
        }

        let mut settings = variables::resolve(operators, gadget, &params, &metadata, &sources);
        if context.purpose == Purpose::Collect {
            variables::forget_order(&metadata, &mut settings);
        }
        warnings.extend(settings.warnings);
        reasons.extend(settings.faults.into_iter().map(|text| fault(gadget, text)));
        reasons.extend(draft::check(operators, gadget, &sources, &mut settings.operators));
        let walk = draft::Walk { operators, gadget, context, metadata: &metadata, object: object.as_ref() };
        let planned = walk.plan(sources, &settings.operators, &mut warnings).unwrap_or_else(|faults| {
            reasons.extend(faults);
            Vec::new()
        });
        if context.purpose == Purpose::Collect {
            reasons.extend(names::clashes(gadget, &planned));
        }
        let hooks =
            object.as_ref().map_or_else(|| Ok(BTreeMap::new()), |object| hooks::plan(object, &metadata));
        let hooks = hooks.unwrap_or_else(|faults| {
            reasons.extend(faults.into_iter().map(|text| Reason::new(ReasonKind::Object, text)));
            BTreeMap::new()
        });
        if object.is_none() && planned.is_empty() && reasons.is_empty() {
            let text =
                "image has nothing to run: no eBPF program, and no operator that its gadget.yaml asks for";
            reasons.push(Reason::new(ReasonKind::Image, text));
        }
        if !reasons.is_empty() {
            return Err(reasons);
        }
        let by_name = |plan: &SourcePlan| plan.schema.name().to_owned();
        let programs = ProgramKey {
            digest: image.digest,
            variables: settings.variables,
            packet_filters: settings.packet_filters,
            attach_to: object.as_ref().map(|object| attach_targets(object, &metadata)).unwrap_or_default(),
            hooks,
            interface: settings.interface,
            schedules: planned.iter().map(|plan| (by_name(plan), plan.schedule)).collect(),
            feeds: planned
                .iter()
                .filter_map(|plan| Some((by_name(plan), plan.feed.as_ref()?.key())))
                .collect(),
        };
        Ok(Self {
            name: gadget.name.clone(),
            object,
            kernel_types,
            programs,
            sources: planned,
            params: settings.described,
            metadata,
            warnings,
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
        let sources = self.sources.iter_mut().map(|plan| (&*plan.schema, &mut plan.sinks));
        open_sinks(factory, &self.name, sources)
    }
}

/// Gives data sources, each with its sinks so far, those that `factory` makes for it.
///
/// # Errors
/// What does not fit the data sources, in words.
pub(crate) fn open_sinks<'s>(
    factory: &dyn SinkFactory,
    gadget: &str,
    sources: impl Iterator<Item = (&'s SourceSchema, &'s mut Vec<Box<dyn Sink>>)>,
) -> Result<(), Vec<String>> {
    let mut problems = Vec::new();
    for (schema, sinks) in sources {
        match factory.open(gadget, schema) {
            Ok(opened) => sinks.extend(opened),
            Err(problem) => problems.push(problem),
        }
    }
    if problems.is_empty() { Ok(()) } else { Err(problems) }
}

/// A fault of the configuration, with the place of the gadget's section.
fn fault(gadget: &Gadget, problem: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Reason {
    Reason::new(ReasonKind::Config, problem).located(&gadget.at, &gadget.name)
}

/// The programs that gadget.yaml attaches elsewhere than their sections say.
fn attach_targets(object: &Object, metadata: &Metadata) -> BTreeMap<String, String> {
    let target = |program: &ProgramSpec| {
        let target = metadata.get(&format!("programs.{}.attach_to", program.name))?;
        Some((program.name.clone(), target.to_owned()))
    };
    object.programs().iter().filter_map(target).collect()
}

/// Brings the user's `annotate` entries into the metadata.
fn annotate(gadget: &Gadget, metadata: &mut Metadata) -> Vec<Reason> {
    let entries = gadget
        .annotate
        .iter()
        .cloned()
        .chain(gadget.params.get(ANNOTATE).into_iter().flat_map(|list| split_escaped(list)))
        .filter(|entry| !entry.is_empty());
    entries.filter_map(|entry| metadata.annotate(&entry).err()).map(|error| fault(gadget, error)).collect()
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
