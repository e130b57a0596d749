//! The list of operators.

use super::Operator;
use crate::{arrange, env, fetch, filter, ignored, measure, stack, stats};

/// Operators in the order in which they are planned and see records.
#[derive(Debug)]
pub struct Operators(Vec<Box<dyn Operator>>);

impl Operators {
    /// All that there are.
    pub fn standard() -> Self {
        Self(vec![
            Box::new(ignored::Image),
            Box::new(stats::process::ProcessOperator),
            Box::new(stats::cgroup::CgroupOperator),
            Box::new(stats::bpfstats::BpfOperator),
            Box::new(fetch::FetchOperator),
            Box::new(ignored::Containers),
            Box::new(env::EnvOperator),
            Box::new(stack::StackOperator),
            Box::new(filter::FilterOperator),
            Box::new(arrange::ArrangeOperator),
            Box::new(measure::MeasureOperator),
            Box::new(ignored::Rows),
        ])
    }

    /// The same with one more, which stands behind all others of its phase.
    #[must_use]
    pub fn with(mut self, operator: Box<dyn Operator>) -> Self {
        let place = self.0.partition_point(|known| known.phase() <= operator.phase());
        self.0.insert(place, operator);
        self
    }

    /// The operators in order.
    pub fn iter(&self) -> impl Iterator<Item = &dyn Operator> {
        self.0.iter().map(AsRef::as_ref)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use ig_datasource::{DataSource, Field, Origin, ParamDesc, SourceKind};
    use ig_model::FieldKind;

    use super::*;

    fn keys(sources: &[&DataSource]) -> Vec<String> {
        let operators = Operators::standard();
        operators.iter().flat_map(|operator| operator.params(sources)).map(|param| param.full_key()).collect()
    }

    /// Scenario: the list, and a gadget with an event source, one with a map and a second source.
    /// Guarantees: operators stand in the order of their phases under names of their own; parameters are described once;
    /// what an operator has nothing to do with is not there.
    #[test]
    fn the_list_is_sound() {
        let operators = Operators::standard();
        let phases: Vec<_> = operators.iter().map(Operator::phase).collect();
        assert!(phases.is_sorted(), "{phases:?}");
        let names: HashSet<_> = operators.iter().map(Operator::name).collect();
        assert_eq!(names.len(), phases.len());

        let tracer = DataSource::new("open", SourceKind::Single, Origin::Tracer { map: "e".into() }, 8);
        let origin = Origin::MapIterator { map: "m".into(), key_size: 4, value_size: 4 };
        let mut map = DataSource::new("top", SourceKind::Array, origin, 8);
        map.annotations.insert("metrics.collect".into(), "true".into());
        map.fields.push(Field {
            types: vec!["gadget_user_stack".into()],
            ..Field::new("s", FieldKind::Bytes, 0, 8)
        });
        let one = keys(&[&tracer]);
        assert!(
            !one.iter()
                .any(|key| key.contains("sort") || key.contains("map-fetch") || key.contains("filter.open"))
        );
        let both = keys(&[&tracer, &map]);
        assert_eq!(both.iter().collect::<HashSet<_>>().len(), both.len());
        for key in [
            ParamDesc::new("operator.oci.", "annotate", "").full_key().as_str(),
            filter::FILTER,
            filter::FILTER_EXPR,
            arrange::SORT,
            arrange::MAX_ENTRIES,
            fetch::INTERVAL,
            fetch::COUNT,
            measure::SCOPES,
            stack::SYMBOLIZERS,
            "operator.cli.fields",
            "operator.cli.output",
            "operator.LocalManager.host",
            "operator.filter.filter.open",
        ] {
            assert!(both.iter().any(|known| known == key), "{key}");
        }
    }
}
