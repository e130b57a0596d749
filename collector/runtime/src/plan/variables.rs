//! Parameters: which variables get which bytes, and what the other operators are told.
//!
//! # Source
//! Names, defaults and their precedence are the reference's, but for this: `paramDefaults` of gadget.yaml and defaults
//! of custom parameters are in force for everybody, where the reference applies them only to clients that send every
//! default back.

mod operators;
mod pushdown;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;

use ig_config::{
    metadata::{CUSTOM_PREFIX, CustomParamError, Metadata},
    runtime::Gadget,
};
use ig_datasource::{DataSource, Param, ParamDesc, ParamType, param::EBPF_PREFIX};
use ig_loader::packet_filter;
use ig_model::nearest;
use ig_operators::{
    params::{instance_params, key},
    spec::split_escaped,
};

pub(super) use operators::OperatorParams;

/// The outcome of resolving a gadget's parameters.
#[derive(Debug, Default)]
pub(super) struct Settings {
    pub(super) variables: BTreeMap<String, Vec<u8>>,
    /// By the name of their hook.
    pub(super) packet_filters: BTreeMap<String, String>,
    pub(super) interface: Option<String>,
    pub(super) operators: OperatorParams,
    pub(super) faults: Vec<String>,
    pub(super) warnings: Vec<String>,
}

/// Parameters of the reference that have no meaning here but do no harm either: everything already runs on the
/// host, without container filter, and output goes to exporters.
const WITHOUT_EFFECT: [&str; 8] = [
    key::HOST,
    key::FIELDS,
    key::OUTPUT,
    "operator.KubeManager.all-namespaces",
    "operator.oci.pull",
    "operator.oci.validate-metadata",
    "operator.otel-metrics.otel-metrics-exporter",
    "operator.otel-metrics.otel-metrics-print-interval",
];

/// Every parameter that a gadget takes, as clients see them: its variables, those of its WASM module, those that
/// gadget.yaml defines, and those of operators that have something to do with its data.
pub fn describe_params(params: &[Param], metadata: &Metadata, sources: &[&DataSource]) -> Vec<ParamDesc> {
    let variable = |param: &Param| {
        let listed = ["params.ebpf", "ebpfParams"]
            .map(|section| metadata.list(&format!("{section}.{}.possibleValues", param.variable)));
        ParamDesc { possible_values: listed.concat(), ..ParamDesc::from(param) }
    };
    let mut described: Vec<ParamDesc> = params.iter().map(variable).collect();
    described.extend(metadata.wasm_params().into_iter().map(ParamDesc::wasm));
    described.extend(metadata.custom_params().into_iter().map(ParamDesc::custom));
    for param in instance_params(sources) {
        // What the image declares itself goes first.
        if !described.iter().any(|known| known.full_key() == param.full_key()) {
            described.push(param);
        }
    }
    for (name, value) in metadata.param_defaults() {
        if let Some(param) = described.iter_mut().find(|param| param.full_key().eq_ignore_ascii_case(&name)) {
            param.default_value = value;
        }
    }
    described
}

/// Changes the metadata as custom parameters say; to be done before anything is read from it.
///
/// # Errors
/// A value that a parameter cannot have, or a patch that cannot be expanded.
pub(super) fn customise(gadget: &Gadget, metadata: &mut Metadata) -> Result<(), CustomParamError> {
    let custom = metadata.custom_params();
    if custom.is_empty() {
        return Ok(());
    }
    let full_key = |name: &String| {
        let short = custom.iter().any(|param| param.key.eq_ignore_ascii_case(name));
        if short { format!("{CUSTOM_PREFIX}{name}") } else { name.clone() }
    };
    let params = gadget.params.iter().map(|(name, value)| (full_key(name), value.clone())).collect();
    metadata.apply_custom_params(&params)
}

/// Reads the parameters of `gadget` against those that its image takes.
pub(super) fn resolve(
    gadget: &Gadget,
    params: &[Param],
    metadata: &Metadata,
    sources: &[DataSource],
) -> Settings {
    let mut resolver = Resolver {
        gadget,
        params,
        described: describe_params(params, metadata, &sources.iter().collect::<Vec<_>>()),
        names: sources.iter().map(|source| source.name.as_str()).collect(),
        settings: Settings::default(),
    };
    resolver.defaults(metadata);
    for (name, value) in &gadget.params {
        resolver.set(name, value);
    }
    let Settings { faults, operators, .. } = &mut resolver.settings;
    operators.check(sources, faults);
    let mut settings = resolver.settings;
    pushdown::plan(gadget, params, sources, &mut settings);
    settings
}

