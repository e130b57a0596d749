//! Rules and expressions, from the configuration and from parameters.

use ig_config::runtime::Gadget;
use ig_datasource::{DataSource, ParamDesc};
use ig_model::Host;

use super::Filter;
use crate::{
    expression::{Expression, ExpressionStage},
    operator::{
        BuildError, Draft, Fault, LoadedGadget, Operator, OperatorPlan, Params, Phase, PlanContext, Ready,
    },
    stage::Step,
};

/// Its name.
pub const NAME: &str = "filter";
/// Rules that every record must hold; `filter.NAME` is for one data source.
pub const FILTER: &str = "operator.filter.filter";
/// An expression that must hold for every record; `filter-expr.NAME` is for one data source.
pub const FILTER_EXPR: &str = "operator.filter.filter-expr";

/// Lets records pass or not.
#[derive(Debug)]
pub(crate) struct FilterOperator;

/// The rules that hold for the records of a data source.
pub fn rules<'a>(gadget: &'a Gadget, params: &'a Params, source: &str) -> Vec<&'a str> {
    texts(gadget.filter.as_deref(), FILTER, params, source)
}

fn texts<'a>(own: Option<&'a str>, key: &str, params: &'a Params, source: &str) -> Vec<&'a str> {
    let named = params.get(&format!("{key}.{source}"));
    let set = [params.get(key), named].into_iter().flatten().filter(|text| !text.is_empty());
    own.into_iter().chain(set).collect()
}

impl Operator for FilterOperator {
    fn name(&self) -> &'static str {
        NAME
    }

    fn phase(&self) -> Phase {
        Phase::Select
    }

    fn params(&self, sources: &[&DataSource]) -> Vec<ParamDesc> {
        let rules =
            "Rules that every record must hold, joined by commas: field==value with == != < <= > >= ~ !~";
        let expression = "An expression that must hold for every record";
        let new = |key: &str, description| {
            ParamDesc::new("operator.filter.", key, description).of_type("string", "")
        };
        let mut params =
            vec![new("filter", rules).with_alias("F"), new("filter-expr", expression).with_alias("E")];
        if sources.len() > 1 {
            for source in sources {
                params.push(new(&format!("filter.{}", source.name), rules));
                params.push(new(&format!("filter-expr.{}", source.name), expression));
            }
        }
        params
    }

    fn plan(&self, context: &PlanContext<'_>, draft: &mut Draft) -> Result<(), Vec<Fault>> {
        let (gadget, params, source) = (context.gadget, context.params, draft.schema.name());
        let columns = draft.schema.columns();
        let mut faults = Vec::new();
        let mut filter: Option<Filter> = None;
        for text in rules(gadget, params, source) {
            match (filter.take(), Filter::plan(text, columns)) {
                (known, Err(error)) => {
                    faults.push(Fault::config(error.to_string()));
                    filter = known;
                }
                (Some(known), Ok(planned)) => filter = Some(known.and(planned)),
                (None, Ok(planned)) => filter = Some(planned),
            }
        }
        let mut expression: Option<Expression> = None;
        for text in texts(gadget.filter_expr.as_deref(), FILTER_EXPR, params, source) {
            match (expression.take(), Expression::plan(text, columns)) {
                (known, Err(error)) => {
                    faults.push(Fault::config(error.to_string()));
                    expression = known;
                }
                (Some(known), Ok(planned)) => expression = Some(known.and(planned)),
                (None, Ok(planned)) => expression = Some(planned),
            }
        }
        if let Some(filter) = filter {
            draft.parts.push(Box::new(filter));
        }
        if let Some(expression) = expression {
            draft.parts.push(Box::new(expression));
        }
        if faults.is_empty() { Ok(()) } else { Err(faults) }
    }
}

impl OperatorPlan for Filter {
    fn build(self: Box<Self>, _gadget: &dyn LoadedGadget, _host: &Host) -> Result<Ready, BuildError> {
        Ok(Ready { step: Some(Step::Filter((*self).into())), ..Ready::default() })
    }
}

impl OperatorPlan for Expression {
    fn build(self: Box<Self>, _gadget: &dyn LoadedGadget, _host: &Host) -> Result<Ready, BuildError> {
        let stage = ExpressionStage::from(*self);
        Ok(Ready { step: Some(Step::Stage(Box::new(stage))), ..Ready::default() })
    }
}
