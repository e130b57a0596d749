//! Parameters: which variables get which bytes, and what the other operators are told.
//!
//! # Source
//! Names, defaults and their precedence are the reference's, but for this: `paramDefaults` of gadget.yaml and defaults
//! of custom parameters are in force for everybody, where the reference applies them only to clients that send every
//! default back.

mod pushdown;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;

use ig_config::{
    metadata::{CUSTOM_PREFIX, CustomParamError, Metadata},
    runtime::Gadget,
};
use ig_datasource::{DataSource, Param, ParamDesc, ParamType, param::EBPF_PREFIX};
use ig_model::nearest;
use ig_operators::{Operator, Operators, arrange, operator::ParamValues};

/// The outcome of resolving a gadget's parameters.
#[derive(Debug, Default)]
pub(super) struct Settings {
    pub(super) variables: BTreeMap<String, Vec<u8>>,
    /// By the name of their hook.
    pub(super) packet_filters: BTreeMap<String, String>,
    pub(super) interface: Option<String>,
    pub(super) operators: ParamValues,
    /// Every parameter that the gadget takes.
    pub(super) described: Vec<ParamDesc>,
    pub(super) faults: Vec<String>,
    pub(super) warnings: Vec<String>,
}

/// A parameter, and the operator that takes it.
struct Described {
    param: ParamDesc,
    operator: Option<&'static str>,
}

/// Every parameter that a gadget takes, as clients see them: its variables, those of its WASM module, those that
/// gadget.yaml defines, and those of operators that have something to do with its data.
fn describe(
    operators: &Operators,
    params: &[Param],
    metadata: &Metadata,
    sources: &[&DataSource],
) -> Vec<Described> {
    let variable = |param: &Param| {
        let listed = ["params.ebpf", "ebpfParams"]
            .map(|section| metadata.list(&format!("{section}.{}.possibleValues", param.variable)));
        ParamDesc { possible_values: listed.concat(), ..ParamDesc::from(param) }
    };
    let mut described: Vec<ParamDesc> = params.iter().map(variable).collect();
    described.extend(metadata.wasm_params().into_iter().map(ParamDesc::wasm));
    described.extend(metadata.custom_params().into_iter().map(ParamDesc::custom));
    let mut described: Vec<Described> =
        described.into_iter().map(|param| Described { param, operator: None }).collect();
    for operator in operators.iter() {
        for param in operator.params(sources) {
            // What the image declares itself goes first.
            if !described.iter().any(|known| known.param.full_key() == param.full_key()) {
                described.push(Described { param, operator: Some(operator.name()) });
            }
        }
    }
    for (name, value) in metadata.param_defaults() {
        let is_it = |known: &&mut Described| known.param.full_key().eq_ignore_ascii_case(&name);
        if let Some(known) = described.iter_mut().find(is_it) {
            known.param.default_value = value;
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
    operators: &Operators,
    gadget: &Gadget,
    params: &[Param],
    metadata: &Metadata,
    sources: &[DataSource],
) -> Settings {
    let mut resolver = Resolver {
        operators,
        gadget,
        params,
        described: describe(operators, params, metadata, &sources.iter().collect::<Vec<_>>()),
        settings: Settings::default(),
    };
    resolver.defaults(metadata);
    for (name, value) in &gadget.params {
        resolver.set(name, value);
    }
    let Resolver { mut settings, described, .. } = resolver;
    settings.described = described.into_iter().map(|described| described.param).collect();
    pushdown::plan(gadget, params, sources, &mut settings);
    settings
}

/// Forgets the order that the image prefers: it is for eyes. It stays where a limit makes it say what is kept.
pub(super) fn forget_order(metadata: &Metadata, settings: &mut Settings) {
    let preferred = metadata.param_defaults().remove(arrange::SORT);
    let arranged = settings.operators.of(arrange::NAME);
    let is_limited = arranged.get(arrange::MAX_ENTRIES).is_some_and(|limit| limit != "-1");
    if !is_limited && arranged.get(arrange::SORT) == preferred.as_deref() {
        settings.operators.unset(arrange::NAME, arrange::SORT);
    }
}

struct Resolver<'a> {
    operators: &'a Operators,
    gadget: &'a Gadget,
    params: &'a [Param],
    described: Vec<Described>,
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
            let is_it = |known: &&Described| known.param.full_key().eq_ignore_ascii_case(&name);
            let known = self.described.iter().find(is_it);
            if let Some((full_key, operator)) = known.map(|known| (known.param.full_key(), known.operator)) {
                self.apply(&full_key, operator, &value);
            }
        }
    }

    fn set(&mut self, name: &str, value: &str) {
        let mut ignored = self.operators.iter().flat_map(Operator::ignored_params);
        if let Some(full_key) = ignored.find(|known| known.eq_ignore_ascii_case(name)) {
            self.settings.warnings.push(format!("parameter `{full_key}` has no effect in a collector"));
            return;
        }
        // Set here alone: `paramDefaults` of an image must not reach them.
        for operator in self.operators.iter() {
            if let Some(key) = operator.private_params().iter().find(|key| key.eq_ignore_ascii_case(name)) {
                self.settings.operators.set(operator.name(), key, value);
                return;
            }
        }
        let found = self.described.iter().find(|known| known.param.full_key() == name);
        let called = || self.described.iter().find(|known| known.param.is_called(name));
        let Some(Described { param, operator }) = found.or_else(called) else {
            let text = self.unknown(name);
            // Manifests of the reference are accepted as they are.
            let Settings { faults, warnings, .. } = &mut self.settings;
            if self.gadget.manifest.is_some() { warnings } else { faults }.push(text);
            return;
        };
        let (full_key, operator) = (param.full_key(), *operator);
        match param.check(value) {
            Ok(()) => self.apply(&full_key, operator, value),
            Err(error) => self.settings.faults.push(error.to_string()),
        }
    }

    /// Brings a value to the parameter with this fully qualified name.
    fn apply(&mut self, full_key: &str, operator: Option<&'static str>, value: &str) {
        let variable = self.params.iter().find(|param| param.full_key() == full_key);
        if let Some(param) = variable {
            self.variable(param, value);
        } else if let Some(operator) = operator {
            self.settings.operators.set(operator, full_key, value);
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
        if let Err(error) = ig_packet_filter::compile(expression) {
            self.settings.faults.push(format!("parameter `{}`: {error}", param.key));
        }
        self.settings.packet_filters.insert(param.variable.clone(), expression.to_owned());
    }

    fn unknown(&self, name: &str) -> String {
        let described = || self.described.iter().map(|known| &known.param);
        let full_keys: Vec<String> = described().map(ParamDesc::full_key).collect();
        let full = nearest(name, full_keys.iter().map(String::as_str));
        let short = name.strip_prefix(EBPF_PREFIX).unwrap_or(name);
        let near = nearest(short, described().map(|param| param.key.as_str())).or(full);
        let hint = near.map(|near| format!("; did you mean `{near}`?")).unwrap_or_default();
        let own: Vec<&str> = self.params.iter().map(|param| param.key.as_str()).collect();
        format!("unknown parameter `{name}`{hint} (the image has: {})", own.join(", "))
    }
}
