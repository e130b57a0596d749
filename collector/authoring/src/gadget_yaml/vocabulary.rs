//! The words of gadget.yaml: keys, annotations, their values.
//!
//! # Source
//! Inspektor Gadget's annotation vocabulary and metadata schema, and what this collector adds (`metrics.scale`, `filter.param`).

/// Keys of the document. `gadgetParams` means nothing and is written often.
pub(super) const ROOT: &[&str] = &[
    "name",
    "description",
    "homepageURL",
    "documentationURL",
    "sourceURL",
    "annotations",
    "datasources",
    "params",
    "paramDefaults",
    "programs",
    "operator",
    "ebpfParams",
    "gadgetParams",
];
/// Keys of the document that old versions had; images with them still run, but for what they say.
pub(super) const OLD_ROOT: &[&str] = &["tracers", "snapshotters", "structs", "toppers", "profilers"];
/// Keys of a data source.
pub(super) const DATASOURCE: &[&str] = &["annotations", "tags", "fields", "description"];
/// Keys of a field.
pub(super) const FIELD: &[&str] = &["annotations", "tags", "description"];
/// Keys of a parameter.
pub(super) const PARAM: &[&str] = &[
    "key",
    "alternativeKey",
    "alias",
    "title",
    "defaultValue",
    "description",
    "isMandatory",
    "tags",
    "type",
    "typeHint",
    "valueHint",
    "possibleValues",
];

/// Annotations of data sources.
pub(super) const DATASOURCE_ANNOTATIONS: &[&str] = &[
    "description",
    "fetch-interval",
    "fetch-count",
    "ebpf.map.flush-on-stop",
    "ebpf.iter.fetch-on-stop",
    "ebpf.rest.name",
    "ebpf.rest.len",
    "metrics.collect",
    "metrics.print",
    "metrics.implicit-counter.name",
    "metrics.implicit-counter.description",
    "cli.clear-screen-before",
    "cli.supported-output-modes",
    "cli.default-output-mode",
    "cli.raw.fields",
    "pcap.payload",
    "pcap.timestamp",
    "pcap.packet-length",
    "kubenameresolver.enable",
    "generate_networkpolicy.enable",
    "logs.array-handling",
    "logs.name",
    "logs.body",
    "logs.severity",
    "profiles.stack-fields",
    "profiles.value-field",
    "profiles.name",
    "profiles.type",
    "profiles.unit",
    "views.defaults.mode",
    "flamegraph.type",
    "flamegraph.level",
];
/// Annotations of fields, but for [`TARGETS`].
pub(super) const FIELD_ANNOTATIONS: &[&str] = &[
    "description",
    "value.one-of",
    "template",
    "content-type",
    "content-encoding",
    "columns.width",
    "columns.minwidth",
    "columns.maxwidth",
    "columns.alignment",
    "columns.ellipsis",
    "columns.hidden",
    "columns.fixed",
    "columns.hex",
    "columns.alias",
    "columns.precision",
    "columns.priority",
    "columns.replace",
    "json.skip",
    "metrics.type",
    "metrics.name",
    "metrics.description",
    "metrics.unit",
    "metrics.boundaries",
    "metrics.scale",
    "filter.param",
    "ebpf.formatter.bitfield.separator",
    "formatters.timestamp.format",
    "logs.name",
    "profiles.sample-attribute",
    "pcap.interface-key",
    "pcap.interface-var",
    "flamegraph.level",
    "flamegraph.type",
];
/// Beginnings of annotations that may go on in any way.
pub(super) const OPEN_ANNOTATIONS: &[&str] = &["env.fields.", "views."];

/// Field annotations that say yes or nothing.
pub(super) const TRUTHS: &[&str] = &[
    "columns.hidden",
    "columns.fixed",
    "columns.hex",
    "json.skip",
    "profiles.sample-attribute",
    "pcap.interface-key",
    "metrics.collect",
    "metrics.print",
    "ebpf.map.flush-on-stop",
    "ebpf.iter.fetch-on-stop",
    "cli.clear-screen-before",
    "kubenameresolver.enable",
    "generate_networkpolicy.enable",
];
/// Annotations whose value is one of few words.
pub(super) const CHOICES: &[(&str, &[&str])] = &[
    ("columns.alignment", &["left", "right"]),
    ("columns.ellipsis", &["", "none", "start", "middle", "end"]),
    ("metrics.type", &["key", "counter", "gauge", "histogram"]),
    ("logs.array-handling", &["array", "elements"]),
];
/// Annotations that hold a width.
pub(super) const WIDTHS: &[&str] = &["columns.width", "columns.minwidth", "columns.maxwidth"];
/// Annotations that name the field which another field's text goes to.
pub(super) const TARGETS: &[&str] = &[
    "ebpf.formatter.enum",
    "ebpf.formatter.kstack",
    "formatters.timestamp.target",
    "formatters.syscall.target",
    "formatters.signal.target",
    "formatters.errno.target",
    "formatters.bytes.target",
    "formatters.duration.target",
    "formatters.file_mode.target",
    "formatters.file_flags.target",
    "uidgidresolver.target",
];

/// Data sources that operators make.
pub(super) const OTHER_SOURCES: &[&str] = &["containers", "bpfstats", "processes", "cgroups"];
/// Beginnings of the names of fields that operators add.
pub(super) const OTHER_FIELDS: &[&str] = &["runtime", "k8s", "node", "nodename"];

/// Whether `list` has `word`, whatever its case.
pub(super) fn has(list: &[&str], word: &str) -> bool {
    list.iter().any(|known| known.eq_ignore_ascii_case(word))
}
