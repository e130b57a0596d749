//! The plan of a gadget: everything that can be decided and checked without opening a descriptor.

mod sinks;
mod variables;

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use ig_config::{
    metadata::Metadata,
    runtime::{Gadget, Limits},
};
use ig_datasource::{DataSource, Discovered, discover};
use ig_kernel::btf::Btf;
use ig_loader::Object;
use ig_operators::{Columns, Filter, FormatContext, MeasurePlan, measure::TablePlace};

use crate::status::{Reason, ReasonKind};

/// How often maps are read when nobody says.
const MAP_INTERVAL: Duration = Duration::from_secs(1);
/// How often an iterator that would run once is run when it feeds metrics.
const ITERATOR_INTERVAL: Duration = Duration::from_secs(15);

/// What the collector knows when it plans.
#[derive(Clone, Debug)]
pub struct PlanContext {
    /// For formatters.
    pub format: FormatContext,
    /// The kernel's types, whose enumerators win over the object's.
    pub kernel: Option<Arc<Btf>>,
    /// Limits of the configuration.
    pub limits: Limits,
}

/// The parts of an image a plan needs.
#[derive(Clone, Debug)]
pub struct ImageParts<'a> {
    /// Digest of the image.
    pub digest: &'a str,
    /// The eBPF object.
    pub ebpf: &'a [u8],
    /// gadget.yaml.
    pub metadata: &'a str,
}

/// A gadget that can be built.
#[derive(Debug)]
pub struct GadgetPlan {
    /// Name in the configuration.
    pub name: String,
    /// The parsed object.
    pub object: Object,
    /// What decides whether a change needs new programs.
    pub programs: ProgramKey,
    /// Data sources with what happens to their records.
    pub sources: Vec<SourcePlan>,
    /// Things worth a warning that do not stop the gadget.
    pub warnings: Vec<String>,
}

/// Everything the loaded programs depend on: equal keys mean that nothing needs to be loaded again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProgramKey {
    /// Digest of the image.
    pub digest: String,
    /// Variables written before load, with their bytes.
    pub variables: BTreeMap<String, Vec<u8>>,
    /// Attach targets that replace those of the object.
    pub attach_to: BTreeMap<String, String>,
    /// Time between fetches per data source.
    pub intervals: BTreeMap<String, Duration>,
}

/// A data source and its sinks.
#[derive(Debug)]
pub struct SourcePlan {
    /// Layout and origin.
    pub source: DataSource,
    /// Which records are kept.
    pub filter: Option<Filter>,
    /// What is measured.
    pub measures: Vec<MeasurePlan>,
    /// Where the tables belong.
    pub place: TablePlace,
    /// Time between fetches, for maps and iterators.
    pub interval: Duration,
}

