//! The parameters of sort and limit, which go together: what a limit cuts need not be kept to be sorted.

use ig_datasource::{DataSource, ParamDesc, SourceKind};
use ig_model::Host;

use super::Arrange;
use crate::{
    limit::Limit,
    operator::{
        BuildError, Draft, Fault, GadgetContext, LoadedGadget, Operator, OperatorPlan, Params, Phase,
        PlanContext, Ready,
    },
    sort::Sort,
    spec::PerSource,
    stage::Step,
};

/// Name of the operator.
pub const NAME: &str = "arrange";
/// Order of the records of a batch.
pub const SORT: &str = "operator.sort.sort";
/// Most records of a batch.
pub const MAX_ENTRIES: &str = "operator.limiter.max-entries";

/// Sorts and cuts what is read whole.
#[derive(Debug)]
pub(crate) struct ArrangeOperator;

/// The parameters by data source.
struct Values {
    sort: PerSource,
    limits: PerSource,
}

impl Values {
    fn read(params: &Params, names: &[&str]) -> Result<Self, Vec<Fault>> {
        let read = |key, separator| {
            params.per_source(key, separator, names).map_err(|problem| Fault::param(key, problem))
        };
        match (read(SORT, ';'), read(MAX_ENTRIES, ',')) {
            (Ok(sort), Ok(limits)) => Ok(Self { sort, limits }),
            (sort, limits) => Err(sort.err().into_iter().chain(limits.err()).collect()),
        }
    }
}

fn limit(text: &str) -> Result<Option<Limit>, Fault> {
    Limit::plan(text).map_err(|error| Fault::param(MAX_ENTRIES, error))
}

impl Operator for ArrangeOperator {
    fn name(&self) -> &'static str {
        NAME
    }

    fn phase(&self) -> Phase {
        Phase::Arrange
    }

    fn params(&self, sources: &[&DataSource]) -> Vec<ParamDesc> {
        if !sources.iter().any(|source| source.kind == SourceKind::Array) {
            return Vec::new();
        }
        vec![
            ParamDesc::new(
                "operator.sort.",
                "sort",
                "Fields by which the records of a batch are sorted; -field is descending; name:fields;… for single \
                 data sources",
            )
            .of_type("string", ""),
            ParamDesc::new(
                "operator.limiter.",
                "max-entries",
                "Most records of a batch, -1 for all; name:number,… for single data sources",
            )
            .of_type("string", "-1"),
        ]
    }

    fn check(&self, gadget: &GadgetContext<'_>) -> Result<(), Vec<Fault>> {
        let names = gadget.names();
        let values = Values::read(gadget.params, &names)?;
        let mut faults: Vec<Fault> = names
            .iter()
            .filter_map(|name| values.limits.of(name))
            .filter_map(|text| limit(text).err())
            .collect();
        faults.dedup_by(|left, right| left.text == right.text);
        let has_arrays = gadget.sources.iter().any(|source| source.kind == SourceKind::Array);
        for (full_key, values) in [(SORT, &values.sort), (MAX_ENTRIES, &values.limits)] {
            for source in gadget.sources.iter().filter(|source| source.kind == SourceKind::Single) {
                let name = &source.name;
                if values.named().any(|(named, _)| named == name)
                    || (values.of(name).is_some() && !has_arrays)
                {
                    let problem =
                        format!("data source `{name}` is a stream of single events, not of batches");
                    faults.push(Fault::param(full_key, problem));
                }
            }
        }
        if faults.is_empty() { Ok(()) } else { Err(faults) }
    }

    fn plan(&self, context: &PlanContext<'_>, draft: &mut Draft) -> Result<(), Vec<Fault>> {
        if draft.schema.source().kind == SourceKind::Single {
            // A value for all data sources is for those that are read whole.
            return Ok(());
        }
        let name = draft.schema.name();
        let values = Values::read(context.params, context.names)?;
        let limit = values.limits.of(name).map(limit).transpose().map_err(|fault| vec![fault])?.flatten();
        let sort = values.sort.of(name).map(|text| Sort::plan(text, draft.schema.columns())).transpose();
        let sort = sort.map_err(|error| vec![Fault::config(error.to_string())])?.flatten();
        if sort.is_some() || limit.is_some() {
            draft.parts.push(Box::new(Arranged { sort, limit }));
        }
        Ok(())
    }
}

/// What is done to the records of a data source.
#[derive(Debug)]
struct Arranged {
    sort: Option<Sort>,
    limit: Option<Limit>,
}

impl OperatorPlan for Arranged {
    fn build(self: Box<Self>, _gadget: &dyn LoadedGadget, _host: &Host) -> Result<Ready, BuildError> {
        let stage = Arrange::new(self.sort, self.limit);
        Ok(Ready { step: Some(Step::Stage(Box::new(stage))), ..Ready::default() })
    }
}
