//! `env`: shows variables of the collector's environment as fields, the same in every record.
//!
//! An image could ask for secrets this way, so only variables that the operator of the collector allows are shown.
//!
//! # Source
//! Inspektor Gadget, operator `env`: data source annotations `env.fields.NAME=VARIABLE`, global parameter `env-vars`.

use std::sync::Arc;

use ig_datasource::{DataSource, annotate::BASE};
use ig_model::nearest;
use thiserror::Error;

use crate::{
    column::{Column, ColumnClash, Columns, Render},
    operator::{Draft, Fault, Operator, Phase, PlanContext},
    spec::split_escaped,
};

/// Variables that images may show. No image can set it, so it is described nowhere.
const VARIABLES: &str = "operator.env.env-vars";

/// Shows variables that whoever runs the collector allows.
#[derive(Debug)]
pub(crate) struct EnvOperator;

impl Operator for EnvOperator {
    fn name(&self) -> &'static str {
        "env"
    }

    fn phase(&self) -> Phase {
        Phase::Extend
    }

    fn private_params(&self) -> &'static [&'static str] {
        &[VARIABLES]
    }

    fn plan(&self, context: &PlanContext<'_>, draft: &mut Draft) -> Result<(), Vec<Fault>> {
        let listed = split_escaped(context.params.get(VARIABLES).unwrap_or_default());
        let allowed: Vec<String> =
            listed.iter().map(|name| name.trim().to_owned()).filter(|name| !name.is_empty()).collect();
        let (source, columns) = draft.schema.parts_mut();
        let read = |variable: &str| context.host.variable(variable).map(str::to_owned);
        add(source, &allowed, read, columns).map_err(|error| vec![Fault::config(error.to_string())])
    }
}

/// Where the annotations begin.
const PREFIX: &str = "env.fields.";

/// A field of the environment that cannot be shown.
#[derive(Debug, Error, PartialEq, Eq)]
#[non_exhaustive]
pub enum EnvError {
    /// The variable is not on the list.
    #[error(
        "field `{field}` shows the environment variable `{variable}`, which is not allowed{hint} (allowed: {allowed})"
    )]
    Forbidden {
        /// Name of the field.
        field: String,
        /// Name of the variable.
        variable: String,
        /// The nearest allowed one, as a question.
        hint: String,
        /// What is allowed.
        allowed: String,
    },
    /// The name of the field is taken.
    #[error(transparent)]
    Clash(#[from] ColumnClash),
}

/// Adds the fields that the annotations of `source` ask for; `read` gives the value of a variable, read once.
///
/// # Errors
/// A variable that is not in `allowed`, or a field that exists already.
fn add(
    source: &DataSource,
    allowed: &[String],
    read: impl Fn(&str) -> Option<String>,
    columns: &mut Columns,
) -> Result<(), EnvError> {
    let wanted =
        source.annotations.iter().filter_map(|(key, variable)| Some((key.strip_prefix(PREFIX)?, variable)));
    for (field, variable) in wanted {
        if !allowed.contains(variable) {
            let hint = nearest(variable, allowed.iter().map(String::as_str));
            return Err(EnvError::Forbidden {
                field: field.to_owned(),
                variable: variable.clone(),
                hint: hint.map(|near| format!("; did you mean `{near}`?")).unwrap_or_default(),
                allowed: if allowed.is_empty() { "none".to_owned() } else { allowed.join(", ") },
            });
        }
        let value: Arc<str> = read(variable).unwrap_or_default().into();
        columns.push(Column::new(field, Vec::new(), Render::Constant(value)).annotated(&BASE))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use ig_datasource::{Origin, SourceKind};

    use super::*;
    use crate::{
        column::{FormatContext, Value, ValueScratch},
        format::Accounts,
    };

    fn planned(annotation: (&str, &str), allowed: &[&str]) -> Result<Columns, EnvError> {
        let origin = Origin::Tracer { map: "events".into() };
        let mut source = DataSource::new("open", SourceKind::Single, origin, 8);
        source.annotations.insert(annotation.0.to_owned(), annotation.1.to_owned());
        let accounts = Arc::new(Accounts::in_root(std::path::Path::new("/nonexistent")));
        let context = FormatContext { clock: ig_model::BootClock::with_offset(0), accounts };
        let mut columns = Columns::plan(&source, &context);
        let allowed: Vec<String> = allowed.iter().map(|name| (*name).to_owned()).collect();
        add(&source, &allowed, |name| (name == "NODE").then(|| "n1".to_owned()), &mut columns)?;
        Ok(columns)
    }

    /// Scenario: an allowed variable, one that is not set, one that is not allowed, a name that is taken.
    /// Guarantees: the value is a constant column; an unset one is empty; the others are refused by name.
    #[test]
    fn variables_become_columns() {
        let columns = planned(("env.fields.node", "NODE"), &["NODE"]).unwrap();
        let column = columns.find("node").unwrap();
        assert_eq!(column.value(&[], &mut ValueScratch::default()), Value::Text(b"n1"));
        let columns = planned(("env.fields.zone", "ZONE"), &["ZONE"]).unwrap();
        assert_eq!(columns.find("zone").unwrap().value(&[], &mut ValueScratch::default()), Value::Text(b""));
        let error = planned(("env.fields.node", "NODES"), &["NODE"]).unwrap_err().to_string();
        assert!(error.contains("`NODES`, which is not allowed; did you mean `NODE`?"), "{error}");
        let error = planned(("env.fields.x", "AWS_SECRET"), &[]).unwrap_err().to_string();
        assert!(error.ends_with("(allowed: none)"), "{error}");
        assert!(planned(("other", "NODE"), &[]).unwrap().find("node").is_none());
    }
}
