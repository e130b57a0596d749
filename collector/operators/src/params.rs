//! The parameters that operators take for one run of a gadget, as clients see them.
//!
//! One table for all, so that command lines, the API and the runtime agree on names, types and defaults. An operator
//! that has nothing to do with a gadget's data sources has no parameter for it.
//!
//! # Source
//! Names, types and defaults are those of Inspektor Gadget.

use ig_datasource::{DataSource, Origin, ParamDesc, SourceKind, param::EBPF_PREFIX};

use crate::stats::bpfstats;

/// Fully qualified names of the parameters that this project reads.
pub mod key {
    /// Annotations over those of the image.
    pub const ANNOTATE: &str = "operator.oci.annotate";
    /// Rules that every record must hold.
    pub const FILTER: &str = "operator.filter.filter";
    /// An expression that must hold for every record.
    pub const FILTER_EXPR: &str = "operator.filter.filter-expr";
    /// Order of the records of a batch.
    pub const SORT: &str = "operator.sort.sort";
    /// Most records of a batch.
    pub const MAX_ENTRIES: &str = "operator.limiter.max-entries";
    /// Time between reads of a map.
    pub const MAP_FETCH_INTERVAL: &str = "operator.oci.ebpf.map-fetch-interval";
    /// How often maps are read.
    pub const MAP_FETCH_COUNT: &str = "operator.oci.ebpf.map-fetch-count";
    /// Time between statistics of eBPF programs.
    pub const STATISTICS_INTERVAL: &str = "operator.ebpf.statistics-interval";
    /// Whether statistics of eBPF programs are those of gadgets alone, one record for each.
    pub const GADGETS_ONLY: &str = "operator.ebpf.gadgets-only";
    /// Variables of the environment that images may show. Global: no image can set it, so it is described nowhere.
    pub const ENV_VARS: &str = "operator.env.env-vars";
    /// Scopes of metrics.
    pub const METRICS_NAME: &str = "operator.otel-metrics.otel-metrics-name";
    /// How user stacks become names.
    pub const SYMBOLIZERS: &str = "operator.ustack.symbolizers";
    /// Fields that rows show.
    pub const FIELDS: &str = "operator.cli.fields";
    /// How rows are written.
    pub const OUTPUT: &str = "operator.cli.output";
    /// Whether events of the host are shown as well as those of containers.
    pub const HOST: &str = "operator.LocalManager.host";
}

/// Describes the parameters of all operators for a gadget with these data sources.
pub fn instance_params(sources: &[&DataSource]) -> Vec<ParamDesc> {
    let mut params = oci();
    params.extend(ebpf(sources));
    params.push(
        ParamDesc::new(
            "operator.LocalManager.",
            "host",
            "Show events of the host as well as those of containers",
        )
        .of_type("bool", "false"),
    );
    if has_type(sources, "gadget_user_stack") {
        params.push(
            ParamDesc::new(
                "operator.ustack.",
                "symbolizers",
                "How user stacks become names: none, auto (all there is), or a list of symtab, dwarf",
            )
            .of_type("string", "auto"),
        );
    }
    params.extend(filter(sources));
    if sources.iter().any(|source| source.kind == SourceKind::Array) {
        params.push(
            ParamDesc::new(
                "operator.sort.",
                "sort",
                "Fields by which the records of a batch are sorted; -field is descending; name:fields;… for single \
                 data sources",
            )
            .of_type("string", ""),
        );
        params.push(
            ParamDesc::new(
                "operator.limiter.",
                "max-entries",
                "Most records of a batch, -1 for all; name:number,… for single data sources",
            )
            .of_type("string", "-1"),
        );
    }
    params.extend(metrics(sources));
    params.push(
        ParamDesc::new(
            "operator.cli.",
            "output",
            "How rows are written; name:mode,… for single data sources",
        )
        .of_type("string", "")
        .with_alias("o"),
    );
    params.push(
        ParamDesc::new(
            "operator.cli.",
            "fields",
            "Fields that rows show; +field and -field add to and take from the usual ones; name:fields;… for single \
             data sources",
        )
        .of_type("string", ""),
    );
    params
}

fn oci() -> Vec<ParamDesc> {
    let new = |key, description| ParamDesc::new("operator.oci.", key, description);
    vec![
        new("pull", "When the image is pulled")
            .of_type("string", "missing")
            .one_of(&["always", "missing", "never"]),
        new("validate-metadata", "Accepted for compatibility; metadata is always checked")
            .of_type("bool", "true"),
        new("annotate", "Annotations over those of the image: name:key=value or name.field:key=value")
            .of_type("[]string", ""),
    ]
}