impl GadgetPlan {
    /// Plans `gadget` from its image.
    ///
    /// # Errors
    /// Every reason found: a malformed object or gadget.yaml, parameters, filters and metrics that do not fit.
    /// Reasons from the configuration start with their place in the file.
    pub fn new(gadget: &Gadget, image: &ImageParts<'_>, context: &PlanContext) -> Result<Self, Vec<Reason>> {
        let object = Object::parse(&gadget.name, image.ebpf)
            .map_err(|error| vec![Reason::new(ReasonKind::Object, &error)])?;
        let mut metadata =
            Metadata::parse(image.metadata).map_err(|error| vec![Reason::new(ReasonKind::Object, &error)])?;
        let mut reasons = annotate(gadget, &mut metadata);
        let discovered =
            discover(&object, &metadata).map_err(|error| vec![Reason::new(ReasonKind::Object, &error)])?;
        let Discovered { mut sources, params, mut warnings } = discovered;
        for source in &mut sources {
            complete(source, &metadata, context.kernel.as_deref());
        }

        let settings = variables::resolve(gadget, &params, &metadata, &sources);
        warnings.extend(settings.warnings);
        reasons.extend(settings.faults.into_iter().map(|text| fault(gadget, &text)));

        let mut planned = Vec::new();
        for source in sources {
            let columns = Columns::plan(&source, &context.format);
            match sinks::plan(gadget, &source, &columns, &metadata, &settings.operators, &context.limits) {
                Ok(sinks) => {
                    let interval = interval(gadget, &source, settings.operators.map_interval(&source.name));
                    planned.push(SourcePlan {
                        filter: sinks.filter,
                        measures: sinks.measures,
                        place: sinks.place,
                        interval,
                        source,
                    });
                }
                Err(faults) => reasons.extend(faults),
            }
        }
        let names: Vec<&str> = planned.iter().map(|plan| plan.source.name.as_str()).collect();
        reasons.extend(sinks::unknown_sources(gadget, &names));
        if !reasons.is_empty() {
            return Err(reasons);
        }
        let attach_to = object
            .programs()
            .iter()
            .filter_map(|program| {
                let target = metadata.get(&format!("programs.{}.attach_to", program.name))?;
                Some((program.name.clone(), target.to_owned()))
            })
            .collect();
        let programs = ProgramKey {
            digest: image.digest.to_owned(),
            variables: settings.variables,
            attach_to,
            intervals: planned.iter().map(|plan| (plan.source.name.clone(), plan.interval)).collect(),
        };
        Ok(Self { name: gadget.name.clone(), object, programs, sources: planned, warnings })
    }
}

impl Reason {
    /// A reason from an error, with its chain of causes.
    pub fn new(kind: ReasonKind, error: &dyn std::error::Error) -> Self {
        Self { kind, text: Self::chain(error) }
    }

    /// An error and its causes in one line.
    pub fn chain(error: &dyn std::error::Error) -> String {
        let mut text = error.to_string();
        let mut source = error.source();
        while let Some(cause) = source {
            text.push_str(": ");
            text.push_str(&cause.to_string());
            source = cause.source();
        }
        text
    }
}

/// A fault of the configuration, with the place of the gadget's section.
fn fault(gadget: &Gadget, text: &str) -> Reason {
    Reason { kind: ReasonKind::Config, text: format!("{}: gadget `{}`: {text}", gadget.at, gadget.name) }
}

/// Brings the user's `annotate` entries into the metadata.
fn annotate(gadget: &Gadget, metadata: &mut Metadata) -> Vec<Reason> {
    let entries = gadget
        .annotate
        .iter()
        .cloned()
        .chain(gadget.params.get("operator.oci.annotate").into_iter().flat_map(|list| split_list(list)));
    entries
        .filter_map(|entry| metadata.annotate(&entry).err())
        .map(|error| fault(gadget, &error.to_string()))
        .collect()
}

/// Splits `a,b\,c` at unescaped commas.
fn split_list(text: &str) -> Vec<String> {
    let mut parts = vec![String::new()];
    let mut characters = text.chars().peekable();
    while let Some(character) = characters.next() {
        if character == '\\' && matches!(characters.peek(), Some(',' | '\\')) {
            if let (Some(part), Some(escaped)) = (parts.last_mut(), characters.next()) {
                part.push(escaped);
            }
        } else if character == ',' {
            parts.push(String::new());
        } else if let Some(part) = parts.last_mut() {
            part.push(character);
        }
    }
    parts.retain(|part| !part.is_empty());
    parts
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

fn interval(gadget: &Gadget, source: &DataSource, from_param: Option<Duration>) -> Duration {
    if let Some(interval) = gadget.interval.or(from_param) {
        return interval;
    }
    match source.origin {
        ig_datasource::Origin::MapIterator { .. } => MAP_INTERVAL,
        _ => source
            .annotations
            .get("fetch-interval")
            .and_then(|text| ig_config::value::duration(text).ok())
            .filter(|interval| !interval.is_zero())
            .unwrap_or(ITERATOR_INTERVAL),
    }
}