struct Resolver<'a> {
    gadget: &'a Gadget,
    params: &'a [Param],
    described: Vec<ParamDesc>,
    names: Vec<&'a str>,
    settings: Settings,
}

impl Resolver<'_> {
    /// The image's own wishes: texts that gadget.yaml gives, then `paramDefaults`.
    fn defaults(&mut self, metadata: &Metadata) {
        for param in self.params {
            if let (ParamType::Text(_), false) = (param.kind, param.default.is_empty()) {
                self.variable(param, &param.default);
            }
        }
        for (name, value) in metadata.param_defaults() {
            // Names of parameters that do not exist mean nothing in gadget.yaml, like any key there.
            let known = self.described.iter().find(|param| param.full_key().eq_ignore_ascii_case(&name));
            if let Some(full_key) = known.map(ParamDesc::full_key) {
                self.apply(&full_key, &value);
            }
        }
        let wasm = metadata.wasm_params().into_iter();
        self.settings.operators.wasm = wasm.map(|param| (param.key, param.default_value)).collect();
    }

    fn set(&mut self, name: &str, value: &str) {
        if let Some(full_key) = WITHOUT_EFFECT.iter().find(|known| known.eq_ignore_ascii_case(name)) {
            self.settings.warnings.push(format!("parameter `{full_key}` has no effect in a collector"));
            return;
        }
        if name.eq_ignore_ascii_case(key::ENV_VARS) {
            // Set here alone: `paramDefaults` of an image must not open the environment to it.
            self.settings.operators.env_vars = split_escaped(value)
                .iter()
                .map(|name| name.trim().to_owned())
                .filter(|name| !name.is_empty())
                .collect();
            return;
        }
        let matches = |param: &&ParamDesc| param.full_key() == name;
        let found = self.described.iter().find(matches);
        let Some(param) = found.or_else(|| self.described.iter().find(|param| param.is_called(name))) else {
            let text = self.unknown(name);
            // Manifests of the reference are accepted as they are.
            let Settings { faults, warnings, .. } = &mut self.settings;
            if self.gadget.manifest.is_some() { warnings } else { faults }.push(text);
            return;
        };
        let full_key = param.full_key();
        match param.check(value) {
            Ok(()) => self.apply(&full_key, value),
            Err(error) => self.settings.faults.push(error.to_string()),
        }
    }

    /// Brings a value to the parameter with this fully qualified name.
    fn apply(&mut self, full_key: &str, value: &str) {
        let variable = self.params.iter().find(|param| param.full_key() == full_key);
        if let Some(param) = variable {
            self.variable(param, value);
        } else if !full_key.starts_with(CUSTOM_PREFIX) && full_key != key::ANNOTATE {
            // Those two are part of the metadata already.
            let applied = self.settings.operators.apply(full_key, value, &self.names);
            if let Err(problem) = applied {
                self.settings.faults.push(format!("parameter `{full_key}`: {problem}"));
            }
        }
    }

    fn variable(&mut self, param: &Param, value: &str) {
        match param.kind {
            ParamType::PacketFilter => return self.packet_filter(param, value),
            ParamType::Interface => {
                self.settings.interface = Some(value.to_owned()).filter(|name| !name.is_empty());
                return;
            }
            _ => {}
        }
        // What a variable has anyway need not fit its type, as that of an empty opaque one does not.
        let in_force = value == param.default && !matches!(param.kind, ParamType::Text(_));
        if in_force {
            self.settings.variables.remove(&param.variable);
            return;
        }
        match param.encode(value) {
            Ok(bytes) => {
                self.settings.variables.insert(param.variable.clone(), bytes);
            }
            Err(error) => self.settings.faults.push(error.to_string()),
        }
    }

    fn packet_filter(&mut self, param: &Param, expression: &str) {
        if let Err(error) = packet_filter::compile(expression) {
            self.settings.faults.push(format!("parameter `{}`: {error}", param.key));
        }
        self.settings.packet_filters.insert(param.variable.clone(), expression.to_owned());
    }

    fn unknown(&self, name: &str) -> String {
        let full_keys: Vec<String> = self.described.iter().map(ParamDesc::full_key).collect();
        let full = nearest(name, full_keys.iter().map(String::as_str));
        let short = name.strip_prefix(EBPF_PREFIX).unwrap_or(name);
        let near = nearest(short, self.described.iter().map(|param| param.key.as_str())).or(full);
        let hint = near.map(|near| format!("; did you mean `{near}`?")).unwrap_or_default();
        let own: Vec<&str> = self.params.iter().map(|param| param.key.as_str()).collect();
        format!("unknown parameter `{name}`{hint} (the image has: {})", own.join(", "))
    }
}