/// What the eBPF part of an image takes besides the variables it declares.
fn ebpf(sources: &[&DataSource]) -> Vec<ParamDesc> {
    let new = |key, description| ParamDesc::new(EBPF_PREFIX, key, description);
    let mut params = Vec::new();
    let is_of_programs = |source: &&DataSource| matches!(&source.origin, Origin::Operator { operator } if operator == bpfstats::OPERATOR);
    if sources.iter().any(is_of_programs) {
        let new = |key, description| ParamDesc::new("operator.ebpf.", key, description);
        params.push(new("statistics-interval", "Time between reports").of_type("duration", "1000ms"));
        params.push(
            new("gadgets-only", "One record for each gadget of this process instead of one for each program")
                .of_type("bool", "false"),
        );
    }
    if sources.iter().any(|source| matches!(source.origin, Origin::MapIterator { .. })) {
        params.push(
            new(
                "map-fetch-interval",
                "Time between reads of maps, 0 for a read at the end only; name:interval,… for single data sources",
            )
            .of_type("string", "1000ms"),
        );
        params.push(
            new(
                "map-fetch-count",
                "How often maps are read, 0 for no limit; name:count,… for single data sources",
            )
            .of_type("string", "0"),
        );
    }
    params
}

fn filter(sources: &[&DataSource]) -> Vec<ParamDesc> {
    let rules = "Rules that every record must hold, joined by commas: field==value with == != < <= > >= ~ !~";
    let expression = "An expression that must hold for every record";
    let new =
        |key: &str, description| ParamDesc::new("operator.filter.", key, description).of_type("string", "");
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

fn metrics(sources: &[&DataSource]) -> Vec<ParamDesc> {
    let annotated = |key: &str| sources.iter().any(|source| source.is_annotated(key));
    if !annotated("metrics.collect") && !annotated("metrics.print") {
        return Vec::new();
    }
    let new = |key, description| ParamDesc::new("operator.otel-metrics.", key, description);
    vec![
        new("otel-metrics-name", "Scopes of the metrics of data sources: name:scope,…").of_type("string", ""),
        new("otel-metrics-exporter", "Accepted for compatibility; exporters are configured")
            .of_type("string", ""),
        new("otel-metrics-print-interval", "Time between prints of metrics").of_type("duration", "1000ms"),
    ]
}

fn has_type(sources: &[&DataSource], name: &str) -> bool {
    sources.iter().any(|source| source.fields.iter().any(|field| field.has_type(name)))
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    /// Scenario: a gadget with one event source, one with a map and a second source.
    /// Guarantees: names are unique; what an operator has nothing to do with is not there; every key that is read is
    /// described.
    #[test]
    fn the_table_is_sound() {
        let tracer = DataSource::new("open", SourceKind::Single, Origin::Tracer { map: "e".into() }, 8);
        let origin = Origin::MapIterator { map: "m".into(), key_size: 4, value_size: 4 };
        let mut map = DataSource::new("top", SourceKind::Array, origin, 8);
        map.annotations.insert("metrics.collect".into(), "true".into());
        map.fields.push(ig_datasource::Field {
            types: vec!["gadget_user_stack".into()],
            ..ig_datasource::Field::new("s", ig_model::FieldKind::Bytes, 0, 8)
        });

        let one: Vec<String> = instance_params(&[&tracer]).iter().map(ParamDesc::full_key).collect();
        assert!(
            !one.iter()
                .any(|key| key.contains("sort") || key.contains("map-fetch") || key.contains("filter.open"))
        );
        let both: Vec<String> = instance_params(&[&tracer, &map]).iter().map(ParamDesc::full_key).collect();
        assert_eq!(both.iter().collect::<HashSet<_>>().len(), both.len());
        for key in [
            key::ANNOTATE,
            key::FILTER,
            key::FILTER_EXPR,
            key::SORT,
            key::MAX_ENTRIES,
            key::MAP_FETCH_INTERVAL,
            key::MAP_FETCH_COUNT,
            key::METRICS_NAME,
            key::SYMBOLIZERS,
            key::FIELDS,
            key::OUTPUT,
            key::HOST,
            "operator.filter.filter.open",
        ] {
            assert!(both.iter().any(|known| known == key), "{key}");
        }
    }
}
